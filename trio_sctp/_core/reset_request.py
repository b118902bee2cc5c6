"""What a stream reset remembers: the request of ours that is on its way, the streams that wait for
the next one, and the peer's reset that waits for data.  `StreamReset` says what happens to them.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import Final, Protocol, TypeAlias

from .._wire.chunks import ReConfig
from .._wire.parameters import IncomingSsnResetRequest, OutgoingSsnResetRequest
from .._wire.serial import MASK32

__all__ = [
    "DeferredReset",
    "OwnParameter",
    "OwnRequest",
    "ReceivingSide",
    "ResettableSendQueue",
    "RetransmissionTimer",
    "SendingSide",
    "WaitingStreams",
]

OwnParameter: TypeAlias = OutgoingSsnResetRequest | IncomingSsnResetRequest

_SCAN: Final = 64
"""Streams that are not ready yet which one packet looks at; the next packet looks at others."""


class ResettableSendQueue(Protocol):
    """What a reset needs of the queue of messages to send."""

    def is_idle(self, stream_id: int) -> bool: ...
    def pause(self, stream_id: int) -> None: ...
    def reset_stream(self, stream_id: int) -> None: ...
    def resume(self, stream_id: int) -> None: ...


class SendingSide(Protocol):
    """What a reset needs to know of the data that was sent."""

    @property
    def next_tsn(self) -> int: ...
    @property
    def cumulative_tsn_ack(self) -> int: ...


class ReceivingSide(Protocol):
    """What a reset needs of the data that was received."""

    @property
    def cumulative_tsn_ack(self) -> int: ...
    def defer_reset(self, stream_ids: tuple[int, ...], last_tsn: int) -> None: ...


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
        *("busy", "chunk", "due", "expiries", "in_progress", "parameter", "refusals", "repeated"),
        "sn",
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
        self.busy = False
        """The peer was busy with another request: to be asked anew when the timer expires."""

    def answers_to(self, response_sn: int) -> bool:
        """Whether this is the request with that number, as on the wire."""
        return response_sn == self.sn & MASK32

    def renumber(self, sn: int) -> None:
        """Ask the same again as a new request.

        The last TSN remains what it was: the streams have been paused since (§5.1.2 A1).
        """
        old = self.parameter
        if isinstance(old, OutgoingSsnResetRequest):
            self._begin(
                sn,
                OutgoingSsnResetRequest(sn & MASK32, old.response_sn, old.last_tsn, old.stream_ids),
            )
        else:
            self._begin(sn, IncomingSsnResetRequest(sn & MASK32, old.stream_ids))


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

    def remove(self, stream_id: int) -> None:
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
