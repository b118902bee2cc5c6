"""What stream resets (RFC 6525 §5.2.2) and FORWARD TSN (RFC 3758 §3.6) do to messages on their way."""

from __future__ import annotations

import pytest

from tests.support.incoming_data import (
    TSN,
    Sender,
    arrive,
    data,
    fragment,
    new_receiver,
    read_sack,
    take,
)
from trio_sctp._core.rx.data_receiver import DataReceiver
from trio_sctp._wire.chunks import Data, ForwardTsn, IForwardTsn
from trio_sctp._wire.error_causes import ProtocolViolation

FULL_WINDOW = 8 * 1024 * 1024

# -- stream resets --------------------------------------------------------------------------------


@pytest.mark.parametrize("streams", [[1], None, [0, 1, 2]])
def test_after_a_reset_ssn_0_is_next(streams: list[int] | None) -> None:
    # RFC 6525 §5.2.2 E3; no list means every stream
    receiver = new_receiver()
    arrive(receiver, data(TSN, 0, b"a", 1), data(TSN + 1, 1, b"b", 1))
    receiver.reset_streams(streams)
    arrive(receiver, data(TSN + 2, 0, b"new a", 1), data(TSN + 3, 1, b"new b", 1))
    assert take(receiver) == [b"a", b"b", b"new a", b"new b"]


def test_other_streams_go_on() -> None:
    receiver = new_receiver()
    arrive(receiver, data(TSN, 0, b"a", 1), data(TSN + 1, 0, b"b", 2))
    receiver.reset_streams([1])
    arrive(receiver, data(TSN + 2, 1, b"c", 2))
    assert take(receiver) == [b"a", b"b", b"c"]


@pytest.mark.parametrize("streams", [[1], None])
def test_what_overtook_the_reset_is_delivered_after_it(streams: list[int] | None) -> None:
    receiver = new_receiver()
    arrive(receiver, *[data(TSN + i, i, b"%d" % i, 1) for i in range(5)])
    arrive(receiver, data(TSN + 5, 0, b"new 0", 1), data(TSN + 6, 1, b"new 1", 1))
    assert take(receiver) == [b"0", b"1", b"2", b"3", b"4"]
    receiver.reset_streams(streams)
    assert take(receiver) == [b"new 0", b"new 1"]
    arrive(receiver, data(TSN + 7, 2, b"new 2", 1))
    assert take(receiver) == [b"new 2"]


@pytest.mark.parametrize("streams", [[1, 2], None])
def test_a_deferred_reset_holds_back_what_begins_after_its_last_tsn(
    streams: list[int] | None,
) -> None:
    # RFC 6525 §5.2.2 E2: TSN 1001 is missing when the request arrives that names it as the last one.
    # The SSN of what comes next is the one that the old numbering would expect: it must not go first.
    receiver = new_receiver()
    arrive(receiver, data(TSN, 0, b"old 0", 1))
    receiver.defer_reset(streams, TSN + 1)
    sender = Sender(TSN + 2)
    arrive(
        receiver,
        *sender.message(b"new 0", 1, cuts=[1]),
        *sender.message(b"new 1", 1),
        *sender.message(b"new 2", 1),
        *sender.message(b"unordered", 2, unordered=True),
    )
    arrive(receiver, data(TSN + 1, 1, b"old 1", 1))
    assert take(receiver) == [b"old 0", b"old 1"]
    receiver.reset_streams(streams)
    assert take(receiver) == [b"new 0", b"new 1", b"new 2", b"unordered"]
    assert receiver.a_rwnd == FULL_WINDOW


@pytest.mark.parametrize("streams", [[1], None])
def test_early_messages_wait_through_several_resets(streams: list[int] | None) -> None:
    receiver = new_receiver()
    arrive(receiver, data(TSN, 0, b"old", 1))
    arrive(receiver, data(TSN + 1, 0, b"a", 1), data(TSN + 3, 2, b"c", 1))
    for _ in range(3):
        receiver.reset_streams([2])
    assert take(receiver) == [b"old"]
    receiver.reset_streams(streams)
    assert take(receiver) == [b"a"]
    receiver = new_receiver()
    arrive(receiver, *[data(TSN + i, i, b"old", 1) for i in range(3)])
    arrive(receiver, data(TSN + 4, 1, b"b", 1))
    for _ in range(3):
        receiver.reset_streams(streams)
    arrive(receiver, data(TSN + 3, 0, b"a", 1))
    assert take(receiver) == [b"old"] * 3 + [b"a", b"b"]
    assert receiver.a_rwnd == FULL_WINDOW
    assert not receiver._queue._waiting


