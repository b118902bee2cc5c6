"""The full ICE agent, sans-IO (RFC 8445, RFC 8838, RFC 7675): one data stream, one component, UDP.

The shell tells it its own addresses and its STUN servers, hands it what arrives and sends what it
wants sent; the agent finds the ways to the peer, agrees with it on one, and watches that one:

    agent.add_host(address, now=now)                    # one for each socket
    agent.add_stun_server(server, now=now)
    agent.end_of_hosts(now=now)
    agent.set_remote(credentials, now=now)              # from the peer's SDP, in either order
    agent.add_remote_candidate(candidate, now=now)      # those, too, and any that trickle in
    agent.receive_datagram(data, local=..., remote=..., now=now)
    agent.datagrams_to_send(); .next_event(); .next_timeout(); .handle_timeout(now=now)

What a check of the peer does stands in `ice_server`, what becomes of ours in `ice_client`, and which
pair is used in the end in `ice_conclusion`; `ice_session` holds what they all work on.

A relayed candidate (TURN) will be one more base: an address to send from, by whatever means.
"""

from __future__ import annotations

import math

from .ice_candidate import Candidate, IceCredentials
from .ice_checklist import Checklist, Path
from .ice_client import receive_response, retransmit, start_next
from .ice_common import IceDatagram, IceEvent, LocalCandidate
from .ice_conclusion import (
    fail_if_hopeless,
    is_busy,
    keep_consent,
    nominate_if_due,
    nomination_at,
)
from .ice_nomination import Nominations
from .ice_server import check_back, receive_request
from .ice_session import IceSession
from .stun import Address, MessageClass, StunDecodeError, StunMessage

__all__ = ["IceAgent"]


class IceAgent(IceSession):
    """One end of an ICE session: what the shell tells it and asks it."""

    # -- what is known -------------------------------------------------------------------------

    @property
    def send_path(self) -> Path | None:
        """Where to send: the selected pair, or before there is one the best that works.

        RFC 8445 §12.1.
        """
        if self.failed:
            return None
        if self.consent is not None:
            return self.consent.path
        best = self.checklist.best_valid()
        return None if best is None else best.path

    @property
    def local_candidates(self) -> list[Candidate]:
        """Ours so far, best first: for a description that does not trickle."""
        return self.local.best_first()

    @property
    def ufrags(self) -> list[str]:
        """What checks of the peer may name: until a restart is through, the old ones too."""
        both = self.credentials, self.previous_credentials
        return [credentials.ufrag for credentials in both if credentials is not None]

    # -- our candidates ------------------------------------------------------------------------

    def add_host(self, address: Address, *, now: float) -> None:
        """An address that a socket of ours is bound to; the first one is preferred."""
        host = self.gathering.add_host(address)
        if host is None:
            return
        self.events.append(LocalCandidate(host))
        for remote in self.remote_candidates:
            self.pair_up(host, remote)
        self.wake(now)

    def add_stun_server(self, server: Address, *, now: float) -> None:
        """Ask it, from each of our addresses, how we look from outside (RFC 8445 §5.1.1.2)."""
        self.gathering.add_server(server)
        self.wake(now)

    def end_of_hosts(self, *, now: float) -> None:
        """All addresses and servers are told: `GatheringComplete` follows when all answered."""
        self.gathering.hosts_ended = True
        self.wake(now)
        self.end_gathering_if_done()

    # -- the peer ------------------------------------------------------------------------------

    def set_remote(self, credentials: IceCredentials, *, lite: bool = False, now: float) -> None:
        """The peer's credentials are known: checks begin.

        ``lite``: the peer's description has ``a=ice-lite``; then we control (RFC 8445 §6.1.1).
        """
        self.remote = credentials
        self.role.is_settled = lite
        if lite:
            self.set_role(controlling=True)
        self.fail_at = now + self.config.connect_timeout
        early, self.early_checks = self.early_checks, []
        for path, priority, use_candidate in early:
            check_back(self, path, priority, use_candidate, now)
        self.wake(now)

    def add_remote_candidate(self, candidate: Candidate, *, now: float) -> None:
        """A candidate of the peer's, from its description or trickled (RFC 8838 §11).

        One that cannot be checked is counted and ignored: the peer's own checks may still find us.
        """
        if self.remote_candidates.tell(candidate):
            for base in self.local.bases.values():
                self.pair_up(base, candidate)
            self.wake(now)

    def restart(self, credentials: IceCredentials, *, now: float) -> None:
        """Begin anew with the same addresses (RFC 8445 §9): `set_remote` has to follow.

        The selected pair stays in use, with its consent, until another one is selected; so does the
        one that worked best where none was selected yet.
        """
        path, remote = self.send_path, self.remote
        if self.consent is None and path is not None and remote is not None:
            self.consent = self.consent_for(path, remote, now)
        if self.previous_credentials is None or remote is not None:
            self.previous_credentials = self.credentials  # else the peer may never have had these
        self.credentials = credentials
        self.role.draw_again(self.rng)
        self.remote = None
        self.remote_candidates.clear()
        self.checklist = Checklist()
        self.checks.clear()
        self.nominations = Nominations()
        self.early_checks = []
        self.first_valid_at = math.inf
        self.fail_at = math.inf
        if self.failed:
            self.failed = False
            self.consent = None
        self.wake(now)

    # -- in ------------------------------------------------------------------------------------

    def receive_datagram(
        self, datagram: bytes, *, local: Address, remote: Address, now: float
    ) -> bool:
        """Take a STUN datagram; whether it was authentic and for this session."""
        try:
            message = StunMessage.decode(datagram)
        except StunDecodeError:
            return False
        if self.failed or message.method != 1 or local not in self.local.bases:
            return False
        path = local, remote
        if message.message_class is MessageClass.REQUEST:
            return receive_request(self, message, path, now)
        if message.message_class is MessageClass.INDICATION:
            return False
        return receive_response(self, message, path, now)

    def handle_timeout(self, *, now: float) -> None:
        """Do what is due by now."""
        if self.failed:
            return
        self.gathering.handle_timeout(now, self.send)
        self.end_gathering_if_done()
        retransmit(self, now)
        nominate_if_due(self, now)
        keep_consent(self, now)
        if now >= self.next_check_at:
            self.next_check_at = math.inf
            if start_next(self, now):
                self.next_check_at = self.paced_until = now + self.config.pace
        fail_if_hopeless(self, now)

    # -- out -----------------------------------------------------------------------------------

    def datagrams_to_send(self) -> list[IceDatagram]:
        """What is to be sent now, in order."""
        datagrams, self.datagrams = self.datagrams, []
        return datagrams

    def next_event(self) -> IceEvent | None:
        """What happened, one at a time; None if nothing more did."""
        return self.events.popleft() if self.events else None

    def next_timeout(self) -> float:
        """When `handle_timeout` wants to be called; ``math.inf`` if never."""
        if self.failed:
            return math.inf
        deadlines = [
            self.next_check_at,
            nomination_at(self),
            self.checks.next_timeout(),
            self.gathering.next_timeout(),
        ]
        if self.consent is not None:
            deadlines.append(self.consent.next_timeout)
        elif not is_busy(self):
            deadlines.append(self.fail_at)
        return min(deadlines)
