"""``capture=`` wherever associations are made, and the log of packets."""

from __future__ import annotations

import io
import logging
import struct
import time
from functools import partial
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from tests.support.certificates import CLIENT, SERVER
from tests.support.handlers import echo_channel
from tests.support.rtc_pair import HOST, ask, introduce
from trio_sctp import (
    Association,
    LocalProtocolError,
    PacketCapture,
    PeerPolicy,
    open_association,
    open_dtls_association,
    open_rtc_endpoint,
    open_udp_association,
    serve_dtls,
    serve_rtc,
    serve_udp,
)
from trio_sctp._wire import chunks as c
from trio_sctp._wire.packet import checksum_ok, decode_chunks
from trio_sctp.testing import memory_link, open_association_pair


def packets_of(path: Path) -> list[tuple[float, bytes]]:
    """Times and packets of a pcap file."""
    data = path.read_bytes()
    assert struct.unpack_from("<I", data, 20) == (248,)  # bare SCTP
    packets, at = [], 24
    while at < len(data):
        seconds, nanoseconds, length, _ = struct.unpack_from("<IIII", data, at)
        packets.append((seconds + nanoseconds / 1e9, data[at + 16 : at + 16 + length]))
        at += 16 + length
    return packets


def check_whole_life(path: Path, *, handshakes: int = 1) -> None:
    """From INIT to SHUTDOWN COMPLETE, in the clear, with the time of day."""
    packets = packets_of(path)
    assert all(checksum_ok(packet) for _, packet in packets)
    kinds = [type(chunk) for _, packet in packets for chunk in decode_chunks(packet)]
    assert kinds[0] is c.Init
    assert kinds.count(c.CookieAck) >= handshakes
    assert kinds.count(c.ShutdownComplete) == handshakes
    assert c.IData in kinds
    assert all(abs(when - time.time()) < 60 for when, _ in packets)


async def serve_until_closed(association: Association) -> None:
    async with trio.open_nursery() as nursery:
        async for channel in association.listen():
            nursery.start_soon(echo_channel, channel)
    await association.wait_closed()


async def test_over_any_channel(tmp_path: Path) -> None:
    near, far = memory_link()

    async def serve() -> None:
        async with open_association(far, client=False) as association:
            await serve_until_closed(association)

    path = tmp_path / "any.pcap"
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        async with open_association(near, client=True, capture=path) as association:
            await ask(association)
    check_whole_life(path)


async def test_over_udp(tmp_path: Path) -> None:
    """At both ends; the server's is one file for all its associations."""
    ours, theirs = tmp_path / "client.pcap", tmp_path / "server.pcap"
    async with trio.open_nursery() as nursery:
        server = await nursery.start(
            partial(serve_udp, serve_until_closed, 0, host=HOST, capture=theirs)
        )
        for _ in range(2):
            async with open_udp_association(HOST, server.port, capture=str(ours)) as association:
                await ask(association)
        while server.statistics().associations:
            await trio.sleep(0.01)
        nursery.cancel_scope.cancel()
    check_whole_life(ours)
    # The INITs were answered without keeping anything, captures included: it begins with the cookie.
    kinds = [type(decode_chunks(packet)[0]) for _, packet in packets_of(theirs)]
    assert kinds.count(c.CookieEcho) == 2
    assert kinds.count(c.ShutdownComplete) == 2


async def test_inside_dtls(tmp_path: Path) -> None:
    """The packets of SCTP, not the records around them."""
    ours, theirs = tmp_path / "client.pcap", tmp_path / "server.pcap"
    anyone = PeerPolicy.anyone()
    async with trio.open_nursery() as nursery:
        server = await nursery.start(
            partial(
                serve_dtls,
                serve_until_closed,
                0,
                host=HOST,
                certificate=SERVER,
                verify_peer=anyone,
                capture=theirs,
            )
        )
        async with open_dtls_association(
            HOST, server.port, certificate=CLIENT, verify_peer=anyone, capture=ours
        ) as association:
            assert association.peer_certificate == SERVER.der
            await ask(association)
        while server.statistics().associations:
            await trio.sleep(0.01)
        nursery.cancel_scope.cancel()
    check_whole_life(ours)
    check_whole_life(theirs)


async def test_inside_webrtc(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "caller.pcap", tmp_path / "server.pcap"
    async with trio.open_nursery() as nursery:
        server = await nursery.start(
            partial(serve_rtc, serve_until_closed, 0, host=HOST, capture=theirs)
        )
        async with open_rtc_endpoint(host=HOST, capture=ours) as endpoint:
            offering, _ = await introduce(endpoint, server)
            async with offering as association:
                await ask(association)
        nursery.cancel_scope.cancel()
    check_whole_life(ours)
    assert packets_of(theirs)


async def test_a_capture_of_the_programs_own_stays_open(autojump_clock: MockClock) -> None:
    """So that several associations can share one, and virtual time can be shown as it is."""
    file = io.BytesIO()
    with PacketCapture(file) as capture:
        for _ in range(2):
            near, far = memory_link(delay=0.5)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(wait_at, far)
                async with open_association(near, client=True, capture=capture):
                    pass
            assert not capture.closed
    assert capture.packets >= 2 * 7


async def wait_at(end: trio.abc.Channel[bytes]) -> None:
    async with open_association(end, client=False) as association:
        await association.wait_closed()


async def test_a_file_that_cannot_be_made(tmp_path: Path) -> None:
    near, far = memory_link()
    with pytest.raises(FileNotFoundError):
        open_association(near, client=True, capture=tmp_path / "no" / "such" / "folder")
    with pytest.raises(LocalProtocolError):
        open_association(near, client=True, inits=(b"", b""), capture=tmp_path / "not made")
    assert not (tmp_path / "not made").exists()
    await near.aclose()
    await far.aclose()


async def test_a_full_disk_harms_nobody(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """/dev/full takes nothing; that is logged, and the association is as good as any."""
    near, far = memory_link()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait_at, far)
        async with open_association(near, client=True, capture="/dev/full") as association:
            await trio.sleep(1)
    assert association.statistics().state == "CLOSED"
    assert [record.name for record in caplog.records] == ["trio_sctp.capture"]


async def test_the_log_of_packets_is_off_unless_asked_for(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_association_pair() as (client, _):
        assert not caplog.records
        assert type(client._pump.transport).__name__ == "LinkEnd", "nothing in between"
    with caplog.at_level(logging.DEBUG, logger="trio_sctp.packets"):
        async with open_association_pair():
            pass
    lines = [record.getMessage() for record in caplog.records]
    assert lines[0][0] == "O"
    assert lines[0].split(" ")[2:5] == ["0000", "13", "88"]
    assert all("# SCTP_PACKET <Association" in line for line in lines)
