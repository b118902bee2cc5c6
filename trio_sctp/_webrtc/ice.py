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

Nomination is regular: the controlling agent waits for a moment for something better and then
nominates one pair.  Where the selected pair falters and another one works, it nominates that one.

A relayed candidate (TURN) will be one more base: an address to send from, by whatever means.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Final

from .ice_allowance import Allowance
from .ice_candidate import Candidate, IceCredentials
from .ice_check import answer_check, make_check, role_conflict_response
from .ice_checklist import CandidatePair, Checklist, PairState, Path
from .ice_common import (
    GatheringComplete,
    IceConfig,
    IceDatagram,
    IceEvent,
    IceFailed,
    IceFailureReason,
    LocalCandidate,
    PairSelected,
)
from .ice_consent import Consent
from .ice_gathering import Gathering, LocalCandidates
from .ice_nomination import Nominations
from .ice_remote import RemoteCandidates
from .ice_replay import SeenRequests
from .ice_role import Role
from .ice_transactions import Transaction, Transactions
from .stun import Address, MessageClass, StunDecodeError, StunMessage

if TYPE_CHECKING:
    from random import Random

__all__ = ["IceAgent"]

_MAX_EARLY_CHECKS: Final = 16
_MAX_VERIFIED: Final = 100


class IceAgent:
    """One end of an ICE session."""

    def __init__(
        self,
        credentials: IceCredentials,
        *,
        controlling: bool,
        rng: Random,
        now: float,
        config: IceConfig | None = None,
    ) -> None:
        """``controlling``: true for the offerer, and towards a lite peer (RFC 8445 §6.1.1).

        ``rng`` has to be unpredictable: transaction ids keep strangers from forging responses.
        """
        config = self._config = config or IceConfig()
        self._rng = rng
        self.credentials = credentials
        self._role = Role(rng, controlling=controlling)
        self._remote: IceCredentials | None = None
        self._remote_candidates = RemoteCandidates()
        self._local = LocalCandidates()
        self._gathering = Gathering(self._local, config)
        self.gathering_complete = False
        self._checklist = Checklist()
        self._checks = Transactions(config.initial_rto, config.max_rto)
        self._early_checks: list[tuple[Path, int, bool]] = []
        self._verified: dict[Path, None] = {}
        self._requests = SeenRequests()
        self._allowance = Allowance()
        self._nominations = Nominations[Path]()
        self._consent: Consent | None = None
        self._previous_credentials: IceCredentials | None = None
        self._first_valid_at = math.inf
        self._next_check_at = now
        self._paced_until = now
        self._fail_at = math.inf
        self._failed = False
        self._events: deque[IceEvent] = deque()
        self._datagrams: list[IceDatagram] = []
        self.checks_refused = 0

    # -- what is known -------------------------------------------------------------------------

    @property
    def controlling(self) -> bool:
        """Whether we choose the pair to use."""
        return self._role.controlling

    @property
    def selected(self) -> Path | None:
        """The pair in use: our address and the peer's."""
        return self._consent.path if self._consent is not None and not self._failed else None

    @property
    def send_path(self) -> Path | None:
        """Where to send: the selected pair, or before there is one the best that works.

        RFC 8445 §12.1.
        """
        if self._failed:
            return None
        if self._consent is not None:
            return self._consent.path
        best = self._checklist.best_valid()
        return None if best is None else best.path

    def is_verified(self, local: Address, remote: Address) -> bool:
        """Whether the peer has shown to be at ``remote``: what comes from there is let in."""
        path = local, remote
        pair = self._checklist.pairs.get(path)
        return (pair is not None and pair.valid) or path in self._verified or path == self.selected

    @property
    def failed(self) -> bool:
        return self._failed

    @property
    def local_candidates(self) -> list[Candidate]:
        """Ours so far, best first: for a description that does not trickle."""
        return self._local.best_first()

    @property
    def candidates_ignored(self) -> int:
        """Remote candidates that cannot be checked: names, TCP, too many."""
        return self._remote_candidates.ignored

    # -- our candidates ------------------------------------------------------------------------

    def add_host(self, address: Address, *, now: float) -> None:
        """An address that a socket of ours is bound to; the first one is preferred."""
        host = self._gathering.add_host(address)
        if host is None:
            return
        self._events.append(LocalCandidate(host))
        for remote in self._remote_candidates:
            self._pair_up(host, remote)
        self._wake(now)

    def add_stun_server(self, server: Address, *, now: float) -> None:
        """Ask it, from each of our addresses, how we look from outside (RFC 8445 §5.1.1.2)."""
        self._gathering.add_server(server)
        self._wake(now)

    def end_of_hosts(self, *, now: float) -> None:
        """All addresses and servers are told: `GatheringComplete` follows when all answered."""
        self._gathering.hosts_ended = True
        self._wake(now)
        self._end_gathering_if_done()

    def _end_gathering_if_done(self) -> None:
        if not self.gathering_complete and self._gathering.finished:
            self.gathering_complete = True
            self._events.append(GatheringComplete())

    # -- the peer ------------------------------------------------------------------------------

    def set_remote(self, credentials: IceCredentials, *, lite: bool = False, now: float) -> None:
        """The peer's credentials are known: checks begin.

        ``lite``: the peer's description has ``a=ice-lite``; then we control (RFC 8445 §6.1.1).
        """
        self._remote = credentials
        self._role.is_settled = lite
        if lite:
            self._set_role(controlling=True)
        self._fail_at = now + self._config.connect_timeout
        early, self._early_checks = self._early_checks, []
        for path, priority, use_candidate in early:
            self._check_back(path, priority, use_candidate, now)
        self._wake(now)

    def add_remote_candidate(self, candidate: Candidate, *, now: float) -> None:
        """A candidate of the peer's, from its description or trickled (RFC 8838 §11).

        One that cannot be checked is counted and ignored: the peer's own checks may still find us.
        """
        if self._remote_candidates.tell(candidate):
            for base in self._local.bases.values():
                self._pair_up(base, candidate)
            self._wake(now)

    def _pair_up(self, base: Candidate, remote: Candidate) -> CandidatePair | None:
        return self._checklist.add(base, remote, controlling=self.controlling)

    def restart(self, credentials: IceCredentials, *, now: float) -> None:
        """Begin anew with the same addresses (RFC 8445 §9): `set_remote` has to follow.

        The selected pair stays in use, with its consent, until another one is selected; so does the
        one that worked best where none was selected yet.
        """
        path, remote = self.send_path, self._remote
        if self._consent is None and path is not None and remote is not None:
            self._consent = self._consent_for(path, remote, now)
        self._previous_credentials = self.credentials
        self.credentials = credentials
        self._role.draw_again(self._rng)
        self._remote = None
        self._remote_candidates.clear()
        self._checklist = Checklist()
        self._checks.clear()
        self._nominations = Nominations()
        self._early_checks = []
        self._first_valid_at = math.inf
        self._fail_at = math.inf
        if self._failed:
            self._failed = False
            self._consent = None
        self._wake(now)

    # -- in ------------------------------------------------------------------------------------

    def receive_datagram(
        self, datagram: bytes, *, local: Address, remote: Address, now: float
    ) -> bool:
        """Take a STUN datagram; whether it was authentic and for this session."""
        try:
            message = StunMessage.decode(datagram)
        except StunDecodeError:
            return False
        if self._failed or message.method != 1 or local not in self._local.bases:
            return False
        path = local, remote
        if message.message_class is MessageClass.REQUEST:
            return self._receive_request(message, path, now)
        if message.message_class is MessageClass.INDICATION:
            return False
        return self._receive_response(message, path, now)

    def handle_timeout(self, *, now: float) -> None:
        """Do what is due by now."""
        if self._failed:
            return
        self._gathering.handle_timeout(now, self._send)
        self._end_gathering_if_done()
        self._retransmit(now)
        self._nominate_if_due(now)
        self._keep_consent(now)
        if now >= self._next_check_at:
            self._next_check_at = math.inf
            if self._start_next(now):
                self._next_check_at = self._paced_until = now + self._config.pace
        self._fail_if_hopeless(now)

    # -- out -----------------------------------------------------------------------------------

    def datagrams_to_send(self) -> list[IceDatagram]:
        """What is to be sent now, in order."""
        datagrams, self._datagrams = self._datagrams, []
        return datagrams

    def next_event(self) -> IceEvent | None:
        """What happened, one at a time; None if nothing more did."""
        return self._events.popleft() if self._events else None

    def next_timeout(self) -> float:
        """When `handle_timeout` wants to be called; ``math.inf`` if never."""
        if self._failed:
            return math.inf
        deadlines = [
            self._next_check_at,
            self._nomination_at(),
            self._checks.next_timeout(),
            self._gathering.next_timeout(),
        ]
        if self._consent is not None:
            deadlines.append(self._consent.next_timeout)
        elif not self._is_busy():
            deadlines.append(self._fail_at)
        return min(deadlines)

    # -- requests of the peer ------------------------------------------------------------------

    def _receive_request(self, message: StunMessage, path: Path, now: float) -> bool:
        previous = self._previous_credentials
        ufrag = (message.username or "").partition(":")[0]
        if previous is not None and ufrag == previous.ufrag:
            # The old session goes on until the new one has a pair: its checks are only answered.
            result = answer_check(message, path[1], previous)
            self._answer(message, result.response, path)
            return result.authentic
        result = answer_check(message, path[1], self.credentials)
        if not result.authentic:
            self.checks_refused += 1
            self._send(result.response, path)
            return False
        controlling = self._role.after_request(message)
        if controlling is None:
            key = self.credentials.password.encode()
            self._answer(message, role_conflict_response(message, key), path)
            return True
        self._answer(message, result.response, path)
        original = self._requests.is_original(message.transaction_id, path[1])
        if not (original or self.is_verified(*path)) and (
            self._consent is not None or not self._remote_candidates.is_told(path[1])
        ):
            return False
        self._set_role(controlling=controlling)
        if len(self._verified) < _MAX_VERIFIED:
            self._verified[path] = None
        self._check_back(path, message.priority or 0, message.use_candidate, now)
        return True

    def _answer(self, request: StunMessage, response: bytes | None, path: Path) -> None:
        self._send(response, path)
        self._allowance.heard(path[1], len(request.raw) - len(response or b""))

    def _set_role(self, *, controlling: bool) -> None:
        if controlling != self.controlling:
            self._role.controlling = controlling
            self._checklist.set_role(controlling)

    def _check_back(self, path: Path, priority: int, use_candidate: bool, now: float) -> None:
        """The peer's check came through: see whether ours does (RFC 8445 §7.3.1.3 to §7.3.1.5)."""
        if self._remote is None:
            if len(self._early_checks) < _MAX_EARLY_CHECKS:
                self._early_checks.append((path, priority, use_candidate))
            return
        remote = self._remote_candidates.found_at(path[1], priority)
        if remote is None:
            return
        pair = self._pair_up(self._local.bases[path[0]], remote)
        if pair is None:
            return
        if pair.state is not PairState.SUCCEEDED:
            self._checks.cancel(pair)
            pair.nominate_on_success |= use_candidate and not self.controlling
            self._checklist.trigger(pair)
            self._wake(now)
        elif use_candidate and not self.controlling:
            self._nominated(pair, now)

    # -- requests of ours ----------------------------------------------------------------------

    def _wake(self, now: float) -> None:
        """There may be something to check."""
        if self._next_check_at == math.inf:
            self._next_check_at = max(now, self._paced_until)

    def _start_next(self, now: float) -> bool:
        """Begin one transaction; whether there was one to begin."""
        if self._gathering.ask_next(self._rng, now, self._send):
            return True
        if self._remote is None:
            return False
        pair = self._checklist.next_to_check()
        if pair is None:
            return False
        self._check(pair, self._remote, now)
        return True

    def _check(self, pair: CandidatePair, remote: IceCredentials, now: float) -> None:
        config = self._config
        pair.state = PairState.IN_PROGRESS
        transaction_id = self._rng.randbytes(12)
        nominate = pair.nominating and self.controlling
        request = make_check(
            transaction_id,
            local=self.credentials,
            remote=remote,
            base=pair.local,
            role=self._role.attribute,
            nominate=nominate,
        )
        # RFC 8445 §14.3: the more there is to check, the more slowly each is repeated.
        rto = max(config.initial_rto, config.pace * self._checklist.active_count)
        transaction = Transaction(
            request=request,
            path=pair.path,
            rto=rto,
            transmissions_left=config.max_transmissions - 1,
            next_at=now + rto,
            pair=pair,
            controlling=self.controlling,
            use_candidate=nominate,
        )
        self._checks.add(transaction_id, transaction)
        self._send_check(request, pair.path, in_advance=True)

    def _send(self, data: bytes | None, path: Path) -> None:
        if data is not None:
            self._datagrams.append(IceDatagram(data, *path))

    def _send_check(self, data: bytes, path: Path, *, in_advance: bool = False) -> None:
        """One that may not go out counts as lost: further requests of the peer bring others."""
        if self._remote_candidates.is_told(path[1]) or self._allowance.take(
            path[1], len(data), in_advance=in_advance
        ):
            self._send(data, path)

    def _retransmit(self, now: float) -> None:
        for transaction in self._checks.expire(now, self._send_check):
            if transaction.pair is not None and not transaction.cancelled:
                self._pair_failed(transaction.pair, now)

    def _pair_failed(self, pair: CandidatePair, now: float) -> None:
        pair.fail()
        self._wake(now)  # a frozen pair may go next

    # -- responses -----------------------------------------------------------------------------

    def _receive_response(self, message: StunMessage, path: Path, now: float) -> bool:
        consent = self._consent
        if consent is not None and consent.expects(message.transaction_id):
            return consent.take_response(message, path, now)
        if self._gathering.expects(message.transaction_id):
            return self._receive_from_server(message, path)
        transaction, remote = self._checks.get(message.transaction_id), self._remote
        if transaction is None or remote is None:
            return False
        if not message.verify_integrity(remote.password.encode()):
            return False  # RFC 8489 §9.1.4: as if it had never come
        self._checks.end(message.transaction_id)
        pair = transaction.pair
        assert pair is not None
        if path != transaction.path:
            self._pair_failed(pair, now)  # RFC 8445 §7.2.5.2.1
        elif message.message_class is MessageClass.SUCCESS:
            self._check_succeeded(pair, transaction, message, now)
        elif message.error_code == 487:
            self._role_conflict(pair, transaction, now)
        elif not transaction.cancelled:
            self._pair_failed(pair, now)
        return True

    def _receive_from_server(self, message: StunMessage, path: Path) -> bool:
        accepted, found = self._gathering.receive_response(message, path)
        if found is not None:
            self._events.append(LocalCandidate(found))
        self._end_gathering_if_done()
        return accepted

    def _role_conflict(self, pair: CandidatePair, transaction: Transaction, now: float) -> None:
        # RFC 8445 §7.2.5.1: change to the role that the check did not have
        if not self._role.is_settled:
            self._set_role(controlling=not transaction.controlling)
        if pair.state is not PairState.SUCCEEDED:
            self._checklist.trigger(pair)
        self._wake(now)

    def _check_succeeded(
        self, pair: CandidatePair, transaction: Transaction, message: StunMessage, now: float
    ) -> None:
        mapped = message.mapped_address
        if mapped is not None:
            # RFC 8445 §7.2.5.3.1: ours, and of no use to the peer
            self._local.add_reflexive("prflx", mapped, base=pair.local.address)
        pair.succeed(now)
        self._allowance.prove(pair.remote.address)
        self._first_valid_at = min(self._first_valid_at, now)
        self._checklist.unfreeze(pair.foundation)
        self._wake(now)
        if (
            transaction.use_candidate and transaction.controlling and self.controlling
        ) or pair.nominate_on_success:
            self._nominated(pair, now)
        elif self.controlling and self._consent is not None and self._consent.is_shaky(now):
            self._move_on(self._consent, now)

    # -- nomination ----------------------------------------------------------------------------

    def _nomination_at(self) -> float:
        """When the controlling agent has to choose; ``math.inf`` if there is nothing to choose."""
        if not self.controlling or self._nominations.selected is not None:
            return math.inf
        if any(pair.nominating for pair in self._checklist):
            return math.inf
        best = self._checklist.best_valid()
        if best is None:
            return math.inf
        waits = self._checklist.may_improve_on(best)
        return self._first_valid_at + (self._config.nomination_delay if waits else 0.0)

    def _nominate_if_due(self, now: float) -> None:
        best = self._checklist.best_valid()
        if best is not None and now >= self._nomination_at():
            self._nominate(best, now)

    def _nominate(self, pair: CandidatePair, now: float) -> None:
        """RFC 8445 §8.1.1: check it once more, with USE-CANDIDATE."""
        pair.nominating = True
        self._checklist.trigger(pair)
        self._wake(now)

    def _nominated(self, pair: CandidatePair, now: float) -> None:
        pair.nominate_on_success = False
        was_nominating, pair.nominating = pair.nominating, False
        if was_nominating:
            self._nominations = Nominations()  # our own choice needs no second thought
        if not self._nominations.nominate(pair.path, pair.priority, now) and not was_nominating:
            return
        assert self._remote is not None
        changed = self._consent is None or self._consent.path != pair.path
        self._consent = self._consent_for(pair.path, self._remote, now)
        self._previous_credentials = None
        self._stop_checks(pair)
        if changed:
            self._events.append(PairSelected(*pair.path))

    def _stop_checks(self, selected: CandidatePair) -> None:
        """RFC 8445 §8.1.2: what has not come through by now need not."""
        for pair in self._checks.clear():
            if pair.state is PairState.IN_PROGRESS:
                pair.fail()
        self._checklist.stop()
        selected.succeed(selected.succeeded_at)

    # -- afterwards ----------------------------------------------------------------------------

    def _consent_for(self, path: Path, remote: IceCredentials, now: float) -> Consent:
        return Consent(path, self.credentials, remote, rng=self._rng, config=self._config, now=now)

    def _keep_consent(self, now: float) -> None:
        consent = self._consent
        if consent is None:
            return
        if now >= consent.expires_at:
            self._fail(IceFailureReason.CONSENT_LOST)
            return
        if now < consent.next_check_at:
            return
        base = self._local.bases[consent.path[0]]
        # Each time, if we control: under loss the peer may have missed it.
        request = consent.make_check(base, self._role.attribute, nominate=self.controlling, now=now)
        self._send(request, consent.path)
        if consent.is_shaky(now):
            self._look_elsewhere(consent, now)

    def _look_elsewhere(self, consent: Consent, now: float) -> None:
        """The selected pair falters: see which others work, and take one if that is ours to do."""
        if self.controlling and self._move_on(consent, now):
            return
        for pair in self._checklist:
            if pair.path != consent.path and not pair.pending:
                self._checklist.trigger(pair)
        self._wake(now)

    def _move_on(self, consent: Consent, now: float) -> bool:
        """Nominate the best pair that has worked since the selected one was heard of."""
        for pair in self._checklist.valid_pairs():
            if pair.path != consent.path and pair.succeeded_at > consent.heard_at:
                if not pair.nominating:
                    self._nominate(pair, now)
                return True
        return False

    def _is_busy(self) -> bool:
        return bool(self._checks) or (self._remote is not None and self._checklist.has_work)

    def _fail_if_hopeless(self, now: float) -> None:
        if self._consent is None and now >= self._fail_at and not self._is_busy():
            self._fail(IceFailureReason.NO_PAIR)

    def _fail(self, reason: IceFailureReason) -> None:
        self._failed = True
        self._checks.clear()
        self._gathering.stop()
        self._end_gathering_if_done()
        self._events.append(IceFailed(reason))
