"""RFC 9260 §6.2.1 and §6.3.2: what a SACK, or a SHUTDOWN in its place, does to the sender."""

from __future__ import annotations

from typing import NoReturn

import pytest

from tests.support.gap_ack_blocks import row_of
from tests.support.tx_sender import FULL, IMPOSSIBLE_GAPS, PMDCS, WIDE_OPEN, Sender
from trio_sctp._core.tx.outstanding_data import OutstandingChunk
from trio_sctp._wire.chunks import Sack


def in_flight(count: int, *, cwnd: int = 10**6) -> Sender:
    a = Sender(cwnd=cwnd, max_burst=2**16)
    a.send(count=count)
    a.pull()
    return a


def test_cumulative_acknowledgement() -> None:
    a = in_flight(4)
    assert a.sack(3, after=0.1)
    assert a.queue.flight_size == PMDCS
    assert a.queue.outstanding_count == 1
    assert a.queue.cumulative_tsn_ack == 1002
    assert a.queue.unacknowledged_messages == 1
    assert a.sack(4)
    assert a.queue.is_empty


def test_a_message_is_unacknowledged_until_the_last_fragment_is_cumulatively_acknowledged() -> None:
    a = Sender(cwnd=10**6)
    a.send(3 * FULL)
    a.pull()
    a.sack(2)
    assert a.queue.unacknowledged_messages == 1
    a.send(1)
    a.pull()
    a.sack(2, (4, 4))
    assert a.queue.unacknowledged_messages == 2, "§7.1: gap ack blocks are advisory"
    a.sack(4)
    assert a.queue.unacknowledged_messages == 0


def test_d_i_a_sack_that_was_overtaken_is_dropped() -> None:
    a = in_flight(6)
    a.sack(4)
    before = a.queue.peer_rwnd
    assert not a.sack(3, (5, 5), a_rwnd=0)
    assert a.queue.peer_rwnd == before
    assert a.queue.flight_size == 2 * PMDCS
    assert a.queue.counters.dropped == {}


def test_a_repeated_sack_acknowledges_nothing_new() -> None:
    a = in_flight(6)
    assert a.sack(2, (4, 5))
    for _ in range(10):
        assert not a.sack(2, (4, 5))
    assert a.pull() == [], "§7.2.4: only what is newly acknowledged counts as a miss indication"


# -- the peer takes data back ------------------------------------------------------------------------


def test_d_iii_reneged_data_is_in_flight_again() -> None:
    a = in_flight(6)
    a.sack(1, (4, 6))
    assert a.queue.flight_size == 2 * PMDCS
    a.sack(1, (6, 6), a_rwnd=50_000)
    assert a.queue.flight_size == 4 * PMDCS
    assert a.queue.peer_rwnd == 50_000 - 4 * FULL
    a.sack(6)
    assert a.queue.is_empty
    assert a.queue.flight_size == 0


def test_d_iii_reneged_data_is_retransmitted_when_t3_expires() -> None:
    a = in_flight(3)
    a.sack(0, (2, 3))
    a.sack(0, (3, 3))
    a.expire()
    assert a.pull() == [[1]]
    a.sack(1, (3, 3), after=0.1)
    assert a.pull() == [[2]]


def test_d_iii_reneged_data_is_fast_retransmitted_after_three_miss_indications() -> None:
    a = in_flight(10)
    a.sack(1, (2, 5))  # so that none below is missing
    a.sack(1, (3, 5))  # 2 was taken back: its first indication
    assert a.pull() == []
    a.sack(1, (3, 6))
    assert a.pull() == []
    a.sack(1, (3, 7))
    assert a.pull() == [[2]]


def test_d_iii_also_where_misses_were_looked_for_already() -> None:
    a = in_flight(12)
    for last in (5, 6, 7, 8):  # three miss indications for whatever is missing below 6
        a.sack(1, (2, last))
    for last in (8, 9, 10):
        a.sack(1, (3, last))
    assert a.pull() == [[2]]


def test_d_iii_earlier_indications_were_for_other_chunks() -> None:
    # 5 arrived when three SACKs reported higher TSNs; when it is taken back, it has one indication
    a = in_flight(10)
    for last in (6, 7, 8):
        a.sack(1, (3, last))
    assert a.pull() == [[2]]
    a.sack(1, (3, 4), (6, 8))
    assert a.pull() == []


def test_r4_t3_is_started_when_the_peer_reneges() -> None:
    a = in_flight(3)
    a.sack(0, (2, 3))
    a.queue.t3_rtx.stop()
    a.sack(0, (3, 3))
    assert a.t3_in == a.rto.rto


