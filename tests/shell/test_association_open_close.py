"""An association from opening to every way of ending, seen by the program that uses it."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, assert_checkpoints, wait_all_tasks_blocked

from trio_sctp import (
    Association,
    AssociationAborted,
    AssociationClosed,
    AssociationError,
    AssociationLost,
    CloseReason,
    Config,
    HandshakeFailed,
    LocalProtocolError,
    PeerShutdown,
    TransportFailed,
    open_association,
)
from trio_sctp.testing import LinkEnd, memory_link, open_association_pair

QUICK = Config(rto_initial=0.2, rto_min=0.1, association_max_retrans=3, max_init_retransmits=3)


class Oops(Exception):
    """What a user's block raises."""


async def serve_until_closed(end: LinkEnd, opened: list[Association]) -> None:
    """The other end, which takes what comes until the association is over."""
    async with open_association(end, client=False, config=QUICK) as association:
        opened.append(association)
        await association.wait_closed()


async def test_one_end_calls_and_both_are_established(autojump_clock: MockClock) -> None:
    async with open_association_pair(delay=0.05) as (client, server):
        assert client.client
        assert not server.client
        assert client.statistics().state == "ESTABLISHED"
        assert server.statistics().state == "ESTABLISHED"
        # A -> INIT -> Z, A <- INIT ACK <- Z, A -> COOKIE ECHO -> Z, A <- COOKIE ACK <- Z
        assert trio.current_time() == pytest.approx(0.2, abs=0.01)
        assert client.outbound_streams == client.inbound_streams == 65535


async def test_an_association_can_be_entered_once(autojump_clock: MockClock) -> None:
    """A second time, in the block or after it, took trio's own nurseries apart."""
    a, b = memory_link()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve_until_closed, b, [])
        manager = open_association(a, client=True)
        async with manager as association:
            with pytest.raises(RuntimeError, match="can be entered once"):
                await manager.__aenter__()
            async with association.open_channel() as channel:
                await channel.send("all is well")
        with pytest.raises(RuntimeError, match="can be entered once"):
            await manager.__aenter__()


async def test_both_ends_call_at_once_as_in_webrtc(autojump_clock: MockClock) -> None:
    async with (
        open_association_pair(delay=0.05, collide=True) as (client, server),
        client.open_channel("chat") as chat,
    ):
        await chat.send("hello")
        assert await (await server.listen().accept()).receive() == "hello"


async def test_set_up_and_shut_down_survive_loss(autojump_clock: MockClock) -> None:
    for seed in range(10):
        async with open_association_pair(
            loss=0.3, delay=0.01, seed=seed, config=Config(rto_initial=0.2, rto_min=0.1)
        ) as pair:
            async with pair[0].open_channel("chat") as chat:
                await chat.send(b"x" * 5000)
            channel = await pair[1].listen().accept()
            assert await channel.receive() == b"x" * 5000


async def test_nobody_answers(autojump_clock: MockClock) -> None:
    near, _ = memory_link()
    with pytest.raises(HandshakeFailed, match="does not answer"):
        async with open_association(near, client=True, config=QUICK):
            raise AssertionError("there is no association")
    assert trio.current_time() == pytest.approx(0.2 + 0.4 + 0.8 + 1.6)


async def test_waiting_for_an_association_can_be_cancelled(autojump_clock: MockClock) -> None:
    for client in True, False:
        near, _ = memory_link()
        with trio.move_on_after(5) as scope:
            async with open_association(near, client=client):
                raise AssertionError("there is no association")
        assert scope.cancelled_caught


async def test_the_transport_ends_before_there_is_an_association(
    autojump_clock: MockClock,
) -> None:
    for client in True, False:
        near, far = memory_link()
        far.close()
        with pytest.raises(HandshakeFailed, match="transport") as caught:
            async with open_association(near, client=client):
                raise AssertionError("there is no association")
        assert isinstance(caught.value.__cause__, trio.EndOfChannel)


async def test_a_small_transport_bounds_the_packets(autojump_clock: MockClock) -> None:
    class Narrow(LinkEnd):
        __slots__ = ()

        @property
        def max_datagram_size(self) -> int:
            return 600

    near, far = memory_link(mtu=600)
    near.__class__ = far.__class__ = Narrow
    async with open_association_pair(link=(near, far)) as (client, server):
        assert client.config.path_mtu == 600
        async with client.open_channel() as channel:
            await channel.send(bytes(50_000))
            assert await (await server.listen().accept()).receive() == bytes(50_000)
    assert near.outgoing.statistics.too_long == 0


