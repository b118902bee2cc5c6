"""Candidates that trickle, and ICE that begins anew, with aiortc, libdatachannel and werift, live.

Neither aiortc nor libdatachannel restarts ICE; werift does.
"""

from __future__ import annotations

import pytest
import trio

from tests.support.commands import TIME_LIMIT
from tests.support.webrtc_peers import Role, Stack, WebrtcPeer, introduce, run_webrtc_peer
from trio_sctp import Association, RtcEndpoint, RtcPeer, open_rtc_endpoint


def without_candidates(sdp: str) -> str:
    lines = sdp.split("\r\n")
    return "\r\n".join(
        line for line in lines if not line.startswith(("a=candidate", "a=end-of-candidates"))
    )


async def give_candidates(ours: RtcPeer, peer: WebrtcPeer) -> None:
    async for candidate in ours.local_candidates:
        await peer.do("candidate", candidate=candidate)
    await peer.do("candidate", candidate=None)


async def take_candidates(ours: RtcPeer, peer: WebrtcPeer) -> None:
    candidate = ""
    while candidate is not None:
        candidate = (await peer.expect("candidate"))["candidate"]
        ours.add_candidate(candidate)


async def introduce_without_candidates(
    endpoint: RtcEndpoint, peer: WebrtcPeer, role: Role
) -> RtcPeer:
    if role == "offer":
        offer = await peer.description()
        assert "a=candidate" not in offer
        ours = await endpoint.answer(offer, trickle=True)
        await peer.do("describe", sdp=without_candidates(ours.local_description), type="answer")
    else:
        ours = await endpoint.offer(trickle=True)
        await peer.do("describe", sdp=without_candidates(ours.local_description), type="offer")
        answer = await peer.description()
        assert "a=candidate" not in answer
        ours.accept_answer(answer)
    return ours


async def ask(association: Association, label: str, peer: WebrtcPeer) -> None:
    async with association.open_channel(label) as channel:
        await peer.expect_label("channel", label)
        await channel.send(label)
        assert await channel.receive() == label


@pytest.mark.parametrize("role", ["offer", "answer"])
@pytest.mark.parametrize("stack", ["aiortc", "libdatachannel", "werift"])
async def test_candidates_trickle_both_ways(stack: Stack, role: Role) -> None:
    with trio.fail_after(TIME_LIMIT):
        async with (
            open_rtc_endpoint() as endpoint,
            run_webrtc_peer(stack, role, trickle=True) as peer,
        ):
            ours = await introduce_without_candidates(endpoint, peer, role)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(give_candidates, ours, peer)
                nursery.start_soon(take_candidates, ours, peer)
            await peer.do("sync")  # libdatachannel fails on a candidate after the end
            await peer.expect("synced")
            async with ours as association:
                await ask(association, "x", peer)


def ufrag(sdp: str) -> str:
    (found,) = {line for line in sdp.splitlines() if line.startswith("a=ice-ufrag:")}
    return found


@pytest.mark.parametrize("theirs", [True, False])
async def test_ice_begins_anew(theirs: bool) -> None:
    """By an offer of either end, in the middle of an association."""
    with trio.fail_after(TIME_LIMIT):
        async with open_rtc_endpoint() as endpoint, run_webrtc_peer("werift", "offer") as peer:
            ours = await introduce(endpoint, peer, "offer")
            async with ours as association:
                await ask(association, "before", peer)
                before = ours.local_description
                if theirs:
                    await peer.do("restart")
                    answer = ours.renegotiate(await peer.description())
                    await peer.do("describe", sdp=answer, type="answer")
                else:
                    await peer.do("describe", sdp=ours.restart_ice(), type="offer")
                    ours.accept_answer(await peer.description())
                assert ufrag(ours.local_description) != ufrag(before)
                for number in range(3):
                    await ask(association, f"after {number}", peer)
                    await trio.sleep(0.1)
