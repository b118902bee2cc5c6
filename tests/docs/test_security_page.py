"""The limits that the manual's page on security names are those of the code."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path

import pytest

import trio_sctp

ROOT = Path(__file__).parent.parent.parent
UNITS = {"": 1, "s": 1, "bytes": 1, "KiB": 1024, "MiB": 1024**2}
ROW = re.compile(r"\| `(\w+)` \| `([\w/.]+)` \| ([^|]+) \|")
ROWS = ROW.findall((ROOT / "docs" / "security.md").read_text())


def value_of(text: str) -> object:
    """What ``8 MiB``, ``10,000``, ``60 s`` or ``true`` says."""
    if text in ("true", "false"):
        return text == "true"
    number, _, unit = text.partition(" ")
    return int(number.replace(",", "")) * UNITS[unit]


def default_of(name: str, owner: str) -> object:
    """An argument of a public callable, or a constant of a module."""
    if not owner.endswith(".py"):
        return inspect.signature(getattr(trio_sctp, owner)).parameters[name].default
    source = (ROOT / "trio_sctp" / owner).read_text()
    module = importlib.import_module("trio_sctp." + owner.removesuffix(".py").replace("/", "."))
    if re.search(rf"^{name}\b", source, re.MULTILINE):
        return vars(module)[name]
    (holder,) = [v for v in vars(module).values() if name in getattr(v, "__dict__", ())]
    return getattr(holder, name)


@pytest.mark.parametrize("name, owner, told", ROWS)
def test_defaults_are_those_of_the_code(name: str, owner: str, told: str) -> None:
    assert default_of(name, owner) == value_of(told)


def test_the_page_has_the_limits_of_every_server() -> None:
    named = {(name, owner) for name, owner, _ in ROWS}
    for owner in ("serve_udp", "serve_dtls", "serve_rtc"):
        for name in inspect.signature(getattr(trio_sctp, owner)).parameters:
            if re.match(r"max_(associations|half_open|peers)", name):
                assert (name, owner) in named
