"""What goes out, decided when it is pulled: bundling chunks into packets (RFC 9260 §6.10).

Packets that stand alone (INIT, INIT ACK, SHUTDOWN COMPLETE, answers to strangers) wait whole.  All
other chunks wait apart and are bundled into as few packets as possible: COOKIE ECHO or COOKIE ACK
first, then SACK and the other control chunks, DATA last.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING

from .._wire.chunks import CookieEcho, Error, Shutdown, ShutdownAck
from .._wire.data_encoding import SACK_HEADER_SIZE
from .._wire.error_causes import ErrorCause, UnrecognizedChunkType
from .._wire.packet import COMMON_HEADER_SIZE
from .states import SENDING, SETTING_UP, State

if TYPE_CHECKING:
    from .config import Config
    from .statistics import Counters
    from .transmission_control_block import TransmissionControlBlock

__all__ = ["PacketBuilder"]

SHUTDOWN_LENGTH = 8
OWN_CHUNKS_LENGTH = SACK_HEADER_SIZE + SHUTDOWN_LENGTH + 4  # with COOKIE ACK: they may answer, too
MAX_CONTROL_CHUNKS = 32  # answers that wait; what a peer asks for beyond that is dropped
_ESTABLISHED = State.ESTABLISHED  # faster to look up than the member
_TOO_MANY = "answer to too many chunks"


class PacketBuilder:
    """The outgoing side of one association, apart from what its data queues decide themselves."""

    __slots__ = (
        "_config",
        "_control",
        "_counters",
        "_whole",
        "answer_room",
        "cookie_chunk",
        "control_mtu",
        "full_answer_room",
        "largest_path_mtu",
        "path_mtu",
        "shutdown_due",
    )

    def __init__(self, config: Config, counters: Counters) -> None:
        self._config = config
        self._counters = counters
        self._whole: list[bytes] = []
        self._control: deque[bytes] = deque()
        self.largest_path_mtu = 0
        """Of all sizes so far."""
        self.set_path_mtu(config.path_mtu)
        self.cookie_chunk = b""
        """COOKIE ECHO or COOKIE ACK that is due: the first chunk of its packet."""
        self.shutdown_due = False
        """SHUTDOWN or SHUTDOWN ACK is due, whichever the state calls for."""

    def set_path_mtu(self, path_mtu: int) -> None:
        """Packets have this size from now on."""
        self.path_mtu = path_mtu
        """The largest packet at present.  This is where it is kept."""
        self.largest_path_mtu = max(path_mtu, self.largest_path_mtu)
        # Only data makes a packet larger than the base size: whether that arrives is watched
        self.control_mtu = min(path_mtu, self._config.path_mtu)
        self.full_answer_room = self.control_mtu - COMMON_HEADER_SIZE - OWN_CHUNKS_LENGTH
        self.answer_room = self.full_answer_room
        """Bytes of control chunks that may still answer the packet being processed."""

    def add_packet(self, packet: bytes) -> None:
        """A packet that stands alone."""
        self._whole.append(packet)

    def add_control(self, chunk: bytes) -> None:
        """A control chunk of ours for the next packet with room."""
        self._control.append(chunk)

    def add_answer(self, chunk: bytes) -> None:
        """A control chunk that answers a received one; what goes beyond the limits is dropped.

        One packet is answered by no more than fits into one (RFC 9260 §12.4), and answers do not
        pile up when they cannot be sent.
        """
        if len(self._control) >= MAX_CONTROL_CHUNKS or (
            len(chunk) > self.answer_room and self.answer_room < self.full_answer_room
        ):
            self._counters.drop(_TOO_MANY)
            return
        self.answer_room -= len(chunk)
        self._control.append(chunk)

    def report(self, causes: Iterable[ErrorCause]) -> None:
        """ERROR chunks, each cut down to what one packet carries."""
        room = self.control_mtu - COMMON_HEADER_SIZE - 8  # the chunk's and the cause's header
        for cause in causes:
            if len(self._control) >= MAX_CONTROL_CHUNKS:  # do not make what will be dropped
                self._counters.drop(_TOO_MANY)
                continue
            if isinstance(cause, UnrecognizedChunkType) and len(cause.chunk) > room:
                cause = UnrecognizedChunkType(cause.chunk[:room])
            self.add_answer(Error((cause,)).encode())

    def clear(self) -> None:
        """Forget what waits to be bundled; whole packets still go out (but see `drop_packets`)."""
        self._control.clear()
        self.cookie_chunk = b""
        self.shutdown_due = False

    def drop_packets(self) -> None:
        """Forget the whole packets that wait."""
        self._whole.clear()

    def may_have(self, tcb: TransmissionControlBlock | None) -> bool:
        """Whether a packet may be due: True may turn out to be wrong, False never."""
        if self._whole or tcb is None:
            return bool(self._whole)
        return (
            tcb.retransmission_queue.may_send
            or tcb.data_receiver.sack_wanted
            or bool(self._control or self.cookie_chunk)
            or self.shutdown_due
            or tcb.stream_reset.pending
            or tcb.path_mtu_discovery.probe_due
        )

    def packets(
        self, tcb: TransmissionControlBlock | None, state: State, now: float, limit: int
    ) -> list[bytes]:
        """Up to ``limit`` packets that may be sent now."""
        packets, self._whole = self._whole, []
        if tcb is None:
            return packets
        if state is _ESTABLISHED and not packets and (body := self._only_body(tcb, now)):
            return [tcb.header.packet(body, tcb.omits_checksum)]
        bodies = self._bodies(tcb, state, now, limit - len(packets))
        discovery = tcb.path_mtu_discovery
        if discovery.probe_due and state in SENDING:
            recovering = tcb.retransmission_queue.is_recovering
            if probe := discovery.take_probe(now, recovering=recovering):
                bodies.append(b"".join(probe))
        # RFC 9653 §5.2: COOKIE ECHO always carries a checksum
        if tcb.omits_checksum and bodies and bodies[0][0] == CookieEcho.type:
            packets.append(tcb.header.packet(bodies.pop(0)))
        packets += tcb.header.packets(bodies, tcb.omits_checksum)
        return packets

    def _only_body(self, tcb: TransmissionControlBlock, now: float) -> bytes:
        """The short way where a SACK, a message or both are all there is to send; else nothing."""
        receiver, queue = tcb.data_receiver, tcb.retransmission_queue
        may_send = queue.may_send
        if (
            (may_send and queue.outstanding_count)
            or self._has_company(tcb)
            or tcb.path_mtu_discovery.probe_due
        ):
            return b""
        if not may_send:
            whole = self.control_mtu - COMMON_HEADER_SIZE
            return receiver.sack(whole) if receiver.sack_wanted else b""
        if receiver.has_lists:
            return b""
        room = self.path_mtu - COMMON_HEADER_SIZE
        acknowledges = receiver.ack_pending or receiver.sack_wanted
        if acknowledges:
            room -= SACK_HEADER_SIZE
        chunk = queue.only_chunk(room, now)
        if chunk:
            tcb.heartbeat.path_used_at = now
            if acknowledges:  # §6.1: what is unacknowledged rides along
                return receiver.sack(SACK_HEADER_SIZE) + chunk
        return chunk

    def _has_company(self, tcb: TransmissionControlBlock) -> bool:
        """Something is to go into the next packet, or into every one, that is no data and no SACK."""
        resets = tcb.stream_reset
        return bool(
            self._control
            or self.shutdown_due
            or self.cookie_chunk
            or resets.pending
            or resets.tsn.companion
        )

    def _bodies(
        self, tcb: TransmissionControlBlock, state: State, now: float, limit: int
    ) -> list[bytes]:
        """What the next packets have behind their headers."""
        bodies: list[bytes] = []
        receiver = tcb.data_receiver
        data_sent = False
        while len(bodies) < limit and self.may_have(tcb):
            if state in SENDING and not (
                receiver.ack_pending or receiver.sack_wanted or self._has_company(tcb)
            ):
                data = self._data_alone(tcb, now, limit - len(bodies))
                bodies += data
                data_sent = data_sent or bool(data)
                break
            chunks, has_data = self._next_chunks(tcb, state, now)
            if not chunks:
                break
            bodies.append(b"".join(chunks))
            data_sent = data_sent or has_data
        if data_sent:
            tcb.heartbeat.path_used_at = now
        return bodies

    def _data_alone(self, tcb: TransmissionControlBlock, now: float, limit: int) -> list[bytes]:
        """Packets of data only."""
        queue, room = tcb.retransmission_queue, self.path_mtu - COMMON_HEADER_SIZE
        bodies: list[bytes] = []
        while len(bodies) < limit and queue.may_send:
            chunks = queue.chunks_to_send(room, now)
            if not chunks:
                break
            bodies.append(b"".join(chunks))
            if queue.has_unsent:
                bodies += queue.full_packets(room, limit - len(bodies), now)
        return bodies

    def _next_chunks(
        self, tcb: TransmissionControlBlock, state: State, now: float
    ) -> tuple[list[bytes], bool]:
        """The chunks of the next packet, none if nothing is due; and whether DATA is among them."""
        chunks: list[bytes] = []
        if state in SETTING_UP and not self.cookie_chunk:
            return chunks, False  # §5.1 C: nothing but COOKIE ECHO and what is bundled with it
        room = self.path_mtu - COMMON_HEADER_SIZE
        receiver, queue = tcb.data_receiver, tcb.retransmission_queue
        if self._control or self.cookie_chunk or self.shutdown_due or tcb.stream_reset.pending:
            room -= self._bundle_control(tcb, state, chunks, now)
        elif receiver.sack_wanted:
            sack = receiver.sack(self.control_mtu - COMMON_HEADER_SIZE)
            chunks.append(sack)
            room -= len(sack)
        if not queue.may_send or (
            state not in SENDING and not (state is State.COOKIE_ECHOED and chunks)
        ):
            return chunks, False
        companion = tcb.stream_reset.tsn.companion
        reserve = (SACK_HEADER_SIZE if receiver.ack_pending else 0) + len(companion)
        data = queue.chunks_to_send(room - reserve, now)
        if reserve and not data:  # a chunk that is repeated may need a whole packet
            reserve = 0
            data = queue.chunks_to_send(room, now)
        if data:
            if reserve and receiver.ack_pending:  # §6.1: what is unacknowledged rides along
                chunks.append(receiver.sack(SACK_HEADER_SIZE))
            if companion and reserve and companion not in chunks:
                chunks.append(companion)
            chunks += data
        return chunks, bool(data)

    def _bundle_control(
        self,
        tcb: TransmissionControlBlock,
        state: State,
        chunks: list[bytes],
        now: float,
    ) -> int:
        """Add the control chunks that fit and return what room they take."""
        whole = room = self.control_mtu - COMMON_HEADER_SIZE
        if self.cookie_chunk:
            chunks.append(self.cookie_chunk)
            room -= len(self.cookie_chunk)
            self.cookie_chunk = b""
        receiver = tcb.data_receiver
        # a RE-CONFIG takes along what is unacknowledged: a peer that resets its TSNs may not
        # understand it any more afterwards
        if room >= SACK_HEADER_SIZE and (
            receiver.sack_wanted or (receiver.ack_pending and tcb.stream_reset.pending)
        ):
            # the answers to one packet go in one (§12.4): a SACK with many gaps gives way to them
            answers = sum(map(len, self._control)) + SHUTDOWN_LENGTH * self.shutdown_due
            chunks.append(receiver.sack(max(room - answers, SACK_HEADER_SIZE)))
            room -= len(chunks[-1])
        while self._control and (len(self._control[0]) <= room or not chunks):
            chunks.append(self._control.popleft())  # too large for any packet: alone
            room -= len(chunks[-1])
        if self._control:
            return whole - room  # the rest goes with them, see above
        if tcb.stream_reset.pending and (state in SENDING or state is State.SHUTDOWN_SENT):
            new_requests = state in SENDING
            for chunk in tcb.stream_reset.chunks_to_send(room, now, new_requests=new_requests):
                chunks.append(chunk)
                room -= len(chunk)
        if self.shutdown_due and room >= SHUTDOWN_LENGTH:
            chunks.append(_shutdown_chunk(tcb, state))
            room -= len(chunks[-1])
            self.shutdown_due = False
        return whole - room


def _shutdown_chunk(tcb: TransmissionControlBlock, state: State) -> bytes:
    if state is State.SHUTDOWN_ACK_SENT:
        return ShutdownAck().encode()
    return Shutdown(tcb.data_receiver.cumulative_tsn_ack & 0xFFFFFFFF).encode()
