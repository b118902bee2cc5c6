"""Plain SCTP messages as a trio channel: `Message` values in and out.

For peers that speak SCTP and not WebRTC: each message names its stream, its PPID and whether it
is ordered.  Back-pressure counts the unsent bytes of the whole association, as the send buffer of
a kernel's socket does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import trio
from trio.lowlevel import enable_ki_protection

from ._buffered_channel import BufferedChannel
from ._core.events import Message

if TYPE_CHECKING:
    from ._receipt import Wishes

__all__ = ["MessageChannel"]


@final
class MessageChannel(BufferedChannel[Message, Message]):
    """The messages of an association that belong to no data channel.

    ``send(Message(stream_id, ppid, payload))`` needs no more than these three; ``unordered=True``
    lets a message overtake others of its stream.  What is received carries SSN (or MID) and TSNs
    too.  Closing it makes the association ignore further messages and does not end it.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<MessageChannel of {self._association!r}>"

    def _unsent(self) -> int:
        return self._association._core.total_unsent_bytes

    def _undelivered(self) -> int:
        return self._association._core.total_undelivered_bytes

    def _put(self, value: Message, wishes: Wishes, since: float | None = None) -> None:
        self._association._send_message(value, wishes, since)

    def _watch_delivery(self) -> None:
        self._association._core.watch_send_buffer()

    def _drop_less_important(self, size: int, discard_priority: int | None) -> None:
        self._association._make_room(size, discard_priority)

    def _got(self, item: Message) -> Message:
        self._association._consumed(len(item.payload))
        return item

    def _watch_low_water(self) -> None:
        self._association._watch_total()

    def _at_low_water(self) -> bool:
        return self._unsent() <= self._low_water

    @enable_ki_protection
    async def aclose(self) -> None:
        """Take no more messages; idempotent."""
        if not self._closed:
            self._association._discard_messages(self._close_here())
        await trio.lowlevel.checkpoint()
