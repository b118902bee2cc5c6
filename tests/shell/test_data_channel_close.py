"""Closing data channels, from either end, at any moment."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.support.table_sizes import table_sizes
from trio_sctp import (
    Association,
    AssociationAborted,
    AssociationClosed,
    AssociationLost,
    CloseReason,
    Config,
    DataChannel,
    open_association,
)
from trio_sctp.testing import memory_link, open_association_pair


async def two_channels(
    client: Association, server: Association
) -> list[tuple[DataChannel, DataChannel]]:
    """By both of their ends."""
    listener = server.listen()
    return [(client.open_channel(), await listener.accept()) for _ in range(2)]


async def test_closing_delivers_what_was_sent_first(autojump_clock: MockClock) -> None:
    async with open_association_pair(delay=0.1, loss=0.1) as (client, server):
        async with client.open_channel() as near:
            for number in range(200):
                await near.send(str(number) * 100)
        far = await server.listen().accept()
        assert [message async for message in far] == [str(number) * 100 for number in range(200)]


async def test_the_peer_sees_the_end_and_cannot_send(autojump_clock: MockClock) -> None:
    async with open_association_pair() as (client, server):
        near = client.open_channel()
        far = await server.listen().accept()
        async with trio.open_nursery() as nursery:

            async def expect_end() -> None:
                with pytest.raises(trio.EndOfChannel):
                    await far.receive()

            nursery.start_soon(expect_end)
            await wait_all_tasks_blocked()
            await near.aclose()
        with pytest.raises(trio.BrokenResourceError, match="peer closed"):
            await far.send("x")
        with pytest.raises(trio.EndOfChannel):
            far.receive_nowait()
        await far.aclose()
        with pytest.raises(trio.ClosedResourceError):
            await far.receive()
        with pytest.raises(trio.ClosedResourceError):
            await far.send("x")


async def test_closing_does_not_wait_for_a_peer_that_keeps_its_own_direction_open(
    autojump_clock: MockClock,
) -> None:
    near_end, far_end = memory_link(delay=0.1)
    async with trio.open_nursery() as nursery:

        async def plain_peer() -> None:  # it knows streams, not channels: it resets nothing
            async with open_association(far_end, client=False, data_channels=False) as peer:
                await peer.wait_closed()

        nursery.start_soon(plain_peer)
        async with open_association(near_end, client=True) as association:
            channel = association.open_channel()
            await channel.send("delivered")
            with trio.fail_after(2):
                await channel.aclose()


async def test_waiting_tasks_wake_when_it_is_closed_here(autojump_clock: MockClock) -> None:
    async with open_association_pair() as (client, _server):
        near = client.open_channel()
        async with trio.open_nursery() as nursery:

            async def expect_closed() -> None:
                with pytest.raises(trio.ClosedResourceError):
                    await near.receive()

            for _ in range(3):
                nursery.start_soon(expect_closed)
            await wait_all_tasks_blocked()
            await near.aclose()


async def test_both_ends_close_at_once(autojump_clock: MockClock) -> None:
    async with open_association_pair(delay=0.1) as (client, server):
        near = client.open_channel()
        far = await server.listen().accept()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(near.aclose)
            nursery.start_soon(far.aclose)
        assert client._open_channels == server._open_channels == {}


async def test_two_tasks_close_one_channel(autojump_clock: MockClock) -> None:
    async with open_association_pair(delay=0.1) as (client, _server):
        near = client.open_channel()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(near.aclose)
            nursery.start_soon(near.aclose)
        await near.aclose()


async def test_a_cancelled_close_drops_what_is_unsent_and_still_closes(
    autojump_clock: MockClock,
) -> None:
    async with open_association_pair(config=Config(a_rwnd=3000)) as (client, server):
        near = client.open_channel()
        for _ in range(100):
            await near.send(bytes(1000))
        with trio.move_on_after(1) as scope:
            await near.aclose()
        assert scope.cancelled_caught
        with pytest.raises(trio.ClosedResourceError):
            await near.send("x")
        far = await server.listen().accept()
        assert len([message async for message in far]) < 10
        await far.aclose()
        await trio.sleep(1)
        assert client._open_channels == {}


async def test_a_slow_close_can_be_hurried_by_closing_again(autojump_clock: MockClock) -> None:
    async with open_association_pair(config=Config(a_rwnd=3000)) as (client, server):
        near = client.open_channel()
        far = await server.listen().accept()
        for _ in range(100):
            await near.send(bytes(1000))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(near.aclose)
            await trio.sleep(1)
            await trio.aclose_forcefully(near)
            count = 0
            async for _ in far:
                count += 1
        assert count < 100


async def test_what_arrives_after_closing_is_dropped_and_fills_no_window(
    autojump_clock: MockClock,
) -> None:
    async with open_association_pair(delay=0.2, server_config=Config(a_rwnd=20_000)) as pair:
        (near, far), (other, far_other) = await two_channels(*pair)
        for _ in range(100):
            await near.send(bytes(1000))
        await trio.sleep(0.3)
        await far.aclose()
        await other.send("x")
        assert await far_other.receive() == "x"
        with pytest.raises(trio.BrokenResourceError):
            await near.send("x")


async def test_what_arrives_before_a_failed_channel_is_closed_fills_the_window_until_then(
    autojump_clock: MockClock,
) -> None:
    """So that the peer sends no more of what nobody reads, and other channels go on afterwards."""
    async with open_association_pair(delay=0.01, server_config=Config(a_rwnd=20_000)) as pair:
        (near, far), (other, far_other) = await two_channels(*pair)
        for _ in range(100):
            await near.send(bytes(1000))
        with pytest.raises(KeyError):
            async with far:
                raise KeyError
        await trio.sleep(0.04)
        assert pair[1].statistics().held_bytes > 10_000
        await other.send("x")
        assert await far_other.receive() == "x"
        await far.wait_closed()
        assert pair[1].statistics().a_rwnd == 20_000


@pytest.mark.parametrize("new", [False, True])
async def test_what_arrives_while_the_association_is_closed_fills_no_window(
    new: bool, autojump_clock: MockClock
) -> None:
    """RFC 9260 §9.2: the peer sends what it has, and only then the association can end."""
    async with open_association_pair(delay=0.01, server_config=Config(a_rwnd=5000)) as pair:
        client, server = pair
        channel = client.open_channel()
        if not new:
            await server.listen().accept()
        for _ in range(100):
            await channel.send(bytes(1000))
        began = trio.current_time()
        await server.aclose()
        assert trio.current_time() - began < 5
        assert server.statistics().messages_received >= 100
        assert [event async for event in client.events][-1] == AssociationClosed(
            CloseReason.SHUTDOWN
        )


async def test_ids_are_used_again(autojump_clock: MockClock) -> None:
    async with open_association_pair(config=Config(outbound_streams=10, inbound_streams=10)) as (
        client,
        server,
    ):
        listener = server.listen()
        for round_ in range(30):
            near = client.open_channel(str(round_))
            far = await listener.accept()
            assert far.label == str(round_)
            await near.send(f"hello {round_}")
            assert await far.receive() == f"hello {round_}"
            await far.send("answer")
            assert await near.receive() == "answer"
            await near.aclose()
            await far.aclose()
        await trio.sleep(1)
        assert client._open_channels == server._open_channels == {}


async def test_what_was_received_survives_the_reuse_of_the_id(autojump_clock: MockClock) -> None:
    async with open_association_pair(config=Config(outbound_streams=1, inbound_streams=1)) as (
        client,
        server,
    ):
        listener = server.listen()
        for number in range(3):
            async with client.open_channel() as near:
                await near.send(str(number))
        channels = [await listener.accept() for _ in range(3)]
        assert [channel.id for channel in channels] == [0, 0, 0]
        assert [await channel.receive() for channel in channels] == ["0", "1", "2"]
        for channel in channels:
            with pytest.raises(trio.EndOfChannel):
                await channel.receive()


async def test_closing_cannot_hang_when_the_peer_is_gone(autojump_clock: MockClock) -> None:
    near, far = memory_link(silent_close=True)
    config = Config(rto_initial=0.2, rto_min=0.1, association_max_retrans=3)
    async with open_association_pair(link=(near, far), config=config) as (client, _server):
        channel = client.open_channel()
        near.outgoing.conditions.loss = far.outgoing.conditions.loss = 1.0
        await channel.send("x")
        with pytest.raises(AssociationLost):
            await channel.aclose()
        await channel.aclose()  # only who waited is told


async def test_leaving_the_block_of_a_channel_by_an_exception(autojump_clock: MockClock) -> None:
    async with open_association_pair() as (client, server):
        with pytest.raises(KeyError):  # noqa: PT012
            async with client.open_channel() as near:
                await near.send("x")
                raise KeyError
        assert [message async for message in await server.listen().accept()] == ["x"]


async def test_many_channels(autojump_clock: MockClock) -> None:
    async with open_association_pair(delay=0.01) as (client, server):

        async def echo(channel: DataChannel) -> None:
            async for message in channel:
                await channel.send(message)

        async def use(number: int) -> None:
            async with client.open_channel(str(number)) as channel:
                for _ in range(3):
                    await channel.send(str(number))
                    assert await channel.receive() == str(number)

        async with trio.open_nursery() as servers:
            servers.start_soon(trio.serve_listeners, echo, [server.listen()])
            async with trio.open_nursery() as users:
                for number in range(300):
                    users.start_soon(use, number)
            servers.cancel_scope.cancel()
        assert client._open_channels == {}


# -- leaving by an exception: the association may be about to be aborted ------------------------------


@pytest.mark.parametrize(
    "how", ["raise", "cancel", "forced", "handler of a listener", "cancelled close"]
)
async def test_a_channel_whose_association_is_aborted_does_not_end_cleanly(
    how: str, autojump_clock: MockClock
) -> None:
    """The peer's reader gets the ABORT, and no end of the channel that looks as if all had come."""
    near, far = memory_link(delay=0.01)

    async def fail() -> None:
        async with open_association(near, client=False) as association:
            channel = await association.listen().accept()
            await channel.send("the beginning")
            await trio.sleep(1)
            if how == "handler of a listener":

                async def crash(channel: DataChannel) -> None:
                    raise KeyError

                await trio.serve_listeners(crash, [Once(channel)])
            elif how == "raise":
                async with channel:
                    raise KeyError
            elif how == "cancel":
                with trio.CancelScope() as scope:
                    scope.cancel()
                    async with channel:
                        await trio.sleep_forever()
            elif how == "forced":
                await trio.aclose_forcefully(channel)
            else:
                for _ in range(1000):
                    await channel.send(bytes(1000))
                with trio.move_on_after(0.005):
                    await channel.aclose()
            raise KeyError

    async def run() -> None:
        try:
            await fail()
        except* KeyError:
            pass

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        async with open_association(far, client=True) as association:
            channel = association.open_channel()
            assert await channel.receive() == "the beginning"
            with pytest.raises(AssociationAborted):
                await drain(channel)


