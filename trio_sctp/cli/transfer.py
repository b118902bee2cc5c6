"""``trio-sctp send`` and ``trio-sctp receive``: files over a data channel, with a progress bar."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import trio
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from .. import Association, DataChannel, serve_udp
from .failure import Failure
from .files import PROTOCOL, Header, Progress as Advance, receive_file, send_file
from .running import connected, note, printable, say, socket_name

__all__ = ["run_receiver", "run_sender"]

PARTING_TIME = 5.0
"""How long a peer may take to shut down after its files, in seconds."""


def transfer_progress() -> Progress:
    """A bar for each file on standard error, if that is a terminal."""
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


async def run_sender(path: Path, host: str, port: int, *, patience: float) -> None:
    """Send one file; `Failure` unless the receiver has it."""
    header = Header(path.name, (await trio.Path(path).stat()).st_size)
    async with connected(host, port, patience=patience) as association:
        with transfer_progress() as bars:
            bar = bars.add_task(escape(printable(path.name)), total=header.size)
            async with association.open_channel(path.name, protocol=PROTOCOL) as channel:
                await send_file(channel.as_stream(), path, header, partial(bars.advance, bar))
    say(f"sent {printable(path.name)}: {header.size} bytes, checked by the receiver")


async def run_receiver(port: int, directory: Path, *, host: str | None, once: bool) -> None:
    """Receive files into ``directory`` until cancelled, or until there was one."""
    if not os.access(directory, os.W_OK | os.X_OK):
        raise Failure(f"cannot write to {directory}")
    with transfer_progress() as bars:
        async with trio.open_nursery() as nursery:
            receiver = _Receiver(directory, bars)
            endpoint = await nursery.start(partial(serve_udp, receiver.serve, port, host=host))
            say(f"receive: listening at UDP {socket_name(endpoint.local_address)}")
            if once:
                await receiver.first_is_over.wait()
                nursery.cancel_scope.cancel()
    if once and not receiver.files:
        raise Failure("the file could not be received")


class _Receiver:
    def __init__(self, directory: Path, bars: Progress) -> None:
        self._directory = directory
        self._bars = bars
        self.files = 0
        self.first_is_over = trio.Event()
        """A peer that sent something, or tried to, has gone."""

    async def serve(self, association: Association) -> None:
        """Take the files of one peer."""
        peer = socket_name(association.peer_address)
        tries = 0
        try:
            async with trio.open_nursery() as nursery:
                async for channel in association.listen():
                    tries += 1
                    nursery.start_soon(self._take, channel, peer)
            with trio.move_on_after(PARTING_TIME):
                await association.wait_closed()
        finally:
            if tries:
                self.first_is_over.set()

    async def _take(self, channel: DataChannel, peer: str) -> None:
        bar = self._bars.add_task(f"from {peer}", total=None)

        async def announced(header: Header) -> Advance:
            await trio.lowlevel.checkpoint()
            name = escape(printable(header.name))
            self._bars.update(bar, description=name, total=header.size)
            return partial(self._bars.advance, bar)

        try:
            async with channel:
                path, header = await receive_file(channel.as_stream(), self._directory, announced)
        except (Failure, OSError, trio.BrokenResourceError, ValueError) as error:
            note(f"from {peer}: failed: {printable(str(error))}")
        else:
            self.files += 1
            say(f"received {path.name}: {header.size} bytes from {peer}, checked")
        finally:
            self._bars.remove_task(bar)
