"""Chromium, live: as offerer to a lite and a full endpoint and as answerer, and what pages do."""

from __future__ import annotations

import hashlib
from functools import partial

import pytest
import trio

from tests.support.chromium import run_chromium
from tests.support.chromium_pages import ECHO, called_page, echo_channel
from tests.support.commands import TIME_LIMIT
from tests.support.webrtc_peers import check_path_mtu
from trio_sctp import (
    Association,
    AssociationError,
    open_rtc_endpoint,
    serve_rtc,
)
from trio_sctp._rtc import DEFAULT_RTC_CONFIG

SNAP = "--force-fieldtrials=WebRTC-Sctp-Snap/Enabled/"
"""What makes it offer INITs in its descriptions."""


@pytest.mark.parametrize("calls, lite", [(True, True), (True, False), (False, False)])
async def test_everything_is_echoed(calls: bool, lite: bool) -> None:
    async with called_page(calls=calls, lite=lite) as page:
        choices: list[dict[str, object]] = [
            {},
            {"ordered": False},
            {"protocol": "echo ☃"},
            {"maxRetransmits": 0},
            {"maxPacketLifeTime": 60000, "ordered": False},
        ]
        for options in choices:
            await page.run(ECHO, label="grüße", options=options)
        # A negotiated channel of which the other end knows nothing is no trouble.
        await page.run("pc.createDataChannel('?', {negotiated: true, id: 77}).send", label="")


@pytest.mark.parametrize("calls", [True, False])
async def test_an_association_without_a_handshake(calls: bool) -> None:
    """draft-hancke-tsvwg-snap, as Chromium has it on request: no INIT crosses the network."""
    with trio.fail_after(TIME_LIMIT):
        config = DEFAULT_RTC_CONFIG.replace(path_mtu_discovery=False)  # its finds are events
        async with (
            run_chromium(SNAP) as page,
            open_rtc_endpoint(snap=True, config=config) as endpoint,
        ):
            await page.run(
                "pc = new RTCPeerConnection();"
                "pc.createDataChannel('first', {negotiated: true, id: 77});"
                "pc.ondatachannel = ({channel}) => {"
                "  channel.onmessage = ({data}) => channel.send(data); };"
            )
            peer = await (page.call(endpoint) if calls else page.be_called(endpoint))
            assert peer.local_description.count("a=sctp-init:") == 1
            async with peer as association, association.open_channel("ours") as channel:
                await channel.send("up")
                assert await channel.receive() == "up"
                with pytest.raises(trio.WouldBlock):  # a handshake now would be a restart
                    association.events.receive_nowait()
                assert not association.statistics().dropped


async def test_it_is_called() -> None:
    with trio.fail_after(TIME_LIMIT):
        async with run_chromium() as page, open_rtc_endpoint() as endpoint:
            await page.run(
                "pc = new RTCPeerConnection();"
                "pc.ondatachannel = ({channel}) => {"
                "  channel.onmessage = ({data}) => channel.send(data); };"
            )
            async with await page.be_called(endpoint) as association:
                for options in (
                    {},
                    {"ordered": False},
                    {"max_retransmits": 0},
                    {"lifetime": 300.0},
                ):
                    async with association.open_channel("ours", **options) as channel:
                        for value in (
                            "",
                            "x",
                            "grüß € 𝄞",
                            b"",
                            b"\x00",
                            bytes(262144),
                            "é" * 131072,
                        ):
                            if channel.max_retransmits == 0 and len(value) > 500:
                                continue  # it is lost with one SACK that comes late
                            await channel.send(value)
                            assert await channel.receive() == value
                await check_path_mtu(association)
            # close_notify: the page need not wait until ICE misses us
            states = await page.run(
                "if (pc.sctp.transport.state !== 'closed')"
                "  await happened(pc.sctp.transport, 'statechange');"
                "return [pc.sctp.state, pc.sctp.transport.state]"
            )
            assert states == ["closed", "closed"]


@pytest.mark.parametrize("calls", [True, False])
async def test_negotiated_channels(calls: bool) -> None:
    async def talk(association: Association) -> None:
        async with association.open_channel("agreed", id=200) as channel:
            await channel.send("from trio")
            assert await channel.receive() == "from the page"
            await association.wait_closed()

    # Whoever listens only after the call may miss what is said at once.
    before = (
        "globalThis.agreed = pc.createDataChannel('agreed', {negotiated: true, id: 200});"
        "globalThis.heard = message(agreed);"
    )
    async with called_page(calls=calls, before=before, handler=talk) as page:
        said = await page.run(
            "await opened(agreed); agreed.send('from the page'); return await heard"
        )
        assert said == "from trio"
        await page.run("pc.close()")


@pytest.mark.parametrize("calls", [True, False])
async def test_closing_is_seen_by_the_other_end(calls: bool) -> None:
    ends: list[str] = []

    async def handler(association: Association) -> None:
        listener = association.listen()
        for label in ("we close", "it closes"):
            channel = await listener.accept()
            assert channel.label == label
            if label == "we close":
                await channel.send("bye")
                await channel.aclose()
            else:
                with pytest.raises(trio.EndOfChannel):
                    await channel.receive()
                ends.append(label)
                await channel.aclose()
        with pytest.raises(AssociationError):
            await listener.accept()
        ends.append("hung up")

    before = (
        "const c = pc.createDataChannel('we close');"
        "globalThis.said = message(c); globalThis.closed = happened(c, 'close');"
    )
    async with called_page(calls=calls, before=before, handler=handler) as page:
        assert await page.run("await closed; return await said") == "bye"
        await page.run(
            "const d = await opened(pc.createDataChannel('it closes'));"
            "const closed = happened(d, 'close'); d.close(); await closed;"
        )
        await page.run("pc.close()")
        while "hung up" not in ends:
            await trio.sleep(0.02)
        assert ends == ["it closes", "hung up"]


