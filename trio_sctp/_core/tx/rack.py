"""Loss recovery by time: RACK-TLP (RFC 8985) with TSNs, and Proportional Rate Reduction (RFC 6937).

A chunk is lost if one that was sent later has arrived and it has not, for longer than packets are
reordered on this path.  Unlike three miss indications that holds for retransmissions as well, for the
last packets but one of a burst, and for peers that answer a whole batch with one SACK.  What a SACK has
no room to report is not late, of course.

Chunks are kept in the order of sending, never searched: those that were sent once are in the order of
their TSNs, so a pointer follows them; those that were sent again are in a queue.  Both are left at the
first chunk that is not late yet, for which the timer is set.  While no timer for such a chunk runs, the
same timer waits for the time of a tail loss probe.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from ..._wire.serial import unwrap32
from .loss_recovery import LossRecovery, TimeoutAction
from .outstanding_data import (
    ABANDONED,
    ACKED,
    IN_FLIGHT,
    SACK_STEP,
    OutstandingChunk,
    OutstandingData,
)
from .prr import ProportionalRateReduction
from .reordering_window import SLACK, ReorderingWindow
from .tail_loss_probe import TailLossProbe

if TYPE_CHECKING:
    from ..rto import RetransmissionTimeout

__all__ = ["Rack"]

MAX_OFFSET: Final = 0xFFFF
"""As far above the cumulative TSN ack as a gap ack block reaches (RFC 9260 §3.3.4)."""
MANY_BLOCKS: Final = 100
"""A SACK with as many gap ack blocks may have had no room for more, in a packet of 512 bytes."""
MOST_TRUSTED: Final = 8
"""Round trips of retransmissions that are believed in without one measured for certain."""


class Rack(LossRecovery):
    """RACK, the tail loss probe and PRR, on one timer."""

    __slots__ = (
        "_first_repeated",
        "_last_repeated",
        "_measured",
        "_next_once",
        "_probe",
        "_progress_at",
        "_prr",
        "_repeated",
        "_rto",
        "_rtt",
        "_sent_at",
        "_timeout_point",
        "_trusted",
        "_tsn",
        "_waits_for_late",
        "_window",
    )

    def __init__(self, data: OutstandingData, pmdcs: int, rto: RetransmissionTimeout) -> None:
        super().__init__(data, pmdcs)
        self._rto = rto
        self._window = ReorderingWindow()
        self._probe = TailLossProbe(rto)
        self._rtt = 0.0
        self._measured = 0.0  # the last round trip that is certain, and without delay at the peer
        self._trusted = 0
        self._progress_at = 0.0  # when something was last acknowledged
        self._waits_for_late = False  # what the timer runs for; if not, for the end of a silence
        self.restart(data)

    def restart(self, data: OutstandingData) -> None:
        super().restart(data)
        self._prr: ProportionalRateReduction | None = None
        # RACK.xmit_ts and RACK.end_seq: of the chunk sent last that is known to have arrived
        self._sent_at, self._tsn = -math.inf, data.cumulative_tsn_ack
        self._next_once = data.cumulative_tsn_ack + 1
        self._repeated: deque[tuple[float, int, OutstandingChunk]] = deque()
        self._first_repeated = self._last_repeated = data.cumulative_tsn_ack
        self._timeout_point: int | None = None
        self._probe.reset()

    def succeed(self, other: LossRecovery) -> None:
        super().succeed(other)
        chunks = self._data.chunks.values()
        repeated = [k for k in chunks if k.retransmitted and k.state == IN_FLIGHT]
        self._repeated.extend(sorted([(k.sent_at, k.tsn, k) for k in repeated]))

    def path_changed(self) -> None:
        self._window.restart()
        self._measured = 0.0

    # -- SACKs -------------------------------------------------------------------------------------

    def find_losses(
        self, htna: int | None, duplicates: Sequence[int], now: float, *, advanced: bool
    ) -> bool:
        data = self._data
        newest = data.newest_acked
        if newest is not None and not (
            data.gap_bounds
            or duplicates
            or self._repeated
            or data.repeated_acked
            or data.reneged
            or data.reordered
            or self._waits_for_late
            or self._timeout_point is not None
            or self._probe.repeated_tsn is not None
        ):  # all is well: everything has come in order, and what is in flight was sent later
            self._progress_at = now
            self._learn(newest, now)
            if not self._probe.is_first:
                self._end_silence()
            if not data.flight_size:
                self.timer.stop()
            elif self.timer.deadline == math.inf:
                self._await_silence(now)
            return False
        if data.reneged:
            self._take_back(now)
        if duplicates:
            self._learn_of_duplicates(duplicates)
        newest = data.newest_acked
        if data.repeated_acked:
            newest = self._newest(newest, now)
        if newest is not None:
            self._learn(newest, now)
        if newest is not None or data.repeated_acked:
            self._progress_at = now
            self._end_silence()
        if data.reordered:
            self._window.reordering_seen = True
        if self._probe.has_repaired(data.cumulative_tsn_ack, duplicates):
            self.tail_repaired = True
        point = self._timeout_point
        if point is not None and data.cumulative_tsn_ack >= point:
            self._timeout_point = None
            self._window.recovery_ended()
        return self._detect(now)

    def _learn(self, newest: OutstandingChunk, now: float) -> None:
        """RFC 8985 §6.2 steps 1 and 2, with the newest chunk that a SACK acknowledges."""
        sent_at = newest.sent_at
        self._rtt = rtt = now - sent_at
        if newest.retransmitted:
            if rtt <= self._rto.longest and self._trusted < MOST_TRUSTED:
                # Karn's rule: it may have been the first transmission that arrived.  But the time is
                # what is to be expected of this one
                self._trusted += 1
                self._probe.may_probe = True
                self._rto.end_back_off()
        # otherwise (RFC 9260 §6.3.1 C5) it may have arrived long ago, and only this SACK tells of it
        elif not (repeated := self._data.repeated_acked) or all(
            again.sent_at < sent_at for again in repeated
        ):
            self._window.observe(rtt, now)
            self._probe.may_probe = True
            self._trusted = 0
            if self._data.flight_size or newest.asks_for_sack:  # it was not acknowledged with delay
                self._measured = rtt
        if sent_at > self._sent_at or (sent_at == self._sent_at and newest.tsn > self._tsn):
            self._sent_at, self._tsn = sent_at, newest.tsn

    def _newest(self, newest: OutstandingChunk | None, now: float) -> OutstandingChunk | None:
        """The one that was sent last, of the newest that was sent once and those sent again.

        One that was sent again a moment ago does not count: what has arrived is what was sent before.
        The shortest round trip does not tell that where a queue has filled up, the last one does.  A
        clock that is a hair off is no reason to disbelieve.
        """
        shortest = self._window.min_rtt
        latest = now - max(shortest - min(SLACK, shortest / 10), self._measured / 2)
        for chunk in self._data.repeated_acked:
            if chunk.sent_at <= latest and (
                newest is None or (chunk.sent_at, chunk.tsn) > (newest.sent_at, newest.tsn)
            ):
                newest = chunk
        return newest

    def _learn_of_duplicates(self, duplicates: Sequence[int]) -> None:
        """Step 4: retransmissions that the peer had no need of."""
        data = self._data
        for wire_tsn in duplicates:
            tsn = unwrap32(wire_tsn, data.cumulative_tsn_ack)
            if self._first_repeated <= tsn <= self._last_repeated:
                self._window.duplicate_reported(data.cumulative_tsn_ack, data.next_tsn)
                return

    def _take_back(self, now: float) -> None:
        """The peer has thrown these away just now: as if they were sent at this moment, and lost."""
        for chunk in self._data.reneged:
            if chunk.state == IN_FLIGHT:
                self._data.sent_again(chunk, now)
                self._repeated.append((now, chunk.tsn, chunk))
        self._data.reneged.clear()

    # -- losses (step 5) ---------------------------------------------------------------------------

    def _detect(self, now: float) -> bool:
        """Mark what is late for longer than the path reorders; set the timer for what is late now."""
        data = self._data
        if not data.flight_size and not data.abandoned_count:
            self._repeated.clear()
            self.timer.stop()
            return False
        recovering = self.exit_point is not None or self._timeout_point is not None
        wait = self._rtt + self._window.length(self._rto.srtt, recovering=recovering)
        highest = data.cumulative_tsn_ack + MAX_OFFSET
        if len(data.gap_bounds) >= 2 * MANY_BLOCKS:
            highest = min(highest, data.gap_bounds[-1])
        found, due = self._pass_once_sent(now, wait, highest)
        found_again, due_again = self._pass_repeated(now, wait, highest)
        due = min(due, due_again)
        if due != math.inf:
            self.timer.start_at(due)
            self._waits_for_late = True
        else:
            self._await_silence(now)
        return found or found_again

    def _pass_once_sent(self, now: float, wait: float, highest: int) -> tuple[bool, float]:
        """Go on along the chunks that were sent once: whether any is lost, and when the next is.

        ``highest`` is the TSN up to which a SACK could have told of their arrival.  Where there are
        many, the others are for the timer, which is due at once.
        """
        data = self._data
        chunks, gaps, sent_at = data.chunks, data.gap_bounds, self._sent_at
        tsn = max(self._next_once, data.cumulative_tsn_ack + 1)
        found, due = False, math.inf
        end = min(highest, tsn + SACK_STEP - 1)
        while tsn <= end and (chunk := chunks.get(tsn)) is not None:
            if chunk.state == ACKED:  # and so are the others of its run
                tsn = min(gaps[bisect_left(gaps, tsn) | 1], end) + 1
                continue
            if _may_be_lost(chunk) and not chunk.retransmitted:
                if chunk.sent_at > sent_at or (chunk.sent_at == sent_at and tsn > self._tsn):
                    break
                if chunk.sent_at + wait > now:
                    due = chunk.sent_at + wait
                    break
                self._lose(chunk)
                found = True
            tsn += 1
        else:
            if end < highest and tsn in chunks:
                due = now
        self._next_once = tsn
        return found, due

    def _pass_repeated(self, now: float, wait: float, highest: int) -> tuple[bool, float]:
        """The same along those that were sent again."""
        repeated, acked = self._repeated, self._data.cumulative_tsn_ack
        newest = self._sent_at, self._tsn
        found = False
        end = len(repeated) - SACK_STEP
        while repeated:
            if len(repeated) == end:
                return found, now
            sent_at, tsn, chunk = repeated[0]
            if tsn > acked and chunk.sent_at == sent_at and _may_be_lost(chunk):
                if (sent_at, tsn) > newest or tsn > highest:
                    break
                if sent_at + wait > now:
                    return found, sent_at + wait
                self._lose(chunk)
                found = True
            repeated.popleft()
        return found, math.inf

    def _lose(self, chunk: OutstandingChunk) -> None:
        if chunk.state == IN_FLIGHT:
            self._data.mark(chunk)
        else:  # RFC 3758 §3.5 F5: a loss is a sign of congestion, abandoned or not
            chunk.loss_counted = True

    def repeated(self, chunk: OutstandingChunk) -> None:
        if chunk.state == IN_FLIGHT:
            self._repeated.append((chunk.sent_at, chunk.tsn, chunk))
        if chunk.tsn > self._last_repeated:
            self._last_repeated = chunk.tsn

    def all_marked(self) -> None:
        super().all_marked()
        data = self._data
        data.reneged.clear()
        self._prr = None
        self._repeated.clear()
        self._next_once = data.next_tsn
        self._timeout_point = data.next_tsn - 1
        self._probe.reset()
        self._probe.answered()
        self._probe.may_probe = True

    # -- recovery ----------------------------------------------------------------------------------

    def begin(self, flight_size: int, ssthresh: int) -> None:
        super().begin(flight_size, ssthresh)
        self._prr = ProportionalRateReduction(flight_size, ssthresh)
        self.quota = 0
        self._first_repeated = self._data.cumulative_tsn_ack + 1
        self._probe.reset()

    def end(self) -> None:
        if self.exit_point is not None:
            self._window.recovery_ended()
        super().end()
        self._prr = None

    def delivered(self, acked: int, *, lossless: bool) -> None:
        if self._prr is not None:
            flight_size = self._data.flight_size
            self.quota = self._prr.quota(acked, flight_size, self.pmdcs, lossless=lossless)

    @property
    def quota_of_short(self) -> int:
        quota = self.quota or 0
        return quota if self._prr is None else max(quota, self._prr.conserved)

    def sent(self, size: int) -> None:
        if self._prr is not None and self.quota is not None:
            self._prr.sent(size)
            self.quota -= size

    # -- silence -----------------------------------------------------------------------------------

    def arm(self, now: float) -> None:
        if self.timer.deadline == math.inf:
            self._await_silence(now)

    def _end_silence(self) -> None:
        """Something was acknowledged: the time for another probe begins anew, and is shorter."""
        if not self._probe.is_first:
            self._probe.answered()
            if not self._waits_for_late:
                self.timer.stop()

    def _await_silence(self, now: float) -> None:
        """Run the timer for a probe.  It is not moved for each packet: when it expires, it is looked
        whether the silence was long enough.
        """
        if self._waits_for_late or self.timer.deadline == math.inf:
            self._waits_for_late = False
            due = self._probe_due(delayed=False)
            if due is None:
                self.timer.stop()
            else:
                self.timer.start_at(max(now, due))

    def _probe_due(self, *, delayed: bool) -> float | None:
        if not self._data.flight_size:
            return None
        return self._probe.due_at(
            self.last_sent_at, self._progress_at, self._measured, delayed=delayed
        )

    def _sack_may_be_delayed(self) -> bool:
        """What is in flight is one packet, and its SACK was not asked for."""
        data = self._data
        if data.flight_size > self.pmdcs:
            return False
        last = data.chunks.get(data.next_tsn - 1)
        if self._repeated and (last is None or self._repeated[-1][0] >= last.sent_at):
            last = self._repeated[-1][2]
        return last is None or not last.asks_for_sack

    def handle_timeout(self, now: float) -> TimeoutAction:
        if self._waits_for_late:
            return TimeoutAction.REPAIR if self._detect(now) else TimeoutAction.NOTHING
        due = self._probe_due(delayed=self._sack_may_be_delayed())
        if due is not None and due > now:
            self.timer.start_at(due)
        elif due is not None:
            return TimeoutAction.PROBE
        return TimeoutAction.NOTHING

    def probed(self, chunk: OutstandingChunk | None, now: float) -> bool:
        is_first = self._probe.is_first
        self._probe.probed(chunk, now)
        return is_first

    def asks_for_sack(self, now: float) -> bool:
        return self._probe.asks_for_sack(now)


def _may_be_lost(chunk: OutstandingChunk) -> bool:
    return chunk.state == IN_FLIGHT or (chunk.state == ABANDONED and not chunk.loss_counted)
