"""What is measured, and what one end of a transfer reports about itself.

A client sends messages of one size to a server for a fixed time (or plays ping-pong with it); both
ends are processes of their own.  They print one JSON object a line: `ready` once the server
listens, `result` at the end.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

SOCKET_BUFFER = 4 * 1024 * 1024
"""Asked for by every stack that can be told, for each UDP socket and for the buffers above it."""

PACKET_SIZE = 1200
"""Largest SCTP packet: what WebRTC stacks use."""


@dataclasses.dataclass(frozen=True)
class Workload:
    """One kind of transfer."""

    name: str
    size: int
    """Bytes of a message."""
    ping: bool = False
    nowait: bool = False
    """By the forms that do not wait, as far as they go: for stacks that have them."""
    path_mtu_discovery: bool = False
    """With packets as large as the loopback carries: for stacks that find that out."""
    relay_loss: float | None = None
    """Through a relay that loses such a share of all datagrams, both ways."""
    seconds: float = 3.0

    def turns(self) -> Iterator[float]:
        """The time now, until it is over; twice at least, which a rate needs."""
        now = time.perf_counter()
        end = now + self.seconds
        for number in count():
            if number >= 2 and now >= end:
                return
            yield now
            now = time.perf_counter()

    @property
    def needs_ours(self) -> bool:
        """Other stacks have nothing of the kind."""
        return self.nowait or self.path_mtu_discovery


WORKLOADS = {
    workload.name: workload
    for workload in [
        Workload("bulk-1k", 1024),
        Workload("bulk-16k", 16 * 1024),
        Workload("bulk-64k", 64 * 1024),
        Workload("bulk-16k-mtu", 16 * 1024, path_mtu_discovery=True),
        Workload("bulk-256k-mtu", 256 * 1024, path_mtu_discovery=True),
        Workload("bulk-16k-relay", 16 * 1024, relay_loss=0.0),
        Workload("bulk-16k-loss", 16 * 1024, relay_loss=0.05),
        Workload("small-64", 64),
        Workload("small-64-nowait", 64, nowait=True),
        Workload("ping-64", 64, ping=True),
    ]
}


class Meter:
    """Counts the messages that one end has seen and what they cost it."""

    def __init__(self) -> None:
        self.messages = 0
        self.bytes = 0
        self.first = self.last = 0.0
        self.round_trips: list[float] = []
        self.setup_ms: float | None = None
        self._started = time.perf_counter()
        self._cpu = time.process_time()

    def is_up(self) -> None:
        """The connection stands and can carry messages."""
        self.setup_ms = (time.perf_counter() - self._started) * 1e3

    def count(self, size: int) -> None:
        """A message has arrived."""
        self.last = time.perf_counter()
        if self.messages == 0:
            self.first = self.last
        self.messages += 1
        self.bytes += size

    def report(self, **more: Any) -> None:
        """Print the result."""
        say(
            "result",
            messages=self.messages,
            bytes=self.bytes,
            seconds=self.last - self.first,
            cpu_seconds=time.process_time() - self._cpu,
            max_rss_kib=peak_memory_kib(),
            setup_ms=self.setup_ms,
            **round_trip_figures(self.round_trips),
            **more,
        )


def round_trip_figures(round_trips: list[float]) -> dict[str, float]:
    """Median and 99th percentile of round trips given in seconds, in µs."""
    if not round_trips:
        return {}
    ordered = sorted(round_trips)
    return {
        "rtt_median_us": ordered[len(ordered) // 2] * 1e6,
        "rtt_p99_us": ordered[len(ordered) * 99 // 100] * 1e6,
    }


def peak_memory_kib() -> int:
    """The most memory this process ever had (getrusage counts the parent's from before exec)."""
    return _memory_kib("VmHWM:")


def current_memory_kib() -> int:
    """The resident memory of this process."""
    return _memory_kib("VmRSS:")


def _memory_kib(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1])
    return 0


def say(event: str, **values: Any) -> None:
    """Print one JSON line for the runner."""
    print(json.dumps({"event": event, **values}), flush=True)
