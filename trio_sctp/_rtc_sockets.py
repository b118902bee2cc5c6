"""The sockets of a WebRTC endpoint: one for each address of this machine, all with one port number.

ICE has to know on which of our addresses a datagram arrived and to choose from which one to send.  A
socket of its own for each address tells, on every system.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address

import ifaddr

from ._udp_address import Address as SocketAddress, check_port, resolve
from ._udp_socket import UDPSocket
from ._webrtc.ice_common import IceDatagram
from ._webrtc.stun import Address

__all__ = ["RtcSockets", "local_hosts", "resolve_servers", "to_socket_address"]

_PORT_TRIES = 10
_WILDCARDS = {"0.0.0.0": (4,), "::": (4, 6)}


def local_hosts(versions: Iterable[int] = (4, 6)) -> list[str]:
    """The addresses of this machine, IPv4 first; that of the loopback only if there is no other.

    RFC 8445 §5.1.1.1 leaves out loopback addresses; IPv6 ones of a link cannot be reached without
    naming the interface.
    """
    found = [
        ip_address(ip.ip if isinstance(ip.ip, str) else ip.ip[0])
        for adapter in ifaddr.get_adapters()
        for ip in adapter.ips
    ]
    usable = sorted(
        {ip for ip in found if ip.version in versions and not ip.is_link_local},
        key=lambda ip: (ip.version, found.index(ip)),
    )
    outside = [str(ip) for ip in usable if not (ip.is_loopback or ip.is_unspecified)]
    return outside or [str(ip) for ip in usable if ip.is_loopback]


def to_socket_address(address: Address) -> SocketAddress:
    return (*address, 0, 0) if ":" in address[0] else address


async def resolve_servers(servers: str | Iterable[str | tuple[str, int]]) -> list[Address]:
    """STUN servers as ``stun:host:port``, ``stun:host``, or (host, port): all their addresses.

    Raises `OSError` for an unknown name and `ValueError` for what is no server.
    """
    found: dict[Address, None] = {}
    for server in [servers] if isinstance(servers, str) else servers:
        host, port = _parse_server(server) if isinstance(server, str) else server
        check_port(f"the port of STUN server {host}", port, 1)
        for _, address in await resolve(host, port):
            found[str(address[0]), int(address[1])] = None
    return list(found)


def _parse_server(text: str) -> tuple[str, int]:
    """RFC 7064."""
    scheme, colon, rest = text.partition(":")
    if scheme != "stun" or not colon:
        raise ValueError(f"not a STUN server: {text!r}")
    host, colon, port = rest.rpartition(":")
    if not colon or (host.count(":") and not host.endswith("]")):
        host, port = rest, "3478"
    if not host or not port.isdigit():
        raise ValueError(f"not a STUN server: {text!r}")
    return host.strip("[]"), int(port)


class RtcSockets:
    """The sockets by the address each is bound to, the preferred one first."""

    def __init__(self, sockets: list[UDPSocket]) -> None:
        self.by_address: dict[Address, UDPSocket] = {s.local_address[:2]: s for s in sockets}

    @classmethod
    async def bind(
        cls, port: int, hosts: str | Iterable[str] | None, *, dont_fragment: bool = True
    ) -> RtcSockets:
        """Bind all ``hosts`` to one port; None: the addresses of all interfaces."""
        names = [hosts] if isinstance(hosts, str) else list(hosts or ["::"])
        addresses: dict[str, None] = {}
        for name in names:
            addresses |= dict.fromkeys(
                local_hosts(_WILDCARDS[name]) if name in _WILDCARDS else [name]
            )
        if not addresses:
            raise OSError("this machine has no IP address")
        for tries_left in reversed(range(_PORT_TRIES)):
            try:
                return cls(await _bind_all(port, addresses, dont_fragment))
            except OSError:
                if port or not tries_left:
                    raise
        raise AssertionError  # pragma: no cover

    @property
    def addresses(self) -> list[Address]:
        return list(self.by_address)

    @property
    def port(self) -> int:
        return self.addresses[0][1]

    @property
    def never_fragment(self) -> bool:
        """Whether datagrams go out whole or not at all, whichever socket they leave by."""
        return all(socket.never_fragments for socket in self.by_address.values())

    async def send(self, datagrams: Iterable[IceDatagram]) -> None:
        """Send single datagrams; one from an address that is not ours is dropped."""
        for data, local, remote in datagrams:
            if (socket := self.by_address.get(local)) is not None:
                await socket.send_to(to_socket_address(remote), (data,))

    def close(self) -> None:
        for socket in self.by_address.values():
            socket.close()


async def _bind_all(port: int, hosts: Iterable[str], dont_fragment: bool) -> list[UDPSocket]:
    sockets: list[UDPSocket] = []
    try:
        for host in hosts:
            sockets.append(await UDPSocket.bind(port, host=host, dont_fragment=dont_fragment))
            port = sockets[0].local_address[1]
    except BaseException:
        for socket in sockets:
            socket.close()
        raise
    return sockets