async def drain(channel: DataChannel) -> None:
    while True:
        await channel.receive()


class Once(trio.abc.Listener[DataChannel]):
    """A listener with one channel."""

    def __init__(self, channel: DataChannel) -> None:
        self._channels = [channel]

    async def accept(self) -> DataChannel:
        await trio.lowlevel.checkpoint()
        if not self._channels:
            await trio.sleep_forever()
        return self._channels.pop()

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()


async def test_a_channel_that_fails_alone_is_closed_soon(autojump_clock: MockClock) -> None:
    """Where the association goes on: what was sent arrives, then the channel ends."""
    async with open_association_pair(delay=0.01) as (client, server):
        with pytest.raises(KeyError):  # noqa: PT012
            async with client.open_channel() as near:
                for number in range(100):
                    await near.send(str(number))
                raise KeyError
        far = await server.listen().accept()
        assert [message async for message in far] == [str(number) for number in range(100)]
        await far.aclose()
        await near.wait_closed()
        await trio.sleep(1)
        assert client._open_channels == server._open_channels == {}


async def test_leaving_by_an_exception_waits_for_nobody(autojump_clock: MockClock) -> None:
    near, far = memory_link(silent_close=True)
    async with open_association_pair(link=(near, far)) as (client, server):
        began = trio.current_time()
        near.outgoing.conditions.loss = 1.0
        with pytest.raises(KeyError):  # noqa: PT012
            async with client.open_channel() as channel:
                await channel.send("x")
                raise KeyError
        assert trio.current_time() == began
        client.abort()
        server.abort()


