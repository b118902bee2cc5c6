"""What can be measured: kinds of traffic, by name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

__all__ = ["DEFAULT_WORKLOADS", "Workload"]

_NAME = re.compile(r"(bulk|small|ping)-(\d+)([km]?)", re.IGNORECASE)
_FACTOR = {"": 1, "k": 1024, "m": 1024 * 1024}
LARGEST_MESSAGE = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Workload:
    """Messages of one size, from client to server as fast as they go, or there and back one by one."""

    name: str
    size: int
    """Bytes of a message."""
    ping: bool

    @classmethod
    def named(cls, name: str) -> Self:
        """``bulk-SIZE``, ``small-SIZE`` (the same, for small messages) or ``ping-SIZE``, where SIZE
        is a number of bytes, perhaps with k or m.  Raises `ValueError` for any other name.
        """
        match = _NAME.fullmatch(name.strip())
        size = int(match[2]) * _FACTOR[match[3].lower()] if match else 0
        if match is None or not 1 <= size <= LARGEST_MESSAGE:
            raise ValueError(
                f"{name!r} is no workload: it must be bulk-SIZE or ping-SIZE, with SIZE from 1 to 16m"
            )
        return cls(match[0].lower(), size, match[1].lower() == "ping")


DEFAULT_WORKLOADS = "bulk-16k,bulk-64k,small-64,ping-64"
