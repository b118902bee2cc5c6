"""Sets of TSNs as sorted bounds: what gap ack blocks say, and what is new in it.

The bounds of a set are the first and the last TSN of each of its runs, in one row.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import TypeAlias

__all__ = [
    "Bounds",
    "Range",
    "above",
    "bounds_of_gaps",
    "changes",
    "first_changes",
    "ranges_of",
    "subtract",
]

Bounds: TypeAlias = "list[int]"
Range: TypeAlias = "tuple[int, int]"
"""The first and the last TSN of a run."""


def ranges_of(bounds: Sequence[int]) -> list[Range]:
    return list(zip(bounds[::2], bounds[1::2], strict=True))


def bounds_of_gaps(offsets: tuple[int, ...], cumulative: int) -> Bounds | None:
    """What gap ack blocks tell of, by their starts and ends in turn; None where they cannot be true."""
    least, begins = 1, True
    for offset in offsets:
        if offset < least:
            return _bounds_of_any_gaps(offsets, cumulative)
        begins = not begins
        least = offset + 2 if begins else offset  # runs do not touch
    return [cumulative + offset for offset in offsets]


def _bounds_of_any_gaps(offsets: Sequence[int], cumulative: int) -> Bounds | None:
    """The same of blocks that touch, overlap or are not in order, as no careful peer sends them."""
    bounds: Bounds = []
    for start, end in sorted(ranges_of(offsets)):
        if not 0 < start <= end:
            return None
        if bounds and cumulative + start <= bounds[-1] + 1:
            bounds[-1] = max(cumulative + end, bounds[-1])
        else:
            bounds += cumulative + start, cumulative + end
    return bounds


def above(bounds: Bounds, tsn: int) -> Bounds:
    """The part of a set that is above ``tsn``."""
    index = bisect_right(bounds, tsn)
    return [tsn + 1, *bounds[index:]] if index & 1 else bounds[index:]


def first_changes(old: Bounds, new: Bounds, most: int) -> Bounds | None:
    """What comes of the old set with the first ``most`` TSNs changed of those that the new one
    changes; None if these are all.
    """
    gained, lost = changes(old, new)
    for first, last in sorted([*gained, *lost]):
        if last - first >= most:
            changed_to = first + most - 1
            below = new[: bisect_right(new, changed_to)]
            if len(below) & 1:
                below.append(changed_to)
            rest = above(old, changed_to)
            if below and rest and below[-1] + 1 == rest[0]:
                del below[-1], rest[0]
            return below + rest
        most -= last - first + 1
    return None


def changes(old: Bounds, new: Bounds) -> tuple[list[Range], list[Range]]:
    """What is in the new set only, and what is in the old one only.

    A SACK repeats what the one before it has said, so most runs are in both: these are set aside.
    """
    lost: list[Range] = []
    gained: list[Range] = []
    i, j, count, new_count = 0, 0, len(old), len(new)
    while i < count and j < new_count:
        first, last = old[i], old[i + 1]
        other_first, other_last = new[j], new[j + 1]
        if first == other_first and last == other_last:
            i += 2
            j += 2
        elif first < other_first or (first == other_first and last < other_last):
            lost.append((first, last))
            i += 2
        else:
            gained.append((other_first, other_last))
            j += 2
    lost += [(old[k], old[k + 1]) for k in range(i, count, 2)]
    gained += [(new[k], new[k + 1]) for k in range(j, new_count, 2)]
    return subtract(gained, lost), subtract(lost, gained)


def subtract(ranges: list[Range], others: list[Range]) -> list[Range]:
    """What is in the first sorted ranges and not in the second ones, in one walk along both."""
    result: list[Range] = []
    index, count = 0, len(others)
    for first, last in ranges:
        while index < count and others[index][1] < first:
            index += 1
        i = index
        while i < count and others[i][0] <= last:
            other_first, other_last = others[i]
            if other_first > first:
                result.append((first, other_first - 1))
            first = other_last + 1
            i += 1
        index = max(index, i - 1)
        if first <= last:
            result.append((first, last))
    return result
