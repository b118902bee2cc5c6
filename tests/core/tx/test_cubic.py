"""CUBIC, rule by rule and in numbers (RFC 9438).  Windows are in packets of PMDCS bytes."""

from __future__ import annotations

import pytest

from tests.support.congestion_driver import Driver
from tests.support.tx_sender import PMDCS
from trio_sctp._core.config import Config
from trio_sctp._core.tx.congestion import SSTHRESH_UNKNOWN, CongestionController, Delivery
from trio_sctp._core.tx.congestion_cubic import CubicController
from trio_sctp._core.tx.congestion_standard import StandardController


def cubic(cwnd: float, *, rtt: float = 0.05) -> Driver[CubicController]:
    """A path whose first slow start has ended at this window."""
    driver = Driver(CubicController(Config(congestion_control="cubic"), pmdcs=PMDCS), rtt=rtt)
    driver.controller.cwnd = int(cwnd * PMDCS)
    return driver


def after_loss(cwnd: float, *, rtt: float = 0.05) -> Driver[CubicController]:
    driver = cubic(cwnd, rtt=rtt)
    driver.controller.on_congestion(driver.now)
    return driver


# -- §4.6, §4.7: reduction


def test_4_6_a_loss_leaves_seven_tenths() -> None:
    driver = after_loss(1000)
    assert driver.cwnd == driver.ssthresh == pytest.approx(700, abs=0.001)


def test_4_6_no_less_than_four_packets_are_left() -> None:
    """RFC 9260 §7.2.3 wants more than the two of RFC 9438."""
    driver = after_loss(4)
    assert driver.cwnd == driver.ssthresh == 4


def test_4_7_fast_convergence_gives_up_more_where_the_window_is_smaller_than_last_time() -> None:
    driver = after_loss(1000)
    driver.run(2.0)
    assert 850 < driver.cwnd < 960  # on its way to W_max, 1000
    lower = driver.cwnd
    driver.controller.on_congestion(driver.now)
    assert driver.cwnd == pytest.approx(0.7 * lower, abs=0.01)
    # the plateau is at (1 + 0.7) / 2 of that, not where the loss was
    plateau = 0.85 * lower
    k = ((plateau - driver.cwnd) / 0.4) ** (1 / 3)
    driver.run(k)
    assert driver.cwnd == pytest.approx(plateau, rel=0.002)


def test_4_7_a_window_that_is_larger_than_last_time_is_remembered_as_it_is() -> None:
    driver = after_loss(1000)
    driver.run(15.0)
    higher = driver.cwnd
    assert higher > 1050
    driver.controller.on_congestion(driver.now)
    k = (0.3 * higher / 0.4) ** (1 / 3)
    driver.run(k)
    assert driver.cwnd == pytest.approx(higher, rel=0.002)


# -- §4.2, §4.4, §4.5: growth


def test_4_2_the_window_is_a_cubic_function_of_the_time_since_the_loss() -> None:
    # K is the cube root of (1000 - 700) / 0.4: 9.086 seconds until W_max
    driver = after_loss(1000)
    k = 750 ** (1 / 3)
    for part, expected in (
        (0.25, 873.4),
        (0.5, 962.5),
        (1.0, 1000.0),
        (1.5, 1037.5),
        (2.0, 1300.0),
    ):
        driver.run_to(part * k)
        assert driver.cwnd == pytest.approx(expected, rel=0.005)


def test_4_2_growth_depends_on_time_and_not_on_the_round_trip() -> None:
    windows = []
    for rtt in (0.05, 0.1, 0.3):
        driver = after_loss(3000, rtt=rtt)
        driver.run(10.0)
        windows.append(driver.cwnd)
    assert max(windows) / min(windows) < 1.02


def test_4_2_no_more_than_half_is_added_in_a_round_trip() -> None:
    driver = cubic(10, rtt=20.0)
    driver.controller.ssthresh = PMDCS  # W_max is 10: after 20 seconds it would be 3210
    driver.round_trip()
    # half for a window that is acknowledged, which grows with each SACK: 10 e^0.5 at most
    assert 14 < driver.cwnd < 16.5


