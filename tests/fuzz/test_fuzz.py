"""A little of the fuzzer in every run of the tests; `.ci/run` and `python -m tests.fuzz` do more."""

from __future__ import annotations

import pytest

from tests.fuzz.choices import Choices
from tests.fuzz.runner import LEVELS, Failure, corpus_of, failure_of, run, shrink


@pytest.mark.parametrize("level", LEVELS)
def test_the_corpus(level: str) -> None:
    """What was found once, and what reaches far."""
    cases = corpus_of(level)
    assert cases
    for case in cases:
        LEVELS[level].play(case)


@pytest.mark.parametrize("level, cases", [("codec", 20_000), ("association", 300), ("pair", 40)])
def test_random_cases(level: str, cases: int) -> None:
    count, failure = run(level, seed=1, cases=cases)
    assert failure is None, f"{failure.report}\n{failure.case.hex()}"
    assert count == cases


def test_a_failure_is_cut_down() -> None:
    """A decoder that cannot bear two bytes is found out, by a case that has hardly any others."""

    def play(data: bytes) -> None:
        choices = Choices(data)
        while not choices.exhausted:
            assert not (choices.number(1) == 66 and choices.number(1) > 100)

    found = failure_of(play, b"some bytes, \x42 and \x42\xff among them")
    assert isinstance(found, Failure)
    small = shrink(play, found)
    assert small.place == found.place
    assert small.case[:1] == b"\x42"
    assert len(small.case) == 2
    assert failure_of(play, b"no such bytes") is None


def test_choices_end_tamely() -> None:
    choices = Choices(b"\xff\x03\x05")
    assert choices.number(1) == 255
    assert choices.below(4) == 3
    assert choices.pick("abcd") == "b"
    assert choices.exhausted
    assert not choices.one_in(2)
    assert choices.number(4) == 0
    assert choices.pick("xyz") == "x"
    assert choices.blob(10) == b""
    assert choices.near(7) == 7
