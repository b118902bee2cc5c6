"""A task that sleeps until a time that others may move, or until it is woken.

Timers and links do that all the time.  It costs a quarter less than a cancel scope around a sleep, which
ends by an exception.
"""

from __future__ import annotations

import math
from typing import final

import trio
from trio.lowlevel import (
    Abort,
    Task,
    checkpoint_if_cancelled,
    current_task,
    reschedule,
    wait_task_rescheduled,
)

__all__ = ["Nap"]


@final
class Nap:
    """For one task at a time, any number of times."""

    __slots__ = ("_scope", "_sleeper", "deadline")

    def __init__(self) -> None:
        self.deadline = math.inf
        """When it ends by itself; `move` changes it."""
        self._sleeper: Task | None = None
        self._scope = trio.CancelScope()

    @property
    def is_taken(self) -> bool:
        """A task is asleep."""
        return self._sleeper is not None

    async def until(self, deadline: float) -> None:
        """Sleep."""
        self.deadline = deadline
        self._sleeper = current_task()
        with trio.CancelScope(deadline=deadline) as self._scope:
            await wait_task_rescheduled(self.end)
        await checkpoint_if_cancelled()

    def move(self, deadline: float) -> None:
        """It ends then, if not sooner by `end`."""
        self.deadline = self._scope.deadline = deadline

    def end(self, _: object = None) -> Abort:
        """Wake the sleeper, if there is one.

        As the answer to any cancellation, too: that is the scope's own as a rule, after which there is
        no need of an exception.  Another one is met at the checkpoint behind the scope.
        """
        if self._sleeper is not None:
            reschedule(self._sleeper)
            self._sleeper = None
        return Abort.FAILED
