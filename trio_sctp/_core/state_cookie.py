"""The State Cookie: all that the answerer of an INIT will need, kept by the peer instead of here.

RFC 9260 §5.1.3 lets an endpoint hold no state for an INIT.  What it would have to remember goes into
the cookie of its INIT ACK, signed, and comes back in COOKIE ECHO.  The MAC is HMAC-SHA-256 under a
secret that is replaced every `Config.cookie_secret_life`; the one before it stays good for the
cookies already out.  Times are those of the caller's clock, so cookies do not outlive the process.

What a cookie means to an association that exists already is decided by `cookie_action`, RFC 9260's
table 12.
"""

from __future__ import annotations

import enum
import hashlib
import hmac
import struct
from typing import TYPE_CHECKING, NamedTuple

from .capabilities import Capabilities

if TYPE_CHECKING:
    from random import Random

__all__ = ["CookieAction", "CookieJar", "StateCookie", "cookie_action"]

_FIELDS = struct.Struct("!B d d HH II II I HH B II")
_MAC_LENGTH = hashlib.sha256().digest_size


class StateCookie(NamedTuple):
    """The contents of a State Cookie, from the point of view of the end that made it."""

    created_at: float
    lifespan: float
    local_port: int
    peer_port: int
    local_tag: int
    peer_tag: int
    local_initial_tsn: int
    peer_initial_tsn: int
    peer_a_rwnd: int
    peer_outbound_streams: int
    peer_inbound_streams: int
    peer_capabilities: Capabilities
    local_tie_tag: int = 0
    peer_tie_tag: int = 0

    def staleness(self, now: float) -> float:
        """Seconds since the cookie expired; zero or less while it is fresh."""
        return now - self.created_at - self.lifespan


class CookieJar:
    """Seals State Cookies and opens only those that it sealed."""

    __slots__ = ("_generation", "_rng", "_secret_born", "_secrets", "secret_life")

    def __init__(self, rng: Random, *, secret_life: float) -> None:
        self._rng = rng
        self.secret_life = secret_life
        self._secrets: dict[int, bytes] = {}
        self._generation = 0
        self._secret_born = 0.0

    def seal(self, cookie: StateCookie, *, peer: bytes = b"") -> bytes:
        """The bytes of the State Cookie parameter.  ``peer`` names the address it is given to."""
        self._rotate(cookie.created_at)
        generation = self._generation & 0xFF
        *fields, _, local_tie_tag, peer_tie_tag = cookie
        bits = cookie.peer_capabilities.to_bits()
        body = _FIELDS.pack(generation, *fields, bits, local_tie_tag, peer_tie_tag)
        return body + self._mac(self._secrets[generation], body, peer)

    def open(self, sealed: bytes, *, peer: bytes = b"") -> StateCookie | None:
        """The cookie, or None if this jar did not seal it for ``peer`` or has forgotten the secret.

        RFC 9260 §5.1.5 steps 1 and 2; whether it is stale is the caller's question.
        """
        if len(sealed) != _FIELDS.size + _MAC_LENGTH:
            return None
        body, mac = sealed[: _FIELDS.size], sealed[_FIELDS.size :]
        secret = self._secrets.get(body[0])
        if secret is None or not hmac.compare_digest(mac, self._mac(secret, body, peer)):
            return None
        _, *fields, bits, local_tie_tag, peer_tie_tag = _FIELDS.unpack(body)
        capabilities = Capabilities.from_bits(bits)
        return StateCookie._make((*fields, capabilities, local_tie_tag, peer_tie_tag))

    def _rotate(self, now: float) -> None:
        if self._secrets and now - self._secret_born < self.secret_life:
            return
        previous = self._secrets.get(self._generation & 0xFF)
        kept = {} if previous is None else {self._generation & 0xFF: previous}
        self._generation += 1
        self._secrets = kept | {self._generation & 0xFF: self._rng.randbytes(32)}
        self._secret_born = now

    @staticmethod
    def _mac(secret: bytes, body: bytes, peer: bytes) -> bytes:
        return hmac.digest(secret, body + peer, "sha256")


class CookieAction(enum.Enum):
    """What a valid COOKIE ECHO means to an existing association (RFC 9260 §5.2.4)."""

    RESTART = "A"
    ADOPT_PEER = "B"
    LATE = "C"
    DUPLICATE = "D"
    DISCARD = ""


def cookie_action(
    cookie: StateCookie, *, local_tag: int, peer_tag: int, local_tie_tag: int, peer_tie_tag: int
) -> CookieAction:
    """RFC 9260 table 12.  ``peer_tag`` and the tie-tags of the association are 0 while unknown."""
    local_matches = cookie.local_tag == local_tag
    peer_matches = cookie.peer_tag == peer_tag
    cookie_tie_tags = (cookie.local_tie_tag, cookie.peer_tie_tag)
    if local_matches:
        return CookieAction.DUPLICATE if peer_matches else CookieAction.ADOPT_PEER
    if peer_matches:
        return CookieAction.LATE if cookie_tie_tags == (0, 0) else CookieAction.DISCARD
    if local_tie_tag and cookie_tie_tags == (local_tie_tag, peer_tie_tag):
        return CookieAction.RESTART
    return CookieAction.DISCARD