def test_r4_a_running_t3_is_not_touched_when_the_peer_reneges() -> None:
    a = in_flight(3)
    a.sack(0, (2, 3), after=0.1)
    deadline = a.queue.t3_rtx.deadline
    a.sack(0, (3, 3), after=0.1)
    assert a.queue.t3_rtx.deadline == deadline


def test_a_shutdowns_cumulative_ack_is_no_renege() -> None:
    # §3.3.8: SHUTDOWN carries no gap ack blocks, and that means nothing
    a = in_flight(6)
    a.sack(1, (4, 6))
    assert a.shutdown_acks(2)
    assert a.queue.flight_size == PMDCS, "3 alone: 4 to 6 are acknowledged still"
    assert not a.shutdown_acks(2)
    assert a.shutdown_acks(6)
    assert a.queue.is_empty


@pytest.mark.parametrize("first", [3, 4])
def test_what_a_shutdown_acknowledges_within_a_block_is_not_to_be_taken_back(first: int) -> None:
    a = in_flight(7)
    a.sack(0, (first, 6))
    assert a.shutdown_acks(4)
    assert a.queue.flight_size == PMDCS, "5 and 6 are acknowledged still"
    a.sack(4, (7, 7))
    assert a.queue.flight_size == 2 * PMDCS
    assert a.sack(7)
    assert a.queue.is_empty


def test_a_shutdown_that_acknowledges_lets_new_data_out() -> None:
    # in SHUTDOWN-RECEIVED the peer acknowledges by SHUTDOWN chunks alone (§9.2)
    a = Sender(peer_rwnd=8 * FULL)
    a.send(count=50)
    acked = 0
    for _ in range(40):
        packets = a.pull()
        if not packets:
            break
        acked = packets[-1][-1]
        assert a.shutdown_acks(acked, after=0.1)
    assert acked == 50
    assert a.queue.is_empty
    assert not a.queue.t3_rtx.running


def test_a_shutdown_releases_as_much_as_a_sack_would() -> None:
    released = []
    for acknowledge in (Sender.sack, Sender.shutdown_acks):
        a = Sender(cwnd=10**6, max_burst=4)
        a.send(count=100)
        a.pull()
        a.sack(4)
        a.pull()
        acknowledge(a, 12)
        released.append(len(a.pull()))
    assert released[0] == released[1] > 4


def test_a_shutdown_ends_fast_recovery() -> None:
    a = in_flight(6)
    for last in (3, 4, 5):
        a.sack(1, (3, last))
    assert a.pull() == [[2]]
    a.shutdown_acks(6)
    assert a.queue.recovery.exit_point is None


# -- what cannot be true -----------------------------------------------------------------------------


@pytest.mark.parametrize("cumulative", [5, 6, 1000, 2**31 - 2])
def test_12_4_a_sack_beyond_the_highest_tsn_sent_changes_nothing(cumulative: int) -> None:
    a = in_flight(4)
    assert not a.sack(cumulative)
    assert a.queue.never_sent_acknowledged
    assert a.queue.flight_size == 4 * PMDCS
    assert a.sack(4)


def test_12_4_nor_does_a_gap_ack_block_beyond_it() -> None:
    a = in_flight(4)
    assert not a.sack(1, (3, 5))
    assert a.queue.never_sent_acknowledged
    assert a.queue.cumulative_tsn_ack == 999
    assert a.queue.flight_size == 4 * PMDCS


def test_12_4_nor_does_a_shutdown() -> None:
    a = in_flight(4)
    assert not a.shutdown_acks(5)
    assert a.queue.never_sent_acknowledged
    assert a.queue.flight_size == 4 * PMDCS


def test_a_late_sack_is_not_taken_for_one_of_the_future() -> None:
    a = in_flight(4)
    a.sack(4)
    assert not a.sack(0, (2, 4))
    assert not a.sack(-5, (-3, -1))
    assert not a.queue.never_sent_acknowledged


@pytest.mark.parametrize("blocks", [((3, 2),), ((0, 0),), ((0, 3),), ((2, 2), (4, 3))])
def test_gap_ack_blocks_that_cannot_be_true_are_counted_and_ignored(
    blocks: tuple[tuple[int, int], ...],
) -> None:
    a = in_flight(6)
    assert not a.queue.handle_sack(Sack(999, WIDE_OPEN, row_of(blocks)), a.now)
    assert a.queue.counters.dropped == {IMPOSSIBLE_GAPS: 1}
    assert a.queue.flight_size == 6 * PMDCS


def test_unsorted_and_overlapping_gap_ack_blocks_mean_what_they_cover() -> None:
    a = in_flight(12)
    blocks = ((9, 10), (2, 4), (3, 3), (4, 6), (7, 7), (2, 2))
    a.queue.handle_sack(Sack(999, WIDE_OPEN, row_of(blocks)), a.now)
    assert a.queue._data.gap_bounds == [1001, 1006, 1008, 1009]
    assert a.queue.flight_size == 4 * PMDCS


