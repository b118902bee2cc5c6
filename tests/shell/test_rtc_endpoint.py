"""WebRTC between endpoints of ours, over real UDP: signalling, both roles, and every way to end."""

from __future__ import annotations

from typing import Any, Literal

import pytest
import trio
import trio.testing

from tests.support.certificates import CLIENT, SERVER
from tests.support.handlers import echo, wait_closed
from tests.support.memory import measured
from tests.support.rtc_pair import HOST, ask, enter, introduce, two_endpoints
from trio_sctp import (
    Association,
    AssociationAborted,
    AssociationError,
    AssociationLost,
    CertificateRejected,
    HandshakeFailed,
    IceConfig,
    RtcPeer,
    SdpError,
    TooManyPeersError,
    open_rtc_endpoint,
)
from trio_sctp._rtc import DEFAULT_RTC_CONFIG
from trio_sctp._webrtc.stun import Attribute, MessageClass, encode_message, encode_xor_address

TIME_LIMIT = 300
QUICK = IceConfig(
    initial_rto=0.05,
    connect_timeout=0.5,
    consent_interval=0.2,
    consent_timeout=0.6,
    max_transmissions=3,
)


class Oops(Exception):
    """What a user's block raises."""


@pytest.mark.parametrize("lite", [False, True])
@pytest.mark.parametrize("lite_calls", [False, True])
async def test_both_roles(lite: bool, lite_calls: bool) -> None:
    async with two_endpoints(lite=lite) as (full, other), trio.open_nursery() as nursery:
        caller, called = (other, full) if lite_calls else (full, other)
        offering, answering = await introduce(caller, called)
        assert (offering.description_type, answering.description_type) == ("offer", "answer")
        nursery.start_soon(enter, answering, wait_closed)
        at_first = full.statistics()
        assert at_first.half_open == 1
        async with offering as association:
            assert association.peer_address == (HOST, called.port)
            assert association.peer_certificate == called.certificate.der
            assert offering.peer_fingerprints == (called.certificate.fingerprint(),)
            assert "established" in repr(offering)
            assert caller.statistics().half_open == 0
            assert at_first.half_open == 1  # a snapshot, as everywhere
            assert str(caller.port) in repr(caller)


@pytest.mark.parametrize("role", ["client", "server"])
async def test_the_dtls_role_can_be_chosen(role: Literal["client", "server"]) -> None:
    async with two_endpoints() as (caller, called), trio.open_nursery() as nursery:
        offering = await caller.offer()
        answering = await called.answer(offering.local_description, dtls_role=role)
        offering.accept_answer(answering.local_description)
        nursery.start_soon(enter, answering, wait_closed)
        async with offering as association:
            assert association.client == (role == "server")


async def test_many_peers_of_one_endpoint() -> None:
    errors: list[Exception] = []
    async with open_rtc_endpoint(host=HOST, lite=True) as server, trio.open_nursery() as nursery:

        async def client(text: str) -> None:
            async with open_rtc_endpoint(host=HOST) as endpoint:
                offering, answering = await introduce(endpoint, server)
                nursery.start_soon(enter, answering, echo, errors)
                async with offering as association:
                    await ask(association, text * 10_000)

        for number in range(10):
            nursery.start_soon(client, str(number))
        with trio.fail_after(TIME_LIMIT):
            while len(errors) < 10:
                await trio.sleep(0.01)


async def test_the_same_two_endpoints_meet_again_and_again() -> None:
    async with two_endpoints(lite=True) as (full, other):
        for _ in range(5):
            async with trio.open_nursery() as nursery:
                offering, answering = await introduce(full, other)
                nursery.start_soon(enter, answering, wait_closed)
                async with offering:
                    pass


