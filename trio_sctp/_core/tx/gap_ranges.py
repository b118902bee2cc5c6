"""Sets of TSNs as sorted ranges: what gap ack blocks say, and what is new in it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import TypeAlias

__all__ = ["Range", "above", "changes", "first_changes", "ranges_of_blocks", "subtract"]

Range: TypeAlias = "tuple[int, int]"
"""The first and the last TSN of a run."""


def ranges_of_blocks(blocks: Sequence[tuple[int, int]], cumulative: int) -> list[Range] | None:
    """Gap ack blocks as sorted ranges that do not touch; None where they cannot be true."""
    ranges: list[Range] = []
    previous = -1
    for start, end in blocks:
        if not previous + 1 < start <= end:
            return _ranges_of_any_blocks(blocks, cumulative)
        ranges.append((cumulative + start, cumulative + end))
        previous = end
    return ranges


def _ranges_of_any_blocks(blocks: Sequence[tuple[int, int]], cumulative: int) -> list[Range] | None:
    """The same of blocks that touch, overlap or are not in order, as no careful peer sends them."""
    ranges: list[Range] = []
    for start, end in sorted(blocks):
        if not 0 < start <= end:
            return None
        if ranges and cumulative + start <= ranges[-1][1] + 1:
            ranges[-1] = ranges[-1][0], max(cumulative + end, ranges[-1][1])
        else:
            ranges.append((cumulative + start, cumulative + end))
    return ranges


def above(ranges: list[Range], tsn: int) -> list[Range]:
    """The part of the sorted ranges that is above ``tsn``."""
    index = bisect_right(ranges, (tsn + 1,))
    left = ranges[index:]
    if index and ranges[index - 1][1] > tsn:
        left.insert(0, (tsn + 1, ranges[index - 1][1]))
    return left


def first_changes(old: list[Range], new: list[Range], most: int) -> list[Range] | None:
    """What comes of the old ranges with the first ``most`` TSNs changed of those that the new ones
    change; None if these are all.
    """
    gained, lost = changes(old, new)
    for first, last in sorted([*gained, *lost]):
        if last - first >= most:
            changed_to = first + most - 1
            below = [(a, min(b, changed_to)) for a, b in new if a <= changed_to]
            rest = above(old, changed_to)
            if below and rest and below[-1][1] + 1 == rest[0][0]:
                rest[0] = below.pop()[0], rest[0][1]
            return below + rest
        most -= last - first + 1
    return None


def changes(old: list[Range], new: list[Range]) -> tuple[list[Range], list[Range]]:
    """What is in the new sorted ranges only, and what is in the old ones only.

    A SACK repeats what the one before it has said, so most are in both: these are set aside.
    """
    lost: list[Range] = []
    gained: list[Range] = []
    i, j, count, new_count = 0, 0, len(old), len(new)
    while i < count and j < new_count:
        one, other = old[i], new[j]
        if one == other:
            i += 1
            j += 1
        elif one < other:
            lost.append(one)
            i += 1
        else:
            gained.append(other)
            j += 1
    lost += old[i:]
    gained += new[j:]
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
