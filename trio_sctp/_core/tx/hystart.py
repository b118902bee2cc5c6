"""When slow start has found what the path carries, before it overflows: HyStart++ (RFC 9406).

A queue that fills shows in the round trips.  When the shortest one of a round is clearly longer than
that of the round before, growth goes on at a quarter of the pace (Conservative Slow Start); unless the
round trips become shorter again, slow start is over after five such rounds.
"""

from __future__ import annotations

import math
from typing import Final

from .congestion import Delivery

__all__ = ["HyStart"]

MIN_RTT_THRESH: Final = 0.004
MAX_RTT_THRESH: Final = 0.016
MIN_RTT_DIVISOR: Final = 8
N_RTT_SAMPLE: Final = 8
CSS_GROWTH_DIVISOR: Final = 4
CSS_ROUNDS: Final = 5


class HyStart:
    """Watches the first slow start of a path."""

    __slots__ = (
        "_baseline",
        "_css_rounds",
        "_current_min_rtt",
        "_last_min_rtt",
        "_samples",
        "_window_end",
        "finished",
    )

    def __init__(self) -> None:
        self._last_min_rtt = math.inf
        self._current_min_rtt = math.inf
        self._samples = 0
        self._window_end = -1  # of the first round, which begins with the first SACK
        self._baseline = math.inf  # of Conservative Slow Start; infinite outside of it
        self._css_rounds = 0
        self.finished = False
        """Slow start is over."""

    @property
    def is_conservative(self) -> bool:
        """Conservative Slow Start: something seems to fill up."""
        return self._baseline != math.inf

    def growth(self, delivery: Delivery, limit: int) -> int:
        """By how much cwnd grows with this SACK, which counts for at most ``limit`` bytes (§4.2)."""
        grown = min(delivery.acked, limit)
        if self.is_conservative:
            grown //= CSS_GROWTH_DIVISOR
        if delivery.rtt is not None:
            self._current_min_rtt = min(self._current_min_rtt, delivery.rtt)
            self._samples += 1
            if self._samples >= N_RTT_SAMPLE:
                self._judge()
        if delivery.cumulative_tsn_ack >= self._window_end:
            self._begin_round(delivery.next_tsn)
        return grown

    def _judge(self) -> None:
        """Enough round trips of this round are known."""
        if self.is_conservative:
            if self._current_min_rtt < self._baseline:  # that was no queue: resume
                self._baseline = math.inf
        elif self._last_min_rtt != math.inf:
            threshold = self._last_min_rtt / MIN_RTT_DIVISOR
            threshold = max(MIN_RTT_THRESH, min(threshold, MAX_RTT_THRESH))
            if self._current_min_rtt >= self._last_min_rtt + threshold:
                self._baseline = self._current_min_rtt
                self._css_rounds = 0

    def _begin_round(self, next_tsn: int) -> None:
        self._window_end = next_tsn
        self._last_min_rtt, self._current_min_rtt = self._current_min_rtt, math.inf
        self._samples = 0
        if self.is_conservative:
            self._css_rounds += 1
            self.finished = self._css_rounds >= CSS_ROUNDS
