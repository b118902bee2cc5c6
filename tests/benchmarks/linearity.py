"""Whether cost grows with the data and with nothing else: `python -m tests.benchmarks.linearity --help`.

Each case is a transfer between two associations in one process, over an emulated link in virtual
time, and differs from the base in one respect.  Compared is the CPU time for a byte that went over
the link, so that what was resent counts as work done.  Some cases leave out trio and its link: they tell
how much of a difference is the core's.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

import trio
import trio.testing

import trio_sctp
from tests.benchmarks.core_transfer import CoreTransfer
from tests.benchmarks.runner import ROOT
from tests.benchmarks.stacks import COMPILED, WITHOUT_SOURCES, compiled_python
from tests.benchmarks.workloads import PACKET_SIZE
from trio_sctp._wire.packet import COMMON_HEADER_SIZE
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
    nowait: bool = False
    """With `send_nowait` and `receive_nowait`: no turn of the scheduler for a message."""
    core: bool = False
    """Over the core alone, see `CoreTransfer`."""
    window: int = 0
    """Of the core: packets in flight at any time, whatever is lost; 0: what congestion control says."""
    total: int = 48 * MIB


_LARGE = Case("16 MiB messages", size=16 * MIB, outstanding=32 * MIB, total=96 * MIB)
CASES = {
    case.name: case
    for case in [
        # Room for a whole message of each channel, and enough of them that what a channel costs once,
        # two tasks of trio included, does not count for a cost of bytes.
        Case("1 channel", outstanding=32 * MIB, total=192 * MIB),
        Case("1,000 channels", channels=1000, outstanding=32 * MIB, total=192 * MIB),
        Case("1 KiB messages", size=1024),
        Case("1 KiB messages, without waiting", size=1024, nowait=True),
        _LARGE,
        Case("1 MiB outstanding", outstanding=MIB, delay=0.05),
        Case("64 MiB outstanding", outstanding=64 * MIB, delay=0.05, total=256 * MIB),
        Case("no loss"),
        Case("5 % loss", loss=0.05, total=16 * MIB),
        dataclasses.replace(_LARGE, name="core: 16 MiB messages", core=True),
        Case("core: 1 KiB messages", core=True, size=1024),
        Case("core: no loss", core=True),
        Case("core: 5 % loss", core=True, loss=0.05, total=16 * MIB),
        Case("core: no loss, 5 packets in flight", core=True, window=5, total=16 * MIB),
        Case("core: no loss, 1,000 in flight", core=True, window=1000),
        Case("core: 5 % loss, 1,000 in flight", core=True, window=1000, loss=0.05),
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
    ("16 MiB messages", "1 KiB messages, without waiting"),
    ("core: 16 MiB messages", "core: 1 KiB messages"),
    ("core: no loss", "core: 5 % loss"),
    ("core: no loss, 5 packets in flight", "core: 5 % loss"),
    ("core: no loss, 1,000 in flight", "core: 5 % loss, 1,000 in flight"),
)
"""What tells the turns of trio's scheduler from the work that a message is, and small batches, which a
small window makes, from the work that a loss is."""


def _config_of(case: Case) -> trio_sctp.Config:
    return trio_sctp.Config(
        a_rwnd=case.outstanding,
        path_mtu=PACKET_SIZE,
        path_mtu_discovery=False,
        max_message_size=16 * MIB,
    )


async def transfer(case: Case) -> dict[str, float]:
    async with open_association_pair(
        config=_config_of(case), delay=case.delay, loss=case.loss, max_message_size=16 * MIB
    ) as (client, server):
        listener = server.listen()
        pairs = [(client.open_channel(), await listener.accept()) for _ in range(case.channels)]
        await trio.sleep(1)  # until nothing of the opening is under way
        send, receive = (_send_what_goes, _take_what_is_there) if case.nowait else (_send, _receive)
        started, sent_before = time.process_time(), client.statistics().bytes_sent
        async with trio.open_nursery() as nursery:
            for ours, theirs in pairs:
                ours.set_water_marks(high=max(case.outstanding // case.channels, 2))
                count = max(1, case.total // case.channels // case.size)
                nursery.start_soon(send, ours, bytes(case.size), count)
                nursery.start_soon(receive, theirs, count)
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


async def _send_what_goes(channel: trio_sctp.DataChannel, payload: bytes, count: int) -> None:
    """As fast as the channel takes them; where it is full, one has to wait."""
    for _ in range(count):
        try:
            channel.send_nowait(payload)
        except trio.WouldBlock:
            await channel.send(payload)


async def _take_what_is_there(channel: trio_sctp.DataChannel, count: int) -> None:
    for _ in range(count):
        try:
            channel.receive_nowait()
        except trio.WouldBlock:
            await channel.receive()


def core_transfer(case: Case) -> CoreTransfer:
    return CoreTransfer(
        _config_of(case),
        size=case.size,
        count=max(1, case.total // case.size),
        outstanding=case.outstanding,
        delay=case.delay,
        loss=case.loss,
        window=case.window * (PACKET_SIZE - COMMON_HEADER_SIZE),
    )


def run_here(case: Case) -> dict[str, float]:
    """In this process, which should have done nothing else."""
    if case.core:
        return core_transfer(case).run()
    clock = trio.testing.MockClock(autojump_threshold=0)
    return trio.run(transfer, case, clock=clock)


def measure(case: Case, python: str, folder: Path) -> float:
    """CPU seconds per GB of one run, in a process of its own that imports from ``folder``."""
    command = [python, "-m", "tests.benchmarks.linearity", "--case"]
    described = json.dumps(dataclasses.asdict(case))
    environment = dict(os.environ) if folder == ROOT else WITHOUT_SOURCES
    done = subprocess.run(
        [*command, described],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    return float(json.loads(done.stdout)["cpu_per_gb"])


def measure_all(runs: int, python: str = sys.executable, folder: Path = ROOT) -> dict[str, float]:
    """Medians by case; the cases take turns."""
    found: dict[str, list[float]] = {name: [] for name in CASES}
    for _ in range(runs):
        for name, case in CASES.items():
            print(f"linearity: {name}", file=sys.stderr)
            found[name].append(measure(case, python, folder))
    return {name: median(values) for name, values in found.items()}


def measure_all_compiled(runs: int) -> dict[str, float]:
    """The same for the library as it runs when it is installed compiled."""
    with tempfile.TemporaryDirectory() as folder:
        return measure_all(runs, *compiled_python(Path(folder)))


def table(results: Mapping[str, float], build: str = "") -> str:
    what = f"transfer, {build}" if build else "transfer"
    rows = [f"| {what} | CPU s/GB | compared with | ratio |", "| --- | ---: | --- | ---: |"]
    told: set[str] = set()
    for first, second in PAIRS + REASONS:
        if not {first, second} <= results.keys():  # an older measurement
            continue
        if first not in told:
            rows.append(f"| {first} | {results[first]:.1f} | | |")
        ratio = results[second] / results[first]
        rows.append(f"| {second} | {results[second]:.1f} | {first} | {ratio:.2f} |")
        told |= {first, second}
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
        if COMPILED in os.environ:
            print(table(measure_all_compiled(options.runs), "compiled"))


if __name__ == "__main__":
    main(sys.argv[1:])
