"""A chat room: many peers on one UDP port, and one task for each thing that goes on.

    python examples/many_peers.py [PEERS]

The room and its visitors run in this one program, over real UDP.  Nothing outlives the nursery it
was started in: when the last visitor has left, the server is cancelled, and that is all.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from functools import partial

import trio

import trio_sctp


class Room:
    """Tells everybody everything, newcomers what was said before."""

    def __init__(self) -> None:
        self.members: set[trio_sctp.DataChannel] = set()
        self.said: list[str] = []

    async def welcome(self, association: trio_sctp.Association) -> None:
        """Serve one peer; returning shuts its association down, a failure ends it alone."""
        channel = await association.listen().accept()
        self.members.add(channel)
        try:
            for text in tuple(self.said):
                await channel.send(text)
            async for message in channel:
                self.tell_all(f"{channel.label}: {message!s}")
        finally:
            self.members.remove(channel)

    def tell_all(self, text: str) -> None:
        """Nobody waits for a member that does not listen: it misses what it has no room for."""
        self.said.append(text)
        for member in self.members:
            with suppress(trio.WouldBlock, trio.BrokenResourceError):
                member.send_nowait(text)


async def visit(port: int, name: str, everybody: set[str]) -> None:
    """Come in, say hello, stay until everybody has said hello."""
    heard: set[str] = set()
    async with (
        trio_sctp.open_udp_association("127.0.0.1", port) as association,
        association.open_channel(name) as channel,
    ):
        await channel.send("hello")
        while heard < everybody:
            heard.add(str(await channel.receive()).split(":")[0])


async def main(peers: int) -> None:
    async with trio.open_nursery() as server:
        serve = partial(trio_sctp.serve_udp, Room().welcome, 0, host="127.0.0.1")
        endpoint = await server.start(serve)
        async with trio.open_nursery() as visitors:
            names = {f"visitor {number}" for number in range(peers)}
            for name in names:
                visitors.start_soon(visit, endpoint.port, name, names)
        packets = endpoint.statistics().packets_received
        print(f"{peers} visitors heard each other, in {packets} packets to the server")
        server.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main, int(sys.argv[1]) if len(sys.argv) > 1 else 20)
