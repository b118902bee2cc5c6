"""A peer whose certificate is genuine and whose SCTP is not: attacks from inside DTLS and WebRTC.

The victim is a program that waits for channels; the intruder holds the other end's DTLS in its hands and
plays SCTP itself, with an honest association of its own for what has to be right.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from random import Random
from typing import NamedTuple

import pytest
import trio

from tests.support.association_pair import packet_to
from tests.support.certificates import CLIENT, SERVER
from tests.support.memory_sockets import MemoryNetwork
from tests.support.rtc_pair import introduce
from trio_sctp import (
    Association,
    AssociationError,
    Config,
    DatagramTransport,
    open_association,
    open_dtls,
    open_rtc_endpoint,
)
from trio_sctp._core.association import Association as CoreAssociation
from trio_sctp._core.states import State
from trio_sctp._wire.chunks import Chunk, EncodableChunk
from trio_sctp._wire.packet import decode_chunks
from trio_sctp.testing import memory_link

__all__ = ["GROUNDS", "Intruder", "besieged"]

CONFIG = Config(path_mtu=1160, path_mtu_discovery=False)
HERE, THERE = "192.0.2.1", "192.0.2.2"


class Intruder:
    """Sends whatever it likes, and collects the answers."""

    transport: DatagramTransport

    def __init__(self, in_the_clear: Callable[[bytes], None]) -> None:
        self.in_the_clear = in_the_clear
        """Sends a datagram without DTLS, from the same address to the same one."""
        self.honest = CoreAssociation(CONFIG, rng=Random(3))
        self.heard: list[list[Chunk]] = []
        self.sent: list[bytes] = []
        """Honest packets."""
        self.victim: Association | None = None
        self.error: Exception | None = None
        """How the victim's block ended, if it did by an error."""

    @property
    def core(self) -> CoreAssociation:
        """The victim's protocol, which an attacker would have to guess."""
        assert self.victim is not None
        return self.victim._core

    async def establish(self) -> None:
        self.honest.connect(now=trio.current_time())
        while self.honest.state is not State.ESTABLISHED or self.victim is None:
            await self.go_on(0.05)

    async def go_on(self, seconds: float) -> None:
        """Be honest for a while."""
        end = trio.current_time() + seconds
        while True:
            now = trio.current_time()
            if packets := self.honest.packets_to_send(now=now):
                self.sent += packets
                await self.transport.send_batch(packets)
            with trio.move_on_at(min(end, self.honest.next_timeout())):
                await self._take(await self.transport.receive_batch())
                continue
            if trio.current_time() >= end:
                return
            self.honest.handle_timeout(now=trio.current_time())

    async def _take(self, batch: list[bytes]) -> None:
        self.heard += map(decode_chunks, batch)
        self.honest.receive_packets(batch, now=trio.current_time())
        while self.honest.next_event() is not None:
            pass

    def packet(self, *chunks: EncodableChunk | bytes, tag: int | None = None) -> bytes:
        """One for the victim, with the right tag or another."""
        return packet_to(self.core, *chunks, tag=tag)

    async def attack(self, packets: Sequence[bytes], *, seconds: float = 0.5) -> list[list[Chunk]]:
        """What comes back within half a second, unanswered."""
        self.heard.clear()
        with suppress(trio.EndOfChannel, trio.BrokenResourceError), trio.move_on_after(seconds):
            await self.transport.send_batch(packets)
            while True:  # until nothing more comes, or the victim says good-bye
                self.heard += map(decode_chunks, await self.transport.receive_batch())
        return list(self.heard)


class Ground(NamedTuple):
    """Where it takes place."""

    victim: Callable[[], AbstractAsyncContextManager[Association]]
    intrude: Callable[[], Awaitable[DatagramTransport]]
    in_the_clear: Callable[[bytes], None]


@asynccontextmanager
async def _over_dtls() -> AsyncIterator[Ground]:
    near, far = memory_link(delay=0.01)

    @asynccontextmanager
    async def victim() -> AsyncIterator[Association]:
        transport = await open_dtls(
            far, client=False, certificate=SERVER, verify_peer=CLIENT.fingerprint()
        )
        rng = Random(4)
        async with open_association(transport, client=False, config=CONFIG, rng=rng) as association:
            yield association

    async def intrude() -> DatagramTransport:
        return await open_dtls(
            near, client=True, certificate=CLIENT, verify_peer=SERVER.fingerprint()
        )

    def in_the_clear(datagram: bytes) -> None:
        near.send_batch_nowait([datagram])

    yield Ground(victim, intrude, in_the_clear)


@asynccontextmanager
async def _over_webrtc() -> AsyncIterator[Ground]:
    network = MemoryNetwork()
    with pytest.MonkeyPatch.context() as patch:
        network.install(patch)
        async with (
            open_rtc_endpoint(host=HERE, certificate=CLIENT, rng=Random(5)) as caller,
            open_rtc_endpoint(
                host=THERE, certificate=SERVER, config=CONFIG, rng=Random(6)
            ) as called,
        ):
            offering, answering = await introduce(caller, called)
            (source,), (target,) = caller.local_addresses, called.local_addresses

            @asynccontextmanager
            async def victim() -> AsyncIterator[Association]:
                async with answering as association:
                    yield association

            def in_the_clear(datagram: bytes) -> None:
                network.carry(source, target, datagram)

            yield Ground(victim, offering._secure, in_the_clear)


GROUNDS = {"dtls": _over_dtls, "webrtc": _over_webrtc}


@asynccontextmanager
async def besieged(ground: str) -> AsyncIterator[Intruder]:
    """A victim that waits for channels, and an intruder whose DTLS is up.

    Afterwards nothing of the victim is left, and it ended in order or by an `AssociationError`.
    """
    tasks = trio.lowlevel.current_statistics().tasks_living
    async with GROUNDS[ground]() as (open_victim, intrude, in_the_clear):
        intruder = Intruder(in_the_clear)

        async def run_victim() -> None:
            try:
                async with open_victim() as association:
                    intruder.victim = association
                    while True:
                        await association.listen().accept()
            except (AssociationError, trio.EndOfChannel) as error:
                intruder.error = error

        async with trio.open_nursery() as nursery:
            nursery.start_soon(run_victim)
            intruder.transport = await intrude()
            yield intruder
            await intruder.transport.aclose()
            nursery.cancel_scope.deadline = trio.current_time() + 60
    assert trio.lowlevel.current_statistics().tasks_living == tasks
