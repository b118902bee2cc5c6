"""Packet captures that Wireshark opens: bare SCTP packets with the times of any clock.

What an association sends and receives inside DTLS cannot be captured from outside.  `PacketCapture`
is fed from within and writes link type 248 (SCTP without IP), so that packets of a test in virtual
time or of an encrypted association decode like any others.  What opens associations takes one, or the
name of a file for one, as ``capture=``.
"""

from __future__ import annotations

import logging
import math
import struct
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from os import PathLike, fspath
from types import TracebackType
from typing import BinaryIO, Literal, Self, TypeAlias

import trio

__all__ = ["CaptureTarget", "PacketCapture", "capture_of", "captured", "finish_capture"]

LOGGER = logging.getLogger("trio_sctp.capture")

LINKTYPE_SCTP = 248
SNAP_LENGTH = 262144
_BUFFER_SIZE = 1024 * 1024

_PCAP_FILE = struct.Struct("<IHHiIII")
_PCAP_MAGIC_NANOSECONDS = 0xA1B23C4D
_PCAP_PACKET = struct.Struct("<IIII")

_SECTION_HEADER = struct.Struct("<IIIHHqI")
_INTERFACE_DESCRIPTION = struct.Struct("<IIHHIHHB3xII")
_ENHANCED_PACKET = struct.Struct("<IIIIIII")
_ENHANCED_PACKET_END = struct.Struct("<HHIII")
_OPTION_FLAGS = 2
_OPTION_TIMESTAMP_RESOLUTION = 9
_INBOUND, _OUTBOUND = 1, 2


class PacketCapture:
    """Writes SCTP packets to a file in pcap or pcapng format.

    ``file`` is a path, or a binary file that is written to and left open.  ``format`` is by default
    "pcapng" for a path that ends so and "pcap" otherwise; only pcapng tells sent from received.
    ``epoch`` is added to every ``now``: ``time.time() - trio.current_time()`` turns trio's clock
    into the time of day, while 0 shows virtual time as it is.

    A context manager, with ``with`` and with ``async with``.  Feed it with `capture`.
    """

    __slots__ = ("_file", "_format", "_owns_file", "closed", "epoch", "error", "packets")

    def __init__(
        self,
        file: str | PathLike[str] | BinaryIO,
        *,
        format: Literal["pcap", "pcapng"] | None = None,  # noqa: A002  # the word users expect
        epoch: float = 0.0,
    ) -> None:
        self.epoch = epoch
        self.packets = 0
        """How many packets were written."""
        self.error: OSError | ValueError | None = None
        """Why writing stopped, if it had to."""
        self.closed = False
        self._owns_file = isinstance(file, (str, PathLike))
        if isinstance(file, (str, PathLike)):
            self._format = format or ("pcapng" if fspath(file).endswith(".pcapng") else "pcap")
            self._file: BinaryIO = open(file, "wb", buffering=_BUFFER_SIZE)  # noqa: SIM115
        else:
            self._format = format or "pcap"
            self._file = file
        self._write(_pcap_header() if self._format == "pcap" else _pcapng_header())

    def __repr__(self) -> str:
        return f"<PacketCapture {self._format}, {self.packets} packets>"

    def capture(self, packet: bytes, *, sent: bool, now: float) -> None:
        """Write one packet that was ``sent``, or else received, at time ``now`` in seconds.

        Never raises for what the file does, so that capturing cannot harm what is captured: after
        an error nothing more is written, and `close` raises it.  After `close` it does nothing.
        """
        if self.closed or self.error is not None:
            return
        fraction, seconds = math.modf(max(now + self.epoch, 0.0))
        nanoseconds = int(seconds) * 10**9 + round(fraction * 1e9)
        record = _pcap_packet if self._format == "pcap" else _pcapng_packet
        self._write(record(packet[:SNAP_LENGTH], len(packet), nanoseconds, sent))
        self.packets += 1

    def _write(self, record: bytes) -> None:
        try:
            self._file.write(record)
        except (OSError, ValueError) as error:  # ValueError: somebody else closed the file
            self.error = error

    def flush(self) -> None:
        """Hand what was captured so far to the operating system.

        Raises `OSError` if anything could not be written.
        """
        if not self.closed:
            self._flush()

    def _flush(self) -> None:
        if self.error is not None:
            raise self.error
        self._file.flush()

    def close(self) -> None:
        """Finish the file; doing so twice is harmless.

        Raises `OSError` if anything could not be written.
        """
        if self.closed:
            return
        self.closed = True  # first: another thread may be capturing
        try:
            self._flush()
        finally:
            if self._owns_file:
                self._file.close()

    async def aflush(self) -> None:
        """As `flush`, in a thread, as disks may be slow."""
        await trio.to_thread.run_sync(self.flush)

    async def aclose(self) -> None:
        """As `close`, in a thread, as disks may be slow; also when cancelled."""
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(self.close)
        await trio.lowlevel.checkpoint()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()


