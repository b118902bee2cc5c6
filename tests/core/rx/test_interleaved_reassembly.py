"""Reassembly of I-DATA (RFC 8260): fragments by MID and FSN, whatever their TSNs."""

from __future__ import annotations

from itertools import permutations

import pytest

from tests.support.incoming_data import TSN, Sender, arrive, new_receiver, take
from trio_sctp._core.rx.data_receiver import DataReceiver
from trio_sctp._wire.chunks import IData, IForwardTsn
from trio_sctp._wire.error_causes import NoUserData, ProtocolViolation

FULL_WINDOW = 8 * 1024 * 1024
PPID = 53


def receiver_of(tsn: int = TSN, **config: int) -> DataReceiver:
    return new_receiver(tsn, interleaving=True, **config)


def i_data(tsn: int, mid: int, fsn: int, flags: str, payload: bytes = b"x") -> IData:
    return IData(
        tsn & 0xFFFFFFFF,
        0,
        mid & 0xFFFFFFFF,
        fsn & 0xFFFFFFFF,
        PPID if "B" in flags else 0,
        payload,
        "U" in flags,
        "B" in flags,
        "E" in flags,
    )


def test_messages_of_different_streams_interleave() -> None:
    # RFC 8260 §2.2.3
    sender, receiver = Sender(interleaving=True), receiver_of()
    one = sender.message(b"abcdef", 1, cuts=range(1, 6))
    two = sender.message(b"ABCDEF", 2, cuts=range(1, 6))
    for i, chunk in enumerate(c for pair in zip(one, two, strict=True) for c in pair):
        chunk.tsn = TSN + i
        arrive(receiver, chunk)
    assert take(receiver) == [b"abcdef", b"ABCDEF"]
    assert receiver.a_rwnd == FULL_WINDOW


@pytest.mark.parametrize("order", list(permutations(range(4))))
@pytest.mark.parametrize("unordered", [False, True])
def test_fragments_in_any_order(order: list[int], unordered: bool) -> None:
    sender, receiver = Sender(interleaving=True), receiver_of()
    chunks = sender.message(b"abcdefgh", unordered=unordered, cuts=[2, 4, 6])
    arrive(receiver, *[chunks[i] for i in order])
    (message,) = receiver.messages
    assert (message.payload, message.ppid, message.unordered) == (b"abcdefgh", PPID, unordered)
    assert (message.first_tsn, message.last_tsn) == (TSN, TSN + 3)
    take(receiver)
    assert receiver.a_rwnd == FULL_WINDOW


def test_ordered_messages_by_mid_and_unordered_ones_at_once() -> None:
    receiver = receiver_of()
    arrive(
        receiver,
        i_data(TSN, 1, 0, "BE", b"1"),
        i_data(TSN + 1, 7, 0, "BEU", b"u7"),
        i_data(TSN + 2, 0, 0, "BE", b"0"),
    )
    assert [(m.payload, m.sequence_number) for m in receiver.messages] == [
        (b"u7", 7),
        (b"0", 0),
        (b"1", 1),
    ]


def test_the_same_mid_ordered_and_unordered_are_two_messages() -> None:
    # RFC 8260 §2.1: the counters are independent
    receiver = receiver_of()
    arrive(
        receiver,
        i_data(TSN, 0, 0, "B", b"o1"),
        i_data(TSN + 1, 0, 0, "BU", b"u1"),
        i_data(TSN + 2, 0, 1, "EU", b"u2"),
        i_data(TSN + 3, 0, 1, "E", b"o2"),
    )
    assert take(receiver) == [b"u1u2", b"o1o2"]


def test_after_a_reset_mid_0_is_next() -> None:
    # RFC 8260 §2.3.2
    receiver = receiver_of()
    arrive(receiver, i_data(TSN, 0, 0, "BE", b"a"), i_data(TSN + 1, 1, 0, "BE", b"b"))
    receiver.reset_streams([0])
    arrive(receiver, i_data(TSN + 2, 0, 0, "BE", b"c"))
    assert take(receiver) == [b"a", b"b", b"c"]


def test_no_user_data() -> None:
    assert receiver_of().receive(i_data(TSN, 0, 0, "BE", b"")) == NoUserData(TSN)


