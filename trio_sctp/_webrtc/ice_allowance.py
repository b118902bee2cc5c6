"""How much may be sent to addresses where nobody has shown to be (RFC 8445 §19.5.1).

A request tells an address that the peer never told: the sender's, which may be a lie.  Until an answer
to a check of ours has come from there, it is sent no more bytes than have come in its name.  The first
few such addresses are checked in advance, once for each request: behind most NATs there is no other way
to find each other soon, and a few checks are all that a liar gets by it.
"""

from __future__ import annotations

from typing import Final

from .stun import Address

__all__ = ["Allowance"]

_REMEMBERED: Final = 256
_MAX_ADVANCED: Final = 4
_ADVANCES: Final = 8


class Allowance:
    """What is left for each of those addresses, and which of them need none."""

    __slots__ = ("_advances", "_credit", "_proven")

    def __init__(self) -> None:
        self._credit: dict[Address, int] = {}
        self._advances: dict[Address, int] = {}
        self._proven: dict[Address, None] = {}

    def heard(self, address: Address, size: int) -> None:
        """So many more bytes have come from there than went back as an answer."""
        self._credit[address] = self._credit.get(address, 0) + size
        if len(self._credit) > _REMEMBERED:
            del self._credit[next(iter(self._credit))]

    def prove(self, address: Address) -> None:
        """An answer that nobody could have guessed has come from there."""
        self._credit.pop(address, None)
        self._advances.pop(address, None)
        self._proven[address] = None
        if len(self._proven) > _REMEMBERED:
            del self._proven[next(iter(self._proven))]

    def take(self, address: Address, size: int, *, in_advance: bool) -> bool:
        """Whether ``size`` bytes may go there; ``in_advance`` where a request has just come."""
        if address in self._proven:
            return True
        credit = self._credit.get(address, 0)
        if credit >= size:
            self._credit[address] = credit - size
            return True
        return in_advance and self._advance(address)

    def _advance(self, address: Address) -> bool:
        taken = self._advances.get(address, 0)
        if taken >= _ADVANCES or (not taken and len(self._advances) >= _MAX_ADVANCED):
            return False
        self._advances[address] = taken + 1
        return True
