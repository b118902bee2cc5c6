"""Where the data channels that the peer opens arrive, as trio knows listeners."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import trio
from trio.lowlevel import checkpoint, enable_ki_protection

from ._data_channel import DataChannel

if TYPE_CHECKING:
    from ._association import Association

__all__ = ["ChannelListener"]


@final
class ChannelListener(trio.abc.Listener[DataChannel]):
    """The data channels that the peer opens, one after the other.

    Several listeners of an association share them.  ``async for`` takes channels until the
    association is over.  Closing a listener leaves the association and its channels as they are.
    """

    __slots__ = ("_association", "_receive")

    def __init__(
        self, association: Association, receive: trio.MemoryReceiveChannel[DataChannel]
    ) -> None:
        self._association = association
        self._receive = receive

    def __repr__(self) -> str:
        return f"<ChannelListener of {self._association!r}>"

    def __aiter__(self) -> ChannelListener:
        return self

    async def __anext__(self) -> DataChannel:
        try:
            return await self.accept()
        except trio.EndOfChannel:
            raise StopAsyncIteration from None

    @enable_ki_protection
    async def accept(self) -> DataChannel:
        """Wait for a channel that the peer opens.

        Raises `trio.ClosedResourceError` if the listener or the association was closed here,
        `trio.EndOfChannel` if the peer shut the association down, and its error if it failed.
        """
        try:
            channel = await self._receive.receive()
            self._association._accepted(channel)
            return channel
        except trio.EndOfChannel:
            await checkpoint()
        except trio.ClosedResourceError:
            await checkpoint()
            raise
        raise self._association._why_no_more_channels()

    @enable_ki_protection
    async def aclose(self) -> None:
        """Take no further channels here; the association goes on."""
        self._receive.close()
        await checkpoint()
