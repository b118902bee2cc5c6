"""How losses are found and repaired: the seam between the retransmission queue and loss recovery.

A `LossRecovery` decides which chunks in flight are lost and marks them for retransmission, knows
whether Fast Recovery is on, and may say how much is to go out meanwhile.  The retransmission queue
sends, runs T3-rtx and tells the congestion controller; neither it nor the controller knows by which
rule a loss was found.
"""

from __future__ import annotations

import enum
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

from ..timer import Timer
from .outstanding_data import OutstandingChunk, OutstandingData

__all__ = ["LossRecovery", "TimeoutAction"]


class TimeoutAction(enum.Enum):
    """What the queue is to do after `LossRecovery.timer` has expired."""

    NOTHING = enum.auto()
    REPAIR = enum.auto()
    """Chunks were found lost, as if by a SACK."""
    PROBE = enum.auto()
    """Send one packet that makes the peer say what it has."""


class LossRecovery(ABC):
    """Finds what was lost, from SACKs and from time that passes."""

    __slots__ = (
        "_data",
        "exit_point",
        "last_sent_at",
        "packet_due",
        "pmdcs",
        "quota",
        "tail_repaired",
        "timer",
    )

    def __init__(self, data: OutstandingData, pmdcs: int) -> None:
        self._data = data
        self.pmdcs = pmdcs
        """The largest DATA chunk, header included, that fits into a packet."""
        self.timer = Timer("loss recovery")
        self.exit_point: int | None = None
        """In Fast Recovery, the TSN that ends it once it is acknowledged (RFC 9260 §7.2.4 step 6)."""
        self.packet_due = False
        """One packet may go out whatever cwnd says."""
        self.quota: int | None = None
        """Bytes that may go out now, instead of what cwnd allows; None: cwnd holds."""
        self.tail_repaired = False
        """A probe has repaired a loss that is a sign of congestion; whoever reads it clears it."""
        self.last_sent_at = math.inf
        """When DATA went out last; nothing is idle before the first."""

    def restart(self, data: OutstandingData) -> None:
        """Begin anew with other TSNs; nothing is outstanding."""
        self._data = data
        self.timer.stop()
        self.end()

    def succeed(self, other: LossRecovery) -> None:
        """Go on where another one leaves off, on its timer."""
        self.timer = other.timer
        self.timer.stop()
        self.last_sent_at = other.last_sent_at
        self.exit_point = other.exit_point
        self.packet_due = other.packet_due

    # -- what happens ------------------------------------------------------------------------------

    @abstractmethod
    def find_losses(
        self, htna: int | None, duplicates: Sequence[int], now: float, *, advanced: bool
    ) -> bool:
        """A SACK was processed: mark what is lost, True if there is anything.

        ``htna`` is the TSN below which it is a miss indication, ``duplicates`` the TSNs that it reports
        as such, and ``advanced`` whether it moved the cumulative TSN ack.
        """

    def handle_timeout(self, now: float) -> TimeoutAction:
        """`timer` has expired."""
        return TimeoutAction.NOTHING

    def begin(self, flight_size: int, ssthresh: int) -> None:
        """Enter Fast Recovery (§7.2.4): so much was in flight, and so much is to be in the end."""
        self.exit_point = self._data.next_tsn - 1  # step 6
        self.packet_due = True  # step 3

    def end(self) -> None:
        """Leave Fast Recovery, if it is on."""
        self.exit_point = None
        self.packet_due = False
        self.quota = None

    def delivered(self, acked: int, *, lossless: bool) -> None:
        """In Fast Recovery a SACK has acknowledged so much, and perhaps shown no further loss."""
        return

    @property
    def quota_of_short(self) -> int:
        """What short messages may use, where `quota` holds: more of it, on account."""
        return self.quota or 0

    def sent(self, size: int) -> None:
        """A packet with so much data goes out, on `quota`."""
        return

    def repeated(self, chunk: OutstandingChunk) -> None:
        """A marked chunk goes out again; its `sent_at` is the time."""
        return

    def probed(self, chunk: OutstandingChunk | None, now: float) -> bool:
        """A probe goes out: this chunk again, or new data; True if it is the first in this silence."""
        return True

    def all_marked(self) -> None:
        """All that was in flight was marked for retransmission: T3-rtx has expired, perhaps."""
        self.timer.stop()
        self.end()

    def arm(self, now: float) -> None:
        """Data is in flight, and T3-rtx was started."""
        return

    def path_changed(self) -> None:
        """What was measured is of another path."""
        return

    def asks_for_sack(self, now: float) -> bool:
        """Whether the last chunk there is to send is to be acknowledged without delay (I bit)."""
        return False
