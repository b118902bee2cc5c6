"""Bugs seen in other stacks that lie on the receiving side; each test bears the bug's name."""

from __future__ import annotations

import sys

import pytest

from tests.support.incoming_data import (
    NO_ROOM,
    TSN,
    Sender,
    arrive,
    data,
    fragment,
    new_receiver,
    read_sack,
    take,
)
from trio_sctp._wire.chunks import ForwardTsn
from trio_sctp._wire.error_causes import NoUserData

A_RWND = 100_000


def test_own_a_rwnd_never_enforced() -> None:
    receiver = new_receiver(a_rwnd=A_RWND)
    for i in range(1000):
        receiver.receive(data(TSN + i, i, bytes(1000)))
    assert set(receiver.counters.dropped) == {NO_ROOM}
    assert sum(len(payload) for payload in take(receiver, consume=False)) <= 2 * A_RWND


def test_zero_window_deadlock() -> None:
    # A -> data until the window is 0; Z reads all of it, tells A, and takes the rest
    receiver = new_receiver(a_rwnd=A_RWND)
    sent = 0
    while read_sack(receiver).a_rwnd:
        arrive(receiver, data(TSN + sent, sent, bytes(1000)))
        sent += 1
    opened = False
    while receiver.messages:
        opened |= receiver.message_consumed(len(receiver.messages.popleft().payload))
    assert opened
    assert receiver.sack_wanted
    assert read_sack(receiver).a_rwnd == A_RWND
    arrive(receiver, data(TSN + sent, sent, b"on"))
    assert take(receiver) == [b"on"]


def test_one_sack_per_packet() -> None:
    receiver = new_receiver()
    sacks = 0
    for i in range(100):
        arrive(receiver, data(TSN + i, i))
        if receiver.sack_wanted:
            receiver.sack(1188)
            sacks += 1
    assert sacks <= 51


def test_sack_larger_than_the_mtu() -> None:
    receiver = new_receiver()
    arrive(receiver, *[data(TSN + i, i) for i in range(1, 4000, 2)] * 2)
    assert len(receiver.sack(1188)) <= 1188


def test_delayed_sack_fired_early() -> None:
    receiver = new_receiver(sack_delay=0.2)
    arrive(receiver, data(TSN), now=0.0)
    receiver.sack(1188)
    arrive(receiver, data(TSN + 1, 1), now=5.0)
    receiver.end_of_batch(5.1)
    assert not receiver.sack_wanted
    assert receiver.sack_timer.deadline == 5.2


def test_lexicographic_tsn_sort() -> None:
    receiver = new_receiver(tsn=8)
    arrive(receiver, *[fragment(tsn, "", payload=b"%d " % tsn) for tsn in (10, 11, 9)])
    arrive(receiver, fragment(12, "E", payload=b"12"), fragment(8, "B", payload=b"8 "))
    assert take(receiver) == [b"8 9 10 11 12"]


def test_an_abandoned_fragmented_message_blocks_its_stream() -> None:
    receiver = new_receiver()
    sender = Sender()
    first, second = sender.message(b"abandoned", cuts=[3, 6]), sender.message(b"next")
    arrive(receiver, first[0], *second)
    receiver.forward_tsn(ForwardTsn(TSN + 2, [(0, 0)]))
    assert take(receiver) == [b"next"]


def test_65535_entry_tables_allocated_per_association() -> None:
    receiver = new_receiver(inbound_streams=65535)
    containers = [receiver._queue, receiver._tracker, receiver]
    size = 0
    for owner in containers:
        for cls in type(owner).__mro__:
            for name in getattr(cls, "__slots__", ()):
                size += sys.getsizeof(getattr(owner, name, None))
    assert size < 10_000


def test_memory_grows_with_many_short_lived_channels() -> None:
    receiver = new_receiver()
    for i in range(3000):
        stream_id = i * 2 % 65534
        arrive(receiver, data(TSN + i, 0, stream_id=stream_id))
        take(receiver)
        receiver.reset_streams([stream_id])
    assert not receiver._queue._expected
    assert not receiver._queue._waiting


def test_reader_slower_than_sender_loses_messages() -> None:
    # The sender goes on as long as the window that it was told has room for what is under way.
    receiver = new_receiver(a_rwnd=A_RWND)
    sent = received = 0
    window = A_RWND
    while received < 1000:
        while sent < 1000 and window >= 600:
            arrive(receiver, data(TSN + sent, sent, b"%600d" % sent))
            sent += 1
            window -= 600
            if receiver.sack_wanted:
                window = read_sack(receiver).a_rwnd
        for _ in range(3):
            if receiver.messages:
                message = receiver.messages.popleft()
                assert int(message.payload) == received
                received += 1
                if receiver.message_consumed(600):
                    window = read_sack(receiver).a_rwnd
    assert receiver.counters.dropped == {}
    assert receiver.a_rwnd == A_RWND


@pytest.mark.parametrize("unordered", [False, True])
def test_an_empty_string_as_a_data_chunk_without_data(unordered: bool) -> None:
    assert new_receiver().receive(data(TSN, 0, b"", unordered=unordered)) == NoUserData(TSN)


def test_an_open_overtaking_a_stream_reset() -> None:
    # Z still expects SSN 2 of the old channel when the new one's OPEN arrives with SSN 0
    receiver = new_receiver()
    arrive(receiver, data(TSN, 0, b"old open"), data(TSN + 1, 1, b"old"))
    arrive(receiver, data(TSN + 2, 0, b"new open"))
    assert take(receiver) == [b"old open", b"old"]
    receiver.reset_streams([0])
    assert take(receiver) == [b"new open"]
