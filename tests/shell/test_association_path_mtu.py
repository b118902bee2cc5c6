"""Path MTU discovery under real programs: memory links, and UDP on the loopback interface."""

from __future__ import annotations

import errno
import json
import socket as stdlib_socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio
from trio.testing import MockClock

from tests.support import loopback_of_size
from tests.support.loopback_of_size import IN_A_NETWORK_OF_ITS_OWN
from trio_sctp import (
    Association,
    ChannelTransport,
    Config,
    PathMtuChanged,
    open_association,
    open_udp_association,
    serve_udp,
)
from trio_sctp._udp_fragmentation import allow_fragments, forbid_fragments
from trio_sctp._udp_socket import ConnectedUDPSocket, UDPSocket
from trio_sctp.testing import memory_link, open_association_pair

QUICK = Config(rto_min=0.2)
linux = pytest.mark.skipif(sys.platform != "linux", reason="sizes are those of Linux's loopback")


async def reach(association: Association, size: int) -> None:
    """Wait until the path MTU has come to ``size``."""
    with trio.fail_after(300):
        while association.statistics().path_mtu != size:
            await trio.sleep(0.01)


# -- memory links ----------------------------------------------------------------------------------


@pytest.mark.parametrize("mtu, size", [(1500, 1500), (9000, 9000), (65535, 65532), (None, 65532)])
async def test_a_memory_link_is_used_to_its_size(
    mtu: int | None, size: int, autojump_clock: MockClock
) -> None:
    async with open_association_pair(mtu=mtu, delay=0.01) as (client, server):
        await reach(client, size)
        await reach(server, size)
        event = await client.events.receive()
        while event != PathMtuChanged(size):
            event = await client.events.receive()
        async with client.open_channel() as channel:
            await channel.send(bytes(300_000))
            far = await server.listen().accept()
            assert await far.receive() == bytes(300_000)


async def test_the_two_directions_are_apart(autojump_clock: MockClock) -> None:
    async with open_association_pair(mtu=9000, delay=0.01, back={"mtu": 1500}) as ends:
        await reach(ends[0], 9000)
        await reach(ends[1], 1500)


async def test_a_link_that_shrinks_goes_on_carrying(autojump_clock: MockClock) -> None:
    link = memory_link(delay=0.01, mtu=9000)
    async with open_association_pair(link=link, config=QUICK) as (client, server):
        await reach(client, 9000)
        async with client.open_channel() as channel:
            far = await server.listen().accept()
            link[0].outgoing.conditions.mtu = 1500
            with trio.fail_after(10):
                await channel.send(bytes(300_000))
                assert await far.receive() == bytes(300_000)
            await reach(client, 1500)
        assert client.statistics().path_mtu_black_holes == 1


async def test_it_can_be_switched_off(autojump_clock: MockClock) -> None:
    config = Config(path_mtu_discovery=False)
    async with open_association_pair(config=config) as (client, _):
        await trio.sleep(100)
        assert client.statistics().path_mtu == 1200
        assert client.statistics().path_mtu_probes_sent == 0


async def test_a_channel_that_may_fragment_is_not_probed(autojump_clock: MockClock) -> None:
    """RFC 6951 §5.6: where don't-fragment cannot be had, the size that is configured is used."""
    near, far = memory_link()
    async with open_association_pair(link=(ChannelTransport(near), far)) as (client, server):
        await reach(server, 65532)
        assert client.statistics().path_mtu_state == "DISABLED"
        assert client.statistics().path_mtu == 1200


async def test_a_channel_that_is_said_not_to_fragment_is_probed(autojump_clock: MockClock) -> None:
    near, far = memory_link()
    transport = ChannelTransport(near, never_fragments=True, max_datagram_size=5000)
    async with open_association_pair(link=(transport, far)) as (client, _):
        await reach(client, 5000)


# -- UDP -------------------------------------------------------------------------------------------


@asynccontextmanager
async def udp_pair(
    host: str, config: Config = QUICK
) -> AsyncIterator[tuple[Association, Association]]:
    """A client of `open_udp_association` and what `serve_udp` has made of it."""
    accepted, served = trio.open_memory_channel[Association](1)

    async def handle(association: Association) -> None:
        await accepted.send(association)
        await association.wait_closed()

    async with trio.open_nursery() as nursery:
        serve = partial(serve_udp, handle, 0, host=host, config=config)
        endpoint = await nursery.start(serve)
        async with open_udp_association(host, endpoint.port, config=config) as association:
            yield association, await served.receive()
        nursery.cancel_scope.cancel()


def loopback_hosts() -> list[str]:
    hosts = ["127.0.0.1"]
    with stdlib_socket.socket(stdlib_socket.AF_INET6, stdlib_socket.SOCK_DGRAM) as socket:
        try:
            socket.bind(("::1", 0))
        except OSError:
            return hosts
    return [*hosts, "::1"]


@linux
@pytest.mark.parametrize("host", loopback_hosts())
async def test_udp_on_loopback_is_used_to_its_size(host: str) -> None:
    """IPv4: the longest datagram there is.  IPv6: an interface of 65536 bytes less its headers."""
    size = 65504 if host == "127.0.0.1" else 65484
    async with udp_pair(host) as (client, server):
        await reach(client, size)
        await reach(server, size)
        for sender, receiver in ((client, server), (server, client)):
            async with sender.open_channel() as channel:
                await channel.send(bytes(1_000_000))
                with trio.fail_after(300):
                    far = await receiver.listen().accept()
                    assert await far.receive() == bytes(1_000_000)


def gives_networks() -> bool:
    if sys.platform != "linux":
        return False
    return not subprocess.run([*IN_A_NETWORK_OF_ITS_OWN, "true"], capture_output=True).returncode