async def test_candidates_may_trickle() -> None:
    async with two_endpoints() as (caller, called), trio.open_nursery() as nursery:
        offering = await caller.offer(trickle=True)
        bare = [
            line
            for line in offering.local_description.splitlines(keepends=True)
            if not line.startswith(("a=candidate", "a=end-of"))
        ]
        answering = await called.answer("".join(bare), trickle=True)
        async for candidate in answering.local_candidates:
            offering.add_candidate(candidate)
        offering.add_candidate(None)
        offering.add_candidate("candidate:1 1 udp 1 a5a5.local 9 typ host")  # mDNS: ignored
        with pytest.raises(ValueError, match="not a candidate"):
            offering.add_candidate("nonsense")
        offering.accept_answer(answering.local_description)
        async for candidate in offering.local_candidates:
            answering.add_candidate(candidate)
        nursery.start_soon(enter, answering, echo, [])
        async with offering as association:
            await ask(association)


@pytest.mark.parametrize("lite", [False, True])
async def test_ice_begins_anew_and_the_association_goes_on(lite: bool) -> None:
    async with two_endpoints(lite=lite) as (full, other), trio.open_nursery() as nursery:
        offering, answering = await introduce(full, other)
        nursery.start_soon(enter, answering, echo, [])
        async with offering as association, association.open_channel() as channel:
            for _ in range(3):
                before = offering.local_description
                offer = offering.restart_ice()
                assert offer != before
                offering.accept_answer(answering.renegotiate(offer))
                for _ in range(20):
                    await channel.send("still there?")
                    assert await channel.receive() == "still there?"
                    await trio.sleep(0.01)


@pytest.mark.parametrize("lite", [False, True])
async def test_restarts_that_nobody_answers(lite: bool) -> None:
    """The peer goes on to check with the names of the session that it knows: they stay known."""
    async with two_endpoints(lite=lite) as (full, other), trio.open_nursery() as nursery:
        offering, answering = await introduce(other, full)
        nursery.start_soon(enter, answering, echo, [])
        async with offering as association:
            (first,) = other._routes.by_ufrag
            for _ in range(3):
                offer = offering.restart_ice()
                assert set(other._routes.by_ufrag) == {first, offering._ice.credentials.ufrag}
            offering.accept_answer(answering.renegotiate(offer))
            await ask(association)


async def test_renegotiating_without_change() -> None:
    async with two_endpoints(lite=True) as (full, other), trio.open_nursery() as nursery:
        offering, answering = await introduce(full, other)
        nursery.start_soon(enter, answering, echo, [])
        async with offering as association:
            offering.accept_answer(answering.renegotiate(offering.local_description))
            await ask(association)
            stranger = await full.offer()
            answer = (await other.answer(stranger.local_description)).local_description
            with pytest.raises(SdpError, match="nothing was offered"):
                answering.accept_answer(answer)


async def test_the_roles_in_dtls_stay() -> None:
    """An offer that turns them round was found out only when the answer was made of it."""
    async with two_endpoints() as (full, other), trio.open_nursery() as nursery:
        offering, answering = await introduce(full, other)
        answer = answering.local_description
        nursery.start_soon(enter, answering, echo, [])
        async with offering as association:
            offer = offering.restart_ice()
            turned = offer.replace("a=setup:actpass", "a=setup:active")
            assert "a=setup:active" in answer
            with pytest.raises(SdpError, match="another role in DTLS"):
                answering.renegotiate(turned)
            assert answering.local_description == answer
            offering.accept_answer(answering.renegotiate(offer))
            await ask(association)


async def test_another_stun_server_tells_us_how_we_look() -> None:
    """An endpoint is a STUN server to nobody; a socket that answers is enough."""
    server = trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM)
    await server.bind((HOST, 0))

    async def serve() -> None:
        while True:
            request, _ = await server.recvfrom(2000)
            seen = encode_xor_address(("192.0.2.77", 4242), request[8:20])
            attributes = [(Attribute.XOR_MAPPED_ADDRESS, seen)]
            answer = encode_message(MessageClass.SUCCESS, request[8:20], attributes)
            await server.sendto(answer, _)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        url = f"stun:{HOST}:{server.getsockname()[1]}"
        async with open_rtc_endpoint(host=HOST, stun_servers=[url]) as endpoint:
            peer = await endpoint.offer()
            assert "192.0.2.77 4242 typ srflx" in peer.local_description
            told = [candidate async for candidate in peer.local_candidates]
            assert len(told) == 2
        nursery.cancel_scope.cancel()
    server.close()


