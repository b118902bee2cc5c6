"""Whole WebRTC sessions in virtual time: ICE, DTLS and SCTP over an emulated network."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import pytest
import trio
from trio.testing import MockClock

from tests.support.certificates import CLIENT, SERVER
from tests.support.handlers import echo
from tests.support.memory_sockets import MemoryNetwork
from tests.support.rtc_pair import ask, enter, introduce
from trio_sctp import Association, AssociationError, RtcPeer, open_rtc_endpoint
from trio_sctp.testing._emulated_link import LinkConditions

HANDSHAKES = int(os.environ.get("TRIO_SCTP_HANDSHAKES", "50"))
"""How many over each kind of network; CI has 1,000."""
TOO_LONG = 300.0
"""Seconds within which everything has to be settled, one way or the other."""
HERE, THERE = "192.0.2.1", "192.0.2.2"


async def outcome(peer: RtcPeer) -> str:
    """How it went from entering to leaving: any other exception is a failure of the test."""
    try:
        async with peer as association:
            if association.client:
                await ask(association)
            else:
                channel = await association.listen().accept()
                async for message in channel:
                    await channel.send(message)
                await channel.aclose()
                await association.wait_closed()
    except AssociationError as error:
        return type(error).__name__
    except trio.EndOfChannel:
        pass
    return "up"


async def session(seed: int, *, lite: bool) -> tuple[str, ...]:
    """One session between new endpoints: what came of it at the one that calls, and at the other."""
    results: dict[int, str] = {}

    async def note(index: int, peer: RtcPeer) -> None:
        results[index] = await outcome(peer)

    async with (
        open_rtc_endpoint(host=HERE, certificate=CLIENT, rng=Random(seed)) as caller,
        open_rtc_endpoint(host=THERE, certificate=SERVER, lite=lite, rng=Random(~seed)) as called,
    ):
        with trio.fail_after(TOO_LONG):
            async with trio.open_nursery() as nursery:
                for index, peer in enumerate(await introduce(caller, called)):
                    nursery.start_soon(note, index, peer)
        for endpoint in (caller, called):
            assert endpoint.statistics().half_open == 0
    return results[0], results[1]


@pytest.mark.parametrize(
    "loss, least", [(0.0, 1.0), (0.1, 1.0), (0.3, 0.98), (0.5, 0.5)], ids=["0", "10", "30", "50"]
)
async def test_sessions_succeed_or_fail_with_a_typed_error(
    loss: float, least: float, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    conditions = LinkConditions(
        delay=0.02, jitter=0.01, loss=loss, reorder=0.05, duplicate=loss / 5
    )
    results = Counter[tuple[str, ...]]()
    for seed in range(HANDSHAKES):
        MemoryNetwork(conditions, seed=seed).install(monkeypatch)
        results[await session(seed, lite=seed % 2 == 1)] += 1
    assert results["up", "up"] >= least * HANDSHAKES, results


@asynccontextmanager
async def connected(
    network: MemoryNetwork, monkeypatch: pytest.MonkeyPatch, *, lite: bool = False
) -> AsyncIterator[tuple[Association, RtcPeer]]:
    """An association with an endpoint that echoes, and the peer over there."""
    network.install(monkeypatch)
    with trio.fail_after(TOO_LONG):
        async with (
            open_rtc_endpoint(host=HERE, certificate=CLIENT) as caller,
            open_rtc_endpoint(host=THERE, certificate=SERVER, lite=lite) as called,
            trio.open_nursery() as nursery,
        ):
            offering, answering = await introduce(caller, called)
            nursery.start_soon(enter, answering, echo, [])
            async with offering as association:
                yield association, answering


async def test_the_path_mtu_is_that_of_the_network_and_may_shrink(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    network = MemoryNetwork(LinkConditions(delay=0.02, mtu=1420 - 28))
    async with connected(network, monkeypatch) as (association, _):
        while association.statistics().path_mtu_state != "SEARCH_COMPLETE":
            await trio.sleep(1.0)
        assert 1320 <= association.statistics().path_mtu <= 1420 - 28 - 37
        await ask(association, "x" * 20_000)
        network.conditions.mtu = 1250
        await ask(association, "y" * 20_000)
        assert association.statistics().path_mtu <= 1250 - 37


@pytest.mark.parametrize("lite", [False, True])
async def test_a_peer_whose_nat_rebinds(
    lite: bool, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    """Its address is another one from one moment to the next; SCTP is told and goes on."""
    network = MemoryNetwork(LinkConditions(delay=0.02))
    async with connected(network, monkeypatch, lite=lite) as (association, over_there):
        await ask(association, "x" * 100_000)
        there = over_there._association
        assert there is not None
        inside = there.peer_address
        assert isinstance(inside, tuple)
        grown = there.statistics().cwnd
        await trio.sleep(10.0)
        network.looks_like[inside] = outside = ("198.51.100.9", 9)
        began = trio.current_time()
        await ask(association)
        assert trio.current_time() - began < 12.0
        assert there.peer_address == outside
        assert there.statistics().cwnd < grown
        # far beyond what consent lasts
        await trio.sleep(60.0)
        await ask(association)


async def test_an_interruption_shorter_than_consent_lasts(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    network = MemoryNetwork(LinkConditions(delay=0.02))
    async with connected(network, monkeypatch) as (association, _):
        await ask(association)
        network.conditions.loss = 1.0
        with trio.move_on_after(20.0):
            await ask(association)
            raise AssertionError("nothing can pass")
        network.conditions.loss = 0.0
        began = trio.current_time()
        await ask(association)
        assert trio.current_time() - began < 4.0
