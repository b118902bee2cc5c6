"""Verification tags, their exceptions (RFC 9260 §8.5, §8.5.1) and packets out of the blue (§8.4)."""

from __future__ import annotations

from random import Random

import pytest

from tests.support.association_pair import (
    Packet,
    Pair,
    established_pair,
    packet_to,
    pair_in_state,
)
from trio_sctp._core.association import Association
from trio_sctp._core.config import Config
from trio_sctp._core.events import CloseReason
from trio_sctp._core.out_of_the_blue import answer_out_of_the_blue
from trio_sctp._core.states import OPEN, SETTING_UP, State
from trio_sctp._wire import chunks as c
from trio_sctp._wire.error_causes import InvalidStreamIdentifier, OutOfResource, StaleCookie
from trio_sctp._wire.packet import decode_chunks, encode_packet
from trio_sctp._wire.parameters import StateCookie
from trio_sctp._wire.tlv import encode_chunk

WITH_TCB = sorted(OPEN - {State.COOKIE_WAIT}, key=str)

ORDINARY: list[c.EncodableChunk] = [
    c.Data(1, 0, 0, 0, b"x"),
    c.Sack(1, 1),
    c.Heartbeat.from_info(b"x"),
    c.HeartbeatAck.from_info(b"x"),
    c.Error((InvalidStreamIdentifier(1),)),
    c.Shutdown(1),
    c.CookieAck(),
    c.InitAck(7, 10_000, 1, 1, 1, (StateCookie(b"x"),)),
    c.ReConfig(()),
    c.UnknownChunk(0xFF, 0, b""),
    c.Pad(),
]


def peer_tag(pair: Pair) -> int:
    assert pair.a.association.tcb is not None
    return pair.a.association.tcb.peer.tag


@pytest.mark.parametrize("state", sorted(OPEN, key=str))
@pytest.mark.parametrize("chunk", ORDINARY, ids=lambda chunk: type(chunk).__name__)
def test_wrong_tag_is_discarded_silently(state: State, chunk: c.EncodableChunk) -> None:
    """§8.5: whether it is random, 0 or the peer's own."""
    pair = pair_in_state(state)
    a = pair.a.association
    tags = [a.local_tag ^ 1, 0, *([peer_tag(pair)] if a.tcb else [])]
    timeout = a.next_timeout()
    for tag in tags:
        assert pair.a.receive(chunk, now=0.0, tag=tag) == []
    assert pair.a.state is state
    assert pair.a.events == []
    assert a.next_timeout() == timeout
    assert a.counters.dropped == {"wrong verification tag": len(tags)}


# -- A: INIT -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", sorted(State, key=str))
def test_init_in_company_is_discarded(state: State) -> None:
    """§8.5.1 A, §12.3, §6.10.  Field note: bundled INIT trips an assert."""
    pair = pair_in_state(state)
    init = c.Init(4711, 10_000, 1, 1, 1)
    assert pair.a.receive(init, c.Pad(), now=0.0, tag=0) == []
    assert pair.a.receive(init, init, now=0.0, tag=0) == []
    assert pair.a.receive(c.Pad(), init, now=0.0, tag=0) == []
    assert pair.a.state is state
    assert pair.a.events == []


@pytest.mark.parametrize("state", sorted(State, key=str))
def test_init_under_a_tag_is_discarded(state: State) -> None:
    """§12.3: with all that is behind it; no ABORT either."""
    pair = pair_in_state(state)
    init = c.Init(4711, 10_000, 1, 1, 1)
    for tag in (pair.a.association.local_tag or 5, 12345):
        assert pair.a.receive(init, c.Heartbeat.from_info(b"x"), now=0.0, tag=tag) == []
    assert pair.a.state is state
    assert pair.a.events == []


def test_what_stands_before_a_misplaced_init_is_processed() -> None:
    """§12.3 discards the INIT and all further chunks; §6.10: chunks are processed in order."""
    pair = established_pair()
    heartbeat = c.Heartbeat.from_info
    (answer,) = pair.a.receive(
        heartbeat(b"1"), c.Init(4711, 10_000, 1, 1, 1), heartbeat(b"2"), now=0.0
    )
    assert answer.names == "HEARTBEAT ACK"
    assert answer.chunk(c.HeartbeatAck).info == b"1"


