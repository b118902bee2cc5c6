"""RFC 9260 §6.3.1: how RTO follows from the measured round trips."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, strategies as st

from tests.support.tx_sender import Sender
from trio_sctp._core.config import Config
from trio_sctp._core.rto import RetransmissionTimeout


def make(**config: Any) -> RetransmissionTimeout:
    return RetransmissionTimeout(Config(**config))


def test_c1_rto_initial_until_a_round_trip_was_measured() -> None:
    rto = make(rto_initial=3.0)
    assert (rto.srtt, rto.rto) == (None, 3.0)


def test_c2_the_first_measurement() -> None:
    rto = make(rto_min=0.001)
    rto.observe(0.1)
    assert rto.srtt == 0.1
    assert rto.rttvar == 0.05
    assert rto.rto == pytest.approx(0.3)


def test_c3_rttvar_uses_srtt_before_its_update() -> None:
    rto = make(rto_min=0.001)
    rto.observe(0.1)
    rto.observe(0.2)
    assert rto.rttvar == pytest.approx(0.75 * 0.05 + 0.25 * 0.1)
    assert rto.srtt == pytest.approx(0.875 * 0.1 + 0.125 * 0.2)
    assert rto.rto == pytest.approx(rto.srtt + 4 * rto.rttvar)  # type: ignore[operator]


def test_c3_alpha_and_beta_are_parameters() -> None:
    rto = make(rto_min=0.001, rto_alpha=0.5, rto_beta=0.5)
    rto.observe(0.1)
    rto.observe(0.3)
    assert rto.rttvar == pytest.approx(0.5 * 0.05 + 0.5 * 0.2)
    assert rto.srtt == pytest.approx(0.2)


def test_c6_rto_is_rounded_up_to_rto_min() -> None:
    rto = make(rto_min=0.5)
    rto.observe(0.01)
    assert rto.rto == 0.5


def test_c7_rto_max_bounds_the_computed_value() -> None:
    rto = make(rto_max=10.0)
    rto.observe(100.0)
    assert rto.rto == 10.0


def test_g1_rttvar_is_never_zero() -> None:
    rto = make(rto_min=0.001)
    for _ in range(200):
        rto.observe(0.0)
    assert rto.rttvar > 0
    assert rto.rto > rto.srtt  # type: ignore[operator]


def test_e2_back_off_doubles_up_to_rto_max() -> None:
    rto = make(rto_initial=1.0, rto_max=5.0)
    seen = []
    for _ in range(4):
        rto.back_off()
        seen.append(rto.rto)
    assert seen == [2.0, 4.0, 5.0, 5.0]


def test_6_3_3_a_new_measurement_collapses_rto_after_back_off() -> None:
    rto = make()
    rto.observe(0.1)
    for _ in range(5):
        rto.back_off()
    assert rto.rto == 32.0
    rto.observe(0.1)
    assert rto.rto == 1.0


def test_new_bounds_hold_at_once() -> None:
    config = Config()
    rto = RetransmissionTimeout(config)
    rto.replace_config(config.replace(rto_initial=0.5, rto_min=0.2))
    assert rto.rto == 0.5
    rto.observe(0.01)
    assert rto.rto == 0.2
    rto.replace_config(config.replace(rto_min=2.0))
    assert rto.rto == 2.0


@given(st.lists(st.one_of(st.floats(0, 1000), st.none()), max_size=50))
def test_rto_stays_within_its_bounds_whatever_is_measured(samples: list[float | None]) -> None:
    rto = make(rto_initial=0.3, rto_min=0.2, rto_max=30.0)
    for sample in samples:
        if sample is None:
            rto.back_off()
        else:
            rto.observe(sample)
            assert rto.rttvar > 0
        assert 0.2 <= rto.rto <= 30.0


# -- which round trips are measured (C4, C5) ---------------------------------------------------------


def test_c4_one_measurement_per_round_trip() -> None:
    a = Sender(cwnd=100_000)
    a.send(count=4)
    a.pull()
    # A -> DATA 1..4 -> Z; SACKs for each come 0.1, 0.2, 0.3 and 0.4 s later
    a.sack(1, after=0.1)
    assert a.rto.srtt == pytest.approx(0.1)
    for tsn in (2, 3, 4):
        a.sack(tsn, after=0.1)
    assert a.rto.srtt == pytest.approx(0.1), "they were sent in the round trip already measured"


def test_c4_every_round_trip_is_measured() -> None:
    a = Sender()
    for tsn in range(1, 6):
        a.send()
        a.pull()
        a.sack(tsn, after=tsn / 10)
    srtt = 0.1
    for sample in (0.2, 0.3, 0.4, 0.5):
        srtt += (sample - srtt) / 8
    assert a.rto.srtt == pytest.approx(srtt)


def test_c4_a_gap_ack_block_ends_a_measurement_too() -> None:
    a = Sender(cwnd=100_000)
    a.send(count=1)
    a.pull()
    a.sack(1, after=0.1)
    a.send(count=2)
    a.pull()
    a.sack(1, (2, 2), after=0.5)  # 2 is the one that is timed
    assert a.rto.srtt == pytest.approx(0.875 * 0.1 + 0.125 * 0.5)


def test_c5_nothing_is_measured_when_a_lower_tsn_was_retransmitted_meanwhile() -> None:
    a = Sender(cwnd=100_000)
    a.send(count=2)
    a.pull()
    a.send(count=4)
    a.sack(1, after=0.1)  # 2 is in flight
    a.pull()  # 3..6
    for last in (3, 4, 5):
        a.sack(1, (3, last))
    srtt = a.rto.srtt
    assert a.pull() == [[2]]
    a.sack(6, after=3.0)  # 6 had arrived long ago, perhaps, and the SACK that told so was lost
    assert a.rto.srtt == srtt
