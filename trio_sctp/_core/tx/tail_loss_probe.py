"""When silence means that the end of a flight was lost: the tail loss probe (RFC 8985 §7).

Nothing is sent after the last packets of a burst, so no SACK can show that they are missing.  Rather
than wait for T3-rtx, which is never shorter than RTO.Min and empties the window, one packet is sent
after about one and a half round trips that makes the peer say what it has.

Other than in the RFC
* the time counts from the last packet, and from the last SACK that acknowledged something only what
  exceeds a round trip: after a burst that SACK is on its way as long as the packet is;
* the chunk that ends a burst asks for its SACK at once (I bit), so that nobody has to wait for the
  peer's delayed acknowledgement; where there was no such chunk, its longest delay is waited for;
* silence during a recovery is probed, too: under heavy loss it is the rule that all of a small window
  or of its SACKs is lost;
* as long as the silence lasts there is another probe after twice the time, and so on, as in QUIC (RFC
  9002 §6.2), until T3-rtx expires; after that they begin again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from ..._wire.serial import MASK32

if TYPE_CHECKING:
    from ..rto import RetransmissionTimeout
    from .outstanding_data import OutstandingChunk

__all__ = ["TailLossProbe"]

MAX_ACK_DELAY: Final = 0.2
"""SACK.Delay of peers, as RFC 9260 §16 recommends it."""
SHORTEST: Final = 0.01
"""Less than this is not silence but a busy peer, in seconds."""


class TailLossProbe:
    """When a probe is due, and what became of the last one."""

    __slots__ = (
        "_asked_at",
        "_intervals",
        "_rto",
        "_sent_at",
        "is_first",
        "may_probe",
        "repeated_tsn",
    )

    def __init__(self, rto: RetransmissionTimeout) -> None:
        self._rto = rto
        self._asked_at = 0.0
        self.repeated_tsn: int | None = None
        """TLP.end_seq of a retransmission that it is not known of whether it was needed."""
        self.may_probe = True
        """§7.3: a round trip was measured, or T3-rtx has expired, since the last series of probes."""
        self._sent_at = 0.0  # the last one
        self._intervals = 0  # how many of the shortest ones to wait after it; 0: the silence is new
        self.is_first = True
        """There was no probe yet since something was acknowledged."""

    def reset(self) -> None:
        """§7.1: a recovery begins; what the last probe did is of no interest any more."""
        self.repeated_tsn = None

    def answered(self) -> None:
        """Something was acknowledged: the silence is over."""
        self._intervals = 0
        self.is_first = True

    def due_at(
        self, last_sent_at: float, progress_at: float, rtt: float, *, delayed: bool
    ) -> float | None:
        """When the silence has lasted long enough; None if that cannot be known yet.

        ``rtt`` is the last round trip, and ``delayed`` says that the SACK may wait for another packet.
        """
        srtt = self._rto.srtt
        if srtt is None:
            return None
        if srtt < rtt:  # a queue that fills up is not silence
            srtt = rtt
        if self._intervals:
            return self._sent_at + self._intervals * max(1.5 * srtt, SHORTEST)
        if not self.may_probe:
            return None
        patience = min(max(srtt / 2, 4 * self._rto.rttvar), srtt)
        due = max(last_sent_at + max(srtt + patience, SHORTEST), progress_at + patience)
        return due + MAX_ACK_DELAY if delayed else due

    def probed(self, chunk: OutstandingChunk | None, now: float) -> None:
        """A probe goes out: this chunk again, or new data."""
        self.may_probe = False
        self._sent_at = now
        self._intervals = 2 * self._intervals or 2
        self.is_first = False
        self.repeated_tsn = None if chunk is None else chunk.tsn

    def has_repaired(self, cumulative_tsn_ack: int, duplicates: Sequence[int]) -> bool:
        """§7.4.2: whether a SACK shows that the retransmission has repaired a loss."""
        tsn = self.repeated_tsn
        if tsn is None or cumulative_tsn_ack < tsn:
            return False
        if tsn & MASK32 in duplicates:  # case 1: nothing was lost
            self.repeated_tsn = None
        elif cumulative_tsn_ack > tsn:
            self.repeated_tsn = None
            return True
        return False

    def asks_for_sack(self, now: float) -> bool:
        """Whether to set the I bit of a chunk that ends a burst: not more often than is of use."""
        srtt = self._rto.srtt
        if srtt is None or now - self._asked_at < max(srtt / 2, SHORTEST):
            return False
        self._asked_at = now
        return True
