"""aiortc as a child process: one peer connection, driven by JSON lines on its standard input.

Takes the role, ``offer`` or ``answer``, as its argument.  The first line out is its description, or it
takes ours first; then each line in is a command and each line out an event.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
from typing import Any

from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription


def say(**event: Any) -> None:
    print(json.dumps(event), flush=True)  # noqa: T201


def describe(message: str | bytes) -> dict[str, Any]:
    raw = message.encode() if isinstance(message, str) else message
    kind = "text" if isinstance(message, str) else "binary"
    return {"kind": kind, "size": len(raw), "sha256": hashlib.sha256(raw).hexdigest()}


class Peer:
    def __init__(self) -> None:
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.channels: dict[str, Any] = {}
        self.connection.on("datachannel", self.on_channel)
        self.connection.on("connectionstatechange", self.on_state)

    def on_state(self) -> None:
        say(event="state", state=self.connection.connectionState)

    def on_channel(self, channel: Any) -> None:
        """One that we opened: it echoes."""
        say(event="channel", label=channel.label, protocol=channel.protocol, id=channel.id)
        self.channels[channel.label] = channel
        channel.on("message", channel.send)
        channel.on("close", lambda: say(event="close", label=channel.label))

    def open(self, label: str, options: dict[str, Any]) -> None:
        channel = self.connection.createDataChannel(label, **options)
        self.channels[label] = channel
        channel.on("open", lambda: say(event="open", label=label, id=channel.id))
        channel.on("message", lambda m: say(event="message", label=label, **describe(m)))
        channel.on("close", lambda: say(event="close", label=label))

    async def command(self, line: dict[str, Any]) -> None:
        match line["do"]:
            case "open":
                self.open(line["label"], line.get("options", {}))
            case "send":
                unit = line["unit"]
                value = unit * line["times"]
                self.channels[line["label"]].send(
                    value if line["kind"] == "text" else value.encode("latin-1")
                )
            case "close":
                self.channels[line["label"]].close()
            case "hang up":
                await self.connection.close()
            case "describe":
                answer = RTCSessionDescription(line["sdp"], line["type"])
                await self.connection.setRemoteDescription(answer)

    async def give_description(self) -> None:
        description = self.connection.localDescription
        say(event="description", sdp=description.sdp, type=description.type)


async def main(role: str) -> None:
    reader = asyncio.StreamReader(limit=2**24)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    peer = Peer()
    if role == "offer":
        peer.open("from peer", {})
        await peer.connection.setLocalDescription(await peer.connection.createOffer())
        await peer.give_description()
    while line := await reader.readline():
        await peer.command(json.loads(line))
        if role == "answer" and peer.connection.signalingState == "have-remote-offer":
            await peer.connection.setLocalDescription(await peer.connection.createAnswer())
            await peer.give_description()
    await peer.connection.close()


asyncio.run(main(sys.argv[1]))
