"""Whatever arrives, in whatever state: nothing raises, the invariants hold, the work is bounded."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from tests.support.association_pair import (
    Packet,
    Pair,
    established_pair,
    packet_to,
    pair_in_state,
)
from tests.support.wire_strategies import almost_chunk, chunks, damaged, joined, u8, u32
from trio_sctp._core.states import State
from trio_sctp._wire import chunks as c
from trio_sctp._wire.packet import encode_packet
from trio_sctp._wire.parameters import (
    HostNameAddress,
    IPv4Address,
    OutgoingSsnResetRequest,
    StateCookie,
    UnknownParameter,
)
from trio_sctp._wire.tlv import encode_chunk

STATES = st.sampled_from(State)
SMALL = st.integers(-3, 6)

quick = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def tag_choices(pair: Pair) -> list[int]:
    """Ours, the peer's, none, another."""
    association = pair.a.association
    return [association.local_tag, association.tcb.peer.tag if association.tcb else 1, 0, 77]


def survive(pair: Pair, body: bytes, tag: int, now: float) -> None:
    """A packet with this body arrives, and then its end goes on as an end should."""
    pair.a.max_packet = 65535  # a large HEARTBEAT is sent back whole
    pair.a.give([encode_packet(5000, 5000, tag, [body])], now)
    pair.a.pull(now)


@quick
@given(state=STATES, raw=st.binary(max_size=200), ports=st.booleans())
def test_any_bytes_as_a_packet(state: State, raw: bytes, ports: bool) -> None:
    pair = pair_in_state(state)
    pair.a.give([raw, (b"\x13\x88\x13\x88" + raw) if ports else b""], 0.0)
    assert pair.a.pull(0.0) == []
    assert pair.a.state is state


@quick
@given(state=STATES, body=st.binary(max_size=60).map(lambda b: joined([b])), tag=st.integers(0, 3))
def test_any_bytes_as_chunks(state: State, body: bytes, tag: int) -> None:
    pair = pair_in_state(state)
    survive(pair, body, tag_choices(pair)[tag], 0.0)


@quick
@given(
    state=STATES,
    body=damaged(
        st.lists(
            st.one_of(chunks.map(lambda k: k.encode()), almost_chunk), min_size=1, max_size=4
        ).map(joined)
    ),
    tag=st.integers(0, 3),
)
def test_any_damaged_chunks(state: State, body: bytes, tag: int) -> None:
    pair = pair_in_state(state)
    survive(pair, joined([body]), tag_choices(pair)[tag], 0.0)


def near_chunk(draw: Callable[[Any], Any], pair: Pair) -> c.EncodableChunk:
    """A well-formed chunk with numbers near those that matter just now."""
    tcb = pair.a.association.tcb
    acked = tcb.retransmission_queue.cumulative_tsn_ack if tcb else 0
    received = tcb.data_receiver.cumulative_tsn_ack if tcb else 0
    tsn = (received + draw(SMALL)) % 2**32
    mine = (acked + draw(SMALL)) % 2**32
    size: int = draw(st.sampled_from([0, 1, 1000]))
    stream_id: int = draw(st.sampled_from([0, 1, 65535]))
    flags = {name: draw(st.booleans()) for name in ("unordered", "beginning", "ending")}
    kinds: list[Callable[[], c.EncodableChunk]] = [
        lambda: c.Data(tsn, stream_id, draw(SMALL) % 9, 0, bytes(size), **flags),
        lambda: c.IData(tsn, stream_id, draw(SMALL) % 9, draw(SMALL) % 9, 0, bytes(size), **flags),
        lambda: c.IForwardTsn(tsn, [(stream_id, flags["unordered"], draw(SMALL) % 9)]),
        lambda: c.Sack(mine, draw(u32), (draw(SMALL) % 9, draw(SMALL) % 9), [tsn]),
        lambda: c.Sack(mine, draw(st.sampled_from([0, 1, 100_000]))),
        lambda: c.Shutdown(mine),
        lambda: c.ForwardTsn(tsn),
        lambda: c.ReConfig((OutgoingSsnResetRequest((received + 1) % 2**32, 0, tsn, (0, 1)),)),
        lambda: draw(chunks),
    ]
    kind: Callable[[], c.EncodableChunk] = draw(st.sampled_from(kinds))
    return kind()


