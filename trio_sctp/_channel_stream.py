"""A data channel as trio knows streams: bytes that flow, without borders."""

from __future__ import annotations

import operator
from types import TracebackType
from typing import TYPE_CHECKING, Final, final

import trio
from trio.lowlevel import checkpoint, enable_ki_protection

from ._core.errors import LocalProtocolError

if TYPE_CHECKING:
    from ._data_channel import DataChannel

__all__ = ["DataChannelStream"]

STREAM_PIECE: Final = 65536
"""Longest message that a stream makes of what it is given, in bytes."""
STREAM_PIECE_WITHOUT_INTERLEAVING: Final = 16384
"""The same where a message holds back those of all other channels (RFC 8831 §6.6)."""


class _OneTask:
    """Raises `trio.BusyResourceError` when a second task wants to be where one may be."""

    __slots__ = ("_busy", "_message")

    def __init__(self, message: str) -> None:
        self._busy = False
        self._message = message

    def __enter__(self) -> None:
        if self._busy:
            raise trio.BusyResourceError(self._message)
        self._busy = True

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._busy = False


@final
class DataChannelStream(trio.abc.Stream):
    """A data channel as a stream of bytes: the borders between messages mean nothing.

    Text that the peer sends is taken as UTF-8.  Closing the stream closes the channel; there is no
    closing of one direction alone (RFC 8831 §6.7).
    """

    __slots__ = ("_piece", "_receiving", "_rest", "_sending", "channel")

    def __init__(self, channel: DataChannel) -> None:
        if not (channel.ordered and channel.reliable):
            raise LocalProtocolError("channel must be ordered and reliable to serve as a stream")
        self.channel = channel
        self._rest = memoryview(b"")
        association = channel._association
        interleaving = association._core.capabilities.interleaving
        piece = STREAM_PIECE if interleaving else STREAM_PIECE_WITHOUT_INTERLEAVING
        self._piece = min(piece, association.max_message_size or piece)
        self._sending = _OneTask("another task is sending on this stream")
        self._receiving = _OneTask("another task is receiving from this stream")

    def __repr__(self) -> str:
        return f"<DataChannelStream of {self.channel!r}>"

    @enable_ki_protection
    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Queue ``data`` for sending; see `trio.abc.SendStream.send_all`."""
        try:
            view = _as_bytes(data)
        except TypeError:
            await checkpoint()
            raise
        with self._sending, view:
            if not view:
                await checkpoint()
                self.channel._check_can_send()
                return
            for begin in range(0, len(view), self._piece):
                await self.channel.send(bytes(view[begin : begin + self._piece]))

    @enable_ki_protection
    async def wait_send_all_might_not_block(self) -> None:
        """See `trio.abc.SendStream.wait_send_all_might_not_block`."""
        with self._sending:
            await self.channel._wait_until_sending_might_not_block()

    @enable_ki_protection
    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Bytes that have arrived, at most ``max_bytes``; see
        `trio.abc.ReceiveStream.receive_some`.
        """
        if max_bytes is not None:
            try:
                max_bytes = _at_least_one(max_bytes)
            except (TypeError, ValueError):
                await checkpoint()
                raise
        with self._receiving:
            if self._rest and not self.channel._closed:
                await checkpoint()
            # again: it may have been closed meanwhile, and then says so itself
            if not self._rest or self.channel._closed:
                try:
                    self._rest = memoryview(await self._next_message())
                except trio.EndOfChannel:
                    return b""
            taken = bytes(self._rest[:max_bytes])
            self._rest = self._rest[len(taken) :]
            return taken

    async def _next_message(self) -> bytes:
        while True:
            message = await self.channel.receive()
            if message:  # an empty message is nothing in a stream, and not its end
                return message.encode() if isinstance(message, str) else message

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """As that of the channel."""
        await self.channel.__aexit__(kind, error, traceback)

    async def aclose(self) -> None:
        """As `DataChannel.aclose`."""
        await self.channel.aclose()


def _as_bytes(data: bytes | bytearray | memoryview) -> memoryview:
    """A view whose items are bytes, whatever those of ``data`` are: an array's may be longer."""
    view = memoryview(data)
    if view.contiguous and view.ndim == 1 and view.itemsize == 1:
        return view
    with view:
        return memoryview(view.tobytes())


def _at_least_one(max_bytes: int) -> int:
    max_bytes = operator.index(max_bytes)
    if max_bytes < 1:
        raise ValueError(f"max_bytes is {max_bytes}: it must be at least 1")
    return max_bytes
