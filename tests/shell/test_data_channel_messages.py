"""Messages on data channels: what is sent arrives, and trio's rules hold on the way."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest
import trio
from trio.testing import MockClock, assert_checkpoints, wait_all_tasks_blocked

from trio_sctp import Association, Config, DataChannel, LocalProtocolError, MessageTooLargeError
from trio_sctp.testing import memory_link, open_association_pair


async def both_ends(
    client: Association, server: Association, **options: bool
) -> tuple[DataChannel, DataChannel]:
    near = client.open_channel("chat", **options)  # type: ignore[arg-type]
    return near, await server.listen().accept()


async def test_text_and_bytes_arrive_as_what_they_were(autojump_clock: MockClock) -> None:
    sent: list[bytes | str] = ["text", b"bytes", "", b"", "Ünïcödé €", bytes(100_000), "\0", b"\0"]
    async with open_association_pair() as pair:
        near, far = await both_ends(*pair)
        for message in sent:
            await near.send(message)
        received = [await far.receive() for _ in sent]
        assert received == sent
        assert [type(message) for message in received] == [type(message) for message in sent]


async def test_bytearrays_are_bytes_and_other_things_are_refused(
    autojump_clock: MockClock,
) -> None:
    async with open_association_pair() as pair:
        near, far = await both_ends(*pair)
        await near.send(bytearray(b"array"))  # type: ignore[arg-type]
        await near.send(memoryview(b"view"))  # type: ignore[arg-type]
        assert [await far.receive(), await far.receive()] == [b"array", b"view"]
        for wrong in 5, None, ["x"]:
            with pytest.raises(TypeError, match="bytes or str"):
                await near.send(wrong)  # type: ignore[arg-type]


async def test_both_ends_know_what_the_channel_is(autojump_clock: MockClock) -> None:
    async with open_association_pair() as (client, server):
        near = client.open_channel("Bücher", protocol="soap", ordered=False, priority=1024)
        far = await server.listen().accept()
        for channel in near, far:
            assert channel.id == 0
            assert channel.label == "Bücher"
            assert channel.protocol == "soap"
            assert not channel.ordered
            assert channel.reliable
            assert channel.priority == 1024
            assert "Bücher" in repr(channel)
        assert server.open_channel().id == 1
        assert client.open_channel().id == 2


async def test_negotiated_channels(autojump_clock: MockClock) -> None:
    async with open_association_pair(delay=0.01) as (client, server):
        near = client.open_channel("ours", id=77)
        await near.send("early")
        await trio.sleep(1)
        far = server.open_channel("theirs", id=77)
        assert await far.receive() == "early"
        await far.send("late")
        assert await near.receive() == "late"
        with pytest.raises(LocalProtocolError):
            client.open_channel(id=77)


async def test_a_message_longer_than_the_peer_takes_is_refused(autojump_clock: MockClock) -> None:
    async with open_association_pair(max_message_size=1000) as pair:
        near, far = await both_ends(*pair)
        with pytest.raises(MessageTooLargeError) as caught:
            await near.send(bytes(1001))
        assert (caught.value.size, caught.value.limit) == (1001, 1000)
        await near.send(bytes(1000))
        assert await far.receive() == bytes(1000)


async def test_a_channel_that_the_peer_cannot_be_told_of_is_refused(
    autojump_clock: MockClock,
) -> None:
    async with open_association_pair(config=Config(max_message_size=3)) as (client, server):
        with pytest.raises(MessageTooLargeError, match="label"):
            client.open_channel("chat")
        near, far = client.open_channel(id=0), server.open_channel(id=0)
        await near.send(b"abc")
        assert await far.receive() == b"abc"


async def test_data_channels_need_to_be_wanted(autojump_clock: MockClock) -> None:
    async with open_association_pair(data_channels=False) as (client, _server):
        with pytest.raises(LocalProtocolError, match="data_channels"):
            client.open_channel()
        with pytest.raises(LocalProtocolError, match="data_channels"):
            client.listen()


async def test_every_operation_is_a_checkpoint(autojump_clock: MockClock) -> None:
    async with open_association_pair() as (client, server):
        near = client.open_channel()
        listener = server.listen()
        await wait_all_tasks_blocked()
        with assert_checkpoints():
            far = await listener.accept()
        with assert_checkpoints():
            await near.send("one")
        await near.send("two")
        await near.send("three")
        await trio.sleep(0.1)
        with assert_checkpoints():  # it is there already
            assert await far.receive() == "one"
        with assert_checkpoints():
            assert await far.receive() == "two"
        with assert_checkpoints():
            async for message in far:
                assert message == "three"
                break
        with assert_checkpoints():
            await near.aclose()
        with assert_checkpoints():
            await near.aclose()
        with assert_checkpoints():
            await listener.aclose()


async def cancelled(operation: Callable[[], Awaitable[object]]) -> None:
    with trio.CancelScope() as scope:
        scope.cancel()
        await operation()
    assert scope.cancelled_caught


async def test_a_cancelled_send_had_no_effect(autojump_clock: MockClock) -> None:
    async with open_association_pair() as pair:
        near, far = await both_ends(*pair)

        async def send() -> None:
            await near.send("cancelled")

        await cancelled(send)
        await near.send("sent")
        assert await far.receive() == "sent"


async def test_a_cancelled_send_that_waited_had_no_effect(autojump_clock: MockClock) -> None:
    async with open_association_pair(config=Config(a_rwnd=2000)) as pair:
        near, far = await both_ends(*pair)
        near.set_water_marks(high=5000)
        for _ in range(20):
            with trio.move_on_after(1):
                await near.send(b"x" * 1000)
        with pytest.raises(trio.WouldBlock):
            near.send_nowait("y")
        sent = near.statistics().messages_sent
        assert sent < 20
        async with trio.open_nursery() as nursery:

            async def count() -> int:
                return len([message async for message in far])

            nursery.start_soon(near.aclose)
            assert await count() == sent


async def test_a_cancelled_receive_loses_no_message(autojump_clock: MockClock) -> None:
    async with open_association_pair() as pair:
        near, far = await both_ends(*pair)
        received: list[bytes | str] = []

        async def receive_impatiently() -> None:
            while len(received) < 100:
                with trio.move_on_after(0.0015):
                    received.append(await far.receive())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive_impatiently)
            for number in range(100):
                await near.send(str(number))
                await trio.sleep(0.001)
        assert received == [str(number) for number in range(100)]


async def test_a_cancelled_receive_of_what_is_there_loses_nothing(
    autojump_clock: MockClock,
) -> None:
    async with open_association_pair() as pair:
        near, far = await both_ends(*pair)
        await near.send("x")
        await trio.sleep(0.1)
        await cancelled(far.receive)
        assert far.receive_nowait() == "x"


async def test_without_waiting(autojump_clock: MockClock) -> None:
    async with open_association_pair() as pair:
        near, far = await both_ends(*pair)
        with pytest.raises(trio.WouldBlock):
            far.receive_nowait()
        near.send_nowait("x")
        await trio.sleep(0.1)
        assert far.receive_nowait() == "x"


async def test_many_tasks_may_send_and_receive(autojump_clock: MockClock) -> None:
    received: list[bytes | str] = []
    async with open_association_pair() as pair:
        near, far = await both_ends(*pair)

        async def take() -> None:
            received.extend([message async for message in far])

        async def send(number: int) -> None:
            for _ in range(10):
                await near.send(str(number))

        async with trio.open_nursery() as receivers:
            for _ in range(3):
                receivers.start_soon(take)
            async with trio.open_nursery() as senders:
                for number in range(10):
                    senders.start_soon(send, number)
            await near.aclose()
    assert sorted(received) == sorted([str(number) for number in range(10)] * 10)


async def test_messages_arrive_in_order_whatever_the_network_does(
    autojump_clock: MockClock,
) -> None:
    for seed in range(5):
        ends = memory_link(
            delay=0.02, jitter=0.01, loss=0.1, reorder=0.2, duplicate=0.1, corrupt=0.05, seed=seed
        )
        async with open_association_pair(link=ends, config=Config(rto_min=0.1)) as pair:
            near, far = await both_ends(*pair)

            async def send(near: DataChannel = near) -> None:
                for number in range(200):
                    await near.send(b"%d," % number * (number % 50 + 1) * 10)
                await near.aclose()

            async with trio.open_nursery() as nursery:
                nursery.start_soon(send)
                expected = 0
                async for message in far:
                    assert message == b"%d," % expected * (expected % 50 + 1) * 10
                    expected += 1
                assert expected == 200


@pytest.mark.parametrize("seed", range(10))
async def test_cancelling_at_random_loses_and_doubles_nothing(
    seed: int, autojump_clock: MockClock
) -> None:
    """What `send` returned for arrives once, what it was cancelled in never does."""
    chance = random.Random(seed)
    ends = memory_link(delay=0.003, loss=0.05, reorder=0.1, seed=seed)
    config = Config(rto_initial=0.1, rto_min=0.05, a_rwnd=8000)
    async with open_association_pair(link=ends, config=config) as pair:
        near, far = await both_ends(*pair)
        near.set_water_marks(high=3000)
        sent: list[bytes | str] = []
        received: list[bytes | str] = []

        async def send() -> None:
            for number in range(150):
                message = b"%d " % number + bytes(chance.randrange(1500))
                with trio.move_on_after(chance.choice([0.0, 0.001, 0.01, 1.0])) as scope:
                    await near.send(message)
                if not scope.cancelled_caught:
                    sent.append(message)
                if chance.random() < 0.3:
                    await trio.sleep(chance.random() * 0.01)
            await near.aclose()

        async def receive() -> None:
            with suppress(trio.EndOfChannel):
                while True:
                    with trio.move_on_after(chance.choice([0.0, 0.002, 0.02, 5.0])):
                        received.append(await far.receive())
                    await trio.sleep(chance.random() * 0.005)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            nursery.start_soon(receive)
        assert received == sent
        assert 20 < len(sent) < 150


async def test_statistics(autojump_clock: MockClock) -> None:
    async with open_association_pair() as pair:
        near, far = await both_ends(*pair)
        await near.send("äh")
        await near.send(b"12345")
        await trio.sleep(0.1)
        await far.receive()
        assert near.statistics().messages_sent == 2
        assert near.statistics().bytes_sent == 8
        assert near.statistics().buffered_amount == 0
        assert far.statistics().messages_received == 2
        assert far.statistics().bytes_received == 8
        assert far.statistics().unread_messages == 1
