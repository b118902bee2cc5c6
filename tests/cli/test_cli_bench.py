"""`trio-sctp bench`: that it measures, in every way of running it; not how fast this machine is."""

from __future__ import annotations

import json
import math
import signal
import socket
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.support.commands import assert_fails_in_one_line, run_trio_sctp, trio_sctp_command
from trio_sctp.cli.bench.meter import peak_memory, round_trip_figures
from trio_sctp.cli.bench.result import Result, as_table
from trio_sctp.cli.bench.workloads import DEFAULT_WORKLOADS, Workload
from trio_sctp.cli.json_object import json_object

FIGURES: dict[str, tuple[type, ...]] = {
    "name": (str,),
    "message_size": (int,),
    "seconds": (float,),
    "messages": (int,),
    "bytes": (int,),
    "throughput_mb_per_s": (float,),
    "messages_per_s": (float,),
    "rtt_median_us": (float, type(None)),
    "rtt_p99_us": (float, type(None)),
    "setup_ms": (float,),
    "client_cpu_s_per_gb": (float,),
    "server_cpu_s_per_gb": (float,),
    "client_peak_memory_bytes": (int, type(None)),
    "server_peak_memory_bytes": (int, type(None)),
    "retransmitted_chunks": (int,),
}


def workers_of(process: int) -> list[Path]:
    """The measuring processes that a process has started, as folders of /proc."""
    threads = Path(f"/proc/{process}/task").glob("*/children")
    children = [Path("/proc", child) for thread in threads for child in thread.read_text().split()]
    return [child for child in children if is_worker(child)]


def is_worker(process: Path) -> bool:
    try:
        return b"bench.worker" in (process / "cmdline").read_bytes()
    except OSError:  # it has gone
        return False


def check_figures(workload: dict[str, Any]) -> None:
    assert workload.keys() == FIGURES.keys()
    for name, types in FIGURES.items():
        value = workload[name]
        assert isinstance(value, types), (name, value)
        if isinstance(value, float):
            assert math.isfinite(value)
            assert value > 0
    assert workload["bytes"] == workload["messages"] * workload["message_size"]
    is_ping = workload["name"].startswith("ping")
    assert (workload["rtt_median_us"] is not None) is is_ping
    if is_ping:
        assert workload["rtt_median_us"] <= workload["rtt_p99_us"]


async def test_json_has_every_figure_of_every_workload() -> None:
    result = await run_trio_sctp("bench", "--seconds", 0.2, "--json")
    assert result.returncode == 0, result.stderr
    measured = json.loads(result.stdout)
    assert measured.keys() == {"trio_sctp", "python", "platform", "server", "workloads"}
    names = [workload["name"] for workload in measured["workloads"]]
    assert names == DEFAULT_WORKLOADS.split(",")
    for workload in measured["workloads"]:
        check_figures(workload)
    assert result.stderr == b""  # no progress bar where there is no terminal


async def test_the_table_has_a_line_for_each_workload_and_fits_80_columns() -> None:
    result = await run_trio_sctp("bench", "--seconds", 0.1, "--workloads", "bulk-1m,ping-1k")
    assert result.returncode == 0, result.stderr
    lines = result.stdout.decode().splitlines()
    assert any(line.split()[:1] == ["bulk-1m"] for line in lines)
    assert any(line.split()[:1] == ["ping-1k"] for line in lines)
    assert max(map(len, lines)) <= 80


async def test_a_server_and_clients_as_on_two_machines() -> None:
    async with trio_sctp_command("bench", "--server", 0, "--host", "127.0.0.1") as server:
        port = await server.port()
        arguments = ("--client", "127.0.0.1", port, "--seconds", 0.1, "--json")
        for _ in range(2):
            result = await run_trio_sctp("bench", *arguments, "--workloads", "bulk-16k,ping-64")
            assert result.returncode == 0, result.stderr
            measured = json.loads(result.stdout)
            assert measured["server"] == f"127.0.0.1 port {port}"
            for workload in measured["workloads"]:
                check_figures(workload)
        server.process.send_signal(signal.SIGINT)
        await server.everything()
        assert server.process.returncode == 0


