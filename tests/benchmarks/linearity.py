"""Whether cost grows with the data and with nothing else: `python -m tests.benchmarks.linearity --help`.

Each case is a transfer between two associations in one process, over an emulated link in virtual
time, and differs from the base in one respect.  Compared is the CPU time for a byte that went over
the link, so that what was resent counts as work done.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from statistics import median

import trio
import trio.testing

import trio_sctp
from tests.benchmarks.runner import ROOT
from tests.benchmarks.workloads import PACKET_SIZE
from trio_sctp._core.tx.choices import CONTROLLERS
from trio_sctp._core.tx.congestion import CongestionController, Delivery
from trio_sctp._core.tx.congestion_standard import StandardController
from trio_sctp.testing import open_association_pair

MIB = 1024 * 1024


@dataclasses.dataclass(frozen=True)
class Case:
    """A transfer of ``total`` bytes."""

    name: str
    channels: int = 1
    size: int = 16 * 1024
    outstanding: int = 4 * MIB
    """Both the receiver window and what the sender may have unsent."""
    delay: float = 0.001
    loss: float = 0.0
    window: int = 0
    """Packets in flight at any time, whatever is lost; 0: what congestion control says."""
    total: int = 48 * MIB


CASES = {
    case.name: case
    for case in [
        # room for a whole message of each channel
        Case("1 channel", outstanding=32 * MIB),
        Case("1,000 channels", channels=1000, outstanding=32 * MIB),
        Case("1 KiB messages", size=1024),
        Case("16 MiB messages", size=16 * MIB, outstanding=32 * MIB, total=96 * MIB),
        Case("1 MiB outstanding", outstanding=MIB, delay=0.05),
        Case("64 MiB outstanding", outstanding=64 * MIB, delay=0.05, total=256 * MIB),
        Case("no loss"),
        Case("5 % loss", loss=0.05, total=16 * MIB),
        Case("no loss, 5 packets in flight", window=5, total=16 * MIB),
        Case("no loss, 1,000 in flight", window=1000),
        Case("5 % loss, 1,000 in flight", window=1000, loss=0.05),
    ]
}
PAIRS = (
    ("1 channel", "1,000 channels"),
    ("16 MiB messages", "1 KiB messages"),
    ("1 MiB outstanding", "64 MiB outstanding"),
    ("no loss", "5 % loss"),
)
"""What is compared: the second is to cost no more than a fifth above the first."""
REASONS = (
    ("no loss, 5 packets in flight", "5 % loss"),
    ("no loss, 1,000 in flight", "5 % loss, 1,000 in flight"),
)
"""What tells small batches, which a small window makes, from the work that a loss is."""


def held_window(packets: int) -> type[CongestionController]:
    """The same window at any time: what differs with losses is the handling of losses.

    Made when it is asked for, as a compiled class cannot be inherited from.
    """

    class HeldWindow(StandardController):
        __slots__ = ()

        def restart(self, pmdcs: int) -> None:
            super().restart(pmdcs)
            self.cwnd = self.ssthresh = packets * pmdcs

        def on_delivered(self, delivery: Delivery) -> None:
            pass

        def on_congestion(self, now: float) -> None:
            pass

        def on_timeout(self, now: float) -> None:
            pass

    return HeldWindow


@contextmanager
def window_held(packets: int) -> Iterator[None]:
    """Associations that begin in the block have so many packets in flight, unless it is 0."""
    standard = CONTROLLERS["rfc9260"]
    if packets:
        CONTROLLERS["rfc9260"] = held_window(packets)
    try:
        yield
    finally:
        CONTROLLERS["rfc9260"] = standard


async def transfer(case: Case) -> dict[str, float]:
    config = trio_sctp.Config(
        a_rwnd=case.outstanding,
        path_mtu=PACKET_SIZE,
        path_mtu_discovery=False,
        max_message_size=16 * MIB,
    )
    async with open_association_pair(
        config=config, delay=case.delay, loss=case.loss, max_message_size=16 * MIB
    ) as (client, server):
        listener = server.listen()
        pairs = [(client.open_channel(), await listener.accept()) for _ in range(case.channels)]
        await trio.sleep(1)  # until nothing of the opening is under way
        started, sent_before = time.process_time(), client.statistics().bytes_sent
        async with trio.open_nursery() as nursery:
            for ours, theirs in pairs:
                ours.set_water_marks(high=max(case.outstanding // case.channels, 2))
                count = max(1, case.total // case.channels // case.size)
                nursery.start_soon(_send, ours, bytes(case.size), count)
                nursery.start_soon(_receive, theirs, count)
        cpu = time.process_time() - started
        statistics = client.statistics()
    sent = statistics.bytes_sent - sent_before
    return {
        "cpu_per_gb": cpu / sent * 1e9,
        "resent": statistics.retransmitted_chunks * PACKET_SIZE / sent,
    }


async def _send(channel: trio_sctp.DataChannel, payload: bytes, count: int) -> None:
    for _ in range(count):
        await channel.send(payload)


async def _receive(channel: trio_sctp.DataChannel, count: int) -> None:
    for _ in range(count):
        await channel.receive()


def run_here(case: Case) -> dict[str, float]:
    """In this process, which should have done nothing else."""
    clock = trio.testing.MockClock(autojump_threshold=0)
    with window_held(case.window):
        return trio.run(transfer, case, clock=clock)


def measure(case: Case) -> float:
    """CPU seconds per GB of one run, in a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.linearity", "--case"]
    described = json.dumps(dataclasses.asdict(case))
    done = subprocess.run(
        [*command, described], cwd=ROOT, stdout=subprocess.PIPE, check=True, text=True
    )
    return float(json.loads(done.stdout)["cpu_per_gb"])


def measure_all(runs: int) -> dict[str, float]:
    """Medians by case; the cases take turns."""
    found: dict[str, list[float]] = {name: [] for name in CASES}
    for _ in range(runs):
        for name, case in CASES.items():
            print(f"linearity: {name}", file=sys.stderr)
            found[name].append(measure(case))
    return {name: median(values) for name, values in found.items()}


def table(results: dict[str, float]) -> str:
    rows = ["| transfer | CPU s/GB | compared with | ratio |", "| --- | ---: | --- | ---: |"]
    for first, second in PAIRS + REASONS:
        if not {first, second} <= results.keys():  # an older measurement
            continue
        rows.append(f"| {first} | {results[first]:.1f} | | |")
        ratio = results[second] / results[first]
        rows.append(f"| {second} | {results[second]:.1f} | {first} | {ratio:.2f} |")
    return "\n".join(rows)


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.linearity", description=__doc__
    )
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--case", help="one run, described in JSON, in this process")
    options = parser.parse_args(arguments)
    if options.case:
        print(json.dumps(run_here(Case(**json.loads(options.case)))))
    else:
        print(table(measure_all(options.runs)))


if __name__ == "__main__":
    main(sys.argv[1:])
