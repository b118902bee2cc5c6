"""A message is told as it was sent, and charged as what it weighs, in whatever order its chunks come."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.incoming_data import PPID, TSN, Sender, arrive, new_receiver
from tests.support.rx_invariants import check_receiver
from trio_sctp._core.config import Config
from trio_sctp._core.events import Message
from trio_sctp._core.rx.data_receiver import DataReceiver

MESSAGES: list[tuple[int, bytes, bool, tuple[int, ...]]] = [
    (1, b"first of one", False, ()),
    (2, b"first of two, in three parts", False, (5, 11)),
    (1, b"unordered", True, ()),
    (1, b"second of one", False, ()),
    (2, b"second of two", False, ()),
    (3, b"unordered, in two parts", True, (9,)),
    (1, b"third of one, in two parts", False, (20,)),
    (2, b"third of two", False, ()),
]

ORDERS: dict[str, Callable[[list[Any]], list[Any]]] = {
    "in order": list,
    "reversed": lambda chunks: chunks[::-1],
    "the first is last": lambda chunks: [*chunks[1:], chunks[0]],
    "every second one late": lambda chunks: [*chunks[::2], *chunks[1::2]],
    "every second one early": lambda chunks: [*chunks[1::2], *chunks[::2]],
    "pairs swapped": lambda chunks: [chunks[i ^ 1] for i in range(len(chunks))],
}


def sent(interleaving: bool, tsn: int) -> tuple[list[Any], list[Message]]:
    """The chunks, and what is to be told of them."""
    sender = Sender(tsn, interleaving=interleaving)
    chunks: list[Any] = []
    expected: list[Message] = []
    for stream_id, payload, unordered, cuts in MESSAGES:
        number = sender.numbers[stream_id, unordered]
        parts = sender.message(payload, stream_id, unordered=unordered, cuts=cuts)
        expected.append(
            Message(stream_id, PPID, payload, unordered, number, parts[0].tsn, parts[-1].tsn)
        )
        chunks += parts
    assert len(chunks) % 2 == 0
    return chunks, expected


def receive(order: str, interleaving: bool, tsn: int) -> tuple[DataReceiver, list[Message]]:
    config = Config()
    receiver = new_receiver(tsn, interleaving=interleaving)
    chunks, expected = sent(interleaving, tsn)
    for chunk in ORDERS[order](chunks):
        arrive(receiver, chunk)
        check_receiver(receiver, config, 0, 100)
    return receiver, expected


@pytest.mark.parametrize("tsn", [TSN, 2**32 - 5])
@pytest.mark.parametrize("interleaving", [False, True], ids=["DATA", "I-DATA"])
@pytest.mark.parametrize("order", list(ORDERS))
def test_all_that_its_chunks_say(order: str, interleaving: bool, tsn: int) -> None:
    receiver, expected = receive(order, interleaving, tsn)
    while receiver.is_releasing:
        receiver.handle_release()
    told = list(receiver.messages)
    assert sorted(told) == sorted(expected)
    for stream_id in (1, 2):
        numbers = [m.sequence_number for m in told if m.stream_id == stream_id and not m.unordered]
        assert numbers == [0, 1, 2]


@pytest.mark.parametrize("interleaving", [False, True], ids=["DATA", "I-DATA"])
@pytest.mark.parametrize("order", list(ORDERS))
def test_once_it_was_consumed_nothing_is_charged(order: str, interleaving: bool) -> None:
    receiver, expected = receive(order, interleaving, TSN)
    while receiver.is_releasing:
        receiver.handle_release()
    receiver.messages.clear()
    for message in expected:
        receiver.message_consumed(len(message.payload))
    check_receiver(receiver, Config(), 0, 100)
    assert receiver.a_rwnd == Config().a_rwnd
