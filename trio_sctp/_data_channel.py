"""A data channel as trio knows channels: bidirectional, of messages (RFC 8831)."""

from __future__ import annotations

import math
import reprlib
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Literal, TypeAlias, final

import trio
from trio.lowlevel import checkpoint, enable_ki_protection

from ._buffered_channel import BufferedChannel
from ._channel_stream import DataChannelStream
from ._core.data_channels import Channel, ChannelMessage
from ._errors import Ending
from ._receipt import NO_WISHES, Wishes

if TYPE_CHECKING:
    from ._association import Association

__all__ = ["ChannelStatistics", "DataChannel"]

Content: TypeAlias = bytes | str


@dataclass(frozen=True, slots=True)
class ChannelStatistics:
    """What a data channel is and what went through it so far, as W3C's RTCDataChannelStats.

    Sizes are in bytes, text counted as UTF-8.  It can be asked for after the end as well.
    """

    label: str
    protocol: str
    data_channel_identifier: int
    """The stream id."""
    state: Literal["open", "closing", "closed"]
    """There is no "connecting": a channel can be used as soon as it exists."""

    messages_sent: int
    bytes_sent: int
    messages_received: int
    bytes_received: int
    buffered_amount: int
    """Sent here and not on the way to the peer yet."""
    unacknowledged_amount: int
    """On the way, of messages that the peer has not wholly acknowledged."""
    unread_messages: int
    """Received messages that nobody has taken yet."""


