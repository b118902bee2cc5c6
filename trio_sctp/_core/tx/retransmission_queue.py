"""The sender's half of data transfer (RFC 9260 §6.1 to §6.3 and §7): when what is sent, and sent again.

It joins the send queue, the outstanding data, the congestion controller, the peer's receiver window and
the timer T3-rtx.  Chunks are made at the moment a packet is pulled: first what is marked for
retransmission, then new data as far as both windows and the burst limit allow.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ..._wire.chunks import Sack
from ..._wire.data_chunks import BEGINNING, DATA_HEADER_SIZE, IMMEDIATE, encode_data
from ..._wire.packet import COMMON_HEADER_SIZE
from ..._wire.serial import MASK32, unwrap32
from ..config import Config
from ..timer import Timer
from .congestion import CongestionController
from .outstanding_data import OutstandingData, Range
from .send_queue import SendQueue

if TYPE_CHECKING:
    from ..rto import RetransmissionTimeout

__all__ = ["RetransmissionQueue"]


class RetransmissionQueue:
    """Sends an association's data and brings it to the peer in spite of losses."""

    __slots__ = (
        "_burst_limit",
        "_config",
        "_cwnd_was_full",
        "_data",
        "_fast_retransmit_due",
        "_last_sent_at",
        "_one_packet_only",
        "_pmdcs",
        "_probe_due",
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
        "peer_rwnd",
        "retransmitted_chunks",
        "shutdown_pending",
        "t3_rtx",
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
        self._pmdcs = path_mtu - COMMON_HEADER_SIZE
        self._data = OutstandingData(initial_tsn)
        self.congestion = CongestionController(config, pmdcs=self._pmdcs)
        self.peer_rwnd = peer_rwnd
        """What the peer's receiver has room for beyond what is in flight."""
        self.t3_rtx = Timer("T3-rtx")
        self.shutdown_pending = False
        self.unacknowledged_messages = 0
        """Messages that were begun and are not wholly acknowledged."""
        self.retransmitted_chunks = 0
        self.invalid_sacks = 0
        self.never_sent_acknowledged = False
        """The peer has acknowledged a TSN that was never sent."""
        self._recovery_point: int | None = None
        self._fast_retransmit_due = False
        self._burst_limit = 0
        self._cwnd_was_full = False
        self._one_packet_only = False
        self._last_sent_at = -math.inf
        # the TSN whose round trip is being measured, one at a time (§6.3.1 C4)
        self._timed_tsn: int | None = None
        self._timed_at = 0.0
        # zero window probing (§6.1 A)
        self._window_closed = False
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
    def is_empty(self) -> bool:
        """Nothing waits and nothing is unacknowledged."""
        return not self.unacknowledged_messages and not self._send_queue.message_count

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
            self.never_sent_acknowledged = True
            return False
        self.allow_burst()
        advanced = cumulative > data.cumulative_tsn_ack
        acked = data.acknowledge_to(cumulative) if advanced else 0
        gap_acked, htna, reneged = data.acknowledge_ranges(ranges)
        acked += gap_acked
        if acked:
            self._after_acknowledgement(acked, now)
        if self._recovery_point is not None:
            if cumulative >= self._recovery_point:  # D iv
                self._recovery_point = None
            elif advanced and ranges:
                htna = ranges[-1][1]  # §7.2.4: in recovery all that is reported missing counts
        if htna is not None and data.count_misses(htna):
            self._enter_fast_recovery()
        self.peer_rwnd = max(0, sack.a_rwnd - data.flight_payload)  # D ii
        self._window_closed = sack.a_rwnd < self._pmdcs
        self._sack_since_expiry = True
        self._manage_t3(advanced, reneged, now)
        return acked > 0

    def handle_cumulative_ack(self, cumulative_tsn_ack: int, now: float) -> bool:
        """Process what a SHUTDOWN chunk acknowledges; it says nothing about gaps (§3.3.8)."""
        data = self._data
        cumulative = unwrap32(cumulative_tsn_ack, data.cumulative_tsn_ack)
        if cumulative >= data.next_tsn:
            self.never_sent_acknowledged = True
            return False
        if cumulative <= data.cumulative_tsn_ack:
            return False
        acked = data.acknowledge_to(cumulative)
        self._after_acknowledgement(acked, now)
        self._manage_t3(advanced=True, reneged=False, now=now)
        return True

    def handle_t3_expiry(self, now: float) -> bool:
        """T3-rtx has expired (§6.3.3).  True if that counts as an error of the peer (§8.1)."""
        probing = self._window_closed
        answered, self._sack_since_expiry = self._sack_since_expiry, False
        self._rto.back_off()  # E2
        if not self._data.chunks:  # nothing was sent: the peer's window has stayed closed
            self._probe_due = True
            self.allow_burst()
            return False
        if not probing:  # a probe's loss says nothing of congestion (§6.1 A)
            self.congestion.on_timeout()  # E1
            self._one_packet_only = True
        self.mark_all_for_retransmission(now)  # E3
        return not (probing and answered)

    def mark_all_for_retransmission(self, now: float) -> None:
        """All that is in flight counts as lost."""
        self.t3_rtx.stop()
        self.peer_rwnd += self._data.flight_payload  # §6.2.1 C
        self._data.mark_all()
        self._recovery_point = None
        self._fast_retransmit_due = False
        self._timed_tsn = None  # C5: Karn's rule
        self.allow_burst()

    def allow_burst(self) -> None:
        """Something happened that lets new data out: Max.Burst packets beyond the flight (§6.1 D).

        It is measured before a SACK takes effect, so what the SACK acknowledges may be replaced in
        full however many packets it is.
        """
        limit = self._data.flight_size + self._config.max_burst * self._pmdcs
        if limit > self._burst_limit:
            self._burst_limit = limit

    def replace_config(self, config: Config) -> None:
        self._config = config
        self.congestion.replace_config(config)

    def adopt_peer(self, peer_rwnd: int, now: float) -> None:
        """Another incarnation of the peer answers: it has none of what was sent."""
        self.mark_all_for_retransmission(now)
        self.peer_rwnd = peer_rwnd

    # -- out ---------------------------------------------------------------------------------------

    def chunks_to_send(self, room: int, now: float) -> list[bytes]:
        """The DATA chunks for one packet with ``room`` bytes for them; none if none may go now."""
        data = self._data
        chunks: list[bytes] = []
        # rule B: one packet may exceed cwnd, hence this is asked once per packet
        self._cwnd_was_full = full = data.flight_size >= self.congestion.cwnd or (
            self._one_packet_only and data.flight_size > 0  # §7.2.3
        )
        if data.marked_count:
            chunks = self._retransmissions(room, full, now)
            room -= sum(map(len, chunks))
        # rule C: new data only after all that is marked; rule D: and no more than a burst of it
        may_send_new = not (full or data.marked_count)
        within_burst = chunks or data.flight_size < self._burst_limit
        if may_send_new and within_burst and self._send_queue.unsent_bytes:
            self._add_new_data(chunks, room, now)
        if not chunks:
            self._burst_limit = 0  # until something happens that lets more out
        return chunks

    def _add_new_data(self, chunks: list[bytes], room: int, now: float) -> None:
        data, queue = self._data, self._send_queue
        if not data.flight_size and self._last_sent_at != -math.inf:
            self.congestion.on_idle(now - self._last_sent_at, self._rto.rto)
        cwnd = self.congestion.cwnd
        least = (self._pmdcs - DATA_HEADER_SIZE) >> 1
        first_tsn = data.next_tsn
        while room > DATA_HEADER_SIZE:
            payload_room = room - DATA_HEADER_SIZE
            size = queue.next_size(payload_room)
            if not size or (size == payload_room < least):
                break  # nothing more, or only a small piece of a message would fit
            if size > self.peer_rwnd and not self._may_probe(bool(chunks), now):  # rule A
                break
            message, payload, flags = queue.produce(payload_room)
            if flags & BEGINNING:
                self.unacknowledged_messages += 1
            chunk_size = DATA_HEADER_SIZE + size
            if (
                self.shutdown_pending
                or data.flight_size + chunk_size >= cwnd
                or size >= self.peer_rwnd
            ):
                flags |= IMMEDIATE
            tsn = data.next_tsn
            wire = encode_data(
                flags, tsn & MASK32, message.stream_id, message.ssn, message.ppid, payload
            )
            data.add(wire, size, message)
            self.peer_rwnd = max(0, self.peer_rwnd - size)  # §6.2.1 B
            chunks.append(wire)
            room -= len(wire)
        if data.next_tsn != first_tsn:
            self._last_sent_at = now
            if self._timed_tsn is None:
                self._timed_tsn, self._timed_at = first_tsn, now
            if not self.t3_rtx.running:  # §6.3.2 R1
                self.t3_rtx.start(now, self._rto.rto)

    def _may_probe(self, bundled: bool, now: float) -> bool:
        """Whether one chunk may go out although the peer has no room (§6.1 A).

        With nothing in flight T3-rtx is the probe's timer, so the first probe goes after one RTO.
        """
        if self._data.chunks or bundled:
            return False
        if self._probe_due:
            self._probe_due = False
            self._window_closed = True
            return True
        if not self.t3_rtx.running:
            self.t3_rtx.start(now, self._rto.rto)
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
                self.t3_rtx.start(now, self._rto.rto)  # §6.1, §7.2.4 step 4
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
            self.unacknowledged_messages -= len(data.acked_messages)
            acknowledged = self._send_queue.acknowledged
            for message in data.acked_messages:
                acknowledged(message)
            data.acked_messages.clear()

    def _enter_fast_recovery(self) -> None:
        """TSNs were found missing three times (§7.2.4)."""
        if self._recovery_point is None:
            self.congestion.on_fast_retransmit()  # step 2
            self._recovery_point = self._data.next_tsn - 1  # step 6
            self._fast_retransmit_due = True  # step 3

    def _manage_t3(self, advanced: bool, reneged: bool, now: float) -> None:
        data = self._data
        if not data.chunks:
            self.t3_rtx.stop()  # §6.3.2 R2
        elif advanced or (reneged and not self.t3_rtx.running):
            self.t3_rtx.start(now, self._rto.rto)  # R3, R4
