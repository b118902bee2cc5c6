"""One end of a transfer over a data channel of aiortc, over the whole stack: ICE and DTLS."""

from __future__ import annotations

import asyncio
import sys

from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from tests.benchmarks.peers import signalling
from tests.benchmarks.peers.aiortc_ends import receive, send
from tests.benchmarks.workloads import Meter, Workload, say


async def server(workload: Workload) -> None:
    listener = signalling.listen()
    say("ready", port=listener.getsockname()[1])
    with signalling.Caller(listener) as caller:
        meter = Meter()
        connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        accepted: asyncio.Future[asyncio.Event] = asyncio.get_running_loop().create_future()
        connection.on("datachannel", lambda c: accepted.set_result(receive(c, workload, meter)))
        await connection.setRemoteDescription(RTCSessionDescription(caller.offer(), "offer"))
        await connection.setLocalDescription(await connection.createAnswer())
        caller.answer(connection.localDescription.sdp)
    await (await accepted).wait()
    meter.report()
    await asyncio.sleep(0.3)
    await connection.close()


async def client(workload: Workload, port: int) -> None:
    meter = Meter()
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    channel = connection.createDataChannel("bench")
    await connection.setLocalDescription(await connection.createOffer())
    answer = signalling.call(port, connection.localDescription.sdp)
    await connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))
    await send(channel, workload, meter)
    await connection.close()


if __name__ == "__main__":
    from tests.benchmarks.peers import run_peer

    run_peer(sys.argv, asyncio.run, server, client)
