"""The send queue to the last detail: what is given up, taken back, told and kept."""

from __future__ import annotations

import pytest

from tests.support.tx_invariants import check_send_queue, state_is_kept_of
from tests.support.tx_sender import FULL, Sender
from trio_sctp._core.events import Outcome
from trio_sctp._core.send_options import SendOptions
from trio_sctp._core.tx.outgoing_message import OutgoingMessage
from trio_sctp._core.tx.policies import LAST_MILLISECOND, Policy
from trio_sctp._core.tx.resettable_streams import ResettableStreams
from trio_sctp._core.tx.scheduler import SCHEDULERS
from trio_sctp._core.tx.send_queue import SendQueue
from trio_sctp._wire.chunks import Data, IData

NAMES = sorted(SCHEDULERS)


def add(
    queue: SendQueue,
    stream_id: int = 1,
    payload: bytes = b"reliable",
    *,
    lifetime: float | None = None,
    discard_priority: int | None = None,
) -> OutgoingMessage:
    message = OutgoingMessage(stream_id, 51, payload)
    if lifetime is not None or discard_priority is not None:
        options = SendOptions(lifetime=lifetime, discard_priority=discard_priority)
        message.policy = Policy(options, None, 0.0)
    queue.add(message)
    if message.policy is not None:
        queue.policies.add(message)
    check_send_queue(queue)
    return message


def decoded(wire: bytes) -> Data | IData:
    kind = IData if wire[0] == IData.type else Data
    return kind.decode(wire[1], wire[4 : int.from_bytes(wire[2:4], "big")])


def taken(queue: SendQueue, *, room: int = 1000, most: int = 1000) -> list[tuple[int, bytes]]:
    """The streams and payloads of the next fragments."""
    found: list[tuple[int, bytes]] = []
    while len(found) < most and (message := queue.next_message()) is not None:
        size = min(room, len(message.payload) - message.offset)
        assert size > 0, "RFC 9260 §3.3.1: a DATA chunk has data"
        found.append((message.stream_id, queue.take(message, size)[1]))
        check_send_queue(queue)
        queue.start_packet()
    return found


# -- what is given up before it was begun


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("position", range(4))
def test_of_one_that_is_given_up_nothing_is_sent(name: str, position: int) -> None:
    queue = SendQueue(name)
    for number in range(4):
        add(queue, 1, b"%d" % number, lifetime=1.0 if number == position else None)
    add(queue, 2, b"other")
    assert queue.expire(2.0) == []
    check_send_queue(queue)
    payloads = [payload for stream_id, payload in taken(queue) if stream_id == 1]
    assert payloads == [b"%d" % number for number in range(4) if number != position]


@pytest.mark.parametrize("name", NAMES)
def test_nor_is_a_stream_that_pauses_woken_by_it(name: str) -> None:
    """RFC 6525 §5.1.2: nothing is begun on a stream that is being reset."""
    queue = SendQueue(name)
    for lifetime in (1.0, None, None):
        add(queue, 1, lifetime=lifetime)
    add(queue, 2)
    ResettableStreams(queue).pause(1)
    queue.expire(2.0)
    check_send_queue(queue)
    assert [stream_id for stream_id, _ in taken(queue)] == [2]


def test_a_lifetime_ends_whatever_was_decided_of_others() -> None:
    queue = SendQueue()
    add(queue, 1, lifetime=50.0)
    for number in range(100):
        add(queue, 2, lifetime=20.0 + number)
    queue.discard(2)
    add(queue, 3, lifetime=10.0)
    assert queue.policies.timer.deadline == 10.0 + LAST_MILLISECOND
    queue.expire(11.0)
    assert queue.policies.timer.deadline == 50.0 + LAST_MILLISECOND
    queue.expire(51.0)
    assert queue.message_count == 0
    assert not queue.policies.timer.running


