"""Plain SCTP messages: an association without data channels, and one with both."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, assert_checkpoints, wait_all_tasks_blocked

from trio_sctp import (
    Association,
    AssociationAborted,
    Config,
    IncomingStreamsReset,
    LocalProtocolError,
    Message,
    OutgoingStreamsReset,
)
from trio_sctp.testing import open_association_pair


async def test_messages_carry_stream_ppid_and_order(autojump_clock: MockClock) -> None:
    config = Config(path_mtu_discovery=False)  # its probes have all three wait for each other
    async with open_association_pair(data_channels=False, config=config) as (client, server):
        with assert_checkpoints():
            await client.messages.send(Message(7, 0x51, b"one"))
        await client.messages.send(Message(7, 0x51, b"two"))
        await client.messages.send(Message(9, 3, b"three", unordered=True))
        received = [await server.messages.receive() for _ in range(2)]
        await trio.sleep(1)
        with assert_checkpoints():
            received.append(await server.messages.receive())
        assert [message[:4] for message in received] == [
            (7, 0x51, b"one", False),
            (7, 0x51, b"two", False),
            (9, 3, b"three", True),
        ]
        assert [message.sequence_number for message in received[:2]] == [0, 1]
        assert received[1].first_tsn == received[0].last_tsn + 1


async def test_an_echo_can_send_back_what_it_received(autojump_clock: MockClock) -> None:
    async with open_association_pair(data_channels=False) as (client, server):
        client.messages.send_nowait(Message(7, 5, b"hello", True))
        await server.messages.send(await server.messages.receive())
        assert (await client.messages.receive())[:4] == (7, 5, b"hello", True)
        with pytest.raises(trio.WouldBlock):
            client.messages.receive_nowait()


async def test_what_cannot_be_sent_is_refused(autojump_clock: MockClock) -> None:
    async with open_association_pair(data_channels=False, config=Config(outbound_streams=10)) as (
        client,
        _server,
    ):
        for message, name in (
            (Message(10, 0, b"x"), "stream_id"),
            (Message(-1, 0, b"x"), "stream_id"),
            (Message(0, 0, b""), "payload"),
            (Message(0, 2**32, b"x"), "ppid"),
        ):
            with pytest.raises(LocalProtocolError, match=name):
                await client.messages.send(message)


async def test_a_slow_reader_slows_the_sender(autojump_clock: MockClock) -> None:
    async with open_association_pair(data_channels=False, server_config=Config(a_rwnd=20_000)) as (
        client,
        server,
    ):
        client.messages.set_water_marks(high=10_000)

        async def send() -> None:
            for number in range(300):
                await client.messages.send(Message(number % 7, number, bytes(1000)))
                assert client.messages.buffered_amount <= 11_000

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            received = set()
            for _ in range(300):
                await trio.sleep(0.05)
                received.add((await server.messages.receive()).ppid)
        assert received == set(range(300))


async def test_each_of_several_who_wait_for_room_gets_some(autojump_clock: MockClock) -> None:
    """Although the first of them fills the queue again, and nobody comes to wait after them."""
    async with open_association_pair(delay=1.0, data_channels=False) as (client, server):
        client.messages.set_water_marks(high=1000)
        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                for number in range(6):
                    nursery.start_soon(client.messages.send, Message(0, number, bytes(50_000)))
                    await wait_all_tasks_blocked()
                order = [(await server.messages.receive()).ppid for _ in range(6)]
        assert order == list(range(6))


async def test_room_that_an_acknowledgement_makes_is_told_of_at_once(
    autojump_clock: MockClock,
) -> None:
    async with open_association_pair(delay=1.0, data_channels=False) as (client, server):
        client.messages.set_water_marks(high=1)
        await client.messages.send(Message(0, 0, bytes(500_000)))
        await server.messages.receive()
        await client.messages.wait_delivered()
        began = trio.current_time()
        await client.messages.send(Message(0, 0, bytes(client.statistics().cwnd + 10_000)))
        await client.messages.send(Message(0, 0, b"next"))
        assert client.messages.buffered_amount <= len(b"next")
        assert trio.current_time() - began == pytest.approx(2.0, abs=0.01)


async def test_streams_can_be_reset(autojump_clock: MockClock) -> None:
    async with open_association_pair(data_channels=False, delay=0.01) as (client, server):
        await client.messages.send(Message(3, 0, b"before"))
        client.reset_streams([3])
        assert await server.events.receive() == IncomingStreamsReset((3,))
        assert await client.events.receive() == OutgoingStreamsReset((3,), succeeded=True)
        await client.messages.send(Message(3, 0, b"after"))
        assert (await server.messages.receive()).payload == b"before"
        assert (await server.messages.receive()).sequence_number == 0


async def test_the_stream_of_a_data_channel_is_not_reset_by_hand(
    autojump_clock: MockClock,
) -> None:
    async with open_association_pair() as (client, _server):
        channel = client.open_channel()
        with pytest.raises(LocalProtocolError, match="data channel"):
            client.reset_streams([channel.id])


async def test_plain_messages_beside_data_channels(autojump_clock: MockClock) -> None:
    async with open_association_pair(plain_messages=True) as (client, server):
        await client.messages.send(Message(500, 3, b"plain"))
        await client.open_channel().send("channel")
        assert (await server.messages.receive()).payload == b"plain"
        assert await (await server.listen().accept()).receive() == "channel"


async def test_plain_messages_nobody_wants_fill_no_window(autojump_clock: MockClock) -> None:
    async with open_association_pair(config=Config(a_rwnd=5000)) as (client, server):
        for _ in range(100):
            await client.messages.send(Message(500, 3, bytes(1000)))
        await client.open_channel().send("x")
        assert await (await server.listen().accept()).receive() == "x"


async def test_closing_the_messages_leaves_the_association(autojump_clock: MockClock) -> None:
    async with open_association_pair(data_channels=False, config=Config(a_rwnd=5000)) as (
        client,
        server,
    ):
        async with trio.open_nursery() as nursery:

            async def expect_closed() -> None:
                with pytest.raises(trio.ClosedResourceError):
                    await server.messages.receive()

            nursery.start_soon(expect_closed)
            await wait_all_tasks_blocked()
            await server.messages.aclose()
        await server.messages.aclose()
        with pytest.raises(trio.ClosedResourceError):
            await server.messages.send(Message(0, 0, b"x"))
        for _ in range(100):
            await client.messages.send(Message(0, 0, bytes(1000)))
        await client.aclose()


async def test_closing_opens_the_window_that_unread_messages_fill(
    autojump_clock: MockClock,
) -> None:
    async with open_association_pair(data_channels=False, config=Config(a_rwnd=5000)) as (
        client,
        server,
    ):
        for _ in range(100):
            await client.messages.send(Message(0, 0, bytes(1000)))
        await trio.sleep(1)
        await server.messages.aclose()
        await client.aclose()
        assert trio.current_time() < 5


async def test_events_that_nobody_wants(autojump_clock: MockClock) -> None:
    config = Config(path_mtu_discovery=False)  # or else what it finds is the first event
    async with open_association_pair(data_channels=False, config=config) as (client, server):
        await server.events.aclose()
        client.reset_streams([3])
        assert await client.events.receive() == OutgoingStreamsReset((3,), succeeded=True)


async def test_the_end_of_the_association_ends_the_messages(autojump_clock: MockClock) -> None:
    async with open_association_pair(data_channels=False) as (client, server):
        await server.messages.send(Message(0, 0, b"last"))
        await server.aclose()
        assert [message.payload async for message in client.messages] == [b"last"]
        with pytest.raises(trio.BrokenResourceError):
            await client.messages.send(Message(0, 0, b"x"))
    async with open_association_pair(data_channels=False) as (client, server):
        server.abort("over")
        with pytest.raises(AssociationAborted, match="over"):
            await client.messages.receive()


async def test_who_waits_hears_how_it_ended_whoever_closes_then(autojump_clock: MockClock) -> None:
    """Tasks that are woken by one event run in any order: often enough in the wrong one, too."""
    for _ in range(20):
        async with (
            open_association_pair(data_channels=False) as (client, server),
            trio.open_nursery() as nursery,
        ):

            async def close_at_the_end(association: Association = client) -> None:
                await association.wait_closed()
                await association.messages.aclose()

            nursery.start_soon(close_at_the_end)
            server.abort("over")
            with pytest.raises(AssociationAborted, match="over"):
                await client.messages.receive()


async def test_plain_messages_beside_channels_are_not_taken_for_theirs(
    autojump_clock: MockClock,
) -> None:
    """RFC 8832 §6: the PPIDs of WebRTC, and the streams of channels, are not for other messages."""
    async with open_association_pair(plain_messages=True) as (client, server):
        channel = client.open_channel()
        for ppid in (50, 51, 53, 56, 57, 52, 54):
            with pytest.raises(LocalProtocolError, match=f"ppid is {ppid}"):
                await client.messages.send(Message(7, ppid, b"x"))
        with pytest.raises(LocalProtocolError, match="stream_id is 0"):
            await client.messages.send(Message(0, 0, b"x"))
        await client.messages.send(Message(7, 0, b"x"))
        assert (await server.messages.receive()).payload == b"x"
        await channel.send("y")
        assert await (await server.listen().accept()).receive() == "y"


async def test_without_channels_every_ppid_is_the_programs(autojump_clock: MockClock) -> None:
    async with open_association_pair(data_channels=False) as (client, server):
        await client.messages.send(Message(0, 50, b"x"))
        assert (await server.messages.receive())[:3] == (0, 50, b"x")
