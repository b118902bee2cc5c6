"""The receiving half of a transport on a socket that many peers share.

One task takes what arrives at the socket and delivers to each peer's mailbox what is the peer's; the
peer's own transport waits at the mailbox as it would at a socket.  As in a socket's buffer, what finds
no room is lost.  A reader who waits there need not be woken: it may be given datagrams at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import trio

from ._transport import DatagramTransport

__all__ = ["Mailbox"]

BATCHES_KEPT: Final = 16
"""Batches that wait for their reader; more are dropped."""


class Mailbox(DatagramTransport):
    """A transport whose datagrams are handed in by `deliver`.

    Subclasses implement `send_batch` and `max_datagram_size`.
    """

    __slots__ = ("_inbox", "_outbox", "_waiting", "_why", "closed", "dropped", "read_at_once")

    def __init__(self) -> None:
        self._inbox, self._outbox = trio.open_memory_channel[list[bytes]](BATCHES_KEPT)
        self._why: Callable[[], Exception] = trio.EndOfChannel
        self._waiting = False
        """The reader has taken all that came before."""
        self.closed = False
        self.dropped = 0
        """Datagrams for which there was no room."""
        self.read_at_once: Callable[[list[bytes]], list[bytes]] | None = None
        """Takes datagrams for a reader who waits; returns those for which that has to be woken."""

    def deliver(self, datagrams: list[bytes]) -> None:
        """Datagrams of the peer have arrived; the list is the mailbox's from now on."""
        if self._waiting and self.read_at_once is not None:
            datagrams = self.read_at_once(datagrams)
            if not datagrams:
                return
        self._waiting = False
        try:
            self._inbox.send_nowait(datagrams)
        except (trio.WouldBlock, trio.BrokenResourceError, trio.ClosedResourceError):
            self.dropped += len(datagrams)

    def end(self, why: Callable[[], Exception]) -> None:
        """Nothing more will arrive: who receives gets what is left, and then what ``why`` makes."""
        self._waiting = False
        if not self.closed:
            self._why = why
            self._inbox.close()

    async def receive_batch(self) -> list[bytes]:
        self._waiting = not self._outbox.statistics().current_buffer_used
        try:
            batch = await self._outbox.receive()
            while self._outbox.statistics().current_buffer_used:
                batch += self._outbox.receive_nowait()
        except trio.EndOfChannel:
            raise self._why() from None
        finally:
            self._waiting = False
        return batch

    async def receive(self) -> bytes:
        raise NotImplementedError("who uses a mailbox receives in batches")

    async def aclose(self) -> None:
        """The peer's share is given back, the socket stays."""
        self.closed = True
        self._waiting = False
        self._outbox.close()
        self._inbox.close()
        await trio.lowlevel.checkpoint()
