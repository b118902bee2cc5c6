"""The whole WebRTC stack with aiortc, live, in both roles."""

from __future__ import annotations

import pytest
import trio

from tests.support.commands import TIME_LIMIT
from tests.support.webrtc_peers import (
    Role,
    check_bulk,
    check_our_channels,
    check_path_mtu,
    check_their_channels,
    introduce,
    run_webrtc_peer,
)
from trio_sctp import AssociationError, open_rtc_endpoint


@pytest.mark.parametrize("lite", [False, True])
@pytest.mark.parametrize("role", ["offer", "answer"])
async def test_channels_of_both_ends(role: Role, lite: bool) -> None:
    with trio.fail_after(TIME_LIMIT):
        async with (
            open_rtc_endpoint(lite=lite) as endpoint,
            run_webrtc_peer("aiortc", role) as peer,
        ):
            async with await introduce(endpoint, peer, role) as association:
                await check_our_channels(association, peer)
                await check_their_channels(association, peer)
                await check_path_mtu(association)
            while (await peer.expect("state"))["state"] != "closed":
                pass


@pytest.mark.parametrize("role", ["offer", "answer"])
async def test_bulk(role: Role) -> None:
    with trio.fail_after(TIME_LIMIT):
        async with (
            open_rtc_endpoint() as endpoint,
            run_webrtc_peer("aiortc", role) as peer,
            await introduce(endpoint, peer, role) as association,
        ):
            assert await check_bulk(association, 4_000_000) > 0


@pytest.mark.parametrize("dtls_role", ["client", "server"])
async def test_each_role_of_dtls(dtls_role: str) -> None:
    with trio.fail_after(TIME_LIMIT):
        async with open_rtc_endpoint() as endpoint, run_webrtc_peer("aiortc", "offer") as peer:
            ours = await endpoint.answer(await peer.description(), dtls_role=dtls_role)  # type: ignore[arg-type]
            await peer.do("describe", sdp=ours.local_description, type="answer")
            async with ours as association:
                assert association.client == (dtls_role == "client")
                assert (await association.listen().accept()).label == "from peer"


async def test_the_peer_hangs_up() -> None:
    with trio.fail_after(TIME_LIMIT):
        async with (
            open_rtc_endpoint() as endpoint,
            run_webrtc_peer("aiortc", "offer") as peer,
            await introduce(endpoint, peer, "offer") as association,
        ):
            listener = association.listen()
            await listener.accept()
            await peer.do("hang up")
            with pytest.raises(AssociationError):
                await listener.accept()
