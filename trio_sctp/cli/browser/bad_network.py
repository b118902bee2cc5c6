"""A bad network between one page and the server, with real datagrams: late ones and lost ones.

It stands before the server's UDP port with ports of its own, which the answer then names instead of
the server's; so nothing needs to know of it at either end.  Each address that a page sends from
has a socket of its own towards the server, as behind a NAT.
"""

from __future__ import annotations

import re
import secrets
import socket as stdlib_socket
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, suppress
from functools import partial
from typing import Any, Self

import trio

from ...testing import EmulatedLink, LinkConditions

__all__ = ["BadNetworks", "TooManyNetworksError"]

MOST_NETWORKS = 50
MOST_SENDERS = 8
"""Addresses of one page."""
IDLE_TIME = 60.0
"""Seconds without a datagram after which a network is taken down; pages check every few seconds."""
WAITING_DATAGRAMS = 1000

_CANDIDATE = re.compile(r"(?m)^(a=candidate:\S+ \d \S+ \d+) (\S+) (\d+) (?=typ )")

Address = tuple[Any, ...]


class TooManyNetworksError(Exception):
    """There are as many as there may be."""


class BadNetworks:
    """Those that there are, as tasks of a nursery."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._count = 0

    async def stand_before(self, answer: str, conditions: LinkConditions) -> str:
        """Set one up before the addresses that an answer announces; the answer that announces its
        own.
        """
        if self._count >= MOST_NETWORKS:
            raise TooManyNetworksError(f"there are {self._count} emulated networks")
        run: Callable[..., Awaitable[Any]] = self._run
        announced: str = await self._nursery.start(run, answer, conditions)
        return announced

    async def _run(
        self, answer: str, conditions: LinkConditions, *, task_status: trio.TaskStatus[str]
    ) -> None:
        self._count += 1
        try:
            with ExitStack() as sockets:
                fronts: list[_Front] = []

                def stand_before(candidate: re.Match[str]) -> str:
                    front = _Front((candidate[2], int(candidate[3])), conditions)
                    fronts.append(sockets.enter_context(front))
                    return f"{candidate[1]} {candidate[2]} {front.port} "

                announced = _CANDIDATE.sub(stand_before, answer)
                await _carry_until_idle(fronts, partial(task_status.started, announced))
        finally:
            self._count -= 1


async def _carry_until_idle(fronts: list[_Front], started: Callable[[], None]) -> None:
    async with trio.open_nursery() as nursery:

        def heard() -> None:
            nursery.cancel_scope.deadline = trio.current_time() + IDLE_TIME

        heard()
        for front in fronts:
            nursery.start_soon(front.run, heard)
        started()


class _Front:
    """One port of a network, before one address of the server."""

    def __init__(self, server: tuple[str, int], conditions: LinkConditions) -> None:
        self._server = server
        self._conditions = conditions
        self._family = stdlib_socket.AF_INET6 if ":" in server[0] else stdlib_socket.AF_INET
        plain = stdlib_socket.socket(self._family, stdlib_socket.SOCK_DGRAM)
        plain.bind((server[0], 0))
        self.port: int = plain.getsockname()[1]
        self._socket = trio.socket.from_stdlib_socket(plain)
        self._ways: dict[Address, trio.MemorySendChannel[bytes]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._socket.close()

    async def run(self, heard: Callable[[], None]) -> None:
        """Carry what the page sends, from whichever address."""
        async with trio.open_nursery() as nursery:
            while True:
                datagram, sender = await self._socket.recvfrom(65536)
                heard()
                if sender not in self._ways and len(self._ways) < MOST_SENDERS:
                    way, waiting = trio.open_memory_channel[bytes](WAITING_DATAGRAMS)
                    self._ways[sender] = way
                    nursery.start_soon(self._open_way, sender, waiting)
                if (known := self._ways.get(sender)) is not None:
                    with suppress(trio.WouldBlock):
                        known.send_nowait(datagram)

    async def _open_way(self, sender: Address, waiting: trio.MemoryReceiveChannel[bytes]) -> None:
        """Both directions between one address of the page and the server."""
        with trio.socket.socket(self._family, stdlib_socket.SOCK_DGRAM) as back:
            await back.connect(self._server)
            to_page = partial(self._send_to, sender)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._carry, waiting.receive, back.send)
                nursery.start_soon(self._carry, partial(back.recv, 65536), to_page)

    async def _send_to(self, sender: Address, datagram: bytes) -> int:
        return await self._socket.sendto(datagram, sender)

    async def _carry(
        self, receive: Callable[[], Awaitable[bytes]], send: Callable[[bytes], Awaitable[int]]
    ) -> None:
        """One direction: nobody is in the way of what arrives while others are under way."""
        link = EmulatedLink(self._conditions, secrets.token_hex())
        while True:
            with (
                suppress(OSError),  # an ICMP error: what it was about is lost
                trio.CancelScope(deadline=link.next_delivery()),
            ):
                link.push(await receive(), trio.current_time())
            for datagram in link.pop_due(trio.current_time()):
                with suppress(OSError):
                    await send(datagram)
