"""What servers of ours do with an association in tests."""

from __future__ import annotations

import trio

from trio_sctp import Association, DataChannel

__all__ = ["echo", "echo_channel", "wait_closed"]


async def echo_channel(channel: DataChannel) -> None:
    async for message in channel:
        await channel.send(message)


async def echo(association: Association) -> None:
    await trio.serve_listeners(echo_channel, [association.listen()])


async def wait_closed(association: Association) -> None:
    await association.wait_closed()
