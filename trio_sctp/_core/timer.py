"""A timer as a value: a deadline that somebody else's clock is compared with.

The core never sleeps.  Each procedure of the RFC owns its timers (T1-init, T3-rtx ...), the association
takes the earliest deadline as `next_timeout` and asks each timer whether it has expired when time has
passed.  So that nobody has to look at all of them after every packet, a timer that is started tells
the `Alarm` that watches it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

__all__ = ["Alarm", "Timer"]


class Alarm:
    """Watches timers: ``at`` is never later than the earliest deadline of them.

    It is earlier when the timer that it was set for has stopped, until somebody looks at them all.
    """

    __slots__ = ("_timers", "at")

    def __init__(self, at: float = math.inf) -> None:
        self._timers: tuple[Timer, ...] = ()
        self.at = at

    def watch(self, timers: Iterable[Timer]) -> None:
        """These, and no others, from now on."""
        self._timers = tuple(timers)
        for timer in self._timers:
            timer.alarm = self
        self.look()

    def look(self) -> float:
        """Look at all of them: the earliest deadline."""
        self.at = earliest = min([timer.deadline for timer in self._timers], default=math.inf)
        return earliest


_UNWATCHED = Alarm(-math.inf)


class Timer:
    """A deadline that is either running (finite) or stopped (``math.inf``)."""

    __slots__ = ("alarm", "deadline", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.deadline = math.inf
        """For reading: only `start` and `start_at` tell the alarm of an earlier one."""
        self.alarm = _UNWATCHED

    def __repr__(self) -> str:
        return f"Timer({self.name!r}, deadline={self.deadline})"

    @property
    def running(self) -> bool:
        return self.deadline != math.inf

    def start(self, now: float, duration: float) -> None:
        """(Re)start: the timer expires ``duration`` seconds from ``now``."""
        self.deadline = deadline = now + duration
        alarm = self.alarm
        if deadline < alarm.at:
            alarm.at = deadline

    def start_at(self, deadline: float) -> None:
        """(Re)start: the timer expires then."""
        self.deadline = deadline
        alarm = self.alarm
        if deadline < alarm.at:
            alarm.at = deadline

    def stop(self) -> None:
        self.deadline = math.inf

    def take_expiry(self, now: float) -> bool:
        """True once after the deadline was reached; the timer is stopped by then."""
        if now < self.deadline:
            return False
        self.deadline = math.inf
        return True
