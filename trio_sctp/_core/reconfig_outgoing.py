"""Resets of streams that this end sends on (RFC 6525 §5.1.2), because the program or the peer wants it.

A stream waits until all that was queued on it has been sent; those that are ready share one request.
From then on nothing of them is begun until the peer has answered (§5.2.7 H4).
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from itertools import islice
from typing import Final

from .._wire.parameters import OutgoingSsnResetRequest
from .._wire.serial import MASK32
from .events import OutgoingStreamsReset
from .reconfig_common import SendingSide, covers
from .tx.resettable_streams import ResettableStreams

__all__ = ["OutgoingResets"]

_SCAN: Final = 64
"""Streams that are not ready yet which one packet looks at; the next packet looks at others."""


class OutgoingResets:
    """Everywhere no stream ids mean all streams.  `tell` is called with each reset's outcome."""

    __slots__ = ("_all_wait", "_last", "_send_queue", "_sender", "_tell", "_waiting")

    def __init__(
        self,
        send_queue: ResettableStreams,
        sender: SendingSide,
        tell: Callable[[OutgoingStreamsReset], None],
    ) -> None:
        self._send_queue = send_queue
        self._sender = sender
        self._tell = tell
        self._waiting: dict[int, None] = {}
        self._all_wait = False
        self._last: tuple[tuple[int, ...], int] | None = None  # streams, and the TSN after it

    @property
    def wanted(self) -> bool:
        """Some wait for their turn."""
        return self._all_wait or bool(self._waiting)

    def want(self, stream_ids: Collection[int]) -> None:
        """Reset streams as soon as all that was queued on them has been sent."""
        if stream_ids:
            self._waiting.update(dict.fromkeys(stream_ids))
        else:
            self._all_wait = True

    def withdraw(self, stream_id: int) -> bool:
        """A stream needs no reset any more.  Whether it was waiting."""
        return self._waiting.pop(stream_id, stream_id) is None

    def are_idle(self, stream_ids: tuple[int, ...]) -> bool:
        """All that was queued on the streams has been sent."""
        queue = self._send_queue
        return all(map(queue.is_idle, stream_ids)) if stream_ids else queue.is_all_idle

    def take_ready(self, limit: int) -> tuple[int, ...] | None:
        """Up to `limit` streams on which nothing is left to send; they wait no more.  None: no reset.

        Others go to the end of the line, so that a call costs little however many there are.
        """
        if self._all_wait and self.are_idle(()):
            self._all_wait = False
            return ()
        waiting = self._waiting
        ready: list[int] = []
        misses = 0
        for stream_id in list(islice(waiting, limit + _SCAN)):
            if len(ready) == limit or misses == _SCAN:
                break
            del waiting[stream_id]
            if self._send_queue.is_idle(stream_id):
                ready.append(stream_id)
            else:
                waiting[stream_id] = None
                misses += 1
        return tuple(ready) or None

    def make_request(
        self, sn: int, stream_ids: tuple[int, ...], *, response_sn: int
    ) -> OutgoingSsnResetRequest:
        """The request number `sn`: from here on nothing of these streams gets an SSN (A1)."""
        if not stream_ids:
            self._send_queue.pause_all()
            self._waiting.clear()
        for stream_id in stream_ids:
            self._send_queue.pause(stream_id)
            self._waiting.pop(stream_id, None)
        self._sender.streams_will_be_reset(stream_ids)
        last_tsn = self._sender.next_tsn - 1
        return OutgoingSsnResetRequest(
            sn & MASK32, response_sn & MASK32, last_tsn & MASK32, stream_ids
        )

    def finish(self, stream_ids: tuple[int, ...], succeeded: bool) -> None:
        """The peer has answered (§5.2.7 H4)."""
        queue = self._send_queue
        if not stream_ids:
            (queue.reset_all if succeeded else queue.resume_all)()
        for stream_id in stream_ids:
            (queue.reset_stream if succeeded else queue.resume)(stream_id)
        if succeeded:
            self._last = (stream_ids, self._sender.next_tsn)
        self._tell(OutgoingStreamsReset(stream_ids, succeeded))

    def were_just_reset(self, stream_ids: tuple[int, ...]) -> bool:
        """The last reset was of these streams, and nothing was sent since (§5.2.3)."""
        last = self._last
        return last is not None and last[1] == self._sender.next_tsn and covers(last[0], stream_ids)