async def test_leaving_delivers_everything_that_was_sent(autojump_clock: MockClock) -> None:
    received: list[bytes | str] = []

    async def take(end: LinkEnd) -> None:
        config = Config(path_mtu_discovery=False)
        async with open_association(end, client=False, config=config) as association:
            channel = await association.listen().accept()
            received.extend([message async for message in channel])
            assert [type(event) async for event in association.events] == [
                PeerShutdown,
                AssociationClosed,
            ]

    near, far = memory_link(delay=0.1, loss=0.05)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(take, far)
        async with open_association(near, client=True) as association:
            channel = association.open_channel()
            for number in range(500):
                await channel.send(b"%d" % number * 100)
    assert received == [b"%d" % number * 100 for number in range(500)]


async def test_leaving_closes_the_transport(autojump_clock: MockClock) -> None:
    near, far = memory_link()
    async with open_association_pair(link=(near, far)):
        pass
    for end in near, far:
        with pytest.raises(trio.ClosedResourceError):
            await end.receive()


@pytest.mark.parametrize("error", [Oops("mine"), KeyError(1), KeyboardInterrupt(), SystemExit(3)])
async def test_what_the_block_raises_comes_out_as_it_is(
    error: BaseException, autojump_clock: MockClock
) -> None:
    near, far = memory_link()
    opened: list[Association] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve_until_closed, far, opened)
        with pytest.raises(type(error)) as caught:
            async with open_association(near, client=True):
                raise error
        assert caught.value is error
    # ... and the peer was told
    event = [event async for event in opened[0].events][-1]
    assert isinstance(event, AssociationClosed)
    assert event.reason is CloseReason.PEER_ABORT


async def test_a_cancelled_block_aborts(autojump_clock: MockClock) -> None:
    near, far = memory_link()
    opened: list[Association] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve_until_closed, far, opened)
        with trio.move_on_after(1) as scope:
            async with open_association(near, client=True):
                await trio.sleep_forever()
        assert scope.cancelled_caught
    assert trio.current_time() == pytest.approx(1)
    assert opened[0].statistics().state == "CLOSED"


async def test_cancelling_the_shut_down_aborts(autojump_clock: MockClock) -> None:
    # The server reads nothing: its window closes, and what was sent cannot all be delivered.
    small = Config(a_rwnd=3000)
    async with open_association_pair(config=small) as (client, server):
        await server.open_channel().send("unread")
        channel = client.open_channel()
        for _ in range(100):
            await channel.send(bytes(1000))
        with trio.move_on_after(2) as scope:
            await client.aclose()
        assert scope.cancelled_caught
        assert trio.current_time() == pytest.approx(2, abs=0.1)
        await server.wait_closed()
        with pytest.raises(trio.ClosedResourceError):
            client.open_channel()
        # the failure was told by the cancellation of the close
        client._failure_told = True


async def test_leaving_raises_if_something_could_not_be_delivered(
    autojump_clock: MockClock,
) -> None:
    near, far = memory_link(silent_close=True)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve_until_closed, far, [])
        with pytest.raises(AssociationLost) as caught:  # noqa: PT012
            async with open_association(near, client=True, config=QUICK) as association:
                await association.open_channel().send("hello")
                await trio.sleep(1)
                near.outgoing.conditions.loss = 1.0
                await association.open_channel().send("lost")
        assert caught.value.undelivered_messages == 2  # and the DATA_CHANNEL_OPEN
        nursery.cancel_scope.cancel()


async def test_leaving_does_not_wait_longer_than_the_shutdown_timeout(
    autojump_clock: MockClock,
) -> None:
    near, far = memory_link()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve_until_closed, far, [])
        with pytest.raises(AssociationLost, match="within 7 s"):  # noqa: PT012
            async with open_association(near, client=True, shutdown_timeout=7) as association:
                association.update_config(association_max_retrans=100)
                near.outgoing.conditions.loss = 1.0
                await association.open_channel().send("lost")
        assert trio.current_time() == pytest.approx(7)
        nursery.cancel_scope.cancel()


async def test_a_lost_goodbye_is_no_failure(autojump_clock: MockClock) -> None:
    near, far = memory_link(silent_close=True)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve_until_closed, far, [])
        async with open_association(near, client=True, config=QUICK) as association:
            await association.open_channel().send("hello")
            await trio.sleep(1)
            near.outgoing.conditions.loss = 1.0
        nursery.cancel_scope.cancel()


