"""Spreading packets over time, for congestion controllers that ask for a rate.

Credit accrues at the rate and every packet uses it up; one may go as long as there is any.  No more of
it is kept than for a few packets or a millisecond: a timer for each packet would cost more than the
packet.
"""

from __future__ import annotations

from typing import Final

from ..timer import Timer

__all__ = ["Pacer"]

QUANTUM: Final = 0.001
"""Seconds for which packets may leave together."""
LEAST_BURST: Final = 2
"""Packets that may do so in any case."""


class Pacer:
    """Decides when the next packet may go out."""

    __slots__ = ("_credit", "_updated_at", "timer")

    def __init__(self) -> None:
        self.timer = Timer("pacing")
        """Runs while a packet waits for its time."""
        self._credit = 0.0
        self._updated_at = 0.0

    def allows(self, rate: float, pmdcs: int, now: float) -> bool:
        """Whether a packet may go at ``rate`` bytes per second; if not, `timer` tells when."""
        most = max(rate * QUANTUM, LEAST_BURST * pmdcs)
        self._credit = min(self._credit + (now - self._updated_at) * rate, most)
        self._updated_at = now
        if self._credit >= 1.0:
            self.timer.stop()
            return True
        self.timer.start(now, (1.0 - self._credit + 1e-6 * most) / rate)
        return False

    def sent(self, size: int) -> None:
        self._credit -= size
