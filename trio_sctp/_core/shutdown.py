"""Ending an association gracefully (RFC 9260 §9.2): timers T2-shutdown and T5-shutdown-guard.

Which state follows which is the association's table; this is what SHUTDOWN and SHUTDOWN ACK have in
common: they are repeated with back-off until answered, a limited number of times, and the whole
sequence is bounded by the guard.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .config import Config
from .timer import Timer

if TYPE_CHECKING:
    from .rto import RetransmissionTimeout

__all__ = ["Shutdown"]


class Shutdown:
    """Counts and times the repetitions of SHUTDOWN or SHUTDOWN ACK."""

    __slots__ = ("_config", "_rto", "requested", "retransmissions", "t2_shutdown", "t5_guard")

    def __init__(
        self, config: Config, rto: RetransmissionTimeout, *, requested: bool = False
    ) -> None:
        self._config = config
        self._rto = rto
        self.requested = requested
        """The program has asked for the shutdown (it outlives a restart by the peer)."""
        self.retransmissions = 0
        self.t2_shutdown = Timer("T2-shutdown")
        self.t5_guard = Timer("T5-shutdown-guard")

    def begin(self, now: float, *, guarded: bool) -> None:
        """The first SHUTDOWN (which the guard bounds) or SHUTDOWN ACK goes out."""
        self.retransmissions = 0
        if guarded:
            self.t5_guard.start(now, self._config.shutdown_guard)
        else:
            self.t5_guard.stop()  # it is the sender of SHUTDOWN that has one
        self.sent(now)

    def sent(self, now: float) -> None:
        """SHUTDOWN or SHUTDOWN ACK goes out: (re)start T2."""
        self.t2_shutdown.start(now, self._rto.rto)

    def heard_from_peer(self, now: float) -> None:
        """Any packet of the peer clears the count and gives it time (§9.2)."""
        self.retransmissions = 0
        if self.t2_shutdown.running:
            self.t2_shutdown.start(now, self._rto.rto)

    def may_repeat(self) -> bool:
        """After T2-shutdown: back off; False once Association.Max.Retrans is exceeded."""
        self.retransmissions += 1
        self._rto.back_off()
        return self.retransmissions <= self._config.association_max_retrans

    def replace_config(self, config: Config) -> None:
        self._config = config
