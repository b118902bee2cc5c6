"""Which of the pairs that were nominated is the one in use (RFC 8445 §8.1)."""

from __future__ import annotations

from typing import Final, Generic, TypeVar

__all__ = ["Nominations"]

_Path = TypeVar("_Path")


class Nominations(Generic[_Path]):
    """Which of the pairs that a peer nominated is the one to use.

    RFC 8445 has a peer nominate one pair; RFC 5245 had it nominate several in quick succession and
    use the one of the highest priority; browsers also move later, perhaps to a pair of lower
    priority.  So a pair of higher priority is taken at once, and another one if the present one was
    not nominated for a while, or if it is nominated twice and the present one not in between.
    """

    __slots__ = ("_nominated_at", "_priority", "_rival", "selected")

    _WHILE: Final = 2.0

    def __init__(self) -> None:
        self.selected: _Path | None = None
        self._priority = -1
        self._nominated_at = 0.0
        self._rival: _Path | None = None

    def nominate(self, path: _Path, priority: int, now: float) -> bool:
        """Whether ``path`` is now selected and was not before."""
        before, rival = self.selected, self._rival
        settled = now - self._nominated_at >= self._WHILE
        if before in (None, path) or priority > self._priority or settled or rival == path:
            self.selected, self._priority, self._rival = path, priority, None
            self._nominated_at = now
            return path != before
        self._rival = path
        return False
