"""CUBIC (RFC 9438): for paths that carry much and are long, where one packet per round trip is too slow.

After a loss the window is cut to 70 % and grows as a cubic function of the time since: fast up to about
where the loss was, slowly around it, then ever faster.  It never grows slower than the standard
controller would (the Reno-friendly region).  The first slow start ends by HyStart++ (RFC 9406).

Window sizes are in bytes; where the RFC counts segments, a packet of PMDCS bytes is one.  The floor of
both ssthresh and cwnd after a loss is SCTP's four packets (RFC 9260 §7.2.3).
"""

from __future__ import annotations

from typing import Final

from .congestion import SSTHRESH_UNKNOWN, CongestionController, Delivery
from .hystart import HyStart

__all__ = ["CubicController"]

BETA: Final = 0.7
C: Final = 0.4
"""Segments per second cubed."""
ALPHA: Final = 3 * (1 - BETA) / (1 + BETA)


class CubicController(CongestionController):
    """Congestion avoidance by RFC 9438, slow start by RFC 9406."""

    __slots__ = (
        "_cwnd_prior",
        "_epoch",
        "_fraction",
        "_hystart",
        "_k",
        "_limited_since",
        "_w_est",
        "_w_max",
    )

    def restart(self, pmdcs: int) -> None:
        super().restart(pmdcs)
        self._hystart = HyStart()
        self._w_max = 0.0  # 0: unknown, the next stage begins at its saturation point
        self._cwnd_prior = 0
        self._end_stage()

    def succeed(self, other: CongestionController) -> None:
        super().succeed(other)
        self._end_stage()

    def _end_stage(self) -> None:
        """Another stage of congestion avoidance will begin."""
        self._epoch: float | None = None
        self._limited_since: float | None = None
        self._k = self._w_est = self._fraction = 0.0

    # -- growth ------------------------------------------------------------------------------------

    def on_delivered(self, delivery: Delivery) -> None:
        if delivery.in_recovery:
            return
        if not delivery.cwnd_was_full:
            if self._limited_since is None:
                self._limited_since = delivery.now
        elif self.cwnd <= self.ssthresh:
            self._start_slowly(delivery)
        else:
            self._avoid_congestion(delivery)

    def _start_slowly(self, delivery: Delivery) -> None:
        limit = self._config.slow_start_limit * self.pmdcs
        if self.ssthresh < SSTHRESH_UNKNOWN:  # RFC 9406 §4.3: the first slow start only
            self.cwnd += min(delivery.acked, limit)
            return
        self.cwnd += self._hystart.growth(delivery, limit)
        if self._hystart.finished:
            self.ssthresh = self.cwnd - 1  # congestion avoidance from here on
            self._cwnd_prior = self.cwnd  # RFC 9438 §4.10

    def _avoid_congestion(self, delivery: Delivery) -> None:
        if self._epoch is None:
            self._begin_stage(delivery.now)
        elif self._limited_since is not None:  # §4.2: such time does not count
            self._epoch += delivery.now - self._limited_since
        self._limited_since = None
        assert self._epoch is not None
        cwnd, srtt = self.cwnd, delivery.srtt or 0.0
        share = min(delivery.acked / cwnd, 1.0)
        # §4.3
        alpha = ALPHA if self._w_est < self._cwnd_prior else 1.0
        self._w_est += alpha * share * self.pmdcs
        now = delivery.now - self._epoch
        if self._cubic(now) < self._w_est:
            self.cwnd = max(cwnd, int(self._w_est))
        else:  # §4.4, §4.5
            target = min(max(self._cubic(now + srtt), cwnd), 1.5 * cwnd)
            self._fraction += (target - cwnd) * share
            whole = int(self._fraction)
            self._fraction -= whole
            self.cwnd = cwnd + whole

    def _begin_stage(self, now: float) -> None:
        self._epoch = now
        self._w_est = float(self.cwnd)
        if self._w_max > self.cwnd:
            self._k = ((self._w_max - self.cwnd) / self.pmdcs / C) ** (1 / 3)
        else:  # after a timeout, and after a slow start that ended by itself (§4.8, §4.10)
            self._w_max, self._k = float(self.cwnd), 0.0

    def _cubic(self, elapsed: float) -> float:
        """W_cubic of so many seconds after the begin of the stage (§4.2)."""
        return C * (elapsed - self._k) ** 3 * self.pmdcs + self._w_max

    # -- reduction ---------------------------------------------------------------------------------

    def on_congestion(self, now: float) -> None:
        cwnd = self.cwnd
        # §4.7: less than last time: somebody else needs room
        self._w_max = cwnd * (1 + BETA) / 2 if cwnd < self._w_max else float(cwnd)
        self._reduce()
        self.cwnd = self.ssthresh

    def on_timeout(self, now: float) -> None:
        self._w_max = 0.0
        self._reduce()
        self.cwnd = self.pmdcs

    def on_idle(self, idle: float, rto: float) -> None:
        before = self.cwnd
        super().on_idle(idle, rto)
        if self.cwnd != before:
            self._end_stage()

    def _reduce(self) -> None:
        self._cwnd_prior = self.cwnd
        self.ssthresh = max(int(self.cwnd * BETA), 4 * self.pmdcs)
        self._end_stage()
