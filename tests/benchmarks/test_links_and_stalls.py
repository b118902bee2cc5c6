"""Short runs of the emulated links and of transfers through heavy loss: the bars hold, in virtual time.

What depends on the time from which on a window is full is measured from there on.
"""

from __future__ import annotations

import pytest

from tests.benchmarks import links, stalls
from tests.benchmarks.links import CHOICES, DEFAULT, ROWS, Row
from tests.support.emulated_pair import Stalled
from tests.support.virtual_transfer import Transfer
from trio_sctp._core.config import Config
from trio_sctp.testing import LinkConditions

ROW = {row.name: row for row in ROWS}
PARTS = {
    "1M": 0.3,
    "1%": 0.3,
    "tail": 1.0,
    "reordering": 0.1,
    "game 18M": 0.15,
    "game 1M": 0.5,
    "game 0.1%": 0.15,
    "game 1%": 0.3,
}
"""How much of the whole measurement is enough."""


@pytest.mark.parametrize("name", PARTS)
def test_bar(name: str) -> None:
    row: Row = ROW[name]
    assert row.bar
    measured = {DEFAULT: row.measure(CHOICES[DEFAULT], PARTS[name])}
    assert row.met(measured), (row.bar, measured)


@pytest.mark.parametrize(
    "name, conditions, begin, seconds",
    [
        ("fast", LinkConditions(delay=0.03), 4.5, 0.5),
        ("18M", LinkConditions(delay=0.03, rate=2.25e6, queue=135_000), 2.0, 6.0),
    ],
)
def test_bar_once_the_window_is_open(
    name: str, conditions: LinkConditions, begin: float, seconds: float
) -> None:
    transfer = Transfer(conditions, CHOICES[DEFAULT])
    before = transfer.run_for(begin).delivered
    after = transfer.run_for(seconds).delivered
    rate = (after - before) * 8 / seconds / 1e6
    assert ROW[name].met({DEFAULT: rate}), (ROW[name].bar, rate)


def test_every_bar_is_tested_or_too_long() -> None:
    assert {row.name for row in ROWS if row.bar} == {*PARTS, "fast", "18M", "200M"}


def test_what_is_printed() -> None:
    row = ROW["tail"]
    results = {row: links.measure(row)}
    assert links.table(results).count("| 2.00 | 2.00 | ≤ 2 | met |") == 1


# -- stalls


def test_the_bound_is_that_of_one_packet_at_a_time() -> None:
    """Worked out by hand for a loss of 10 %, where 19 % of transmissions go unanswered."""
    waits = stalls.silence(Config())
    assert [round(next(waits), 3) for _ in range(9)] == [
        *(0.32, 0.18, 0.36, 0.46),  # RTO 1 s
        *(0.32, 0.18, 0.36, 0.72, 0.74),  # RTO 2 s
    ]
    f = 0.19
    by_hand = 0.06 + 0.32 * f + 0.18 * f**2 + 0.36 * f**3 + 0.46 * f**4 + 0.32 * f**5
    mean, _ = stalls.one_packet(0.1, Config())
    assert mean == pytest.approx(by_hand, rel=1e-3)
    assert [round(stalls.bound(loss)) for loss in stalls.LOSSES] == [106, 150, 261, 432]


@pytest.mark.parametrize("loss", stalls.LOSSES)
def test_no_transfer_stalls(loss: float) -> None:
    taken = [stalls.seconds(loss, seed) for seed in range(1000, 1015)]
    assert max(taken) < stalls.bound(loss)


def test_the_transfer_that_once_stood_still() -> None:
    """What a late SACK acknowledged was taken for the round trip: silence was not noticed any more."""
    assert stalls.seconds(0.3, 229) < 150


def test_a_recovery_without_probes_does_not_meet_the_bound() -> None:
    """That is to say, the bound tells."""
    with pytest.raises(Stalled):
        stalls.seconds(0.3, 0, Config(loss_recovery="rfc9260"))
