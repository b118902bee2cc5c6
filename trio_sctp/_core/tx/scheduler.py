"""Whose turn it is: the order in which streams get to send (RFC 8260 §3).

A scheduler knows the streams that have something to send and nothing of what that is.  The send queue
asks it for the next stream whenever it may choose, and tells it when a message was finished.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .send_queue import OutboundStream

__all__ = ["RoundRobin", "StreamScheduler"]


class StreamScheduler(ABC):
    """Chooses among active streams."""

    @abstractmethod
    def activate(self, stream: OutboundStream) -> None:
        """The stream has something to send from now on."""

    @abstractmethod
    def deactivate(self, stream: OutboundStream) -> None:
        """The stream has nothing to send any more, or must not; it is active now."""

    @abstractmethod
    def next(self) -> OutboundStream | None:
        """The stream whose turn it is, or None if none is active."""

    @abstractmethod
    def message_finished(self, stream: OutboundStream) -> None:
        """The last byte of a message of this stream was sent; the stream stays active."""


class RoundRobin(StreamScheduler):
    """One message of each stream in turn (RFC 8260 §3.2)."""

    __slots__ = ("_active",)

    def __init__(self) -> None:
        # first the stream whose turn it is; every step costs the same for any number of streams
        self._active: OrderedDict[OutboundStream, None] = OrderedDict()

    def activate(self, stream: OutboundStream) -> None:
        self._active[stream] = None

    def deactivate(self, stream: OutboundStream) -> None:
        del self._active[stream]

    def next(self) -> OutboundStream | None:
        return next(iter(self._active), None)

    def message_finished(self, stream: OutboundStream) -> None:
        self._active.move_to_end(stream)
