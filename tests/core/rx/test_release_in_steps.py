"""What one packet sets free goes in steps: nothing is lost, reordered or overtaken meanwhile."""

from __future__ import annotations

from collections import defaultdict
from random import Random

import pytest
from hypothesis import given, settings, strategies as st

from tests.support.association_pair import PLAIN, End, Pair, established_pair
from tests.support.incoming_data import (
    MASK32,
    NO_ROOM,
    TSN,
    arrive,
    data,
    fragment,
    new_receiver,
    packet,
)
from tests.support.rx_invariants import check_receiver
from trio_sctp._core.events import (
    AssociationClosed,
    AssociationRestarted,
    AssociationUp,
    Event,
    IncomingStreamsReset,
    Message,
    PeerShutdown,
)
from trio_sctp._core.rx.data_receiver import DataReceiver
from trio_sctp._core.rx.ordering import RELEASE_STEP
from trio_sctp._core.rx.reassembly_queue import MAX_RUNS
from trio_sctp._wire import chunks as c, parameters as p

COUNT = 5 * RELEASE_STEP


def payload(number: int) -> bytes:
    return b"%d" % number


def all_steps(receiver: DataReceiver) -> list[bytes]:
    return [message for step in steps(receiver) for message in step]


def steps(receiver: DataReceiver) -> list[list[bytes]]:
    """What the program gets, step by step, the first with the packet that came."""
    taken = []
    while receiver.messages or receiver.is_releasing:
        taken.append([message.payload for message in receiver.messages])
        for message in receiver.messages:
            receiver.message_consumed(len(message.payload))
        receiver.messages.clear()
        receiver.handle_release()
    return taken


def numbered(kind: type[c.Data | c.IData], tsn: int, number: int) -> c.Data | c.IData:
    if kind is c.Data:
        return data(tsn, number, payload(number))
    return c.IData(tsn & MASK32, 0, number, 0, 51, payload(number), beginning=True, ending=True)


@pytest.mark.parametrize("kind", [c.Data, c.IData])
def test_messages_behind_a_gap_go_in_steps(kind: type[c.Data | c.IData]) -> None:
    receiver = new_receiver(interleaving=kind is c.IData)
    arrive(receiver, *[numbered(kind, TSN + n, n) for n in range(1, COUNT)])
    assert receiver.release_timer.deadline == float("inf")
    arrive(receiver, numbered(kind, TSN, 0), now=7.0)
    assert receiver.release_timer.deadline == 7.0
    taken = steps(receiver)
    assert max(map(len, taken)) <= RELEASE_STEP + 1
    assert [message for step in taken for message in step] == [payload(n) for n in range(COUNT)]
    assert receiver.charge == 0


def test_what_comes_meanwhile_waits_its_turn_and_pushes_the_rest_out() -> None:
    receiver = new_receiver()
    arrive(receiver, *[data(TSN + n, n, payload(n)) for n in range(1, COUNT)])
    arrive(receiver, data(TSN, 0, payload(0)))
    for n in range(COUNT, COUNT + 3):
        arrive(receiver, data(TSN + n, n, payload(n)))
    arrive(receiver, data(TSN + COUNT + 3, 0, b"other", 1))
    received = [message.payload for message in receiver.messages]
    others = received.count(b"other")
    assert others == 1
    received.remove(b"other")
    assert len(received) > 4 * RELEASE_STEP, "each packet takes a step of it along"
    receiver.messages.clear()
    received += all_steps(receiver)
    assert received == [payload(n) for n in range(COUNT + 3)]


def test_numbers_that_are_skipped_while_others_are_due() -> None:
    receiver = new_receiver()
    arrive(receiver, *[data(TSN + n, n, payload(n)) for n in range(1, COUNT)])
    arrive(receiver, data(TSN + COUNT, COUNT + 9, b"last"))
    assert receiver.forward_tsn(c.ForwardTsn(TSN & MASK32, [(0, 0)])) is None
    receiver.end_of_packet()
    assert receiver.is_releasing
    # it names a number whose turn has come already, and one that is yet to come
    assert receiver.forward_tsn(c.ForwardTsn((TSN + COUNT + 1) & MASK32, [(0, 700)])) is None
    assert receiver.forward_tsn(c.ForwardTsn((TSN + COUNT + 2) & MASK32, [(0, COUNT + 8)])) is None
    receiver.end_of_packet()
    assert all_steps(receiver) == [payload(n) for n in range(1, COUNT)] + [b"last"]
    arrive(receiver, data(TSN + COUNT + 3, COUNT + 10, b"next"))
    assert all_steps(receiver) == [b"next"]


