"""An association that sends on a data channel, or plain messages, over a link that can be cut."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import trio

from trio_sctp import Association, Config, DataChannel, Message, MessageChannel
from trio_sctp.testing import LinkEnd, memory_link, open_association_pair

__all__ = ["PROMPT", "Ends", "ends"]

PROMPT = Config(sack_delay=0.0, path_mtu_discovery=False)


class Ends:
    """An association with something to send on, and the link below it."""

    def __init__(
        self, client: Association, server: Association, link: tuple[LinkEnd, LinkEnd], plain: bool
    ) -> None:
        self.client, self.server = client, server
        self.near, self.far = link
        self.plain = plain
        self.other: DataChannel | None = None
        self.channel: DataChannel | MessageChannel = (
            client.messages if plain else client.open_channel()
        )

    async def send(self, payload: bytes, **keywords: Any) -> None:
        if isinstance(self.channel, MessageChannel):
            await self.channel.send(Message(0, 0, payload), **keywords)
        else:
            await self.channel.send(payload, **keywords)

    def send_nowait(self, payload: bytes, **keywords: Any) -> None:
        if isinstance(self.channel, MessageChannel):
            self.channel.send_nowait(Message(0, 0, payload), **keywords)
        else:
            self.channel.send_nowait(payload, **keywords)

    async def receive(self) -> bytes:
        """The next message at the other end."""
        if self.plain:
            return (await self.server.messages.receive()).payload
        if self.other is None:
            self.other = await self.server.listen().accept()
        message = await self.other.receive()
        assert isinstance(message, bytes)
        return message

    def cut(self) -> None:
        self.near.outgoing.conditions.loss = self.far.outgoing.conditions.loss = 1.0

    async def fill(self, **keywords: Any) -> None:
        """The link is cut, and more waits for it than the water marks allow."""
        self.cut()
        self.channel.set_water_marks(high=10_000)
        await self.send(bytes(50_000), **keywords)

    def mend(self) -> None:
        self.near.outgoing.conditions.loss = self.far.outgoing.conditions.loss = 0.0


@asynccontextmanager
async def ends(plain: bool, **options: Any) -> AsyncIterator[Ends]:
    link = memory_link(delay=0.01, silent_close=True)
    options.setdefault("config", PROMPT)
    async with open_association_pair(link=link, data_channels=not plain, **options) as pair:
        both = Ends(*pair, link, plain)
        await trio.sleep(1)  # whatever opening a channel takes is over
        yield both
