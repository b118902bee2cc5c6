"""A reader slower than its writer slows the writer, and nobody else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from trio_sctp import Association, Config, DataChannel, LocalProtocolError
from trio_sctp.testing import open_association_pair

SMALL_WINDOW = Config(a_rwnd=20_000)


async def fill(channel: DataChannel, message: bytes = bytes(1000)) -> int:
    """Send until nothing more is taken, by half a second before the first window probe."""
    count = 0
    with trio.move_on_after(0.5):
        while True:
            await channel.send(message)
            count += 1
    return count


async def test_send_waits_for_a_slow_reader_and_nothing_is_lost(autojump_clock: MockClock) -> None:
    async with open_association_pair(server_config=SMALL_WINDOW) as (client, server):
        near = client.open_channel()
        near.set_water_marks(high=10_000)
        far = await server.listen().accept()

        async def send() -> None:
            for number in range(300):
                await near.send(b"%d" % number + bytes(1000))
                assert near.buffered_amount <= 10_000 + 1010
            await near.aclose()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            for number in range(300):
                await trio.sleep(0.05)  # 20 messages a second
                assert await far.receive() == b"%d" % number + bytes(1000)
        assert trio.current_time() >= 15


async def test_the_window_bounds_what_an_absent_reader_is_sent(autojump_clock: MockClock) -> None:
    async with open_association_pair(server_config=SMALL_WINDOW) as (client, server):
        near = client.open_channel()
        near.set_water_marks(high=10_000)
        far = await server.listen().accept()
        count = await fill(near)
        unread = far.statistics().unread_messages
        assert unread * 1000 <= 20_000
        with suppress(trio.WouldBlock):
            while count * 1000 <= 20_000 + 10_000 + 1000:
                near.send_nowait(bytes(1000))
                count += 1
        assert count * 1000 <= 20_000 + 10_000 + 1000
        with pytest.raises(trio.WouldBlock):
            near.send_nowait("x")
        # ... and other things go on
        assert client.statistics().heartbeats_acknowledged >= 0
        for _ in range(count):
            await far.receive()
        near.send_nowait("x")
        assert await far.receive() == "x"


async def test_many_tiny_messages_fill_the_window_too(autojump_clock: MockClock) -> None:
    async with open_association_pair(server_config=SMALL_WINDOW) as (client, server):
        near = client.open_channel()
        near.set_water_marks(high=1000)
        far = await server.listen().accept()
        await fill(near, b"x")
        assert far.statistics().unread_messages < 300
        await trio.aclose_forcefully(near)


async def test_dropping_what_nobody_reads_opens_the_window_for_others(
    autojump_clock: MockClock,
) -> None:
    async with open_association_pair(server_config=SMALL_WINDOW) as (client, server):
        unread, other = client.open_channel("unread"), client.open_channel("other")
        listener = server.listen()
        far = {channel.label: channel for channel in [await listener.accept() for _ in "12"]}
        far_unread, far_other = far["unread"], far["other"]
        unread.set_water_marks(high=3000)
        await fill(unread)
        await other.send(bytes(19_000))
        with trio.move_on_after(1) as scope:
            await far_other.receive()
        assert scope.cancelled_caught
        async with trio.open_nursery() as nursery:
            nursery.start_soon(far_unread.aclose)
            assert await far_other.receive() == bytes(19_000)


async def test_waiting_senders_take_their_turn(autojump_clock: MockClock) -> None:
    async with open_association_pair(server_config=Config(a_rwnd=3000)) as (client, server):
        near = client.open_channel()
        near.set_water_marks(high=2000)
        far = await server.listen().accept()
        already = await fill(near)

        async def send(number: int) -> None:
            await near.send(b"%d" % number + bytes(1000))

        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(send, number)
                await wait_all_tasks_blocked()
            for _ in range(already):
                await far.receive()
            received = [await far.receive() for _ in range(20)]
        assert received == [b"%d" % number + bytes(1000) for number in range(20)]


async def test_a_waiting_sender_that_gives_up_does_not_hold_up_the_next(
    autojump_clock: MockClock,
) -> None:
    async with open_association_pair(server_config=Config(a_rwnd=3000)) as (client, server):
        near = client.open_channel()
        near.set_water_marks(high=2000)
        far = await server.listen().accept()
        already = await fill(near)
        async with trio.open_nursery() as nursery:
            with trio.move_on_after(0.1):
                nursery.start_soon(near.send, "second")
                await near.send("first")
            assert [len(await far.receive()) for _ in range(already)]
            assert await far.receive() == "second"


async def test_a_refused_message_does_not_hold_up_the_next(autojump_clock: MockClock) -> None:
    async with open_association_pair(server_config=Config(a_rwnd=3000), max_message_size=1000) as (
        client,
        server,
    ):
        near = client.open_channel()
        near.set_water_marks(high=2000)
        far = await server.listen().accept()
        already = await fill(near)

        async def send_too_much() -> None:
            with pytest.raises(LocalProtocolError):
                await near.send(bytes(1001))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send_too_much)
            await wait_all_tasks_blocked()
            nursery.start_soon(near.send, "good")
            for _ in range(already):
                await far.receive()
            assert await far.receive() == "good"


@asynccontextmanager
async def full_channel() -> AsyncIterator[
    tuple[Association, Association, DataChannel, DataChannel]
]:
    """Both ends of an association and of a channel on which the next to send has to wait."""
    async with open_association_pair(server_config=Config(a_rwnd=3000)) as (client, server):
        near = client.open_channel()
        near.set_water_marks(high=2000)
        far = await server.listen().accept()
        await fill(near)
        yield client, server, near, far


async def send_in_vain(near: DataChannel, error: type[Exception], match: str | None = None) -> None:
    with pytest.raises(error, match=match):
        await near.send("x")


@pytest.mark.parametrize("forcefully", [False, True])
async def test_a_waiting_sender_wakes_when_its_channel_is_closed_here(
    forcefully: bool, autojump_clock: MockClock
) -> None:
    async with full_channel() as (_, _, near, far), trio.open_nursery() as nursery:
        nursery.start_soon(send_in_vain, near, trio.ClosedResourceError)
        await wait_all_tasks_blocked()
        if forcefully:
            await trio.aclose_forcefully(near)
        else:
            nursery.start_soon(near.aclose)
            await far.receive()
            async for _ in far:
                pass


async def test_a_waiting_sender_wakes_when_the_peer_closes(autojump_clock: MockClock) -> None:
    async with full_channel() as (_, _, near, far), trio.open_nursery() as nursery:
        nursery.start_soon(send_in_vain, near, trio.BrokenResourceError, "peer closed")
        await wait_all_tasks_blocked()
        await trio.aclose_forcefully(far)


async def test_a_waiting_sender_wakes_when_the_association_ends(autojump_clock: MockClock) -> None:
    async with full_channel() as (client, server, near, _):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send_in_vain, near, trio.BrokenResourceError, "abort")
            await wait_all_tasks_blocked()
            server.abort()
            await client.wait_closed()
        client._failure_told = True


async def test_water_marks_can_change_while_a_sender_waits(autojump_clock: MockClock) -> None:
    async with full_channel() as (_, _, near, far):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(near.send, "x")
            await wait_all_tasks_blocked()
            near.set_water_marks(high=100_000, low=0)
        near.set_water_marks(high=1)
        with pytest.raises(trio.WouldBlock):
            near.send_nowait("y")
        with pytest.raises(LocalProtocolError, match="low is 5"):
            near.set_water_marks(high=5, low=5)
        await trio.aclose_forcefully(far)
