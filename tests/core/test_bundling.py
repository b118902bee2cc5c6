"""Chunks in packets (RFC 9260 §6.10) and one packet of control chunks for one received (§12.4)."""

from __future__ import annotations

from random import Random

import pytest

from tests.support.association_pair import Packet, Pair, established_pair, packet_to, pair_in_state
from trio_sctp._core.events import Message
from trio_sctp._core.states import State
from trio_sctp._wire import chunks as c
from trio_sctp._wire.error_causes import InvalidStreamIdentifier
from trio_sctp._wire.parameters import UnknownParameter


def peer_tsn(pair: Pair, offset: int = 0) -> int:
    """The TSN that A expects next, or one that is further on."""
    assert pair.a.association.tcb is not None
    return (pair.a.association.tcb.data_receiver.cumulative_tsn_ack + 1 + offset) % 2**32


def control_packets(packets: list[Packet]) -> list[Packet]:
    """Those with chunks that are neither DATA nor SACK."""
    return [p for p in packets if set(p.names.split(", ")) - {"DATA", "SACK"}]


def test_small_messages_share_packets() -> None:
    """Field note: one chunk per packet."""
    pair = established_pair()
    for i in range(30):
        pair.send(bytes([i]) * 100)
    packets = pair.a.pull(0.0)
    assert len(packets) == 3
    assert [len(packet.chunks) for packet in packets] == [10, 10, 10]


@pytest.mark.parametrize("path_mtu", [512, 513, 514, 515, 1199, 1200, 1201, 1473, 9000, 65535])
def test_packets_fit_the_path_mtu_and_fill_it(path_mtu: int) -> None:
    """§6.10, §3.2: whatever it is, also where it is no multiple of 4."""
    pair = established_pair(path_mtu=path_mtu)
    pair.a.max_packet = pair.z.max_packet = path_mtu
    pair.send(bytes(3 * path_mtu + 1))
    for size in (1, 2, 3, 5, 1000):
        pair.send(bytes(size))
    largest = 0
    while pair.a.association.undelivered_messages:
        packets = pair.pull()
        largest = max([largest, *[len(packet.raw) for packet in packets]])
        while pair.transit:
            pair.deliver()
        if not packets:
            pair.now = pair.next_timeout()
            pair.a.expire(pair.now)
            pair.z.expire(pair.now)
    assert len(pair.z.payloads) == 6
    assert path_mtu - 3 <= largest <= path_mtu


def pair_with_a_part_in_flight(stream_id: int, interleaving: bool) -> tuple[Pair, list[Packet]]:
    """A window ends within a message; the rest of it and what waits behind it are as long as it is."""
    sizes = [3900, 1100]
    for _ in range(2):
        pair = established_pair(interleaving=interleaving, stream_scheduler="fcfs")
        for value, size in enumerate(sizes):
            pair.send(bytes([value]) * size, stream_id * (value == 2))
        packets = pair.a.pull(pair.now)
        sizes.append(1100 - pair.a.association.total_unsent_bytes)
    assert 0 < sizes[2] < 1100
    return pair, packets


@pytest.mark.parametrize("interleaving", [False, True])
@pytest.mark.parametrize("stream_id", [0, 1])
def test_the_rest_of_a_message_and_the_next_are_not_taken_for_one(
    stream_id: int, interleaving: bool
) -> None:
    pair, packets = pair_with_a_part_in_flight(stream_id, interleaving)
    assert len(packets) == 4, "cwnd, which only a message that is short may exceed"
    pair.z.give([packet.raw for packet in packets], pair.now)  # one SACK for all
    pair.run_for(10)
    payloads = {payload[0]: len(payload) for payload in pair.z.payloads}
    assert len(payloads) == 3
    assert sum(payloads.values()) == 3900 + 1100 + payloads[2]
    assert pair.a.association.undelivered_messages == 0


def test_control_chunks_come_before_data() -> None:
    """§6.10: SACK, HEARTBEAT ACK and ERROR first."""
    pair = established_pair()
    pair.send(b"x")
    pair.a.give(
        [
            packet_to(
                pair.a.association,
                c.Heartbeat.from_info(b"h"),
                c.Data(peer_tsn(pair), 0, 0, 0, b"d"),
                c.UnknownChunk(0xFF, 0, b""),
            )
        ],
        0.0,
    )
    (packet,) = pair.a.pull(0.0)
    assert packet.names == "SACK, HEARTBEAT ACK, ERROR, DATA"


