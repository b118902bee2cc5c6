"""Messages for negotiated data channels that the program has not opened yet.

Both ends open such a channel by themselves, and the peer may be the first.  What it sends until then
is kept, unread and charged to the receiver window, up to a limit: perhaps nobody ever opens it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .events import Message

__all__ = ["EarlyMessages"]

_LIMIT: Final = 65536
"""Bytes kept, those for all channels together."""
_OVERHEAD: Final = 448
"""What a message takes besides its bytes, so that many small ones are bounded as well."""


class EarlyMessages:
    """What came on streams without a channel, by stream."""

    __slots__ = ("_limit", "_messages", "_size")

    def __init__(self, a_rwnd: int) -> None:
        self._limit = min(_LIMIT, a_rwnd // 8)
        self._messages: dict[int, list[Message]] = {}
        self._size = 0

    def __contains__(self, stream_id: int) -> bool:
        return stream_id in self._messages

    def __iter__(self) -> Iterator[int]:
        return iter(self._messages)

    def keep(self, message: Message) -> bool:
        """Keep a message if there is room; False: it is to be dropped."""
        size = self._size + len(message.payload) + _OVERHEAD
        if size > self._limit:
            return False
        self._size = size
        self._messages.setdefault(message.stream_id, []).append(message)
        return True

    def take(self, stream_id: int) -> list[Message]:
        """The messages of a stream, which are kept no longer."""
        messages = self._messages.pop(stream_id, [])
        self._size -= sum(len(message.payload) + _OVERHEAD for message in messages)
        return messages

    def clear(self) -> None:
        self._messages.clear()
        self._size = 0
