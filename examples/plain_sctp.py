"""SCTP without data channels: messages with stream, PPID and order, for peers that are no browsers.

    python examples/plain_sctp.py

Client and server run in this one program, over real UDP (RFC 6951).
"""

from __future__ import annotations

from functools import partial

import trio

import trio_sctp
from trio_sctp import Message

LOG, QUERY, REPLY = 1, 2, 3  # payload protocol identifiers: what a message is


async def serve(association: trio_sctp.Association) -> None:
    async for message in association.messages:
        print(f"stream {message.stream_id}, PPID {message.ppid}: {message.payload.decode()}")
        if message.ppid == QUERY:
            await association.messages.send(Message(message.stream_id, REPLY, b"very well"))


async def main() -> None:
    async with trio.open_nursery() as nursery:
        start = partial(trio_sctp.serve_udp, serve, 0, host="127.0.0.1", data_channels=False)
        endpoint = await nursery.start(start)
        async with trio_sctp.open_udp_association(
            "127.0.0.1", endpoint.port, data_channels=False
        ) as association:
            send = association.messages.send
            await send(Message(stream_id=7, ppid=LOG, payload=b"first"))
            await send(Message(stream_id=7, ppid=LOG, payload=b"second, always after the first"))
            await send(Message(stream_id=8, ppid=LOG, payload=b"at any time", unordered=True))
            await send(Message(stream_id=7, ppid=QUERY, payload=b"how are you?"))
            print((await association.messages.receive()).payload.decode())
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main)
