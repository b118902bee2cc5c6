"""What a DTLS association is told and what it tells: its settings, its events, its counters."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TypeAlias

__all__ = [
    "DtlsCloseReason",
    "DtlsClosed",
    "DtlsConfig",
    "DtlsEstablished",
    "DtlsEvent",
    "DtlsStateError",
    "DtlsStatistics",
]


class DtlsStateError(RuntimeError):
    """The call does not fit the state of the association, such as `send` before it is up."""


@dataclass(frozen=True, slots=True)
class DtlsConfig:
    """Times are in seconds, sizes in bytes of UDP payload."""

    initial_rto: float = 1.0
    """Time until a flight is sent again; doubles each time (RFC 6347 §4.2.4.1).  Where ICE has
    measured the path it may be shorter."""
    max_rto: float = 60.0
    handshake_timeout: float = 30.0
    max_datagram_size: int = 1200
    """For the handshake only: a packet is as large as SCTP makes it."""
    srtp_profiles: str = "SRTP_AES128_CM_SHA1_80"
    """Offered although there is no media: several stacks insist (RFC 5764 §4.1)."""


class DtlsCloseReason(enum.Enum):
    """Why an association ended."""

    LOCAL_CLOSE = "closed here"
    PEER_CLOSE = "closed by the peer"
    CERTIFICATE_REJECTED = "the peer's certificate is not the expected one"
    HANDSHAKE_FAILED = "the handshake failed"
    PEER_ALERT = "the peer reported an error"
    TIMED_OUT = "the peer did not answer"


@dataclass(frozen=True, slots=True)
class DtlsEstablished:
    """The handshake is complete and the peer is the one expected: packets may be sent."""

    cipher: str
    srtp_profile: str
    """Empty where the peer did not offer one."""


@dataclass(frozen=True, slots=True)
class DtlsClosed:
    """It is over; no event follows."""

    reason: DtlsCloseReason
    alert: int | None = None
    """The alert that was sent or received (RFC 5246 §7.2)."""
    detail: str = ""


DtlsEvent: TypeAlias = DtlsEstablished | DtlsClosed


@dataclass(slots=True)
class DtlsStatistics:
    """What happened so far, of what anybody on the way can send in particular."""

    records_dropped: int = 0
    """Forged, repeated, too old or out of place."""
    records_forged: int = 0
    """Those among them whose MAC was wrong."""
    plaintext_alerts: int = 0
    """Alerts that nobody vouches for."""
    flights_retransmitted: int = 0
    """Parts of the handshake that were sent again."""
