"""DataTracker: cumulative TSN ack, gaps and duplicates (RFC 9260 §3.3.4, §6.2, §6.7)."""

from __future__ import annotations

from itertools import pairwise, permutations

import pytest
from hypothesis import given, settings, strategies as st

from trio_sctp._core.rx.data_tracker import MAX_TSNS_AHEAD, DataTracker

WRAP = 2**32


def blocks_of(tracker: DataTracker, max_blocks: int = 1000) -> list[tuple[int, int]]:
    offsets = tracker.gap_ack_blocks(max_blocks)
    return list(zip(offsets[::2], offsets[1::2], strict=True))


def test_before_any_data_the_cumulative_tsn_ack_is_one_below_the_initial_tsn() -> None:
    # RFC 9260 §3.3.4
    assert DataTracker(1).cumulative_tsn_ack == 0
    assert DataTracker(0).cumulative_tsn_ack & 0xFFFFFFFF == WRAP - 1


def test_the_example_of_the_rfc() -> None:
    # RFC 9260 §3.3.4: 10, 11, 12, 14, 15 and 17 have arrived
    tracker = DataTracker(10)
    for tsn in (10, 11, 12, 14, 15, 17):
        assert tracker.observe(tsn)
    assert tracker.cumulative_tsn_ack == 12
    assert blocks_of(tracker) == [(2, 3), (5, 5)]
    assert tracker.highest_tsn == 17


def test_in_order_nothing_is_kept() -> None:
    tracker = DataTracker(WRAP - 3)
    for tsn in range(WRAP - 3, WRAP + 3):
        assert tracker.observe(tsn)
    assert tracker.cumulative_tsn_ack == WRAP + 2
    assert not tracker.above


def test_filling_a_gap_joins_blocks_and_moves_the_cumulative_tsn_ack() -> None:
    tracker = DataTracker(1)
    for tsn in (3, 5, 4):
        tracker.observe(tsn)
    assert blocks_of(tracker) == [(3, 5)]
    tracker.observe(1)
    assert (tracker.cumulative_tsn_ack, blocks_of(tracker)) == (1, [(2, 4)])
    tracker.observe(2)
    assert (tracker.cumulative_tsn_ack, blocks_of(tracker)) == (5, [])


def test_duplicates_are_listed_as_often_as_they_came_and_only_once() -> None:
    # RFC 9260 §3.3.4: 19 three times is listed twice; the count starts anew with each SACK
    tracker = DataTracker(19)
    assert [tracker.observe(19) for _ in range(3)] == [True, False, False]
    tracker.observe(22)
    assert not tracker.observe(22)
    assert tracker.take_duplicates(10) == [19, 19, 22]
    assert tracker.take_duplicates(10) == []


def test_duplicates_are_reported_as_on_the_wire() -> None:
    tracker = DataTracker(WRAP - 1)
    tracker.observe(WRAP - 1)
    tracker.observe(WRAP)
    tracker.observe(WRAP)
    assert tracker.take_duplicates(10) == [0]


def test_the_list_of_duplicates_is_bounded() -> None:
    tracker = DataTracker(1)
    tracker.observe(1)
    for _ in range(10_000):
        tracker.observe(1)
    assert len(tracker.take_duplicates(100_000)) < 1000


def test_gap_blocks_are_the_lowest_ones_and_no_more_than_asked_for() -> None:
    # RFC 9260 §6.7: from the lowest to the highest TSNs within the size limit
    tracker = DataTracker(0)
    for tsn in range(1, 1000, 2):
        tracker.observe(tsn)
    assert blocks_of(tracker, 3) == [(2, 2), (4, 4), (6, 6)]
    assert blocks_of(tracker, 0) == []


def test_offsets_beyond_sixteen_bits_are_not_reported() -> None:
    # RFC 9260 §3.3.4: the offsets of Gap Ack Blocks have 16 bits
    tracker = DataTracker(1)
    for offset in (65534, 65535, 65536, 65537, 70000):
        tracker.observe(offset)
    assert blocks_of(tracker) == [(65534, 65535)]
    assert tracker.highest_tsn == 70000


def test_what_was_out_of_reach_is_reported_once_the_cumulative_tsn_ack_moved() -> None:
    tracker = DataTracker(1)
    tracker.observe(70000)
    assert blocks_of(tracker) == []
    for tsn in range(1, 10_001):
        tracker.observe(tsn)
    assert blocks_of(tracker) == [(60000, 60000)]


def test_forward_tsn_moves_on_over_what_has_arrived() -> None:
    # RFC 3758 §3.6, its example: 103 is given up; 104 and 105 are there, 106 is missing
    tracker = DataTracker(103)
    for tsn in (104, 105, 107):
        tracker.observe(tsn)
    assert tracker.forward(103)
    assert (tracker.cumulative_tsn_ack, blocks_of(tracker)) == (105, [(2, 2)])


@pytest.mark.parametrize("new", [90, 99])
def test_an_old_forward_tsn_changes_nothing(new: int) -> None:
    # RFC 3758 §3.6: behind or at the cumulative TSN point it is out of date
    tracker = DataTracker(100)
    tracker.observe(101)
    assert not tracker.forward(new)
    assert (tracker.cumulative_tsn_ack, blocks_of(tracker)) == (99, [(2, 2)])


def test_a_tsn_that_was_given_up_is_a_duplicate_when_it_comes_after_all() -> None:
    # RFC 3758 §3.6
    tracker = DataTracker(100)
    tracker.forward(105)
    assert not tracker.observe(103)
    assert tracker.take_duplicates(10) == [103]


