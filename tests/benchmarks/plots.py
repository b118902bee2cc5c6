"""Plots of the results for the manual: `python -m tests.benchmarks.plots RESULTS.json FOLDER`.

Each is an SVG of a few kilobytes: horizontal bars, one for each stack that has the figure.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple
from xml.sax.saxutils import escape

from tests.benchmarks.stacks import PLAIN, SECURE

WIDTH, NAMES, BARS, LINE = 640, 130, 420, 22
OURS, OTHERS, LIGHT = "#2f6f9f", "#9aa5ae", 0.55


class Plot(NamedTuple):
    """Which figures of a workload; several in one bar are stacked."""

    title: str
    workload: str
    figures: tuple[str, ...]
    unit: str
    clipped: float
    """Bars end here, and those that would be longer are marked; 0: none would."""


PLOTS = {
    "throughput": Plot(
        "16 KiB messages, 1200-byte packets: MB/s",
        "bulk-16k",
        ("megabytes_per_second",),
        "MB/s",
        200.0,
    ),
    "cpu": Plot(
        "16 KiB messages, 1200-byte packets: CPU seconds per GB, sender and receiver",
        "bulk-16k",
        ("sender_cpu_per_gb", "receiver_cpu_per_gb"),
        "s/GB",
        60.0,
    ),
    "small": Plot(
        "64-byte messages one way: CPU time for a message, both ends",
        "small-64",
        ("cpu_us_per_message",),
        "µs",
        100.0,
    ),
    "round-trip": Plot("64 bytes there and back: median", "ping-64", ("rtt_median_us",), "µs", 0.0),
}


def draw(plot: Plot, results: Mapping[str, Any]) -> str:
    stacks = results["transfers"][plot.workload]
    values = {
        name: [stacks[name]["median"][figure] for figure in plot.figures]
        for name in PLAIN + SECURE
        if name in stacks and all(f in stacks[name]["median"] for f in plot.figures)
    }
    longest = plot.clipped or max(sum(parts) for parts in values.values())
    height = 40 + LINE * len(values)
    font = 'font-family="sans-serif" font-size="12"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" {font}>',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        f'<text x="8" y="20" font-weight="bold">{escape(plot.title)}</text>',
    ]
    for index, (name, parts) in enumerate(values.items()):
        lines += _bar(name, parts, plot.unit, longest, 34 + LINE * index)
    return "\n".join([*lines, "</svg>"]) + "\n"


def _bar(name: str, parts: list[float], unit: str, longest: float, top: int) -> list[str]:
    colour = OURS if name.startswith("trio_sctp") else OTHERS
    baseline = top + 13
    lines = [f'<text x="{NAMES - 8}" y="{baseline}" text-anchor="end">{escape(name)}</text>']
    left = float(NAMES)
    for number, part in enumerate(parts):
        width = min(part / longest * BARS, NAMES + BARS - left)
        opacity = f' fill-opacity="{LIGHT}"' if number else ""
        lines.append(
            f'<rect x="{left:.1f}" y="{top}" width="{width:.1f}" height="{LINE - 6}"'
            f' fill="{colour}"{opacity}/>'
        )
        left += width
    total = sum(parts)
    text = f"{total:,.0f}" if total >= 100 else f"{total:.1f}"
    arrow = " ▸" if total > longest else ""
    lines.append(f'<text x="{left + 5:.1f}" y="{baseline}">{text} {unit}{arrow}</text>')
    return lines


def main(arguments: list[str]) -> None:
    results, folder = json.loads(Path(arguments[0]).read_text()), Path(arguments[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, plot in PLOTS.items():
        (folder / f"{name}.svg").write_text(draw(plot, results))


if __name__ == "__main__":
    main(sys.argv[1:])
