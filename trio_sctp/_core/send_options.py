"""How a single message is to be sent, beyond its stream: the policies of partial reliability.

RFC 3758 §4.1 (lifetime), RFC 7496 §3.1 (limited retransmissions) and §3.2 (priority).  The sender alone
decides by them; the peer only hears that it need not wait.
"""

from __future__ import annotations

from dataclasses import dataclass

from .errors import LocalProtocolError

__all__ = ["RELIABLE", "SendOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SendOptions:
    """When to give a message up.  Several limits hold together; with none it is sent reliably.

    Raises `LocalProtocolError` where a value is out of its range.
    """

    max_retransmits: int | None = None
    """How often each of its chunks is sent again at most, 0 to 2**32 - 1."""
    lifetime: float | None = None
    """Seconds after `send` from which on it is not sent any more, 0 or more; it is given the whole of
    the last millisecond."""
    discard_priority: int | None = None
    """It makes room, as long as nothing of it was sent, for messages that are more important, that
    is with a lower number or none; 0 or more."""

    def __post_init__(self) -> None:
        if self.max_retransmits is not None:
            _check_integer("max_retransmits", self.max_retransmits)
        if self.discard_priority is not None:
            _check_integer("discard_priority", self.discard_priority)
        if self.lifetime is not None and not self.lifetime >= 0:
            raise LocalProtocolError(f"lifetime is {self.lifetime}: it must be 0 or more")

    @property
    def reliable(self) -> bool:
        """Nothing makes us give such a message up."""
        return (
            self.max_retransmits is None and self.lifetime is None and self.discard_priority is None
        )


def _check_integer(name: str, value: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise LocalProtocolError(f"{name} is {value!r}: it must be an integer")
    if not 0 <= value < 2**32:
        raise LocalProtocolError(f"{name} is {value}: it must be from 0 to {2**32 - 1}")


RELIABLE = SendOptions()
"""No limit at all."""
