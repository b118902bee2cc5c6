"""Channels that the peer opens arrive at a trio listener."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from trio_sctp import DataChannel
from trio_sctp.testing import open_association_pair


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
