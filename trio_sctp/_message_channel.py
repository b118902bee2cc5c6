"""Plain SCTP messages as a trio channel: `Message` values in and out.

For peers that speak SCTP and not WebRTC: each message names its stream, its PPID and whether it
is ordered.  Back-pressure counts the unsent bytes of the whole association, as the send buffer of
a kernel's socket does.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, final

import trio
from trio.lowlevel import enable_ki_protection

from ._arguments import check_type
from ._buffered_channel import BufferedChannel
from ._core.data_channels import WEBRTC_PPIDS
from ._core.errors import LocalProtocolError
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
        check_type("message", value, Message)
        if self._association._channels is not None:
            self._check_plain(value)
        self._association._pump.send_message(value, wishes, since)

    def _check_plain(self, message: Message) -> None:
        """Beside data channels: nothing that the peer would take for a part of one."""
        if message.ppid in WEBRTC_PPIDS:
            raise LocalProtocolError(f"ppid is {message.ppid}: that is for data channels")
        if message.stream_id in self._association._open_channels:
            raise LocalProtocolError(
                f"stream_id is {message.stream_id}: a data channel is using it"
            )

    def _watch_delivery(self) -> None:
        self._association._core.watch_send_buffer()

    def _drop_less_important(self, size: int, discard_priority: int | None) -> None:
        self._association._make_room(size, discard_priority)

    def _got(self, item: Message) -> Message:
        self._association._consumed(len(item.payload))
        return item

    def _watch_low_water(self) -> None:
        self._association._pump.watches_total = True

    def _look_at_total(self) -> None:
        if self._unsent() <= self._low_water:
            self._room_again()
            # Who is woken may fill the queue again: then the others wait for the next time.
            self._association._pump.watches_total = bool(self._room)

    def _let_go(self, messages: Iterable[Message]) -> None:
        """Nobody will read these: they no longer fill the receiver window."""
        for message in messages:
            self._association._consumed(len(message.payload))

    @enable_ki_protection
    async def aclose(self) -> None:
        """Take no more messages; idempotent."""
        if not self._closed:
            self._let_go(self._close_here())
        await trio.lowlevel.checkpoint()
