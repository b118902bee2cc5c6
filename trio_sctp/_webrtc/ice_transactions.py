"""The Binding requests of an ICE agent that wait for their responses (RFC 8489 §6.2.1).

Each is repeated with growing intervals until it is answered, cancelled or given up.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from .ice_checklist import CandidatePair, Path

__all__ = ["Transaction", "Transactions"]

_RM: Final = 16
"""How many first RTOs to wait after the last transmission."""


@dataclass(slots=True)
class Transaction:
    """One request."""

    request: bytes
    path: Path
    rto: float
    transmissions_left: int
    next_at: float
    cancelled: bool = False
    """Not repeated any more, but a response still counts (RFC 8445 §7.3.1.4)."""
    pair: CandidatePair | None = None
    """None: it asks a STUN server."""
    controlling: bool = False
    use_candidate: bool = False


class Transactions:
    """Those under way, by their ids."""

    __slots__ = ("_by_id", "_first_rto", "_max_rto")

    def __init__(self, first_rto: float, max_rto: float) -> None:
        self._by_id: dict[bytes, Transaction] = {}
        self._first_rto = first_rto
        self._max_rto = max_rto

    def __iter__(self) -> Iterator[Transaction]:
        return iter(self._by_id.values())

    def __bool__(self) -> bool:
        return bool(self._by_id)

    def add(self, transaction_id: bytes, transaction: Transaction) -> None:
        self._by_id[transaction_id] = transaction

    def get(self, transaction_id: bytes) -> Transaction | None:
        return self._by_id.get(transaction_id)

    def end(self, transaction_id: bytes) -> None:
        del self._by_id[transaction_id]

    def cancel(self, pair: CandidatePair) -> None:
        """Another check of the pair is about to begin."""
        for transaction in self:
            if transaction.pair is pair:
                transaction.cancelled = True
                transaction.transmissions_left = 0

    def clear(self) -> list[CandidatePair]:
        """Drop all; the pairs that were being checked."""
        dropped = [transaction.pair for transaction in self if transaction.pair is not None]
        self._by_id.clear()
        return dropped

    def next_timeout(self) -> float:
        return min((transaction.next_at for transaction in self), default=math.inf)

    def expire(self, now: float, send: Callable[[bytes, Path], None]) -> list[Transaction]:
        """Repeat what is due; what was given up is removed and returned."""
        given_up = []
        for transaction_id, transaction in list(self._by_id.items()):
            if now < transaction.next_at:
                continue
            if transaction.transmissions_left <= 0:
                del self._by_id[transaction_id]
                given_up.append(transaction)
                continue
            transaction.transmissions_left -= 1
            send(transaction.request, transaction.path)
            # with many pairs the first interval may be longer than the limit is
            transaction.rto = max(transaction.rto, min(transaction.rto * 2, self._max_rto))
            last = transaction.transmissions_left == 0
            transaction.next_at = now + (_RM * self._first_rto if last else transaction.rto)
        return given_up
