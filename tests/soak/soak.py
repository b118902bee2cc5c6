"""Clients and servers in one process, over real sockets, that do what programs do: all the time.

Of each kind (UDP, DTLS, WebRTC) there are a server, one association that stays, and some clients that
call, talk on a few channels, leave or break off, and call again.  Once in a period the clients pause
until nothing of them is left, and a `Sample` is taken.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from random import Random
from typing import Any

import trio

from tests.soak.samples import Sample, Work
from tests.support.certificates import CLIENT, SERVER
from tests.support.rtc_pair import introduce
from trio_sctp import (
    Association,
    Config,
    DataChannel,
    open_dtls_association,
    open_rtc_endpoint,
    open_udp_association,
    serve_dtls,
    serve_rtc,
    serve_udp,
)
from trio_sctp._farewells import KEPT_FOR

__all__ = ["KINDS", "soak"]

HOST = "127.0.0.1"
CONFIG = Config(a_rwnd=1024 * 1024)
Open = Callable[[], AbstractAsyncContextManager[Association]]


# -- servers -----------------------------------------------------------------------------------


async def echo_channel(channel: DataChannel) -> None:
    try:
        async with channel:
            async for message in channel:
                await channel.send(message)
    except trio.BrokenResourceError:
        pass  # the client has closed it without waiting for the echo


async def echo(association: Association) -> None:
    await trio.serve_listeners(echo_channel, [association.listen()])


async def udp(nursery: trio.Nursery) -> tuple[Any, Open]:
    server = await nursery.start(partial(serve_udp, echo, 0, host=HOST, config=CONFIG))
    port = server.local_address[1]
    return server, lambda: open_udp_association(HOST, port, config=CONFIG)


async def dtls(nursery: trio.Nursery) -> tuple[Any, Open]:
    mine, other = CLIENT.fingerprint(), SERVER.fingerprint()
    server = await nursery.start(
        partial(serve_dtls, echo, 0, host=HOST, certificate=SERVER, verify_peer=mine)
    )
    port = server.local_address[1]
    return server, lambda: open_dtls_association(
        HOST, port, certificate=CLIENT, peer_fingerprint=other
    )


async def rtc(nursery: trio.Nursery) -> tuple[Any, Open]:
    server = await nursery.start(partial(serve_rtc, echo, 0, host=HOST, certificate=SERVER))

    @asynccontextmanager
    async def call() -> AsyncIterator[Association]:
        async with open_rtc_endpoint(host=HOST, certificate=CLIENT) as endpoint:
            offering, _ = await introduce(endpoint, server)
            async with offering as association:
                yield association

    return server, call


KINDS = {"udp": udp, "dtls": dtls, "rtc": rtc}


# -- clients -----------------------------------------------------------------------------------


class Talk:
    """What a client does on an association, by chance."""

    def __init__(self, association: Association, rng: Random, work: Work) -> None:
        self.association = association
        self.rng = rng
        self.work = work

    async def some_channels(self) -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(self.rng.randrange(1, 6)):
                nursery.start_soon(self.rng.choice((self.reliable, self.reliable, self.hasty)))

    async def reliable(self) -> None:
        """Everything comes back."""
        rng, work = self.rng, self.work
        ordered = rng.random() < 0.5
        async with self.association.open_channel(
            "r" * rng.randrange(50), ordered=ordered
        ) as channel:
            for _ in range(rng.randrange(1, 10)):
                message = rng.randbytes(int(10 ** rng.uniform(0, 5)))
                await channel.send(message)
                assert await channel.receive() == message
                work.messages += 1
                work.bytes += len(message)
        work.channels += 1

    async def hasty(self) -> None:
        """Does not wait for what comes back, nor for what gets through."""
        rng = self.rng
        limit: dict[str, Any] = rng.choice(({"max_retransmits": 0}, {"lifetime": 0.05}))
        async with self.association.open_channel("hasty", **limit) as channel:
            for _ in range(rng.randrange(1, 30)):
                await channel.send(bytes(rng.randrange(3000)))
                self.work.messages += 1
        self.work.channels += 1


class Pause:
    """Clients pass one after the other, unless they are to wait; how many do is known."""

    def __init__(self) -> None:
        self.waiting = 0
        self._open = trio.Event()
        self._open.set()

    def begin(self) -> None:
        self._open = trio.Event()

    def end(self) -> None:
        self._open.set()

    async def here(self) -> None:
        self.waiting += 1
        await self._open.wait()
        self.waiting -= 1


async def caller(call: Open, rng: Random, work: Work, pause: Pause) -> None:
    """One association after the other."""
    while True:
        await pause.here()
        with trio.CancelScope() as scope:
            async with call() as association:
                for _ in range(rng.randrange(1, 4)):
                    await Talk(association, rng, work).some_channels()
                    await trio.sleep(rng.uniform(0, 0.2))
                if rng.random() < 0.2:
                    scope.cancel()
                    await trio.lowlevel.checkpoint()
        work.associations += 1
        work.aborted += scope.cancelled_caught


async def stayer(call: Open, rng: Random, work: Work, pause: Pause) -> None:
    """One association, channels that come and go."""
    async with call() as association:
        while True:
            await pause.here()
            await Talk(association, rng, work).some_channels()
            await trio.sleep(rng.uniform(0, 0.2))


# -- all of it ---------------------------------------------------------------------------------


async def settled(servers: Iterable[Any]) -> None:
    """Each server has its one association that stays, and nothing else."""

    def count(server: Any) -> int:
        statistics = server.statistics()
        return int(getattr(statistics, "associations", getattr(statistics, "peers", 0)))

    with trio.fail_after(60):
        while any(count(server) > 1 for server in servers):
            await trio.sleep(0.05)


async def soak(
    kinds: Iterable[str],
    *,
    seconds: float,
    period: float,
    workers: int,
    seed: int = 0,
    tell: Callable[[Sample], None] = lambda sample: None,
) -> list[Sample]:
    """Samples, one at the end of each period."""
    work, pause, samples = Work(), Pause(), list[Sample]()
    start = trio.current_time()
    async with trio.open_nursery() as nursery:
        ends = [await KINDS[kind](nursery) for kind in kinds]
        clients = 0
        for number, (_, call) in enumerate(ends):
            for client, program in enumerate([stayer, *[caller] * workers]):
                rng = Random(f"{seed} {number} {client}")
                nursery.start_soon(program, call, rng, work, pause)
                clients += 1
        while trio.current_time() < start + seconds:
            await trio.sleep(period - min(KEPT_FOR, period / 2))
            pause.begin()
            with trio.fail_after(120):
                while pause.waiting < clients:
                    await trio.sleep(0.05)
            await trio.sleep(min(KEPT_FOR, period / 2) + 0.1)
            for _, call in ends:  # who comes sweeps out the farewells of those before
                async with call():
                    pass
            await settled(server for server, _ in ends)
            samples.append(Sample.take(trio.current_time() - start, work))
            tell(samples[-1])
            pause.end()
        nursery.cancel_scope.cancel()
    return samples