def test_messages_that_no_turn_can_come_to_are_thrown_away_in_steps() -> None:
    receiver = new_receiver()
    arrive(receiver, data(TSN, 0, b"first"))
    arrive(receiver, *[data(TSN + n, n + 1) for n in range(1, COUNT)])
    assert all_steps(receiver) == [b"first"]
    held = receiver.charge
    receiver.reset_streams([0])
    arrive(receiver, data(TSN + COUNT, 0, b"anew"))
    assert held // 2 < receiver.charge < held - RELEASE_STEP * 256
    assert all_steps(receiver) == [b"anew"]
    assert receiver.charge == 0


def test_what_was_held_back_returns_in_steps_before_numbers_are_skipped() -> None:
    receiver = new_receiver()
    receiver.defer_reset([0], TSN)
    arrive(receiver, *[data(TSN + n, n + 1, payload(n)) for n in range(1, COUNT)])
    receiver.reset_streams([0])
    receiver.end_of_packet()
    assert receiver.is_releasing
    # number 0 and 1 are given up while most of what follows has no place yet
    assert receiver.forward_tsn(c.ForwardTsn((TSN + COUNT) & MASK32, [(0, 1)])) is None
    receiver.end_of_packet()
    assert all_steps(receiver) == [payload(n) for n in range(1, COUNT)]
    assert not receiver.is_releasing


