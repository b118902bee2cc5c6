"""A bad network between two real UDP ports: a relay whose directions are emulated links."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import trio

from trio_sctp.testing import EmulatedLink, LinkConditions

LOOPBACK = "127.0.0.1"


class UdpRelay:
    """Whoever sends to `port` talks to the target, and may change the conditions on the way."""

    def __init__(
        self,
        front: trio.socket.SocketType,
        back: trio.socket.SocketType,
        there: EmulatedLink,
        back_again: EmulatedLink,
    ) -> None:
        self._front = front
        self._back = back
        self.links = (there, back_again)
        self.came: tuple[list[bytes], list[bytes]] = ([], [])
        """The datagrams for the target and from it, before anything happened to them."""
        self.port: int = front.getsockname()[1]
        self._client: Any = None

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._carry, 0, self._from_client, self._back.send)
            nursery.start_soon(self._carry, 1, self._from_target, self._to_client)

    async def _carry(
        self,
        direction: int,
        receive: Callable[[], Awaitable[bytes]],
        send: Callable[[bytes], Awaitable[int]],
    ) -> None:
        link, came = self.links[direction], self.came[direction]
        while True:
            with trio.CancelScope(deadline=link.next_delivery()):
                came.append(await receive())
                link.push(came[-1], trio.current_time())
            for datagram in link.pop_due(trio.current_time()):
                with suppress(ConnectionRefusedError):  # nobody is there: it is lost
                    await send(datagram)

    async def _from_client(self) -> bytes:
        datagram, self._client = await self._front.recvfrom(65536)
        return datagram

    async def _from_target(self) -> bytes:
        while True:
            try:
                return await self._back.recv(65536)
            except ConnectionRefusedError:
                continue  # an ICMP error: nobody is there yet

    async def _to_client(self, datagram: bytes) -> int:
        return 0 if self._client is None else await self._front.sendto(datagram, self._client)

    def cut(self, how: bool) -> None:
        """Lose everything from now on, or nothing."""
        for link in self.links:
            link.conditions.loss = float(how)


@asynccontextmanager
async def open_relay(
    own_port: int, target_port: int, seed: int = 1, **conditions: Any
) -> AsyncIterator[UdpRelay]:
    """A relay to `target_port`, which sees it come from `own_port`; conditions hold both ways."""
    front = trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM)
    back = trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM)
    with front, back:
        await front.bind((LOOPBACK, 0))
        await back.bind((LOOPBACK, own_port))
        await back.connect((LOOPBACK, target_port))
        links = [EmulatedLink(LinkConditions(**conditions), f"{seed} {i}") for i in range(2)]
        relay = UdpRelay(front, back, *links)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(relay.run)
            yield relay
            nursery.cancel_scope.cancel()
