"""The receiving half of a transport on a shared socket: for a reader who waits, and one who does not."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from trio_sctp._mailbox import BATCHES_KEPT, Mailbox


class Box(Mailbox):
    @property
    def max_datagram_size(self) -> int:
        return 1200

    async def send_batch(self, datagrams: Sequence[bytes]) -> None:
        raise AssertionError


async def test_what_came_before_the_reader_is_one_batch() -> None:
    box = Box()
    box.deliver([b"1"])
    box.deliver([b"2", b"3"])
    assert await box.receive_batch() == [b"1", b"2", b"3"]
    for _ in range(BATCHES_KEPT + 2):
        box.deliver([b"x", b"y"])
    assert box.dropped == 4


async def test_a_reader_who_waits_is_not_woken(autojump_clock: MockClock) -> None:
    box, taken, received = Box(), list[bytes](), list[bytes]()

    def take_up_to_x(datagrams: list[bytes]) -> list[bytes]:
        count = datagrams.index(b"x") if b"x" in datagrams else len(datagrams)
        taken.extend(datagrams[:count])
        return datagrams[count:]

    async def read() -> None:
        while True:
            received.extend(await box.receive_batch())

    box.read_at_once = take_up_to_x
    box.deliver([b"0"])  # nobody waits yet
    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        await wait_all_tasks_blocked()
        box.deliver([b"1"])
        box.deliver([b"2"])
        assert (taken, received) == ([b"1", b"2"], [b"0"])
        # From the first that is left on, everything takes the same way: nothing is overtaken.
        box.deliver([b"3", b"x", b"4"])
        box.deliver([b"5"])
        assert taken == [b"1", b"2", b"3"]
        await wait_all_tasks_blocked()
        assert received == [b"0", b"x", b"4", b"5"]
        box.deliver([b"6"])
        assert taken[-1] == b"6"
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("closed_here", [True, False])
async def test_nothing_is_read_after_the_end(closed_here: bool, autojump_clock: MockClock) -> None:
    box, taken = Box(), list[bytes]()

    def take(datagrams: list[bytes]) -> list[bytes]:
        taken.extend(datagrams)
        return []

    async def read() -> None:
        with pytest.raises(trio.ClosedResourceError if closed_here else trio.EndOfChannel):
            await box.receive_batch()

    box.read_at_once = take
    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        await wait_all_tasks_blocked()
        if closed_here:
            await box.aclose()
        else:
            box.end(trio.EndOfChannel)
        box.deliver([b"late"])
    assert taken == []
