"""The receiver window: what is advertised, enforced and opened again (RFC 9260 §6.2, §6.9)."""

from __future__ import annotations

import pytest

from tests.support.incoming_data import (
    NO_ROOM,
    TSN,
    Sender,
    arrive,
    data,
    fragment,
    new_receiver,
    packet,
    read_sack,
    take,
)
from trio_sctp._core.rx.data_receiver import DataReceiver
from trio_sctp._core.rx.data_tracker import MAX_TSNS_AHEAD
from trio_sctp._core.rx.ordering import HELD_OVERHEAD, WAITING_OVERHEAD
from trio_sctp._wire.error_causes import OutOfResource

A_RWND = 100_000
SIZE = 1000
CHARGE = SIZE + HELD_OVERHEAD


def window(receiver: DataReceiver) -> int:
    return read_sack(receiver).a_rwnd


def filled(messages: int) -> DataReceiver:
    """A receiver with so many unread messages."""
    receiver = new_receiver(a_rwnd=A_RWND)
    for i in range(messages):
        assert packet(receiver, data(TSN + i, i, bytes(SIZE))) is None
    receiver.end_of_batch(0.0)
    return receiver


FULL = A_RWND // CHARGE + 1
SHUT = 2 * A_RWND // CHARGE + 2


# -- what is advertised ---------------------------------------------------------------------------


def test_unread_messages_and_their_overhead_are_subtracted() -> None:
    receiver = filled(10)
    assert window(receiver) == A_RWND - 10 * CHARGE
    assert receiver.message_consumed(SIZE) is False
    assert receiver.a_rwnd == A_RWND - 9 * CHARGE


def test_messages_that_the_association_has_taken_still_count() -> None:
    receiver = filled(10)
    take(receiver, consume=False)
    assert window(receiver) == A_RWND - 10 * CHARGE


def test_what_is_held_for_reassembly_or_order_counts() -> None:
    # §6.2 rule C
    receiver = new_receiver(a_rwnd=A_RWND)
    arrive(receiver, fragment(TSN, "B", payload=bytes(SIZE)))
    assert window(receiver) < A_RWND - SIZE
    receiver = new_receiver(a_rwnd=A_RWND)
    arrive(receiver, data(TSN, 1, bytes(SIZE)))
    assert window(receiver) == A_RWND - CHARGE - WAITING_OVERHEAD


def test_no_small_windows_are_advertised() -> None:
    # §6.2, RFC 1122 §4.2.3.3: less than a packet is not worth telling
    receiver = filled(0)
    for i in range(FULL):
        arrive(receiver, data(TSN + i, i, bytes(SIZE)))
        told = window(receiver)
        assert told >= 1200 or told == 1
    assert told == 1


def test_consumption_beyond_what_is_held_does_not_widen_the_window() -> None:
    receiver = filled(1)
    for _ in range(5):
        receiver.message_consumed(SIZE)
    assert receiver.a_rwnd == A_RWND


# -- what is enforced -----------------------------------------------------------------------------


def test_what_was_under_way_when_the_window_closed_is_taken() -> None:
    # A peer counts payload alone, so it may have more under way than fits with our overhead.
    receiver = filled(FULL)
    assert window(receiver) == 1
    arrive(receiver, *[data(TSN + FULL + i, FULL + i, bytes(SIZE)) for i in range(20)])
    assert receiver.counters.dropped == {}
    assert read_sack(receiver).cumulative_tsn_ack == TSN + FULL + 19


def test_a_window_of_0_drops_what_is_above_the_highest_tsn_and_answers_at_once() -> None:
    # §6.2
    receiver = filled(SHUT)
    sack = read_sack(receiver)
    assert sack.a_rwnd == 0
    arrive(receiver, data(sack.cumulative_tsn_ack + 1, SHUT, b"x"))
    assert receiver.sack_wanted
    again = read_sack(receiver)
    assert (again.cumulative_tsn_ack, again.a_rwnd) == (sack.cumulative_tsn_ack, 0)
    assert again.gap_ack_offsets == ()


def test_a_window_of_0_takes_what_is_missing_below_the_highest_tsn() -> None:
    # §6.2: a gap is still filled, so that what waits behind it can be delivered
    receiver = new_receiver(a_rwnd=A_RWND)
    for i in range(1, SHUT + 1):
        receiver.receive(data(TSN + i, i, bytes(SIZE), unordered=True))
    receiver.end_of_packet()
    assert set(receiver.counters.dropped) == {NO_ROOM}
    assert window(receiver) == 0
    arrive(receiver, data(TSN, 0, b"missing"))
    assert receiver.cumulative_tsn_ack > TSN


def test_held_data_is_never_more_than_thrice_the_window() -> None:
    # nobody reads, and a peer ignores the window altogether, gaps included
    receiver = new_receiver(a_rwnd=A_RWND)
    for i in [*range(1, 2000, 2), *range(0, 2000, 2)]:
        receiver.receive(data(TSN + i, i, bytes(SIZE), unordered=True))
    held = sum(len(message.payload) for message in receiver.messages)
    assert A_RWND < held <= 3 * A_RWND


def test_a_tsn_beyond_all_sense_is_neither_kept_nor_acknowledged() -> None:
    receiver = filled(1)
    read_sack(receiver)
    arrive(receiver, data(TSN + 1 + MAX_TSNS_AHEAD, 1), data(TSN + 2**31 - 1, 1))
    assert receiver.counters.dropped == {NO_ROOM: 2}
    assert receiver.sack_wanted
    assert read_sack(receiver).gap_ack_offsets == ()
    assert len(receiver.messages) == 1


# -- opening again --------------------------------------------------------------------------------


