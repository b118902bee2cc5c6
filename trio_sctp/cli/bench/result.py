"""The figures of a measurement, as a table for people and as JSON for scripts."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.box import SIMPLE
from rich.table import Table

from ... import __version__
from .workloads import Workload

__all__ = ["Result", "as_json", "as_table"]


@dataclass(frozen=True, slots=True)
class Result:
    """One workload; None where it has no such figure."""

    name: str
    message_size: int
    seconds: float
    """From the first message that arrived to the last."""
    messages: int
    bytes: int
    throughput_mb_per_s: float | None
    messages_per_s: float | None
    rtt_median_us: float | None
    rtt_p99_us: float | None
    setup_ms: float
    client_cpu_s_per_gb: float | None
    server_cpu_s_per_gb: float | None
    client_peak_memory_bytes: int | None
    server_peak_memory_bytes: int | None
    retransmitted_chunks: int
    """By the client."""

    @classmethod
    def of(cls, workload: Workload, client: dict[str, Any], server: dict[str, Any]) -> Result:
        """From what both ends reported."""
        # Of a round trip the client knows best, of a transfer who received it.
        counted = client if workload.ping else server
        seconds, size = counted["seconds"], counted["bytes"]
        gigabytes = size / 1e9
        return cls(
            name=workload.name,
            message_size=workload.size,
            seconds=seconds,
            messages=counted["messages"],
            bytes=size,
            throughput_mb_per_s=size / 1e6 / seconds if seconds else None,
            messages_per_s=counted["messages"] / seconds if seconds else None,
            rtt_median_us=client.get("rtt_median_us"),
            rtt_p99_us=client.get("rtt_p99_us"),
            setup_ms=client["setup_ms"],
            client_cpu_s_per_gb=client["cpu_seconds"] / gigabytes if size else None,
            server_cpu_s_per_gb=server["cpu_seconds"] / gigabytes if size else None,
            client_peak_memory_bytes=client["peak_memory_bytes"],
            server_peak_memory_bytes=server["peak_memory_bytes"],
            retransmitted_chunks=client["retransmitted_chunks"],
        )


def as_json(results: Sequence[Result], *, server: str) -> dict[str, Any]:
    """Everything, with what it was measured on."""
    return {
        "trio_sctp": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "server": server,
        "workloads": [asdict(result) for result in results],
    }


def as_table(results: Sequence[Result], *, server: str) -> Table:
    """One line for each workload."""
    table = Table(
        title=f"data channel over UDP, server {server}",
        caption=_CAPTION,
        box=SIMPLE,
        collapse_padding=True,
        pad_edge=False,
    )
    table.add_column("workload", no_wrap=True)
    for heading in _HEADINGS:
        table.add_column(heading, justify="right", no_wrap=True)
    for result in results:
        cpu = "–"
        if result.rtt_median_us is None:  # a ping-pong moves hardly any bytes
            cpu = _pair(result.client_cpu_s_per_gb, result.server_cpu_s_per_gb)
        table.add_row(
            result.name,
            _number(result.throughput_mb_per_s),
            _number(result.messages_per_s),
            _number(result.rtt_median_us),
            _number(result.rtt_p99_us),
            _number(result.setup_ms),
            cpu,
            _pair(
                _mebibytes(result.client_peak_memory_bytes),
                _mebibytes(result.server_peak_memory_bytes),
            ),
        )
    return table


_HEADINGS = (
    "MB/s",
    "messages\nper s",
    "round\ntrip µs",
    "99 %\nµs",
    "set-up\nms",
    "CPU s/GB\nboth ends",
    "peak MiB\nboth ends",
)
_CAPTION = "one reliable, ordered channel; both ends: client/server"


def _mebibytes(size: int | None) -> float | None:
    return None if size is None else size / 1024 / 1024


def _pair(client: float | None, server: float | None) -> str:
    return f"{_number(client)}/{_number(server)}"


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"
