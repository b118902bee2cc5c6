"""Consent to send, kept fresh on the selected pair (RFC 7675).

Every five seconds or so a Binding request asks whether the peer still wants what is sent to it.
Thirty seconds without an authentic answer, and nothing may be sent any more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .ice_candidate import Candidate, IceCredentials
from .ice_check import make_check
from .ice_checklist import Path
from .ice_common import IceConfig
from .stun import StunMessage

if TYPE_CHECKING:
    from random import Random

__all__ = ["Consent"]

_REMEMBERED: Final = 8
_MISSED: Final = 1


class Consent:
    """For one path, with the credentials of the session that selected it (RFC 7675 §5.1)."""

    __slots__ = (
        "_config",
        "_local",
        "_pending",
        "_remote",
        "_rng",
        "expires_at",
        "heard_at",
        "next_check_at",
        "path",
    )

    def __init__(
        self,
        path: Path,
        local: IceCredentials,
        remote: IceCredentials,
        *,
        rng: Random,
        config: IceConfig,
        now: float,
    ) -> None:
        self.path = path
        self._local = local
        self._remote = remote
        self._rng = rng
        self._config = config
        self._pending: dict[bytes, None] = {}
        self.heard_at = now
        self.expires_at = now + config.consent_timeout
        self.next_check_at = now
        self._schedule(now)

    def _schedule(self, now: float) -> None:
        # RFC 7675 §5.1: 0.8 to 1.2 times the interval, so that many peers do not ask in step
        share = 0.8 + 0.4 * self._rng.random()
        self.next_check_at = now + self._config.consent_interval * share

    def make_check(
        self, base: Candidate, role: tuple[int, bytes], *, nominate: bool, now: float
    ) -> bytes:
        """The request that is due: it is not repeated, the next one is another transaction."""
        transaction_id = self._rng.randbytes(12)
        self._pending[transaction_id] = None
        while len(self._pending) > _REMEMBERED:
            del self._pending[next(iter(self._pending))]
        self._schedule(now)
        return make_check(
            transaction_id,
            local=self._local,
            remote=self._remote,
            base=base,
            role=role,
            nominate=nominate,
        )

    def expects(self, transaction_id: bytes) -> bool:
        return transaction_id in self._pending

    def take_response(self, response: StunMessage, path: Path, now: float) -> bool:
        """Whether it renewed the consent."""
        if path != self.path or not response.verify_integrity(self._remote.password.encode()):
            return False
        del self._pending[response.transaction_id]
        if response.error_code == 403:
            self.expires_at = now  # RFC 7675 §5.2: revoked
            return False
        if response.error_code is not None:
            return False
        self.heard_at = now
        self.expires_at = now + self._config.consent_timeout
        return True

    def is_shaky(self, now: float) -> bool:
        """Whether the path misses answers: another one that works may be better."""
        return now - self.heard_at > (_MISSED + 0.5) * self._config.consent_interval

    @property
    def next_timeout(self) -> float:
        return min(self.next_check_at, self.expires_at)
