"""The bars that this library has set itself: `python -m tests.benchmarks.bars`.

Each is measured beside what it refers to, in turns; the exit status tells whether all are met.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from collections.abc import Mapping
from typing import NamedTuple

from tests.benchmarks import scale
from tests.benchmarks.report import medians
from tests.benchmarks.runner import Measurement, PythonStack
from tests.benchmarks.workloads import WORKLOADS


class Bar(NamedTuple):
    """A figure that has to be at least, or at most, as large as wanted."""

    what: str
    measured: float
    wanted: float
    at_least: bool

    @property
    def met(self) -> bool:
        return self.measured >= self.wanted if self.at_least else self.measured <= self.wanted

    def row(self) -> str:
        sign = "≥" if self.at_least else "≤"
        verdict = "met" if self.met else "**missed**"
        return f"| {self.what} | {sign} {self.wanted:,.6g} | {self.measured:,.5g} | {verdict} |"


Figures = Mapping[str, Mapping[str, float]]
"""workload -> figure"""


def transfer_bars(ours: Figures, aiortc: Figures) -> list[Bar]:
    def ratio(workload: str, figure: str) -> float:
        return ours[workload][figure] / aiortc[workload][figure]

    return [
        Bar(
            "16 KiB messages, MB/s over aiortc's",
            ratio("bulk-16k", "megabytes_per_second"),
            6,
            True,
        ),
        Bar("64-byte messages a second", ours["small-64"]["messages_per_second"], 15_000, True),
        Bar("round trip, median over aiortc's", ratio("ping-64", "rtt_median_us"), 0.5, False),
    ]


def scale_bars(channels: scale.Scale, associations: scale.Scale) -> list[Bar]:
    largest = max(channels.client_mib, channels.server_mib)
    return [
        Bar("10,000 idle channels, MiB of the larger process", largest, 100, False),
        Bar("10,000 channels opened, s", channels.seconds, 5, False),
        Bar("1,000 idle associations on a port, MiB", associations.server_mib, 200, False),
    ]


def measure_transfers(runs: int, seconds: float, python: str | None) -> tuple[Figures, Figures]:
    stacks = PythonStack("trio_sctp_udp"), PythonStack("aiortc_udp", python)
    results: list[dict[str, list[Measurement]]] = [{}, {}]
    for _ in range(runs):
        for name in ("bulk-16k", "small-64", "ping-64"):
            timed = dataclasses.replace(WORKLOADS[name], seconds=seconds)
            for stack, result in zip(stacks, results, strict=True):
                result.setdefault(name, []).append(stack.run(timed))
    ours, theirs = ({name: medians(m) for name, m in result.items()} for result in results)
    return ours, theirs


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.bars", description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each transfer")
    parser.add_argument(
        "--peer-python",
        default=os.environ.get("TRIO_SCTP_PEER_PYTHON"),
        help="interpreter that has aiortc, if not this one (TRIO_SCTP_PEER_PYTHON)",
    )
    options = parser.parse_args(arguments)
    bars = transfer_bars(*measure_transfers(options.runs, options.seconds, options.peer_python))
    bars += scale_bars(
        scale.median_of([scale.measure("channels", scale.CHANNELS) for _ in range(3)]),
        scale.median_of([scale.measure("associations", scale.ASSOCIATIONS) for _ in range(3)]),
    )
    print("| bar | wanted | measured | |\n| --- | ---: | ---: | --- |")
    print("\n".join(bar.row() for bar in bars))
    return 0 if all(bar.met for bar in bars) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
