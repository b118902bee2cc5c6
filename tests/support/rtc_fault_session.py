"""The session of `fault_session` between two WebRTC endpoints: signalling, ICE, DTLS and SCTP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from random import Random

import pytest
import trio

from tests.support.certificates import CLIENT, SERVER
from tests.support.fault_session import Session
from tests.support.memory_sockets import MemoryNetwork
from trio_sctp import Association, HandshakeFailed, open_rtc_endpoint

__all__ = ["HERE", "THERE", "RtcSession"]

HERE, THERE = "192.0.2.1", "192.0.2.2"


class RtcSession(Session):
    """The client offers, the server answers; a line between the programs carries descriptions."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__()
        self.network = MemoryNetwork()
        self.network.install(monkeypatch)
        self._line_out, self._offers = trio.open_memory_channel[str](1)
        self._answers_out, self._answers = trio.open_memory_channel[str](1)

    def check_closed(self) -> None:
        assert not self.network.sockets

    def _open_client(self) -> AbstractAsyncContextManager[Association]:
        return self._offer()

    def _open_server(self) -> AbstractAsyncContextManager[Association]:
        return self._answer()

    @contextmanager
    def _signalling(self) -> Iterator[None]:
        try:
            yield
        except (trio.EndOfChannel, trio.BrokenResourceError) as error:
            raise HandshakeFailed("the other program has hung up", reason="") from error

    @asynccontextmanager
    async def _offer(self) -> AsyncIterator[Association]:
        async with (
            self._line_out,
            self._answers,
            open_rtc_endpoint(
                host=HERE, certificate=CLIENT, config=self.config, rng=Random(1)
            ) as endpoint,
        ):
            peer = await endpoint.offer()
            with self._signalling():
                await self._line_out.send(peer.local_description)
                answer = await self._answers.receive()
            peer.accept_answer(answer)
            async with peer as association:
                yield association

    @asynccontextmanager
    async def _answer(self) -> AsyncIterator[Association]:
        async with (
            self._offers,
            self._answers_out,
            open_rtc_endpoint(
                host=THERE, certificate=SERVER, config=self.config, rng=Random(2)
            ) as endpoint,
        ):
            with self._signalling():
                offer = await self._offers.receive()
            peer = await endpoint.answer(offer)
            with self._signalling():
                await self._answers_out.send(peer.local_description)
            async with peer as association:
                yield association
