"""Subcommands whose libraries come with an extra of their own say so where these are missing."""

from __future__ import annotations

import importlib
from typing import Any

import click

__all__ = ["import_extra"]


def import_extra(extra: str, module: str) -> Any:
    """Import a module of ours that needs ``extra``."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("trio_sctp"):
            raise
        raise click.ClickException(
            f"{error.name} is missing: pip install 'trio-sctp[cli,{extra}]'"
        ) from error
