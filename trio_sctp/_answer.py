"""Something that tasks wait for, and that is told once."""

from __future__ import annotations

from typing import Generic, TypeVar

import trio

__all__ = ["Answer"]

T = TypeVar("T")


class Answer(Generic[T]):
    """What several tasks may wait for: a value, or that there will be none."""

    __slots__ = ("_event", "value", "wait")

    def __init__(self) -> None:
        self._event = trio.Event()
        self.wait = self._event.wait
        self.value: T | None = None
        """None before there is an answer, and where there will be none."""

    def settle(self, value: T | None) -> None:
        self.value = value
        self._event.set()