@final
class DataChannel(BufferedChannel[Content, ChannelMessage]):
    """A bidirectional channel of messages, text as `str` and binary as `bytes` (RFC 8831).

    Made by `Association.open_channel` or by the listener of the other end.  ``async for`` takes
    messages until the peer closes.  Leaving its ``async with`` block closes it.
    """

    __slots__ = (
        "_dropped",
        "_properties",
        "_reset",
        "_when_over",
        "id",
        "label",
        "lifetime",
        "max_retransmits",
        "ordered",
        "protocol",
    )

    def __init__(self, association: Association, properties: Channel) -> None:
        super().__init__(association)
        self._properties = properties
        self._reset: trio.Event | None = None
        """Made by `aclose`, set when nothing of this channel is left to be delivered."""
        self._when_over: trio.Event | None = None
        self._dropped: list[ChannelMessage] | None = None
        """What nobody will read and still fills the window, while the channel waits to be closed."""
        self.id = properties.stream_id
        self.label = properties.label
        self.protocol = properties.protocol
        self.ordered = properties.ordered
        self.max_retransmits = properties.max_retransmits
        self.lifetime = properties.lifetime
        """Seconds for which a message is tried; None: no limit."""

    def __repr__(self) -> str:
        state = " closed" if self._closed else " ended" if self._ending is not None else ""
        label = reprlib.repr(self.label)  # it may be long, and goes into what errors say
        return f"<DataChannel {self.id} {label}{state}>"

    @property
    def reliable(self) -> bool:
        """Whether no message is given up, unless its own `send` says so."""
        return self.max_retransmits is None and self.lifetime is None

    @property
    def priority(self) -> int:
        """0 to 65535, the weight of what is sent here beside other channels (RFC 8831 §6.4).

        It may be set while the channel is open; that holds for this direction, at once.  Setting it
        raises `LocalProtocolError` for another value, and as `send` does where nothing can be sent.
        """
        return self._properties.priority

    @priority.setter
    @enable_ki_protection
    def priority(self, value: int) -> None:
        if self._closed or self._ending is not None:
            raise self._why_no_sending()
        self._association._data_channels().set_priority(self.id, value)

    @property
    def buffered_amount(self) -> int:
        """Bytes that were sent here and are not on their way to the peer yet."""
        return 0 if self._over else self._unsent()

    @property
    def unacknowledged_amount(self) -> int:
        """Bytes that are on their way, of messages that the peer has not wholly acknowledged."""
        return 0 if self._over else super().unacknowledged_amount

    def statistics(self) -> ChannelStatistics:
        """A snapshot, also after the end."""
        counted = self._properties
        return ChannelStatistics(
            self.label,
            self.protocol,
            self.id,
            self._state(),
            counted.messages_sent,
            counted.bytes_sent,
            counted.messages_received,
            counted.bytes_received,
            self.buffered_amount,
            self.unacknowledged_amount,
            len(self._inbox),
        )

    def _state(self) -> Literal["open", "closing", "closed"]:
        if self._over:
            return "closed"
        return "closing" if self._closed or self._ending is not None else "open"

    def as_stream(self) -> DataChannelStream:
        """The same channel as a stream of bytes; use either the stream or the channel, not both.

        Raises `LocalProtocolError` unless the channel is ordered and reliable.
        """
        return DataChannelStream(self)

    # -- sending and receiving

    def _put(self, value: Content, wishes: Wishes, since: float | None = None) -> None:
        if value.__class__ is not bytes and value.__class__ is not str:
            value = _as_content(value)
        if wishes is not NO_WISHES or since is not None:
            self._association._pump.send_with(self.id, value, wishes, since)
        else:
            self._association._pump.send(self.id, value)

    def _got(self, item: ChannelMessage) -> Content:
        self._association._pump.consumed(item.size)
        return item.data

    def _unsent(self) -> int:
        return self._association._core.unsent_bytes(self.id)

    def _undelivered(self) -> int:
        return self._association._core.undelivered_bytes(self.id)

    def _watch_delivery(self) -> None:
        self._association._core.watch_delivery(self.id)

    def _drop_less_important(self, size: int, discard_priority: int | None) -> None:
        self._association._make_room(size, discard_priority, self.id)

    def _watch_low_water(self) -> None:
        self._association._core.set_low_water(self.id, self._low_water)

    def _forget_low_water(self) -> None:
        if self._room is not None and not self._over:
            self._association._core.set_low_water(self.id, -1)

    # -- the end

    @property
    def _over(self) -> bool:
        """The stream id is no longer this channel's."""
        return self._association._open_channels.get(self.id) is not self

    async def wait_closed(self) -> None:
        """Wait until the channel is over, whoever closed it: the streams of both directions are reset
        and the id is free, or the association has ended.
        """
        if self._over:
            await checkpoint()
            return
        if self._when_over is None:
            self._when_over = trio.Event()
        await self._when_over.wait()

    def _drop(self, message: ChannelMessage) -> None:
        """It came after this end was closed."""
        if self._dropped is None:
            self._association._consumed(message.size)
        else:
            self._dropped.append(message)

    def _take_dropped(self) -> list[ChannelMessage]:
        dropped, self._dropped = self._dropped, None
        return dropped or []

    def _is_over(self) -> None:
        if self._when_over is not None:
            self._when_over.set()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the channel, after an exception without waiting for anything.

        What was sent is still delivered then if the association goes on.  If that is aborted by the
        exception, the peer gets to know it as the channel's end.
        """
        if error is None:
            await self.aclose()
            return
        if not self._closed:
            self._dropped = self._close_here()
            discard = isinstance(error, trio.Cancelled)
            self._association._closer.close_soon(self, discard=discard)
        await checkpoint()

    @enable_ki_protection
    async def aclose(self) -> None:
        """Close the channel: deliver what was sent, then reset its stream (RFC 8831 §6.7).

        What the peer sent and nobody received is dropped; tasks that wait to send or to receive
        get `trio.ClosedResourceError`.  Idempotent.  Cancelled, it still closes, and drops what is
        unsent.  Raises the association's error if that fails before everything was delivered.
        """
        association = self._association
        if not self._closed:
            unread = self._close_here()
            if trio.current_effective_deadline() == -math.inf:  # it is cancelled already
                self._dropped = unread
                association._closer.close_soon(self, discard=True)
            else:
                association._closer.let_go(unread)
                if self._ending is None:  # else there is nobody to deliver to
                    self._reset = trio.Event()
                    association._closer.close(self)
        if self._reset is None or self._reset.is_set():
            await checkpoint()
            return
        try:
            await self._reset.wait()
        except trio.Cancelled:
            association._closer.close_soon(self, discard=True)
            raise
        if self._ending is not None and self._ending.kind is not None:
            raise self._ending.for_sender()

    def _closed_with_association(self) -> None:
        """The association was closed here, and everything with it."""
        if not self._closed:
            self._association._closer.let_go(self._close_here())
        self._was_reset()

    def _was_reset(self) -> None:
        if self._reset is not None:
            self._reset.set()

    def _end(self, ending: Ending) -> None:
        super()._end(ending)
        self._forget_low_water()
        self._was_reset()

    def _close_here(self) -> list[ChannelMessage]:
        self._forget_low_water()
        return super()._close_here()


def _as_content(value: object) -> Content:
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, str):
        return value
    raise TypeError(f"a message is bytes or str, not {type(value).__name__}")
