"""A file over a data channel: an ordered, reliable one is a trio stream as well.

    python examples/file_transfer.py [FILE]

Sender and receiver run in this one program, over real UDP.  `trio-sctp send` and `trio-sctp
receive` are the grown-up version.
"""

from __future__ import annotations

import hashlib
import sys
from functools import partial

import trio

import trio_sctp

BLOCK = 256 * 1024


async def receive(association: trio_sctp.Association) -> None:
    """Answer what arrives with its SHA-256, as hexadecimal."""
    channel = await association.listen().accept()
    stream = channel.as_stream()
    left = int(channel.label)  # the sender told the size
    digest = hashlib.sha256()
    while left and (piece := await stream.receive_some()):
        digest.update(piece)
        left -= len(piece)
    await stream.send_all(digest.hexdigest().encode())
    await stream.aclose()


async def send(port: int, path: trio.Path) -> None:
    size = (await path.stat()).st_size
    digest = hashlib.sha256()
    async with (
        trio_sctp.open_udp_association("127.0.0.1", port) as association,
        association.open_channel(str(size)) as channel,
        await path.open("rb") as file,
    ):
        stream = channel.as_stream()
        while block := await file.read(BLOCK):
            digest.update(block)
            await stream.send_all(block)  # waits for the network: memory stays small
        received = b"".join([piece async for piece in stream]).decode()
    assert received == digest.hexdigest()
    print(f"{path.name}: {size} bytes, SHA-256 {received}")


async def main(path: trio.Path) -> None:
    async with trio.open_nursery() as nursery:
        serve = partial(trio_sctp.serve_udp, receive, 0, host="127.0.0.1")
        endpoint = await nursery.start(serve)
        await send(endpoint.port, path)
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main, trio.Path(sys.argv[1] if len(sys.argv) > 1 else __file__))
