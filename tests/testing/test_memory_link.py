"""Two ends of an emulated network under trio, in virtual time."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, assert_checkpoints, wait_all_tasks_blocked

from trio_sctp.testing import BurstLoss, LinkEnd, memory_link


async def test_a_round_trip_takes_twice_the_delay(autojump_clock: MockClock) -> None:
    end_a, end_b = memory_link(delay=0.05)
    start = trio.current_time()

    async def echo() -> None:
        await end_b.send_batch(await end_b.receive_batch())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(echo)
        await end_a.send(b"hello")
        assert await end_a.receive() == b"hello"
    assert trio.current_time() - start == pytest.approx(0.1)


async def test_a_batch_arrives_as_a_batch(autojump_clock: MockClock) -> None:
    end_a, end_b = memory_link(delay=0.05)
    await end_a.send_batch([b"1", b"2", b"3"])
    assert await end_b.receive() == b"1"
    assert await end_b.receive_batch() == [b"2", b"3"]


async def test_a_full_batch_leaves_the_rest_for_the_next() -> None:
    end_a, end_b = memory_link()
    sent = [b"%d" % number for number in range(100)]
    await end_a.send_batch(sent)
    assert await end_b.receive_batch() == sent[:64]
    assert await end_b.receive_batch() == sent[64:]


async def test_each_direction_may_have_its_own_conditions(autojump_clock: MockClock) -> None:
    # A -> 0.1 s -> B
    # A <- 0.3 s <- B
    end_a, end_b = memory_link(delay=0.1, back={"delay": 0.3, "mtu": 100})
    start = trio.current_time()
    await end_a.send(bytes(200))
    await end_b.receive()
    assert trio.current_time() - start == pytest.approx(0.1)
    await end_b.send_batch([bytes(200), b"short"])
    assert await end_a.receive() == b"short"
    assert trio.current_time() - start == pytest.approx(0.4)
    assert end_a.incoming is end_b.outgoing
    assert end_a.outgoing is end_b.incoming
    assert end_a.incoming.statistics.too_long == 1


async def test_a_waiting_receiver_gets_what_arrives_sooner(autojump_clock: MockClock) -> None:
    # At 0 s  A -> held back, arrives at 15 s
    # At 1 s  A -> overtakes, arrives at 11 s
    end_a, end_b = memory_link(delay=10.0, reorder=1.0, reorder_delay=5.0)
    start = trio.current_time()
    received: list[tuple[float, bytes]] = []

    async def receive() -> None:
        for _ in range(3):
            datagram = await end_b.receive()
            received.append((round(trio.current_time() - start, 6), datagram))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(receive)
        await end_a.send(b"held back")
        await trio.sleep(1.0)
        end_a.outgoing.conditions.reorder = 0.0
        await end_a.send(b"overtakes")
        await trio.sleep(1.0)
        await end_a.send(b"not the next")
    assert received == [(11.0, b"overtakes"), (12.0, b"not the next"), (15.0, b"held back")]


async def test_waiting_needs_no_polling(autojump_clock: MockClock) -> None:
    end_a, end_b = memory_link(delay=3600.0)
    await end_a.send(b"an hour later")
    steps = 0

    class Count(trio.abc.Instrument):
        def before_task_step(self, task: trio.lowlevel.Task) -> None:
            nonlocal steps
            steps += 1

    trio.lowlevel.add_instrument(Count())
    await end_b.receive()
    assert steps < 20


async def test_a_link_may_be_cut_while_in_use(autojump_clock: MockClock) -> None:
    end_a, end_b = memory_link(delay=0.1)
    end_a.outgoing.conditions.loss = 1.0
    await end_a.send(b"lost")
    with trio.move_on_after(100) as scope:
        await end_b.receive()
    assert scope.cancelled_caught
    end_a.outgoing.conditions.loss = 0.0
    await end_a.send(b"arrives")
    assert await end_b.receive() == b"arrives"
    assert end_a.outgoing.statistics.lost == 1


async def test_the_same_seed_gives_the_same_network(autojump_clock: MockClock) -> None:
    async def run(seed: int) -> list[tuple[float, bytes]]:
        end_a, end_b = memory_link(
            delay=0.05,
            jitter=0.02,
            loss=0.1,
            burst_loss=BurstLoss(0.01, 0.5),
            reorder=0.1,
            duplicate=0.1,
            corrupt=0.1,
            rate=100_000.0,
            queue=5_000,
            seed=seed,
        )
        start = trio.current_time()
        received: list[tuple[float, bytes]] = []

        async def receive() -> None:
            async for datagram in end_b:
                now = trio.current_time() - start
                received.append((round(now, 6), datagram))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive)
            for number in range(300):
                await end_a.send_batch([number.to_bytes(2, "big") * 100] * 2)
                await trio.sleep(0.004)
            await end_a.aclose()
        return received

    first = await run(5)
    assert len(first) > 300
    assert await run(5) == first
    assert await run(6) != first


async def test_the_two_directions_differ_in_what_chance_does() -> None:
    end_a, end_b = memory_link(loss=0.5)
    for end in (end_a, end_b):
        await end.send_batch([b"%d" % number for number in range(50)])
    assert await end_a.receive_batch() != await end_b.receive_batch()


async def test_works_with_the_real_clock() -> None:
    end_a, end_b = memory_link(delay=0.001)
    await end_a.send(b"hello")
    assert await end_b.receive() == b"hello"


# ---- Closing


async def test_the_end_comes_after_what_was_under_way(autojump_clock: MockClock) -> None:
    end_a, end_b = memory_link(delay=1.0)
    await end_a.send_batch([b"last", b"words"])
    await end_a.aclose()
    assert await end_b.receive_batch() == [b"last", b"words"]
    for receive in (end_b.receive, end_b.receive_batch):
        with pytest.raises(trio.EndOfChannel):
            await receive()
    await end_b.send(b"goes nowhere")


async def test_closing_wakes_the_receiver_at_the_other_end(autojump_clock: MockClock) -> None:
    for words in ([], [b"last words"]):
        end_a, end_b = memory_link(delay=1.0)
        received: list[bytes] = []

        async def receive(end: LinkEnd = end_b, received: list[bytes] = received) -> None:
            received += [datagram async for datagram in end]

        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive)
            await wait_all_tasks_blocked()
            await end_a.send_batch(words)
            await end_a.aclose()
        assert received == words


async def test_a_silent_close_is_not_seen(autojump_clock: MockClock) -> None:
    end_a, end_b = memory_link(silent_close=True)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(end_b.receive)
        await wait_all_tasks_blocked()
        await end_a.aclose()
        await trio.sleep(1000)
        nursery.cancel_scope.cancel()
    await end_b.send(b"goes nowhere")
    with trio.move_on_after(1000) as scope:
        await end_b.receive()
    assert scope.cancelled_caught


async def test_close_wakes_an_own_receiver() -> None:
    end_a, _ = memory_link()

    async def receive() -> None:
        with pytest.raises(trio.ClosedResourceError):
            await end_a.receive()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(receive)
        await wait_all_tasks_blocked()
        await end_a.aclose()


async def test_a_closed_end_says_so() -> None:
    end_a, end_b = memory_link()
    await end_b.send_batch([b"read", b"unread"])
    assert await end_a.receive() == b"read"
    await end_a.aclose()
    await end_a.aclose()
    for receive in (end_a.receive, end_a.receive_batch):
        with pytest.raises(trio.ClosedResourceError):
            await receive()
    with pytest.raises(trio.ClosedResourceError):
        await end_a.send(b"x")
    with pytest.raises(trio.ClosedResourceError):
        end_a.send_batch_nowait([b"x"])
    assert repr(end_a) == "<LinkEnd 'A' closed>"
    assert repr(end_b) == "<LinkEnd 'B'>"


# ---- Cancelling, two tasks, arguments


async def test_a_cancelled_call_has_no_effect(autojump_clock: MockClock) -> None:
    end_a, end_b = memory_link(delay=1.0)
    with trio.CancelScope() as scope:
        scope.cancel()
        await end_a.send(b"never sent")
    assert scope.cancelled_caught
    await end_a.send_batch([b"1", b"2"])
    with trio.move_on_after(0.5) as scope:
        await end_b.receive()
    assert scope.cancelled_caught
    await trio.sleep(1)
    assert await end_b.receive() == b"1"
    for receive in (end_b.receive, end_b.receive_batch):
        with trio.CancelScope() as scope:
            scope.cancel()
            await receive()
        assert scope.cancelled_caught
    assert await end_b.receive() == b"2"


async def test_two_tasks_may_not_receive_at_once() -> None:
    end_a, end_b = memory_link()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(end_b.receive)
        await wait_all_tasks_blocked()
        with pytest.raises(trio.BusyResourceError):
            await end_b.receive_batch()
        await end_a.send(b"enough")


async def test_every_method_is_a_checkpoint() -> None:
    end_a, end_b = memory_link()
    with assert_checkpoints():
        await end_a.send_batch([])
    with assert_checkpoints():
        await end_a.send_batch([b"1", b"2", b"3"])
    with assert_checkpoints():
        await end_b.receive()
    with assert_checkpoints():
        await end_b.receive()
    with assert_checkpoints():
        await end_b.receive_batch()
    with assert_checkpoints():
        await end_b.aclose()


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match=r"loss is 1\.5: it must be from 0\.0 to 1\.0"):
        memory_link(loss=1.5)
    with pytest.raises(ValueError, match=r"delay is -1"):
        memory_link(back={"delay": -1})
    with pytest.raises(TypeError, match="colour"):
        memory_link(back={"colour": "blue"})
    assert memory_link()[0].max_datagram_size == 65535
