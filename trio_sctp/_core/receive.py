"""What a received packet means: checksum (RFC 9260 §6.8), verification tag (§8.5), then chunk by chunk.

`_PROCEDURES` is the table of which chunk is processed in which states (§5 to §9); in any other state a
chunk is counted and dropped.  Packets whose verification tag is not ours go through the exceptions of
§8.5.1.  Procedures that belong to a section of the RFC with a module of its own stand there; here are
those of data and acknowledgements (§6), of errors and of unknown chunks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from .._wire.chunks import (
    Abort,
    Chunk,
    CookieAck,
    CookieEcho,
    Data,
    Error,
    ForwardTsn,
    Heartbeat,
    HeartbeatAck,
    IData,
    IForwardTsn,
    Init,
    InitAck,
    MalformedChunk,
    Pad,
    ReConfig,
    Sack,
    Shutdown,
    ShutdownAck,
    ShutdownComplete,
    UnknownChunk,
)
from .._wire.data_encoding import WHOLE
from .._wire.error_causes import StaleCookie, UnrecognizedChunkType
from .._wire.packet import (
    COMMON_HEADER_SIZE,
    checksum_follows,
    checksum_ok,
    decode_chunks,
    decode_header,
)
from .._wire.tlv import DecodeError
from .events import PeerError
from .handshake import PacketHeader
from .header_prediction import on_sack, receive_expected
from .heartbeat import on_heartbeat, on_heartbeat_ack
from .out_of_the_blue import answer_stranger
from .setup import (
    on_cookie_ack,
    on_cookie_echo,
    on_init,
    on_init_ack,
    on_malformed_init,
    on_malformed_init_ack,
    on_stale_cookie,
)
from .states import OPEN, RECEIVING, SENDING, SETTING_UP, SHUTTING_DOWN, UP, State
from .termination import (
    abort_with,
    is_reflected,
    on_abort,
    on_shutdown,
    on_shutdown_ack,
    on_shutdown_complete,
)
from .verdict import AS_DATA, STOP, Verdict

if TYPE_CHECKING:
    from .state_machine import StateMachine

__all__ = ["receive_packets"]

_NO_CHECKSUM: Final = bytes(4)
_FLAGS_AT: Final = COMMON_HEADER_SIZE + 1
_STREAM_AT: Final = COMMON_HEADER_SIZE + 8
_STREAM_END: Final = COMMON_HEADER_SIZE + 10
_ESTABLISHED: Final = State.ESTABLISHED  # faster to look up than the member


def receive_packets(a: StateMachine, packets: Iterable[bytes], now: float) -> None:
    """Process packets that are for this association, as far as anybody can tell from outside."""
    counters = a.counters
    batch = packets if isinstance(packets, list) else list(packets)
    index, end = 0, len(batch)
    while index < end:
        packet = batch[index]
        index += 1
        counters.packets_received += 1
        # As a rule the ports and the tag are those of this association: eight known bytes
        size = len(packet)
        counters.bytes_received += size
        if packet[:8] != a.packet_prefix or size < COMMON_HEADER_SIZE or size & 3:
            _receive_other(a, packet, now)
        elif not (
            # RFC 9653 §5.3: with none, or with a correct checksum
            (a.takes_zero_checksum and packet[8:12] == _NO_CHECKSUM)
            or checksum_follows(packet, a.own_crc)
        ):
            counters.drop("bad checksum")
        elif not (
            a.state is _ESTABLISHED
            and a.tcb is not None
            and (
                receive_expected(a, packet, now)
                if size > COMMON_HEADER_SIZE and packet[COMMON_HEADER_SIZE] == Sack.type
                else a.tcb.data_receiver.receive_alone(packet)
            )
        ):
            _receive_chunks(a, a.own_header, decode_chunks(packet), now)
        elif (
            index < end
            and len(batch[index]) == size
            and batch[index][_STREAM_AT:_STREAM_END] == packet[_STREAM_AT:_STREAM_END]
        ):
            index += _receive_following(a, batch, index)


def _receive_following(a: StateMachine, batch: Sequence[bytes], index: int) -> int:
    """Process packets that only carry on what the one before them has, which was taken; how many."""
    model = batch[index - 1]
    if a.tcb is None or model[COMMON_HEADER_SIZE] == Sack.type:
        return 0
    receiver = a.tcb.data_receiver
    if model[_FLAGS_AT] & WHOLE:
        count = receiver.receive_messages(
            batch, index, a.own_crc, zero_checksum=a.takes_zero_checksum
        )
    else:
        count = receiver.receive_following(
            batch, index, a.own_crc, zero_checksum=a.takes_zero_checksum
        )
    a.counters.packets_received += count
    a.counters.bytes_received += count * len(model)
    return count


def _receive_other(a: StateMachine, packet: bytes, now: float) -> None:
    """A packet that is malformed, on wrong ports, or does not carry our verification tag."""
    try:
        source_port, destination_port, tag, _ = decode_header(packet)
    except DecodeError:
        a.counters.drop("malformed packet")
        return
    header = PacketHeader(source_port, destination_port, tag)
    if not checksum_ok(packet):
        a.counters.drop("bad checksum")
    elif _ports_match(a, header):
        _receive_foreign_tag(a, header, decode_chunks(packet), now)
    else:
        a.counters.drop("wrong port")


def _ports_match(a: StateMachine, header: PacketHeader) -> bool:
    source_port = header.source_port
    return header.destination_port == a.config.local_port and (
        source_port == a.peer_port if a.peer_port else source_port != 0  # §3.1
    )


def _receive_chunks(
    a: StateMachine, header: PacketHeader, chunks: Sequence[Chunk], now: float
) -> None:
    """Process the chunks of a packet that carries our verification tag, in their order."""
    carried_data = False
    a.builder.answer_room = a.builder.full_answer_room
    for chunk in chunks:
        kind = type(chunk)
        if (kind is Data or kind is IData) and a.state in RECEIVING:
            assert a.tcb is not None
            fault = a.tcb.data_receiver.receive(cast("Data | IData", chunk))
            if fault is not None:
                abort_with(a, fault)
                break
            carried_data = True
        elif (verdict := _process(a, chunk, header, now)) or a.ended:
            break
        elif verdict is AS_DATA:
            carried_data = True
    if a.ended:
        if any(chunk.type == Abort.type for chunk in chunks):
            a.builder.drop_packets()  # §9.1: a packet with ABORT is never answered
    elif carried_data:
        _after_data(a)
    if a.state is State.SHUTDOWN_SENT:
        a.ending.heard_from_peer(now)


def _process(a: StateMachine, chunk: Chunk, header: PacketHeader, now: float) -> Verdict:
    states, procedure = _PROCEDURES.get(type(chunk), _UNEXPECTED)
    if a.state not in states:
        if not (type(chunk) in _MAY_BE_LATE and a.state in SHUTTING_DOWN):
            a.counters.drop(f"{type(chunk).__name__} in {a.state.value}")
        return None
    return procedure(a, chunk, header, now)


def _receive_foreign_tag(
    a: StateMachine, header: PacketHeader, chunks: Sequence[Chunk], now: float
) -> None:
    """A packet without our tag: the exceptions of RFC 9260 §8.5.1, or out of the blue (§8.4)."""
    a.builder.answer_room = a.builder.full_answer_room
    first = chunks[0] if chunks else None
    if isinstance(first, Init) and header.verification_tag == 0 and len(chunks) == 1:
        on_init(a, first, header, now)  # rule A
    elif header.verification_tag == 0:
        on_malformed_init(a, first, header)
    elif isinstance(first, CookieEcho):  # rule D
        if on_cookie_echo(a, first, header, now) is not STOP:
            _receive_chunks(a, header, chunks[1:], now)
    elif a.state is State.CLOSED or (a.state in SETTING_UP and _has_shutdown_ack(chunks)):
        answer_stranger(a, header, chunks)  # rule E
    else:
        for chunk in chunks:
            if isinstance(chunk, Abort | ShutdownComplete) and is_reflected(a, chunk, header):
                _process(a, chunk, header, now)  # rules B and C
                return
        a.counters.drop("wrong verification tag")


def _has_shutdown_ack(chunks: Sequence[Chunk]) -> bool:
    return any(isinstance(chunk, ShutdownAck) for chunk in chunks)


# -- data and acknowledgements (RFC 9260 §6) ---------------------------------------------------------


def _after_data(a: StateMachine) -> None:
    assert a.tcb is not None
    receiver = a.tcb.data_receiver
    receiver.end_of_packet()
    if a.state is State.SHUTDOWN_SENT:  # §9.2: every packet with data is answered at once
        a.builder.shutdown_due = True
    if receiver.errors:
        a.builder.report(receiver.take_errors())


def _on_forward_tsn(
    a: StateMachine, chunk: ForwardTsn | IForwardTsn, header: PacketHeader, now: float
) -> Verdict:
    """RFC 3758 §3.6, RFC 8260 §2.3.1."""
    if a.tcb is None or not a.tcb.capabilities.partial_reliability:
        return _on_unsupported(a, chunk, header, now)  # RFC 3758 §3.3.2
    if a.state not in RECEIVING:
        a.counters.drop(f"{type(chunk).__name__} in {a.state.value}")
        return None
    fault = a.tcb.data_receiver.forward_tsn(chunk)
    if fault is None:
        return AS_DATA
    abort_with(a, fault)
    return STOP


def _on_reconfig(a: StateMachine, chunk: ReConfig, header: PacketHeader, now: float) -> None:
    assert a.tcb is not None
    if a.tcb.capabilities.reconfiguration:
        if a.tcb.stream_reset.receive(chunk, now):
            a.tcb.data_receiver.sack_wanted = True  # RFC 6525 §5.2.1: it goes with the answer
        a.builder.report(a.tcb.stream_reset.take_errors())
        if a.tcb.stream_reset.answered:
            a.tcb.error_count = 0  # the peer is there, as an acknowledgement would show


# -- errors (RFC 9260 §3.3.10) and what is not understood (§3.2) -------------------------------------


def _on_error(a: StateMachine, chunk: Error, header: PacketHeader, now: float) -> None:
    for cause in chunk.causes:
        if isinstance(cause, StaleCookie):  # §5.2.6: of interest in COOKIE-ECHOED only
            if a.state is State.COOKIE_ECHOED:
                on_stale_cookie(a, cause, now)
            return
    a.tell(PeerError(chunk.causes))


def _on_unknown(a: StateMachine, chunk: UnknownChunk, header: PacketHeader, now: float) -> Verdict:
    """RFC 9260 §3.2 table 2: the two high bits of its type say what to do."""
    a.counters.drop("unknown chunk type")
    if chunk.report and a.tcb is not None:
        a.builder.report([UnrecognizedChunkType(chunk.unpadded)])
    return None if chunk.continue_processing else STOP


def _on_unsupported(
    a: StateMachine,
    chunk: ForwardTsn | IForwardTsn,
    header: PacketHeader,
    now: float,
) -> Verdict:
    """A chunk of an extension that we did not announce is an unknown one."""
    if a.tcb is None:  # nobody is told
        return _on_unknown(a, UnknownChunk(chunk.type, 0, b""), header, now)
    wire = chunk.encode()
    length = int.from_bytes(wire[2:4])
    return _on_unknown(a, UnknownChunk(wire[0], wire[1], wire[4:length]), header, now)


def _on_misplaced_init(a: StateMachine, chunk: Init, header: PacketHeader, now: float) -> Verdict:
    """RFC 9260 §12.3: INIT stands alone and under the tag 0, or it and all behind it is dropped."""
    a.counters.drop("INIT with a verification tag")
    return STOP


def _on_malformed(
    a: StateMachine, chunk: MalformedChunk, header: PacketHeader, now: float
) -> Verdict:
    a.counters.drop("malformed chunk")
    if a.state is State.COOKIE_WAIT:
        on_malformed_init_ack(a, chunk, header)
    return STOP


def _on_pad(a: StateMachine, chunk: Pad, header: PacketHeader, now: float) -> None:
    """RFC 4820 §3: nothing to do."""


_Procedure: TypeAlias = "Callable[[StateMachine, Any, PacketHeader, float], Verdict]"

_PROCEDURES: dict[type[Chunk], tuple[frozenset[State], _Procedure]] = {
    # DATA and I-DATA are processed in `_receive_chunks`, in the states of RECEIVING.
    Init: (frozenset(State), _on_misplaced_init),
    InitAck: (frozenset({State.COOKIE_WAIT}), on_init_ack),  # §5.2.3
    CookieEcho: (OPEN, on_cookie_echo),  # §5.2.4
    CookieAck: (frozenset({State.COOKIE_ECHOED}), on_cookie_ack),  # §5.2.5
    Sack: (SENDING | {State.COOKIE_ECHOED}, on_sack),  # §6
    Heartbeat: (SENDING | {State.COOKIE_ECHOED}, on_heartbeat),  # §8.3
    HeartbeatAck: (UP, on_heartbeat_ack),
    # in SHUTDOWN-SENT, too: what the peer has left to send may wait for an answer
    ReConfig: (SENDING | {State.SHUTDOWN_SENT}, _on_reconfig),
    Abort: (OPEN, on_abort),  # §9.1
    Error: (UP | {State.COOKIE_ECHOED}, _on_error),
    Shutdown: (UP, on_shutdown),  # §9.2
    ShutdownAck: (
        SETTING_UP | {State.SHUTDOWN_SENT, State.SHUTDOWN_ACK_SENT},
        on_shutdown_ack,
    ),
    ShutdownComplete: (frozenset({State.SHUTDOWN_ACK_SENT}), on_shutdown_complete),
    Pad: (OPEN, _on_pad),
    ForwardTsn: (OPEN, _on_forward_tsn),
    IForwardTsn: (OPEN, _on_forward_tsn),
    UnknownChunk: (OPEN, _on_unknown),
    MalformedChunk: (OPEN, _on_malformed),
}
_MAY_BE_LATE = frozenset({Sack, Heartbeat})
"""What a peer sends that does not know yet of the shutdown: discarded (§6, §8.3), and no fault of it."""
_UNEXPECTED: tuple[frozenset[State], _Procedure] = (frozenset(), _on_pad)
