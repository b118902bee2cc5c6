"""What an acknowledgement means to the last detail, where changes had not been noticed."""

from __future__ import annotations

import pytest

from tests.support.tx_sender import Sender


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
    assert a.queue.invalid_sacks == 2
