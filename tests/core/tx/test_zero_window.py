"""RFC 9260 §6.1 A: what happens while the peer has no room."""

from __future__ import annotations

import pytest

from tests.support.tx_sender import FULL, PMDCS, Sender


def closed(*, in_flight: int = 1, waiting: int = 5) -> Sender:
    """The peer has taken some data and has no room for more."""
    a = Sender(cwnd=20 * PMDCS, max_burst=100)
    a.send(count=in_flight)
    a.pull()
    a.sack(in_flight, a_rwnd=0, after=0.1)
    a.send(count=waiting)
    return a


def test_nothing_goes_out_at_first() -> None:
    a = closed()
    assert a.pull() == []


def test_the_first_probe_goes_after_one_rto_and_is_one_chunk() -> None:
    a = closed()
    a.pull()
    assert a.t3_in == a.rto.rto == 1.0
    assert not a.expire()
    assert a.pull() == [[2]]


def test_probe_intervals_grow_exponentially_up_to_rto_max() -> None:
    a = closed()
    a.pull()
    waits = []
    for _ in range(9):
        waits.append(a.t3_in)
        a.expire()
        assert a.pull() == [[2]]
        a.sack(1, a_rwnd=0, after=0.05)
        waits[-1] = round(waits[-1] + (0.05 if len(waits) > 1 else 0), 6)
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_probes_are_no_errors_while_sacks_arrive() -> None:
    a = closed()
    a.pull()
    for _ in range(50):
        assert not a.expire()
        a.pull()
        a.sack(1, a_rwnd=0)


def test_probes_are_errors_when_nothing_arrives() -> None:
    a = closed()
    a.pull()
    a.expire()
    a.pull()
    assert [a.expire() for _ in range(3) if a.pull() is not None] == [True, True, True]


def test_retransmissions_into_a_closed_window_are_no_errors_while_sacks_arrive() -> None:
    # several chunks were under way when the window closed; the peer drops them, but it answers
    a = Sender(cwnd=20 * PMDCS, max_burst=100)
    a.send(count=8)
    a.pull()
    a.sack(3, a_rwnd=0, after=0.1)
    for _ in range(50):
        assert not a.expire()
        assert a.pull() == [[4]], "one packet only: §7.2.1"
        a.sack(3, a_rwnd=0)


