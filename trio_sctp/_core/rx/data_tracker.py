"""Which TSNs have arrived: the cumulative TSN ack, the gaps above it and the duplicates.

What lies above the cumulative TSN ack is kept as one byte for each TSN, so that taking a chunk in,
recognising a duplicate and closing a gap cost the same however many gaps there are.  Nothing is kept
while TSNs arrive in order.

A SACK repeats most of the gap ack blocks of the one before it.  So the edges of the lowest runs are
kept as well, as far as SACKs have told of them: what fills a gap there moves them, and the next SACK
looks only at what has come behind them.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import Final

from ..._wire.serial import MASK32

__all__ = ["MAX_TSNS_AHEAD", "DataTracker"]

MAX_TSNS_AHEAD: Final = 1 << 17
"""How far above the cumulative TSN ack a TSN is taken: twice as far as a SACK can report (16-bit
offsets, RFC 9260 §3.3.4).  It bounds what one chunk with a forged TSN makes us keep."""

_MAX_OFFSET: Final = 0xFFFF
_MAX_DUPLICATES: Final = 256
_MAX_EDGES: Final = 1024  # kept between SACKs; those that are forgotten are found again


class DataTracker:
    """The received TSNs of one association.  All TSNs are unwrapped ints."""

    __slots__ = ("_edges", "above", "cumulative_tsn_ack", "duplicates")

    def __init__(self, initial_tsn: int) -> None:
        self.cumulative_tsn_ack = initial_tsn - 1
        self.above = bytearray()
        """Item i is 1 if the TSN ``cumulative_tsn_ack + 1 + i`` has arrived, otherwise 0.  Empty unless
        there is a gap; then it begins with a 0 and ends with a 1."""
        self._edges: list[int] = []
        """The TSNs at which the lowest runs begin and those behind their ends, in turn, of a while ago:
        some may be below the cumulative TSN ack now, and the last run may have become longer."""
        self.duplicates: list[int] = []
        """TSNs as on the wire that have arrived again, for the next SACK."""

    @property
    def highest_tsn(self) -> int:
        """The highest TSN that has arrived."""
        return self.cumulative_tsn_ack + len(self.above)

    def __contains__(self, tsn: int) -> bool:
        offset = tsn - self.cumulative_tsn_ack - 1
        return offset < 0 or (offset < len(self.above) and self.above[offset] == 1)

    def observe(self, tsn: int) -> bool:
        """Take note of a TSN, at most MAX_TSNS_AHEAD ahead; False if it had arrived before.

        A duplicate is remembered for the next SACK.
        """
        above = self.above
        offset = tsn - self.cumulative_tsn_ack - 1
        missing = offset - len(above)
        if missing >= 0:
            if offset:
                above.extend(bytes(missing + 1))
                above[offset] = 1
            else:
                self.cumulative_tsn_ack = tsn
        elif offset < 0 or above[offset]:
            if len(self.duplicates) < _MAX_DUPLICATES:
                self.duplicates.append(tsn & MASK32)
            return False
        else:
            above[offset] = 1
            self._fill(tsn)
            if not offset:
                self._advance()
        return True

    def _fill(self, tsn: int) -> None:
        """A TSN has come below others: what was missing may begin, or end, elsewhere now."""
        edges = self._edges
        if not edges or tsn >= edges[-1]:
            return
        begin = bisect_left(edges, tsn)
        end = begin + (edges[begin] == tsn)  # it joins the run before it, the one behind it, or none
        joint = [] if end > begin else [tsn]
        if edges[end] == tsn + 1:
            end += 1
        else:
            joint.append(tsn + 1)
        edges[begin:end] = joint
        del edges[_MAX_EDGES:]

    def forward(self, new_cumulative_tsn: int) -> bool:
        """Give up all TSNs up to this one (RFC 3758 §3.6); False if that is no news."""
        ahead = new_cumulative_tsn - self.cumulative_tsn_ack
        if ahead <= 0:
            return False
        self.cumulative_tsn_ack = new_cumulative_tsn
        del self.above[:ahead]
        self._advance()
        return True

    def gap_ack_blocks(self, max_blocks: int) -> list[int]:
        """Starts and ends of Gap Ack Blocks in turn, the lowest first (RFC 9260 §6.7).

        They are offsets from the cumulative TSN ack.
        """
        cumulative, edges = self.cumulative_tsn_ack, self._edges
        del edges[: bisect_right(edges, cumulative + 1)]
        self._look_on(2 * max_blocks)
        offsets = [edge - cumulative for edge in edges[: 2 * max_blocks]]
        offsets[1::2] = [behind - 1 for behind in offsets[1::2]]
        del edges[_MAX_EDGES:]
        return offsets

    def _look_on(self, most: int) -> None:
        """Find up to so many edges, behind those that are known."""
        edges, find = self._edges, self.above.find
        if len(edges) > most:
            return
        first = self.cumulative_tsn_ack + 1
        limit = min(len(self.above), _MAX_OFFSET)
        at = 0
        if edges:  # the last run may have become longer
            at = find(0, edges.pop() - first, limit)
            edges.append(first + (at if at >= 0 else limit))
        while at >= 0 and len(edges) < most and (start := find(1, at, limit)) >= 0:
            at = find(0, start, limit)
            edges += first + start, first + (at if at >= 0 else limit)

    def take_duplicates(self, max_duplicates: int) -> list[int]:
        """TSNs as on the wire that arrived again since the last call, once for each time."""
        duplicates, self.duplicates = self.duplicates, []
        return duplicates[:max_duplicates]

    def _advance(self) -> None:
        """Move the cumulative TSN ack up to the next TSN that is missing."""
        arrived = self.above.find(0)
        if arrived < 0:
            arrived = len(self.above)
            self._edges.clear()
        self.cumulative_tsn_ack += arrived
        del self.above[:arrived]
