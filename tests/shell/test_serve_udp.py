"""Associations over UDP: one peer, and many on one port, through real sockets of this machine."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.support.handlers import echo
from trio_sctp import (
    Association,
    AssociationAborted,
    AssociationError,
    Config,
    DatagramTransport,
    HandshakeFailed,
    LocalProtocolError,
    Message,
    UdpEndpoint,
    open_association,
    open_udp_association,
    serve_udp,
)
from trio_sctp._transport import plain_address
from trio_sctp._udp_socket import ConnectedUDPSocket

HOST = "127.0.0.1"
Handler = Callable[[Association], Awaitable[object]]


async def start(nursery: trio.Nursery, handler: Handler = echo, **options: Any) -> UdpEndpoint:
    endpoint = await nursery.start(partial(serve_udp, handler, 0, host=HOST, **options))
    assert isinstance(endpoint, UdpEndpoint)
    return endpoint


async def ask(port: int, text: str) -> None:
    async with (
        open_udp_association(HOST, port) as association,
        association.open_channel() as channel,
    ):
        await channel.send(text)
        assert await channel.receive() == text


async def open_one_more(association: Association) -> None:
    association.open_channel("one more")


async def send_on_a_further_stream(association: Association) -> None:
    await association.messages.send(Message(5, 0, b"x"))


async def send_too_much(association: Association) -> None:
    await association.open_channel("short messages").send(bytes(101))


async def send_too_much_with_wishes(association: Association) -> None:
    await association.open_channel("short messages").send(bytes(101), max_retransmits=1)


@pytest.mark.parametrize("handler", [send_too_much, send_too_much_with_wishes])
async def test_a_peer_of_short_messages_ends_its_own_handler(handler: Handler) -> None:
    async with trio.open_nursery() as nursery:
        endpoint = await start(nursery, handler, max_message_size=100)
        for _ in range(2):
            async with open_udp_association(HOST, endpoint.port) as association:
                with pytest.raises(AssociationAborted):
                    await (await association.listen().accept()).receive()
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("handler", [open_one_more, send_on_a_further_stream])
async def test_a_peer_with_few_streams_ends_its_own_handler(handler: Handler) -> None:
    """What its peer does not allow was taken for a mistake of the handler's: it ended the server."""
    few = Config(outbound_streams=1, inbound_streams=1)
    async with trio.open_nursery() as nursery:
        endpoint = await start(nursery, handler)
        for _ in range(2):
            async with open_udp_association(HOST, endpoint.port, config=few) as association:
                with pytest.raises(AssociationAborted):
                    await association.listen().accept()
        nursery.cancel_scope.cancel()


def throw_out(association: Association) -> None:
    association.abort("too slow")


@pytest.mark.parametrize("end", [throw_out, Association.aclose])
async def test_a_peer_that_is_thrown_out_ends_its_own_handler(
    end: Callable[[Association], Awaitable[None] | None],
) -> None:
    """By another task: the handler hears that its association was closed, and that ended the server."""
    there: list[Association] = []

    async def handler(association: Association) -> None:
        there.append(association)
        async with trio.open_nursery() as nursery:
            async for channel in association.listen():
                nursery.start_soon(channel.receive)

    async with trio.open_nursery() as nursery:
        endpoint = await start(nursery, handler)
        for _ in range(2):
            async with open_udp_association(HOST, endpoint.port) as association:
                association.open_channel()
                while not there:
                    await trio.sleep(0.01)
                await wait_all_tasks_blocked()
                ended = end(there.pop())
                if ended is not None:
                    await ended
                with pytest.raises((AssociationAborted, trio.EndOfChannel)):
                    await association.listen().accept()
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("slip", ["listener", "channel"])
async def test_what_a_handler_has_closed_by_mistake_ends_the_server(slip: str) -> None:
    async def handler(association: Association) -> None:
        listener = association.listen()
        channel = await listener.accept()
        await (listener if slip == "listener" else channel).aclose()
        await (listener.accept() if slip == "listener" else channel.receive())

    with pytest.raises(ExceptionGroup) as raised:  # noqa: PT012
        async with trio.open_nursery() as nursery:
            endpoint = await start(nursery, handler)
            nursery.start_soon(ask_in_vain, endpoint.port)
    assert raised.group_contains(trio.ClosedResourceError)


async def ask_in_vain(port: int) -> None:
    with suppress(AssociationError, trio.EndOfChannel):
        async with open_udp_association(HOST, port) as association:
            async with association.open_channel() as channel:
                await channel.receive()
            await association.wait_closed()


async def test_many_peers_on_one_port() -> None:
    async with trio.open_nursery() as nursery:
        endpoint = await start(nursery)
        async with trio.open_nursery() as clients:
            for number in range(20):
                clients.start_soon(ask, endpoint.port, str(number))
        assert endpoint.statistics().packets_received > 0
        # All peers have left, and the handler of each has ended with that.
        while endpoint.statistics().associations:
            await trio.sleep(0.01)
        nursery.cancel_scope.cancel()


