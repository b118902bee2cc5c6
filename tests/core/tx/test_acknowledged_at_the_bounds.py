"""What an acknowledgement means to the last detail, where changes had not been noticed."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.tx_sender import FULL, IMPOSSIBLE_GAPS, PMDCS, Sender
from trio_sctp._core.tx.outgoing_message import OutgoingMessage
from trio_sctp._core.tx.outstanding_data import MAX_RENEGED_CHUNKS, OutstandingData


def test_a_shutdown_that_acknowledges_restarts_t3() -> None:
    """RFC 9260 §6.3.2 R3 and §9.2: as a SACK does; and R2 when it acknowledges all."""
    a = Sender(cwnd=10**6)
    a.send(count=3)
    a.pull()
    a.shutdown_acks(1, after=0.5)
    assert a.t3_in == a.rto.rto
    a.shutdown_acks(3, after=0.1)
    assert not a.queue.t3_rtx.running


def test_a_round_trip_is_measured_of_what_was_sent_as_the_last_one_ended() -> None:
    """§6.3.1 C4: one measurement for each round trip, and none is left out."""
    a = Sender()
    for seconds in (0.1, 0.3):
        a.send()
        a.pull()
        a.sack(a.queue._data.next_tsn - 1000, after=seconds)
    assert a.rto.srtt == pytest.approx(0.1 * 7 / 8 + 0.3 / 8)


@pytest.mark.parametrize("later", [0.0, 0.1])
def test_new_data_tells_the_round_trip_beside_an_older_retransmission(later: float) -> None:
    """§6.3.1 C5: of two that were sent at once nobody knows which one the SACK answers."""
    a = Sender(cwnd=20_000)
    a.send(count=4)
    a.pull()
    for last in (2, 3, 4):
        a.sack(0, (2, last), after=0.1)
    before = a.rto.srtt
    assert a.pull() == [[1]]
    a.now += later
    a.send()
    assert a.pull() == [[5]]
    a.sack(5, after=0.5)
    assert before is not None
    assert a.rto.srtt == (pytest.approx(before * 7 / 8 + 0.5 / 8) if later else before)


def test_each_sack_that_makes_no_sense_is_counted() -> None:
    a = Sender()
    a.send(count=2)
    a.pull()
    for _ in range(2):
        assert not a.sack(0, (2, 1))
    assert a.queue.counters.dropped == {IMPOSSIBLE_GAPS: 2}


# -- a SHUTDOWN acknowledges as a SACK does (§9.2, §6.2.1)


def acknowledge(a: Sender, by: str, cumulative: int, **options: Any) -> None:
    if by == "SACK":
        a.sack(cumulative, after=0.1, **options)
    else:
        a.shutdown_acks(cumulative, after=0.1)


def in_recovery() -> Sender:
    """Of 30 packets 1, 20 and 22 are missing; the first was sent again, and much waits."""
    a = Sender(cwnd=30 * PMDCS, max_burst=2**16, loss_recovery="rack")
    a.send(count=30)
    a.pull()
    a.sack(0, (2, 19), (21, 21), after=0.1)
    a.time_out()
    assert a.pull() == [[1]]
    a.send(count=20)
    return a


@pytest.mark.parametrize("by", ["SACK", "SHUTDOWN"])
def test_in_a_recovery_it_releases_one_packet_more_than_it_acknowledges(by: str) -> None:
    """RFC 6937 §3, below ssthresh."""
    a = in_recovery()
    assert a.queue.flight_size < a.queue.ssthresh
    if by == "SACK":
        a.sack(19, (21, 21), after=0.01)
    else:
        a.shutdown_acks(19, after=0.01)
    assert a.pull() == [[20], [31]]


def test_one_that_does_not_advance_releases_what_it_acknowledges() -> None:
    a = in_recovery()
    a.sack(0, (2, 19), (21, 22), after=0.01)
    assert a.pull() == [[20]]


def test_nor_does_one_that_shows_further_losses_release_more() -> None:
    a = in_recovery()
    a.sack(19, (21, 21), after=0.1)  # time enough for the retransmission: the others are late
    assert a.pull() == [[20]]


@pytest.mark.parametrize("by", ["SACK", "SHUTDOWN"])
def test_it_ends_the_wait_of_a_zero_window_probe(by: str) -> None:
    """§6.1 A: the peer has taken the probe; the next one goes after one RTO again."""
    a = Sender(cwnd=20 * PMDCS)
    a.send()
    a.pull()
    a.sack(1, a_rwnd=0, after=0.1)
    a.send(count=3)
    for _ in range(4):
        a.pull()
        a.expire()
        a.sack(1, a_rwnd=0)
    a.pull()
    if by == "SACK":
        a.sack(2, a_rwnd=0)
    else:
        a.shutdown_acks(2)
    a.pull()
    assert a.t3_in == a.rto.rto


@pytest.mark.parametrize("cumulative, counts", [(0, False), (1, False), (2, True), (4, False)])
def test_whether_it_has_acknowledged_anything_new_is_told(cumulative: int, counts: bool) -> None:
    """§8.1: whoever counts errors has to know."""
    a = Sender(cwnd=10**6)
    a.send(count=3)
    a.pull()
    a.sack(1)
    assert a.shutdown_acks(cumulative) is counts
    assert a.queue.never_sent_acknowledged is (cumulative == 4)


# -- what was sent on the other side of a TSN reset (RFC 6525 §5.2.7)


@pytest.mark.parametrize("by", ["SACK", "SHUTDOWN"])
@pytest.mark.parametrize("initial_tsn", [1000, 2**30 - 1, 2**31, 2**32 - 4])
def test_it_is_not_taken_for_an_acknowledgement_of_the_future(by: str, initial_tsn: int) -> None:
    a = Sender(initial_tsn=initial_tsn, cwnd=10**6, max_burst=2**16)
    a.send(count=5)
    a.pull()
    a.sack(5)
    a.queue.reset_tsn((initial_tsn + 5 + 2**31 + 2) & 0xFFFFFFFF)
    acknowledge(a, by, 3)
    assert not a.queue.never_sent_acknowledged
    acknowledge(a, by, 2**31 + 2**30)
    assert a.queue.never_sent_acknowledged, "that was never sent"


# -- whether cwnd was used up (§7.2.1)


def test_one_sack_after_the_other_grows_a_window_that_more_data_will_fill() -> None:
    a = Sender(cwnd=4 * PMDCS)
    a.send(count=10)
    a.pull()
    a.sack(1)
    a.sack(2)
    assert a.queue.cwnd == 6 * PMDCS


def test_nothing_grows_a_window_any_more_that_nothing_will_fill() -> None:
    a = Sender(cwnd=4 * PMDCS)
    a.send(count=4)
    a.pull()
    a.sack(1)
    a.sack(2)
    assert a.queue.cwnd == 5 * PMDCS


def test_unless_it_is_full_still() -> None:
    a = Sender(cwnd=3 * PMDCS + 100)
    a.send(12)
    a.pull()
    a.send(count=4)
    a.pull()
    a.sack(1)
    a.sack(2)
    assert a.queue.cwnd == 3 * PMDCS + 100 + 28 + PMDCS


# -- the peer's window


def test_a_window_that_stays_closed_lets_nothing_go_again() -> None:
    """What is under way may still be taken; only an open window shows that it was not (§6.1 A)."""
    a = Sender(cwnd=20 * PMDCS)
    a.send()
    a.pull()
    a.sack(1, a_rwnd=PMDCS, after=0.1)
    a.send(100, count=4)
    assert a.pull() == [[2, 3, 4, 5]]
    a.sack(1, a_rwnd=0, after=0.1)
    a.expire()
    assert a.pull() == [[2, 3, 4, 5]]
    a.sack(3, a_rwnd=0, after=0.1)
    assert a.pull() == []
    a.sack(5, a_rwnd=0, after=0.1)
    assert a.queue.retransmitted_chunks == 4


def test_what_is_left_of_a_message_may_fit_where_the_whole_would_not() -> None:
    a = Sender(peer_rwnd=3 * FULL, cwnd=20 * PMDCS)
    a.send(3 * FULL)
    assert a.pull() == [[1], [2], [3]]


# -- what had been lost, or was thought to be, and has arrived


def outstanding(count: int) -> OutstandingData:
    """Chunks of 28 bytes with 10 of a message, of which 1 is the first."""
    data = OutstandingData(1)
    message = OutgoingMessage(0, 0, bytes(10 * count + 10))
    for _ in range(count):
        data.add(bytes(28), 10, message, 0.0)
    data.begin_sack()
    return data


@pytest.mark.parametrize("by", ["cumulative TSN ack", "gap ack blocks"])
def test_all_bytes_count_of_those_that_had_been_lost_and_come_after_all(by: str) -> None:
    """RFC 9260 §7.2.1: cwnd grows by what is newly acknowledged, in flight or not."""
    data = outstanding(5)
    for tsn in (2, 3, 5):
        data.mark(data.chunks[tsn])
    if by == "cumulative TSN ack":
        assert data.acknowledge_to(5) == 5 * 28
    else:
        assert data.acknowledge_gaps([2, 5])[0] == 4 * 28
    assert data.marked_count == 0


def test_one_that_was_taken_for_lost_and_not_sent_again_has_come_late() -> None:
    """RFC 8985 §6.2 step 4: the path has reordered it, whatever was thought of it meanwhile."""
    data = outstanding(3)
    data.acknowledge_gaps([3, 3])
    data.mark(data.chunks[1])
    data.begin_sack()
    data.acknowledge_to(1)
    assert data.reordered


@pytest.mark.parametrize("length", [20, 1000])
def test_gap_ack_blocks_are_ignored_once_too_much_was_taken_back(length: int) -> None:
    """RFC 9260 §3.3.4: they are advisory.  What counts is how many chunks, whatever runs they are in."""
    data = outstanding(length + 1)
    times = MAX_RENEGED_CHUNKS // length
    for time in range(times + 1):
        assert data.ignores_gap_acks == (time * length > MAX_RENEGED_CHUNKS)
        data.acknowledge_gaps([2, length + 1])
        data.acknowledge_gaps([])
        data.reneged.clear()
    assert data.ignores_gap_acks
