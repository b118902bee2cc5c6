"""The send queue: what waits, whose turn it is (RFC 8260 §3), and stream resets (RFC 6525 §5.1.2)."""

from __future__ import annotations

from collections import deque

from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.support.tx_invariants import check_send_queue, state_is_kept_of
from trio_sctp._core.tx.outgoing_message import OutgoingMessage
from trio_sctp._core.tx.resettable_streams import ResettableStreams
from trio_sctp._core.tx.send_queue import SendQueue
from trio_sctp._wire.data_encoding import BEGINNING, ENDING, UNORDERED


def message(stream_id: int = 0, size: int = 10, *, unordered: bool = False) -> OutgoingMessage:
    return OutgoingMessage(stream_id, 51, bytes(size), unordered)


def take(queue: SendQueue, room: int = 1000) -> tuple[OutgoingMessage, int, int] | None:
    """The next fragment: its message, flags and size."""
    turn = queue.next_message()
    if turn is None:
        return None
    flags, payload = queue.take(turn, min(room, len(turn.payload) - turn.offset))
    check_send_queue(queue)
    return turn, flags, len(payload)


def order(queue: SendQueue, room: int = 1000) -> list[int]:
    """Take everything; the stream ids in the order of their turns."""
    streams = []
    while (taken := take(queue, room)) is not None:
        streams.append(taken[0].stream_id)
    return streams


def add(queue: SendQueue, *stream_ids: int, size: int = 10) -> list[OutgoingMessage]:
    messages = [message(stream_id, size) for stream_id in stream_ids]
    for each in messages:
        queue.add(each)
    check_send_queue(queue)
    return messages


# -- order -------------------------------------------------------------------------------------------


def test_streams_take_turns_by_message() -> None:
    queue = SendQueue()
    add(queue, 1, 1, 1, 2, 3, 3)
    assert order(queue) == [1, 2, 3, 1, 3, 1]


def test_a_begun_message_is_finished_before_another_begins() -> None:
    # §6.9: without interleaving its fragments have consecutive TSNs
    queue = SendQueue()
    add(queue, 1, size=35)
    assert take(queue, 10) is not None
    add(queue, 2, 3)
    assert order(queue, 10) == [1, 1, 1, 2, 3]


def test_flags_of_fragments() -> None:
    queue = SendQueue()
    queue.add(message(size=25))
    queue.add(message(size=5, unordered=True))
    seen = [take(queue, 10), take(queue, 10), take(queue, 10), take(queue, 10)]
    assert [each[1:] for each in seen if each] == [
        (BEGINNING, 10),
        (0, 10),
        (ENDING, 5),
        (UNORDERED | BEGINNING | ENDING, 5),
    ]


def test_a_stream_that_was_empty_goes_to_the_end_of_the_line() -> None:
    queue = SendQueue()
    add(queue, 1, 2, 2)
    take(queue)
    add(queue, 1)
    assert order(queue) == [2, 1, 2]


# -- accounting --------------------------------------------------------------------------------------


def test_unsent_bytes_by_stream_and_in_all() -> None:
    queue = SendQueue()
    add(queue, 1, 1, 2, size=100)
    assert (queue.unsent_of(1), queue.unsent_of(2), queue.unsent_of(3)) == (200, 100, 0)
    assert (queue.unsent_bytes, queue.message_count) == (300, 3)
    take(queue, 30)
    assert (queue.unsent_of(1), queue.unsent_bytes, queue.message_count) == (170, 270, 2)


def test_low_water_is_told_once_per_crossing() -> None:
    queue = SendQueue()
    queue.streams.set_low_water(1, 50)
    add(queue, 1, size=100)
    seen = []
    while take(queue, 20):
        seen.append(list(queue.drained))
        queue.drained.clear()
    assert seen == [[], [], [1], [], []], "100 -> 80 -> 60 -> 40: crossed; then nothing more"
    add(queue, 1, size=100)
    order(queue, 20)
    assert queue.drained == [1]


def test_low_water_0_is_told_when_the_last_byte_was_taken() -> None:
    queue = SendQueue()
    queue.streams.set_low_water(1, 0)
    add(queue, 1, 1)
    take(queue)
    assert queue.drained == []
    take(queue)
    assert queue.drained == [1]


def test_low_water_is_not_told_of_what_never_was_above_it() -> None:
    queue = SendQueue()
    queue.streams.set_low_water(1, 50)
    add(queue, 1, size=50)
    order(queue)
    add(queue, 2, size=500)  # no mark was set
    order(queue)
    assert queue.drained == []


def test_low_water_can_be_turned_off() -> None:
    queue = SendQueue()
    queue.streams.set_low_water(1, 0)
    queue.streams.set_low_water(1, -1)
    add(queue, 1)
    order(queue)
    assert queue.drained == []


# -- dropping ----------------------------------------------------------------------------------------


