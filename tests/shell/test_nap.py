"""A sleep that others may end or move."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, assert_checkpoints, wait_all_tasks_blocked

from trio_sctp._nap import Nap


async def nap_of(nap: Nap, seconds: float) -> float:
    """How long it took."""
    start = trio.current_time()
    await nap.until(start + seconds)
    return trio.current_time() - start


async def test_it_ends_at_its_deadline_any_number_of_times(autojump_clock: MockClock) -> None:
    nap = Nap()
    for seconds in (1.0, 5.0):
        assert await nap_of(nap, seconds) == pytest.approx(seconds)
        assert not nap.is_taken


async def test_one_whose_time_has_come_is_a_checkpoint() -> None:
    nap = Nap()
    with assert_checkpoints():
        await nap.until(trio.current_time() - 1)


@pytest.mark.parametrize("later", [2.0, 10.0])
async def test_it_may_be_moved(later: float, autojump_clock: MockClock) -> None:
    nap = Nap()
    async with trio.open_nursery() as nursery:
        start = trio.current_time()
        nursery.start_soon(nap.until, start + 5)
        await trio.sleep(1)
        nap.move(start + later)
        assert nap.deadline == start + later
    assert trio.current_time() - start == pytest.approx(later)


async def test_it_may_be_ended_even_twice_at_once(autojump_clock: MockClock) -> None:
    nap = Nap()
    async with trio.open_nursery() as nursery:
        start = trio.current_time()
        nursery.start_soon(nap.until, start + 5)
        await trio.sleep(1)
        assert nap.is_taken
        nap.end()
        nap.end()
    assert trio.current_time() - start == pytest.approx(1.0)
    nap.end()  # nobody sleeps


async def test_a_cancellation_from_outside_is_one(autojump_clock: MockClock) -> None:
    nap = Nap()
    with trio.move_on_after(3) as scope:
        await nap.until(trio.current_time() + 5)
    assert scope.cancelled_caught
    assert not nap.is_taken
    assert await nap_of(nap, 1.0) == pytest.approx(1.0)


async def test_who_is_woken_and_then_cancelled_is_cancelled() -> None:
    nap = Nap()
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(nap.until, trio.current_time() + 3600)
            await wait_all_tasks_blocked()
            nap.end()
            scope.cancel()
    assert scope.cancelled_caught
