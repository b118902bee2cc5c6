"""One ICE session of a full agent: what its procedures work on, and what all of them need."""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING

from .ice_allowance import Allowance
from .ice_candidate import Candidate, IceCredentials
from .ice_checklist import CandidatePair, Checklist, Path
from .ice_common import (
    GatheringComplete,
    IceConfig,
    IceDatagram,
    IceEvent,
    IceFailed,
    IceFailureReason,
)
from .ice_consent import Consent
from .ice_gathering import Gathering, LocalCandidates
from .ice_nomination import Nominations
from .ice_remote import RemoteCandidates
from .ice_replay import SeenRequests
from .ice_role import Role
from .ice_transactions import Transactions
from .stun import Address

if TYPE_CHECKING:
    from random import Random

__all__ = ["IceSession"]


class IceSession:
    """The state of one end; `IceAgent` is what drives it."""

    def __init__(
        self,
        credentials: IceCredentials,
        *,
        controlling: bool,
        rng: Random,
        now: float,
        config: IceConfig | None = None,
    ) -> None:
        """``controlling``: true for the offerer, and towards a lite peer (RFC 8445 §6.1.1).

        ``rng`` has to be unpredictable: transaction ids keep strangers from forging responses.
        """
        config = self.config = config or IceConfig()
        self.rng = rng
        self.credentials = credentials
        self.role = Role(rng, controlling=controlling)
        self.remote: IceCredentials | None = None
        self.remote_candidates = RemoteCandidates()
        self.local = LocalCandidates()
        self.gathering = Gathering(self.local, config)
        self.gathering_complete = False
        self.checklist = Checklist()
        self.checks = Transactions(config.initial_rto, config.max_rto)
        self.early_checks: list[tuple[Path, int, bool]] = []
        self.verified: dict[Path, None] = {}
        self.seen_requests = SeenRequests()
        self.allowance = Allowance()
        self.nominations = Nominations[Path]()
        self.consent: Consent | None = None
        self.previous_credentials: IceCredentials | None = None
        self.first_valid_at = math.inf
        self.next_check_at = now
        self.paced_until = now
        self.fail_at = math.inf
        self.failed = False
        self.events: deque[IceEvent] = deque()
        self.datagrams: list[IceDatagram] = []

    @property
    def controlling(self) -> bool:
        """Whether we choose the pair to use."""
        return self.role.controlling

    @property
    def selected(self) -> Path | None:
        """The pair in use: our address and the peer's."""
        return self.consent.path if self.consent is not None and not self.failed else None

    def is_verified(self, local: Address, remote: Address) -> bool:
        """Whether the peer has shown to be at ``remote``: what comes from there is let in."""
        path = local, remote
        pair = self.checklist.pairs.get(path)
        return (pair is not None and pair.valid) or path in self.verified or path == self.selected

    def send(self, data: bytes | None, path: Path) -> None:
        if data is not None:
            self.datagrams.append(IceDatagram(data, *path))

    def wake(self, now: float) -> None:
        """There may be something to check."""
        if self.next_check_at == math.inf:
            self.next_check_at = max(now, self.paced_until)

    def set_role(self, *, controlling: bool) -> None:
        if controlling != self.controlling:
            self.role.controlling = controlling
            self.checklist.set_role(controlling)

    def pair_up(self, base: Candidate, remote: Candidate) -> CandidatePair | None:
        return self.checklist.add(base, remote, controlling=self.controlling)

    def consent_for(self, path: Path, remote: IceCredentials, now: float) -> Consent:
        return Consent(path, self.credentials, remote, rng=self.rng, config=self.config, now=now)

    def end_gathering_if_done(self) -> None:
        if not self.gathering_complete and self.gathering.finished:
            self.gathering_complete = True
            self.events.append(GatheringComplete())

    def fail(self, reason: IceFailureReason) -> None:
        self.failed = True
        self.checks.clear()
        self.gathering.stop()
        self.end_gathering_if_done()
        self.events.append(IceFailed(reason))
