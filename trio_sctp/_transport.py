"""What carries SCTP packets: whole datagrams, in batches, between two ends.

An association needs a `trio.abc.Channel` of datagrams and no more: they may be lost, reordered or
duplicated on the way.  `DatagramTransport` is such a channel that can also move many datagrams for
the price of one trip through the scheduler, which is most of what a packet costs in Python.
`ChannelTransport` gives any other channel that interface, so that only one kind is known above.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import trio

__all__ = ["ChannelTransport", "DatagramTransport", "as_datagram_transport", "plain_address"]

BATCH_LIMIT = 64
"""Datagrams taken at once by `ChannelTransport.receive_batch`, so that other tasks get their
turn."""


class DatagramTransport(trio.abc.Channel[bytes]):
    """A channel of whole datagrams to one peer that sends and receives in batches.

    Nothing is promised about delivery: a datagram that was sent may arrive once, twice, late or
    never.  One task may receive at a time.  A cancelled receive loses nothing; a cancelled send
    either sent nothing or, when it had to wait for room in the middle of a batch, a leading part of
    it.

    Subclasses implement `send_batch`, `receive_batch`, `receive`, `max_datagram_size` and `aclose`.
    """

    __slots__ = ()

    @property
    @abstractmethod
    def max_datagram_size(self) -> int:
        """Length in bytes of the longest datagram that `send` takes.

        It bounds what is worth trying and is no promise: the network may carry less (the path MTU).
        """

    @property
    def protects_integrity(self) -> bool:
        """Whether a datagram that arrives is certain to be what the peer sent (true of DTLS).

        Only then may SCTP leave its own checksum out (RFC 9653).
        """
        return False

    @property
    def never_fragments(self) -> bool:
        """Whether a datagram is either carried whole or lost.

        Only then can the path MTU be found by trying (RFC 8899), as SCTP does then.
        """
        return False

    @property
    def datagram_overhead(self) -> int:
        """What this transport and all below it add to a datagram, IP header included, in bytes.

        It lets path MTU discovery try the sizes first that networks usually have; 0 if unknown.
        """
        return 0

    @abstractmethod
    async def send_batch(self, datagrams: Sequence[bytes]) -> None:
        """Send datagrams in order, waiting while the way out is full.

        Raises `trio.ClosedResourceError` if this end was closed, by another task meanwhile too, and
        `trio.BrokenResourceError` if the transport failed for good.
        """

    def send_batch_nowait(self, datagrams: Sequence[bytes]) -> int:
        """Send as many datagrams as can go without waiting; returns how many of the first went.

        It saves a trip through the scheduler where there is little to send.  A transport that cannot
        tell sends none.  Raises what `send_batch` raises.
        """
        return 0

    @abstractmethod
    async def receive_batch(self) -> list[bytes]:
        """Wait until a datagram has arrived; return it and all that can be had without waiting.

        The list is never empty.  Raises `trio.EndOfChannel` if the peer closed a transport on which
        that can be seen, `trio.ClosedResourceError` if this end was closed, by another task
        meanwhile too, `trio.BrokenResourceError` if the transport failed for good and
        `trio.BusyResourceError` if another task is receiving.
        """

    def deliver_to(self, take: Callable[[list[bytes]], None]) -> None:
        """Whoever calls `receive_batch` all the time can be handed batches by calls of ``take`` too.

        A transport whose datagrams are received by another task may do so while `receive_batch` waits
        and nothing is left of what came before: that saves a trip through the scheduler.
        """

    async def send(self, value: bytes) -> None:
        """Send one datagram; raises what `send_batch` does."""
        await self.send_batch((value,))

    async def send_fragmented(self, datagrams: Sequence[bytes]) -> None:
        """As `send_batch`, but these may be fragmented on their way, even where others never are.

        SCTP data that was cut before the path MTU shrank has no other way to arrive (RFC 9260 §6.9).
        """
        await self.send_batch(datagrams)


class ChannelTransport(DatagramTransport):
    """Makes a `DatagramTransport` of any ``trio.abc.Channel[bytes]`` that keeps datagrams whole.

    Each datagram costs an await of the wrapped channel, unless it has ``send_nowait`` and
    ``receive_nowait`` methods as trio's memory channels do.  Exceptions are the wrapped channel's
    own.

    ``max_datagram_size`` says how long a datagram the channel takes, in bytes;
    ``protects_integrity`` whether it authenticates them (a `trio.DTLSChannel` does);
    ``never_fragments`` and ``datagram_overhead`` are as in `DatagramTransport`.
    """

    __slots__ = (
        "_datagram_overhead",
        "_max_datagram_size",
        "_never_fragments",
        "_protects_integrity",
        "_receive_nowait",
        "_send_nowait",
        "channel",
    )

    def __init__(
        self,
        channel: trio.abc.Channel[bytes],
        *,
        max_datagram_size: int = 65535,
        protects_integrity: bool = False,
        never_fragments: bool = False,
        datagram_overhead: int = 0,
    ) -> None:
        if max_datagram_size < 1:
            raise ValueError(f"max_datagram_size is {max_datagram_size}: it must be at least 1")
        self.channel = channel
        self._max_datagram_size = max_datagram_size
        self._protects_integrity = protects_integrity
        self._never_fragments = never_fragments
        self._datagram_overhead = datagram_overhead
        self._send_nowait: Callable[[bytes], None] | None = getattr(channel, "send_nowait", None)
        self._receive_nowait: Callable[[], bytes] | None = getattr(channel, "receive_nowait", None)

    def __repr__(self) -> str:
        return f"ChannelTransport({self.channel!r})"

    @property
    def max_datagram_size(self) -> int:
        return self._max_datagram_size

    @property
    def protects_integrity(self) -> bool:
        return self._protects_integrity

    @property
    def never_fragments(self) -> bool:
        return self._never_fragments

    @property
    def datagram_overhead(self) -> int:
        return self._datagram_overhead

    async def send(self, value: bytes) -> None:
        await self.channel.send(value)

    async def receive(self) -> bytes:
        return await self.channel.receive()

    async def send_batch(self, datagrams: Sequence[bytes]) -> None:
        if not datagrams:
            await trio.lowlevel.checkpoint()
            return
        remaining = iter(datagrams)
        await self.channel.send(next(remaining))  # the checkpoint, and what finds a closed channel
        for datagram in remaining:
            if not self._sent_at_once(datagram):
                await self.channel.send(datagram)

    def _sent_at_once(self, datagram: bytes) -> bool:
        if self._send_nowait is None:
            return False
        try:
            self._send_nowait(datagram)
        except trio.WouldBlock:
            return False
        return True

    async def receive_batch(self) -> list[bytes]:
        batch = [await self.channel.receive()]
        if (receive_nowait := self._receive_nowait) is not None:
            try:
                while len(batch) < BATCH_LIMIT:
                    batch.append(receive_nowait())
            except (
                trio.WouldBlock,
                # The next receive meets these again; what has arrived comes first.
                trio.EndOfChannel,
                trio.ClosedResourceError,
                trio.BrokenResourceError,
            ):
                pass
        return batch

    async def aclose(self) -> None:
        await self.channel.aclose()


def as_datagram_transport(channel: trio.abc.Channel[bytes]) -> DatagramTransport:
    """``channel`` itself if it is a `DatagramTransport`, otherwise a `ChannelTransport` around
    it.
    """
    return channel if isinstance(channel, DatagramTransport) else ChannelTransport(channel)


_MAPPED = "::ffff:"


def plain_address(address: Any) -> Any:
    """A peer's address as its user knows it: an IPv4 one for what a socket for both kinds maps."""
    if isinstance(address, tuple) and len(address) == 4 and str(address[0]).startswith(_MAPPED):
        return address[0].removeprefix(_MAPPED), address[1]
    return address
