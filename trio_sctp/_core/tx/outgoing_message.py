"""A message of the program on its way to the peer: how far it has got, and by which numbers it goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .outbound_streams import OutboundStream
    from .policies import Policy

__all__ = ["OutgoingMessage"]


class OutgoingMessage:
    """One call of `send`."""

    __slots__ = (
        "fsn",
        "mid",
        "number",
        "offset",
        "payload",
        "policy",
        "ppid",
        "ssn",
        "stream",
        "stream_id",
        "unacked",
        "unordered",
    )

    def __init__(self, stream_id: int, ppid: int, payload: bytes, unordered: bool = False) -> None:
        self.stream_id = stream_id
        self.ppid = ppid
        self.payload = payload
        self.unordered = unordered
        self.offset = 0
        """Bytes of it that were sent at least once."""
        self.unacked = len(payload)
        """Bytes of it that the peer has not acknowledged cumulatively."""
        self.policy: Policy | None = None
        """When to give it up, or that somebody wants to know what becomes of it."""
        self.ssn = 0
        """Without interleaving, once it was begun."""
        self.mid: int
        """With interleaving, once it was begun."""
        self.fsn: int
        """That of the fragment sent last, unwrapped."""
        self.number: int
        """Its place among all messages in the order in which they were added."""
        self.stream: OutboundStream

    @property
    def abandoned(self) -> bool:
        """It was given up: of what was not sent nothing will be."""
        return self.policy is not None and self.policy.abandoned
