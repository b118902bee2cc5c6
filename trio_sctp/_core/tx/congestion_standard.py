"""The congestion control of RFC 9260 §7.2: slow start, one more packet per round trip, half on loss."""

from __future__ import annotations

from .congestion import CongestionController, Delivery

__all__ = ["StandardController"]


class StandardController(CongestionController):
    """What SCTP prescribes, and TCP's Reno but for the floor of four packets."""

    __slots__ = ("partial_bytes_acked",)

    def restart(self, pmdcs: int) -> None:
        super().restart(pmdcs)
        self.partial_bytes_acked = 0

    def on_delivered(self, delivery: Delivery) -> None:
        if self.cwnd <= self.ssthresh:
            if delivery.cwnd_was_full and not delivery.in_recovery:  # §7.2.1
                self.cwnd += min(delivery.acked, self._config.slow_start_limit * self.pmdcs)
        else:
            self._avoid_congestion(delivery.acked, delivery.cwnd_was_full)
        if delivery.all_acked:
            self.partial_bytes_acked = 0

    def _avoid_congestion(self, acked: int, cwnd_was_full: bool) -> None:
        """Grow by one packet per round trip (§7.2.2)."""
        self.partial_bytes_acked += acked
        if self.partial_bytes_acked < self.cwnd:
            return
        if cwnd_was_full:
            self.partial_bytes_acked -= self.cwnd
            self.cwnd += self.pmdcs
        else:
            self.partial_bytes_acked = self.cwnd

    def on_congestion(self, now: float) -> None:
        self._halve()  # §7.2.3
        self.cwnd = self.ssthresh

    def on_timeout(self, now: float) -> None:
        self._halve()
        self.cwnd = self.pmdcs

    def _halve(self) -> None:
        self.ssthresh = max(self.cwnd // 2, 4 * self.pmdcs)
        self.partial_bytes_acked = 0
