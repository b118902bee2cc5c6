"""RFC 9260 §7.2: slow start, congestion avoidance, losses and idle paths."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.tx_sender import FULL, PMDCS, Sender, partial_bytes_acked
from trio_sctp._core.config import Config
from trio_sctp._core.tx.congestion import Delivery
from trio_sctp._core.tx.congestion_standard import StandardController


def make(
    *, cwnd: int | None = None, ssthresh: int | None = None, **config: Any
) -> StandardController:
    controller = StandardController(Config(**config), pmdcs=PMDCS)
    if cwnd is not None:
        controller.cwnd = cwnd
    if ssthresh is not None:
        controller.ssthresh = ssthresh
    return controller


def acknowledged(
    controller: StandardController,
    acked: int,
    *,
    full: bool = True,
    in_fast_recovery: bool = False,
    all_acked: bool = False,
) -> int:
    delivery = Delivery()
    delivery.acked, delivery.cwnd_was_full = acked, full
    delivery.in_recovery, delivery.all_acked = in_fast_recovery, all_acked
    controller.on_delivered(delivery)
    return controller.cwnd


@pytest.mark.parametrize(
    "pmdcs, cwnd", [(500, 2000), (1188, 4404), (1488, 4404), (4000, 8000), (8988, 17976)]
)
def test_7_2_1_initial_cwnd(pmdcs: int, cwnd: int) -> None:
    controller = StandardController(Config(), pmdcs=pmdcs)
    assert controller.cwnd == cwnd
    assert controller.ssthresh >= 2**32 - 1, "arbitrarily high"


# -- slow start --------------------------------------------------------------------------------------


def test_7_2_1_slow_start_grows_by_what_was_acknowledged() -> None:
    assert acknowledged(make(cwnd=10_000), 1000) == 11_000


@pytest.mark.parametrize("limit", [1, 2, 8])
def test_7_2_1_slow_start_grows_by_at_most_l_times_pmdcs(limit: int) -> None:
    assert acknowledged(make(cwnd=10_000, slow_start_limit=limit), 10**6) == 10_000 + limit * PMDCS


def test_7_2_1_no_growth_unless_cwnd_is_fully_used() -> None:
    assert acknowledged(make(cwnd=10_000), 1000, full=False) == 10_000


def test_7_2_1_no_growth_in_fast_recovery() -> None:
    assert acknowledged(make(cwnd=10_000), 1000, in_fast_recovery=True) == 10_000


def test_7_2_1_slow_start_as_long_as_cwnd_equals_ssthresh() -> None:
    controller = make(cwnd=10_000, ssthresh=10_000)
    assert acknowledged(controller, 1000) == 11_000
    assert acknowledged(controller, 1000) == 11_000, "congestion avoidance from here on"


def test_7_2_1_cwnd_grows_in_use_and_not_otherwise() -> None:
    a = Sender()
    a.send(count=2)  # an application that sends little: cwnd is 4404 and never used up
    for tsn in (2, 4, 6, 8):
        assert a.pull() == [[tsn - 1], [tsn]]
        a.sack(tsn, after=0.1)
        assert a.queue.cwnd == 4404
        a.send(count=2)
    a.send(count=20)  # now there is more to send than fits
    a.pull()
    assert a.queue.flight_size >= 4404
    a.sack(10, after=0.1)
    assert a.queue.cwnd == 4404 + 2 * PMDCS


def test_7_2_1_sacks_of_one_batch_all_find_cwnd_as_it_was_used() -> None:
    a = Sender()
    a.send(count=20)
    a.pull()
    a.sack(1, after=0.1)
    a.sack(2)  # nothing could be sent in between
    assert a.queue.cwnd == 4404 + 2 * PMDCS


def test_7_2_1_a_receiver_window_that_limits_is_no_use_of_cwnd() -> None:
    a = Sender(peer_rwnd=2 * FULL)
    a.send(count=20)
    assert a.pull() == [[1], [2]]
    a.sack(2, a_rwnd=2 * FULL, after=0.1)
    assert a.queue.cwnd == 4404


# -- congestion avoidance ----------------------------------------------------------------------------


def test_7_2_2_one_pmdcs_per_cwnd_of_acknowledged_bytes() -> None:
    controller = make(cwnd=10_000, ssthresh=9_000)
    assert acknowledged(controller, 4000) == 10_000
    assert acknowledged(controller, 4000) == 10_000
    assert acknowledged(controller, 4000) == 10_000 + PMDCS
    assert controller.partial_bytes_acked == 2000
    assert acknowledged(controller, 4000) == 10_000 + PMDCS


def test_7_2_2_growth_when_partial_bytes_acked_equals_cwnd() -> None:
    controller = make(cwnd=10_000, ssthresh=9_000)
    assert acknowledged(controller, 10_000) == 10_000 + PMDCS
    assert controller.partial_bytes_acked == 0


def test_7_2_2_partial_bytes_acked_is_capped_while_cwnd_is_not_used() -> None:
    controller = make(cwnd=10_000, ssthresh=9_000)
    for _ in range(10):
        assert acknowledged(controller, 4000, full=False) == 10_000
    assert controller.partial_bytes_acked == 10_000
    assert acknowledged(controller, 100) == 10_000 + PMDCS
    assert controller.partial_bytes_acked == 100


def test_7_2_2_partial_bytes_acked_ends_with_the_last_acknowledgement() -> None:
    controller = make(cwnd=10_000, ssthresh=9_000)
    acknowledged(controller, 4000)
    acknowledged(controller, 4000, all_acked=True)
    assert controller.partial_bytes_acked == 0


def test_7_2_2_gap_ack_blocks_count_too() -> None:
    a = Sender(cwnd=10 * PMDCS)
    a.queue.congestion.ssthresh = 5 * PMDCS
    a.send(count=30)
    a.queue.allow_burst()
    while a.pull():
        a.queue.allow_burst()
    a.sack(0, (3, 4), (6, 6), after=0.1)
    assert partial_bytes_acked(a.queue) == 3 * PMDCS
    a.sack(1, (3, 6))
    assert partial_bytes_acked(a.queue) == 5 * PMDCS, "3 and 4 are not counted again"


# -- losses ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cwnd", [PMDCS, 4404, 20_000, 100_000])
def test_7_2_3_a_loss_halves_cwnd(cwnd: int) -> None:
    controller = make(cwnd=cwnd)
    controller.partial_bytes_acked = 77
    controller.on_congestion(0.0)
    assert controller.ssthresh == controller.cwnd == max(cwnd // 2, 4 * PMDCS)
    assert controller.partial_bytes_acked == 0


@pytest.mark.parametrize("cwnd", [PMDCS, 4404, 20_000, 100_000])
def test_7_2_3_a_timeout_leaves_one_packet(cwnd: int) -> None:
    controller = make(cwnd=cwnd)
    controller.partial_bytes_acked = 77
    controller.on_timeout(0.0)
    assert controller.ssthresh == max(cwnd // 2, 4 * PMDCS)
    assert controller.cwnd == PMDCS
    assert controller.partial_bytes_acked == 0


def test_7_2_5_reinitialisation() -> None:
    controller = make(cwnd=10**6, ssthresh=10**5)
    controller.restart(1488)
    assert (controller.cwnd, controller.pmdcs) == (4404, 1488)
    assert controller.ssthresh >= 2**32 - 1


# -- idle --------------------------------------------------------------------------------------------


def test_7_2_1_an_idle_path_halves_cwnd_once_per_rto() -> None:
    controller = make(cwnd=64_000, ssthresh=10**6)
    controller.on_idle(0.99, 1.0)
    assert (controller.cwnd, controller.ssthresh) == (64_000, 10**6)
    controller.on_idle(2.5, 1.0)
    assert controller.cwnd == 16_000
    assert controller.ssthresh == 64_000, "set before the first adjustment only"


def test_7_2_1_idle_decay_ends_at_four_packets() -> None:
    controller = make(cwnd=64_000)
    controller.on_idle(10**9, 0.001)
    assert controller.cwnd == 4 * PMDCS


def test_7_2_1_idle_decay_never_raises_cwnd() -> None:
    controller = make(cwnd=PMDCS, ssthresh=50_000)
    controller.on_idle(10.0, 1.0)
    assert (controller.cwnd, controller.ssthresh) == (PMDCS, 50_000)


def test_7_2_1_cwnd_decays_while_nothing_is_sent() -> None:
    a = Sender(cwnd=64_000)
    a.send(count=2)
    a.pull()
    a.sack(2, after=0.1)
    assert a.t3_in == float("inf")
    a.now += 2 * a.rto.rto + 0.5  # from the last transmission on, so it is two periods and a bit
    a.send(count=100)
    a.pull()
    assert a.queue.cwnd == 16_000
    assert a.queue.ssthresh == 64_000


def test_7_2_1_waiting_for_an_acknowledgement_is_not_idle() -> None:
    a = Sender(cwnd=64_000)
    a.send(count=2)
    a.pull()
    a.now += 0.9  # of an RTO of 1 s: data is in flight
    a.sack(1, after=5.0)
    a.send(count=2)
    a.pull()
    assert a.queue.cwnd == 64_000


def test_7_2_1_an_idle_period_is_counted_once() -> None:
    a = Sender(cwnd=64_000)
    a.send(count=1)
    a.pull()
    a.sack(1, a_rwnd=0, after=0.1)
    a.now += a.rto.rto
    a.send(count=50)
    for _ in range(20):  # the peer's window is closed: nothing goes out
        a.pull()
        a.sack(1, a_rwnd=0)
    a.sack(1, a_rwnd=10**6)
    a.pull()
    assert a.queue.cwnd == 32_000


def test_7_2_1_the_first_data_is_not_after_an_idle_period() -> None:
    a = Sender(cwnd=64_000)
    a.send()
    a.pull()
    assert a.queue.cwnd == 64_000


def test_packets_that_become_smaller_do_not_become_more() -> None:
    """§7.2.1 counts in packets; RFC 8899 §3: larger ones let out no more bytes."""
    a = Sender(cwnd=10 * PMDCS + 5)
    a.queue.set_path_mtu(612)
    assert a.queue.cwnd == 10 * 600
    a.queue.congestion.cwnd += 7
    a.queue.set_path_mtu(612)
    a.queue.set_path_mtu(1200)
    assert a.queue.cwnd == 10 * 600 + 7
    a.send(count=10)
    assert a.pull_chunks()[0][0].payload == bytes(FULL)


def test_but_no_fewer_than_at_the_begin() -> None:
    a = Sender(cwnd=3 * PMDCS)
    a.queue.set_path_mtu(612)
    assert a.queue.cwnd == 4 * 600
    a.queue.congestion.cwnd = 1000
    a.queue.set_path_mtu(512)
    assert a.queue.cwnd == 1000, "nor more than there was"
