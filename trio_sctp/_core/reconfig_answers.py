"""Answers to requests of the peer (RFC 6525 §5.2.1): all in one chunk, and again in the same words."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeAlias

from .._wire.chunks import ReConfig
from .._wire.parameters import ReConfigResponse
from .._wire.serial import unwrap32
from .own_requests import OwnParameter

__all__ = ["Answer", "Answers"]

Answer: TypeAlias = ReConfigResponse | OwnParameter
"""A request of ours may be the answer to one of the peer (§5.2.3 F1)."""
_MAX_WAITING: Final = 3
"""Answers kept for sending: a peer that asks faster than that is not heard until it asks again."""


class Answers:
    """The numbers of the peer's requests, and the answers that are to be sent."""

    __slots__ = ("_waiting", "expected_sn", "given")

    def __init__(self, initial_sn: int) -> None:
        self.expected_sn = initial_sn
        """The number of the next new request, unwrapped."""
        self.given: dict[int, Answer] = {}
        """To the newest requests, by their numbers."""
        self._waiting: list[bytes] = []

    @property
    def are_waiting(self) -> bool:
        return bool(self._waiting)

    @property
    def are_too_many(self) -> bool:
        return len(self._waiting) >= _MAX_WAITING

    def respond(self, answers: Iterable[Answer]) -> None:
        """Queue one RE-CONFIG chunk with all the answers to one chunk."""
        self._waiting.append(ReConfig(tuple(answers)).encode())

    def respond_late(self, response: ReConfigResponse) -> None:
        """The answer to a request that was told "in progress" until now."""
        sn = unwrap32(response.response_sn, self.expected_sn)
        if sn in self.given:
            self.given[sn] = response
        self.respond([response])

    def take(self, room: int) -> list[bytes]:
        """The chunks that are due, as many as fit."""
        chunks: list[bytes] = []
        waiting = self._waiting
        while waiting and len(waiting[0]) <= room:
            chunks.append(waiting.pop(0))
            room -= len(chunks[-1])
        return chunks
