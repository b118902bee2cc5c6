"""Which agent controls, and what two that both want to do about it (RFC 8445 §6.1.1, §7.3.1.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .stun import Attribute, StunMessage

if TYPE_CHECKING:
    from random import Random

__all__ = ["Role"]


class Role:
    """Our role in a session, and the tie-breaker that decides where both have the same."""

    __slots__ = ("_tie_breaker", "controlling", "is_settled")

    def __init__(self, rng: Random, *, controlling: bool) -> None:
        self.controlling = controlling
        self.is_settled = False
        """The peer is a lite agent: it can only be the controlled one."""
        self._tie_breaker = rng.getrandbits(64)

    def draw_again(self, rng: Random) -> None:
        """A new session needs another tie-breaker (RFC 8445 §16.1)."""
        self._tie_breaker = rng.getrandbits(64)

    @property
    def attribute(self) -> tuple[int, bytes]:
        """What our checks say of it (RFC 8445 §7.1.3)."""
        kind = Attribute.ICE_CONTROLLING if self.controlling else Attribute.ICE_CONTROLLED
        return kind, self._tie_breaker.to_bytes(8, "big")

    def after_request(self, message: StunMessage) -> bool | None:
        """RFC 8445 §7.3.1.1: whether we control once the peer's request has come.

        None where the peer has to change instead, and be told by an error 487.
        """
        if self.controlling and message.ice_controlling is not None:
            if self.is_settled or self._tie_breaker >= message.ice_controlling:
                return None
            return False
        if not self.controlling and message.ice_controlled is not None:
            return None if self._tie_breaker < message.ice_controlled else True
        return self.controlling