def test_a_gap_ack_block_that_says_the_cumulative_tsn_ack_is_wrong() -> None:
    # the peer contradicts itself: nothing may get stuck by that
    a = in_flight(3)
    a.sack(0, (1, 3))
    assert a.queue.flight_size == 0
    assert a.queue.t3_rtx.running
    assert a.expire()
    assert a.pull() == [[1]]
    a.sack(3, after=0.1)
    assert a.queue.is_empty
    assert not a.queue.t3_rtx.running


def test_messages_end_even_if_they_were_only_gap_acknowledged() -> None:
    a = in_flight(3)
    a.sack(0, (1, 3))
    assert a.sack(3)
    assert a.queue.is_empty


# -- costs -------------------------------------------------------------------------------------------


class CountingDict(dict[int, OutstandingChunk]):
    """Counts how often a chunk is looked at."""

    looked_at = 0

    def __init__(self, original: dict[int, OutstandingChunk]) -> None:
        super().__init__(original)
        self.original = original

    def __getitem__(self, tsn: int) -> OutstandingChunk:
        self.looked_at += 1
        return super().__getitem__(tsn)

    def _scan(self) -> NoReturn:
        raise AssertionError("a SACK makes us look at all that is outstanding")

    __iter__ = keys = values = items = _scan


def small_messages_in_flight(count: int) -> tuple[Sender, CountingDict]:
    a = Sender(cwnd=10**8, peer_rwnd=10**9, max_burst=2**16)
    for _ in range(count):
        a.send(1, unordered=True)
    while a.queue.chunks_to_send(a.room, a.now):
        pass
    assert a.queue.outstanding_count == count
    chunks = a.queue._data.chunks = CountingDict(a.queue._data.chunks)
    return a, chunks


def look_ups(a: Sender, chunks: CountingDict, *blocks: tuple[int, int]) -> int:
    before = chunks.looked_at
    a.queue.handle_sack(Sack(999, WIDE_OPEN, row_of(blocks)), a.now)
    a.queue.catch_up()
    return chunks.looked_at - before


def test_sixty_blocks_of_1_to_65535_are_cheap() -> None:
    a, chunks = small_messages_in_flight(66_000)
    assert look_ups(a, chunks, *[(2, 65535)] * 60) == 65_534, "each is acknowledged once"
    for _ in range(100):
        assert look_ups(a, chunks, *[(2, 65535)] * 60) == 0


def test_a_sack_costs_nothing_for_what_is_outstanding() -> None:
    a, chunks = small_messages_in_flight(60_000)
    blocks = [(n, n) for n in range(2, 120, 2)]
    assert look_ups(a, chunks, *blocks) == 59
    # three SACKs are miss indications for all below: those are visited once, and not again
    assert look_ups(a, chunks, *blocks, (122, 122)) == 1
    assert look_ups(a, chunks, *blocks, (122, 122), (124, 124)) <= 1 + 118
    for last in range(126, 200, 2):
        assert look_ups(a, chunks, *blocks, (122, 122), (124, last)) <= 6


def test_taking_back_and_acknowledging_again_without_end_becomes_cheap() -> None:
    a, chunks = small_messages_in_flight(60_000)
    total = 0
    for _ in range(10):
        total += look_ups(a, chunks, (2, 60_000))
        total += look_ups(a, chunks, (60_000, 60_000))
    assert total < 5 * 60_000
    assert a.queue.flight_size == 60_000 * 20, "gap ack blocks of this peer count no more"
    a.queue._data.chunks = chunks.original
    assert a.sack(60_000)
    a.queue.catch_up()
    assert a.queue.is_empty


# -- timer T3-rtx (§6.3.2) ---------------------------------------------------------------------------


def test_r1_t3_is_started_by_the_first_data_and_left_alone_by_more() -> None:
    a = Sender(cwnd=10**6)
    a.send()
    a.pull()
    assert a.t3_in == 1.0
    a.now += 0.4
    a.send()
    a.pull()
    assert a.t3_in == pytest.approx(0.6)


def test_r2_t3_stops_when_everything_is_acknowledged() -> None:
    a = in_flight(2)
    a.sack(2)
    assert not a.queue.t3_rtx.running


def test_r3_t3_is_restarted_when_the_earliest_tsn_is_acknowledged() -> None:
    a = in_flight(3)
    a.sack(1, after=0.5)
    assert a.t3_in == a.rto.rto


def test_r3_t3_goes_on_when_only_later_tsns_are_acknowledged() -> None:
    a = in_flight(3)
    a.sack(0, (2, 3), after=0.5)
    assert a.t3_in == 0.5
