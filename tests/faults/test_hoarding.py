"""Programs that never read and peers that never stop: memory is bounded by the configuration.

The bounds on allocated memory are several times of what is configured: objects of Python are larger
than the bytes that they hold.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest
import trio
from trio.testing import MockClock

from tests.support.association_pair import packet_to
from tests.support.memory import measured
from trio_sctp import (
    Association,
    AssociationAborted,
    Config,
    DataChannel,
    Message,
    open_association,
)
from trio_sctp._core.rx.ordering import RELEASE_STEP
from trio_sctp._wire import chunks as c
from trio_sctp.testing import memory_link, open_association_pair

WINDOW = 64 * 1024
SMALL_WINDOW = Config(a_rwnd=WINDOW, max_message_size=WINDOW, path_mtu_discovery=False)
LIMIT = 20 * WINDOW + 300_000
"""Bytes of memory: of chunks and messages up to five windows are held at worst."""


# -- a reader that never reads


@pytest.mark.parametrize("size", [1, 100, 20_000])
async def test_a_channel_that_nobody_reads(size: int, autojump_clock: MockClock) -> None:
    """The sender is stopped by the window, the association stays alive, and all comes in the end."""
    sent = 0

    async with open_association_pair(config=SMALL_WINDOW, delay=0.001) as (client, server):
        channel = client.open_channel("flood")
        channel.set_water_marks(high=2000)
        received = await server.listen().accept()

        async def flood() -> None:
            nonlocal sent
            with trio.CancelScope() as scope:
                stop.append(scope.cancel)
                while True:
                    await channel.send(bytes(size))
                    sent += 1

        stop: list[Callable[[], None]] = []
        with measured() as grown:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(flood)
                await trio.sleep(20)
                assert grown() < LIMIT
                await trio.sleep(600)
                gone = sent - client.statistics().unsent_bytes // size
                assert gone * (size + 128) < 4 * WINDOW, "it is stopped but for probes"
                assert grown() < LIMIT
                stop[0]()
        assert server.statistics().a_rwnd < WINDOW // 2
        for _ in range(sent):
            assert await received.receive() == bytes(size)
        await trio.sleep(1)
        assert server.statistics().a_rwnd == WINDOW


async def test_plain_messages_that_nobody_reads(autojump_clock: MockClock) -> None:
    pair = open_association_pair(config=SMALL_WINDOW, delay=0.001, data_channels=False)
    async with pair as (client, server):
        client.messages.set_water_marks(high=1000)
        with measured() as grown:
            with trio.move_on_after(60):
                while True:
                    await client.messages.send(
                        Message(client.statistics().messages_sent % 100, 0, b"x")
                    )
            assert grown() < LIMIT + 1_000_000  # of it 1000 messages that wait here
        assert server.statistics().a_rwnd < WINDOW // 2
        client.abort()
        server.abort()


async def test_a_peer_that_reads_nothing_holds_a_sender_at_its_water_marks(
    autojump_clock: MockClock,
) -> None:
    async with open_association_pair(config=SMALL_WINDOW, delay=0.001) as (client, server):
        channel = client.open_channel()
        channel.set_water_marks(high=100_000)
        with measured() as grown:
            for _ in range(20):
                with trio.move_on_after(10):
                    while True:
                        await channel.send(bytes(5000))
            assert channel.buffered_amount <= 105_000
            assert grown() < LIMIT
        client.abort()
        server.abort()


async def test_messages_for_a_channel_that_was_closed_here_are_not_kept(
    autojump_clock: MockClock,
) -> None:
    """The reader has left: what still comes does not fill the window."""
    async with open_association_pair(config=SMALL_WINDOW, delay=0.001) as (client, server):
        channel = client.open_channel()
        other = client.open_channel("other")
        await channel.send(bytes(10_000))
        listener = server.listen()
        await (await listener.accept()).aclose()
        with suppress(trio.BrokenResourceError):
            for _ in range(1000):
                await channel.send(bytes(1000))
        with pytest.raises(trio.BrokenResourceError):
            await channel.send("too late")
        await trio.sleep(1)
        assert server.statistics().a_rwnd == WINDOW
        await other.send("lives")
        assert await (await listener.accept()).receive() == "lives"


# -- channels that nobody accepts


async def test_thousands_of_channels_that_nobody_accepts(autojump_clock: MockClock) -> None:
    """They are there for whoever begins to accept, and cost little until then."""
    count = 2000
    async with open_association_pair(delay=0.001) as (client, server):
        with measured() as grown:
            channels = [client.open_channel(str(number)) for number in range(count)]
            await trio.sleep(10)
            assert grown() < count * 2 * 4000
        listener = server.listen()
        for channel in channels:
            assert (await listener.accept()).label == channel.label


async def test_channels_opened_and_closed_that_nobody_accepts(
    autojump_clock: MockClock,
) -> None:
    """A peer that opens and closes for ever can fill the queue of those who wait, and no more."""
    few = Config(max_channels=500)
    async with open_association_pair(delay=0.001, server_config=few) as (client, server):
        for number in range(4):
            channels = [client.open_channel(f"{number} {i}") for i in range(200)]
            await trio.sleep(2)
            async with trio.open_nursery() as nursery:
                for channel in channels:
                    nursery.start_soon(channel.aclose)
            await trio.sleep(2)
        assert server._incoming.statistics().current_buffer_used == 500
        assert not client._open_channels
        assert not server._open_channels
        refused = client.open_channel("one too many")
        with pytest.raises(trio.EndOfChannel):
            await refused.receive()
        # Who begins to accept has all of those that found room, and new ones again.
        listener = server.listen()
        labels = [(await listener.accept()).label for _ in range(500)]
        assert labels == [f"{i // 200} {i % 200}" for i in range(500)]
        wanted = client.open_channel("wanted")
        assert (await listener.accept()).label == "wanted"
        await wanted.aclose()


# -- programs that crash


async def test_crash_in_the_handler_of_one_channel(autojump_clock: MockClock) -> None:
    """It comes out of the program, and the peer is told by an ABORT."""
    near, far = memory_link(delay=0.001)
    errors: list[BaseException] = []

    async def handler(channel: DataChannel) -> None:
        if channel.label == "bad":
            raise ZeroDivisionError
        async for message in channel:
            await channel.send(message)

    async def serve() -> None:
        try:
            async with open_association(far, client=False) as association:
                await trio.serve_listeners(handler, [association.listen()])
        except* ZeroDivisionError as group:
            errors.append(group)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        async with open_association(near, client=True) as association:
            good = association.open_channel("good")
            await good.send("x")
            assert await good.receive() == "x"
            association.open_channel("bad")
            with pytest.raises(AssociationAborted):
                await good.receive()
    assert len(errors) == 1


async def test_crash_while_everything_is_busy(autojump_clock: MockClock) -> None:
    near, far = memory_link(delay=0.001)
    tasks = trio.lowlevel.current_statistics().tasks_living

    async def serve() -> None:
        async with (
            open_association(far, client=False) as association,
            trio.open_nursery() as nursery,
        ):
            with suppress(AssociationAborted):
                async for channel in association.listen():
                    nursery.start_soon(drain, channel)
            ended.append(association)

    async def drain(channel: DataChannel) -> None:
        with suppress(AssociationAborted):
            async for _ in channel:
                pass

    async def flood(channel: DataChannel) -> None:
        while True:
            await channel.send(bytes(50_000))

    async def crash() -> None:
        async with (
            open_association(near, client=True) as association,
            trio.open_nursery() as inner,
        ):
            for _ in range(10):
                inner.start_soon(flood, association.open_channel())
            await trio.sleep(0.05)
            raise KeyError("crash")

    ended: list[Association] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        with pytest.raises(ExceptionGroup) as caught:
            await crash()
        assert caught.group_contains(KeyError)
    assert len(ended) == 1
    assert trio.lowlevel.current_statistics().tasks_living == tasks


async def test_other_tasks_have_their_turn_between_the_steps(autojump_clock: MockClock) -> None:
    """A packet that lets thousands of messages go holds nobody up for long."""
    count, most = 3000, 0
    config = Config(interleaving=False)
    # what the other end says to this comes when the clock jumps, and nobody waits for that
    pair = open_association_pair(config=config, data_channels=False, delay=1.0)
    async with pair as (client, server):
        core, now = server._core, trio.current_time()
        assert core.tcb is not None
        tsn = core.tcb.data_receiver.cumulative_tsn_ack + 1
        for first in range(1, count, 50):
            chunks = [c.Data((tsn + n) % 2**32, 0, n, 0, b"xy") for n in range(first, first + 50)]
            core.receive_packets([packet_to(core, *chunks)], now=now)
        last = packet_to(core, c.Data(tsn % 2**32, 0, 0, 0, b"xy"))
        server._pump.received([last])
        numbers: list[int] = []
        while len(numbers) < count:
            taken = 0
            with suppress(trio.WouldBlock):
                while True:
                    numbers.append(server.messages.receive_nowait().sequence_number)
                    taken += 1
            most = max(most, taken)
            await trio.lowlevel.checkpoint()
        assert numbers[:count] == list(range(count))
        assert most <= 2 * RELEASE_STEP + 1
        client.abort()
        server.abort()