@pytest.mark.skipif(not gives_networks(), reason="this system gives no network of one's own")
@pytest.mark.parametrize("mtu, size", [(1500, 1472), (9000, 8972)])
async def test_udp_on_an_interface_of_ethernet_is_used_to_its_size(mtu: int, size: int) -> None:
    program = (sys.executable, "-m", loopback_of_size.__name__, str(mtu))
    done = await trio.run_process([*IN_A_NETWORK_OF_ITS_OWN, *program], capture_stdout=True)
    assert json.loads(done.stdout) == [size, size]


@linux
async def test_a_datagram_beyond_the_interface_is_lost_and_no_error() -> None:
    async with await UDPSocket.bind(host="127.0.0.1") as server:
        port = server.local_address[1]
        async with await ConnectedUDPSocket.connect("127.0.0.1", port) as client:
            assert client.never_fragments
            await client.send_batch([b"before", bytes(65508), b"after"])
            ((_, batch),) = await server.receive_batch()
            assert batch == [b"before", b"after"]
            assert client.statistics.datagrams_not_sent == 1
            assert client.statistics.errors == 0


async def test_sockets_are_left_alone_where_discovery_is_off() -> None:
    config = Config(path_mtu_discovery=False)
    async with udp_pair("127.0.0.1", config) as (client, _):
        assert client.statistics().path_mtu_state == "DISABLED"
    async with await UDPSocket.bind(dont_fragment=False) as socket:
        assert not socket.never_fragments


@linux
@pytest.mark.parametrize("host", loopback_hosts())
async def test_leave_to_fragment_is_given_to_single_datagrams(host: str) -> None:
    async with await UDPSocket.bind(host=host) as server:
        there = server.local_address
        async with await ConnectedUDPSocket.connect(host, there[1]) as client:
            before = _mtu_discover(client)
            await client.send_fragmented([b"one", bytes(30_000)])
            ((here, batch),) = await server.receive_batch()
            assert batch == [b"one", bytes(30_000)]
            await server.send_fragmented_to(here, [b"two"])
            assert await client.receive() == b"two"
            assert _mtu_discover(client) == before == 3, "IP_PMTUDISC_PROBE"


def _mtu_discover(socket: ConnectedUDPSocket) -> int:
    inner = socket._socket
    if inner.family == stdlib_socket.AF_INET6:
        return inner.getsockopt(stdlib_socket.IPPROTO_IPV6, 23)
    return inner.getsockopt(stdlib_socket.IPPROTO_IP, 10)


async def test_a_system_without_the_options_just_says_no() -> None:
    class Refusing(stdlib_socket.socket):
        def setsockopt(self, *args: object) -> None:
            raise OSError(errno.ENOPROTOOPT, "no such option")

    with Refusing(stdlib_socket.AF_INET, stdlib_socket.SOCK_DGRAM) as socket:
        assert not forbid_fragments(socket)
        allow_fragments(socket)
    if hasattr(stdlib_socket, "AF_UNIX"):
        with stdlib_socket.socket(stdlib_socket.AF_UNIX, stdlib_socket.SOCK_DGRAM) as local:
            assert not forbid_fragments(local)


async def test_a_full_socket_is_waited_for() -> None:
    if not hasattr(stdlib_socket, "AF_UNIX"):
        pytest.skip("needs Unix datagram sockets")
    left, right = stdlib_socket.socketpair(stdlib_socket.AF_UNIX, stdlib_socket.SOCK_DGRAM)
    left.setsockopt(stdlib_socket.SOL_SOCKET, stdlib_socket.SO_SNDBUF, 16384)
    async with ConnectedUDPSocket(left) as sender, ConnectedUDPSocket(right) as receiver:
        received: list[bytes] = []
        with trio.fail_after(300):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(sender.send_fragmented, [bytes(4000)] * 50)
                while len(received) < 50:
                    received += await receiver.receive_batch()
        assert received == [bytes(4000)] * 50


async def test_a_plain_transport_sends_as_ever() -> None:
    send, receive = trio.open_memory_channel[bytes](5)

    class Both(trio.abc.Channel[bytes]):
        async def send(self, value: bytes) -> None:
            await send.send(value)

        async def receive(self) -> bytes:
            return await receive.receive()

        async def aclose(self) -> None:
            await trio.lowlevel.checkpoint()

    transport = ChannelTransport(Both())
    await transport.send_fragmented([b"x"])
    assert await transport.receive() == b"x"
    assert transport.datagram_overhead == 0
    assert not transport.never_fragments


async def test_open_association_takes_the_limit_from_its_transport(
    autojump_clock: MockClock,
) -> None:
    near, far = memory_link()
    small = ChannelTransport(near, never_fragments=True, max_datagram_size=700)
    async with trio.open_nursery() as nursery:

        async def answer() -> None:
            async with open_association(far, client=False) as association:
                await association.wait_closed()

        nursery.start_soon(answer)
        async with open_association(small, client=True) as association:
            await trio.sleep(1)
            assert association.statistics().path_mtu == 700
            assert association.statistics().path_mtu_state == "SEARCH_COMPLETE"


@pytest.mark.parametrize("protects", [True, False])
async def test_zero_checksum_needs_a_transport_that_protects(
    protects: bool, autojump_clock: MockClock
) -> None:
    """RFC 9653 §3: over anything else a damaged packet would go unnoticed."""
    ends = [ChannelTransport(end, protects_integrity=protects) for end in memory_link()]
    config = Config(zero_checksum=True)
    async with open_association_pair(link=(ends[0], ends[1]), config=config) as (client, _):
        assert client.config.zero_checksum is protects
        tcb = client._core.tcb
        assert tcb is not None
        assert tcb.omits_checksum is protects
        async with client.open_channel() as channel:
            await channel.send("hello")
