"""How much may be in flight: the seam between the retransmission queue and congestion control.

The retransmission queue tells a controller everything that happens to data - sent, delivered, lost,
timed out, nothing left to send - and asks it for `cwnd` and, if it wants packets to be spread, for
`pacing_rate`.  How losses are found is not the controller's business, and how it reckons is nobody
else's: one that halves a window and one that builds a model of the path (rate samples from
`Delivery.sent_at` and the bytes delivered, round trips from `Delivery.rtt`) look the same from outside.

Whatever a controller does, it begins and restarts as RFC 9260 §7.2.1 says, and decays while idle.
All sizes are bytes of DATA chunks with headers and padding.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from ..config import Config

__all__ = ["SSTHRESH_UNKNOWN", "CongestionController", "Delivery"]

SSTHRESH_UNKNOWN = 2**32
"""ssthresh before there was any sign of congestion."""


class Delivery:
    """What a SACK says, for a controller.  One object serves all SACKs: it holds during the call."""

    __slots__ = (
        "acked",
        "all_acked",
        "cumulative_tsn_ack",
        "cwnd_was_full",
        "flight_size",
        "in_recovery",
        "next_tsn",
        "now",
        "rtt",
        "sent_at",
        "srtt",
    )

    def __init__(self) -> None:
        self.now = 0.0
        self.acked = 0
        """Bytes that were not acknowledged before."""
        self.rtt: float | None = None
        """The round trip that this SACK shows; None where it shows none for certain."""
        self.sent_at: float | None = None
        """When the newest chunk that it acknowledges was sent; None where that is uncertain."""
        self.srtt: float | None = None
        self.cumulative_tsn_ack = 0
        self.next_tsn = 0
        """Unwrapped, as the one before: a round ends when what was next at its begin is acknowledged."""
        self.flight_size = 0
        """What is still in flight."""
        self.cwnd_was_full = False
        """All of cwnd was in use when packets were last pulled; if not, something else was the limit."""
        self.in_recovery = False
        """Losses that had their effect already are being repaired."""
        self.all_acked = False
        """Nothing is outstanding any more."""


class CongestionController(ABC):
    """Base of all controllers: what RFC 9260 says of the begin and of idle paths."""

    __slots__ = ("_config", "cwnd", "pacing_rate", "pmdcs", "ssthresh")

    watches_packets: ClassVar[bool] = False
    """`on_sent` is to be called, and `pacing_rate` to be looked at."""

    def __init__(self, config: Config, *, pmdcs: int) -> None:
        self._config = config
        self.cwnd = 0
        """Bytes that may be in flight."""
        self.ssthresh = SSTHRESH_UNKNOWN
        self.pacing_rate: float | None = None
        """Bytes per second at which packets may leave; None: as soon as `cwnd` allows.  Whoever sets it
        watches packets, too."""
        self.restart(pmdcs)

    def restart(self, pmdcs: int) -> None:
        """Begin as on a new path (§7.2.5).  ``pmdcs`` is the path's maximum DATA chunk size."""
        self.pmdcs = pmdcs
        self.cwnd = _initial(pmdcs)
        self.ssthresh = SSTHRESH_UNKNOWN

    def succeed(self, other: CongestionController) -> None:
        """Go on where another controller leaves off."""
        self.cwnd, self.ssthresh = other.cwnd, other.ssthresh

    def set_pmdcs(self, pmdcs: int) -> None:
        """Packets have another size now.  Larger ones do not let more bytes out (RFC 8899 §3)."""
        if pmdcs < self.pmdcs:  # as many packets as before, where that was few
            self.cwnd = min(self.cwnd, max(pmdcs * (self.cwnd // self.pmdcs), _initial(pmdcs)))
        self.pmdcs = pmdcs

    def replace_config(self, config: Config) -> None:
        self._config = config

    # -- what happens ------------------------------------------------------------------------------

    @abstractmethod
    def on_delivered(self, delivery: Delivery) -> None:
        """A SACK has acknowledged something new."""

    @abstractmethod
    def on_congestion(self, now: float) -> None:
        """Data was lost, for the first time in this recovery: reduce."""

    @abstractmethod
    def on_timeout(self, now: float) -> None:
        """T3-rtx has expired (§7.2.3, §6.3.3 rule E1)."""

    def on_sent(self, size: int, flight_size: int, now: float) -> None:  # noqa: B027 - if it cares
        """A packet with ``size`` bytes of data goes out, which `flight_size` includes already."""

    def on_lost(self, size: int, now: float) -> None:  # noqa: B027
        """So many bytes were found lost; `on_congestion` tells when that is to have an effect."""

    def on_app_limited(self, flight_size: int, now: float) -> None:  # noqa: B027
        """All there was to send is sent, and `cwnd` has room for more."""

    def on_recovered(self, now: float) -> None:  # noqa: B027
        """All that was outstanding at the last `on_congestion` is acknowledged."""

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
