"""Measure SCTP stacks side by side on loopback: `python -m tests.benchmarks --help`.

Stacks take turns within each run, so that a machine that changes its speed changes it for all.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.report import as_json, tables
from tests.benchmarks.runner import Measurement, PythonStack, UsrsctpStack
from tests.benchmarks.workloads import WORKLOADS
from tests.support.live_peers import compile_c_peer

STACKS = ("trio_sctp", "usrsctp", "aiortc", "tcp")


def open_stack(name: str, folder: Path, python: str | None) -> PythonStack | UsrsctpStack:
    """Make a stack ready to run; `folder` takes what has to be built."""
    if name == "usrsctp":
        return UsrsctpStack(compile_c_peer(folder))
    modules = {"trio_sctp": "trio_sctp_udp", "aiortc": "aiortc_udp", "tcp": "trio_tcp"}
    return PythonStack(modules[name], python if name == "aiortc" else None)


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--stacks", default=",".join(STACKS), help="default: %(default)s")
    parser.add_argument("--workloads", default=",".join(WORKLOADS), help="default: %(default)s")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each transfer")
    parser.add_argument("--reference", default="usrsctp", help="stack that ratios refer to")
    parser.add_argument(
        "--peer-python",
        default=os.environ.get("TRIO_SCTP_PEER_PYTHON"),
        help="interpreter that has aiortc, if not this one (TRIO_SCTP_PEER_PYTHON)",
    )
    parser.add_argument("--json", type=Path, help="file for every measurement")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> None:
    options = parse(arguments)
    workloads = [WORKLOADS[name] for name in options.workloads.split(",")]
    names = options.stacks.split(",")
    results: dict[str, dict[str, list[Measurement]]] = {
        workload.name: {name: [] for name in names} for workload in workloads
    }
    with tempfile.TemporaryDirectory() as folder:
        stacks = {name: open_stack(name, Path(folder), options.peer_python) for name in names}
        for run in range(options.runs):
            for workload in workloads:
                timed = dataclasses.replace(workload, seconds=options.seconds)
                for name, stack in stacks.items():
                    print(f"run {run + 1}: {workload.name} {name}", file=sys.stderr)
                    results[workload.name][name].append(stack.run(timed))
    print(tables(results, options.reference))
    if options.json:
        options.json.write_text(json.dumps(as_json(results), indent=2))


if __name__ == "__main__":
    main(sys.argv[1:])
