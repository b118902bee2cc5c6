"""Other SCTP stacks as child processes: usrsctp's programs, our own peers built on it and aiortc.

A missing peer skips the test with the reason; where TRIO_SCTP_REQUIRE_PEERS is set (as in CI) it
fails it.  Children are killed when their context ends, whatever happened.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import math
import os
import secrets
import shutil
import socket
import subprocess
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeVar

import pytest
import trio

from tests.support.commands import ROOT, end_process
from trio_sctp._wire.chunks import Init, InitAck
from trio_sctp._wire.packet import COMMON_HEADER_SIZE, encode_packet

USRSCTP_PROGRAMS = Path("/usr/lib/usrsctp")
C_PEER_SOURCE = Path(__file__).parent.parent / "interop" / "usrsctp_peer.c"


def missing_peer(reason: str) -> NoReturn:
    """Skip the test, or fail it where every peer has to be there."""
    if os.environ.get("TRIO_SCTP_REQUIRE_PEERS"):
        pytest.fail(f"a live peer is required but missing: {reason}")
    pytest.skip(reason)


def usrsctp_program(name: str) -> Path:
    """One of the programs of Debian's libusrsctp-examples."""
    path = USRSCTP_PROGRAMS / name
    if not path.exists():
        missing_peer(f"{path} is not there (Debian: apt-get install libusrsctp-examples)")
    return path


def compile_c_peer(folder: Path) -> Path:
    """Build usrsctp_peer.c against libusrsctp into `folder`; the path of the program."""
    if shutil.which("cc") is None:
        missing_peer("there is no C compiler to build the usrsctp peer with")
    if not Path("/usr/include/usrsctp.h").exists():
        missing_peer("usrsctp.h is not there (Debian: apt-get install libusrsctp-dev)")
    program = folder / "usrsctp_peer"
    command = ["cc", "-std=gnu11", "-O2", "-o", str(program), str(C_PEER_SOURCE)]
    command += ["-lusrsctp", "-lpthread"]
    subprocess.run(command, check=True)
    return program


PORTS = range(20_000, 32_000)
"""Systems give no socket that is bound to port 0 one of these, so nobody takes a free one by chance."""
_claims: deque[socket.socket] = deque()


def free_udp_ports(count: int) -> list[int]:
    """UDP ports that nobody uses, all different; TCP's of the same numbers are free, too."""
    start, found = secrets.randbelow(len(PORTS)), []
    for offset in range(len(PORTS)):
        port = PORTS[(start + offset) % len(PORTS)]
        if _claim(port) and _is_free(port):
            found.append(port)
            if len(found) == count:
                return found
    raise AssertionError("no port is free")


def _claim(port: int) -> bool:
    """Another test run on this machine gets other ports, until this process has had some more."""
    if sys.platform == "linux":  # where sockets may have names that are no files
        claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            claim.bind(f"\0trio_sctp tests, port {port}")
        except OSError:
            claim.close()
            return False
        _claims.append(claim)
        if len(_claims) > 32:  # whose tests are over
            _claims.popleft().close()
    return True


def _is_free(port: int) -> bool:
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind(("", port))
            except OSError:
                return False
    return True


class Digest:
    """The same sums over messages as usrsctp_peer.c makes, to compare with its summary."""

    def __init__(self) -> None:
        self.messages = 0
        self.size = 0
        self._chain = hashlib.sha256()
        self._sum = 0

    def add(self, payload: bytes) -> None:
        digest = hashlib.sha256(payload).digest()
        self._chain.update(digest)
        self._sum = (self._sum + int.from_bytes(digest[:8])) % 2**64
        self.messages += 1
        self.size += len(payload)

    def in_order(self) -> tuple[int, int, str]:
        return self.messages, self.size, self._chain.hexdigest()

    def in_any_order(self) -> tuple[int, int, str]:
        return self.messages, self.size, f"{self._sum:016x}"


