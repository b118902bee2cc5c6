"""Associations over UDP, one packet in each datagram (RFC 6951)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, Unpack

from ._association import Association
from ._core.config import Config
from ._open_association import manager_of
from ._options import DEFAULT_CONFIG, AssociationKeywords, AssociationOptions, takes
from ._udp_socket import ConnectedUDPSocket

__all__ = ["UDP_ENCAPSULATION_PORT", "open_udp_association"]

UDP_ENCAPSULATION_PORT: Final = 9899
"""The UDP port that is registered for SCTP (RFC 6951 §3.1)."""


@asynccontextmanager
@takes(AssociationOptions)
async def open_udp_association(
    host: str,
    port: int = UDP_ENCAPSULATION_PORT,
    *,
    local_host: str | None = None,
    local_port: int = 0,
    client: bool = True,
    connect: bool | None = None,
    config: Config = DEFAULT_CONFIG,
    **keywords: Unpack[AssociationKeywords],
) -> AsyncIterator[Association]:
    """An association with the peer at ``host``, UDP ``port``, as an async context manager.

    ``local_host`` and ``local_port`` say where the socket is bound; otherwise the system
    chooses.  The SCTP ports are those of ``config``.  All else is as in `open_association`.

    Raises `OSError` if the name is unknown or no socket can be made.  Whether anybody is there
    shows in the handshake.
    """
    options = AssociationOptions(config=config, **keywords)
    socket = await ConnectedUDPSocket.connect(
        host,
        port,
        local_host=local_host,
        local_port=local_port,
        dont_fragment=config.path_mtu_discovery,
    )
    try:
        manager = manager_of(socket, options, client=client, connect=connect)
    except BaseException:
        socket.close()
        raise
    async with manager as association:
        yield association