CaptureTarget: TypeAlias = str | PathLike[str] | PacketCapture
"""Where packets are captured to: a file of that name, or a capture that the program has opened."""


def capture_of(target: CaptureTarget | None) -> PacketCapture | None:
    """The capture that a ``capture=`` argument means; with the time of day if it is a new one.

    `finish_capture` has to follow.  Raises `OSError` if the file cannot be made.
    """
    if target is None or isinstance(target, PacketCapture):
        return target
    return PacketCapture(target, epoch=time_of_day())


_EPOCH: trio.lowlevel.RunVar[float] = trio.lowlevel.RunVar("epoch of trio_sctp's captures")


def time_of_day() -> float:
    """What is to be added to trio's time to get the time of day: one value for all that compare."""
    try:
        return _EPOCH.get()
    except LookupError:
        epoch = time.time() - trio.current_time()
        _EPOCH.set(epoch)
        return epoch


async def finish_capture(capture: PacketCapture | None, target: CaptureTarget | None) -> None:
    """Close a capture that `capture_of` has opened.  What could not be written is logged."""
    if capture is None or capture is target:
        return
    try:
        await capture.aclose()
    except (OSError, ValueError) as error:
        LOGGER.warning("%r is not complete: %s", capture, error)


@asynccontextmanager
async def captured(target: CaptureTarget | None) -> AsyncIterator[PacketCapture | None]:
    """The capture that a ``capture=`` argument means, for the time of a server."""
    capture = capture_of(target)
    try:
        yield capture
    finally:
        await finish_capture(capture, target)


def _pcap_header() -> bytes:
    return _PCAP_FILE.pack(_PCAP_MAGIC_NANOSECONDS, 2, 4, 0, 0, SNAP_LENGTH, LINKTYPE_SCTP)


def _pcap_packet(packet: bytes, length: int, nanoseconds: int, sent: bool) -> bytes:
    seconds, fraction = divmod(nanoseconds, 10**9)
    return _PCAP_PACKET.pack(seconds & 0xFFFFFFFF, fraction, len(packet), length) + packet


def _pcapng_header() -> bytes:
    section = _SECTION_HEADER.pack(0x0A0D0D0A, 28, 0x1A2B3C4D, 1, 0, -1, 28)
    size = _INTERFACE_DESCRIPTION.size
    return section + _INTERFACE_DESCRIPTION.pack(
        1, size, LINKTYPE_SCTP, 0, SNAP_LENGTH, _OPTION_TIMESTAMP_RESOLUTION, 1, 9, 0, size
    )


def _pcapng_packet(packet: bytes, length: int, nanoseconds: int, sent: bool) -> bytes:
    padding = -len(packet) % 4
    size = _ENHANCED_PACKET.size + len(packet) + padding + _ENHANCED_PACKET_END.size
    high, low = nanoseconds >> 32, nanoseconds & 0xFFFFFFFF
    start = _ENHANCED_PACKET.pack(6, size, 0, high, low, len(packet), length)
    direction = _OUTBOUND if sent else _INBOUND
    end = _ENHANCED_PACKET_END.pack(_OPTION_FLAGS, 4, direction, 0, size)
    return start + packet + bytes(padding) + end
