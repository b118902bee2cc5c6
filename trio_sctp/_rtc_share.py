"""One WebRTC peer's share of an endpoint's sockets: a mailbox for its DTLS, and the way that ICE found.

The way may change at any time, and before there is one, what is sent is lost as on any network.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import final

import trio

from ._mailbox import Mailbox
from ._rtc_ice import Ice, Path
from ._rtc_sockets import RtcSockets, to_socket_address
from ._udp_address import Address as SocketAddress
from ._udp_socket import UDPSocket

__all__ = ["RtcShare"]


@final
class RtcShare(Mailbox):
    """What DTLS of one peer sends and receives, whichever way ICE has found."""

    __slots__ = (
        "_ice",
        "_last_path",
        "_last_way",
        "_max_datagram_size",
        "_sockets",
        "why_over",
    )

    def __init__(self, ice: Ice, sockets: RtcSockets, max_datagram_size: int) -> None:
        super().__init__()
        self._ice = ice
        self._sockets = sockets
        self._max_datagram_size = max_datagram_size
        self._last_path: Path | None = None
        self._last_way: tuple[UDPSocket, SocketAddress] | None = None
        self.why_over: Callable[[], Exception] | None = None

    @property
    def max_datagram_size(self) -> int:
        return self._max_datagram_size

    @property
    def never_fragments(self) -> bool:
        return self._sockets.never_fragment

    @property
    def datagram_overhead(self) -> int:
        path = self._ice.send_path
        if path is None:
            return 0
        return self._sockets.by_address[path[0]].overhead_to(to_socket_address(path[1]))

    @property
    def remote_address(self) -> tuple[str, int] | None:
        path = self._ice.send_path
        return None if path is None else path[1]

    def _way(self) -> tuple[UDPSocket, SocketAddress] | None:
        """From where to where the peer is reached; None where that is not known (any more)."""
        if self.closed:
            raise trio.ClosedResourceError("this peer was closed")
        if self.why_over is not None:
            raise self.why_over()
        path = self._ice.send_path
        if path is None:
            return None
        if path is not self._last_path:
            way = self._sockets.by_address[path[0]], to_socket_address(path[1])
            self._last_path, self._last_way = path, way
        return self._last_way

    async def send_batch(self, datagrams: Sequence[bytes]) -> None:
        if (way := self._way()) is None:
            await trio.lowlevel.checkpoint()  # there will be another one: these are lost
        else:
            await way[0].send_to(way[1], datagrams)

    def send_batch_nowait(self, datagrams: Sequence[bytes]) -> int:
        way = self._way()
        return len(datagrams) if way is None else way[0].send_to_nowait(way[1], datagrams)

    async def send_fragmented(self, datagrams: Sequence[bytes]) -> None:
        if (way := self._way()) is None:
            await trio.lowlevel.checkpoint()
        else:
            await way[0].send_fragmented_to(way[1], datagrams)

    def fail(self, why: Callable[[], Exception]) -> None:
        if self.why_over is None:
            self.why_over = why
            self.end(why)
