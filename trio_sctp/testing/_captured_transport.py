"""The tap that feeds a packet capture: a transport around another one.

It stands between an association and its real transport, where SCTP packets are in the clear even if
what carries them encrypts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import trio

from .._transport import DatagramTransport, as_datagram_transport
from ._capture import PacketCapture

__all__ = ["CapturedTransport"]


class CapturedTransport(DatagramTransport):
    """A transport that writes every packet that passes to ``capture``, with trio's time.

    ``channel`` is whatever `open_association` takes, which is then given this instead.  The capture
    stays open when the transport is closed, so that several can share one.  A packet counts as sent
    when it is handed to ``channel``, even if that loses it.
    """

    __slots__ = ("capture", "transport")

    def __init__(self, channel: trio.abc.Channel[bytes], capture: PacketCapture) -> None:
        self.transport = as_datagram_transport(channel)
        self.capture = capture

    def __repr__(self) -> str:
        return f"CapturedTransport({self.transport!r}, {self.capture!r})"

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

    async def send_batch(self, datagrams: Sequence[bytes]) -> None:
        self._capture(datagrams, sent=True)
        await self.transport.send_batch(datagrams)

    def send_batch_nowait(self, datagrams: Sequence[bytes]) -> int:
        sent = self.transport.send_batch_nowait(datagrams)
        self._capture(datagrams[:sent], sent=True)
        return sent

    async def send_fragmented(self, datagrams: Sequence[bytes]) -> None:
        self._capture(datagrams, sent=True)
        await self.transport.send_fragmented(datagrams)

    async def receive_batch(self) -> list[bytes]:
        datagrams = await self.transport.receive_batch()
        self._capture(datagrams, sent=False)
        return datagrams

    async def receive(self) -> bytes:
        datagram = await self.transport.receive()
        self._capture((datagram,), sent=False)
        return datagram

    def _capture(self, datagrams: Sequence[bytes], *, sent: bool) -> None:
        now = trio.current_time()
        for datagram in datagrams:
            self.capture.capture(datagram, sent=sent, now=now)

    async def aclose(self) -> None:
        await self.transport.aclose()
