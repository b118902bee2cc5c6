"""The conformance tables name what exists: modules, tests, levels, each requirement once."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent.parent
LEAST_ROWS = {
    "rfc9260.md": 500,
    "rfc3758.md": 45,
    "rfc6525.md": 80,
    "rfc7496.md": 9,
    "rfc8260.md": 40,
    "rfc8831.md": 30,
    "rfc8832.md": 20,
    "rfc8899.md": 35,
    "rfc9653.md": 12,
}
"""The tables, and how many requirements there are at least."""
LEVELS = {"MUST", "MUST NOT", "REQUIRED", "SHOULD", "SHOULD NOT", "RECOMMENDED"}
PENDING = "to be named"


class Row(NamedTuple):
    number: str
    level: str
    requirement: str
    where: str
    tests: str


@pytest.fixture(params=LEAST_ROWS)
def table(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def rows(table: str) -> list[Row]:
    cells = [
        [cell.strip() for cell in line.strip("|\n").split("|")]
        for line in (ROOT / "docs" / "conformance" / table).read_text().splitlines()
        if re.match(r"\| [0-9]", line)
    ]
    return [Row(*row) for row in cells]


def test_every_row_has_a_number_of_its_own_and_a_level(table: str, rows: list[Row]) -> None:
    numbers = [row.number for row in rows]
    assert len(numbers) > LEAST_ROWS[table]
    assert len(set(numbers)) == len(numbers)
    assert {row.level for row in rows} <= LEVELS


def test_every_row_names_its_tests_or_says_why_not(rows: list[Row]) -> None:
    assert [row.number for row in rows if row.tests in (PENDING, "")] == []


def test_modules_named_exist(rows: list[Row]) -> None:
    named = {name for row in rows for name in re.findall(r"`([^`]+\.py)`", row.where)}
    missing = {name for name in named if not (ROOT / "trio_sctp" / name).exists()}
    assert missing == set()


@cache
def functions_in(path: str) -> set[str]:
    tree = ast.parse((ROOT / "tests" / path).read_text())
    return {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def test_tests_named_exist(rows: list[Row]) -> None:
    for row in rows:
        for path, test in re.findall(r"`([^`:]+\.py)::(\w+)`", row.tests):
            assert test in functions_in(path), row


def test_rows_name_tests_or_give_a_reason(rows: list[Row]) -> None:
    for row in rows:
        assert "::test_" in row.tests or re.match(r"(not applicable|no test): .+", row.tests), row


def test_rows_that_apply_to_nothing_say_why(rows: list[Row]) -> None:
    for row in rows:
        if row.where == "–":
            assert row.tests.startswith("not applicable: "), row
