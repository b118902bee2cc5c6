"""The reference has every public name, and none that is gone."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from types import ModuleType

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