def test_what_is_decided_is_not_kept_behind_what_is_not() -> None:
    queue = SendQueue()
    add(queue, 1, lifetime=10.0, discard_priority=1000)
    for number in range(500):
        add(queue, 2, lifetime=20.0, discard_priority=1)
        queue.discard(2)
        entries = queue.policies._lifetimes._entries
        assert len(entries) < 50, number


def test_no_more_make_room_than_are_needed() -> None:
    """RFC 7496 §3.2."""
    queue = SendQueue()
    for _ in range(3):
        add(queue, 1, bytes(10), discard_priority=1)
    assert queue.make_room(10, None, 0) == 10
    assert queue.message_count == 2
    assert queue.make_room(11, None, 0) == 20


# -- what nothing was sent of after all


@pytest.mark.parametrize("interleaving", [False, True])
def test_all_that_is_taken_back_goes_again_with_the_first_numbers(interleaving: bool) -> None:
    a = Sender(cwnd=10**6, max_burst=2**16)
    a.send_queue.use_interleaving(interleaving)
    a.send(10, stream_id=1, count=2)
    a.send(20, stream_id=2, unordered=True)
    a.send(2 * FULL + 5, stream_id=3)
    a.send(30, stream_id=2)
    while a.queue.next_tsn < 1004:
        assert a.queue.chunks_to_send(600, a.now)
    before = a.send_queue.unsent_bytes
    assert before < 10 + 10 + 20 + 2 * FULL + 5 + 30
    a.queue.take_back()
    check_send_queue(a.send_queue)
    assert a.send_queue.unsent_bytes == 10 + 10 + 20 + 2 * FULL + 5 + 30
    assert a.send_queue.message_count == 5
    assert a.send_queue.unacknowledged_messages == 0
    assert a.send_queue.is_between_messages
    by_stream: dict[int, list[tuple[int, int, bool]]] = {}
    while wires := a.queue.chunks_to_send(a.room, a.now):
        for chunk in map(decoded, wires):
            number = chunk.mid if isinstance(chunk, IData) else chunk.ssn
            story = number, len(chunk.payload), chunk.unordered
            by_stream.setdefault(chunk.stream_id, []).append(story)
    assert by_stream[1] == [(0, 10, False), (1, 10, False)]
    assert by_stream[2] == [(0, 20, True), (0, 30, False)]
    assert {number for number, _, _ in by_stream[3]} == {0}
    assert sum(size for _, size, _ in by_stream[3]) == 2 * FULL + 5
    a.sack(a.queue.next_tsn - 1 - a.before_first)
    assert a.queue.is_empty
    assert a.send_queue.unacknowledged_messages == 0
    for stream_id in (1, 2, 3):
        ResettableStreams(a.send_queue).reset_stream(stream_id)
        assert state_is_kept_of(a.send_queue, stream_id) is None, "all of it is acknowledged"


# -- what is told


def test_each_outcome_is_told_with_its_stream_and_counted() -> None:
    queue = SendQueue("rr", interleaving=True)
    for stream_id in (1, 2):
        for _ in range(2):
            message = OutgoingMessage(stream_id, 51, bytes(20))
            message.policy = Policy(SendOptions(lifetime=1.0), f"of {stream_id}", 0.0)
            queue.add(message)
            queue.policies.add(message)
    assert taken(queue, room=10, most=2) == [(1, bytes(10)), (2, bytes(10))]
    begun = queue.expire(2.0)
    for each in begun:
        queue.abandon(each, Outcome.ABANDONED_LIFETIME)
    assert (queue.policies.abandoned_sent, queue.policies.abandoned_unsent) == (2, 2)
    outcomes = [(told.context, told.stream_id, told.outcome) for told in queue.policies.outcomes]
    gone = Outcome.ABANDONED_LIFETIME
    assert sorted(outcomes) == [("of 1", 1, gone)] * 2 + [("of 2", 2, gone)] * 2


