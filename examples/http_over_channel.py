"""HTTP over data channels: each channel is a stream, so what speaks HTTP over TCP does over this.

    python examples/http_over_channel.py [FOLDER]

One WebRTC connection carries any number of HTTP/1.1 connections, encrypted, through NATs, and none
waits for another: a small page comes at once while a large file is on its way.  Server and client run
in this one program; between two machines offer and answer would go through your signalling.

Needs h11: pip install trio-sctp[web]
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from functools import partial

import h11
import trio

import trio_sctp

BLOCK = 64 * 1024


class HttpConnection:
    """h11 on one side, a stream on the other."""

    def __init__(self, stream: trio.abc.Stream, *, client: bool) -> None:
        self.stream = stream
        self.h11 = h11.Connection(h11.CLIENT if client else h11.SERVER)

    async def send(self, *events: h11.Event) -> None:
        if data := b"".join(self.h11.send(event) or b"" for event in events):
            await self.stream.send_all(data)

    async def next_event(self) -> h11.Event | type[h11.PAUSED]:
        while (event := self.h11.next_event()) is h11.NEED_DATA:
            self.h11.receive_data(bytes(await self.stream.receive_some()))
        return event  # type: ignore[return-value]

    async def body(self) -> AsyncIterator[bytes]:
        while isinstance(event := await self.next_event(), h11.Data):
            yield bytes(event.data)


# -- the server


async def serve_channel(folder: trio.Path, channel: trio_sctp.DataChannel) -> None:
    """Answer one request after the other, until the client closes the channel."""
    async with channel:
        try:
            connection = HttpConnection(channel.as_stream(), client=False)
            while isinstance(request := await connection.next_event(), h11.Request):
                async for _ in connection.body():
                    pass
                await respond(connection, folder, request)
                if connection.h11.our_state is not h11.DONE:
                    break
                connection.h11.start_next_cycle()
        except (
            trio_sctp.LocalProtocolError,  # the channel is not ordered and reliable
            trio.BrokenResourceError,
            h11.ProtocolError,
            OSError,  # no path at all
        ) as error:
            print(f"server: {channel.label!r}: {error}")


async def respond(connection: HttpConnection, folder: trio.Path, request: h11.Request) -> None:
    path = await (folder / request.target.decode().lstrip("/")).resolve()
    is_there = path.is_relative_to(await folder.resolve()) and await path.is_file()
    if request.method != b"GET" or not is_there:
        status = 404 if request.method == b"GET" else 405
        head = h11.Response(status_code=status, headers=[("Content-Length", "0")])
        await connection.send(head, h11.EndOfMessage())
        return
    size = str((await path.stat()).st_size)
    await connection.send(h11.Response(status_code=200, headers=[("Content-Length", size)]))
    async with await path.open("rb") as file:
        while block := await file.read(BLOCK):
            await connection.send(h11.Data(data=block))  # waits for the network
    await connection.send(h11.EndOfMessage())


async def handle(folder: trio.Path, association: trio_sctp.Association) -> None:
    async with trio.open_nursery() as nursery:
        async for channel in association.listen():
            nursery.start_soon(serve_channel, folder, channel)


# -- the client


async def get(association: trio_sctp.Association, *targets: str) -> None:
    """Requests over a channel of their own."""
    async with association.open_channel(f"{targets[0]} …", protocol="http/1.1") as channel:
        connection = HttpConnection(channel.as_stream(), client=True)
        for target in targets:
            request = h11.Request(method="GET", target=target, headers=[("Host", "data-channel")])
            await connection.send(request, h11.EndOfMessage())
            response = await connection.next_event()
            assert isinstance(response, h11.Response)
            size = sum([len(piece) async for piece in connection.body()])
            print(f"{target}: {response.status_code}, {size} bytes")
            connection.h11.start_next_cycle()


async def main(folder: trio.Path) -> None:
    names = sorted([f"/{path.name}" for path in await folder.iterdir() if await path.is_file()])
    async with trio.open_nursery() as nursery:
        server = await nursery.start(partial(trio_sctp.serve_rtc, partial(handle, folder), 0))
        async with trio_sctp.open_rtc_endpoint() as endpoint:
            caller = await endpoint.offer()
            called = await server.answer(caller.local_description)
            caller.accept_answer(called.local_description)
            async with caller as association, trio.open_nursery() as requests:
                for name in names:
                    requests.start_soon(get, association, name)
                requests.start_soon(get, association, "/missing", "/../secret", names[0])
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main, trio.Path(sys.argv[1]) if len(sys.argv) > 1 else trio.Path(__file__).parent)
