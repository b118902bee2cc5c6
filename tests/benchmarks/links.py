"""What loss recovery and congestion control make of links: `python -m tests.benchmarks.links --help`.

One reliable channel over an emulated link in virtual time, with each choice of `Config.loss_recovery`
and `Config.congestion_control` that matters.  The figures depend on nothing but the code; the exit
status tells whether all bars are met.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from tests.support.virtual_transfer import LossyTail, Transfer, TransferResult
from tests.support.watched_link import Link, Waits
from trio_sctp._core.config import Config
from trio_sctp.testing._emulated_link import BurstLoss, LinkConditions

CHOICES: Final[Mapping[str, Config]] = {
    "RFC 9260": Config(loss_recovery="rfc9260"),
    "default": Config(),
    "CUBIC": Config(congestion_control="cubic"),
}
"""What is measured side by side; the second is the default and the third differs in one field."""
DEFAULT: Final = "default"


@dataclass(frozen=True)
class Row:
    """A link, what is measured on it, and what is wanted."""

    name: str
    what: str
    figure: str
    measure: Callable[[Config, float], float]
    """With a configuration and a part (1.0: all) of the time that it should take."""
    bar: str = ""
    met: Callable[[Mapping[str, float]], bool] = lambda measured: True
    """Of what was measured with each choice."""
    bounds: str = ".2f"


def throughput(
    conditions: Callable[[], LinkConditions],
    seconds: float,
    *,
    back: Callable[[], LinkConditions] | None = None,
) -> Callable[[Config, float], float]:
    """Mbit/s of user data over so many virtual seconds, from the first message on."""

    def measure(config: Config, part: float) -> float:
        return transfer(config, part * seconds, conditions(), back and back()).mbit_per_second

    return measure


def transfer(
    config: Config,
    seconds: float,
    conditions: LinkConditions,
    back: LinkConditions | None = None,
) -> TransferResult:
    return Transfer(conditions, config, back=back).run_for(seconds)


def at_least(wanted: float) -> Callable[[Mapping[str, float]], bool]:
    return lambda measured: measured[DEFAULT] >= wanted


def at_most(wanted: float) -> Callable[[Mapping[str, float]], bool]:
    return lambda measured: measured[DEFAULT] <= wanted


def retransmissions(config: Config, part: float) -> float:
    """Every twentieth packet is late by a quarter of a round trip; nothing is lost."""
    conditions = LinkConditions(delay=0.03, reorder=0.05, reorder_delay=0.015)
    return transfer(config, part * 10.0, conditions).retransmitted


def tail(config: Config, part: float) -> float:
    """From the first transmission of the last packet of a burst, which is lost, to its arrival."""
    return LossyTail(config, delay=0.03).round_trips(10, 10)


def game(rate: float, loss: float = 0.0) -> Callable[[Config, float], float]:
    """The 99th percentile of what a game's messages wait beside eight bulk transfers."""

    def measure(config: Config, part: float) -> float:
        link = Link(
            rate=rate,
            queue=int(rate * 0.4 if rate < 1e6 else rate * 0.06),
            delay=0.03,
            loss=loss,
            loss_recovery=config.loss_recovery,
            congestion_control=config.congestion_control,
        )
        busy = {link.open(256): 1_000_000 for _ in range(8)}
        waits = Waits.measure(link, link.open_game(), busy, seconds=part * 20.0)
        return waits.packet_times[int(len(waits.packet_times) * 0.99)]

    return measure


def link(**conditions: float | BurstLoss | None) -> Callable[[], LinkConditions]:
    return lambda: LinkConditions(**conditions)  # type: ignore[arg-type]


