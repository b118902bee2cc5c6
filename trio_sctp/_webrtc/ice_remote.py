"""The peer's candidates, told by it or found by its checks (RFC 8838 §11, RFC 8445 §7.3.1.3)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from .ice_candidate import Candidate
from .stun import Address

__all__ = ["RemoteCandidates"]

_MAX_CANDIDATES: Final = 100


class RemoteCandidates:
    """The peer's candidates by address: told ones, and those that its checks have come from."""

    __slots__ = ("_by_address",)

    def __init__(self) -> None:
        self._by_address: dict[Address, Candidate] = {}

    def __iter__(self) -> Iterator[Candidate]:
        return iter(list(self._by_address.values()))

    def __getitem__(self, address: Address) -> Candidate:
        return self._by_address[address]

    def tell(self, candidate: Candidate) -> bool:
        """One that the peer has told; whether it is to be paired: no names, no TCP, and not too many."""
        known = self._by_address.get(candidate.address)
        full = len(self._by_address) >= _MAX_CANDIDATES
        if not candidate.checkable or (known is None and full):
            return False
        if known is not None and known.kind != "prflx":
            return False
        self._by_address[candidate.address] = candidate
        return True

    def is_told(self, address: Address) -> bool:
        """Whether the peer has told it, by whatever way descriptions go."""
        known = self._by_address.get(address)
        return known is not None and known.kind != "prflx"

    def found_at(self, address: Address, priority: int) -> Candidate | None:
        """The one at an address that a check has come from (RFC 8445 §7.3.1.3); None if there are
        too many.
        """
        known = self._by_address.get(address)
        if known is not None or len(self._by_address) >= _MAX_CANDIDATES:
            return known
        foundation = f"prflx{len(self._by_address)}"
        found = Candidate(foundation, 1, "udp", priority, *address, "prflx")
        self._by_address[address] = found
        return found

    def clear(self) -> None:
        self._by_address.clear()
