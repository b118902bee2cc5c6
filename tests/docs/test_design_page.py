"""The page about the design sends its readers to modules that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


def modules_named(package: str) -> list[str]:
    """What the table of a package has in its last column; a name may be the beginning of several."""
    page = (ROOT / "docs" / "design.md").read_text()
    rows = page.split(f"| Modules of `{package}` |\n")[1].split("\n\n")[0].splitlines()[1:]
    return re.findall(r"`(\w+(?:/\w+)?)`", " ".join(row.split("|")[2] for row in rows))


@pytest.mark.parametrize(
    "package, least", [("_core", 40), ("_wire", 9), ("_webrtc", 20), ("trio_sctp", 30)]
)
def test_modules_exist(package: str, least: int) -> None:
    names = modules_named(package)
    assert len(names) >= least
    directory = ROOT / "trio_sctp" / (package if package != "trio_sctp" else "")
    assert [name for name in names if not list(directory.glob(f"{name}*.py"))] == []


@pytest.mark.parametrize("package", ["_wire", "_webrtc"])
def test_no_module_is_left_out(package: str) -> None:
    there = {path.stem for path in (ROOT / "trio_sctp" / package).glob("*.py")}
    assert there - {"__init__"} - set(modules_named(package)) == set()