ROWS: Final = (
    Row(
        "fast",
        "60 ms, unlimited rate",
        "Mbit/s",
        throughput(link(delay=0.03), 10.0),
        "≥ 640",
        at_least(640),
    ),
    Row(
        "18M",
        "60 ms, 18 Mbit/s, queue of 60 ms",
        "Mbit/s",
        throughput(link(delay=0.03, rate=2.25e6, queue=135_000), 30.0),
        "≥ 17",
        at_least(17),
    ),
    Row(
        "1M",
        "60 ms, 1 Mbit/s, queue of 400 ms",
        "Mbit/s",
        throughput(link(delay=0.03, rate=125e3, queue=50_000), 60.0),
        "≥ 0.95",
        at_least(0.95),
    ),
    Row(
        "1%",
        "60 ms, 1 % random loss",
        "Mbit/s",
        throughput(link(delay=0.03, loss=0.01), 100.0),
        "≥ 1.6",
        at_least(1.6),
    ),
    Row(
        "200M",
        "100 ms, 200 Mbit/s, 0.001 % random loss",
        "Mbit/s over 300 s",  # the standard controller comes down from slow start in the first 60
        throughput(link(delay=0.05, rate=25e6, queue=2_500_000, loss=1e-5), 300.0),
        "CUBIC ≥ 2 × default",
        lambda measured: measured["CUBIC"] >= 2 * measured[DEFAULT],
    ),
    Row(
        "tail",
        "60 ms, the last packet of a burst is lost",
        "round trips until it arrives",
        tail,
        "≤ 2",
        at_most(2.0),
    ),
    Row(
        "reordering",
        "60 ms, every 20th packet late by 15 ms, no loss",
        "retransmissions",
        retransmissions,
        "0",
        at_most(0),
        ".0f",
    ),
    Row(
        "reordering rate",
        "the same",
        "Mbit/s",
        throughput(link(delay=0.03, reorder=0.05, reorder_delay=0.015), 10.0),
    ),
    Row(
        "game 18M",
        "18 Mbit/s, 8 bulk transfers, 60 Hz game",
        "packet times until sent, p99",
        game(2.25e6),
        "≤ 2",
        at_most(2.0),
    ),
    Row(
        "game 1M",
        "1 Mbit/s, 8 bulk transfers, 60 Hz game",
        "packet times until sent, p99",
        game(125e3),
        "≤ 2",
        at_most(2.0),
    ),
    Row(
        "game 0.1%",
        "18 Mbit/s and 0.1 % random loss, the same",
        "packet times until sent, p99",
        game(2.25e6, 0.001),
        "≤ 2",
        at_most(2.0),
    ),
    Row(
        "game 1%",
        "18 Mbit/s and 1 % random loss, the same",
        "packet times until sent, p99",
        game(2.25e6, 0.01),
        "≤ 2",
        at_most(2.0),
    ),
    Row(
        "bloat",
        "40 ms, 10 Mbit/s, queue of 2 s",
        "Mbit/s",
        throughput(link(delay=0.02, rate=1.25e6, queue=2_500_000), 60.0),
    ),
    Row(
        "burst",
        "60 ms, 18 Mbit/s, bursts of 10 lost of 1,000",
        "Mbit/s",
        throughput(
            link(delay=0.03, rate=2.25e6, queue=135_000, burst_loss=BurstLoss(0.001, 0.1)), 60.0
        ),
    ),
    Row(
        "5%",
        "60 ms, 5 % random loss both ways",
        "Mbit/s",
        throughput(link(delay=0.03, loss=0.05), 120.0, back=link(delay=0.03, loss=0.05)),
    ),
    Row(
        "30%",
        "60 ms, 30 % random loss both ways",
        "Mbit/s",
        throughput(link(delay=0.03, loss=0.3), 300.0, back=link(delay=0.03, loss=0.3)),
    ),
)


def measure(row: Row, part: float = 1.0) -> dict[str, float]:
    return {name: row.measure(config, part) for name, config in CHOICES.items()}


def table(results: Mapping[Row, Mapping[str, float]]) -> str:
    lines = [
        "| link | figure | " + " | ".join(CHOICES) + " | wanted | |",
        "| --- | --- |" + " ---: |" * len(CHOICES) + " --- | --- |",
    ]
    for row, measured in results.items():
        figures = " | ".join(f"{measured[name]:{row.bounds}}" for name in CHOICES)
        verdict = ("met" if row.met(measured) else "**missed**") if row.bar else ""
        lines.append(f"| {row.what} | {row.figure} | {figures} | {row.bar} | {verdict} |")
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.links", description=__doc__)
    parser.add_argument("--rows", default=",".join(row.name for row in ROWS), help="%(default)s")
    wanted = parser.parse_args(arguments).rows.split(",")
    results = {}
    for row in ROWS:
        if row.name in wanted:
            print(row.name, file=sys.stderr)
            results[row] = measure(row)
    print(table(results))
    return 0 if all(row.met(measured) for row, measured in results.items()) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
