"""Channels that the peer opens arrive at a trio listener."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from trio_sctp import Association, Config, DataChannel, Message, open_association
from trio_sctp._wire.dcep import PPID_DCEP, PPID_STRING, DataChannelOpen
from trio_sctp.testing import memory_link, open_association_pair


async def test_channels_wait_until_they_are_accepted(autojump_clock: MockClock) -> None:
    async with open_association_pair() as (client, server):
        for number in range(5):
            await client.open_channel(str(number)).send("early")
        await trio.sleep(1)
        listener = server.listen()
        channels = [await listener.accept() for _ in range(5)]
        assert [channel.label for channel in channels] == ["0", "1", "2", "3", "4"]
        assert [await channel.receive() for channel in channels] == ["early"] * 5


async def test_trio_serves_them(autojump_clock: MockClock) -> None:
    async def echo(channel: DataChannel) -> None:
        async for message in channel:
            await channel.send(message)

    async with open_association_pair() as (client, server), trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_listeners, echo, [server.listen()])
        assert len(listeners) == 1
        async with client.open_channel() as channel:
            await channel.send("hello")
            assert await channel.receive() == "hello"
        nursery.cancel_scope.cancel()


async def test_closing_a_listener_wakes_it_and_nobody_else(autojump_clock: MockClock) -> None:
    async with open_association_pair() as (client, server):
        listener, other = server.listen(), server.listen()
        async with trio.open_nursery() as nursery:

            async def expect_closed() -> None:
                with pytest.raises(trio.ClosedResourceError):
                    await listener.accept()

            nursery.start_soon(expect_closed)
            await wait_all_tasks_blocked()
            await listener.aclose()
        await listener.aclose()
        client.open_channel("x")
        assert (await other.accept()).label == "x"


async def test_iterating_ends_with_the_association(autojump_clock: MockClock) -> None:
    async with open_association_pair() as (client, server):
        for _ in range(3):
            client.open_channel()
        await client.aclose()
        assert len([channel async for channel in server.listen()]) == 3


async def test_a_cancelled_accept_loses_no_channel(autojump_clock: MockClock) -> None:
    async with open_association_pair() as (client, server):
        listener = server.listen()
        with trio.move_on_after(1):
            await listener.accept()
        client.open_channel("x")
        await trio.sleep(1)
        with trio.CancelScope() as scope:
            scope.cancel()
            await listener.accept()
        assert (await listener.accept()).label == "x"


async def test_messages_of_a_channel_for_which_there_is_no_place_fill_no_window(
    autojump_clock: MockClock,
) -> None:
    """They may come before what opens it, and have become the channel's when it is turned away."""
    near, far = memory_link()
    peers: list[Association] = []

    async def accept_nothing() -> None:
        config = Config(max_channels=1, a_rwnd=20_000)
        async with open_association(far, client=False, config=config) as association:
            peers.append(association)
            await association.wait_closed()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(accept_nothing)
        async with open_association(near, client=True, data_channels=False) as bare:
            for stream_id in range(0, 100, 2):
                await bare.messages.send(Message(stream_id, PPID_STRING, b"x" * 1000))
                await bare.messages.send(Message(stream_id, PPID_DCEP, DataChannelOpen().encode()))
                bare.reset_streams([stream_id])
                await trio.sleep(1)
            statistics = peers[0].statistics()
            assert statistics.messages_received == 100
            # the one that waits to be accepted has its message
            assert 1000 < statistics.held_bytes < 2000
