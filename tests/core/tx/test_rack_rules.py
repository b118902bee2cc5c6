"""RACK to the last detail (RFC 8985 §6): what counts as lost, when, and what is learnt of the path."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.tx_sender import FULL, PMDCS, Sender
from trio_sctp._core.tx.reordering_window import SLACK, ReorderingWindow
from trio_sctp._wire.chunks import Sack


def in_flight(count: int, *, size: int = FULL) -> Sender:
    """TSNs 2 and following; TSN 1 has measured a round trip of 100 ms."""
    a = Sender(cwnd=10**6, max_burst=2**16, loss_recovery="rack")
    a.send()
    a.pull()
    a.sack(1, after=0.1)
    a.send(size, count=count)
    a.pull()
    return a


def last_of(a: Sender) -> int:
    return a.queue.next_tsn - 1 - a.before_first


def until_sent(a: Sender) -> tuple[float, list[list[int]]]:
    """The seconds until something goes out by itself, and what does."""
    began = a.now
    while not (packets := a.pull()):
        assert a.next_timeout < began + 60.0, "nothing ever will"
        a.time_out()
    return round(a.now - began, 6), packets


def sack_with_duplicate(a: Sender, cumulative: int, duplicate: int, *, after: float) -> None:
    a.now += after
    base = a.before_first
    a.queue.handle_sack(Sack(base + cumulative, 10**6, (), [base + duplicate]), a.now)


# -- step 5: what is lost


def test_it_is_the_time_since_the_last_acknowledged_one_was_sent_that_counts() -> None:
    # TSN 4 and 5 were sent 50 ms after 2 and 3; 2 is lost
    a = in_flight(2)
    a.now += 0.05
    a.send(count=2)
    a.pull()
    a.sack(1, (3, 3), after=0.05)
    wait, packets = until_sent(a)
    assert (wait, packets) == (0.026, [[2]])


def test_what_was_sent_later_than_all_that_has_arrived_is_not_late() -> None:
    a = in_flight(3)
    a.now += 0.01
    a.send(count=2)
    a.pull()
    a.sack(1, (3, 4), after=0.1)
    _, packets = until_sent(a)
    assert packets == [[2]], "and 5 and 6 are not looked at"
    assert a.queue.retransmitted_chunks == 1
    assert not a.queue._data.marked_count


def test_of_what_was_sent_at_once_the_lower_tsn_was_first() -> None:
    a = in_flight(6)
    a.sack(1, (3, 4), after=0.1)
    a.time_out()
    assert a.pull() == [[2]], "5 to 7 were sent at the same time, but after 4"
    a.sack(1, (3, 4), (6, 6), after=0.001)
    assert a.pull() == [[5]]
    assert not a.queue._data.marked_count, "7 was sent after 6"


def test_a_sack_that_advances_shows_gaps_as_well() -> None:
    a = in_flight(6)
    a.sack(3, (5, 6), after=0.1)
    assert until_sent(a) == (0.026, [[4]])


def test_what_the_peer_throws_away_is_late_from_then_on() -> None:
    """RFC 9260 §6.2.1 D iii: as if it were sent at this moment; nobody waits for T3-rtx."""
    a = in_flight(5)
    a.sack(1, (4, 6), after=0.1)
    a.sack(3, after=0.01)
    a.send(count=2)
    assert a.pull() == [[7], [8]]
    assert a.queue.retransmitted_chunks == 0
    a.sack(3, (7, 8), after=0.1)
    assert until_sent(a) == (0.026, [[4]])


def test_a_retransmission_that_is_lost_is_found_by_what_was_sent_after_it() -> None:
    a = in_flight(20)
    a.queue.congestion.cwnd = 20 * PMDCS
    a.sack(1, (3, 11), after=0.1)
    assert until_sent(a)[1] == [[2]]
    a.send(count=20)
    a.sack(1, (3, 16), after=0.01)
    ((new,), *_) = a.pull()
    assert new == 22
    a.sack(1, (3, 21), after=0.09)
    assert a.queue.retransmitted_chunks == 1
    a.sack(1, (3, 22), after=0.01)
    assert a.pull()[0] == [2], "at once: it is a recovery"


def test_where_the_path_has_reordered_a_retransmission_is_waited_for_as_well() -> None:
    a = in_flight(4)
    late_by_the_cumulative_tsn_ack(a)
    a.send(count=20)
    a.pull()
    a.sack(8, (10, 19), after=0.1)
    assert until_sent(a)[1] == [[9]]
    a.send(count=20)
    a.sack(8, (10, 24), after=0.01)
    assert a.pull()[0] == [26]
    a.sack(8, (10, 26), after=0.1)
    assert a.queue.next_repeat_size == 0
    began = a.now
    a.time_out()
    assert a.queue.next_repeat_size == PMDCS
    assert a.now - began == pytest.approx(0.016), "of the 26 ms 10 have passed"


def test_what_a_sack_has_no_room_to_report_is_not_late_either_for_a_retransmission() -> None:
    """RFC 9260 §6.2.1: one with so many blocks may have ended for want of room."""
    a = in_flight(400)
    blocks = [(tsn, tsn) for tsn in range(4, 204, 2)]
    a.sack(1, *blocks, after=0.1)
    assert until_sent(a)[1] == [[2]]
    a.sack(2, *blocks, after=0.1)
    missing = a.queue.retransmitted_chunks - 1 + a.queue._data.marked_count
    assert missing == 100, "3 to 201, and none above 202"


def test_a_retransmission_is_not_lost_because_of_what_was_sent_before_it() -> None:
    a = in_flight(9)
    a.sack(1, (3, 5), after=0.1)
    assert until_sent(a)[1] == [[2]]
    a.sack(1, (3, 10), after=0.02)
    assert a.pull() == []
    assert a.queue.retransmitted_chunks == 1


# -- step 4: how long reordering is waited for


def late_by_the_cumulative_tsn_ack(a: Sender) -> None:
    a.sack(1, (3, 5), after=0.1)
    a.sack(5, after=0.01)


def late_by_a_gap_ack_block(a: Sender) -> None:
    a.sack(1, (3, 3), (5, 5), after=0.1)
    a.sack(1, (3, 5), after=0.01)
    assert until_sent(a)[1] == [[2]]
    a.sack(5, after=0.1)


def late_by_one(a: Sender) -> None:
    a.sack(2, (5, 5), after=0.1)
    a.sack(3, (5, 5), after=0.01)
    assert until_sent(a)[1] == [[4]]
    a.sack(5, after=0.1)


def nothing_late(a: Sender) -> None:
    a.sack(5, after=0.1)


def sent_again(a: Sender) -> None:
    a.sack(1, (3, 5), after=0.1)
    assert until_sent(a)[1] == [[2]]
    a.sack(5, after=0.1)


def two_sent_again(a: Sender) -> None:
    a.sack(1, (3, 3), (5, 5), after=0.1)
    assert until_sent(a)[1] == [[2, 4]]
    a.sack(1, (3, 5), after=0.1)
    a.sack(5, after=0.01)


@pytest.mark.parametrize(
    "before, waits",
    [
        (nothing_late, False),
        (sent_again, False),
        (two_sent_again, False),
        (late_by_the_cumulative_tsn_ack, True),
        (late_by_a_gap_ack_block, True),
        (late_by_one, True),
    ],
)
def test_within_a_recovery_only_where_the_path_has_reordered(
    before: Callable[[Sender], None], waits: bool
) -> None:
    a = in_flight(4, size=100)
    before(a)
    a.send(count=20)
    a.pull()
    a.sack(8, (10, 13), after=0.1)
    assert until_sent(a) == (0.026, [[9]])
    a.sack(8, (10, 13), (15, 16), after=0.001)
    assert a.pull() == ([] if waits else [[14]])


def test_after_t3_rtx_as_within_a_recovery() -> None:
    a = in_flight(4)
    a.expire()
    assert a.pull() == [[2]]
    a.sack(2, after=0.1)
    assert a.pull() == [[3], [4]]
    a.sack(2, (4, 4), after=0.1)
    assert a.pull() == [[3]], "at once"


def test_until_all_that_t3_rtx_had_marked_is_acknowledged() -> None:
    a = in_flight(2)
    a.expire()
    a.pull()
    a.sack(3, after=0.1)
    a.queue.congestion.cwnd = 10**6
    a.send(count=4)
    a.pull()
    a.sack(3, (5, 7), after=0.1)
    assert a.pull() == []
    assert until_sent(a)[1] == [[4]]


def test_the_window_is_a_quarter_of_the_shortest_round_trip() -> None:
    window = ReorderingWindow()
    assert window.length(None, recovering=False) == SLACK, "nothing is known"
    window.observe(0.2, 0.0)
    window.observe(0.1, 1.0)
    window.observe(0.3, 2.0)
    assert window.length(0.2, recovering=False) == pytest.approx(0.025 + SLACK)
    assert window.length(None, recovering=False) == pytest.approx(0.025 + SLACK)
    assert window.length(0.2, recovering=True) == 0.0
    window.reordering_seen = True
    assert window.length(0.2, recovering=True) == pytest.approx(0.025 + SLACK)


def test_the_shortest_round_trip_is_forgotten_after_a_minute() -> None:
    """As long as a path may be another one; what the last half minute has shown remains."""
    window = ReorderingWindow()
    window.observe(0.1, 0.0)
    for now in range(1, 61):
        window.observe(0.4, float(now))
        assert window.min_rtt == 0.1
    window.observe(0.4, 61.5)
    window.observe(0.5, 62.0)
    assert window.min_rtt == 0.4


def test_each_round_trip_with_duplicates_adds_a_quarter_up_to_a_whole_one() -> None:
    window = ReorderingWindow()
    window.observe(0.1, 0.0)
    lengths = []
    for number in range(5):
        window.duplicate_reported(10 * number, 10 * number + 10)
        window.duplicate_reported(10 * number + 9, 10 * number + 20)  # of the same round trip
        lengths.append(window.length(0.1, recovering=True) - SLACK)
    assert lengths == pytest.approx([0.05, 0.075, 0.1, 0.1, 0.1])


def test_sixteen_recoveries_without_duplicates_put_it_back() -> None:
    window = ReorderingWindow()
    window.observe(0.1, 0.0)
    window.duplicate_reported(0, 10)
    for number in range(16):
        assert window.length(0.1, recovering=False) == pytest.approx(0.05 + SLACK), number
        window.recovery_ended()
    assert window.length(0.1, recovering=False) == pytest.approx(0.025 + SLACK)


def test_what_was_measured_holds_for_this_path_only() -> None:
    window = ReorderingWindow()
    window.observe(0.1, 0.0)
    window.duplicate_reported(0, 10)
    window.reordering_seen = True
    window.restart()
    assert window.length(0.1, recovering=True) == 0.0
    window.observe(0.4, 1.0)
    assert window.length(0.4, recovering=False) == pytest.approx(0.1 + SLACK)
    window.duplicate_reported(0, 10)
    assert window.length(0.4, recovering=False) == pytest.approx(0.2 + SLACK)


def spuriously_sent_again(a: Sender) -> int:
    """The first of four chunks is only late; returns its TSN."""
    a.send(count=4)
    first = last_of(a) + 1
    a.pull()
    a.sack(first - 1, (first + 1, first + 3), after=0.1)
    assert until_sent(a)[1] == [[first]]
    return first


def test_duplicates_of_what_was_sent_again_widen_it() -> None:
    a = in_flight(0)
    first = spuriously_sent_again(a)
    sack_with_duplicate(a, first + 3, first, after=0.01)
    a.send(count=4)  # and once more in the same round trip
    sack_with_duplicate(a, first + 3, first, after=0.0)
    a.pull()
    a.sack(first + 4, (first + 6, first + 7), after=0.1)
    assert until_sent(a) == (0.051, [[first + 5]])


def test_duplicates_of_what_was_never_sent_again_do_not() -> None:
    """The network has made them, or somebody who wants losses to be found late."""
    a = in_flight(0)
    first = spuriously_sent_again(a)
    sack_with_duplicate(a, first + 3, first + 3, after=0.01)
    sack_with_duplicate(a, first + 3, first - 1, after=0.0)
    a.send(count=4)
    a.pull()
    a.sack(first + 4, (first + 6, first + 7), after=0.1)
    assert until_sent(a)[0] == pytest.approx(0.026)


def test_until_sixteen_recoveries_had_none() -> None:
    a = in_flight(0)
    first = spuriously_sent_again(a)
    sack_with_duplicate(a, first + 3, first, after=0.01)
    waits = []
    for _ in range(18):
        a.queue.congestion.cwnd = 10**6
        a.send(count=4)
        first = last_of(a) + 1
        a.pull()
        a.sack(first - 1, (first + 1, first + 3), after=0.1)
        waits.append(until_sent(a)[0])
        a.sack(first + 3, after=0.1)
    assert waits == [0.051] * 16 + [0.026] * 2


# -- steps 1 and 2: what a round trip is


def test_a_retransmission_that_is_acknowledged_too_soon_has_not_arrived() -> None:
    """The original has: what was sent after it is not late because of that."""
    a = in_flight(6)
    a.sack(1, (3, 4), after=0.1)
    assert until_sent(a)[1] == [[2]]
    a.send(count=2)
    a.now += 0.02
    a.sack(4, after=0.0)
    assert a.pull() == [[8], [9]]
    assert a.queue.retransmitted_chunks == 1
    a.sack(9, after=0.1)
    assert a.queue.retransmitted_chunks == 1


def test_a_retransmission_that_could_have_arrived_shows_what_is_late() -> None:
    # TSN 2 is lost, and so are 5 to 7; nothing newer is sent
    a = in_flight(6)
    a.sack(1, (3, 4), after=0.1)
    assert until_sent(a)[1] == [[2]]
    a.sack(4, after=0.1)
    assert until_sent(a) == (0.0, [[5]])


def test_eight_retransmissions_are_believed_in_without_a_certain_round_trip() -> None:
    """Karn's rule (RFC 9260 §6.3.1 C5): the RTO stays doubled if nothing tells which one arrived."""
    a = in_flight(0)

    def lose_and_repeat(rtt: float) -> float:
        a.send()
        a.pull()
        a.expire()
        assert a.rto.rto > 1.0
        a.pull()
        a.sack(last_of(a), after=rtt)
        return a.rto.rto

    assert lose_and_repeat(0.5) == 2.0, "longer than a round trip takes: it may be an old one"
    assert [lose_and_repeat(0.1) for _ in range(9)] == [1.0] * 8 + [2.0]
    a.send()
    a.pull()
    a.sack(last_of(a), after=0.1)
    assert a.rto.rto == 1.0
    assert lose_and_repeat(0.1) == 1.0


def test_a_new_path_is_measured_anew() -> None:
    """RFC 9260 §7.2.5: nothing is known of what it carries."""
    a = in_flight(4)
    a.sack(5, after=0.1)
    a.queue.restart_path(a.now)
    a.send()
    a.pull()
    a.sack(6, after=0.4)
    a.send(count=4)
    a.pull()
    a.sack(7, (9, 10), after=0.4)
    assert until_sent(a) == (0.101, [[8]])


def test_silence_on_a_new_path_is_compared_with_its_own_round_trips() -> None:
    a = in_flight(4)
    a.sack(2, after=2.0)
    a.sack(5, after=0.0)
    a.queue.restart_path(a.now)
    a.send()
    a.pull()
    a.sack(6, after=0.1)
    a.send(count=2)
    a.pull()
    assert until_sent(a)[0] == pytest.approx(0.2)
