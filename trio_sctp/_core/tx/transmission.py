"""What goes out (RFC 9260 §6.1): DATA chunks, made at the moment a packet is pulled.

First what is marked for retransmission, then new data as far as both windows, the burst limit and a
pacing rate allow.  Between inputs the chunks that fill whole packets are made many at a time.

A short message of a stream that has nothing else waiting does not have to wait for the windows of a
transfer beside it: it may use the packet by which cwnd may be exceeded (§6.1 B), also while losses are
repaired.  As long as there are such messages, all others leave that to them.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from ..._wire.data_encoding import (
    BEGINNING,
    DATA_HEADER_SIZE,
    IMMEDIATE,
    UNORDERED,
    WHOLE,
    encode_data,
    encode_data_run,
    encode_i_data,
    encode_i_data_run,
)
from ..._wire.packet import COMMON_HEADER_SIZE, MAX_CHUNKS
from ..._wire.serial import MASK32
from ..config import Config
from ..timer import Timer
from .abandonment import Abandonment
from .choices import make_controller, make_recovery
from .outstanding_data import OutstandingData
from .pacing import Pacer
from .send_queue import SendQueue
from .window_probe import ZeroWindowProbe

if TYPE_CHECKING:
    from ..rto import RetransmissionTimeout
    from .outgoing_message import OutgoingMessage

__all__ = ["Transmission"]

SPARING_TIME: Final = 1.0
"""How long room is left for short messages after the last one that needed it, in seconds."""

# A peer that is as careful as we are reads no more of a packet, control chunks included.
_MAX_BUNDLED = MAX_CHUNKS - 28


class Transmission:
    """The sending half of the retransmission queue: packets out, with what limits them."""

    __slots__ = (
        "_abandonment",
        "_burst_is_over",
        "_burst_limit",
        "_config",
        "_cwnd_was_full",
        "_data",
        "_least_fragment",
        "_one_packet_only",
        "_pmdcs",
        "_probes_again",
        "_probes_with_new_data",
        "_rto",
        "_send_queue",
        "_spares_until",
        "_window_probe",
        "congestion",
        "is_stuck",
        "pacer",
        "peer_rwnd",
        "recovery",
        "retransmitted_chunks",
        "shutdown_pending",
        "t3_rtx",
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
        self._abandonment = Abandonment(self._data, send_queue, rto, path_mtu)
        self.congestion = make_controller(config, self._pmdcs)
        self.recovery = make_recovery(config, self._data, self._pmdcs, rto)
        self.peer_rwnd = peer_rwnd
        """What the peer's receiver has room for beyond what is in flight."""
        self.t3_rtx = Timer("T3-rtx")
        self.pacer = Pacer()
        self.shutdown_pending = False
        self.retransmitted_chunks = 0
        self.is_stuck = False
        """What waits has to wait for the peer, or for a timer: more behind it changes nothing."""
        self._window_probe = ZeroWindowProbe()
        self._burst_limit = 0
        self._burst_is_over = True
        self._cwnd_was_full = False
        self._one_packet_only = False  # until something is acknowledged (§7.2.3)
        self._spares_until = -math.inf
        self._probes_again = False  # the next retransmission is a further probe: T3-rtx goes on
        self._probes_with_new_data = False  # a packet of it may go out whatever cwnd says
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

    def message_added(self, message: OutgoingMessage) -> None:
        """The program wants a message sent, which is in the send queue now."""
        if self.is_stuck:
            if not self._send_queue.is_single(message):
                return
            self.is_stuck = False  # it may not have to wait for the window
        self.allow_burst()

    def set_path_mtu(self, path_mtu: int) -> None:
        """Packets have another size from now on; chunks that exist keep theirs (§6.9)."""
        self._pmdcs = pmdcs = _pmdcs_of(path_mtu)
        self._least_fragment = (pmdcs - DATA_HEADER_SIZE) >> 1
        self.congestion.set_pmdcs(pmdcs)
        self.recovery.pmdcs = pmdcs
        self.allow_burst()

    def chunks_to_send(self, room: int, now: float) -> list[bytes]:
        """The DATA chunks for one packet with ``room`` bytes for them; none if none may go now."""
        data, queue, congestion = self._data, self._send_queue, self.congestion
        chunks: list[bytes] = []
        room &= ~3  # chunks are padded
        forward_tsn = b""
        if self._abandonment.forward_tsn.due:  # with DATA if there is any (RFC 3758 §3.5 F2)
            forward_tsn = self._abandonment.forward_tsn.chunk(room, queue.interleaving, now)
            room -= len(forward_tsn)
        # rule B: one packet may exceed cwnd, hence this is asked once per packet
        flight_size, quota = data.flight_size, self.recovery.quota
        left = congestion.cwnd - flight_size if quota is None else quota
        spare = 0
        if not flight_size:
            left = max(left, 1)  # no SACK will come that lets anything out
        elif now < self._spares_until:
            spare = min(self._pmdcs - 1, congestion.cwnd >> 2)
        alone = self._one_packet_only and flight_size > 0  # §7.2.3
        full = left <= spare or alone
        if full and quota is not None:
            left = self.recovery.quota_of_short  # nobody else looks at it then
        if congestion.pacing_rate is not None and not self._pacing_allows(now):
            pass
        elif data.marked_count:
            # §7.2.4 step 3: the first packet of a fast retransmit ignores cwnd
            if self.recovery.packet_due or not full:
                chunks = self._retransmissions(room, now)
                room -= sum(map(len, chunks))
            # rule C: new data only after all that is marked
            full = full or data.marked_count > 0
            if queue.unsent_bytes and (not full or not (alone or chunks)):
                self._add_new_data(chunks, room, now, left=left if full else None)
        elif queue.unsent_bytes:
            if full and self._probes_with_new_data:
                full = False
            if full:
                if not alone:
                    self._add_new_data(chunks, room, now, left=left)
            elif flight_size < self._burst_limit:  # rule D
                self._add_new_data(chunks, room, now)
        self._cwnd_was_full = data.flight_size + spare >= congestion.cwnd or (
            self._one_packet_only and (data.marked_count or queue.unsent_bytes) > 0
        )
        if chunks or not queue.unsent_bytes or not flight_size:
            self.is_stuck = False
        else:
            self.is_stuck = full or flight_size < self._burst_limit
        all_is_sent = not (queue.unsent_bytes or data.marked_count)
        if all_is_sent or not chunks:
            self._burst_is_over = True
            if all_is_sent and not self._cwnd_was_full:
                congestion.on_app_limited(data.flight_size, now)
        if forward_tsn:
            chunks.insert(0, forward_tsn)
            if not self.t3_rtx.running:  # RFC 3758 §3.5 C5
                self._start_t3(now)
        return chunks

    def only_chunk(self, room: int, now: float) -> bytes:
        """The chunk of a message that is all there is to send, while nothing is in flight.

        No window, rule or timer then stands in its way; none if anything else is going on, which is
        for `chunks_to_send`.
        """
        data, queue, recovery = self._data, self._send_queue, self.recovery
        congestion = self.congestion
        if (
            data.chunks
            or self._one_packet_only
            or self._window_probe.interval
            or self.shutdown_pending
            or recovery.quota is not None
            or congestion.watches_packets
            or self._abandonment.forward_tsn.due
            or (message := queue.next_message()) is None
        ):
            return b""
        header_size = queue.header_size
        size = len(message.payload)
        length = header_size + size + 3 & ~3
        if (
            size != queue.unsent_bytes
            or length > room
            or length >= congestion.cwnd
            or size > self.peer_rwnd - self._pmdcs
            or message.offset  # begun: its rest and others are together as long as all of it
        ):
            return b""
        queue.start_packet()
        wire = self._chunk_of(message, size, 0, now)
        self.peer_rwnd -= size
        congestion.on_idle(now - recovery.last_sent_at, self._rto.rto)
        recovery.last_sent_at = now
        self._probes_with_new_data = self._cwnd_was_full = self.is_stuck = False
        self._burst_is_over = True
        congestion.on_app_limited(length, now)
        if self.t3_rtx.deadline == math.inf:  # §6.3.2 R1
            self._start_t3(now)
        return wire

    def _pacing_allows(self, now: float) -> bool:
        """The time of another packet has come; otherwise a timer tells when it does."""
        rate = self.congestion.pacing_rate
        if rate is None or not (self._data.marked_count or self._send_queue.unsent_bytes):
            return True
        return self.pacer.allows(rate, self._pmdcs, now)

    def _add_new_data(
        self, chunks: list[bytes], room: int, now: float, *, left: int | None = None
    ) -> None:
        """Make chunks of what the scheduler chooses.

        With ``left``, which is what a full window has left, only of short messages that need not wait
        for it.
        """
        data, queue = self._data, self._send_queue
        short = left is not None
        if left is not None:  # rule B: less than one packet beyond cwnd
            room = min(room, left + self._pmdcs - 1 & ~3)
        cwnd, pmdcs, peer_rwnd = self.congestion.cwnd, self._pmdcs, self.peer_rwnd
        first_tsn, flight_before = data.next_tsn, data.flight_size
        header_size = queue.header_size
        queue.start_packet()
        while (
            room > header_size
            and len(chunks) < _MAX_BUNDLED
            and (message := queue.next_message()) is not None
        ):
            size = len(message.payload) - message.offset
            if short and not self._need_not_wait(message, size <= room - header_size, now):
                break
            if size > room - header_size:
                size = room - header_size
                if size < self._least_fragment:
                    break
            if size > peer_rwnd and not self._may_probe(bool(chunks), now):  # rule A
                break
            peer_rwnd -= size  # §6.2.1 B
            asks_at_once = (  # we benefit from a SACK at once (§6.1)
                peer_rwnd < pmdcs
                or data.flight_size + header_size + size >= cwnd
                or self.shutdown_pending
                or (
                    size == queue.unsent_bytes
                    and flight_before
                    and self.recovery.asks_for_sack(now)
                )
            )
            wire = self._chunk_of(message, size, IMMEDIATE if asks_at_once else 0, now)
            chunks.append(wire)
            room -= len(wire)
        if data.next_tsn != first_tsn:
            self.peer_rwnd = max(0, peer_rwnd)
            if not flight_before:  # the packet that ends it fits in any window, the next may not
                self.congestion.on_idle(now - self.recovery.last_sent_at, self._rto.rto)
            self._probes_with_new_data = False
            self.recovery.last_sent_at = now
            if self.congestion.watches_packets or self.recovery.quota is not None:
                self._sent(data.flight_size - flight_before, now)
            if self.t3_rtx.deadline == math.inf:  # §6.3.2 R1
                self._start_t3(now)

    def _chunk_of(self, message: OutgoingMessage, size: int, flags: int, now: float) -> bytes:
        """The chunk of the next ``size`` bytes of a message, which goes out now with these flags."""
        data, queue = self._data, self._send_queue
        which, payload = queue.take(message, size)
        flags |= which
        tsn, stream_id = data.next_tsn & MASK32, message.stream_id
        if not queue.interleaving:
            wire = encode_data(flags, tsn, stream_id, message.ssn, message.ppid, payload)
        elif flags & BEGINNING:
            wire = encode_i_data(flags, tsn, stream_id, message.mid, message.ppid, payload)
        else:
            message.fsn = fsn = message.fsn + 1
            wire = encode_i_data(flags, tsn, stream_id, message.mid, fsn & MASK32, payload)
        data.add(wire, size, message, now)
        return wire

    def _need_not_wait(self, message: OutgoingMessage, fits: bool, now: float) -> bool:
        """Whether a message may go out although the window is full."""
        if not self._send_queue.is_single(message) or len(message.payload) >= self._pmdcs:
            return False
        self._spares_until = now + SPARING_TIME
        return fits

    def full_packets(self, room: int, limit: int, now: float) -> list[bytes]:
        """Up to ``limit`` further packets of new data, what has ``room`` bytes behind their headers.

        They are full, with the middle of messages that `chunks_to_send`, which has to be asked first,
        has begun, with whole messages, or with the end of one and the beginning of the next; and both
        windows are wide open: what `chunks_to_send` looks at for each packet is the same for all of
        these.  Where anything differs they end, and it goes on.
        """
        window = self._window_of_many(now)
        room &= ~3  # chunks are padded
        packets: list[bytes] = []
        if window <= 0 or room <= self._send_queue.header_size:
            return packets
        flight_before = flight_size = self._data.flight_size
        while len(packets) < limit:
            make = self._whole_messages if self._send_queue.is_between_messages else self._middles
            packets += make(room, limit - len(packets), window, now)
            window += flight_size - self._data.flight_size
            flight_size = self._data.flight_size
            if len(packets) == limit or not (mixed := self._mixed(room, window, now)):
                break
            packets += mixed
            window += flight_size - self._data.flight_size
            flight_size = self._data.flight_size
        if packets and self.recovery.quota is not None:
            self._sent(flight_size - flight_before, now)
        return packets

    def _window_of_many(self, now: float) -> int:
        """Bytes of chunks that may go out with nothing to be looked at for each; 0 where there is."""
        if (
            self._data.marked_count
            or self._one_packet_only
            or self._abandonment.forward_tsn.due
            or self.shutdown_pending
            or self.congestion.watches_packets
            or now < self._spares_until
        ):
            return 0
        window = min(self.congestion.cwnd, self._burst_limit) - self._data.flight_size
        quota = self.recovery.quota
        if quota is not None and quota < window:
            window = quota
        return window - 1  # the chunk that uses up a window asks for a SACK at once

    def _middles(self, length: int, limit: int, window: int, now: float) -> list[bytes]:
        """Chunks of this length that are neither the first nor the last of their messages."""
        data, queue = self._data, self._send_queue
        wires: list[bytes] = []
        size = length - queue.header_size
        limit = min(limit, window // length, (self.peer_rwnd - self._pmdcs) // size)
        for message, offsets in queue.take_middles(size, limit):
            tsn, stream_id, payload = data.next_tsn & MASK32, message.stream_id, message.payload
            flags = UNORDERED if message.unordered else 0
            if queue.interleaving:
                fsn = message.fsn + 1
                message.fsn += len(offsets)
                run = encode_i_data_run(
                    flags, tsn, stream_id, message.mid, fsn & MASK32, payload, offsets
                )
            else:
                run = encode_data_run(
                    flags, tsn, stream_id, message.ssn, message.ppid, payload, offsets
                )
            data.add_run(run, size, message, now)
            wires += run
        self.peer_rwnd -= size * len(wires)
        return wires

    def _whole_messages(self, room: int, limit: int, window: int, now: float) -> list[bytes]:
        """Packets of messages that are not cut, of the only stream that has any."""
        data, interleaving = self._data, self._send_queue.interleaving
        window = min(window, self.peer_rwnd - self._pmdcs)
        packets: list[bytes] = []
        for messages in self._send_queue.take_whole(
            room, limit, window, most=_MAX_BUNDLED, least_fragment=self._least_fragment
        ):
            wires: list[bytes] = []
            for message in messages:
                tsn, stream_id, payload = data.next_tsn & MASK32, message.stream_id, message.payload
                flags = WHOLE | UNORDERED if message.unordered else WHOLE
                if interleaving:
                    wire = encode_i_data(flags, tsn, stream_id, message.mid, message.ppid, payload)
                else:
                    wire = encode_data(flags, tsn, stream_id, message.ssn, message.ppid, payload)
                data.add(wire, len(payload), message, now)
                self.peer_rwnd -= len(payload)
                wires.append(wire)
            packets.append(wires[0] if len(wires) == 1 else b"".join(wires))
        return packets

    def _mixed(self, room: int, window: int, now: float) -> list[bytes]:
        """A packet of what comes next, whatever that is; none if it could be the last there is."""
        queue = self._send_queue
        if min(window, self.peer_rwnd - self._pmdcs, queue.unsent_bytes - 1) < room:
            return []
        queue.start_packet()
        header_size = queue.header_size
        wires: list[bytes] = []
        while len(wires) < _MAX_BUNDLED and (message := queue.next_message()) is not None:
            size = len(message.payload) - message.offset
            if size > room - header_size:
                size = room - header_size
                if size < self._least_fragment:
                    break
            wire = self._chunk_of(message, size, 0, now)
            self.peer_rwnd -= size
            wires.append(wire)
            room -= len(wire)
        return [b"".join(wires)] if wires else wires

    def _may_probe(self, bundled: bool, now: float) -> bool:
        """Whether one chunk may go out although the peer has no room (§6.1 A)."""
        if self._data.chunks or bundled:
            return False
        probe = self._window_probe
        if probe.due:
            probe.due = False
            return True
        if not self.t3_rtx.running:
            probe.begin(self._rto.rto)
            self._start_t3(now)
        return False

    def _retransmissions(self, room: int, now: float) -> list[bytes]:
        """Marked chunks for one packet (§6.1 C)."""
        data = self._data
        chunks: list[bytes] = []
        flight_before, whole = data.flight_size, self._pmdcs
        while len(chunks) < _MAX_BUNDLED and (chunk := data.first_marked()) is not None:
            wire = chunk.wire
            if len(wire) > room and not (room >= whole and not chunks):
                break  # a chunk made for a larger path MTU goes alone (§6.9)
            data.retransmit(chunk, now)
            self.recovery.repeated(chunk)
            self.retransmitted_chunks += 1
            self.peer_rwnd = max(0, self.peer_rwnd - chunk.payload_size)
            if not self.t3_rtx.running or (
                chunk.tsn == data.cumulative_tsn_ack + 1 and not self._probes_again
            ):
                self._start_t3(now)  # §6.1, §7.2.4 step 4
            chunks.append(wire)
            room -= len(wire)
        if chunks:
            self.recovery.packet_due = self._probes_again = False
            self.recovery.last_sent_at = now
            self._sent(data.flight_size - flight_before, now)
        return chunks

    def _sent(self, size: int, now: float) -> None:
        """A packet with so much data was made, and somebody has to know."""
        congestion = self.congestion
        self.recovery.sent(size)
        if congestion.watches_packets:
            congestion.on_sent(size, self._data.flight_size, now)
            if congestion.pacing_rate is not None:
                self.pacer.sent(size)

    def _start_t3(self, now: float) -> None:
        self.t3_rtx.start(now, self._window_probe.interval or self._rto.rto)
        self.recovery.arm(now)


def _pmdcs_of(path_mtu: int) -> int:
    """The longest DATA chunk that fits into a packet (PMDCS)."""
    return path_mtu - COMMON_HEADER_SIZE & ~3  # chunks are padded