class LivePeer:
    """A running child.  Its output is read all the time, so that it never waits for us."""

    def __init__(self, process: trio.Process) -> None:
        self.process = process
        self.log: list[str] = []
        self._heard, self._lines = trio.open_memory_channel[str](math.inf)

    async def listen(self) -> None:
        """Take the child's lines, but for usrsctp's own debug output, until its output closes."""
        assert self.process.stdout is not None
        unread = b""
        with self._heard:
            async for chunk in self.process.stdout:
                *lines, unread = (unread + chunk).split(b"\n")
                for line in lines:
                    if line[:3] not in (b"[S]", b"[P]"):
                        self.log.append(line.decode("utf-8", "replace"))
                        self._heard.send_nowait(self.log[-1])

    async def line(self) -> str:
        """The next line; fails when the child says nothing more."""
        try:
            return await self._lines.receive()
        except trio.EndOfChannel:
            raise AssertionError(f"the peer said nothing more than: {self.log}") from None

    async def wait(self) -> str:
        """Wait until the child ends; all that it printed.  Fails if it failed."""
        async for _ in self._lines:
            pass
        assert await self.process.wait() == 0, self.log
        return "\n".join(self.log)


class JsonPeer(LivePeer):
    """usrsctp_peer or aiortc_peer: speaks JSON lines and takes commands."""

    def __init__(self, process: trio.Process) -> None:
        super().__init__(process)
        self.events: list[dict[str, Any]] = []

    async def expect(self, event: str) -> dict[str, Any]:
        """The next event of this name; those before it are kept in `events` only."""
        while True:
            found: dict[str, Any] = json.loads(await self.line())
            self.events.append(found)
            if found["event"] == event:
                return found
            assert found["event"] != "failed", found

    async def command(self, line: str) -> None:
        """Give a line to a peer that takes commands."""
        assert self.process.stdin is not None
        await self.process.stdin.send_all(line.encode() + b"\n")

    async def no_more_commands(self) -> None:
        assert self.process.stdin is not None
        await self.process.stdin.aclose()

    async def summary(self) -> dict[str, Any]:
        """What passed, printed once the association is over and there are no more commands."""
        await self.no_more_commands()
        return await self.expect("summary")


_AnyPeer = TypeVar("_AnyPeer", bound=LivePeer)


@asynccontextmanager
async def _running(
    kind: Callable[[trio.Process], _AnyPeer], program: Path, options: Sequence[str | int]
) -> AsyncIterator[_AnyPeer]:
    process = await trio.lowlevel.open_process(
        [str(program), *map(str, options)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    peer = kind(process)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(peer.listen)
            yield peer
            nursery.cancel_scope.cancel()
    finally:
        await end_process(process)


@asynccontextmanager
async def run_c_peer(program: Path, *options: str | int) -> AsyncIterator[JsonPeer]:
    """Start usrsctp_peer; a listening one is ready when the body begins."""
    async with _running(JsonPeer, program, options) as peer:
        if "--connect" not in options:
            await peer.expect("listening")
        yield peer


@asynccontextmanager
async def run_program(name: str, *options: str | int) -> AsyncIterator[LivePeer]:
    """Start one of usrsctp's programs; none says when it listens: `wait_for_usrsctp_listener`."""
    async with _running(LivePeer, usrsctp_program(name), options) as peer:
        yield peer


@asynccontextmanager
async def run_aiortc_peer(
    role: Literal["client", "server"], own_port: int, peer_port: int
) -> AsyncIterator[JsonPeer]:
    """Start aiortc_peer; it has its UDP port when the body begins."""
    options = ("-m", "tests.interop.aiortc_peer", role, own_port, peer_port)
    async with _running(JsonPeer, Path(python_with_aiortc() or sys.executable), options) as peer:
        await peer.expect("listening")
        yield peer


def python_with_aiortc() -> str | None:
    """An interpreter that has aiortc; None: this one."""
    if importlib.util.find_spec("aiortc"):
        return None
    python = os.environ.get("TRIO_SCTP_PEER_PYTHON")
    if python is None:
        missing_peer("aiortc is not installed (pip install trio-sctp[interop])")
    return python


async def wait_for_usrsctp_listener(udp_port: int, sctp_port: int) -> None:
    """Until an association that begins at these ports would be taken.

    usrsctp binds its UDP port first and aborts every association until the program listens, so
    what is waited for is an INIT ACK.  The listener remembers nothing of it (RFC 9260 §5.1.3).
    """
    init = encode_packet(sctp_port, sctp_port, 0, [Init(1, 1 << 16, 1, 1, 1).encode()])
    with trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM) as prober:
        await prober.connect(("127.0.0.1", udp_port))
        while True:
            with suppress(ConnectionRefusedError), trio.move_on_after(0.1):
                await prober.send(init)
                if (await prober.recv(2048))[COMMON_HEADER_SIZE] == InitAck.type:
                    return
            await trio.sleep(0.01)  # the port was not bound yet, or the answer was an ABORT
