"""The lite ICE agent of a server with a public address (RFC 8445 §2.5).

It sends no checks of its own: it answers those of its peer, so it knows which addresses the peer
really is at, and it uses the one that the peer nominates.  Until there is one, DTLS may come from
every address that passed a check, and is answered there: browsers begin with it before they
nominate.

A lite agent has no consent checks to make (RFC 7675 §3), but the peer's own show that it is there:
when they stop, the peer is gone.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from .ice_candidate import IceCredentials
from .ice_check import answer_check, role_conflict_response
from .ice_common import IceEvent, IceFailed, IceFailureReason, PairSelected
from .ice_nomination import Nominations
from .ice_replay import SeenRequests
from .stun import Address, MessageClass, StunDecodeError, StunMessage

__all__ = ["IceLiteAgent"]

_MAX_ADDRESSES: Final = 32


class IceLiteAgent:
    """Answers one peer's checks on one local address; `PairSelected` says where it is."""

    def __init__(
        self,
        local_address: Address,
        credentials: IceCredentials,
        *,
        now: float,
        connect_timeout: float = 39.5,
        consent_timeout: float = 30.0,
    ) -> None:
        """``connect_timeout``: seconds until the first check must have come (RFC 8863 §4).
        ``consent_timeout``: seconds without a check after which the peer counts as gone.
        """
        self.local_address = local_address
        self.credentials = credentials
        self._previous: IceCredentials | None = None
        self._consent_timeout = consent_timeout
        self._deadline = now + connect_timeout
        self._verified: dict[Address, float] = {}  # address -> time of the last check
        self._nominations = Nominations[Address]()
        self._requests = SeenRequests()
        self._events: deque[IceEvent] = deque()
        self._datagrams: list[tuple[bytes, Address]] = []
        self._failed = False

    @property
    def selected(self) -> Address | None:
        """The peer's address that was nominated."""
        return self._nominations.selected

    @property
    def send_address(self) -> Address | None:
        """Where to send: the nominated address, or before that the one that was checked last."""
        if self._nominations.selected is not None or not self._verified:
            return self._nominations.selected
        return max(self._verified, key=self._verified.__getitem__)

    def is_verified(self, address: Address) -> bool:
        """Whether the peer has shown to be at ``address``: what comes from there is let in."""
        return address in self._verified

    @property
    def ufrags(self) -> list[str]:
        """What checks of the peer may name: until a restart is through, the old ones too."""
        both = self.credentials, self._previous
        return [credentials.ufrag for credentials in both if credentials is not None]

    @property
    def failed(self) -> bool:
        return self._failed

    def receive_datagram(self, datagram: bytes, source: Address, *, now: float) -> bool:
        """Take a STUN datagram; whether it was an authentic check."""
        if self._failed:
            return False
        try:
            message = StunMessage.decode(datagram)
        except StunDecodeError:
            return False
        if message.message_class is not MessageClass.REQUEST or message.method != 1:
            return False
        if self._previous is not None and self._is_for(message, self._previous):
            # The peer has not seen our new credentials yet (RFC 8445 §9).
            result = answer_check(message, source, self._previous)
            self._reply(result.response, source)
            if result.authentic and source in self._verified:
                self._heard_from(source, now)
            return result.authentic
        result = answer_check(message, source, self.credentials)
        if not result.authentic:
            self._reply(result.response, source)
            return False
        if message.ice_controlled is not None and message.ice_controlling is None:
            # RFC 8445 §6.1.1: a lite agent can only be the controlled one.
            self._reply(role_conflict_response(message, self.credentials.password.encode()), source)
            return False
        self._reply(result.response, source)
        original = self._requests.is_original(message.transaction_id, source)
        if self.selected is not None and source != self.selected and not original:
            return False
        self._accept(message, source, now)
        return True

    @staticmethod
    def _is_for(message: StunMessage, credentials: IceCredentials) -> bool:
        return (message.username or "").partition(":")[0] == credentials.ufrag

    def _reply(self, response: bytes | None, target: Address) -> None:
        if response is not None:
            self._datagrams.append((response, target))

    def _heard_from(self, source: Address, now: float) -> None:
        self._verified[source] = now
        self._deadline = now + self._consent_timeout

    def _accept(self, message: StunMessage, source: Address, now: float) -> None:
        self._previous = None
        if source not in self._verified and len(self._verified) >= _MAX_ADDRESSES:
            idle = [address for address in self._verified if address != self.selected]
            del self._verified[min(idle, key=self._verified.__getitem__)]
        self._heard_from(source, now)
        if message.use_candidate and self._nominations.nominate(source, message.priority or 0, now):
            # RFC 8445 §7.3.2
            self._events.append(PairSelected(self.local_address, source))

    def restart(self, credentials: IceCredentials, *, now: float) -> None:
        """New credentials for the same peer (RFC 8445 §9): the present address stays in use until
        another is nominated, and the old credentials are answered until the new ones come.
        """
        if self._previous is None:
            self._previous = self.credentials  # else the peer may never have had these
        self.credentials = credentials
        selected = self._nominations.selected
        self._nominations = Nominations()
        if selected is not None:
            self._nominations.nominate(selected, 0, now)

    def handle_timeout(self, *, now: float) -> None:
        """Notice that the peer is gone."""
        if self._failed or now < self._deadline:
            return
        self._failed = True
        reason = IceFailureReason.CONSENT_LOST if self._verified else IceFailureReason.NO_PAIR
        self._events.append(IceFailed(reason))

    def next_timeout(self) -> float:
        """When `handle_timeout` wants to be called; ``math.inf`` if never."""
        return float("inf") if self._failed else self._deadline

    def next_event(self) -> IceEvent | None:
        """What happened, one at a time."""
        return self._events.popleft() if self._events else None

    def datagrams_to_send(self) -> list[tuple[bytes, Address]]:
        """Responses, each with the address it goes to."""
        datagrams, self._datagrams = self._datagrams, []
        return datagrams
