"""A full socket lets its senders wait, who is cancelled has lost nothing, and closing wakes all."""

from __future__ import annotations

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.support.udp_sockets import (
    clogging_pair,
    connected_pair,
    datagrams,
    receive_all,
    scripted_pair,
    udp_pair,
)
from trio_sctp import _udp_offload
from trio_sctp._udp_socket import ConnectedUDPSocket, UDPSocket


@pytest.mark.parametrize("call", ["send", "sendmsg"])
async def test_sending_goes_on_where_the_socket_was_full(call: str) -> None:
    sender, script, receiver = scripted_pair(offload=call == "sendmsg")
    if call == "sendmsg" and not _udp_offload.can_segment(script.socket):
        pytest.skip("this kernel has no UDP segmentation offload")
    async with sender, receiver:
        script.fail[call] = [None, BlockingIOError(), BlockingIOError(), None, BlockingIOError()]
        sent = datagrams([1200] * 150)
        await sender.send_batch(sent)
        assert await receive_all(receiver, 150) == sent
        assert sender.statistics.errors == 0


async def test_a_datagram_that_may_be_fragmented_waits_for_room_too() -> None:
    sender, script, receiver = scripted_pair()
    async with sender, receiver:
        script.fail["send"] = [BlockingIOError(), BlockingIOError()]
        await sender.send_fragmented([b"1", b"2"])
        assert await receive_all(receiver, 2) == [b"1", b"2"]


async def test_send_waits_while_the_socket_is_full() -> None:
    async with clogging_pair() as (sender, receiver), trio.open_nursery() as nursery:
        sent = datagrams([100] * 3000)
        nursery.start_soon(sender.send_batch, sent)
        await wait_all_tasks_blocked()
        assert 0 < sender.statistics.datagrams_sent < 3000
        assert await receive_all(receiver, 3000) == sent


async def test_many_tasks_may_send_through_a_full_socket() -> None:
    async with clogging_pair() as (sender, receiver), trio.open_nursery() as nursery:
        for number in range(5):
            nursery.start_soon(sender.send_batch, [b"%d" % number] * 1000)
        await wait_all_tasks_blocked()
        assert sorted(await receive_all(receiver, 5000)) == sorted(
            b"%d" % number for number in range(5) for _ in range(1000)
        )


async def test_a_cancelled_send_has_sent_a_leading_part() -> None:
    async with clogging_pair() as (sender, receiver):
        sent = datagrams([100] * 3000)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sender.send_batch, sent)
            await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        count = sender.statistics.datagrams_sent
        assert await receive_all(receiver, count) == sent[:count]
        await sender.send(b"next")
        assert await receiver.receive() == b"next"


async def test_close_wakes_blocked_senders() -> None:
    async with clogging_pair() as (sender, _):
        woken = 0

        async def blocked() -> None:
            nonlocal woken
            with pytest.raises(trio.ClosedResourceError):
                await sender.send_batch([b"x"] * 3000)
            woken += 1

        async with trio.open_nursery() as nursery:
            nursery.start_soon(blocked)
            nursery.start_soon(blocked)
            await wait_all_tasks_blocked()
            sender.close()
        assert woken == 2


async def test_a_cancelled_call_has_no_effect() -> None:
    async with connected_pair() as (sender, receiver):
        with trio.CancelScope() as scope:
            scope.cancel()
            await sender.send_batch([b"never sent"])
        assert scope.cancelled_caught
        await sender.send_batch([b"sent", b"too"])
        with trio.CancelScope() as scope:
            scope.cancel()
            await receiver.receive_batch()
        assert scope.cancelled_caught
        assert await receiver.receive() == b"sent"
        for receive in (receiver.receive, receiver.receive_batch):
            with trio.CancelScope() as scope:
                scope.cancel()
                await receive()
            assert scope.cancelled_caught
        assert await receiver.receive() == b"too"


async def test_a_receive_cancelled_while_it_waits_loses_nothing() -> None:
    async with await UDPSocket.bind(host="127.0.0.1") as server:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.receive_batch)
            await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        port = server.local_address[1]
        async with await ConnectedUDPSocket.connect("127.0.0.1", port) as client:
            await client.send(b"later")
            assert await server.receive_batch() == [(client.local_address, [b"later"])]


async def test_close_wakes_a_receiver() -> None:
    left, right = udp_pair()
    right.close()
    for transport in (await UDPSocket.bind(host="127.0.0.1"), ConnectedUDPSocket(left)):

        async def receive(transport: UDPSocket | ConnectedUDPSocket = transport) -> None:
            with pytest.raises(trio.ClosedResourceError):
                await transport.receive_batch()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive)
            await wait_all_tasks_blocked()
            await transport.aclose()


async def test_a_closed_socket_says_so() -> None:
    server = await UDPSocket.bind(host="127.0.0.1")
    client = await ConnectedUDPSocket.connect("127.0.0.1", server.local_address[1])
    await server.send_to(client.local_address, [b"1", b"2"])
    await client.receive()
    for socket in (client, server):
        await socket.aclose()
        await socket.aclose()
        assert socket.closed
        assert repr(socket) == f"<{type(socket).__name__} closed>"
        with pytest.raises(trio.ClosedResourceError):
            await socket.receive_batch()
        with pytest.raises(trio.ClosedResourceError):
            socket.local_address  # noqa: B018
    for operation in (
        client.receive,
        lambda: client.send(b""),
        lambda: client.send_batch([]),
        lambda: server.send_batch([]),
        lambda: server.send_to(("127.0.0.1", 9), []),
        lambda: server.resolve("127.0.0.1", 9),
    ):
        with pytest.raises(trio.ClosedResourceError):
            await operation()
