"""The two ends of a transfer over a data channel of this library, whatever carries it."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

import trio

import trio_sctp
from tests.benchmarks.workloads import PACKET_SIZE, SOCKET_BUFFER, Meter, Workload


def config_for(workload: Workload) -> trio_sctp.Config:
    return trio_sctp.Config(
        a_rwnd=SOCKET_BUFFER,
        path_mtu=PACKET_SIZE,
        path_mtu_discovery=workload.path_mtu_discovery,
    )


async def receive(association: trio_sctp.Association, workload: Workload) -> None:
    """The server's end, until the association is over."""
    meter = Meter()
    channel = await association.listen().accept()
    take = _take_what_is_there if workload.nowait else _take_one_by_one
    await take(channel, meter, workload)
    await channel.send(b"!")
    meter.report()
    await association.wait_closed()


async def _take_one_by_one(
    channel: trio_sctp.DataChannel, meter: Meter, workload: Workload
) -> None:
    async for message in channel:
        if len(message) == 1:
            break
        meter.count(len(message))
        if workload.ping:
            await channel.send(message)


async def _take_what_is_there(
    channel: trio_sctp.DataChannel, meter: Meter, workload: Workload
) -> None:
    message = await channel.receive()
    while len(message) > 1:
        meter.count(len(message))
        try:
            message = channel.receive_nowait()
        except trio.WouldBlock:
            message = await channel.receive()


async def send(association: trio_sctp.Association, workload: Workload, meter: Meter) -> None:
    """The client's end."""
    meter.is_up()
    channel = association.open_channel("bench")
    payload = bytes(workload.size)
    step: Callable[[trio_sctp.DataChannel, bytes, Meter], Awaitable[None]]
    step = _ping if workload.ping else _send_what_goes if workload.nowait else _send_one
    for _ in workload.turns():
        await step(channel, payload, meter)
    await channel.send(b"!")
    await channel.receive()
    meter.report()


async def _send_one(channel: trio_sctp.DataChannel, payload: bytes, meter: Meter) -> None:
    await channel.send(payload)


async def _ping(channel: trio_sctp.DataChannel, payload: bytes, meter: Meter) -> None:
    start = time.perf_counter()
    await channel.send(payload)
    await channel.receive()
    meter.round_trips.append(time.perf_counter() - start)


async def _send_what_goes(channel: trio_sctp.DataChannel, payload: bytes, meter: Meter) -> None:
    """A hundred at a time, as a program would that has them; then others get their turn."""
    try:
        for _ in range(100):
            channel.send_nowait(payload)
    except trio.WouldBlock:
        await channel.send(payload)
    else:
        await trio.lowlevel.checkpoint()