def test_the_peer_is_told_when_a_quarter_of_the_buffer_is_free_again() -> None:
    # §6.2: not for each message
    receiver = filled(FULL)
    assert window(receiver) == 1
    updates = []
    for _ in range(FULL):
        if receiver.message_consumed(SIZE):
            assert receiver.sack_wanted
            updates.append(window(receiver))
    assert 3 <= len(updates) <= 4
    assert updates[0] >= A_RWND // 4
    assert updates == sorted(updates)


def test_a_closed_window_opens_when_all_is_read_however_little_that_was() -> None:
    # Messages that wait for another one leave 16 kB, which is less than a quarter.
    receiver = new_receiver(a_rwnd=A_RWND)
    arrive(receiver, *[data(TSN + i, 1 + i, bytes(42_000 - HELD_OVERHEAD), 1) for i in (0, 1)])
    arrive(receiver, *[data(TSN + 2 + i, i, bytes(SIZE)) for i in range(13)])
    assert window(receiver) == 1
    told = [receiver.message_consumed(SIZE) for _ in range(13)]
    assert told == [False] * 12 + [True]
    assert window(receiver) > 1200


def test_a_reader_that_keeps_up_causes_no_window_updates() -> None:
    receiver = new_receiver(a_rwnd=A_RWND)
    for i in range(200):
        arrive(receiver, data(TSN + i, i, bytes(SIZE)))
        if receiver.sack_wanted:
            read_sack(receiver)
        receiver.messages.clear()
        assert receiver.message_consumed(SIZE) is False


# -- messages larger than the window (§6.9) -------------------------------------------------------


@pytest.mark.parametrize("interleaving", [False, True])
def test_a_message_larger_than_the_window_arrives(interleaving: bool) -> None:
    receiver = new_receiver(a_rwnd=A_RWND, interleaving=interleaving)
    payload = bytes(range(256)) * 4000
    chunks = Sender(interleaving=interleaving).message(
        payload, cuts=range(SIZE, len(payload), SIZE)
    )
    for chunk in chunks:
        arrive(receiver, chunk)
        assert window(receiver) >= A_RWND // 2 or receiver.messages
    assert take(receiver, consume=False) == [payload]
    assert window(receiver) == 1
    assert receiver.message_consumed(len(payload))
    assert window(receiver) == A_RWND


def test_a_message_larger_than_the_window_arrives_with_gaps() -> None:
    # every tenth chunk comes 30 chunks late
    receiver = new_receiver(a_rwnd=A_RWND)
    payload = bytes(range(256)) * 2000
    chunks = Sender().message(payload, cuts=range(500, len(payload), 500))
    order = sorted(range(len(chunks)), key=lambda i: i + (30 if i % 10 == 0 else 0))
    for i in order:
        arrive(receiver, chunks[i])
    assert receiver.counters.dropped == {}
    assert take(receiver) == [payload]


def test_a_large_message_waits_until_what_is_unread_has_been_read() -> None:
    # With something to read, the window closes as for any other message, and then opens again.
    receiver = new_receiver(a_rwnd=A_RWND)
    sender = Sender()
    arrive(receiver, *sender.message(bytes(SIZE)))
    payload = bytes(3 * A_RWND)
    chunks = sender.message(payload, cuts=range(SIZE, len(payload), SIZE))
    sent = 0
    while window(receiver) > SIZE:
        arrive(receiver, chunks[sent])
        sent += 1
    assert sent * SIZE < A_RWND
    assert take(receiver, consume=False) == [bytes(SIZE)]
    assert receiver.message_consumed(SIZE)
    for chunk in chunks[sent:]:
        assert window(receiver) > SIZE
        arrive(receiver, chunk)
    assert take(receiver) == [payload]


def test_what_is_behind_a_gap_cannot_close_the_window_for_good() -> None:
    # Nothing is unread; the hole at the front is filled whatever the window says.
    receiver = new_receiver(a_rwnd=A_RWND)
    sender = Sender()
    missing, *others = sender.message(bytes(50 * A_RWND), cuts=range(SIZE, 50 * A_RWND, SIZE))
    for chunk in others:
        receiver.receive(chunk)
    receiver.end_of_packet()
    assert window(receiver) == 0
    arrive(receiver, missing)
    last = receiver.cumulative_tsn_ack
    assert last > TSN + 50
    assert window(receiver) >= A_RWND // 4
    arrive(receiver, *others[last - TSN :])
    assert [len(payload) for payload in take(receiver)] == [50 * A_RWND]


@pytest.mark.parametrize("interleaving", [False, True])
def test_more_unfinished_data_than_any_message_needs_ends_the_association(
    interleaving: bool,
) -> None:
    # RFC 9260 §3.3.10.4: fragments of one byte whose overhead outweighs all that they carry
    receiver = new_receiver(a_rwnd=A_RWND, max_message_size=100_000, interleaving=interleaving)
    sender = Sender(interleaving=interleaving)
    causes = [receiver.receive(chunk) for chunk in sender.message(bytes(9999), cuts=range(1, 9999))]
    assert causes[0] is None
    assert OutOfResource() in causes
    assert receiver.a_rwnd >= 0


def test_a_long_gap_in_front_of_many_small_messages_is_no_such_case() -> None:
    # A peer with small messages under way overshoots the window: what is beyond is dropped, no more.
    receiver = new_receiver(a_rwnd=A_RWND, max_message_size=1000)
    for i in range(1, 2000):
        assert receiver.receive(data(TSN + i, i, bytes(64))) is None
    for i in (0, *range(receiver.cumulative_tsn_ack + 1 - TSN, 2000)):
        assert receiver.receive(data(TSN + i, i, bytes(64))) is None
        take(receiver)
    assert receiver.cumulative_tsn_ack == TSN + 1999
