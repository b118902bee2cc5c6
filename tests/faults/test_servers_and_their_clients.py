"""Clients that break off anywhere leave a server as it was; so does a server that is cancelled.

Over sockets of the loopback interface: what the operating system holds is looked at, too.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.lowlevel import add_instrument, remove_instrument

from tests.support.certificates import CLIENT, SERVER
from tests.support.fault_session import StepWatcher
from trio_sctp import (
    Association,
    AssociationError,
    Config,
    DataChannel,
    open_dtls,
    open_dtls_association,
    open_udp_association,
    serve_dtls,
    serve_udp,
)
from trio_sctp._udp_socket import ConnectedUDPSocket

HOST = "127.0.0.1"
CONFIG = Config(rto_initial=0.05, rto_min=0.05, max_init_retransmits=20)
Open = Callable[[int], Any]


async def echo_channel(channel: DataChannel) -> None:
    async with channel:
        async for message in channel:
            await channel.send(message)


async def echo(association: Association) -> None:
    await trio.serve_listeners(echo_channel, [association.listen()])


def open_files() -> int:
    """How many descriptors this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


@asynccontextmanager
async def udp_server(nursery: trio.Nursery) -> AsyncIterator[tuple[Any, Open]]:
    endpoint = await nursery.start(partial(serve_udp, echo, 0, host=HOST, config=CONFIG))

    def open_association(port: int) -> Any:
        return open_udp_association(HOST, port, config=CONFIG)

    yield endpoint, open_association


@asynccontextmanager
async def dtls_server(nursery: trio.Nursery) -> AsyncIterator[tuple[Any, Open]]:
    endpoint = await nursery.start(
        partial(
            serve_dtls,
            echo,
            0,
            host=HOST,
            certificate=SERVER,
            verify_peer=CLIENT.fingerprint(),
            config=CONFIG,
        )
    )

    def open_association(port: int) -> Any:
        return open_dtls_association(
            HOST, port, certificate=CLIENT, peer_fingerprint=SERVER.fingerprint(), config=CONFIG
        )

    yield endpoint, open_association


Servers = pytest.mark.parametrize("server", [udp_server, dtls_server], ids=["udp", "dtls"])


async def talk(opened: Any, done: Callable[[], None] = lambda: None) -> None:
    async with opened as association:
        async with association.open_channel("x") as channel:
            await channel.send("hello")
            assert await channel.receive() == "hello"
        done()


async def until(condition: Callable[[], bool]) -> None:
    """Something in the background is about to come true."""
    with trio.fail_after(300):
        while not condition():
            await trio.sleep(0.005)


def settled(endpoint: Any) -> bool:
    """There are no associations, apart from handshakes that may still go on."""
    statistics = endpoint.statistics()
    half_open: int = getattr(statistics, "half_open", 0)
    associations: int = statistics.associations
    return associations == half_open


def port_of(endpoint: Any) -> int:
    port: int = endpoint.local_address[1]
    return port


@asynccontextmanager
async def cancelled_at(
    step: int, program: Callable[[], Awaitable[None]]
) -> AsyncIterator[StepWatcher]:
    """Run a program that is cancelled at its n-th checkpoint, or those of its tasks."""
    watcher = StepWatcher(step, children=True)
    add_instrument(watcher)
    try:
        with trio.CancelScope() as scope, watcher.watching(scope.cancel):
            await program()
    finally:
        remove_instrument(watcher)
    yield watcher


@Servers
async def test_clients_cancelled_at_every_checkpoint(server: Any) -> None:
    """Each leaves nothing of itself, and the next one is served.

    Whoever breaks off a DTLS handshake has nobody's trust yet and cannot say so: the server waits for
    the end of the handshake's time.
    """
    before = trio.lowlevel.current_statistics().tasks_living
    async with trio.open_nursery() as nursery, server(nursery) as (endpoint, open_association):
        port = port_of(endpoint)
        await talk(open_association(port))
        await until(lambda: endpoint.statistics().associations == 0)
        tasks, files = trio.lowlevel.current_statistics().tasks_living, open_files()
        step = 0
        while True:
            step += 1
            program = partial(talk, open_association(port))
            async with cancelled_at(step, program) as watcher:
                pass
            if not watcher.reached:
                break
            assert open_files() == files
        assert step > 20
        await talk(open_association(port))
        await until(lambda: settled(endpoint))
        if server is udp_server:
            await until(lambda: trio.lowlevel.current_statistics().tasks_living == tasks)
        assert open_files() == files
        nursery.cancel_scope.cancel()
    assert trio.lowlevel.current_statistics().tasks_living == before


@Servers
async def test_server_cancelled_while_clients_talk(server: Any) -> None:
    """The clients hear of it; nothing of the server is left."""
    files = tasks = 0
    for clients in (1, 5):
        errors: list[Exception] = []
        async with trio.open_nursery() as outer:
            tasks = trio.lowlevel.current_statistics().tasks_living
            files = open_files()

            async def stay(opened: Any, errors: list[Exception] = errors) -> None:
                try:
                    async with opened as association:
                        channel = association.open_channel()
                        await channel.send("hello")
                        await channel.receive()
                        await channel.receive()
                except (AssociationError, trio.EndOfChannel) as error:
                    errors.append(error)

            async with trio.open_nursery() as nursery, server(nursery) as (endpoint, opening):
                for _ in range(clients):
                    outer.start_soon(stay, opening(port_of(endpoint)))
                await until(lambda: endpoint.statistics().associations == clients)  # noqa: B023
                await trio.sleep(0.05)
                nursery.cancel_scope.cancel()
        assert len(errors) == clients
        assert trio.lowlevel.current_statistics().tasks_living == tasks
        assert open_files() == files


async def test_a_port_that_is_taken_leaves_nothing_open() -> None:
    async with trio.open_nursery() as nursery, udp_server(nursery) as (endpoint, _):
        files = open_files()
        for serve in (
            partial(serve_udp, echo, port_of(endpoint), host=HOST),
            partial(
                serve_dtls,
                echo,
                port_of(endpoint),
                host=HOST,
                certificate=SERVER,
                verify_peer=CLIENT.fingerprint(),
            ),
        ):
            with pytest.raises(OSError, match="in use"):
                await serve()
            assert open_files() == files
        nursery.cancel_scope.cancel()


async def test_clients_that_do_nothing_but_the_dtls_handshake(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They stayed for ever: nothing but an association notices that a peer is gone."""
    monkeypatch.setattr("trio_sctp._dtls_serve.SETUP_TIMEOUT", 3.0)
    async with trio.open_nursery() as nursery, dtls_server(nursery) as (endpoint, opening):
        transports = []
        for _ in range(3):
            socket = await ConnectedUDPSocket.connect(HOST, port_of(endpoint))
            transports.append(
                await open_dtls(
                    socket, client=True, certificate=CLIENT, verify_peer=SERVER.fingerprint()
                )
            )
        await until(lambda: endpoint.statistics().half_open == 3)
        await until(lambda: endpoint.statistics().associations == 0)
        assert endpoint.statistics().handshakes_failed == 3
        await talk(opening(port_of(endpoint)))
        for transport in transports:
            await transport.aclose()
        nursery.cancel_scope.cancel()
