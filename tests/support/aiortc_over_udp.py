"""aiortc's SCTP straight over UDP, for its own process: imports nothing of this library.

The transport below it is a stand-in for RTCDtlsTransport with the few members that SCTP uses.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from typing import Any

from aiortc import RTCSctpTransport


class PlainTransport(asyncio.DatagramProtocol):
    """UDP in the place of DTLS."""

    state = "connected"

    def __init__(self, role: str) -> None:
        self._role = role
        self._receiver: Any = None
        self._peer: tuple[str, int] | None = None
        self._packets: deque[bytes] = deque()
        self._arrived = asyncio.Event()
        self._socket: asyncio.DatagramTransport | None = None

    async def bind(self, peer_port: int | None, *, buffer: int, local_port: int = 0) -> int:
        """Begin to receive; who has `peer_port` is the peer, otherwise whoever sends first."""
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
        sock.setblocking(False)
        sock.bind(("127.0.0.1", local_port))
        if peer_port is not None:
            self._peer = ("127.0.0.1", peer_port)
        loop = asyncio.get_running_loop()
        self._socket, _ = await loop.create_datagram_endpoint(lambda: self, sock=sock)
        port: int = sock.getsockname()[1]
        return port

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._peer = addr
        self._packets.append(data)
        self._arrived.set()

    async def deliver(self) -> None:
        """Give SCTP what arrives, for ever."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._packets:
                packet = self._packets.popleft()
                if self._receiver is not None:
                    await self._receiver._handle_data(packet)

    def _register_data_receiver(self, receiver: Any) -> None:
        self._receiver = receiver

    def _unregister_data_receiver(self, receiver: Any) -> None:
        self._receiver = None

    async def _send_data(self, data: bytes) -> None:
        if self._socket is not None and self._peer is not None:
            self._socket.sendto(data, self._peer)


def open_sctp(role: str) -> tuple[PlainTransport, RTCSctpTransport]:
    """`role` is "client" or "server", as DTLS has it."""
    transport = PlainTransport(role)
    return transport, RTCSctpTransport(transport)  # type: ignore[arg-type, unused-ignore]
