"""One end of a measurement in a process of its own, which prints JSON lines about itself.

``python -m trio_sctp.cli.bench.worker server`` or ``... client HOST PORT WORKLOAD SECONDS PATIENCE``.
It ends when its standard input does, so that it never outlives the process that started it; Ctrl-C
is for that one.
"""

from __future__ import annotations

import json
import math
import os
import signal
import sys
from functools import partial
from typing import Any

import trio

from ... import serve_udp
from .ends import MeasurementServer, run_client
from .workloads import Workload

__all__ = ["main"]


def tell(event: str, **details: Any) -> None:
    """Print one JSON line."""
    print(json.dumps({"event": event, **details}), flush=True)


async def serve(arguments: list[str]) -> None:
    """Serve measurements on a free port of this machine."""
    async with trio.open_nursery() as nursery:
        handler = MeasurementServer().serve
        endpoint = await nursery.start(partial(serve_udp, handler, 0, host="127.0.0.1"))
        tell("ready", port=endpoint.port)


async def measure(arguments: list[str]) -> None:
    """Measure one workload."""
    host, port, workload, seconds, patience = arguments
    limit = trio.CancelScope(deadline=trio.current_time() + float(patience))

    def told(event: str, **details: Any) -> None:
        if event == "up":
            limit.deadline = math.inf
        tell(event, **details)

    with limit:
        await run_client(
            host, int(port), Workload.named(workload), seconds=float(seconds), tell=told
        )
    if limit.cancelled_caught:
        tell("failed", error=f"{host} port {port} did not answer within {patience} seconds")


async def _while_wanted(arguments: list[str]) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_cancel_at_end_of_input, nursery.cancel_scope)
        await {"server": serve, "client": measure}[arguments[0]](arguments[1:])
        nursery.cancel_scope.cancel()


async def _cancel_at_end_of_input(everything: trio.CancelScope) -> None:
    while await trio.to_thread.run_sync(os.read, 0, 4096, abandon_on_cancel=True):
        pass
    everything.cancel()


def main(arguments: list[str]) -> None:
    """Run one end; what can be expected to fail is told as ``failed``."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        trio.run(_while_wanted, arguments)
    except* (OSError, ValueError, trio.BrokenResourceError, trio.EndOfChannel) as errors:
        tell("failed", error=str(errors.exceptions[0]))


if __name__ == "__main__":
    main(sys.argv[1:])
