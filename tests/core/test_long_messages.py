"""The middle of long messages is treated in bulk at both ends, and so is all that one stream sends:
nobody must be able to tell.

The sender makes the packets of a batch together, the receiver takes packets that only carry on without
making chunks of them.  Each is compared with what happens packet by packet.
"""

from __future__ import annotations

from random import Random

import pytest

from tests.support.association_pair import End, Packet, established_pair, packet_to
from trio_sctp._core.config import Config
from trio_sctp._wire import chunks as c
from trio_sctp._wire.packet import encode_packet

SCHEDULERS = ("fcfs", "rr", "rr_pkt", "prio", "fc", "wfq")
LENGTH_BYTES = (14, 15)
LONG = (1, 900, 1168, 1169, 3000, 20_000, 60_000)
MIDDLING = (1, 700, 1169, 1300, 1750, 2336, 4000)
SHORT = (1, 50, 300, 550, 600, 1024, 1168)
ALIKE = (1101,)  # one to a packet, which has padding


def send_at_random(
    end: End, random: Random, now: float, streams: int, sizes: tuple[int, ...] = LONG
) -> None:
    for _ in range(random.randrange(6 if sizes is LONG else 100)):
        size = random.choice(sizes)
        payload = random.randbytes(size)
        unordered = random.random() < 0.2
        end.association.send(random.randrange(streams), payload, unordered=unordered, now=now)


def pull_by(end: End, limit: int, now: float) -> list[bytes]:
    packets: list[bytes] = []
    while some := end.association.packets_to_send(now=now, limit=limit):
        packets += some
    end.drain(now)
    return packets


@pytest.mark.parametrize("interleaving", [False, True])
@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize("streams", [1, 4])
@pytest.mark.parametrize("sizes", [LONG, MIDDLING, SHORT])
def test_a_batch_is_the_same_packets_as_one_at_a_time(
    interleaving: bool, scheduler: str, streams: int, sizes: tuple[int, ...]
) -> None:
    changes = {"interleaving": interleaving, "stream_scheduler": scheduler, "a_rwnd": 100_000}
    one, many = (established_pair(**changes) for _ in range(2))
    choices = [Random("a"), Random("a")]
    whole_messages = 0
    for step in range(60):
        now = step * 0.02
        sent = []
        for pair, limit, random in zip((one, many), (1, 64), choices, strict=True):
            send_at_random(pair.a, random, now, streams, sizes)
            packets = pull_by(pair.a, limit, now)
            sent.append(packets)
            arrived = [packet for packet in packets if random.random() > 0.02]
            pair.z.give(arrived, now)
            pair.a.give(pull_by(pair.z, limit, now), now)
            whole_messages += len(pair.z.payloads)
            pair.a.expire(now)
        assert sent[0] == sent[1]
    assert whole_messages > 60


class Doubles:
    """Two receivers that get the same; one finds a PAD chunk in each packet and so reads it whole."""

    def __init__(self, interleaving: bool, **changes: float) -> None:
        config = Config(path_mtu_discovery=False)
        self.pairs = [
            established_pair(config=config, interleaving=interleaving, **changes) for _ in range(2)
        ]
        self.bulk, self.chunkwise = (pair.z for pair in self.pairs)
        for end in (self.bulk, self.chunkwise):
            end.max_packet += 4

    def send(self, random: Random, now: float, sizes: tuple[int, ...] = LONG) -> list[Packet]:
        """What the first sender sends; the second one sends the same, unseen."""
        seed = random.random()
        streams = 1 if sizes is ALIKE else 3
        for pair in self.pairs:
            send_at_random(pair.a, Random(seed), now, streams, sizes)
        packets = [pair.a.pull(now) for pair in self.pairs]
        assert packets[0] == packets[1]
        return packets[0]

    def receive(self, packets: list[bytes], now: float) -> None:
        """Both receivers get them, and answer alike."""
        self.bulk.give(packets, now)
        padded = [repacked(packet, c.Pad(4).encode()) for packet in packets]
        self.chunkwise.give(padded, now)
        answers = [end.pull(now) for end in (self.bulk, self.chunkwise)]
        assert answers[0] == answers[1]
        assert self.bulk.events == self.chunkwise.events
        for pair in self.pairs:
            pair.a.give([packet.raw for packet in answers[0]], now)
            pair.a.expire(now)
        if not self.bulk.association.ended:
            ours, theirs = (
                end.association.tcb.data_receiver  # type: ignore[union-attr]
                for end in (self.bulk, self.chunkwise)
            )
            assert (ours.a_rwnd, ours.cumulative_tsn_ack) == (
                theirs.a_rwnd,
                theirs.cumulative_tsn_ack,
            )


def repacked(packet: bytes, more: bytes = b"", byte: int | None = None, value: int = 0) -> bytes:
    """The packet with more behind it, or with a byte changed, and with the right checksum again."""
    changed = bytearray(packet)
    if byte is not None:
        changed[byte] ^= value
    ports_and_tag = (
        int.from_bytes(packet[0:2]),
        int.from_bytes(packet[2:4]),
        int.from_bytes(packet[4:8]),
    )
    return encode_packet(*ports_and_tag, [bytes(changed[12:]) + more])


