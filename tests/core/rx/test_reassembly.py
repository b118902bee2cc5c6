"""Reassembly of DATA (RFC 9260 §6.9) and delivery in order or not (§6.6), seen by the program."""

from __future__ import annotations

from itertools import permutations

import pytest

from tests.support.incoming_data import (
    TSN,
    Sender,
    arrive,
    data,
    fragment,
    new_receiver,
    packet,
    take,
)
from trio_sctp._core.events import Message
from trio_sctp._core.rx.data_receiver import DataReceiver
from trio_sctp._wire.chunks import Data
from trio_sctp._wire.error_causes import ErrorCause, NoUserData, ProtocolViolation

# -- whole messages and fragments in order --------------------------------------------------------


def test_a_message_carries_all_that_its_chunk_said() -> None:
    receiver = new_receiver(tsn=2**32 - 1)
    arrive(receiver, Data(2**32 - 1, 7, 0, 51, b"hello"))
    assert list(receiver.messages) == [
        Message(7, 51, b"hello", False, 0, 2**32 - 1, 2**32 - 1),
    ]


def test_the_ssn_of_an_unordered_message_is_ignored() -> None:
    # RFC 9260 §3.3.1: U is set, so the SSN field means nothing, even if fragments differ in it
    receiver = new_receiver()
    arrive(
        receiver,
        data(TSN, 99, b"whole", unordered=True),
        fragment(TSN + 1, "BU", 5, b"pi"),
        fragment(TSN + 2, "EU", 6, b"eces"),
        data(TSN + 3, 0, b"ordered"),
    )
    assert [m.sequence_number for m in receiver.messages] == [0, 0, 0]
    assert take(receiver) == [b"whole", b"pieces", b"ordered"]


def test_a_fragmented_message_is_delivered_with_its_range_of_tsns() -> None:
    sender, receiver = Sender(tsn=2**32 - 2), new_receiver(tsn=2**32 - 2)
    arrive(receiver, *sender.message(b"abcdefgh", 3, cuts=[2, 4, 6]))
    message = receiver.messages[0]
    assert message.payload == b"abcdefgh"
    assert (message.first_tsn, message.last_tsn) == (2**32 - 2, 1)


@pytest.mark.parametrize("order", list(permutations(range(4))))
@pytest.mark.parametrize("unordered", [False, True])
def test_fragments_are_joined_in_whatever_order_they_come(
    order: tuple[int, ...], unordered: bool
) -> None:
    sender, receiver = Sender(), new_receiver()
    chunks = sender.message(b"abcdefgh", unordered=unordered, cuts=[2, 4, 6])
    arrive(receiver, *[chunks[i] for i in order])
    assert take(receiver) == [b"abcdefgh"]
    assert receiver.a_rwnd == 8 * 1024 * 1024


def test_messages_on_many_streams_each_in_fragments() -> None:
    sender, receiver = Sender(), new_receiver()
    chunks = [c for s in range(50) for c in sender.message(b"%04d" % s, s, cuts=[1, 2, 3])]
    arrive(receiver, *reversed(chunks))
    assert take(receiver) == [b"%04d" % s for s in reversed(range(50))]


def test_the_ppid_is_that_of_the_first_fragment() -> None:
    receiver = new_receiver()
    first, last = fragment(TSN, "B"), fragment(TSN + 1, "E")
    last.ppid = 99
    arrive(receiver, last, first)
    assert receiver.messages[0].ppid == first.ppid


# -- order ----------------------------------------------------------------------------------------


def test_a_stream_is_delivered_by_ssn_and_does_not_block_others() -> None:
    # RFC 9260 §6.6; TSN 1000 is lost at first
    receiver = new_receiver()
    arrive(
        receiver,
        data(TSN + 1, 1, b"1b", 1),
        data(TSN + 2, 2, b"1c", 1),
        data(TSN + 3, 0, b"2a", 2),
    )
    assert take(receiver) == [b"2a"]
    arrive(receiver, data(TSN, 0, b"1a", 1))
    assert take(receiver) == [b"1a", b"1b", b"1c"]


def test_unordered_messages_bypass_the_order() -> None:
    # RFC 9260 §6.6
    receiver = new_receiver()
    arrive(receiver, data(TSN + 1, 1, b"second"), data(TSN + 2, 0, b"u", unordered=True))
    assert take(receiver) == [b"u"]


def test_ssn_and_tsn_wrap() -> None:
    # RFC 9260 §6.5: after SSN 65535 comes 0
    start = 2**32 - 40_000
    receiver = new_receiver(tsn=start, a_rwnd=2**30)
    for i in range(80_000):
        receiver.receive(data(start + i, i, b"x"))
    assert len(receiver.messages) == 80_000
    assert receiver.cumulative_tsn_ack == start + 79_999
    assert receiver.messages[-1].sequence_number == 79_999 & 0xFFFF


def test_reordering_across_the_wrap_of_the_ssn() -> None:
    receiver = new_receiver(a_rwnd=2**30)
    for ssn in range(65534):
        receiver.receive(data(TSN + ssn, ssn))
    take(receiver)
    for ssn in (65537, 65536, 65535, 65534):
        arrive(receiver, data(TSN + ssn, ssn, b"%d" % ssn))
    assert take(receiver) == [b"65534", b"65535", b"65536", b"65537"]


def test_as_many_messages_may_wait_as_a_peer_may_have_under_way() -> None:
    # RFC 9260 §6.1: up to 2**16 - 1 ordered messages of a stream in the send window
    receiver = new_receiver(a_rwnd=2**30)
    for ssn in range(1, 65535):
        receiver.receive(data(TSN + ssn, ssn, b"%d" % ssn))
    assert take(receiver) == []
    receiver.receive(data(TSN, 0, b"0"))
    assert take(receiver) == [b"%d" % ssn for ssn in range(65535)]


