"""Workers as child processes: started, listened to and ended with an ``async with``."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, BinaryIO

import trio

from ..failure import Failure

__all__ = ["Worker", "start_worker"]

PARTING_TIME = 5.0
"""How long a worker may take to end once its input is closed, in seconds."""


class Worker:
    """A running worker."""

    def __init__(self, process: trio.Process, complaints: BinaryIO) -> None:
        self.process = process
        self._complaints = complaints

    async def events(self) -> AsyncIterator[dict[str, Any]]:
        """What it tells; `Failure` where it failed, `RuntimeError` where it crashed."""
        assert self.process.stdout is not None
        unread = b""
        async for block in self.process.stdout:
            *lines, unread = (unread + block).split(b"\n")
            for line in lines:
                event: dict[str, Any] = json.loads(line)
                if event["event"] == "failed":
                    raise Failure(event["error"])
                yield event
        if await self.process.wait():
            self._complaints.seek(0)
            said = self._complaints.read().decode(errors="replace").strip()
            raise RuntimeError(f"a measuring process crashed: {said}")

    async def expect(self, name: str) -> dict[str, Any]:
        """The next event of that name."""
        async for event in self.events():
            if event["event"] == name:
                return event
        raise Failure(f"a measuring process ended before {name}")

    async def end(self) -> None:
        """Close its input and wait until it is gone."""
        assert self.process.stdin is not None
        await self.process.stdin.aclose()
        with trio.move_on_after(PARTING_TIME):
            await self.process.wait()

    async def kill(self) -> None:
        """It is gone afterwards, whatever it was doing."""
        with trio.CancelScope(shield=True):
            if self.process.returncode is None:
                self.process.kill()
            await self.process.wait()
            for stream in (self.process.stdin, self.process.stdout):
                if stream is not None:
                    await stream.aclose()


@asynccontextmanager
async def start_worker(*arguments: str) -> AsyncIterator[Worker]:
    """Start a worker; whatever happens in the block, it is gone afterwards."""
    with tempfile.TemporaryFile() as complaints:
        process = await trio.lowlevel.open_process(
            [sys.executable, "-m", "trio_sctp.cli.bench.worker", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
        )
        worker = Worker(process, complaints)
        try:
            yield worker
            await worker.end()
        finally:
            await worker.kill()
