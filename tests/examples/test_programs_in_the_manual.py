"""The Python programs in the README and the manual do what the text says: they are run.

A block that runs itself is run as a reader would; tests in a block are run by pytest.  Pieces of
programs, marked ``py``, have to be Python at least.
"""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest

from tests.support.commands import ROOT, run_to_end

PAGES = ["README.md", "docs/tutorial.md", "docs/testing.md", "docs/webrtc.md"]
_BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
_PIECE = re.compile(r"^```py\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks() -> list[tuple[str, str]]:
    found = []
    for page in PAGES:
        for number, block in enumerate(_BLOCK.findall((ROOT / page).read_text()), 1):
            found.append((f"{page} {number}", block))
    return found


@pytest.mark.parametrize("block", [pytest.param(block, id=name) for name, block in blocks()])
async def test_a_program_in_the_manual_runs(tmp_path: Path, block: str) -> None:
    path = tmp_path / "test_block.py"
    path.write_text(block)
    if "trio.run(" in block:
        command = [sys.executable, "-W", "error", str(path)]
    else:
        assert "def test_" in block, "a block that neither runs nor tests anything"
        command = [sys.executable, "-m", "pytest", "-q", "-o", "trio_mode=true", str(path)]
    result = await run_to_end(command, folder=tmp_path)
    assert result.returncode == 0, (result.stdout + result.stderr).decode()
    assert result.stdout


@pytest.mark.parametrize("page", PAGES)
def test_a_piece_in_the_manual_is_python(page: str) -> None:
    for piece in _PIECE.findall((ROOT / page).read_text()):
        compile(piece, page, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
