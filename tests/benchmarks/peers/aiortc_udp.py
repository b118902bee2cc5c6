"""One end of a transfer over aiortc's SCTP: its RTCSctpTransport straight over UDP, without DTLS."""

from __future__ import annotations

import asyncio
import sys

from aiortc import RTCDataChannel, RTCDataChannelParameters, RTCSctpCapabilities

from tests.benchmarks.peers.aiortc_ends import receive, send
from tests.benchmarks.workloads import SOCKET_BUFFER, Meter, Workload, say
from tests.support.aiortc_over_udp import open_sctp


async def server(workload: Workload) -> None:
    transport, sctp = open_sctp("server")
    accepted: asyncio.Future[asyncio.Event] = asyncio.get_running_loop().create_future()
    say("ready", port=await transport.bind(None, buffer=SOCKET_BUFFER))
    meter = Meter()
    sctp.on("datachannel", lambda c: accepted.set_result(receive(c, workload, meter)))
    delivery = asyncio.create_task(transport.deliver())
    await sctp.start(RTCSctpCapabilities(maxMessageSize=1 << 20), 5000)
    await (await accepted).wait()
    meter.report()
    await asyncio.sleep(0.3)
    delivery.cancel()


async def client(workload: Workload, port: int) -> None:
    meter = Meter()
    transport, sctp = open_sctp("client")
    await transport.bind(port, buffer=SOCKET_BUFFER)
    delivery = asyncio.create_task(transport.deliver())
    channel = RTCDataChannel(sctp, RTCDataChannelParameters(label="bench"))
    await sctp.start(RTCSctpCapabilities(maxMessageSize=1 << 20), 5000)
    await send(channel, workload, meter)
    delivery.cancel()


if __name__ == "__main__":
    from tests.benchmarks.peers import run_peer

    run_peer(sys.argv, asyncio.run, server, client)
