"""aiortc as a child process: one peer connection, driven by JSON lines on its standard input.

Takes the role, ``offer`` or ``answer``, as its argument, and perhaps ``trickle``: then descriptions come
without candidates, and those in events of their own.  The first line out is its description, or it
takes ours first; then each line in is a command and each line out an event.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
from typing import Any

from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.sdp import candidate_from_sdp


def say(**event: Any) -> None:
    print(json.dumps(event), flush=True)  # noqa: T201


def describe(message: str | bytes) -> dict[str, Any]:
    raw = message.encode() if isinstance(message, str) else message
    kind = "text" if isinstance(message, str) else "binary"
    return {"kind": kind, "size": len(raw), "sha256": hashlib.sha256(raw).hexdigest()}


class Peer:
    def __init__(self, *, trickles: bool) -> None:
        self.trickles = trickles
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
            case "candidate":
                await self.take_candidate(line["candidate"])
            case "sync":
                say(event="synced")
            case "hang up":
                await self.connection.close()
            case "describe":
                answer = RTCSessionDescription(line["sdp"], line["type"])
                await self.connection.setRemoteDescription(answer)

    async def take_candidate(self, text: str | None) -> None:
        candidate = None if text is None else candidate_from_sdp(text.removeprefix("candidate:"))
        if candidate is not None:
            candidate.sdpMid = "0"
        await self.connection.addIceCandidate(candidate)

    async def give_description(self) -> None:
        description = self.connection.localDescription
        lines = description.sdp.splitlines()
        candidates = [line for line in lines if line.startswith("a=candidate:")]
        if not self.trickles:
            candidates.clear()
        kept = [
            line
            for line in lines
            if line not in candidates and not (self.trickles and line == "a=end-of-candidates")
        ]
        say(event="description", sdp="\r\n".join([*kept, ""]), type=description.type)
        for candidate in candidates:
            say(event="candidate", candidate=candidate.removeprefix("a="))
        if self.trickles:
            say(event="candidate", candidate=None)


async def main(role: str, *manner: str) -> None:
    reader = asyncio.StreamReader(limit=2**24)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    peer = Peer(trickles="trickle" in manner)
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


asyncio.run(main(*sys.argv[1:]))
