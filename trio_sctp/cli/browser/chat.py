"""The chat of all pages that are open: who is here, and what was said.

A page says ``{"name": ...}`` and ``{"text": ...}``.  It is told ``{"you": id, "said": [...]}`` when it
comes, then ``{"said": [...]}`` for what is new and ``{"people": [...]}`` whenever that changes.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import count

from ... import DataChannel
from .notes import Note, note_of, tell

__all__ = ["Room"]

REMEMBERED = 30
"""Messages that newcomers are told."""
LONGEST_TEXT = 1000
LONGEST_NAME = 40
"""Both in characters: what is longer is cut."""


@dataclass(slots=True)
class Member:
    """Somebody who is here."""

    id: int
    name: str


class Room:
    """Tells everybody what anybody says, and newcomers what was said before."""

    def __init__(self) -> None:
        self._members: dict[DataChannel, Member] = {}
        self._said: deque[Note] = deque(maxlen=REMEMBERED)
        self._ids = count(1)

    async def join(self, channel: DataChannel) -> None:
        """Serve one member until it goes."""
        number = next(self._ids)
        member = self._members[channel] = Member(number, f"Guest {number}")
        try:
            tell([channel], {"you": number, "said": list(self._said)})
            self._tell_who_is_here()
            async for message in channel:
                self._take(member, note_of(message))
        finally:
            del self._members[channel]
            self._tell_who_is_here()

    def _take(self, member: Member, note: Note) -> None:
        if name := _text(note, "name", LONGEST_NAME):
            member.name = name
            self._tell_who_is_here()
        if text := _text(note, "text", LONGEST_TEXT):
            said = {"from": member.id, "name": member.name, "text": text}
            self._said.append(said)
            tell(self._members, {"said": [said]})

    def _tell_who_is_here(self) -> None:
        people = [{"id": member.id, "name": member.name} for member in self._members.values()]
        tell(self._members, {"people": people})


def _text(note: Note, key: str, longest: int) -> str:
    value = note.get(key)
    return value.strip()[:longest] if isinstance(value, str) else ""
