"""Hours and days of virtual time: nothing grows, and numbers that wrap around do no harm."""

from __future__ import annotations

import math
from random import Random

import pytest
import trio
from trio.testing import MockClock

from tests.support.association_pair import End, Pair
from tests.support.channel_pair import ChannelPair
from tests.support.table_sizes import table_sizes, total
from trio_sctp import Config
from trio_sctp._core.association import Association
from trio_sctp._core.events import (
    AssociationReset,
    AssociationRestarted,
    AssociationUp,
    RoundTripMeasured,
)
from trio_sctp.testing import open_association_pair

DAY = 86_400.0
STEADY = Config(path_mtu_discovery=False, interleaving=False)


class NearTheEnd(Random):
    """Initial TSNs a few hundred before the end of their range, so that they soon wrap around."""

    def getrandbits(self, k: int, /) -> int:
        bits = super().getrandbits(k)
        return 2**32 - 300 + bits % 250 if k == 32 else bits


def near_the_end_pair() -> Pair:
    pair = Pair(STEADY)
    pair.a.association = Association(pair.a.association.config, rng=NearTheEnd(1))
    pair.z.association = Association(pair.z.association.config, rng=NearTheEnd(2))
    pair.connect()
    return pair


def test_idle_for_a_day() -> None:
    """Heartbeats alone: as many as their interval says, all answered, nothing collected."""
    pair = near_the_end_pair()
    pair.run_for(60.0)
    before = table_sizes(pair.a.association), table_sizes(pair.z.association)
    pair.run_for(DAY)
    assert (table_sizes(pair.a.association), table_sizes(pair.z.association)) == before
    for end in (pair.a, pair.z):
        stats = end.association.statistics()
        assert stats.heartbeats_sent == stats.heartbeats_acknowledged
        assert DAY / 33 < stats.heartbeats_sent < DAY / 30
        assert stats.error_count == 0
        assert {type(event) for event in end.events} == {RoundTripMeasured}, "and nothing else"


def test_tsns_wrap_around_again_and_again() -> None:
    """Each SSN/TSN reset moves TSNs by half their range (RFC 6525 §5.1.4): a wrap every second one."""
    pair = near_the_end_pair()
    sizes = []
    for number in range(40):
        for i in range(300):  # enough to cross the end of the range as well
            pair.send(b"%d" % (number * 300 + i), stream_id=i % 5)
            if i % 50 == 0:
                pair.z.association.send(1, b"back", now=pair.now)
        pair.run_until(pair.now + 1.0)
        assert sorted(map(int, pair.z.payloads)) == [*range(number * 300, number * 300 + 300)]
        assert len(pair.a.payloads) == 6
        asking = (pair.a, pair.z)[number % 2]
        asking.association.reset_association(now=pair.now)
        pair.run_for(70.0)
        for each in (pair.a, pair.z):
            (event,) = each.take(AssociationReset)
            assert event.succeeded
        sizes.append((total(pair.a.association), total(pair.z.association)))
    assert sizes[-1] == sizes[3], sizes
    assert pair.a.association.statistics().retransmitted_chunks == 0


def test_ssns_wrap_around() -> None:
    """More than 65536 ordered messages on a stream, some of them lost on the way."""
    pair = near_the_end_pair()
    rng = Random(4)
    pair.lose = lambda packet: rng.random() < 0.002
    count = 0
    sizes = []
    while count < 70_000:
        payload = b"%d" % count
        for _ in range(700):
            pair.a.association.send(3, payload, now=pair.now)
        count += 700
        pair.run_until(done=lambda: not pair.a.association.undelivered_messages)
        pair.exchange.clear()
        assert pair.z.payloads == [payload] * 700
        sizes.append((total(pair.a.association), total(pair.z.association)))
    assert max(a for a, _ in sizes) < 800, "TSNs marked as lost may remain until the next loss"
    assert max(z for _, z in sizes) == sizes[0][1]


def test_streams_are_reset_for_hours() -> None:
    """Request numbers wrap around, too: they begin with the TSN."""
    pair = near_the_end_pair()
    sizes = []
    for number in range(120):
        stream_id = number % 7
        for end, other in ((pair.a, pair.z), (pair.z, pair.a)):
            end.association.send(stream_id, b"%d" % number, now=pair.now)
            end.association.reset_streams([stream_id], now=pair.now)
            pair.run_for(1.0)
            assert other.payloads == [b"%d" % number]
        pair.run_for(300.0)
        pair.a.events.clear()
        pair.z.events.clear()
        pair.exchange.clear()
        sizes.append((total(pair.a.association), total(pair.z.association)))
    assert sizes[-1] == sizes[20]


