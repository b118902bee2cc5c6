"""Files that pages leave here and fetch: they travel as with ``trio-sctp send`` and ``receive``.

A page sends a file on a channel whose protocol is that of `trio_sctp.cli.files`, and plays the
receiver on one that it opens to fetch a file, whose label is the file's name.  On a third channel it
is told ``{"files": [{"name": ..., "size": ...}]}``, now and whenever there is another one.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import trio

from ... import DataChannel
from ..failure import Failure
from ..files import Header, receive_file, send_file, send_note
from .notes import Note, tell

__all__ = ["SharedFiles"]

LARGEST_FILE = 4 * 1024**3

Told = Callable[[str], object]
"""Called with a line for whoever runs the server."""


class SharedFiles:
    """The visible files of one directory."""

    def __init__(self, directory: Path, told: Told) -> None:
        self._directory = directory
        self._told = told
        self._watchers: set[DataChannel] = set()

    async def watch(self, channel: DataChannel) -> None:
        """Tell a page what there is until it closes the channel."""
        self._watchers.add(channel)
        try:
            tell([channel], await self._list())
            async for _ in channel:
                pass
        finally:
            self._watchers.remove(channel)

    async def take(self, channel: DataChannel) -> None:
        """Receive a file."""
        path, header = await receive_file(channel.as_stream(), self._directory, _size_is_checked)
        self._told(f"received {path.name}: {header.size} bytes, checked")
        tell(self._watchers, await self._list())

    async def give(self, channel: DataChannel) -> None:
        """Send the file that the channel's label names."""
        stream = channel.as_stream()
        for name, size in await self._files():
            if name == channel.label:
                await send_file(stream, self._directory / name, Header(name, size), lambda _: None)
                self._told(f"sent {name}: {size} bytes, checked by the page")
                return
        await send_note(stream, {"error": "there is no such file any more"})

    async def _list(self) -> Note:
        return {"files": [{"name": name, "size": size} for name, size in await self._files()]}

    async def _files(self) -> list[tuple[str, int]]:
        return await trio.to_thread.run_sync(_visible_files, self._directory)


def _visible_files(directory: Path) -> list[tuple[str, int]]:
    return sorted(
        (path.name, path.stat().st_size)
        for path in directory.iterdir()
        if path.is_file() and not path.name.startswith(".")
    )


async def _size_is_checked(header: Header) -> Callable[[int], None]:
    await trio.lowlevel.checkpoint()
    if header.size > LARGEST_FILE:
        raise Failure(f"files of more than {LARGEST_FILE // 1024**3} GiB are not taken")
    return lambda _: None
