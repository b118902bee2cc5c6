"""How files travel: over one ordered, reliable channel as a stream, checked by SHA-256.

The sender opens a channel with the protocol name `PROTOCOL` and sends a header (four bytes of
length, then JSON with name and size), the content, and its SHA-256.  The receiver answers with JSON
of the same form: ``{"saved": true}`` once the whole file is in its place, or ``{"error": "why"}``.

What arrives is written to a nameless-looking temporary file and gets its name at the end.  That name is
only ever a plain name in the directory, and never that of something that exists.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import struct
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import trio

from .failure import Failure
from .json_object import json_object

__all__ = ["PROTOCOL", "Header", "receive_file", "safe_name", "send_file", "send_note"]

PROTOCOL = "trio-sctp.file"
BLOCK = 1024 * 1024
"""Bytes read from and written to the disk at once."""
LONGEST_NOTE = 16 * 1024
LONGEST_FILE = 2**63
LONGEST_NAME = 200
"""In bytes of UTF-8, with room for a number below the 255 that file systems allow."""
DIGEST_SIZE = hashlib.sha256().digest_size

_LENGTH = struct.Struct("!I")
_UNSAFE = re.compile(r'[<>:"|?*\x7f]')
_DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)

Progress = Callable[[int], None]
"""Called with the number of bytes that were added."""


@dataclass(frozen=True, slots=True)
class Header:
    """What the sender says about a file before it sends it."""

    name: str
    size: int


async def send_file(
    stream: trio.abc.Stream, path: Path, header: Header, progress: Progress
) -> None:
    """Send a file and wait until the other end has it; `Failure` if it has not."""
    await send_note(stream, {"name": header.name, "size": header.size})
    digest = hashlib.sha256()
    async with await trio.open_file(path, "rb") as file:
        left = header.size
        while left:
            block = await file.read(min(BLOCK, left))
            if not block:
                raise Failure(f"{path} became shorter while it was sent")
            digest.update(block)
            await stream.send_all(block)
            left -= len(block)
            progress(len(block))
    await stream.send_all(digest.digest())
    answer = await _Reader(stream).note()
    if answer.get("saved") is not True:
        raise Failure(f"the receiver did not take it: {answer.get('error', 'no reason given')}")


async def receive_file(
    stream: trio.abc.Stream,
    directory: Path,
    announced: Callable[[Header], Awaitable[Progress]],
) -> tuple[Path, Header]:
    """Take one file, answer, and return where it is.

    ``announced`` is called with what the sender says and gives the progress.  Raises `Failure` or
    `OSError` if it cannot be had; the sender is told then.
    """
    reader = _Reader(stream)
    try:
        header = _checked(await reader.note())
        progress = await announced(header)
        with tempfile.NamedTemporaryFile(
            dir=directory, prefix=".trio-sctp-", suffix=".part", delete=False
        ) as file:
            try:
                await _receive_content(reader, file.file, header, progress)
                path = await trio.to_thread.run_sync(_put_in_place, file, directory, header.name)
            except BaseException:
                file.close()
                os.unlink(file.name)
                raise
    except (Failure, OSError) as error:
        await send_note(stream, {"error": str(error)})
        raise
    await send_note(stream, {"saved": True})
    return path, header


async def _receive_content(
    reader: _Reader, file: IO[bytes], header: Header, progress: Progress
) -> None:
    digest = hashlib.sha256()

    def write(block: bytes) -> None:
        digest.update(block)
        file.write(block)

    left = header.size
    while left:
        block = await reader.at_least(min(BLOCK, left), at_most=left)
        await trio.to_thread.run_sync(write, block)
        left -= len(block)
        progress(len(block))
    if digest.digest() != await reader.exactly(DIGEST_SIZE):
        raise Failure("the SHA-256 of what arrived is not the sender's")


def _put_in_place(file: Any, directory: Path, name: str) -> Path:
    """Give a finished temporary file a name of its own."""
    file.flush()
    os.fsync(file.fileno())
    file.close()
    target = _reserve(directory, safe_name(name))
    os.chmod(file.name, target.stat().st_mode)  # as any new file, no longer for us alone
    os.replace(file.name, target)
    return target


def _reserve(directory: Path, name: str) -> Path:
    """Make an empty file whose name was free: ``name``, or with a number before the suffix."""
    stem, suffix = os.path.splitext(name)
    for number in range(1, 10_000):
        target = directory / (name if number == 1 else f"{stem} ({number}){suffix}")
        try:
            # O_EXCL: follows no link and takes nothing that exists
            os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        except FileExistsError:
            continue
        return target
    raise Failure(f"there are too many files called {name}")


def safe_name(name: str) -> str:
    """What is left of a name from elsewhere: a plain, visible file name for any system."""
    last = re.split(r"[/\\]", name)[-1]
    plain = _UNSAFE.sub("_", "".join(c for c in last if c.isprintable()))
    plain = plain.strip(" ").rstrip(". ").lstrip(".") or "file"
    if _DEVICE.fullmatch(plain):  # names that mean devices on Windows
        plain = f"_{plain}"
    stem, suffix = os.path.splitext(plain)
    if len(suffix.encode()) > LONGEST_NAME // 2:
        stem, suffix = plain, ""
    room = LONGEST_NAME - len(suffix.encode())
    return stem.encode()[:room].decode(errors="ignore") + suffix


def _checked(note: dict[str, Any]) -> Header:
    name, size = note.get("name"), note.get("size")
    if not isinstance(name, str) or type(size) is not int or not 0 <= size < LONGEST_FILE:
        raise Failure("the sender did not say name and size")
    return Header(name, size)


async def send_note(stream: trio.abc.Stream, content: dict[str, Any]) -> None:
    """Send four bytes of length, then JSON."""
    encoded = json.dumps(content).encode()
    await stream.send_all(_LENGTH.pack(len(encoded)) + encoded)


class _Reader:
    """Takes pieces of given lengths from a stream."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream
        self._unread = bytearray()

    async def at_least(self, size: int, *, at_most: int) -> bytes:
        while len(self._unread) < size:
            piece = await self._stream.receive_some()
            if not piece:
                raise Failure("the other end closed the channel in the middle")
            self._unread += piece
        taken = bytes(self._unread[:at_most])
        del self._unread[:at_most]
        return taken

    async def exactly(self, size: int) -> bytes:
        return await self.at_least(size, at_most=size)

    async def note(self) -> dict[str, Any]:
        (length,) = _LENGTH.unpack(await self.exactly(_LENGTH.size))
        if length > LONGEST_NOTE:
            raise Failure("the other end does not speak this protocol")
        if (note := json_object(await self.exactly(length))) is None:
            raise Failure("the other end does not speak this protocol")
        return note
