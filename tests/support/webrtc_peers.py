"""Other WebRTC stacks as child processes, and what is expected of every one of them.

aiortc runs under an interpreter that has it, node-datachannel (libdatachannel) and werift under Node
with the modules of the folder that TRIO_SCTP_NODE_MODULES names.  All speak the same JSON lines.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import trio

from tests.support.live_peers import JsonPeer, _running, missing_peer, python_with_aiortc
from trio_sctp import Association, DataChannel, LocalProtocolError, RtcEndpoint, RtcPeer

INTEROP = Path(__file__).parent.parent / "interop"
Stack = Literal["aiortc", "libdatachannel", "werift"]
Role = Literal["offer", "answer"]
MODULES = {"libdatachannel": "node-datachannel", "werift": "werift"}


def node_command(stack: Stack, role: Role) -> tuple[Path, list[str]]:
    """How to start a peer under Node; skips the test where that cannot be."""
    node = shutil.which("node")
    if node is None:
        missing_peer("there is no node")
    modules = os.environ.get("TRIO_SCTP_NODE_MODULES", "")
    if not (Path(modules) / "node_modules" / MODULES[stack]).is_dir():
        missing_peer(
            f"TRIO_SCTP_NODE_MODULES names no folder with {MODULES[stack]} installed by npm"
        )
    return Path(node), [str(INTEROP / "node_webrtc_peer.js"), stack, role]


class WebrtcPeer(JsonPeer):
    """A child with a peer connection."""

    async def do(self, what: str, **details: Any) -> None:
        await self.command(json.dumps({"do": what, **details}))

    async def description(self) -> str:
        found = await self.expect("description")
        return str(found["sdp"])

    async def expect_label(self, event: str, label: str) -> dict[str, Any]:
        while (found := await self.expect(event))["label"] != label:
            pass
        return found


@asynccontextmanager
async def run_webrtc_peer(
    stack: Stack, role: Role, *, trickle: bool = False
) -> AsyncIterator[WebrtcPeer]:
    if stack == "aiortc":
        program = Path(python_with_aiortc() or sys.executable)
        options = [str(INTEROP / "aiortc_webrtc_peer.py"), role]
    else:
        program, options = node_command(stack, role)
    if trickle:
        options.append("trickle")
    async with _running(WebrtcPeer, program, options) as peer:
        yield peer


async def introduce(endpoint: RtcEndpoint, peer: WebrtcPeer, role: Role) -> RtcPeer:
    """Signal: ``role`` is the other stack's."""
    if role == "offer":
        ours = await endpoint.answer(await peer.description())
        await peer.do("describe", sdp=ours.local_description, type="answer")
    else:
        ours = await endpoint.offer()
        await peer.do("describe", sdp=ours.local_description, type="offer")
        ours.accept_answer(await peer.description())
    return ours


def described(value: bytes | str) -> tuple[str, int, str]:
    raw = value.encode() if isinstance(value, str) else value
    kind = "text" if isinstance(value, str) else "binary"
    return kind, len(raw), hashlib.sha256(raw).hexdigest()


TEXTS = ("x", "grüß € 𝄞", "0123456789abcdef" * 4096)
BINARIES = (b"\x00", bytes(range(256)) * 16, bytes(range(256)) * 256)


async def check_echo(channel: DataChannel) -> None:
    """The other end sends back what it gets.

    Of what is sent only once no more than fits into a packet: what is longer is lost with one SACK
    that comes late.
    """
    for value in (*TEXTS, *BINARIES):
        if channel.max_retransmits == 0 and len(value) > 500:
            continue
        await channel.send(value)
        assert await channel.receive() == value


async def has_partial_reliability(association: Association) -> bool:
    """Whether both ends can abandon messages (RFC 3758)."""
    try:
        await association.open_channel("trial", max_retransmits=0).aclose()
    except LocalProtocolError:
        return False
    return True


async def check_our_channels(association: Association, peer: WebrtcPeer) -> None:
    """Channels that we open, which the peer echoes and sees closing."""
    partial = await has_partial_reliability(association)
    options: list[dict[str, Any]] = [
        {},
        {"protocol": "chat ☃"},
        {"ordered": False},
        {"max_retransmits": 0},
        {"ordered": False, "lifetime": 300.0},
    ]
    for number, choice in enumerate(options):
        if not choice.keys().isdisjoint(("max_retransmits", "lifetime")) and not partial:
            continue
        label = f"ours {number}"
        async with association.open_channel(label, **choice) as channel:
            found = await peer.expect_label("channel", label)
            assert found["protocol"] == choice.get("protocol", "")
            assert found["id"] == channel.id
            await check_echo(channel)
        await peer.expect_label("close", label)


async def check_their_channels(association: Association, peer: WebrtcPeer) -> None:
    """Channels that the peer opens, and messages of every kind from it."""
    listener = association.listen()
    partial = await has_partial_reliability(association)
    choices: list[dict[str, Any]] = [{}, {"ordered": False}, {"maxRetransmits": 0}]
    for number, options in enumerate(choices):
        if "maxRetransmits" in options and not partial:
            continue
        label = f"theirs {number}"
        await peer.do("open", label=label, options=options)
        while (channel := await listener.accept()).label != label:
            pass
        assert channel.ordered == options.get("ordered", True)
        assert channel.max_retransmits == options.get("maxRetransmits")
        await peer.expect_label("open", label)
        for kind, unit, times in (
            ("text", "ü", 3),
            ("binary", "\x00\xff", 1),
            ("text", "long", 15_000),
            ("binary", "large", 13_000),
        ):
            if "maxRetransmits" in options and times > 100:
                continue
            await peer.do("send", label=label, kind=kind, unit=unit, times=times)
            expected = unit * times if kind == "text" else unit.encode("latin-1") * times
            assert await channel.receive() == expected
            await channel.send(expected)
            echoed = await peer.expect_label("message", label)
            assert (echoed["kind"], echoed["size"], echoed["sha256"]) == described(expected)
        await peer.do("close", label=label)
        try:
            await channel.receive()
        except trio.EndOfChannel:
            await channel.aclose()
        else:
            raise AssertionError("the peer has closed it")


async def check_path_mtu(association: Association) -> None:
    """Packets become as large as Ethernet carries, whatever the stack at the other end."""
    while association.statistics().path_mtu_state != "SEARCH_COMPLETE":
        await trio.sleep(0.02)
    found = association.statistics()
    assert (found.path_mtu, found.path_mtu_probes_lost) == (1432, 0)


async def check_bulk(association: Association, size: int) -> float:
    """MB/s of ``size`` bytes that go there and come back."""
    block = bytes(range(256)) * 64
    count = size // len(block)
    async with association.open_channel("bulk") as channel:

        async def send() -> None:
            for _ in range(count):
                await channel.send(block)

        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            for _ in range(count):
                assert await channel.receive() == block
        return count * len(block) / 1e6 / (trio.current_time() - began)
