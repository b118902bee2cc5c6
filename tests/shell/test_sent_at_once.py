"""What may leave leaves at once, without a turn of another task or an answer of the peer."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import trio
from trio.testing import MockClock

from trio_sctp import DatagramTransport, TransportFailed, open_association
from trio_sctp.testing import memory_link, open_association_pair

DELAY = 1.0


async def test_a_message_behind_one_in_flight_does_not_wait_for_its_acknowledgement(
    autojump_clock: MockClock,
) -> None:
    async with open_association_pair(delay=DELAY) as (client, server):
        near = client.open_channel("chat")
        await near.send("opened")
        far = await server.listen().accept()
        await far.receive()
        await trio.sleep(10)
        for text in ("first", "second", "third"):
            await near.send(text)
            await trio.sleep(0.1)
        began = trio.current_time() - 0.3
        for place, text in enumerate(("first", "second", "third")):
            assert await far.receive() == text
            assert trio.current_time() - began == pytest.approx(DELAY + 0.1 * place, abs=0.01)


async def test_all_that_the_window_allows_leaves_at_once(autojump_clock: MockClock) -> None:
    """More than one batch of packets, after a pause."""
    async with open_association_pair(delay=DELAY) as (client, server):
        near = client.open_channel("bulk")
        near.set_water_marks(high=1 << 30)
        await near.send(bytes(4_000_000))
        far = await server.listen().accept()
        await far.receive()
        await near.wait_delivered()
        size = client.statistics().cwnd * 3 // 4
        assert size > 300_000
        began = trio.current_time()
        await near.send(bytes(size))
        await far.receive()
        assert trio.current_time() - began == pytest.approx(DELAY, abs=0.01)


async def test_what_arrives_for_a_channel_that_was_closed_fills_no_window(
    autojump_clock: MockClock,
) -> None:
    async with open_association_pair(delay=DELAY) as (client, server):
        window = server.statistics().a_rwnd
        near = client.open_channel("one way")
        await near.send(b"x")
        far = await server.listen().accept()
        await far.receive()
        with trio.move_on_after(DELAY / 2):
            while True:
                await near.send(bytes(1000))
                await trio.sleep(0.1)
        closing = trio.current_time()
        await far.aclose()
        await trio.sleep(10 * DELAY)
        assert trio.current_time() > closing
        assert server.statistics().held_bytes == 0
        assert server.statistics().a_rwnd == window


class Unplugged(DatagramTransport):
    """A transport that takes nothing any more once ``broken``."""

    def __init__(self, end: DatagramTransport) -> None:
        self.end = end
        self.broken: OSError | None = None

    @property
    def max_datagram_size(self) -> int:
        return self.end.max_datagram_size

    async def send_batch(self, datagrams: Sequence[bytes]) -> None:
        self.send_batch_nowait(datagrams)
        await trio.lowlevel.checkpoint()

    def send_batch_nowait(self, datagrams: Sequence[bytes]) -> int:
        if self.broken is not None:
            raise trio.BrokenResourceError("unplugged") from self.broken
        return self.end.send_batch_nowait(datagrams)

    async def receive_batch(self) -> list[bytes]:
        return await self.end.receive_batch()

    async def receive(self) -> bytes:
        return await self.end.receive()

    async def aclose(self) -> None:
        await self.end.aclose()


async def test_a_transport_that_fails_as_something_leaves_at_once_is_told_of(
    autojump_clock: MockClock,
) -> None:
    ours, theirs = memory_link()
    transport = Unplugged(ours)

    async def serve() -> None:
        async with open_association(theirs, client=False, shutdown_timeout=1) as association:
            await trio.sleep(5)
            association.abort()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        async with open_association(transport, client=True) as association:
            channel = association.open_channel("chat")
            await channel.wait_delivered()
            transport.broken = OSError("cable")
            await channel.send("lost")
            with pytest.raises(TransportFailed, match="unplugged") as caught:
                await channel.receive()
            assert isinstance(caught.value.__cause__, trio.BrokenResourceError)
        nursery.cancel_scope.cancel()
