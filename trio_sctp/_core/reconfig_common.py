"""What the parts of reconfiguration (RFC 6525) have in common: how they see the two halves of data
transfer, which streams wait for a reset of ours, and small questions about stream ids.
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import islice
from typing import Final, Protocol

from .._wire.parameters import (
    ReConfigResponse,
    ReConfigResult,
)
from .._wire.serial import MASK32
from .errors import LocalProtocolError
from .tx.resettable_streams import ResettableStreams

__all__ = [
    "MAX_STREAM_IDS",
    "ReceivingSide",
    "RetransmissionTimer",
    "SendingSide",
    "WaitingStreams",
    "check_stream_ids",
    "covers",
    "response_to",
]

MAX_STREAM_IDS: Final = 736
"""Streams in one request, of ours or of the peer: it bounds what a packet costs.  No packet of an
Ethernet has room for more."""
_SCAN: Final = 64
"""Streams that are not ready yet which one packet looks at; the next packet looks at others."""


class SendingSide(Protocol):
    """What resets need of the data that was sent."""

    tsn_reset_pending: bool

    @property
    def next_tsn(self) -> int: ...
    @property
    def cumulative_tsn_ack(self) -> int: ...
    @property
    def outstanding_count(self) -> int: ...
    def reset_tsn(self, next_tsn: int) -> None: ...
    def streams_will_be_reset(self, stream_ids: Collection[int]) -> None: ...


class ReceivingSide(Protocol):
    """What resets need of the data that was received."""

    @property
    def cumulative_tsn_ack(self) -> int: ...
    def defer_reset(self, stream_ids: tuple[int, ...], last_tsn: int) -> None: ...
    def holds_back(self, tsn: int) -> bool: ...
    def hold_back(self) -> None: ...
    def end_hold_back(self, *, for_good: bool = False) -> None: ...
    def hold_back_from(self, next_tsn: int) -> None: ...
    def end_numbering(self, next_tsn: int) -> None: ...


class RetransmissionTimer(Protocol):
    """The retransmission timeout of the path."""

    @property
    def rto(self) -> float: ...


class WaitingStreams:
    """Streams to be reset as soon as all that was queued on them has been sent."""

    __slots__ = ("_ids", "_send_queue")

    def __init__(self, send_queue: ResettableStreams) -> None:
        self._ids: dict[int, None] = {}
        self._send_queue = send_queue

    def __bool__(self) -> bool:
        return bool(self._ids)

    def add(self, stream_ids: tuple[int, ...]) -> None:
        self._ids.update(dict.fromkeys(stream_ids))

    def discard(self, stream_id: int) -> bool:
        """A stream needs no reset any more.  Whether it was waiting."""
        return self._ids.pop(stream_id, stream_id) is None

    def remove(self, stream_ids: tuple[int, ...]) -> None:
        """These (none: all) are being reset."""
        if not stream_ids:
            self._ids.clear()
        for stream_id in stream_ids:
            self._ids.pop(stream_id, None)

    def take_ready(self, limit: int) -> tuple[int, ...]:
        """Up to `limit` streams on which nothing is left to send; they wait no more.

        Others go to the end of the line, so that a call costs little however many there are.
        """
        waiting = self._ids
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
        return tuple(ready)


def response_to(sn: int, result: ReConfigResult) -> ReConfigResponse:
    """The answer to the request with an unwrapped number."""
    return ReConfigResponse(sn & MASK32, result)


def covers(stream_ids: tuple[int, ...], others: tuple[int, ...]) -> bool:
    """Whether a reset of `stream_ids` resets all of `others` (empty: all streams)."""
    return not stream_ids or (bool(others) and set(stream_ids).issuperset(others))


def check_stream_ids(name: str, stream_ids: Collection[int], count: int) -> None:
    """Raise `LocalProtocolError` for an id that is not one of `count` streams."""
    for stream_id in stream_ids:
        if not 0 <= stream_id < count:
            raise LocalProtocolError(
                f"{name} contains {stream_id}: it must be from 0 to {count - 1}"
            )
