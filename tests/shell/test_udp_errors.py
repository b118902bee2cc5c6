"""What the network or the system refuses is a loss and no error: the protocol above has timers."""

from __future__ import annotations

import errno
import socket as stdlib_socket

import pytest
import trio

from tests.support.udp_sockets import (
    receives_nothing,
    scripted_pair,
)
from trio_sctp._udp_socket import ConnectedUDPSocket, UDPSocket


async def test_icmp_errors_are_counted_and_sending_goes_on() -> None:
    server = await UDPSocket.bind(host="127.0.0.1")
    port = server.local_address[1]
    async with await ConnectedUDPSocket.connect("127.0.0.1", port) as client:
        await server.aclose()
        for _ in range(3):  # each is answered by "port unreachable", which the next call reports
            await client.send(b"nobody is there")
        await receives_nothing(client)
        async with await UDPSocket.bind(port, host="127.0.0.1") as server:
            await client.send_batch([b"now", b"now"])
            ((_, batch),) = await server.receive_batch()
            assert batch == [b"now", b"now"]
        assert client.statistics.datagrams_not_sent == 0
        if client.statistics.errors:  # not every system reports them
            assert client.statistics.last_error is not None


@pytest.mark.parametrize("offload", [True, False], ids=["offload", "plain"])
async def test_an_error_reported_to_a_receiver_is_counted_and_receiving_goes_on(
    offload: bool,
) -> None:
    receiver, script, sender = scripted_pair(offload=offload)
    async with receiver, sender:
        for name in ("recvfrom", "recvmsg"):
            script.fail[name] = [ConnectionRefusedError(errno.ECONNREFUSED, "refused")] * 2
        await sender.send(b"still here")
        assert await receiver.receive() == b"still here"
        assert receiver.statistics.errors == 2
        assert isinstance(receiver.statistics.last_error, ConnectionRefusedError)


async def test_a_socket_that_only_fails_keeps_nobody_from_running() -> None:
    receiver, script, sender = scripted_pair(offload=False)
    async with receiver, sender:
        script.fail["recvfrom"] = [OSError(errno.ENOMEM, "no memory")]
        script.for_ever = True
        await sender.send(b"unreadable")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receiver.receive_batch)
            for _ in range(10):
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
        assert receiver.statistics.errors > 0


async def test_what_cannot_be_sent_is_a_loss() -> None:
    async with await UDPSocket.bind(host="127.0.0.1") as server:
        assert server.max_datagram_size == 65507
        async with await ConnectedUDPSocket.connect("127.0.0.1", server.local_address[1]) as client:
            await client.send_batch([b"before", bytes(client.max_datagram_size + 1), b"after"])
            ((_, batch),) = await server.receive_batch()
            assert batch == [b"before", b"after"]
            assert client.statistics.datagrams_not_sent == 1
            assert client.statistics.datagrams_sent == 2
        # Nobody can be at port 0.
        await server.send_to(("127.0.0.1", 0), [b"x", b"y"])
        assert server.statistics.datagrams_not_sent == 2


async def test_a_name_instead_of_an_address_is_refused() -> None:
    async with await UDPSocket.bind(host="127.0.0.1") as server:
        with pytest.raises((stdlib_socket.gaierror, TypeError)):
            await server.send_to(("", 9, 9, 9, 9), [b"x"])
