"""Sockets of WebRTC endpoints on an emulated network, for whole sessions in virtual time.

A `MemoryNetwork` takes the place of the operating system's: endpoints that are opened while it is
installed get sockets on it.  Each way from one address to another is an `EmulatedLink` of its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import pytest
import trio

from trio_sctp._rtc_sockets import RtcSockets
from trio_sctp._webrtc.stun import Address
from trio_sctp.testing._emulated_link import EmulatedLink, LinkConditions

__all__ = ["MemoryNetwork", "MemorySocket"]


class MemorySocket:
    """What an endpoint uses of a `UDPSocket`."""

    never_fragments = True

    def __init__(self, network: MemoryNetwork, address: Address) -> None:
        self.network = network
        self.local_address = address
        self.incoming: dict[Address, EmulatedLink] = {}
        self.under_way: dict[Address, EmulatedLink] = {}
        self.closed = False
        self._arrived = trio.lowlevel.ParkingLot()
        self._wait = trio.CancelScope()

    def overhead_to(self, address: object) -> int:
        return 28

    def send_to_nowait(self, address: Address, datagrams: Sequence[bytes]) -> int:
        if self.closed:
            raise trio.ClosedResourceError
        for datagram in datagrams:
            self.network.carry(self.local_address, address[:2], datagram)
        return len(datagrams)

    async def send_to(self, address: Address, datagrams: Sequence[bytes]) -> None:
        await trio.lowlevel.checkpoint()
        self.send_to_nowait(address, datagrams)

    async def send_fragmented_to(self, address: Address, datagrams: Sequence[bytes]) -> None:
        await trio.lowlevel.checkpoint()
        for datagram in datagrams:
            self.network.carry(self.local_address, address[:2], datagram, fragment=True)

    async def receive_batch(self) -> list[tuple[Address, list[bytes]]]:
        await trio.lowlevel.checkpoint()
        while True:
            if self.closed:
                raise trio.ClosedResourceError
            now = trio.current_time()
            batch = [(source, link.pop_due(now)) for source, link in self.under_way.items()]
            self.under_way = {source: link for source, link in self.under_way.items() if len(link)}
            if found := [(source, datagrams) for source, datagrams in batch if datagrams]:
                return found
            with trio.CancelScope(deadline=self._due()) as self._wait:
                await self._arrived.park()

    def _due(self) -> float:
        return min((link.next_delivery() for link in self.under_way.values()), default=math.inf)

    def look(self) -> None:
        """Something is on its way here."""
        self._wait.deadline = self._due()

    def close(self) -> None:
        self.closed = True
        self._arrived.unpark_all()
        self.network.sockets.pop(self.local_address, None)


class MemoryNetwork:
    """Carries datagrams between the sockets that are bound to it."""

    def __init__(self, conditions: LinkConditions | None = None, *, seed: int = 0) -> None:
        self.conditions = conditions or LinkConditions(delay=0.02)
        self.seed = seed
        self.sockets: dict[Address, MemorySocket] = {}
        self.carried: list[tuple[Address, Address, bytes]] = []
        """All that was sent, where `watching`."""
        self.watching = False
        self.looks_like: dict[Address, Address] = {}
        """Addresses behind a NAT, and how they look from outside: change that, and the NAT rebinds."""
        self._next_port = 40000

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """From now on endpoints have their sockets here."""
        monkeypatch.setattr(RtcSockets, "bind", self.bind)

    async def bind(
        self, port: int, hosts: str | Iterable[str] | None, *, dont_fragment: bool = True
    ) -> RtcSockets:
        names = [hosts] if isinstance(hosts, str) else list(hosts or ["192.0.2.1"])
        if not port:
            port = self._next_port = self._next_port + 1
        await trio.lowlevel.checkpoint()
        sockets = [MemorySocket(self, (name, port)) for name in names]
        self.sockets |= {socket.local_address: socket for socket in sockets}
        return RtcSockets(sockets)  # type: ignore[arg-type]

    def carry(
        self, source: Address, target: Address, datagram: bytes, *, fragment: bool = False
    ) -> None:
        source = self.looks_like.get(source, source)
        if self.watching:
            self.carried.append((source, target, datagram))
        for inside, outside in self.looks_like.items():
            if target == outside:
                target = inside
        socket = self.sockets.get(target)
        if socket is None:
            return
        link = socket.incoming.get(source)
        if link is None:
            seed = f"{self.seed} {source} {target}"
            link = socket.incoming[source] = EmulatedLink(self.conditions, seed)
        link.push(datagram, trio.current_time(), fragment=fragment)
        socket.under_way[source] = link
        socket.look()
