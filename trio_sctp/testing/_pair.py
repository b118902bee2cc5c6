"""Two associations joined by a memory link, for tests in one task.

Both ends are set up at the same time and left one after the other, the second one first, each as
`open_association` leaves: what the block raises comes out as it is.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import trio

from .._association import Association
from .._core.config import Config
from .._open_association import AssociationManager, make_association
from .._options import DEFAULT_CONFIG, DEFAULT_SHUTDOWN_TIMEOUT, AssociationOptions
from ._memory_link import memory_link

__all__ = ["open_association_pair"]


@asynccontextmanager
async def open_association_pair(
    *,
    link: tuple[trio.abc.Channel[bytes], trio.abc.Channel[bytes]] | None = None,
    config: Config = DEFAULT_CONFIG,
    server_config: Config | None = None,
    collide: bool = False,
    data_channels: bool = True,
    plain_messages: bool | None = None,
    max_message_size: int | None = None,
    shutdown_timeout: float = DEFAULT_SHUTDOWN_TIMEOUT,
    seed: int = 0,
    **conditions: Any,
) -> AsyncIterator[tuple[Association, Association]]:
    """An established pair of associations: the client, which sent INIT, and the server.

    They talk over ``link``, or over a `memory_link` with the ``conditions`` given: ``delay=0.05`` and
    so on.  ``server_config`` is for a server that differs from the client; with ``collide`` both ends
    send INIT at once, as in WebRTC.  What happens by chance follows from ``seed``.  All else is as in
    `open_association`.

    ::

        async with open_association_pair(delay=0.01) as (client, server):
            async with client.open_channel("chat") as chat:
                ...
    """
    ends = memory_link(seed=seed, **conditions) if link is None else link
    client, server = [
        AssociationManager(
            make_association(
                end,
                AssociationOptions(
                    config=config if is_client or server_config is None else server_config,
                    data_channels=data_channels,
                    plain_messages=plain_messages,
                    max_message_size=max_message_size,
                    shutdown_timeout=shutdown_timeout,
                    rng=random.Random(f"{seed} {is_client}"),
                ),
                client=is_client,
                capture=None,
            ),
            connect=is_client or collide,
        )
        for end, is_client in zip(ends, (True, False), strict=True)
    ]
    async with AsyncExitStack() as stack:
        for manager in (client, server):
            await manager.start()
            stack.push_async_exit(manager)
        yield await client.established(), await server.established()
