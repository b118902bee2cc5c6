"""The ``trio-sctp`` command: an echo server and client, file transfer, and a benchmark.

Its libraries come with the extra ``cli``; importing this package needs none of them, so that the
processes of a measurement stay lean.
"""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command; what the installed script calls."""
    try:
        from .commands import trio_sctp
    except ModuleNotFoundError as error:
        if error.name not in {"click", "rich"}:
            raise
        sys.exit(f"trio-sctp needs {error.name}: pip install 'trio-sctp[cli]'")
    except KeyboardInterrupt:  # loading takes a moment
        sys.exit(130)
    trio_sctp(prog_name="trio-sctp")
