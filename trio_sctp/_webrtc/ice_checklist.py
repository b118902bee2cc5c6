"""Candidate pairs of one ICE session and the order in which they are checked (RFC 8445 §6.1).

There is one data stream with one component, and the local candidate of every pair is a base (a
host address, or later a relayed one): a server-reflexive candidate is sent from its base, so the
pairs it would make are the base's (RFC 8445 §6.1.2.4).  A pair is therefore known by two
addresses.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Final, TypeAlias

from .ice_candidate import Candidate, pair_priority
from .stun import Address

__all__ = ["CandidatePair", "Checklist", "PairState", "Path"]

Path: TypeAlias = tuple[Address, Address]
"""The base that is sent from and the remote address."""


class PairState(enum.Enum):
    """RFC 8445 §6.1.2.6."""

    FROZEN = enum.auto()
    WAITING = enum.auto()
    IN_PROGRESS = enum.auto()
    SUCCEEDED = enum.auto()
    FAILED = enum.auto()


class CandidatePair:
    """One way to the peer."""

    __slots__ = (
        "local",
        "nominate_on_success",
        "nominating",
        "priority",
        "remote",
        "state",
        "succeeded_at",
        "valid",
    )

    def __init__(self, local: Candidate, remote: Candidate, *, controlling: bool) -> None:
        self.local = local
        self.remote = remote
        self.state = PairState.FROZEN
        self.nominate_on_success = False
        """The peer, which controls, nominated it before it was known to work."""
        self.nominating = False
        """We control and nominate it: its checks carry USE-CANDIDATE."""
        self.succeeded_at = -1.0
        self.valid = False
        """On the valid list (RFC 8445 §7.2.5.3.2): it stays there while it is checked again."""
        self.priority = 0
        self.set_role(controlling)

    def set_role(self, controlling: bool) -> None:
        """A role conflict was solved: the priority depends on the role (RFC 8445 §7.3.1.1), and what
        was nominated by the other one is no longer.
        """
        ours, theirs = self.local.priority, self.remote.priority
        self.priority = pair_priority(ours, theirs) if controlling else pair_priority(theirs, ours)
        self.nominating = self.nominate_on_success = False

    def succeed(self, now: float) -> None:
        """A check came through."""
        self.state = PairState.SUCCEEDED
        self.succeeded_at = now
        self.valid = True

    def fail(self) -> None:
        """A check did not."""
        self.state = PairState.FAILED
        self.valid = self.nominating = self.nominate_on_success = False

    @property
    def path(self) -> Path:
        return self.local.address, self.remote.address

    @property
    def foundation(self) -> tuple[str, str]:
        return self.local.foundation, self.remote.foundation

    @property
    def pending(self) -> bool:
        """Whether its check has yet to end."""
        return self.state not in (PairState.SUCCEEDED, PairState.FAILED)

    def __repr__(self) -> str:
        return f"<CandidatePair {self.local.address} {self.remote.address} {self.state.name}>"


def _compatible(local: Candidate, remote: Candidate) -> bool:
    # RFC 8445 §6.1.2.2: the same family, and link-local addresses only with each other
    ours, theirs = ip_address(local.host), ip_address(remote.host)
    return (
        ours.version == theirs.version
        and (ours.version == 4 or ours.is_link_local == theirs.is_link_local)
        and not theirs.is_multicast
        and not theirs.is_unspecified
    )


class Checklist:
    """The pairs, and the queue of triggered checks (RFC 8445 §6.1.4.1)."""

    __slots__ = ("_triggered", "pairs")

    MAX_PAIRS: Final = 100

    def __init__(self) -> None:
        self.pairs: dict[Path, CandidatePair] = {}
        self._triggered: deque[CandidatePair] = deque()

    def __iter__(self) -> Iterator[CandidatePair]:
        return iter(self.pairs.values())

    def add(
        self, local: Candidate, remote: Candidate, *, controlling: bool
    ) -> CandidatePair | None:
        """The pair of the two, a new one if need be; None if they cannot reach each other."""
        pair = self.pairs.get((local.address, remote.address))
        if pair is not None or not _compatible(local, remote):
            return pair
        if len(self.pairs) >= self.MAX_PAIRS and not self._make_room():
            return None
        pair = CandidatePair(local, remote, controlling=controlling)
        # RFC 8838 §10: wait, unless a pair of the same foundation goes first
        if not any(other.foundation == pair.foundation and other.pending for other in self):
            pair.state = PairState.WAITING
        self.pairs[pair.path] = pair
        return pair

    def _make_room(self) -> bool:
        # RFC 8445 §6.1.2.5: what has failed goes first, then the lowest priority
        idle = [p for p in self if not p.valid and p not in self._triggered]
        if not idle:
            return False
        worst = min(idle, key=lambda p: (p.state is not PairState.FAILED, p.priority))
        del self.pairs[worst.path]
        return True

    def trigger(self, pair: CandidatePair) -> None:
        """Check it before all others."""
        pair.state = PairState.WAITING
        if pair not in self._triggered:
            self._triggered.append(pair)

    def next_to_check(self) -> CandidatePair | None:
        """RFC 8445 §6.1.4.2: triggered ones, waiting ones, then a frozen one."""
        while self._triggered:
            pair = self._triggered.popleft()
            if self.pairs.get(pair.path) is pair:
                return pair
        waiting = [pair for pair in self if pair.state is PairState.WAITING]
        if not waiting:
            busy = {p.foundation for p in self if p.state is PairState.IN_PROGRESS}
            waiting = [
                pair
                for pair in self
                if pair.state is PairState.FROZEN and pair.foundation not in busy
            ]
        return max(waiting, key=lambda pair: pair.priority) if waiting else None

    @property
    def active_count(self) -> int:
        """Pairs that are checked, or will be when their time comes (RFC 8445 §14.3)."""
        return sum(pair.state in (PairState.WAITING, PairState.IN_PROGRESS) for pair in self)

    @property
    def has_work(self) -> bool:
        """Whether a check is to be sent when its time comes."""
        return any(pair.state in (PairState.WAITING, PairState.FROZEN) for pair in self)

    def unfreeze(self, foundation: tuple[str, str]) -> None:
        """RFC 8445 §7.2.5.3.3: where one came through, the others may."""
        for pair in self:
            if pair.state is PairState.FROZEN and pair.foundation == foundation:
                pair.state = PairState.WAITING

    def set_role(self, controlling: bool) -> None:
        for pair in self:
            pair.set_role(controlling)

    def valid_pairs(self) -> list[CandidatePair]:
        """Those that work, best first."""
        valid = [pair for pair in self if pair.valid]
        return sorted(valid, key=lambda pair: -pair.priority)

    def best_valid(self) -> CandidatePair | None:
        """The one to be used if it had to be chosen now."""
        return next(iter(self.valid_pairs()), None)

    def may_improve_on(self, pair: CandidatePair) -> bool:
        """A check that has yet to end is that of a better pair."""
        return any(other.pending and other.priority > pair.priority for other in self)

    def stop(self) -> None:
        """A pair was selected: what was not begun need not be (RFC 8445 §8.1.2)."""
        self._triggered.clear()
        for pair in self:
            if pair.state in (PairState.WAITING, PairState.FROZEN):
                pair.state = PairState.SUCCEEDED if pair.valid else PairState.FAILED
                pair.nominating = pair.nominate_on_success = False
