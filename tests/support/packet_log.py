"""A packet capture that also keeps what it was given, decoded on demand."""

from __future__ import annotations

import io
from os import PathLike
from typing import NamedTuple

from trio_sctp import PacketCapture
from trio_sctp._wire.chunks import Chunk
from trio_sctp._wire.packet import decode_chunks


class LoggedPacket(NamedTuple):
    packet: bytes
    sent: bool
    now: float


class PacketLog(PacketCapture):
    """For a `CapturedTransport` in a test."""

    def __init__(self, file: str | PathLike[str] | None = None) -> None:
        super().__init__(io.BytesIO() if file is None else file)
        self.log: list[LoggedPacket] = []

    def capture(self, packet: bytes, *, sent: bool, now: float) -> None:
        super().capture(packet, sent=sent, now=now)
        self.log.append(LoggedPacket(packet, sent, now))

    def chunks(self, *, sent: bool) -> list[Chunk]:
        """Every chunk of one direction."""
        return [
            chunk
            for logged in self.log
            if logged.sent is sent
            for chunk in decode_chunks(logged.packet)
        ]
