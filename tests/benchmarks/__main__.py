"""Measure SCTP stacks side by side on loopback: `python -m tests.benchmarks --help`.

Stacks take turns within each run, so that a machine that changes its speed changes it for all.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks import linearity, load, scale
from tests.benchmarks.report import as_json, report
from tests.benchmarks.runner import BenchmarkFailed, Measurement
from tests.benchmarks.stacks import RELAYED, STACKS, open_stack
from tests.benchmarks.workloads import WORKLOADS, Workload

LOAD_SECONDS = 5.0  # a message a second needs some
PARTS = ("transfers", "scale", "load", "linearity")
COMPILED_PARTS = ("linearity compiled",)
"""For who has built it."""
Results = dict[str, dict[str, list[Measurement]]]


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--parts", default=",".join(PARTS), help="default: %(default)s")
    parser.add_argument("--stacks", default=",".join(STACKS), help="default: %(default)s")
    parser.add_argument("--workloads", default=",".join(WORKLOADS), help="default: %(default)s")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each transfer")
    parser.add_argument("--quick", action="store_true", help="2 runs of 1 second: a first look")
    parser.add_argument("--reference", help="stack that ratios refer to")
    parser.add_argument("--json", type=Path, help="file for every measurement")
    options = parser.parse_args(arguments)
    if options.quick:
        options.runs, options.seconds = 2, 1.0
    return options


def turns(workloads: list[Workload], stacks: list[str]) -> Iterator[tuple[Workload, str]]:
    """What is measured in each run: every stack with every workload that it has."""
    for workload in workloads:
        for name in stacks:
            if workload.relay_loss is not None and name not in RELAYED:
                continue
            if name.startswith("trio_sctp") or not workload.needs_ours:
                yield workload, name


def measure(workloads: list[Workload], names: list[str], runs: int) -> Results:
    """Results by workload and stack; a run that fails is told and counts for nothing."""
    results: Results = {}
    with tempfile.TemporaryDirectory() as folder:
        try:
            stacks = {name: open_stack(name, Path(folder)) for name in names}
        except pytest.skip.Exception as missing:
            raise SystemExit(f"{missing}; or choose by --stacks") from None
        for run in range(runs):
            for workload, name in turns(workloads, names):
                print(f"run {run + 1}: {workload.name} {name}", file=sys.stderr)
                found = results.setdefault(workload.name, {}).setdefault(name, [])
                try:
                    found.append(stacks[name].run(workload))
                except BenchmarkFailed as failure:
                    print(failure, file=sys.stderr)
    return results


def measure_part(part: str, options: argparse.Namespace) -> dict[str, Any]:
    if part == "transfers":
        workloads = [
            dataclasses.replace(WORKLOADS[name], seconds=options.seconds)
            for name in options.workloads.split(",")
        ]
        return as_json(measure(workloads, options.stacks.split(","), options.runs))
    if part == "linearity":
        return dict(linearity.measure_all(options.runs))
    if part == "linearity compiled":
        return dict(linearity.measure_all_compiled(options.runs))
    if part == "scale":
        idle = scale.measure_all(options.runs)
        return {name: dataclasses.asdict(found) for name, found in idle.items()}
    busy = load.measure_all(options.runs, max(options.seconds, LOAD_SECONDS))
    return {name: dataclasses.asdict(found) for name, found in busy.items()}


def main(arguments: list[str]) -> None:
    options = parse(arguments)
    results: dict[str, Any] = {"conditions": conditions()}
    for part in options.parts.split(","):
        results[part] = measure_part(part, options)
        if options.json:
            options.json.write_text(json.dumps(results, indent=1))
    print(report(results, options.reference))


def conditions() -> dict[str, str]:
    """What figures depend on besides the programs."""
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{platform.system()} {platform.release()}",
        "cores": f"{os.cpu_count()} cores",
        "load": f"load average {os.getloadavg()[0]:.1f}",
    }


if __name__ == "__main__":
    main(sys.argv[1:])
