"""Many idle channels on one association, or many idle associations on one UDP port.

`server|client WORKLOAD [PORT]` as the other peers; the workload's name is `channels` or
`associations`, and its size says how many.
"""

from __future__ import annotations

import gc
import sys
import time
from contextlib import AsyncExitStack
from functools import partial

import trio

import trio_sctp
from tests.benchmarks.workloads import Workload, current_memory_kib, peak_memory_kib, say


async def server(workload: Workload) -> None:
    """Accept everything; once it is all there, say what it costs and tell the client."""
    before = current_memory_kib()
    accepted = finished = 0

    async def handle(association: trio_sctp.Association) -> None:
        nonlocal accepted, finished
        expected = 1 if workload.name == "associations" else workload.size
        channels = []
        for _ in range(expected):
            channels.append(await association.listen().accept())
            accepted += 1
        if accepted == workload.size:
            report_memory(before)
        await channels[-1].send(b"!")
        await association.wait_closed()
        finished += expected
        if finished == workload.size:
            nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        endpoint = await nursery.start(partial(trio_sctp.serve_udp, handle, 0, host="127.0.0.1"))
        say("ready", port=endpoint.port)


async def client(workload: Workload, port: int) -> None:
    """Open everything, as fast as it goes."""
    before = current_memory_kib()
    started = time.perf_counter()
    async with AsyncExitStack() as stack:
        associations = 1 if workload.name == "channels" else workload.size
        for _ in range(associations):
            association = await stack.enter_async_context(
                trio_sctp.open_udp_association("127.0.0.1", port, shutdown_timeout=5)
            )
            for _ in range(workload.size // associations):
                channel = association.open_channel("idle")
            if workload.name == "associations":
                await channel.receive()
        if workload.name == "channels":
            await channel.receive()
        report_memory(before, seconds=time.perf_counter() - started)


def report_memory(before: int, **more: float) -> None:
    gc.collect()
    say(
        "result",
        before_kib=before,
        after_kib=current_memory_kib(),
        peak_kib=peak_memory_kib(),
        **more,
    )


if __name__ == "__main__":
    from tests.benchmarks.peers import run_peer

    run_peer(sys.argv, lambda job: trio.run(lambda: job), server, client)
