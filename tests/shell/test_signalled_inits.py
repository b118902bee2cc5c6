"""INITs exchanged in signalling: associations without a handshake, over links and WebRTC (SNAP)."""

from __future__ import annotations

import random
import re

import pytest
import trio
from trio.testing import MockClock

from tests.support.handlers import echo
from tests.support.rtc_pair import ask, enter, introduce, two_endpoints
from trio_sctp import (
    Association,
    BadInitError,
    Config,
    LocalProtocolError,
    PacketCapture,
    SdpError,
    make_init,
    open_association,
    open_rtc_endpoint,
    serve_rtc,
)
from trio_sctp._rtc import DEFAULT_RTC_CONFIG
from trio_sctp._wire.packet import decode_chunks
from trio_sctp.testing import CapturedTransport, memory_link

HOST = "127.0.0.1"


class Record(PacketCapture):
    """Which chunks have passed."""

    def __init__(self) -> None:
        self.chunks: list[str] = []

    def capture(self, packet: bytes, *, sent: bool, now: float) -> None:
        self.chunks += [type(chunk).__name__ for chunk in decode_chunks(packet)]


async def test_over_a_link(autojump_clock: MockClock) -> None:
    """A message and its echo take one round trip, from the very beginning."""
    near, far = memory_link(delay=0.1)
    ours, theirs = make_init(rng=random.Random(1)), make_init(rng=random.Random(2))
    record = Record()

    async def serve() -> None:
        async with open_association(far, client=False, inits=(theirs, ours)) as association:
            async for channel in association.listen():
                await channel.send(await channel.receive())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        tapped = CapturedTransport(near, record)
        began = trio.current_time()
        async with open_association(tapped, client=True, inits=(ours, theirs)) as association:
            assert trio.current_time() == began
            channel = association.open_channel("echo")
            await channel.send("hello")
            assert await channel.receive() == "hello"
            assert trio.current_time() - began == pytest.approx(0.2)
    assert not {"Init", "InitAck", "CookieEcho", "CookieAck"}.intersection(record.chunks)


async def test_an_init_that_is_none(autojump_clock: MockClock) -> None:
    near, far = memory_link()
    ours = make_init()
    for bad in (b"", b"nonsense", bytes(20), ours[:-1]):
        with pytest.raises(BadInitError):
            open_association(near, client=True, inits=(ours, bad))
        with pytest.raises(LocalProtocolError, match="local_init"):
            open_association(near, client=True, inits=(bad, ours))
    with pytest.raises(LocalProtocolError, match="another configuration"):
        open_association(near, client=True, config=Config(a_rwnd=5000), inits=(ours, ours))
    await near.aclose()
    await far.aclose()


async def test_both_peers_of_a_session() -> None:
    config = DEFAULT_RTC_CONFIG.replace(path_mtu_discovery=False)  # its finds are events
    async with (
        two_endpoints(snap=True, config=config) as (caller, called),
        trio.open_nursery() as nursery,
    ):
        offering, answering = await introduce(caller, called)
        for peer in (offering, answering):
            assert peer.local_description.count("a=sctp-init:") == 1
        nursery.start_soon(enter, answering, echo, [])
        async with offering as association:
            await ask(association)
            offer = offering.restart_ice()
            assert init_of(offer) == init_of(offering.local_description)
            offering.accept_answer(answering.renegotiate(offer))
            await ask(association, "still")
            with pytest.raises(trio.WouldBlock):  # no restart, as a handshake now would be
                association.events.receive_nowait()


@pytest.mark.parametrize("caller_can", [True, False])
async def test_one_end_without_support(caller_can: bool) -> None:
    """It has its handshake then, and the attribute is in no answer that nobody asked for it."""
    async with (
        open_rtc_endpoint(host=HOST, snap=caller_can) as caller,
        open_rtc_endpoint(host=HOST, snap=not caller_can) as called,
        trio.open_nursery() as nursery,
    ):
        offering, answering = await introduce(caller, called)
        assert "sctp-init" not in answering.local_description
        nursery.start_soon(enter, answering, echo, [])
        async with offering as association:
            await ask(association)
            assert "sctp-init" not in offering.restart_ice()


async def test_a_server_takes_both_kinds() -> None:
    async def handler(association: Association) -> None:
        await echo(association)

    async with trio.open_nursery() as nursery:
        server = await nursery.start(
            lambda task_status: serve_rtc(handler, 0, host=HOST, snap=True, task_status=task_status)
        )
        for snap in (True, False):
            async with open_rtc_endpoint(host=HOST, snap=snap) as endpoint:
                offering, _ = await introduce(endpoint, server)
                async with offering as association:
                    await ask(association)
        nursery.cancel_scope.cancel()


def init_of(sdp: str) -> str:
    found = re.search("a=sctp-init:(.*)\r\n", sdp)
    assert found is not None
    return found[1]


async def test_offers_and_answers_with_bad_inits() -> None:
    async with two_endpoints(snap=True) as (caller, called):
        offering = await caller.offer()
        offer = offering.local_description
        for bad in ("AAAA", "AQAAFAAAAAAAAAAAAAAAAAAAAAA=", "AQAA", init_of(offer)[4:]):
            with pytest.raises(SdpError, match="sctp-init"):
                await called.answer(offer.replace(init_of(offer), bad))
        with pytest.raises(SdpError, match="base64"):
            await called.answer(offer.replace(init_of(offer), "%%%"))
        assert called.statistics().peers == 0
        answering = await called.answer(offer)
        answer = answering.local_description
        with pytest.raises(SdpError, match="sctp-init"):
            offering.accept_answer(answer.replace(init_of(answer), "AAAA"))
        offering.accept_answer(answer)
        # Draft §5.6: the same in all descriptions of a session
        with pytest.raises(SdpError, match="another sctp-init"):
            answering.renegotiate(offer.replace(init_of(offer), init_of(answer)))
        answering.renegotiate(offer)
        await offering.aclose()
        await answering.aclose()
