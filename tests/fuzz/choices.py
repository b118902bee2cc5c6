"""Decisions taken from bytes: what lets one string of bytes stand for a whole story.

A case of the fuzzer is a string of bytes.  Whoever makes it up (a seeded generator, a mutation of the
corpus, a coverage-guided fuzzer) knows nothing of associations; the level that plays it asks for one
decision after the other.  When the bytes run out every answer is 0, which is always the tame choice,
so that shorter strings are simpler stories and a failure can be cut down.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

__all__ = ["Choices"]

T = TypeVar("T")


class Choices:
    """Reads decisions off a string of bytes, from its beginning to its end."""

    __slots__ = ("_data", "_offset")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._offset = 0

    @property
    def exhausted(self) -> bool:
        return self._offset >= len(self._data)

    def take(self, size: int) -> bytes:
        """That many of the bytes themselves, fewer at the end."""
        taken = self._data[self._offset : self._offset + size]
        self._offset += size
        return taken

    def number(self, size: int) -> int:
        """Any integer of ``size`` bytes."""
        return int.from_bytes(self.take(size).ljust(size, b"\0"), "big")

    def below(self, bound: int) -> int:
        """An integer from 0 to ``bound`` - 1."""
        return self.number(1 if bound <= 256 else 4) % bound

    def one_in(self, number: int) -> bool:
        """True once in ``number`` times; never when the bytes have run out."""
        return self.below(number) == number - 1

    def pick(self, options: Sequence[T]) -> T:
        return options[self.below(len(options))]

    def near(self, number: int, most: int = 2**32 - 1) -> int:
        """A number on the wire that is close to this one, or one of those at the edges, or any."""
        kind = self.below(8)
        if kind < 6:
            return (number + (0, 0, 1, 2, -1, self.below(64) - 20)[kind]) & most
        if kind == 6:
            return self.pick((0, 1, most, most - 1, most >> 1, (most >> 1) + 1))
        return self.number(4) & most

    def blob(self, most: int) -> bytes:
        """Up to ``most`` bytes of the string."""
        return self.take(self.below(most + 1))
