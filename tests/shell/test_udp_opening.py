"""Opening UDP sockets: names, addresses and ports, and what is asked of the system for them."""

from __future__ import annotations

import errno
import socket as stdlib_socket
from typing import Any, cast

import pytest
import trio

from tests.support.udp_sockets import (
    ScriptedSocket,
    needs_ipv6,
    udp_pair,
)
from trio_sctp._udp_socket import ConnectedUDPSocket, UDPSocket


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
