"""Where received messages wait until somebody takes them.

It is never full: the receiver window bounds what the peer may send.  It does what a trio memory
channel does, at less cost: handing a message to a task that waits is a part of every round trip, and an
idle channel keeps nothing for it.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

import trio
from outcome import Error, Value
from trio.lowlevel import (
    Abort,
    Task,
    cancel_shielded_checkpoint,
    checkpoint,
    checkpoint_if_cancelled,
    current_task,
    reschedule,
    wait_task_rescheduled,
)

if TYPE_CHECKING:
    from ._errors import Ending

__all__ = ["Inbox"]

ItemT = TypeVar("ItemT")


class _TurnedAwayError(Exception):
    """Why whoever waited gets nothing: as it was then, whatever comes before they run."""

    def __init__(self, over: Exception) -> None:
        self.over = over


class Inbox(Generic[ItemT]):
    """Things received and not yet taken, and how the flow of them ended.

    Those who wait are served in the order in which they came.
    """

    __slots__ = ("_closed", "_ending", "_items", "_takers")

    def __init__(self) -> None:
        self._closed = False
        self._ending: Ending | None = None
        self._items: deque[ItemT] | None = None
        self._takers: dict[Task, None] | None = None
        """The tasks that wait; while there are any, there are no items."""

    def __len__(self) -> int:
        return len(self._items) if self._items else 0

    def put(self, item: ItemT) -> bool:
        """False if nobody will ever take it."""
        if self._closed or self._ending is not None:
            return False
        if self._takers:
            task = next(iter(self._takers))
            del self._takers[task]
            reschedule(task, Value(item))
        elif self._items is None:
            self._items = deque((item,))
        else:
            self._items.append(item)
        return True

    def end(self, ending: Ending) -> None:
        """Nothing more will come: who has taken all that is there is told of ``ending``."""
        if self._ending is None:
            self._ending = ending
            self._turn_away()

    def close(self) -> list[ItemT]:
        """The taker wants no more: whoever waits gets `trio.ClosedResourceError`.  What is left."""
        left = list(self._items or ())
        self._items = None
        self._closed = True
        self._turn_away()
        return left

    def take_nowait(self) -> ItemT:
        if self._items:
            return self._items.popleft()
        if self._closed or self._ending is not None:
            raise self._over()
        raise trio.WouldBlock

    async def take(self) -> ItemT:
        """One checkpoint, also where it raises; a cancelled one takes nothing."""
        if self._items:
            await checkpoint_if_cancelled()
            item = self._items.popleft()
            await cancel_shielded_checkpoint()
            return item
        if self._closed or self._ending is not None:
            over = self._over()
        else:
            if self._takers is None:
                self._takers = {}
            takers, task = self._takers, current_task()
            takers[task] = None

            def leave(_: object) -> Abort:
                del takers[task]
                return Abort.SUCCEEDED

            try:
                return await wait_task_rescheduled(leave)  # type: ignore[no-any-return]
            except _TurnedAwayError as turned_away:
                over = turned_away.over
        await checkpoint()  # who was cancelled at the same moment hears of that
        raise over

    def _turn_away(self) -> None:
        takers, self._takers = self._takers or (), None
        for task in takers:
            reschedule(task, Error(_TurnedAwayError(self._over())))

    def _over(self) -> Exception:
        if self._closed:
            return trio.ClosedResourceError("this end was closed")
        assert self._ending is not None
        return self._ending.for_receiver()
