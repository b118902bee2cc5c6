"""The page about the design sends its readers to modules that exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
CORE = ROOT / "trio_sctp" / "_core"


def test_modules_of_the_core_exist() -> None:
    page = (ROOT / "docs" / "design.md").read_text()
    section = page.split("## Where a rule stands")[1].split("\n## ")[0]
    cells = [line.split("|")[2] for line in section.splitlines() if line.startswith("| ")]
    names = re.findall(r"`(\w+(?:/\w+)?)`", " ".join(cells[2:]))
    assert len(names) > 40
    missing = [name for name in names if not list(CORE.glob(f"{name}*.py"))]
    assert missing == []