def test_a_deferred_reset_leaves_other_streams_alone() -> None:
    receiver = new_receiver()
    receiver.defer_reset([1], TSN)
    arrive(receiver, data(TSN + 1, 0, b"other", 2), data(TSN + 2, 0, b"held", 1))
    assert take(receiver) == [b"other"]
    arrive(receiver, data(TSN, 0, b"old", 1))
    receiver.reset_streams([1])
    assert take(receiver) == [b"old", b"held"]


def test_a_message_of_the_old_numbering_that_can_never_have_its_turn_is_thrown_away() -> None:
    receiver = new_receiver()
    arrive(receiver, data(TSN, 0, b"old 0", 1), data(TSN + 1, 5, b"stray", 1))
    receiver.reset_streams([1])
    arrive(receiver, *[data(TSN + 2 + i, i, b"%d" % i, 1) for i in range(7)])
    assert take(receiver) == [b"old 0", b"0", b"1", b"2", b"3", b"4", b"5", b"6"]
    assert receiver.a_rwnd == FULL_WINDOW


# -- FORWARD TSN ----------------------------------------------------------------------------------


def forward(receiver: DataReceiver, tsn: int, *streams: tuple[int, int], now: float = 0.0) -> None:
    assert receiver.forward_tsn(ForwardTsn(tsn & 0xFFFFFFFF, streams)) is None
    receiver.end_of_packet()
    receiver.end_of_batch(now)


def test_messages_up_to_the_skipped_ssn_are_delivered_and_what_follows_them() -> None:
    # RFC 3758 §3.6: stranded messages are made available at once
    receiver = new_receiver()
    arrive(receiver, *[data(TSN + i, i, b"%d" % i) for i in (1, 3, 4, 6)])
    assert take(receiver) == []
    forward(receiver, TSN + 2, (0, 2))
    assert take(receiver) == [b"1", b"3", b"4"]
    assert receiver.cumulative_tsn_ack == TSN + 4


def test_a_skip_on_one_stream_does_not_release_another() -> None:
    receiver = new_receiver()
    arrive(receiver, data(TSN + 2, 1, b"a", 1), data(TSN + 3, 1, b"b", 2))
    forward(receiver, TSN, (1, 0))
    assert take(receiver) == [b"a"]


def test_an_old_skip_changes_nothing() -> None:
    receiver = new_receiver()
    arrive(receiver, *[data(TSN + i, i, b"%d" % i) for i in range(4)])
    take(receiver)
    forward(receiver, TSN + 4, (0, 2))
    arrive(receiver, data(TSN + 5, 4, b"4"))
    assert take(receiver) == [b"4"]


def test_skipped_ssns_wrap() -> None:
    receiver = new_receiver()
    for ssn in range(65535):
        receiver.receive(data(TSN + ssn, ssn))
    take(receiver)
    arrive(receiver, data(TSN + 65537, 65537, b"after"))
    forward(receiver, TSN + 65536, (0, 0))
    assert take(receiver) == [b"after"]


@pytest.mark.parametrize("cut", ["beginning", "middle", "end"])
def test_a_partial_message_that_was_given_up_is_dropped(cut: str) -> None:
    # RFC 3758 §3.6: partially reassembled messages with a missing TSN up to the new point go
    receiver = new_receiver()
    chunks = Sender().message(b"abc", cuts=[1, 2])
    del chunks[["beginning", "middle", "end"].index(cut)]
    arrive(receiver, *chunks)
    forward(receiver, TSN + 2, (0, 0))
    assert take(receiver) == []
    assert receiver.a_rwnd == FULL_WINDOW
    arrive(receiver, data(TSN + 3, 1, b"next"))
    assert take(receiver) == [b"next"]


