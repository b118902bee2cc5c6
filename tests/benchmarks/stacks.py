"""The stacks that can be measured, by name, in the groups in which they are compared."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from tests.benchmarks.runner import ROOT, PythonStack, UsrsctpStack
from tests.support.live_peers import compile_c_peer, missing_peer, python_with_aiortc

Stack: TypeAlias = PythonStack | UsrsctpStack

LIBDATACHANNEL = "TRIO_SCTP_LIBDATACHANNEL_PYTHON"
"""Names an interpreter with libdatachannel-py, which has wheels for Python 3.13 and newer."""


COMPILED = "TRIO_SCTP_COMPILED_PYTHON"
"""Names an interpreter that this library is installed for, compiled."""
_IS_COMPILED = "import trio_sctp._core.association as a; raise SystemExit(a.__file__[-3:] != '.so')"
WITHOUT_SOURCES = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def compiled_python(folder: Path) -> tuple[str, Path]:
    """An interpreter that has this library compiled, and where the tests alone lie: no sources lie
    where they are imported."""
    python = os.environ.get(COMPILED)
    if python is None:
        missing_peer(f"{COMPILED} names no interpreter that has this library compiled")
    beside = folder / "beside"
    if not beside.exists():
        beside.mkdir()
        (beside / "tests").symlink_to(ROOT / "tests")
    subprocess.run([python, "-c", _IS_COMPILED], cwd=beside, env=WITHOUT_SOURCES, check=True)
    return python, beside


def compiled_stack(module: str, folder: Path) -> PythonStack:
    return PythonStack(module, *compiled_python(folder))


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
    "trio_sctp compiled": lambda folder: compiled_stack("trio_sctp_udp", folder),
    "trio_sctp dtls compiled": lambda folder: compiled_stack("trio_sctp_dtls", folder),
    "trio_sctp rtc compiled": lambda folder: compiled_stack("trio_sctp_rtc", folder),
}

PLAIN = ("trio_sctp", "usrsctp", "aiortc", "tcp")
"""SCTP over UDP, and what TCP does in the same place."""
RELAYED = ("trio_sctp", "usrsctp", "aiortc")
"""Those whose datagrams may go by way of a relay."""
SECURE = ("trio_sctp dtls", "trio_sctp rtc", "libdatachannel", "aiortc rtc", "tls")
"""With DTLS, and from there on with ICE too; TLS in the same place."""
STACKS = PLAIN + SECURE
COMPILED_STACKS = ("trio_sctp compiled", "trio_sctp dtls compiled", "trio_sctp rtc compiled")
"""For who has built it."""


def open_stack(name: str, folder: Path) -> Stack:
    """Make a stack ready to run; `folder` takes what has to be built."""
    return _MAKERS[name](folder)
