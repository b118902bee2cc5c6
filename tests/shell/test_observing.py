"""What a program can see and wait for: statistics, round trips, path MTU, restarts, closed channels."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import trio
from trio.testing import MockClock

from trio_sctp import (
    AssociationAborted,
    AssociationClosed,
    AssociationLost,
    CloseReason,
    Config,
    PathMtuChanged,
    RoundTripMeasured,
)
from trio_sctp.testing import memory_link, open_association_pair


async def test_association_statistics_stay_after_the_end(autojump_clock: MockClock) -> None:
    async with open_association_pair(delay=0.05) as (client, server):
        async with client.open_channel() as channel:
            await channel.send(bytes(100_000))
            await (await server.listen().accept()).receive()
        before = client.statistics()
    after = client.statistics()
    assert (before.state, after.state) == ("ESTABLISHED", "CLOSED")
    assert before.srtt == pytest.approx(0.1, rel=0.2)
    for name in ("srtt", "cwnd", "peer_rwnd", "outbound_streams", "duplicate_tsns", "path_mtu"):
        assert getattr(after, name) == getattr(before, name) is not None
    assert after.packets_sent > before.packets_sent, "the last packets are counted, too"
    assert server.statistics().messages_received == before.messages_sent


async def test_channel_statistics_in_the_words_of_w3c(autojump_clock: MockClock) -> None:
    async with open_association_pair(delay=0.05) as (client, server):
        channel = client.open_channel("länge", protocol="p")
        statistics = channel.statistics()
        assert (statistics.label, statistics.protocol, statistics.data_channel_identifier) == (
            "länge",
            "p",
            0,
        )
        assert statistics.state == "open"
        await channel.send("grün")
        await channel.send(bytes(10))
        other = await server.listen().accept()
        assert await other.receive() == "grün"
        received = other.statistics()
        assert (received.messages_received, received.bytes_received) == (2, 5 + 10)
        assert received.unread_messages == 1
        async with trio.open_nursery() as nursery:
            nursery.start_soon(channel.aclose)
            await trio.sleep(0.01)
            assert channel.statistics().state == "closing"
        await channel.wait_closed()
        statistics = channel.statistics()
        assert statistics.state == "closed"
        assert (statistics.messages_sent, statistics.bytes_sent) == (2, 5 + 10)
        assert statistics.buffered_amount == statistics.unacknowledged_amount == 0
    assert other.statistics().messages_received == 2


async def test_wait_until_a_channel_is_closed(autojump_clock: MockClock) -> None:
    """By the peer, by this end, by the end of the association; nobody has to read it for that."""
    async with open_association_pair(delay=0.1) as (client, server):
        closed: list[tuple[str, float]] = []

        async def watch(name: str) -> None:
            await client_channels[name].wait_closed()
            closed.append((name, round(trio.current_time() - began, 1)))

        client_channels = {name: client.open_channel(name) for name in ("peer", "here", "never")}
        listener = server.listen()
        server_channels = {name: await listener.accept() for name in client_channels}
        await trio.sleep(1)
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            for name in client_channels:
                nursery.start_soon(watch, name)
            await server_channels["peer"].aclose()
            await client_channels["here"].aclose()
            await trio.sleep(1)
            client.abort()
        assert [name for name, _ in closed] == ["peer", "here", "never"]
        await client_channels["never"].wait_closed()
        server.abort()


async def test_round_trips_are_measured_when_asked_for(autojump_clock: MockClock) -> None:
    quiet = Config(hb_interval=math.inf, path_mtu_discovery=False)
    async with open_association_pair(delay=0.05, config=quiet) as (client, server):
        round_trips: list[float] = []

        async def ask() -> None:
            round_trips.append(await client.measure_round_trip())

        sent = client.statistics().heartbeats_sent
        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(ask)
                await trio.sleep(0.001)
        assert round_trips == pytest.approx([0.1] * 10)
        assert client.statistics().heartbeats_sent == sent + 1, "they share one"
        event = await client.events.receive()
        assert isinstance(event, RoundTripMeasured)
        assert event.round_trip == pytest.approx(0.1)
        assert event.srtt == client.statistics().srtt
        assert server.statistics().heartbeats_sent == 0


async def test_a_round_trip_over_a_bad_network(autojump_clock: MockClock) -> None:
    quiet = Config(hb_interval=math.inf, path_mtu_discovery=False)
    async with open_association_pair(delay=0.05, loss=0.4, seed=3, config=quiet) as (client, _):
        for _ in range(20):
            assert await client.measure_round_trip() == pytest.approx(0.1)


async def test_no_round_trip_after_the_end(autojump_clock: MockClock) -> None:
    async with open_association_pair(delay=0.05) as (client, server):
        server.abort("enough")
        with pytest.raises(AssociationAborted):
            await client.measure_round_trip()
        with pytest.raises(trio.ClosedResourceError):
            await server.measure_round_trip()


async def test_asking_faster_than_answers_come_measures_all_the_same(
    autojump_clock: MockClock,
) -> None:
    """Each HEARTBEAT used to make the answer to the one before it worthless."""
    quiet = Config(hb_interval=math.inf, path_mtu_discovery=False)
    async with open_association_pair(delay=0.5, config=quiet) as (client, _):
        for _ in range(100):
            client._core.request_heartbeat(now=trio.current_time())
            client._ring()
            await trio.sleep(0.05)
        statistics = client.statistics()
        assert statistics.heartbeats_acknowledged >= 4
        assert statistics.error_count == 0
        assert "HEARTBEAT ACK that was not asked for" not in statistics.dropped


async def test_a_peer_that_died_is_noticed_by_those_who_ask(autojump_clock: MockClock) -> None:
    """Unanswered ones count as errors however often one asks (RFC 9260 §8.1)."""
    near, far = memory_link(delay=0.05)
    quiet = Config(
        hb_interval=math.inf, path_mtu_discovery=False, association_max_retrans=2, rto_max=2.0
    )
    async with open_association_pair(link=(near, far), config=quiet) as (client, server):
        near.outgoing.conditions = replace(near.outgoing.conditions, loss=1.0)
        with pytest.raises(AssociationLost):
            await client.measure_round_trip()
        assert trio.current_time() < 20
        server.abort()


async def test_events_that_a_program_can_await(autojump_clock: MockClock) -> None:
    config = Config(hb_interval=5.0)
    async with open_association_pair(delay=0.05, mtu=1500, config=config) as (client, server):
        seen: list[object] = []
        async for event in client.events:
            seen.append(event)
            if len({type(event) for event in seen}) == 2:
                break
        kinds = {type(event) for event in seen}
        assert kinds == {PathMtuChanged, RoundTripMeasured}
        assert client.statistics().path_mtu == 1500
        client.path_changed()
        assert client.statistics().path_mtu == 1200
        event = await client.events.receive()
        while event != PathMtuChanged(1500):
            event = await client.events.receive()
        server.abort()
        last = [event async for event in client.events][-1]
        assert isinstance(last, AssociationClosed)
        assert last.reason is CloseReason.PEER_ABORT


async def test_what_was_negotiated_can_be_seen(autojump_clock: MockClock) -> None:
    plain = Config(interleaving=False)
    async with open_association_pair(server_config=plain) as (client, server):
        assert client.capabilities == server.capabilities
        assert client.capabilities.partial_reliability
        assert not client.capabilities.interleaving
    assert client.capabilities.reconfiguration, "still known after the end"
