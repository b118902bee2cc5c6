"""The two ends of a transfer over a data channel of aiortc, whatever carries it."""

from __future__ import annotations

import asyncio
import time

from aiortc import RTCDataChannel

from tests.benchmarks.workloads import Meter, Workload

HIGH_WATER = 1024 * 1024
MOST_MESSAGES = 1000
"""What waits unsent; small ones would take it minutes to get rid of otherwise."""


def receive(channel: RTCDataChannel, workload: Workload, meter: Meter) -> asyncio.Event:
    """The server's end: count (or echo) what comes, until the event is set."""
    done = asyncio.Event()

    @channel.on("message")  # type: ignore[untyped-decorator, unused-ignore]
    def on_message(message: bytes) -> None:
        if len(message) == 1:
            channel.send(message)
            done.set()
            return
        meter.count(len(message))
        if workload.ping:
            channel.send(message)

    return done


async def send(channel: RTCDataChannel, workload: Workload, meter: Meter) -> None:
    """The client's end, of a channel that may not be open yet."""
    opened, drained, replied = asyncio.Event(), asyncio.Event(), asyncio.Event()
    high_water = min(HIGH_WATER, MOST_MESSAGES * workload.size)
    channel.bufferedAmountLowThreshold = high_water // 4
    channel.on("open", opened.set)
    channel.on("bufferedamountlow", drained.set)
    channel.on("message", lambda _: replied.set())
    if channel.readyState != "open":
        await opened.wait()
    meter.is_up()
    payload = bytes(workload.size)
    for start in workload.turns():
        channel.send(payload)
        if workload.ping:
            await replied.wait()
            replied.clear()
            meter.round_trips.append(time.perf_counter() - start)
        elif channel.bufferedAmount > high_water:
            drained.clear()
            await drained.wait()
    channel.send(b"!")
    await replied.wait()
    meter.report()
