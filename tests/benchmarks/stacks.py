"""The stacks that can be measured, by name, in the groups in which they are compared."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from tests.benchmarks.runner import PythonStack, UsrsctpStack
from tests.support.live_peers import compile_c_peer, missing_peer, python_with_aiortc

Stack: TypeAlias = PythonStack | UsrsctpStack

LIBDATACHANNEL = "TRIO_SCTP_LIBDATACHANNEL_PYTHON"
"""Names an interpreter with libdatachannel-py, which has wheels for Python 3.13 and newer."""


def python_with_libdatachannel() -> str:
    python = os.environ.get(LIBDATACHANNEL)
    if python is None:
        missing_peer(f"{LIBDATACHANNEL} names no interpreter with libdatachannel-py")
    return python


_MAKERS: dict[str, Callable[[Path], Stack]] = {
    "trio_sctp": lambda folder: PythonStack("trio_sctp_udp"),
    "usrsctp": lambda folder: UsrsctpStack(compile_c_peer(folder)),
    "aiortc": lambda folder: PythonStack("aiortc_udp", python_with_aiortc()),
    "tcp": lambda folder: PythonStack("trio_tcp"),
    "trio_sctp dtls": lambda folder: PythonStack("trio_sctp_dtls"),
    "trio_sctp rtc": lambda folder: PythonStack("trio_sctp_rtc"),
    "libdatachannel": lambda folder: PythonStack(
        "libdatachannel_rtc", python_with_libdatachannel()
    ),
    "aiortc rtc": lambda folder: PythonStack("aiortc_rtc", python_with_aiortc()),
    "tls": lambda folder: PythonStack("trio_tls"),
}

PLAIN = ("trio_sctp", "usrsctp", "aiortc", "tcp")
"""SCTP over UDP, and what TCP does in the same place."""
RELAYED = ("trio_sctp", "usrsctp", "aiortc")
"""Those whose datagrams may go by way of a relay."""
SECURE = ("trio_sctp dtls", "trio_sctp rtc", "libdatachannel", "aiortc rtc", "tls")
"""With DTLS, and from there on with ICE too; TLS in the same place."""
STACKS = PLAIN + SECURE


def open_stack(name: str, folder: Path) -> Stack:
    """Make a stack ready to run; `folder` takes what has to be built."""
    return _MAKERS[name](folder)
