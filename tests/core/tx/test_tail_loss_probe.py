"""The tail loss probe to the last detail (RFC 8985 §7): when it goes, what it is, what comes of it."""

from __future__ import annotations

import pytest

from tests.support.tx_sender import FULL, PMDCS, Sender
from trio_sctp._wire.chunks import Sack


def measured(rtt: float = 0.1, *, times: int = 1) -> Sender:
    """Nothing in flight, and a path whose round trip is known.  TSNs go on with ``times`` + 1."""
    a = Sender(cwnd=10**6, max_burst=2**16, loss_recovery="rack")
    for tsn in range(1, times + 1):
        a.send()
        a.pull()
        a.sack(tsn, after=rtt)
    return a


def sent_by_probe(a: Sender) -> list[list[int]]:
    """What the next timer sends, which is not T3-rtx."""
    assert a.queue.recovery.timer.deadline < a.queue.t3_rtx.deadline
    a.time_out()
    return a.pull()


def next_probe(a: Sender) -> float:
    """Seconds until something goes out by itself."""
    began = a.now
    while not sent_by_probe(a):
        pass
    return round(a.now - began, 6)


# -- when (§7.2)


def test_it_goes_two_round_trips_after_the_last_packet() -> None:
    a = measured(0.1)
    a.send(count=2)
    a.pull()
    a.now += 0.05
    a.send(count=2)
    a.pull()
    assert next_probe(a) == pytest.approx(0.2)


def test_a_steady_path_is_given_half_a_round_trip_more_than_one() -> None:
    """Its round trips hardly vary."""
    a = measured(0.1, times=30)
    a.send(count=2)
    a.pull()
    assert next_probe(a) == pytest.approx(0.15)


def test_after_a_sack_it_is_given_what_exceeds_a_round_trip() -> None:
    """The rest of the flight was sent when the SACK's packet was; a queue that fills up counts."""
    a = measured(0.1, times=30)
    a.send(count=4)
    a.pull()
    a.sack(31, after=0.14)
    assert next_probe(a) == pytest.approx(0.14 / 2)


def test_the_only_packet_in_flight_is_given_the_time_of_a_delayed_sack() -> None:
    a = measured(0.1)
    a.send()
    assert not a.pull_chunks()[0][0].immediate
    assert next_probe(a) == pytest.approx(0.2 + 0.2)


def test_nobody_waits_for_a_sack_that_was_asked_for() -> None:
    """RFC 7053: the I bit of the chunk that ends a burst."""
    a = measured(0.1)
    a.send(count=2)
    assert [chunk.immediate for (chunk,) in a.pull_chunks()] == [False, True]
    a.sack(2, after=0.1)
    assert a.queue.flight_size == PMDCS, "the last packet alone is in flight"
    assert next_probe(a) <= 0.1


def test_a_path_of_microseconds_is_given_ten_milliseconds() -> None:
    a = measured(0.0001, times=30)
    a.send(count=2)
    a.pull()
    assert next_probe(a) == pytest.approx(0.01, abs=0.001)
    assert next_probe(a) == pytest.approx(0.02, abs=0.001)


def test_there_is_none_before_a_round_trip_was_measured() -> None:
    a = Sender(cwnd=10**6, loss_recovery="rack")
    a.send(count=3)
    a.pull()
    a.time_out()
    assert a.now == pytest.approx(101.0), "T3-rtx"


def test_each_further_one_of_the_same_silence_takes_twice_as_long() -> None:
    a = measured(0.1)
    a.send(count=2)
    a.pull()
    assert [next_probe(a) for _ in range(2)] == pytest.approx([0.2, 0.3])
    a.queue.t3_rtx.stop()
    assert next_probe(a) == pytest.approx(0.6)


def test_it_is_waited_for_as_soon_as_a_round_trip_was_measured() -> None:
    a = Sender(cwnd=10**6, loss_recovery="rack")
    a.send(count=4)
    a.pull()
    a.sack(2, after=0.1)
    assert next_probe(a) == pytest.approx(0.1), "of two round trips one has passed"


def test_an_answer_to_new_data_ends_the_series() -> None:
    a = measured(0.1)
    a.queue.congestion.cwnd = 4 * PMDCS
    a.send(count=6)
    a.pull()
    next_probe(a)
    next_probe(a)
    a.sack(6, after=0.01)
    # that was a round trip of 0.31 seconds, and TSN 7 is under way for 0.01
    assert next_probe(a) == pytest.approx(0.61)


def test_an_answer_to_a_retransmission_ends_the_series() -> None:
    a = measured(0.1)
    a.send(count=4)
    a.pull()
    a.expire()
    a.pull()
    next_probe(a)
    next_probe(a)
    a.sack(2, after=0.1)
    a.queue.congestion.cwnd = 10**6
    a.pull()
    assert next_probe(a) == pytest.approx(0.2)


def test_an_answer_ends_the_series() -> None:
    a = measured(0.1)
    a.send(count=6)
    a.pull()
    next_probe(a)
    next_probe(a)
    a.sack(7, after=0.1)
    a.send(count=2)
    a.pull()
    assert next_probe(a) == pytest.approx(0.2)


def test_an_answer_that_measures_nothing_does_not_begin_another_series() -> None:
    """§7.3: it is not known how long a silence is on this path now."""
    a = measured(0.1)
    a.send()
    a.pull()
    assert next_probe(a) == pytest.approx(0.4)
    a.sack(2, after=0.5)  # of the first transmission, or of the second
    a.send(count=2)
    a.pull()
    a.time_out()
    assert a.pull() == [[3]]
    assert a.rto.rto == 2.0, "T3-rtx it was"


