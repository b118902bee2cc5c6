"""Our own candidates: hosts, and what STUN servers say of them (RFC 8445 §5.1)."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from .ice_candidate import Candidate
from .ice_checklist import Path
from .ice_common import IceConfig
from .ice_transactions import Transaction, Transactions
from .stun import Address, MessageClass, StunMessage, encode_message

if TYPE_CHECKING:
    from random import Random

__all__ = ["Gathering", "LocalCandidates"]


class LocalCandidates:
    """The bases that are sent from, and the candidates they make."""

    __slots__ = ("_order", "bases")

    def __init__(self) -> None:
        self.bases: dict[Address, Candidate] = {}
        self._order: dict[Address, Candidate] = {}

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
        return host

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


class Gathering:
    """Asks each STUN server, from each base, how we look from there (RFC 8445 §5.1.1.2)."""

    __slots__ = (
        "_asking",
        "_config",
        "_give_up_at",
        "_local",
        "_servers",
        "_to_ask",
        "hosts_ended",
    )

    def __init__(self, local: LocalCandidates, config: IceConfig) -> None:
        self._local = local
        self._config = config
        self._servers: list[Address] = []
        self._to_ask: deque[Path] = deque()
        self._asking = Transactions(config.initial_rto, config.max_rto)
        self._give_up_at = math.inf
        self.hosts_ended = False
        """No further host or server will be told."""

    def add_host(self, address: Address) -> Candidate | None:
        """As `LocalCandidates.add_host`."""
        host = self._local.add_host(address)
        if host is not None:
            for server in self._servers:
                self._plan(address, server)
        return host

    def add_server(self, server: Address) -> None:
        if server not in self._servers:
            self._servers.append(server)
            for base in self._local.bases:
                self._plan(base, server)

    def _plan(self, base: Address, server: Address) -> None:
        if (":" in base[0]) == (":" in server[0]):
            self._to_ask.append((base, server))

    @property
    def finished(self) -> bool:
        """Whether every server was told, was asked, and has answered or been given up."""
        return self.hosts_ended and not self._to_ask and not self._asking

    def ask_next(self, rng: Random, now: float, send: Callable[[bytes, Path], None]) -> bool:
        """Begin the next transaction; whether there was one to begin."""
        if not self._to_ask:
            return False
        if not self._asking:
            self._give_up_at = now + self._config.gathering_timeout
        path = self._to_ask.popleft()
        transaction_id = rng.randbytes(12)
        request = encode_message(MessageClass.REQUEST, transaction_id)
        rto = self._config.initial_rto
        tries = self._config.gathering_transmissions
        self._asking.add(
            transaction_id, Transaction(request, path, rto, tries - 1, next_at=now + rto)
        )
        send(request, path)
        return True

    def expects(self, transaction_id: bytes) -> bool:
        return self._asking.get(transaction_id) is not None

    def receive_response(self, message: StunMessage, path: Path) -> tuple[bool, Candidate | None]:
        """Whether it came from the server, and the candidate that is new by it."""
        transaction = self._asking.get(message.transaction_id)
        if transaction is None or path != transaction.path:
            return False, None
        self._asking.end(message.transaction_id)
        mapped = message.mapped_address
        if message.message_class is not MessageClass.SUCCESS or mapped is None:
            return True, None
        return True, self._local.add_reflexive("srflx", mapped, base=path[0], server=path[1])

    def next_timeout(self) -> float:
        return min(self._asking.next_timeout(), self._give_up_at) if self._asking else math.inf

    def handle_timeout(self, now: float, send: Callable[[bytes, Path], None]) -> None:
        if now >= self._give_up_at:
            self.stop()
        self._asking.expire(now, send)

    def stop(self) -> None:
        """Nobody is asked any more, and no answer counts."""
        self._to_ask.clear()
        self._asking.clear()
