"""Data channels with aiortc's SCTP over UDP, in both roles."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
import trio

from tests.support.commands import TIME_LIMIT
from tests.support.live_peers import JsonPeer, free_udp_ports, run_aiortc_peer
from tests.support.usrsctp_association import LOOPBACK, ROLES, Role, ending_of, events_of
from trio_sctp import (
    Association,
    AssociationAborted,
    CloseReason,
    Config,
    open_udp_association,
    serve_udp,
)

CONFIG = Config(rto_initial=0.2, rto_min=0.05)


@asynccontextmanager
async def associated(role: Role) -> AsyncIterator[tuple[Association, JsonPeer]]:
    """An association with data channels and aiortc; our role decides who has the even ids."""
    here, there = free_udp_ports(2)
    with trio.fail_after(TIME_LIMIT):
        if role == "connect":
            async with (
                run_aiortc_peer("server", there, here) as peer,
                open_udp_association(
                    LOOPBACK, there, local_host=LOOPBACK, local_port=here, config=CONFIG
                ) as association,
            ):
                yield association, peer
        else:
            arrived, associations = trio.open_memory_channel[Association](1)

            async def handle(association: Association) -> None:
                await arrived.send(association)
                await association.wait_closed()

            async with arrived, associations, trio.open_nursery() as nursery:
                await nursery.start(partial(serve_udp, handle, here, host=LOOPBACK, config=CONFIG))
                async with run_aiortc_peer("client", there, here) as peer:
                    association = await associations.receive()
                    yield association, peer
                    await association.aclose()
                nursery.cancel_scope.cancel()


async def command(peer: JsonPeer, do: str, **arguments: Any) -> None:
    await peer.command(json.dumps({"do": do, **arguments}))


@pytest.mark.parametrize("role", ROLES)
async def test_a_channel_that_we_open(role: Role) -> None:
    async with associated(role) as (association, peer):
        channel = association.open_channel("chät", protocol="p", ordered=False)
        told = await peer.expect("channel")
        assert (told["id"], told["label"], told["protocol"]) == (channel.id, "chät", "p")
        assert told["id"] % 2 == (role == "listen")
        assert told["ordered"] is False
        for content in ("text", "", "ä" * 3000, b"binary", b"", bytes(range(256)) * 40):
            await channel.send(content)
            message = await peer.expect("message")
            if isinstance(content, str):
                assert message["text"] == content
                await command(peer, "send", id=channel.id, text=content)
            else:
                assert bytes.fromhex(message["hex"]) == content
                await command(peer, "send", id=channel.id, hex=content.hex())
            assert await channel.receive() == content
        await channel.aclose()
        assert (await peer.expect("closed"))["id"] == channel.id
        # Its id becomes free again once aiortc has reset its direction, too.
        reused = False
        while not reused:
            async with association.open_channel("another") as another:
                assert (await peer.expect("channel"))["id"] == another.id
                reused = another.id == channel.id


@pytest.mark.parametrize("role", ROLES)
async def test_a_channel_that_aiortc_opens(role: Role) -> None:
    async with associated(role) as (association, peer):
        await command(peer, "open", label="chat", protocol="p")  # not ä: it counts characters
        told = await peer.expect("open")
        channel = await association.listen().accept()
        assert (channel.id, channel.label, channel.protocol) == (told["id"], "chat", "p")
        assert channel.ordered
        assert channel.reliable
        for content in ("text", "", b"binary", b""):
            await channel.send(content)
            await peer.expect("message")
        await command(peer, "send", id=channel.id, text="last words")
        await command(peer, "close", id=channel.id)
        assert [message async for message in channel] == ["last words"]
        with pytest.raises(trio.BrokenResourceError):
            await channel.send("too late")
        await channel.aclose()
        assert (await peer.expect("closed"))["id"] == channel.id


@pytest.mark.parametrize("role", ROLES)
async def test_large_messages_there_and_back(role: Role) -> None:
    async with associated(role) as (association, peer):
        await command(peer, "echo")
        async with association.open_channel("echo") as channel, trio.open_nursery() as nursery:
            contents = [bytes([i]) * (i * 200) for i in range(100)]

            async def send() -> None:
                for content in contents:
                    await channel.send(content)

            nursery.start_soon(send)
            assert [await channel.receive() for _ in contents] == contents


async def test_aiortc_stops() -> None:
    async with associated("connect") as (association, peer):
        channel = association.open_channel("chat")
        await peer.expect("channel")
        await command(peer, "stop")
        with pytest.raises(AssociationAborted):
            await channel.receive()
    assert (await ending_of(association)).reason is CloseReason.PEER_ABORT


async def test_we_shut_down() -> None:
    async with associated("connect") as (association, peer):
        channel = association.open_channel("chat")
        await channel.send("delivered before the end")
        await association.aclose()
        assert (await peer.expect("message"))["text"] == "delivered before the end"
        assert (await peer.expect("closed"))["id"] == channel.id
    assert getattr((await events_of(association))[-1], "reason", None) is CloseReason.SHUTDOWN
