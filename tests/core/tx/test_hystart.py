"""HyStart++: how the first slow start of CUBIC ends before it overflows a queue (RFC 9406 §4.2)."""

from __future__ import annotations

import pytest

from tests.support.congestion_driver import Driver
from tests.support.tx_sender import PMDCS
from trio_sctp._core.config import Config
from trio_sctp._core.tx.congestion import SSTHRESH_UNKNOWN, Delivery
from trio_sctp._core.tx.congestion_cubic import CubicController
from trio_sctp._core.tx.hystart import HyStart


def new_path(*, rtt: float, cwnd: int = 64) -> Driver[CubicController]:
    """Two round trips of the same length were seen."""
    driver = Driver(CubicController(Config(congestion_control="cubic"), pmdcs=PMDCS), rtt=rtt)
    driver.controller.cwnd = cwnd * PMDCS
    driver.round_trip()
    driver.round_trip()
    return driver


def growth(driver: Driver[CubicController], rtt: float) -> float:
    """By what factor the window grows in a round trip of this length."""
    driver.rtt = rtt
    before = driver.cwnd
    driver.round_trip()
    return driver.cwnd / before


def test_the_window_doubles_as_long_as_round_trips_stay_short() -> None:
    driver = new_path(rtt=0.1)
    assert [growth(driver, 0.1) for _ in range(3)] == [pytest.approx(2.0, rel=0.01)] * 3
    assert driver.controller.ssthresh == SSTHRESH_UNKNOWN


@pytest.mark.parametrize(
    "rtt, threshold",
    [(0.01, 0.004), (0.032, 0.004), (0.08, 0.01), (0.128, 0.016), (0.4, 0.016)],
)
def test_conservative_slow_start_begins_beyond_a_threshold(rtt: float, threshold: float) -> None:
    """An eighth of the round trip, but 4 to 16 ms."""
    below, above = new_path(rtt=rtt), new_path(rtt=rtt)
    growth(below, rtt + 0.95 * threshold)
    growth(above, rtt + 1.05 * threshold)
    # the round before the next one is what counts then: these stay as long as they are
    assert growth(below, rtt + 0.95 * threshold) == pytest.approx(2.0, rel=0.01)
    assert growth(above, rtt + 1.05 * threshold) == pytest.approx(1.25, rel=0.01)


@pytest.mark.parametrize("samples, noticed", [(7, False), (8, True)])
def test_fewer_than_eight_samples_of_a_round_do_not_count(samples: int, noticed: bool) -> None:
    hystart, delivery = HyStart(), Delivery()
    delivery.acked = 2 * PMDCS
    for round_number, rtt in enumerate((0.1, 0.1, 0.2)):
        end = 100 * (round_number + 1)
        for sample in range(1, samples + 1):
            delivery.rtt = rtt
            delivery.cumulative_tsn_ack = end if sample == samples else end - 100 + sample
            delivery.next_tsn = end + 100 if sample == samples else end
            hystart.growth(delivery, 10**6)
    assert hystart.is_conservative is noticed


def test_the_shortest_round_trip_of_a_round_counts() -> None:
    """A single packet that came through quickly shows that there is no queue."""
    driver = new_path(rtt=0.1)
    driver.rtt = 0.2
    driver.round_trip(shortest=0.105)
    assert growth(driver, 0.105) == pytest.approx(2.0, rel=0.01)


def test_five_rounds_at_a_quarter_of_the_pace_and_then_congestion_avoidance() -> None:
    driver = new_path(rtt=0.1)
    growth(
        driver, 0.12
    )  # it is noticed in the course of this round, which is the first of the five
    growths = []
    while driver.controller.ssthresh == SSTHRESH_UNKNOWN:
        growths.append(growth(driver, 0.12))
    assert growths[:4] == [pytest.approx(1.25, rel=0.01)] * 4
    assert len(growths) <= 5
    # §4.2: ssthresh is what the window was when the last of them ended
    assert driver.ssthresh <= driver.cwnd < driver.ssthresh * 1.02
    assert growth(driver, 0.12) < 1.02


def test_slow_start_goes_on_where_the_round_trips_become_shorter_again() -> None:
    driver = new_path(rtt=0.1)
    growth(driver, 0.12)
    assert growth(driver, 0.12) == pytest.approx(1.25, rel=0.01)
    growth(driver, 0.115)  # below the baseline: that was no queue
    assert growth(driver, 0.115) == pytest.approx(2.0, rel=0.01)
    assert driver.controller.ssthresh == SSTHRESH_UNKNOWN


def test_loss_ends_it() -> None:
    driver = new_path(rtt=0.1)
    before = driver.cwnd
    driver.controller.on_congestion(driver.now)
    assert driver.ssthresh == pytest.approx(0.7 * before, rel=0.001)
    assert growth(driver, 0.1) < 1.05


def test_later_slow_starts_are_ordinary_ones() -> None:
    """§4.3: they end where the path is known to be full, however long its round trips become."""
    driver = new_path(rtt=0.1)
    driver.controller.on_timeout(driver.now)
    rtt = 0.1
    while 2 * driver.cwnd < driver.ssthresh:
        rtt += 0.05
        assert growth(driver, rtt) == pytest.approx(2.0, abs=0.01)


def test_another_path_begins_with_it_again() -> None:
    driver = new_path(rtt=0.1)
    driver.controller.on_congestion(driver.now)
    driver.controller.restart(PMDCS)
    driver.controller.cwnd = 64 * PMDCS
    for rtt in (0.1, 0.1, 0.12):
        growth(driver, rtt)
    assert growth(driver, 0.12) == pytest.approx(1.25, rel=0.01)


def test_one_sack_adds_no_more_than_the_limit() -> None:
    config = Config(congestion_control="cubic", slow_start_limit=8)
    driver = Driver(CubicController(config, pmdcs=PMDCS), rtt=0.1)
    driver.controller.cwnd = 1000 * PMDCS
    driver.round_trip(steps=1)
    assert driver.cwnd == 1008
