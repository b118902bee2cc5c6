"""Serving WebRTC peers: handlers and their ends, many peers on one port, and attacks on it."""

from __future__ import annotations

import random
import re
import socket
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.lowlevel

from tests.support.handlers import echo
from tests.support.rtc_pair import HOST, ask, enter, introduce
from trio_sctp import (
    Association,
    AssociationAborted,
    AssociationError,
    IceConfig,
    RtcServer,
    open_rtc_endpoint,
    serve_rtc,
)
from trio_sctp._webrtc.certificate import Certificate, PeerPolicy
from trio_sctp._webrtc.dtls import DtlsAssociation
from trio_sctp._webrtc.stun import Attribute, MessageClass, encode_message

Handler = Callable[[Association], Awaitable[object]]


class Oops(Exception):
    """What a handler raises."""


async def start(nursery: trio.Nursery, handler: Handler = echo, **options: Any) -> RtcServer:
    server = await nursery.start(partial(serve_rtc, handler, 0, host=HOST, **options))
    assert isinstance(server, RtcServer)
    return server


async def visit(server: RtcServer, use: Callable[[Association], Awaitable[object]] = ask) -> None:
    async with open_rtc_endpoint(host=HOST) as endpoint:
        offering, _ = await introduce(endpoint, server)
        async with offering as association:
            await use(association)


async def test_a_server_answers_and_calls() -> None:
    async with trio.open_nursery() as nursery:
        server = await start(nursery)
        await visit(server)
        async with open_rtc_endpoint(host=HOST) as endpoint:
            offering = await server.offer()
            answering = await endpoint.answer(offering.local_description)
            offering.accept_answer(answering.local_description)
            await enter(answering, ask)
        assert str(server.port) in repr(server)
        assert server.local_addresses == [(HOST, server.port)]
        assert server.certificate.der
        nursery.cancel_scope.cancel()


async def test_a_handler_that_returns_closes_its_peer_and_no_other() -> None:
    async def once(association: Association) -> None:
        channel = await association.listen().accept()
        await channel.send("that is all")

    async def use(association: Association) -> None:
        async with association.open_channel() as channel:
            await channel.send("")
            assert await channel.receive() == "that is all"
            with pytest.raises(trio.EndOfChannel):
                await channel.receive()

    async with trio.open_nursery() as nursery:
        server = await start(nursery, once)
        await visit(server, use)
        await visit(server, use)
        nursery.cancel_scope.cancel()


async def test_a_peer_that_takes_short_messages_only_ends_its_own_handler() -> None:
    """An echo sent back what the peer had said it would not take, and the server was gone."""
    async with trio.open_nursery() as nursery:
        server = await start(nursery)
        async with open_rtc_endpoint(host=HOST) as endpoint:
            calling = await endpoint.offer()
            offer = calling.local_description
            limited = re.sub(r"a=max-message-size:\d+", "a=max-message-size:5", offer)
            called = await server.answer(limited)
            calling.accept_answer(called.local_description)
            async with calling as association:
                channel = association.open_channel()
                await channel.send("short")
                assert await channel.receive() == "short"
                await channel.send("longer")
                with pytest.raises(AssociationAborted):
                    await channel.receive()
        await visit(server)
        nursery.cancel_scope.cancel()


async def test_a_peer_may_have_a_handler_of_its_own() -> None:
    async def greet(name: str, association: Association) -> None:
        channel = await association.listen().accept()
        await channel.send(f"hello {name}")

    async with trio.open_nursery() as nursery:
        server = await start(nursery)
        async with open_rtc_endpoint(host=HOST) as endpoint:
            for name in ("Ada", "Grace"):
                calling = await endpoint.offer()
                called = await server.answer(
                    calling.local_description, handler=partial(greet, name)
                )
                calling.accept_answer(called.local_description)
                async with calling as association, association.open_channel() as channel:
                    await channel.send("")
                    assert await channel.receive() == f"hello {name}"
            calling = await server.offer(handler=partial(greet, "you"))
            called = await endpoint.answer(calling.local_description)
            calling.accept_answer(called.local_description)
            async with called as association, association.open_channel() as channel:
                await channel.send("")
                assert await channel.receive() == "hello you"
        await visit(server)  # the others have the server's
        nursery.cancel_scope.cancel()


async def test_what_a_handler_raises_ends_the_server() -> None:
    async def fail(association: Association) -> None:
        raise Oops

    async def use(association: Association) -> None:
        with pytest.raises(AssociationError):
            await association.listen().accept()

    with pytest.RaisesGroup(Oops, flatten_subgroups=True):
        async with trio.open_nursery() as nursery:
            server = await start(nursery, fail)
            await visit(server, use)
            await trio.sleep_forever()


async def test_cancelling_the_server_tells_its_peers_at_once() -> None:
    there: list[Association] = []
    told: list[float] = []

    async def stay(association: Association) -> None:
        await ask(association)
        there.append(association)
        with pytest.raises(AssociationError):
            await association.listen().accept()
        told.append(trio.current_time())

    with trio.fail_after(300):
        async with trio.open_nursery() as visitors, trio.open_nursery() as nursery:
            server = await start(nursery)
            for _ in range(3):
                visitors.start_soon(visit, server, stay)
            while len(there) < 3:
                await trio.sleep(0.01)
            nursery.cancel_scope.cancel()
            cancelled = trio.current_time()
    assert len(told) == 3
    assert max(told) - cancelled < 20  # and not after 30 seconds without consent


