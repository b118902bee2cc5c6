"""How a single message is to be sent, beyond its stream: the policies of partial reliability.

RFC 3758 §4.1 (lifetime), RFC 7496 §3.1 (limited retransmissions) and §3.2 (priority).  The sender alone
decides by them; the peer only hears that it need not wait.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from .arguments import check_integer, check_number

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
            check_integer("max_retransmits", self.max_retransmits, 0, 2**32 - 1)
        if self.discard_priority is not None:
            check_integer("discard_priority", self.discard_priority, 0, 2**32 - 1)
        if self.lifetime is not None:
            check_number("lifetime", self.lifetime, 0, math.inf)

    @property
    def reliable(self) -> bool:
        """Nothing makes us give such a message up."""
        return (
            self.max_retransmits is None and self.lifetime is None and self.discard_priority is None
        )


RELIABLE = SendOptions()
"""No limit at all."""
