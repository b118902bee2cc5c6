"""Runs one workload over one stack: two processes on this machine, and what they said."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.benchmarks.workloads import PACKET_SIZE, SOCKET_BUFFER, Workload
from tests.support.commands import TIME_LIMIT
from tests.support.live_peers import free_udp_ports

ROOT = Path(__file__).parent.parent.parent


@dataclasses.dataclass(frozen=True)
class Measurement:
    """The figures of one run; None where a workload or stack has no such figure."""

    megabytes_per_second: float | None
    messages_per_second: float | None
    rtt_median_us: float | None
    rtt_p99_us: float | None
    setup_ms: float | None
    sender_cpu_per_gb: float | None
    receiver_cpu_per_gb: float | None
    cpu_us_per_message: float | None
    """At both ends together; of a ping-pong, for a round trip."""
    peak_mib: float


class BenchmarkFailed(Exception):
    """A process of a run ended without a result."""


class PythonStack:
    """A stack whose two ends are modules of `tests.benchmarks.peers`, imported from ``folder``."""

    def __init__(self, module: str, python: str | None = None, folder: Path = ROOT) -> None:
        self.module = f"tests.benchmarks.peers.{module}"
        self.python = python or sys.executable
        self.folder = folder

    def run(self, workload: Workload) -> Measurement:
        described = json.dumps(dataclasses.asdict(workload))
        command = [self.python, "-m", self.module]
        with process([*command, "server", described], self.folder) as server:
            port = hear(server, "ready")["port"]
            with on_the_way(workload, port) as (port, _):
                arguments = [*command, "client", described, str(port)]
                with process(arguments, self.folder) as client:
                    sender = hear(client, "result")
                receiver = hear(server, "result")
            if workload.relay_loss:
                server.kill()  # the client's last words may be lost, and nobody repeats them
        return _combine(workload, sender, receiver)


class UsrsctpStack:
    """The C peer, SCTP over UDP with CRC-32C on."""

    def __init__(self, program: Path) -> None:
        self.program = program

    def run(self, workload: Workload) -> Measurement:
        here, there = free_udp_ports(2)
        with on_the_way(workload, there, here) as (to_server, to_client):
            return self._run(workload, (here, to_server), (there, to_client))

    def _run(
        self, workload: Workload, client_ports: tuple[int, int], server_ports: tuple[int, int]
    ) -> Measurement:
        """With the ports at which each end is and to which it sends."""
        sizes = f"--sndbuf {SOCKET_BUFFER} --rcvbuf {SOCKET_BUFFER} --udpbuf {SOCKET_BUFFER}"
        common = [str(self.program), *sizes.split(), "--mtu", str(PACKET_SIZE)]
        listen = ["--udp", str(server_ports[0]), "--peer-udp", str(server_ports[1])]
        listen += ["--job", "echo" if workload.ping else "receive"]
        connect = ["--udp", str(client_ports[0]), "--peer-udp", str(client_ports[1])]
        connect += ["--connect", "127.0.0.1"]
        connect += ["--job", "ping" if workload.ping else "send", "--size", str(workload.size)]
        # Round trips are counted, not timed: what 50 µs each would take.
        connect += ["--count", str(max(100, int(workload.seconds * 20000)))]
        if not workload.ping:
            connect += ["--duration", str(workload.seconds)]
        with process([*common, *listen]) as server:
            hear(server, "listening")
            with process([*common, *connect]) as client:
                trips = hear(client, "round trips") if workload.ping else {}
                sender = hear(client, "summary")
            receiver = hear(server, "summary")
        return _combine(
            workload,
            {
                **sender,
                "rtt_median_us": trips.get("median_us"),
                "rtt_p99_us": trips.get("p99_us"),
                "setup_ms": sender["setup_ms"],
            },
            {**receiver, **receiver["received"]},
        )


@contextmanager
def process(command: list[str], folder: Path = ROOT) -> Iterator[subprocess.Popen[str]]:
    """A child that has to end by itself, in time; Python finds modules in the folder first."""
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        env=environment,
        cwd=folder,
    ) as child:
        patience = threading.Timer(TIME_LIMIT, child.kill)
        patience.start()
        try:
            yield child
            child.wait()
        finally:
            patience.cancel()
            child.kill()


@contextmanager
def on_the_way(
    workload: Workload, server_port: int, client_port: int = 0
) -> Iterator[tuple[int, int]]:
    """The ports that client and server have to talk to: each other's, or those of a relay."""
    if workload.relay_loss is None:
        yield server_port, client_port
        return
    arguments = [workload.relay_loss, server_port, client_port]
    with process(
        [sys.executable, "-m", "tests.benchmarks.peers.relay", *map(str, arguments)]
    ) as relay:
        ports = hear(relay, "ready")
        try:
            yield ports["for_client"], ports["for_server"]
        finally:
            relay.kill()


def hear(child: subprocess.Popen[str], event: str) -> dict[str, Any]:
    """The next line of a child that tells of this event."""
    assert child.stdout is not None
    for line in child.stdout:
        found: dict[str, Any] = json.loads(line)
        if found["event"] == event:
            return found
        if found["event"] == "failed":
            break
    raise BenchmarkFailed(f"{child.args!r} ended without saying {event!r}")


def _combine(workload: Workload, sender: dict[str, Any], receiver: dict[str, Any]) -> Measurement:
    gigabytes = receiver["bytes"] / 1e9
    seconds = receiver["seconds"] or None
    bulk = not workload.ping
    cpu_seconds = sender["cpu_seconds"] + receiver["cpu_seconds"]
    messages = receiver["messages"]
    return Measurement(
        megabytes_per_second=receiver["bytes"] / 1e6 / seconds if seconds and bulk else None,
        messages_per_second=receiver["messages"] / seconds if seconds and bulk else None,
        rtt_median_us=sender.get("rtt_median_us"),
        rtt_p99_us=sender.get("rtt_p99_us"),
        setup_ms=sender.get("setup_ms"),
        sender_cpu_per_gb=sender["cpu_seconds"] / gigabytes if bulk and gigabytes else None,
        receiver_cpu_per_gb=receiver["cpu_seconds"] / gigabytes if bulk and gigabytes else None,
        cpu_us_per_message=cpu_seconds / messages * 1e6 if messages else None,
        peak_mib=max(sender["max_rss_kib"], receiver["max_rss_kib"]) / 1024,
    )
