"""UDP sockets: `ConnectedUDPSocket` talks to one peer, `UDPSocket` to many."""

from __future__ import annotations

import socket as stdlib_socket
from collections import deque
from collections.abc import Sequence
from itertools import chain

import trio

from ._transport import DatagramTransport
from ._udp_address import (
    Address,
    check_port,
    is_dual_stack,
    open_bound,
    overhead,
    resolve,
    wildcards,
)
from ._udp_batches import BatchedSocket

__all__ = ["ConnectedUDPSocket", "UDPSocket"]


class ConnectedUDPSocket(BatchedSocket, DatagramTransport):
    """A UDP socket with one peer: what others send to it is dropped by the operating system.

    Made by `connect`, or from a connected socket of the socket module, which it takes over.  With
    ``offload=False`` it does without UDP_SEGMENT and UDP_GRO.  One task may receive at a time, any
    number may send.
    """

    __slots__ = ("_pending",)

    def __init__(
        self, socket: stdlib_socket.socket, *, offload: bool = True, dont_fragment: bool = False
    ) -> None:
        super().__init__(socket, offload=offload, dont_fragment=dont_fragment)
        self._pending: deque[bytes] = deque()  # rest of a batch of which `receive` took a part

    @classmethod
    async def connect(
        cls,
        host: str,
        port: int,
        *,
        local_host: str | None = None,
        local_port: int = 0,
        offload: bool = True,
        dont_fragment: bool = True,
    ) -> ConnectedUDPSocket:
        """Open a socket to ``host``, a name or an address, and ``port``, 1 to 65535.

        ``local_host`` and ``local_port`` say where it is bound; otherwise the system chooses.  With
        ``dont_fragment`` a datagram that is too large for the way is lost, see `never_fragments`.
        Nothing is sent: whether anybody is there shows later.  Raises `ValueError` for a port out
        of range and `OSError` if the name is unknown or no socket can be made.
        """
        check_port("port", port, 1)
        check_port("local_port", local_port, 0)
        errors: list[str] = []
        for family, address in await resolve(host, port):
            try:
                local = (await resolve(local_host, local_port, family))[0][1]
                socket = open_bound(family, local, remote=address)
            except OSError as error:
                errors.append(f"{address[0]}: {error.strerror or error}")
            else:
                return cls(socket, offload=offload, dont_fragment=dont_fragment)
        raise OSError(f"cannot open a UDP socket to {host!r} port {port}: {'; '.join(errors)}")

    @property
    def remote_address(self) -> Address:
        """Where the socket is connected to."""
        self._calls.check_open()
        address: Address = self._socket.getpeername()
        return address

    def close(self) -> None:
        super().close()
        self._pending.clear()

    async def send_batch(self, datagrams: Sequence[bytes]) -> None:
        await trio.lowlevel.checkpoint_if_cancelled()
        self._calls.check_open()
        await self._send(datagrams, None)
        await trio.lowlevel.cancel_shielded_checkpoint()

    @property
    def datagram_overhead(self) -> int:
        return overhead(self._socket.family, self._socket.getpeername())

    async def send_fragmented(self, datagrams: Sequence[bytes]) -> None:
        await trio.lowlevel.checkpoint_if_cancelled()
        self._calls.check_open()
        await self._send_fragmented(datagrams, None)
        await trio.lowlevel.cancel_shielded_checkpoint()

    def send_batch_nowait(self, datagrams: Sequence[bytes]) -> int:
        return self._calls.send(datagrams, 0, None)

    async def receive(self) -> bytes:
        if self._pending:
            await trio.lowlevel.checkpoint()
        if not self._pending:
            self._pending.extend(await self.receive_batch())
        return self._pending.popleft()

    async def receive_batch(self) -> list[bytes]:
        if self._pending:
            await trio.lowlevel.checkpoint()
        if self._pending:
            batch = list(self._pending)
            self._pending.clear()
            return batch
        by_sender = await self._receive()
        if len(by_sender) == 1:
            return by_sender.popitem()[1]
        return list(chain.from_iterable(by_sender.values()))


