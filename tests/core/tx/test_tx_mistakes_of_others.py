"""Bugs seen in the sending side of other stacks: each is a test, named after the bug."""

from __future__ import annotations

from tests.support.tx_sender import FULL, IMPOSSIBLE_GAPS, PMDCS, WIDE_OPEN, Sender
from trio_sctp._wire.chunks import Sack


def in_flight(count: int) -> Sender:
    a = Sender(cwnd=10**6, max_burst=2**16)
    a.send(count=count)
    a.pull()
    return a


def test_the_peers_a_rwnd_is_ignored() -> None:
    a = Sender(peer_rwnd=3 * FULL, cwnd=10**6, max_burst=2**16)
    a.send(count=100)
    sent = sum(len(chunk.payload) for packet in a.pull_chunks() for chunk in packet)
    assert sent == 3 * FULL
    a.sack(3, a_rwnd=FULL + 10)
    sent = sum(len(chunk.payload) for packet in a.pull_chunks() for chunk in packet)
    assert sent == FULL


def test_zero_window_deadlock() -> None:
    # the SACK that opens the window again is lost: a probe finds out
    a = in_flight(1)
    a.sack(1, a_rwnd=0)
    a.send(count=20)
    assert a.pull() == []
    a.expire()
    [[probe]] = a.pull()
    a.sack(probe, a_rwnd=10**6, after=0.1)
    acked = probe
    while packets := a.pull():
        acked = packets[-1][-1]
        a.sack(acked, a_rwnd=10**6, after=0.1)
    assert acked == 21
    assert a.queue.is_empty


def test_flight_size_leaks_when_t3_expires_with_gap_acked_chunks() -> None:
    for rounds in range(1, 4):
        a = in_flight(10)
        a.sack(0, (2, 4), (6, 6))
        for _ in range(rounds):
            a.expire()
            assert a.queue.flight_size == 0
            a.pull()
            assert a.queue.flight_size == PMDCS
        a.sack(0, (2, 8))
        a.sack(10)
        assert a.queue.flight_size == 0
        assert a.queue._data.flight_payload == 0
        assert a.queue._data.marked_count == 0


def test_flight_size_leaks_when_what_was_marked_is_acknowledged_late() -> None:
    a = in_flight(10)
    a.expire()
    a.pull()
    a.sack(3, (5, 10))
    a.pull()
    a.sack(10)
    assert a.queue.flight_size == 0
    assert a.queue.is_empty


def test_t3_resends_what_gap_blocks_acknowledged() -> None:
    a = in_flight(10)
    a.sack(0, (2, 4), (6, 9))
    a.expire()
    a.queue.congestion.cwnd = 10**6
    a.queue._one_packet_only = False
    assert a.pull() == [[1], [5], [10]]


def test_one_chunk_per_packet() -> None:
    a = Sender(cwnd=10**6, max_burst=2**16)
    a.send(20, count=500)
    assert len(a.pull()) == 16, "33 chunks of 36 bytes in a packet of 1188"


def test_rtt_taken_from_a_retransmitted_chunk() -> None:
    a = in_flight(1)
    a.expire()
    a.pull()
    a.sack(1, after=0.001)  # for the first transmission or the second?
    assert a.rto.srtt is None
    assert a.rto.rto == 2.0


def test_sack_beyond_the_highest_tsn_sent_is_believed() -> None:
    a = in_flight(3)
    for sack in (
        Sack(1000 + 3, 0, ()),
        Sack(1000 + 5000, 0, ()),
        Sack(999, 0, (2, 4)),
        Sack(999, 0, (2, 65535)),
        Sack(1001, 0, (2, 2, 3, 3)),
    ):
        assert not a.queue.handle_sack(sack, a.now)
        assert a.queue.never_sent_acknowledged
        a.queue.never_sent_acknowledged = False
    assert a.queue.outstanding_count == 3
    assert a.queue.flight_size == 3 * PMDCS
    assert a.queue.peer_rwnd == WIDE_OPEN - 3 * FULL
    assert a.queue.next_tsn == 1003


def test_t3_without_back_off() -> None:
    a = in_flight(1)
    waits = []
    for _ in range(4):
        waits.append(a.t3_in)
        assert a.expire(), "and without a limit: each is counted"
        a.pull()
    assert waits == [1.0, 2.0, 4.0, 8.0]


def test_gap_block_with_start_after_end() -> None:
    a = in_flight(5)
    assert not a.queue.handle_sack(Sack(999, 0, (4, 2)), a.now)
    assert a.queue.counters.dropped == {IMPOSSIBLE_GAPS: 1}
    assert a.queue.flight_size == 5 * PMDCS


def test_a_slow_reader_makes_the_sender_wait_a_minute() -> None:
    # the probe interval has grown to RTO.Max when the reader comes back: that must not be waited for
    a = in_flight(1)
    a.sack(1, a_rwnd=0)
    a.send(count=3)
    a.pull()
    for _ in range(12):
        a.expire()
        a.pull()
        a.sack(1, a_rwnd=0, after=0.01)
    a.sack(1, a_rwnd=10**6, after=0.01)
    assert a.pull() == [[2], [3], [4]]
    assert a.t3_in == 1.0