@pytest.mark.parametrize("interleaving", [False, True])
@pytest.mark.parametrize("sizes", [LONG, ALIKE])
@pytest.mark.parametrize("seed", range(6))
def test_packets_taken_in_bulk_have_the_effect_of_their_chunks(
    interleaving: bool, seed: int, sizes: tuple[int, ...]
) -> None:
    random = Random(seed)
    doubles = Doubles(interleaving, a_rwnd=120_000, rto_initial=0.02, rto_min=0.02)
    under_way: list[bytes] = []
    received = 0
    for step in range(200):
        now = step * 0.02
        under_way += [packet.raw for packet in doubles.send(random, now, sizes)]
        if random.random() < 0.3:  # a stretch of bad weather
            under_way = [packet for packet in under_way if random.random() > 0.1]
            under_way += random.sample(under_way, min(3, len(under_way)))
            at = random.randrange(len(under_way) + 1)
            under_way[at : at + 5] = reversed(under_way[at : at + 5])
        count = random.randrange(len(under_way) + 1)
        arrived, under_way = under_way[:count], under_way[count:]
        doubles.receive(arrived, now)
        received += len(doubles.bulk.payloads)
        doubles.chunkwise.events.clear()
        doubles.bulk.events.clear()
    assert received > 20


@pytest.mark.parametrize("messages", [[5000], [1101] * 4])
@pytest.mark.parametrize("interleaving", [False, True])
def test_what_does_not_carry_on_is_not_taken_in_bulk(
    interleaving: bool, messages: list[int]
) -> None:
    """Any byte of the headers may be wrong: ports, tag, type, flags, TSN, stream, numbers."""
    header = 20 if interleaving else 16
    bytes_of_header = [at for at in range(12, 12 + header) if at not in LENGTH_BYTES]
    bytes_of_header += range(8)
    for at in bytes_of_header:
        for bit in range(8):
            doubles = Doubles(interleaving)
            for pair in doubles.pairs:
                for size in messages:
                    pair.send(b"m" * size)
            packets = [packet.raw for packet in doubles.send(Random(0), 0.0)]
            packets[2] = repacked(packets[2], byte=at, value=1 << bit)
            doubles.receive(packets[:4], 0.0)


@pytest.mark.parametrize("interleaving", [False, True])
@pytest.mark.parametrize("at", [8, 11, 40, -1])
@pytest.mark.parametrize("messages", [[4500], [1101] * 4])
def test_6_8_what_is_damaged_among_others_is_dropped(
    interleaving: bool, at: int, messages: list[int]
) -> None:
    pair = established_pair(interleaving=interleaving)
    for size in messages:
        pair.send(bytes(size))
    packets = [bytearray(packet.raw) for packet in pair.a.pull(0.0)]
    packets[2][at] ^= 1
    pair.z.give(map(bytes, packets), 0.0)
    assert pair.z.association.statistics().dropped == {"bad checksum": 1}
    (answer,) = pair.z.pull(0.0)
    assert answer.chunk(c.Sack).gap_ack_offsets == (2, 2)


@pytest.mark.parametrize("interleaving", [False, True])
def test_a_message_in_bulk_is_no_longer_than_allowed(interleaving: bool) -> None:
    doubles = Doubles(interleaving, max_message_size=50_000)
    for pair in doubles.pairs:
        pair.send(bytes(60_000))
    now = 0.0
    while not doubles.bulk.association.ended:
        packets = [packet.raw for packet in doubles.send(Random("nothing"), now)]
        now += 0.1
        assert packets
        doubles.receive(packets, now)
    assert doubles.bulk.closed
    assert b"longer than we accept" in repr(doubles.bulk.closed.causes).encode()


@pytest.mark.parametrize("too_far", [0, 1])
def test_a_fragment_in_bulk_is_no_further_ahead_than_numbers_go(too_far: int) -> None:
    """RFC 8260 §2.1: FSNs are compared by serial number arithmetic, one 2^31 ahead is from before."""
    doubles = Doubles(interleaving=True)
    receiver = doubles.bulk.association
    tsn = receiver.tcb.data_receiver.cumulative_tsn_ack + 1  # type: ignore[union-attr]
    chunks = [c.IData(tsn, 0, 0, 0, 51, b"x", ending=False)]  # FSN 1 is next
    for at in range(1, 6):
        fsn = 2**31 - 5 + too_far + at
        middle = c.IData(tsn + at, 0, 0, fsn, 0, bytes(100), beginning=False, ending=False)
        chunks.append(middle)
    doubles.receive([packet_to(receiver, chunk) for chunk in chunks], 0.0)
    assert receiver.ended == bool(too_far)


@pytest.mark.parametrize("length", [16, 20])
def test_a_chunk_without_data_is_not_the_middle_of_a_message(length: int) -> None:
    """RFC 9260 §6.2: it is answered by an ABORT with the cause No User Data."""
    pair = established_pair(interleaving=length == 20)
    pair.send(bytes(5000))
    first, second, *_ = pair.a.pull(0.0)
    empty = bytearray(second.raw[12 : 12 + length])
    empty[2:4] = length.to_bytes(2)
    pair.z.give([first.raw], 0.0)
    (answer,) = [
        packet for packet in pair.z.receive(bytes(empty), now=0.0) if "ABORT" in packet.names
    ]
    assert "NoUserData" in repr(answer.chunk(c.Abort).causes)
