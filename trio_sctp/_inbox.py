"""Where received messages wait until somebody takes them, and the tasks that wait for some.

It is never full: the receiver window bounds what the peer may send.  It does what a trio memory
channel does, at less cost: handing a message to a task that waits is a part of every round trip, and an
idle channel keeps nothing for it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeVar

import trio
from outcome import Error, Value
from trio.lowlevel import Task, reschedule

if TYPE_CHECKING:
    from ._errors import Ending

__all__ = ["Inbox", "TurnedAwayError"]

ItemT = TypeVar("ItemT")


class TurnedAwayError(Exception):
    """Why whoever waited gets nothing: as it was then, whatever comes before they run."""

    def __init__(self, over: Exception) -> None:
        self.over = over


class Inbox(Generic[ItemT]):
    """Things received and not yet taken, and how the flow of them ended.

    Those who wait are served in the order in which they came.
    """

    __slots__ = ("_items", "_takers", "over")

    def __init__(self) -> None:
        self.over: Callable[[], Exception] | None = None
        """Once nothing more will come than what is there: makes what is told to those who take more."""
        self._items: deque[ItemT] | None = None
        self._takers: dict[Task, None] | None = None
        """The tasks that sleep until they are given something; while there are any, there are no
        items."""

    def __len__(self) -> int:
        return len(self._items) if self._items else 0

    def put(self, item: ItemT) -> bool:
        """False if nobody will ever take it."""
        if self.over is not None:
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
        if self.over is None:
            self._turn_away(ending.for_receiver)

    def close(self) -> list[ItemT]:
        """The taker wants no more: whoever waits gets `trio.ClosedResourceError`.  What is left."""
        left = list(self._items or ())
        self._items = None
        self._turn_away(_closed)
        return left

    def take_nowait(self) -> ItemT:
        if self._items:
            return self._items.popleft()
        if self.over is not None:
            raise self.over()
        raise trio.WouldBlock

    def join(self, task: Task) -> None:
        """``task`` goes to sleep: it is woken with an item, or by `TurnedAwayError`."""
        if self._takers is None:
            self._takers = {}
        self._takers[task] = None

    def leave(self, task: Task) -> None:
        """It sleeps no more, as it was cancelled."""
        assert self._takers is not None
        del self._takers[task]

    def _turn_away(self, over: Callable[[], Exception]) -> None:
        self.over = over
        takers, self._takers = self._takers or (), None
        for task in takers:
            reschedule(task, Error(TurnedAwayError(over())))


def _closed() -> Exception:
    return trio.ClosedResourceError("this end was closed")
