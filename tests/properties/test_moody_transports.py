"""Many tasks send, receive and are cancelled over a transport that takes what it likes, when it likes.

Nothing is lost on the way and nothing takes time, so no time may pass: a task that is not woken when it
should be, or a packet that nobody sends, would wait for a timer.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import trio
from trio.lowlevel import checkpoint
from trio.testing import MockClock

from trio_sctp import Association, Config, DatagramTransport, Message, Outcome, Receipt
from trio_sctp.testing import open_association_pair

SEEDS = (*range(40), 460)
CHANNELS = 3
AT_ONCE = Config(sack_delay=0.0, path_mtu_discovery=False, a_rwnd=40_000)


class MoodyEnd(DatagramTransport):
    """Takes any number of packets at once, or after some turns; may deliver from within `send`."""

    def __init__(self, rng: random.Random) -> None:
        self.peer: MoodyEnd
        self._rng = rng
        self._arrived: list[bytes] = []
        self._arrival = trio.Event()
        self._take: Callable[[list[bytes]], None] | None = None
        self._waits = False

    @property
    def max_datagram_size(self) -> int:
        return 65535

    def deliver_to(self, take: Callable[[list[bytes]], None]) -> None:
        self._take = take

    def send_batch_nowait(self, datagrams: Sequence[bytes]) -> int:
        mood = self._rng.random()
        count = len(datagrams) if mood < 0.5 else self._rng.randint(0, len(datagrams))
        self.peer.deliver(list(datagrams[:count]))
        return count

    async def send_batch(self, datagrams: Sequence[bytes]) -> None:
        start = 0
        while start < len(datagrams):
            end = self._rng.randint(start, len(datagrams))
            self.peer.deliver(list(datagrams[start:end]))
            start = end
            for _ in range(self._rng.choice((0, 1, 1, 2, 20))):
                await checkpoint()

    def deliver(self, datagrams: list[bytes]) -> None:
        if not datagrams:
            return
        if self._take is not None and self._waits and self._rng.random() < 0.5:
            self._take(datagrams)
            return
        self._waits = False
        self._arrived += datagrams
        self._arrival.set()

    async def receive_batch(self) -> list[bytes]:
        self._waits = not self._arrived
        await self._arrival.wait()
        batch, self._arrived = self._arrived, []
        self._arrival = trio.Event()
        return batch

    async def receive(self) -> bytes:
        raise NotImplementedError

    async def aclose(self) -> None:
        await checkpoint()


def moody_link(rng: random.Random) -> tuple[MoodyEnd, MoodyEnd]:
    ends = MoodyEnd(rng), MoodyEnd(rng)
    ends[0].peer, ends[1].peer = ends[1], ends[0]
    return ends


class Talk:
    """What goes one way on one channel: several tasks at each end."""

    def __init__(self, near: Any, far: Any, rng: random.Random, *, plain: bool) -> None:
        self.near, self.far, self.rng, self.plain = near, far, rng, plain
        self.accepted: list[tuple[int, int]] = []
        self.received: list[tuple[int, int]] = []
        self.receipts: list[Receipt] = []
        self.sending = rng.randint(1, 4)
        self.all_sent = trio.Event()
        self.progress = trio.Event()
        self.receivers = rng.choice((1, 1, 2, 4))
        self.high = rng.choice((1, 2000, 20_000, 1 << 20))
        near.set_water_marks(high=self.high, low=rng.randint(0, self.high - 1))
        self.largest = rng.choice((10, 3000, 30_000))

    def run_in(self, nursery: trio.Nursery) -> None:
        for number in range(self.sending):
            nursery.start_soon(self._send, number)
        for _ in range(self.receivers):
            nursery.start_soon(self._receive)

    async def _cancel_soon(self, scope: trio.CancelScope) -> None:
        for _ in range(self.rng.randint(0, 6)):
            await checkpoint()
        scope.cancel()

    async def _try(self, wish: Callable[[], Any]) -> Any:
        """None if it was cancelled."""
        if self.rng.random() < 0.6:
            return await wish()
        result = None
        async with trio.open_nursery() as nursery:
            with trio.CancelScope() as scope:
                nursery.start_soon(self._cancel_soon, scope)
                result = await wish()
            nursery.cancel_scope.cancel()
        return result

    async def _send(self, sender: int) -> None:
        for number in range(self.rng.randint(1, 12)):
            receipt = Receipt()
            text = b"%d %d " % (sender, number)
            payload = text + bytes(self.rng.randint(0, self.largest))
            value: Any = Message(CHANNELS * 2 + 90, 77, payload) if self.plain else payload

            async def wish(value: Any = value, receipt: Receipt = receipt) -> bool:
                await self.near.send(value, receipt=receipt)
                return True

            if await self._try(wish):
                self.accepted.append((sender, number))
                self.receipts.append(receipt)
            for _ in range(self.rng.choice((0, 0, 0, 1, 5))):
                await checkpoint()
        self.sending -= 1
        if not self.sending:
            self.all_sent.set()

    async def _receive(self) -> None:
        while True:
            value = await self._try(self.far.receive)
            if value is not None:
                payload = value.payload if self.plain else value
                sender, number, _ = payload.split(b" ", 2)
                self.received.append((int(sender), int(number)))
                self.progress.set()
            for _ in range(self.rng.choice((0, 0, 0, 1, 5))):
                await checkpoint()

    async def finish(self) -> None:
        await self.all_sent.wait()
        await self.near.wait_delivered()
        while len(self.received) < len(self.accepted):
            self.progress = trio.Event()
            await self.progress.wait()

    def check(self) -> None:
        assert Counter(self.received) == Counter(self.accepted)
        if self.receivers == 1:
            for sender in {sender for sender, _ in self.accepted}:
                numbers = [number for who, number in self.received if who == sender]
                assert numbers == sorted(numbers)
        assert {receipt.outcome for receipt in self.receipts} <= {Outcome.DELIVERED}


async def talks(client: Association, server: Association, rng: random.Random) -> list[Talk]:
    made = []
    for _ in range(CHANNELS):
        near = client.open_channel()
        far = await server.listen().accept()
        made += [Talk(near, far, rng, plain=False), Talk(far, near, rng, plain=False)]
    made.append(Talk(client.messages, server.messages, rng, plain=True))
    made.append(Talk(server.messages, client.messages, rng, plain=True))
    return made


@pytest.fixture
def scheduling() -> Iterator[random.Random]:
    """The order in which trio runs tasks that could run, from a seed."""
    chance = trio._core._run._r
    before = chance.getstate()
    yield chance
    chance.setstate(before)


@pytest.mark.parametrize("seed", SEEDS)
async def test_nothing_is_lost_and_nobody_waits(
    seed: int, autojump_clock: MockClock, scheduling: random.Random
) -> None:
    rng = random.Random(seed)
    scheduling.seed(seed)
    async with open_association_pair(
        link=moody_link(rng), config=AT_ONCE, plain_messages=True, seed=seed
    ) as (client, server):
        began = trio.current_time()
        window = server.statistics().a_rwnd
        made = await talks(client, server, rng)
        with trio.fail_after(1000):
            async with trio.open_nursery() as nursery:
                for talk in made:
                    talk.run_in(nursery)
                for talk in made:
                    await talk.finish()
                nursery.cancel_scope.cancel()
        for talk in made:
            talk.check()
        assert trio.current_time() == began
        for end in (client, server):
            statistics = end.statistics()
            assert statistics.held_bytes == 0
            assert statistics.a_rwnd == window
            assert statistics.retransmitted_chunks == 0
