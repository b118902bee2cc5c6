"""Zero window probes (RFC 9260 §6.1 A): whether a peer without room has some by now.

With nothing in flight T3-rtx is the probe's timer, so the first probe goes after one RTO; the intervals
double, whoever drops the probes.
"""

from __future__ import annotations

__all__ = ["ZeroWindowProbe"]


class ZeroWindowProbe:
    """The state of probing; the retransmission queue sends and runs the timer."""

    __slots__ = ("answered", "closed", "due", "interval")

    def __init__(self) -> None:
        self.closed = False
        """The peer has no room for a packet, as far as we know."""
        self.interval = 0.0
        """T3-rtx runs for so long instead of the RTO; 0: not probing."""
        self.due = False
        self.answered = False
        """A SACK has come since T3-rtx expired last."""

    def begin(self, rto: float) -> None:
        """Something is to be sent and must wait for room."""
        self.closed = True
        self.interval = self.interval or rto

    def expired(self, rto: float, rto_max: float) -> tuple[bool, bool]:
        """T3-rtx has expired: whether the window is closed, and a SACK has come meanwhile."""
        answered, self.answered = self.answered, False
        if self.closed:
            self.interval = min(2 * (self.interval or rto), rto_max)
        return self.closed, answered

    def end(self) -> None:
        self.interval = 0.0
        self.due = False