@pytest.mark.parametrize("first_to_end", ["TSN reset", "stream reset"])
def test_what_two_resets_stand_in_the_way_of_waits_for_both(first_to_end: str) -> None:
    """RFC 6525 §5.1.2 and §5.2.4."""
    queue = SendQueue()
    resets = ResettableStreams(queue)
    add(queue, 1)
    resets.pause_all()
    resets.suspend()
    ends = [resets.end_suspension, resets.resume_all]
    for end in ends if first_to_end == "TSN reset" else reversed(ends):
        assert queue.next_message() is None
        end()
    assert queue.next_message() is not None


def test_what_is_held_and_then_given_up_is_not_waited_for() -> None:
    """RFC 6525 §5.1.4: our reset of all numbers begins when all but the held was sent."""
    queue = SendQueue()
    resets = ResettableStreams(queue)

    def drained() -> bool:
        return resets.is_drained

    add(queue, 1, b"before")
    resets.hold()
    for stream_id, lifetime in ((1, 1.0), (1, 1.0), (2, 9.0), (2, None), (3, None)):
        add(queue, stream_id, b"held", lifetime=lifetime)
    assert not drained()
    assert taken(queue) == [(1, b"before")]
    assert drained()
    queue.expire(2.0)
    check_send_queue(queue)
    assert drained()
    assert len(queue.discard(2)) == 2
    check_send_queue(queue)
    assert drained()
    resets.end_hold()
    assert not drained()
    assert taken(queue) == [(3, b"held")]


def test_after_it_was_cleared_limits_hold_for_what_is_sent_then() -> None:
    queue = SendQueue()
    add(queue, 1, lifetime=5.0, discard_priority=1)
    queue.clear()
    assert not queue.policies.timer.running
    add(queue, 1, lifetime=1.0)
    add(queue, 1, bytes(10), discard_priority=1)
    queue.expire(2.0)
    assert queue.message_count == 1
    assert queue.make_room(1, None, 0) == 10


def test_a_stream_that_nobody_watches_is_not_told_of() -> None:
    queue = SendQueue()
    for stream_id in (1, 2, 2):
        add(queue, stream_id, lifetime=1.0)
    add(queue, 3, lifetime=1.0)
    queue.watch_delivery(2)
    add(queue, 2)
    queue.expire(2.0)
    assert queue.delivered == [], "of 2 something is left"
    queue.discard(2)
    assert queue.delivered == [2]


def test_a_stream_of_which_nothing_is_known_has_delivered_all() -> None:
    queue = SendQueue()
    assert (queue.undelivered_of(7), queue.unsent_of(7)) == (0, 0)
    assert queue.is_untouched(7)
    queue.watch_delivery(7)
    assert queue.delivered == [7]


def test_a_stream_is_untouched_until_a_message_was_begun() -> None:
    """RFC 6525 §5.1.2: only of another one there is anything to reset."""
    queue = SendQueue()
    add(queue, 1)
    add(queue, 2)
    assert queue.is_untouched(1)
    assert queue.is_untouched(2)
    assert taken(queue, room=3, most=1) == [(1, b"rel")]
    assert not queue.is_untouched(1)
    assert queue.is_untouched(2)


# -- what is kept


@pytest.mark.parametrize("interleaving", [False, True])
def test_a_queue_that_is_cleared_keeps_how_its_streams_are_to_be_sent(interleaving: bool) -> None:
    queue = SendQueue("prio", interleaving=interleaving)
    queue.streams.set_priority(1, 10)
    queue.streams.set_priority(2, 1000)
    add(queue, 1)
    header_size = queue.header_size
    queue.clear()
    assert (queue.interleaving, queue.header_size) == (interleaving, header_size)
    for stream_id in (1, 1, 3, 2):
        add(queue, stream_id, bytes(10))
    assert [stream_id for stream_id, _ in taken(queue)] == [2, 3, 1, 1]
    assert [queue.streams.priority_of(stream_id) for stream_id in (1, 2, 3)] == [10, 1000, 256]


