"""The sender's half of data transfer (RFC 9260 §6.1 to §6.3 and §7): what is sent, and what comes of it.

It joins the send queue, the outstanding data, loss recovery, the congestion controller, the peer's
receiver window and the timer T3-rtx.  This is where acknowledgements and time-outs come in; what goes
out is its base's part.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..._wire.chunks import Sack
from ..._wire.serial import MASK32, unwrap32
from ..config import Config
from ..timer import Timer
from .choices import make_controller, make_recovery
from .congestion import Delivery
from .gap_ranges import Bounds, Range, above, bounds_of_gaps, changes, first_changes
from .loss_recovery import TimeoutAction
from .outstanding_data import SACK_STEP, OutstandingData
from .send_queue import SendQueue
from .transmission import Transmission

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from ..rto import RetransmissionTimeout
    from ..statistics import Counters

__all__ = ["RetransmissionQueue"]


class RetransmissionQueue(Transmission):
    """Sends an association's data and brings it to the peer in spite of losses.

    A SACK that changes much is processed as if the peer had sent several, each of which tells a little
    more, with the lowest TSNs first.  The next one is due at once, by `sack_timer`.
    """

    __slots__ = (
        "_acked_before_reset",
        "_delivery",
        "_rest",
        "_round_began_at",
        "counters",
        "never_sent_acknowledged",
        "sack_timer",
        "tsn_reset_pending",
    )

    def __init__(
        self,
        config: Config,
        *,
        initial_tsn: int,
        peer_rwnd: int,
        send_queue: SendQueue,
        rto: RetransmissionTimeout,
        counters: Counters,
        path_mtu: int,
    ) -> None:
        super().__init__(
            config,
            initial_tsn=initial_tsn,
            peer_rwnd=peer_rwnd,
            send_queue=send_queue,
            rto=rto,
            path_mtu=path_mtu,
        )
        self._delivery = Delivery()
        self.sack_timer = Timer("rest of a SACK")
        self._rest: Sack | int | None = (
            None  # or the cumulative TSN ack of a SHUTDOWN, as on the wire
        )
        self.counters = counters
        self.never_sent_acknowledged = False
        """The peer has acknowledged a TSN that was never sent."""
        self.tsn_reset_pending = False
        """The peer may already count by the TSNs that `reset_tsn` will begin with."""
        self._acked_before_reset: int | None = None
        # what was sent before has been measured already (§6.3.1 C4: once per round trip)
        self._round_began_at = 0.0

    # -- look --------------------------------------------------------------------------------------

    @property
    def flight_size(self) -> int:
        """Bytes of DATA chunks in flight."""
        return self._data.flight_size

    @property
    def cwnd(self) -> int:
        return self.congestion.cwnd

    @property
    def ssthresh(self) -> int:
        return self.congestion.ssthresh

    @property
    def cumulative_tsn_ack(self) -> int:
        return self._data.cumulative_tsn_ack

    @property
    def next_tsn(self) -> int:
        return self._data.next_tsn

    @property
    def outstanding_count(self) -> int:
        """DATA chunks sent and not acknowledged cumulatively."""
        return len(self._data.chunks)

    @property
    def is_recovering(self) -> bool:
        """What was lost is being sent again, or was and is not acknowledged yet."""
        return (
            self.recovery.exit_point is not None
            or self._one_packet_only
            or self._data.marked_count > 0
        )

    @property
    def is_empty(self) -> bool:
        """Nothing waits and nothing is unacknowledged, not even what was abandoned."""
        return not (self._data.chunks or self._send_queue.unsent_bytes)

    @property
    def has_unsent(self) -> bool:
        """Something is to be sent for the first time: `full_packets` may have some."""
        return self._send_queue.unsent_bytes > 0

    @property
    def next_repeat_size(self) -> int:
        """Bytes of the chunk that is to be sent again first; 0 if none is."""
        chunk = self._data.first_marked()
        return 0 if chunk is None else len(chunk.wire)

    @property
    def may_send(self) -> bool:
        """There is something to send, whether or not the windows allow it."""
        return (
            self._send_queue.unsent_bytes > 0
            or self._data.marked_count > 0
            or self._abandonment.forward_tsn.due
        )

    @property
    def advanced_peer_ack_point(self) -> int:
        """The TSN that the peer's cumulative TSN ack has to come to by itself (RFC 3758 §3.5 A1)."""
        point = self._abandonment.forward_tsn.advanced_peer_ack_point
        return max(point, self._data.cumulative_tsn_ack)

    @property
    def partial_reliability(self) -> bool:
        """The peer understands FORWARD TSN: what was sent may be abandoned (RFC 3758)."""
        return self._abandonment.enabled

    @partial_reliability.setter
    def partial_reliability(self, enabled: bool) -> None:
        self._abandonment.enabled = enabled

    @property
    def unacknowledged_messages(self) -> int:
        """Messages that were begun and are neither wholly acknowledged nor abandoned."""
        return self._send_queue.unacknowledged_messages

    # -- in ----------------------------------------------------------------------------------------

    def handle_sack(self, sack: Sack, now: float) -> bool:
        """Process a SACK (§6.2.1); True if it acknowledged anything new."""
        data = self._data
        cumulative = unwrap32(sack.cumulative_tsn_ack, data.cumulative_tsn_ack)
        if cumulative < data.cumulative_tsn_ack or self._is_older_than_rest(cumulative):
            return False  # D i: it was overtaken by a later one
        gaps = bounds_of_gaps(sack.gap_ack_offsets, cumulative)
        if gaps is None:
            self.counters.drop("SACK with impossible gap ack blocks")
            return False
        highest = gaps[-1] if gaps else cumulative
        if highest >= data.next_tsn:  # §12.4: the association is to be aborted
            self.never_sent_acknowledged = not self._is_of_other_numbering(sack.cumulative_tsn_ack)
            return False
        if gaps and data.ignores_gap_acks:
            gaps = []
        duplicates: Sequence[int] = sack.duplicate_tsns
        self._rest = None
        changed = None
        if gaps or data.gap_bounds:
            changed = changes(above(data.gap_bounds, cumulative), gaps)
        if (part := self._first_part(cumulative, gaps, changed)) is not None:
            cumulative, gaps = part
            changed = None
            duplicates = ()
            self._rest = sack
            self.sack_timer.start_at(now)
        data.begin_sack()
        advanced = cumulative > data.cumulative_tsn_ack
        acked = data.acknowledge_to(cumulative) if advanced else 0
        gap_acked, htna, reneged = data.acknowledge_gaps(gaps, changed)
        if part is not None:
            htna = None  # the whole of it is one miss indication
        acked += gap_acked
        self.allow_burst(acked)
        if progress := advanced or acked > 0:
            self._after_acknowledgement(acked, now)
        self._recover(acked, htna, duplicates, now, advanced=advanced)
        self._learn_window(sack.a_rwnd, progress, now)
        if self._abandonment.active:  # RFC 3758 §3.5 A4
            if reneged:
                self._abandonment.taken_back(now)
            self._abandonment.advance(now)
        self._manage_t3(advanced, reneged, now)
        return progress

    def _first_part(
        self, cumulative: int, gaps: Bounds, changed: tuple[list[Range], list[Range]] | None
    ) -> tuple[int, Bounds] | None:
        """What to take of a SACK at first, a cumulative TSN ack and bounds; None: all of it."""
        data = self._data
        most = SACK_STEP - (cumulative - data.cumulative_tsn_ack)
        if most < 0:
            cumulative += most
            return cumulative, above(data.gap_bounds, cumulative)
        if changed is None:
            return None
        gained, lost = changed
        if sum([last - first + 1 for first, last in gained + lost]) <= most:
            return None
        part = first_changes(above(data.gap_bounds, cumulative), gaps, most)
        return None if part is None else (cumulative, part)

    def _is_older_than_rest(self, cumulative: int) -> bool:
        rest = self._rest
        if rest is None:
            return False
        wire = rest if isinstance(rest, int) else rest.cumulative_tsn_ack
        return cumulative < unwrap32(wire, self._data.cumulative_tsn_ack)

    def go_on(self, now: float) -> bool:
        """`sack_timer` has expired: process more of a SACK or SHUTDOWN; True as `handle_sack`."""
        rest = self._rest
        if rest is None:
            return False
        if isinstance(rest, int):
            return self.handle_cumulative_ack(rest, now)
        return self.handle_sack(rest, now)

    def catch_up(self) -> None:
        """Process all of the last SACK or SHUTDOWN at once."""
        while self._rest is not None:
            self.go_on(self.sack_timer.deadline)

    def awaits(self, cumulative_tsn_ack: int) -> bool:
        """Whether a SACK up to here, as on the wire, acknowledges all there is, and no more follows."""
        data = self._data
        return (
            0 < len(data.chunks) <= SACK_STEP
            and (data.next_tsn - 1) & MASK32 == cumulative_tsn_ack
            and not self._abandonment.active
            and not self._window_probe.interval
        )

    def all_acknowledged(self, a_rwnd: int, now: float) -> None:
        """Process a SACK that `awaits` has told of: what `handle_sack` does, less what cannot be."""
        data, probe = self._data, self._window_probe
        self._rest = None
        data.begin_sack()
        acked = data.acknowledge_to(data.next_tsn - 1)
        self.allow_burst(acked)
        self._after_acknowledgement(acked, now)
        self._recover(acked, None, (), now, advanced=True)
        probe.answered = True
        probe.closed = a_rwnd < self._pmdcs
        self.peer_rwnd = a_rwnd
        self.t3_rtx.stop()

    def handle_cumulative_ack(self, cumulative_tsn_ack: int, now: float) -> bool:
        """Process what a SHUTDOWN chunk acknowledges; it says nothing about gaps (§3.3.8)."""
        data = self._data
        cumulative = unwrap32(cumulative_tsn_ack, data.cumulative_tsn_ack)
        if cumulative >= data.next_tsn:  # §12.4
            self.never_sent_acknowledged = not self._is_of_other_numbering(cumulative_tsn_ack)
            return False
        if cumulative <= data.cumulative_tsn_ack or self._is_older_than_rest(cumulative):
            return False
        self._rest = None
        if cumulative - data.cumulative_tsn_ack > SACK_STEP:
            cumulative = data.cumulative_tsn_ack + SACK_STEP
            self._rest = cumulative_tsn_ack
            self.sack_timer.start_at(now)
        window = self.peer_rwnd + data.flight_payload  # nothing newer is known of it
        data.begin_sack()
        acked = data.acknowledge_to(cumulative)
        self.allow_burst(acked)
        self._after_acknowledgement(acked, now)
        self._recover(acked, None, (), now, advanced=True)
        self._learn_window(window, acknowledged=True, now=now)
        if self._abandonment.active:
            self._abandonment.advance(now)
        self._manage_t3(advanced=True, reneged=False, now=now)
        return True

    def handle_t3_expiry(self, now: float) -> bool:
        """T3-rtx has expired (§6.3.3).  True if that counts as an error of the peer (§8.1)."""
        nothing_sent = not self._data.chunks  # the timer ran for a zero window probe
        probing = self._window_probe.interval > 0
        closed, answered = self._window_probe.expired(self._rto.rto, self._config.rto_max)
        if not (closed and (answered or nothing_sent)):
            self._rto.back_off()  # E2
        if nothing_sent:
            self._window_probe.due = True
            self.allow_burst()
            return False
        if not probing:  # a probe's loss says nothing of congestion (§6.1 A)
            self.congestion.on_timeout(now)  # E1
            self._one_packet_only = True
        self.mark_all_for_retransmission(now)  # E3
        self._ask_for_sack()
        return not (closed and answered)

    def mark_all_for_retransmission(self, now: float) -> None:
        """All that is in flight counts as lost."""
        self.t3_rtx.stop()
        self.peer_rwnd += self._data.flight_payload  # §6.2.1 C
        self.congestion.on_lost(self._data.flight_size, now)
        self._data.mark_all()
        self.recovery.all_marked()
        self._abandonment.give_up_lost(now)
        if self._abandonment.active:  # RFC 3758 §3.5 A5
            self._abandonment.advance(now)
            self._abandonment.forward_tsn.repeat()
        self.allow_burst()

    def handle_recovery_timeout(self, now: float) -> None:
        """The timer of loss recovery has expired."""
        data = self._data
        flight_size, flight_payload = data.flight_size, data.flight_payload
        action = self.recovery.handle_timeout(now)
        if action is TimeoutAction.REPAIR:
            self.peer_rwnd += flight_payload - data.flight_payload  # §6.2.1 C
            self._repair(flight_size, now)
            if self._abandonment.active:
                self._abandonment.advance(now)
            self.allow_burst()
        elif action is TimeoutAction.PROBE and not self._window_probe.closed:
            self._send_probe(now)

    def replace_config(self, config: Config, now: float) -> None:
        old, self._config = self._config, config
        self.congestion.replace_config(config)
        if config.congestion_control != old.congestion_control:
            controller = make_controller(config, self._pmdcs)
            controller.succeed(self.congestion)
            self.congestion = controller
        if config.loss_recovery != old.loss_recovery:
            recovery = make_recovery(config, self._data, self._pmdcs, self._rto)
            recovery.succeed(self.recovery)
            self.recovery = recovery
            if self._data.flight_size:
                recovery.arm(now)

    def restart_path(self, now: float) -> None:
        """The path is another one: nothing is known of what it carries (§7.2.5)."""
        self.congestion.restart(self._pmdcs)
        self._rto.restart()
        self._round_began_at = now  # what is under way went the old way
        self.recovery.path_changed()
        self.allow_burst()

    def adopt_peer(self, peer_rwnd: int, now: float) -> None:
        """Another incarnation of the peer answers: it has none of what was sent."""
        self._rest = None
        self._data.acknowledge_gaps([])
        if self._abandonment.active:
            self._abandonment.forward_tsn.rewind()
        self.mark_all_for_retransmission(now)
        self.peer_rwnd = peer_rwnd
        self._window_probe.closed = False
        self._window_probe.end()

    def take_back(self) -> None:
        """All that is outstanding goes back to the send queue, to be cut into chunks anew."""
        data = self._data
        messages = dict.fromkeys([chunk.message for chunk in data.chunks.values()])
        self._begin_with(data.cumulative_tsn_ack + 1)
        self._send_queue.take_back(messages)

    def reset_tsn(self, next_tsn: int) -> None:
        """Go on with a TSN, as on the wire, that the peer chose (RFC 6525 §5.2.7 H5).

        Nothing is outstanding then.
        """
        self.tsn_reset_pending = False
        self._acked_before_reset = self._data.cumulative_tsn_ack
        expected = self._data.next_tsn
        self._begin_with(expected + ((next_tsn - expected) & MASK32))

    def _begin_with(self, tsn: int) -> None:
        """Nothing is outstanding, and this is the next TSN."""
        self._rest = None
        self._data = OutstandingData(tsn)
        self._abandonment.restart(self._data)
        self.recovery.restart(self._data)

    def _is_of_other_numbering(self, cumulative_tsn_ack: int) -> bool:
        """Whether what seems to acknowledge the future was sent on the other side of a TSN reset."""
        if self.tsn_reset_pending:
            return True  # it has overtaken the peer's answer
        before = self._acked_before_reset
        return before is not None and (before - cumulative_tsn_ack) & MASK32 < 1 << 30

    def expire(self, now: float) -> None:
        """Give up the messages whose lifetime has ended (RFC 3758 §4.1)."""
        self._abandonment.expire(now)

    def streams_will_be_reset(self, stream_ids: Collection[int]) -> None:
        """The peer is asked to reset streams that we send on (none: all)."""
        self._abandonment.forward_tsn.streams_will_be_reset(stream_ids)

    def streams_were_reset(self, stream_ids: Collection[int]) -> None:
        """The peer has reset streams that we send on (none: all)."""
        self._abandonment.forward_tsn.streams_were_reset(stream_ids)

    # -- after a SACK ------------------------------------------------------------------------------

    def _after_acknowledgement(self, acked: int, now: float) -> None:
        data, delivery, newest = self._data, self._delivery, self._data.newest_acked
        self._one_packet_only = False
        rtt: float | None = None
        sent_at: float | None = None
        # §6.3.1 C5: nothing that was sent again since explains when this SACK was sent
        if newest is not None and not (
            data.repeated_acked and any(k.sent_at >= newest.sent_at for k in data.repeated_acked)
        ):
            sent_at = newest.sent_at
            rtt = now - sent_at
            if sent_at >= self._round_began_at:  # C4
                self._rto.observe(rtt)
                self._round_began_at = now
        delivery.now, delivery.acked, delivery.rtt, delivery.sent_at = now, acked, rtt, sent_at
        delivery.srtt = self._rto.srtt
        delivery.cumulative_tsn_ack, delivery.next_tsn = data.cumulative_tsn_ack, data.next_tsn
        delivery.flight_size = data.flight_size
        delivery.cwnd_was_full = self._cwnd_was_full
        delivery.in_recovery = self.recovery.exit_point is not None
        delivery.all_acked = not data.chunks
        self.congestion.on_delivered(delivery)
        if self._cwnd_was_full and not (self._send_queue.unsent_bytes or data.marked_count):
            # nothing will fill it again
            self._cwnd_was_full = data.flight_size >= self.congestion.cwnd
        if data.acked_messages:
            self._send_queue.acknowledged(data.acked_messages)
            data.acked_messages.clear()

    def _recover(
        self,
        acked: int,
        htna: int | None,
        duplicates: Sequence[int],
        now: float,
        *,
        advanced: bool,
    ) -> None:
        """After a SACK: recovery may end or begin, and more may go out during it."""
        data, recovery = self._data, self.recovery
        if recovery.exit_point is not None and data.cumulative_tsn_ack >= recovery.exit_point:
            recovery.end()  # §6.2.1 D iv
            self.congestion.on_recovered(now)
        flight_size = data.flight_size
        found = recovery.find_losses(htna, duplicates, now, advanced=advanced)
        if found:
            self._repair(flight_size, now)
        if recovery.tail_repaired:
            recovery.tail_repaired = False
            if recovery.exit_point is None:
                self.congestion.on_congestion(now)
        if recovery.exit_point is not None:
            recovery.delivered(acked, lossless=advanced and not found)

    def _repair(self, flight_size: int, now: float) -> None:
        """Some of what was in flight was found lost (§7.2.4)."""
        recovery, congestion = self.recovery, self.congestion
        congestion.on_lost(flight_size - self._data.flight_size, now)
        if recovery.exit_point is None:
            congestion.on_congestion(now)  # step 2
            recovery.begin(flight_size, congestion.ssthresh)
        self._abandonment.give_up_lost(now)

    def _send_probe(self, now: float) -> None:
        """The end of a flight may be lost (RFC 8985 §7.3): one packet more, new data if there is any."""
        data, recovery = self._data, self.recovery
        chunk = None
        if self._one_packet_only:
            # what was sent after T3-rtx had expired is late itself.  It counts as lost: so there is
            # still only one packet in flight
            self.peer_rwnd += data.flight_payload  # §6.2.1 C
            data.mark_all()
            self._abandonment.give_up_lost(now)
            if self._abandonment.active:
                self._abandonment.advance(now)
        elif not data.marked_count and not self._has_new_data():
            chunk = data.last_repeatable(now)
            if chunk is None:
                return
            data.mark(chunk)
            data.lost.clear()  # that it is not is known
            self.peer_rwnd += chunk.payload_size  # §6.2.1 C
        if data.marked_count:
            recovery.packet_due = True
            self._ask_for_sack()
        else:
            self._probes_with_new_data = True
        self.allow_burst()
        if recovery.probed(chunk, now):
            self._start_t3(now)  # T3-rtx remains the last resort (RFC 8985 §7.3)
        else:
            self._probes_again = True
            recovery.arm(now)

    def _ask_for_sack(self) -> None:
        """The next retransmission is not to be acknowledged with delay (I bit)."""
        chunk = self._data.first_marked()
        if chunk is not None:
            chunk.ask_for_sack()

    def _has_new_data(self) -> bool:
        """There is something to send, and the peer has room for it."""
        message = self._send_queue.next_message()
        if message is None:
            return False
        return min(len(message.payload) - message.offset, self._pmdcs) <= self.peer_rwnd

    def _manage_t3(self, advanced: bool, reneged: bool, now: float) -> None:
        data = self._data
        if not data.chunks:
            self.t3_rtx.stop()  # §6.3.2 R2
        elif advanced or (reneged and not self.t3_rtx.running):
            self._start_t3(now)  # R3, R4

    def _learn_window(self, a_rwnd: int, acknowledged: bool, now: float) -> None:
        """What the peer has room for, after all else that a SACK says (§6.2.1 D ii)."""
        probe = self._window_probe
        probe.answered = True
        probe.closed = closed = a_rwnd < self._pmdcs
        if probe.interval and (acknowledged or not closed):
            probe.end()
            if not closed and self._data.flight_size:
                # The peer had no room for the probe and has some now: do not wait for T3-rtx.
                self.mark_all_for_retransmission(now)
        self.peer_rwnd = max(0, a_rwnd - self._data.flight_payload)