async def test_public_addresses_take_the_place_of_private_ones() -> None:
    options: Any = {"host": HOST, "public_hosts": ["198.51.100.7"]}
    async with open_rtc_endpoint(lite=True, **options) as endpoint:
        peer = await endpoint.offer()
        assert f"198.51.100.7 {endpoint.port} typ host" in peer.local_description
        assert HOST + " " not in peer.local_description.replace("IN IP4 127.0.0.1", "")


async def test_all_interfaces_have_the_same_port() -> None:
    async with open_rtc_endpoint() as endpoint:
        assert {port for _, port in endpoint.local_addresses} == {endpoint.port}
    with pytest.raises(OSError, match="cannot bind"):
        async with open_rtc_endpoint(host="192.0.2.201"):
            raise AssertionError
    for wrong in ("turn:x", "stun:", "stun:host:x"):
        with pytest.raises(ValueError, match="STUN server"):
            async with open_rtc_endpoint(stun_servers=[wrong]):
                raise AssertionError


# -- the end


async def test_the_blocks_own_exception_leaves_plainly() -> None:
    errors: list[Exception] = []
    async with trio.open_nursery() as nursery:
        with pytest.raises(Oops):  # noqa: PT012
            async with two_endpoints() as (caller, called):
                offering, answering = await introduce(caller, called)
                nursery.start_soon(enter, answering, echo, errors)
                async with offering:
                    try:
                        raise Oops
                    finally:
                        offering._association.abort()  # type: ignore[union-attr]
                        while not errors:
                            await trio.sleep(0.01)
    assert isinstance(_only(errors[0]), AssociationAborted)