def test_tsns_in_a_packet_increase() -> None:
    """§6.10: new data behind what is sent again (`check_packet` looks at it)."""
    pair = established_pair(loss_recovery="rfc9260")
    for i in range(3):
        pair.send(bytes([i]) * 50)
    pair.lose = lambda packet: True
    pair.pull()
    pair.send(b"new")
    pair.run_until(1.0)
    assert pair.exchange[-1] == "A -> DATA, DATA, DATA, DATA -> lost"


def test_chunks_of_a_packet_are_processed_in_order() -> None:
    """§6.10."""
    pair = established_pair()
    tsn = peer_tsn(pair)
    data = [c.Data((tsn + i) % 2**32, 0, i, 0, bytes([i])) for i in range(5)]
    (packet,) = pair.a.receive(*data, now=0.0)
    assert packet.chunk(c.Sack).cumulative_tsn_ack == (tsn + 4) % 2**32
    assert pair.a.payloads == [bytes([i]) for i in range(5)]


def test_one_sack_for_a_batch_of_packets() -> None:
    """Field note: one SACK per packet."""
    pair = established_pair()
    tsn = peer_tsn(pair)
    packets = [
        packet_to(pair.a.association, c.Data((tsn + i) % 2**32, 0, i, 0, b"x")) for i in range(50)
    ]
    pair.a.give(packets, 0.0)
    assert [packet.names for packet in pair.a.pull(0.0)] == ["SACK"]
    assert len(pair.a.take(Message)) == 50


def test_sack_rides_with_data() -> None:
    """§6.1: what is not acknowledged yet goes with the first packet of data."""
    pair = established_pair()
    pair.a.receive(c.Data(peer_tsn(pair), 0, 0, 0, b"x"), now=0.0)
    assert pair.a.receive(c.Data(peer_tsn(pair), 0, 1, 0, b"x"), now=0.0) == []
    pair.send(bytes(3000))
    packets = pair.a.pull(0.0)
    assert [packet.names for packet in packets] == ["SACK, DATA", "DATA", "DATA"]


@pytest.mark.parametrize("size", [1, 500, 1183, 1184, 5000, 100_000])
def test_a_sack_with_very_many_gaps_fits(size: int) -> None:
    """Field note: SACK larger than the MTU.  Data behind it or not."""
    pair = established_pair()
    tsn = peer_tsn(pair)
    data = [
        packet_to(pair.a.association, c.Data((tsn + 2 * i + 1) % 2**32, 0, i, 0, b"x"))
        for i in range(1000)
    ]
    pair.send(bytes(size))
    pair.a.give(data + data[:300], 0.0)
    packets = pair.a.pull(0.0)
    sack = packets[0].chunk(c.Sack)
    assert len(sack.gap_ack_offsets) > 2 * 250


# -- §12.4 -------------------------------------------------------------------------------------------


def mixtures() -> list[list[c.EncodableChunk]]:
    """Packets that ask for many answers at once."""
    rng = Random(1)
    kinds: list[c.EncodableChunk] = [
        c.UnknownChunk(0xFF, 0, b""),
        c.UnknownChunk(0xC3, 0, bytes(300)),
        c.Heartbeat.from_info(b"x"),
        c.Heartbeat.from_info(bytes(500)),
        c.Heartbeat.from_info(bytes(1170)),
        c.ForwardTsn(1),
        c.Shutdown(0),
        c.ReConfig((UnknownParameter(0xC123, bytes(40)),)),
    ]
    mixed = [[rng.choice(kinds) for _ in range(rng.randrange(1, 60))] for _ in range(200)]
    return [*([kind] * 40 for kind in kinds), *mixed]


def test_one_packet_is_answered_by_one_packet_of_control_chunks() -> None:
    """§12.4; a SACK with many gaps gives way rather than pushing answers into a second packet."""
    for mixture in mixtures():
        pair = established_pair()
        tsn = peer_tsn(pair)
        gaps = [
            packet_to(pair.a.association, c.Data((tsn + 2 * i + 2) % 2**32, 0, i, 0, b"x"))
            for i in range(400)
        ]
        pair.a.give(gaps, 0.0)
        data = c.Data((tsn + 2001) % 2**32, 0, 0, 0, b"x")
        shutdown = c.Shutdown(tsns_acked(pair))
        chunks = [shutdown if isinstance(k, c.Shutdown) else k for k in mixture]
        packets = pair.a.receive(data, *chunks, now=0.0)
        assert len(control_packets(packets)) <= 1, [packet.names for packet in packets]
        assert len(packets) <= 2


