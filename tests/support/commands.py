"""The trio-sctp command and other programs as child processes, bounded in time and always ended."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import trio

TIME_LIMIT = 300.0
"""Seconds that end what hangs, and nothing that a busy machine only makes slow."""
ROOT = Path(__file__).parent.parent.parent
TRIO_SCTP = (sys.executable, "-m", "trio_sctp.cli")


class Program:
    """A running child whose output is read line by line."""

    def __init__(self, process: trio.Process) -> None:
        self.process = process
        self._unread = b""

    async def line(self) -> str:
        """The next line of its standard output; fails at the end of it."""
        assert self.process.stdout is not None
        while b"\n" not in self._unread:
            block = await self.process.stdout.receive_some()
            assert block, f"it ended after saying {self._unread!r}"
            self._unread += block
        line, _, self._unread = self._unread.partition(b"\n")
        return line.decode()

    async def port(self) -> int:
        """The UDP port that its next line names."""
        line = await self.line()
        found = re.search(r":(\d+)(, SCTP.*)?$|port (\d+)$", line)
        assert found is not None, line
        return int(found[1] or found[3])

    async def everything(self) -> str:
        """The rest of its output, once it has ended."""
        assert self.process.stdout is not None
        rest = self._unread + b"".join([block async for block in self.process.stdout])
        await self.process.wait()
        return rest.decode()


async def end_process(process: trio.Process) -> None:
    """Kill it where it still runs, and close its pipes."""
    with trio.CancelScope(shield=True):
        if process.returncode is None:
            process.kill()
        await process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                await stream.aclose()


@asynccontextmanager
async def program(*command: str, errors: Path | None = None) -> AsyncIterator[Program]:
    """Start a program; it is killed when the block ends."""
    with trio.fail_after(TIME_LIMIT), (errors or Path("/dev/null")).open("wb") as stderr:
        process = await trio.lowlevel.open_process(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, cwd=ROOT
        )
        try:
            yield Program(process)
        finally:
            await end_process(process)


@asynccontextmanager
async def trio_sctp_command(
    *arguments: str | float | Path, errors: Path | None = None
) -> AsyncIterator[Program]:
    """Start a subcommand."""
    async with program(*TRIO_SCTP, *map(str, arguments), errors=errors) as running:
        yield running


async def run_to_end(
    command: Sequence[str], *, stdin: bytes = b"", folder: Path = ROOT
) -> subprocess.CompletedProcess[bytes]:
    """Run a program until it ends; this copy of the library is what it imports."""
    with trio.fail_after(TIME_LIMIT):
        return await trio.run_process(
            command,
            stdin=stdin,
            capture_stdout=True,
            capture_stderr=True,
            check=False,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )


async def run_trio_sctp(
    *arguments: str | float | Path, stdin: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    """Run a subcommand until it ends."""
    return await run_to_end([*TRIO_SCTP, *map(str, arguments)], stdin=stdin)


def assert_fails_in_one_line(result: subprocess.CompletedProcess[bytes], *parts: str) -> None:
    """Status 1 and one line on standard error, which has all the parts."""
    said = result.stderr.decode()
    assert result.returncode == 1, said
    assert len(said.strip().splitlines()) == 1, said
    assert said.startswith("Error: "), said
    for part in parts:
        assert part in said
