"""One end of a transfer over a data channel of this library, over UDP."""

from __future__ import annotations

import sys
import time
from functools import partial

import trio

import trio_sctp
from tests.benchmarks.workloads import PACKET_SIZE, SOCKET_BUFFER, Meter, Workload, say

CONFIG = trio_sctp.Config(a_rwnd=SOCKET_BUFFER, path_mtu=PACKET_SIZE)


async def server(workload: Workload) -> None:
    async def handle(association: trio_sctp.Association) -> None:
        meter = Meter()
        channel = await association.listen().accept()
        async for message in channel:
            if len(message) == 1:
                break
            meter.count(len(message))
            if workload.ping:
                await channel.send(message)
        await channel.send(b"!")
        meter.report()
        await association.wait_closed()
        nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        endpoint = await nursery.start(
            partial(trio_sctp.serve_udp, handle, 0, host="127.0.0.1", config=CONFIG)
        )
        say("ready", port=endpoint.port)


async def client(workload: Workload, port: int) -> None:
    meter = Meter()
    async with trio_sctp.open_udp_association("127.0.0.1", port, config=CONFIG) as association:
        meter.is_up()
        channel = association.open_channel("bench")
        payload = bytes(workload.size)
        end = time.perf_counter() + workload.seconds
        while (start := time.perf_counter()) < end:
            await channel.send(payload)
            if workload.ping:
                await channel.receive()
                meter.round_trips.append(time.perf_counter() - start)
        await channel.send(b"!")
        await channel.receive()
        meter.report()


if __name__ == "__main__":
    from tests.benchmarks.peers import run_peer

    run_peer(sys.argv, lambda job: trio.run(lambda: job), server, client)
