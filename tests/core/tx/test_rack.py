"""RFC 8985 with TSNs: losses found by time, the tail loss probe; RFC 6937."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.tx_sender import PMDCS, Sender
from tests.support.virtual_transfer import LossyTail, Transfer
from tests.support.watched_link import Link, Waits
from trio_sctp._core.config import Config
from trio_sctp._core.tx.prr import ProportionalRateReduction
from trio_sctp._core.tx.rack import Rack
from trio_sctp._wire.chunks import Sack
from trio_sctp.testing._emulated_link import LinkConditions


def in_flight(count: int, **config: Any) -> Sender:
    """With a measured round trip of 100 ms."""
    a = Sender(cwnd=10**6, max_burst=2**16, loss_recovery="rack", **config)
    a.send()
    a.pull()
    a.sack(1, after=0.1)
    a.send(count=count)
    a.pull()
    return a


def test_one_that_is_overtaken_is_lost_after_a_quarter_of_the_shortest_round_trip() -> None:
    # A -> DATA 2 (lost), 3, 4, 5 -> Z
    a = in_flight(4)
    a.sack(1, (3, 5), after=0.1)
    assert a.pull() == [], "it may be late: three packets have overtaken it in one SACK"
    a.time_out()
    assert a.pull() == [[2]]
    assert 0.125 <= a.now - 100.1 <= 0.13


def test_one_that_was_only_late_is_not_sent_again() -> None:
    a = in_flight(4)
    a.sack(1, (3, 5), after=0.1)
    a.sack(5, after=0.02)
    assert a.pull() == []
    assert a.queue.retransmitted_chunks == 0


def test_a_lost_retransmission_is_found() -> None:
    # A -> DATA 2 (lost), 3 to 9 -> Z; A -> DATA 2 (lost again) -> Z; A -> DATA 10 ... -> Z
    a = in_flight(8)
    a.send(count=20)
    a.queue.congestion.cwnd = 8 * PMDCS
    a.sack(1, (3, 5), after=0.1)
    a.time_out()
    assert a.pull() == [[2]]
    a.sack(1, (3, 9), after=0.01)
    new = [tsn for packet in a.pull() for tsn in packet]
    assert new[0] == 10, "sent after the retransmission"
    a.sack(1, (3, new[-1]), after=0.1)
    while a.queue.retransmitted_chunks < 2 and a.now < 100.5:
        a.time_out()
        a.pull()
    assert a.queue.retransmitted_chunks == 2
    assert a.rto.rto == 1.0, "long before T3-rtx would have expired"


def test_what_a_sack_has_no_room_to_report_is_not_late() -> None:
    a = in_flight(400)
    blocks = [(tsn, tsn) for tsn in range(3, 203, 2)]  # as many as fit, and 201 is the last one
    a.sack(1, *blocks, after=0.1)
    a.time_out()
    sent = [tsn for packet in a.pull() for tsn in packet]
    marked = a.queue._data.marked_count
    assert len(sent) + marked == 100, "2 to 200 that are missing, and none above"


def test_duplicates_of_what_was_sent_again_widen_the_window() -> None:
    a = in_flight(4)
    a.sack(1, (3, 5), after=0.1)
    a.time_out()
    a.pull()
    wire = a.before_first + 5
    a.queue.handle_sack(Sack(wire, 10**6, (), [a.before_first + 2]), a.now + 0.01)
    a.now += 0.01
    a.send(count=4)
    a.pull()
    a.sack(5, (7, 9), after=0.1)
    deadline = a.next_timeout - a.now
    assert deadline == pytest.approx(0.051, abs=0.002), "half of the shortest round trip"


@pytest.mark.parametrize("packets", [3, 4, 9, 10])
def test_the_end_of_a_burst_is_recovered_within_two_round_trips(packets: int) -> None:
    assert LossyTail(Config(), delay=0.03).round_trips(packets, packets) <= 2.0


def test_a_lone_packet_waits_for_the_delayed_acknowledgement() -> None:
    tail = LossyTail(Config(), delay=0.03)
    assert 0.2 < tail.round_trips(1, 1) * 0.06 < 0.4


def test_reordering_by_a_quarter_of_a_round_trip_causes_no_retransmission() -> None:
    conditions = LinkConditions(delay=0.03, reorder=0.05, reorder_delay=0.015)
    result = Transfer(conditions, Config(a_rwnd=500_000)).run_for(3.0)
    assert result.retransmitted == 0
    assert result.mbit_per_second > 30


def test_rfc6937_sends_in_proportion() -> None:
    prr = ProportionalRateReduction(20 * PMDCS, 10 * PMDCS)
    sent = 0
    for number in range(1, 10):
        if prr.quota(PMDCS, (20 - number) * PMDCS + sent, PMDCS, lossless=True) > 0:
            prr.sent(PMDCS)
            sent += PMDCS
    assert sent == 5 * PMDCS, "one for every two that were delivered"


def test_what_only_a_late_sack_tells_of_does_not_measure_the_path() -> None:
    # A -> DATA 2 (lost), 3 to 5 -> Z; later 6 and 7, as probes; and all SACKs but the first are lost
    # until T3-rtx has brought 2.  DATA 7 is acknowledged long after it was sent then
    a = in_flight(4)
    a.queue.congestion.cwnd = 4 * PMDCS
    a.send(count=20)
    a.sack(1, (3, 5), after=0.1)
    while a.queue.t3_rtx.deadline - a.now <= 1.0:
        a.time_out()
        a.pull()
    last = a.queue.next_tsn - a.before_first - 1
    assert last >= 7
    a.sack(last, after=0.05)
    recovery = a.queue.recovery
    assert isinstance(recovery, Rack)
    assert recovery._measured == pytest.approx(0.1), "what silence is compared with"
    assert recovery._window.min_rtt == pytest.approx(0.1)


def test_what_returns_a_hair_sooner_than_the_shortest_round_trip_is_believed_in() -> None:
    """Rounding of clocks and jitter: otherwise a back-off would go on in spite of answers."""
    a = in_flight(4)
    for _ in range(6):
        a.time_out()
        a.pull()
    assert a.rto.rto > 1.0
    a.sack(5, after=0.0995)
    assert a.rto.rto == 1.0


def test_rfc6937_conserves_packets_for_what_cannot_wait() -> None:
    """What was delivered may be replaced at once; the first retransmission does not count."""
    prr = ProportionalRateReduction(20 * PMDCS, 10 * PMDCS)
    prr.sent(PMDCS)  # RFC 9260 §7.2.4 step 3
    assert prr.conserved == 0
    prr.quota(3 * PMDCS, 17 * PMDCS, PMDCS, lossless=False)
    assert prr.conserved == 3 * PMDCS
    prr.sent(2 * PMDCS)
    assert prr.conserved == PMDCS
    # it was sent ahead of its time: nothing else goes until the window has shrunk by as much
    assert prr.quota(PMDCS, 18 * PMDCS, PMDCS, lossless=True) < 0


@pytest.mark.parametrize("loss", [0.01, 0.02])
def test_a_game_beside_a_bulk_transfer_that_repairs_losses(loss: float) -> None:
    link = Link(rate=2.25e6, queue=135_000, delay=0.03, loss=loss)
    busy = {link.open(256): 1_000_000 for _ in range(8)}
    found = Waits.measure(link, link.open_game(), busy, seconds=10.0)
    assert found.packet_times[int(len(found.packet_times) * 0.99)] <= 2.0


def test_only_the_first_probe_of_a_silence_restarts_t3() -> None:
    """RFC 8985 §7.3, and T3-rtx is not put off for ever (RFC 9260 §6.1 would restart it with TSN 2)."""
    a = in_flight(1)
    deadlines = []
    for _ in range(2):
        while not (packets := a.pull()):
            a.time_out()
        assert packets == [[2]]
        deadlines.append(a.queue.t3_rtx.deadline)
    assert deadlines[0] == deadlines[1] < a.now + 1.0