class UDPSocket(BatchedSocket, trio.abc.AsyncResource):
    """A UDP socket with any number of peers.

    Made by `bind`, or from a bound socket of the socket module, which it takes over.  With
    ``offload=False`` it does without UDP_SEGMENT and UDP_GRO.  One task may receive at a time, any
    number may send.
    """

    __slots__ = ()

    @classmethod
    async def bind(
        cls,
        port: int = 0,
        *,
        host: str | None = None,
        offload: bool = True,
        dont_fragment: bool = True,
    ) -> UDPSocket:
        """Open a socket at ``port``, 0 to 65535 where 0 lets the system choose, of ``host``.

        ``host`` is an address of this machine, or a name whose first usable address is taken.  None
        means all addresses, IPv6 and IPv4 by one socket where the system can: those of IPv4 peers
        then read ``::ffff:1.2.3.4``.  With ``dont_fragment`` a datagram that is too large for the way
        is lost, see `never_fragments`.  Raises `ValueError` for a port out of range and `OSError` if
        the name is unknown or the address not ours or taken.
        """
        check_port("port", port, 0)
        errors: list[str] = []
        for family, address in await resolve(host, port) if host else await wildcards(port):
            try:
                socket = open_bound(family, address, dual_stack=not host)
            except OSError as error:
                errors.append(f"{address[0]}: {error.strerror or error}")
            else:
                return cls(socket, offload=offload, dont_fragment=dont_fragment)
        raise OSError(f"cannot bind UDP port {port}: {'; '.join(errors)}")

    async def resolve(self, host: str, port: int) -> Address:
        """The address of ``host`` and ``port`` in the form that this socket sends to.

        Raises `ValueError` for a port out of range and `OSError` if the name is unknown.
        """
        check_port("port", port, 1)
        self._calls.check_open()
        flags = stdlib_socket.AI_V4MAPPED if is_dual_stack(self._socket) else 0
        return (await resolve(host, port, self._socket.family, flags))[0][1]

    async def send_to(self, address: Address, datagrams: Sequence[bytes]) -> None:
        """Send datagrams to one peer, in order, waiting while the socket's buffer is full.

        ``address`` must be numeric, as received or from `resolve`.  Raises
        `trio.ClosedResourceError` if the socket was closed, by another task meanwhile too.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        self._calls.check_open()
        await self._send(datagrams, address)
        await trio.lowlevel.cancel_shielded_checkpoint()

    def send_to_nowait(self, address: Address, datagrams: Sequence[bytes]) -> int:
        """Send what the socket's buffer takes at once; returns how many of the first went."""
        return self._calls.send(datagrams, 0, address)

    async def send_batch(self, batch: Sequence[tuple[Address, Sequence[bytes]]]) -> None:
        """`send_to` for many peers at the price of one checkpoint."""
        await trio.lowlevel.checkpoint_if_cancelled()
        self._calls.check_open()
        for address, datagrams in batch:
            await self._send(datagrams, address)
        await trio.lowlevel.cancel_shielded_checkpoint()

    async def send_fragmented_to(self, address: Address, datagrams: Sequence[bytes]) -> None:
        """As `send_to`, but these may be fragmented on their way, even where others never are."""
        await trio.lowlevel.checkpoint_if_cancelled()
        self._calls.check_open()
        await self._send_fragmented(datagrams, address)
        await trio.lowlevel.cancel_shielded_checkpoint()

    def overhead_to(self, address: Address) -> int:
        """What IP and UDP add to a datagram to ``address``, in bytes."""
        return overhead(self._socket.family, address)

    async def receive_batch(self) -> list[tuple[Address, list[bytes]]]:
        """Wait until datagrams have arrived; return what can be had without waiting, by sender.

        Each sender appears once, with its datagrams in order of arrival; none is empty.  Raises
        `trio.ClosedResourceError` if the socket was closed, by another task meanwhile too, and
        `trio.BusyResourceError` if another task is receiving.
        """
        return list((await self._receive()).items())