@pytest.mark.parametrize("priority", [1, 256, 65535])
def test_a_priority_holds_until_there_is_another(priority: int) -> None:
    queue = SendQueue("prio")
    assert queue.streams.priority_of(1) == 256
    queue.streams.set_priority(1, 1000)
    queue.streams.set_priority(1, priority)
    assert queue.streams.priority_of(1) == priority
    queue.streams.set_priority(2, 256)
    assert state_is_kept_of(queue, 2) is None


# -- how many are on their way (RFC 9260 §6.1, RFC 8260 §2.1)


@pytest.mark.parametrize("interleaving, most", [(False, 2**16 - 1), (True, 2**31 - 1)])
def test_of_a_stream_no_more_ordered_messages_than_have_numbers(
    interleaving: bool, most: int
) -> None:
    queue = SendQueue(interleaving=interleaving)
    queue.streams[1].ordered_in_window = most - 1
    add(queue, 1, b"last")
    add(queue, 1, b"too many")
    assert queue.next_message() is not None
    message = queue.next_message()
    assert message is not None
    queue.take(message, 2)
    assert queue.next_message() is message, "it was begun"
    queue.take(message, 2)
    assert queue.next_message() is None
    add(queue, 2, b"of another stream")
    assert [payload for _, payload in taken(queue)] == [b"of another stream"]
    queue.acknowledged([message])
    assert [payload for _, payload in taken(queue)] == [b"too many"]


def test_unordered_messages_need_none() -> None:
    queue = SendQueue()
    queue.streams[1].ordered_in_window = 2**16 - 1
    queue.add(OutgoingMessage(1, 51, b"unordered", unordered=True))
    assert [payload for _, payload in taken(queue)] == [b"unordered"]


# -- whose turn it is


def test_another_scheduler_holds_for_what_waits_already() -> None:
    queue = SendQueue("fcfs")
    for stream_id in (1, 1, 1, 2, 2):
        add(queue, stream_id)
    queue.use_scheduler("rr")
    assert [stream_id for stream_id, _ in taken(queue)] == [1, 2, 1, 2, 1]


@pytest.mark.parametrize("name", NAMES)
def test_no_stream_is_lost_however_often_priorities_change(name: str) -> None:
    queue = SendQueue(name, interleaving=True)
    for stream_id in (1, 2, 3):
        for _ in range(3):
            add(queue, stream_id, bytes(10))
    for turn in range(60):
        queue.streams.set_priority(1, 1 + turn)
    assert sorted(stream_id for stream_id, _ in taken(queue)) == [1, 1, 1, 2, 2, 2, 3, 3, 3]


@pytest.mark.parametrize("name", ["rr", "prio", "fc", "wfq"])
def test_those_that_are_left_take_turns_when_one_pauses(name: str) -> None:
    queue = SendQueue(name, interleaving=True)
    for stream_id in (1, 2, 3):
        for _ in range(5):
            add(queue, stream_id, bytes(100))
    ResettableStreams(queue).pause(3)
    assert sorted(stream_id for stream_id, _ in taken(queue, room=100, most=6)) == [1] * 3 + [2] * 3


@pytest.mark.parametrize("name", ["fc", "wfq"])
@pytest.mark.parametrize("interleaving", [False, True])
def test_messages_that_are_sent_whole_count_as_much_as_parts(name: str, interleaving: bool) -> None:
    """A stream that sends one message at a time has no more than its share."""
    queue = SendQueue(name, interleaving=interleaving)
    for _ in range(100):
        add(queue, 1, bytes(100))
    sent = {1: 0, 2: 0}
    for _ in range(60):
        if not queue.unsent_of(2):
            add(queue, 2, bytes(100))
        ((stream_id, payload),) = taken(queue, most=1)
        sent[stream_id] += len(payload)
    assert abs(sent[1] - sent[2]) <= 200
