"""What becomes of a page's connection: each channel it opens gets what its protocol name asks for.

A service is an async function of a channel.  It returns, or raises what the channel raises, when
the page is done with it; leaving ``async with channel`` closes it either way.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TypeAlias

import trio

from ... import Association, DataChannel
from ..failure import Failure
from ..files import PROTOCOL as FILE_PROTOCOL
from ..running import note, printable, socket_name
from .chat import Room
from .notes import tell
from .shared_files import SharedFiles
from .throughput import count, flood

__all__ = ["Visits"]

Service: TypeAlias = Callable[[DataChannel], Awaitable[object]]

FIGURES_INTERVAL = 1.0


class Visits:
    """Serves all pages; what they share is here."""

    def __init__(self, files: SharedFiles) -> None:
        self._services: Mapping[str, Service] = {
            "echo": echo,
            "chat": Room().join,
            "flood": flood,
            "count": count,
            "files": files.watch,
            "fetch": files.give,
            FILE_PROTOCOL: files.take,
        }

    async def serve(self, association: Association) -> None:
        """Serve one page until it goes."""
        services: dict[str, Service] = {
            **self._services,
            "figures": partial(tell_figures, association),
        }
        peer = socket_name(association.peer_address)
        note(f"{peer} came")
        try:
            async with trio.open_nursery() as nursery:
                async for channel in association.listen():
                    nursery.start_soon(_serve_channel, services, channel, peer)
        finally:
            note(f"{peer} left")


async def _serve_channel(services: Mapping[str, Service], channel: DataChannel, peer: str) -> None:
    try:
        async with channel:
            if service := services.get(channel.protocol):
                await service(channel)
    except (trio.BrokenResourceError, trio.EndOfChannel):
        pass  # the page has closed the channel in the middle, or is gone
    except (Failure, OSError) as error:
        note(f"{peer}: {channel.protocol}: {printable(str(error))}")


async def echo(channel: DataChannel) -> None:
    """Send every message back, with the channel's own order and reliability."""
    async for message in channel:
        await channel.send(message)


async def tell_figures(association: Association, channel: DataChannel) -> None:
    """Tell the page once a second how the connection looks from this end."""
    while True:
        now = association.statistics()
        figures = {
            "address": socket_name(association.peer_address),
            "srtt": now.srtt,
            "cwnd": now.cwnd,
            "path_mtu": now.path_mtu,
            "packets": now.packets_sent + now.packets_received,
            "retransmitted": now.retransmitted_chunks,
        }
        tell([channel], figures)
        with trio.move_on_after(FIGURES_INTERVAL):
            await channel.receive()
