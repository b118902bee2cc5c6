"""What one end of a measurement knows about itself."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

__all__ = ["Meter", "peak_memory", "round_trip_figures"]


class Meter:
    """Counts messages that arrive, and the processor time since it was made."""

    __slots__ = ("_cpu", "bytes", "first", "last", "messages")

    def __init__(self) -> None:
        self.messages = self.bytes = 0
        self.first = self.last = 0.0
        self._cpu = time.process_time()

    def count(self, size: int) -> None:
        """A message has arrived."""
        self.last = time.perf_counter()
        if not self.messages:
            self.first = self.last
        self.messages += 1
        self.bytes += size

    def report(self) -> dict[str, Any]:
        """The figures, as they go over the wire and between processes."""
        return {
            "messages": self.messages,
            "bytes": self.bytes,
            "seconds": self.last - self.first,
            "cpu_seconds": time.process_time() - self._cpu,
            "peak_memory_bytes": peak_memory(),
        }


def round_trip_figures(round_trips: list[float]) -> dict[str, float]:
    """Median and 99th percentile of round trips given in seconds, in µs."""
    if not round_trips:
        return {}
    ordered = sorted(round_trips)
    return {
        "rtt_median_us": ordered[len(ordered) // 2] * 1e6,
        "rtt_p99_us": ordered[len(ordered) * 99 // 100] * 1e6,
    }


def peak_memory() -> int | None:
    """The most memory in bytes that this process ever held, where the system tells."""
    try:
        status = Path("/proc/self/status").read_text()  # getrusage counts the parent's, too
    except OSError:
        return _peak_memory_by_getrusage()
    for line in status.splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return _peak_memory_by_getrusage()


def _peak_memory_by_getrusage() -> int | None:
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
