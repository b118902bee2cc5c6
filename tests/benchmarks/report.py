"""Results as Markdown: `python -m tests.benchmarks.report RESULTS.json [REFERENCE]`.

Transfers are told by the medians of their runs, each figure beside its ratio to the stack REFERENCE if
one is named.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from tests.benchmarks import bars, linearity, load, scale
from tests.benchmarks.runner import Measurement

Results = Mapping[str, Mapping[str, Sequence[Measurement]]]
"""workload -> stack -> one measurement a run"""
Transfers = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""The same as `as_json` makes it."""

COLUMNS = {
    "megabytes_per_second": ("MB/s", ".1f"),
    "messages_per_second": ("messages/s", ",.0f"),
    "rtt_median_us": ("RTT median µs", ".0f"),
    "rtt_p99_us": ("RTT p99 µs", ".0f"),
    "setup_ms": ("set-up ms", ".1f"),
    "sender_cpu_per_gb": ("CPU s/GB sender", ".1f"),
    "receiver_cpu_per_gb": ("CPU s/GB receiver", ".1f"),
    "cpu_us_per_message": ("CPU µs/message", ".1f"),
    "peak_mib": ("peak MiB", ".0f"),
}


WHOLE_STACKS = ("trio_sctp rtc", "libdatachannel", "aiortc rtc")
WHOLE_STACK_COLUMNS = {
    ("ping-64", "setup_ms"): ("set-up ms", ".1f"),
    ("bulk-16k", "megabytes_per_second"): ("16 KiB, MB/s", ".1f"),
    ("bulk-64k", "megabytes_per_second"): ("64 KiB, MB/s", ".1f"),
    ("small-64", "messages_per_second"): ("64 bytes, messages/s", ",.0f"),
    ("ping-64", "rtt_median_us"): ("RTT median µs", ".0f"),
}
"""What WebRTC stacks are compared by at a glance: workload and figure, head and format."""


def medians(runs: Sequence[Measurement]) -> dict[str, float]:
    """The median of every figure that was measured."""
    found = {}
    for name in COLUMNS:
        values = [value for run in runs if (value := getattr(run, name)) is not None]
        if values:
            found[name] = median(values)
    return found


def report(results: Mapping[str, Any], reference: str | None = None) -> str:
    """All tables that there are results for, the bars last."""
    parts: dict[str, Callable[[Any], str]] = {
        "transfers": lambda found: "\n\n".join(
            [*whole_stack(found), *by_message_size(found), tables(found, reference)]
        ),
        "scale": lambda found: scale.table({k: scale.Scale(**v) for k, v in found.items()}),
        "load": lambda found: load.table({k: load.Load(**v) for k, v in found.items()}),
        "linearity": linearity.table,
        "linearity compiled": partial(linearity.table, build="compiled"),
    }
    conditions = " · ".join(map(str, results["conditions"].values()))
    found = [f"{conditions}.", *(make(results[p]) for p, make in parts.items() if p in results)]
    return "\n\n".join([*found, bars.table(bars.bars(dict(results)))])


def whole_stack(results: Transfers) -> list[str]:
    """One table of what runs ICE, DTLS and SCTP, if more than one stack did."""
    rows = []
    for stack in WHOLE_STACKS:
        found = [
            results.get(workload, {}).get(stack, {"median": {}})["median"].get(figure)
            for workload, figure in WHOLE_STACK_COLUMNS
        ]
        if any(value is not None for value in found):
            formats = (form for _, form in WHOLE_STACK_COLUMNS.values())
            cells = zip(found, formats, strict=True)
            rows.append([stack, *("" if v is None else format(v, form) for v, form in cells)])
    if len(rows) < 2:
        return []
    heads = [head for head, _ in WHOLE_STACK_COLUMNS.values()]
    return [_aligned([["whole stack", *heads], ["---", *("---:" for _ in heads)], *rows])]


def by_message_size(results: Transfers) -> list[str]:
    """One table of what a byte costs each stack in short messages and in long ones, if it is known."""
    short, long = results.get("bulk-1k", {}), results.get("bulk-64k", {})
    rows = []
    for stack in short.keys() & long.keys():
        costs = [
            found[stack]["median"]["sender_cpu_per_gb"]
            + found[stack]["median"]["receiver_cpu_per_gb"]
            for found in (short, long)
        ]
        rows.append([stack, *(f"{cost:.1f}" for cost in costs), f"{costs[0] / costs[1]:.1f}"])
    if not rows:
        return []
    head = ["CPU s/GB, both ends", "1 KiB messages", "64 KiB messages", "ratio"]
    rows.sort(key=lambda row: list(short).index(row[0]))
    return [_aligned([head, ["---", "---:", "---:", "---:"], *rows])]


def tables(results: Transfers, reference: str | None = None) -> str:
    """One table a workload, with ratios to the stack `reference`."""
    return "\n\n".join(
        _table(workload, {stack: found["median"] for stack, found in stacks.items()}, reference)
        for workload, stacks in results.items()
    )


def _table(workload: str, stacks: Mapping[str, dict[str, float]], reference: str | None) -> str:
    columns = [name for name in COLUMNS if any(name in figures for figures in stacks.values())]
    base = stacks.get(reference or "", {})
    rows = [
        [workload, *(COLUMNS[name][0] for name in columns)],
        ["---", *("---:" for _ in columns)],
    ]
    rows += [
        [stack, *(_cell(name, figures, base) for name in columns)]
        for stack, figures in stacks.items()
    ]
    return _aligned(rows)


def _aligned(rows: list[list[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in rows)


def _cell(name: str, figures: dict[str, float], base: dict[str, float]) -> str:
    if name not in figures:
        return ""
    text = format(figures[name], COLUMNS[name][1])
    if base.get(name) and figures is not base:
        text += f" ({figures[name] / base[name]:.2f}x)"
    return text


def as_json(results: Results) -> dict[str, dict[str, Any]]:
    """Every measurement and the medians, for scripts."""
    return {
        workload: {
            stack: {
                "median": medians(runs),
                "runs": [dataclasses.asdict(run) for run in runs],
            }
            for stack, runs in stacks.items()
        }
        for workload, stacks in results.items()
    }


if __name__ == "__main__":
    print(report(json.loads(Path(sys.argv[1]).read_text()), *sys.argv[2:]))
