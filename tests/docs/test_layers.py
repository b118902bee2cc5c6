"""Who may import whom, and what is kept out of the layers below the shell (docs/design.md)."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import trio_sctp

PACKAGE = Path(trio_sctp.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))

BELOW_THE_SHELL = ("_wire", "_core", "_webrtc")
FORBIDDEN_THERE = {
    "asyncio", "logging", "os", "random", "select", "socket", "threading", "time", "trio",
}  # fmt: skip
"""Clocks, entropy and I/O are handed in."""
MAY_IMPORT = {
    "_wire": {"_wire"},
    "_core": {"_core", "_wire"},
    "_webrtc": {"_webrtc"},
    "shell": {"shell", "_core", "_wire", "_webrtc"},
    "testing": {"testing", "shell", "_core", "_wire", "_webrtc"},
    "cli": {"cli", "testing", "shell"},
}


def layer(module: tuple[str, ...]) -> str:
    """The layer of a module, by its path inside the package."""
    return module[0] if module and module[0] in MAY_IMPORT else "shell"


def imports(path: Path) -> Iterator[tuple[ast.Import | ast.ImportFrom, tuple[str, ...]]]:
    """Each import of a module of ours with what it names: a path inside the package, or a name
    from elsewhere after "".
    """
    here = path.relative_to(PACKAGE).with_suffix("").parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node, outside_or_in(alias.name)
        elif isinstance(node, ast.ImportFrom):
            named = tuple((node.module or "").split(".")) if node.module else ()
            if not node.level:
                yield node, outside_or_in(node.module or "")
            elif named:
                yield node, here[: -node.level] + named
            else:  # from .. import a, b: modules, or names of the package itself
                for alias in node.names:
                    yield node, (*here[: -node.level], alias.name)


def outside_or_in(name: str) -> tuple[str, ...]:
    first, *rest = name.split(".")
    return tuple(rest) if first == "trio_sctp" else ("", first)


def for_types_only(path: Path) -> set[int]:
    """The lines of imports under ``if TYPE_CHECKING``."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    guards = [
        n for n in tree.body if isinstance(n, ast.If) and "TYPE_CHECKING" in ast.unparse(n.test)
    ]
    return {node.lineno for guard in guards for node in ast.walk(guard) if hasattr(node, "lineno")}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_layers(path: Path) -> None:
    own = layer(path.relative_to(PACKAGE).with_suffix("").parts)
    types_only = for_types_only(path)
    for node, name in imports(path):
        if name[:1] != ("",):
            assert layer(name) in MAY_IMPORT[own], ast.unparse(node)
        elif own in BELOW_THE_SHELL and name[1] in FORBIDDEN_THERE:
            assert name[1] == "random", ast.unparse(node)
            assert node.lineno in types_only, ast.unparse(node)


@pytest.mark.parametrize("half, other", [("tx", "rx"), ("rx", "tx")])
def test_the_halves_of_the_core_know_nothing_of_each_other(half: str, other: str) -> None:
    for path in (PACKAGE / "_core" / half).rglob("*.py"):
        for node, name in imports(path):
            assert name[:2] != ("_core", other), (path, ast.unparse(node))
