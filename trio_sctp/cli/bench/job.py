"""``trio-sctp bench``: runs the measurements one after the other and shows what came out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial

import trio
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from ... import serve_udp
from ..failure import Failure
from ..running import say, socket_name
from .ends import MeasurementServer
from .processes import start_worker
from .result import Result, as_json, as_table
from .workloads import Workload

__all__ = ["run_measurements", "run_server"]


async def run_server(port: int, *, host: str | None) -> None:
    """Be the server of clients on other machines until cancelled."""
    async with trio.open_nursery() as nursery:
        handler = MeasurementServer().serve
        endpoint = await nursery.start(partial(serve_udp, handler, port, host=host))
        say(f"bench: listening at UDP {socket_name(endpoint.local_address)}")


async def run_measurements(
    workloads: Sequence[Workload],
    *,
    server: tuple[str, int] | None,
    seconds: float,
    patience: float,
    to_json: bool,
) -> None:
    """Measure and print; with ``server`` None against a process on this machine."""
    name = f"{server[0]} port {server[1]}" if server else "on this machine"
    results: list[Result] = []
    console = Console(stderr=True)
    try:
        with _bars(console) as bars:
            bar = bars.add_task("", total=seconds * len(workloads), speed="")
            for index, workload in enumerate(workloads):
                bars.update(bar, description=workload.name, speed="", completed=index * seconds)
                measure = partial(_measure, workload, seconds=seconds, patience=patience)
                results.append(await measure(server, bars=bars, bar=bar))
    finally:
        if to_json and len(results) == len(workloads):
            say(json.dumps(as_json(results, server=name), indent=2))
        elif results and not to_json:  # what was measured before a failure or Ctrl-C counts
            Console().print(as_table(results, server=name))


def _bars(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description:10}"),
        BarColumn(),
        TextColumn("{task.fields[speed]:>10}"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


async def _measure(
    workload: Workload,
    server: tuple[str, int] | None,
    *,
    seconds: float,
    patience: float,
    bars: Progress,
    bar: TaskID,
) -> Result:
    """One workload, by processes that were made for it, so that its memory is its own."""
    async with AsyncExitStack() as stack:
        if server is None:
            local = await stack.enter_async_context(start_worker("server"))
            server = "127.0.0.1", (await local.expect("ready"))["port"]
        host, port = server
        client = await stack.enter_async_context(
            start_worker("client", host, str(port), workload.name, str(seconds), f"{patience:g}")
        )
        done = bars.tasks[bar].completed
        async for event in client.events():
            if event["event"] == "up" and not bars.disable:
                bars.update(bar, speed="waiting")
            elif event["event"] == "progress":
                speed = f"{event['bytes'] / 1e6 / event['seconds']:.1f} MB/s"
                bars.update(bar, completed=done + min(event["seconds"], seconds), speed=speed)
            elif event["event"] == "result":
                return Result.of(workload, event["client"], event["server"])
    raise Failure("the client ended without a result")
