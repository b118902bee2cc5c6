"""What tasks wait for that have asked how long a round trip takes."""

from __future__ import annotations

import trio

__all__ = ["Answer"]


class Answer:
    """The answer to one HEARTBEAT; several tasks may wait for it."""

    __slots__ = ("_event", "round_trip", "wait")

    def __init__(self) -> None:
        self._event = trio.Event()
        self.wait = self._event.wait
        self.round_trip: float | None = None
        """Seconds; None before there is an answer, and where there will be none."""

    def settle(self, round_trip: float | None) -> None:
        self.round_trip = round_trip
        self._event.set()
