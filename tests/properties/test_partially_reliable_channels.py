"""Channels of all six kinds on one association, over bad links, opened and closed meanwhile.

What a reliable channel sent arrives once, intact and, if ordered, in order.  What any other delivers is
whole, never twice, in order if ordered, and all of it that was acknowledged.  Nothing stalls, and no
counter of the sending side is off after any step.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings, strategies as st

from tests.support.choices import choices
from tests.support.emulated_pair import EmulatedEnd, EmulatedPair, Stalled
from tests.support.tx_invariants import check_invariants, check_not_stalled
from trio_sctp._core.association import Association, State
from trio_sctp._core.config import Config
from trio_sctp._core.events import CloseReason, Outcome
from trio_sctp._core.send_options import SendOptions
from trio_sctp._core.states import SENDING
from trio_sctp.testing._emulated_link import LinkConditions

CONFIG = Config(
    rto_initial=0.5,
    rto_min=0.2,
    rto_max=4.0,
    association_max_retrans=1000,
    max_init_retransmits=1000,
    path_mtu_discovery=False,
)
BOUND = 3600.0

conditions = st.builds(
    LinkConditions,
    delay=st.sampled_from([0.0, 0.01, 0.3]),
    rate=st.sampled_from([None, None, 20_000.0]),
    queue=st.just(64_000),
    loss=st.sampled_from([0.0, 0.02, 0.1, 0.3]),
    reorder=st.sampled_from([0.0, 0.2]),
    reorder_delay=st.sampled_from([0.001, 0.1]),
    duplicate=st.sampled_from([0.0, 0.1]),
)
limits = st.sampled_from(
    [
        {},
        {"max_retransmits": 0},
        {"max_retransmits": 1},
        {"lifetime": 0.0},
        {"lifetime": 0.3},
        {"lifetime": 3.0},
    ]
)
overrides = st.sampled_from(
    [
        None,
        None,
        None,
        SendOptions(),
        SendOptions(max_retransmits=0),
        SendOptions(max_retransmits=2, lifetime=1.0),
        SendOptions(discard_priority=3),
    ]
)
sizes = st.sampled_from([0, 5, 300, 1100, 1500, 5000, 20_000])
actions = st.lists(
    st.one_of(
        st.tuples(st.just("open"), st.booleans(), limits, st.booleans()),
        st.tuples(st.just("open"), st.booleans(), limits, st.booleans()),
        st.tuples(st.just("send"), st.integers(0, 9), sizes, overrides),
        st.tuples(st.just("send"), st.integers(0, 9), sizes, overrides),
        st.tuples(st.just("burst"), st.integers(0, 9), sizes, st.integers(2, 20)),
        st.tuples(st.just("close"), st.integers(0, 9)),
        st.tuples(st.just("wait"), st.sampled_from([0.0, 0.01, 0.2, 2.0])),
    ),
    min_size=5,
    max_size=50,
)


@dataclass
class Sent:
    """A channel that one end has opened, and what it sent on it."""

    name: str
    end: EmulatedEnd
    stream_id: int
    ordered: bool
    reliable: bool
    messages: list[bytes] = field(default_factory=list)
    must_arrive: list[bytes] = field(default_factory=list)


class Life:
    """Channels come and go on an association."""

    def __init__(self, link: LinkConditions, config: Config, seed: int) -> None:
        self.pair = EmulatedPair(link, config, seed=seed)
        for end in self.pair.ends:
            end.after_step = check
        self.pair.a.association.connect(now=0.0)
        self.pair.run_until(
            lambda: all(end.association.state is State.ESTABLISHED for end in self.pair.ends),
            within=BOUND,
        )
        self.channels: list[Sent] = []
        self.open_ones: list[Sent] = []

    def open(self, by_caller: bool, limit: dict[str, float], ordered: bool) -> None:
        pair = self.pair
        end = pair.a if by_caller else pair.z
        name = f"{len(self.channels)}"
        options = SendOptions(**limit)  # type: ignore[arg-type]
        stream_id = end.channels.open(name, ordered=ordered, now=pair.now, **limit)  # type: ignore[arg-type]
        sent = Sent(name, end, stream_id, ordered, options.reliable)
        self.channels.append(sent)
        self.open_ones.append(sent)

    def send(self, which: int, size: int, options: SendOptions | None) -> None:
        if not self.open_ones:
            return
        sent = self.open_ones[which % len(self.open_ones)]
        message = f"{sent.name} {len(sent.messages)} ".encode() + bytes(size)
        sent.end.channels.send(
            sent.stream_id, message, options=options, context=message, now=self.pair.now
        )
        sent.messages.append(message)
        if sent.reliable if options is None else options.reliable:
            sent.must_arrive.append(message)
        sent.end.step(self.pair.now)

    def burst(self, which: int, size: int, count: int) -> None:
        for _ in range(count):
            self.send(which, size, None)

    def close(self, which: int) -> None:
        if self.open_ones:
            sent = self.open_ones.pop(which % len(self.open_ones))
            sent.end.channels.close(sent.stream_id, now=self.pair.now)
            sent.end.step(self.pair.now)

    def wait(self, seconds: float) -> None:
        until = self.pair.now + seconds
        with suppress(Stalled):  # when nothing more is due before that
            self.pair.run_until(lambda: False, within=seconds)
        self.pair.now = until


def check(association: Association) -> None:
    if association.tcb is not None:
        check_invariants(association.tcb.retransmission_queue)
        if association.state in SENDING:
            check_not_stalled(association.tcb.retransmission_queue)


def is_quiet(end: EmulatedEnd) -> bool:
    association = end.association
    tcb = association.tcb
    assert tcb is not None
    return not association.undelivered_messages and not tcb.retransmission_queue.outstanding_count


@settings(max_examples=400, deadline=None)
@given(conditions, st.booleans(), choices, actions, st.integers(0, 2**16))
def test_every_kind_of_channel_keeps_its_promise(
    link: LinkConditions,
    interleaving: bool,
    choice: dict[str, Any],
    story: list[tuple[object, ...]],
    seed: int,
) -> None:
    life = Life(link, CONFIG.replace(interleaving=interleaving, **choice), seed)
    pair = life.pair
    for name, *arguments in story:
        getattr(life, str(name))(*arguments)
    # the longest of all waits: 20 KB at 20 KB/s through 30 % loss, some forty times
    pair.run_until(lambda: all(map(is_quiet, pair.ends)), within=BOUND)
    for end in pair.ends:
        tcb = end.association.tcb
        assert tcb is not None
        assert tcb.retransmission_queue.flight_size == 0
        assert end.association.total_unsent_bytes == 0
    # whatever was given up, the streams go on
    for sent in life.open_ones:
        assert sent.end.association.unacknowledged_bytes(sent.stream_id) == 0
        life.send(life.open_ones.index(sent), 10, SendOptions())
    pair.run_until(lambda: all(map(is_quiet, pair.ends)), within=BOUND)
    # what came for a channel whose id was used before waits until that one is closed at both ends
    pair.run_until(lambda: all(has_arrived(pair, sent) for sent in life.channels), within=BOUND)
    for sent in life.channels:
        check_channel(sent, received_by(pair, sent))
    while life.open_ones:
        life.close(0)
    pair.run_until(lambda: not any(len(end.channels) for end in pair.ends), within=BOUND)
    for end in pair.ends:
        window = end.association.statistics().a_rwnd
        assert window == end.association.config.a_rwnd
    pair.a.association.shutdown(now=pair.now)
    pair.run_until(lambda: all(end.ending for end in pair.ends), within=BOUND)
    assert pair.a.ending is not None
    assert pair.a.ending.reason is CloseReason.SHUTDOWN


def received_by(pair: EmulatedPair, sent: Sent) -> list[bytes]:
    other = pair.z if sent.end is pair.a else pair.a
    prefix = f"{sent.name} ".encode()
    messages = [m for m in other.received.get(sent.stream_id, []) if isinstance(m, bytes)]
    return [m for m in messages if m.startswith(prefix)]


def has_arrived(pair: EmulatedPair, sent: Sent) -> bool:
    """All that must, and whatever else the other end has acknowledged."""
    told = {o.context for o in sent.end.outcomes if o.outcome is Outcome.DELIVERED}
    expected = {message for message in sent.messages if message in told}
    return expected.union(sent.must_arrive) <= set(received_by(pair, sent))


def check_channel(sent: Sent, received: list[bytes]) -> None:
    assert max(Counter(received).values(), default=1) == 1, "twice"
    places = {message: place for place, message in enumerate(sent.messages)}
    order = [places[message] for message in received]  # a KeyError: not whole
    if sent.ordered:
        assert order == sorted(order)
    told = [o for o in sent.end.outcomes if o.context in places]
    outcomes = {o.context: o.outcome for o in told}
    assert len(outcomes) == len(told) == len(sent.messages)
    delivered = {m for m, outcome in outcomes.items() if outcome is Outcome.DELIVERED}
    assert delivered <= set(received)
    assert set(sent.must_arrive) <= delivered
