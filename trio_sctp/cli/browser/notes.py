"""Notes, small JSON objects as text messages: what page and server tell each other on most channels."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, TypeAlias

import trio

from ... import DataChannel
from ..failure import Failure
from ..json_object import json_object

__all__ = ["Note", "encoded", "note_of", "receive_note", "tell"]

Note: TypeAlias = dict[str, Any]


def encoded(note: Note) -> str:
    """A note as a message."""
    return json.dumps(note, ensure_ascii=False, separators=(",", ":"))


def note_of(message: bytes | str) -> Note:
    """What a message says; `Failure` if that is nothing we understand."""
    if (note := json_object(message)) is None:
        raise Failure("the page sent what is no note")
    return note


async def receive_note(channel: DataChannel) -> Note:
    """Wait for one; raises as `note_of` and the channel do."""
    return note_of(await channel.receive())


def tell(channels: Iterable[DataChannel], note: Note) -> None:
    """Tell all of them, waiting for nobody: who has no room, or has gone, misses it."""
    text = encoded(note)
    for channel in channels:
        with suppress(trio.WouldBlock, trio.BrokenResourceError, trio.ClosedResourceError):
            channel.send_nowait(text)
