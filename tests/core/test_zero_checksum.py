"""Packets without a checksum (RFC 9653): who offers, who leaves it out, and which packets never do."""

from __future__ import annotations

from random import Random

import pytest

from trio_sctp._core.association import Association
from trio_sctp._core.config import FIXED_BY_INIT, Config
from trio_sctp._core.endpoint import Endpoint
from trio_sctp._core.events import AssociationClosed, Message
from trio_sctp._core.states import State
from trio_sctp._wire.chunks import CookieEcho, Heartbeat, Init, InitAck, UnknownChunk
from trio_sctp._wire.packet import checksum_ok, decode_chunks, encode_packet
from trio_sctp._wire.parameters import ZeroChecksumAcceptable

NONE = bytes(4)
OFFER = Config(zero_checksum=True)
ASK_NOTHING = Config()


class Pair:
    """Two associations; ``log`` has every packet, by its sender."""

    def __init__(
        self, a: Config, z: Config, *, a_protects: bool = True, z_protects: bool = True
    ) -> None:
        self.a = Association(a, rng=Random(1), protects_integrity=a_protects)
        self.z = Association(z, rng=Random(2), protects_integrity=z_protects)
        self.log: dict[Association, list[bytes]] = {self.a: [], self.z: []}
        self.a.connect(now=0.0)
        self.run()

    def run(self) -> None:
        while True:
            moved = False
            for end, other in ((self.a, self.z), (self.z, self.a)):
                packets = end.packets_to_send(now=0.0)
                self.log[end] += packets
                if packets:
                    moved = True
                    other.receive_packets(packets, now=0.0)
            if not moved:
                return

    def exchange(self) -> None:
        """Messages both ways, and the end."""
        self.a.send(1, b"there", now=0.0)
        self.run()
        self.z.send(1, b"back", now=0.0)
        self.run()
        self.a.shutdown(now=0.0)
        self.run()
        for end, payload in ((self.z, b"there"), (self.a, b"back")):
            events = []
            while (event := end.next_event()) is not None:
                events.append(event)
            assert [event.payload for event in events if isinstance(event, Message)] == [payload]
            assert isinstance(events[-1], AssociationClosed)
            assert end.counters.dropped == {}


def omitted(packets: list[bytes]) -> list[str]:
    """The first chunk of each packet without a checksum."""
    return [type(decode_chunks(packet)[0]).__name__ for packet in packets if packet[8:12] == NONE]


def kept(packets: list[bytes]) -> list[str]:
    """And of each with one, which has to be right."""
    assert all(checksum_ok(packet) for packet in packets if packet[8:12] != NONE)
    return [type(decode_chunks(packet)[0]).__name__ for packet in packets if packet[8:12] != NONE]


def offer_in(packet: bytes) -> list[ZeroChecksumAcceptable]:
    (chunk,) = decode_chunks(packet)
    assert isinstance(chunk, Init | InitAck)
    return [p for p in chunk.parameters if isinstance(p, ZeroChecksumAcceptable)]


def test_5_1_it_is_offered_only_when_configured() -> None:
    for config, offer in ((OFFER, [ZeroChecksumAcceptable(1)]), (ASK_NOTHING, [])):
        pair = Pair(config, config)
        assert offer_in(pair.log[pair.a][0]) == offer
        assert offer_in(pair.log[pair.z][0]) == offer


def test_both_offer() -> None:
    pair = Pair(OFFER, OFFER)
    pair.exchange()
    # A -> INIT, COOKIE ECHO, ...: these two have a checksum (§5.2)
    assert kept(pair.log[pair.a])[:2] == ["Init", "CookieEcho"]
    assert "IData" in omitted(pair.log[pair.a])
    assert omitted(pair.log[pair.z])[0] == "CookieAck"
    assert "InitAck" in kept(pair.log[pair.z])


@pytest.mark.parametrize("caller_offers", [True, False])
def test_each_end_offers_for_itself(caller_offers: bool) -> None:
    pair = Pair(*((OFFER, ASK_NOTHING) if caller_offers else (ASK_NOTHING, OFFER)))
    pair.exchange()
    takes, does_not = (pair.a, pair.z) if caller_offers else (pair.z, pair.a)
    assert omitted(pair.log[takes]) == []
    assert "IData" in omitted(pair.log[does_not])


def test_nobody_offers() -> None:
    pair = Pair(ASK_NOTHING, ASK_NOTHING)
    pair.exchange()
    assert omitted(pair.log[pair.a] + pair.log[pair.z]) == []


def test_5_2_4_a_transport_that_does_not_protect_needs_checksums() -> None:
    pair = Pair(OFFER, OFFER, a_protects=False)
    pair.exchange()
    assert omitted(pair.log[pair.a]) == []
    assert omitted(pair.log[pair.z])


