"""The sender's half of data transfer (RFC 9260 §6.1 to §6.3 and §7): when what is sent, and sent again.

It joins the send queue, the outstanding data, the congestion controller, the peer's receiver window and
the timer T3-rtx.  Chunks are made at the moment a packet is pulled: first what is marked for
retransmission, then new data as far as both windows and the burst limit allow.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ..._wire.chunks import Sack
from ..._wire.data_chunks import (
    BEGINNING,
    DATA_HEADER_SIZE,
    IMMEDIATE,
    UNORDERED,
    encode_data,
    encode_i_data,
)
from ..._wire.packet import COMMON_HEADER_SIZE
from ..._wire.serial import MASK32, unwrap32
from ..config import Config
from ..events import Outcome
from ..timer import Timer
from .congestion import CongestionController
from .forward_tsn import ForwardTsnSender
from .outstanding_data import MARKED, OutstandingData, Range
from .send_queue import SendQueue

if TYPE_CHECKING:
    from collections.abc import Collection

    from ..rto import RetransmissionTimeout
    from .send_queue import OutgoingMessage

__all__ = ["RetransmissionQueue"]


class RetransmissionQueue:
    """Sends an association's data and brings it to the peer in spite of losses."""

    __slots__ = (
        "_abandoning",
        "_acked_before_reset",
        "_burst_is_over",
        "_burst_limit",
        "_config",
        "_cwnd_was_full",
        "_data",
        "_fast_retransmit_due",
        "_forward_tsn",
        "_last_sent_at",
        "_least_fragment",
        "_one_packet_only",
        "_pmdcs",
        "_probe_due",
        "_probe_interval",
        "_recovery_point",
        "_rto",
        "_sack_since_expiry",
        "_send_queue",
        "_timed_at",
        "_timed_tsn",
        "_window_closed",
        "congestion",
        "invalid_sacks",
        "never_sent_acknowledged",
        "partial_reliability",
        "peer_rwnd",
        "retransmitted_chunks",
        "shutdown_pending",
        "t3_rtx",
        "tsn_reset_pending",
        "unacknowledged_messages",
    )

    def __init__(
        self,
        config: Config,
        *,
        initial_tsn: int,
        peer_rwnd: int,
        send_queue: SendQueue,
        rto: RetransmissionTimeout,
        path_mtu: int,
    ) -> None:
        self._config = config
        self._send_queue = send_queue
        self._rto = rto
        self._pmdcs = _pmdcs_of(path_mtu)
        # less of a message is not worth a fragment of its own at the end of a packet
        self._least_fragment = (self._pmdcs - DATA_HEADER_SIZE) >> 1
        self._data = OutstandingData(initial_tsn)
        self._forward_tsn = ForwardTsnSender(self._data, path_mtu)
        self.partial_reliability = False
        """The peer understands FORWARD TSN: what was sent may be abandoned (RFC 3758)."""
        self._abandoning = False  # something was, and the peer has not acknowledged that
        self.congestion = CongestionController(config, pmdcs=self._pmdcs)
        self.peer_rwnd = peer_rwnd
        """What the peer's receiver has room for beyond what is in flight."""
        self.t3_rtx = Timer("T3-rtx")
        self.shutdown_pending = False
        self.unacknowledged_messages = 0
        """Messages that were begun and are neither wholly acknowledged nor abandoned."""
        self.retransmitted_chunks = 0
        self.invalid_sacks = 0
        self.never_sent_acknowledged = False
        """The peer has acknowledged a TSN that was never sent."""
        self.tsn_reset_pending = False
        """The peer may already count by the TSNs that `reset_tsn` will begin with."""
        self._acked_before_reset: int | None = None
        self._recovery_point: int | None = None
        self._fast_retransmit_due = False
        self._burst_limit = 0
        self._burst_is_over = True
        self._cwnd_was_full = False
        self._one_packet_only = False
        self._last_sent_at = math.inf  # never idle before the first data
        # the TSN whose round trip is being measured, one at a time (§6.3.1 C4)
        self._timed_tsn: int | None = None
        self._timed_at = 0.0
        # zero window probing (§6.1 A)
        self._window_closed = False
        self._probe_interval = 0.0  # T3-rtx runs for so long instead of the RTO; 0: not probing
        self._probe_due = False
        self._sack_since_expiry = False
        self.allow_burst()

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
            self._recovery_point is not None or self._one_packet_only or self._data.marked_count > 0
        )

    @property
    def is_empty(self) -> bool:
        """Nothing waits and nothing is unacknowledged, not even what was abandoned."""
        return not (self._data.chunks or self._send_queue.unsent_bytes)

    @property
    def advanced_peer_ack_point(self) -> int:
        """The TSN that the peer's cumulative TSN ack has to come to by itself (RFC 3758 §3.5 A1)."""
        return max(self._forward_tsn.advanced_peer_ack_point, self._data.cumulative_tsn_ack)

    # -- in ----------------------------------------------------------------------------------------

    def handle_sack(self, sack: Sack, now: float) -> bool:
        """Process a SACK (§6.2.1); True if it acknowledged anything new."""
        data = self._data
        cumulative = unwrap32(sack.cumulative_tsn_ack, data.cumulative_tsn_ack)
        if cumulative < data.cumulative_tsn_ack:  # D i: it was overtaken by a later one
            return False
        ranges = self._ranges(sack, cumulative)
        if ranges is None:
            self.invalid_sacks += 1
            return False
        highest = ranges[-1][1] if ranges else cumulative
        if highest >= data.next_tsn:  # §12.4: the association is to be aborted
            self.never_sent_acknowledged = not self._is_of_other_numbering(sack.cumulative_tsn_ack)
            return False
        advanced = cumulative > data.cumulative_tsn_ack
        acked = data.acknowledge_to(cumulative) if advanced else 0
        gap_acked, htna, reneged = data.acknowledge_ranges(ranges)
        acked += gap_acked
        self.allow_burst(acked)
        if progress := advanced or acked > 0:
            self._after_acknowledgement(acked, now)
        if self._recovery_point is not None:
            if cumulative >= self._recovery_point:
                self._leave_fast_recovery()
            elif advanced and ranges:
                # §7.2.4: in recovery all that is reported missing counts
                htna = max(htna or 0, ranges[-1][1])
        if htna is not None and data.count_misses(htna):
            self._enter_fast_recovery()
            self._give_up_lost(now)
        self._learn_window(sack.a_rwnd, progress, now)
        if self._abandoning:  # RFC 3758 §3.5 A4
            if reneged:
                self._forward_tsn.rewind()
                self._give_up_lost(now)
            self._advance_peer_ack_point(now)
        self._manage_t3(advanced, reneged, now)
        return progress

    def handle_cumulative_ack(self, cumulative_tsn_ack: int, now: float) -> bool:
        """Process what a SHUTDOWN chunk acknowledges; it says nothing about gaps (§3.3.8)."""
        data = self._data
        cumulative = unwrap32(cumulative_tsn_ack, data.cumulative_tsn_ack)
        if cumulative >= data.next_tsn:  # §12.4
            self.never_sent_acknowledged = not self._is_of_other_numbering(cumulative_tsn_ack)
            return False
        if cumulative <= data.cumulative_tsn_ack:
            return False
        window = self.peer_rwnd + data.flight_payload  # nothing newer is known of it
        acked = data.acknowledge_to(cumulative)
        self.allow_burst(acked)
        self._after_acknowledgement(acked, now)
        if self._recovery_point is not None and cumulative >= self._recovery_point:
            self._leave_fast_recovery()
        self._learn_window(window, acknowledged=True, now=now)
        if self._abandoning:
            self._advance_peer_ack_point(now)
        self._manage_t3(advanced=True, reneged=False, now=now)
        return True

    def handle_t3_expiry(self, now: float) -> bool:
        """T3-rtx has expired (§6.3.3).  True if that counts as an error of the peer (§8.1)."""
        nothing_sent = not self._data.chunks  # the timer ran for a zero window probe
        closed, probing = self._window_closed, self._probe_interval > 0
        answered, self._sack_since_expiry = self._sack_since_expiry, False
        if closed:  # §6.1 A: the interval between probes grows, whoever drops them
            interval = self._probe_interval or self._rto.rto
            self._probe_interval = min(2 * interval, self._config.rto_max)
        if not (closed and (answered or nothing_sent)):
            self._rto.back_off()  # E2
        if nothing_sent:
            self._probe_due = True
            self.allow_burst()
            return False
        if not probing:  # a probe's loss says nothing of congestion (§6.1 A)
            self.congestion.on_timeout()  # E1
            self._one_packet_only = True
        self.mark_all_for_retransmission(now)  # E3
        return not (closed and answered)

    def mark_all_for_retransmission(self, now: float) -> None:
        """All that is in flight counts as lost."""
        self.t3_rtx.stop()
        self.peer_rwnd += self._data.flight_payload  # §6.2.1 C
        self._data.mark_all()
        self._recovery_point = None
        self._fast_retransmit_due = False
        self._timed_tsn = None  # C5: Karn's rule
        self._give_up_lost(now)
        if self._abandoning:  # RFC 3758 §3.5 A5
            self._advance_peer_ack_point(now)
            self._forward_tsn.repeat()
        self.allow_burst()

    def allow_burst(self, acked: int = 0) -> None:
        """Something happened that lets new data out: Max.Burst packets beyond the flight (§6.1 D).

        The flight is that before a SACK took effect, so what it acknowledges is replaced in full.
        The burst grows with ``acked``, the bytes that it acknowledged: a SACK for a whole batch
        of packets lets out what one for every second packet would have done.
        """
        burst = self._config.max_burst * self._pmdcs
        if burst < acked:
            burst = acked
        limit = self._data.flight_size + acked + burst
        if self._burst_is_over or limit > self._burst_limit:
            self._burst_limit = limit
            self._burst_is_over = False

    def replace_config(self, config: Config) -> None:
        self._config = config
        self.congestion.replace_config(config)

    def set_path_mtu(self, path_mtu: int) -> None:
        """Packets have another size from now on; chunks that exist keep theirs (§6.9)."""
        self._pmdcs = pmdcs = _pmdcs_of(path_mtu)
        self._least_fragment = (pmdcs - DATA_HEADER_SIZE) >> 1
        self.congestion.set_pmdcs(pmdcs)
        self.allow_burst()

    def restart_path(self) -> None:
        """The path is another one: nothing is known of what it carries (§7.2.5)."""
        self.congestion.restart(self._pmdcs)
        self._rto.restart()
        self._timed_tsn = None
        self.allow_burst()

    def adopt_peer(self, peer_rwnd: int, now: float) -> None:
        """Another incarnation of the peer answers: it has none of what was sent."""
        self._data.acknowledge_ranges([])
        if self._abandoning:
            self._forward_tsn.rewind()
        self.mark_all_for_retransmission(now)
        self.peer_rwnd = peer_rwnd
        self._window_closed = False
        self._end_probing()

    def take_back(self) -> None:
        """All that is outstanding goes back to the send queue, to be cut into chunks anew."""
        data = self._data
        messages = dict.fromkeys([chunk.message for chunk in data.chunks.values()])
        self._data = OutstandingData(data.cumulative_tsn_ack + 1)
        self._forward_tsn.restart(self._data)
        self._abandoning = False
        self.unacknowledged_messages -= sum(not message.abandoned for message in messages)
        self._send_queue.take_back(messages)

    def reset_tsn(self, next_tsn: int) -> None:
        """Go on with a TSN, as on the wire, that the peer chose (RFC 6525 §5.2.7 H5).

        Nothing is outstanding then.
        """
        self.tsn_reset_pending = False
        self._acked_before_reset = self._data.cumulative_tsn_ack
        expected = self._data.next_tsn
        self._data = OutstandingData(expected + ((next_tsn - expected) & MASK32))
        self._forward_tsn.restart(self._data)

    def _is_of_other_numbering(self, cumulative_tsn_ack: int) -> bool:
        """Whether what seems to acknowledge the future was sent on the other side of a TSN reset."""
        if self.tsn_reset_pending:
            return True  # it has overtaken the peer's answer
        before = self._acked_before_reset
        return before is not None and (before - cumulative_tsn_ack) & MASK32 < 1 << 30

    # -- messages given up (RFC 3758) ----------------------------------------------------------------

    def expire(self, now: float) -> None:
        """Give up the messages whose lifetime has ended (§4.1 TR3 to TR5).

        One that was sent is not, as long as it may have arrived: it is when it turns out to be lost.
        """
        queue = self._send_queue
        for message in queue.policies.expired(now):
            if not message.offset:
                queue.abandon(message, Outcome.ABANDONED_LIFETIME)
            elif self.partial_reliability and self._is_to_be_sent(message):
                self._abandon(message, Outcome.ABANDONED_LIFETIME)
        if self._abandoning:
            self._advance_peer_ack_point(now)

    def streams_will_be_reset(self, stream_ids: Collection[int]) -> None:
        """The peer is asked to reset streams that we send on (none: all)."""
        self._forward_tsn.streams_will_be_reset(stream_ids)

    def streams_were_reset(self, stream_ids: Collection[int]) -> None:
        """The peer has reset streams that we send on (none: all)."""
        self._forward_tsn.streams_were_reset(stream_ids)

    def _is_to_be_sent(self, message: OutgoingMessage) -> bool:
        """A part of a message that was begun waits to be sent, for the first time or again."""
        if message.offset < len(message.payload):
            return True
        assert message.policy is not None
        chunks = map(self._data.chunks.get, message.policy.tsns)
        return any(chunk is not None and chunk.state == MARKED for chunk in chunks)

    def _give_up_lost(self, now: float) -> None:
        """Abandon messages that were found lost and must not be sent again (RFC 7496 §3.1)."""
        data = self._data
        if not data.lost:
            return
        lost, data.lost = data.lost, []
        for chunk in lost if self.partial_reliability else ():
            policy = chunk.message.policy
            if policy is not None and chunk.state == MARKED:
                reason = policy.forbids_to_repeat(chunk.tsn, now)
                if reason is not None:
                    self._abandon(chunk.message, reason)

    def _abandon(self, message: OutgoingMessage, reason: Outcome) -> None:
        """Give up a message that was begun, as a whole (§3.5 A2, A3).

        What was not sent of it gets one TSN, which nobody ever sends.  The peer may have all that
        was sent; only by missing something does it learn that the message ends there, and that what
        follows is another one.
        """
        policy = message.policy
        assert policy is not None
        unsent = self._send_queue.abandon(message, reason)
        self._data.abandon(message, policy)
        if unsent:
            self._data.abandon_unsent(message, policy, unsent)
        self.unacknowledged_messages -= 1
        self._abandoning = True
        if self._timed_tsn is not None and self._data.is_abandoned(self._timed_tsn):
            self._timed_tsn = None  # what acknowledges it will not have been sent for it

    def _advance_peer_ack_point(self, now: float) -> None:
        self._abandoning = self._data.abandoned_count > 0
        round_trip = self._rto.rto if self._rto.srtt is None else self._rto.srtt
        self._forward_tsn.update(self._send_queue.interleaving, now, round_trip)

    # -- out ---------------------------------------------------------------------------------------

    def chunks_to_send(self, room: int, now: float) -> list[bytes]:
        """The DATA chunks for one packet with ``room`` bytes for them; none if none may go now."""
        data, queue = self._data, self._send_queue
        chunks: list[bytes] = []
        room &= ~3  # chunks are padded
        forward_tsn = b""
        if self._forward_tsn.due:  # it goes with DATA if there is any (RFC 3758 §3.5 F2)
            forward_tsn = self._forward_tsn.chunk(room, queue.interleaving, now)
            room -= len(forward_tsn)
        # rule B: one packet may exceed cwnd, hence this is asked once per packet
        full = data.flight_size >= self.congestion.cwnd or (
            self._one_packet_only and data.flight_size > 0  # §7.2.3
        )
        if data.marked_count:
            chunks = self._retransmissions(room, full, now)
            room -= sum(map(len, chunks))
        # rule C: new data only after all that is marked; rule D: and no more than a burst of it
        if (
            queue.unsent_bytes
            and not (full or data.marked_count)
            and (chunks or data.flight_size < self._burst_limit)
        ):
            self._add_new_data(chunks, room, now)
        self._cwnd_was_full = data.flight_size >= self.congestion.cwnd or (
            self._one_packet_only and (data.marked_count or queue.unsent_bytes) > 0
        )
        if not chunks:
            self._burst_is_over = True
        if forward_tsn:
            chunks.insert(0, forward_tsn)
            if not self.t3_rtx.running:  # RFC 3758 §3.5 C5
                self._start_t3(now)
        return chunks

    def _add_new_data(self, chunks: list[bytes], room: int, now: float) -> None:
        data, queue = self._data, self._send_queue
        cwnd, pmdcs, peer_rwnd = self.congestion.cwnd, self._pmdcs, self.peer_rwnd
        first_tsn, was_idle = data.next_tsn, not data.flight_size
        header_size, interleaving = queue.header_size, queue.interleaving
        queue.start_packet()
        while room > header_size and (message := queue.next_message()) is not None:
            size = len(message.payload) - message.offset
            if size > room - header_size:
                size = room - header_size
                if size < self._least_fragment:
                    break
            if size > peer_rwnd and not self._may_probe(bool(chunks), now):  # rule A
                break
            flags, payload = queue.take(message, size)
            if flags & BEGINNING:
                self.unacknowledged_messages += 1
            peer_rwnd -= size  # §6.2.1 B
            if (
                peer_rwnd < pmdcs
                or data.flight_size + header_size + size >= cwnd
                or self.shutdown_pending
            ):
                flags |= IMMEDIATE  # we benefit from a SACK at once (§6.1)
            tsn, stream_id = data.next_tsn & MASK32, message.stream_id
            if not interleaving:
                wire = encode_data(flags, tsn, stream_id, message.ssn, message.ppid, payload)
            elif flags & BEGINNING:
                wire = encode_i_data(flags, tsn, stream_id, message.mid, message.ppid, payload)
            else:
                message.fsn = fsn = message.fsn + 1
                wire = encode_i_data(flags, tsn, stream_id, message.mid, fsn & MASK32, payload)
            data.add(wire, size, message)
            chunks.append(wire)
            room -= len(wire)
        if data.next_tsn != first_tsn:
            self.peer_rwnd = max(0, peer_rwnd)
            if was_idle:  # the packet that ends it fits in any window, the next one may not
                self.congestion.on_idle(now - self._last_sent_at, self._rto.rto)
            self._last_sent_at = now
            if self._timed_tsn is None:
                self._timed_tsn, self._timed_at = first_tsn, now
            if not self.t3_rtx.running:  # §6.3.2 R1
                self._start_t3(now)

    def full_chunks(self, room: int, limit: int) -> list[bytes]:
        """Up to ``limit`` further chunks of new data that fill ``room`` bytes of a packet each.

        They are the middle of messages that `chunks_to_send`, which has to be asked first, has begun,
        sent while both windows are wide open: what it looks at for each packet is the same for all
        of these.  Where anything differs they end, and `chunks_to_send` goes on.
        """
        data, queue = self._data, self._send_queue
        wires: list[bytes] = []
        length = room & ~3  # chunks are padded
        size = length - queue.header_size
        if data.marked_count or self._one_packet_only or self._forward_tsn.due:
            return wires
        window = min(self.congestion.cwnd, self._burst_limit) - data.flight_size
        if self.shutdown_pending or size <= 0:
            return wires
        # the chunk that uses up a window is not one of these: it asks for a SACK at once
        limit = min(limit, (window - 1) // length, (self.peer_rwnd - self._pmdcs) // size)
        for message, payload in queue.take_middles(size, limit):
            tsn, stream_id = data.next_tsn & MASK32, message.stream_id
            flags = UNORDERED if message.unordered else 0
            if queue.interleaving:
                message.fsn = fsn = message.fsn + 1
                wire = encode_i_data(flags, tsn, stream_id, message.mid, fsn & MASK32, payload)
            else:
                wire = encode_data(flags, tsn, stream_id, message.ssn, message.ppid, payload)
            data.add(wire, size, message)
            wires.append(wire)
        self.peer_rwnd -= size * len(wires)
        return wires

    def _may_probe(self, bundled: bool, now: float) -> bool:
        """Whether one chunk may go out although the peer has no room (§6.1 A).

        With nothing in flight T3-rtx is the probe's timer, so the first probe goes after one RTO.
        """
        if self._data.chunks or bundled:
            return False
        if self._probe_due:
            self._probe_due = False
            return True
        if not self.t3_rtx.running:
            self._window_closed = True
            self._probe_interval = self._probe_interval or self._rto.rto
            self._start_t3(now)
        return False

    def _retransmissions(self, room: int, cwnd_is_full: bool, now: float) -> list[bytes]:
        """Marked chunks for one packet (§6.1 C)."""
        data = self._data
        chunks: list[bytes] = []
        # §7.2.4 step 3: the first packet of a fast retransmit ignores cwnd
        fast, self._fast_retransmit_due = self._fast_retransmit_due, False
        if cwnd_is_full and not fast:
            return chunks
        whole = self._pmdcs
        while (chunk := data.first_marked()) is not None:
            wire = chunk.wire
            if len(wire) > room and not (room >= whole and not chunks):
                break  # a chunk made for a larger path MTU goes alone (§6.9)
            data.retransmit(chunk)
            self.retransmitted_chunks += 1
            self.peer_rwnd = max(0, self.peer_rwnd - chunk.payload_size)
            if self._timed_tsn is not None and chunk.tsn <= self._timed_tsn:
                self._timed_tsn = None  # §6.3.1 C5
            if not self.t3_rtx.running or chunk.tsn == data.cumulative_tsn_ack + 1:
                self._start_t3(now)  # §6.1, §7.2.4 step 4
            chunks.append(wire)
            room -= len(wire)
        if chunks:
            self._last_sent_at = now
        elif fast:
            self._fast_retransmit_due = True
        return chunks

    # -- after a SACK ------------------------------------------------------------------------------

    def _ranges(self, sack: Sack, cumulative: int) -> list[Range] | None:
        """The gap ack blocks as sorted ranges of TSNs; None where they cannot be true."""
        blocks = sack.gap_ack_blocks
        ranges: list[Range] = []
        if not blocks:
            return ranges
        for start, end in sorted(blocks):
            if not 0 < start <= end:
                return None
            if ranges and cumulative + start <= ranges[-1][1] + 1:
                ranges[-1] = ranges[-1][0], max(cumulative + end, ranges[-1][1])
            else:
                ranges.append((cumulative + start, cumulative + end))
        return ranges

    def _after_acknowledgement(self, acked: int, now: float) -> None:
        data = self._data
        self._one_packet_only = False
        if self._timed_tsn is not None and data.is_acknowledged(self._timed_tsn):
            self._rto.observe(now - self._timed_at)
            self._timed_tsn = None
        self.congestion.on_acknowledged(
            acked,
            cwnd_was_full=self._cwnd_was_full,
            in_fast_recovery=self._recovery_point is not None,
            all_acked=not data.chunks,
        )
        if data.acked_messages:
            abandoned = self._send_queue.acknowledged(data.acked_messages)
            self.unacknowledged_messages -= len(data.acked_messages) - abandoned
            data.acked_messages.clear()

    def _enter_fast_recovery(self) -> None:
        """TSNs were found missing three times (§7.2.4)."""
        if self._recovery_point is None:
            self.congestion.on_fast_retransmit()  # step 2
            self._recovery_point = self._data.next_tsn - 1  # step 6
            self._fast_retransmit_due = True  # step 3

    def _leave_fast_recovery(self) -> None:
        """All that was outstanding at its begin is acknowledged (§6.2.1 D iv)."""
        self._recovery_point = None
        self._fast_retransmit_due = False

    def _manage_t3(self, advanced: bool, reneged: bool, now: float) -> None:
        data = self._data
        if not data.chunks:
            self.t3_rtx.stop()  # §6.3.2 R2
        elif advanced or (reneged and not self.t3_rtx.running):
            self._start_t3(now)  # R3, R4

    def _start_t3(self, now: float) -> None:
        self.t3_rtx.start(now, self._probe_interval or self._rto.rto)

    def _learn_window(self, a_rwnd: int, acknowledged: bool, now: float) -> None:
        """What the peer has room for, after all else that a SACK says (§6.2.1 D ii)."""
        self._sack_since_expiry = True
        self._window_closed = closed = a_rwnd < self._pmdcs
        if self._probe_interval and (acknowledged or not closed):
            self._end_probing()
            if not closed and self._data.flight_size:
                # The peer had no room for the probe and has some now: do not wait for T3-rtx.
                self.mark_all_for_retransmission(now)
        self.peer_rwnd = max(0, a_rwnd - self._data.flight_payload)

    def _end_probing(self) -> None:
        self._probe_interval = 0.0
        self._probe_due = False


def _pmdcs_of(path_mtu: int) -> int:
    """The longest DATA chunk that fits into a packet (PMDCS)."""
    return path_mtu - COMMON_HEADER_SIZE & ~3  # chunks are padded
