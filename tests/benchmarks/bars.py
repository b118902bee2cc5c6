"""The bars that this library has set itself: `python -m tests.benchmarks.bars RESULTS.json`.

`python -m tests.benchmarks --json RESULTS.json` writes the file.  The exit status tells whether all are
met that could be told from it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from tests.benchmarks.linearity import PAIRS
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
        return f"| {self.what} | {sign} {self.wanted:,.6g} | {_short(self.measured)} | {verdict} |"


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"


class Figures:
    """Medians out of the results; `KeyError` where something was not measured."""

    def __init__(self, results: dict[str, Any]) -> None:
        self.results = results

    def transfer(self, workload: str, stack: str, figure: str) -> float:
        medians = self.results["transfers"][workload][stack]["median"]
        if figure == "cpu_per_gb":
            return float(medians["sender_cpu_per_gb"] + medians["receiver_cpu_per_gb"])
        if figure == ALONE:
            busier = max(medians["sender_cpu_per_gb"], medians["receiver_cpu_per_gb"])
            return float(1e9 / busier / WORKLOADS[workload].size)
        return float(medians[figure])

    def ratio(self, workload: str, figure: str, ours: str, theirs: str) -> float:
        return self.transfer(workload, ours, figure) / self.transfer(workload, theirs, figure)

    def growth(self, build: str, first: str, second: str) -> float:
        cost = self.results["linearity" + build]
        return float(cost[second] / cost[first])

    def of(self, part: str, name: str, figure: str) -> float:
        return float(self.results[part][name][figure])


RATE, CPU, MESSAGES = "megabytes_per_second", "cpu_per_gb", "messages_per_second"
ROUND_TRIP, SET_UP = "rtt_median_us", "setup_ms"
ALONE = "messages a second by the CPU time of the busier end"
"""What the rate would be if each end had a core to itself, which on a shared machine it has not."""

RATIOS = (
    ("16 KiB messages, MB/s over usrsctp's, floor", "bulk-16k", RATE, "usrsctp", 0.7),
    ("16 KiB messages, MB/s over usrsctp's, goal", "bulk-16k", RATE, "usrsctp", 1.0),
    ("16 KiB messages, CPU over usrsctp's, goal", "bulk-16k", CPU, "usrsctp", 1.0),
    ("16 KiB messages, MB/s over aiortc's", "bulk-16k", RATE, "aiortc", 8.0),
    ("round trip over aiortc's", "ping-64", ROUND_TRIP, "aiortc", 0.5),
    ("round trip over a trio TCP stream's", "ping-64", ROUND_TRIP, "tcp", 2.5),
)
"""What it is, workload, figure, the stack it is compared with, and how it is to compare."""

SECURE_RATIOS = (
    ("whole stack, MB/s over libdatachannel's, floor", "bulk-16k", RATE, "libdatachannel", 0.7),
    ("whole stack, MB/s over libdatachannel's, goal", "bulk-16k", RATE, "libdatachannel", 1.0),
    ("whole stack, CPU over libdatachannel's, goal", "bulk-16k", CPU, "libdatachannel", 1.0),
    ("whole stack, MB/s over aiortc's", "bulk-16k", RATE, "aiortc rtc", 5.0),
    ("whole stack, round trip over aiortc's", "ping-64", ROUND_TRIP, "aiortc rtc", 0.5),
    ("whole stack, set-up over aiortc's", "ping-64", SET_UP, "aiortc rtc", 1.0),
    ("whole stack, set-up over libdatachannel's", "ping-64", SET_UP, "libdatachannel", 1.0),
)

DTLS_RATIOS = (("DTLS, round trip over a trio TLS stream's", "ping-64", ROUND_TRIP, "tls", 1.5),)

SPEEDS = (
    ("64-byte messages a second", "small-64", "trio_sctp", 30_000),
    ("64-byte messages a second, without waiting", "small-64-nowait", "trio_sctp", 60_000),
    ("64-byte messages a second, whole stack", "small-64", "trio_sctp rtc", 8_000),
)
"""Both as measured and as it would be with a core for each end."""

AMOUNTS = (
    ("10,000 idle channels, MiB of the larger process", "scale", "channels", "client_mib", 100),
    ("10,000 channels opened, s", "scale", "channels", "seconds", 5),
    ("1,000 idle associations on a port, MiB", "scale", "associations", "server_mib", 200),
    ("1,000 with a message a second, of a core", "load", "chatty", "server_share", 0.5),
    ("1,000 with a message a second, MiB", "load", "chatty", "server_mib", 300),
)

BUILDS = (("", ""), (" compiled", ", compiled"))
"""What the results of a build are called by, and its bars."""


def bars(results: dict[str, Any]) -> list[Bar]:
    """All that can be told from the results."""
    figures = Figures(results)
    found: list[Bar] = []
    for make in (_compared, _fast, _frugal):
        for what, wanted, at_least, measure in make(figures):
            with suppress(KeyError):  # it was not measured
                found.append(Bar(what, measure(), wanted, at_least))
    return found


Candidate: TypeAlias = tuple[str, float, bool, Callable[[], float]]


def _compared(figures: Figures) -> Iterator[Candidate]:
    rows = [("trio_sctp", *row) for row in RATIOS]
    rows += [("trio_sctp rtc", *row) for row in SECURE_RATIOS]
    rows += [("trio_sctp dtls", *row) for row in DTLS_RATIOS]
    for build, note in BUILDS:
        for ours, what, workload, figure, theirs, wanted in rows:
            measure = partial(figures.ratio, workload, figure, ours + build, theirs)
            yield what + note, wanted, figure == RATE, measure
        for size in ("16k", "256k"):
            what = f"path MTU discovered, {size[:-1]} KiB messages, MB/s over usrsctp's with 1200 bytes"
            yield what + note, 3.0, True, partial(_discovered, figures, size, build)


def _discovered(figures: Figures, size: str, build: str) -> float:
    """usrsctp does not look for larger packets, and is as fast with messages of any size from 16 KiB."""
    ours = figures.transfer(f"bulk-{size}-mtu", "trio_sctp" + build, RATE)
    return ours / figures.transfer("bulk-16k", "usrsctp", RATE)


def _fast(figures: Figures) -> Iterator[Candidate]:
    for what, workload, stack, wanted in SPEEDS:
        yield what, wanted, True, partial(figures.transfer, workload, stack, MESSAGES)
        alone = f"{what}, by the CPU time of the busier end"
        yield alone, wanted, True, partial(figures.transfer, workload, stack, ALONE)
    yield (
        "100 associations at full speed, slowest over mean",
        0.5,
        True,
        partial(figures.of, "load", "greedy", "slowest_over_mean"),
    )


def _frugal(figures: Figures) -> Iterator[Candidate]:
    for what, part, name, figure, most in AMOUNTS:
        yield what, most, False, partial(figures.of, part, name, figure)
    for build, note in BUILDS:
        for first, second in PAIRS:
            yield (
                f"CPU for a byte, {second} over {first}{note}",
                1.2,
                False,
                partial(figures.growth, build, first, second),
            )


def table(found: list[Bar]) -> str:
    head = "| bar | wanted | measured | |\n| --- | ---: | ---: | --- |\n"
    return head + "\n".join(bar.row() for bar in found)


def main(arguments: list[str]) -> int:
    found = bars(json.loads(Path(arguments[0]).read_text()))
    print(table(found))
    return 0 if all(bar.met for bar in found) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