def test_a_second_message_with_the_same_ssn_is_not_delivered() -> None:
    receiver = new_receiver()
    arrive(receiver, data(TSN + 1, 1, b"b"), data(TSN + 2, 1, b"forged"), data(TSN, 0, b"a"))
    assert take(receiver) == [b"a", b"b"]
    assert receiver.a_rwnd == 8 * 1024 * 1024  # and it weighs nothing any more


# -- violations: the association ends, nothing raises ---------------------------------------------


def violation(receiver: DataReceiver, *chunks: Data) -> str:
    """All chunks but the last are fine; the last is not."""
    for chunk in chunks[:-1]:
        assert receiver.receive(chunk) is None
    cause: ErrorCause | None = receiver.receive(chunks[-1])
    assert isinstance(cause, ProtocolViolation)
    return cause.information.decode()


def test_data_without_user_data_is_answered_with_its_tsn() -> None:
    # RFC 9260 §6.2 and §3.3.10.9
    assert new_receiver().receive(data(TSN, 0, b"")) == NoUserData(TSN)


@pytest.mark.parametrize("order", list(permutations(range(2))))
@pytest.mark.parametrize(
    "pair",
    [
        (fragment(TSN, "B"), fragment(TSN + 1, "B")),
        (fragment(TSN, "B"), data(TSN + 1)),
        (fragment(TSN, "E"), fragment(TSN + 1, "E")),
        (fragment(TSN, "E"), fragment(TSN + 1, "")),
        (data(TSN), fragment(TSN + 1, "")),
        (data(TSN), fragment(TSN + 1, "E")),
        (fragment(TSN, ""), fragment(TSN + 1, "B")),
        (fragment(TSN, ""), data(TSN + 1)),
        (fragment(TSN, ""), data(TSN + 1, unordered=True)),
    ],
)
def test_flags_that_contradict_the_neighbours(pair: tuple[Data, Data], order: list[int]) -> None:
    # RFC 9260 §3.3.1 table 4.  TSN - 1 is missing, so that nothing is wrong but these two.
    receiver = new_receiver(tsn=TSN - 1)
    violation(receiver, *[pair[i] for i in order])


@pytest.mark.parametrize("order", list(permutations(range(2))))
@pytest.mark.parametrize(
    "other",
    [
        fragment(TSN + 1, "E", ssn=1),
        fragment(TSN + 1, "EU"),
        fragment(TSN + 1, "E", stream_id=1),
    ],
)
def test_fragments_of_different_messages(other: Data, order: list[int]) -> None:
    # RFC 9260 §6.9: all fragments have the same stream, SSN and U flag
    pair = fragment(TSN, "B"), other
    assert "differ" in violation(new_receiver(), *[pair[i] for i in order])


def test_a_fragment_that_fits_the_left_neighbour_but_not_the_right_one() -> None:
    right = fragment(TSN + 2, "E", ssn=4)
    violation(new_receiver(), fragment(TSN, "B"), right, fragment(TSN + 1, ""))


@pytest.mark.parametrize("flags", ["", "E"])
def test_the_very_first_chunk_must_begin_a_message(flags: str) -> None:
    violation(new_receiver(), fragment(TSN, flags))


def test_an_end_before_the_beginning_that_never_comes() -> None:
    # E arrives first; what should be its beginning turns out to be a message of its own
    violation(new_receiver(), fragment(TSN + 1, "E"), data(TSN))


@pytest.mark.parametrize("cuts", [[], [100], [100, 200, 300]])
@pytest.mark.parametrize("backwards", [False, True])
def test_a_message_longer_than_we_accept(cuts: list[int], backwards: bool) -> None:
    receiver = new_receiver(max_message_size=500)
    chunks = Sender().message(bytes(501), cuts=cuts)
    order = slice(None, None, -1 if backwards else 1)
    assert "longer" in violation(receiver, *chunks[order])


def test_a_message_as_long_as_we_accept() -> None:
    receiver = new_receiver(max_message_size=500)
    arrive(receiver, *Sender().message(bytes(500), cuts=[100, 200]))
    assert take(receiver) == [bytes(500)]


def test_a_message_is_given_up_before_it_is_whole_when_it_is_too_long() -> None:
    receiver = new_receiver(max_message_size=1000)
    receiver.receive(fragment(TSN, "B", payload=bytes(600)))
    assert receiver.receive(fragment(TSN + 1, "", payload=bytes(600))) is not None


# -- streams --------------------------------------------------------------------------------------


def test_an_invalid_stream_is_acknowledged_and_reported_and_its_data_dropped() -> None:
    # RFC 9260 §6.5
    receiver = new_receiver(inbound_streams=10)
    assert packet(receiver, data(TSN, 0, b"x", 10), data(TSN + 1, 0, b"y", 9)) is None
    assert receiver.cumulative_tsn_ack == TSN + 1
    assert [str(cause) for cause in receiver.take_errors()] == ["invalid stream identifier 10"]
    assert receiver.take_errors() == []
    assert take(receiver) == [b"y"]


def test_a_fragmented_message_on_an_invalid_stream_does_not_disturb() -> None:
    sender, receiver = Sender(), new_receiver(inbound_streams=10)
    bad = sender.message(b"abcd", 10, cuts=[1, 2, 3])
    arrive(receiver, *bad, *sender.message(b"good", 9, cuts=[2]))
    assert take(receiver) == [b"good"]


def test_reports_of_invalid_streams_are_bounded() -> None:
    receiver = new_receiver(inbound_streams=1)
    for i in range(1000):
        receiver.receive(data(TSN + i, 0, b"x", 1 + i // 2))
    assert len(receiver.take_errors()) < 50
