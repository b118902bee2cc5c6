"""Our own candidates: hosts, and what STUN servers say of them (RFC 8445 §5.1)."""

from __future__ import annotations

from collections import deque

from .ice_candidate import Candidate
from .ice_checklist import Path
from .stun import Address

__all__ = ["LocalCandidates"]


class LocalCandidates:
    """The bases that are sent from, the candidates they make, and which servers are yet to ask."""

    __slots__ = ("_order", "_servers", "_to_ask", "bases", "ended", "hosts_ended")

    def __init__(self) -> None:
        self.bases: dict[Address, Candidate] = {}
        self._order: dict[Address, Candidate] = {}
        self._servers: list[Address] = []
        self._to_ask: deque[Path] = deque()
        self.hosts_ended = False
        """No further host or server will be told."""
        self.ended = False

    def __contains__(self, address: Address) -> bool:
        return address in self._order

    def best_first(self) -> list[Candidate]:
        """Those to be told to the peer: not the ones that the peer itself has told us."""
        told = (candidate for candidate in self._order.values() if candidate.kind != "prflx")
        return sorted(told, key=lambda candidate: -candidate.priority)

    def add_host(self, address: Address) -> Candidate | None:
        """A new base; None if it is known."""
        if address in self.bases:
            return None
        # RFC 8445 §5.1.2.1: each address has a preference of its own, the first one the highest.
        preference = max(65535 - len(self.bases), 0)
        host = Candidate.make("host", address, base=address, local_preference=preference)
        self.bases[address] = self._order[address] = host
        for server in self._servers:
            self._plan(address, server)
        return host

    def add_server(self, server: Address) -> None:
        if server not in self._servers:
            self._servers.append(server)
            for base in self.bases:
                self._plan(base, server)

    def _plan(self, base: Address, server: Address) -> None:
        if (":" in base[0]) == (":" in server[0]):
            self._to_ask.append((base, server))

    def next_to_ask(self) -> Path | None:
        """From which base to ask which server."""
        return self._to_ask.popleft() if self._to_ask else None

    @property
    def all_asked(self) -> bool:
        return self.hosts_ended and not self._to_ask

    def add_reflexive(
        self, kind: str, mapped: Address, *, base: Address, server: Address | None = None
    ) -> Candidate | None:
        """How a base looks from outside; None if that is known (RFC 8445 §5.1.3)."""
        if mapped in self._order:
            return None
        preference = self.bases[base].priority >> 8 & 0xFFFF
        candidate = Candidate.make(
            kind, mapped, base=base, local_preference=preference, server=server
        )
        self._order[mapped] = candidate
        return candidate