def test_4_2_time_in_which_the_program_sends_little_does_not_count() -> None:
    busy, quiet = after_loss(1000), after_loss(1000)
    for driver in (busy, quiet):
        driver.run(3.0)
    before = quiet.cwnd
    quiet.run(60.0, full=False)
    assert quiet.cwnd == before
    for driver in (busy, quiet):
        driver.run(3.0)
    assert quiet.cwnd == pytest.approx(busy.cwnd, rel=0.002)


def test_4_2_nor_does_it_where_the_clock_has_run_for_long() -> None:
    busy, quiet = after_loss(1000), after_loss(1000)
    for driver in (busy, quiet):
        driver.now = 5000.0
        driver.run(3.0)
    quiet.run(60.0, full=False)
    for driver in (busy, quiet):
        driver.run(3.0)
    assert quiet.cwnd == pytest.approx(busy.cwnd, rel=0.002)


@pytest.mark.parametrize("windows", [0.5, 1, 3])
def test_4_4_the_target_is_what_the_function_gives_one_round_trip_later(windows: float) -> None:
    """A whole window of acknowledgements leads there, and more of them no further."""
    controller, delivery = after_loss(1000, rtt=1.0).controller, Delivery()
    controller.cwnd += 1  # congestion avoidance
    delivery.cwnd_was_full, delivery.srtt = True, 1.0
    controller.on_delivered(delivery)  # the stage begins
    before = controller.cwnd
    delivery.now, delivery.acked = 1.0, int(windows * before)
    controller.on_delivered(delivery)
    target = (1000 - 0.4 * (750 ** (1 / 3) - 2) ** 3) * PMDCS
    assert target < 1.5 * before
    expected = before + min(windows, 1) * (target - before)
    assert controller.cwnd == pytest.approx(expected, abs=PMDCS / 10)


def test_no_growth_during_recovery() -> None:
    driver = after_loss(1000)
    before = driver.cwnd
    driver.run(1.0, in_recovery=True)
    assert driver.cwnd == before


# -- §4.3: the Reno-friendly region


def test_4_3_small_windows_grow_as_fast_as_those_of_the_standard_controller_on_average() -> None:
    # 28 packets and 10 ms: 0.529 packets for each round trip are more than the cubic function gives.
    # The first SACK, for two packets, finds cwnd equal to ssthresh, which is slow start (§4.10)
    driver = after_loss(40, rtt=0.01)
    driver.run(0.1)
    assert driver.cwnd == pytest.approx(28 + 2 + 10 * 0.529, abs=0.3)


def test_4_3_from_the_window_before_the_loss_on_one_packet_for_each_round_trip() -> None:
    driver = after_loss(20, rtt=0.01)
    while driver.cwnd < 20:
        driver.round_trip()
    before = driver.cwnd
    for _ in range(10):
        driver.round_trip()
    assert driver.cwnd == pytest.approx(before + 10, abs=1.0)


def test_4_3_never_slower_than_the_standard_controller_in_the_end() -> None:
    """At 10 ms, one loss every 200 packets: where the RFC wants no less than Reno has."""
    sums = []
    for controller in (
        StandardController(Config(), pmdcs=PMDCS),
        CubicController(Config(congestion_control="cubic"), pmdcs=PMDCS),
    ):
        driver = Driver(controller, rtt=0.01)
        controller.cwnd, controller.ssthresh = 20 * PMDCS, 10 * PMDCS
        packets, rounds, total = 0.0, 0, 0.0
        while rounds < 1000:
            driver.round_trip()
            packets += driver.cwnd
            total += driver.cwnd
            rounds += 1
            if packets > 200:
                packets = 0.0
                controller.on_congestion(driver.now)
        sums.append(total / rounds)
    standard, other = sums
    assert other >= 0.97 * standard


# -- §4.8: timeouts; idle paths; §4.10: slow start


