"""One end of a transfer over a data channel of this library, over DTLS and UDP without ICE."""

from __future__ import annotations

import sys
from functools import partial

import trio

import trio_sctp
from tests.benchmarks.peers.trio_sctp_ends import config_for, receive, send
from tests.benchmarks.workloads import Meter, Workload, say

ANYONE = trio_sctp.PeerPolicy.anyone()


async def server(workload: Workload) -> None:
    async def handle(association: trio_sctp.Association) -> None:
        await receive(association, workload)
        nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        serve = partial(
            trio_sctp.serve_dtls,
            handle,
            0,
            host="127.0.0.1",
            certificate=trio_sctp.Certificate.generate(),
            verify_peer=ANYONE,
            config=config_for(workload),
        )
        endpoint = await nursery.start(serve)
        say("ready", port=endpoint.port)


async def client(workload: Workload, port: int) -> None:
    meter = Meter()
    async with trio_sctp.open_dtls_association(
        "127.0.0.1", port, verify_peer=ANYONE, config=config_for(workload)
    ) as association:
        await send(association, workload, meter)


if __name__ == "__main__":
    from tests.benchmarks.peers import run_peer

    run_peer(sys.argv, lambda job: trio.run(lambda: job), server, client)
