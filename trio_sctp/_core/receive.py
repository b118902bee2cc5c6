"""What a received packet means: the verification tag's rules, then each chunk by the state.

`_PROCEDURES` is the table of which chunk is processed in which states (RFC 9260 §5 to §9); in any
other state a chunk is counted and dropped.  Packets whose verification tag is not ours go through the
exceptions of §8.5.1, and what belongs to no association is answered as §8.4 says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
from .._wire.error_causes import ProtocolViolation, StaleCookie, UnrecognizedChunkType
from .events import CloseReason, PeerError, PeerShutdown, RoundTripMeasured
from .out_of_the_blue import answer_out_of_the_blue
from .setup import (
    STOP,
    on_cookie_ack,
    on_cookie_echo,
    on_init,
    on_init_ack,
    on_malformed_init,
    on_malformed_init_ack,
    on_stale_cookie,
)
from .states import OPEN, RECEIVING, SENDING, SETTING_UP, UP, State

if TYPE_CHECKING:
    from .association import Association
    from .handshake import PacketHeader

__all__ = ["receive_chunks", "receive_foreign_tag"]

AS_DATA: Final = False
"""A procedure's answer: the chunk is acknowledged as DATA is.  (None: there is no more to it.)"""

# RFC 9260 §12.4: acknowledging what was never sent ends the association
_NEVER_SENT = ProtocolViolation(b"a TSN was acknowledged that was never sent")


