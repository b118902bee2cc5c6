"""The reference has every public name, and none that is gone."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

REFERENCE = Path(__file__).parent.parent.parent / "docs" / "reference"
_DIRECTIVE = re.compile(r"^\.\. (currentmodule|auto(?!module)\w+):: ([\w.]+)", re.MULTILINE)


def public_names(module: str) -> dict[str, object]:
    return {
        name: value
        for name, value in vars(importlib.import_module(module)).items()
        if not name.startswith("_") and name != "annotations" and not isinstance(value, ModuleType)
    }


def documented() -> set[str]:
    """All that the reference describes, with modules."""
    found = set()
    for page in REFERENCE.glob("*.md"):
        module = ""
        for directive, name in _DIRECTIVE.findall(page.read_text()):
            if directive == "currentmodule":
                module = name
            else:
                found.add(name if name.startswith("trio_sctp") else f"{module}.{name}")
    return found


@pytest.mark.parametrize("module", ["trio_sctp", "trio_sctp.testing", "trio_sctp.sansio"])
def test_every_public_name_is_in_the_reference(module: str) -> None:
    known = documented()
    shared = public_names("trio_sctp")
    missing = [
        name
        for name, value in public_names(module).items()
        if f"{module}.{name}" not in known
        # the same object under the same name is described once
        and not (shared.get(name) is value and f"trio_sctp.{name}" in known)
    ]
    assert missing == []


def test_the_reference_has_nothing_that_is_not_public() -> None:
    for name in documented():
        module, _, last = name.rpartition(".")
        assert last in public_names(module), name


_CLASS = re.compile(r"^\.\. auto(?:class|exception):: ([\w.]+)\n((?:   .*\n)*)", re.MULTILINE)


def classes() -> list[Any]:
    """The classes that the reference describes, with the members that it leaves out."""
    found = []
    for page in REFERENCE.glob("*.md"):
        text = page.read_text()
        module = re.findall(r"currentmodule:: ([\w.]+)", text)
        for name, options in _CLASS.findall(text):
            left_out = re.findall(r":exclude-members: (.*)", options)
            path = name if name.startswith("trio_sctp") else f"{module[0]}.{name}"
            kind = getattr(
                importlib.import_module(path.rpartition(".")[0]), path.rpartition(".")[2]
            )
            if inspect.isclass(kind):  # and no alias
                members = {member for line in left_out for member in line.split(", ")}
                found.append(pytest.param(kind, members, id=kind.__name__))
    return found


@pytest.mark.parametrize("kind, left_out", classes())
def test_members_are_described_or_left_out(kind: type, left_out: set[str]) -> None:
    """What has no docstring of its own or its bases' is not in the manual."""
    methods = {
        name
        for name, value in vars(kind).items()
        if not name.startswith("_") and (callable(value) or isinstance(value, property))
    }
    assert {name for name in methods - left_out if not inspect.getdoc(getattr(kind, name))} == set()
    attributes = {name for base in kind.__mro__ for name in vars(base).get("__annotations__", ())}
    made_in_init = set(re.findall(r"self\.(\w+)\b", inspect.getsource(kind)))
    assert left_out - attributes - made_in_init - set(dir(kind)) == set()
