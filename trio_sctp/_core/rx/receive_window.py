"""The receiver window: what the peer may send, and what is taken from it (RFC 9260 §6.2).

What is held or unread is charged to ``config.a_rwnd`` with an overhead, so small messages close the
window sooner than a peer expects that counts payload alone.  Hence a window that is used up is first
advertised as one byte: too little for new data, but chunks that were under way are still taken, up to
a second ``a_rwnd`` in all.  Only then the window is 0 and chunks are dropped; those that are missing
below the highest TSN up to a third one.  Nothing that was taken is ever dropped again.

A message larger than ``a_rwnd`` (§6.9).  While the program has nothing left to read, more data is the
only thing that can ever empty the buffer.  In that state half of ``a_rwnd`` is kept open, and what the
message at the head weighs is no hindrance.  Such a message is bounded by ``max_message_size``; when
all that is unfinished outweighs three times ``a_rwnd`` and twice that, the association has to end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .ordering import HELD_OVERHEAD

if TYPE_CHECKING:
    from ..config import Config
    from .data_tracker import DataTracker
    from .ordering import MessageOrdering

__all__ = ["ReceiveWindow"]

_NEARLY_CLOSED: Final = 1  # too small a window for new data; a sender takes it for a closed one


class ReceiveWindow:
    """Compares what the queue holds with what the peer was told."""

    __slots__ = ("_advertised", "_full_at", "_queue", "_tracker", "config")

    def __init__(self, config: Config, tracker: DataTracker, queue: MessageOrdering) -> None:
        self.config = config
        self._tracker = tracker
        self._queue = queue
        self._advertised = config.a_rwnd  # in INIT or INIT ACK
        self._full_at: int | None = None  # the charge when the window had been used up

    @property
    def a_rwnd(self) -> int:
        """The window as it would be advertised now."""
        free, config = self._free(), self.config
        # RFC 1122 §4.2.3.3: none that is too small for a whole packet
        if free >= min(config.path_mtu, config.a_rwnd >> 1):
            return free
        return _NEARLY_CLOSED if self._overrun < config.a_rwnd else 0

    @property
    def _overrun(self) -> int:
        """What was taken since the window had been used up."""
        return 0 if self._full_at is None else self._queue.charge - self._full_at

    @property
    def is_exhausted(self) -> bool:
        """More is incomplete than any message that we accept could need."""
        config = self.config
        return self._queue.unfinished > 3 * config.a_rwnd + 2 * config.max_message_size

    def advertise(self) -> int:
        """The window for a SACK that is going out."""
        self._advertised = self.a_rwnd
        return self._advertised

    def consumed(self, size: int) -> bool:
        """A message of ``size`` bytes is done with.  True if the peer should be told of the room.

        That is when it knows of a quarter of the buffer less than there is (§6.2), or when all is
        read and it believes that there is no room for a packet.
        """
        queue, config, advertised = self._queue, self.config, self._advertised
        charge = queue.charge = queue.charge - min(size + HELD_OVERHEAD, queue.unread)
        a_rwnd = config.a_rwnd
        if charge < a_rwnd:
            self._full_at = None
        if advertised < config.path_mtu and charge == queue.unfinished:
            return self.a_rwnd > advertised
        return a_rwnd - charge - advertised >= a_rwnd >> 2

    def admits(self, tsn: int) -> bool:
        """Whether there is room for a chunk with this new TSN."""
        queue, a_rwnd, tracker = self._queue, self.config.a_rwnd, self._tracker
        if queue.charge < a_rwnd:
            return True
        if self.is_exhausted:
            return False
        if self._free() > 0 or (not queue.unread and tsn == tracker.cumulative_tsn_ack + 1):
            self._full_at = None  # nothing but more data helps
            return True
        if self._full_at is None:
            self._full_at = queue.charge
        # Above the highest TSN nothing is taken once the window is 0; what is missing below is.
        return self._overrun < (a_rwnd if tsn > tracker.highest_tsn else 2 * a_rwnd)

    def _free(self) -> int:
        """Room for the peer's data; negative when more is held than was advertised."""
        queue, config = self._queue, self.config
        free = config.a_rwnd - queue.charge
        if queue.charge and not queue.unread and not queue.is_releasing:
            kept_open = max(config.a_rwnd >> 1, min(config.a_rwnd, config.path_mtu))
            if free < kept_open:
                head = queue.head_charge(self._tracker.cumulative_tsn_ack)
                free = max(free, kept_open - (queue.unfinished - head))
        return free
