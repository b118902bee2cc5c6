"""Associations over UDP, one packet in each datagram (RFC 6951)."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from ._arguments import check_options
from ._association import Association
from ._capture import CaptureTarget
from ._core.config import Config
from ._open_association import DEFAULT_CONFIG, DEFAULT_SHUTDOWN_TIMEOUT, open_association
from ._udp_socket import ConnectedUDPSocket

__all__ = ["UDP_ENCAPSULATION_PORT", "open_udp_association"]

UDP_ENCAPSULATION_PORT: Final = 9899
"""The UDP port that is registered for SCTP (RFC 6951 §3.1)."""


@asynccontextmanager
async def open_udp_association(
    host: str,
    port: int = UDP_ENCAPSULATION_PORT,
    *,
    local_host: str | None = None,
    local_port: int = 0,
    client: bool = True,
    connect: bool | None = None,
    config: Config = DEFAULT_CONFIG,
    data_channels: bool = True,
    plain_messages: bool | None = None,
    max_message_size: int | None = None,
    shutdown_timeout: float = DEFAULT_SHUTDOWN_TIMEOUT,
    capture: CaptureTarget | None = None,
    rng: random.Random | None = None,
) -> AsyncIterator[Association]:
    """An association with the peer at ``host``, UDP ``port``, as an async context manager.

    ``local_host`` and ``local_port`` say where the socket is bound; otherwise the system
    chooses.  The SCTP ports are those of ``config``.  All else is as in `open_association`.

    Raises `OSError` if the name is unknown or no socket can be made.  Whether anybody is there
    shows in the handshake.
    """
    check_options(
        config,
        data_channels=data_channels,
        plain_messages=plain_messages,
        max_message_size=max_message_size,
        shutdown_timeout=shutdown_timeout,
        capture=capture,
        rng=rng,
    )
    socket = await ConnectedUDPSocket.connect(
        host,
        port,
        local_host=local_host,
        local_port=local_port,
        dont_fragment=config.path_mtu_discovery,
    )
    try:
        manager = open_association(
            socket,
            client=client,
            connect=connect,
            config=config,
            data_channels=data_channels,
            plain_messages=plain_messages,
            max_message_size=max_message_size,
            shutdown_timeout=shutdown_timeout,
            capture=capture,
            rng=rng,
        )
    except BaseException:
        socket.close()
        raise
    async with manager as association:
        yield association
