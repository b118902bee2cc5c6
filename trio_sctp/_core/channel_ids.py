"""Which stream id the next data channel gets (RFC 8832 §6).

The DTLS client takes even ids, the server odd ones.  An id is free again when the streams of both
directions were reset; it then rests for a while as long as others are free, because some peers are
confused by a DATA_CHANNEL_OPEN that overtakes our answer to their reset.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .errors import PeerLimitError

if TYPE_CHECKING:
    from collections.abc import Container

__all__ = ["REUSE_DELAY", "ChannelIds"]

REUSE_DELAY: Final = 1.0
"""Seconds for which a freed id rests."""


class ChannelIds:
    """The ids of our half: those never used, and those that became free again."""

    __slots__ = ("_burnt", "_freed", "_next", "_parity")

    def __init__(self, *, client: bool) -> None:
        self._parity = 0 if client else 1
        self.clear()

    def clear(self) -> None:
        """Begin anew with an association that has begun anew."""
        self._next = self._parity
        self._freed: dict[int, float] = {}  # when each became free, the oldest first
        self._burnt: set[int] = set()

    def is_ours(self, stream_id: int) -> bool:
        return stream_id & 1 == self._parity

    def is_burnt(self, stream_id: int) -> bool:
        return stream_id in self._burnt

    def choose(self, limit: int, used: Container[int], now: float) -> int:
        """A free id below `limit`, not taken yet; `LocalProtocolError` where there is none."""
        oldest = next(iter(self._freed), None)
        if oldest is not None and now - self._freed[oldest] >= REUSE_DELAY and oldest < limit:
            return oldest
        while self._next in used or self._next in self._burnt:
            self._next += 2
        if self._next < limit:
            return self._next
        if oldest is None or oldest >= limit:
            raise PeerLimitError(f"stream_id: no id below {limit} is free for another channel")
        return oldest

    def take(self, stream_id: int) -> None:
        """The id is in use from now on, whoever chose it."""
        self._freed.pop(stream_id, None)
        if stream_id == self._next:
            self._next += 2

    def free(self, stream_id: int, now: float) -> None:
        """Both directions were reset."""
        if self.is_ours(stream_id) and stream_id < self._next and stream_id not in self._burnt:
            self._freed[stream_id] = now

    def burn(self, stream_id: int) -> None:
        """A stream that could not be reset: its id is never used again."""
        self._burnt.add(stream_id)
