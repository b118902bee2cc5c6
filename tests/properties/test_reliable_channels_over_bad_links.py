"""Whatever a network does short of cutting the line, reliable channels keep their promise.

Random workloads on channels of both kinds, over links that lose up to 30 % in each direction, reorder,
duplicate and damage packets: every message arrives once, intact and, on an ordered channel, in order;
progress is made within a bound of virtual time; and closing always ends.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from hypothesis import given, settings, strategies as st

from tests.support.choices import choices
from tests.support.emulated_pair import BOUND, PATIENT, EmulatedEnd, EmulatedPair
from trio_sctp._core.association import State
from trio_sctp._core.config import Config
from trio_sctp._core.events import CloseReason
from trio_sctp.testing._emulated_link import LinkConditions


@dataclass(frozen=True)
class Workload:
    """What is sent on one channel, by whom."""

    by_caller: bool
    ordered: bool
    messages: list[bytes | str]


conditions = st.builds(
    LinkConditions,
    delay=st.sampled_from([0.0, 0.001, 0.03, 0.3]),
    jitter=st.sampled_from([0.0, 0.01]),
    rate=st.sampled_from([None, None, 20_000.0, 1_000_000.0]),
    queue=st.just(64_000),
    loss=st.sampled_from([0.0, 0.01, 0.05, 0.3]),
    reorder=st.sampled_from([0.0, 0.1, 0.5]),
    reorder_delay=st.sampled_from([0.001, 0.05]),
    duplicate=st.sampled_from([0.0, 0.1]),
    corrupt=st.sampled_from([0.0, 0.05]),
)
message = st.one_of(
    st.binary(max_size=20),
    st.text(max_size=20),
    st.integers(0, 9000).map(lambda size: bytes([size & 0xFF]) * size),
)
workload = st.builds(
    Workload, by_caller=st.booleans(), ordered=st.booleans(), messages=st.lists(message, max_size=8)
)


def connected_pair(link: LinkConditions, seed: int, config: Config = PATIENT) -> EmulatedPair:
    pair = EmulatedPair(link, config, seed=seed)
    pair.a.association.connect(now=0.0)
    pair.run_until(
        lambda: all(end.association.state is State.ESTABLISHED for end in pair.ends), within=BOUND
    )
    return pair


@settings(max_examples=1500, deadline=None)
@given(conditions, st.lists(workload, min_size=1, max_size=5), choices, st.integers(0, 2**16))
def test_everything_arrives_once_intact_and_in_order(
    link: LinkConditions, workloads: list[Workload], choice: dict[str, Any], seed: int
) -> None:
    pair = connected_pair(link, seed, PATIENT.replace(**choice))
    expected: list[tuple[EmulatedEnd, int, Workload]] = []
    for work in workloads:
        sender, receiver = (pair.a, pair.z) if work.by_caller else (pair.z, pair.a)
        stream_id = sender.channels.open(ordered=work.ordered, now=pair.now)
        expected.append((receiver, stream_id, work))
        for value in work.messages:
            sender.channels.send(stream_id, value, now=pair.now)

    def all_delivered() -> bool:
        return all(end.association.undelivered_messages == 0 for end in pair.ends) and not any(
            len(end.link) for end in pair.ends
        )

    pair.run_until(all_delivered, within=BOUND)
    for receiver, stream_id, work in expected:
        received = receiver.received.get(stream_id, [])
        if work.ordered:
            assert received == work.messages
        else:
            assert Counter(received) == Counter(work.messages)

    # Closing ends, gracefully at both ends, whoever begins.
    pair.a.association.shutdown(now=pair.now)
    pair.run_until(lambda: all(end.association.ended for end in pair.ends), within=BOUND)
    assert [end.ending and end.ending.reason for end in pair.ends] == [CloseReason.SHUTDOWN] * 2
    assert [end.association.next_timeout() for end in pair.ends] == [float("inf")] * 2


@settings(max_examples=500, deadline=None)
@given(conditions, st.integers(1, 8), choices, st.integers(0, 2**16))
def test_channels_close_and_their_ids_can_be_used_again(
    link: LinkConditions, count: int, choice: dict[str, Any], seed: int
) -> None:
    # as many streams as the channels of one generation take: the second has to use the same ids
    config = PATIENT.replace(outbound_streams=2 * count, inbound_streams=2 * count, **choice)
    pair = connected_pair(link, seed, config)
    for generation in (1, 2):
        ids = [pair.a.channels.open(f"{n}", now=pair.now) for n in range(count)]
        assert sorted(ids) == [2 * n for n in range(count)]
        for n in ids:
            pair.a.channels.send(n, f"{generation}: {n}", now=pair.now)
            pair.a.channels.close(n, now=pair.now)  # flushes first

        def both_closed(closed: int = generation * count) -> bool:
            return all(len(end.closed) == closed for end in pair.ends)

        pair.run_until(both_closed, within=BOUND)
    for n in ids:
        assert pair.z.received[n] == [f"1: {n}", f"2: {n}"]
