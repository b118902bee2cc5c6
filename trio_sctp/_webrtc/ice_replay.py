"""Requests that were seen before, from somewhere else (RFC 8445 §19.2).

Whoever overhears a check can send it again from another address, as genuine as it was.  Where a path is
in use already, that must not lead our packets elsewhere.
"""

from __future__ import annotations

from typing import Final

from .stun import Address

__all__ = ["SeenRequests"]

_REMEMBERED: Final = 256


class SeenRequests:
    """Where the latest authentic requests came from, by their transaction ids."""

    __slots__ = ("_sources",)

    def __init__(self) -> None:
        self._sources: dict[bytes, Address] = {}

    def is_original(self, transaction_id: bytes, source: Address) -> bool:
        """Whether it was not seen before, or from there."""
        first = self._sources.setdefault(transaction_id, source)
        if len(self._sources) > _REMEMBERED:
            del self._sources[next(iter(self._sources))]
        return first == source
