"""RFC 9260 §7.2.4: miss indications, fast retransmit and fast recovery."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings, strategies as st

from tests.support.tx_invariants import check_invariants
from tests.support.tx_sender import FULL, PMDCS, Sender
from trio_sctp._core.tx.outgoing_message import OutgoingMessage
from trio_sctp._core.tx.outstanding_data import ACKED, IN_FLIGHT, MARKED, OutstandingData


def in_flight(count: int, *, size: int = FULL, cwnd: int = 10**6) -> Sender:
    a = Sender(cwnd=cwnd, max_burst=2**16)
    a.send(size, count=count)
    a.pull()
    return a


def lose(a: Sender, cumulative: int, first: int, last: int) -> None:
    """SACKs report ``first`` to ``last`` one after the other."""
    for tsn in range(first, last + 1):
        a.sack(cumulative, (first, tsn))


def in_recovery(a: Sender) -> bool:
    return a.queue.recovery.exit_point is not None


def test_two_miss_indications_are_not_enough() -> None:
    a = in_flight(5)
    lose(a, 1, 3, 4)
    assert a.pull() == []


def test_three_miss_indications_retransmit_at_once() -> None:
    # A -> DATA 1..5 -> Z, 2 is lost
    # A <- SACK 1 (3), SACK 1 (3-4), SACK 1 (3-5)
    a = in_flight(5)
    lose(a, 1, 3, 5)
    assert a.pull() == [[2]]


def test_only_missing_tsns_below_the_highest_newly_acknowledged_count() -> None:
    # 2 and 6 are missing.  The later SACKs newly acknowledge 3 to 5: below 6.
    a = in_flight(8)
    a.sack(1, (7, 7))
    a.sack(1, (3, 3), (7, 7))
    a.sack(1, (3, 5), (7, 7))
    assert a.pull() == [[2]]
    a.sack(1, (3, 5), (7, 8))
    assert a.pull() == [], "6 has two"


def test_in_recovery_an_advance_counts_for_all_that_is_reported_missing() -> None:
    # 2 and 6 are missing; 6 has one indication when recovery begins
    a = in_flight(9)
    a.sack(1, (3, 3), (7, 7))
    a.sack(1, (3, 4), (7, 7))
    a.sack(1, (3, 5), (7, 7))
    assert a.pull() == [[2]]
    a.sack(5, (7, 7))  # newly acknowledged by the cumulative TSN ack alone
    assert a.pull() == []
    a.sack(5, (7, 8))
    assert a.pull() == [[6]]


def test_k_chunks_go_in_one_packet_whatever_cwnd_says() -> None:
    a = in_flight(60, size=64)
    a.queue.congestion.cwnd = 4 * PMDCS
    lose(a, 0, 41, 43)  # 1 to 40 are lost
    [packet, *rest] = a.pull()
    assert packet == list(range(1, 15))
    assert rest == [list(range(15, 29)), list(range(29, 41))], "cwnd allows these"


def test_only_the_first_packet_ignores_cwnd() -> None:
    a = in_flight(60)
    a.queue.congestion.cwnd = 20 * PMDCS
    lose(a, 0, 4, 6)  # 1 to 3 are lost, 54 packets are in flight
    assert a.pull() == [[1]]
    assert a.queue.cwnd == 10 * PMDCS
    a.sack(1, (4, 30), after=0.1)  # still 30 in flight
    assert a.pull() == []
    a.sack(1, (4, 59), after=0.1)
    assert a.pull()[:2] == [[2], [3]], "the others were marked and go as soon as cwnd allows"


def test_no_chunk_is_fast_retransmitted_twice() -> None:
    a = in_flight(30)
    lose(a, 0, 2, 4)
    assert a.pull() == [[1]]
    lose(a, 0, 2, 30)
    assert a.pull() == []
    a.expire()
    assert a.pull() == [[1]], "T3-rtx helps"


def test_step_5_not_even_after_a_timeout_in_between() -> None:
    a = in_flight(30)
    lose(a, 0, 2, 4)
    assert a.pull() == [[1]]
    a.expire()
    assert a.pull()[0] == [1]
    for last in range(5, 20):
        a.sack(0, (2, last))
    assert 1 not in {tsn for packet in a.pull() for tsn in packet}
    assert a.queue._data.chunks[1000].state == IN_FLIGHT


def test_chunks_that_are_late_one_after_the_other_are_no_loss() -> None:
    """Each was reported missing once, and came then."""
    a = in_flight(20, cwnd=10 * PMDCS)
    before = a.queue.cwnd
    for tsn in (2, 4, 6, 8):
        a.sack(tsn - 2, (tsn, tsn))
        a.sack(tsn)
    assert not in_recovery(a)
    assert a.queue.cwnd >= before


def test_recovery_halves_cwnd_once() -> None:
    a = in_flight(100)
    a.queue.congestion.cwnd = 100 * PMDCS
    lose(a, 0, 2, 4)
    assert a.queue.cwnd == a.queue.ssthresh == 50 * PMDCS
    a.pull()
    for last in (6, 7, 8):  # 5 is lost as well
        a.sack(0, (2, 4), (6, last))
    assert a.queue.retransmitted_chunks == 1
    assert a.queue._data.marked_count == 1
    assert a.queue.cwnd == 50 * PMDCS


def test_recovery_ends_when_its_exit_point_is_acknowledged() -> None:
    a = in_flight(10)
    lose(a, 0, 2, 4)
    a.pull()
    a.send(count=5)
    a.pull()  # 11 to 15 were not outstanding when recovery began
    a.sack(9, (11, 11), after=0.1)
    assert in_recovery(a)
    a.sack(10, after=0.1)
    assert not in_recovery(a)
    cwnd = a.queue.cwnd
    for last in (13, 14, 15):  # 12 is lost, and that is a new event
        a.sack(11, (13, last))
    assert a.queue.cwnd == max(cwnd // 2, 4 * PMDCS)


def test_cwnd_does_not_grow_in_recovery() -> None:
    a = in_flight(60, cwnd=60 * PMDCS)
    a.queue.congestion.cwnd = 60 * PMDCS
    lose(a, 0, 2, 4)
    cwnd = a.queue.cwnd
    a.pull()
    for last in range(5, 40):
        a.sack(0, (2, last))
        a.pull()
    assert a.queue.cwnd == cwnd


def test_growth_is_applied_before_the_cut() -> None:
    # the note at the end of §7.2.4
    a = in_flight(8, cwnd=8 * PMDCS)
    a.send(FULL)  # what keeps cwnd full
    a.sack(1, (3, 3))
    a.sack(1, (3, 4))
    cwnd = a.queue.cwnd
    a.sack(1, (3, 5))
    assert a.queue.cwnd == max((cwnd + PMDCS) // 2, 4 * PMDCS)


def test_step_4_t3_restarts_when_the_earliest_chunk_is_retransmitted() -> None:
    a = in_flight(10)
    a.now += 0.5
    lose(a, 0, 2, 4)
    a.pull()
    assert a.t3_in == a.rto.rto


def test_step_4_t3_goes_on_when_another_chunk_is_retransmitted() -> None:
    a = in_flight(10)
    lose(a, 0, 2, 4)
    a.pull()  # 1
    deadline = a.queue.t3_rtx.deadline
    a.now += 0.5
    for last in (6, 7, 8):  # 5 too
        a.sack(0, (2, 4), (6, last))
    assert a.pull() == [[5]]
    assert a.queue.t3_rtx.deadline == deadline


def test_marked_chunks_that_arrive_after_all_are_not_retransmitted() -> None:
    a = in_flight(30)
    a.queue.congestion.cwnd = 4 * PMDCS
    lose(a, 0, 5, 7)
    assert a.pull() == [[1]]
    a.sack(0, (2, 7), after=0.1)  # 2 to 4 were only late
    assert a.pull() == []
    assert a.queue._data.marked_count == 0


def test_a_chunk_made_for_a_larger_mtu_goes_alone() -> None:
    # §6.9: what was fragmented once is not fragmented again
    a = Sender(path_mtu=9000, cwnd=10**6, peer_rwnd=10**7, max_burst=100)
    a.send(8000, count=2)
    a.send(100, count=5)
    a.pull()
    a.queue._pmdcs = PMDCS
    a.room = PMDCS
    a.expire()
    a.queue.congestion.cwnd = 10**6
    a.queue._one_packet_only = False
    assert a.pull() == [[1], [2], [3, 4, 5, 6, 7]]


# -- the rule of the third highest HTNA against counting chunk by chunk ------------------------------


class NaiveCounter:
    """§7.2.4 word for word: a count for every TSN."""

    def __init__(self) -> None:
        self.misses: Counter[int] = Counter()
        self.acked: set[int] = set()
        self.fast_retransmitted: set[int] = set()

    def sack(
        self, cumulative: int, gaps: set[int], *, in_recovery: bool, advanced: bool
    ) -> set[int]:
        """Which TSNs have three miss indications now."""
        reported = gaps | set(range(1, cumulative + 1))
        new = reported - self.acked
        self.acked |= reported
        limit = max(new & gaps, default=0)
        if in_recovery and advanced:
            limit = max(gaps, default=0)
        lost = set()
        for tsn in range(cumulative + 1, limit):
            if tsn not in self.acked:
                self.misses[tsn] += 1
                if self.misses[tsn] == 3 and tsn not in self.fast_retransmitted:
                    lost.add(tsn)
        self.fast_retransmitted |= lost
        return lost


TSNS = 24


def ranges_of(tsns: set[int]) -> list[tuple[int, int]]:
    ranges: list[tuple[int, int]] = []
    for tsn in sorted(tsns):
        if ranges and ranges[-1][1] == tsn - 1:
            ranges[-1] = ranges[-1][0], tsn
        else:
            ranges.append((tsn, tsn))
    return ranges


def marked_tsns(a: Sender) -> set[int]:
    return {tsn for tsn, chunk in a.queue._data.chunks.items() if chunk.state == MARKED}


@given(
    # in which order the receiver got which TSNs; after which of them it sent a SACK that arrived;
    # after which of these the sender could send
    arrivals=st.permutations(range(1, TSNS + 1)),
    count=st.integers(1, TSNS),
    sacked=st.integers(0, 2**TSNS - 1),
    pulled=st.integers(0, 2**TSNS - 1),
)
@settings(max_examples=250, deadline=None)
def test_the_third_highest_htna_is_the_same_as_counting_per_chunk(
    arrivals: list[int], count: int, sacked: int, pulled: int
) -> None:
    a = Sender(initial_tsn=1, cwnd=10**6, max_burst=2**16)
    a.send(count=TSNS)
    a.pull()
    naive = NaiveCounter()
    received: set[int] = set()
    cumulative = 0
    for index, tsn in enumerate(arrivals[:count]):
        received.add(tsn)
        if not sacked >> index & 1:
            continue
        before = cumulative
        while cumulative + 1 in received:
            cumulative += 1
        gaps = {tsn for tsn in received if tsn > cumulative}
        point = a.queue.recovery.exit_point
        in_recovery = point is not None and cumulative < point
        marked_before = marked_tsns(a)
        a.sack(cumulative, *ranges_of(gaps))
        lost = naive.sack(cumulative, gaps, in_recovery=in_recovery, advanced=cumulative > before)
        assert marked_tsns(a) - marked_before == lost
        if pulled >> index & 1:  # what was retransmitted is in flight again and not marked twice
            while a.queue.chunks_to_send(a.room, a.now):
                pass


# -- sets of TSNs as bounds --------------------------------------------------------------------------


@given(st.lists(st.integers(0, 2**29 - 1), min_size=1, max_size=8))
@settings(max_examples=200, deadline=None)
def test_gap_ack_blocks_that_come_and_go_leave_exactly_the_last_ones_acknowledged(
    reports: list[int],
) -> None:
    data = OutstandingData(1)
    message = OutgoingMessage(0, 0, bytes(300))
    for _ in range(30):
        data.add(bytes(28), 10, message, 0.0)
    acked: set[int] = set()
    for bits in reports:
        report = {tsn for tsn in range(2, 31) if bits >> (tsn - 2) & 1}
        newly_acked, htna, reneged = data.acknowledge_gaps(
            [bound for run in ranges_of(report) for bound in run]
        )
        assert newly_acked == 28 * len(report - acked)
        assert reneged == bool(acked - report)
        if not reneged:
            assert htna == max(report - acked, default=None)
        acked = report
        assert {tsn for tsn, chunk in data.chunks.items() if chunk.state == ACKED} == acked
        assert all(data.chunks[t].state == IN_FLIGHT for t in data.chunks if t not in acked)
        assert data.flight_size == 28 * (30 - len(acked))
        assert data.flight_payload == 10 * (30 - len(acked))


def test_the_helpers_notice_what_is_wrong() -> None:
    a = in_flight(3)
    a.queue._data.flight_size += 1
    try:
        check_invariants(a.queue)
    except AssertionError:
        return
    raise AssertionError("a wrong flight size went unnoticed")
