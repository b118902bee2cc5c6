"""Datagrams in batches: all of them arrive, in order, and a batch ends where others want their turn."""

from __future__ import annotations

import errno

import pytest
import trio
from trio.testing import assert_checkpoints, wait_all_tasks_blocked

from tests.support.udp_sockets import (
    connected_pair,
    datagrams,
    needs_ipv6,
    receive_all,
    receives_nothing,
    scripted_pair,
)
from trio_sctp import _udp_calls
from trio_sctp._udp_calls import BATCH_CALLS, LONE_TURNS
from trio_sctp._udp_socket import ConnectedUDPSocket, UDPSocket

offloads = pytest.mark.parametrize("offload", [True, False], ids=["offload", "plain"])

SIZES = [1200] * 5 + [300, 1200, 40, 41, 41, 0, 1200, 1200, 0, 9000, 9000, 1, 1, 1]


@offloads
@pytest.mark.parametrize(
    "host,client_host",
    [
        ("127.0.0.1", "127.0.0.1"),
        (None, "127.0.0.1"),
        pytest.param("::1", "::1", marks=needs_ipv6),
        pytest.param(None, "::1", marks=needs_ipv6),
    ],
)
async def test_batches_arrive_whole_and_in_order_and_can_be_echoed(
    host: str | None, client_host: str, offload: bool
) -> None:
    async with await UDPSocket.bind(host=host, offload=offload) as server:
        port = server.local_address[1]
        async with await ConnectedUDPSocket.connect(client_host, port, offload=offload) as client:
            sent = datagrams(SIZES)
            wanted = [datagram for datagram in sent if datagram]
            await client.send_batch(sent)
            arrived: list[bytes] = []
            with trio.fail_after(300):
                while len(arrived) < len(wanted):
                    ((address, batch),) = await server.receive_batch()
                    arrived += batch
                    await server.send_batch([(address, batch)])
            assert arrived == wanted
            assert await receive_all(client, len(wanted)) == wanted
            assert client.remote_address[1] == port
            assert server.statistics.datagrams_ignored == SIZES.count(0)
            assert server.statistics.datagrams_received == len(wanted)
            assert client.statistics.datagrams_sent == len(SIZES)


@offloads
@pytest.mark.parametrize(
    "before, sizes, batches",
    [
        pytest.param([], [10] * 100, [BATCH_CALLS, 100 - BATCH_CALLS], id="full"),
        # No system call looks behind what seems to be lone; what is there all the same is late by a
        # batch, and not lost.
        pytest.param([5], [100] * (LONE_TURNS + 5), [1] * LONE_TURNS + [5], id="lone"),
        pytest.param([1500], [1500, 1499, 1498], [1, 1, 1], id="short enough to be lone"),
        pytest.param([1501], [1500, 1499, 1498], [3], id="too long to be lone"),
        pytest.param([5, 6], [1500, 1499, 1498], [3], id="not lone, in company"),
        pytest.param([30_000], [30_000] * 5, [4, 1], id="large: never lone, four at a time"),
    ],
)
async def test_where_a_batch_ends(
    before: list[int], sizes: list[int], batches: list[int], offload: bool
) -> None:
    async with connected_pair(sender_offload=False, receiver_offload=offload) as (sender, receiver):
        if before:
            await sender.send_batch(datagrams(before))
            assert await receiver.receive_batch() == datagrams(before)
        sent = datagrams(sizes)
        await sender.send_batch(sent)
        for count in batches:
            assert await receiver.receive_batch() == sent[:count]
            del sent[:count]
        assert not sent


@offloads
async def test_a_receive_batch_is_bounded_in_bytes(
    offload: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_udp_calls, "BATCH_BYTES", 2000)
    async with connected_pair(sender_offload=False, receiver_offload=offload) as (sender, receiver):
        sent = datagrams([1200, 1100, 1000])
        await sender.send_batch(sent)
        assert await receiver.receive_batch() == sent[:2]
        assert await receiver.receive_batch() == sent[2:]


