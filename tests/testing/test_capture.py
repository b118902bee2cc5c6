"""Captures: what an independent reader of the two file formats finds in them."""

from __future__ import annotations

import errno
import io
import struct
from pathlib import Path
from typing import Literal, NamedTuple

import pytest
import trio
from trio.testing import assert_checkpoints

from trio_sctp import PacketCapture

PACKETS = [b"\x13\x88\x13\x88" + bytes(8), b"\x13\x88\x13\x88" + bytes(25), b""]


class Record(NamedTuple):
    nanoseconds: int
    packet: bytes
    sent: bool | None = None


def read_pcap(data: bytes) -> list[Record]:
    magic, major, minor, zone, _, snap_length, link_type = struct.unpack_from("<IHHiIII", data)
    assert magic == 0xA1B23C4D  # nanoseconds
    assert (major, minor, zone, link_type) == (2, 4, 0, 248)
    records = []
    offset = 24
    while offset < len(data):
        seconds, fraction, captured, length = struct.unpack_from("<IIII", data, offset)
        assert captured == length <= snap_length
        assert fraction < 10**9
        offset += 16
        records.append(Record(seconds * 10**9 + fraction, data[offset : offset + captured]))
        offset += captured
    assert offset == len(data)
    return records


def read_pcapng(data: bytes) -> list[Record]:
    records = []
    kinds = []
    offset = 0
    while offset < len(data):
        kind, size = struct.unpack_from("<II", data, offset)
        assert size % 4 == 0
        assert struct.unpack_from("<I", data, offset + size - 4) == (size,)
        body = data[offset + 8 : offset + size - 4]
        kinds.append(kind)
        if kind == 0x0A0D0D0A:
            assert struct.unpack_from("<IHHq", body) == (0x1A2B3C4D, 1, 0, -1)
        elif kind == 1:
            assert struct.unpack_from("<H", body) == (248,)
            assert body[8:] == struct.pack("<HHB3x", 9, 1, 9) + bytes(4)  # 10**-9 s; end
        else:
            interface, high, low, captured, length = struct.unpack_from("<IIIII", body)
            assert (kind, interface, captured) == (6, 0, length)
            end = 20 + captured + -captured % 4
            code, option_size, flags = struct.unpack_from("<HHI", body, end)
            assert (code, option_size, body[end + 8 :]) == (2, 4, bytes(4))
            records.append(Record((high << 32) + low, body[20 : 20 + captured], flags & 3 == 2))
        offset += size
    assert kinds[:2] == [0x0A0D0D0A, 1]
    return records


def test_a_pcap_file_holds_packets_and_virtual_times(tmp_path: Path) -> None:
    path = tmp_path / "capture.pcap"
    with PacketCapture(path) as capture:
        for number, packet in enumerate(PACKETS):
            capture.capture(packet, sent=True, now=number * 1.25)
        assert capture.packets == 3
        assert repr(capture) == "<PacketCapture pcap, 3 packets>"
    assert read_pcap(path.read_bytes()) == [
        Record(0, PACKETS[0]),
        Record(1_250_000_000, PACKETS[1]),
        Record(2_500_000_000, PACKETS[2]),
    ]


def test_a_pcapng_file_tells_sent_from_received(tmp_path: Path) -> None:
    path = tmp_path / "capture.pcapng"
    with PacketCapture(str(path)) as capture:
        for number, packet in enumerate(PACKETS):
            capture.capture(packet, sent=number % 2 == 0, now=5e9 + number)
    assert read_pcapng(path.read_bytes()) == [
        Record(5_000_000_000_000_000_000, PACKETS[0], sent=True),
        Record(5_000_000_001_000_000_000, PACKETS[1], sent=False),
        Record(5_000_000_002_000_000_000, PACKETS[2], sent=True),
    ]


def test_an_epoch_turns_the_clock_into_the_time_of_day() -> None:
    file = io.BytesIO()
    with PacketCapture(file, epoch=1_700_000_000.0) as capture:
        capture.capture(b"abcd", sent=True, now=0.5)
        capture.epoch = -1.0
        capture.capture(b"abcd", sent=True, now=0.5)  # there is no time before 1970
    assert [record.nanoseconds for record in read_pcap(file.getvalue())] == [
        1_700_000_000_500_000_000,
        0,
    ]


@pytest.mark.parametrize("name", ["pcap", "pcapng"])
def test_a_file_that_was_handed_in_stays_open(name: Literal["pcap", "pcapng"]) -> None:
    file = io.BytesIO()
    with PacketCapture(file, format=name) as capture:
        capture.capture(PACKETS[0], sent=True, now=1.0)
    assert not file.closed
    reader = {"pcap": read_pcap, "pcapng": read_pcapng}[name]
    assert [record.packet for record in reader(file.getvalue())] == PACKETS[:1]


def test_flush_lets_others_read_what_was_captured(tmp_path: Path) -> None:
    path = tmp_path / "capture.pcap"
    with PacketCapture(path) as capture:
        capture.capture(PACKETS[0], sent=True, now=0.0)
        capture.flush()
        assert len(read_pcap(path.read_bytes())) == 1


def test_nothing_is_captured_after_close(tmp_path: Path) -> None:
    path = tmp_path / "capture.pcap"
    capture = PacketCapture(path)
    capture.close()
    capture.close()
    capture.flush()
    capture.capture(PACKETS[0], sent=True, now=0.0)
    assert capture.closed
    assert capture.packets == 0
    assert read_pcap(path.read_bytes()) == []


class FullDisk(io.BytesIO):
    room = 30

    def write(self, data: bytes, /) -> int:  # type: ignore[override]
        if len(self.getvalue()) + len(data) > self.room:
            raise OSError(errno.ENOSPC, "the disk is full")
        return super().write(data)


def test_a_full_disk_does_not_disturb_what_is_captured() -> None:
    capture = PacketCapture(FullDisk())
    for _ in range(3):
        capture.capture(bytes(12), sent=True, now=0.0)
    assert capture.error is not None
    with pytest.raises(OSError, match="disk is full"):
        capture.flush()
    with pytest.raises(OSError, match="disk is full"):
        capture.close()
    capture.close()
    assert capture.closed


def test_a_file_that_another_closed_does_not_disturb_what_is_captured() -> None:
    file = io.BytesIO()
    capture = PacketCapture(file)
    file.close()
    capture.capture(bytes(12), sent=True, now=0.0)
    assert isinstance(capture.error, ValueError)


async def test_the_asynchronous_methods_do_the_same(tmp_path: Path) -> None:
    path = tmp_path / "capture.pcap"
    async with PacketCapture(path) as capture:
        capture.capture(PACKETS[0], sent=True, now=0.0)
        with assert_checkpoints():
            await capture.aflush()
        assert len(read_pcap(path.read_bytes())) == 1
        capture.capture(PACKETS[1], sent=True, now=0.0)
        with assert_checkpoints():
            await capture.aclose()
    assert len(read_pcap(path.read_bytes())) == 2


async def test_a_cancelled_close_still_writes_everything(tmp_path: Path) -> None:
    path = tmp_path / "capture.pcap"
    with trio.CancelScope() as scope:
        async with PacketCapture(path) as capture:
            capture.capture(PACKETS[0], sent=True, now=0.0)
            scope.cancel()
    assert scope.cancelled_caught
    assert capture.closed
    assert len(read_pcap(path.read_bytes())) == 1
