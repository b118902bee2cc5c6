"""Addresses of UDP and sockets bound to them: what a name means, and what IP adds to a datagram."""

from __future__ import annotations

import socket as stdlib_socket
from typing import Any, TypeAlias

import trio

from ._core.arguments import check_integer
from ._udp_fragmentation import IPV4_OVERHEAD, IPV6_OVERHEAD

__all__ = [
    "Address",
    "check_port",
    "is_dual_stack",
    "open_bound",
    "overhead",
    "resolve",
    "wildcards",
]

Address: TypeAlias = tuple[Any, ...]
"""A numeric socket address as the socket module has it: (host, port) or, for IPv6, (host, port,
flow info, scope id)."""


def overhead(family: int, address: Address) -> int:
    """What IP and UDP add to a datagram to ``address``; a socket of IPv6 may reach IPv4, too."""
    if family == stdlib_socket.AF_INET6 and not str(address[0]).startswith("::ffff:"):
        return IPV6_OVERHEAD
    return IPV4_OVERHEAD


def check_port(name: str, port: int, lowest: int) -> None:
    """`LocalProtocolError`, which is a `ValueError`, for a number that is none of a UDP port."""
    check_integer(name, port, lowest, 65535)


async def resolve(
    host: str | None, port: int, family: int = stdlib_socket.AF_UNSPEC, flags: int = 0
) -> list[tuple[int, Address]]:
    """Families and numeric addresses of a name; of the wildcard address if it is None.

    `socket.gaierror`, which is an `OSError`, with the name where it is unknown.
    """
    try:
        found = await trio.socket.getaddrinfo(
            host,
            port,
            family=family,
            type=stdlib_socket.SOCK_DGRAM,
            flags=flags if host else flags | stdlib_socket.AI_PASSIVE,
        )
    except stdlib_socket.gaierror as error:
        raise stdlib_socket.gaierror(error.errno, f"{host!r}: {error.strerror}") from None
    except UnicodeError:  # RFC 5890 §2.3.2.1: an empty label, or one that is too long
        raise stdlib_socket.gaierror(
            stdlib_socket.EAI_NONAME, f"{host!r}: not the name of a host"
        ) from None
    return [(entry[0], entry[4]) for entry in found]


async def wildcards(port: int) -> list[tuple[int, Address]]:
    """What means "all addresses", in order of preference."""
    await trio.lowlevel.checkpoint()
    choices: list[tuple[int, Address]] = [(stdlib_socket.AF_INET, ("0.0.0.0", port))]
    if stdlib_socket.has_dualstack_ipv6():
        choices.insert(0, (stdlib_socket.AF_INET6, ("::", port, 0, 0)))
    return choices


def is_dual_stack(socket: stdlib_socket.socket) -> bool:
    return socket.family == stdlib_socket.AF_INET6 and not socket.getsockopt(
        stdlib_socket.IPPROTO_IPV6, stdlib_socket.IPV6_V6ONLY
    )


def open_bound(
    family: int, local: Address, *, remote: Address | None = None, dual_stack: bool = False
) -> stdlib_socket.socket:
    """A UDP socket, bound and perhaps connected.  Options of IP are set here."""
    socket = stdlib_socket.socket(family, stdlib_socket.SOCK_DGRAM)
    try:
        if family == stdlib_socket.AF_INET6 and remote is None:
            v6_only = 0 if dual_stack else 1
            socket.setsockopt(stdlib_socket.IPPROTO_IPV6, stdlib_socket.IPV6_V6ONLY, v6_only)
        socket.bind(local)
        if remote is not None:
            socket.connect(remote)
    except BaseException:
        socket.close()
        raise
    return socket
