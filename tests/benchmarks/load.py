"""Many associations on one UDP port at work: `python -m tests.benchmarks.load --help`.

`chatty`: each sends a message a second, as browsers that keep in touch do.  `greedy`: each sends as
fast as it can, and the slowest is compared with the mean.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from statistics import mean, median

from tests.benchmarks.runner import hear, process
from tests.benchmarks.workloads import Workload

COUNTS = {"chatty": 1_000, "greedy": 100}
MODULE = "tests.benchmarks.peers.trio_sctp_load"


@dataclasses.dataclass(frozen=True)
class Load:
    """One run, seen by the server."""

    associations: float
    messages_per_second: float
    megabytes_per_second: float
    server_share: float
    """Of one core that the server took."""
    clients_share: float
    """The same of the process with all clients."""
    server_mib: float
    slowest_over_mean: float
    """Bytes received on the slowest association over the mean of all."""


def measure(name: str, count: int, seconds: float) -> Load:
    described = json.dumps(dataclasses.asdict(Workload(name, count, seconds=seconds)))
    command = [sys.executable, "-m", MODULE]
    with process([*command, "server", described]) as server:
        port = hear(server, "ready")["port"]
        with process([*command, "client", described, str(port)]) as client:
            theirs = hear(server, "result")
            ours = hear(client, "result")
    received, lasted = theirs["bytes"], theirs["seconds"]
    return Load(
        associations=len(received),
        messages_per_second=theirs["messages"] / lasted,
        megabytes_per_second=sum(received) / 1e6 / lasted,
        server_share=theirs["cpu_seconds"] / lasted,
        clients_share=ours["cpu_seconds"] / ours["seconds"],
        server_mib=theirs["peak_kib"] / 1024,
        slowest_over_mean=min(received) / mean(received),
    )


def median_of(runs: Sequence[Load]) -> Load:
    """Each figure's own median."""
    return Load(*(median(values) for values in zip(*map(dataclasses.astuple, runs), strict=True)))


def table(results: dict[str, Load]) -> str:
    columns = "associations messages/s MB/s server,_cores clients,_cores server_MiB slowest/mean"
    rows = ["| " + " | ".join(columns.split()).replace("_", " ") + " |"]
    rows.append("| --- |" + " ---: |" * 6)
    rows += [
        f"| {r.associations:,.0f} {name} | {r.messages_per_second:,.0f} |"
        f" {r.megabytes_per_second:.1f} | {r.server_share:.2f} | {r.clients_share:.2f} |"
        f" {r.server_mib:.0f} | {r.slowest_over_mean:.2f} |"
        for name, r in results.items()
    ]
    return "\n".join(rows)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.load", description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each run")
    options = parser.parse_args(arguments)
    print(table(measure_all(options.runs, options.seconds)))


def measure_all(runs: int, seconds: float) -> dict[str, Load]:
    """Medians; the kinds take turns."""
    found: dict[str, list[Load]] = {name: [] for name in COUNTS}
    for _ in range(runs):
        for name, count in COUNTS.items():
            print(f"{count} {name} associations", file=sys.stderr)
            found[name].append(measure(name, count, seconds))
    return {name: median_of(results) for name, results in found.items()}


if __name__ == "__main__":
    main(sys.argv[1:])
