"""When received data is acknowledged, and what the SACK says (RFC 9260 §5.1, §6.2, §6.7)."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tests.support.gap_ack_blocks import blocks_of
from tests.support.incoming_data import (
    TSN,
    Sender,
    arrive,
    data,
    new_receiver,
    packet,
    read_sack,
    take,
)
from trio_sctp._core.config import Config
from trio_sctp._core.rx.data_receiver import DataReceiver
from trio_sctp._wire.packet import CommonHeader


def due(receiver: DataReceiver) -> bool:
    return receiver.sack_wanted


def settled(**config: Any) -> DataReceiver:
    """A receiver that has acknowledged the first DATA, TSN."""
    receiver = new_receiver(**config)
    arrive(receiver, data(TSN))
    read_sack(receiver)
    return receiver


# -- when -----------------------------------------------------------------------------------------


def test_nothing_is_due_before_any_data() -> None:
    receiver = new_receiver()
    receiver.end_of_packet()
    receiver.end_of_batch(0.0)
    assert not due(receiver)
    assert not receiver.ack_pending
    assert receiver.sack_timer.deadline == math.inf
    assert read_sack(receiver).cumulative_tsn_ack == TSN - 1  # §3.3.4


def test_the_first_data_of_an_association_is_acknowledged_at_once() -> None:
    # §5.1
    receiver = new_receiver()
    arrive(receiver, data(TSN))
    assert due(receiver)
    assert read_sack(receiver).cumulative_tsn_ack == TSN
    assert not due(receiver)


def test_a_single_packet_is_acknowledged_when_the_delay_is_over() -> None:
    # §6.2: within 200 ms, counted from the arrival
    receiver = settled(sack_delay=0.2)
    arrive(receiver, data(TSN + 1, 1), now=10.0)
    assert not due(receiver)
    assert receiver.ack_pending
    assert receiver.sack_timer.deadline == pytest.approx(10.2)
    assert not receiver.sack_timer.take_expiry(10.199)
    assert receiver.sack_timer.take_expiry(10.2)
    receiver.handle_sack_delay()
    assert due(receiver)
    assert read_sack(receiver).cumulative_tsn_ack == TSN + 1
    assert not receiver.ack_pending


def test_every_second_packet_is_acknowledged_at_once() -> None:
    # §6.2: every second packet, not every second chunk
    receiver = settled()
    assert packet(receiver, data(TSN + 1, 1), data(TSN + 2, 2), data(TSN + 3, 3)) is None
    receiver.end_of_batch(10.0)
    assert not due(receiver)
    arrive(receiver, data(TSN + 4, 4), now=10.1)
    assert due(receiver)
    assert not receiver.sack_timer.running


def test_the_delay_runs_from_the_first_packet_that_is_unacknowledged() -> None:
    receiver = settled(sack_delay=0.2)
    arrive(receiver, data(TSN + 1, 1), now=10.0)
    receiver.end_of_packet()  # a packet without data
    receiver.end_of_batch(10.1)
    assert receiver.sack_timer.deadline == pytest.approx(10.2)


def test_a_batch_of_packets_is_answered_by_one_sack() -> None:
    receiver = settled()
    arrive(receiver, *[data(TSN + i, i) for i in range(1, 60)])
    assert due(receiver)
    assert read_sack(receiver).cumulative_tsn_ack == TSN + 59
    receiver.end_of_batch(0.0)
    assert not due(receiver)
    assert not receiver.sack_timer.running


def test_a_sack_that_rides_along_with_data_stops_the_delay() -> None:
    receiver = settled()
    arrive(receiver, data(TSN + 1, 1))
    assert len(receiver.sack(16)) == 16
    assert not receiver.sack_timer.running
    assert not receiver.ack_pending


def test_the_i_bit_asks_for_a_sack_at_once() -> None:
    # §6.2
    receiver = settled()
    arrive(receiver, data(TSN + 1, 1, immediate=True))
    assert due(receiver)


@pytest.mark.parametrize("interleaving", [False, True])
@pytest.mark.parametrize("unordered", [False, True])
def test_the_i_bit_in_the_middle_of_a_message_does_so_too(
    interleaving: bool, unordered: bool
) -> None:
    receiver = new_receiver(interleaving=interleaving)
    sender = Sender(interleaving=interleaving)
    chunks = sender.message(b"abcdef" * 4, cuts=[8, 12, 16], unordered=unordered)
    arrive(receiver, chunks[0])
    read_sack(receiver)
    for chunk, immediate in ((chunks[1], False), (chunks[2], True)):
        chunk.immediate = immediate
        assert receiver.receive_alone(CommonHeader(5000, 5000, 1).packet(chunk.encode()))
        receiver.end_of_batch(0.0)
        assert due(receiver) is immediate
    arrive(receiver, chunks[3])
    assert take(receiver) == [b"abcdef" * 4]


def test_a_gap_is_reported_at_once_for_each_packet_until_it_is_filled() -> None:
    # §6.7; the packet that fills it is answered at once as well (RFC 5681 §4.2)
    receiver = settled()
    for tsn, gaps in [
        (TSN + 2, [(2, 2)]),
        (TSN + 3, [(2, 3)]),
        (TSN + 6, [(2, 3), (6, 6)]),
        (TSN + 1, [(3, 3)]),
        (TSN + 4, [(2, 2)]),
        (TSN + 5, []),
    ]:
        arrive(receiver, data(tsn, tsn - TSN))
        assert due(receiver)
        assert blocks_of(read_sack(receiver)) == gaps
    arrive(receiver, data(TSN + 7, 7))
    assert not due(receiver)


def test_a_packet_of_nothing_but_duplicates_is_answered_at_once() -> None:
    # §6.2, with the duplicates listed
    receiver = settled()
    assert packet(receiver, data(TSN), data(TSN)) is None
    receiver.end_of_batch(0.0)
    assert due(receiver)
    assert list(read_sack(receiver).duplicate_tsns) == [TSN, TSN]
    assert receiver.duplicate_chunks == 2


def test_duplicates_are_delivered_once() -> None:
    receiver = settled()
    for _ in range(3):
        arrive(receiver, data(TSN + 2, 2), data(TSN + 1, 1))
    assert len(receiver.messages) == 3


def test_the_delay_can_be_changed_while_the_association_runs() -> None:
    receiver = settled()
    receiver.replace_config(Config(sack_delay=0.02))
    arrive(receiver, data(TSN + 1, 1), now=1.0)
    assert receiver.sack_timer.deadline == pytest.approx(1.02)


# -- what -----------------------------------------------------------------------------------------


def test_numbers_wrap_in_the_sack() -> None:
    receiver = new_receiver(tsn=2**32 - 1)
    arrive(receiver, data(2**32 - 1), data(0, 1), data(2, 3), data(0, 1))
    sack = read_sack(receiver)
    assert sack.cumulative_tsn_ack == 0
    assert blocks_of(sack) == [(2, 2)]
    assert list(sack.duplicate_tsns) == [0]


@pytest.mark.parametrize("max_size", [16, 20, 31, 100, 1188, 65000])
def test_a_sack_never_exceeds_its_room_and_gaps_go_before_duplicates(max_size: int) -> None:
    # §6.2: as many Gap Ack Blocks as fit; §6.7: the lowest ones
    receiver = settled()
    arrive(receiver, *[data(TSN + i, i) for i in range(2, 1000, 2)])
    arrive(receiver, *[data(TSN + i, i) for i in range(2, 200, 2)])
    sack = read_sack(receiver, max_size)
    room = (max_size - 16) // 4
    gaps = [(i, i) for i in range(2, 1000, 2)]
    assert blocks_of(sack) == gaps[:room]
    assert len(sack.duplicate_tsns) == min(99, max(0, room - len(gaps)))


def test_duplicates_are_reported_once() -> None:
    # §3.3.4: the list begins anew after each SACK
    receiver = settled()
    arrive(receiver, data(TSN))
    assert list(read_sack(receiver).duplicate_tsns) == [TSN]
    assert list(read_sack(receiver).duplicate_tsns) == []
