"""Stream reconfiguration (RFC 6525) as the program sees it: verbs, events, and messages that go on."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from trio_sctp import (
    AssociationReset,
    Config,
    IncomingStreamsReset,
    LocalProtocolError,
    Message,
    StreamsChanged,
)
from trio_sctp.testing import open_association_pair

QUIET = Config(path_mtu_discovery=False)  # no events of its own
CONFIG = QUIET.replace(
    outbound_streams=4, inbound_streams=4, max_outbound_streams=10, max_inbound_streams=10
)


async def test_streams_are_added_in_both_directions(autojump_clock: MockClock) -> None:
    async with open_association_pair(delay=0.01, config=CONFIG, data_channels=False) as (a, z):
        a.add_outgoing_streams(2)
        a.request_incoming_streams(3)
        assert await a.events.receive() == StreamsChanged(6, 4, succeeded=True)
        assert await a.events.receive() == StreamsChanged(6, 7, succeeded=True)
        assert (a.outbound_streams, a.inbound_streams) == (6, 7)
        assert await z.events.receive() == StreamsChanged(4, 6, succeeded=True)
        assert await z.events.receive() == StreamsChanged(7, 6, succeeded=True)
        assert (z.outbound_streams, z.inbound_streams) == (7, 6)
        await a.messages.send(Message(5, 0, b"on a new stream"))
        assert (await z.messages.receive()).payload == b"on a new stream"
        with pytest.raises(LocalProtocolError, match="max_outbound_streams"):
            a.add_outgoing_streams(5)


async def test_all_numbers_begin_anew_under_a_channel(autojump_clock: MockClock) -> None:
    async with (
        open_association_pair(delay=0.01, config=QUIET) as (a, z),
        a.open_channel("chat") as chat,
    ):
        await chat.send("before")
        a.reset_association()
        await chat.send("after")
        other = await z.listen().accept()
        assert [await other.receive(), await other.receive()] == ["before", "after"]
        for end in (a, z):
            event = await end.events.receive()
            assert isinstance(event, AssociationReset)
            assert event.succeeded
        with pytest.raises(LocalProtocolError, match="30 s"):
            a.reset_association()


async def test_peer_is_asked_to_reset_its_streams(autojump_clock: MockClock) -> None:
    async with (
        open_association_pair(delay=0.01, config=QUIET) as (a, _),
        a.open_channel("chat") as chat,
    ):
        a.request_incoming_reset([3])
        assert await a.events.receive() == IncomingStreamsReset((3,))
        with pytest.raises(LocalProtocolError, match="a data channel is using it"):
            a.request_incoming_reset([chat.id])


async def test_channels_find_room_on_new_streams(autojump_clock: MockClock) -> None:
    config = CONFIG.replace(outbound_streams=1, inbound_streams=1)
    async with open_association_pair(delay=0.01, config=config) as (a, z):
        first = a.open_channel("0")
        with pytest.raises(LocalProtocolError, match="no id below 1"):
            a.open_channel("2")
        a.add_outgoing_streams(2)
        a.request_incoming_streams(2)
        while a.inbound_streams < 3:
            await a.events.receive()
        async with first, a.open_channel("2") as second:
            assert second.id == 2
            await second.send("there is room")
            listener = z.listen()
            accepted = [await listener.accept(), await listener.accept()]
            channels = {channel.id: channel for channel in accepted}
            assert await channels[2].receive() == "there is room"


async def test_an_association_that_was_closed_is_not_reconfigured(
    autojump_clock: MockClock,
) -> None:
    async with open_association_pair() as (a, _):
        await a.aclose()
        for verb in (
            a.reset_association,
            lambda: a.add_outgoing_streams(1),
            lambda: a.request_incoming_streams(1),
            lambda: a.request_incoming_reset([1]),
        ):
            with pytest.raises(trio.ClosedResourceError):
                verb()
