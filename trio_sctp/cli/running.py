"""What the subcommands share: running under trio until done or interrupted, and saying what failed.

An expected failure, such as a port in use, a peer that does not answer or an association that broke,
is one line on standard error and exit status 1; Ctrl-C and SIGTERM cancel the work, so that peers are
told, and give 128 plus the signal's number, or 0 where that is how the command is meant to end.
Anything else is a bug and keeps its traceback.
"""

from __future__ import annotations

import math
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, NoReturn

import click
import trio

from .. import Association, HandshakeFailed, LocalProtocolError, open_udp_association
from .failure import Failure

__all__ = ["connected", "note", "printable", "run", "say", "socket_name", "stdin_lines"]

_EXPECTED = (Failure, OSError, trio.BrokenResourceError, trio.EndOfChannel, LocalProtocolError)
_READ_SIZE = 65536


def run(job: Callable[[], Awaitable[None]], *, ends_by_interrupt: bool = False) -> None:
    """Run ``job`` and exit as the module says."""
    received, error = trio.run(_until_interrupted, job)
    if error is not None:
        _fail(error)
    if received and not ends_by_interrupt:
        sys.exit(128 + received)


async def _until_interrupted(
    job: Callable[[], Awaitable[None]],
) -> tuple[int, Exception | None]:
    """The signal that ended the job, or 0, and the exception that did."""
    received = 0
    failure: Exception | None = None

    async def watch(task_status: trio.TaskStatus[None]) -> None:
        nonlocal received
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            task_status.started()
            received = await anext(aiter(signals))
        nursery.cancel_scope.cancel()  # a second Ctrl-C has its usual effect again

    async with trio.open_nursery() as nursery:
        await nursery.start(watch)
        try:
            await job()
        except Exception as error:
            failure = error
        nursery.cancel_scope.cancel()
    return received, failure


def _fail(error: Exception) -> NoReturn:
    leaves = _leaves(error)
    if not all(isinstance(leaf, _EXPECTED) for leaf in leaves):
        raise error
    first = leaves[0]
    said = first.strerror if isinstance(first, socket.gaierror) else str(first)
    raise click.ClickException(printable(said or type(first).__name__))


def _leaves(error: Exception) -> list[Exception]:
    if isinstance(error, ExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in _leaves(inner)]
    return [error]


@asynccontextmanager
async def connected(
    host: str, port: int, *, patience: float, **options: Any
) -> AsyncIterator[Association]:
    """`open_udp_association` that gives up after ``patience`` seconds without an association."""
    with trio.CancelScope(deadline=trio.current_time() + patience) as limit:
        try:
            async with open_udp_association(host, port, **options) as association:
                limit.deadline = math.inf
                yield association
        except HandshakeFailed as error:
            raise Failure(f"{host} port {port}: {error}") from error
    if limit.cancelled_caught:
        raise Failure(
            f"{host} port {port} did not answer within {patience:g} seconds: is a server running there?"
        )


def socket_name(address: Any) -> str:
    """An address as people write it: 192.0.2.1:9899, [2001:db8::1]:9899."""
    if not isinstance(address, tuple) or len(address) < 2:
        return str(address)
    host = str(address[0])
    return f"[{host}]:{address[1]}" if ":" in host else f"{host}:{address[1]}"


def printable(text: str) -> str:
    """Text from elsewhere, without what a terminal would obey."""
    return "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text
    )


def say(text: str) -> None:
    """Results go to standard output, at once."""
    print(text, flush=True)


def note(text: str) -> None:
    """What happens meanwhile goes to standard error."""
    print(text, file=sys.stderr, flush=True)


async def stdin_lines() -> AsyncIterator[str]:
    """Lines of standard input, without their ends; a thread waits for them and may be abandoned."""
    unread = b""
    while block := await trio.to_thread.run_sync(os.read, 0, _READ_SIZE, abandon_on_cancel=True):
        *lines, unread = (unread + block).split(b"\n")
        for line in lines:
            yield line.decode(errors="replace").removesuffix("\r")
    if unread:
        yield unread.decode(errors="replace")
