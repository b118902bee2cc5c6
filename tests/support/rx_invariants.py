"""What must hold of the receiving side after every step, computed the slow way from what it holds."""

from __future__ import annotations

from trio_sctp._core.config import Config
from trio_sctp._core.rx.data_receiver import DataReceiver
from trio_sctp._core.rx.data_tracker import MAX_TSNS_AHEAD, DataTracker
from trio_sctp._core.rx.interleaving import InterleavedReassemblyQueue
from trio_sctp._core.rx.ordering import (
    HELD_OVERHEAD,
    RELEASE_STEP,
    WAITING_OVERHEAD,
    MessageOrdering,
)
from trio_sctp._core.rx.reassembly_queue import ReassemblyQueue

__all__ = ["check_receiver", "weight_of"]


def weight_of(size: int) -> int:
    """What a message of ``size`` bytes is charged with until it was consumed."""
    return HELD_OVERHEAD + size


def check_receiver(receiver: DataReceiver, config: Config, unread: int, largest: int) -> None:
    """Everything that is held is charged, once, and there is no more of it than was configured.

    ``unread`` is the weight of what the program has taken and not consumed, ``largest`` the size of
    the largest packet.
    """
    queue = receiver._queue
    held = [message for heap in queue._waiting.values() for *_, message in heap]
    held += [message for message, *_ in [*queue._held_back, *(queue._returning or ())]]
    whole = sum(WAITING_OVERHEAD + weight_of(len(message.payload)) for message in held)
    assert queue.unfinished == whole + _partial_weight(queue)
    ready = sum(weight_of(len(message.payload)) for message in queue.ready)
    assert queue.unread == ready + unread
    assert queue.charge <= 4 * config.a_rwnd + 2 * config.max_message_size + 40 * largest
    assert 0 <= receiver.a_rwnd <= config.a_rwnd
    _check_tracker(receiver._tracker)
    assert queue.credit < RELEASE_STEP or not queue.is_releasing
    for stream_id, heap in queue._waiting.items():
        assert heap
        assert (heap[0][0] <= queue._next(stream_id)) is (stream_id in queue._due)
        numbers = [number for number, *_ in heap]
        assert all(numbers[(i - 1) // 2] <= numbers[i] for i in range(1, len(numbers)))


def _partial_weight(queue: MessageOrdering) -> int:
    if isinstance(queue, ReassemblyQueue):
        runs = list(queue._by_first.values())
        assert sorted(map(id, runs)) == sorted(map(id, queue._by_last.values()))
        for run in runs:
            assert queue._by_first[run.first_tsn] is queue._by_last[run.last_tsn] is run
            assert run.size == sum(map(len, run.payloads()))
            assert len(run.payloads()) == run.last_tsn - run.first_tsn + 1
            assert not (run.begins and run.ends), "a whole message that was not finished"
        return sum(run.charge for run in runs)
    assert isinstance(queue, InterleavedReassemblyQueue)
    partials = [p for siblings in queue._partial.values() for p in siblings.by_mid.values()]
    for partial in partials:
        assert partial.size == sum(map(len, [*partial.parts, *partial.early.values()]))
        assert not partial.whole
    for siblings in queue._partial.values():
        assert set(siblings.by_mid) <= set(siblings.mids)
        assert len(siblings.mids) <= 2 * len(siblings.by_mid) + 9
    weight = sum(partial.charge for partial in partials)
    assert queue._partial_charge == weight
    return weight


def _check_tracker(tracker: DataTracker) -> None:
    above = tracker.above
    assert len(above) <= MAX_TSNS_AHEAD + 1
    assert not above or (above[0] == 0 and above[-1] == 1)
    assert len(tracker.duplicates) <= 256
    bounds = tracker._bounds
    assert bounds == sorted(bounds)
    assert len(bounds) % 2 == 0
    for first, last in zip(bounds[::2], bounds[1::2], strict=True):
        if first > tracker.cumulative_tsn_ack:
            assert first - 1 not in tracker
            assert first in tracker
            assert last in tracker
            assert last == bounds[-1] or last + 1 not in tracker
