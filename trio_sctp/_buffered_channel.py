"""What a data channel and the channel of plain messages have in common.

Received messages wait in an `Inbox`.  Senders wait for room by water marks: from the moment when
``high_water`` unsent bytes are reached until they have fallen to ``low_water``, in the order in which
they came.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import TYPE_CHECKING, Generic, TypeVar, Unpack

import trio
from trio.lowlevel import (
    Abort,
    ParkingLot,
    cancel_shielded_checkpoint,
    checkpoint,
    checkpoint_if_cancelled,
    current_task,
    enable_ki_protection,
    wait_task_rescheduled,
)

from ._answer import Answer
from ._core.arguments import check_integer
from ._core.errors import LocalProtocolError
from ._inbox import Inbox, TurnedAwayError
from ._receipt import NO_WISHES, SendKeywords, Wishes, wishes_of

if TYPE_CHECKING:
    from ._association import Association
    from ._errors import Ending

__all__ = ["DEFAULT_HIGH_WATER", "DEFAULT_LOW_WATER", "BufferedChannel"]

DEFAULT_HIGH_WATER = 1024 * 1024
"""Unsent bytes of a channel from which on `send` waits, if `set_water_marks` says nothing else."""
DEFAULT_LOW_WATER = 512 * 1024
"""Unsent bytes down to which it waits then."""

T = TypeVar("T")
ItemT = TypeVar("ItemT")


class BufferedChannel(trio.abc.Channel[T], Generic[T, ItemT]):
    """A channel whose two ends are an inbox and the core's send queue.

    Several tasks may send and several may receive at the same time.
    """

    __slots__ = (
        "_association",
        "_closed",
        "_delivery",
        "_ending",
        "_high_water",
        "_inbox",
        "_low_water",
        "_room",
        "_waking",
    )

    def __init__(self, association: Association) -> None:
        self._association = association
        self._inbox: Inbox[ItemT] = Inbox()
        self._room: ParkingLot | None = None
        self._waking = False
        """A task was woken and has not run yet: one at a time, so that they keep their order."""
        self._delivery: Answer[bool] | None = None
        self._closed = False
        """Closed at this end."""
        self._ending: Ending | None = None
        """Why nothing can be sent any more, if something else ended it."""
        self._high_water = DEFAULT_HIGH_WATER
        self._low_water = DEFAULT_LOW_WATER

    # -- what the two kinds do differently

    @abstractmethod
    def _unsent(self) -> int:
        """The same as `buffered_amount` where something can still be sent."""

    @abstractmethod
    def _undelivered(self) -> int:
        """Bytes of messages that the peer has not wholly acknowledged, sent or not."""

    @abstractmethod
    def _put(self, value: T, wishes: Wishes, since: float | None = None) -> None:
        """Give a message to the core.  `LocalProtocolError` or `TypeError` if it cannot be sent.

        ``since``: when `send` was called, if it had to wait.
        """

    @abstractmethod
    def _drop_less_important(self, size: int, discard_priority: int | None) -> None:
        """Give up waiting messages of at least ``size`` bytes, see `Association.make_room`."""

    @abstractmethod
    def _watch_delivery(self) -> None:
        """See to it that ``_all_delivered(True)`` is called when nothing is undelivered."""

    @abstractmethod
    def _got(self, item: ItemT) -> T:
        """An item was taken from the inbox: account for it."""

    @abstractmethod
    def _watch_low_water(self) -> None:
        """See to it that `_room_again` is called when `buffered_amount` falls to the low-water
        mark.
        """

    # -- receiving

    @enable_ki_protection
    def receive_nowait(self) -> T:
        """As `receive`, but raises `trio.WouldBlock` instead of waiting."""
        return self._got(self._inbox.take_nowait())

    @enable_ki_protection
    async def receive(self) -> T:
        """The next message.  Cancelling it loses nothing; a message already there costs a
        checkpoint.

        Raises `trio.EndOfChannel` after the last message of a peer that closed, the association's
        error after the last one before it failed, `trio.ClosedResourceError` if this end was
        closed.
        """
        inbox = self._inbox
        if inbox:
            await checkpoint_if_cancelled()
            item = inbox.take_nowait()
            await cancel_shielded_checkpoint()
            return self._got(item)
        if inbox.over is not None:
            over = inbox.over()
        else:
            task = current_task()
            inbox.join(task)

            def leave(_: object) -> Abort:
                inbox.leave(task)
                return Abort.SUCCEEDED

            try:
                return self._got(await wait_task_rescheduled(leave))
            except TurnedAwayError as turned_away:
                over = turned_away.over
        await checkpoint()  # who was cancelled at the same moment hears of that
        if isinstance(over, trio.ClosedResourceError):
            self._association._because_closed(over)
        raise over

    # -- sending

    @property
    def buffered_amount(self) -> int:
        """Bytes that were sent here and are not on their way to the peer yet."""
        return self._unsent()

    @property
    def unacknowledged_amount(self) -> int:
        """Bytes that are on their way, of messages that the peer has not wholly acknowledged."""
        return self._undelivered() - self._unsent()

    @enable_ki_protection
    def send_nowait(self, value: T, **keywords: Unpack[SendKeywords]) -> None:
        """As `send`, but raises `trio.WouldBlock` instead of waiting."""
        self._check_can_send()
        wishes = wishes_of(keywords) if keywords else NO_WISHES
        if (
            self._unsent() >= self._high_water or self._room or self._waking
        ) and not self._others_make_room(wishes):
            raise trio.WouldBlock
        self._put(value, wishes)

    @enable_ki_protection
    async def send(self, value: T, **keywords: Unpack[SendKeywords]) -> None:
        """Send a message, waiting while too much is unsent (see `set_water_marks`).

        It returns when the message is queued; cancelled, it had no effect.  ``max_retransmits``,
        ``lifetime`` (seconds from this call on) and ``discard_priority`` limit how hard it is tried,
        ``ordered`` whether it waits for those before it, for this message alone; a ``receipt`` (a
        `Receipt`) tells what becomes of it.

        Raises `LocalProtocolError` for what may not be sent, `trio.ClosedResourceError` if this end
        was closed, `trio.BrokenResourceError` if the peer closed or the association is over.
        """
        await checkpoint_if_cancelled()
        try:
            self.send_nowait(value, **keywords)
        except trio.WouldBlock:
            pass
        except BaseException:
            await checkpoint()
            raise
        else:
            await cancel_shielded_checkpoint()
            return
        began = trio.current_time()
        await self._wait_for_room()
        try:
            self._put(value, wishes_of(keywords), began)
        finally:
            self._pass_on()

    def _others_make_room(self, wishes: Wishes) -> bool:
        """RFC 7496 §3.2: less important messages that wait are given up."""
        if self._room or self._waking:  # somebody else is waiting already
            return False
        priority = None if wishes.options is None else wishes.options.discard_priority
        self._drop_less_important(self._unsent() - self._high_water + 1, priority)
        return self._unsent() < self._high_water

    @enable_ki_protection
    async def wait_delivered(self) -> None:
        """Wait until all that was sent here was acknowledged by the peer's SCTP, or given up.

        What is sent here meanwhile counts, too.  Raises `trio.ClosedResourceError` if this end is
        closed, and the association's error (or `trio.BrokenResourceError`, if the peer has closed
        or begun anew) if that comes first.
        """
        await checkpoint()
        self._check_can_send()
        if not self._undelivered():
            return
        if self._delivery is None:
            self._delivery = Answer()
            self._watch_delivery()
        delivery = self._delivery
        await delivery.wait()
        if not delivery.value:
            self._check_can_send()
            raise trio.BrokenResourceError(f"{self!r}: the peer began anew without what was sent")

    def _all_delivered(self, delivered: bool) -> None:
        """The core says that nothing is undelivered, or (False) nobody will ever know."""
        if self._delivery is not None:
            delivery, self._delivery = self._delivery, None
            delivery.settle(delivered)

    def set_water_marks(self, *, high: int, low: int | None = None) -> None:
        """Let `send` wait from ``high`` unsent bytes on, until no more than ``low`` (``high //
        2``) are.

        A message is never cut: one longer than ``high`` is taken whole once there is room.
        """
        check_integer("high", high, 1, math.inf)
        low = high // 2 if low is None else low
        check_integer("low", low, 0, math.inf)
        if not low < high:
            raise LocalProtocolError(f"low is {low}: it must be from 0 to below high, {high}")
        self._high_water, self._low_water = high, low
        if self._room:
            self._watch_low_water()
            self._pass_on()

    def _check_can_send(self) -> None:
        if self._closed or self._ending is not None:
            raise self._why_no_sending()

    def _why_no_sending(self) -> Exception:
        if self._closed:
            error = trio.ClosedResourceError(f"{self!r} was closed")
            return self._association._because_closed(error)
        assert self._ending is not None
        return self._ending.for_sender()

    async def _wait_for_room(self) -> None:
        """Whoever returns from here passes on the room that is left, with no checkpoint before."""
        if self._room is None:
            self._room = ParkingLot()
        while True:
            self._watch_low_water()
            await self._room.park()
            self._waking = False
            self._check_can_send()
            if self._unsent() < self._high_water:
                return

    @enable_ki_protection
    async def _wait_until_sending_might_not_block(self) -> None:
        await checkpoint()
        self._check_can_send()
        if self._room or self._waking or self._unsent() >= self._high_water:
            await self._wait_for_room()
            self._pass_on()

    def _pass_on(self) -> None:
        if self._unsent() < self._high_water:
            self._room_again()

    def _room_again(self) -> None:
        """The core says that what is unsent has fallen to the low-water mark."""
        if self._room and not self._waking:
            self._waking = True
            self._room.unpark()

    # -- the end

    def _end(self, ending: Ending) -> None:
        """The peer or the association ended this; what was received can still be taken."""
        if self._ending is None:
            self._ending = ending
        self._inbox.end(ending)
        if self._room:
            self._room.unpark_all()
        self._all_delivered(False)

    def _close_here(self) -> list[ItemT]:
        """Close it here; what was not received is returned, to be accounted for."""
        self._closed = True
        left = self._inbox.close()
        if self._room:
            self._room.unpark_all()
        self._all_delivered(False)
        return left
