"""One peer's share of a server's UDP socket: a mailbox for what comes from it, and where to send to."""

from __future__ import annotations

from collections.abc import Sequence

from ._mailbox import Mailbox
from ._udp_address import Address
from ._udp_socket import UDPSocket

__all__ = ["SocketShare"]


class SocketShare(Mailbox):
    """The part of a server's socket that belongs to one peer."""

    __slots__ = ("_socket", "remote_address")

    def __init__(self, socket: UDPSocket, address: Address) -> None:
        super().__init__()
        self._socket = socket
        self.remote_address = address

    @property
    def max_datagram_size(self) -> int:
        return self._socket.max_datagram_size

    @property
    def never_fragments(self) -> bool:
        return self._socket.never_fragments

    @property
    def datagram_overhead(self) -> int:
        return self._socket.overhead_to(self.remote_address)

    async def send_batch(self, datagrams: Sequence[bytes]) -> None:
        await self._socket.send_to(self.remote_address, datagrams)

    def send_batch_nowait(self, datagrams: Sequence[bytes]) -> int:
        return self._socket.send_to_nowait(self.remote_address, datagrams)

    async def send_fragmented(self, datagrams: Sequence[bytes]) -> None:
        await self._socket.send_fragmented_to(self.remote_address, datagrams)
