"""One end of a transfer over a data channel of this library, over the whole stack: ICE and DTLS."""

from __future__ import annotations

import sys

import trio

import trio_sctp
from tests.benchmarks.peers import signalling
from tests.benchmarks.peers.trio_sctp_ends import config_for, receive, send
from tests.benchmarks.workloads import Meter, Workload, say


async def server(workload: Workload) -> None:
    listener = signalling.listen()
    config = config_for(workload)
    async with trio_sctp.open_rtc_endpoint(host="127.0.0.1", config=config) as endpoint:
        say("ready", port=listener.getsockname()[1])
        with signalling.Caller(listener) as caller:
            peer = await endpoint.answer(caller.offer())
            caller.answer(peer.local_description)
        async with peer as association:
            await receive(association, workload)


async def client(workload: Workload, port: int) -> None:
    meter = Meter()
    config = config_for(workload)
    async with trio_sctp.open_rtc_endpoint(host="127.0.0.1", config=config) as endpoint:
        peer = await endpoint.offer()
        peer.accept_answer(signalling.call(port, peer.local_description))
        async with peer as association:
            await send(association, workload, meter)


if __name__ == "__main__":
    from tests.benchmarks.peers import run_peer

    run_peer(sys.argv, lambda job: trio.run(lambda: job), server, client)
