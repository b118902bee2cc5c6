"""What a program asks for with a single message: how hard it is tried, and what becomes of it."""

from __future__ import annotations

from typing import Final, NamedTuple, TypedDict, final

import trio
from trio.lowlevel import checkpoint

from ._core.arguments import check_flag
from ._core.errors import LocalProtocolError
from ._core.events import Outcome
from ._core.send_options import SendOptions

__all__ = ["Receipt", "SendKeywords"]


@final
class Receipt:
    """The fate of one message: ``await channel.send(data, receipt=receipt)``, then `wait`.

    A receipt is for a single message; one whose `send` was cancelled or raised may be used again.
    """

    __slots__ = ("_settled", "_used", "outcome")

    def __init__(self) -> None:
        self._used = False
        self._settled: trio.Event | None = None
        self.outcome: Outcome | None = None
        """What became of the message, None as long as that is open."""

    def __repr__(self) -> str:
        if self.outcome is not None:
            return f"<Receipt: {self.outcome.value}>"
        return f"<Receipt: {'under way' if self._used else 'not used'}>"

    @property
    def delivered(self) -> bool:
        """The peer's SCTP has acknowledged the whole message.

        That its program has read it, no protocol below that program can tell.
        """
        return self.outcome is Outcome.DELIVERED

    async def wait(self) -> Outcome:
        """Wait until it is known what became of the message.  Any number of tasks may.

        It always becomes known: at the latest the end of the association settles it.
        """
        if self.outcome is None:
            if self._settled is None:
                self._settled = trio.Event()
            await self._settled.wait()
        else:
            await checkpoint()
        assert self.outcome is not None
        return self.outcome

    def _settle(self, outcome: Outcome) -> None:
        self.outcome = outcome
        if self._settled is not None:
            self._settled.set()


class SendKeywords(TypedDict, total=False):
    """What `send` takes beside the message.

    The first limit that is given replaces all that its channel has (RFC 8831 §6.6); ``lifetime=None``
    alone makes a message reliable.
    """

    ordered: bool
    """Whether it waits for its turn; as the channel if not given."""
    max_retransmits: int | None
    """How often it is sent again at most (RFC 7496 §3.1)."""
    lifetime: float | None
    """Seconds from the call of `send` on for which it is tried (RFC 3758 §4.1)."""
    discard_priority: int | None
    """It makes room for messages with a lower one, or none, as long as it waits (RFC 7496 §3.2)."""
    receipt: Receipt
    """Tells what becomes of it."""


class Wishes(NamedTuple):
    """The same keywords, checked."""

    ordered: bool | None = None
    options: SendOptions | None = None
    """Instead of the channel's."""
    receipt: Receipt | None = None


NO_WISHES: Final = Wishes()
_LIMITS: Final = frozenset({"max_retransmits", "lifetime", "discard_priority"})
_KNOWN: Final = SendKeywords.__annotations__.keys()


def wishes_of(keywords: SendKeywords) -> Wishes:
    """`LocalProtocolError` for values that are out of range or a receipt of another message."""
    if not keywords:
        return NO_WISHES
    for name in keywords.keys() - _KNOWN:
        raise TypeError(f"send() got an unexpected keyword argument {name!r}")
    receipt = keywords.get("receipt")
    if receipt is not None:
        if not isinstance(receipt, Receipt):
            raise TypeError(f"receipt is {receipt!r}: it must be a Receipt")
        if receipt._used:
            raise LocalProtocolError("receipt: this one belongs to another message")
    ordered = keywords.get("ordered")
    if ordered is not None:
        check_flag("ordered", ordered)
    options = None
    if keywords.keys() & _LIMITS:
        options = SendOptions(
            max_retransmits=keywords.get("max_retransmits"),
            lifetime=keywords.get("lifetime"),
            discard_priority=keywords.get("discard_priority"),
        )
    return Wishes(ordered, options, receipt)