async def test_closing_is_idempotent_and_a_checkpoint(autojump_clock: MockClock) -> None:
    async with open_association_pair() as (client, server):
        with assert_checkpoints():
            await client.aclose()
        with assert_checkpoints():
            await client.aclose()
        assert client.statistics().state == "CLOSED"
        await server.wait_closed()
        with assert_checkpoints():
            await server.aclose()


async def test_two_tasks_close_at_once(autojump_clock: MockClock) -> None:
    async with open_association_pair(delay=0.1) as (client, _server):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.aclose)
            nursery.start_soon(client.aclose)
        assert client.statistics().state == "CLOSED"


async def test_after_closing_everything_says_that_it_was_closed_here(
    autojump_clock: MockClock,
) -> None:
    async with open_association_pair() as (client, server):
        listener = client.listen()
        channel = client.open_channel()
        await server.listen().accept()

        async def expect_closed_listener() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await listener.accept()

        async def expect_closed_channel() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await channel.receive()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(expect_closed_listener)
            nursery.start_soon(expect_closed_channel)
            await wait_all_tasks_blocked()
            await client.aclose()
        with pytest.raises(trio.ClosedResourceError):
            await channel.send("x")
        with pytest.raises(trio.ClosedResourceError):
            await channel.receive()
        with pytest.raises(trio.ClosedResourceError):
            client.open_channel()
        with pytest.raises(trio.ClosedResourceError):
            client.reset_streams([7])
        with pytest.raises(trio.ClosedResourceError):
            await listener.accept()


async def test_a_graceful_end_by_the_peer(autojump_clock: MockClock) -> None:
    async with open_association_pair(delay=0.01) as (client, server):
        channel = client.open_channel()
        await channel.send("ping")
        far_channel = await server.listen().accept()
        await far_channel.send("pong")
        await server.aclose()
        # what it had sent is still there, and only then the end
        assert await channel.receive() == "pong"
        with pytest.raises(trio.EndOfChannel):
            await channel.receive()
        with pytest.raises(trio.BrokenResourceError, match="shut"):
            await channel.send("x")
        with pytest.raises(trio.EndOfChannel):
            await client.listen().accept()
        assert [channel async for channel in client.listen()] == []
        with pytest.raises(trio.BrokenResourceError):
            client.open_channel()


async def test_the_peer_aborts(autojump_clock: MockClock) -> None:
    config = Config(path_mtu_discovery=False)
    async with open_association_pair(delay=0.01, config=config) as (client, server):
        channel = client.open_channel()
        await channel.send("ping")
        far_channel = await server.listen().accept()
        await far_channel.send("pong")
        await trio.sleep(1)
        server.abort("no room at the inn")
        await client.wait_closed()
        assert await channel.receive() == "pong"
        errors = []
        for use in channel.receive(), channel.send("x"), client.listen().accept():
            with pytest.raises(AssociationAborted, match="no room at the inn") as caught:
                await use
            errors.append(caught.value)
        assert len({id(error) for error in errors}) == 3, "each raise has an exception of its own"
        assert errors[0].reason == "no room at the inn"
        assert len(errors[0].causes) == 1
        with pytest.raises(trio.ClosedResourceError):
            await far_channel.send("x")
        assert [type(event) async for event in client.events] == [AssociationClosed]


async def test_aborting_here_is_idempotent_and_leaving_is_quiet(autojump_clock: MockClock) -> None:
    async with open_association_pair() as (client, server):
        channel = client.open_channel()
        await channel.send(bytes(1_000_000))
        client.abort("enough")
        client.abort("again")
        with pytest.raises(trio.ClosedResourceError):
            await channel.send(b"")
        await server.wait_closed()


async def test_any_reason_will_do(autojump_clock: MockClock) -> None:
    for reason, told in ("ü\udc00" * 5000, "ü?"), ("", ""):
        async with open_association_pair() as (client, server):
            server.abort(reason)
            with pytest.raises(AssociationAborted) as caught:
                await client.listen().accept()
            assert caught.value.reason.startswith(told)


async def test_aborting_what_is_over_is_quiet(autojump_clock: MockClock) -> None:
    near, far = memory_link()
    async with open_association_pair(link=(near, far)) as (client, _server):
        channel = client.open_channel()
        await channel.send("lost")
        far.close()
        await client.wait_closed()
        client.abort()
        with pytest.raises(TransportFailed):
            await channel.receive()


async def test_the_peer_vanishes(autojump_clock: MockClock) -> None:
    near, far = memory_link(silent_close=True)
    async with open_association_pair(link=(near, far), config=QUICK) as (client, _server):
        channel = client.open_channel()
        near.outgoing.conditions.loss = 1.0
        far.outgoing.conditions.loss = 1.0
        await channel.send("x")
        for use in channel.receive(), client.listen().accept():
            with pytest.raises(AssociationLost, match="does not answer"):
                await use