@offloads
async def test_what_is_ignored_and_what_fails_does_not_end_a_batch(offload: bool) -> None:
    receiver, script, sender = scripted_pair(offload=offload)
    async with receiver, sender:
        await sender.send_batch([b"1", b"", b"2"])
        assert await receiver.receive_batch() == [b"1", b"2"]
        for name in ("recvfrom", "recvmsg"):
            script.fail[name] = [None, ConnectionRefusedError(errno.ECONNREFUSED, "refused")]
        await sender.send_batch([b"3", b"4"])
        assert await receiver.receive_batch() == [b"3", b"4"]


@offloads
async def test_each_sender_appears_once_with_its_datagrams_in_order(offload: bool) -> None:
    async with await UDPSocket.bind(host="127.0.0.1", offload=offload) as server:
        port = server.local_address[1]
        clients = [await ConnectedUDPSocket.connect("127.0.0.1", port) for _ in range(3)]
        for number in range(4):
            for index, client in enumerate(clients):
                await client.send(b"%d from %d" % (number, index))
        received = dict(await server.receive_batch())
        assert received == {
            client.local_address: [b"%d from %d" % (number, index) for number in range(4)]
            for index, client in enumerate(clients)
        }
        await server.send_batch(list(received.items()))
        for index, client in enumerate(clients):
            assert await receive_all(client, 4) == [b"%d from %d" % (n, index) for n in range(4)]
            await client.aclose()


async def test_single_receives_and_batches_mix() -> None:
    async with connected_pair() as (sender, receiver):
        await sender.send_batch([b"1", b"2", b"3", b"4"])
        assert await receiver.receive() == b"1"
        assert await receiver.receive() == b"2"
        assert await receiver.receive_batch() == [b"3", b"4"]


async def test_empty_datagrams_disturb_nobody() -> None:
    async with await UDPSocket.bind(host="127.0.0.1") as server:
        port = server.local_address[1]
        async with (
            await ConnectedUDPSocket.connect("127.0.0.1", port) as client,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(server.receive_batch)
            await client.send(b"")
            await wait_all_tasks_blocked()
            assert server.statistics.datagrams_ignored == 1
            await client.send(b"something")  # lets receive_batch return


@offloads
async def test_a_sender_with_port_0_is_ignored(offload: bool) -> None:
    receiver, script, sender = scripted_pair(offload=offload)
    async with receiver, sender:
        script.source = ("192.0.2.1", 0)
        await sender.send(b"cannot be answered")
        await receives_nothing(receiver)
        script.source = ("192.0.2.1", 1)
        await sender.send(b"can")
        assert await receiver.receive_batch() == [b"can"]
        assert receiver.statistics.datagrams_ignored == 1


async def test_two_tasks_may_not_receive_at_once() -> None:
    async with connected_pair() as (sender, receiver), trio.open_nursery() as nursery:
        nursery.start_soon(receiver.receive)
        await wait_all_tasks_blocked()
        with pytest.raises(trio.BusyResourceError):
            await receiver.receive_batch()
        await sender.send(b"enough")


async def test_every_method_is_a_checkpoint() -> None:
    async with await UDPSocket.bind(host="127.0.0.1") as server:
        with assert_checkpoints():
            client = await ConnectedUDPSocket.connect("127.0.0.1", server.local_address[1])
        with assert_checkpoints():
            await client.send_batch([])
        with assert_checkpoints():
            await client.send(b"1")
        with assert_checkpoints():
            ((address, _),) = await server.receive_batch()
        with assert_checkpoints():
            await server.send_to(address, [b"1", b"2", b"3", b"4"])
        for receive in (client.receive, client.receive, client.receive_batch):
            with assert_checkpoints():
                await receive()
        with assert_checkpoints():
            await server.send_batch([])
        with assert_checkpoints():
            await client.aclose()
        with assert_checkpoints():
            socket = await UDPSocket.bind()
        with assert_checkpoints():
            await socket.aclose()


async def test_the_longest_datagram_arrives() -> None:
    async with connected_pair() as (sender, receiver):
        longest = bytes(sender.max_datagram_size)
        await sender.send_batch([longest, longest])
        assert await receive_all(receiver, 2) == [longest, longest]