def test_a_partial_message_above_the_new_point_stays() -> None:
    receiver = new_receiver()
    sender = Sender()
    _lost, chunks = sender.message(), sender.message(b"abc", cuts=[1, 2])
    arrive(receiver, chunks[0], chunks[2])
    forward(receiver, TSN, (0, 0))
    arrive(receiver, chunks[1])
    assert take(receiver) == [b"abc"]


def test_a_message_that_begins_below_the_new_point_and_is_complete_so_far_stays() -> None:
    # RFC 3758 §3.6: none of its TSNs up to the new point is missing
    receiver = new_receiver()
    arrive(receiver, fragment(TSN + 1, "BU", payload=b"a"))
    forward(receiver, TSN + 1)
    arrive(receiver, fragment(TSN + 2, "EU", payload=b"b"))
    assert take(receiver) == [b"ab"]


def test_the_rest_of_an_abandoned_message_is_dropped_quietly() -> None:
    # Peers exist that give up only the fragments they have sent; what they send later is useless.
    receiver = new_receiver()
    arrive(receiver, fragment(TSN, "B"))
    forward(receiver, TSN + 1, (0, 0))
    arrive(receiver, fragment(TSN + 3, ""), fragment(TSN + 2, ""), fragment(TSN + 4, "E"))
    arrive(receiver, data(TSN + 5, 1, b"next"))
    assert take(receiver) == [b"next"]
    assert receiver.a_rwnd == FULL_WINDOW


def test_an_abandoned_message_whose_first_part_ends_at_the_new_point() -> None:
    # All its TSNs up to the point are there, but its SSN has been skipped: it never gets a turn
    receiver = new_receiver()
    arrive(receiver, fragment(TSN, "B"), fragment(TSN + 2, "", ssn=0))
    forward(receiver, TSN + 2, (0, 0))
    arrive(receiver, fragment(TSN + 3, "E"), data(TSN + 4, 1, b"next"))
    assert take(receiver) == [b"next"]
    assert receiver.a_rwnd == FULL_WINDOW
    receiver = new_receiver()
    arrive(receiver, fragment(TSN + 1, "B"))
    forward(receiver, TSN + 1, (0, 0))
    arrive(receiver, fragment(TSN + 2, "E"), data(TSN + 3, 1, b"next"))
    assert take(receiver) == [b"next"]
    assert receiver.a_rwnd == FULL_WINDOW


def test_forward_tsn_is_acknowledged_by_the_rules_of_data() -> None:
    # RFC 3758 §3.6: the delayed SACK applies
    receiver = new_receiver(sack_delay=0.2)
    arrive(receiver, data(TSN))
    read_sack(receiver)
    forward(receiver, TSN + 1, now=5.0)
    due = [receiver.sack_wanted]
    assert receiver.sack_timer.deadline == 5.2
    forward(receiver, TSN + 2, now=5.1)
    assert [*due, receiver.sack_wanted] == [False, True]
    assert read_sack(receiver).cumulative_tsn_ack == TSN + 2


def test_an_old_forward_tsn_is_answered_at_once() -> None:
    # RFC 3758 §3.6: our SACK may have been lost
    receiver = new_receiver()
    arrive(receiver, data(TSN))
    read_sack(receiver)
    forward(receiver, TSN)
    assert receiver.sack_wanted


def test_forward_tsn_goes_with_data_and_i_forward_tsn_with_i_data() -> None:
    # RFC 8260 §2.3.1
    assert isinstance(new_receiver().forward_tsn(IForwardTsn(TSN)), ProtocolViolation)
    interleaved = new_receiver(interleaving=True)
    assert isinstance(interleaved.forward_tsn(ForwardTsn(TSN)), ProtocolViolation)
    assert isinstance(interleaved.receive(Data(TSN, 0, 0, 0, b"x")), ProtocolViolation)


def test_forward_tsn_by_the_largest_step() -> None:
    receiver = new_receiver()
    arrive(receiver, data(TSN + 5, 1), fragment(TSN + 8, "B", 2))
    forward(receiver, TSN + 2**31 - 2, (0, 1))
    assert receiver.cumulative_tsn_ack == TSN + 2**31 - 2
    assert take(receiver) == [b"x"]
    assert receiver.a_rwnd == FULL_WINDOW
