"""Whatever is reconfigured while data flows over bad links: messages arrive, and nothing stalls.

Random mixes of messages, some of them unreliable, stream resets from both ends, added streams and
resets of all numbers, over links that lose, reorder and duplicate: every message arrives once, intact,
on an ordered stream in order, and every request comes to an end that both ends agree about.
"""

from __future__ import annotations

import math
from collections import Counter
from contextlib import suppress
from random import Random

from hypothesis import example, given, settings, strategies as st

from tests.support.emulated_pair import BOUND, PATIENT
from trio_sctp._core.association import Association, State
from trio_sctp._core.config import Config
from trio_sctp._core.errors import LocalProtocolError
from trio_sctp._core.events import (
    AssociationClosed,
    AssociationReset,
    CloseReason,
    Event,
    IncomingResetRefused,
    IncomingStreamsReset,
    Message,
    OutgoingStreamsReset,
    StreamsChanged,
)
from trio_sctp._core.send_options import SendOptions
from trio_sctp.testing._emulated_link import EmulatedLink, LinkConditions

STREAMS = 5
CONFIG = PATIENT.replace(
    outbound_streams=STREAMS,
    inbound_streams=STREAMS,
    max_outbound_streams=1000,
    max_inbound_streams=1000,
)
RELIABLE, UNRELIABLE = 1, 2  # told apart by their PPID
LIMITS = [
    SendOptions(max_retransmits=0),
    SendOptions(max_retransmits=1, lifetime=1.0),
    SendOptions(lifetime=0.0),
    SendOptions(lifetime=0.1),
]
Key = tuple[int, bool, bool]
"""Stream id, unordered, unreliable."""


class End:
    """One association, what it was asked to do, and what came of it."""

    def __init__(self, config: Config, link: EmulatedLink, seed: str) -> None:
        self.association = Association(config, rng=Random(seed))
        self.link = link
        self.sent: dict[Key, list[bytes]] = {}
        self.received: dict[Key, list[bytes]] = {}
        self.events: list[Event] = []
        self.added = 0
        self.resets = 0

    def step(self, now: float) -> None:
        while True:
            self._take_events(now)
            packets = self.association.packets_to_send(now=now)
            if not packets:
                break
            for packet in packets:
                self.link.push(packet, now)
        self._take_events(now)

    def _take_events(self, now: float) -> None:
        while (event := self.association.next_event()) is not None:
            if isinstance(event, Message):
                key = event.stream_id, event.unordered, event.ppid == UNRELIABLE
                self.received.setdefault(key, []).append(event.payload)
                self.association.message_consumed(len(event.payload))
            else:
                self.events.append(event)

    def take(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.events if isinstance(event, kind)]

    # -- what it may be asked to do

    def send(
        self,
        stream_id: int,
        size: int,
        unordered: bool,
        now: float,
        options: SendOptions | None = None,
    ) -> None:
        stream_id %= self.association.outbound_streams
        messages = self.sent.setdefault((stream_id, unordered, options is not None), [])
        ppid = RELIABLE if options is None else UNRELIABLE
        payload = b"%d %d " % (stream_id, len(messages)) + bytes(size)
        self.association.send(
            stream_id, payload, ppid=ppid, unordered=unordered, options=options, now=now
        )
        messages.append(payload)

    def reset_all(self, now: float) -> None:
        assert self.association.tcb is not None
        if self.association.tcb.stream_reset.tsn.wanted:
            self.association.reset_association(now=now)  # it is on its way already
            return
        with suppress(LocalProtocolError):  # the last time was less than 30 s ago
            self.association.reset_association(now=now)
            self.resets += 1

    def is_quiet(self) -> bool:
        association, tcb = self.association, self.association.tcb
        assert tcb is not None, self.events
        return not (
            association.undelivered_messages
            or tcb.retransmission_queue.outstanding_count
            or tcb.stream_reset.pending
            or len(self.link)
        )


class ReconfigPair:
    def __init__(self, link: LinkConditions, config: Config, seed: int) -> None:
        self.now = 0.0
        self.a = End(config, EmulatedLink(link, f"{seed} a"), f"{seed} a")
        self.z = End(config, EmulatedLink(link, f"{seed} z"), f"{seed} z")
        self.ends = self.a, self.z
        self.a.association.connect(now=0.0)
        self.run(lambda: all(e.association.state is State.ESTABLISHED for e in self.ends))
        for end in self.ends:
            end.events.clear()

    def run(self, done: object = None, *, seconds: float = BOUND) -> None:
        """Let time pass, until `done()` if it is given."""
        limit = self.now + seconds
        for end in self.ends:
            end.step(self.now)
        while not (callable(done) and done()):
            due = min(
                min(end.link.next_delivery(), end.association.next_timeout()) for end in self.ends
            )
            if due > limit or due == math.inf:
                assert done is None, f"it stalls at {self.now}, next at {due}"
                break
            self.now = max(self.now, due)
            for end, other in ((self.a, self.z), (self.z, self.a)):
                arrived = other.link.pop_due(self.now)
                if arrived:
                    end.association.receive_packets(arrived, now=self.now)
                    end.step(self.now)
                if end.association.next_timeout() <= self.now:
                    end.association.handle_timeout(now=self.now)
                    end.step(self.now)
        if done is None:
            self.now = limit


