"""The two ends of a measurement.

The client opens a channel with the protocol name `PROTOCOL` and says in a text message what will
come; the server, which measures one client at a time, answers ``go`` when it is its turn.  Then
binary messages flow, and the client says ``end``; the server answers with what it counted.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict

import trio

from ... import Association, DataChannel, open_udp_association
from ..json_object import json_object
from .meter import Meter, round_trip_figures
from .workloads import Workload

__all__ = ["PROTOCOL", "MeasurementServer", "run_client"]

PROTOCOL = "trio-sctp.bench"
PROGRESS_INTERVAL = 0.1
GO, END = "go", "end"

Tell = Callable[..., None]
"""Takes the name of what happened, and details by keyword."""


class MeasurementServer:
    """Serves clients in turn, as measurements at the same time would disturb each other."""

    def __init__(self) -> None:
        self._turn = trio.Lock()

    async def serve(self, association: Association) -> None:
        """Serve one client until it shuts down."""
        async for channel in association.listen():
            async with channel:
                described = json_object(await channel.receive())
                if channel.protocol == PROTOCOL and described is not None:
                    async with self._turn:
                        await _measure(channel, ping=bool(described.get("ping")))


async def _measure(channel: DataChannel, *, ping: bool) -> None:
    meter = Meter()
    await channel.send(GO)
    while True:
        message = await channel.receive()
        if isinstance(message, str):
            break
        meter.count(len(message))
        if ping:
            await channel.send(message)
    await channel.send(json.dumps(meter.report()))


async def run_client(
    host: str, port: int, workload: Workload, *, seconds: float, tell: Tell
) -> None:
    """Measure once; ``tell`` hears ``up``, ``go``, some ``progress`` and the ``result``."""
    started = time.perf_counter()
    async with open_udp_association(host, port) as association:
        setup_ms = (time.perf_counter() - started) * 1e3
        tell("up")
        async with association.open_channel("bench", protocol=PROTOCOL) as channel:
            await channel.send(json.dumps(asdict(workload)))
            if await channel.receive() != GO:
                raise ValueError(f"{host} port {port} is not a bench server")
            tell("go")
            client = _Client(channel, workload.size)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(client.tell_progress, tell)
                await (client.ping(seconds) if workload.ping else client.send(seconds))
                await channel.send(END)
                server = json_object(await channel.receive())  # it has everything before that
                nursery.cancel_scope.cancel()
            figures = client.meter.report() | round_trip_figures(client.round_trips)
            retransmitted = association.statistics().retransmitted_chunks
    if server is None:
        raise ValueError("the server's report makes no sense: is it of another version?")
    tell(
        "result",
        client=figures | {"setup_ms": setup_ms, "retransmitted_chunks": retransmitted},
        server=server,
    )


class _Client:
    def __init__(self, channel: DataChannel, size: int) -> None:
        self.meter = Meter()
        self.round_trips: list[float] = []
        self._channel = channel
        self._payload = bytes(size)

    async def send(self, seconds: float) -> None:
        send, payload, count = self._channel.send, self._payload, self.meter.count
        end = time.perf_counter() + seconds
        while time.perf_counter() < end or self.meter.messages < 2:  # a rate is that of two or more
            await send(payload)
            count(len(payload))

    async def ping(self, seconds: float) -> None:
        channel, payload = self._channel, self._payload
        now = time.perf_counter()
        end = now + seconds
        while now < end or self.meter.messages < 2:
            sent = now
            await channel.send(payload)
            await channel.receive()
            now = time.perf_counter()
            self.round_trips.append(now - sent)
            self.meter.count(len(payload))

    async def tell_progress(self, tell: Tell) -> None:
        begin = trio.current_time()
        while True:
            await trio.sleep(PROGRESS_INTERVAL)
            tell("progress", seconds=trio.current_time() - begin, bytes=self.meter.bytes)
