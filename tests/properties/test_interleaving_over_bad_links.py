"""Interleaved or not, whatever the scheduler: channels keep their promise over bad links.

Large and small messages on many channels at once, ordered and unordered, with or without I-DATA at
either end, priorities that change and channels that are closed and opened again in the midst of it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from random import Random
from typing import Any, get_args

from hypothesis import given, settings, strategies as st

from tests.support.choices import choices
from tests.support.emulated_pair import BOUND, PATIENT, EmulatedEnd, EmulatedPair
from trio_sctp._core.association import State
from trio_sctp._core.config import StreamSchedulerName
from trio_sctp._core.events import CloseReason
from trio_sctp.testing._emulated_link import LinkConditions

links = st.builds(
    LinkConditions,
    delay=st.sampled_from([0.001, 0.05]),
    jitter=st.sampled_from([0.0, 0.01]),
    rate=st.sampled_from([None, 100_000.0]),
    queue=st.just(64_000),
    loss=st.sampled_from([0.0, 0.02, 0.1, 0.3]),
    reorder=st.sampled_from([0.0, 0.2]),
    reorder_delay=st.just(0.03),
    duplicate=st.sampled_from([0.0, 0.1]),
    corrupt=st.sampled_from([0.0, 0.02]),
)


@dataclass(frozen=True)
class Channel:
    by_caller: bool
    ordered: bool
    priority: int
    later: int
    """Its priority after half of the messages."""
    sizes: list[int]
    close: bool


channels = st.builds(
    Channel,
    by_caller=st.booleans(),
    ordered=st.booleans(),
    priority=st.sampled_from([0, 128, 256, 1024, 65535]),
    later=st.sampled_from([1, 256, 512]),
    sizes=st.lists(st.sampled_from([0, 1, 50, 1168, 1169, 5000, 20_000]), max_size=8),
    close=st.booleans(),
)


@settings(max_examples=400, deadline=None)
@given(
    links,
    st.tuples(st.booleans(), st.booleans()),
    st.sampled_from(get_args(StreamSchedulerName)),
    st.sampled_from([512, 1200, 1400]),
    st.lists(channels, min_size=1, max_size=6),
    choices,
    st.integers(0, 2**16),
)
def test_mixed_channels_with_and_without_interleaving(
    link: LinkConditions,
    interleaving: tuple[bool, bool],
    scheduler: StreamSchedulerName,
    path_mtu: int,
    plan: list[Channel],
    choice: dict[str, Any],
    seed: int,
) -> None:
    config = PATIENT.replace(stream_scheduler=scheduler, path_mtu=path_mtu, **choice)
    config, config_z = (config.replace(interleaving=own) for own in interleaving)
    pair = EmulatedPair(link, config, config_z=config_z, seed=seed)
    pair.a.association.connect(now=0.0)
    pair.run_until(
        lambda: all(end.association.state is State.ESTABLISHED for end in pair.ends), within=BOUND
    )
    for end in pair.ends:
        assert end.association.capabilities.interleaving == all(interleaving)

    random = Random(seed)
    expected: list[tuple[EmulatedEnd, int, Channel, list[bytes | str]]] = []
    for channel in plan:
        sender, receiver = (pair.a, pair.z) if channel.by_caller else (pair.z, pair.a)
        stream_id = sender.channels.open(
            ordered=channel.ordered, priority=channel.priority, now=pair.now
        )
        messages: list[bytes | str] = [random.randbytes(size) for size in channel.sizes]
        expected.append((receiver, stream_id, channel, messages))

    for half in (0, 1):
        for receiver, stream_id, channel, messages in expected:
            sender = pair.z if receiver is pair.a else pair.a
            if half:
                sender.channels.set_priority(stream_id, channel.later)
            for message in messages[half::2]:
                sender.channels.send(stream_id, message, now=pair.now)
            if half and channel.close:
                sender.channels.close(stream_id, now=pair.now)
        start = pair.now
        pair.run_until(lambda start=start: pair.now > start or silent(pair), within=BOUND)  # type: ignore[misc]

    pair.run_until(lambda: silent(pair), within=BOUND)
    for receiver, stream_id, channel, messages in expected:
        received = receiver.received.get(stream_id, [])
        in_order = messages[0::2] + messages[1::2]
        assert received == in_order if channel.ordered else Counter(received) == Counter(in_order)

    pair.a.association.shutdown(now=pair.now)
    pair.run_until(lambda: all(end.association.ended for end in pair.ends), within=BOUND)
    assert [end.ending and end.ending.reason for end in pair.ends] == [CloseReason.SHUTDOWN] * 2


def silent(pair: EmulatedPair) -> bool:
    """Everything has arrived and nothing is under way."""
    return all(not end.association.undelivered_messages for end in pair.ends) and not any(
        len(end.link) for end in pair.ends
    )
