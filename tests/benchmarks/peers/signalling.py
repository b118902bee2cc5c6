"""Offer and answer between the two processes of a WebRTC stack: a line each, over TCP.

It happens once, before anything is measured but the set-up time, so it may block.
"""

from __future__ import annotations

import json
import socket
from types import TracebackType
from typing import IO, Self


class Caller:
    """The server's end: who has called, with which offer."""

    def __init__(self, listener: socket.socket) -> None:
        self._connection, _ = listener.accept()
        self._file = self._connection.makefile("rw")

    def offer(self) -> str:
        return str(json.loads(self._file.readline())["sdp"])

    def answer(self, sdp: str) -> None:
        _write(self._file, "answer", sdp)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()
        self._connection.close()


def listen() -> socket.socket:
    """Where the server can be called, on a port of 127.0.0.1 that the system chooses."""
    return socket.create_server(("127.0.0.1", 0))


def call(port: int, offer: str) -> str:
    """Send the offer to the server; its answer."""
    with (
        socket.create_connection(("127.0.0.1", port)) as connection,
        connection.makefile("rw") as file,
    ):
        _write(file, "offer", offer)
        return str(json.loads(file.readline())["sdp"])


def _write(file: IO[str], kind: str, sdp: str) -> None:
    print(json.dumps({"type": kind, "sdp": sdp}), file=file, flush=True)
