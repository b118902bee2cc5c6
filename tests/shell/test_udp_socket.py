"""UDP sockets in batches: what arrives, in which order, and what happens when the system says
no."""

from __future__ import annotations

import errno
import socket as stdlib_socket
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
import trio
from trio.testing import assert_checkpoints, wait_all_tasks_blocked

from trio_sctp import _udp_calls, _udp_offload
from trio_sctp._udp_calls import LONE_TURNS
from trio_sctp._udp_socket import ConnectedUDPSocket, UDPSocket

SIZES = [1200] * 5 + [300, 1200, 40, 41, 41, 0, 1200, 1200, 0, 9000, 9000, 1, 1, 1]


def datagrams(sizes: Sequence[int]) -> list[bytes]:
    """Datagrams of these sizes that can be told apart."""
    return [(index.to_bytes(2, "big") * size)[:size] for index, size in enumerate(sizes)]


def has_ipv6() -> bool:
    if not stdlib_socket.has_ipv6:
        return False
    with stdlib_socket.socket(stdlib_socket.AF_INET6, stdlib_socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6 loopback")


class ScriptedSocket:
    """A socket whose calls fail as told: ``fail["send"]`` lists what each call raises, None for
    nothing.

    The last entry stays if ``for_ever`` is set.  A name in ``missing`` does not exist at all.
    """

    def __init__(self, socket: stdlib_socket.socket, missing: Sequence[str] = ()) -> None:
        self.socket = socket
        self.missing = missing
        self.fail: dict[str, list[OSError | None]] = {}
        self.for_ever = False
        self.calls: list[str] = []
        self.source: Any = None

    def __getattr__(self, name: str) -> Any:
        if name in self.missing:
            raise AttributeError(name)
        attribute = getattr(self.socket, name)
        return self._scripted(name, attribute) if callable(attribute) else attribute

    def _scripted(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            self.calls.append(name)
            failures = self.fail.get(name)
            if failures:
                keep = self.for_ever and len(failures) == 1
                error = failures[0] if keep else failures.pop(0)
                if error is not None:
                    raise error
            result = method(*args)
            if self.source is not None and name in ("recvfrom", "recvmsg"):
                result = (*result[:-1], self.source)
            return result

        return call


def scripted_pair(
    *, offload: bool = True, missing: Sequence[str] = ()
) -> tuple[ConnectedUDPSocket, ScriptedSocket, ConnectedUDPSocket]:
    """A connected socket whose system calls may be made to fail, and its peer."""
    left, right = udp_pair()
    script = ScriptedSocket(left, missing)
    sender = ConnectedUDPSocket(cast("stdlib_socket.socket", script), offload=offload)
    return sender, script, ConnectedUDPSocket(right)


def udp_pair() -> tuple[stdlib_socket.socket, stdlib_socket.socket]:
    left, right = (
        stdlib_socket.socket(stdlib_socket.AF_INET, stdlib_socket.SOCK_DGRAM) for _ in range(2)
    )
    left.bind(("127.0.0.1", 0))
    right.bind(("127.0.0.1", 0))
    left.connect(right.getsockname())
    right.connect(left.getsockname())
    return left, right


@asynccontextmanager
async def clogging_pair() -> AsyncIterator[tuple[ConnectedUDPSocket, ConnectedUDPSocket]]:
    """Two sockets that do get full, which UDP on the loopback interface never does."""
    if not hasattr(stdlib_socket, "AF_UNIX"):
        pytest.skip("needs Unix datagram sockets")
    left, right = stdlib_socket.socketpair(stdlib_socket.AF_UNIX, stdlib_socket.SOCK_DGRAM)
    async with ConnectedUDPSocket(left) as sender, ConnectedUDPSocket(right) as receiver:
        left.setsockopt(stdlib_socket.SOL_SOCKET, stdlib_socket.SO_SNDBUF, 16384)
        yield sender, receiver


async def receive_all(transport: ConnectedUDPSocket, count: int) -> list[bytes]:
    received: list[bytes] = []
    with trio.fail_after(300):
        while len(received) < count:
            received += await transport.receive_batch()
    return received


async def receives_nothing(transport: ConnectedUDPSocket) -> None:
    """Let it see what there is, none of which it should return."""
    async with trio.open_nursery() as nursery:

        async def receive() -> None:
            raise AssertionError(f"received {await transport.receive_batch()}")

        nursery.start_soon(receive)
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("offload", [True, False], ids=["offload", "plain"])
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


async def test_long_runs_take_few_system_calls() -> None:
    left, right = udp_pair()
    async with ConnectedUDPSocket(left) as sender, ConnectedUDPSocket(right) as receiver:
        if not (_udp_offload.can_segment(left) and _udp_offload.enable_gro(right)):
            pytest.skip("this kernel has no UDP segmentation offload")
        sent = datagrams([1200] * 120 + [100] * 130)
        await sender.send_batch(sent)
        assert await receive_all(receiver, len(sent)) == sent
        assert sender.statistics.send_calls <= 6
        assert receiver.statistics.receive_calls <= 6


async def test_a_full_receive_batch_leaves_the_rest_for_the_next() -> None:
    left, right = udp_pair()
    async with (
        ConnectedUDPSocket(left, offload=False) as sender,
        ConnectedUDPSocket(right, offload=False) as receiver,
    ):
        sent = datagrams([10] * 100)
        await sender.send_batch(sent)
        first = await receiver.receive_batch()
        assert first == sent[: _udp_calls.BATCH_CALLS]
        assert await receiver.receive_batch() == sent[len(first) :]


@pytest.mark.parametrize("offload", [True, False], ids=["offload", "plain"])
async def test_a_receive_batch_is_bounded_in_bytes(
    offload: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_udp_calls, "BATCH_BYTES", 2000)
    left, right = udp_pair()
    async with (
        ConnectedUDPSocket(left, offload=False) as sender,
        ConnectedUDPSocket(right, offload=offload) as receiver,
    ):
        sent = datagrams([1200, 1100, 1000])
        await sender.send_batch(sent)
        assert await receiver.receive_batch() == sent[:2]
        assert await receiver.receive_batch() == sent[2:]


@pytest.mark.parametrize("offload", [True, False], ids=["offload", "plain"])
async def test_after_a_lone_datagram_few_are_taken_for_lone(offload: bool) -> None:
    """No system call looks behind them; what comes all the same is late by a batch, and not lost."""
    left, right = udp_pair()
    async with (
        ConnectedUDPSocket(left, offload=False) as sender,
        ConnectedUDPSocket(right, offload=offload) as receiver,
    ):
        await sender.send_batch([b"alone"])
        assert await receiver.receive_batch() == [b"alone"]
        sent = datagrams([100] * (LONE_TURNS + 5))
        await sender.send_batch(sent)
        for datagram in sent[:LONE_TURNS]:
            assert await receiver.receive_batch() == [datagram]
        assert await receiver.receive_batch() == sent[LONE_TURNS:]


@pytest.mark.parametrize("offload", [True, False], ids=["offload", "plain"])
async def test_large_datagrams_are_never_lone_and_four_to_a_batch(offload: bool) -> None:
    left, right = udp_pair()
    async with (
        ConnectedUDPSocket(left, offload=False) as sender,
        ConnectedUDPSocket(right, offload=offload) as receiver,
    ):
        first, *sent = datagrams([30_000] * 6)
        await sender.send_batch([first])
        assert await receiver.receive_batch() == [first]
        await sender.send_batch(sent)
        assert await receiver.receive_batch() == sent[:4]
        assert await receiver.receive_batch() == sent[4:]


@pytest.mark.parametrize("offload", [True, False], ids=["offload", "plain"])
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
    left, right = udp_pair()
    async with ConnectedUDPSocket(left) as sender, ConnectedUDPSocket(right) as receiver:
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


async def test_a_sender_with_port_0_is_ignored() -> None:
    for offload in (True, False):
        receiver, script, sender = scripted_pair(offload=offload)
        async with receiver, sender:
            script.source = ("192.0.2.1", 0)
            await sender.send(b"cannot be answered")
            await receives_nothing(receiver)
            script.source = ("192.0.2.1", 1)
            await sender.send(b"can")
            assert await receiver.receive_batch() == [b"can"]
            assert receiver.statistics.datagrams_ignored == 1


# ---- Without offload


async def test_works_where_the_platform_has_no_offload(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "plan9")
    sender, _, receiver = scripted_pair()
    async with sender, receiver:
        await sends_and_receives_one_by_one(sender, receiver)


async def test_plain_sockets_need_only_portable_calls() -> None:
    # Windows has neither sendmsg nor recvmsg.
    sender, _, receiver = scripted_pair(offload=False, missing=["sendmsg", "recvmsg"])
    async with sender, receiver:
        await sender.send_batch(datagrams([100] * 10))
        assert await receive_all(receiver, 10) == datagrams([100] * 10)
        await receiver.send(b"back")
        assert await sender.receive() == b"back"


async def test_a_kernel_without_the_options_just_says_no() -> None:
    async with clogging_pair() as (sender, receiver):
        await sends_and_receives_one_by_one(sender, receiver)


async def sends_and_receives_one_by_one(
    sender: ConnectedUDPSocket, receiver: ConnectedUDPSocket
) -> None:
    sent = datagrams([100] * 10)
    await sender.send_batch(sent)
    assert await receive_all(receiver, 10) == sent
    assert sender.statistics.send_calls == 10
    assert receiver.statistics.receive_calls == 10


@pytest.fixture
def runs_are_possible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_udp_calls, "can_segment", lambda _: True)


@pytest.mark.usefixtures("runs_are_possible")
@pytest.mark.parametrize("number", [errno.EIO, errno.ENOPROTOOPT, errno.EOPNOTSUPP])
async def test_a_socket_that_cannot_send_runs_is_not_asked_again(number: int) -> None:
    sender, script, receiver = scripted_pair()
    async with sender, receiver:
        script.fail["sendmsg"] = [OSError(number, "no")]
        sent = datagrams([100] * 10)
        await sender.send_batch(sent)
        await sender.send_batch(sent)
        assert await receive_all(receiver, 20) == sent * 2
        assert script.calls.count("sendmsg") == 1
        assert sender.statistics.errors == 1
        assert sender.statistics.datagrams_not_sent == 0


@pytest.mark.usefixtures("runs_are_possible")
@pytest.mark.parametrize("number, tries", [(errno.EINVAL, 1), (errno.EMSGSIZE, 2)])
async def test_segments_too_long_for_a_link_go_singly_and_shorter_ones_as_runs(
    number: int, tries: int
) -> None:
    sender, script, receiver = scripted_pair()
    async with sender, receiver:
        script.fail["sendmsg"] = [OSError(number, "too long")] * tries
        await sender.send_batch(datagrams([1500] * 4))
        await sender.send_batch(datagrams([1500] * 4))
        assert script.calls.count("sendmsg") == tries
        assert script.calls.count("send") == 8
        if _udp_offload.can_segment(script.socket):
            await sender.send_batch(datagrams([1499] * 4))
            assert script.calls.count("sendmsg") == tries + 1
            assert script.calls.count("send") == 8
            assert await receive_all(receiver, 12) == datagrams([1500] * 4) * 2 + datagrams(
                [1499] * 4
            )


@pytest.mark.usefixtures("runs_are_possible")
async def test_what_icmp_says_of_an_earlier_datagram_does_not_end_sending_runs() -> None:
    sender, script, receiver = scripted_pair()
    async with sender, receiver:
        script.fail["sendmsg"] = [OSError(errno.EMSGSIZE, "too long")]
        if _udp_offload.can_segment(script.socket):
            await sender.send_batch(datagrams([1500] * 4))
            await sender.send_batch(datagrams([1500] * 4))
            assert script.calls.count("sendmsg") == 3
            assert script.calls.count("send") == 0
            assert await receive_all(receiver, 8) == datagrams([1500] * 4) * 2
            assert sender.statistics.errors == 0


@pytest.mark.usefixtures("runs_are_possible")
async def test_another_error_of_a_run_does_not_end_sending_runs() -> None:
    sender, script, receiver = scripted_pair()
    async with sender, receiver:
        script.fail["sendmsg"] = [OSError(errno.ENOBUFS, "not now")]
        sent = datagrams([100] * 4)
        await sender.send_batch(sent)
        await sender.send_batch(sent)
        assert await receive_all(receiver, 8) == sent * 2
        assert script.calls.count("sendmsg") == 2


# ---- A full socket


@pytest.mark.usefixtures("runs_are_possible")
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


# ---- Cancelling, closing, two tasks


async def test_a_cancelled_call_has_no_effect() -> None:
    left, right = udp_pair()
    async with ConnectedUDPSocket(left) as sender, ConnectedUDPSocket(right) as receiver:
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


async def test_two_tasks_may_not_receive_at_once() -> None:
    left, right = udp_pair()
    async with (
        ConnectedUDPSocket(left) as receiver,
        ConnectedUDPSocket(right) as sender,
        trio.open_nursery() as nursery,
    ):
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


# ---- What the network and the system refuse


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
            script.fail[name] = [ConnectionRefusedError(errno.ECONNREFUSED, "refused")]
        await sender.send(b"still here")
        assert await receiver.receive() == b"still here"
        assert receiver.statistics.errors == 1
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
        await server.send_to(("127.0.0.1", 0), [b"x"])
        assert server.statistics.datagrams_not_sent == 1


async def test_the_longest_datagram_arrives() -> None:
    left, right = udp_pair()
    async with ConnectedUDPSocket(left) as sender, ConnectedUDPSocket(right) as receiver:
        longest = bytes(sender.max_datagram_size)
        await sender.send_batch([longest, longest])
        assert await receive_all(receiver, 2) == [longest, longest]


# ---- Opening


async def test_resolve_gives_what_the_socket_can_send_to() -> None:
    for host in ("127.0.0.1", None):
        async with (
            await UDPSocket.bind(host=host) as server,
            await UDPSocket.bind(host="127.0.0.1") as peer,
        ):
            address = await server.resolve("127.0.0.1", peer.local_address[1])
            await server.send_to(address, [b"hello"])
            ((source, batch),) = await peer.receive_batch()
            assert batch == [b"hello"]
            assert source == ("127.0.0.1", server.local_address[1])


async def test_a_wildcard_without_ipv6_is_ipv4(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stdlib_socket, "has_dualstack_ipv6", lambda: False)
    async with await UDPSocket.bind() as server:
        assert server.local_address[0] == "0.0.0.0"


@needs_ipv6
async def test_an_ipv6_socket_carries_longer_datagrams() -> None:
    async with await UDPSocket.bind(host="::1") as server:
        assert server.max_datagram_size == 65527
        with pytest.raises(OSError, match=r"."):
            await server.resolve("127.0.0.1", 9)


async def test_a_client_may_choose_its_own_address() -> None:
    async with await UDPSocket.bind(host="127.0.0.1") as free:
        port = free.local_address[1]
    async with await ConnectedUDPSocket.connect(
        "127.0.0.1", 9, local_host="127.0.0.1", local_port=port
    ) as client:
        assert client.local_address == ("127.0.0.1", port)
        assert repr(client) == f"<ConnectedUDPSocket at ('127.0.0.1', {port})>"


class NoNames(trio.abc.HostnameResolver):
    async def getaddrinfo(self, *args: Any) -> Any:
        raise stdlib_socket.gaierror(stdlib_socket.EAI_NONAME, "no such name")

    async def getnameinfo(self, *args: Any) -> Any:
        raise NotImplementedError


async def test_opening_fails_with_a_clear_error() -> None:
    trio.socket.set_custom_hostname_resolver(NoNames())
    async with await UDPSocket.bind(host="127.0.0.1") as server:
        port = server.local_address[1]
        with pytest.raises(OSError, match=rf"cannot bind UDP port {port}: 127\.0\.0\.1: .*in use"):
            await UDPSocket.bind(port, host="127.0.0.1")
        with pytest.raises(OSError, match=r"cannot open a UDP socket to '127\.0\.0\.1' port 9"):
            await ConnectedUDPSocket.connect(
                "127.0.0.1", 9, local_host="127.0.0.1", local_port=port
            )
        with pytest.raises(ValueError, match="port is 0: it must be from 1 to 65535"):
            await server.resolve("127.0.0.1", 0)
    with pytest.raises(stdlib_socket.gaierror, match=r"'nowhere\.invalid': no such name"):
        await UDPSocket.bind(host="nowhere.invalid")
    with pytest.raises(stdlib_socket.gaierror, match=r"'nowhere\.invalid': no such name"):
        await ConnectedUDPSocket.connect("nowhere.invalid", 9)
    with pytest.raises(ValueError, match="port is 65536: it must be from 0 to 65535"):
        await UDPSocket.bind(65536)
    with pytest.raises(ValueError, match="port is 0: it must be from 1 to 65535"):
        await ConnectedUDPSocket.connect("127.0.0.1", 0)
    with pytest.raises(ValueError, match="local_port is -1"):
        await ConnectedUDPSocket.connect("127.0.0.1", 9, local_port=-1)


async def test_what_no_host_can_be_called_is_unknown() -> None:
    """It was a `UnicodeError`, found before anybody is asked."""
    for name in ("a..b", "x" * 64 + ".invalid"):
        with pytest.raises(stdlib_socket.gaierror, match=f"'{name}': not the name of a host"):
            await ConnectedUDPSocket.connect(name, 9)


async def test_a_name_instead_of_an_address_is_refused() -> None:
    async with await UDPSocket.bind(host="127.0.0.1") as server:
        with pytest.raises((stdlib_socket.gaierror, TypeError)):
            await server.send_to(("", 9, 9, 9, 9), [b"x"])


def test_only_datagram_sockets_are_taken() -> None:
    with stdlib_socket.socket() as stream, pytest.raises(ValueError, match="must be SOCK_DGRAM"):
        UDPSocket(stream)


async def test_large_socket_buffers_are_asked_for() -> None:
    with stdlib_socket.socket(stdlib_socket.AF_INET, stdlib_socket.SOCK_DGRAM) as default:
        usual = default.getsockopt(stdlib_socket.SOL_SOCKET, stdlib_socket.SO_RCVBUF)
    left, right = udp_pair()
    right.close()
    async with ConnectedUDPSocket(left):
        granted = left.getsockopt(stdlib_socket.SOL_SOCKET, stdlib_socket.SO_RCVBUF)
        assert granted > usual


async def test_a_system_that_refuses_large_buffers_is_asked_for_less() -> None:
    left, right = udp_pair()
    right.close()
    script = ScriptedSocket(left)
    script.fail["setsockopt"] = [OSError(errno.ENOBUFS, "too large")]
    script.for_ever = True
    async with ConnectedUDPSocket(cast("stdlib_socket.socket", script), offload=False) as transport:
        assert script.calls.count("setsockopt") == 6
        assert not transport.closed


# ---- Runs, without a socket


@pytest.mark.parametrize(
    "sizes,longest,end",
    [
        ([5], 100, 1),
        ([5, 5, 5], 100, 3),
        ([5, 5, 4, 4], 100, 3),  # a shorter one ends a run
        ([5, 5, 6], 100, 2),
        ([5, 5, 0], 100, 2),
        ([0, 0], 100, 1),
        ([5, 5], 4, 1),
        ([5, 5], 0, 1),
        ([1] * 100, 100, 64),
        ([1200] * 100, 65507, 54),
        ([40000, 40000], 65507, 1),
        ([65508, 1], 65507, 1),
    ],
)
def test_runs_are_what_the_kernel_takes_as_one_piece(
    sizes: list[int], longest: int, end: int
) -> None:
    assert _udp_offload.run_end(datagrams(sizes), 0, longest) == end
    assert _udp_offload.run_end([b"x" * 999, *datagrams(sizes)], 1, longest) == end + 1


def test_control_messages_that_are_not_about_runs_are_ignored() -> None:
    assert _udp_offload.split(b"abc", [(0, 8, b"\1\0\0\0")]) == [b"abc"]
    for size in (0, 3, 4):
        value = size.to_bytes(4, sys.byteorder)
        assert _udp_offload.split(b"abc", [(17, 104, value)]) == [b"abc"]
    value = (2).to_bytes(4, sys.byteorder)
    assert _udp_offload.split(b"abc", [(0, 8, b"\1"), (17, 104, value)]) == [b"ab", b"c"]
