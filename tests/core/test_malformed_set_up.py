"""INIT and INIT ACK whose parameters make no sense: an ABORT says so (RFC 9260 §5.1, §8.4 rule 3)."""

from __future__ import annotations

from random import Random

import pytest

from tests.support.association_pair import Pair, established_pair, packet_to, pair_in_state
from trio_sctp._core.association import Association
from trio_sctp._core.config import Config
from trio_sctp._core.endpoint import Endpoint
from trio_sctp._core.events import AssociationClosed, CloseReason
from trio_sctp._core.states import State
from trio_sctp._wire import chunks as c
from trio_sctp._wire.error_causes import ProtocolViolation
from trio_sctp._wire.packet import decode_chunks, decode_header
from trio_sctp._wire.tlv import encode_chunk

TAG = 0x12345678
CAUSE = ProtocolViolation(b"malformed INIT")


def malformed(kind: int = c.Init.type, tag: int = TAG) -> bytes:
    """A parameter of length 0, which makes some stacks loop for ever."""
    fixed = c.Init(tag, 100_000, 10, 10, 1).encode()[4:20]
    return encode_chunk(kind, 0, fixed + b"\x80\x08\x00\x00")


CUT_SHORT = encode_chunk(c.Init.type, 0, TAG.to_bytes(4))
BEYOND_PACKET = malformed()[:2] + b"\x00\x40" + malformed()[4:]


def abort_of(packet: bytes) -> c.Abort:
    (chunk,) = decode_chunks(packet)
    assert isinstance(chunk, c.Abort)
    return chunk


@pytest.mark.parametrize("state", [State.CLOSED, State.COOKIE_WAIT, State.ESTABLISHED])
def test_an_init_is_answered_under_its_own_tag(state: State) -> None:
    # Z -> INIT -> A, A -> ABORT -> Z; whatever there is at A goes on
    pair = pair_in_state(state)
    (answer,) = pair.a.receive(malformed(), now=pair.now, tag=0)
    assert answer.tag == TAG
    assert abort_of(answer.raw) == c.Abort((CAUSE,))
    assert len(answer.raw) <= len(packet_to(pair.a.association, malformed()))
    assert pair.a.state is state


def test_an_endpoint_answers_as_well_and_keeps_nothing() -> None:
    endpoint = Endpoint(Config(), rng=Random(0))
    stranger = Association(Config(), rng=Random(1))
    address = "192.0.2.1", 9899
    endpoint.receive_datagrams([(address, packet_to(stranger, malformed(), tag=0))], now=0.0)
    ((goal, packet),) = endpoint.datagrams_to_send(now=0.0)
    assert goal == address
    assert decode_header(packet)[2] == TAG
    assert abort_of(packet) == c.Abort((CAUSE,))
    assert endpoint.statistics().dropped == {"malformed INIT": 1}
    assert not endpoint.associations


@pytest.mark.parametrize(
    "chunk",
    [
        malformed(tag=0),  # §3.3.2: silently discarded
        CUT_SHORT,  # an answer would be longer than it
        BEYOND_PACKET,  # §6.10: a partial chunk is dropped
        encode_chunk(c.Heartbeat.type, 0, b"x"),
    ],
    ids=["tag 0", "no fixed part", "beyond the packet", "no INIT"],
)
def test_what_is_not_answered(chunk: bytes) -> None:
    pair = Pair()
    assert pair.a.receive(chunk, now=0.0, tag=0) == []
    endpoint = Endpoint(Config(), rng=Random(0))
    packet = packet_to(pair.a.association, chunk, tag=0)
    endpoint.receive_datagrams([(("192.0.2.1", 1), packet)], now=0.0)
    assert endpoint.datagrams_to_send(now=0.0) == []


def test_an_init_ack_ends_the_attempt_at_once() -> None:
    """Instead of INITs that are repeated for minutes, each of which is answered the same."""
    pair = pair_in_state(State.COOKIE_WAIT)
    (answer,) = pair.a.receive(malformed(c.InitAck.type), now=pair.now)
    assert answer.tag == TAG
    assert abort_of(answer.raw) == c.Abort((CAUSE,))
    assert pair.a.closed == AssociationClosed(CloseReason.LOCAL_ABORT, (CAUSE,))


def test_an_init_ack_is_nothing_to_an_association_that_does_not_wait_for_one() -> None:
    pair = established_pair()
    assert pair.a.receive(malformed(c.InitAck.type), now=pair.now) == []
    assert pair.a.state is State.ESTABLISHED


def test_an_init_ack_under_a_wrong_tag_ends_nothing() -> None:
    pair = pair_in_state(State.COOKIE_WAIT)
    assert pair.a.receive(malformed(c.InitAck.type), now=pair.now, tag=77) == []
    assert pair.a.state is State.COOKIE_WAIT
