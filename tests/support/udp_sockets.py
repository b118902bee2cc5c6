"""Pairs of UDP sockets for tests: those of the system, such as get full, and such as fail as told."""

from __future__ import annotations

import socket as stdlib_socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from trio_sctp._udp_socket import ConnectedUDPSocket

__all__ = [
    "ScriptedSocket",
    "clogging_pair",
    "connected_pair",
    "datagrams",
    "needs_ipv6",
    "receive_all",
    "receives_nothing",
    "scripted_pair",
    "udp_pair",
]


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
async def connected_pair(
    *, sender_offload: bool = True, receiver_offload: bool = True
) -> AsyncIterator[tuple[ConnectedUDPSocket, ConnectedUDPSocket]]:
    """Two sockets that are connected with each other."""
    left, right = udp_pair()
    async with (
        ConnectedUDPSocket(left, offload=sender_offload) as sender,
        ConnectedUDPSocket(right, offload=receiver_offload) as receiver,
    ):
        yield sender, receiver


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
