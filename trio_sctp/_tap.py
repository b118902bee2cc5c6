"""A transport that shows to others what passes through it: to packet captures and to the packet log.

It stands between an association and its transport, where SCTP packets are in the clear even if what
carries them encrypts.  Associations without a tap do not have it, and pay nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import trio

from ._transport import DatagramTransport

__all__ = ["PacketTap", "TappedTransport"]


class PacketTap(Protocol):
    """What a tap feeds."""

    def capture(self, packet: bytes, *, sent: bool, now: float) -> None: ...


class TappedTransport(DatagramTransport):
    """``transport``, with every packet shown to ``taps``, at trio's time.

    A packet counts as sent when it is handed to the transport, even if that loses it.
    """

    __slots__ = ("_taps", "transport")

    def __init__(self, transport: DatagramTransport, taps: Sequence[PacketTap]) -> None:
        self.transport = transport
        self._taps = taps

    @property
    def max_datagram_size(self) -> int:
        return self.transport.max_datagram_size

    @property
    def protects_integrity(self) -> bool:
        return self.transport.protects_integrity

    @property
    def never_fragments(self) -> bool:
        return self.transport.never_fragments

    @property
    def datagram_overhead(self) -> int:
        return self.transport.datagram_overhead

    @property
    def remote_address(self) -> Any:
        """That of the transport inside, None if it has none."""
        return getattr(self.transport, "remote_address", None)

    @property
    def peer_certificate(self) -> bytes | None:
        """That of the transport inside, None if nothing was proven."""
        return getattr(self.transport, "peer_certificate", None)

    async def send_batch(self, datagrams: Sequence[bytes]) -> None:
        self._show(datagrams, sent=True)
        await self.transport.send_batch(datagrams)

    def send_batch_nowait(self, datagrams: Sequence[bytes]) -> int:
        sent = self.transport.send_batch_nowait(datagrams)
        self._show(datagrams[:sent], sent=True)
        return sent

    async def send_fragmented(self, datagrams: Sequence[bytes]) -> None:
        self._show(datagrams, sent=True)
        await self.transport.send_fragmented(datagrams)

    def deliver_to(self, take: Callable[[list[bytes]], None]) -> None:
        def show_and_take(datagrams: list[bytes]) -> None:
            self._show(datagrams, sent=False)
            take(datagrams)

        self.transport.deliver_to(show_and_take)

    async def receive_batch(self) -> list[bytes]:
        datagrams = await self.transport.receive_batch()
        self._show(datagrams, sent=False)
        return datagrams

    async def receive(self) -> bytes:
        datagram = await self.transport.receive()
        self._show((datagram,), sent=False)
        return datagram

    def _show(self, datagrams: Sequence[bytes], *, sent: bool) -> None:
        now = trio.current_time()
        for tap in self._taps:
            for datagram in datagrams:
                tap.capture(datagram, sent=sent, now=now)

    async def aclose(self) -> None:
        await self.transport.aclose()
