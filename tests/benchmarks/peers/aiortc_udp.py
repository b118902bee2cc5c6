"""One end of a transfer over aiortc's SCTP: its RTCSctpTransport straight over UDP, without DTLS."""

from __future__ import annotations

import asyncio
import sys
import time

from aiortc import RTCDataChannel, RTCDataChannelParameters, RTCSctpCapabilities

from tests.benchmarks.workloads import SOCKET_BUFFER, Meter, Workload, say
from tests.support.aiortc_over_udp import open_sctp

HIGH_WATER = 1024 * 1024


async def server(workload: Workload) -> None:
    transport, sctp = open_sctp("server")
    done = asyncio.Event()
    say("ready", port=await transport.bind(None, buffer=SOCKET_BUFFER))
    meter = Meter()

    @sctp.on("datachannel")  # type: ignore[untyped-decorator, unused-ignore]
    def on_channel(channel: RTCDataChannel) -> None:
        @channel.on("message")  # type: ignore[untyped-decorator, unused-ignore]
        def on_message(message: bytes) -> None:
            if len(message) == 1:
                channel.send(message)
                done.set()
                return
            meter.count(len(message))
            if workload.ping:
                channel.send(message)

    delivery = asyncio.create_task(transport.deliver())
    await sctp.start(RTCSctpCapabilities(maxMessageSize=1 << 20), 5000)
    await done.wait()
    meter.report()
    await asyncio.sleep(0.3)
    delivery.cancel()


async def client(workload: Workload, port: int) -> None:
    meter = Meter()
    transport, sctp = open_sctp("client")
    await transport.bind(port, buffer=SOCKET_BUFFER)
    delivery = asyncio.create_task(transport.deliver())
    opened, drained, replied = asyncio.Event(), asyncio.Event(), asyncio.Event()
    channel = RTCDataChannel(sctp, RTCDataChannelParameters(label="bench"))
    channel.bufferedAmountLowThreshold = HIGH_WATER // 4
    channel.on("open", opened.set)
    channel.on("bufferedamountlow", drained.set)
    channel.on("message", lambda _: replied.set())
    await sctp.start(RTCSctpCapabilities(maxMessageSize=1 << 20), 5000)
    await opened.wait()
    meter.is_up()

    payload = bytes(workload.size)
    end = time.perf_counter() + workload.seconds
    while (start := time.perf_counter()) < end:
        channel.send(payload)
        if workload.ping:
            await replied.wait()
            replied.clear()
            meter.round_trips.append(time.perf_counter() - start)
        elif channel.bufferedAmount > HIGH_WATER:
            drained.clear()
            await drained.wait()
    channel.send(b"!")
    await replied.wait()
    meter.report()
    delivery.cancel()


if __name__ == "__main__":
    from tests.benchmarks.peers import run_peer

    run_peer(sys.argv, asyncio.run, server, client)  # type: ignore[arg-type]
