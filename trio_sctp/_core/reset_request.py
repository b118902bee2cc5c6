"""What reconfiguration remembers: the request of ours that is on its way, the streams that wait for a
reset, and the peer's reset that waits for data.  `StreamReset` says what happens to them.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final, Protocol, TypeAlias

from .._wire.chunks import ReConfig
from .._wire.parameters import (
    AddIncomingStreams,
    AddOutgoingStreams,
    IncomingSsnResetRequest,
    OutgoingSsnResetRequest,
    ReConfigResponse,
    ReConfigResult,
    SsnTsnResetRequest,
)
from .._wire.serial import MASK32
from .errors import LocalProtocolError

__all__ = [
    "MAX_STREAM_IDS",
    "DeferredReset",
    "OwnParameter",
    "OwnRequest",
    "ReceivingSide",
    "ResettableSendQueue",
    "RetransmissionTimer",
    "SendingSide",
    "WaitingStreams",
    "check_stream_ids",
    "covers",
    "response_to",
]

OwnParameter: TypeAlias = (
    OutgoingSsnResetRequest
    | IncomingSsnResetRequest
    | SsnTsnResetRequest
    | AddOutgoingStreams
    | AddIncomingStreams
)

MAX_STREAM_IDS: Final = 736
"""Streams in one request, of ours or of the peer: it bounds what a packet costs.  No packet of an
Ethernet has room for more."""
_SCAN: Final = 64
"""Streams that are not ready yet which one packet looks at; the next packet looks at others."""


class ResettableSendQueue(Protocol):
    """What resets need of the queue of messages to send."""

    @property
    def is_drained(self) -> bool: ...
    @property
    def is_between_messages(self) -> bool: ...
    @property
    def is_all_idle(self) -> bool: ...
    def is_idle(self, stream_id: int) -> bool: ...
    def pause(self, stream_id: int) -> None: ...
    def pause_all(self) -> None: ...
    def reset_stream(self, stream_id: int) -> None: ...
    def reset_all(self) -> None: ...
    def resume(self, stream_id: int) -> None: ...
    def resume_all(self) -> None: ...
    def hold(self) -> None: ...
    def end_hold(self) -> None: ...
    def suspend(self) -> None: ...
    def end_suspension(self) -> None: ...
    def reset_numbers(self) -> None: ...


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


@dataclass(slots=True)
class DeferredReset:
    """A reset by the peer that waits for the data before it (RFC 6525 §5.2.2 E2)."""

    sn: int
    last_tsn: int
    stream_ids: tuple[int, ...]


class OwnRequest:
    """The request of ours that the peer has not answered yet."""

    __slots__ = (
        *("added", "busy", "chunk", "due", "expiries", "in_progress", "parameter", "refusals"),
        *("repeated", "sn"),
    )

    def __init__(self, sn: int, parameter: OwnParameter) -> None:
        self.refusals = 0
        self._begin(sn, parameter)

    def _begin(self, sn: int, parameter: OwnParameter) -> None:
        self.sn = sn
        self.parameter = parameter
        self.chunk = ReConfig((parameter,)).encode()
        self.due = True
        self.expiries = 0
        self.in_progress = False
        """The peer has said that it works on it: its silence is no error (RFC 6525 §5.2.7 H2)."""
        self.repeated = False
        """Sent again after the peer said that it works on it."""
        self.added = False
        """The peer has added as many streams as this asks for, but does not say why."""
        self.busy = False
        """The peer was busy with another request: to be asked anew when the timer expires."""

    def answers_to(self, response_sn: int) -> bool:
        """Whether this is the request with that number, as on the wire."""
        return response_sn == self.sn & MASK32

    def renumber(self, sn: int) -> None:
        """Ask the same again as a new request.

        The last TSN of a stream reset remains what it was: the streams have been paused since
        (§5.1.2 A1).
        """
        self._begin(sn, replace(self.parameter, request_sn=sn & MASK32))


class WaitingStreams:
    """Streams to be reset as soon as all that was queued on them has been sent."""

    __slots__ = ("_ids", "_send_queue")

    def __init__(self, send_queue: ResettableSendQueue) -> None:
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
