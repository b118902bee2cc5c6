"""Where two objects that should have gone through the same differ, down to the last attribute."""

from __future__ import annotations

from collections import deque
from random import Random
from typing import Any

from trio_sctp import Config

__all__ = ["differences"]

_PLAIN = (int, float, str, bytes, bytearray, set, frozenset, type(None))


def differences(one: object, other: object, unlike: frozenset[str]) -> list[tuple[str, Any, Any]]:
    """By their places: all that hangs on objects of ours, but for the attributes ``unlike``."""
    found: list[tuple[str, Any, Any]] = []
    seen: set[tuple[int, int]] = set()
    waiting: list[tuple[str, Any, Any]] = [("", one, other)]
    while waiting:
        path, a, b = waiting.pop()
        if a is b or isinstance(a, type | Config) or (id(a), id(b)) in seen:
            continue
        if type(a) is not type(b) or (isinstance(a, _PLAIN) and a != b):
            found.append((path, a, b))
            continue
        if isinstance(a, _PLAIN):
            continue
        seen.add((id(a), id(b)))
        parts, others = _parts_of(a, unlike), _parts_of(b, unlike)
        if len(parts) != len(others):
            found.append((path + ", its length", len(parts), len(others)))
            continue
        pairs = zip(parts, others, strict=True)
        waiting += [(path + name, part, counterpart) for (name, part), (_, counterpart) in pairs]
    return found


def _parts_of(thing: Any, unlike: frozenset[str]) -> list[tuple[str, Any]]:
    if isinstance(thing, dict):
        keys = [("[key]", key) for key in thing]
        return keys + [(f"[{key!r:.20}]", value) for key, value in thing.items()]
    if isinstance(thing, list | tuple | deque):
        return [("[]", item) for item in thing]
    if isinstance(thing, Random):
        return [(".state", thing.getstate())]
    if not type(thing).__module__.startswith("trio_sctp"):
        return []  # functions, and what programs hand in
    names = sorted(_names_of(thing) - unlike)
    return [(f".{name}", getattr(thing, name, None)) for name in names]


def _names_of(thing: object) -> frozenset[str]:
    names = set(getattr(thing, "__dict__", ()))
    for base in type(thing).__mro__:
        slots = base.__dict__.get("__slots__", ())
        names.update((slots,) if isinstance(slots, str) else slots)
    return frozenset(names)