def tsns_acked(pair: Pair) -> int:
    assert pair.a.association.tcb is not None
    return pair.a.association.tcb.retransmission_queue.cumulative_tsn_ack % 2**32


def test_a_full_heartbeat_is_answered_in_full() -> None:
    """One answer that fills a packet is fine, with a SACK beside it in a packet of its own."""
    pair = established_pair()
    pair.a.receive(c.Data(peer_tsn(pair), 0, 0, 0, b"x"), now=0.0)
    heartbeat = c.Heartbeat.from_info(bytes(1180))
    (answer,) = pair.a.receive(heartbeat, now=0.0)
    assert len(answer.raw) == 1200
    data = packet_to(pair.a.association, c.Data(peer_tsn(pair, 5), 0, 5, 0, b"x"))
    pair.a.give([data, packet_to(pair.a.association, heartbeat)], 0.0)
    names = [packet.names for packet in pair.a.pull(0.0)]
    assert sorted(names) == ["HEARTBEAT ACK", "SACK"]


def test_answers_do_not_pile_up() -> None:
    """A batch of packets that all ask for answers is bounded in memory and in what it sends."""
    pair = established_pair()
    heartbeat = packet_to(pair.a.association, c.Heartbeat.from_info(bytes(1100)))
    pair.a.give([heartbeat] * 5000, 0.0)
    assert len(pair.a.pull(0.0)) <= 64
    pair.a.receive(c.Heartbeat.from_info(b"next"), now=0.0)


def test_answers_are_one_packet_for_each_packet() -> None:
    """In a batch every packet gets its answer."""
    pair = established_pair()
    heartbeats = [
        packet_to(pair.a.association, c.Heartbeat.from_info(bytes([i]) * 700)) for i in range(10)
    ]
    pair.a.give(heartbeats, 0.0)
    packets = pair.a.pull(0.0)
    assert len(packets) == 10


def test_invalid_streams_are_reported_once_each() -> None:
    """§6.5: acknowledged, discarded, reported; the association goes on."""
    pair = established_pair(inbound_streams=4)
    tsn = peer_tsn(pair)
    data = [c.Data((tsn + i) % 2**32, 4 + i % 3, 0, 0, b"x") for i in range(9)]
    (answer,) = pair.a.receive(*data, now=0.0)
    assert answer.chunk(c.Sack).cumulative_tsn_ack == (tsn + 8) % 2**32
    causes = [k for chunk in answer.chunks if isinstance(chunk, c.Error) for k in chunk.causes]
    assert causes == [InvalidStreamIdentifier(i) for i in (4, 5, 6)]
    assert pair.a.take(Message) == []
    assert pair.a.state is State.ESTABLISHED


@pytest.mark.parametrize("state", [State.COOKIE_WAIT, State.COOKIE_ECHOED])
def test_nothing_is_bundled_with_init_and_nothing_before_cookie_echo(state: State) -> None:
    """§6.10, §3.2.2."""
    pair = Pair()
    for _ in range(5):
        pair.send(bytes(300))
    pair.a.association.connect(now=0.0)
    (packet,) = pair.pull()
    assert packet.names == "INIT"
    if state is State.COOKIE_ECHOED:
        pair.deliver()
        (packet,) = pair.pull()
        assert packet.names == "INIT ACK"
        pair.deliver()
        (packet,) = pair.pull()
        assert packet.names == "COOKIE ECHO, DATA, DATA, DATA"


def test_pulling_with_a_limit_loses_nothing() -> None:
    """`packets_to_send` gives as many as asked for at a time."""
    pair = established_pair()
    for i in range(20):
        pair.send(bytes([i]) * 900)
    pair.run()
    pair.z.payloads  # noqa: B018  (taken off the list)
    for i in range(20):
        pair.send(bytes([i]) * 900)
    while True:
        packets = pair.a.association.packets_to_send(now=0.0, limit=1)
        assert len(packets) <= 1
        if not packets:
            break
        pair.z.give(packets, 0.0)
        pair.a.give([p.raw for p in pair.z.pull(0.0)], 0.0)
    assert [payload[0] for payload in pair.z.payloads] == list(range(20))


def test_pair_in_state_leaves_nothing_to_send() -> None:
    for state in State:
        assert pair_in_state(state).a.pull(0.0) == []
