"""How data channels of an association are closed: at once, or in a moment where that says more."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, final

import trio

if TYPE_CHECKING:
    from ._association import Association
    from ._core.data_channels import ChannelMessage
    from ._data_channel import DataChannel

__all__ = ["ChannelCloser"]

UNWINDING_TIME: Final = 0.05
"""Seconds for which a channel that was left by an exception waits for the association to be aborted."""


@final
class ChannelCloser:
    """Closes the channels of one association, with tasks in its ``nursery``."""

    def __init__(self, association: Association) -> None:
        self._association = association
        self.nursery: trio.Nursery
        self._waiting: set[trio.CancelScope] = set()

    def close(self, channel: DataChannel) -> None:
        """What was sent on it is delivered first."""
        association = self._association
        now = trio.current_time()
        association._data_channels().close(channel.id, now=now)
        association._touched(now)

    def close_soon(self, channel: DataChannel, *, discard: bool) -> None:
        """Close a channel whose block has failed, in a moment: perhaps that aborts the association.

        A stream reset that overtakes the ABORT would look to the peer as if all had gone well.  Until
        then its messages stay in our window, so that it is not told to send more.
        """
        if channel._over:  # perhaps long ago, and the nursery with the association
            self.let_go(channel._take_dropped())
            return
        if discard:
            now = trio.current_time()
            self._association._data_channels().halt(channel.id, now=now)
            self._association._touched(now)
        self.nursery.start_soon(self._close_later, channel, discard, name=f"end of {channel!r}")

    def stop(self) -> None:
        """The association ends: nothing is waited for any more."""
        for scope in self._waiting:
            scope.cancel()

    async def _close_later(self, channel: DataChannel, discard: bool) -> None:
        with trio.CancelScope() as scope:
            self._waiting.add(scope)
            await trio.sleep(UNWINDING_TIME)
        self._waiting.discard(scope)
        self.let_go(channel._take_dropped())
        if self._association._closing or channel._over:
            return
        if discard:
            now = trio.current_time()
            self._association._data_channels().discard(channel.id, now=now)
            self._association._touched(now)
        else:
            self.close(channel)

    def let_go(self, messages: Iterable[ChannelMessage]) -> None:
        """Nobody will read these: they no longer fill the receiver window."""
        for message in messages:
            self._association._consumed(message.size)
