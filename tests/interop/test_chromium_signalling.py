"""Chromium, live: what descriptions may hold beside channels, candidates late and odd, ICE restarts."""

from __future__ import annotations

import pytest
import trio

from tests.support.chromium import Chromium, run_chromium
from tests.support.chromium_pages import ECHO, called_page, echo
from tests.support.commands import TIME_LIMIT
from trio_sctp import Association, LocalProtocolError, RtcPeer, open_rtc_endpoint

COLLECTING = """
globalThis.found = [];
pc = new RTCPeerConnection();
pc.onicecandidate = ({candidate}) => found.push(candidate ? candidate.candidate : null);
"""


async def enter(peer: RtcPeer) -> None:
    async with peer as association:
        await echo(association)


async def give_candidates(peer: RtcPeer, page: Chromium) -> None:
    """Ours, as they become known."""
    async for candidate in peer.local_candidates:
        await page.run("await pc.addIceCandidate({candidate, sdpMid: '0'})", candidate=candidate)


async def take_candidates(peer: RtcPeer, page: Chromium) -> None:
    """The page's, until there are no more."""
    taken = 0
    while True:
        found = await page.run("return found")
        for candidate in found[taken:]:
            peer.add_candidate(candidate)
            if candidate is None:
                return
        taken = len(found)
        await trio.sleep(0.02)


@pytest.mark.parametrize("calls", [True, False])
async def test_candidates_trickle_both_ways(calls: bool) -> None:
    with trio.fail_after(TIME_LIMIT):
        async with (
            run_chromium() as page,
            open_rtc_endpoint() as endpoint,
            trio.open_nursery() as nursery,
        ):
            await page.run(COLLECTING + "pc.createDataChannel('first');")
            if calls:
                offer = await page.run(
                    "await pc.setLocalDescription(); return pc.localDescription.sdp"
                )
                assert "candidate:" not in offer
                peer = await endpoint.answer(offer, trickle=True)
                await page.run(
                    "await pc.setRemoteDescription({type: 'answer', sdp})",
                    sdp=peer.local_description,
                )
            else:
                peer = await endpoint.offer(trickle=True)
                answer = await page.run(
                    "await pc.setRemoteDescription({type: 'offer', sdp});"
                    "await pc.setLocalDescription(); return pc.localDescription.sdp",
                    sdp=peer.local_description,
                )
                assert "candidate:" not in answer
                peer.accept_answer(answer)
            nursery.start_soon(enter, peer)
            await give_candidates(peer, page)
            await take_candidates(peer, page)
            await page.run(ECHO, label="x", options={})
            nursery.cancel_scope.cancel()


async def test_names_that_only_mdns_knows() -> None:
    """Without a permission a page does not tell its addresses: its checks show where it is."""
    flags = "--enable-features=WebRtcHideLocalIpsWithMdns", "--disable-features="
    with trio.fail_after(TIME_LIMIT):
        async with (
            run_chromium(*flags) as page,
            open_rtc_endpoint() as endpoint,
            trio.open_nursery() as nursery,
        ):
            await page.run("pc = new RTCPeerConnection(); pc.createDataChannel('first');")
            peer = await page.call(endpoint)
            assert ".local " in await page.run("return pc.localDescription.sdp")
            nursery.start_soon(enter, peer)
            await page.run(ECHO, label="x", options={})
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize("lite", [True, False])
async def test_the_page_restarts_ice(lite: bool) -> None:
    with trio.fail_after(TIME_LIMIT):
        async with (
            run_chromium() as page,
            open_rtc_endpoint(lite=lite) as endpoint,
            trio.open_nursery() as nursery,
        ):
            await page.run("pc = new RTCPeerConnection(); pc.createDataChannel('first');")
            peer = await page.call(endpoint)
            nursery.start_soon(enter, peer)
            await page.run(ECHO, label="before", options={})
            before = peer.local_description
            offer = await page.run(
                "pc.restartIce(); await pc.setLocalDescription(); await gathered(pc);"
                "return pc.localDescription.sdp"
            )
            answer = peer.renegotiate(offer)
            assert "a=setup" in answer
            assert line_of(before, "a=ice-ufrag") != line_of(answer, "a=ice-ufrag")
            assert line_of(before, "a=fingerprint") == line_of(answer, "a=fingerprint")
            await page.run("await pc.setRemoteDescription({type: 'answer', sdp})", sdp=answer)
            await page.run(ECHO, label="after", options={})
            assert await page.run("return pc.connectionState") == "connected"
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize("called", [True, False])
async def test_we_restart_ice(called: bool) -> None:
    """Also where the page has offered media: the sections of an offer stay in their places."""
    with trio.fail_after(TIME_LIMIT):
        async with (
            run_chromium() as page,
            open_rtc_endpoint() as endpoint,
            trio.open_nursery() as nursery,
        ):
            await page.run("pc = new RTCPeerConnection();")
            if called:
                peer = await page.be_called(endpoint)
            else:
                await page.run("pc.addTransceiver('audio'); pc.createDataChannel('first');")
                peer = await page.call(endpoint)
            nursery.start_soon(enter, peer)
            await page.run(ECHO, label="before", options={})
            answer = await page.run(
                "await pc.setRemoteDescription({type: 'offer', sdp});"
                "await pc.setLocalDescription(); await gathered(pc); return pc.localDescription.sdp",
                sdp=peer.restart_ice(),
            )
            peer.accept_answer(answer)
            await page.run(ECHO, label="after", options={})
            nursery.cancel_scope.cancel()


def line_of(sdp: str, beginning: str) -> str:
    (line,) = {line for line in sdp.splitlines() if line.startswith(beginning)}
    return line


async def test_media_beside_the_channels_is_rejected_and_the_bundle_holds() -> None:
    before = """
    pc.addTransceiver('audio'); pc.addTransceiver('video', {direction: 'recvonly'});
    pc.createDataChannel('first');
    """
    async with called_page(before=before) as page:
        await page.run(ECHO, label="x", options={})
        answer = await page.run("return pc.remoteDescription.sdp")
        ports = [line.split()[1] for line in answer.splitlines() if line.startswith("m=")]
        assert ports[:2] == ["0", "0"]
        assert ports[2] != "0"
        assert await page.run("return pc.getTransceivers().length") == 0  # they were stopped


async def test_each_end_heeds_how_long_a_message_the_other_takes() -> None:
    refused = trio.Event()

    async def handler(association: Association) -> None:
        assert association.max_message_size == 262144
        channel = await association.listen().accept()
        with pytest.raises(LocalProtocolError, match="262144"):
            await channel.send(bytes(262145))
        await channel.send(bytes(262144))
        refused.set()
        await association.wait_closed()

    before = "globalThis.c = pc.createDataChannel('first'); globalThis.heard = message(c);"
    async with called_page(before=before, handler=handler) as page:
        ours = line_of(
            await page.run("return pc.remoteDescription.sdp"), "a=max-message-size:"
        ).partition(":")[2]
        most = await page.run("await opened(c); return pc.sctp.maxMessageSize")
        assert most <= int(ours)
        error = await page.run(
            "try { c.send(new Uint8Array(pc.sctp.maxMessageSize + 1)); } catch (e) { return e.name }"
        )
        assert error in ("TypeError", "OperationError")
        assert await page.run("return (await heard).byteLength ?? (await heard).size") == 262144
        await refused.wait()
