"""How much may be in flight: the congestion control of RFC 9260 §7.2.

The retransmission queue tells the controller what happened and asks it for nothing but ``cwnd``; how
losses are detected is not its business.  That is the whole seam: another controller offers the same
methods.
"""

from __future__ import annotations

from ..config import Config

__all__ = ["CongestionController"]


class CongestionController:
    """Slow start, congestion avoidance, and halving on loss.  All sizes in bytes of DATA chunks."""

    __slots__ = ("_config", "cwnd", "partial_bytes_acked", "pmdcs", "ssthresh")

    def __init__(self, config: Config, *, pmdcs: int) -> None:
        self._config = config
        self.restart(pmdcs)

    def restart(self, pmdcs: int) -> None:
        """Begin as on a new path (§7.2.5).  ``pmdcs`` is the path's maximum DATA chunk size."""
        self.pmdcs = pmdcs
        self.cwnd = _initial(pmdcs)
        self.ssthresh = 2**32
        self.partial_bytes_acked = 0

    def set_pmdcs(self, pmdcs: int) -> None:
        """Packets have another size now.  Larger ones do not let more bytes out (RFC 8899 §3)."""
        if pmdcs < self.pmdcs:  # as many packets as before, where that was few
            self.cwnd = min(self.cwnd, max(pmdcs * (self.cwnd // self.pmdcs), _initial(pmdcs)))
        self.pmdcs = pmdcs

    def replace_config(self, config: Config) -> None:
        self._config = config

    def on_acknowledged(
        self, acked: int, *, cwnd_was_full: bool, in_fast_recovery: bool, all_acked: bool
    ) -> None:
        """A SACK newly acknowledged ``acked`` bytes."""
        if self.cwnd <= self.ssthresh:
            if cwnd_was_full and not in_fast_recovery:  # §7.2.1
                self.cwnd += min(acked, self._config.slow_start_limit * self.pmdcs)
        else:
            self._avoid_congestion(acked, cwnd_was_full)
        if all_acked:
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

    def on_fast_retransmit(self) -> None:
        """Loss was detected from SACKs, for the first time in this recovery (§7.2.3)."""
        self.ssthresh = max(self.cwnd // 2, 4 * self.pmdcs)
        self.cwnd = self.ssthresh
        self.partial_bytes_acked = 0

    def on_timeout(self) -> None:
        """T3-rtx has expired (§7.2.3, §6.3.3 rule E1)."""
        self.ssthresh = max(self.cwnd // 2, 4 * self.pmdcs)
        self.cwnd = self.pmdcs
        self.partial_bytes_acked = 0

    def on_idle(self, idle: float, rto: float) -> None:
        """Data goes out after ``idle`` seconds without: decay once per RTO (§7.2.1)."""
        floor = 4 * self.pmdcs
        if idle < rto or self.cwnd <= floor:
            return
        self.ssthresh = self.cwnd  # before the first adjustment
        while idle >= rto and self.cwnd > floor:
            self.cwnd = max(self.cwnd // 2, floor)
            idle -= rto


def _initial(pmdcs: int) -> int:
    """The initial cwnd (§7.2.1)."""
    return min(4 * pmdcs, max(2 * pmdcs, 4404))
