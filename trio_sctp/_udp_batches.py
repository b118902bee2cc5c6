"""Datagrams in batches through a UDP socket: one await for each batch, and few system calls.

A UDP socket of trio costs a trip through the scheduler per datagram.  Here a receiver waits once
until the socket is readable and then drains it without blocking, and a sender writes a whole batch
before it lets others run.  `DatagramCalls` makes the system calls.
"""

from __future__ import annotations

import socket as stdlib_socket
from collections.abc import Sequence
from typing import Any

import trio
from trio.lowlevel import wait_readable

from ._udp_address import Address
from ._udp_calls import DatagramCalls
from ._udp_fragmentation import MAX_UDP_PAYLOAD

__all__ = ["BatchedSocket"]

SOCKET_BUFFER_SIZE = 4 * 1024 * 1024
"""Bytes of socket buffer asked for in each direction; the kernel may grant less."""


class BatchedSocket:
    """What sockets with one and with many peers have in common: they wait."""

    __slots__ = (
        "_calls",
        "_room",
        "_socket",
        "statistics",
    )

    def __init__(
        self, socket: stdlib_socket.socket, *, offload: bool = True, dont_fragment: bool = False
    ) -> None:
        if socket.type != stdlib_socket.SOCK_DGRAM:
            raise ValueError(f"socket is of type {socket.type!r}: it must be SOCK_DGRAM")
        socket.setblocking(False)
        _ask_for_buffers(socket)
        self._socket = socket
        self._room = trio.Lock()  # trio lets one task at a time wait for room in a socket
        self._calls = DatagramCalls(socket, offload=offload, dont_fragment=dont_fragment)
        self.statistics = self._calls.statistics

    def __repr__(self) -> str:
        name = type(self).__name__
        return f"<{name} closed>" if self.closed else f"<{name} at {self.local_address}>"

    @property
    def closed(self) -> bool:
        return self._socket.fileno() == -1

    @property
    def local_address(self) -> Address:
        """Where the socket is bound."""
        self._calls.check_open()
        address: Address = self._socket.getsockname()
        return address

    @property
    def max_datagram_size(self) -> int:
        """Longest UDP payload: 65507 bytes over IPv4, 65527 over IPv6."""
        return 65527 if self._socket.family == stdlib_socket.AF_INET6 else MAX_UDP_PAYLOAD

    @property
    def never_fragments(self) -> bool:
        """Whether datagrams go out whole or not at all (``dont_fragment``, where it can be had)."""
        return self._calls.never_fragments

    def close(self) -> None:
        """As `aclose`, without a checkpoint."""
        if not self.closed:
            trio.lowlevel.notify_closing(self._socket)
            self._socket.close()

    async def aclose(self) -> None:
        """Close the socket and wake the tasks that use it; doing so twice is harmless."""
        self.close()
        await trio.lowlevel.checkpoint()

    # ---- sending

    async def _send(self, datagrams: Sequence[bytes], address: Address | None) -> None:
        """Send all; a checkpoint only where the socket's buffer was full."""
        done = self._calls.send(datagrams, 0, address)
        while done < len(datagrams):
            async with self._room:
                self._calls.check_open()
                await trio.lowlevel.wait_writable(self._socket)
            done = self._calls.send(datagrams, done, address)

    async def _send_fragmented(self, datagrams: Sequence[bytes], address: Address | None) -> None:
        """As `_send`, one by one, with leave to fragment."""
        for datagram in datagrams:
            while not self._calls.sent_fragmented(datagram, address):
                async with self._room:
                    self._calls.check_open()
                    await trio.lowlevel.wait_writable(self._socket)

    # ---- receiving

    async def _receive(self) -> dict[Any, list[bytes]]:
        """Wait for datagrams and return them by sender; no checkpoint after one was taken."""
        calls = self._calls
        while True:
            calls.check_open()
            await wait_readable(self._socket)
            if received := calls.drain():
                return received


def _ask_for_buffers(socket: stdlib_socket.socket) -> None:
    """Ask for large buffers; Linux grants what its limit allows, others refuse what is above it."""
    for option in (stdlib_socket.SO_RCVBUF, stdlib_socket.SO_SNDBUF):
        for size in (SOCKET_BUFFER_SIZE, SOCKET_BUFFER_SIZE // 4, SOCKET_BUFFER_SIZE // 16):
            try:
                socket.setsockopt(stdlib_socket.SOL_SOCKET, option, size)
            except OSError:
                continue
            break