@given(st.integers(0, 2**32))
@settings(max_examples=200, deadline=None)
def test_any_steps_lead_to_the_same(seed: int) -> None:
    """Chunks, skips and resets in any order, in steps as small as may be and all at once."""
    rng = Random(seed)
    small, whole = new_receiver(TSN), new_receiver(TSN)
    got: list[dict[int, list[bytes]]] = [defaultdict(list), defaultdict(list)]
    unread = [0, 0]
    numbers: dict[int, int] = defaultdict(int)
    waiting: list[c.Data] = []
    tsn = TSN
    for _ in range(40):
        for _ in range(rng.randrange(6)):
            stream_id = rng.randrange(3)
            waiting.append(data(tsn, numbers[stream_id], payload(tsn), stream_id))
            numbers[stream_id] += 1
            tsn += 1
        rng.shuffle(waiting)
        chunks, waiting = waiting[: len(waiting) // 2], waiting[len(waiting) // 2 :]
        skips = [(i, numbers[i] - 2 & 0xFFFF) for i in range(3) if rng.random() < 0.3]
        forward = c.ForwardTsn((min([w.tsn for w in waiting], default=tsn)) & MASK32, skips)
        forwards, resets = rng.random() < 0.1, rng.random() < 0.1 and not waiting
        for receiver in (small, whole):
            which = receiver is whole
            receiver._queue.credit = 10**6 if which else rng.randrange(4)
            assert packet(receiver, *chunks) is None
            if forwards:
                assert receiver.forward_tsn(forward) is None
                receiver.end_of_packet()
            if resets:
                receiver.release_all()
            for message in receiver.messages:
                got[which][message.stream_id].append(message.payload)
                unread[which] += 256 + len(message.payload)
            receiver.messages.clear()
            if resets:
                receiver.reset_streams(None)
            check_receiver(receiver, receiver._config, unread[which], 1200)
        if resets:
            numbers.clear()
    for receiver in (small, whole):
        receiver.release_all()
        for message in receiver.messages:
            got[receiver is whole][message.stream_id].append(message.payload)
    assert got[0] == got[1]


# -- fragments


def test_fragments_with_nothing_around_them_are_not_kept_without_limit() -> None:
    receiver = new_receiver()
    messages = 3 * MAX_RUNS
    middles = [fragment(TSN + 3 * n + 1, "", n, b"b") for n in range(messages)]
    arrive(receiver, *middles)
    assert receiver.counters.dropped == {NO_ROOM: messages - MAX_RUNS}
    # The peer sends again what was not acknowledged, from the highest on, and then in order.
    chunks = [
        fragment(TSN + 3 * n + i, flags, n, payload)
        for n in range(messages)
        for i, flags, payload in ((0, "B", b"a"), (1, "", b"b"), (2, "E", b"c"))
    ]
    arrive(receiver, *reversed(chunks))
    got = all_steps(receiver)
    for chunk in chunks:
        arrive(receiver, chunk)
    assert got + all_steps(receiver) == [b"abc"] * messages
    assert receiver.charge == 0


def test_partial_messages_are_given_up_in_steps() -> None:
    """Fragments of the MIDs that follow are none of theirs meanwhile; and MIDs wrap around."""
    first = 2**32 - COUNT // 2

    def part(number: int, mid: int, flags: str) -> c.IData:
        begins, ends = "B" in flags, "E" in flags
        tsn, mid, fsn = (TSN + number) & MASK32, (first + mid) & MASK32, 0 if begins else 1
        return c.IData(tsn, 3, mid, fsn, 51, b"x", beginning=begins, ending=ends)

    receiver = new_receiver(interleaving=True)
    for number, skipped in ((-1, 2**31 - 1), (0, first - 1)):
        skip = c.IForwardTsn((TSN + 1 + number) & MASK32, [(3, False, skipped)])
        assert receiver.forward_tsn(skip) is None
    arrive(receiver, *[part(n + 1, n, "B") for n in range(1, COUNT)])
    forward = c.IForwardTsn((TSN + COUNT + 1) & MASK32, [(3, False, (first + COUNT - 2) & MASK32)])
    assert receiver.forward_tsn(forward) is None
    assert receiver.is_releasing
    check_receiver(receiver, receiver._config, 0, 1200)
    held = receiver.charge
    # late ones of what was given up, and the rest of what was not
    arrive(receiver, part(COUNT + 2, COUNT - 2, "E"), part(COUNT + 3, COUNT - 1, "E"))
    check_receiver(receiver, receiver._config, 0, 1200)
    assert 0 < receiver.charge < held
    assert all_steps(receiver) == [b"xx"]
    assert receiver.charge == 0
    arrive(receiver, part(COUNT + 4, COUNT, "BE"))
    assert all_steps(receiver) == [b"x"]


# -- what is told after them


def pair_with_messages_due(**options: bool) -> tuple[Pair, int]:
    """A has been given more messages than go at once; the next TSN."""
    pair = established_pair(**options)
    tcb = pair.a.association.tcb
    assert tcb is not None
    tsn = tcb.data_receiver.cumulative_tsn_ack + 1
    for first in range(1, COUNT, 20):
        chunks = [data(tsn + n, n, payload(n)) for n in range(first, first + 20)]
        pair.a.receive(*chunks, now=pair.now)
    return pair, tsn


def check_messages_and(pair: Pair, *kinds: type[Event]) -> None:
    """All messages are told before what follows them."""
    messages, others = pair.a.events[: COUNT + 1], pair.a.events[COUNT + 1 :]
    assert [m.payload for m in messages if isinstance(m, Message)] == [
        payload(n) for n in range(COUNT + 1)
    ]
    assert tuple(map(type, others)) == kinds


def test_the_end_waits_for_no_step() -> None:
    for chunk, kind in (
        (c.Abort(()), AssociationClosed),
        (c.Shutdown(0), PeerShutdown),
    ):
        pair, tsn = pair_with_messages_due()
        tcb = pair.a.association.tcb
        assert tcb is not None
        if isinstance(chunk, c.Shutdown):
            chunk = c.Shutdown(tcb.retransmission_queue.cumulative_tsn_ack & MASK32)
        pair.a.receive(data(tsn, 0, payload(0)), chunk, now=pair.now)
        check_messages_and(pair, kind)


def test_a_restart_waits_for_no_step() -> None:
    pair, tsn = pair_with_messages_due()
    pair.a.receive(data(tsn, 0, payload(0)), now=pair.now)
    pair.transit.clear()
    pair.z = End("Z", PLAIN, Random(99))
    pair.z.association.connect(now=pair.now)
    pair.run()
    check_messages_and(pair, AssociationRestarted, AssociationUp)


def test_a_reset_waits_until_nothing_is_due() -> None:
    pair, tsn = pair_with_messages_due()
    association, tcb = pair.a.association, pair.a.association.tcb
    assert tcb is not None
    sn = tcb.stream_reset.answers.expected_sn & MASK32
    last = tsn + COUNT
    reset = p.OutgoingSsnResetRequest(sn, 0, last & MASK32, (0,))
    pair.a.receive(
        data(tsn, 0, payload(0)), c.ReConfig((reset,)), data(last + 1, 0, b"anew"), now=pair.now
    )
    assert IncomingStreamsReset not in [type(event) for event in pair.a.events]
    while association.next_timeout() <= pair.now:
        pair.a.expire(pair.now)
    check_messages_and(pair, IncomingStreamsReset, Message)
