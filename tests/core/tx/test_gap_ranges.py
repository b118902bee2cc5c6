"""Sets of TSNs as ranges: the same as sets of numbers, for all of seven in a row."""

from __future__ import annotations

from itertools import groupby

import pytest

from trio_sctp._core.tx.gap_ranges import Range, above, changes, ranges_of_blocks, subtract

FIRST = 100
SETS = [{FIRST + bit for bit in range(7) if bits >> bit & 1} for bits in range(128)]


def ranges_of(tsns: set[int]) -> list[Range]:
    """Runs, as long as they can be."""
    runs = groupby(enumerate(sorted(tsns)), lambda pair: pair[1] - pair[0])
    found = [[tsn for _, tsn in run] for _, run in runs]
    return [(run[0], run[-1]) for run in found]


def test_what_is_in_one_and_not_in_the_other() -> None:
    ranges = [ranges_of(tsns) for tsns in SETS]
    for tsns, these in zip(SETS, ranges, strict=True):
        for others, those in zip(SETS, ranges, strict=True):
            assert subtract(these, those) == ranges_of(tsns - others)
            assert changes(those, these) == (ranges_of(tsns - others), ranges_of(others - tsns))


def test_what_is_above_a_tsn() -> None:
    for tsns in SETS:
        for tsn in range(FIRST - 1, FIRST + 8):
            assert above(ranges_of(tsns), tsn) == ranges_of({t for t in tsns if t > tsn})


def test_blocks_in_any_order_that_touch_or_overlap_are_what_they_cover() -> None:
    blocks = [(start, end) for start in range(1, 5) for end in range(start, 5)]
    for first in blocks:
        for second in blocks:
            for third in blocks:
                covered = {
                    FIRST + offset
                    for start, end in (first, second, third)
                    for offset in range(start, end + 1)
                }
                assert ranges_of_blocks([first, second, third], FIRST) == ranges_of(covered)


@pytest.mark.parametrize("block", [(0, 1), (0, 0), (2, 1)])
def test_blocks_that_cannot_be_true(block: tuple[int, int]) -> None:
    """RFC 9260 §3.3.4: offsets count from the cumulative TSN ack, which is not missing."""
    assert ranges_of_blocks([block], FIRST) is None
    assert ranges_of_blocks([(4, 5), block], FIRST) is None
    assert ranges_of_blocks([], FIRST) == []