def test_5_2_an_offer_of_a_method_that_we_do_not_know_is_none() -> None:
    a = Association(ASK_NOTHING, rng=Random(1), protects_integrity=True)
    a.connect(now=0.0)
    (init,) = a.packets_to_send(now=0.0)
    tag = a.local_tag
    cookie = decode_chunks(_init_ack(init))[0]
    assert isinstance(cookie, InitAck)
    answer = InitAck(
        cookie.initiate_tag,
        cookie.a_rwnd,
        cookie.outbound_streams,
        cookie.inbound_streams,
        cookie.initial_tsn,
        (*cookie.parameters, ZeroChecksumAcceptable(2)),
    )
    a.receive_packets([encode_packet(5000, 5000, tag, [answer.encode()])], now=0.0)
    assert a.tcb is not None
    assert a.state is State.COOKIE_ECHOED
    assert not a.tcb.omits_checksum


def _init_ack(init: bytes) -> bytes:
    z = Association(ASK_NOTHING, rng=Random(2))
    z.receive_packets([init], now=0.0)
    (packet,) = z.packets_to_send(now=0.0)
    return packet


def test_5_3_what_was_not_offered_is_dropped() -> None:
    pair = Pair(ASK_NOTHING, ASK_NOTHING)
    packet = encode_packet(
        5000, 5000, pair.z.local_tag, [Heartbeat.from_info(b"x").encode()], zero_checksum=True
    )
    pair.z.receive_packets([packet], now=0.0)
    assert pair.z.packets_to_send(now=0.0) == []
    assert pair.z.counters.dropped == {"bad checksum": 1}


def test_5_3_correct_checksums_are_taken_as_well_and_wrong_ones_are_not() -> None:
    pair = Pair(OFFER, OFFER)
    heartbeat = Heartbeat.from_info(b"x").encode()
    packet = encode_packet(5000, 5000, pair.z.local_tag, [heartbeat])
    assert packet[8:12] != NONE
    pair.z.receive_packets([packet], now=0.0)
    assert len(pair.z.packets_to_send(now=0.0)) == 1
    damaged = packet[:8] + bytes([packet[8] ^ 1]) + packet[9:]
    pair.z.receive_packets([damaged], now=0.0)
    assert pair.z.counters.dropped == {"bad checksum": 1}


def test_5_2_1_set_up_and_packets_of_strangers_need_a_checksum() -> None:
    """Nothing is known of who sends them: an INIT, a COOKIE ECHO, or what is out of the blue."""
    endpoint = Endpoint(OFFER, rng=Random(0))
    init = Init(7, 10_000, 1, 1, 0, ())
    for tag, chunk in ((0, init), (9, CookieEcho(b"c")), (9, UnknownChunk(0x3F, 0, b""))):
        packet = encode_packet(5000, 5000, tag, [chunk.encode()], zero_checksum=True)
        assert not endpoint.route([packet], ("192.0.2.1", 9899), now=0.0)
    assert endpoint.counters.dropped == {"bad checksum": 3}
    assert endpoint.answers_to_send() == []
    # and what answers strangers has one
    stranger = encode_packet(5000, 5000, 9, [UnknownChunk(0x3F, 0, b"").encode()])
    endpoint.route([stranger], ("192.0.2.1", 9899), now=0.0)
    ((_, abort),) = endpoint.answers_to_send()
    assert abort[8:12] != NONE
    assert checksum_ok(abort)


def test_an_abort_needs_none_either() -> None:
    pair = Pair(OFFER, OFFER)
    pair.a.abort(b"enough", now=0.0)
    (abort,) = pair.a.packets_to_send(now=0.0)
    assert abort[8:12] == NONE
    pair.z.receive_packets([abort], now=0.0)
    assert pair.z.ended


def test_it_is_part_of_what_the_peer_was_told() -> None:
    assert "zero_checksum" in FIXED_BY_INIT
    assert not Config().zero_checksum


@pytest.mark.parametrize("sizes", [[4500], [1101] * 4])
@pytest.mark.parametrize("damaged", [False, True])
def test_5_3_what_comes_in_bulk_needs_none_either_or_a_correct_one(
    damaged: bool, sizes: list[int]
) -> None:
    pair = Pair(OFFER, OFFER)
    payloads = [Random(3).randbytes(size) for size in sizes]
    for payload in payloads:
        pair.a.send(1, payload, now=0.0)
    packets = pair.a.packets_to_send(now=0.0)
    assert {packet[8:12] for packet in packets} == {NONE}
    if damaged:
        packets[2] = packets[2][:8] + b"\1" + packets[2][9:]
    pair.z.receive_packets(packets, now=0.0)
    events = iter(pair.z.next_event, None)
    received = [event.payload for event in events if isinstance(event, Message)]
    before = payloads[:2] if len(payloads) > 1 else []
    assert received == (before if damaged else payloads)
    assert pair.z.statistics().dropped == ({"bad checksum": 1} if damaged else {})
