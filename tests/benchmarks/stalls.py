"""Whether a transfer ever stalls: `python -m tests.benchmarks.stalls --help`.

Transfers of 1 MB over 60 ms with random loss in both directions, in virtual time and with the default
configuration: each has to finish, and none may take longer than the bound.

The bound is what a sender would need that never had more than one packet in flight, the least window
there is (RFC 9260 §7.2.3), and that does no more in a silence than it has to: probe, wait for T3-rtx,
double the RTO.  `docs/benchmarks.md` has the derivation; `one_packet` is the formula.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterable, Iterator
from statistics import median
from typing import Final

from tests.support.virtual_transfer import MESSAGE, Transfer
from trio_sctp._core.config import Config
from trio_sctp._core.tx.tail_loss_probe import MAX_ACK_DELAY
from trio_sctp.testing._emulated_link import LinkConditions

SIZE: Final = 1_000_000
LOSSES: Final = (0.05, 0.1, 0.2, 0.3)
ROUND_TRIP: Final = 0.06
PACKETS: Final = -(-SIZE // MESSAGE) * -(-MESSAGE // 1168)
"""In chunks of an I-DATA packet of 1200 bytes."""
DEVIATIONS: Final = 6
"""Standard deviations above the mean: nobody exceeds that by chance in 1,000 transfers."""


def silence(config: Config) -> Iterator[float]:
    """How long after each transmission the next one goes out, while nothing is heard.

    The first probe comes after two round trips and the delay of a SACK at most, the next ones after 3,
    6, 12 round trips; T3-rtx, which the first one has restarted, expires after the RTO, and all of that
    begins anew with the RTO doubled.
    """
    rto = config.rto_min
    while True:
        first = 2 * ROUND_TRIP + MAX_ACK_DELAY
        yield first
        left, interval = rto, 3 * ROUND_TRIP
        while interval < left:
            yield interval
            left -= interval
            interval *= 2
        yield left
        rto = min(2 * rto, config.rto_max)


def one_packet(loss: float, config: Config) -> tuple[float, float]:
    """Mean and variance of the seconds until one packet is through and its SACK is back.

    A transmission succeeds if neither is lost.  The k-th silence comes to pass with the probability
    that all of k transmissions have failed.
    """
    failure = 1.0 - (1.0 - loss) ** 2
    mean = square = 0.0
    elapsed, chance = ROUND_TRIP, 1.0
    for wait in silence(config):
        mean += chance * (1.0 - failure) * elapsed
        square += chance * (1.0 - failure) * elapsed**2
        elapsed += wait
        chance *= failure
        if chance * elapsed**2 < 1e-12:
            return mean, square - mean**2
    raise AssertionError("a silence has no end")


def bound(loss: float, config: Config | None = None) -> float:
    """Seconds that no transfer may exceed."""
    mean, variance = one_packet(loss, config or Config())
    return PACKETS * mean + DEVIATIONS * math.sqrt(PACKETS * variance)


def seconds(loss: float, seed: int, config: Config | None = None) -> float:
    """What one transfer takes; `Stalled` if it takes longer than the bound."""
    lossy = LinkConditions(delay=ROUND_TRIP / 2, loss=loss)
    back = LinkConditions(delay=ROUND_TRIP / 2, loss=loss)
    transfer = Transfer(lossy, config or Config(), back=back, seed=seed)
    return transfer.run_bytes(SIZE, within=bound(loss)).seconds


def row(loss: float, taken: Iterable[float]) -> str:
    times = sorted(taken)
    return (
        f"| {100 * loss:.0f} % | {len(times):,} | {median(times):.1f} "
        f"| {times[int(len(times) * 0.99)]:.1f} | {times[-1]:.1f} | {bound(loss):.0f} |"
    )


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.stalls", description=__doc__)
    parser.add_argument("--transfers", type=int, default=1000, help="with each loss")
    parser.add_argument("--losses", default=",".join(map(str, LOSSES)), help="%(default)s")
    options = parser.parse_args(arguments)
    print("| loss | transfers | median s | p99 s | slowest s | bound s |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for loss in map(float, options.losses.split(",")):
        print(row(loss, [seconds(loss, seed) for seed in range(options.transfers)]), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
