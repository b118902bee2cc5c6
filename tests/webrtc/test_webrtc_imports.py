from __future__ import annotations

import ast
from pathlib import Path

import pytest

import trio_sctp._webrtc

FORBIDDEN = {"trio", "socket", "time", "threading", "logging", "asyncio", "select", "os"}
MODULES = sorted(Path(next(iter(trio_sctp._webrtc.__path__))).glob("*.py"))


def imported(tree: ast.AST) -> set[str]:
    names = set[str]()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add("." * node.level + (node.module or ""))
    return names


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_no_clock_no_io_and_no_way_out_of_the_package(module: Path) -> None:
    tree = ast.parse(module.read_text(encoding="utf-8"))
    names = imported(tree)
    assert not {name.partition(".")[0] for name in names} & FORBIDDEN
    assert not any(name.startswith("..") or "trio_sctp" in name for name in names)
    if "random" in names:  # for annotations only
        guarded = [
            node
            for node in tree.body
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        ]
        assert "random" in set().union(*(imported(node) for node in guarded))
        assert not any(
            isinstance(n, ast.Call) and ast.unparse(n.func) == "Random" for n in ast.walk(tree)
        )
