"""One end of a transfer over a data channel of this library, over UDP."""

from __future__ import annotations

import sys
from functools import partial

import trio

import trio_sctp
from tests.benchmarks.peers.trio_sctp_ends import config_for, receive, send
from tests.benchmarks.workloads import Meter, Workload, say


async def server(workload: Workload) -> None:
    async def handle(association: trio_sctp.Association) -> None:
        await receive(association, workload)
        nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        serve = partial(trio_sctp.serve_udp, handle, 0, host="127.0.0.1")
        endpoint = await nursery.start(partial(serve, config=config_for(workload)))
        say("ready", port=endpoint.port)


async def client(workload: Workload, port: int) -> None:
    meter = Meter()
    async with trio_sctp.open_udp_association(
        "127.0.0.1", port, config=config_for(workload)
    ) as association:
        await send(association, workload, meter)


if __name__ == "__main__":
    from tests.benchmarks.peers import run_peer

    run_peer(sys.argv, lambda job: trio.run(lambda: job), server, client)
