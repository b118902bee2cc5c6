"""WebRTC endpoints of ours that talk to each other over loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from trio_sctp import Association, RtcEndpoint, RtcPeer, RtcServer, open_rtc_endpoint

HOST = "127.0.0.1"


async def introduce(
    caller: RtcEndpoint, called: RtcEndpoint | RtcServer
) -> tuple[RtcPeer, RtcPeer]:
    """Signal between two endpoints: what each of them then has."""
    offering = await caller.offer()
    answering = await called.answer(offering.local_description)
    offering.accept_answer(answering.local_description)
    return offering, answering


@asynccontextmanager
async def two_endpoints(
    *, lite: bool = False, **options: Any
) -> AsyncIterator[tuple[RtcEndpoint, RtcEndpoint]]:
    """A full one, and one that may be lite."""
    async with (
        open_rtc_endpoint(host=HOST, **options) as full,
        open_rtc_endpoint(host=HOST, lite=lite, **options) as other,
    ):
        yield full, other


async def enter(
    peer: RtcPeer,
    use: Callable[[Association], Awaitable[object]],
    errors: list[Exception] | None = None,
) -> None:
    """What a task per peer does; errors are noted, or raised if there is no list for them."""
    try:
        async with peer as association:
            await use(association)
    except Exception as error:
        if errors is None:
            raise
        errors.append(error)


async def ask(association: Association, text: str = "hello") -> None:
    async with association.open_channel() as channel:
        await channel.send(text)
        assert await channel.receive() == text
