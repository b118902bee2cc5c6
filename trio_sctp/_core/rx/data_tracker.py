"""Which TSNs have arrived: the cumulative TSN ack, the gaps above it and the duplicates.

What lies above the cumulative TSN ack is kept as one byte for each TSN, so that taking a chunk in,
recognising a duplicate and closing a gap cost the same however many gaps there are, and a SACK costs
no more than the gap ack blocks that it reports.  Nothing is kept while TSNs arrive in order.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import Final

from ..._wire.serial import MASK32

__all__ = ["MAX_TSNS_AHEAD", "DataTracker"]

MAX_TSNS_AHEAD: Final = 1 << 17
"""How far above the cumulative TSN ack a TSN is taken: twice as far as a SACK can report (16-bit
offsets, RFC 9260 §3.3.4).  It bounds what one chunk with a forged TSN makes us keep."""

_MAX_OFFSET: Final = 0xFFFF
_MAX_DUPLICATES: Final = 256
# the first 1 by itself, since a literal byte is looked for twenty times as fast as a repetition
_runs_of_ones: Final = re.compile(b"\x01\x01*").finditer
_span: Final = re.Match.span


class DataTracker:
    """The received TSNs of one association.  All TSNs are unwrapped ints."""

    __slots__ = ("duplicates", "above", "cumulative_tsn_ack")

    def __init__(self, initial_tsn: int) -> None:
        self.cumulative_tsn_ack = initial_tsn - 1
        self.above = bytearray()
        """Item i is 1 if the TSN ``cumulative_tsn_ack + 1 + i`` has arrived, otherwise 0.  Empty unless
        there is a gap; then it begins with a 0 and ends with a 1."""
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
            if not offset:
                self._advance()
        return True

    def forward(self, new_cumulative_tsn: int) -> bool:
        """Give up all TSNs up to this one (RFC 3758 §3.6); False if that is no news."""
        ahead = new_cumulative_tsn - self.cumulative_tsn_ack
        if ahead <= 0:
            return False
        self.cumulative_tsn_ack = new_cumulative_tsn
        del self.above[:ahead]
        if self.above and self.above[0]:
            self._advance()
        return True

    def gap_ack_blocks(self, max_blocks: int) -> list[tuple[int, int]]:
        """Gap Ack Blocks, the lowest first (RFC 9260 §6.7): offsets from the cumulative TSN ack."""
        runs = islice(_runs_of_ones(self.above, 0, _MAX_OFFSET), max_blocks)
        return [(start + 1, end) for start, end in map(_span, runs)]

    def take_duplicates(self, max_duplicates: int) -> list[int]:
        """TSNs as on the wire that arrived again since the last call, once for each time."""
        duplicates, self.duplicates = self.duplicates, []
        return duplicates[:max_duplicates]

    def _advance(self) -> None:
        """Move the cumulative TSN ack up to the next TSN that is missing."""
        arrived = self.above.find(0)
        if arrived < 0:
            arrived = len(self.above)
        self.cumulative_tsn_ack += arrived
        del self.above[:arrived]