def _only(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        (error,) = error.exceptions
    return error


async def test_cancelling_at_every_moment() -> None:
    for delay in (0.0, 0.001, 0.003, 0.006, 0.01, 0.02, 0.05):
        async with two_endpoints() as (caller, called), trio.open_nursery() as nursery:
            offering, answering = await introduce(caller, called)
            nursery.start_soon(enter, answering, echo, [])
            with trio.move_on_after(delay) as scope:
                async with offering as association:
                    await association.wait_closed()
            assert scope.cancelled_caught
            nursery.cancel_scope.cancel()


async def test_a_peer_is_entered_once() -> None:
    async with two_endpoints() as (caller, called), trio.open_nursery() as nursery:
        offering, answering = await introduce(caller, called)
        nursery.start_soon(enter, answering, wait_closed)
        async with offering:
            pass
        with pytest.raises(RuntimeError, match="once"):
            await offering.__aenter__()


async def test_a_closed_peer() -> None:
    async with two_endpoints() as (caller, _):
        peer = await caller.offer()
        await peer.aclose()
        await peer.aclose()
        with pytest.raises(trio.ClosedResourceError):
            await peer.__aenter__()
        await trio.testing.wait_all_tasks_blocked()
        assert caller.statistics().peers == 0


async def test_nothing_is_signalled_to_a_peer_that_is_over() -> None:
    """Its answer had been accepted, and an ICE restart entered it in the endpoint's tables for ever."""
    async with two_endpoints() as (caller, called):
        offering, answering = await introduce(caller, called)
        offer = offering.restart_ice()
        answer = answering.renegotiate(offer)
        await offering.aclose()
        await answering.aclose()
        await trio.testing.wait_all_tasks_blocked()
        for signal in (
            lambda: offering.accept_answer(answer),
            lambda: answering.renegotiate(offer),
            offering.restart_ice,
        ):
            with pytest.raises(trio.ClosedResourceError, match="over"):
                signal()
        offering.add_candidate("candidate:1 1 udp 1 192.0.2.1 9 typ host")  # they trickle in late
        assert not caller._routes.by_ufrag
        assert not called._routes.by_ufrag


async def test_leaving_is_seen_at_once() -> None:
    """By close_notify: nobody waits for a time-out."""
    async with two_endpoints() as (caller, called):
        offering, answering = await introduce(caller, called)
        with trio.fail_after(25):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(enter, answering, wait_closed)
                async with offering as association:
                    association._pump.can_send = False  # SCTP says nothing
                    association.abort()


@pytest.mark.parametrize("lite", [False, True])
async def test_a_peer_that_vanishes(lite: bool) -> None:
    ice = IceConfig(
        consent_interval=0.2, consent_timeout=3.0
    )  # it is not missed before it vanishes
    async with two_endpoints(lite=lite, ice=ice) as (full, other), trio.open_nursery() as nursery:
        offering, answering = await introduce(full, other)
        errors: list[Exception] = []
        nursery.start_soon(enter, answering, echo, errors)
        with pytest.raises(AssociationLost, match="no longer answers"):  # noqa: PT012
            async with offering as association:
                while offering._selected is None or answering._selected is None:
                    await trio.sleep(0.01)
                for endpoint in full, other:
                    for socket in endpoint._sockets.by_address.values():
                        silence(socket)
                async with association.open_channel() as channel:
                    await channel.receive()
        with trio.fail_after(TIME_LIMIT):
            while not errors:
                await trio.sleep(0.01)
        assert isinstance(_only(errors[0]), AssociationLost)


def silence(socket: Any) -> None:
    """From now on what is sent goes nowhere."""
    calls = socket._calls
    real = calls._socket

    class Mute:
        def __getattr__(self, name: str) -> Any:
            return getattr(real, name)

        def sendto(self, data: bytes, address: object) -> int:
            return len(data)

        def sendmsg(self, parts: list[bytes], *_: object) -> int:
            return sum(map(len, parts))

    calls._socket = Mute()


@pytest.mark.parametrize("lite", [False, True])
async def test_nobody_is_there(lite: bool) -> None:
    async with two_endpoints(lite=lite, ice=QUICK) as (full, other):
        nobody = await full.offer()
        peer = await other.answer(nobody.local_description.replace(f" {full.port} ", " 9 "))
        await nobody.aclose()
        with pytest.raises(HandshakeFailed, match="no candidate pair works"):
            async with peer:
                raise AssertionError
        forgotten = await other.answer(nobody.local_description.replace(f" {full.port} ", " 9 "))
        with trio.fail_after(TIME_LIMIT):
            while other.statistics().peers:
                await trio.sleep(0.01)
        with pytest.raises(HandshakeFailed):
            await forgotten.__aenter__()


async def enter_in_vain(
    offering: RtcPeer, answering: RtcPeer, expected: type[HandshakeFailed]
) -> HandshakeFailed:
    """Both ends are entered and fail, the offering one as expected; how the other one does."""
    errors: list[Exception] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(enter, answering, echo, errors)
        with pytest.raises(expected):
            async with offering:
                raise AssertionError
    (error,) = errors
    assert isinstance(error, HandshakeFailed)
    return error


async def test_a_wrong_fingerprint() -> None:
    async with two_endpoints() as (caller, called):
        offering = await caller.offer()
        answering = await called.answer(offering.local_description)
        wrong = str(SERVER.fingerprint())
        right = str(called.certificate.fingerprint())
        offering.accept_answer(answering.local_description.replace(right, wrong))
        error = await enter_in_vain(offering, answering, CertificateRejected)
        assert "alert bad_certificate" in str(error)


async def test_a_wrong_ice_password() -> None:
    async with two_endpoints(lite=True, ice=QUICK) as (full, other):
        offering = await full.offer()
        answering = await other.answer(offering.local_description)
        lines = [
            "a=ice-pwd:" + "x" * 24 if line.startswith("a=ice-pwd") else line
            for line in answering.local_description.splitlines()
        ]
        offering.accept_answer("\r\n".join([*lines, ""]))
        await enter_in_vain(offering, answering, HandshakeFailed)


@pytest.mark.parametrize(
    "options, path_mtu",
    [
        ({}, 1432),  # Ethernet less IP, UDP and DTLS, although the loopback takes more
        ({"max_datagram_size": 65507}, 16384),  # the longest record
        ({"config": DEFAULT_RTC_CONFIG.replace(path_mtu_discovery=False)}, 1160),
    ],
)
async def test_the_path_mtu_is_searched_as_far_as_it_may_be(
    options: dict[str, Any], path_mtu: int
) -> None:
    async def look(association: Association) -> None:
        if path_mtu != 1160:
            while association.statistics().path_mtu_state != "SEARCH_COMPLETE":
                await trio.sleep(0.01)
        await ask(association, "x" * 100_000)
        found = association.statistics()
        assert (found.path_mtu, found.path_mtu_probes_lost) == (path_mtu, 0)

    with trio.fail_after(TIME_LIMIT):
        async with two_endpoints(**options) as (full, other), trio.open_nursery() as nursery:
            caller, called = await introduce(full, other)
            nursery.start_soon(enter, called, echo, [])
            await enter(caller, look)


async def test_sizes_out_of_range_are_refused() -> None:
    for size in (1199, 65508):
        with pytest.raises(ValueError, match="max_datagram_size"):
            async with open_rtc_endpoint(max_datagram_size=size):
                pass


async def test_limits() -> None:
    async with open_rtc_endpoint(host=HOST, max_half_open=2) as endpoint:
        peers: list[RtcPeer] = [await endpoint.offer() for _ in range(2)]
        with pytest.raises(TooManyPeersError, match="connecting"):
            await endpoint.offer()
        await peers[0].aclose()
        await trio.testing.wait_all_tasks_blocked()
        await endpoint.offer()
    async with open_rtc_endpoint(host=HOST, max_peers=1) as endpoint:
        await endpoint.offer()
        with pytest.raises(TooManyPeersError, match="there are 1"):
            await endpoint.offer()


@pytest.mark.parametrize("lite, most", [(True, 30_000), (False, 120_000)])
async def test_what_a_half_open_peer_takes(lite: bool, most: int) -> None:
    """Offers may have as many candidates as anybody cares to write: all were kept, checked or not."""
    count = 5
    async with two_endpoints(lite=lite) as (full, called):
        nobody = await full.offer()
        await nobody.aclose()
        offer = nobody.local_description
        line = next(line for line in offer.splitlines(True) if "candidate:" in line)
        for number in range(700):
            offer += line.replace(HOST, f"127.1.{number // 256}.{number % 256}")
        await called.answer(offer)
        with measured() as grown:
            before = grown()
            peers = [await called.answer(offer) for _ in range(count)]
            assert grown() - before < most * count
        for peer in peers:
            await peer.aclose()


async def test_an_offer_that_makes_no_sense() -> None:
    async with open_rtc_endpoint(host=HOST, certificate=CLIENT) as endpoint:
        for nonsense in ("", "v=0\r\n", "?" * 1000):
            with pytest.raises(SdpError):
                await endpoint.answer(nonsense)
        peer = await endpoint.offer()
        with pytest.raises(SdpError):
            peer.accept_answer("v=0")
        assert str(CLIENT.fingerprint()) in peer.local_description
        with pytest.raises(RuntimeError):
            peer.restart_ice()
        assert endpoint.statistics().peers == 1


async def test_the_endpoint_is_left_while_peers_are_there() -> None:
    errors: list[Exception] = []
    async with trio.open_nursery() as nursery, two_endpoints() as (caller, called):
        offering, answering = await introduce(caller, called)
        nursery.start_soon(enter, answering, echo, errors)
        nursery.start_soon(enter, offering, echo, errors)
        while caller.statistics().half_open or called.statistics().half_open:
            await trio.sleep(0.01)
    assert len(errors) == 2
    assert all(isinstance(_only(error), (AssociationError, trio.EndOfChannel)) for error in errors)
