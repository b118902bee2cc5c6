"""Throughput, both ways: `flood` sends as fast as the page takes it, `count` says how much came.

Who receives is who measures.  Both need no more than a loop: sending waits while the channel has no
room, and what is not received yet slows the page down.
"""

from __future__ import annotations

import math

import trio

from ... import DataChannel
from ..failure import Failure
from .notes import receive_note, tell

__all__ = ["count", "flood"]

LONGEST = 30.0
"""Seconds that a page may be flooded for."""
LARGEST_MESSAGE = 256 * 1024
"""What browsers take."""
REPORT_INTERVAL = 0.1


async def flood(channel: DataChannel) -> None:
    """Send messages of ``size`` bytes for ``seconds``, as the page's first note asks."""
    wish = await receive_note(channel)
    seconds = _number(wish.get("seconds"), LONGEST)
    message = bytes(int(_number(wish.get("size"), LARGEST_MESSAGE)))
    with trio.move_on_after(seconds):
        while True:
            await channel.send(message)


async def count(channel: DataChannel) -> None:
    """Tell the page, ten times a second, how many ``bytes`` of what it sends have arrived in how
    many ``seconds``.
    """
    began = trio.current_time()
    received = 0

    async def report() -> None:
        while True:
            tell([channel], {"bytes": received, "seconds": trio.current_time() - began})
            await trio.sleep(REPORT_INTERVAL)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(report)
        async for message in channel:
            received += len(message)
        nursery.cancel_scope.cancel()


def _number(value: object, largest: float) -> float:
    if not isinstance(value, int | float) or not math.isfinite(value) or value <= 0:
        raise Failure("the page did not say how much")
    return min(value, largest)