def test_discard_returns_what_was_not_begun() -> None:
    queue = SendQueue()
    first, second, _other, third = add(queue, 1, 1, 2, 1, size=30)
    take(queue, 10)
    assert queue.discard(1) == [second, third]
    check_send_queue(queue)
    assert (queue.unsent_of(1), queue.unsent_bytes, queue.message_count) == (20, 50, 1)
    assert order(queue, 30) == [1, 2]
    assert first.offset == 30


def test_discard_of_a_stream_that_waits_for_its_turn() -> None:
    queue = SendQueue()
    messages = add(queue, 1, 2, 3)
    assert queue.discard(2) == [messages[1]]
    assert queue.discard(2) == []
    assert queue.discard(77) == []
    assert order(queue) == [1, 3]


def test_discard_crosses_the_low_water_mark_too() -> None:
    queue = SendQueue()
    queue.streams.set_low_water(1, 10)
    add(queue, 1, 1, 1)
    queue.discard(1)
    assert queue.drained == [1]


def test_clear_forgets_all_but_the_low_water_marks() -> None:
    queue = SendQueue()
    resets = ResettableStreams(queue)
    queue.streams.set_low_water(1, 5)
    add(queue, 1, 2, 2)
    take(queue)
    take(queue, 5)
    resets.pause(3)
    queue.clear()
    check_send_queue(queue)
    assert (queue.unsent_bytes, queue.message_count, queue.drained) == (0, 0, [])
    assert queue.next_message() is None
    add(queue, 3, 1, 2)
    assert [taken[0].ssn for taken in iter(lambda: take(queue), None)] == [0, 0, 0]
    assert queue.drained == [1]


def test_clear_of_many_streams_in_any_order_is_linear() -> None:
    queue = SendQueue()
    for stream_id in range(30_000):
        queue.add(message(stream_id))
        queue.add(message(stream_id))
    for _ in range(15_000):
        take_one = queue.next_message()
        assert take_one is not None
        queue.take(take_one, 10)
    queue.clear()
    assert queue.next_message() is None


def test_waiting_beyond() -> None:
    queue = SendQueue()
    add(queue, 3)
    assert queue.waiting_beyond(3)
    assert not queue.waiting_beyond(4)
    order(queue)
    assert not queue.waiting_beyond(3)


# -- stream resets -----------------------------------------------------------------------------------


def test_a_paused_stream_begins_no_message_and_holds_up_no_other() -> None:
    queue = SendQueue()
    resets = ResettableStreams(queue)
    add(queue, 1, 2)
    resets.pause(1)
    add(queue, 1)
    assert order(queue) == [2]
    assert not resets.is_idle(1)
    resets.resume(1)
    assert order(queue) == [1, 1]
    assert resets.is_idle(1)


def test_a_message_that_was_begun_is_finished_although_its_stream_is_paused() -> None:
    queue = SendQueue()
    resets = ResettableStreams(queue)
    add(queue, 1, 1, 2, size=30)
    take(queue, 10)
    resets.pause(1)
    check_send_queue(queue)
    assert order(queue, 30) == [1, 2]
    resets.resume(1)
    assert order(queue, 30) == [1]


def test_a_stream_resumed_within_a_message() -> None:
    queue = SendQueue()
    resets = ResettableStreams(queue)
    add(queue, 1, 1, 2, size=30)
    take(queue, 10)
    resets.pause(1)
    resets.resume(1)
    check_send_queue(queue)
    assert order(queue, 30) == [1, 2, 1]


def test_pausing_the_last_message_of_a_stream_within_it() -> None:
    queue = SendQueue()
    resets = ResettableStreams(queue)
    add(queue, 1, size=30)
    take(queue, 10)
    resets.pause(1)
    assert order(queue, 30) == [1]
    assert resets.is_idle(1)


def test_reset_begins_again_with_ssn_0_and_resume_does_not() -> None:
    queue = SendQueue()
    resets = ResettableStreams(queue)
    messages = add(queue, 1, 1)
    order(queue)
    resets.pause(1)
    messages += add(queue, 1)
    resets.resume(1)
    order(queue)
    resets.pause(1)
    messages += add(queue, 1)
    resets.reset_stream(1)
    order(queue)
    assert [each.ssn for each in messages] == [0, 1, 2, 0]


def test_no_state_is_left_behind_by_a_short_lived_stream() -> None:
    queue = SendQueue()
    resets = ResettableStreams(queue)
    for stream_id in range(2000):
        [sent] = add(queue, stream_id)
        take(queue)
        queue.acknowledged([sent])
        resets.pause(stream_id)
        resets.reset_stream(stream_id)
    assert not queue.streams.by_id


def test_no_state_is_left_behind_when_the_acknowledgement_comes_after_the_reset() -> None:
    queue = SendQueue()
    resets = ResettableStreams(queue)
    [sent] = add(queue, 7)
    take(queue)
    resets.pause(7)
    resets.reset_stream(7)
    assert state_is_kept_of(queue, 7) is not None, "its message is in the send window"
    queue.acknowledged([sent])
    assert state_is_kept_of(queue, 7) is None