@pytest.mark.parametrize(
    "chunks",
    [
        [i_data(TSN, 0, 0, "B"), i_data(TSN + 1, 0, 0, "B")],
        [i_data(TSN, 0, 1, ""), i_data(TSN + 1, 0, 1, "")],
        [i_data(TSN, 0, 0, "B"), i_data(TSN + 1, 0, 1, ""), i_data(TSN + 2, 0, 1, "")],
        [i_data(TSN, 0, 3, "E"), i_data(TSN + 1, 0, 4, "")],
        [i_data(TSN, 0, 3, "E"), i_data(TSN + 1, 0, 2, "E")],
        [i_data(TSN, 0, 3, ""), i_data(TSN + 1, 0, 2, "E")],
        [i_data(TSN, 0, 0, "")],
        [i_data(TSN, 0, 0, "E")],
        [i_data(TSN, 0, 5, ""), i_data(TSN + 1, 0, 0, "")],
        [i_data(TSN, 0, 5, "", bytes(600)), i_data(TSN + 1, 0, 9, "", bytes(600))],
        [i_data(TSN, 0, 0, "BE", bytes(1001))],
    ],
)
def test_fragments_that_contradict_each_other(chunks: list[IData]) -> None:
    receiver = receiver_of(max_message_size=1000)
    for chunk in chunks[:-1]:
        assert receiver.receive(chunk) is None
    assert isinstance(receiver.receive(chunks[-1]), ProtocolViolation)


@pytest.mark.parametrize("mid", [0, 1, 2**31 - 1, 2**31, 2**32 - 1])
@pytest.mark.parametrize("fsn", [1, 2**31 - 1, 2**31, 2**31 + 1, 2**32 - 1])
@pytest.mark.parametrize("flags", ["", "E", "U", "EU"])
def test_a_crafted_mid_or_fsn_is_harmless(mid: int, fsn: int, flags: str) -> None:
    receiver = receiver_of()
    cause = receiver.receive(i_data(TSN, mid, fsn, flags))
    assert cause is None or isinstance(cause, ProtocolViolation)
    if cause is None:
        assert receiver.receive(i_data(TSN + 1, mid, fsn, flags)) is not None  # it came twice


# -- I-FORWARD-TSN (RFC 8260 §2.3.1) --------------------------------------------------------------


def forward(receiver: DataReceiver, tsn: int, *streams: tuple[int, bool, int]) -> None:
    assert receiver.forward_tsn(IForwardTsn(tsn, streams)) is None


def test_ordered_messages_are_skipped() -> None:
    receiver = receiver_of()
    arrive(receiver, i_data(TSN + 1, 0, 1, ""), i_data(TSN + 3, 2, 0, "BE", b"2"))
    arrive(receiver, i_data(TSN + 4, 3, 0, "B"))
    forward(receiver, TSN + 2, (0, False, 1))
    assert take(receiver) == [b"2"]
    arrive(receiver, i_data(TSN + 5, 3, 1, "E"))
    assert take(receiver) == [b"xx"]
    assert receiver.a_rwnd == FULL_WINDOW


def test_unordered_partial_messages_are_dropped_up_to_the_mid() -> None:
    receiver = receiver_of()
    for mid in range(20):
        arrive(receiver, i_data(TSN + 2 * mid + 1, 2**32 - 10 + mid, 1, "U"))
    forward(receiver, TSN + 29, (0, True, 4), (0, True, 2**32 - 5), (3, True, 9), (4, False, 9))
    held = FULL_WINDOW - receiver.a_rwnd
    assert held > 0
    for mid in range(15, 20):
        arrive(receiver, i_data(TSN + 2 * mid, 2**32 - 10 + mid, 0, "BU"))
        arrive(receiver, i_data(TSN + 50 + mid, 2**32 - 10 + mid, 2, "EU"))
    assert take(receiver) == [b"xxx"] * 5
    assert receiver.a_rwnd == FULL_WINDOW


def test_a_stream_with_nothing_partial_any_more_is_forgotten() -> None:
    receiver = receiver_of()
    arrive(receiver, i_data(TSN + 1, 0, 1, "U"), i_data(TSN + 2, 1, 1, "U"))
    forward(receiver, TSN + 2, (0, True, 1))
    assert receiver.a_rwnd == FULL_WINDOW
    assert not receiver._queue._partial  # type: ignore[attr-defined]
