"""Serial numbers unwrap to the nearest int, across the wrap and in both directions."""

from __future__ import annotations

import pytest
from hypothesis import given, settings, strategies as st

from trio_sctp._wire.serial import MASK32, unwrap32


@pytest.mark.parametrize(
    "wire,reference,expected",
    [
        (5, 5, 5),
        (6, 5, 6),
        (4, 5, 4),
        (0, 0xFFFFFFFF, 2**32),  # forward across the wrap
        (0xFFFFFFFF, 2**32, 0xFFFFFFFF),  # backward across it
        (0xFFFFFFFF, 0, -1),  # before the very first
        (3, 7 * 2**32 + 1, 7 * 2**32 + 3),  # after many wraps
        (2**31 - 1, 0, 2**31 - 1),
        (2**31, 0, -(2**31)),  # equally near: the lower
        (2**31 + 1, 0, -(2**31) + 1),
    ],
)
def test_unwrap32(wire: int, reference: int, expected: int) -> None:
    assert unwrap32(wire, reference) == expected


@given(st.integers(0, 2**70), st.integers(-(2**31), 2**31 - 1))
@settings(deadline=None)
def test_unwrapping_undoes_wrapping_within_half_the_space(reference: int, step: int) -> None:
    number = reference + step
    assert unwrap32(number & MASK32, reference) == number