def test_tag_0_is_for_init_only() -> None:
    """§8.5.1 A."""
    for state in State:
        pair = pair_in_state(state)
        for chunk in (c.CookieEcho(b"x"), c.Abort(), c.ShutdownAck(), c.ShutdownComplete()):
            assert pair.a.receive(chunk, now=0.0, tag=0) == []
        assert pair.a.state is state


# -- B: ABORT ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", sorted(OPEN, key=str))
def test_abort_under_our_tag(state: State) -> None:
    pair = pair_in_state(state)
    assert pair.a.receive(c.Abort((OutOfResource(),)), now=0.0) == []
    assert pair.a.closed is not None
    expected = CloseReason.REFUSED if state in SETTING_UP else CloseReason.PEER_ABORT
    assert pair.a.closed.reason is expected
    assert pair.a.closed.causes == (OutOfResource(),)


@pytest.mark.parametrize("state", WITH_TCB)
def test_abort_with_the_peers_tag_reflected(state: State) -> None:
    """§8.5.1 B: the T bit says so.  It is what a peer without memory of us sends (§8.4 rule 8)."""
    pair = pair_in_state(state)
    abort = c.Abort(tag_reflected=True)
    assert pair.a.receive(abort, now=0.0, tag=peer_tag(pair)) == []
    assert pair.a.closed is not None


@pytest.mark.parametrize("state", WITH_TCB)
def test_abort_with_t_bit_and_tag_that_do_not_go_together(state: State) -> None:
    """§8.5.1 B: both of the wrong combinations are discarded."""
    pair = pair_in_state(state)
    own, peers = pair.a.association.local_tag, peer_tag(pair)
    wrong = [(own, True), (peers, False), (own ^ 1, False), (own ^ 1, True), (0, True)]
    for tag, reflected in wrong:
        assert pair.a.receive(c.Abort(tag_reflected=reflected), now=0.0, tag=tag) == []
    assert pair.a.state is state
    assert pair.a.events == []


def test_t_bit_abort_in_cookie_wait_is_discarded() -> None:
    """The peer's tag is not known yet."""
    pair = pair_in_state(State.COOKIE_WAIT)
    for tag in (pair.a.association.local_tag, 99):
        pair.a.receive(c.Abort(tag_reflected=True), now=0.0, tag=tag)
    assert pair.a.state is State.COOKIE_WAIT


def test_reflected_abort_behind_other_chunks() -> None:
    """§3.3.7: control chunks may stand before ABORT; those are not for us, the ABORT is."""
    pair = established_pair()
    abort = c.Abort(tag_reflected=True)
    heartbeat = c.Heartbeat.from_info(b"x")
    assert pair.a.receive(heartbeat, abort, now=0.0, tag=peer_tag(pair)) == []
    assert pair.a.closed is not None


def test_chunks_behind_abort_are_ignored() -> None:
    """§3.3.7."""
    pair = established_pair()
    heartbeat = c.Heartbeat.from_info(b"x")
    assert pair.a.receive(c.Abort(), heartbeat, now=0.0) == []
    assert pair.a.closed is not None


@pytest.mark.parametrize(
    "first",
    [
        c.Heartbeat.from_info(b"x"),
        c.UnknownChunk(0xFF, 0, b"x"),
        c.Sack(2**31, 1),  # of what was never sent: it would be answered by ABORT
        c.Shutdown(5),
    ],
    ids=lambda chunk: type(chunk).__name__,
)
def test_a_packet_with_abort_is_never_answered(first: c.EncodableChunk) -> None:
    """§9.1: under any circumstances."""
    pair = established_pair()
    tcb = pair.a.association.tcb
    assert tcb is not None
    if isinstance(first, c.Sack):
        first = c.Sack((tcb.local.initial_tsn + 5) % 2**32, 1)
    assert pair.a.receive(first, c.Abort(), now=0.0) == []
    assert pair.a.closed is not None


def test_shutdown_ack_with_abort_is_not_answered() -> None:
    pair = pair_in_state(State.SHUTDOWN_SENT)
    assert pair.a.receive(c.ShutdownAck(), c.Abort(), now=0.0) == []
    assert pair.a.closed is not None


# -- C: SHUTDOWN COMPLETE ----------------------------------------------------------------------------


@pytest.mark.parametrize("reflected", [False, True])
def test_shutdown_complete_under_either_tag(reflected: bool) -> None:
    """§8.5.1 C."""
    pair = pair_in_state(State.SHUTDOWN_ACK_SENT)
    tag = peer_tag(pair) if reflected else pair.a.association.local_tag
    assert pair.a.receive(c.ShutdownComplete(reflected), now=0.0, tag=tag) == []
    assert pair.a.closed is not None
    assert pair.a.closed.reason is CloseReason.SHUTDOWN


