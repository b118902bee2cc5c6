"""Many associations on one UDP port, each with messages to send.

`server|client WORKLOAD [PORT]` as the other peers; the workload's name is `chatty` or `greedy`, its
size the number of associations.  All clients are in one process.
"""

from __future__ import annotations

import sys
import time
from functools import partial
from random import Random

import trio

import trio_sctp
from tests.benchmarks.peers.trio_sctp_ends import config_for
from tests.benchmarks.workloads import Workload, peak_memory_kib, say

MESSAGE = {"chatty": 100, "greedy": 16 * 1024}
CONNECTING_AT_A_TIME = 20


class Reception:
    """What a server has received since all its peers were there."""

    def __init__(self, workload: Workload) -> None:
        self.workload = workload
        self.connected = 0
        self.everybody = trio.Event()
        self.over = trio.Event()
        self.bytes: list[int] = []
        self.messages = 0

    async def handle(self, association: trio_sctp.Association) -> None:
        channel = await association.listen().accept()
        self.connected += 1
        if self.connected == self.workload.size:
            self.everybody.set()
        await self.everybody.wait()
        await channel.send(b"go")
        index = len(self.bytes)
        self.bytes.append(0)
        async for message in channel:
            if not self.over.is_set():
                self.bytes[index] += len(message)
                self.messages += 1

    async def measure(self) -> None:
        await self.everybody.wait()
        started, cpu = time.perf_counter(), time.process_time()
        await trio.sleep(self.workload.seconds)
        self.over.set()
        say(
            "result",
            bytes=self.bytes,
            messages=self.messages,
            seconds=time.perf_counter() - started,
            cpu_seconds=time.process_time() - cpu,
            peak_kib=peak_memory_kib(),
        )


async def server(workload: Workload) -> None:
    reception = Reception(workload)
    async with trio.open_nursery() as nursery:
        serve = partial(trio_sctp.serve_udp, reception.handle, 0, host="127.0.0.1")
        endpoint = await nursery.start(partial(serve, config=config_for(workload)))
        say("ready", port=endpoint.port)
        await reception.measure()
        await trio.sleep(1)  # until the clients have stopped
        nursery.cancel_scope.cancel()


async def client(workload: Workload, port: int) -> None:
    connecting = trio.CapacityLimiter(CONNECTING_AT_A_TIME)
    random = Random(workload.size)
    payload = bytes(MESSAGE[workload.name])
    begun = trio.Event()

    async def one() -> None:
        await connecting.acquire()
        async with trio_sctp.open_udp_association(
            "127.0.0.1", port, config=config_for(workload)
        ) as association:
            connecting.release()
            channel = association.open_channel("load")
            await channel.receive()
            begun.set()
            if workload.name == "chatty":
                await trio.sleep(random.random())
            while True:
                await channel.send(payload)
                if workload.name == "chatty":
                    await trio.sleep(1)

    async with trio.open_nursery() as nursery:
        for _ in range(workload.size):
            nursery.start_soon(one)
        await begun.wait()
        started, cpu = time.perf_counter(), time.process_time()
        await trio.sleep(workload.seconds)
        say(
            "result",
            seconds=time.perf_counter() - started,
            cpu_seconds=time.process_time() - cpu,
        )
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    from tests.benchmarks.peers import run_peer

    run_peer(sys.argv, lambda job: trio.run(lambda: job), server, client)