def test_forward_tsn_far_beyond_all_that_has_arrived() -> None:
    tracker = DataTracker(100)
    tracker.observe(200)
    assert tracker.forward(2**31)
    assert tracker.cumulative_tsn_ack == tracker.highest_tsn == 2**31
    assert not tracker.above


def test_memory_is_bounded_by_the_farthest_tsn_that_is_taken() -> None:
    tracker = DataTracker(1)
    tracker.observe(MAX_TSNS_AHEAD)
    for tsn in range(2, 5000, 2):
        tracker.observe(tsn)
    assert len(tracker.above) == MAX_TSNS_AHEAD


class NaiveTracker:
    """The same by a set: slow and plain."""

    def __init__(self, initial_tsn: int) -> None:
        self.cumulative = initial_tsn - 1
        self.received: set[int] = set()

    def observe(self, tsn: int) -> bool:
        if tsn <= self.cumulative or tsn in self.received:
            return False
        self.received.add(tsn)
        self.forward(self.cumulative)
        return True

    def forward(self, new: int) -> None:
        self.cumulative = max(new, self.cumulative)
        while self.cumulative + 1 in self.received:
            self.cumulative += 1
        self.received = {tsn for tsn in self.received if tsn > self.cumulative}

    def acknowledged(self) -> set[int]:
        return {tsn for tsn in self.received if tsn - self.cumulative <= 0xFFFF}


steps = st.lists(
    st.tuples(st.sampled_from("oooooof"), st.integers(-5, 60) | st.integers(65500, 65600)),
    max_size=80,
)


@given(steps, st.sampled_from([0, 5, WRAP - 20]))
@settings(max_examples=300, deadline=None)
def test_gaps_are_those_of_a_naive_model(todo: list[tuple[str, int]], initial_tsn: int) -> None:
    tracker, model = DataTracker(initial_tsn), NaiveTracker(initial_tsn)
    for what, ahead in todo:
        tsn = model.cumulative + ahead
        if what == "o":
            assert tracker.observe(tsn) == model.observe(tsn)
        elif ahead < 100:
            assert tracker.forward(tsn) == (ahead > 0)
            model.forward(tsn)
        assert tracker.cumulative_tsn_ack == model.cumulative
        assert tracker.highest_tsn == max(model.received, default=model.cumulative)
        blocks = blocks_of(tracker)
        offsets = [offset for start, end in blocks for offset in range(start, end + 1)]
        assert {tracker.cumulative_tsn_ack + offset for offset in offsets} == model.acknowledged()
        # RFC 9260 §3.3.4: blocks are isolated, and here in ascending order
        assert all(a[1] + 1 < b[0] for a, b in pairwise(blocks))
        assert all(tsn in tracker for tsn in model.received)
        assert model.cumulative + 1 not in tracker


@given(
    st.lists(
        st.tuples(st.sampled_from("oooofs"), st.integers(0, 40)) | st.just(("s", 1000)),
        max_size=120,
    )
)
@settings(max_examples=300, deadline=None)
def test_sacks_now_and_then_tell_the_same_as_one_that_knows_of_none_before(
    todo: list[tuple[str, int]],
) -> None:
    tracker = DataTracker(1)
    for what, ahead in todo:
        if what == "o":
            tracker.observe(tracker.cumulative_tsn_ack + ahead)
        elif what == "f":
            tracker.forward(tracker.cumulative_tsn_ack + ahead % 5)
        else:
            assert blocks_of(tracker, ahead) == blocks_of(anew(tracker), ahead)


@pytest.mark.parametrize("most", [1, 2, 1000])
def test_a_sack_after_each_of_six_tsns_tells_all_of_them_in_whatever_order_they_come(
    most: int,
) -> None:
    # RFC 9260 §3.3.4: something is missing between any two blocks
    for arrivals in permutations(range(2, 8)):
        tracker = DataTracker(1)
        for tsn in arrivals:
            tracker.observe(tsn)
            assert blocks_of(tracker, most) == blocks_of(anew(tracker), most)


def anew(tracker: DataTracker) -> DataTracker:
    """One where all that has arrived has done so since the last SACK."""
    other = DataTracker(tracker.cumulative_tsn_ack + 1)
    other.above += tracker.above
    return other


def test_what_is_kept_of_sacks_is_bounded_and_the_rest_is_found_again() -> None:
    tracker = DataTracker(0)
    for tsn in range(4, 9000, 4):
        tracker.observe(tsn)
    assert blocks_of(tracker, 2000) == [(tsn + 1, tsn + 1) for tsn in range(4, 8004, 4)]
    assert len(tracker._bounds) == 1024
    for tsn in range(2, 9000, 4):
        tracker.observe(tsn)
        assert len(tracker._bounds) <= 1024
    for most in (2000, 3, 2000):
        assert blocks_of(tracker, most) == blocks_of(anew(tracker), most)
    assert tracker.forward(9001)
    assert not tracker._bounds


def test_the_end_of_what_a_sack_can_tell_moves_on() -> None:
    tracker = DataTracker(1)
    for tsn in (2, *range(65530, 65540)):
        tracker.observe(tsn)
    assert blocks_of(tracker) == [(2, 2), (65530, 65535)]
    for tsn in (65540, 65542):
        tracker.observe(tsn)
        assert blocks_of(tracker) == [(2, 2), (65530, 65535)]
    tracker.observe(1)
    assert blocks_of(tracker) == [(65528, 65535)]
    tracker.observe(3)
    assert blocks_of(tracker) == [(65527, 65535)]
