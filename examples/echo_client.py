"""Says hello to an echo server.

    python examples/echo_client.py [PORT]

Two channels of one association: what happens on one does not hold up the other.
"""

from __future__ import annotations

import sys

import trio

import trio_sctp


async def say(association: trio_sctp.Association, label: str, text: str) -> None:
    async with association.open_channel(label) as channel:
        await channel.send(text)
        print(f"{label}: {await channel.receive()!r}")


async def main(port: int) -> None:
    async with (
        trio_sctp.open_udp_association("127.0.0.1", port) as association,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(say, association, "greeting", "hello")
        nursery.start_soon(say, association, "farewell", "good bye")


if __name__ == "__main__":
    trio.run(main, int(sys.argv[1]) if len(sys.argv) > 1 else 9899)