def test_abort_of_a_peer_that_has_gone_means_what_its_shutdown_complete_does() -> None:
    # A -> HEARTBEAT -> late             A -> SHUTDOWN ACK -> Z
    # Z -> SHUTDOWN COMPLETE -> late     Z -> ABORT, T -> A    to the heartbeat, out of the blue
    pair = pair_in_state(State.SHUTDOWN_ACK_SENT)
    pair.a.receive(c.Abort(tag_reflected=True), now=0.0, tag=peer_tag(pair))
    assert pair.a.closed is not None
    assert pair.a.closed.reason is CloseReason.SHUTDOWN


def test_abort_of_a_peer_that_is_still_there_is_one() -> None:
    pair = pair_in_state(State.SHUTDOWN_ACK_SENT)
    pair.a.receive(c.Abort(), now=0.0)
    assert pair.a.closed is not None
    assert pair.a.closed.reason is CloseReason.PEER_ABORT


def test_shutdown_complete_with_t_bit_and_tag_that_do_not_go_together() -> None:
    pair = pair_in_state(State.SHUTDOWN_ACK_SENT)
    own, peers = pair.a.association.local_tag, peer_tag(pair)
    for tag, reflected in [(own, True), (peers, False), (own ^ 1, True), (own ^ 1, False)]:
        assert pair.a.receive(c.ShutdownComplete(reflected), now=0.0, tag=tag) == []
    assert pair.a.state is State.SHUTDOWN_ACK_SENT


@pytest.mark.parametrize("state", sorted(OPEN - {State.SHUTDOWN_ACK_SENT}, key=str))
def test_shutdown_complete_in_other_states_is_ignored(state: State) -> None:
    """§8.5.1 C, §9.2."""
    pair = pair_in_state(state)
    pair.a.receive(c.ShutdownComplete(), now=0.0)
    if pair.a.association.tcb is not None:
        pair.a.receive(c.ShutdownComplete(True), now=0.0, tag=peer_tag(pair))
    assert pair.a.state is state
    assert pair.a.events == []


# -- E: SHUTDOWN ACK while calling -------------------------------------------------------------------


@pytest.mark.parametrize("state", sorted(SETTING_UP, key=str))
@pytest.mark.parametrize("bundled", [False, True])
@pytest.mark.parametrize("own_tag", [False, True])
def test_shutdown_ack_while_calling_is_out_of_the_blue(
    state: State, bundled: bool, own_tag: bool
) -> None:
    """§8.5.1 E, §9.2: SHUTDOWN COMPLETE reflects the tag, timers and state stay."""
    pair = pair_in_state(state)
    timeout = pair.a.association.next_timeout()
    tag = pair.a.association.local_tag if own_tag else 4711
    # the peer may have bundled an ERROR (Cookie Received While Shutting Down)
    before = [c.Error((OutOfResource(),))] if bundled and not own_tag else []
    (answer,) = pair.a.receive(*before, c.ShutdownAck(), now=0.0, tag=tag)
    assert answer.chunks == [c.ShutdownComplete(tag_reflected=True)]
    assert answer.tag == tag
    assert pair.a.state is state
    assert pair.a.association.next_timeout() == timeout


# -- out of the blue (§8.4) --------------------------------------------------------------------------


def answer_of(*chunks: c.EncodableChunk | bytes) -> c.Chunk | None:
    """What an association that waits, and has no peer, answers under tag 4711."""
    z = Association(Config(), rng=Random(1))
    z.receive_packets([packet_to(z, *chunks, tag=4711)], now=0.0)
    packets = [Packet("Z", raw) for raw in z.packets_to_send(now=0.0)]
    assert z.state is State.CLOSED
    assert z.next_event() is None
    if not packets:
        return None
    (packet,) = packets
    assert packet.tag == 4711
    (chunk,) = packet.chunks
    return chunk


ABORT = c.Abort(tag_reflected=True)
COMPLETE = c.ShutdownComplete(tag_reflected=True)