async def test_a_peer_that_does_not_come_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "trio_sctp.serve_rtc")
    async with trio.open_nursery() as nursery:
        server = await start(nursery, ice=IceConfig(connect_timeout=0.1))
        async with open_rtc_endpoint(host=HOST) as endpoint:
            peer = await endpoint.offer()
            await server.answer(peer.local_description)
            with trio.fail_after(300):
                while "no candidate pair works" not in caplog.text:
                    await trio.sleep(0.01)
        assert server.statistics().peers == 0
        nursery.cancel_scope.cancel()


def resident_kib() -> int:
    """The memory of this process, where the system tells."""
    status = Path("/proc/self/status")
    found = re.search(r"VmRSS:\s*(\d+)", status.read_text()) if status.exists() else None
    return int(found[1]) if found else 0


async def test_two_hundred_peers_at_once() -> None:
    """Each a full endpoint with a socket of its own, all on one port of the server."""
    count = 200
    everybody = trio.Event()
    arrived = most = 0

    async def use(association: Association) -> None:
        nonlocal arrived, most
        async with association.open_channel() as first, association.open_channel() as second:
            arrived += 1
            if arrived == count:
                most = resident_kib()
                everybody.set()
            await everybody.wait()
            for channel in first, second:
                await channel.send("all are here")
                assert await channel.receive() == "all are here"

    certificate = Certificate.generate()
    patient = IceConfig(connect_timeout=600)
    before = resident_kib()

    async def client(server: RtcServer) -> None:
        async with open_rtc_endpoint(host=HOST, certificate=certificate, ice=patient) as endpoint:
            offering, _ = await introduce(endpoint, server)
            async with offering as association:
                await use(association)

    with trio.fail_after(600):
        async with trio.open_nursery() as nursery:
            server = await start(nursery, ice=patient)
            async with trio.open_nursery() as clients:
                for _ in range(count):
                    clients.start_soon(client, server)
            nursery.cancel_scope.cancel()
    assert most - before < 500_000


async def test_floods_leave_no_state_and_are_not_amplified() -> None:
    """Binding requests and hellos from many addresses, with and without a name that is known."""
    rng = random.Random(3)
    hello_maker = DtlsAssociation(Certificate.generate(), PeerPolicy.anyone(), client=True, now=0.0)
    hello_maker.start(now=0.0)
    hello = hello_maker.datagrams_to_send()[0]
    async with trio.open_nursery() as nursery:
        server = await start(nursery)
        async with open_rtc_endpoint(host=HOST) as endpoint:
            offering, answering = await introduce(endpoint, server)
            ufrag = answering._known_by.ufrags[0]

            def request(name: str) -> bytes:
                attributes = [
                    (Attribute.USERNAME, f"{name}:x".encode()),
                    (Attribute.PRIORITY, bytes(4)),
                    (Attribute.ICE_CONTROLLING, bytes(8)),
                    (Attribute.USE_CANDIDATE, b""),
                ]
                return encode_message(
                    MessageClass.REQUEST, rng.randbytes(12), attributes, key=rng.randbytes(24)
                )

            async with offering as association, association.open_channel() as channel:
                paths = dict(endpoint._routes.by_path)
                for _ in range(200):
                    await check_flood(
                        server.port,
                        [
                            request(ufrag),
                            request("nobody"),
                            hello,
                            rng.randbytes(50),
                            b"\x01\x01" * 20,
                        ],
                    )
                    await channel.send("alive?")
                    assert await channel.receive() == "alive?"
                assert endpoint._routes.by_path == paths
                assert server.statistics().peers == 1
                assert server.statistics().half_open == 0
                assert server.statistics().datagrams_dropped >= 400
        nursery.cancel_scope.cancel()


async def check_flood(port: int, datagrams: list[bytes]) -> None:
    """Each from an address of its own, which gets no more than it sent."""
    for datagram in datagrams:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.setblocking(False)
            stranger.connect((HOST, port))
            stranger.send(datagram)
            await trio.lowlevel.checkpoint()
            await trio.lowlevel.checkpoint()
            received = 0
            try:
                while True:
                    received += len(stranger.recv(2000))
            except BlockingIOError:
                pass
            assert received <= len(datagram)


async def test_replayed_checks_and_datagrams_in_a_peers_name() -> None:
    """What was overheard and is sent again, from elsewhere or from the peer's own address."""
    async with trio.open_nursery() as nursery:
        server = await start(nursery)
        async with open_rtc_endpoint(host=HOST) as endpoint:
            ours = next(iter(endpoint._sockets.by_address.values()))
            overheard: list[bytes] = []
            send = ours.send_to

            async def overhear(address: Any, datagrams: Any) -> None:
                overheard.extend(datagrams)
                await send(address, datagrams)

            ours_type: Any = type(ours)
            original = ours_type.send_to
            ours_type.send_to = lambda self, *a: (
                overhear(*a) if self is ours else original(self, *a)
            )
            try:
                offering, _ = await introduce(endpoint, server)
                async with offering as association, association.open_channel() as channel:
                    await channel.send("one")
                    assert await channel.receive() == "one"
                    ours_type.send_to = original
                    replay = list(overheard)
                    assert any(datagram[0] == 0 for datagram in replay)
                    for datagram in replay:
                        await send((HOST, server.port), [datagram])
                        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
                            stranger.sendto(datagram, (HOST, server.port))
                    for number in range(50):
                        await channel.send(str(number))
                        assert await channel.receive() == str(number)
                    assert server.statistics().peers == 1
            finally:
                ours_type.send_to = original
        nursery.cancel_scope.cancel()