def test_the_peer_restarts_every_hour_of_a_day() -> None:
    pair = near_the_end_pair()
    sizes = []
    for number in range(24):
        pair.send(b"for the old one")
        pair.a.pull(pair.now)
        pair.transit.clear()
        pair.z = End("Z", pair.z.association.config, NearTheEnd(number))
        pair.z.association.connect(now=pair.now)
        pair.run_for(3600.0)
        assert len(pair.a.take(AssociationRestarted)) == 1
        assert len(pair.a.take(AssociationUp)) == len(pair.z.take(AssociationUp)) == 1
        pair.send(b"%d" % number)
        pair.run_for(10.0)
        assert pair.z.payloads == [b"%d" % number]
        sizes.append(total(pair.a.association))
    assert sizes[-1] == sizes[1]


@pytest.mark.parametrize("loss", [0.0, 0.05])
def test_channels_come_and_go_for_hours(loss: float) -> None:
    """Ids are used again, and nothing stays of a channel that is closed."""
    config = Config(path_mtu_discovery=False)
    pair = ChannelPair(a_config=config, z_config=config).connect()
    rng = Random(7)
    pair.a.lose = pair.z.lose = lambda chunks: rng.random() < loss
    sizes = []
    for number in range(150):
        opener, other = (pair.a, pair.z) if number % 2 else (pair.z, pair.a)
        ids = [pair.open(opener, f"{number} {i}") for i in range(5)]
        for stream_id in ids:
            pair.send(opener, stream_id, "x" * 100)
        pair.run(30.0)
        assert sorted(other.data) == sorted((stream_id, "x" * 100) for stream_id in ids)
        for stream_id in ids:
            pair.close(opener, stream_id)
        pair.run(300.0)
        assert len(opener.closed) == len(other.closed) == 5
        assert len(pair.a.channels) == len(pair.z.channels) == 0
        assert max(ids) < 22, "ids that are free again are used again"
        pair.a.events.clear()
        pair.z.events.clear()
        sizes.append(total_with_channels(pair))
    assert max(sizes[-20:]) <= max(sizes[:20])


def total_with_channels(pair: ChannelPair) -> int:
    ends = (pair.a, pair.z)
    tables = [table_sizes(end.channels) for end in ends]
    return sum(sum(table.values()) for table in tables)


async def test_three_days_of_a_living_pair(autojump_clock: MockClock) -> None:
    """The shell: channels, messages, resets and quiet hours; no tasks and no tables grow."""
    config = Config(hb_interval=300.0, path_mtu_discovery=False)
    async with open_association_pair(delay=0.02, config=config) as (client, server):
        listener = server.listen()
        sizes, tasks = [], []
        start = trio.current_time()
        while trio.current_time() - start < 3 * DAY:
            async with client.open_channel("hourly") as channel:
                far = await listener.accept()
                for i in range(20):
                    await channel.send(b"%d" % i)
                    await far.send(await far.receive())
                    assert await channel.receive() == b"%d" % i
            async with far:
                with pytest.raises(trio.EndOfChannel):
                    await far.receive()
            await trio.sleep(3 * 3600)
            sizes.append(total(client._core) + total(server._core) + len(client._open_channels))
            tasks.append(trio.lowlevel.current_statistics().tasks_living)
        assert max(sizes[-10:]) <= max(sizes[:10])
        assert len(set(tasks)) == 1
        assert not server._open_channels


async def test_ten_hours_on_an_unreliable_path(autojump_clock: MockClock) -> None:
    """An outage of minutes every hour, with a patience that is made for them."""
    config = Config(association_max_retrans=100, rto_max=20.0, path_mtu_discovery=False)
    pair = open_association_pair(delay=0.02, loss=0.02, seed=5, config=config)
    async with pair as (client, server):
        end = client._pump.transport
        channel = client.open_channel()
        far = await server.listen().accept()
        sizes = []
        for hour in range(10):
            for conditions in (end.outgoing.conditions, end.incoming.conditions):  # type: ignore[attr-defined]
                conditions.loss = 1.0
            await channel.send(b"%d" % hour)
            await trio.sleep(600)
            for conditions in (end.outgoing.conditions, end.incoming.conditions):  # type: ignore[attr-defined]
                conditions.loss = 0.02
            assert await far.receive() == b"%d" % hour
            await trio.sleep(3000)
            sizes.append(total(client._core) + total(server._core))
        assert sizes[-1] <= max(sizes[:3])
        assert client.statistics().unacked_chunks == 0
        assert math.isfinite(client._core.next_timeout())