def test_no_state_is_left_behind_by_resets_of_unused_streams() -> None:
    queue = SendQueue()
    resets = ResettableStreams(queue)
    for verb in (resets.reset_stream, resets.resume):
        resets.pause(5)
        verb(5)
        assert state_is_kept_of(queue, 5) is None
    queue.streams.set_low_water(5, 0)
    assert state_is_kept_of(queue, 5) is not None
    queue.streams.set_low_water(5, -1)
    assert state_is_kept_of(queue, 5) is None


def test_a_low_water_mark_survives_a_reset() -> None:
    queue = SendQueue()
    resets = ResettableStreams(queue)
    queue.streams.set_low_water(1, 0)
    add(queue, 1)
    order(queue)
    resets.reset_stream(1)
    queue.drained.clear()
    add(queue, 1)
    order(queue)
    assert queue.drained == [1]


# -- all of it together, against a simple model ------------------------------------------------------


class SendQueueMachine(RuleBasedStateMachine):
    """Every verb in any order; a stream is a deque of messages, and that is all the model knows."""

    streams = st.integers(0, 3)

    @initialize()
    def begin(self) -> None:
        self.queue = SendQueue()
        self.resets = ResettableStreams(self.queue)
        self.waiting: dict[int, deque[OutgoingMessage]] = {i: deque() for i in range(4)}
        self.paused: set[int] = set()
        self.ssn = dict.fromkeys(range(4), 0)
        self.current: OutgoingMessage | None = None
        self.in_window: list[OutgoingMessage] = []

    @rule(stream_id=streams, size=st.integers(1, 50), unordered=st.booleans())
    def add(self, stream_id: int, size: int, unordered: bool) -> None:
        new = message(stream_id, size, unordered=unordered)
        self.waiting[stream_id].append(new)
        self.queue.add(new)

    @rule(room=st.integers(1, 40))
    def take(self, room: int) -> None:
        turn = self.queue.next_message()
        may_begin = any(q for i, q in self.waiting.items() if i not in self.paused)
        assert (turn is not None) == (self.current is not None or may_begin)
        if turn is None:
            return
        if self.current is None:
            assert turn is self.waiting[turn.stream_id][0], "messages of a stream keep their order"
            assert turn.stream_id not in self.paused
            if not turn.unordered:
                self.in_window.append(turn)
        else:
            assert turn is self.current
        expected = self.ssn[turn.stream_id]
        size = min(room, len(turn.payload) - turn.offset)
        begins = turn.offset == 0
        flags, payload = self.queue.take(turn, size)
        assert len(payload) == size
        assert bool(flags & BEGINNING) == begins
        if not turn.unordered:
            assert turn.ssn == (expected if begins else expected - 1)
            self.ssn[turn.stream_id] = turn.ssn + 1
        self.current = turn
        if flags & ENDING:
            assert turn.offset == len(turn.payload)
            self.waiting[turn.stream_id].popleft()
            self.current = None

    @rule()
    def acknowledge(self) -> None:
        done = [m for m in self.in_window if m is not self.current]
        self.in_window = [m for m in self.in_window if m is self.current]
        self.queue.acknowledged(done)

    @rule(stream_id=streams)
    def discard(self, stream_id: int) -> None:
        waiting = self.waiting[stream_id]
        kept = [m for m in waiting if m is self.current]
        assert self.queue.discard(stream_id) == [m for m in waiting if m is not self.current]
        self.waiting[stream_id] = deque(kept)

    @rule(stream_id=streams)
    def pause(self, stream_id: int) -> None:
        self.resets.pause(stream_id)
        self.paused.add(stream_id)

    @rule(stream_id=streams)
    def resume(self, stream_id: int) -> None:
        self.resets.resume(stream_id)
        self.paused.discard(stream_id)

    @rule(stream_id=streams)
    def reset(self, stream_id: int) -> None:
        if self.resets.is_idle(stream_id):  # nothing else is ever reset
            self.resets.reset_stream(stream_id)
            self.paused.discard(stream_id)
            self.ssn[stream_id] = 0

    @rule()
    def clear(self) -> None:
        self.queue.clear()
        self.begin_again()

    def begin_again(self) -> None:
        self.waiting = {i: deque() for i in range(4)}
        self.paused.clear()
        self.ssn = dict.fromkeys(range(4), 0)
        self.current = None
        self.in_window.clear()

    @invariant()
    def counters_are_right(self) -> None:
        if not hasattr(self, "queue"):
            return
        check_send_queue(self.queue)
        for stream_id, waiting in self.waiting.items():
            assert self.queue.unsent_of(stream_id) == sum(
                len(m.payload) - m.offset for m in waiting
            )
            assert self.resets.is_idle(stream_id) == (not waiting)


TestSendQueueMachine = SendQueueMachine.TestCase
TestSendQueueMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