async def test_both_ends_know_where_the_other_is() -> None:
    seen: list[object] = []

    async def note(association: Association) -> None:
        seen.append(association.peer_address)
        await association.wait_closed()

    async with trio.open_nursery() as nursery:
        endpoint = await start(nursery, note)
        assert endpoint.local_address == (HOST, endpoint.port)
        assert str(endpoint.port) in repr(endpoint)
        async with open_udp_association(HOST, endpoint.port, local_port=0) as association:
            assert association.peer_address == (HOST, endpoint.port)
            assert str(endpoint.port) in repr(association)
        assert len(seen) == 1
        nursery.cancel_scope.cancel()


async def test_a_large_transfer_both_ways() -> None:
    blob = bytes(range(256)) * 4096
    async with trio.open_nursery() as nursery:
        endpoint = await start(nursery)
        async with (
            open_udp_association(HOST, endpoint.port) as association,
            association.open_channel() as channel,
        ):
            await channel.send(blob)
            assert await channel.receive() == blob
        nursery.cancel_scope.cancel()


async def test_plain_messages_and_channels_on_one_server() -> None:
    """An echo for whatever the peer speaks."""

    async def echo_all(association: Association) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(echo, association)
            async for message in association.messages:
                await association.messages.send(message)

    async with trio.open_nursery() as nursery:
        endpoint = await start(nursery, echo_all, plain_messages=True)
        await ask(endpoint.port, "channel")
        async with open_udp_association(HOST, endpoint.port, data_channels=False) as plain:
            await plain.messages.send(Message(3, 7, b"hello"))
            assert (await plain.messages.receive())[:3] == (3, 7, b"hello")
        nursery.cancel_scope.cancel()


async def test_a_peer_that_aborts_ends_its_handler_and_nothing_else() -> None:
    ended: list[str] = []

    async def expect_more(association: Association) -> None:
        try:
            await echo(association)
        finally:
            ended.append("handler")

    async with trio.open_nursery() as nursery:
        endpoint = await start(nursery, expect_more)
        async with open_udp_association(HOST, endpoint.port) as association:
            async with association.open_channel() as channel:
                await channel.send("x")
                await channel.receive()
            association.abort("I am off")
        while not ended:
            await trio.sleep(0.01)
        await ask(endpoint.port, "still there")
        nursery.cancel_scope.cancel()


async def test_an_exception_of_a_handler_ends_the_server_and_aborts_its_peers() -> None:
    async def crash(association: Association) -> None:
        channel = await association.listen().accept()
        if await channel.receive() == "crash":
            raise RuntimeError("handler")
        await trio.sleep_forever()

    async def run_server(task_status: trio.TaskStatus[UdpEndpoint]) -> None:
        with pytest.RaisesGroup(pytest.RaisesExc(RuntimeError, match="handler")):
            await serve_udp(crash, 0, host=HOST, task_status=task_status)

    async with trio.open_nursery() as nursery:
        endpoint: UdpEndpoint = await nursery.start(run_server)
        # leaving tells again if the ABORT came before the acknowledgement of what was sent
        with suppress(AssociationAborted):
            async with (
                open_udp_association(HOST, endpoint.port) as idle,
                open_udp_association(HOST, endpoint.port) as association,
            ):
                await idle.open_channel().send("sleep")
                await association.open_channel().send("crash")
                for one in idle, association:
                    await one.wait_closed()
                    with pytest.raises(AssociationAborted):
                        await one.listen().accept()


async def test_a_cancelled_server_aborts_its_peers() -> None:
    async with trio.open_nursery() as nursery:
        endpoint = await start(nursery)
        async with open_udp_association(HOST, endpoint.port) as association:
            nursery.cancel_scope.cancel()
            with trio.CancelScope(shield=True):
                await association.wait_closed()
            with pytest.raises(AssociationAborted):
                association.open_channel()


async def test_no_more_peers_than_wanted() -> None:
    async with trio.open_nursery() as nursery:
        endpoint = await start(nursery, max_associations=2)
        async with (
            open_udp_association(HOST, endpoint.port),
            open_udp_association(HOST, endpoint.port),
        ):
            with pytest.raises(HandshakeFailed, match="resource"):
                async with open_udp_association(HOST, endpoint.port):
                    raise AssertionError("there is no room")
            assert endpoint.statistics().associations == 2
        while endpoint.statistics().associations:
            await trio.sleep(0.01)
        await ask(endpoint.port, "room again")
        nursery.cancel_scope.cancel()


async def test_strangers_cannot_disturb_a_server() -> None:
    async with trio.open_nursery() as nursery:
        endpoint = await start(nursery)
        with trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM) as stranger:
            await stranger.connect((HOST, endpoint.port))
            for junk in b"x", bytes(12), bytes(100), b"\x13\x88\x13\x88" + bytes(500):
                await stranger.send(junk)
            await ask(endpoint.port, "undisturbed")
        assert sum(endpoint.statistics().dropped.values()) >= 4
        nursery.cancel_scope.cancel()