def test_a_sack_is_asked_for_twice_in_a_round_trip_at_most() -> None:
    a = measured(0.1)
    a.send()
    a.pull()
    asked = []
    for _ in range(9):
        a.send(10)
        asked.append(a.pull_chunks()[0][0].immediate)
        a.now += 0.02
    assert asked == [True, False, False] * 3


# -- what (§7.3)


def test_new_data_is_preferred_though_cwnd_is_full() -> None:
    a = measured()
    a.queue.congestion.cwnd = 4 * PMDCS
    a.send(count=6)
    assert a.pull() == [[2], [3], [4], [5]]
    assert sent_by_probe(a) == [[6]], "one packet"


def test_the_rest_of_a_message_that_fits_the_peers_window_is_new_data() -> None:
    a = measured()
    a.sack(1, a_rwnd=4 * FULL + 100)
    a.queue.congestion.cwnd = 4 * PMDCS
    a.send(4 * FULL + 50)
    assert a.pull() == [[2], [3], [4], [5]]
    assert sent_by_probe(a) == [[6]]


def test_what_the_peer_has_no_room_for_is_not() -> None:
    a = measured()
    a.sack(1, a_rwnd=4 * FULL + 100)
    a.queue.congestion.cwnd = 4 * PMDCS
    a.send(4 * FULL + 101)
    assert a.pull() == [[2], [3], [4], [5]]
    assert sent_by_probe(a) == [[5]]


def test_the_last_chunk_goes_again_and_asks_for_its_sack() -> None:
    a = measured()
    a.send(count=3)
    a.pull()
    a.time_out()
    ((chunk,),) = a.pull_chunks()
    assert (chunk.tsn - a.before_first, chunk.immediate) == (4, True)


def test_6_2_1_it_takes_none_of_the_peers_window() -> None:
    a = measured()
    a.sack(1, a_rwnd=10 * FULL)
    a.send(count=4)
    a.pull()
    assert sent_by_probe(a) == [[5]]
    a.send(count=10)
    assert len(a.pull()) == 6


def test_after_t3_rtx_it_is_the_one_packet_that_was_in_flight() -> None:
    """RFC 9260 §7.2.1: no more than one is, until something is acknowledged."""
    a = measured()
    a.sack(1, a_rwnd=10 * FULL)
    a.send(count=4)
    a.pull()
    a.expire()
    assert a.pull() == [[2]]
    began = a.now
    assert sent_by_probe(a) == []
    a.time_out()
    ((chunk,),) = a.pull_chunks()
    assert a.now - began == pytest.approx(0.2), "its SACK was asked for"
    assert (chunk.tsn - a.before_first, chunk.immediate) == (2, True)
    assert a.queue.flight_size == PMDCS
    assert a.queue.peer_rwnd == 9 * FULL, "§6.2.1 C"


def test_silence_within_a_recovery_is_probed_though_no_more_may_go_out() -> None:
    a = measured()
    a.send(count=9)
    a.pull()
    a.sack(1, (3, 5), after=0.1)
    assert sent_by_probe(a) == [[2]], "it is lost, by RACK"
    assert sent_by_probe(a) == []
    assert sent_by_probe(a) == [[10]]


# -- what comes of it (§7.4)


@pytest.mark.parametrize("acknowledged", [[22], [21, 22]])
def test_a_loss_that_it_has_repaired_is_a_sign_of_congestion_once(acknowledged: list[int]) -> None:
    a = measured()
    a.queue.congestion.cwnd = 20 * PMDCS
    a.send(count=20)
    a.pull()
    a.sack(19, after=0.1)
    assert sent_by_probe(a) == [[21]]
    before = a.queue.cwnd
    a.send(count=2)
    a.pull()
    for tsn in acknowledged:
        a.sack(tsn, after=0.05)
    assert a.queue.cwnd == before // 2
    a.sack(23, after=0.1)
    assert a.queue.cwnd == before // 2


def test_duplicates_show_that_nothing_was_lost() -> None:
    a = measured()
    a.queue.congestion.cwnd = 20 * PMDCS
    a.send(count=20)
    a.pull()
    a.sack(19, after=0.1)
    assert sent_by_probe(a) == [[21]]
    before = a.queue.cwnd
    a.send(count=2)
    a.pull()
    tsn = a.before_first + 21
    a.sack(21, after=0.05)  # for the first of the two
    assert a.queue.cwnd >= before
    a.now += 0.05
    a.queue.handle_sack(Sack(tsn, 10**6, (), [tsn]), a.now)
    a.sack(22, after=0.1)
    assert a.queue.cwnd >= before


# -- where there is none


def test_a_peer_without_room_is_probed_by_its_own_rules() -> None:
    """RFC 9260 §6.1 A."""
    a = measured()
    a.send(count=3)
    a.pull()
    a.sack(2, a_rwnd=0, after=0.1)
    a.time_out()
    assert a.pull() == []


def test_another_incarnation_that_has_room_is_not_taken_for_one_that_has_none() -> None:
    """§5.2.4 A: what the one before had room for is of no interest."""
    a = measured()
    a.send(count=3)
    a.pull()
    a.sack(2, a_rwnd=0, after=0.1)
    a.queue.adopt_peer(10**6, a.now)
    assert a.pull() == [[3], [4]]
    assert next_probe(a) < 1.0