def receive_chunks(
    a: Association, header: PacketHeader, chunks: Sequence[Chunk], now: float
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
                a.abort_with(fault)
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


def _process(a: Association, chunk: Chunk, header: PacketHeader, now: float) -> bool | None:
    states, procedure = _PROCEDURES.get(type(chunk), _UNEXPECTED)
    if a.state not in states:
        a.counters.drop(f"{type(chunk).__name__} in {a.state.value}")
        return None
    return procedure(a, chunk, header, now)


def receive_foreign_tag(
    a: Association, header: PacketHeader, chunks: Sequence[Chunk], now: float
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
            receive_chunks(a, header, chunks[1:], now)
    elif a.state is State.CLOSED or (a.state in SETTING_UP and _has_shutdown_ack(chunks)):
        _answer_stranger(a, header, chunks)  # rule E
    else:
        for chunk in chunks:
            if isinstance(chunk, Abort | ShutdownComplete) and _is_reflected(a, chunk, header):
                _process(a, chunk, header, now)  # rules B and C
                return
        a.counters.drop("wrong verification tag")


def _has_shutdown_ack(chunks: Sequence[Chunk]) -> bool:
    return any(isinstance(chunk, ShutdownAck) for chunk in chunks)


def _is_reflected(a: Association, chunk: Abort | ShutdownComplete, header: PacketHeader) -> bool:
    """The T bit is set and the tag is the peer's own."""
    peer_tag = a.tcb.peer.tag if a.tcb else 0
    return chunk.tag_reflected and header.verification_tag == peer_tag != 0


def _answer_stranger(a: Association, header: PacketHeader, chunks: Sequence[Chunk]) -> None:
    a.counters.drop("out of the blue")
    answer = answer_out_of_the_blue(chunks)
    if answer is not None:
        a.builder.answer(answer, header.verification_tag, header)


# -- data and acknowledgements (RFC 9260 §6) ---------------------------------------------------------


def _after_data(a: Association) -> None:
    assert a.tcb is not None
    receiver = a.tcb.data_receiver
    receiver.end_of_packet()
    if a.state is State.SHUTDOWN_SENT:  # §9.2: every packet with data is answered at once
        a.builder.shutdown_due = True
    if receiver.errors:
        a.builder.report(receiver.take_errors())


def _on_forward_tsn(
    a: Association, chunk: ForwardTsn | IForwardTsn, header: PacketHeader, now: float
) -> bool | None:
    """RFC 3758 §3.6, RFC 8260 §2.3.1."""
    if a.tcb is None or not a.tcb.capabilities.partial_reliability:
        return _on_unsupported(a, chunk, header, now)  # RFC 3758 §3.3.2
    if a.state not in RECEIVING:
        a.counters.drop(f"{type(chunk).__name__} in {a.state.value}")
        return None
    fault = a.tcb.data_receiver.forward_tsn(chunk)
    if fault is None:
        return AS_DATA
    a.abort_with(fault)
    return STOP


def _on_sack(a: Association, chunk: Sack, header: PacketHeader, now: float) -> None:
    assert a.tcb is not None
    queue = a.tcb.retransmission_queue
    if queue.handle_sack(chunk, now):
        a.tcb.error_count = 0  # §8.1
    elif queue.never_sent_acknowledged:
        a.abort_with(_NEVER_SENT)


def _on_reconfig(a: Association, chunk: ReConfig, header: PacketHeader, now: float) -> None:
    assert a.tcb is not None
    if a.tcb.capabilities.reconfiguration:
        a.deliver()  # a reset is told after the messages that came before it
        if a.tcb.stream_reset.receive(chunk, now):
            a.tcb.data_receiver.sack_wanted = True  # RFC 6525 §5.2.1: it goes with the answer
        a.builder.report(a.tcb.stream_reset.take_errors())
        if a.tcb.stream_reset.answered:
            a.tcb.error_count = 0  # the peer is there, as an acknowledgement would show


# -- supervision and errors (RFC 9260 §8, §3.3.10) ---------------------------------------------------


def _on_heartbeat(a: Association, chunk: Heartbeat, header: PacketHeader, now: float) -> None:
    a.builder.add_answer(HeartbeatAck(chunk.value).encode())


def _on_heartbeat_ack(
    a: Association, chunk: HeartbeatAck, header: PacketHeader, now: float
) -> None:
    assert a.tcb is not None
    round_trip = a.tcb.heartbeat.take_ack(chunk, now)
    if round_trip is not None:
        a.tcb.error_count = 0  # §8.1
        a.counters.heartbeats_acknowledged += 1
        a.add_event(RoundTripMeasured(round_trip, a.rto.srtt or round_trip, a.rto.rto))
    elif a.tcb.path_mtu_discovery.take_ack(chunk, now):
        a.tcb.error_count = 0  # RFC 8899 §6.2.1.2
        a.follow_path_mtu()
    else:
        a.counters.drop("HEARTBEAT ACK that was not asked for")


def _on_error(a: Association, chunk: Error, header: PacketHeader, now: float) -> None:
    for cause in chunk.causes:
        if isinstance(cause, StaleCookie):  # §5.2.6: of interest in COOKIE-ECHOED only
            if a.state is State.COOKIE_ECHOED:
                on_stale_cookie(a, cause, now)
            return
    a.add_event(PeerError(chunk.causes))


def _on_unknown(
    a: Association, chunk: UnknownChunk, header: PacketHeader, now: float
) -> bool | None:
    """RFC 9260 §3.2 table 2: the two high bits of its type say what to do."""
    a.counters.drop("unknown chunk type")
    if chunk.report and a.tcb is not None:
        a.builder.report([UnrecognizedChunkType(chunk.unpadded)])
    return None if chunk.continue_processing else STOP


def _on_unsupported(
    a: Association,
    chunk: ForwardTsn | IForwardTsn,
    header: PacketHeader,
    now: float,
) -> bool | None:
    """A chunk of an extension that we did not announce is an unknown one."""
    wire = chunk.encode()
    length = int.from_bytes(wire[2:4])
    return _on_unknown(a, UnknownChunk(wire[0], wire[1], wire[4:length]), header, now)


def _on_misplaced_init(a: Association, chunk: Init, header: PacketHeader, now: float) -> bool:
    """RFC 9260 §12.3: INIT stands alone and under the tag 0, or it and all behind it is dropped."""
    a.counters.drop("INIT with a verification tag")
    return STOP


def _on_malformed(a: Association, chunk: MalformedChunk, header: PacketHeader, now: float) -> bool:
    a.counters.drop("malformed chunk")
    if a.state is State.COOKIE_WAIT:
        on_malformed_init_ack(a, chunk, header)
    return STOP


def _on_pad(a: Association, chunk: Pad, header: PacketHeader, now: float) -> None:
    """RFC 4820 §3: nothing to do."""


# -- the end (RFC 9260 §9) ---------------------------------------------------------------------------


def _on_abort(a: Association, chunk: Abort, header: PacketHeader, now: float) -> bool:
    if chunk.tag_reflected and not _is_reflected(a, chunk, header):  # §8.5.1 B
        a.counters.drop("ABORT with a wrong T bit")
    else:
        a.close(_meaning_of(a, chunk), chunk.causes)
    return STOP


def _meaning_of(a: Association, chunk: Abort) -> CloseReason:
    if a.state in SETTING_UP:
        return CloseReason.REFUSED
    if a.state is State.SHUTDOWN_ACK_SENT and chunk.tag_reflected:
        # The peer had everything, and has gone: something of ours came late, and what it was answered
        # has overtaken the SHUTDOWN COMPLETE (§8.4).
        return CloseReason.SHUTDOWN
    return CloseReason.PEER_ABORT


def _on_shutdown(a: Association, chunk: Shutdown, header: PacketHeader, now: float) -> None:
    assert a.tcb is not None
    queue = a.tcb.retransmission_queue
    if queue.handle_cumulative_ack(chunk.cumulative_tsn_ack, now):
        a.tcb.error_count = 0  # §8.1
    elif queue.never_sent_acknowledged:
        a.abort_with(_NEVER_SENT)
        return
    if a.state is State.SHUTDOWN_SENT:  # both ends at once
        a.send_shutdown_ack(now)
    elif a.state is State.SHUTDOWN_ACK_SENT:
        a.builder.shutdown_due = True
    elif a.state is not State.SHUTDOWN_RECEIVED:
        a.state = State.SHUTDOWN_RECEIVED
        a.deliver()
        a.add_event(PeerShutdown())


def _on_shutdown_ack(a: Association, chunk: ShutdownAck, header: PacketHeader, now: float) -> bool:
    if a.state in SETTING_UP:  # §8.5.1 E
        _answer_stranger(a, header, [chunk])
    else:
        assert a.tcb is not None
        a.builder.answer(ShutdownComplete().encode(), a.tcb.peer.tag, header)
        a.close(CloseReason.SHUTDOWN)
    return STOP


def _on_shutdown_complete(
    a: Association, chunk: ShutdownComplete, header: PacketHeader, now: float
) -> bool:
    if chunk.tag_reflected and not _is_reflected(a, chunk, header):  # §8.5.1 C
        a.counters.drop("SHUTDOWN COMPLETE with a wrong T bit")
    else:
        a.close(CloseReason.SHUTDOWN)
    return STOP


_Procedure: TypeAlias = "Callable[[Association, Any, PacketHeader, float], bool | None]"

_PROCEDURES: dict[type[Chunk], tuple[frozenset[State], _Procedure]] = {
    # DATA and I-DATA are processed in `receive_chunks`, in the states of RECEIVING.
    Init: (frozenset(State), _on_misplaced_init),
    InitAck: (frozenset({State.COOKIE_WAIT}), on_init_ack),  # §5.2.3
    CookieEcho: (OPEN, on_cookie_echo),  # §5.2.4
    CookieAck: (frozenset({State.COOKIE_ECHOED}), on_cookie_ack),  # §5.2.5
    Sack: (SENDING | {State.COOKIE_ECHOED}, _on_sack),  # §6
    Heartbeat: (SENDING | {State.COOKIE_ECHOED}, _on_heartbeat),  # §8.3
    HeartbeatAck: (UP, _on_heartbeat_ack),
    # in SHUTDOWN-SENT, too: what the peer has left to send may wait for an answer
    ReConfig: (SENDING | {State.SHUTDOWN_SENT}, _on_reconfig),
    Abort: (OPEN, _on_abort),  # §9.1
    Error: (UP | {State.COOKIE_ECHOED}, _on_error),
    Shutdown: (UP, _on_shutdown),  # §9.2
    ShutdownAck: (
        SETTING_UP | {State.SHUTDOWN_SENT, State.SHUTDOWN_ACK_SENT},
        _on_shutdown_ack,
    ),
    ShutdownComplete: (frozenset({State.SHUTDOWN_ACK_SENT}), _on_shutdown_complete),
    Pad: (OPEN, _on_pad),
    ForwardTsn: (OPEN, _on_forward_tsn),
    IForwardTsn: (OPEN, _on_forward_tsn),
    UnknownChunk: (OPEN, _on_unknown),
    MalformedChunk: (OPEN, _on_malformed),
}
_UNEXPECTED: tuple[frozenset[State], _Procedure] = (frozenset(), _on_pad)