link_conditions = st.builds(
    LinkConditions,
    delay=st.sampled_from([0.0, 0.001, 0.05]),
    jitter=st.sampled_from([0.0, 0.01]),
    rate=st.sampled_from([None, None, 50_000.0]),
    queue=st.just(64_000),
    loss=st.sampled_from([0.0, 0.0, 0.05, 0.3]),
    reorder=st.sampled_from([0.0, 0.2, 0.6]),
    reorder_delay=st.sampled_from([0.002, 0.1, 0.7]),
    duplicate=st.sampled_from([0.0, 0.3]),
)
sizes = st.sampled_from([0, 1, 10, 500, 1100, 5000, 40_000])
stream_sets = st.sets(st.integers(0, STREAMS - 1), max_size=3)
actions = st.one_of(
    st.tuples(st.just("send"), st.integers(0, STREAMS + 3), sizes, st.sampled_from([0, 0, 0, 1])),
    st.tuples(st.just("send"), st.integers(0, 1), sizes, st.just(0)),
    st.tuples(st.just("burst"), st.integers(0, STREAMS - 1), st.integers(2, 12)),
    st.tuples(st.just("unreliable"), st.integers(0, 2), sizes, st.sampled_from(LIMITS)),
    st.tuples(st.just("reset"), stream_sets),
    st.tuples(st.just("request reset"), stream_sets),
    st.tuples(st.just("add"), st.integers(1, 3)),
    st.tuples(st.just("request"), st.integers(1, 3)),
    st.tuples(st.just("reset all")),
)
pauses = st.sampled_from([0.0, 0.0, 0.0, 0.001, 0.02, 0.06, 0.3, 1.0, 5.0, 31.0])
scripts = st.lists(st.tuples(st.booleans(), actions, pauses), min_size=1, max_size=25)


def act(end: End, other: End, action: tuple[object, ...], now: float) -> None:
    association = end.association
    match action:
        case ("send", int(stream_id), int(size), unordered):
            end.send(stream_id, size, bool(unordered), now)
        case ("burst", int(stream_id), int(count)):
            for _ in range(count):
                end.send(stream_id, 8, False, now)
        case ("unreliable", int(stream_id), int(size), SendOptions() as options):
            end.send(stream_id, size, False, now, options)
        case ("reset", set(ids)):
            association.reset_streams(ids, now=now)
        case ("request reset", set(ids)):
            association.request_incoming_reset(ids, now=now)
        case ("add", int(count)):
            association.add_outgoing_streams(count, now=now)
            end.added += count
        case ("request", int(count)):
            association.request_incoming_streams(count, now=now)
            other.added += count
        case _:
            end.reset_all(now)


Step = tuple[bool, tuple[object, ...], float]
CROSSING: list[Step] = [
    (True, ("burst", 0, 5), 0.0),
    (False, ("burst", 0, 5), 0.0),
    (True, ("reset all",), 0.0),
    (False, ("reset all",), 0.0),
    (True, ("burst", 0, 7), 0.0),
    (False, ("burst", 0, 7), 0.0),
]


def check(link: LinkConditions, script: list[Step], seed: int, config: Config) -> None:
    pair = ReconfigPair(link, config, seed)
    for by_caller, action, pause in script:
        end, other = (pair.a, pair.z) if by_caller else (pair.z, pair.a)
        act(end, other, action, pair.now)
        pair.run(seconds=pause)
    pair.run(lambda: all(end.is_quiet() for end in pair.ends))
    for end, other in ((pair.a, pair.z), (pair.z, pair.a)):
        check_messages(end, other)
        check_outcomes(end, other)
    # and it can be ended
    pair.a.association.shutdown(now=pair.now)
    pair.run(lambda: all(end.association.ended for end in pair.ends))
    for end in pair.ends:
        (closed,) = end.take(AssociationClosed)
        assert isinstance(closed, AssociationClosed)
        assert closed.reason is CloseReason.SHUTDOWN


def check_messages(end: End, other: End) -> None:
    assert other.received.keys() <= end.sent.keys()
    for key, messages in end.sent.items():
        _, unordered, unreliable = key
        received = other.received.get(key, [])
        if unreliable:
            assert received == [payload for payload in messages if payload in received]
        elif unordered:
            assert Counter(received) == Counter(messages)
        else:
            assert received == messages


def check_outcomes(end: End, other: End) -> None:
    """Nothing was refused; both ends count alike."""
    assert end.take(IncomingResetRefused) == []
    for event in end.events:
        if isinstance(event, OutgoingStreamsReset | StreamsChanged | AssociationReset):
            assert event.succeeded
    # two without a message in between may be one for the other end
    performed = len(other.take(OutgoingStreamsReset))
    assert bool(performed) <= len(end.take(IncomingStreamsReset)) <= performed
    assert len(end.take(AssociationReset)) == end.resets + other.resets
    tcb, peer = end.association.tcb, other.association.tcb
    assert tcb is not None
    assert peer is not None
    assert tcb.outbound_streams == peer.inbound_streams == STREAMS + end.added
    queue, receiver = tcb.retransmission_queue, peer.data_receiver
    assert (queue.next_tsn - receiver.cumulative_tsn_ack - 1) % 2**32 == 0
    assert not tcb.stream_reset.timer.running


@settings(max_examples=150, deadline=None)
@given(link_conditions, scripts, st.integers(0, 2**16), st.booleans())
@example(LinkConditions(delay=0.05), CROSSING, 0, False)
@example(LinkConditions(delay=0.05), CROSSING, 1, True)
@example(LinkConditions(delay=0.05, loss=0.3, reorder=0.6), CROSSING, 2, False)
def test_reliable_messages_survive_every_reconfiguration(
    link: LinkConditions, script: list[Step], seed: int, interleaving: bool
) -> None:
    check(link, script, seed, CONFIG.replace(interleaving=interleaving))


@settings(max_examples=50, deadline=None)
@given(link_conditions, scripts, st.integers(0, 2**16), st.booleans())
def test_and_so_they_do_in_a_narrow_window(
    link: LinkConditions, script: list[Step], seed: int, interleaving: bool
) -> None:
    check(link, script, seed, CONFIG.replace(a_rwnd=6000, interleaving=interleaving))
