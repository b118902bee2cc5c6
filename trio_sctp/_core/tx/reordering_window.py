"""How late a chunk may be before it counts as lost: RACK's reordering window (RFC 8985 §6.2 step 4).

It is a quarter of the path's shortest round trip.  Each round trip in which the peer reports duplicates
of what was retransmitted, which then was only late, adds another quarter, up to a whole smoothed one;
sixteen recoveries without put it back.  While no reordering was ever seen nothing is waited for during
a recovery.

Other than in the RFC, outside of a recovery the window is kept even where no reordering was seen and
three packets have overtaken: so the very first packet that is late is not retransmitted either.  A
millisecond is added for clocks and schedulers.
"""

from __future__ import annotations

import math
from typing import Final

__all__ = ["SLACK", "ReorderingWindow"]

PERSISTENCE: Final = 16
"""Recoveries without duplicates before an enlarged window is given up."""
MIN_RTT_PERIOD: Final = 30.0
"""The shortest round trip is that of the last one to two such periods, in seconds."""
SLACK: Final = 0.001


class ReorderingWindow:
    """Adapts to the reordering of a path."""

    __slots__ = (
        "_duplicates_until",
        "_min_rtt",
        "_min_rtt_before",
        "_multiplier",
        "_period_began",
        "_persist",
        "reordering_seen",
    )

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """The path is another one."""
        self.reordering_seen = False
        self._multiplier = 1
        self._persist = 0
        self._duplicates_until: int | None = None
        self._min_rtt = self._min_rtt_before = math.inf
        self._period_began = -math.inf

    @property
    def min_rtt(self) -> float:
        """The shortest round trip of late; infinite before the first."""
        return min(self._min_rtt, self._min_rtt_before)

    def observe(self, rtt: float, now: float) -> None:
        """A round trip was measured."""
        if now - self._period_began > MIN_RTT_PERIOD:
            self._min_rtt_before, self._min_rtt = self._min_rtt, rtt
            self._period_began = now
        elif rtt < self._min_rtt:
            self._min_rtt = rtt

    def duplicate_reported(self, cumulative_tsn_ack: int, next_tsn: int) -> None:
        """The peer has had a retransmitted chunk twice: it counts once for each round trip."""
        until = self._duplicates_until
        if until is None or cumulative_tsn_ack >= until:
            self._duplicates_until = next_tsn
            self._multiplier += 1
            self._persist = PERSISTENCE

    def recovery_ended(self) -> None:
        self._persist -= 1
        if self._persist <= 0:
            self._multiplier = 1

    def length(self, srtt: float | None, *, recovering: bool) -> float:
        """Seconds that a chunk may be behind one that was sent later."""
        if recovering and not self.reordering_seen and self._multiplier == 1:
            return 0.0
        min_rtt = self.min_rtt
        if min_rtt == math.inf:
            return SLACK
        longest = min_rtt if srtt is None else srtt
        return min(self._multiplier * min_rtt / 4, longest) + SLACK
