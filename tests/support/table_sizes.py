"""How much an association holds, counted in the entries of its tables."""

from __future__ import annotations

from collections import deque

from trio_sctp import Config
from trio_sctp._core.association import Association

__all__ = ["table_sizes", "total"]


def table_sizes(root: object) -> dict[str, int]:
    """The length of every container that hangs on an object of ours, by where it hangs."""
    sizes: dict[str, int] = {}
    seen = set()
    waiting: list[tuple[str, object]] = [("", root)]
    while waiting:
        path, thing = waiting.pop()
        if id(thing) in seen or isinstance(thing, type | Config):
            continue
        seen.add(id(thing))
        if isinstance(thing, dict | list | set | deque):
            sizes[path] = len(thing)
            values = thing.values() if isinstance(thing, dict) else thing
            waiting += [(path + "[]", value) for value in values]
        elif type(thing).__module__.startswith("trio_sctp"):
            names = set(getattr(thing, "__dict__", ()))
            for base in type(thing).__mro__:
                for listed in ("__slots__", "__mypyc_attrs__"):  # the latter where it is compiled
                    slots = base.__dict__.get(listed, ())
                    names.update((slots,) if isinstance(slots, str) else slots)
            waiting += [(f"{path}.{name}", getattr(thing, name, None)) for name in names]
    return sizes


def total(association: Association) -> int:
    return sum(table_sizes(association).values())