def test_4_8_after_a_timeout_the_plateau_is_where_slow_start_ends() -> None:
    driver = cubic(1000)
    driver.controller.on_congestion(driver.now)
    driver.controller.cwnd = 1000 * PMDCS
    driver.controller.on_timeout(driver.now)
    assert driver.cwnd == 1
    assert driver.ssthresh == pytest.approx(700, abs=0.001)
    while driver.cwnd <= driver.ssthresh:
        driver.round_trip()
    # K is 0, and W_max is the window at which the stage begins
    began = driver.cwnd
    driver.run(5.0)
    assert driver.cwnd == pytest.approx(began + 0.4 * 5**3, rel=0.02)


def test_7_2_1_after_idle_time_slow_start_leads_back_and_a_new_stage_begins() -> None:
    """RFC 9260 §7.2.1: half for each RTO, and the window before is where slow start ends."""
    driver = after_loss(1000, rtt=0.3)
    driver.run(5.0)
    before = driver.cwnd
    driver.now += 3.0
    driver.controller.on_idle(3.0, 1.0)
    assert driver.cwnd == pytest.approx(before / 8, rel=0.001)
    assert driver.ssthresh == pytest.approx(before, rel=0.001)
    while driver.cwnd <= driver.ssthresh:
        driver.round_trip()
    # W_max is still 1000, and no jump comes from the time that has passed
    began = driver.cwnd
    assert began < before * 1.1
    k = ((1000 - began) / 0.4) ** (1 / 3)
    driver.run(k)
    assert driver.cwnd == pytest.approx(1000, rel=0.003)


def test_4_10_a_first_slow_start_without_loss_ends_at_a_plateau() -> None:
    driver = cubic(3.7)
    driver.rtt = 0.1
    while driver.ssthresh > 10**6:  # a queue builds up: HyStart++ ends it
        driver.round_trip()
        driver.rtt += 0.02
    began = driver.cwnd
    assert driver.controller.ssthresh < SSTHRESH_UNKNOWN
    driver.rtt = 0.1
    driver.run(4.0)
    assert driver.cwnd == pytest.approx(began + max(0.4 * 4**3, 40.0), rel=0.03)


def test_a_restarted_path_forgets_everything() -> None:
    driver = after_loss(1000)
    driver.run(5.0)
    driver.controller.restart(PMDCS)
    fresh = CubicController(Config(congestion_control="cubic"), pmdcs=PMDCS)
    assert (driver.controller.cwnd, driver.controller.ssthresh) == (fresh.cwnd, fresh.ssthresh)
    driver.controller.on_congestion(driver.now)
    k = (driver.controller.cwnd * 3 / 7 / PMDCS / 0.4) ** (1 / 3)
    assert 0 <= k < 2  # nothing of W_max 1000
    driver.run(k + 1)
    assert driver.cwnd < 60


def average_window(
    controller: CongestionController, *, rtt: float, packets_for_a_loss: int
) -> float:
    """Over 4,000 round trips, with losses at regular intervals."""
    driver = Driver(controller, rtt=rtt)
    controller.cwnd, controller.ssthresh = 400 * PMDCS, PMDCS
    sent = total = 0.0
    for _ in range(4_000):
        driver.round_trip(steps=100)
        sent += driver.cwnd
        total += driver.cwnd
        if sent >= packets_for_a_loss:
            sent -= packets_for_a_loss
            controller.on_congestion(driver.now)
    return total / 4_000


def test_5_1_average_window_of_a_long_path_with_few_losses() -> None:
    """One packet in 100,000 at 100 ms: 1054 packets by RFC 9438, and 387 by the formula of Reno."""
    cubic = CubicController(Config(congestion_control="cubic"), pmdcs=PMDCS)
    standard = StandardController(Config(), pmdcs=PMDCS)
    expected = (0.4 * 3.7 / 1.2) ** 0.25 * 0.1**0.75 / 1e-5**0.75
    assert expected == pytest.approx(1054, abs=1)
    assert average_window(cubic, rtt=0.1, packets_for_a_loss=10**5) == pytest.approx(
        expected, rel=0.05
    )
    assert average_window(standard, rtt=0.1, packets_for_a_loss=10**5) == pytest.approx(
        (1.5 / 1e-5) ** 0.5, rel=0.05
    )
