"""tshark reads a capture of a whole life of associations and finds nothing to complain about."""

from __future__ import annotations

import logging
import shutil
import subprocess
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from tests.support.live_peers import missing_peer
from tests.support.packet_log import PacketLog
from trio_sctp import AssociationAborted, Config
from trio_sctp.testing import CapturedTransport, memory_link, open_association_pair

FIELDS = (
    "sctp.chunk_type",
    "sctp.checksum.status",
    "_ws.malformed",
    "_ws.expert.severity",
    "_ws.expert.message",
)
GOOD = "1"
WARNING = 0x00600000  # as Wireshark counts severities; below it are comments, chats and notes
DATA, INIT, INIT_ACK, SACK, HEARTBEAT, HEARTBEAT_ACK, ABORT = range(7)
SHUTDOWN, SHUTDOWN_ACK, COOKIE_ECHO, COOKIE_ACK, SHUTDOWN_COMPLETE = 7, 8, 10, 11, 14
I_DATA, RE_CONFIG = 64, 130
REASON = "that is enough"


def tshark(capture: Path, *options: str) -> str:
    if shutil.which("tshark") is None:
        missing_peer("tshark is not installed (Debian: apt-get install tshark)")
    command = ["tshark", "-n", "-r", str(capture), "-o", "sctp.checksum:CRC 32c", *options]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


async def live(log: PacketLog) -> None:
    """Everything that an association does in its life; tapped at both ends of a bad network."""
    config = Config(hb_interval=1.0, rto_min=0.2)
    link = memory_link(delay=0.01, loss=0.08, reorder=0.08, duplicate=0.05, seed=7)
    tapped = CapturedTransport(link[0], log), link[1]
    async with open_association_pair(link=tapped, config=config) as (client, server):
        async with client.open_channel("test", protocol="p", priority=512) as channel:
            other = await server.listen().accept()
            for size in (0, 1, 3, 1200, 100_000):
                await channel.send(bytes(size))
                assert await other.receive() == bytes(size)
                await other.send("ä" * size)
                assert await channel.receive() == "ä" * size
        unordered = server.open_channel("loose", ordered=False)
        await unordered.send(b"x" * 5000)
        await (await client.listen().accept()).receive()
        await trio.sleep(5)  # heartbeats


async def test_text2pcap_makes_a_capture_of_the_debug_log(
    tmp_path: Path, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """What a program has logged, ``%(message)s`` alone, with directions and times."""
    if shutil.which("text2pcap") is None:
        missing_peer("text2pcap is not installed (Debian: apt-get install wireshark-common)")
    with caplog.at_level(logging.DEBUG, logger="trio_sctp.packets"):
        async with open_association_pair(delay=0.25) as (client, _), client.open_channel("log"):
            pass
    lines = [record.getMessage() for record in caplog.records]
    text, capture = tmp_path / "packets.log", tmp_path / "packets.pcapng"
    text.write_text("".join(f"{line}\n" for line in lines))
    command = ["text2pcap", "-q", "-n", "-D", "-t", "%H:%M:%S.%f", "-l", "248", text, capture]
    await trio.run_process(list(map(str, command)), capture_stdout=True, capture_stderr=True)
    fields = ("sctp.chunk_type", "frame.time_relative", "frame.p2p_dir", "sctp.checksum.status")
    columns = [option for field in fields for option in ("-e", field)]
    rows = [row.split("\t") for row in tshark(capture, "-T", "fields", *columns).splitlines()]
    assert len(rows) == len(lines)
    # both ends log what they send and what they receive
    assert [row[0] for row in rows[:2]] == [str(INIT)] * 2
    assert [row[2] for row in rows[:2]] == ["0", "1"], "sent, received"
    assert [float(row[1]) for row in rows[:2]] == pytest.approx([0, 0.25], abs=1e-4)
    assert {row[3] for row in rows} == {GOOD}
    assert len(rows) > 20


async def die(log: PacketLog) -> None:
    """An association that is aborted with a reason."""
    link = memory_link()
    tapped = CapturedTransport(link[0], log), link[1]
    async with open_association_pair(link=tapped, data_channels=False) as (client, server):
        client.abort(REASON)
        with pytest.raises(AssociationAborted):
            await server.messages.receive()


async def test_nothing_malformed_or_unknown(tmp_path: Path, autojump_clock: MockClock) -> None:
    capture = tmp_path / "life.pcap"
    with PacketLog(capture) as log:
        await live(log)
        await die(log)
    columns = [option for field in FIELDS for option in ("-e", field)]
    lines = tshark(capture, "-T", "fields", *columns).splitlines()
    assert len(lines) == log.packets
    seen = set()
    for line in lines:
        types, checksum, malformed, severities, messages = line.split("\t")
        assert (checksum, malformed) == (GOOD, ""), line
        assert all(int(s, 0) < WARNING for s in severities.split(",") if s), messages
        seen |= {int(chunk_type) for chunk_type in types.split(",")}
    assert seen & {DATA, I_DATA}
    assert seen >= {
        *(INIT, INIT_ACK, SACK, HEARTBEAT, HEARTBEAT_ACK, ABORT),
        *(SHUTDOWN, SHUTDOWN_ACK, COOKIE_ECHO, COOKIE_ACK, SHUTDOWN_COMPLETE, RE_CONFIG),
    }
    text = tshark(capture, "-V")
    assert "Malformed" not in text
    assert "Unknown" not in text
    for shown in (
        "Gap Acknowledgement for TSN",
        REASON.encode().hex(),
        "Label: test",
        "Duplicate TSN",
    ):
        assert shown in text
