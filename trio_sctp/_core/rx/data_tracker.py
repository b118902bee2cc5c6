"""Which TSNs have arrived: the cumulative TSN ack, the gaps above it and the duplicates.

What lies above the cumulative TSN ack is kept as one byte for each TSN, so that taking a chunk in,
recognising a duplicate and closing a gap cost the same however many gaps there are.  Nothing is kept
while TSNs arrive in order.

A SACK repeats most of the gap ack blocks of the one before it.  So where the lowest runs begin and end
is kept as well, as far as SACKs have told of it: what fills a gap there changes that, and the next SACK
looks only for what has come above.
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
_MAX_BOUNDS: Final = 1024  # kept between SACKs; those that are forgotten are found again


class DataTracker:
    """The received TSNs of one association.  All TSNs are unwrapped ints."""

    __slots__ = ("_bounds", "above", "cumulative_tsn_ack", "duplicates")

    def __init__(self, initial_tsn: int) -> None:
        self.cumulative_tsn_ack = initial_tsn - 1
        self.above = bytearray()
        """Item i is 1 if the TSN ``cumulative_tsn_ack + 1 + i`` has arrived, otherwise 0.  Empty unless
        there is a gap; then it begins with a 0 and ends with a 1."""
        self._bounds: list[int] = []
        """The first and the last TSN of each of the lowest runs, as the latest SACK has told of them and
        with what has filled gaps since: the last run may have become longer."""
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
        """A TSN has come below others: it joins the run before it, the one behind it, both or none."""
        bounds = self._bounds
        if not bounds or tsn > bounds[-1]:
            return
        index = bisect_left(bounds, tsn)
        left = index > 0 and bounds[index - 1] == tsn - 1
        right = bounds[index] == tsn + 1
        bounds[index - left : index + right] = [tsn] * (2 - left - right)
        del bounds[_MAX_BOUNDS:]

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
        cumulative, bounds = self.cumulative_tsn_ack, self._bounds
        del bounds[: bisect_right(bounds, cumulative)]
        self._look_on(2 * max_blocks)
        offsets = [tsn - cumulative for tsn in bounds[: 2 * max_blocks]]
        del bounds[_MAX_BOUNDS:]
        return offsets

    def _look_on(self, most: int) -> None:
        """Find up to so many bounds, above those that are known."""
        bounds, find, cumulative = self._bounds, self.above.find, self.cumulative_tsn_ack
        if len(bounds) > most:
            return
        limit = min(len(self.above), _MAX_OFFSET)
        at = 0
        if bounds:  # the last run may have become longer
            at = find(0, bounds.pop() - cumulative, limit)
            bounds.append(cumulative + (at if at >= 0 else limit))
        while at >= 0 and len(bounds) < most and (start := find(1, at, limit)) >= 0:
            at = find(0, start, limit)
            bounds += cumulative + start + 1, cumulative + (at if at >= 0 else limit)

    def take_duplicates(self, max_duplicates: int) -> list[int]:
        """TSNs as on the wire that arrived again since the last call, once for each time."""
        duplicates, self.duplicates = self.duplicates, []
        return duplicates[:max_duplicates]

    def _advance(self) -> None:
        """Move the cumulative TSN ack up to the next TSN that is missing."""
        arrived = self.above.find(0)
        if arrived < 0:
            arrived = len(self.above)
            self._bounds.clear()
        self.cumulative_tsn_ack += arrived
        del self.above[:arrived]
