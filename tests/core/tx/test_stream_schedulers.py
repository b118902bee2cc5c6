"""The stream schedulers of RFC 8260 §3, each with and without interleaving."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from itertools import groupby, pairwise

import pytest
from hypothesis import given, settings, strategies as st

from tests.support.incoming_data import executed_lines
from tests.support.tx_invariants import check_send_queue
from trio_sctp._core.tx.outgoing_message import OutgoingMessage
from trio_sctp._core.tx.resettable_streams import ResettableStreams
from trio_sctp._core.tx.scheduler import SCHEDULERS, FairCapacity, Priority
from trio_sctp._core.tx.send_queue import SendQueue
from trio_sctp._wire.data_encoding import BEGINNING, ENDING

FRAGMENT = 100
NAMES = sorted(SCHEDULERS)
PORTION = 16 * 1024
"""What goes of a large message before others that are as large have a turn."""


def filled(name: str, *, interleaving: bool, **messages: list[int]) -> SendQueue:
    """A queue with messages of these sizes on streams s1, s2 and so on, added in that order."""
    queue = SendQueue(name, interleaving=interleaving)
    for stream, sizes in messages.items():
        add(queue, int(stream[1:]), *sizes)
    return queue


def add(queue: SendQueue, stream_id: int, *sizes: int) -> None:
    for size in sizes:
        queue.add(OutgoingMessage(stream_id, 51, bytes(size)))
    check(queue)


def check(queue: SendQueue) -> None:
    if queue.message_count < 50:  # it counts everything
        check_send_queue(queue)


def take(queue: SendQueue, room: int = FRAGMENT) -> tuple[int, int] | None:
    """The stream and the size of the next fragment."""
    message = queue.next_message()
    if message is None:
        return None
    assert queue.next_message() is message, "asking twice changes nothing"
    size = min(room, len(message.payload) - message.offset)
    queue.take(message, size)
    check(queue)
    return message.stream_id, size


def order(queue: SendQueue, count: int = 10**6) -> list[int]:
    """The streams of the next fragments."""
    streams: list[int] = []
    while len(streams) < count and (taken := take(queue)) is not None:
        streams.append(taken[0])
    return streams


def shares(queue: SendQueue, total: int) -> dict[int, float]:
    """What part of the bytes each stream has of the next ``total``."""
    sent: Counter[int] = Counter()
    while sent.total() < total:
        taken = take(queue)
        assert taken is not None, "the streams must not run empty"
        sent[taken[0]] += taken[1]
    return {stream: size / sent.total() for stream, size in sent.items()}


# -- first come, first served (§3.1) -----------------------------------------------------------------


@pytest.mark.parametrize("interleaving", [False, True])
def test_fcfs_keeps_the_order_of_the_program(interleaving: bool) -> None:
    queue = SendQueue("fcfs", interleaving=interleaving)
    for stream_id in (3, 1, 1, 2, 3):
        add(queue, stream_id, 250)
    assert order(queue, 4) == [3, 3, 3, 1]
    add(queue, 9, 50)
    add(queue, 1, 50)
    assert order(queue) == [1, 1, 1, 1, 1, 2, 2, 2, 3, 3, 3, 9, 1]


def test_fcfs_goes_on_without_a_stream_that_is_paused() -> None:
    queue = filled("fcfs", interleaving=True, s1=[10, 10], s2=[10])
    resets = ResettableStreams(queue)
    resets.pause(1)
    assert order(queue) == [2]
    add(queue, 3, 10)
    resets.resume(1)
    assert order(queue) == [1, 1, 3]


# -- round robin (§3.2) ------------------------------------------------------------------------------


def test_rr_by_message_as_in_figure_1() -> None:
    queue = filled("rr", interleaving=False, s0=[300], s1=[100, 100, 100], s2=[300])
    assert order(queue) == [0, 0, 0, 1, 2, 2, 2, 1, 1]


def test_rr_by_chunk_as_in_figure_2() -> None:
    queue = filled("rr", interleaving=True, s0=[300], s1=[100, 100, 100], s2=[300])
    assert order(queue) == [0, 1, 2, 0, 1, 2, 0, 1, 2]


# -- round robin per packet (§3.3) -------------------------------------------------------------------


def packets(queue: SendQueue, room: int) -> list[list[int]]:
    """The streams of the chunks of each packet with so much room for payload."""
    found: list[list[int]] = []
    while True:
        queue.start_packet()
        packet, left = [], room
        while left and (taken := take(queue, left)) is not None:
            packet.append(taken[0])
            left -= taken[1]
        if not packet:
            return found
        found.append(packet)


def test_rr_pkt_switches_with_the_packet() -> None:
    messages = {"s1": [40] * 5, "s2": [40], "s3": [40] * 3}
    queue = filled("rr_pkt", interleaving=True, **messages)
    assert packets(queue, 100) == [[1, 1, 1], [2], [3, 3, 3], [1, 1, 1], [3]]
    queue = filled("rr_pkt", interleaving=False, **messages)
    # the third message of each is cut in two, and finished at once
    assert packets(queue, 100) == [[1, 1, 1], [1, 1, 1], [2], [3, 3, 3], [3]]


def test_rr_pkt_with_large_messages() -> None:
    queue = filled("rr_pkt", interleaving=True, s1=[250], s2=[250])
    assert packets(queue, 100) == [[1], [2], [1], [2], [1], [2]]
    queue = filled("rr_pkt", interleaving=False, s1=[250, 10], s2=[250])
    assert packets(queue, 100) == [[1], [1], [1, 1], [2], [2], [2]]


# -- priority (§3.4) ---------------------------------------------------------------------------------


def test_prio_is_strict_and_takes_turns_among_equals() -> None:
    queue = filled("prio", interleaving=True, s1=[300], s2=[300], s3=[200], s4=[200])
    queue.streams.set_priority(3, 1024)
    queue.streams.set_priority(4, 1024)
    queue.streams.set_priority(2, 128)
    assert order(queue) == [3, 4, 3, 4, 1, 1, 1, 2, 2, 2]


def test_prio_interrupts_a_message_with_interleaving_only() -> None:
    for interleaving, expected in ((True, [2, 1, 1]), (False, [1, 1, 2])):
        queue = filled("prio", interleaving=interleaving, s1=[300])
        queue.streams.set_priority(2, 257)
        assert order(queue, 1) == [1]
        add(queue, 2, 50)
        assert order(queue) == expected


def test_prio_among_equals_nobody_starves_by_coming_back() -> None:
    queue = filled("prio", interleaving=True, s1=[1000])
    streams = []
    for _ in range(10):
        add(queue, 2, 10)  # something new after each turn
        streams += order(queue, 2)
    assert streams.count(1) == streams.count(2) == 10


# -- fair capacity (§3.5) ----------------------------------------------------------------------------


@pytest.mark.parametrize("interleaving", [False, True])
def test_fc_counts_bytes_and_not_messages(interleaving: bool) -> None:
    queue = filled(
        "fc", interleaving=interleaving, s1=[100] * 4000, s2=[1000] * 400, s3=[37] * 9000
    )
    queue.streams.set_priority(1, 1)  # it does not care
    found = shares(queue, 200_000)
    # with headers: 16 or 20 bytes for each chunk, or message
    cost = {1: 1.18, 2: 1.18 if interleaving else 1.016, 3: 1.49}
    weighted = {stream: share * cost[stream] for stream, share in found.items()}
    for share in weighted.values():
        assert share / sum(weighted.values()) == pytest.approx(1 / 3, rel=0.03)


# -- weighted fair queueing (§3.6) -------------------------------------------------------------------


@pytest.mark.parametrize("interleaving", [False, True])
@pytest.mark.parametrize("size", [50, 100, 1600])
def test_wfq_by_the_priorities_of_rfc_8831(interleaving: bool, size: int) -> None:
    weights = {1: 128, 2: 256, 3: 512, 4: 1024}
    count = 800_000 // size
    queue = filled("wfq", interleaving=interleaving, **{f"s{n}": [size] * count for n in weights})
    for stream_id, weight in weights.items():
        queue.streams.set_priority(stream_id, weight)
    found = shares(queue, 400_000)
    for stream_id, weight in weights.items():
        assert found[stream_id] == pytest.approx(weight / 1920, rel=0.05)


def test_wfq_takes_any_16_bit_priority() -> None:
    queue = filled("wfq", interleaving=True, s1=[100] * 100, s2=[100] * 100, s3=[100] * 5000)
    queue.streams.set_priority(1, 0)  # as good as 1
    queue.streams.set_priority(2, 1)
    queue.streams.set_priority(3, 65535)
    assert set(order(queue, 5000)) == {3}
    assert Counter(order(queue, 100)) == {1: 50, 2: 50}


@pytest.mark.parametrize("interleaving", [False, True])
def test_wfq_a_new_priority_holds_at_once(interleaving: bool) -> None:
    queue = filled("wfq", interleaving=interleaving, s1=[100] * 9000, s2=[100] * 9000)
    assert shares(queue, 50_000) == pytest.approx({1: 0.5, 2: 0.5}, rel=0.02)
    queue.streams.set_priority(1, 1024)
    assert shares(queue, 50_000) == pytest.approx({1: 0.8, 2: 0.2}, rel=0.02)
    queue.streams.set_priority(1, 64)
    assert shares(queue, 50_000) == pytest.approx({1: 0.2, 2: 0.8}, rel=0.02)


def test_wfq_a_new_small_message_is_next_whatever_else_waits() -> None:
    queue = filled("wfq", interleaving=True, **{f"s{n}": [10**6] for n in range(1, 51)})
    order(queue, 777)
    for stream_id in range(100, 110):
        add(queue, stream_id, 50)
        assert order(queue, 1) == [stream_id]
    add(queue, 200, 50)
    add(queue, 201, 50)
    queue.streams.set_priority(202, 1024)
    add(queue, 202, 90)
    add(queue, 203, 20)
    assert order(queue, 4) == [202, 203, 200, 201], "the weightier first, the smaller, the earlier"


def test_wfq_a_burst_of_small_messages_within_its_share_is_not_held_back() -> None:
    queue = filled("wfq", interleaving=True, **{f"s{n}": [10**6] for n in range(1, 9)})
    order(queue, 777)
    add(queue, 9, *[100] * 5)
    assert order(queue, 5) == [9] * 5


def test_wfq_coming_back_again_and_again_is_no_advantage() -> None:
    """Somebody who sends one message whenever the last one is out gets no more than the share."""
    queue = filled("wfq", interleaving=True, s1=[10**6], s2=[10**6])
    streams: list[int] = []
    while len(streams) < 12_000:
        if not queue.unsent_of(3):
            add(queue, 3, 100)
        streams += order(queue, 1)
    portion = PORTION / FRAGMENT
    assert Counter(streams) == pytest.approx(dict.fromkeys((1, 2, 3), 4000), abs=portion)


@pytest.mark.parametrize("name", ["fc", "wfq"])
def test_a_message_is_finished_before_the_next_one_is_begun_if_it_is_a_portion(name: str) -> None:
    queue = filled(name, interleaving=True, s1=[PORTION], s2=[PORTION], s3=[PORTION])
    fragments = -(-PORTION // FRAGMENT)
    assert order(queue) == [1] * fragments + [2] * fragments + [3] * fragments


@pytest.mark.parametrize("name", ["fc", "wfq"])
def test_a_larger_message_lets_others_have_a_portion(name: str) -> None:
    queue = filled(name, interleaving=True, s1=[2 * PORTION], s2=[2 * PORTION])
    found = order(queue)
    turns = [len(list(group)) for _, group in groupby(found)]
    assert [stream for stream, _ in groupby(found)] == [1, 2, 1, 2]
    assert turns == pytest.approx([PORTION / FRAGMENT] * 4, abs=1)


@pytest.mark.parametrize("name", ["fc", "wfq"])
def test_a_portion_ends_with_the_fragment_that_reaches_its_end(name: str) -> None:
    queue = filled(name, interleaving=True, s1=[2 * PORTION], s2=[2 * PORTION])
    found = []
    while (taken := take(queue, 1024)) is not None:
        found.append(taken[0])
    assert [len(list(group)) for _, group in groupby(found)] == [PORTION // 1024] * 4


@pytest.mark.parametrize("streams, fragments", [(1, 48), (2, 15), (3, 15)])
@pytest.mark.parametrize("name", ["fc", "wfq"])
def test_so_does_one_that_is_taken_at_once(name: str, streams: int, fragments: int) -> None:
    sizes = {f"s{n}": [50 * 1024] for n in range(1, streams + 1)}
    queue = filled(name, interleaving=True, **sizes)
    assert take(queue, 1024) == (1, 1024)
    assert [len(run) for _, run in queue.take_middles(1024, 100)] == [fragments]
    check(queue)


@pytest.mark.parametrize("name", ["fc", "wfq"])
def test_the_end_of_a_message_counts_as_what_it_is_and_not_as_a_portion(name: str) -> None:
    queue = filled(name, interleaving=True, s1=[2 * PORTION], s2=[PORTION + FRAGMENT])
    found = order(queue)
    assert [stream for stream, _ in groupby(found)] == [1, 2, 1], "it is through before that"


def test_a_portion_goes_on_where_a_small_message_has_interrupted_it() -> None:
    queue = filled("wfq", interleaving=True, s1=[PORTION], s2=[PORTION], s3=[PORTION])
    assert order(queue, 20) == [1] * 20
    add(queue, 4, 50)
    assert order(queue, 20) == [4] + [1] * 19
    add(queue, 4, 50, 60)
    assert order(queue, 20) == [4, 4] + [1] * 18


def test_a_small_message_waits_for_no_portion_whatever_has_been_sent_of_others() -> None:
    queue = filled("wfq", interleaving=True, **{f"s{n}": [10**6] for n in range(1, 9)})
    for sent in range(500):
        add(queue, 9, 50)
        assert order(queue, 1 + sent % 31)[0] == 9, "it has not used up its share"


@pytest.mark.parametrize("interleaving", [False, True])
def test_wfq_nothing_is_owed_for_capacity_that_nobody_wanted(interleaving: bool) -> None:
    queue = filled("wfq", interleaving=interleaving, s1=[100] * 9000)
    order(queue, 4000)  # alone
    add(queue, 2, *[100] * 4000)
    assert shares(queue, 50_000) == pytest.approx({1: 0.5, 2: 0.5}, rel=0.02)
    queue.discard(1)
    order(queue, 1000)  # the other one alone
    add(queue, 1, *[100] * 2000)
    assert shares(queue, 50_000) == pytest.approx({1: 0.5, 2: 0.5}, rel=0.02)


@pytest.mark.parametrize("interleaving", [False, True])
def test_wfq_nothing_is_owed_once_everything_was_sent(interleaving: bool) -> None:
    queue = filled("wfq", interleaving=interleaving, s1=[900, 900], s2=[900], s3=[900])
    order(queue)
    add(queue, 1, 80)
    add(queue, 2, 90)
    add(queue, 4, 100)
    assert order(queue) == [1, 2, 4]


def test_without_interleaving_large_messages_let_the_small_ones_go_first() -> None:
    """RFC 8831 §6.6: a large message, once begun, holds everybody; so it is begun late."""
    queue = filled("wfq", interleaving=False, s1=[1000], s2=[100] * 5, s3=[100] * 20)
    # Byte by byte they would be through with 500 of each when stream 2 has finished, and with 1000
    # when the large message has.
    assert order(queue) == [2, 3] * 5 + [3] * 3 + [1] * 10 + [3] * 12


def test_without_interleaving_a_large_message_waits_for_its_fair_turn_only() -> None:
    queue = filled("wfq", interleaving=False, s1=[1000], s2=[100] * 50)
    queue.streams.set_priority(1, 1024)
    found = order(queue)
    begun = found.index(1)
    assert found[begun : begun + 10] == [1] * 10
    assert begun == 2, "a quarter of it of the other"
    queue = filled("wfq", interleaving=False, s1=[1000])
    assert order(queue, 1) == [1], "it does not wait for what is not there"
    add(queue, 2, 10)
    assert order(queue) == [1] * 9 + [2], "and is finished (RFC 9260 §6.9)"


def test_without_interleaving_a_stream_has_paid_for_its_large_message() -> None:
    queue = filled("wfq", interleaving=False, s1=[1000])
    order(queue, 1)
    add(queue, 1, 1000)
    add(queue, 2, *[100] * 20)
    assert order(queue) == [1] * 9 + [2] * 17 + [1] * 10 + [2] * 3


# -- all of them -------------------------------------------------------------------------------------


@pytest.mark.parametrize("interleaving", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_another_scheduler_takes_over_in_the_midst(name: str, interleaving: bool) -> None:
    for other in NAMES:
        queue = filled(name, interleaving=interleaving, s1=[250, 30], s2=[170], s3=[20, 20])
        queue.start_packet()
        take(queue)
        queue.use_scheduler(other)
        check_send_queue(queue)
        while queue.unsent_bytes:
            queue.start_packet()
            assert take(queue) is not None


@pytest.mark.parametrize("name", NAMES)
def test_interleaving_is_learnt_with_messages_waiting(name: str) -> None:
    queue = filled(name, interleaving=False, s1=[250, 30], s2=[170], s3=[20, 20])
    resets = ResettableStreams(queue)
    resets.pause(3)
    queue.use_interleaving(True)
    check_send_queue(queue)
    seen: list[int] = []
    queue.start_packet()
    while (message := queue.next_message()) is not None:
        queue.take(message, min(FRAGMENT, len(message.payload) - message.offset))
        seen.append(message.mid)
        queue.start_packet()
    assert sorted(seen) == [0] * 5 + [1]
    assert queue.unsent_bytes == queue.unsent_of(3) == 40


actions = st.one_of(
    st.tuples(st.just("add"), st.integers(0, 4), st.integers(1, 350)),
    st.tuples(st.just("take"), st.integers(1, 8), st.sampled_from([1, 40, 100])),
    st.tuples(st.just("packet"), st.just(0), st.just(0)),
    st.tuples(st.sampled_from(["pause", "resume", "discard"]), st.integers(0, 4), st.just(0)),
    st.tuples(st.just("priority"), st.integers(0, 4), st.sampled_from([0, 1, 256, 65535])),
    st.tuples(st.sampled_from(["suspend", "end_suspension"]), st.just(0), st.just(0)),
)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(NAMES), st.booleans(), st.lists(actions, max_size=60))
def test_whatever_happens_all_is_sent_once_and_in_order(
    name: str, interleaving: bool, script: list[tuple[str, int, int]]
) -> None:
    queue = SendQueue(name, interleaving=interleaving)
    resets = ResettableStreams(queue)
    open_message: dict[int, OutgoingMessage] = {}
    waiting: dict[int, list[OutgoingMessage]] = {}

    def take_one(room: int) -> bool:
        message = queue.next_message()
        if message is None:
            return False
        stream_id = message.stream_id
        expected = open_message.get(stream_id) or waiting[stream_id].pop(0)
        assert message is expected, "messages of a stream are never interleaved (§2.2.2)"
        if not interleaving:
            assert not open_message.keys() - {stream_id}
        flags, payload = queue.take(message, min(room, len(message.payload) - message.offset))
        assert bool(flags & BEGINNING) == (message.offset == len(payload))
        open_message[stream_id] = message
        if flags & ENDING:
            del open_message[stream_id]
        check_send_queue(queue)
        return True

    for action, n, size in script:
        if action == "add":
            message = OutgoingMessage(n, 51, bytes(size))
            waiting.setdefault(n, []).append(message)
            queue.add(message)
        elif action == "take":
            for _ in range(n):
                take_one(size)
        elif action == "packet":
            queue.start_packet()
        elif action == "priority":
            queue.streams.set_priority(n, size)
        elif action == "discard":
            dropped = queue.discard(n)
            assert dropped == waiting.get(n, [])
            waiting[n] = []
        elif action in ("suspend", "end_suspension"):
            getattr(resets, action)()
        else:
            getattr(resets, action)(n)
        check_send_queue(queue)
    resets.end_suspension()
    for stream_id in range(5):
        resets.resume(stream_id)
    while queue.unsent_bytes:
        queue.start_packet()
        assert take_one(100)
    assert not open_message
    assert not any(waiting.values())
    assert resets.is_drained


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 65535), st.integers(1, 400)), min_size=2, max_size=6),
    st.booleans(),
)
def test_wfq_no_stream_is_ever_far_from_its_share(
    streams: list[tuple[int, int]], interleaving: bool
) -> None:
    """Between two busy streams service per weight differs by no more than a unit of each."""
    queue = SendQueue("wfq", interleaving=interleaving)
    header = queue.header_size
    units = {n: Fraction(header + size, weight) for n, (weight, size) in enumerate(streams)}
    shares_are_kept(queue, streams, units, count=40, fragment=400)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 65535), st.integers(1, 50_000)), min_size=2, max_size=6),
    st.integers(500, 20_000),
)
def test_wfq_with_interleaving_the_unit_is_a_portion(
    streams: list[tuple[int, int]], fragment: int
) -> None:
    """One that ends with a whole fragment, and each fragment has a header."""
    queue = SendQueue("wfq", interleaving=True)
    units = {
        n: Fraction(min(size, PORTION + fragment) + (PORTION // fragment + 2) * 20, weight)
        for n, (weight, size) in enumerate(streams)
    }
    shares_are_kept(queue, streams, units, count=4, fragment=fragment)


def shares_are_kept(
    queue: SendQueue,
    streams: list[tuple[int, int]],
    units: dict[int, Fraction],
    *,
    count: int,
    fragment: int,
) -> None:
    """Of streams with these weights and ``count`` messages of these sizes each."""
    for stream_id, (weight, size) in enumerate(streams):
        queue.streams.set_priority(stream_id, weight)
        add(queue, stream_id, *[size] * count)
    cost = dict.fromkeys(units, Fraction(0))
    while all(queue.unsent_of(n) for n in cost):
        taken = take(queue, fragment)
        assert taken is not None
        stream_id, size = taken
        cost[stream_id] += Fraction(size + queue.header_size, streams[stream_id][0])
        for n, m in pairwise(sorted(cost, key=cost.__getitem__)):
            assert cost[m] - cost[n] <= units[n] + units[m] + Fraction(1, 100)


@pytest.mark.interpreted
@pytest.mark.parametrize("interleaving", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_a_turn_costs_about_the_same_with_thousands_of_streams(
    name: str, interleaving: bool
) -> None:
    def work(streams: int) -> int:
        """Lines of Python that 100 turns take."""
        queue = SendQueue(name, interleaving=interleaving)
        for stream_id in range(streams):
            queue.add(OutgoingMessage(stream_id, 51, bytes(300)))
            queue.add(OutgoingMessage(stream_id, 51, bytes(300)))

        def turns() -> None:
            for _ in range(100):
                queue.start_packet()
                message = queue.next_message()
                assert message is not None
                queue.take(message, FRAGMENT)

        return executed_lines(turns)

    assert work(20_000) < 1.5 * work(20)


@pytest.mark.parametrize("cls", [FairCapacity, Priority])
def test_what_has_lapsed_is_not_kept(cls: type) -> None:
    name = next(key for key, value in SCHEDULERS.items() if value is cls)
    queue = filled(name, interleaving=True, s1=[100], s2=[100])
    resets = ResettableStreams(queue)
    for n in range(5000):
        resets.pause(1)
        resets.resume(1)
        queue.streams.set_priority(2, n % 100 + 1)
    assert len(queue.streams.scheduler._heap) < 40  # type: ignore[attr-defined]
    assert sorted(order(queue)) == [1, 2]
