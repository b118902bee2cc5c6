"""What may leave leaves at once, without a turn of another task or an answer of the peer."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from trio_sctp import Config, DatagramTransport, TransportFailed, open_association
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


class Echoing(DatagramTransport):
    """Hands packets to a reader who waits before its sending returns; takes two of several at once."""

    def __init__(self) -> None:
        self.peer = self
        self._to_peer, self._arriving = trio.open_memory_channel[bytes](1000)
        self._take: Callable[[list[bytes]], None] | None = None
        self._waits = False

    @property
    def max_datagram_size(self) -> int:
        return 65535

    def deliver_to(self, take: Callable[[list[bytes]], None]) -> None:
        self._take = take

    def _deliver(self, datagram: bytes) -> None:
        if self._waits and self._take is not None:
            self._take([datagram])
        else:
            self._waits = False
            self._to_peer.send_nowait(datagram)

    def send_batch_nowait(self, datagrams: Sequence[bytes]) -> int:
        for datagram in datagrams[:2]:
            self.peer._deliver(datagram)
        return min(len(datagrams), 2)

    async def send_batch(self, datagrams: Sequence[bytes]) -> None:
        for datagram in datagrams:
            self.peer._deliver(datagram)
            await trio.lowlevel.checkpoint()

    async def receive_batch(self) -> list[bytes]:
        return [await self.receive()]

    async def receive(self) -> bytes:
        self._waits = not self._arriving.statistics().current_buffer_used
        return await self._arriving.receive()

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()


async def test_what_is_left_is_not_lost_by_an_answer_from_within_the_call(
    autojump_clock: MockClock,
) -> None:
    ends = Echoing(), Echoing()
    ends[0].peer, ends[1].peer = ends[1], ends[0]
    config = Config(sack_delay=0.0, path_mtu_discovery=False)
    async with open_association_pair(link=ends, config=config) as (client, server):
        near = client.open_channel("bulk")
        far = await server.listen().accept()
        for size in (5000, 20_000, 100_000):
            await wait_all_tasks_blocked()
            await near.send(bytes(size))
            assert await far.receive() == bytes(size)
            await near.wait_delivered()
        assert client.statistics().retransmitted_chunks == 0
        assert trio.current_time() == 0


async def test_a_program_that_sends_little_in_every_turn_is_not_held_up(
    autojump_clock: MockClock,
) -> None:
    """Each turn takes a millisecond, and a packet would be full after many hundreds."""
    async with open_association_pair() as (client, server):
        near = client.open_channel("ticks")
        far = await server.listen().accept()
        delays: list[float] = []

        async def receive() -> None:
            while len(delays) < 300:
                sent_at = float(await far.receive())
                delays.append(trio.current_time() - sent_at)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive)
            for _ in range(300):
                await near.send(str(trio.current_time()))
                autojump_clock.jump(0.001)
        assert max(delays) < 0.025