async def test_a_server_that_does_not_answer_is_told() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        result = await run_trio_sctp("bench", "--client", "127.0.0.1", port, "--timeout", 0.2)
    assert_fails_in_one_line(result, f"127.0.0.1 port {port} did not answer within 0.2 seconds")


async def test_a_server_that_is_no_bench_server_is_told() -> None:
    async with trio_sctp_command("echo", "--udp", 0, "--host", "127.0.0.1") as echo:
        port = await echo.port()
        result = await run_trio_sctp("bench", "--client", "127.0.0.1", port, "--seconds", 0.1)
    assert_fails_in_one_line(result, "not a bench server")


async def test_a_client_that_talks_nonsense_does_not_hurt_the_server(tmp_path: Path) -> None:
    async with trio_sctp_command("bench", "--server", 0, "--host", "127.0.0.1") as server:
        port = await server.port()
        nested = b"[" * 9000 + b"\n"  # more than JSON is read of: it ended the server
        result = await run_trio_sctp("client", "127.0.0.1", port, stdin=nested)
        assert result.returncode == 1
        arguments = ("--client", "127.0.0.1", port, "--seconds", 0.1, "--json")
        result = await run_trio_sctp("bench", *arguments, "--workloads", "ping-1")
        assert result.returncode == 0, result.stderr


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux's /proc")
async def test_interrupting_ends_every_process(tmp_path: Path) -> None:
    errors = tmp_path / "errors"
    async with trio_sctp_command("bench", "--server", 0, "--host", "127.0.0.1") as server:
        port = await server.port()
        arguments = ("--client", "127.0.0.1", port, "--seconds", 60, "--workloads", "ping-64")
        async with trio_sctp_command("bench", *arguments, errors=errors) as client:
            while not (workers := workers_of(client.process.pid)):
                await trio.sleep(0.01)
            client.process.send_signal(signal.SIGINT)
            assert await client.everything() == ""
            assert client.process.returncode == 128 + signal.SIGINT
            assert errors.read_text() == ""
            assert not any(map(is_worker, workers))


@pytest.mark.parametrize(
    "arguments",
    [
        ("--workloads", "bulk"),
        ("--workloads", "bulk-0"),
        ("--workloads", "ping-17m"),
        ("--workloads", ""),
        ("--seconds", 0),
        ("--server", 9899, "--client", "127.0.0.1", 9899),
        ("--client", "127.0.0.1"),
    ],
)
async def test_what_cannot_be_measured_is_a_usage_error(arguments: tuple[str | float, ...]) -> None:
    result = await run_trio_sctp("bench", *arguments)
    assert result.returncode == 2
    assert b"Error: " in result.stderr


@pytest.mark.parametrize(
    "name, size, ping",
    [("bulk-16k", 16384, False), ("small-64", 64, False), ("PING-1M", 2**20, True)],
)
def test_the_name_of_a_workload_tells_what_it_is(name: str, size: int, ping: bool) -> None:
    assert Workload.named(name) == Workload(name.lower(), size, ping)


@pytest.mark.parametrize("message", ["hello", b"\xff", "[1]", "[" * 9000, "9" * 9000, ""])
def test_what_is_no_json_object_is_none(message: str | bytes) -> None:
    assert json_object(message) is None
    assert json_object('{"a": 1}') == {"a": 1}


def test_round_trips_are_summed_up_in_microseconds() -> None:
    figures = round_trip_figures([number / 1e6 for number in range(100, 0, -1)])
    assert figures == {"rtt_median_us": pytest.approx(51), "rtt_p99_us": pytest.approx(100)}
    assert round_trip_figures([]) == {}


def test_this_process_has_needed_some_memory() -> None:
    peak = peak_memory()
    assert peak is None or 1e6 < peak < 1e12


def test_figures_that_are_missing_are_dashes() -> None:
    end = {"messages": 0, "bytes": 0, "seconds": 0.0, "cpu_seconds": 0.0, "peak_memory_bytes": None}
    client = end | {"setup_ms": 1.0, "retransmitted_chunks": 0}
    result = Result.of(Workload.named("bulk-16m"), client, end)
    assert result.throughput_mb_per_s is None
    table = as_table([result], server="nowhere")
    assert [next(iter(column.cells)) for column in table.columns][1:3] == ["–", "–"]
