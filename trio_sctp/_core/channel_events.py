"""What data channels tell their user, and why a channel ended.

`DataChannels.next_event` hands these out in the order in which they happened, among the events of
the association that do not concern channels.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from .errors import PeerLimitError
from .events import AssociationClosed

__all__ = [
    "ChannelAccepted",
    "ChannelClosed",
    "ChannelClosing",
    "ChannelError",
    "ChannelEvent",
    "ChannelFailure",
    "ChannelFlushed",
    "ChannelMessage",
    "ChannelOpened",
    "MessageTooLargeError",
]


class MessageTooLargeError(PeerLimitError):
    """A message is longer than the peer takes (max-message-size, RFC 8841 §6).

    It may be the one that opens a channel: 12 bytes, the label and the protocol.
    """

    def __init__(self, size: int, limit: int, what: str = "data") -> None:
        super().__init__(f"{what} is {size} bytes long: the peer takes at most {limit}")
        self.size = size
        self.limit = limit


class ChannelFailure(enum.Enum):
    """What ended a channel that nobody wanted to end."""

    REFUSED = "the peer refused the channel"
    """Its reset came instead of a DATA_CHANNEL_ACK (RFC 8832 §6)."""
    NO_STREAM = "the peer does not have the stream"
    BAD_MESSAGE = "the peer sent a message that is not allowed"
    """An unknown PPID, a text that is not UTF-8, a broken or misplaced DATA_CHANNEL_OPEN."""
    MESSAGE_TOO_LARGE = "the peer sent a message above our limit"
    RESET_FAILED = "the stream could not be reset"
    """Its id is not used again."""
    ASSOCIATION_RESTARTED = "the peer restarted"
    ASSOCIATION_CLOSED = "the association ended"


@dataclass(frozen=True, slots=True)
class ChannelError:
    """Why a channel failed."""

    failure: ChannelFailure
    detail: str = ""
    association_closed: AssociationClosed | None = None
    """How the association ended, where that is the reason."""

    def __str__(self) -> str:
        return f"{self.failure.value}: {self.detail}" if self.detail else self.failure.value


@dataclass(frozen=True, slots=True)
class ChannelOpened:
    """The peer opened a channel with a DATA_CHANNEL_OPEN, and we have accepted it."""

    stream_id: int
    label: str
    protocol: str
    ordered: bool
    max_retransmits: int | None
    lifetime: float | None
    """Seconds."""
    priority: int


@dataclass(frozen=True, slots=True)
class ChannelAccepted:
    """The peer has accepted a channel of ours: its DATA_CHANNEL_ACK, or data on it, has come."""

    stream_id: int


class ChannelMessage(NamedTuple):
    """A message from the peer.

    `size` is what `Association.message_consumed` is to be told once the program has taken it.
    """

    stream_id: int
    data: bytes | str
    size: int


@dataclass(frozen=True, slots=True)
class ChannelClosing:
    """Nothing can be sent on the channel any more and nothing will come: the peer has closed it,
    or it has failed.  `ChannelClosed` follows.
    """

    stream_id: int
    error: ChannelError | None


@dataclass(frozen=True, slots=True)
class ChannelFlushed:
    """All that was sent on a channel closed here has arrived, and its stream is reset.

    `ChannelClosed` follows when the peer has reset its own direction: that is up to the peer.
    """

    stream_id: int


@dataclass(frozen=True, slots=True)
class ChannelClosed:
    """The channel is gone, and its stream id free in both directions."""

    stream_id: int
    error: ChannelError | None


ChannelEvent: TypeAlias = (
    ChannelMessage
    | ChannelOpened
    | ChannelAccepted
    | ChannelClosing
    | ChannelFlushed
    | ChannelClosed
)
