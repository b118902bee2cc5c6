"""DTLS associations that are over and are kept for a while, to say good-bye again.

Whoever did not get our last alert goes on sending; it is told once more (RFC 6347 §4.2.7).
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final, Generic, TypeVar

from ._webrtc.dtls import DtlsAssociation

__all__ = ["Farewells"]

KEPT_FOR: Final = 5.0
"""Seconds."""
MOST_KEPT: Final = 1000

_Where = TypeVar("_Where", bound=Hashable)


class Farewells(Generic[_Where]):
    """Closed associations by where their peers are."""

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        self._kept: dict[_Where, tuple[float, DtlsAssociation]] = {}  # the oldest first

    def add(self, where: _Where, dtls: DtlsAssociation, *, now: float) -> None:
        """Keep a closed association; old ones make way."""
        kept = self._kept
        kept.pop(where, None)
        kept[where] = now + KEPT_FOR, dtls
        while (oldest := next(iter(kept))) != where:
            if kept[oldest][0] > now and len(kept) <= MOST_KEPT:
                break
            del kept[oldest]

    def forget(self, where: _Where) -> None:
        """Somebody new is there."""
        self._kept.pop(where, None)

    def answer(self, where: _Where, datagram: bytes, *, now: float) -> list[bytes]:
        """What to send back to a datagram from there: nothing, as a rule."""
        until, dtls = self._kept.get(where, (0.0, None))
        if dtls is None:
            return []
        if now >= until:
            del self._kept[where]
            return []
        dtls.receive_datagrams([datagram], now=now)
        return dtls.datagrams_to_send()
