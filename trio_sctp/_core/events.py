"""What an association tells its user: one small class per thing that can happen.

`Association.next_event` hands them out in the order in which they happened.  How an association ended
is always exactly one `AssociationClosed`, whose `reason` tells the five ways apart.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from .._wire.error_causes import ErrorCause

__all__ = [
    "AssociationClosed",
    "AssociationReset",
    "AssociationRestarted",
    "AssociationUp",
    "BufferedAmountLow",
    "CloseReason",
    "Event",
    "IncomingResetRefused",
    "IncomingStreamsReset",
    "Message",
    "MessageOutcome",
    "Outcome",
    "OutgoingStreamsReset",
    "PathMtuChanged",
    "PeerError",
    "PeerShutdown",
    "RoundTripMeasured",
    "SendBufferDrained",
    "StreamDelivered",
    "StreamsChanged",
    "new_message",
]

new_message = tuple.__new__
"""Makes a NamedTuple of its class and its fields, for half the price of calling the class."""


class Message(NamedTuple):
    """A whole user message from the peer (DATA ARRIVE, RFC 9260 §11.2.1).

    Its bytes stay charged to the receiver window until `Association.message_consumed` is told.
    """

    stream_id: int
    ppid: int
    """The payload protocol identifier: what the sender says that the payload is."""
    payload: bytes
    unordered: bool = False
    sequence_number: int = 0
    """The stream sequence number (SSN), or the MID where messages are interleaved."""
    first_tsn: int = 0
    """TSN of its first DATA chunk, as on the wire."""
    last_tsn: int = 0
    """TSN of its last one: less than the first where the numbers began again with 0."""


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
    """Empty: every stream."""
    succeeded: bool


@dataclass(frozen=True, slots=True)
class IncomingResetRefused:
    """The peer does not reset streams that it sends on, as we asked it to (RFC 6525 §6.1.1)."""

    stream_ids: tuple[int, ...]
    """Empty: every stream."""


@dataclass(frozen=True, slots=True)
class StreamsChanged:
    """Streams were added by either end, or an attempt of ours has failed (RFC 6525 §6.1.3)."""

    outbound_streams: int
    """Streams we may send on now."""
    inbound_streams: int
    """Streams the peer may send on now."""
    succeeded: bool


@dataclass(frozen=True, slots=True)
class AssociationReset:
    """All sequence numbers begin anew, or a reset that we asked for has failed (RFC 6525 §6.1.2).

    Messages before this event have old numbers, those after it new ones.
    """

    next_tsn: int
    """The TSN of the next DATA chunk that we send."""
    peer_next_tsn: int
    """The TSN of the next one from the peer."""
    succeeded: bool


@dataclass(frozen=True, slots=True)
class PathMtuChanged:
    """Path MTU discovery has found another size, or fell back to the base size (RFC 8899)."""

    path_mtu: int
    """The largest SCTP packet from now on, common header included."""


@dataclass(frozen=True, slots=True)
class RoundTripMeasured:
    """The peer has answered a HEARTBEAT, one that was due or one that the program asked for.

    Data measures round trips as well, and is not told of each time: see the statistics.
    """

    round_trip: float
    """Seconds."""
    srtt: float
    """The smoothed round trip after it."""
    rto: float


@dataclass(frozen=True, slots=True)
class BufferedAmountLow:
    """The unsent bytes of a stream fell to its low-water mark."""

    stream_id: int


@dataclass(frozen=True, slots=True)
class StreamDelivered:
    """Everything sent on a stream was acknowledged or given up (`Association.watch_delivery`)."""

    stream_id: int


class Outcome(enum.Enum):
    """What became of a message."""

    DELIVERED = "delivered"
    """The peer's SCTP has acknowledged all of it."""
    ABANDONED_LIFETIME = "its lifetime was over"
    """RFC 3758 §4.1.  The peer may have it all the same, as in every case but the first."""
    ABANDONED_RETRANSMISSIONS = "it was sent as often as allowed"
    """RFC 7496 §3.1."""
    ABANDONED_PRIORITY = "it made room for a more important message"
    """RFC 7496 §3.2."""
    DISCARDED = "it was dropped before it was sent"
    """By the program, which closed its channel without waiting."""
    UNKNOWN = "the association ended before it was acknowledged"
    """Or the peer restarted."""


class MessageOutcome(NamedTuple):
    """What became of a message that was sent with a ``context``, told once."""

    context: Any
    """What `Association.send` was given."""
    stream_id: int
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class SendBufferDrained:
    """Everything sent so far has been acknowledged (`Association.watch_send_buffer`).

    That is the SENDER DRY EVENT of RFC 6458 §6.1.9.
    """


Event: TypeAlias = (
    Message
    | AssociationUp
    | AssociationRestarted
    | PeerShutdown
    | AssociationClosed
    | PeerError
    | IncomingStreamsReset
    | OutgoingStreamsReset
    | IncomingResetRefused
    | StreamsChanged
    | AssociationReset
    | PathMtuChanged
    | RoundTripMeasured
    | BufferedAmountLow
    | SendBufferDrained
    | StreamDelivered
    | MessageOutcome
)
