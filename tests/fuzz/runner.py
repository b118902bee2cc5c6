"""Runs the cases of a level: the corpus, what can be made of it, and random ones.

A case that fails is cut down to a shorter one that fails in the same way.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import NamedTuple

from tests.fuzz import association, codec, pair

__all__ = ["CORPUS", "LEVELS", "Failure", "Level", "corpus_of", "run", "shrink"]

CORPUS = Path(__file__).parent / "corpus"


class Level(NamedTuple):
    play: Callable[[bytes], None]
    size: int
    """Bytes of a random case."""
    cases: int
    """How many are played in CI: three minutes together."""


LEVELS = {
    "codec": Level(codec.play, codec.SIZE, 400_000),
    "association": Level(association.play, association.SIZE, 24_000),
    "pair": Level(pair.play, pair.SIZE, 2_500),
}


class Failure(NamedTuple):
    """A case that fails, and how: where in the sources, and the whole story."""

    case: bytes
    place: str
    report: str


def failure_of(play: Callable[[bytes], None], case: bytes) -> Failure | None:
    """Play a case; what went wrong, if anything did."""
    try:
        play(case)
    except Exception as error:  # whatever it is, it is what we are looking for
        last = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{type(error).__name__} in {Path(last.filename).name}:{last.lineno}"
        return Failure(case, place, traceback.format_exc())
    return None


def corpus_of(level: str) -> list[bytes]:
    """The cases that are kept, in the order of their names."""
    return [file.read_bytes() for file in sorted((CORPUS / level).glob("*"))]


def run(
    level: str, *, seed: int, cases: int | None = None, seconds: float | None = None
) -> tuple[int, Failure | None]:
    """Play cases until one fails, or so many were played, or so much CPU time is used up."""
    play, end = LEVELS[level].play, time.process_time() + (seconds or 0.0)
    count = 0
    for count, case in enumerate(_cases(level, Random(f"{level} {seed}")), 1):
        failure = failure_of(play, case)
        if failure is not None:
            return count, shrink(play, failure)
        if count == cases or (seconds is not None and time.process_time() > end):
            break
    return count, None


def _cases(level: str, rng: Random) -> Iterator[bytes]:
    corpus, size = corpus_of(level), LEVELS[level].size
    yield from corpus
    while True:
        if corpus and rng.random() < 0.5:
            yield _mutation(rng.choice(corpus), rng, size)
        else:
            yield rng.randbytes(rng.choice((size // 10, size // 3, size)))


def _mutation(case: bytes, rng: Random, size: int) -> bytes:
    changed = bytearray(case)
    for _ in range(rng.choice((1, 2, 5))):
        at = rng.randrange(len(changed) + 1)
        kind = rng.randrange(4)
        if kind == 0:
            changed[at : at + 1] = rng.randbytes(1)
        elif kind == 1:
            changed[at:at] = rng.randbytes(rng.randrange(8))
        elif kind == 2:
            del changed[at : at + rng.randrange(8)]
        else:
            changed[at:] = rng.randbytes(rng.randrange(size))
    return bytes(changed)


def shrink(play: Callable[[bytes], None], failure: Failure, *, seconds: float = 30.0) -> Failure:
    """A shorter case with smaller numbers that fails at the same place."""
    end = time.process_time() + seconds

    def better(case: bytes) -> bool:
        nonlocal failure
        if case == failure.case or time.process_time() > end:
            return False
        found = failure_of(play, case)
        if found is None or found.place != failure.place:
            return False
        failure = found
        return True

    progress = True
    while progress:
        progress = False
        size = len(failure.case)
        while size:
            at = 0
            while at < len(failure.case):
                case = failure.case
                if better(case[:at] + case[at + size :]):
                    progress = True
                else:
                    at += size
            size //= 2
        for at in range(len(failure.case)):
            case = failure.case
            if at < len(case) and case[at]:
                progress |= better(case[:at] + b"\0" + case[at + 1 :])
    return failure
