"""What a subcommand raises when it cannot do its work; the message is for whoever typed it."""

from __future__ import annotations

__all__ = ["Failure"]


class Failure(Exception):
    """An expected failure: one line, exit status 1."""
