"""Reassembly of messages that came in DATA chunks (RFC 9260 §6.9), and their order (§6.6).

The fragments of a message carry successive TSNs, so what has arrived of it is kept as runs of fragments
that touch: a fragment joins the run that ends just before it, the run that begins just after it, both,
or starts one.  Runs are found by the TSNs of their edges; each fragment costs the same however many are
held, and the payloads are joined once, when the message is whole.

Fragments that contradict each other are a violation of the protocol and are reported in words; the
association ends with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

from ..._wire.chunks import Data
from ..._wire.data_encoding import DATA_HEADER_SIZE, DATA_LAYOUT, UNORDERED, WHOLE
from ..._wire.packet import COMMON_HEADER_SIZE
from ..._wire.serial import MASK16, MASK32
from ..events import Message, new_message
from .data_tracker import DataTracker
from .ordering import FRAGMENT_OVERHEAD, HELD_OVERHEAD, MessageOrdering

__all__ = ["ReassemblyQueue"]

RUN_OVERHEAD: Final = 384
"""Charged for each run, besides its fragments."""
MAX_RUNS: Final = 512
"""Runs that there may be: what begins another one is dropped, unless it is next in order.  It bounds
what a FORWARD TSN costs that gives them up."""

_PAYLOAD: Final = COMMON_HEADER_SIZE + DATA_HEADER_SIZE

_unpack_data = DATA_LAYOUT.unpack_from

TOO_LONG: Final = "a message is longer than we accept"
BEGINS_WITHIN: Final = "a message begins within another"
NO_BEGINNING: Final = "a fragment follows the end of a message"
NO_END: Final = "a fragment is followed by the beginning of another message"
MIXED: Final = "fragments of one message differ in stream, SSN or U flag"


class _Run:
    """Successive fragments of one message that is not whole yet."""

    __slots__ = (
        "begins",
        "ends",
        "first_tsn",
        "front",
        "last_tsn",
        "parts",
        "ppid",
        "size",
        "ssn",
        "stream_id",
        "unordered",
    )

    def __init__(self, chunk: Data, tsn: int) -> None:
        self.first_tsn = self.last_tsn = tsn
        self.begins = chunk.beginning
        self.ends = chunk.ending
        self.stream_id = chunk.stream_id
        self.unordered = chunk.unordered
        self.ssn = chunk.ssn
        self.ppid = chunk.ppid
        self.parts = [chunk.payload]
        self.front: list[bytes] = []  # what came before `parts`, the last fragment first
        self.size = len(chunk.payload)

    @property
    def charge(self) -> int:
        fragments = self.last_tsn - self.first_tsn + 1
        return RUN_OVERHEAD + self.size + fragments * FRAGMENT_OVERHEAD

    def matches(self, chunk: Data | _Run) -> bool:
        """Whether a fragment, or a run, may be of the same message (RFC 9260 §3.3.1)."""
        return (
            self.stream_id == chunk.stream_id
            and self.unordered == chunk.unordered
            and (self.unordered or self.ssn == chunk.ssn)  # U set: the SSN is to be ignored
        )

    def append(self, chunk: Data) -> None:
        self.parts.append(chunk.payload)
        self.size += len(chunk.payload)
        self.last_tsn += 1
        self.ends = chunk.ending

    def absorb(self, later: _Run) -> _Run:
        """Join with the run that follows, moving the shorter of the two; return the joint run."""
        if self.last_tsn - self.first_tsn >= later.last_tsn - later.first_tsn:
            self.parts += later.payloads()
            self.size += later.size
            self.last_tsn = later.last_tsn
            self.ends = later.ends
            return self
        later.front += reversed(self.payloads())
        later.size += self.size
        later.first_tsn = self.first_tsn
        later.begins = self.begins
        later.ppid = self.ppid
        return later

    def payloads(self) -> list[bytes]:
        return [*reversed(self.front), *self.parts] if self.front else self.parts


class ReassemblyQueue(MessageOrdering):
    """What has been received in DATA chunks and is not complete, or not in turn yet."""

    __slots__ = ("_by_first", "_by_last", "_max_message_size", "_orphaned_tsn", "_tracker")
    sequence_mask: ClassVar[int] = MASK16

    def __init__(self, max_message_size: int, tracker: DataTracker) -> None:
        """``tracker`` tells which TSNs have arrived; it knows of a chunk before it is added."""
        super().__init__()
        self._max_message_size = max_message_size
        self._tracker = tracker
        self._by_first: dict[int, _Run] = {}
        self._by_last: dict[int, _Run] = {}
        self._orphaned_tsn: int | None = None

    def add(self, chunk: Data, tsn: int) -> str | None:
        """Take in a chunk whose TSN is new; return in words what makes it a protocol violation."""
        if chunk.beginning and chunk.ending:
            # The usual cases first: a whole message in its turn ...
            if not self._by_last and not self._waiting and not self._holding:
                payload = chunk.payload
                stream_id, ssn = chunk.stream_id, chunk.ssn
                unordered = chunk.unordered
                expected = self._expected.get(stream_id, 0)
                size = len(payload)
                if (unordered or ssn == expected & MASK16) and size <= self._max_message_size:
                    if unordered:
                        ssn = 0
                    else:
                        self._expected[stream_id] = expected + 1
                    self.charge += HELD_OVERHEAD + size
                    wire = chunk.tsn
                    fields = stream_id, chunk.ppid, payload, unordered, ssn, wire, wire
                    self.ready.append(new_message(Message, fields))
                    return None
            return self._add_whole(chunk, tsn)
        run = self._by_last.get(tsn - 1)
        if (
            run is None
            or chunk.beginning
            or run.ends
            or chunk.stream_id != run.stream_id
            or chunk.unordered is not run.unordered
            or (chunk.ssn != run.ssn and not run.unordered)
            or (tsn != self._tracker.cumulative_tsn_ack and tsn != self._tracker.highest_tsn)
        ):
            return self._insert(chunk, tsn)
        # ... and the next fragment of a message, which nothing follows yet.
        payload = chunk.payload
        size = len(payload)
        run.parts.append(payload)
        run.last_tsn = tsn
        run.size += size
        size += FRAGMENT_OVERHEAD
        self.charge += size
        self.unfinished += size
        del self._by_last[tsn - 1]
        self._by_last[tsn] = run
        if chunk.ending:
            run.ends = True
            return self._complete(run) if run.begins else None
        return TOO_LONG if run.size > self._max_message_size else None

    def has_place_for(self, chunk: Data, tsn: int) -> bool:
        return (
            len(self._by_first) < MAX_RUNS
            or (chunk.beginning and chunk.ending)
            or tsn - 1 in self._by_last
            or tsn + 1 in self._by_first
            or tsn == self._tracker.cumulative_tsn_ack + 1
        )

    def add_middle(self, packet: bytes, tsn: int) -> bool:
        _, flags, length, _, stream_id, ssn, _ = _unpack_data(packet, COMMON_HEADER_SIZE)
        if packet[COMMON_HEADER_SIZE] != Data.type or length != len(packet) - COMMON_HEADER_SIZE:
            return False
        run = self._by_last.get(tsn - 1)
        if (
            run is None
            or (flags & UNORDERED != 0) != run.unordered
            or run.ends
            or stream_id != run.stream_id
            or (ssn != run.ssn and not run.unordered)
        ):
            return False
        size = length - DATA_HEADER_SIZE
        if not size or run.size + size > self._max_message_size:
            return False
        run.parts.append(packet[_PAYLOAD:])
        run.last_tsn = tsn
        run.size += size
        size += FRAGMENT_OVERHEAD
        self.charge += size
        self.unfinished += size
        del self._by_last[tsn - 1]
        self._by_last[tsn] = run
        return True

    def most_to_follow(self, packet: bytes, tsn: int, size: int) -> int:
        run = self._by_last.get(tsn)
        return 0 if run is None else (self._max_message_size - run.size) // size

    def add_following(self, packet: bytes, tsn: int, payloads: list[bytes]) -> None:
        run = self._by_last.pop(tsn)
        count, size = len(payloads), sum(map(len, payloads))
        run.parts += payloads
        run.last_tsn += count
        run.size += size
        size += count * FRAGMENT_OVERHEAD
        self.charge += size
        self.unfinished += size
        self._by_last[run.last_tsn] = run

    def add_whole(self, packet: bytes, offset: int, inbound_streams: int) -> bool:
        kind, flags, length, tsn, stream_id, ssn, ppid = _unpack_data(packet, offset)
        size = length - DATA_HEADER_SIZE
        expected = self._expected.get(stream_id, 0)
        unordered = flags & UNORDERED != 0
        if (
            kind != Data.type
            or flags & WHOLE != WHOLE
            or size <= 0
            or length + 3 & ~3 != len(packet) - offset
            or not (unordered or ssn == expected & MASK16)
            or stream_id >= inbound_streams
            or size > self._max_message_size
            or self._by_last
            or self._waiting
            or self._holding
        ):
            return False
        if unordered:
            ssn = 0
        else:
            self._expected[stream_id] = expected + 1
        self.charge += HELD_OVERHEAD + size
        begin = offset + DATA_HEADER_SIZE
        fields = stream_id, ppid, packet[begin : begin + size], unordered, ssn, tsn, tsn
        self.ready.append(new_message(Message, fields))
        return True

    def head_charge(self, cumulative_tsn_ack: int) -> int:
        """What the message weighs that ends, for now, where the unbroken sequence of TSNs ends."""
        run = self._by_last.get(cumulative_tsn_ack)
        return 0 if run is None else run.charge

    def forward_tsn(
        self, old_cumulative_tsn: int, new_cumulative_tsn: int, streams: Sequence[tuple[int, int]]
    ) -> None:
        """Give up what the peer has abandoned (RFC 3758 §3.6): partial messages and lost turns."""
        self._orphaned_tsn = new_cumulative_tsn
        for run in self._runs_reached(old_cumulative_tsn, new_cumulative_tsn):
            if not run.begins or run.last_tsn < new_cumulative_tsn:
                self._drop_run(run)
                self._orphaned_tsn = max(self._orphaned_tsn, run.last_tsn)
        for stream_id, ssn in streams:
            self._skip(stream_id, ssn, new_cumulative_tsn)
        # A message cut exactly at the new point is given up if its turn has passed.
        last = self._by_last.get(new_cumulative_tsn)
        if last is not None and not last.unordered and self._is_behind(last.stream_id, last.ssn):
            self._drop_run(last)

    def _drop_unfinished_before(self, tsn: int) -> None:
        for run in [run for run in self._by_first.values() if run.first_tsn < tsn]:
            self._drop_run(run)
        self._orphaned_tsn = tsn - 1

    # -- whole messages ----------------------------------------------------------------------------

    def _add_whole(self, chunk: Data, tsn: int) -> str | None:
        left, right = self._by_last.get(tsn - 1), self._by_first.get(tsn + 1)
        size = len(chunk.payload)
        if left is not None and not left.ends:
            return BEGINS_WITHIN
        if right is not None and not right.begins:
            return NO_BEGINNING
        if size > self._max_message_size:
            return TOO_LONG
        self.charge += HELD_OVERHEAD + size
        ssn = 0 if chunk.unordered else chunk.ssn
        message = Message(
            chunk.stream_id, chunk.ppid, chunk.payload, chunk.unordered, ssn, chunk.tsn, chunk.tsn
        )
        self._finish(message, tsn, tsn)
        return None

    # -- fragments ---------------------------------------------------------------------------------

    def _insert(self, chunk: Data, tsn: int) -> str | None:
        """A fragment in any place: join it with the runs that it touches."""
        left, right = self._by_last.get(tsn - 1), self._by_first.get(tsn + 1)
        problem = self._contradiction(chunk, tsn, left, right)
        if problem is not None:
            return problem
        if left is None and not chunk.beginning and tsn - 1 == self._orphaned_tsn:
            self._orphan(chunk, tsn, right)
            return None
        if left is not None and not chunk.beginning:
            left.append(chunk)
            del self._by_last[tsn - 1]
            run = left
        else:
            run = _Run(chunk, tsn)
            self._by_first[tsn] = run
            self.charge += RUN_OVERHEAD
            self.unfinished += RUN_OVERHEAD
        self.charge += FRAGMENT_OVERHEAD + len(chunk.payload)
        self.unfinished += FRAGMENT_OVERHEAD + len(chunk.payload)
        if right is not None and not chunk.ending:
            run = self._join(run, right)
        else:
            self._by_last[tsn] = run
        if run.size > self._max_message_size:
            return TOO_LONG
        return self._complete(run) if run.begins and run.ends else None

    def _contradiction(
        self, chunk: Data, tsn: int, left: _Run | None, right: _Run | None
    ) -> str | None:
        """What is wrong with a fragment between its neighbours (RFC 9260 §3.3.1 and §6.9).

        Where a neighbour has arrived and is in no run, it was part of a whole message.
        """
        if chunk.beginning:
            if left is not None and not left.ends:
                return BEGINS_WITHIN
        elif left is not None:
            if left.ends:
                return NO_BEGINNING
            if not left.matches(chunk):
                return MIXED
        elif tsn - 1 in self._tracker and tsn - 1 != self._orphaned_tsn:
            return NO_BEGINNING
        if chunk.ending:
            if right is not None and not right.begins:
                return NO_BEGINNING
        elif right is not None:
            if right.begins:
                return NO_END
            if not right.matches(chunk):
                return MIXED
        elif tsn + 1 in self._tracker:
            return NO_END
        return None

    def _join(self, left: _Run, right: _Run) -> _Run:
        """Join two runs that touch; ``left`` is not in `_by_last` any more, or not yet."""
        self.charge -= RUN_OVERHEAD
        self.unfinished -= RUN_OVERHEAD
        del self._by_first[right.first_tsn]
        run = left.absorb(right)
        self._by_first[run.first_tsn] = run
        self._by_last[run.last_tsn] = run
        return run

    def _complete(self, run: _Run) -> str | None:
        """All of a message is there."""
        if run.size > self._max_message_size:
            return TOO_LONG
        first_tsn, last_tsn = run.first_tsn, run.last_tsn
        self._drop_run(run)
        self.charge += HELD_OVERHEAD + run.size
        message = Message(
            run.stream_id,
            run.ppid,
            b"".join(run.payloads()),
            run.unordered,
            0 if run.unordered else run.ssn,
            first_tsn & MASK32,
            last_tsn & MASK32,
        )
        self._finish(message, first_tsn, last_tsn)
        return None

    def _drop_run(self, run: _Run) -> None:
        del self._by_first[run.first_tsn]
        del self._by_last[run.last_tsn]
        self.charge -= run.charge
        self.unfinished -= run.charge

    # -- abandoned messages (RFC 3758) -------------------------------------------------------------

    def _runs_reached(self, old_cumulative_tsn: int, new_cumulative_tsn: int) -> list[_Run]:
        """The runs that begin at most one above the new point, found in the cheaper of two ways."""
        if new_cumulative_tsn - old_cumulative_tsn > len(self._by_first):
            return [r for r in self._by_first.values() if r.first_tsn <= new_cumulative_tsn + 1]
        tsns = range(old_cumulative_tsn + 1, new_cumulative_tsn + 2)
        reached = [self._by_first[tsn] for tsn in tsns if tsn in self._by_first]
        head = self._by_last.get(old_cumulative_tsn)
        if head is not None:
            reached.append(head)
        return reached

    def _orphan(self, chunk: Data, tsn: int, right: _Run | None) -> None:
        """The rest of a message whose beginning was given up: there is no use for it.

        A peer ought to give up whole messages, but not every one does.
        """
        self._orphaned_tsn = None if chunk.ending else tsn
        if right is not None and not chunk.ending:
            self._orphaned_tsn = None if right.ends else right.last_tsn
            self._drop_run(right)
