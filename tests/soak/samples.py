"""What a process holds at a quiet moment, and whether it has come to be more."""

from __future__ import annotations

import gc
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import trio

__all__ = ["Sample", "Work", "growth"]

SLACK = {"objects": 0.03, "resident": 0.05, "tasks": 0.0, "files": 0.0}
"""By how much of itself something may vary: what the stayers keep, what malloc keeps."""
MEBIBYTE = 1024 * 1024


@dataclass
class Work:
    """What was done so far."""

    associations: int = 0
    aborted: int = 0
    channels: int = 0
    messages: int = 0
    bytes: int = 0


@dataclass(frozen=True)
class Sample:
    """One look."""

    seconds: float
    associations: int
    channels: int
    messages: int
    bytes: int
    objects: int
    """Those that the garbage collector knows."""
    resident: int
    """Bytes of the process in memory."""
    tasks: int
    files: int

    @classmethod
    def take(cls, seconds: float, work: Work) -> Sample:
        for _ in range(3):  # what a finalizer lets go is for the next turn
            gc.collect()
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return cls(
            seconds,
            work.associations,
            work.channels,
            work.messages,
            work.bytes,
            objects=len(gc.get_objects()),
            resident=pages * os.sysconf("SC_PAGE_SIZE"),
            tasks=trio.lowlevel.current_statistics().tasks_living,
            files=len(list(Path("/proc/self/fd").iterdir())),
        )

    @staticmethod
    def heading() -> str:
        return (
            f"{'seconds':>8} {'associations':>13} {'channels':>9} {'messages':>9} {'MB':>7} "
            f"{'objects':>9} {'RSS MiB':>8} {'tasks':>6} {'files':>6}"
        )

    def __str__(self) -> str:
        return (
            f"{self.seconds:8.0f} {self.associations:13,} {self.channels:9,} {self.messages:9,} "
            f"{self.bytes / 1e6:7.0f} {self.objects:9,} {self.resident / MEBIBYTE:8.1f} "
            f"{self.tasks:6} {self.files:6}"
        )


def growth(samples: Sequence[Sample]) -> list[str]:
    """Complaints: what was more in the last third of the time than in the one before it.

    The first third is for what is filled once: caches, imports, memory that malloc keeps.
    """
    third = len(samples) // 3
    found = []
    for name, slack in SLACK.items():
        before, after = (
            median(getattr(sample, name) for sample in part)
            for part in (samples[third:-third], samples[-third:])
        )
        if after > before * (1 + slack):
            found.append(f"{name}: {before:,}, and then {after:,}")
    return found
