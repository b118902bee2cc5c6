"""Sets of TSNs as bounds: the same as sets of numbers, for all of seven in a row."""

from __future__ import annotations

from itertools import chain, groupby, product

import pytest

from trio_sctp._core.tx.gap_ranges import (
    Bounds,
    Range,
    above,
    bounds_of_gaps,
    changes,
    first_changes,
    ranges_of,
    subtract,
)

FIRST = 100
SETS = [{FIRST + bit for bit in range(7) if bits >> bit & 1} for bits in range(128)]


def bounds_of(tsns: set[int]) -> Bounds:
    """The ends of runs, as long as they can be."""
    runs = groupby(enumerate(sorted(tsns)), lambda pair: pair[1] - pair[0])
    found = [[tsn for _, tsn in run] for _, run in runs]
    return [bound for run in found for bound in (run[0], run[-1])]


def runs_of(tsns: set[int]) -> list[Range]:
    return ranges_of(bounds_of(tsns))


def test_what_is_in_one_and_not_in_the_other() -> None:
    bounds = [bounds_of(tsns) for tsns in SETS]
    for tsns, these in zip(SETS, bounds, strict=True):
        for others, those in zip(SETS, bounds, strict=True):
            assert subtract(ranges_of(these), ranges_of(those)) == runs_of(tsns - others)
            assert changes(those, these) == (runs_of(tsns - others), runs_of(others - tsns))


def test_the_first_of_what_differs() -> None:
    for tsns in SETS:
        for others in SETS:
            differing = sorted(tsns ^ others)
            for most in range(1, len(differing)):
                part = first_changes(bounds_of(tsns), bounds_of(others), most)
                assert part == bounds_of(tsns ^ set(differing[:most]))
            assert first_changes(bounds_of(tsns), bounds_of(others), len(differing) + 1) is None


def test_what_is_above_a_tsn() -> None:
    for tsns in SETS:
        for tsn in range(FIRST - 1, FIRST + 8):
            assert above(bounds_of(tsns), tsn) == bounds_of({t for t in tsns if t > tsn})


def test_blocks_in_any_order_that_touch_or_overlap_are_what_they_cover() -> None:
    blocks = [(start, end) for start in range(1, 7) for end in range(start, 7)]
    for some in chain(product(blocks, repeat=2), product(blocks, repeat=3)):
        covered = {FIRST + offset for start, end in some for offset in range(start, end + 1)}
        assert bounds_of_gaps(tuple(chain.from_iterable(some)), FIRST) == bounds_of(covered)


@pytest.mark.parametrize("block", [(0, 1), (0, 0), (2, 1)])
def test_blocks_that_cannot_be_true(block: tuple[int, int]) -> None:
    """RFC 9260 §3.3.4: offsets count from the cumulative TSN ack, which is not missing."""
    assert bounds_of_gaps(block, FIRST) is None
    assert bounds_of_gaps((4, 5, *block), FIRST) is None
    assert bounds_of_gaps((), FIRST) == []