async def test_a_thousand_channels_whose_ids_are_used_again() -> None:
    async with called_page() as page:
        ids = await page.run("""
            const ids = [];
            for (let round = 0; round < 10; round++) {
              const channels = [];
              for (let i = 0; i < 100; i++) channels.push(pc.createDataChannel(`${round} ${i}`));
              await Promise.all(channels.map(async (channel) => {
                await opened(channel);
                const answer = message(channel);
                channel.send(channel.label);
                if (await answer !== channel.label) throw Error('mixed up');
                ids.push(channel.id);
                const closed = happened(channel, 'close');
                channel.close();
                await closed;
              }));
            }
            return ids;
        """)
        assert len(ids) == 1000
        assert len(set(ids)) < 1000


async def test_a_thousand_channels_of_ours() -> None:
    done = trio.Event()

    async def handler(association: Association) -> None:
        limit = trio.CapacityLimiter(100)
        ids: list[int] = []

        async def use(number: int) -> None:
            async with limit, association.open_channel(str(number)) as channel:
                await channel.send("ping")
                assert await channel.receive() == "ping"
                assert channel.id is not None
                ids.append(channel.id)

        async with trio.open_nursery() as nursery:
            for number in range(1000):
                nursery.start_soon(use, number)
        assert len(ids) == 1000
        done.set()

    before = (
        "pc.createDataChannel('first'); pc.ondatachannel = ({channel}) => {"
        "  channel.onmessage = ({data}) => channel.send(data); };"
    )
    async with called_page(before=before, handler=handler):
        await done.wait()


@pytest.mark.parametrize("calls", [True, False])
async def test_fifty_megabytes_each_way_and_back_pressure_of_the_page(calls: bool) -> None:
    size, block = 50_000_000, 50_000
    received = hashlib.sha256()
    done = trio.Event()

    async def handler(association: Association) -> None:
        channel = await association.listen().accept()
        pattern = bytes(range(250)) * (block // 250)

        async def send() -> None:
            for _ in range(size // block):
                await channel.send(pattern)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            got = 0
            while got < size:
                message = await channel.receive()
                assert isinstance(message, bytes)
                received.update(message)
                got += len(message)
        done.set()
        await association.wait_closed()

    before = "globalThis.c = pc.createDataChannel('bulk');"
    async with called_page(calls=calls, before=before, handler=handler) as page:
        result = await page.run(
            """
            await opened(c);
            const heard = new Uint8Array(size);
            let at = 0, most = 0;
            const all = new Promise((done) => c.onmessage = ({data}) => {
              heard.set(new Uint8Array(data), at);
              at += data.byteLength;
              if (at >= size) done();
            });
            const data = new Uint8Array(block).map((_, i) => i % 251);
            c.bufferedAmountLowThreshold = 256 * 1024;
            for (let sent = 0; sent < size; sent += block) {
              c.send(data);
              most = Math.max(most, c.bufferedAmount);
              if (c.bufferedAmount > 1024 * 1024) await happened(c, 'bufferedamountlow');
            }
            await all;
            return {sha256: await sha256(heard), most};
            """,
            size=size,
            block=block,
        )
        await done.wait()
        ours = bytes(range(250)) * (size // 250)
        assert result["sha256"] == hashlib.sha256(ours).hexdigest()
        theirs = bytes(i % 251 for i in range(block)) * (size // block)
        assert received.digest() == hashlib.sha256(theirs).digest()
        assert 1024 * 1024 < result["most"] < 1024 * 1024 + 4 * block


async def test_a_slow_reader_here_slows_the_page() -> None:
    go_on = trio.Event()
    total = 0

    async def handler(association: Association) -> None:
        nonlocal total
        channel = await association.listen().accept()
        await go_on.wait()
        async for message in channel:
            total += len(message)

    config = DEFAULT_RTC_CONFIG.replace(a_rwnd=1_000_000)
    before = "globalThis.c = pc.createDataChannel('x');"
    async with called_page(before=before, handler=handler, config=config) as page:
        buffered = await page.run(
            "await opened(c); const data = new Uint8Array(100000);"
            "for (let i = 0; i < 150; i++) c.send(data);"
            "let before;"
            "do { before = c.bufferedAmount; await new Promise((r) => setTimeout(r, 1000)); }"
            "while (c.bufferedAmount !== before); return before"
        )
        assert buffered > 8_000_000
        go_on.set()
        await page.run("while (c.bufferedAmount) await new Promise((r) => setTimeout(r, 20));")
        while total < 15_000_000:
            await trio.sleep(0.02)


async def test_a_reloaded_page() -> None:
    """The old peer ends by itself and the new one works."""
    ended: list[BaseException] = []

    async def handler(association: Association) -> None:
        try:
            await trio.serve_listeners(echo_channel, [association.listen()])
        except* (AssociationError, trio.EndOfChannel) as group:
            ended.extend(group.exceptions)

    with trio.fail_after(TIME_LIMIT):
        async with run_chromium() as page, trio.open_nursery() as nursery:
            server = await nursery.start(partial(serve_rtc, handler, 0))
            for number in range(2):
                await page.run("pc = new RTCPeerConnection(); pc.createDataChannel('first');")
                await page.call(server)
                await page.run(ECHO, label="x", options={})
                if number == 0:
                    await page.reload()
            with trio.fail_after(TIME_LIMIT):
                while not ended:
                    await trio.sleep(0.05)
            nursery.cancel_scope.cancel()
