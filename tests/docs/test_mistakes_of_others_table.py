"""The page about the mistakes of others names tests that exist, and no mistake twice."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "mistakes-of-others.md"


def rows() -> list[tuple[str, list[tuple[str, str]]]]:
    """Each mistake, with the file and name of its tests."""
    cells = [line.strip("|").split("|") for line in PAGE.read_text().splitlines() if "::" in line]
    return [
        (mistake.strip(), re.findall(r"`([^`:]+\.py)::(\w+)`", tests)) for mistake, tests in cells
    ]


def test_every_mistake_is_named_once_and_has_a_test() -> None:
    mistakes = [mistake for mistake, _ in rows()]
    assert len(mistakes) > 40
    assert len(set(mistakes)) == len(mistakes)
    assert all(tests for _, tests in rows())


def test_tests_named_exist() -> None:
    for mistake, tests in rows():
        for path, name in tests:
            source = (ROOT / "tests" / path).read_text()
            assert re.search(rf"^(async )?def {name}\(", source, re.MULTILINE), (mistake, name)
