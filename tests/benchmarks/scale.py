"""What much of something costs: `python -m tests.benchmarks.scale --help`."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from statistics import median

from tests.benchmarks.runner import hear, process
from tests.benchmarks.workloads import Workload

COUNTS = {"channels": 10_000, "associations": 1_000}
MODULE = "tests.benchmarks.peers.trio_sctp_scale"


@dataclasses.dataclass(frozen=True)
class Scale:
    """One run; sizes in MiB are of a whole process, resident."""

    count: int
    seconds: float
    """From the first set-up until the last one can be used at both ends."""
    client_mib: float
    server_mib: float
    server_growth_kib: float
    """What each one added to the server."""


def measure(name: str, count: int) -> Scale:
    described = json.dumps(dataclasses.asdict(Workload(name, count)))
    command = [sys.executable, "-m", MODULE]
    with process([*command, "server", described]) as server:
        port = hear(server, "ready")["port"]
        with process([*command, "client", described, str(port)]) as client:
            ours = hear(client, "result")
        theirs = hear(server, "result")
    return Scale(
        count=count,
        seconds=ours["seconds"],
        client_mib=ours["after_kib"] / 1024,
        server_mib=theirs["after_kib"] / 1024,
        server_growth_kib=(theirs["after_kib"] - theirs["before_kib"]) / count,
    )


def median_of(runs: Sequence[Scale]) -> Scale:
    """Each figure's own median."""
    return Scale(*(median(values) for values in zip(*map(dataclasses.astuple, runs), strict=True)))


def table(results: dict[str, Scale]) -> str:
    rows = ["| what | count | seconds | client MiB | server MiB | KiB each |"]
    rows.append("| --- | ---: | ---: | ---: | ---: | ---: |")
    rows += [
        f"| idle {name} | {r.count:,.0f} | {r.seconds:.2f} | {r.client_mib:.0f} |"
        f" {r.server_mib:.0f} | {r.server_growth_kib:.1f} |"
        for name, r in results.items()
    ]
    return "\n".join(rows)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.scale", description=__doc__)
    parser.add_argument("--channels", type=int, default=COUNTS["channels"])
    parser.add_argument("--associations", type=int, default=COUNTS["associations"])
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args(arguments)
    counts = {"channels": options.channels, "associations": options.associations}
    print(table(measure_all(options.runs, counts)))


def measure_all(runs: int, counts: dict[str, int] = COUNTS) -> dict[str, Scale]:
    """Medians; the kinds take turns."""
    found: dict[str, list[Scale]] = {name: [] for name in counts}
    for _ in range(runs):
        for name, count in counts.items():
            print(f"idle {name}", file=sys.stderr)
            found[name].append(measure(name, count))
    return {name: median_of(results) for name, results in found.items()}


if __name__ == "__main__":
    main(sys.argv[1:])
