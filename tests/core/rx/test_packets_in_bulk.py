"""Packets that are taken as they are, one by one or many at a time, have the effect of their chunks.

Two receivers get the same packets: one as an association takes them (`core/receive.py`), one chunk by
chunk.  What both hold, deliver and would answer is the same after each batch; and most packets of long
messages and of messages in a row are not read chunk by chunk.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

import pytest

from tests.support.incoming_data import (
    NO_ROOM,
    TSN,
    Sender,
    data,
    decode_sack,
    fragment,
    new_receiver,
)
from trio_sctp._core.rx.data_receiver import DataReceiver
from trio_sctp._core.rx.data_tracker import MAX_TSNS_AHEAD
from trio_sctp._wire.chunks import Data, IData, IForwardTsn
from trio_sctp._wire.data_encoding import WHOLE
from trio_sctp._wire.error_causes import ErrorCause, NoUserData
from trio_sctp._wire.packet import decode_chunks, encode_packet, header_crc

MASK32 = 0xFFFFFFFF
PORTS_AND_TAG = 5000, 5001, 0x01020304
CRC = header_crc(bytes.fromhex("1388138901020304"))

both = pytest.mark.parametrize("interleaving", [False, True], ids=["DATA", "I-DATA"])


def packets_of(*chunks: Data | IData) -> list[bytes]:
    """Each chunk in a packet of its own."""
    return [encode_packet(*PORTS_AND_TAG, [chunk.encode()]) for chunk in chunks]


class Doubles:
    """A receiver that takes packets as they are where it can, and one that reads their chunks."""

    def __init__(self, tsn: int = TSN, *, zero_checksum: bool = False, **config: Any) -> None:
        self.zero_checksum = zero_checksum
        self.bulk, self.chunkwise = (new_receiver(tsn, **config) for _ in range(2))
        self.cause: ErrorCause | None = None
        """What ends the association."""
        self.read = 0
        """How many packets were read chunk by chunk by both."""
        self.alone = 0
        """How many were looked at by themselves, but not read."""

    def receive(self, packets: Sequence[bytes]) -> None:
        """A batch for both; their causes to abort, their SACKs and what they hold are the same."""
        causes = self._take(self.bulk, list(packets)), self._read(self.chunkwise, packets)
        assert causes[0] == causes[1]
        assert self.bulk.cumulative_tsn_ack == self.chunkwise.cumulative_tsn_ack
        self.cause = causes[0]
        if self.cause is not None:
            return
        for receiver in (self.bulk, self.chunkwise):
            receiver.end_of_batch(0.0)
        assert seen(self.bulk) == seen(self.chunkwise)

    def _take(self, receiver: DataReceiver, packets: list[bytes]) -> ErrorCause | None:
        index = 0
        while index < len(packets):
            packet = packets[index]
            index += 1
            if not receiver.receive_alone(packet):
                self.read += 1
                cause = self._read(receiver, [packet])
                if cause is not None:
                    return cause
                continue
            self.alone += 1
            if index < len(packets) and len(packets[index]) == len(packet):
                whole = packet[13] & WHOLE
                follow = receiver.receive_messages if whole else receiver.receive_following
                index += follow(packets, index, CRC, zero_checksum=self.zero_checksum)
        return None

    def _read(self, receiver: DataReceiver, packets: Sequence[bytes]) -> ErrorCause | None:
        for packet in packets:
            for chunk in decode_chunks(packet):
                assert isinstance(chunk, Data | IData)
                cause = receiver.receive(chunk)
                if cause is not None:
                    return cause
            receiver.end_of_packet()
        return None

    def take(self) -> list[bytes]:
        """What a program gets and is done with."""
        for receiver in (self.chunkwise, self.bulk):
            while receiver.is_releasing:
                receiver.handle_release()
            payloads = [message.payload for message in receiver.messages]
            receiver.messages.clear()
            for payload in payloads:
                receiver.message_consumed(len(payload))
        assert seen(self.bulk) == seen(self.chunkwise)
        return payloads

    def answer(self) -> bool:
        """Whether a SACK is due."""
        return self.bulk.sack_wanted

    def acknowledge(self) -> None:
        acks = [decode_sack(end.sack(1188)) for end in (self.bulk, self.chunkwise)]
        assert acks[0] == acks[1]

    @property
    def looks(self) -> tuple[int, int]:
        return self.read, self.alone


def seen(receiver: DataReceiver) -> tuple[object, ...]:
    """All that anybody learns of what it holds, and whether it answers now."""
    return (
        list(receiver.messages),
        receiver.cumulative_tsn_ack,
        receiver.a_rwnd,
        receiver.charge,
        receiver.holds_much,
        receiver.has_lists,
        receiver.sack_wanted,
        receiver.ack_pending,
        receiver.sack_timer.running,
        receiver.duplicate_chunks,
        receiver.counters.dropped,
        receiver.errors,
    )


def ends(interleaving: bool, tsn: int = TSN, **config: Any) -> tuple[Sender, Doubles]:
    """A peer, and those who receive what it sends."""
    doubles = Doubles(tsn, interleaving=interleaving, **config)
    return Sender(tsn, interleaving=interleaving), doubles


def messages_of(chunks: int, parts: int, sender: Sender, **how: Any) -> list[Any]:
    """So many chunks, of messages in so many parts each."""
    return [chunk for _ in range(chunks // parts) for chunk in message_of(parts, sender, **how)]


def message_of(parts: int, sender: Sender, size: int = 100, **how: Any) -> list[Any]:
    """The chunks of a message in equal parts."""
    payload = b"".join(bytes([part & 0xFF]) * size for part in range(parts))
    return sender.message(payload, cuts=range(size, parts * size, size), **how)


@both
@pytest.mark.parametrize("unordered", [False, True])
@pytest.mark.parametrize("tsn", [TSN, 2**32 - 6])
def test_of_a_long_message_the_ends_are_read_and_the_next_to_the_first_looked_at(
    interleaving: bool, unordered: bool, tsn: int
) -> None:
    sender, doubles = ends(interleaving, tsn)
    sender.message(stream_id=3)  # the streams are at different numbers
    sender.tsn = tsn
    chunks = message_of(12, sender, stream_id=7, unordered=unordered)
    doubles.receive(packets_of(*chunks))
    assert doubles.take() == [b"".join(chunk.payload for chunk in chunks)]
    assert doubles.looks == (2, 1)
    doubles.acknowledge()


@both
def test_behind_a_gap_it_is_the_same(interleaving: bool) -> None:
    """Only that the first one behind it, in DATA, has nothing to carry on."""
    sender, doubles = ends(interleaving)
    chunks = message_of(20, sender)
    packets = packets_of(*chunks)
    doubles.receive(packets[:3])
    assert doubles.looks == (1, 1)
    doubles.receive(packets[5:12])
    assert doubles.looks == ((1, 2) if interleaving else (2, 2))
    doubles.receive(packets[12:15])
    assert doubles.looks == ((1, 3) if interleaving else (2, 3))
    doubles.receive(packets[16:])
    doubles.acknowledge()
    doubles.receive([packets[4], packets[3], packets[15]])
    assert doubles.take() == [b"".join(chunk.payload for chunk in chunks)]
    doubles.acknowledge()


@both
@pytest.mark.parametrize("tsn", [TSN, 2**32 - 3])
@pytest.mark.parametrize("size", [98, 100, 1])
def test_of_messages_in_a_row_the_first_is_looked_at(
    interleaving: bool, tsn: int, size: int
) -> None:
    sender, doubles = ends(interleaving, tsn)
    chunks = [chunk for n in range(9) for chunk in sender.message(bytes([n]) * size, stream_id=2)]
    doubles.receive(packets_of(*chunks[:1]))
    doubles.receive(packets_of(*chunks[1:]))
    assert doubles.looks == (0, 2)
    doubles.acknowledge()
    assert doubles.take() == [bytes([n]) * size for n in range(9)]
    doubles.receive(packets_of(*sender.message(b"next", stream_id=2)))
    assert doubles.take() == [b"next"]


@both
def test_unordered_messages_are_looked_at_one_by_one(interleaving: bool) -> None:
    sender, doubles = ends(interleaving)
    chunks = [c for n in range(5) for c in sender.message(bytes([n]) * 9, unordered=True)]
    doubles.receive(packets_of(*chunks))
    assert doubles.looks == (0, 5)
    assert doubles.take() == [bytes([n]) * 9 for n in range(5)]


@both
@pytest.mark.parametrize("parts", [1, 8])
def test_packets_without_checksums_are_not_looked_at_either(interleaving: bool, parts: int) -> None:
    """RFC 9653; where that is not agreed nobody asks for them."""
    sender = Sender(interleaving=interleaving)
    chunks = messages_of(8, parts, sender)
    packets = [packet[:8] + bytes(4) + packet[12:] for packet in packets_of(*chunks)]
    for agreed in (True, False):
        doubles = Doubles(interleaving=interleaving, zero_checksum=agreed)
        doubles.receive(packets)
        assert (doubles.alone == 1) is agreed


@both
@pytest.mark.parametrize("parts", [1, 8])
def test_6_2_two_packets_are_acknowledged_at_once(interleaving: bool, parts: int) -> None:
    sender, doubles = ends(interleaving)
    packets = packets_of(*messages_of(8, parts, sender))
    doubles.receive(packets[:1])  # §5.1: the first DATA is acknowledged at once
    doubles.acknowledge()
    doubles.receive(packets[1:2])
    assert not doubles.answer()
    doubles.receive(packets[2:3])
    assert doubles.answer()
    doubles.acknowledge()
    doubles.receive(packets[3:5])
    assert doubles.answer()


@both
@pytest.mark.parametrize("parts", [1, 8])
def test_a_packet_that_asks_for_it_is_acknowledged_at_once(interleaving: bool, parts: int) -> None:
    """RFC 9260 §3.3.1: by the I bit."""
    sender, doubles = ends(interleaving)
    chunks = messages_of(8, parts, sender)
    doubles.receive(packets_of(*chunks[:2]))
    doubles.acknowledge()
    chunks[2].immediate = True
    doubles.receive(packets_of(chunks[2]))
    assert doubles.answer()


@both
@pytest.mark.parametrize("flags", [{}, {"beginning": False, "ending": False}])
def test_6_2_a_chunk_without_data_ends_the_association(
    interleaving: bool, flags: dict[str, bool]
) -> None:
    sender, doubles = ends(interleaving)
    first, _ = message_of(2, sender, stream_id=1)
    (empty,) = sender.message(b"")
    empty.tsn = TSN + 1
    for name, value in flags.items():
        setattr(empty, name, value)
    doubles.receive(packets_of(first, empty))
    assert doubles.cause == NoUserData(TSN + 1)


@both
@pytest.mark.parametrize("parts", [1, 60])
@pytest.mark.parametrize("lost", [(), (2,)])
def test_no_more_is_taken_than_the_window_holds(
    interleaving: bool, parts: int, lost: tuple[int, ...]
) -> None:
    sender = Sender(interleaving=interleaving)
    chunks = messages_of(60, parts, sender)
    packets = packets_of(*(c for at, c in enumerate(chunks) if at not in lost))
    for count in range(17, 30):
        unbound = Doubles(interleaving=interleaving)
        unbound.receive(packets[:count])
        for a_rwnd in range(unbound.bulk.charge - 1, unbound.bulk.charge + 2):
            doubles = Doubles(interleaving=interleaving, a_rwnd=a_rwnd)
            doubles.receive(packets)
            assert doubles.bulk.charge >= a_rwnd or doubles.bulk.counters.dropped
            doubles.acknowledge()
            doubles.take()


@both
def test_no_message_becomes_longer_than_allowed(interleaving: bool) -> None:
    for longest in range(600, 900, 10):
        sender, doubles = ends(interleaving, max_message_size=longest)
        doubles.receive(packets_of(*message_of(9, sender)))
        for size in (longest - 1, longest, longest + 1):
            sender, doubles = ends(interleaving, max_message_size=longest)
            doubles.receive(packets_of(*sender.message(bytes(size)), *sender.message(bytes(size))))


@both
@pytest.mark.parametrize("short_of", range(8))
def test_nothing_is_taken_nonsensically_far_ahead(interleaving: bool, short_of: int) -> None:
    sender, doubles = ends(interleaving)
    first, *others = message_of(12, sender)
    for at, chunk in enumerate(others):
        chunk.tsn = TSN + MAX_TSNS_AHEAD - short_of + at
    doubles.receive(packets_of(first, *others))
    assert set(doubles.bulk.counters.dropped) == {NO_ROOM}
    doubles.acknowledge()


@both
def test_what_is_no_data_to_take_is_left_to_be_read(interleaving: bool) -> None:
    """Streams that there are not, flags, other lengths, and chunks with others behind them."""
    header = 20 if interleaving else 16
    for parts in (1, 6):
        for at in range(12, 12 + header):
            for bit in range(8):
                sender, doubles = ends(interleaving, inbound_streams=3)
                chunks = messages_of(6, parts, sender, stream_id=2)
                packets = packets_of(*chunks)
                changed = bytearray(packets[3])
                changed[at] ^= 1 << bit
                packets[3] = encode_packet(*PORTS_AND_TAG, [bytes(changed[12:])])
                if all(isinstance(c, Data | IData) for c in decode_chunks(packets[3])):
                    doubles.receive(packets)
                    doubles.take()


@both
@pytest.mark.parametrize("unordered", [False, True])
def test_a_message_within_another_is_a_contradiction(interleaving: bool, unordered: bool) -> None:
    """Of DATA, whose fragments have TSNs in a row."""
    sender, doubles = ends(interleaving)
    first, *_ = message_of(5, sender, stream_id=1)
    (other,) = sender.message(b"within", unordered=unordered)
    other.tsn = TSN + 1
    doubles.receive(packets_of(first, other))
    assert (doubles.cause is None) == interleaving


@both
def test_a_message_lets_those_go_that_wait_for_it(interleaving: bool) -> None:
    """The peer has sent them in another order than it has numbered them."""
    sender, doubles = ends(interleaving)
    messages = [chunk for n in range(4) for chunk in sender.message(bytes([n]))]
    messages = [messages[1], messages[0], messages[3], messages[2]]
    for at, chunk in enumerate(messages):
        chunk.tsn = TSN + at
    doubles.receive(packets_of(*messages))
    assert doubles.take() == [b"\0", b"\1", b"\2", b"\3"]


@both
def test_messages_that_may_have_new_numbers_are_held_back(interleaving: bool) -> None:
    """RFC 6525 §5.2.4: until it is known whether the peer counts anew."""
    sender, doubles = ends(interleaving)
    chunks = [chunk for _ in range(4) for chunk in sender.message(bytes(50))]
    doubles.receive(packets_of(*chunks[:2]))
    assert len(doubles.take()) == 2
    for receiver in (doubles.bulk, doubles.chunkwise):
        receiver.hold_back()
    doubles.receive(packets_of(*chunks[2:]))
    assert doubles.take() == []
    for receiver in (doubles.bulk, doubles.chunkwise):
        receiver.end_hold_back()
    assert len(doubles.take()) == 2


def test_of_an_unordered_message_of_data_the_ssn_says_nothing() -> None:
    """RFC 9260 §3.3.1: receivers ignore it."""
    doubles = Doubles()
    doubles.receive(packets_of(data(TSN, 7, unordered=True)))
    assert [message.sequence_number for message in doubles.bulk.messages] == [0]


@both
@pytest.mark.parametrize("streams", [2, 3])
def test_6_5_a_stream_that_there_is_not_is_reported(interleaving: bool, streams: int) -> None:
    sender, doubles = ends(interleaving, inbound_streams=streams)
    doubles.receive(packets_of(*(sender.message(b"x", stream_id=2)[0] for _ in range(3))))
    assert len(doubles.take()) == (3 if streams == 3 else 0)
    assert len(doubles.bulk.take_errors()) == (0 if streams == 3 else 1)


def test_a_message_ends_with_the_last_tsn_of_its_fragments_whichever_that_is() -> None:
    """RFC 8260 §2.2.3: FSNs say where they belong."""
    sender, doubles = ends(interleaving=True)
    first, *middle, last = message_of(9, sender)
    last.tsn = TSN + 1
    for at, chunk in enumerate(middle):
        chunk.tsn = TSN + 2 + at
    doubles.receive(packets_of(first, *middle))
    doubles.receive(packets_of(last))
    (message,) = doubles.bulk.messages
    assert (message.first_tsn, message.last_tsn) == (TSN, TSN + 8)


def test_fragments_that_were_given_up_are_not_taken() -> None:
    """RFC 8260 §2.3.1."""
    sender, doubles = ends(interleaving=True)
    given_up, other = message_of(6, sender), message_of(6, sender)
    doubles.receive(packets_of(*given_up[:3]))
    for receiver in (doubles.bulk, doubles.chunkwise):
        assert receiver.forward_tsn(IForwardTsn(TSN + 3, [(0, False, 0)])) is None
    doubles.receive(packets_of(*given_up[4:], *other))
    assert doubles.take() == [b"".join(chunk.payload for chunk in other)]
    assert doubles.bulk.charge == 0


@both
@pytest.mark.parametrize("seed", range(60))
def test_whatever_happens_on_the_way(interleaving: bool, seed: int) -> None:
    random = Random(seed)
    tsn = random.choice([TSN, 2**32 - 20])
    sender = Sender(tsn, interleaving=interleaving)
    doubles = Doubles(
        tsn,
        interleaving=interleaving,
        a_rwnd=random.choice([6000, 100_000]),
        max_message_size=random.choice([2000, 100_000]),
        inbound_streams=random.choice([3, 4]),
    )
    under_way: list[bytes] = []
    for _ in range(12):
        for _ in range(random.choice([1, 2, 8])):
            under_way += packets_of(*some_message(random, sender))
        if random.random() < 0.4:
            under_way += random.sample(under_way, min(2, len(under_way)))
        if random.random() < 0.4:
            at = random.randrange(len(under_way))
            under_way[at : at + 6] = random.sample(
                under_way[at : at + 6], len(under_way[at : at + 6])
            )
        if random.random() < 0.3 and len(under_way) > 3:
            late = under_way.pop(random.randrange(len(under_way)))
            under_way.append(late)
        count = random.randrange(len(under_way) + 1)
        doubles.receive(under_way[:count])
        del under_way[:count]
        if random.random() < 0.5:
            doubles.acknowledge()
        if random.random() < 0.5:
            doubles.take()
    doubles.receive(under_way)
    doubles.acknowledge()


def some_message(random: Random, sender: Sender) -> list[Any]:
    parts = random.choice([1, 1, 3, 9])
    stream_id, unordered = random.randrange(4), random.random() < 0.2
    immediate = random.random() < 0.1
    size = random.choice([1, 60, 100])
    return message_of(
        parts, sender, size, stream_id=stream_id, unordered=unordered, immediate=immediate
    )


def test_a_run_with_another_on_its_heels_is_carried_on_by_what_lies_between() -> None:
    """Fragments of DATA that fill a gap join what is on both sides of it."""
    doubles = Doubles()
    parts = [
        fragment(TSN, "B"),
        *(fragment(TSN + at, "") for at in range(1, 6)),
        fragment(TSN + 6, "E"),
    ]
    packets = packets_of(*parts)
    doubles.receive([packets[0], packets[1], packets[5], packets[6]])
    doubles.receive(packets[2:5])
    assert doubles.take() == [b"x" * 7]
