"""An echo server for data channels over UDP.

    python examples/echo_server.py [PORT]

Each peer has a task of its own, and each channel of it again.  Try it with echo_client.py.
"""

from __future__ import annotations

import sys
from functools import partial

import trio

import trio_sctp


async def echo(channel: trio_sctp.DataChannel) -> None:
    async with channel:
        async for message in channel:
            await channel.send(message)


async def handle(association: trio_sctp.Association) -> None:
    async with trio.open_nursery() as nursery:
        async for channel in association.listen():
            nursery.start_soon(echo, channel)


async def main(port: int) -> None:
    async with trio.open_nursery() as nursery:
        serve = partial(trio_sctp.serve_udp, handle, port, host="127.0.0.1")
        endpoint = await nursery.start(serve)
        print(f"listening at UDP port {endpoint.port}", flush=True)


if __name__ == "__main__":
    failure = None
    try:
        trio.run(main, int(sys.argv[1]) if len(sys.argv) > 1 else 9899)
    except* KeyboardInterrupt:
        pass
    except* OSError as group:  # the port is taken, say
        (failure,) = group.exceptions
    sys.exit(str(failure) if failure else 0)
