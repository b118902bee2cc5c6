"""The retransmission timeout of a path, from its measured round trips (RFC 9260 §6.3.1)."""

from __future__ import annotations

import math

from .config import Config

__all__ = ["RetransmissionTimeout"]

_GRANULARITY = 0.001  # rule G1: RTTVAR is never zero


class RetransmissionTimeout:
    """SRTT, RTTVAR and the RTO that follows from them, in seconds."""

    __slots__ = ("_config", "rto", "rttvar", "srtt")

    def __init__(self, config: Config) -> None:
        self._config = config
        self.restart()

    def restart(self) -> None:
        """Nothing was measured yet, on this path."""
        config = self._config
        self.srtt: float | None = None
        """The smoothed round trip; None before one was measured."""
        self.rttvar = 0.0
        self.rto = min(max(config.rto_initial, config.rto_min), config.rto_max)  # rule C1

    def observe(self, rtt: float) -> None:
        """A round trip was measured; a back-off ends with it (rules C2 and C3, §6.3.3)."""
        config, srtt = self._config, self.srtt
        if srtt is None:
            self.srtt = rtt
            rttvar = rtt / 2
        else:
            beta, alpha = config.rto_beta, config.rto_alpha
            rttvar = (1 - beta) * self.rttvar + beta * abs(srtt - rtt)
            self.srtt = (1 - alpha) * srtt + alpha * rtt
        self.rttvar = max(_GRANULARITY, rttvar)
        self.end_back_off()

    @property
    def longest(self) -> float:
        """What a round trip is expected to take at most; infinite before one was measured."""
        return math.inf if self.srtt is None else self.srtt + 4 * self.rttvar

    def end_back_off(self) -> None:
        """The RTO is again what follows from what was measured (rules C6 and C7)."""
        if self.srtt is not None:
            config, rto = self._config, self.srtt + 4 * self.rttvar
            rto = max(config.rto_min, rto)
            self.rto = min(config.rto_max, rto)

    def back_off(self) -> None:
        """Double after an expiry (§6.3.3 rule E2)."""
        self.rto = min(self.rto * 2, self._config.rto_max)

    def replace_config(self, config: Config) -> None:
        """New bounds hold at once."""
        self._config = config
        if self.srtt is None:
            self.rto = config.rto_initial
        self.rto = min(max(self.rto, config.rto_min), config.rto_max)
