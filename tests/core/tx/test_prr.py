"""Proportional Rate Reduction in the numbers of RFC 6937 §3; sizes are in packets."""

from __future__ import annotations

import pytest

from trio_sctp._core.tx.prr import ProportionalRateReduction

PACKET = 1000


def quota(
    *,
    begin: int = 20,
    ssthresh: int = 10,
    sent: int = 0,
    delivered: int = 0,
    acked: int,
    flight: int,
    lossless: bool,
) -> float:
    """What may go out after a SACK, when so much was sent and delivered before in this recovery."""
    prr = ProportionalRateReduction(begin * PACKET, ssthresh * PACKET)
    if delivered:
        prr.quota(delivered * PACKET, begin * PACKET, PACKET, lossless=True)
    for _ in range(sent):
        prr.sent(PACKET)
    return prr.quota(acked * PACKET, flight * PACKET, PACKET, lossless=lossless) / PACKET


@pytest.mark.parametrize("lossless", [True, False])
@pytest.mark.parametrize(
    "sent, delivered, acked, expected", [(0, 0, 2, 1), (1, 2, 2, 1), (3, 4, 2, 0), (2, 8, 2, 3)]
)
def test_above_ssthresh_it_is_the_same_part_of_what_was_delivered(
    sent: int, delivered: int, acked: int, expected: int, lossless: bool
) -> None:
    got = quota(sent=sent, delivered=delivered, acked=acked, flight=11, lossless=lossless)
    assert got == expected


def test_of_a_part_of_a_byte_the_whole_one_may_go() -> None:
    """The RFC's CEIL."""
    prr = ProportionalRateReduction(3000, 1000)
    assert prr.quota(1000, 2000, PACKET, lossless=True) == 334


def test_at_ssthresh_nothing_is_missing() -> None:
    assert quota(delivered=10, acked=2, flight=10, lossless=True) == 0


def test_below_ssthresh_it_is_filled_as_by_slow_start() -> None:
    # one more than was delivered with this SACK
    assert quota(sent=6, delivered=6, acked=2, flight=4, lossless=True) == 3
    # or what was delivered in all and not sent
    assert quota(sent=2, delivered=6, acked=1, flight=2, lossless=True) == 6


def test_no_faster_than_data_is_delivered_while_more_turns_out_to_be_lost() -> None:
    assert quota(sent=6, delivered=6, acked=2, flight=4, lossless=False) == 2
    assert quota(sent=2, delivered=6, acked=1, flight=2, lossless=False) == 5


@pytest.mark.parametrize("lossless", [True, False])
def test_never_beyond_ssthresh(lossless: bool) -> None:
    assert quota(sent=2, delivered=10, acked=4, flight=9, lossless=lossless) == 1