@pytest.mark.parametrize("handled", [True, False])
async def test_who_was_told_in_the_block_is_not_told_again_on_leaving(
    handled: bool, autojump_clock: MockClock
) -> None:
    """And who was not, is: something that was sent has not arrived."""
    near, far = memory_link(silent_close=True)

    async def use() -> None:
        async with open_association_pair(link=(near, far), config=QUICK) as (client, _):
            channel = client.open_channel()
            near.outgoing.conditions.loss = far.outgoing.conditions.loss = 1.0
            await channel.send("x")
            await client.wait_closed()
            if handled:
                with pytest.raises(AssociationLost):
                    await channel.send("y")

    if handled:
        await use()
    else:
        with pytest.raises(AssociationLost) as caught:
            await use()
        assert caught.value.undelivered_messages
        assert caught.value.__context__ is None


async def test_what_leaves_the_block_is_the_exception_that_was_raised_in_it(
    autojump_clock: MockClock,
) -> None:
    """The very same object, neither wrapped nor covered by another that says the same."""
    near, far = memory_link(silent_close=True)
    raised: list[Exception] = []

    async def use() -> None:
        async with (
            open_association_pair(link=(near, far), config=QUICK) as (client, _),
            client.open_channel() as channel,
        ):
            near.outgoing.conditions.loss = far.outgoing.conditions.loss = 1.0
            await channel.send("x")
            try:
                await channel.receive()
            except AssociationLost as error:
                raised.append(error)
                raise

    with pytest.raises(AssociationLost) as caught:
        await use()
    assert [caught.value] == raised
    assert caught.value.__context__ is None


async def test_a_peer_that_vanishes_from_an_idle_association_is_noticed(
    autojump_clock: MockClock,
) -> None:
    near, far = memory_link(silent_close=True)
    async with open_association_pair(link=(near, far), config=QUICK) as (client, _server):
        near.outgoing.conditions.loss = 1.0
        far.outgoing.conditions.loss = 1.0
        await client.wait_closed()
        with pytest.raises(AssociationLost):
            await client.listen().accept()


async def test_the_transport_fails(autojump_clock: MockClock) -> None:
    near, far = memory_link()
    async with open_association_pair(link=(near, far)) as (client, _server):
        channel = client.open_channel()
        await trio.sleep(1)
        far.close()
        for use in channel.receive(), channel.send("x"), client.listen().accept():
            with pytest.raises(TransportFailed) as caught:
                await use
            assert isinstance(caught.value.__cause__, trio.EndOfChannel)


async def test_a_transport_that_cannot_send(autojump_clock: MockClock) -> None:
    class Broken(LinkEnd):
        __slots__ = ()

        async def send_batch(self, datagrams: object) -> None:
            await trio.lowlevel.checkpoint()
            raise OSError("cable cut")

    near, far = memory_link()
    async with open_association_pair(link=(near, far)) as (client, _server):
        near.__class__ = Broken
        channel = client.open_channel()
        await channel.send("x")
        with pytest.raises(TransportFailed, match="cable cut") as caught:
            await channel.receive()
        assert isinstance(caught.value.__cause__, OSError)


async def test_statistics_and_configuration(autojump_clock: MockClock) -> None:
    async with open_association_pair() as (client, _server):
        client.update_config(rto_min=0.05, sack_delay=0.02)
        assert client.config.rto_min == 0.05
        with pytest.raises(LocalProtocolError, match="a_rwnd"):
            client.update_config(a_rwnd=10_000)
        with pytest.raises(LocalProtocolError, match="nonsense"):
            client.update_config(nonsense=1)
        await client.open_channel().send("x")
        await trio.sleep(1)
        assert client.statistics().messages_sent == 2


async def test_events_keep_the_latest(autojump_clock: MockClock) -> None:
    async with open_association_pair(data_channels=False) as (client, server):
        for number in range(300):
            server.reset_streams([number])
            await trio.sleep(0.1)
        await client.aclose()
        events = [event async for event in client.events]
        assert len(events) == 256
        assert isinstance(events[-1], AssociationClosed)


async def test_errors_of_an_association_are_trios_broken_resources() -> None:
    for kind in AssociationAborted, AssociationLost, HandshakeFailed, TransportFailed:
        assert issubclass(kind, AssociationError)
        assert issubclass(kind, trio.BrokenResourceError)