@settings(quick, max_examples=150)
@given(state=STATES, data=st.data())
def test_a_conversation_with_a_mad_peer(state: State, data: st.DataObject) -> None:
    """Several packets, near misses among them, while time passes and the program goes on."""
    pair = pair_in_state(state, association_max_retrans=3, interleaving=data.draw(st.booleans()))
    now = 0.0
    pair.a.max_packet = 65535
    for _ in range(data.draw(st.integers(1, 6))):
        packet = [near_chunk(data.draw, pair) for _ in range(data.draw(st.integers(1, 3)))]
        tag = tag_choices(pair)[data.draw(st.sampled_from([0, 0, 0, 0, 1, 2, 3]))]
        pair.a.give([packet_to(pair.a.association, *packet, tag=tag)], now)
        if data.draw(st.booleans()) and pair.a.state is State.ESTABLISHED:
            pair.a.association.send(data.draw(st.integers(0, 1)), bytes(1500), now=now)
        pair.a.pull(now)
        now += data.draw(st.sampled_from([0.0, 0.1, 1.0, 5.0]))
        pair.a.expire(now)
        pair.a.pull(now)
    pair.a.association.abort(now=now)
    pair.a.pull(now)
    assert pair.a.closed is not None


def captured() -> list[bytes]:
    """Everything that an ordinary life of an association sends."""
    pair = Pair(seed=5)
    packets: list[bytes] = []

    def watch(packet: Packet) -> bool:
        packets.append(packet.raw)
        return False

    pair.lose = watch
    pair.a.association.connect(now=0.0)
    pair.run()
    for end in (pair.a, pair.z):
        for i in range(3):
            end.association.send(i, bytes(1500), now=0.0)
    pair.run_until(1.0)
    pair.a.association.request_heartbeat(now=pair.now)
    pair.a.association.reset_streams([1], now=pair.now)
    pair.run_until(2.0)
    pair.a.association.shutdown(now=pair.now)
    pair.run()
    return packets


CAPTURED = captured()


@quick
@given(
    state=STATES,
    packet=st.sampled_from(CAPTURED),
    place=st.integers(0, 2000),
    byte=u8,
    tag=st.integers(0, 3),
)
def test_captured_packets_with_a_byte_changed(
    state: State, packet: bytes, place: int, byte: int, tag: int
) -> None:
    """The checksum made good again: so it is not what protects."""
    body = bytearray(packet[12:])
    body[place % len(body)] = byte
    pair = pair_in_state(state)
    survive(pair, bytes(body), tag_choices(pair)[tag], 0.0)


