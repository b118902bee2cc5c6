"""A data channel as a stream passes trio's own tests of streams."""

from __future__ import annotations

from array import array
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from typing import Any

import pytest
import trio
from trio.testing import MockClock, assert_checkpoints, check_two_way_stream

from trio_sctp import Config, DataChannel, DataChannelStream, LocalProtocolError
from trio_sctp.testing import open_association_pair

StreamMaker = Callable[[], Awaitable[tuple[DataChannelStream, DataChannelStream]]]
SMALL = Config(a_rwnd=20_000)


def stream_maker(stack: AsyncExitStack, **conditions: Any) -> StreamMaker:
    async def make() -> tuple[DataChannelStream, DataChannelStream]:
        client, server = await stack.enter_async_context(
            open_association_pair(config=SMALL, **conditions)
        )
        near = client.open_channel()
        far = await server.listen().accept()
        for channel in near, far:
            channel.set_water_marks(high=10_000)
        return near.as_stream(), far.as_stream()

    return make


def clogged(make: StreamMaker) -> StreamMaker:
    async def make_clogged() -> tuple[DataChannelStream, DataChannelStream]:
        near, far = await make()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(clog, near.channel)
            nursery.start_soon(clog, far.channel)
        return near, far

    return make_clogged


async def clog(channel: DataChannel) -> None:
    with trio.move_on_after(0.5):  # the first window probe comes after 1
        while True:
            await channel.send(bytes(1000))
    with suppress(trio.WouldBlock):  # there may be some room, for which alone nobody is woken
        while True:
            channel.send_nowait(bytes(1000))


async def test_trios_checks_of_two_way_streams(autojump_clock: MockClock) -> None:
    async with AsyncExitStack() as stack:
        make = stream_maker(stack)
        await check_two_way_stream(make, clogged(make))


async def test_trios_checks_over_a_bad_network(autojump_clock: MockClock) -> None:
    async with AsyncExitStack() as stack:
        make = stream_maker(stack, delay=0.005, loss=0.02, reorder=0.05)
        await check_two_way_stream(make, None)


async def test_borders_between_messages_mean_nothing(autojump_clock: MockClock) -> None:
    async with open_association_pair() as (client, server):
        near = client.open_channel()
        far = (await server.listen().accept()).as_stream()
        for message in "ab", b"", "", b"cde", "ö":
            await near.send(message)
        assert await far.receive_some(1) == b"a"
        assert await far.receive_some(5) == b"b"
        assert await far.receive_some() == b"cde"
        assert await far.receive_some() == "ö".encode()


async def test_long_data_is_cut_to_what_the_peer_takes(autojump_clock: MockClock) -> None:
    async with open_association_pair(max_message_size=700) as (client, server):
        near = client.open_channel().as_stream()
        far = await server.listen().accept()
        await near.send_all(memoryview(bytes(2000)))
        assert [len(await far.receive()) for _ in range(3)] == [700, 700, 600]


@pytest.mark.parametrize(
    "data",
    [
        array("d", [1.0, -2.5] * 5000),
        memoryview(bytes(range(200))).cast("B", (10, 20)),
        memoryview(bytes(range(200)))[::-3],
        memoryview(array("i")),
    ],
    ids=["long items", "two dimensions", "every third", "nothing"],
)
async def test_whatever_holds_bytes_can_be_sent(data: Any, autojump_clock: MockClock) -> None:
    """Of an array's items the first eighth went out."""
    async with open_association_pair() as (client, server):
        near = client.open_channel().as_stream()
        far = (await server.listen().accept()).as_stream()
        await near.send_all(data)
        await near.aclose()
        assert b"".join([piece async for piece in far]) == memoryview(data).tobytes()


async def test_wrong_arguments_cost_a_checkpoint(autojump_clock: MockClock) -> None:
    async with open_association_pair() as (client, _server):
        stream = client.open_channel().as_stream()
        wrong: Any = "text"
        with pytest.raises(TypeError), assert_checkpoints():
            await stream.send_all(wrong)
        for max_bytes in (0, wrong):
            with pytest.raises((TypeError, ValueError)), assert_checkpoints():
                await stream.receive_some(max_bytes)


async def test_a_stream_has_to_be_ordered(autojump_clock: MockClock) -> None:
    async with open_association_pair() as (client, _server):
        with pytest.raises(LocalProtocolError, match="ordered"):
            client.open_channel(ordered=False).as_stream()
