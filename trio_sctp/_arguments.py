"""Checks of arguments of the shell's functions, before anything is begun; see `_options` for more."""

from __future__ import annotations

import math
from collections.abc import Iterable
from ipaddress import ip_address

from ._core.arguments import check_integer
from ._core.errors import LocalProtocolError

__all__ = [
    "check_capacity",
    "check_handler",
    "check_type",
    "public_addresses",
]


def check_type(name: str, value: object, kind: type, *, optional: bool = False) -> None:
    """`TypeError` for anything else; None will do for what is optional."""
    if not (isinstance(value, kind) or (optional and value is None)):
        raise TypeError(f"{name} is {value!r}: it must be a {kind.__name__}")


def check_handler(handler: object, *, optional: bool = False) -> None:
    """`TypeError` for what cannot be called when a peer comes."""
    if not (callable(handler) or (optional and handler is None)):
        raise TypeError(f"handler is {handler!r}: it must be an async function of an association")


def check_capacity(name: str, value: int) -> None:
    """How many there may be of something: at least one."""
    check_integer(name, value, 1, math.inf)


def public_addresses(public_hosts: str | Iterable[str]) -> tuple[str, ...]:
    """The addresses that are to be announced; a single one may stand for itself.

    `LocalProtocolError` for what is none: peers would take it for a name, or miss it.
    """
    hosts = (public_hosts,) if isinstance(public_hosts, str) else tuple(public_hosts)
    for host in hosts:
        try:
            address = ip_address(host)
        except ValueError:
            raise LocalProtocolError(
                f"public_hosts has {host!r}: it must be an IP address"
            ) from None
        if getattr(address, "scope_id", None) is not None:
            raise LocalProtocolError(f"public_hosts has {host!r}: it must be without a zone")
    return hosts
