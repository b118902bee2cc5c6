"""The key log file that users ask for by SSLKEYLOGFILE, to decrypt their own captures."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable

__all__ = ["key_log_from_environment"]

LOGGER = logging.getLogger("trio_sctp.key_log")


def key_log_from_environment() -> Callable[[bytes], None] | None:
    """What writes lines to the file that SSLKEYLOGFILE names; None where it names none.

    It is looked at for every connection, as a browser does it.
    """
    path = os.environ.get("SSLKEYLOGFILE")
    if not path:
        return None

    def log(line: bytes) -> None:
        try:
            _append(path, line.rstrip(b"\n") + b"\n")
        except OSError as error:  # which is no reason to have no connection
            LOGGER.warning("SSLKEYLOGFILE: %s", error)

    return log


def _append(path: str, line: bytes) -> None:
    # One write of a short line in append mode: processes may share the file.
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, line)
    finally:
        os.close(descriptor)
