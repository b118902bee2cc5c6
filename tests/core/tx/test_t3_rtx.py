"""RFC 9260 §6.3.3 and §7.2.3: what happens when T3-rtx expires; §8.1: what counts as an error."""

from __future__ import annotations

from tests.support.tx_sender import PMDCS, Sender


def in_flight(count: int) -> Sender:
    a = Sender(cwnd=10**6, max_burst=2**16)
    a.send(count=count)
    a.pull()
    return a


def test_e1_ssthresh_and_cwnd() -> None:
    a = in_flight(5)
    a.queue.congestion.cwnd = 40 * PMDCS
    a.expire()
    assert a.queue.ssthresh == 20 * PMDCS
    assert a.queue.cwnd == PMDCS


def test_e2_the_timer_backs_off() -> None:
    a = in_flight(1)
    waits = []
    for _ in range(8):
        waits.append(a.t3_in)
        a.expire()
        assert a.pull() == [[1]]
    assert waits == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]


def test_e2_data_sent_after_an_expiry_runs_on_the_doubled_rto() -> None:
    a = in_flight(1)
    a.expire()
    a.pull()
    a.sack(1, after=0.1)  # not measured: it was retransmitted
    a.send()
    a.pull()
    assert a.t3_in == 2.0
    a.sack(2, after=0.1)
    a.send()
    a.pull()
    assert a.t3_in == 1.0, "a new measurement ends the back-off"


def test_e3_the_earliest_chunks_that_fit_go_in_one_packet() -> None:
    a = Sender(cwnd=10**6, max_burst=100)
    a.send(300, count=10)
    a.pull()
    a.expire()
    assert a.pull() == [[1, 2, 3]], "K is 3, and only one packet may be in flight"


def test_7_2_1_one_packet_in_flight_until_something_is_acknowledged() -> None:
    a = in_flight(20)
    a.expire()
    a.queue.congestion.cwnd = 10 * PMDCS  # it is not cwnd alone that holds the rest back
    a.send(count=10)
    assert a.pull() == [[1]]
    a.queue.allow_burst()
    assert a.pull() == []
    assert not a.sack(0)
    assert a.pull() == []
    assert a.sack(1)
    assert len(a.pull()) > 1


def test_slow_start_after_a_timeout() -> None:
    a = in_flight(40)
    a.queue.congestion.cwnd = 8 * PMDCS
    a.expire()
    sizes = []
    while packets := a.pull():
        sizes.append(len(packets))
        a.sack(packets[-1][-1], after=0.1)
    assert sizes[:5] == [1, 2, 4, 8, 9], "doubling beyond ssthresh, then one more per round trip"
    assert a.queue.is_empty


def test_slow_start_does_not_begin_with_a_packet_that_could_have_been_fuller() -> None:
    # §7.2.1: cwnd grows only if it was fully used, and nothing more was there to send
    a = Sender()
    a.send(100)
    a.pull()
    a.expire()
    a.pull()
    a.sack(1, after=0.1)
    assert a.queue.cwnd == PMDCS


def test_a_timeout_ends_fast_recovery() -> None:
    a = in_flight(10)
    for last in (2, 3, 4):
        a.sack(0, (2, last))
    a.pull()
    assert a.queue.recovery.exit_point is not None
    a.expire()
    assert a.queue.recovery.exit_point is None


def test_7_2_4_after_a_timeout_misses_are_counted_anew() -> None:
    a = in_flight(10)
    a.sack(0, (3, 3))
    a.sack(0, (3, 4))
    a.expire()
    assert a.pull() == [[1]]
    a.sack(0, (3, 5))  # the third indication in all, the first since
    assert a.queue.retransmitted_chunks == 1
    assert 1 not in [tsn for packet in a.pull() for tsn in packet]


def test_e4_t3_runs_again_with_the_retransmission_and_not_before() -> None:
    a = in_flight(3)
    a.expire()
    assert not a.queue.t3_rtx.running
    a.pull()
    assert a.t3_in == 2.0


def test_what_was_acknowledged_before_the_retransmission_went_out_is_not_sent() -> None:
    a = in_flight(3)
    a.expire()
    a.sack(2, after=0.0)
    assert a.pull() == [[3]]


def test_6_2_1_c_marking_gives_the_window_back() -> None:
    a = Sender(peer_rwnd=20_000, cwnd=10**6, max_burst=100)
    a.send(1000, count=5)
    a.pull()
    assert a.queue.peer_rwnd == 15_000
    a.expire()
    assert a.queue.peer_rwnd == 20_000
    a.pull()
    assert a.queue.peer_rwnd == 19_000


def test_8_1_every_expiry_is_an_error_of_the_peer() -> None:
    a = in_flight(3)
    for _ in range(5):
        assert a.expire()
        a.pull()


def test_another_incarnation_of_the_peer_gets_everything_again() -> None:
    # §5.2.4 action B: what the former one acknowledged by gap ack blocks is gone
    a = in_flight(4)
    a.sack(0, (2, 3))
    a.queue.adopt_peer(50_000, a.now)
    assert a.pull() == [[1], [2], [3], [4]]
    assert a.queue.peer_rwnd < 50_000
    a.sack(4)
    assert a.queue.is_empty


def test_cookie_echo_again_takes_its_data_along_again() -> None:
    a = in_flight(2)
    a.queue.mark_all_for_retransmission(a.now)
    assert a.pull() == [[1], [2]]
    assert a.queue.cwnd == 10**6, "that is no sign of congestion"
