"""STUN servers that are slow, or silent, and endpoints that end before those who wait for them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock

from tests.support.certificates import CLIENT, SERVER
from tests.support.handlers import wait_closed
from tests.support.memory_sockets import MemoryNetwork, MemorySocket
from tests.support.rtc_pair import enter
from trio_sctp import (
    HandshakeFailed,
    IceConfig,
    RtcEndpoint,
    SdpError,
    open_rtc_endpoint,
)
from trio_sctp._webrtc.stun import (
    Address,
    Attribute,
    MessageClass,
    StunMessage,
    encode_message,
    encode_xor_address,
)

HERE, THERE = "192.0.2.1", "192.0.2.2"
STUN_SERVER: Address = ("203.0.113.1", 3478)


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> MemoryNetwork:
    network = MemoryNetwork()
    network.install(monkeypatch)
    return network


async def answer_after(delay: float, socket: MemorySocket) -> None:
    """A STUN server that takes its time."""
    while True:
        for address, requests in await socket.receive_batch():
            await trio.sleep(delay)
            for request in requests:
                asked = StunMessage.decode(request).transaction_id
                mapped = encode_xor_address(("198.51.100.1", 7), asked)
                attributes = [(Attribute.XOR_MAPPED_ADDRESS, mapped)]
                answer = encode_message(MessageClass.SUCCESS, asked, attributes)
                socket.send_to_nowait(address, [answer])


@asynccontextmanager
async def behind_a_slow_server(
    network: MemoryNetwork, delay: float
) -> AsyncIterator[tuple[RtcEndpoint, RtcEndpoint]]:
    """An endpoint whose STUN server answers so late, and one without."""
    await network.bind(STUN_SERVER[1], STUN_SERVER[0])
    async with (
        open_rtc_endpoint(host=HERE, certificate=CLIENT, stun_servers=[STUN_SERVER]) as caller,
        open_rtc_endpoint(host=THERE, certificate=SERVER) as called,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(answer_after, delay, network.sockets[STUN_SERVER])
        yield caller, called
        nursery.cancel_scope.cancel()


async def test_a_silent_server_is_waited_for_five_seconds(
    network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    """Thirteen it had been, in which the page showed nothing."""
    async with open_rtc_endpoint(host=HERE, stun_servers=[STUN_SERVER]) as endpoint:
        began = trio.current_time()
        peer = await endpoint.offer()
        assert trio.current_time() - began == pytest.approx(5.0, abs=0.1)
        assert "typ host" in peer.local_description
        assert "a=end-of-candidates" in peer.local_description
        await peer.aclose()


@pytest.mark.parametrize("stops_listening", [False, True])
async def test_a_server_that_answers_when_nobody_wants_to_hear_of_it(
    stops_listening: bool, network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    """The candidate had nowhere to go, and the whole endpoint ended."""
    async with behind_a_slow_server(network, 1.0) as (caller, called):
        offering = await caller.offer(trickle=True)
        answering = await called.answer(offering.local_description)
        offering.accept_answer(answering.local_description)
        if stops_listening:
            offering.local_candidates.close()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(enter, answering, wait_closed)
            async with offering as association:
                await trio.sleep(1.5 if stops_listening else 0.5)
                assert association.statistics().state == "ESTABLISHED"
        await trio.sleep(2.0)
        peer = await caller.offer(trickle=True)  # it is still there
        await peer.aclose()


async def test_an_endpoint_that_is_closed_while_somebody_waits_for_an_offer(
    network: MemoryNetwork,
    autojump_clock: MockClock,
) -> None:
    async def call(endpoint: RtcEndpoint) -> None:
        with pytest.raises(trio.ClosedResourceError, match="endpoint"):
            await endpoint.offer()

    with trio.fail_after(1.0):
        async with (
            trio.open_nursery() as nursery,
            open_rtc_endpoint(host=HERE, stun_servers=[STUN_SERVER]) as endpoint,
        ):
            nursery.start_soon(call, endpoint)
            await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(trio.ClosedResourceError, match="endpoint"):
            await endpoint.offer()
        assert endpoint.statistics().peers == 0


async def test_ice_that_fails_before_the_server_was_given_up(
    network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    """Who waited for the answer waited for ever."""
    hasty = IceConfig(connect_timeout=1.0, initial_rto=0.1, max_transmissions=2)
    async with (
        open_rtc_endpoint(host=THERE) as gone,
        open_rtc_endpoint(host=HERE, stun_servers=[STUN_SERVER], ice=hasty) as endpoint,
    ):
        nobody = await gone.offer()
        await nobody.aclose()
        with trio.fail_after(5.0):
            peer = await endpoint.answer(nobody.local_description)
            with pytest.raises(HandshakeFailed, match="no candidate pair works"):
                await peer.__aenter__()


async def test_an_endpoint_does_not_answer_itself(
    network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    """DTLS cannot tell the ends apart where both have the same address: it would end in a time-out."""
    async with open_rtc_endpoint(host=HERE) as endpoint:
        peer = await endpoint.offer()
        with pytest.raises(SdpError, match="own offer"):
            await endpoint.answer(peer.local_description)
        assert endpoint.statistics().peers == 1
        await peer.aclose()


async def test_a_cancelled_endpoint_says_so_and_nothing_else(
    network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    """Its peers end with it, a moment before the program that signals hears that it is cancelled."""
    async with open_rtc_endpoint(host=THERE) as called:
        with trio.move_on_after(1.0) as scope:
            async with open_rtc_endpoint(host=HERE) as caller:
                offering = await caller.offer()
                answering = await called.answer(offering.local_description)
                with trio.CancelScope(shield=True):  # as a thread does that asks somebody
                    await trio.sleep(2.0)
                offering.accept_answer(answering.local_description)
                async with offering:
                    raise AssertionError
        assert scope.cancelled_caught
        await answering.aclose()
