"""Proportional Rate Reduction (RFC 6937): how a window shrinks without a silence.

After a loss ssthresh is a part, half perhaps, of what is in flight.  To send nothing until so much has
left the network would keep everybody waiting for half a round trip.  Instead, of each amount delivered
the same part goes out again, so that at the end of the round trip ssthresh bytes are in flight.  Where
losses have left less than that, it is refilled no faster than by slow start, and while still more turns
out to be lost, no faster than data is delivered.
"""

from __future__ import annotations

__all__ = ["ProportionalRateReduction"]


class ProportionalRateReduction:
    """The sending in one recovery."""

    __slots__ = ("_delivered", "_first_out", "_flight_at_begin", "_out", "_ssthresh")

    def __init__(self, flight_size: int, ssthresh: int) -> None:
        """``flight_size`` is what was in flight when the loss was found, the lost included."""
        self._flight_at_begin = max(flight_size, 1)
        self._ssthresh = ssthresh
        self._delivered = 0
        self._out = 0
        self._first_out = 0

    def sent(self, size: int) -> None:
        if not self._out:  # RFC 9260 §7.2.4 step 3: it goes in any case
            self._first_out = size
        self._out += size

    @property
    def conserved(self) -> int:
        """What may go out until as much has left as was delivered.

        A window of any size may do that much (§1, packet conservation); to send it ahead of its time
        is paid for by what follows, so that the window shrinks as far as it should in the end.
        """
        return self._delivered - (self._out - self._first_out)

    def quota(self, acked: int, flight_size: int, pmdcs: int, *, lossless: bool) -> int:
        """A SACK has acknowledged so much: the bytes that may go out until the next one (§3)."""
        self._delivered += acked
        if flight_size > self._ssthresh:
            share = -(-self._delivered * self._ssthresh // self._flight_at_begin)
            return share - self._out
        limit = max(self._delivered - self._out, acked)
        if lossless:  # the Slow Start Reduction Bound
            limit += pmdcs
        return min(self._ssthresh - flight_size, limit)
