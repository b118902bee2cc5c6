"""Malformed packets, and every chunk in every state: nothing raises, nothing changes by accident."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from tests.support.association_pair import Pair, established_pair, packet_to, pair_in_state
from tests.support.gap_ack_blocks import row_of
from tests.support.tx_sender import IMPOSSIBLE_GAPS
from trio_sctp._core.events import (
    AssociationUp,
    CloseReason,
    Message,
    PeerError,
    PeerShutdown,
)
from trio_sctp._core.states import OPEN, RECEIVING, SENDING, SETTING_UP, UP, State
from trio_sctp._wire import chunks as c
from trio_sctp._wire.error_causes import (
    ErrorCause,
    NoUserData,
    OutOfResource,
    ProtocolViolation,
    StaleCookie,
)
from trio_sctp._wire.parameters import StateCookie
from trio_sctp._wire.tlv import encode_chunk

# -- packets -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", sorted(State, key=str))
@pytest.mark.parametrize("size", [0, 1, 8, 11, 13, 15, 17])
def test_packet_of_an_impossible_size(state: State, size: int) -> None:
    """§3: 12 bytes of header, and chunks of a multiple of 4."""
    pair = pair_in_state(state)
    whole = packet_to(pair.a.association, c.Heartbeat.from_info(b"abcd"))
    pair.a.give([whole[:size]], 0.0)
    assert pair.a.pull(0.0) == []
    assert pair.a.state is state
    assert pair.a.association.counters.dropped == {"malformed packet": 1}


@pytest.mark.parametrize("state", sorted(State, key=str))
def test_packet_with_any_bit_changed(state: State) -> None:
    """§6.8: the checksum covers everything; such a packet is dropped without an answer."""
    pair = pair_in_state(state)
    whole = packet_to(pair.a.association, c.ShutdownAck(), tag=pair.a.association.local_tag or 5)
    for i in range(len(whole) * 8):
        changed = bytearray(whole)
        changed[i // 8] ^= 1 << i % 8
        pair.a.give([bytes(changed)], 0.0)
    assert pair.a.pull(0.0) == []
    assert pair.a.state is state
    assert pair.a.association.counters.dropped == {"bad checksum": len(whole) * 8}


def test_packet_with_checksum_0() -> None:
    """RFC 9653: fine only where it was agreed on."""
    pair = established_pair()
    whole = packet_to(pair.a.association, c.Abort())
    pair.a.give([whole[:8] + bytes(4) + whole[12:]], 0.0)
    assert pair.a.state is State.ESTABLISHED


@pytest.mark.parametrize("state", sorted(State, key=str))
@pytest.mark.parametrize("which", ["source_port", "destination_port"])
def test_packet_on_another_port(state: State, which: str) -> None:
    pair = pair_in_state(state)
    tag = pair.a.association.local_tag or 5
    abort = packet_to(pair.a.association, c.Abort(), tag=tag, **{which: 4999})
    pair.a.give([abort], 0.0)
    assert pair.a.state is state
    assert pair.a.pull(0.0) == []


def test_port_0_is_no_port() -> None:
    """§3.1."""
    pair = Pair()
    init = c.Init(7, 10_000, 1, 1, 1)
    pair.a.give([packet_to(pair.a.association, init, tag=0, source_port=0)], 0.0)
    assert pair.a.pull(0.0) == []
    assert pair.a.association.counters.dropped == {"wrong port": 1}


@pytest.mark.parametrize("state", sorted(OPEN, key=str))
def test_packet_without_chunks(state: State) -> None:
    pair = pair_in_state(state)
    assert pair.a.receive(now=0.0) == []
    assert pair.a.receive(now=0.0, tag=5) == []
    assert pair.a.state is state


@pytest.mark.parametrize("state", sorted(State, key=str))
@pytest.mark.parametrize("kind", sorted({*range(16), 64, 130, 132, 192, 194, 255}))
def test_cut_chunks_of_every_type(state: State, kind: int) -> None:
    """§6.10: a partial chunk is dropped.  Field note: truncated chunks raise out of the receive task."""
    pair = pair_in_state(state)
    tag = pair.a.association.local_tag or 5
    for header in (
        bytes([kind, 0, 0, 0]),  # length 0
        bytes([kind, 0, 0, 3]),
        bytes([kind, 0, 0xFF, 0xFF]),
        bytes([kind, 0, 0, 12]) + bytes(4),
    ):
        pair.a.receive(header, now=0.0, tag=tag)
        pair.a.receive(header, now=0.0, tag=0)
    assert pair.a.state is state
    assert pair.a.events == []


def test_chunks_before_a_malformed_one_are_processed_and_those_behind_are_not() -> None:
    """§6.10: in their order."""
    pair = established_pair()
    first, last = c.Heartbeat.from_info(b"1"), c.Heartbeat.from_info(b"2")
    malformed = encode_chunk(3, 0, b"short")
    (answer,) = pair.a.receive(first, malformed, last, now=0.0)
    assert answer.chunks == [c.HeartbeatAck.from_info(b"1")]
    assert pair.a.association.counters.dropped == {"malformed chunk": 1}


def test_missing_padding_of_the_last_chunk() -> None:
    """§3.2, robustness: a packet of a multiple of 4 whose last length counts the padding."""
    pair = established_pair()
    heartbeat = encode_chunk(4, 0, b"\0\1\0\5x\0\0\0")
    (answer,) = pair.a.receive(heartbeat, now=0.0)
    assert answer.chunk(c.HeartbeatAck).value == b"\0\1\0\5x\0\0\0"


# -- protocol violations -----------------------------------------------------------------------------


def aborted_with(pair: Pair, *chunks: c.EncodableChunk) -> ErrorCause:
    """The one cause of the ABORT that answers the chunks."""
    (answer,) = pair.a.receive(*chunks, now=0.0)
    assert answer.names == "ABORT"
    assert pair.a.closed is not None
    assert pair.a.closed.reason is CloseReason.LOCAL_ABORT
    (cause,) = answer.chunk(c.Abort).causes
    assert pair.a.closed.causes == (cause,)
    return cause


def test_data_without_data() -> None:
    """§6.2, §3.3.10.9: ABORT with No User Data."""
    pair = established_pair()
    assert pair.a.association.tcb is not None
    tsn = pair.a.association.tcb.peer.initial_tsn
    cause = aborted_with(pair, c.Data(tsn, 0, 0, 0, b""))
    assert cause == NoUserData(tsn)


@pytest.mark.parametrize("state", sorted(SENDING | {State.COOKIE_ECHOED}, key=str))
def test_sack_of_a_tsn_that_was_never_sent(state: State) -> None:
    """§12.4: the association MUST be aborted.  Field note: it is believed."""
    for sack in (0, 5, 1000):
        pair = pair_in_state(state)
        assert pair.a.association.tcb is not None
        next_tsn = pair.a.association.tcb.retransmission_queue.next_tsn
        chunk = c.Sack((next_tsn + sack) % 2**32, 10_000)
        assert isinstance(aborted_with(pair, chunk), ProtocolViolation)


def test_gap_ack_block_of_a_tsn_that_was_never_sent() -> None:
    pair = established_pair()
    pair.send()
    pair.a.pull(0.0)
    assert pair.a.association.tcb is not None
    acked = pair.a.association.tcb.retransmission_queue.cumulative_tsn_ack % 2**32
    cause = aborted_with(pair, c.Sack(acked, 10_000, (2, 2)))
    assert isinstance(cause, ProtocolViolation)


@pytest.mark.parametrize("state", sorted(UP, key=str))
def test_shutdown_that_acknowledges_what_was_never_sent(state: State) -> None:
    pair = pair_in_state(state)
    assert pair.a.association.tcb is not None
    next_tsn = pair.a.association.tcb.retransmission_queue.next_tsn % 2**32
    assert isinstance(aborted_with(pair, c.Shutdown(next_tsn)), ProtocolViolation)


@pytest.mark.parametrize("blocks", [[(3, 1)], [(0, 0)], [(0, 5)], [(1, 1), (5, 4)]])
def test_impossible_gap_ack_blocks_are_ignored(blocks: list[tuple[int, int]]) -> None:
    """Field note: gap block with start > end."""
    pair = established_pair()
    for _ in range(3):
        pair.send(bytes(1100))
    pair.a.pull(0.0)
    assert pair.a.association.tcb is not None
    queue = pair.a.association.tcb.retransmission_queue
    sack = c.Sack(queue.cumulative_tsn_ack % 2**32, 10_000, row_of(blocks))
    assert pair.a.receive(sack, now=0.0) == []
    assert pair.a.state is State.ESTABLISHED
    assert queue.outstanding_count == 3
    assert pair.a.association.statistics().dropped == {IMPOSSIBLE_GAPS: 1}


# -- every chunk in every state ----------------------------------------------------------------------


@dataclass
class Effect:
    """What a chunk does in a state, beyond being counted: the defaults are nothing."""

    state: State | None = None
    answers: list[str] = field(default_factory=list)
    events: list[type] = field(default_factory=list)
    closed: CloseReason | None = None


NOTHING = Effect()


def tsns(pair: Pair) -> tuple[int, int]:
    """What A has last had acknowledged, and the TSN that it expects; something where it has none."""
    tcb = pair.a.association.tcb
    if tcb is None:
        return 1, 1
    queue = tcb.retransmission_queue
    return queue.cumulative_tsn_ack % 2**32, (tcb.data_receiver.cumulative_tsn_ack + 1) % 2**32


def on_data(state: State) -> Effect:  # §6
    if state not in RECEIVING:
        return NOTHING
    answers = ["SHUTDOWN"] if state is State.SHUTDOWN_SENT else []  # §9.2
    return Effect(None, [", ".join(["SACK", *answers])], [Message])


def on_heartbeat(state: State) -> Effect:  # §8.3
    return Effect(None, ["HEARTBEAT ACK"]) if state in SENDING else NOTHING


def on_abort(state: State) -> Effect:  # §9.1
    if state in SETTING_UP:
        return Effect(State.CLOSED, closed=CloseReason.REFUSED)
    return Effect(State.CLOSED, closed=CloseReason.PEER_ABORT)


def on_error(state: State) -> Effect:
    return NOTHING if state is State.COOKIE_WAIT else Effect(events=[PeerError])


def on_stale_cookie(state: State) -> Effect:  # §5.2.6
    return Effect(State.COOKIE_WAIT, ["INIT"]) if state is State.COOKIE_ECHOED else NOTHING


def on_shutdown(state: State) -> Effect:  # §9.2
    if state in SETTING_UP:
        return NOTHING
    if state is State.ESTABLISHED:
        return Effect(State.SHUTDOWN_ACK_SENT, ["SHUTDOWN ACK"], [PeerShutdown])
    if state in (State.SHUTDOWN_SENT, State.SHUTDOWN_ACK_SENT):
        return Effect(State.SHUTDOWN_ACK_SENT, ["SHUTDOWN ACK"])
    # data is outstanding, and this does not acknowledge it
    return Effect(
        State.SHUTDOWN_RECEIVED, events=[PeerShutdown] * (state is State.SHUTDOWN_PENDING)
    )


def on_shutdown_ack(state: State) -> Effect:
    if state in SETTING_UP:  # §8.5.1 E
        return Effect(None, ["SHUTDOWN COMPLETE"])
    if state in (State.SHUTDOWN_SENT, State.SHUTDOWN_ACK_SENT):  # §9.2
        return Effect(State.CLOSED, ["SHUTDOWN COMPLETE"], closed=CloseReason.SHUTDOWN)
    return NOTHING


def on_shutdown_complete(state: State) -> Effect:  # §8.5.1 C
    if state is State.SHUTDOWN_ACK_SENT:
        return Effect(State.CLOSED, closed=CloseReason.SHUTDOWN)
    return NOTHING


def on_init_ack(state: State) -> Effect:  # §5.2.3
    return Effect(State.COOKIE_ECHOED, ["COOKIE ECHO"]) if state is State.COOKIE_WAIT else NOTHING


def on_cookie_ack(state: State) -> Effect:  # §5.2.5
    if state is not State.COOKIE_ECHOED:
        return NOTHING
    return Effect(State.ESTABLISHED, events=[AssociationUp])


def never(state: State) -> Effect:
    return NOTHING


MATRIX: dict[str, tuple[Callable[[int, int], c.EncodableChunk], Callable[[State], Effect]]] = {
    "DATA": (lambda mine, theirs: c.Data(theirs, 0, 0, 51, b"x"), on_data),
    "SACK": (lambda mine, theirs: c.Sack(mine, 100_000), never),
    "HEARTBEAT": (lambda mine, theirs: c.Heartbeat.from_info(b"x"), on_heartbeat),
    "HEARTBEAT ACK": (lambda mine, theirs: c.HeartbeatAck.from_info(bytes(16)), never),
    "ABORT": (lambda mine, theirs: c.Abort((OutOfResource(),)), on_abort),
    "ERROR": (lambda mine, theirs: c.Error((OutOfResource(),)), on_error),
    "ERROR without causes": (lambda mine, theirs: c.Error(()), on_error),
    "stale cookie": (lambda mine, theirs: c.Error((StaleCookie(5),)), on_stale_cookie),
    "SHUTDOWN": (lambda mine, theirs: c.Shutdown(mine), on_shutdown),
    "SHUTDOWN ACK": (lambda mine, theirs: c.ShutdownAck(), on_shutdown_ack),
    "SHUTDOWN COMPLETE": (lambda mine, theirs: c.ShutdownComplete(), on_shutdown_complete),
    "INIT": (lambda mine, theirs: c.Init(7, 10_000, 1, 1, 1), never),  # under a tag
    "INIT ACK": (
        lambda mine, theirs: c.InitAck(7, 10_000, 1, 1, 1, (StateCookie(b"x"),)),
        on_init_ack,
    ),
    "COOKIE ECHO": (lambda mine, theirs: c.CookieEcho(b"not ours"), never),
    "COOKIE ACK": (lambda mine, theirs: c.CookieAck(), on_cookie_ack),
    "RE-CONFIG": (lambda mine, theirs: c.ReConfig((StateCookie(b"x"),)), never),
    "PAD": (lambda mine, theirs: c.Pad(40), never),
    "unknown": (lambda mine, theirs: c.UnknownChunk(0x3F, 0, b""), never),
}


@pytest.mark.parametrize("state", sorted(OPEN, key=str))
@pytest.mark.parametrize("name", MATRIX)
def test_every_chunk_in_every_state(state: State, name: str) -> None:
    """What the table of §4, and the sections that it sums up, do not name changes nothing."""
    make, effect_in = MATRIX[name]
    effect = effect_in(state)
    pair = pair_in_state(state)
    chunk = make(*tsns(pair))
    if name == "RE-CONFIG" and state in SENDING | {State.SHUTDOWN_SENT}:
        effect = Effect(None, ["ERROR"])  # RFC 6525 §5.2.1: a combination that there is not
    answers = pair.a.receive(chunk, now=0.0)
    assert [packet.names for packet in answers] == effect.answers
    assert pair.a.state is (effect.state or state)
    if effect.closed is None:
        assert [type(event) for event in pair.a.events] == effect.events
    else:
        assert pair.a.closed is not None
        assert pair.a.closed.reason is effect.closed


@pytest.mark.parametrize("name", MATRIX)
def test_every_chunk_before_there_is_an_association(name: str) -> None:
    """CLOSED: out of the blue, and never a state."""
    make, _ = MATRIX[name]
    pair = Pair()
    for tag in (0, 5):
        answers = pair.a.receive(make(1, 1), now=0.0, tag=tag)
        assert {packet.names for packet in answers} <= {"ABORT", "SHUTDOWN COMPLETE", "INIT ACK"}
        assert pair.a.state is State.CLOSED
    assert pair.a.events == []


@pytest.mark.parametrize("name", MATRIX)
def test_every_chunk_after_the_end(name: str) -> None:
    make, _ = MATRIX[name]
    pair = established_pair()
    pair.a.association.abort(now=0.0)
    pair.a.pull(0.0)
    for tag in (0, 5):
        pair.a.receive(make(1, 1), now=0.0, tag=tag)
        assert pair.a.state is State.CLOSED


@pytest.mark.parametrize("interleaving", [False, True], ids=["DATA", "I-DATA"])
@pytest.mark.parametrize("size", range(4, 28, 4))
def test_what_stands_behind_an_awaited_sack_may_be_short(interleaving: bool, size: int) -> None:
    """As a rule that is DATA; all fields of a DATA chunk are not there."""
    pair = established_pair(interleaving=interleaving)
    pair.send(b"question")
    question = pair.a.pull(0.0)[0]
    tsn = question.chunk(c.IData).tsn if interleaving else question.chunk(c.Data).tsn
    pair.a.receive(c.Sack(tsn, 1 << 20), c.Pad(size), now=0.0)
    assert pair.a.association.statistics().flight_size == 0
    assert pair.a.closed is None
