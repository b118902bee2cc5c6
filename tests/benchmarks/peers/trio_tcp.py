"""One end of a transfer over a trio TCP stream; each message has a four-byte length before it.

`trio_tls` is the same through trio's TLS.
"""

from __future__ import annotations

import struct
import sys
import time
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import trio

from tests.benchmarks.workloads import Meter, Workload, say

LENGTH = struct.Struct("!I")


class Messages:
    """Messages on a byte stream; many small ones are read by one system call."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self._buffer = bytearray()

    async def send(self, message: bytes) -> None:
        await self.stream.send_all(LENGTH.pack(len(message)) + message)

    async def receive(self) -> bytes:
        await self._fill(4)
        (size,) = LENGTH.unpack_from(self._buffer)
        await self._fill(4 + size)
        message = bytes(self._buffer[4 : 4 + size])
        del self._buffer[: 4 + size]
        return message

    async def _fill(self, size: int) -> None:
        while len(self._buffer) < size:
            data = await self.stream.receive_some(262144)
            if not data:
                raise trio.EndOfChannel
            self._buffer += data


Wrap: TypeAlias = Callable[[trio.SocketStream], Awaitable[trio.abc.Stream]]
"""Make of a TCP stream what carries the messages."""


async def unwrapped(stream: trio.SocketStream) -> trio.abc.Stream:
    return stream


async def server(workload: Workload, wrap: Wrap = unwrapped) -> None:
    listener = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]
    say("ready", port=listener.socket.getsockname()[1])
    stream = await listener.accept()
    meter = Meter()
    messages = Messages(await wrap(stream))
    while len(message := await messages.receive()) > 1:
        meter.count(len(message))
        if workload.ping:
            await messages.send(message)
    await messages.send(b"!")
    meter.report()


async def client(workload: Workload, port: int, wrap: Wrap = unwrapped) -> None:
    meter = Meter()
    messages = Messages(await wrap(await trio.open_tcp_stream("127.0.0.1", port)))
    meter.is_up()
    payload = bytes(workload.size)
    for start in workload.turns():
        await messages.send(payload)
        if workload.ping:
            await messages.receive()
            meter.round_trips.append(time.perf_counter() - start)
    await messages.send(b"!")
    await messages.receive()
    meter.report()


if __name__ == "__main__":
    from tests.benchmarks.peers import run_peer

    run_peer(sys.argv, lambda job: trio.run(lambda: job), server, client)
