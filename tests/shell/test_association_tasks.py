"""The tasks behind an association: cancellation, Ctrl-C, bugs, and any channel of datagrams."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from contextlib import suppress

import pytest
import trio
from trio.lowlevel import currently_ki_protected
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.support.sending_ends import ends
from trio_sctp import (
    Association,
    AssociationAborted,
    AssociationClosed,
    AssociationRestarted,
    CloseReason,
    Config,
    open_association,
)
from trio_sctp.testing import LinkEnd, memory_link, open_association_pair


class PlainChannel(trio.abc.Channel[bytes]):
    """Datagrams by two memory channels, and nothing that a `DatagramTransport` has beyond it."""

    def __init__(
        self, out: trio.MemorySendChannel[bytes], back: trio.MemoryReceiveChannel[bytes]
    ) -> None:
        self.out = out
        self.back = back

    async def send(self, value: bytes) -> None:
        await self.out.send(value)

    async def receive(self) -> bytes:
        return await self.back.receive()

    async def aclose(self) -> None:
        await self.out.aclose()
        await self.back.aclose()


async def test_any_channel_of_datagrams_will_do(autojump_clock: MockClock) -> None:
    there, here = trio.open_memory_channel[bytes](10), trio.open_memory_channel[bytes](10)
    link = PlainChannel(there[0], here[1]), PlainChannel(here[0], there[1])
    async with open_association_pair(link=link) as (client, server):
        async with client.open_channel() as channel:
            await channel.send(bytes(300_000))
        assert await (await server.listen().accept()).receive() == bytes(300_000)


async def test_a_transport_that_is_slow_to_send_loses_nothing(autojump_clock: MockClock) -> None:
    class Slow(LinkEnd):
        __slots__ = ()

        async def send_batch(self, datagrams: Sequence[bytes]) -> None:
            await trio.sleep(0.05)
            await super().send_batch(datagrams)

    near, far = memory_link()
    near.__class__ = far.__class__ = Slow
    async with open_association_pair(link=(near, far)) as (client, server):
        async with client.open_channel() as channel:
            for number in range(300):
                await channel.send(b"%d" % number * 100)
        received = await server.listen().accept()
        assert [m async for m in received] == [b"%d" % number * 100 for number in range(300)]


@pytest.mark.parametrize("moment", [*range(12), 20, 30, 50])
async def test_a_program_can_be_cancelled_at_any_moment(
    moment: int, autojump_clock: MockClock
) -> None:
    """Whatever the client was doing: the server hears of it, and nothing hangs."""
    near, far = memory_link(delay=0.01, silent_close=True)
    reasons: list[CloseReason] = []

    async def serve() -> None:
        with suppress(AssociationAborted):  # the echo was on its way
            await serve_one()

    async def serve_one() -> None:
        async with (
            open_association(far, client=False) as association,
            trio.open_nursery() as nursery,
        ):

            async def echo() -> None:
                async for channel in association.listen():
                    async for message in channel:
                        await channel.send(message)

            nursery.start_soon(echo)
            ended = [event async for event in association.events][-1]
            assert isinstance(ended, AssociationClosed)
            reasons.append(ended.reason)
            nursery.cancel_scope.cancel()

    async def use() -> None:
        async with (
            open_association(near, client=True) as association,
            association.open_channel() as channel,
        ):
            await channel.send("x")
            await channel.receive()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        with trio.move_on_after(moment * 0.01 + 0.005) as scope:
            await use()
        await trio.sleep(1)
        if moment < 2:  # no COOKIE ECHO was sent
            assert reasons == []
        elif not scope.cancelled_caught:
            assert reasons == [CloseReason.SHUTDOWN]
        else:
            assert reasons in ([CloseReason.PEER_ABORT], [CloseReason.SHUTDOWN])
        nursery.cancel_scope.cancel()


@pytest.mark.interpreted
async def test_ctrl_c_cannot_tear_the_state_apart(autojump_clock: MockClock) -> None:
    protected: dict[str, bool] = {}

    def spy(association: Association, name: str) -> None:
        method = getattr(association._core, name)

        def call(*args: object, **options: object) -> object:
            protected[name] = protected.get(name, True) and currently_ki_protected()
            return method(*args, **options)

        setattr(association._core, name, call)

    names = (
        "send",
        "message_consumed",
        "packets_to_send",
        "next_event",
        "handle_timeout",
        "update_config",
        "reset_streams",
        "shutdown",
        "abort",
    )
    async with open_association_pair() as (client, server):
        for association in client, server:
            for name in names:
                spy(association, name)
        listener = server.listen()
        async with client.open_channel() as channel:
            await channel.send("x")
            channel.send_nowait("x")
            far = await listener.accept()
            await far.receive()
            await far.receive()
            await trio.sleep(60)
        client.update_config(sack_delay=0.1)
        server.abort()
        await trio.sleep(1)
        await client.aclose()
        assert not currently_ki_protected()
    async with open_association_pair() as (client, _server):
        spy(client, "shutdown")
        await client.aclose()
    assert protected == dict.fromkeys(names, True)


@pytest.mark.interpreted
@pytest.mark.parametrize("method", ["next_event", "packets_to_send", "handle_timeout"])
async def test_an_own_bug_comes_out_plainly_and_ends_everything(
    method: str, autojump_clock: MockClock
) -> None:
    near, far = memory_link()
    reasons: list[CloseReason] = []

    async def serve() -> None:
        async with open_association(far, client=False) as association:
            ended = [event async for event in association.events][-1]
            assert isinstance(ended, AssociationClosed)
            reasons.append(ended.reason)

    def crash(*args: object, **options: object) -> None:
        raise ZeroDivisionError

    async def use() -> None:
        async with open_association(near, client=True) as association:
            channels.append(association.open_channel())
            await wait_all_tasks_blocked()
            await channels[0].send("x")  # while this is on its way, the sender's task sends
            setattr(association._core, method, crash)
            await channels[0].send("x")
            await trio.sleep_forever()

    channels: list[trio.abc.Channel[bytes | str]] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        with pytest.raises(ZeroDivisionError):
            await use()
        with pytest.raises(trio.ClosedResourceError):
            await channels[0].send("x")
    assert len(reasons) == 1


@pytest.mark.interpreted
async def test_an_error_of_the_block_and_a_bug_at_once(autojump_clock: MockClock) -> None:
    def crash(*args: object, **options: object) -> None:
        raise ZeroDivisionError

    near, far = memory_link()

    async def fail() -> None:
        async with open_association(near, client=True) as association:
            association._core.abort = crash  # type: ignore[method-assign]
            raise KeyError("mine")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(_serve_until_closed, far)
        with pytest.raises(ZeroDivisionError) as caught:
            await fail()
        assert isinstance(caught.value.__context__, KeyError)


async def _serve_until_closed(end: LinkEnd) -> None:
    async with open_association(end, client=False) as association:
        await association.wait_closed()


async def test_a_peer_that_begins_anew_is_told(autojump_clock: MockClock) -> None:
    """RFC 9260 §5.2.4.1: the client crashed without a word and calls again."""
    near, far = memory_link(silent_close=True)
    async with trio.open_nursery() as nursery:
        events: list[object] = []

        async def serve() -> None:
            config = Config(path_mtu_discovery=False)
            async with open_association(far, client=False, config=config) as association:
                channel = await association.listen().accept()
                assert await channel.receive() == "x"
                with pytest.raises(trio.BrokenResourceError, match="restarted"):
                    await channel.receive()
                events.append(await association.events.receive())
                again = await association.listen().accept()
                assert await again.receive() == "second life"

        nursery.start_soon(serve)

        class Survivor(LinkEnd):
            """A link that outlives the program at its end, and what that would still say."""

            __slots__ = ()

            async def send_batch(self, datagrams: Sequence[bytes]) -> None:
                await trio.lowlevel.checkpoint()

            async def aclose(self) -> None:
                await trio.lowlevel.checkpoint()

        with trio.CancelScope() as scope:
            async with open_association(near, client=True, rng=random.Random(1)) as first:
                await first.open_channel().send("x")
                await trio.sleep(1)
                near.__class__ = Survivor
                scope.cancel()
        near.__class__ = LinkEnd
        async with open_association(near, client=True, rng=random.Random(2)) as second:
            await second.open_channel().send("second life")
            await second.wait_closed()
        assert events == [AssociationRestarted(0)]


@pytest.mark.interpreted
async def test_timers_do_not_wake_an_idle_association_often(autojump_clock: MockClock) -> None:
    async with open_association_pair(config=Config(hb_interval=math.inf)) as (client, server):
        await client.open_channel().send("x")
        await server.listen().accept()
        await trio.sleep(10)
        count = 0
        handle_timeout = client._core.handle_timeout

        def counted(*, now: float) -> None:
            nonlocal count
            count += 1
            handle_timeout(now=now)

        client._core.handle_timeout = counted  # type: ignore[method-assign]
        await trio.sleep(50_000)
        assert count < 3


async def test_what_is_lost_after_a_silence_does_not_wait_for_t3_rtx(
    autojump_clock: MockClock,
) -> None:
    """The timer task wakes for the tail loss probe (RFC 8985 §7), long before RTO.Min."""
    async with ends(plain=True) as both:
        for _ in range(5):
            await both.send(b"arrives")
            await both.receive()
        await trio.sleep(10)
        both.cut()
        await both.send(b"is lost")
        await trio.sleep(0.01)
        both.mend()
        began = trio.current_time()
        assert await both.receive() == b"is lost"
        assert trio.current_time() - began < 0.4


@pytest.mark.parametrize("method", ["send_batch", "send_batch_nowait", "receive_batch", "aclose"])
async def test_a_bug_in_a_transport_is_not_taken_for_a_failure_of_the_network(
    method: str, autojump_clock: MockClock
) -> None:
    """What no transport is known to raise comes out as it is, instead of a `TransportFailed`."""

    class Bug(Exception):
        pass

    armed: list[bool] = []
    original = getattr(LinkEnd, method)

    def sooner_or_later(*args: object) -> object:
        if armed:
            raise Bug
        return original(*args)

    near, far = memory_link(delay=0.01)
    near.__class__ = type("Broken", (LinkEnd,), {"__slots__": (), method: sooner_or_later})

    async def use() -> None:
        async with open_association(near, client=True) as association:
            armed.append(True)
            await association.open_channel().send("x")
            if method != "aclose":
                await trio.sleep(60)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait_at, far)
        with pytest.raises(Bug):
            await use()
        nursery.cancel_scope.cancel()


async def wait_at(end: LinkEnd) -> None:
    async with open_association(end, client=False) as association:
        await association.wait_closed()
