"""One data channel, the DATA_CHANNEL_OPEN message that describes it (RFC 8832 §5.1), and what all
channels of an association have in common.
"""

from __future__ import annotations

import reprlib
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from .._wire.dcep import ChannelType, DataChannelOpen
from .arguments import check_flag, check_integer, check_number, check_text
from .errors import LocalProtocolError
from .send_options import SendOptions

if TYPE_CHECKING:
    from .capabilities import Capabilities
    from .channel_events import ChannelError
    from .config import Config
    from .events import Event
    from .states import State

__all__ = [
    "Channel",
    "ChannelAssociation",
    "ChannelCounters",
    "channel_of",
    "is_partially_reliable",
    "opening_of",
]

_UNORDERED: Final = 0x80


class ChannelAssociation(Protocol):
    """What channels need of an `Association`."""

    @property
    def state(self) -> State: ...
    @property
    def config(self) -> Config: ...
    @property
    def capabilities(self) -> Capabilities: ...
    @property
    def outbound_streams(self) -> int: ...
    @property
    def ended(self) -> bool: ...
    def send(
        self,
        stream_id: int,
        payload: bytes,
        *,
        ppid: int = 0,
        unordered: bool = False,
        options: SendOptions | None = None,
        context: object = None,
        since: float | None = None,
        now: float,
    ) -> None: ...
    def nothing_sent(self, stream_id: int) -> bool: ...
    def reset_streams(self, stream_ids: Collection[int], *, now: float) -> None: ...
    def withdraw_reset(self, stream_id: int) -> bool: ...
    def discard_unsent(self, stream_id: int, *, now: float) -> int: ...
    def set_low_water(self, stream_id: int, threshold: int) -> None: ...
    def set_stream_priority(self, stream_id: int, priority: int) -> None: ...
    def message_consumed(self, size: int) -> bool: ...
    def next_event(self) -> Event | None: ...


@dataclass(slots=True)
class ChannelCounters:
    """What happened on all channels together."""

    channels_opened: int = 0
    channels_closed: int = 0
    opens_refused: int = 0
    """DATA_CHANNEL_OPEN messages answered by a reset."""
    dcep_ignored: int = 0
    """DATA_CHANNEL_ACK messages that nobody waited for."""
    messages_without_channel: int = 0
    messages_discarded: int = 0
    """Messages that came on a channel after it was closed here."""


class Channel:
    """One data channel: its properties, of which only the priority changes, and its counters.

    The object stays valid after the channel has gone.  Counters have the names and the meaning of
    W3C's RTCDataChannelStats.
    """

    __slots__ = (
        "_ack_awaited",
        "_announced",
        "_incoming_reset",
        "_name_memory",
        "_options",
        "_outgoing_reset",
        "_reset_requested",
        "_retained",
        "_send_unordered",
        "bytes_received",
        "bytes_sent",
        "error",
        "label",
        "lifetime",
        "max_retransmits",
        "messages_received",
        "messages_sent",
        "negotiated",
        "open",
        "ordered",
        "priority",
        "protocol",
        "stream_id",
    )

    def __init__(
        self,
        stream_id: int,
        *,
        label: str = "",
        protocol: str = "",
        ordered: bool = True,
        max_retransmits: int | None = None,
        lifetime: float | None = None,
        priority: int = 256,
        negotiated: bool = False,
    ) -> None:
        self.stream_id = stream_id
        self.label = label
        self.protocol = protocol
        self.ordered = ordered
        self.max_retransmits = max_retransmits
        self.lifetime = lifetime
        self.priority = priority
        self.negotiated = negotiated
        self.open = True
        """Messages can be sent and received."""
        self.error: ChannelError | None = None
        self.messages_sent = self.bytes_sent = 0
        self.messages_received = self.bytes_received = 0
        self._send_unordered = not ordered
        self._options: SendOptions | None = None
        if max_retransmits is not None or lifetime is not None:
            self._options = SendOptions(max_retransmits=max_retransmits, lifetime=lifetime)
        self._ack_awaited = False
        self._announced = True  # the program knows of it
        self._reset_requested = False  # of our outgoing stream
        self._outgoing_reset = self._incoming_reset = False
        self._name_memory = 0  # of a label and a protocol that the peer has chosen
        self._retained = False  # the program keeps it for later

    def __repr__(self) -> str:
        state = "open" if self.open else "closed"
        return f"<Channel {self.stream_id} {reprlib.repr(self.label)} {state}>"


def is_partially_reliable(channel_type: int) -> bool:
    return channel_type & ~_UNORDERED != ChannelType.RELIABLE


def opening_of(channel: Channel) -> DataChannelOpen:
    """The DATA_CHANNEL_OPEN that describes a channel; `LocalProtocolError` where it cannot."""
    max_retransmits, lifetime = channel.max_retransmits, channel.lifetime
    channel_type, parameter = ChannelType.RELIABLE, 0
    if max_retransmits is not None:
        if lifetime is not None:
            raise LocalProtocolError("lifetime: a channel has this or max_retransmits, not both")
        check_integer("max_retransmits", max_retransmits, 0, 2**32 - 1)
        channel_type, parameter = ChannelType.PARTIAL_RELIABLE_REXMIT, max_retransmits
    elif lifetime is not None:
        check_number("lifetime", lifetime, 0, (2**32 - 1) / 1000)
        channel_type, parameter = ChannelType.PARTIAL_RELIABLE_TIMED, round(lifetime * 1000)
    check_integer("priority", channel.priority, 0, 65535)
    check_flag("ordered", channel.ordered)
    for name, text in (("label", channel.label), ("protocol", channel.protocol)):
        check_text(name, text, 65535)
    if not channel.ordered:
        channel_type = ChannelType(channel_type | _UNORDERED)
    return DataChannelOpen(
        channel_type, channel.priority, parameter, channel.label, channel.protocol
    )


def channel_of(stream_id: int, opening: DataChannelOpen) -> Channel:
    """The channel that a DATA_CHANNEL_OPEN describes."""
    kind = opening.channel_type & ~_UNORDERED
    parameter = opening.reliability_parameter
    channel = Channel(
        stream_id,
        label=opening.label,
        protocol=opening.protocol,
        ordered=not opening.channel_type & _UNORDERED,
        max_retransmits=parameter if kind == ChannelType.PARTIAL_RELIABLE_REXMIT else None,
        lifetime=parameter / 1000 if kind == ChannelType.PARTIAL_RELIABLE_TIMED else None,
        priority=opening.priority,
    )
    channel._name_memory = _memory_of(opening.label) + _memory_of(opening.protocol)
    return channel


def _memory_of(text: str) -> int:
    """Bytes that a string takes at most: a single character can make all of them four bytes wide."""
    return len(text) if text.isascii() else 4 * len(text)