@pytest.mark.parametrize(
    "chunks, answer",
    [
        ([c.Abort()], None),  # rule 2
        ([c.ShutdownAck(), c.Abort()], None),
        ([c.Heartbeat.from_info(b"x"), c.Abort()], None),
        ([encode_chunk(6, 0, b"\1")], None),  # even a malformed one (§3.3.7)
        ([c.CookieEcho(b"no cookie of ours")], None),  # rule 4
        ([c.ShutdownAck()], COMPLETE),  # rule 5
        ([c.Error((OutOfResource(),)), c.ShutdownAck()], COMPLETE),
        ([c.ShutdownComplete()], None),  # rule 6
        ([c.ShutdownComplete(True)], None),
        ([encode_chunk(14, 0, b"abcd")], None),
        ([c.Error((StaleCookie(1),))], None),  # rule 7
        ([c.CookieAck()], None),
        ([c.CookieAck(), c.Data(1, 0, 0, 0, b"x")], None),
        ([c.Data(1, 0, 0, 0, b"x")], ABORT),  # rule 8
        ([c.Sack(1, 1)], ABORT),
        ([c.Heartbeat.from_info(b"x")], ABORT),
        ([c.HeartbeatAck.from_info(b"x")], ABORT),
        ([c.Shutdown(1)], ABORT),
        ([c.Error((OutOfResource(),))], ABORT),
        ([c.InitAck(1, 10_000, 1, 1, 1, (StateCookie(b"x"),))], ABORT),
        ([c.UnknownChunk(0, 0, b"")], ABORT),
        ([c.Data(1, 0, 0, 0, b"x"), c.Init(5, 10_000, 1, 1, 1)], ABORT),
        ([c.Init(5, 10_000, 1, 1, 1)], None),  # §12.3: under a tag it is discarded
        ([], None),
    ],
    ids=str,
)
def test_rules_of_out_of_the_blue(chunks: list[c.EncodableChunk], answer: c.Chunk | None) -> None:
    """§8.4 rules 2 to 8; DATA and SACK in CLOSED: §6."""
    assert answer_of(*chunks) == answer


def test_init_out_of_the_blue() -> None:
    """§8.4 rule 3: processed as §5.1 says; an ABORT goes under its Initiate Tag without the T bit."""
    z = Pair().z
    (good,) = z.receive(c.Init(77, 10_000, 1, 1, 1), now=0.0, tag=0)
    assert (good.names, good.tag) == ("INIT ACK", 77)
    (bad,) = z.receive(c.Init(77, 10_000, 0, 1, 1), now=0.0, tag=0)
    assert (bad.names, bad.tag) == ("ABORT", 77)
    assert not bad.chunk(c.Abort).tag_reflected


def test_an_answer_is_never_answered() -> None:
    """Two ends that know nothing of each other fall silent after one packet."""
    for chunk in ORDINARY:
        answer = answer_out_of_the_blue([chunk])
        if answer is not None:
            again = decode_chunks(encode_packet(1, 1, 1, [answer]))
            assert answer_out_of_the_blue(again) is None
    complete = answer_out_of_the_blue([c.ShutdownAck()])
    assert complete is not None
    assert answer_out_of_the_blue(decode_chunks(encode_packet(1, 1, 1, [complete]))) is None


def test_an_answer_is_not_larger_than_the_packet() -> None:
    """No amplification: the smallest packets get the smallest answers."""
    for chunk in ORDINARY:
        answer = answer_out_of_the_blue([chunk])
        assert answer is None or len(answer) <= len(chunk.encode())


@pytest.mark.parametrize("chunk", [c.Data(1, 0, 0, 0, b"x"), c.ShutdownAck()], ids=str)
def test_after_the_end_packets_are_out_of_the_blue(chunk: c.EncodableChunk) -> None:
    """§9.2: a lost SHUTDOWN COMPLETE is repeated by an end that has forgotten everything."""
    pair = established_pair()
    old_tag = pair.a.association.local_tag
    pair.a.association.shutdown(now=0.0)
    pair.run()
    assert pair.a.closed is not None
    (answer,) = pair.a.receive(chunk, now=0.0, tag=old_tag)
    assert answer.tag == old_tag
    assert answer.chunks == [COMPLETE if isinstance(chunk, c.ShutdownAck) else ABORT]


def test_after_the_end_a_call_is_refused() -> None:
    pair = established_pair()
    pair.a.association.abort(now=0.0)
    pair.run()
    (answer,) = pair.a.receive(c.Init(77, 10_000, 1, 1, 1), now=0.0, tag=0)
    assert (answer.names, answer.tag) == ("ABORT", 77)
    assert pair.a.receive(c.Init(0, 10_000, 1, 1, 1), now=0.0, tag=0) == []
    assert pair.a.receive(c.CookieEcho(b"x"), now=0.0, tag=5) == []
