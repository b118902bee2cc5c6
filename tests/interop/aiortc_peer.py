"""An aiortc peer: data channels over SCTP over UDP, told what to do by JSON lines.

`python -m tests.interop.aiortc_peer client|server OWN_PORT PEER_PORT`; a client begins.  It needs
aiortc and nothing of this library.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from aiortc import RTCDataChannel, RTCDataChannelParameters, RTCSctpCapabilities

from tests.support.aiortc_over_udp import open_sctp

MAX_MESSAGE_SIZE = 1 << 20


def say(event: str, **values: Any) -> None:
    print(json.dumps({"event": event, **values}), flush=True)  # noqa: T201


class Peer:
    """One association and its channels."""

    def __init__(self, role: str) -> None:
        self.transport, self.sctp = open_sctp(role)
        self.channels: dict[int, RTCDataChannel] = {}
        self.opened: list[RTCDataChannel] = []
        self.echo = False
        self.sctp.on("datachannel", self.on_channel)

    async def run(self, own_port: int, peer_port: int) -> None:
        await self.transport.bind(peer_port, buffer=1 << 22, local_port=own_port)
        delivery = asyncio.create_task(self.transport.deliver())
        say("listening")
        await self.sctp.start(RTCSctpCapabilities(maxMessageSize=MAX_MESSAGE_SIZE), 5000)
        lines = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
        while line := await lines.readline():
            await self.obey(json.loads(line))
        delivery.cancel()

    async def obey(self, command: dict[str, Any]) -> None:
        what = command.pop("do")
        if what == "open":
            channel = RTCDataChannel(self.sctp, RTCDataChannelParameters(**command))
            self.opened.append(channel)
            self.listen_to(channel)
        elif what == "echo":
            self.echo = True
        elif what == "close":
            self.channels[command["id"]].close()
        elif what == "stop":
            await self.sctp.stop()
            say("stopped", state=self.sctp.state)
        elif "text" in command:
            self.channels[command["id"]].send(command["text"])
        else:
            self.channels[command["id"]].send(bytes.fromhex(command["hex"]))

    def on_channel(self, channel: RTCDataChannel) -> None:
        self.listen_to(channel)
        self.on_open("channel", channel)

    def on_open(self, event: str, channel: RTCDataChannel) -> None:
        assert channel.id is not None
        self.channels[channel.id] = channel
        say(
            event,
            id=channel.id,
            label=channel.label,
            protocol=channel.protocol,
            ordered=channel.ordered,
        )

    def listen_to(self, channel: RTCDataChannel) -> None:
        channel.on("open", lambda: self.on_open("open", channel))
        channel.on("message", lambda message: self.on_message(channel, message))
        channel.on("close", lambda: say("closed", id=channel.id))

    def on_message(self, channel: RTCDataChannel, message: bytes | str) -> None:
        if self.echo:
            channel.send(message)
        elif isinstance(message, str):
            say("message", id=channel.id, text=message)
        else:
            say("message", id=channel.id, hex=message.hex())


if __name__ == "__main__":
    asyncio.run(Peer(sys.argv[1]).run(int(sys.argv[2]), int(sys.argv[3])))
