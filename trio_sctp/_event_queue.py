"""The latest events of an association, for a program that may or may not read them.

What is not read makes way for what is newer: beyond a number of events, and beyond what they take, since
a peer has a say in how long the lists in them are.
"""

from __future__ import annotations

from collections import deque
from typing import Final, final

import trio

from ._core.events import Event, PeerError

__all__ = ["EventQueue"]

EVENTS_KEPT: Final = 256
MEMORY_KEPT: Final = 256 * 1024
"""Bytes that the events which wait may take, except for a single larger one."""


@final
class EventQueue:
    """Events go in by `put` and are received from ``out``, which ends after `close`."""

    __slots__ = ("_in", "_memory", "_sizes", "out")

    def __init__(self) -> None:
        self._in, self.out = trio.open_memory_channel[Event](EVENTS_KEPT)
        self._sizes: deque[int] = deque()  # of those that wait, and perhaps some that were read
        self._memory = 0

    def put(self, event: Event) -> None:
        """Keep an event; nothing if the reader has closed its end."""
        size = memory_of(event)
        self._forget_read()
        while self._sizes and (
            len(self._sizes) == EVENTS_KEPT or self._memory + size > MEMORY_KEPT
        ):
            try:
                self.out.receive_nowait()
            except trio.ClosedResourceError:
                return
            self._memory -= self._sizes.popleft()
        try:
            self._in.send_nowait(event)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return
        self._sizes.append(size)
        self._memory += size

    def close(self) -> None:
        self._in.close()

    def _forget_read(self) -> None:
        waiting = self.out.statistics().current_buffer_used
        while len(self._sizes) > waiting:
            self._memory -= self._sizes.popleft()


def memory_of(event: Event) -> int:
    """About what an event takes: small, but for the lists that the peer has sent."""
    stream_ids = getattr(event, "stream_ids", ())
    causes = event.causes if isinstance(event, PeerError) else ()
    return 128 + 40 * len(stream_ids) + sum(200 + len(cause.encode()) for cause in causes)
