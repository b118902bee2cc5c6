"""What a lite and a full ICE agent have in common: their times, and what they report."""

from __future__ import annotations

import enum
from dataclasses import dataclass, fields
from typing import Final, NamedTuple, TypeAlias

from .ice_candidate import Candidate
from .stun import Address

__all__ = [
    "GatheringComplete",
    "IceConfig",
    "IceDatagram",
    "IceEvent",
    "IceFailed",
    "IceFailureReason",
    "LocalCandidate",
    "PairSelected",
]

_LEAST: Final[dict[str, float]] = {
    "max_transmissions": 1,
    "gathering_transmissions": 1,
    "nomination_delay": 0.0,
}


@dataclass(frozen=True, slots=True)
class IceConfig:
    """Times in seconds.  Raises `ValueError` for a value out of range."""

    pace: float = 0.05
    """Ta: between two new transactions (RFC 8445 §14.2)."""
    initial_rto: float = 0.5
    """Of a check, if there are only a few (RFC 8445 §14.3)."""
    max_rto: float = 2.0
    """Where the doubling of the time between repetitions ends: with RFC 8489's 7 transmissions, most of
    a lossy path's time would pass without a check."""
    max_transmissions: int = 18
    """Rc (RFC 8489 §6.2.1): they take as long as 7 do there."""
    gathering_transmissions: int = 5
    """How often a STUN server is asked from each address, at most."""
    gathering_timeout: float = 5.0
    """How long STUN servers have to answer: a description that does not trickle waits for those that
    do not."""
    nomination_delay: float = 0.25
    """How long a controlling agent waits for a better pair than the ones that work."""
    consent_interval: float = 5.0
    """Between two checks of the pair in use; each time it is 0.8 to 1.2 times that (RFC 7675 §5.1)."""
    consent_timeout: float = 30.0
    """How long the peer may be silent on the pair in use: after that nothing is sent there."""
    connect_timeout: float = 39.5
    """Not before this has ICE failed for want of a pair (RFC 8863 §4)."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value, least = getattr(self, field.name), _LEAST.get(field.name, 0.001)
            kind = int if type(least) is int else (int, float)
            if isinstance(value, bool) or not isinstance(value, kind) or not value >= least:
                raise ValueError(f"{field.name} is {value!r}: it must be {least} or more")


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