async def test_the_association_may_be_closed_gracefully_at_that_moment(
    autojump_clock: MockClock,
) -> None:
    async with open_association_pair(delay=0.01) as (client, server):
        near = client.open_channel()
        await near.send("x")
        far = await server.listen().accept()
        with pytest.raises(KeyError):  # noqa: PT012
            async with near:
                for _ in range(50):
                    await far.send(bytes(10_000))  # unread at the other end
                raise KeyError
        await client.aclose()
        assert [message async for message in far] == ["x"]
    assert client.statistics().state == server.statistics().state == "CLOSED"


async def test_blocks_that_fail_leave_nothing_behind(autojump_clock: MockClock) -> None:
    async def fail(association: Association) -> None:
        async with association.open_channel() as channel:
            await channel.send("x")
            raise KeyError

    async with open_association_pair() as (client, _server):
        sizes = []
        for _ in range(5):
            with pytest.raises(KeyError):
                await fail(client)
            await trio.sleep(10)
            sizes.append(sum(table_sizes(client).values()))
        assert sizes == sizes[:1] * 5


@pytest.mark.parametrize("end", ["raises", "cancelled", "closed while cancelled"])
async def test_a_channel_is_left_after_its_association(end: str, autojump_clock: MockClock) -> None:
    async with open_association_pair() as (client, server):
        near = client.open_channel()
        await near.send("x")
        far = await server.listen().accept()
        client.abort()
        await server.wait_closed()
    if end == "raises":
        with pytest.raises(KeyError):
            async with far:
                raise KeyError
    else:
        with trio.CancelScope() as scope:
            scope.cancel()
            if end == "cancelled":
                async with far:
                    await trio.sleep_forever()
            await far.aclose()
        assert scope.cancelled_caught
    with pytest.raises(trio.ClosedResourceError):
        far.receive_nowait()
