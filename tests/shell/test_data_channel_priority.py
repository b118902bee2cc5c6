"""The priority of a data channel, and large messages beside small ones."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from trio_sctp import Config, LocalProtocolError
from trio_sctp.testing import open_association_pair


async def test_priority_can_be_changed_while_the_channel_is_open(
    autojump_clock: MockClock,
) -> None:
    async with open_association_pair() as (client, server):
        near = client.open_channel("chat", priority=512)
        far = await server.listen().accept()
        assert (near.priority, far.priority) == (512, 512)
        near.priority = 1024
        assert (near.priority, far.priority) == (1024, 512)
        for wrong in (-1, 65536):
            with pytest.raises(LocalProtocolError, match=f"priority is {wrong}"):
                near.priority = wrong
        assert near.priority == 1024
        await near.aclose()
        with pytest.raises(trio.ClosedResourceError):
            near.priority = 1
        with pytest.raises(trio.EndOfChannel):
            await far.receive()


async def test_small_message_overtakes_a_large_one_of_another_channel(
    autojump_clock: MockClock,
) -> None:
    order: list[int] = []
    async with open_association_pair() as (client, server), trio.open_nursery() as nursery:

        async def take(size: int) -> None:
            channel = await listener.accept()
            order.append(len(await channel.receive()))

        listener = server.listen()
        for size in (3_000_000, 5):
            nursery.start_soon(take, size)
            await client.open_channel().send(bytes(size))
    assert order == [5, 3_000_000]


@pytest.mark.parametrize("interleaving, piece", [(True, 65536), (False, 16384)])
async def test_a_stream_makes_short_messages_where_they_hold_back_others(
    interleaving: bool, piece: int, autojump_clock: MockClock
) -> None:
    """RFC 8831 §6.6."""
    config = Config(interleaving=interleaving)
    async with open_association_pair(config=config) as (client, server):
        near = client.open_channel().as_stream()
        far = await server.listen().accept()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(near.send_all, bytes(100_000))
            assert len(await far.receive()) == piece
            nursery.cancel_scope.cancel()