async def test_a_handler_that_returns_shuts_its_association_down() -> None:
    async def greet(association: Association) -> None:
        await association.open_channel("greeting").send("hello")

    async with trio.open_nursery() as nursery:
        endpoint = await start(nursery, greet, config=Config(rto_min=0.05))
        async with open_udp_association(HOST, endpoint.port) as association:
            channel = await association.listen().accept()
            assert [message async for message in channel] == ["hello"]
            assert [channel async for channel in association.listen()] == []
        nursery.cancel_scope.cancel()


async def test_the_port_can_be_used_again() -> None:
    async with trio.open_nursery() as nursery:
        endpoint = await start(nursery)
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(serve_udp, echo, endpoint.port, host=HOST))
        await ask(endpoint.port, "again")
        nursery.cancel_scope.cancel()


async def test_what_the_block_raises_comes_out_as_it_is() -> None:
    error = KeyError("mine")
    async with trio.open_nursery() as nursery:
        endpoint = await start(nursery)
        with pytest.raises(KeyError) as caught:
            async with open_udp_association(HOST, endpoint.port):
                raise error
        assert caught.value is error
        nursery.cancel_scope.cancel()


class Roaming(DatagramTransport):
    """A client behind a NAT that forgets: its packets come from another port all of a sudden."""

    def __init__(self, socket: ConnectedUDPSocket) -> None:
        self.socket = socket

    @property
    def max_datagram_size(self) -> int:
        return self.socket.max_datagram_size

    async def send_batch(self, datagrams: Sequence[bytes]) -> None:
        await self.socket.send_batch(datagrams)

    async def receive_batch(self) -> list[bytes]:
        while True:
            socket = self.socket
            try:
                return await socket.receive_batch()
            except trio.ClosedResourceError:
                if socket is self.socket:
                    raise

    async def receive(self) -> bytes:
        raise NotImplementedError

    async def aclose(self) -> None:
        await self.socket.aclose()


async def test_a_peer_behind_a_nat_may_change_its_port() -> None:
    served: list[Association] = []

    async def note(association: Association) -> None:
        served.append(association)
        await echo(association)

    async with trio.open_nursery() as nursery:
        endpoint = await start(nursery, note)
        roaming = Roaming(await ConnectedUDPSocket.connect(HOST, endpoint.port))
        async with (
            open_association(roaming, client=True) as association,
            association.open_channel() as channel,
        ):
            await channel.send("here")
            assert await channel.receive() == "here"
            old = roaming.socket
            assert served[0].peer_address == old.local_address
            roaming.socket = await ConnectedUDPSocket.connect(HOST, endpoint.port)
            await old.aclose()
            await channel.send("there")
            assert await channel.receive() == "there"
            assert served[0].peer_address == roaming.socket.local_address
        assert len(served) == 1
        nursery.cancel_scope.cancel()


async def test_mistakes_in_opening() -> None:
    with pytest.raises(ValueError, match="port"):
        async with open_udp_association(HOST, 0):
            raise AssertionError("port 0 is nowhere")
    with pytest.raises(LocalProtocolError, match="max_message_size"):
        async with open_udp_association(HOST, 9, max_message_size=-1):
            raise AssertionError("nothing is shorter than nothing")
    with pytest.raises(OSError, match="bind"):
        await serve_udp(echo, 9, host="203.0.113.1")


async def test_ipv4_peers_of_a_socket_for_both_kinds_have_ipv4_addresses() -> None:
    """The server is bound to all addresses; without IPv6 on this machine that is IPv4 alone."""
    addresses: list[object] = []

    async def note(association: Association) -> None:
        addresses.append(association.peer_address)
        assert "ffff" not in repr(association)
        await association.wait_closed()

    async with trio.open_nursery() as nursery:
        endpoint = await nursery.start(partial(serve_udp, note, 0))
        async with open_udp_association(HOST, endpoint.port, local_host=HOST) as association:
            while not addresses:
                await trio.sleep(0.01)
            port = association._pump.transport.local_address[1]  # type: ignore[attr-defined]
        nursery.cancel_scope.cancel()
    assert addresses == [(HOST, port)]


@pytest.mark.parametrize(
    "address, plain",
    [
        (("::ffff:192.0.2.1", 9899, 0, 0), ("192.0.2.1", 9899)),
        (("2001:db8::1", 9899, 0, 0), ("2001:db8::1", 9899, 0, 0)),
        (("192.0.2.1", 9899), ("192.0.2.1", 9899)),
        (None, None),
        ("somewhere", "somewhere"),
    ],
)
def test_addresses_as_their_users_know_them(address: object, plain: object) -> None:
    assert plain_address(address) == plain
