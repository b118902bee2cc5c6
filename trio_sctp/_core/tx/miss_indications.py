"""Fast retransmit as in RFC 9260 §7.2.4: lost is what three SACKs have reported missing.

Indications are not counted chunk by chunk.  A SACK counts against every missing TSN below the highest
one that it newly acknowledges (HTNA).  Hence a TSN has three of them exactly if it is below the third
highest HTNA seen so far.  That mark only ever rises, and a pointer that follows it visits each TSN once.

A retransmission that is lost is not found this way (step 5): T3-rtx has to expire.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from .loss_recovery import LossRecovery, TimeoutAction
from .outstanding_data import ABANDONED, IN_FLIGHT, SACK_STEP, OutstandingData

__all__ = ["MissIndications"]

_ENOUGH: Final = 3


class MissIndications(LossRecovery):
    """Counts miss indications by the HTNA algorithm."""

    __slots__ = ("_highest", "_scanned")

    def __init__(self, data: OutstandingData, pmdcs: int) -> None:
        super().__init__(data, pmdcs)
        self.restart(data)

    def restart(self, data: OutstandingData) -> None:
        super().restart(data)
        self._count_anew(data.cumulative_tsn_ack + 1)

    def all_marked(self) -> None:
        super().all_marked()
        self._count_anew(self._data.cumulative_tsn_ack + 1)

    def _count_anew(self, first: int) -> None:
        self._highest: list[int] = []  # the three highest HTNAs, ascending
        self._scanned = first

    def find_losses(
        self, htna: int | None, duplicates: Sequence[int], now: float, *, advanced: bool
    ) -> bool:
        data = self._data
        if data.reneged:  # §6.2.1 D iii: earlier miss indications were not for these
            self._count_anew(min(self._scanned, min([chunk.tsn for chunk in data.reneged])))
            data.reneged.clear()
        if self.exit_point is not None and advanced and data.gap_bounds:
            # in recovery all that is reported missing counts
            htna = max(htna or 0, data.gap_bounds[-1])
        return htna is not None and self._count(htna, now)

    def handle_timeout(self, now: float) -> TimeoutAction:
        found = len(self._highest) == _ENOUGH and self._mark_missing_below(self._highest[0], now)
        return TimeoutAction.REPAIR if found else TimeoutAction.NOTHING

    def _count(self, htna: int, now: float) -> bool:
        """One miss indication for all that is missing below ``htna``; True if some have three now."""
        highest = self._highest
        if len(highest) < _ENOUGH:
            highest.append(htna)
        elif htna <= highest[0]:
            return False
        else:
            highest[0] = htna
        highest.sort()
        if len(highest) < _ENOUGH:
            return False
        return self._mark_missing_below(highest[0], now)

    def _mark_missing_below(self, end: int, now: float) -> bool:
        """True if anything is; where there are many, the others are for the timer, due at once."""
        data = self._data
        found = False
        first = max(self._scanned, data.cumulative_tsn_ack + 1)
        if end - first > SACK_STEP:
            end = first + SACK_STEP
            self.timer.start_at(now)
        for tsn in range(first, end):
            chunk = data.chunks[tsn]
            if chunk.loss_counted:  # step 5: no chunk is fast retransmitted twice
                continue
            if chunk.state == IN_FLIGHT:
                data.mark(chunk)
            elif chunk.state != ABANDONED:
                continue
            # RFC 3758 §3.5 F5: a loss is a sign of congestion, abandoned or not
            chunk.loss_counted = True
            found = True
        self._scanned = max(self._scanned, end)
        return found
