"""What a lite and a full ICE agent have in common: answering checks, and what they report.

A check is answered only if its sender knows our password, and an answer to anybody else is never
longer than what it answers (RFC 8489 §9.1.3, RFC 8445 §7.3).
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final, Generic, NamedTuple, TypeAlias, TypeVar

from .ice_candidate import Candidate, IceCredentials
from .stun import (
    Address,
    Attribute,
    MessageClass,
    StunDecodeError,
    StunMessage,
    encode_message,
    encode_xor_address,
    error_code_value,
    is_stun,
)

__all__ = [
    "CheckResult",
    "GatheringComplete",
    "IceConfig",
    "IceDatagram",
    "IceEvent",
    "IceFailed",
    "IceFailureReason",
    "LocalCandidate",
    "Nominations",
    "PairSelected",
    "answer_check",
    "peek_local_ufrag",
    "role_conflict_response",
]


@dataclass(frozen=True, slots=True)
class IceConfig:
    """Times in seconds."""

    pace: float = 0.05
    """Ta: between two new transactions (RFC 8445 §14.2)."""
    initial_rto: float = 0.5
    """Of a check, if there are only a few (RFC 8445 §14.3)."""
    max_transmissions: int = 7
    """Rc (RFC 8489 §6.2.1)."""
    gathering_transmissions: int = 5
    nomination_delay: float = 0.25
    """How long a controlling agent waits for a better pair than the ones that work."""
    consent_interval: float = 5.0
    consent_timeout: float = 30.0
    connect_timeout: float = 39.5
    """Not before this has ICE failed for want of a pair (RFC 8863 §4)."""


class IceDatagram(NamedTuple):
    """What to send, from which of our sockets, and where."""

    data: bytes
    local: Address
    remote: Address


@dataclass(frozen=True, slots=True)
class LocalCandidate:
    """A candidate of ours became known: to be signalled to the peer (RFC 8838 §9)."""

    candidate: Candidate


@dataclass(frozen=True, slots=True)
class GatheringComplete:
    """There will be no further candidates of ours (RFC 8838 §13)."""


@dataclass(frozen=True, slots=True)
class PairSelected:
    """Packets shall go from ``local`` to ``remote``: the first time, or because the peer moved.

    When it changes, SCTP has to begin anew with its window and its path MTU (RFC 8261 §6.1).
    """

    local: Address
    remote: Address


class IceFailureReason(enum.Enum):
    """Why ICE failed."""

    NO_PAIR = "no candidate pair works"
    CONSENT_LOST = "the peer no longer answers"
    """RFC 7675 §5.1.  With a lite agent: the peer no longer asks."""


@dataclass(frozen=True, slots=True)
class IceFailed:
    """Nothing may be sent any more; only a restart helps (RFC 7675 §5.1)."""

    reason: IceFailureReason


IceEvent: TypeAlias = LocalCandidate | GatheringComplete | PairSelected | IceFailed


def peek_local_ufrag(datagram: bytes) -> str | None:
    """Whom a STUN request is for, where many peers share a port; None for anything else.

    Nothing is verified here but the form.
    """
    if not is_stun(datagram) or datagram[0] & 1 or datagram[1] != 1:
        return None
    try:
        username = StunMessage.decode(datagram).username
    except StunDecodeError:
        return None
    ufrag, colon, _ = (username or "").partition(":")
    return ufrag if colon else None


class CheckResult(NamedTuple):
    """What became of a Binding request."""

    response: bytes | None
    """To be sent back to where the request came from."""
    authentic: bool
    """Whether the sender knew our password and the request was acceptable."""


def _error(
    request: StunMessage, code: int, reason: str, key: bytes | None, *extra: tuple[int, bytes]
) -> bytes:
    attributes = [(Attribute.ERROR_CODE, error_code_value(code, reason)), *extra]
    return encode_message(
        MessageClass.ERROR,
        request.transaction_id,
        attributes,
        method=request.method,
        key=key,
        sha256=request.integrity_is_sha256,
    )


def role_conflict_response(request: StunMessage, key: bytes) -> bytes:
    """RFC 8445 §7.3.1.1."""
    return _error(request, 487, "Role Conflict", key)


def _refuse(request: StunMessage, code: int, reason: str) -> CheckResult:
    # Anybody can ask, in anybody's name: what goes back may not be more than what came.
    response = _error(request, code, reason, None)
    return CheckResult(response if len(response) <= len(request.raw) else None, False)


def answer_check(request: StunMessage, source: Address, local: IceCredentials) -> CheckResult:
    """Authenticate a Binding request and make the response (RFC 8489 §9.1.3, RFC 8445 §7.3)."""
    username = request.username
    if username is None or not request.has_integrity:
        return _refuse(request, 400, "Bad Request")
    ufrag, colon, _ = username.partition(":")
    key = local.password.encode()
    # RFC 8445 §7.3: only the part before the colon, ours, makes a username valid.
    if not colon or ufrag != local.ufrag or not request.verify_integrity(key):
        return _refuse(request, 401, "Unauthenticated")
    unknown = request.unknown_attributes
    if unknown:
        # RFC 8489 §6.3.1
        listed = b"".join(kind.to_bytes(2, "big") for kind in unknown)
        extra = (Attribute.UNKNOWN_ATTRIBUTES, listed)
        return CheckResult(_error(request, 420, "Unknown Attribute", key, extra), False)
    if request.priority is None:
        return CheckResult(_error(request, 400, "Bad Request", key), False)
    response = encode_message(
        MessageClass.SUCCESS,
        request.transaction_id,
        [(Attribute.XOR_MAPPED_ADDRESS, encode_xor_address(source, request.transaction_id))],
        key=key,
        sha256=request.integrity_is_sha256,
    )
    return CheckResult(response, True)


_Path = TypeVar("_Path")


class Nominations(Generic[_Path]):
    """Which of the pairs that a peer nominated is the one to use.

    RFC 8445 has a peer nominate one pair; RFC 5245 had it nominate several in quick succession and
    use the one of the highest priority; browsers also move later, perhaps to a pair of lower
    priority.  So a pair of higher priority is taken at once, and another one if the present one was
    not nominated for a while, or if it is nominated twice and the present one not in between.
    """

    __slots__ = ("_nominated_at", "_priority", "_rival", "selected")

    _WHILE: Final = 2.0

    def __init__(self) -> None:
        self.selected: _Path | None = None
        self._priority = -1
        self._nominated_at = 0.0
        self._rival: _Path | None = None

    def nominate(self, path: _Path, priority: int, now: float) -> bool:
        """Whether ``path`` is now selected and was not before."""
        before, rival = self.selected, self._rival
        settled = now - self._nominated_at >= self._WHILE
        if before in (None, path) or priority > self._priority or settled or rival == path:
            self.selected, self._priority, self._rival = path, priority, None
            self._nominated_at = now
            return path != before
        self._rival = path
        return False