@settings(quick, max_examples=60)
@given(data=st.data())
def test_a_damaged_exchange_ends(data: st.DataObject) -> None:
    """Two ends between which packets are changed (and pass the checksum) never hang or raise."""
    pair = Pair(max_init_retransmits=1, association_max_retrans=1)
    pair.send(bytes(3000))
    pair.a.association.connect(now=0.0)
    pair.a.association.shutdown(now=0.0)
    pair.a.max_packet = pair.z.max_packet = 65535
    for _ in range(300):
        pair.pull()
        if not pair.transit:
            due = pair.next_timeout()
            if pair.a.association.ended or due > 1e6:
                break
            pair.now = max(pair.now, due)
            pair.a.expire(pair.now)
            pair.z.expire(pair.now)
            continue
        packet = pair.transit.pop(0)
        if data.draw(st.integers(0, 4)) == 0:
            raw = bytearray(packet.raw)
            raw[data.draw(st.integers(12, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
            pair.other(packet).give(
                [encode_packet(5000, 5000, packet.tag, [bytes(raw[12:])])], pair.now
            )
        else:
            pair.repeat(packet)
    else:
        raise AssertionError("it does not end")


# -- bounded work ------------------------------------------------------------------------------------


def calls_of(function: Callable[[], object]) -> int:
    """How many Python and C calls it takes: a measure that does not depend on the machine."""
    count = 0

    def profile(frame: object, event: str, argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    old = sys.getprofile()
    sys.setprofile(profile)
    try:
        function()
    finally:
        sys.setprofile(old)
    return count


def many(chunk: c.EncodableChunk, size: int = 16_000) -> bytes:
    encoded = chunk.encode()
    return encoded * (size // len(encoded))


EXPENSIVE = {
    "DATA without data": encode_chunk(0, 3, bytes(12)),
    "HEARTBEAT": many(c.Heartbeat(b"")),
    "HEARTBEAT ACK": many(c.HeartbeatAck(b"")),
    "ERROR": many(c.Error(())),
    "causes": encode_chunk(9, 0, b"\0\4\0\4" * 4000),
    "unknown": many(c.UnknownChunk(0xFF, 0, b"")),
    "skipped": many(c.UnknownChunk(0xBF, 0, b"")),
    "SHUTDOWN ACK": many(c.ShutdownAck()),
    "COOKIE ACK": many(c.CookieAck()),
    "COOKIE ECHO": many(c.CookieEcho(b"")),
    "COOKIE ECHO of the right size": many(c.CookieEcho(bytes(118))),
    "PAD": many(c.Pad()),
    "FORWARD TSN": many(c.ForwardTsn(1)),
    "SACK": many(c.Sack(0, 0)),
    "SACK with gaps": c.Sack(0, 0, (1, 65535) * 2000, [1] * 2000).encode(),
    "RE-CONFIG": many(c.ReConfig((OutgoingSsnResetRequest(1, 1, 1, ()),))),
    "RE-CONFIG parameters": c.ReConfig((UnknownParameter(0xC001, b""),) * 4000).encode(),
    "INIT": c.Init(5, 10_000, 1, 1, 1, (UnknownParameter(0xC001, b""),) * 4000).encode(),
    "addresses": c.Init(5, 10_000, 1, 1, 1, (IPv4Address("192.0.2.1"),) * 2000).encode(),
    "host names": c.Init(5, 10_000, 1, 1, 1, (HostNameAddress(b"x"),) * 2000).encode(),
    "INIT ACK": c.InitAck(
        5, 10_000, 1, 1, 1, (StateCookie(b"x"), *(UnknownParameter(0xC001, b""),) * 4000)
    ).encode(),
    "short chunks": b"\0\0\0\0" * 4000,
}


@pytest.mark.parametrize("state", [State.CLOSED, State.COOKIE_WAIT, State.ESTABLISHED])
@pytest.mark.parametrize("name", EXPENSIVE)
def test_work_is_proportional_to_the_packet(state: State, name: str) -> None:
    """Large packets made to be as dear as possible: some calls for every 4 bytes, no more."""
    pair = pair_in_state(state, path_mtu=20_000)
    body = EXPENSIVE[name]
    for tag in (pair.a.association.local_tag, 0):
        packet = packet_to(pair.a.association, body, tag=tag)

        def receive(packet: bytes = packet) -> None:
            pair.a.association.receive_packets([packet], now=0.0)
            pair.a.association.packets_to_send(now=0.0)

        assert calls_of(receive) < 60 * len(body) // 4 + 500


def test_gap_ack_blocks_cost_no_more_than_what_is_outstanding() -> None:
    """Field note: a 268-byte SACK with 60 gap blocks 1..65535 costs 0.7 s."""
    pair = established_pair()
    pair.send(bytes(50_000))
    pair.a.pull(0.0)
    tcb = pair.a.association.tcb
    assert tcb is not None
    acked = tcb.retransmission_queue.cumulative_tsn_ack % 2**32
    sack = c.Sack(acked, 100_000, (2, 3) * 60)
    packet = packet_to(pair.a.association, sack)
    first = calls_of(lambda: pair.a.association.receive_packets([packet], now=0.0))
    again = calls_of(lambda: pair.a.association.receive_packets([packet], now=0.0))
    assert first < 300
    assert again < 250
