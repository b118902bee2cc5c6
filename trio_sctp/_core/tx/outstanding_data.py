"""What was sent and is not acknowledged cumulatively: every DATA chunk and the state it is in.

A SACK costs what it newly acknowledges plus its gap blocks, whatever a peer puts into it:

* Chunks are found by their TSN in a dict, never searched for.
* What earlier SACKs acknowledged beyond the cumulative TSN is kept as sorted ranges; the new ranges
  minus the old ones is what is new, the old minus the new is what the peer has taken back.
* Miss indications (RFC 9260 §7.2.4) are not counted chunk by chunk.  A SACK counts against every missing
  TSN below the highest one that it newly acknowledges (HTNA).  Hence a TSN has three of them exactly if
  it is below the third highest HTNA seen so far.  That mark only ever rises, and a pointer that follows
  it visits each TSN once.
* Chunks of an abandoned message (RFC 3758) stay until the peer's cumulative TSN ack has passed them,
  but count as acknowledged at once: they are neither in flight nor sent again.
* Data that a peer has taken back may be acknowledged and taken back again for the price of one small
  SACK.  After `MAX_RENEGED_CHUNKS` a peer's gap ack blocks are ignored: they are advisory (§7.1).
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .policies import Policy
    from .send_queue import OutgoingMessage

__all__ = [
    "ABANDONED",
    "ACKED",
    "IN_FLIGHT",
    "MARKED",
    "OutstandingChunk",
    "OutstandingData",
    "Range",
]

IN_FLIGHT: Final = 0
ACKED: Final = 1
"""Acknowledged by a gap ack block; the peer may still take that back."""
MARKED: Final = 2
"""To be retransmitted, and not in flight until then."""
ABANDONED: Final = 3
"""Given up with its message (RFC 3758 §3.4): as good as acknowledged."""

MISS_INDICATIONS = 3
MAX_RENEGED_CHUNKS = 2**16

Range = tuple[int, int]
"""The first and the last TSN of a run."""


class OutstandingChunk:
    """A DATA chunk that was sent; its bytes are built once and kept for retransmission."""

    __slots__ = ("fast_retransmitted", "message", "payload_size", "state", "tsn", "wire")

    def __init__(self, tsn: int, wire: bytes, payload_size: int, message: OutgoingMessage) -> None:
        self.tsn = tsn
        self.wire = wire
        self.payload_size = payload_size
        self.message = message
        self.state = IN_FLIGHT
        self.fast_retransmitted = False


class OutstandingData:
    """The chunks between the cumulative TSN ack point and the next TSN.  TSNs are unwrapped."""

    __slots__ = (
        "_htna",
        "_marked",
        "_reneged_chunks",
        "_scanned",
        "abandoned_count",
        "acked_messages",
        "chunks",
        "cumulative_tsn_ack",
        "flight_payload",
        "flight_size",
        "gap_ranges",
        "lost",
        "marked_count",
        "next_tsn",
    )

    def __init__(self, initial_tsn: int) -> None:
        self.next_tsn = initial_tsn
        self.cumulative_tsn_ack = initial_tsn - 1
        self.chunks: dict[int, OutstandingChunk] = {}
        self.flight_size = 0
        """Bytes in flight, with chunk headers and padding."""
        self.flight_payload = 0
        """User data in flight, as the peer's receiver window counts it."""
        self.gap_ranges: list[Range] = []
        self.marked_count = 0
        self.abandoned_count = 0
        self.lost: list[OutstandingChunk] = []
        """Chunks of messages with a policy that were marked; whoever reads it clears it."""
        self.acked_messages: list[OutgoingMessage] = []
        """Messages that the peer has wholly; whoever reads it clears it."""
        self._marked: list[int] = []  # a heap; may hold TSNs that were acknowledged since
        self._htna: list[int] = []  # the three highest, ascending
        self._scanned = initial_tsn
        self._reneged_chunks = 0

    def add(self, wire: bytes, payload_size: int, message: OutgoingMessage) -> None:
        """A chunk goes out for the first time, under `next_tsn`."""
        tsn = self.next_tsn
        self.chunks[tsn] = OutstandingChunk(tsn, wire, payload_size, message)
        self.next_tsn = tsn + 1
        self.flight_size += len(wire)
        self.flight_payload += payload_size
        if message.policy is not None:
            message.policy.tsns.append(tsn)

    # -- acknowledgements --------------------------------------------------------------------------

    def acknowledge_to(self, cumulative_tsn_ack: int) -> int:
        """Everything up to here has arrived; returns the bytes that this newly acknowledges."""
        pop = self.chunks.pop
        finished = self.acked_messages
        flight = flight_payload = marked = marked_size = abandoned = 0
        for tsn in range(self.cumulative_tsn_ack + 1, cumulative_tsn_ack + 1):
            chunk = pop(tsn)
            payload_size = chunk.payload_size
            if chunk.state == IN_FLIGHT:
                flight += len(chunk.wire)
                flight_payload += payload_size
            elif chunk.state == MARKED:
                marked += 1
                marked_size += len(chunk.wire)
            elif chunk.state == ABANDONED:
                abandoned += 1
            message = chunk.message
            message.unacked = unacked = message.unacked - payload_size
            if not unacked:
                finished.append(message)
        self.flight_size -= flight
        self.flight_payload -= flight_payload
        self.marked_count -= marked
        self.abandoned_count -= abandoned
        self.cumulative_tsn_ack = cumulative_tsn_ack
        if self.gap_ranges and self.gap_ranges[0][0] <= cumulative_tsn_ack:
            self.gap_ranges = _above(self.gap_ranges, cumulative_tsn_ack)
        return flight + marked_size

    def acknowledge_ranges(self, ranges: list[Range]) -> tuple[int, int | None, bool]:
        """What the gap ack blocks say, as sorted ranges above the cumulative TSN ack.

        Returns the bytes newly acknowledged, the TSN below which this is a miss indication for all
        that is missing (HTNA) and whether the peer took back what it had acknowledged before.
        """
        old = self.gap_ranges
        if self._reneged_chunks > MAX_RENEGED_CHUNKS:
            ranges = []
        if ranges == old:
            return 0, None, False
        self.gap_ranges = ranges
        newly_acked = 0
        htna: int | None = None
        chunks = self.chunks
        for first, last in _subtract(ranges, old):
            for tsn in range(first, last + 1):
                chunk = chunks[tsn]
                size = len(chunk.wire)
                if chunk.state == IN_FLIGHT:
                    self.flight_size -= size
                    self.flight_payload -= chunk.payload_size
                elif chunk.state == MARKED:
                    self.marked_count -= 1
                else:  # abandoned; it was not lost, however (RFC 3758 §3.5 A2, F5)
                    chunk.fast_retransmitted = True
                    continue
                newly_acked += size
                chunk.state = ACKED
            htna = last
        reneged = _subtract(old, ranges)
        if reneged:
            htna = max(htna or 0, self._take_back(reneged))
        return newly_acked, htna, bool(reneged)

    def _take_back(self, reneged: list[Range]) -> int:
        """These are missing again (§6.2.1 D iii); returns the TSN above the last of them."""
        for first, last in reneged:
            self._reneged_chunks += last - first + 1
            for tsn in range(first, last + 1):
                chunk = self.chunks[tsn]
                if chunk.state == ACKED:
                    self._put_in_flight(chunk)
        # earlier miss indications were not for these: count anew
        self._htna.clear()
        self._scanned = min(self._scanned, reneged[0][0])
        return reneged[-1][1] + 1

    def is_acknowledged(self, tsn: int) -> bool:
        chunk = self.chunks.get(tsn)
        return chunk is None or chunk.state == ACKED

    # -- losses ------------------------------------------------------------------------------------

    def count_misses(self, htna: int) -> bool:
        """One miss indication for all that is missing below ``htna``.

        True if some TSNs have three now: they are marked for retransmission (§7.2.4 step 1).
        """
        highest = self._htna
        if len(highest) < MISS_INDICATIONS:
            highest.append(htna)
        elif htna <= highest[0]:
            return False
        else:
            highest[0] = htna
        highest.sort()
        if len(highest) < MISS_INDICATIONS:
            return False
        return self._mark_missing_below(highest[0])

    def _mark_missing_below(self, end: int) -> bool:
        found = False
        for tsn in range(max(self._scanned, self.cumulative_tsn_ack + 1), end):
            chunk = self.chunks[tsn]
            # step 5: no chunk is fast retransmitted twice
            if chunk.fast_retransmitted:
                continue
            if chunk.state == IN_FLIGHT:
                self._mark(chunk)
                heappush(self._marked, tsn)
            elif chunk.state != ABANDONED:
                continue
            # RFC 3758 §3.5 F5: a loss is a sign of congestion, abandoned or not
            chunk.fast_retransmitted = True
            found = True
        self._scanned = max(self._scanned, end)
        return found

    def mark_all(self) -> None:
        """All that is in flight counts as lost; what gap ack blocks acknowledged does not."""
        first = self.cumulative_tsn_ack + 1
        if self.gap_ranges and self.gap_ranges[0][0] == first:
            # The peer contradicts itself: by its cumulative TSN ack it misses this one.  Nobody else
            # would ever send it again.
            self.acknowledge_ranges(_above(self.gap_ranges, first))
        for chunk in self.chunks.values():
            if chunk.state == IN_FLIGHT:
                self._mark(chunk)
        self._marked = [tsn for tsn, chunk in self.chunks.items() if chunk.state == MARKED]
        # misses are counted anew, of what is sent from here on
        self._htna.clear()
        self._scanned = first

    def _mark(self, chunk: OutstandingChunk) -> None:
        chunk.state = MARKED
        self.marked_count += 1
        self.flight_size -= len(chunk.wire)
        self.flight_payload -= chunk.payload_size
        if chunk.message.policy is not None:
            self.lost.append(chunk)

    def mark_again(self, tsn: int) -> None:
        """A chunk that the peer had acknowledged and has taken back counts as lost at once."""
        chunk = self.chunks[tsn]
        if chunk.state == IN_FLIGHT:
            self._mark(chunk)
            heappush(self._marked, tsn)

    def _put_in_flight(self, chunk: OutstandingChunk) -> None:
        chunk.state = IN_FLIGHT
        self.flight_size += len(chunk.wire)
        self.flight_payload += chunk.payload_size

    def first_marked(self) -> OutstandingChunk | None:
        """The marked chunk with the lowest TSN."""
        marked, chunks = self._marked, self.chunks
        while marked:
            chunk = chunks.get(marked[0])
            if chunk is not None and chunk.state == MARKED:
                return chunk
            heappop(marked)
        return None

    def retransmit(self, chunk: OutstandingChunk) -> None:
        """The chunk that `first_marked` gave goes out again."""
        heappop(self._marked)
        self.marked_count -= 1
        self._put_in_flight(chunk)
        if chunk.message.policy is not None:
            chunk.message.policy.count_retransmission(chunk.tsn)

    # -- abandoned messages (RFC 3758) -------------------------------------------------------------

    def abandon(self, message: OutgoingMessage, policy: Policy) -> None:
        """Give up all chunks of a message."""
        for tsn in policy.tsns:
            chunk = self.chunks.get(tsn)
            if chunk is not None:
                self._abandon(chunk)

    def abandon_unsent(self, message: OutgoingMessage, policy: Policy, size: int) -> None:
        """Give up the end of a message, of so many bytes, that no chunk was made of: it gets a TSN."""
        tsn = self.next_tsn
        self.chunks[tsn] = chunk = OutstandingChunk(tsn, b"", size, message)
        chunk.state = ABANDONED
        chunk.fast_retransmitted = True  # it cannot be lost
        policy.tsns.append(tsn)
        self.next_tsn = tsn + 1
        self.abandoned_count += 1

    def is_abandoned(self, tsn: int) -> bool:
        chunk = self.chunks.get(tsn)
        return chunk is not None and chunk.state == ABANDONED

    def _abandon(self, chunk: OutstandingChunk) -> None:
        if chunk.state == IN_FLIGHT:
            self.flight_size -= len(chunk.wire)
            self.flight_payload -= chunk.payload_size
        else:
            self.marked_count -= chunk.state == MARKED
            chunk.fast_retransmitted = True  # that it was lost, or not, has had its effect
        chunk.state = ABANDONED
        chunk.wire = b""
        self.abandoned_count += 1


def _above(ranges: Sequence[Range], tsn: int) -> list[Range]:
    """The part of the ranges that is above ``tsn``."""
    return [(max(first, tsn + 1), last) for first, last in ranges if last > tsn]


def _subtract(ranges: Sequence[Range], others: Sequence[Range]) -> list[Range]:
    """What is in the first sorted ranges and not in the second ones, in one walk along both."""
    result: list[Range] = []
    index, count = 0, len(others)
    for first, last in ranges:
        while index < count and others[index][1] < first:
            index += 1
        i = index
        while i < count and others[i][0] <= last:
            other_first, other_last = others[i]
            if other_first > first:
                result.append((first, other_first - 1))
            first = other_last + 1
            i += 1
        index = max(index, i - 1)
        if first <= last:
            result.append((first, last))
    return result
