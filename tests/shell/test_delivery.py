"""Waiting until everything sent was delivered, and what is on its way meanwhile."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, assert_checkpoints, wait_all_tasks_blocked

from tests.support.sending_ends import PROMPT, ends
from trio_sctp import AssociationLost, Receipt
from trio_sctp.testing import open_association_pair

MAYBE_LOST = PROMPT.replace(association_max_retrans=3, rto_max=1.0, hb_interval=1.0)


@pytest.fixture(params=[False, True], ids=["channel", "messages"])
def plain(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


async def test_nothing_to_wait_for_is_a_checkpoint(plain: bool, autojump_clock: MockClock) -> None:
    async with ends(plain) as both:
        began = trio.current_time()
        with assert_checkpoints():
            await both.channel.wait_delivered()
        assert trio.current_time() == began
        assert both.channel.unacknowledged_amount == both.channel.buffered_amount == 0


async def test_all_that_was_sent_is_waited_for(plain: bool, autojump_clock: MockClock) -> None:
    async with ends(plain) as both:
        began = trio.current_time()
        for _ in range(50):
            await both.send(bytes(1000))
        await both.channel.wait_delivered()
        assert trio.current_time() >= began + 0.02
        assert both.channel.unacknowledged_amount == both.channel.buffered_amount == 0
        with trio.move_on_after(0):  # all of it is there
            for _ in range(50):
                assert await both.receive() == bytes(1000)


async def test_what_is_sent_meanwhile_counts_too(plain: bool, autojump_clock: MockClock) -> None:
    async with ends(plain) as both, trio.open_nursery() as nursery:
        receipt = Receipt()
        await both.send(bytes(20_000))
        nursery.start_soon(both.channel.wait_delivered)
        await wait_all_tasks_blocked()
        await both.send(bytes(100_000), receipt=receipt)
        await both.channel.wait_delivered()
        assert receipt.delivered


async def test_many_tasks_wait_and_some_give_up(plain: bool, autojump_clock: MockClock) -> None:
    async with ends(plain) as both:
        both.cut()
        await both.send(b"x")
        finished = 0

        async def wait() -> None:
            nonlocal finished
            await both.channel.wait_delivered()
            finished += 1

        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(wait)
            with trio.move_on_after(0.5) as scope:
                await both.channel.wait_delivered()
            assert scope.cancelled_caught
            assert finished == 0
            both.mend()
        assert finished == 3


async def test_sent_and_unacknowledged_bytes_are_told_apart(
    plain: bool, autojump_clock: MockClock
) -> None:
    """Field notes §2: `bufferedAmount` 0 while nothing was delivered."""
    async with ends(plain) as both:
        both.cut()
        await both.send(bytes(50_000))
        await trio.sleep(0.1)
        channel = both.channel
        assert 0 < channel.unacknowledged_amount < 20_000
        assert channel.unacknowledged_amount + channel.buffered_amount == 50_000
        if not plain:
            statistics = both.channel.statistics()  # type: ignore[union-attr]
            assert statistics.buffered_amount == channel.buffered_amount
            assert statistics.unacknowledged_amount == channel.unacknowledged_amount
        both.mend()
        await channel.wait_delivered()


async def test_what_was_given_up_is_waited_for_no_longer(
    plain: bool, autojump_clock: MockClock
) -> None:
    async with ends(plain) as both:
        both.cut()
        await both.send(bytes(50_000), lifetime=1.0)
        with trio.fail_after(1.1 if not plain else 100):
            # plain messages are heard of as soon as the peer knows that it need not wait for them
            async with trio.open_nursery() as nursery:
                nursery.start_soon(both.channel.wait_delivered)
                await trio.sleep(1.05)
                assert both.channel.buffered_amount == 0
                assert both.channel.unacknowledged_amount == 0
                both.mend()


async def test_other_channels_do_not_matter(autojump_clock: MockClock) -> None:
    async with ends(plain=False) as both:
        other = both.client.open_channel("other")
        await other.wait_delivered()
        await both.send(b"x")
        await both.channel.wait_delivered()
        both.cut()
        await other.send("y")
        await both.channel.wait_delivered()
        assert other.unacknowledged_amount == 1
        both.mend()


# -- it cannot be known any more


async def test_channel_is_closed_here_meanwhile(plain: bool, autojump_clock: MockClock) -> None:
    async with ends(plain) as both:
        both.cut()
        await both.send(b"x")
        async with trio.open_nursery() as nursery:

            async def wait() -> None:
                with pytest.raises(trio.ClosedResourceError):
                    await both.channel.wait_delivered()

            nursery.start_soon(wait)
            await wait_all_tasks_blocked()
            await trio.aclose_forcefully(both.channel)
        with assert_checkpoints(), pytest.raises(trio.ClosedResourceError):
            await both.channel.wait_delivered()
        both.mend()


async def test_peer_closes_the_channel_before_it_has_everything(
    autojump_clock: MockClock,
) -> None:
    async with ends(plain=False) as both:
        channel = await both.server.listen().accept()
        both.near.outgoing.conditions.loss = 1.0
        await both.send(b"x")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(channel.aclose)
            with pytest.raises(trio.BrokenResourceError):
                await both.channel.wait_delivered()
            both.mend()


async def test_association_fails_before_it_is_delivered(
    plain: bool, autojump_clock: MockClock
) -> None:
    async def go() -> None:
        async with ends(plain, config=MAYBE_LOST) as both:
            both.cut()
            await both.send(b"x")
            await both.channel.wait_delivered()

    with pytest.raises(AssociationLost):
        await go()


async def test_end_right_after_the_delivery_is_none(autojump_clock: MockClock) -> None:
    # the acknowledgement and the peer's SHUTDOWN are processed at once, before the waiting task runs
    async with open_association_pair(config=PROMPT, delay=0.01) as (client, server):
        channel = client.open_channel()
        await trio.sleep(1)
        async with trio.open_nursery() as nursery:
            await channel.send("x")
            nursery.start_soon(channel.wait_delivered)
            await (await server.listen().accept()).receive()
            nursery.start_soon(server.aclose)
