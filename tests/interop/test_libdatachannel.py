"""The whole WebRTC stack with libdatachannel and with werift, live under Node, in both roles."""

from __future__ import annotations

import pytest
import trio

from tests.support.commands import TIME_LIMIT
from tests.support.webrtc_peers import (
    Role,
    Stack,
    check_bulk,
    check_our_channels,
    check_path_mtu,
    check_their_channels,
    introduce,
    run_webrtc_peer,
)
from trio_sctp import AssociationError, IceConfig, open_rtc_endpoint


# werift chooses its ids by its role in ICE and not in DTLS, so both ends would choose the same ones
# were it the one that calls, or is called by, a lite endpoint.
@pytest.mark.parametrize(
    "stack, lite", [("libdatachannel", False), ("libdatachannel", True), ("werift", False)]
)
@pytest.mark.parametrize("role", ["offer", "answer"])
async def test_channels_of_both_ends(stack: Stack, role: Role, lite: bool) -> None:
    with trio.fail_after(TIME_LIMIT):
        async with (
            open_rtc_endpoint(lite=lite) as endpoint,
            run_webrtc_peer(stack, role) as peer,
            await introduce(endpoint, peer, role) as association,
        ):
            await check_our_channels(association, peer)
            await check_their_channels(association, peer)
            await check_path_mtu(association)
            assert await check_bulk(association, 4_000_000) > 0


@pytest.mark.parametrize("stack", ["libdatachannel", "werift"])
async def test_the_peer_hangs_up(stack: Stack) -> None:
    ice = IceConfig(consent_interval=1.0, consent_timeout=4.0)  # werift says no good-bye
    with trio.fail_after(TIME_LIMIT):
        async with (
            open_rtc_endpoint(ice=ice) as endpoint,
            run_webrtc_peer(stack, "offer") as peer,
            await introduce(endpoint, peer, "offer") as association,
        ):
            listener = association.listen()
            await listener.accept()
            await peer.do("hang up")
            with pytest.raises((AssociationError, trio.EndOfChannel)):
                await listener.accept()
