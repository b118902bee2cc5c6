"""Whether a transfer ever stalls: `python -m tests.benchmarks.stalls --help`.

Transfers of 1 MB over 60 ms with random loss in both directions, in virtual time and with the default
configuration: each has to finish, and none may take longer than the bound.

The bounds are generous multiples of what was measured (medians of 7, 11, 27 and 68 s): a transfer that
stands still until the backed-off timer helps, again and again, goes beyond them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from statistics import median
from typing import Final

from tests.support.virtual_transfer import Transfer
from trio_sctp._core.config import Config
from trio_sctp.testing._emulated_link import LinkConditions

SIZE: Final = 1_000_000
BOUNDS: Final = {0.05: 60.0, 0.1: 120.0, 0.2: 240.0, 0.3: 480.0}
"""Seconds by loss."""


def seconds(loss: float, seed: int, config: Config | None = None) -> float:
    """What one transfer takes; `Stalled` if it takes longer than the bound."""
    lossy = LinkConditions(delay=0.03, loss=loss)
    back = LinkConditions(delay=0.03, loss=loss)
    transfer = Transfer(lossy, config or Config(), back=back, seed=seed)
    return transfer.run_bytes(SIZE, within=BOUNDS[loss]).seconds


def row(loss: float, taken: Iterable[float]) -> str:
    times = sorted(taken)
    return (
        f"| {100 * loss:.0f} % | {len(times):,} | {median(times):.1f} "
        f"| {times[int(len(times) * 0.99)]:.1f} | {times[-1]:.1f} | {BOUNDS[loss]:.0f} |"
    )


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.stalls", description=__doc__)
    parser.add_argument("--transfers", type=int, default=1000, help="with each loss")
    parser.add_argument("--losses", default=",".join(map(str, BOUNDS)), help="%(default)s")
    options = parser.parse_args(arguments)
    print("| loss | transfers | median s | p99 s | slowest s | bound s |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for loss in map(float, options.losses.split(",")):
        print(row(loss, [seconds(loss, seed) for seed in range(options.transfers)]), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
