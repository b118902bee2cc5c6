"""The network that stands between a page and the server of ``trio-sctp browser``, over real UDP."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from trio_sctp.cli.browser import bad_network
from trio_sctp.cli.browser.bad_network import BadNetworks, TooManyNetworksError
from trio_sctp.testing import LinkConditions

HOST = "127.0.0.1"


@asynccontextmanager
async def echo_port() -> AsyncIterator[int]:
    """A server that sends every datagram back, in capitals."""
    with trio.socket.socket(type=trio.socket.SOCK_DGRAM) as socket:
        await socket.bind((HOST, 0))

        async def echo() -> None:
            while True:
                datagram, sender = await socket.recvfrom(2000)
                await socket.sendto(datagram.upper(), sender)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(echo)
            yield socket.getsockname()[1]
            nursery.cancel_scope.cancel()


def answer(port: int) -> str:
    return (
        f"v=0\r\na=candidate:1 1 UDP 2130706431 {HOST} {port} typ host\r\na=end-of-candidates\r\n"
    )


def port_in(text: str) -> int:
    found = re.search(r" (\d+) typ host", text)
    assert found is not None
    return int(found[1])


async def test_datagrams_are_late_in_both_directions() -> None:
    async with echo_port() as port, trio.open_nursery() as nursery:
        changed = await BadNetworks(nursery).stand_before(answer(port), LinkConditions(delay=0.05))
        assert port_in(changed) != port
        assert changed.replace(str(port_in(changed)), str(port)) == answer(port)
        for _ in range(2):  # two senders: each gets its own
            with trio.socket.socket(type=trio.socket.SOCK_DGRAM) as socket:
                await socket.connect((HOST, port_in(changed)))
                began = trio.current_time()
                for text in (b"one", b"two"):
                    await socket.send(text)
                assert [await socket.recv(100) for _ in range(2)] == [b"ONE", b"TWO"]
                assert trio.current_time() - began >= 0.1
        nursery.cancel_scope.cancel()


async def test_what_is_lost_does_not_arrive() -> None:
    async with echo_port() as port, trio.open_nursery() as nursery:
        conditions = LinkConditions(loss=1.0)
        changed = await BadNetworks(nursery).stand_before(answer(port), conditions)
        with trio.socket.socket(type=trio.socket.SOCK_DGRAM) as socket:
            await socket.connect((HOST, port_in(changed)))
            await socket.send(b"lost")
            with trio.move_on_after(0.1) as waited:
                await socket.recv(100)
            assert waited.cancelled_caught
            conditions.loss = 0.0
            await socket.send(b"found")
            assert await socket.recv(100) == b"FOUND"
        nursery.cancel_scope.cancel()


async def test_it_goes_when_nothing_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bad_network, "IDLE_TIME", 0.1)
    async with echo_port() as port:
        with trio.fail_after(10):
            async with trio.open_nursery() as nursery:  # ends when the network has
                networks = BadNetworks(nursery)
                await networks.stand_before(answer(port), LinkConditions())


async def test_there_are_only_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bad_network, "MOST_NETWORKS", 2)
    async with trio.open_nursery() as nursery:
        networks = BadNetworks(nursery)
        for _ in range(2):
            await networks.stand_before(answer(9), LinkConditions())
        with pytest.raises(TooManyNetworksError):
            await networks.stand_before(answer(9), LinkConditions())
        nursery.cancel_scope.cancel()
