"""What an association tells its user: one small class per thing that can happen.

`Association.next_event` hands them out in the order in which they happened.  How an association ended
is always exactly one `AssociationClosed`, whose `reason` tells the five ways apart.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from .._wire.error_causes import ErrorCause

__all__ = [
    "AssociationClosed",
    "AssociationRestarted",
    "AssociationUp",
    "BufferedAmountLow",
    "CloseReason",
    "Event",
    "IncomingStreamsReset",
    "Message",
    "OutgoingStreamsReset",
    "PeerError",
    "PeerShutdown",
    "SendBufferDrained",
]


class Message(NamedTuple):
    """A whole user message from the peer (DATA ARRIVE, RFC 9260 §11.2.1).

    Its bytes stay charged to the receiver window until `Association.message_consumed` is told.
    """

    stream_id: int
    ppid: int
    payload: bytes
    unordered: bool = False
    sequence_number: int = 0
    """The stream sequence number (SSN), or the MID where messages are interleaved."""
    first_tsn: int = 0
    last_tsn: int = 0


@dataclass(frozen=True, slots=True)
class AssociationUp:
    """The association is established (COMMUNICATION UP, RFC 9260 §11.2.4)."""

    outbound_streams: int
    inbound_streams: int


@dataclass(frozen=True, slots=True)
class AssociationRestarted:
    """The peer lost its state and began anew (RESTART, RFC 9260 §11.2.7).

    What was queued or unacknowledged towards the old incarnation is gone.
    """

    undelivered_messages: int


@dataclass(frozen=True, slots=True)
class PeerShutdown:
    """The peer began a graceful shutdown: nothing more can be sent (RFC 9260 §9.2)."""


class CloseReason(enum.Enum):
    """Why an association ended."""

    SHUTDOWN = "shutdown"
    """Gracefully, by either end: everything sent was delivered."""
    LOCAL_ABORT = "aborted here"
    PEER_ABORT = "aborted by the peer"
    REFUSED = "refused by the peer"
    """An ABORT answered our attempt to set the association up."""
    TIMED_OUT = "the peer did not answer"


@dataclass(frozen=True, slots=True)
class AssociationClosed:
    """The association is over; no event follows."""

    reason: CloseReason
    causes: tuple[ErrorCause, ...] = ()
    """The error causes of the ABORT that was received or sent."""
    undelivered_messages: int = 0
    """Messages accepted by `Association.send` that the peer has not wholly acknowledged."""


@dataclass(frozen=True, slots=True)
class PeerError:
    """The peer reported an error that does not end the association (COMMUNICATION ERROR)."""

    causes: tuple[ErrorCause, ...]


@dataclass(frozen=True, slots=True)
class IncomingStreamsReset:
    """The peer reset streams it sends on: the next message on each starts at SSN 0 (RFC 6525 §6.1.1)."""

    stream_ids: tuple[int, ...]
    """Empty: every stream."""


@dataclass(frozen=True, slots=True)
class OutgoingStreamsReset:
    """A reset that we asked for has ended (RFC 6525 §6.1.2)."""

    stream_ids: tuple[int, ...]
    succeeded: bool


@dataclass(frozen=True, slots=True)
class BufferedAmountLow:
    """The unsent bytes of a stream fell to its low-water mark."""

    stream_id: int


@dataclass(frozen=True, slots=True)
class SendBufferDrained:
    """Everything sent so far has been acknowledged (SENDER DRY EVENT, RFC 6458 §6.1.9)."""


Event: TypeAlias = (
    Message
    | AssociationUp
    | AssociationRestarted
    | PeerShutdown
    | AssociationClosed
    | PeerError
    | IncomingStreamsReset
    | OutgoingStreamsReset
    | BufferedAmountLow
    | SendBufferDrained
)
