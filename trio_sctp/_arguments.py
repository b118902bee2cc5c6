"""Checks of arguments that many functions of the shell have, before anything is begun.

A server that takes a wrong one would go down much later, and by what a peer does: when the first one
connects, sends or leaves.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from ipaddress import ip_address
from os import PathLike
from random import Random

from ._capture import CaptureTarget, PacketCapture
from ._core.arguments import check_flag, check_integer, check_number
from ._core.config import Config
from ._core.errors import LocalProtocolError

__all__ = [
    "check_capacity",
    "check_handler",
    "check_options",
    "check_type",
    "public_addresses",
]


def check_options(
    config: Config,
    *,
    data_channels: bool,
    plain_messages: bool | None,
    max_message_size: int | None = None,
    shutdown_timeout: float,
    capture: CaptureTarget | None,
    rng: Random | None,
) -> None:
    """What `open_association` and the servers have in common."""
    check_type("config", config, Config)
    if not (capture is None or isinstance(capture, str | PathLike | PacketCapture)):
        raise TypeError(f"capture is {capture!r}: it must be a path or a PacketCapture")
    check_type("rng", rng, Random, optional=True)
    check_flag("data_channels", data_channels)
    if plain_messages is not None:
        check_flag("plain_messages", plain_messages)
    if max_message_size is not None:
        check_integer("max_message_size", max_message_size, 0, 2**64 - 1)
    check_number("shutdown_timeout", shutdown_timeout, 0, math.inf)


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
