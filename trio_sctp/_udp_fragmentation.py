"""Whether IP may fragment the datagrams of a UDP socket.

Path MTU discovery learns nothing where a datagram that is too large arrives in pieces, so sockets ask
for datagrams that are sent whole or not at all, whatever ICMP says of the path.  What was cut for a
larger path once has to be sent in pieces, though (RFC 9260 §6.9), for as long as that takes.  Operating
systems differ in the options for this, and some have none.
"""

from __future__ import annotations

import socket as stdlib_socket
import sys
from typing import Final

__all__ = [
    "IPV4_OVERHEAD",
    "IPV6_OVERHEAD",
    "MAX_UDP_PAYLOAD",
    "allow_fragments",
    "forbid_fragments",
]

IPV4_OVERHEAD: Final = 20 + 8
"""What IPv4 and UDP add to a datagram, in bytes."""
IPV6_OVERHEAD: Final = 40 + 8
"""What IPv6 and UDP add to a datagram, in bytes."""
MAX_UDP_PAYLOAD: Final = 0xFFFF - IPV4_OVERHEAD
"""Longest datagram that goes over IPv4 as well as over IPv6, in bytes."""

_Option = tuple[int, int, int, int]  # level, option, value that forbids, value that allows

_LINUX: bool = sys.platform == "linux"
# The values are those of the systems' headers: the socket module has few of them.
_IP_MTU_DISCOVER, _IPV6_MTU_DISCOVER, _IPV6_MTU = 10, 23, 24  # Linux
_PMTUDISC_DONT, _PMTUDISC_PROBE = 0, 3
_IPV6_MIN_MTU = 1280
_IP_DONTFRAG = {"darwin": 28, "win32": 14}.get(sys.platform, 67)
_IPV6_DONTFRAG = 14 if sys.platform == "win32" else 62


def forbid_fragments(socket: stdlib_socket.socket) -> bool:
    """From now on datagrams are sent whole or not at all; False where that cannot be had."""
    return _set(socket, forbid=True)


def allow_fragments(socket: stdlib_socket.socket) -> None:
    """From now on datagrams may be sent in pieces."""
    _set(socket, forbid=False)


def _set(socket: stdlib_socket.socket, *, forbid: bool) -> bool:
    options = _options(socket)
    done = bool(options)
    for level, option, forbidding, allowing in options:
        try:
            socket.setsockopt(level, option, forbidding if forbid else allowing)
        except OSError:
            done = False
    return done


def _options(socket: stdlib_socket.socket) -> list[_Option]:
    if socket.family == stdlib_socket.AF_INET:
        return [_ipv4()]
    if socket.family != stdlib_socket.AF_INET6:
        return []
    options = [_ipv6()]
    if _LINUX:
        # Its own pieces pass wherever IPv6 does, so it need not know by ICMP how large they may be.
        options.append((stdlib_socket.IPPROTO_IPV6, _IPV6_MTU, 0, _IPV6_MIN_MTU))
    if not socket.getsockopt(stdlib_socket.IPPROTO_IPV6, stdlib_socket.IPV6_V6ONLY):
        options.append(_ipv4())
    return options


def _ipv4() -> _Option:
    if _LINUX:
        return stdlib_socket.IPPROTO_IP, _IP_MTU_DISCOVER, _PMTUDISC_PROBE, _PMTUDISC_DONT
    return stdlib_socket.IPPROTO_IP, _IP_DONTFRAG, 1, 0


def _ipv6() -> _Option:
    if _LINUX:
        return stdlib_socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER, _PMTUDISC_PROBE, _PMTUDISC_DONT
    return stdlib_socket.IPPROTO_IPV6, _IPV6_DONTFRAG, 1, 0