def test_probes_leave_cwnd_alone() -> None:
    a = closed()
    a.pull()
    cwnd = a.queue.cwnd
    for _ in range(5):
        a.expire()
        a.pull()
        a.sack(1, a_rwnd=0)
    assert (a.queue.cwnd, a.queue.ssthresh) == (max(cwnd // 2, 4 * PMDCS), cwnd), (
        "decayed once for the second in which nothing was sent (§7.2.1)"
    )
    a.sack(1, a_rwnd=10**6)
    assert len(a.pull()) == 5


def test_a_timeout_of_ordinary_data_is_congestion_even_if_the_window_has_closed() -> None:
    a = Sender(cwnd=20 * PMDCS, max_burst=100)
    a.send(count=8)
    a.pull()
    a.sack(3, a_rwnd=0, after=0.1)
    a.expire()
    assert a.queue.cwnd == PMDCS


def test_rto_is_not_backed_off_by_probes_that_are_answered() -> None:
    a = closed()
    a.pull()
    for _ in range(6):
        a.expire()
        a.pull()
        a.sack(1, a_rwnd=0)
    a.sack(1, a_rwnd=10**6)
    assert a.pull()
    assert a.t3_in == 1.0


def test_a_window_update_ends_the_wait() -> None:
    a = closed()
    a.pull()
    a.now += 0.3
    a.sack(1, a_rwnd=10 * FULL)
    assert len(a.pull()) == 5
    a.sack(6, after=0.1)
    assert a.queue.is_empty


def test_a_probe_that_was_dropped_goes_again_as_soon_as_the_window_opens() -> None:
    # the interval may be a minute by now: do not wait for T3-rtx
    a = closed()
    a.pull()
    for _ in range(8):
        a.expire()
        a.pull()
        a.sack(1, a_rwnd=0)
    assert a.t3_in > 50
    a.sack(1, a_rwnd=10 * FULL, after=1.0)
    assert a.pull() == [[2], [3], [4], [5], [6]]
    assert a.queue.cwnd >= 4 * PMDCS


def test_dropped_data_goes_again_as_soon_as_the_window_opens() -> None:
    a = Sender(cwnd=20 * PMDCS, max_burst=100)
    a.send(count=8)
    a.pull()
    a.sack(3, a_rwnd=0, after=0.1)
    for _ in range(8):
        a.expire()
        a.pull()
        a.sack(3, a_rwnd=0)
    a.sack(3, a_rwnd=10**6, after=1.0)
    assert a.pull() == [[4]]
    a.sack(4, a_rwnd=10**6, after=0.1)
    assert a.pull() == [[5], [6]]


def test_an_accepted_probe_starts_the_next_wait_with_one_rto() -> None:
    a = closed()
    a.pull()
    for tsn in (2, 3, 4):
        assert a.t3_in == a.rto.rto
        a.expire()
        assert a.pull() == [[tsn]]
        a.sack(tsn, a_rwnd=0, after=0.1)
        assert a.pull() == []


def test_a_lost_window_update_cannot_stall_the_transfer() -> None:
    a = closed(waiting=1)
    a.pull()
    a.expire()
    assert a.pull() == [[2]]
    a.sack(2, a_rwnd=10**6)
    assert a.queue.is_empty


@pytest.mark.parametrize("a_rwnd", [0, 1, FULL - 1])
def test_a_window_smaller_than_the_next_chunk_is_as_good_as_closed(a_rwnd: int) -> None:
    # silly window avoidance (RFC 1122 §4.2.3.4): chunks are not cut to fit
    a = Sender(cwnd=10**6)
    a.send()
    a.pull()
    a.sack(1, a_rwnd=a_rwnd)
    a.send(count=2)
    assert a.pull() == []
    a.expire()
    assert a.pull() == [[2]]


def test_a_probe_needs_everything_to_be_acknowledged() -> None:
    a = Sender(peer_rwnd=FULL, cwnd=10**6)
    a.send(count=3)
    assert a.pull() == [[1]]
    a.now += 0.5
    assert a.pull() == []
    a.expire()
    assert a.pull() == [[1]], "T3-rtx repeats what is outstanding"


def test_a_window_that_is_closed_from_the_start() -> None:
    a = Sender(peer_rwnd=0)
    a.send()
    assert a.pull() == []
    a.expire()
    assert a.pull() == [[1]]
    a.sack(1, after=0.1)
    assert a.queue.is_empty


def test_a_probe_carries_the_i_bit() -> None:
    a = closed()
    a.pull()
    a.expire()
    [[probe]] = a.pull_chunks()
    assert probe.immediate


def test_what_was_to_be_probed_may_be_discarded() -> None:
    a = closed()
    a.pull()
    a.send_queue.discard(0)
    assert not a.expire()
    assert a.pull() == []
    assert not a.queue.t3_rtx.running
    a.send()
    assert a.pull() == [[2]], "it is due already"


def test_repeated_zero_windows_do_not_put_the_probe_off_for_ever() -> None:
    a = closed()
    a.pull()
    for _ in range(3):
        a.expire()
        a.pull()
        for _ in range(5):
            a.sack(1, a_rwnd=0, after=0.01)
            a.pull()
    assert a.queue.retransmitted_chunks == 2


def test_a_window_that_has_opened_again_is_no_probes_any_more() -> None:
    """RFC 9260 §6.1 A: T3-rtx runs for the RTO again, and means congestion again."""
    a = Sender(cwnd=20 * PMDCS, rto_min=0.2, rto_initial=0.5)
    a.send()
    a.pull()
    a.sack(1, a_rwnd=0, after=0.1)
    a.send(count=3)
    a.pull()
    a.expire()
    a.pull()
    a.sack(2, a_rwnd=10**6, after=0.1)
    assert a.pull() == [[3], [4]]
    assert a.t3_in == pytest.approx(a.rto.rto)
    a.expire()
    assert a.queue.cwnd == PMDCS
