"""Channels of all six kinds on one association, over bad links, opened and closed meanwhile.

Both ends open channels and send on them, with limits of their own for some messages; stream ids are
scarce, so that they are used again and again; receiver windows are narrow or wide, and any scheduler
chooses.

What a reliable channel sent arrives once, intact and, if ordered, in order.  What any other delivers is
whole, never twice, in order if ordered, and all of it that was acknowledged.  Nothing stalls, the
outcome of every message is told, and no counter of the sending side is off after any step.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, get_args

from hypothesis import given, settings, strategies as st

from tests.support.choices import choices
from tests.support.emulated_pair import BOUND, PATIENT, EmulatedEnd, EmulatedPair, Stalled
from tests.support.tx_invariants import check_invariants, check_not_stalled
from trio_sctp._core.association import Association, State
from trio_sctp._core.config import Config, StreamSchedulerName
from trio_sctp._core.errors import LocalProtocolError
from trio_sctp._core.events import CloseReason, Outcome
from trio_sctp._core.send_options import SendOptions
from trio_sctp._core.states import SENDING
from trio_sctp.testing._emulated_link import BurstLoss, LinkConditions

CONFIG = PATIENT.replace(path_mtu_discovery=False)

conditions = st.builds(
    LinkConditions,
    delay=st.sampled_from([0.0, 0.01, 0.05, 0.3]),
    rate=st.sampled_from([None, None, 20_000.0]),
    queue=st.sampled_from([4_000, 64_000]),
    loss=st.sampled_from([0.0, 0.02, 0.1, 0.3, 0.5]),
    burst_loss=st.sampled_from([None, None, BurstLoss(0.05, 0.3)]),
    reorder=st.sampled_from([0.0, 0.2]),
    reorder_delay=st.sampled_from([0.001, 0.1, 2.0]),
    duplicate=st.sampled_from([0.0, 0.1, 0.3]),
)
configs = st.builds(
    CONFIG.replace,
    interleaving=st.booleans(),
    stream_scheduler=st.sampled_from(get_args(StreamSchedulerName)),
    inbound_streams=st.sampled_from([2, 3, 65535]),
    a_rwnd=st.sampled_from([4_000, CONFIG.a_rwnd, CONFIG.a_rwnd]),
    path_mtu=st.sampled_from([512, 1200]),
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
which = st.integers(0, 9)
openings = st.tuples(st.just("open"), st.booleans(), limits, st.booleans())
messages = st.tuples(st.just("send"), which, st.booleans(), sizes, overrides)
pauses = st.tuples(st.just("wait"), st.sampled_from([0.0, 0.01, 0.2, 1.0, 5.0]))
actions = st.one_of(
    openings,
    openings,
    messages,
    messages,
    messages,
    st.tuples(st.just("burst"), which, st.booleans(), sizes, st.integers(2, 20)),
    st.tuples(st.just("close"), which, st.booleans()),
    st.tuples(st.just("close"), which, st.booleans()),
    st.tuples(st.just("discard"), which, st.booleans()),
    st.tuples(st.just("make_room"), which, st.booleans(), sizes),
    pauses,
    pauses,
)
stories = st.integers(10, 60).flatmap(lambda n: st.lists(actions, min_size=n, max_size=n))


@dataclass
class Sent:
    """One direction of a channel: its end, and what that sent on it."""

    name: str
    end: EmulatedEnd
    stream_id: int
    ordered: bool
    reliable: bool
    messages: list[bytes] = field(default_factory=list)
    must_arrive: list[bytes] = field(default_factory=list)
    unheard: bool = False
    """The other end has closed it: nobody takes what arrives."""


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
        self.directions: list[Sent] = []
        self.open_ones: list[tuple[Sent, Sent]] = []
        """Of each channel that no program has closed, the direction of the end that opened it first."""

    # -- what may happen

    def open(self, by_caller: bool, limit: dict[str, float], ordered: bool) -> None:
        pair = self.pair
        end, other = (pair.a, pair.z) if by_caller else (pair.z, pair.a)
        name = f"{len(self.directions)}"
        try:
            stream_id = end.channels.open(name, ordered=ordered, now=pair.now, **limit)  # type: ignore[arg-type]
        except LocalProtocolError:  # no id is free
            return
        reliable = SendOptions(**limit).reliable  # type: ignore[arg-type]
        there = Sent(name, end, stream_id, ordered, reliable)
        back = Sent(name + " back", other, stream_id, ordered, reliable)
        self.directions += there, back
        self.open_ones.append((there, back))
        end.step(pair.now)

    def send(self, which: int, back: bool, size: int, options: SendOptions | None) -> None:
        sent = self._pick(which, back)
        if sent is None:
            return
        message = f"{sent.name}: {len(sent.messages)} ".encode() + bytes(size)
        sent.end.channels.send(
            sent.stream_id, message, options=options, context=message, now=self.pair.now
        )
        sent.messages.append(message)
        if sent.reliable if options is None else options.reliable:
            sent.must_arrive.append(message)
        sent.end.step(self.pair.now)

    def burst(self, which: int, back: bool, size: int, count: int) -> None:
        for _ in range(count):
            self.send(which, back, size, None)

    def close(self, which: int, back: bool) -> None:
        if self._pick(which, back) is not None:
            sent, other = self._forget(which, back)
            other.unheard = True
            sent.end.channels.close(sent.stream_id, now=self.pair.now)
            sent.end.step(self.pair.now)

    def discard(self, which: int, back: bool) -> None:
        if self._pick(which, back) is not None:
            sent, other = self._forget(which, back)
            other.unheard = True
            sent.must_arrive.clear()
            sent.end.channels.discard(sent.stream_id, now=self.pair.now)
            sent.end.step(self.pair.now)

    def make_room(self, which: int, back: bool, size: int) -> None:
        sent = self._pick(which, back)
        if sent is not None:
            sent.end.association.make_room(size, stream_id=sent.stream_id, now=self.pair.now)
            sent.end.step(self.pair.now)

    def wait(self, seconds: float) -> None:
        until = self.pair.now + seconds
        with suppress(Stalled):  # when nothing more is due before that
            self.pair.run_until(lambda: False, within=seconds)
        self.pair.now = until

    def _pick(self, which: int, back: bool) -> Sent | None:
        """One direction of an open channel; None if its end has no such channel yet."""
        if not self.open_ones:
            return None
        sent = self.open_ones[which % len(self.open_ones)][back]
        channel = sent.end.channels.channel(sent.stream_id)
        if channel is None or channel.label != sent.name.split()[0]:
            assert back
            return None
        assert channel.open
        return sent

    def _forget(self, which: int, back: bool) -> tuple[Sent, Sent]:
        there, other = self.open_ones.pop(which % len(self.open_ones))
        return (other, there) if back else (there, other)


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


@settings(max_examples=300, deadline=None)
@given(conditions, configs, choices, stories, st.integers(0, 2**16))
def test_every_kind_of_channel_keeps_its_promise(
    link: LinkConditions,
    config: Config,
    choice: dict[str, Any],
    story: list[tuple[object, ...]],
    seed: int,
) -> None:
    life = Life(link, config.replace(**choice), seed)
    pair = life.pair
    for name, *arguments in story:
        getattr(life, str(name))(*arguments)
    # the longest of all waits: 20 KB at 20 KB/s through 50 % loss, some forty times
    pair.run_until(lambda: all(map(is_quiet, pair.ends)), within=BOUND)
    for end in pair.ends:
        tcb = end.association.tcb
        assert tcb is not None
        assert tcb.retransmission_queue.flight_size == 0
        assert end.association.total_unsent_bytes == 0
    # whatever was given up, the streams go on
    for index, (there, _) in enumerate(life.open_ones):
        assert there.end.association.unacknowledged_bytes(there.stream_id) == 0
        life.send(index, False, 10, SendOptions())
    # what came for a channel whose id was used before waits until that one is closed at both ends
    pair.run_until(lambda: all(has_arrived(pair, sent) for sent in life.directions), within=BOUND)
    for sent in life.directions:
        check_direction(sent, received_by(pair, sent))
    while life.open_ones:
        life.close(0, False)
    pair.run_until(lambda: not any(len(end.channels) for end in pair.ends), within=BOUND)
    pair.run_until(lambda: all(map(is_quiet, pair.ends)), within=BOUND)
    for end in pair.ends:
        window = end.association.statistics().a_rwnd
        assert window == end.association.config.a_rwnd
    pair.a.association.shutdown(now=pair.now)
    pair.run_until(lambda: all(end.ending for end in pair.ends), within=BOUND)
    assert pair.a.ending is not None
    assert pair.a.ending.reason is CloseReason.SHUTDOWN


def received_by(pair: EmulatedPair, sent: Sent) -> list[bytes]:
    other = pair.z if sent.end is pair.a else pair.a
    prefix = f"{sent.name}: ".encode()
    messages = [m for m in other.received.get(sent.stream_id, []) if isinstance(m, bytes)]
    return [m for m in messages if m.startswith(prefix)]


def told_of(sent: Sent) -> list[tuple[bytes, Outcome]]:
    messages = set(sent.messages)
    return [(o.context, o.outcome) for o in sent.end.outcomes if o.context in messages]


def has_arrived(pair: EmulatedPair, sent: Sent) -> bool:
    """All outcomes, all that must arrive, and whatever else the other end has acknowledged."""
    told = told_of(sent)
    if len(told) < len(sent.messages):
        return False
    if sent.unheard:
        return True
    delivered = {message for message, outcome in told if outcome is Outcome.DELIVERED}
    return delivered.union(sent.must_arrive) <= set(received_by(pair, sent))


def check_direction(sent: Sent, received: list[bytes]) -> None:
    assert max(Counter(received).values(), default=1) == 1, "twice"
    places = {message: place for place, message in enumerate(sent.messages)}
    order = [places[message] for message in received]  # a KeyError: not whole
    if sent.ordered:
        assert order == sorted(order)
    told = told_of(sent)
    outcomes = dict(told)
    assert len(outcomes) == len(told) == len(sent.messages)
    delivered = {message for message, outcome in told if outcome is Outcome.DELIVERED}
    assert set(sent.must_arrive) <= delivered
    if not sent.unheard:
        assert delivered <= set(received)
