"""A SACK that changes much is processed in steps, as if the peer had sent several."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, strategies as st

from tests.support.association_pair import Pair, established_pair, packet_to
from tests.support.gap_ack_blocks import blocks_of, row_of
from tests.support.tx_invariants import check_invariants
from trio_sctp._core.events import AssociationClosed, CloseReason, PeerShutdown
from trio_sctp._core.tx.gap_ranges import Range, first_changes, ranges_of
from trio_sctp._core.tx.outstanding_data import SACK_STEP
from trio_sctp._core.tx.retransmission_queue import RetransmissionQueue
from trio_sctp._wire import chunks as c

MASK = 0xFFFFFFFF
COUNT = 4 * SACK_STEP
ROOM = 1 << 20


def sending_pair(count: int = COUNT, **changes: Any) -> tuple[Pair, RetransmissionQueue]:
    """A has so many messages of a byte outstanding."""
    pair = established_pair(path_mtu_discovery=False, **changes)
    tcb = pair.a.association.tcb
    assert tcb is not None
    queue = tcb.retransmission_queue
    queue.peer_rwnd = queue.congestion.cwnd = queue.congestion.ssthresh = 1 << 30
    for _ in range(count):
        pair.send(b"x")
    queue._burst_limit = 1 << 30
    pair.a.pull(pair.now)
    assert queue.outstanding_count == count
    pair.now += 0.05
    return pair, queue


def sack(queue: RetransmissionQueue, ahead: int, *blocks: tuple[int, int]) -> c.Sack:
    """Up to so many TSNs beyond what is acknowledged now, and what lies above."""
    return c.Sack((queue.cumulative_tsn_ack + ahead) & MASK, ROOM, row_of(blocks))


def step(pair: Pair) -> bool:
    """The time-out that is due at once, if there is one."""
    if pair.a.association.next_timeout() > pair.now:
        return False
    pair.a.expire(pair.now)
    return True


def tsns_sent(packets: list[Any]) -> list[int]:
    return [chunk.tsn for p in packets for chunk in p.chunks if isinstance(chunk, c.Data)]


def test_a_cumulative_tsn_ack_moves_in_steps() -> None:
    pair, queue = sending_pair()
    assert pair.a.receive(sack(queue, COUNT), now=pair.now) == []
    assert queue.outstanding_count == COUNT - SACK_STEP
    left = [queue.outstanding_count]
    while step(pair):
        check_invariants(queue)
        left.append(queue.outstanding_count)
    assert left == [COUNT - n * SACK_STEP for n in range(1, 5)]
    assert pair.a.association.undelivered_messages == queue.flight_size == 0
    assert not queue.t3_rtx.running


@pytest.mark.parametrize("loss_recovery", ["rack", "rfc9260"])
def test_gap_ack_blocks_count_in_steps(loss_recovery: str) -> None:
    pair, queue = sending_pair(loss_recovery=loss_recovery)
    first = (queue.cumulative_tsn_ack + 1) & MASK
    report = sack(queue, 0, (2, 700), (702, COUNT))
    sent = pair.a.receive(report, now=pair.now)
    assert queue._data.gap_bounds[-1] == queue.cumulative_tsn_ack + 1 + SACK_STEP
    while step(pair):
        check_invariants(queue)
        sent += pair.a.pull(pair.now)
    assert sent == [], "it is one miss indication, and not late for long"
    assert [b - a + 1 for a, b in ranges_of(queue._data.gap_bounds)] == [699, COUNT - 701]
    for _ in range(3):
        pair.now += 0.05
        sent += pair.a.receive(sack(queue, 0, *blocks_of(report)), now=pair.now)
        while step(pair):
            sent += pair.a.pull(pair.now)
    assert set(tsns_sent(sent)) <= {first, first + 700 & MASK}, "nothing that has arrived"
    # and all of it is taken back, a step at a time; RACK sends it again
    pair.a.receive(sack(queue, 0), now=pair.now)
    taken_back = [COUNT - 2 - sum(b - a + 1 for a, b in ranges_of(queue._data.gap_bounds))]
    while step(pair):
        check_invariants(queue)
        taken_back.append(COUNT - 2 - sum(b - a + 1 for a, b in ranges_of(queue._data.gap_bounds)))
    assert taken_back[0] == SACK_STEP
    assert taken_back[-1] == COUNT - 2


@pytest.mark.parametrize("loss_recovery", ["rack", "rfc9260"])
def test_losses_are_found_in_steps(loss_recovery: str) -> None:
    pair, queue = sending_pair(loss_recovery=loss_recovery)
    for _ in range(3):  # they are sent a while later and arrive before all the others
        pair.send(b"late")
        queue._burst_limit = 1 << 30
        pair.a.pull(pair.now)
    queue.congestion.cwnd = 4000
    pair.now += 0.01
    found = []
    for number in range(1, 4):
        pair.a.receive(sack(queue, 0, (COUNT + 1, COUNT + number)), now=pair.now)
        found.append(queue._data.marked_count)
        while step(pair):
            check_invariants(queue)
            found.append(queue._data.marked_count)
    assert all(b - a <= SACK_STEP for a, b in zip([0, *found], found, strict=False))
    assert queue._data.marked_count > 3 * SACK_STEP, "all but what has been sent again"


def test_a_later_sack_takes_the_place_of_the_rest_and_an_earlier_one_does_not() -> None:
    pair, queue = sending_pair()
    older, newer = sack(queue, 3 * SACK_STEP), sack(queue, COUNT)
    oldest = sack(queue, 2 * SACK_STEP, (2 * SACK_STEP - 1, 2 * SACK_STEP))
    pair.a.receive(older, now=pair.now)
    pair.a.receive(oldest, now=pair.now)
    assert queue.outstanding_count == 3 * SACK_STEP, "it came too late"
    pair.a.receive(newer, now=pair.now)
    assert queue.outstanding_count == 2 * SACK_STEP
    while step(pair):
        check_invariants(queue)
    assert queue.outstanding_count == 0


@pytest.mark.parametrize("loss_recovery", ["rack", "rfc9260"])
def test_no_timer_acts_on_what_the_rest_acknowledges(loss_recovery: str) -> None:
    """A program that keeps the timers waiting: what has come meanwhile is not what they are for."""
    pair, queue = sending_pair(loss_recovery=loss_recovery)
    cwnd = queue.congestion.cwnd
    sent = pair.a.receive(sack(queue, COUNT), now=pair.now)
    while queue.outstanding_count:
        pair.now += 5
        pair.a.expire(pair.now)
        sent += pair.a.pull(pair.now)
    assert sent == []
    assert queue.congestion.cwnd >= cwnd


def test_a_shutdown_acknowledges_in_steps() -> None:
    pair, queue = sending_pair()
    shutdown = c.Shutdown(queue.cumulative_tsn_ack & MASK)
    pair.a.receive(shutdown, now=pair.now)
    assert pair.a.take(PeerShutdown)
    pair.a.receive(c.Shutdown((queue.cumulative_tsn_ack + COUNT) & MASK), now=pair.now)
    assert queue.outstanding_count == COUNT - SACK_STEP
    while step(pair):
        check_invariants(queue)
    assert queue.outstanding_count == 0
    assert pair.a.association.ending.t2_shutdown.running, "the next state is entered then"


def test_the_end_waits_for_no_step() -> None:
    """What the peer has acknowledged before it goes is delivered."""
    pair, queue = sending_pair()
    packets = [
        packet_to(pair.a.association, sack(queue, COUNT - 1)),
        packet_to(pair.a.association, c.Abort(())),
    ]
    pair.a.give(packets, pair.now)
    assert pair.a.take(AssociationClosed) == [AssociationClosed(CloseReason.PEER_ABORT, (), 1)]


@pytest.mark.parametrize("end", ["abort", "shutdown"])
def test_a_later_sack_that_a_message_came_with_takes_the_place_of_the_rest(end: str) -> None:
    """That is the packet of header prediction; an end that waited for the rest would never come."""
    count = SACK_STEP + 100
    pair, queue = sending_pair(count)
    assert pair.z.association.tcb is not None
    tsn = pair.z.association.tcb.retransmission_queue.next_tsn & MASK
    message = c.Data(tsn, 0, 0, 51, b"an answer")
    packets = [
        packet_to(pair.a.association, sack(queue, count - 1)),
        packet_to(pair.a.association, sack(queue, count), message),
    ]
    pair.a.give(packets, pair.now)
    assert queue.outstanding_count == 0
    while step(pair):
        check_invariants(queue)
    if end == "abort":
        pair.a.receive(c.Abort(()), now=pair.now)
    else:
        pair.a.receive(c.Shutdown(queue.cumulative_tsn_ack & MASK), now=pair.now)
        pair.a.receive(c.ShutdownComplete(), now=pair.now)
    assert pair.a.take(AssociationClosed)


def test_what_is_awaited_is_no_more_than_a_step() -> None:
    """Header prediction takes an acknowledgement of all there is at once."""
    for count in (SACK_STEP, SACK_STEP + 1):
        _, queue = sending_pair(count)
        assert queue.awaits((queue.next_tsn - 1) & MASK) is (count == SACK_STEP)


ranges = st.lists(st.integers(1, 60), max_size=12, unique=True).map(
    lambda edges: [
        (a, b) for a, b in zip(sorted(edges)[::2], sorted(edges)[1::2], strict=False) if a < b
    ]
)


def members(some: list[Range]) -> set[int]:
    return {tsn for first, last in some for tsn in range(first, last + 1)}


@given(ranges, ranges, st.integers(1, 10))
def test_steps_lead_from_the_old_ranges_to_the_new(
    old: list[Range], new: list[Range], most: int
) -> None:
    now = joined(old)
    new = joined(new)
    for _ in range(100):
        found = first_changes(bounds_of(now), bounds_of(new), most)
        left = members(now) ^ members(new)
        if found is None:
            assert len(left) <= most
            return
        part = ranges_of(found)
        assert part == joined(part), "sorted, and none touches the next"
        changed = members(part) ^ members(now)
        assert len(changed) == most
        assert changed == set(sorted(left)[:most])
        now = part
    raise AssertionError("it does not end")


def bounds_of(some: list[Range]) -> list[int]:
    return [bound for run in some for bound in run]


def joined(some: list[Range]) -> list[Range]:
    result: list[Range] = []
    for first, last in sorted(some):
        if result and result[-1][1] + 1 >= first:
            result[-1] = result[-1][0], max(last, result[-1][1])
        else:
            result.append((first, last))
    return result
