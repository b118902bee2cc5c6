"""Checks of what the local caller hands in: of the right type, and within its limits.

A float that passes for a stream id, or a text for a number, would be noticed only when a packet is made
of it, long after the call that was wrong, and end the whole association.
"""

from __future__ import annotations

import math

from .errors import LocalProtocolError

__all__ = ["check_flag", "check_integer", "check_number", "check_text"]

_NUMBER = (int, float)


def check_integer(name: str, value: object, low: float, high: float) -> None:
    """`LocalProtocolError` unless ``value`` is an integer from ``low`` to ``high``."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise LocalProtocolError(f"{name} is {value!r}: it must be an integer")
    _check_range(name, value, low, high)


def check_number(name: str, value: object, low: float, high: float) -> None:
    """`LocalProtocolError` unless ``value`` is a number from ``low`` to ``high``; NaN is none."""
    if isinstance(value, bool) or not isinstance(value, _NUMBER):
        raise LocalProtocolError(f"{name} is {value!r}: it must be a number")
    _check_range(name, value, low, high)


def check_flag(name: str, value: object) -> None:
    """`LocalProtocolError` unless ``value`` is True or False."""
    if not isinstance(value, bool):
        raise LocalProtocolError(f"{name} is {value!r}: it must be True or False")


def check_text(name: str, value: object, most: int) -> None:
    """`LocalProtocolError` unless ``value`` is text of at most ``most`` bytes of UTF-8."""
    if not isinstance(value, str):
        raise LocalProtocolError(f"{name} is {value!r}: it must be a str")
    try:
        size = len(value.encode())
    except UnicodeEncodeError as exc:
        raise LocalProtocolError(f"{name} cannot be sent as UTF-8: {exc}") from None
    if size > most:
        raise LocalProtocolError(f"{name} is {size} bytes of UTF-8: it may have {most}")


def _check_range(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        limits = f"{low} or more" if high == math.inf else f"from {low} to {high}"
        raise LocalProtocolError(f"{name} is {value}: it must be {limits}")
