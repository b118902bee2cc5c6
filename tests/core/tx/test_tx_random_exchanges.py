"""The sender against a small receiver over a bad link, and against a peer that makes up its SACKs."""

from __future__ import annotations

import heapq
from random import Random
from typing import Any

from hypothesis import given, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests.support.choices import choices
from tests.support.gap_ack_blocks import row_of
from tests.support.tx_invariants import check_invariants, check_not_stalled
from tests.support.tx_sender import Sender, parse
from trio_sctp._core.tx.outgoing_message import OutgoingMessage
from trio_sctp._core.tx.resettable_streams import ResettableStreams
from trio_sctp._wire.chunks import Data, Sack
from trio_sctp._wire.serial import unwrap32


class Receiver:
    """As simple as can be: a dict of TSNs.  It reads now and then, and may renege."""

    def __init__(self, initial_tsn: int, window: int) -> None:
        self.cumulative = initial_tsn - 1
        self.window = window
        self.unread = 0
        self.held: dict[int, Data] = {}
        self.fragments: list[Data] = []
        self.messages: dict[tuple[int, bool], list[bytes]] = {}
        self.next_ssn: dict[int, int] = {}

    @property
    def a_rwnd(self) -> int:
        held = sum(len(chunk.payload) for chunk in self.held.values())
        return max(0, self.window - self.unread - held)

    def receive(self, chunk: Data) -> None:
        tsn = unwrap32(chunk.tsn, self.cumulative)
        if tsn <= self.cumulative or tsn in self.held:
            return
        highest = max(self.held, default=self.cumulative)
        if self.a_rwnd == 0 and tsn > highest:  # §6.2
            return
        self.held[tsn] = chunk
        while (next_chunk := self.held.pop(self.cumulative + 1, None)) is not None:
            self.cumulative += 1
            self._reassemble(next_chunk)

    def _reassemble(self, chunk: Data) -> None:
        """In the order of TSNs, so fragments of a message follow each other."""
        self.unread += len(chunk.payload)
        assert chunk.beginning == (not self.fragments)
        self.fragments.append(chunk)
        if not chunk.ending:
            return
        first = self.fragments[0]
        for each in self.fragments:
            same = (each.stream_id, each.ssn, each.ppid, each.unordered)
            assert same == (first.stream_id, first.ssn, first.ppid, first.unordered)
        if not first.unordered:
            assert first.ssn == self.next_ssn.get(first.stream_id, 0)
            self.next_ssn[first.stream_id] = (first.ssn + 1) & 0xFFFF
        payload = b"".join([each.payload for each in self.fragments])
        self.messages.setdefault((first.stream_id, first.unordered), []).append(payload)
        self.fragments = []

    def sack(self) -> Sack:
        blocks: list[tuple[int, int]] = []
        for tsn in sorted(self.held):
            offset = tsn - self.cumulative
            if blocks and blocks[-1][1] == offset - 1:
                blocks[-1] = blocks[-1][0], offset
            else:
                blocks.append((offset, offset))
        return Sack(self.cumulative & 0xFFFFFFFF, self.a_rwnd, row_of(blocks))


class Exchange:
    """Both ends and the link between them."""

    def __init__(
        self,
        seed: int,
        *,
        initial_tsn: int,
        window: int,
        bad: float,
        reneges: bool,
        choice: dict[str, Any],
    ) -> None:
        self.rng = Random(seed)
        self.a = Sender(initial_tsn=initial_tsn, peer_rwnd=window, **choice)
        self.z = Receiver(initial_tsn, window)
        self.bad = bad
        self.reneges = reneges
        self.link: list[tuple[float, int, list[bytes] | Sack]] = []
        self.serial = 0
        self.later = 0
        """Messages that are sent one by one while others are under way."""
        self.sent: dict[tuple[int, bool], list[bytes]] = {}

    def send(self, count: int) -> None:
        rng = self.rng
        for number in range(count):
            stream_id, unordered = rng.randrange(3), rng.random() < 0.2
            payload = rng.randbytes(rng.choice((1, 3, 50, 400, 1172, 3000, 9000)))
            payload = number.to_bytes(2, "big") + payload
            self.sent.setdefault((stream_id, unordered), []).append(payload)
            message = OutgoingMessage(stream_id, 51, payload, unordered)
            self.a.send_queue.add(message)
            self.a.queue.message_added(message)
            if self.a.queue.is_stuck:  # nobody needs to look whether this can go
                assert not self.a.queue.chunks_to_send(self.a.room, self.a.now)

    def transmit(self, what: list[bytes] | Sack) -> None:
        rng = self.rng
        for _ in range(2 if rng.random() < self.bad else 1):
            if rng.random() >= self.bad:
                delay = 0.05 + (rng.random() * 0.3 if rng.random() < self.bad else 0)
                self.serial += 1
                heapq.heappush(self.link, (self.a.now + delay, self.serial, what))

    def step(self) -> None:
        """All that the sender may send goes out; then whatever happens next happens."""
        a = self.a
        while wires := a.queue.chunks_to_send(a.room, a.now):
            assert sum(map(len, wires)) <= a.room
            self.transmit(wires)
            check_invariants(a.queue)
        check_not_stalled(a.queue)
        if self.later and (a.queue.is_empty or self.rng.random() < 0.5):
            self.later -= 1
            self.send(1)
            return  # which is an input, too: packets are pulled after it
        if self.link and self.link[0][0] <= a.next_timeout:
            a.now, _, what = heapq.heappop(self.link)
            self.arrive(what)
        else:
            a.time_out()
        check_invariants(a.queue)

    def arrive(self, what: list[bytes] | Sack) -> None:
        rng, z = self.rng, self.z
        if isinstance(what, Sack):
            self.a.queue.handle_sack(what, self.a.now)
            return
        for wire in what:
            z.receive(parse(wire))
        if self.reneges and z.held and rng.random() < 0.05:
            del z.held[rng.choice(list(z.held))]
        self.transmit(z.sack())
        if rng.random() < 0.5:
            z.unread = 0
            self.transmit(z.sack())


@given(
    seed=st.integers(0, 2**32),
    initial_tsn=st.sampled_from([1, 2**31 - 5, 2**32 - 7, 2**32 - 1]),
    window=st.sampled_from([1500, 5000, 20_000, 10**6]),
    bad=st.sampled_from([0.0, 0.02, 0.1, 0.3]),
    count=st.integers(1, 30),
    reneges=st.booleans(),
    choice=choices,
)
@settings(max_examples=200, deadline=None)
def test_everything_is_delivered_and_acknowledged_whatever_the_link_does(
    seed: int,
    initial_tsn: int,
    window: int,
    bad: float,
    count: int,
    reneges: bool,
    choice: dict[str, Any],
) -> None:
    exchange = Exchange(
        seed, initial_tsn=initial_tsn, window=window, bad=bad, reneges=reneges, choice=choice
    )
    exchange.send(count)
    exchange.later = count
    steps = 0
    while exchange.later or not exchange.a.queue.is_empty:
        exchange.step()
        steps += 1
        assert steps < 5000, "it makes no progress"
    assert exchange.z.messages == exchange.sent
    queue = exchange.a.queue
    assert (queue.flight_size, queue.outstanding_count) == (0, 0)
    assert exchange.a.next_timeout == float("inf")
    assert not queue.never_sent_acknowledged
    assert queue.counters.dropped == {}
    if bad == 0 and not reneges and window >= 10**6:
        assert queue.retransmitted_chunks == 0


class ArbitraryPeer(RuleBasedStateMachine):
    """A program with whims, and a peer that acknowledges, contradicts itself and takes back."""

    streams = st.integers(0, 2)

    @initialize(
        initial_tsn=st.sampled_from([1, 2**32 - 4]),
        path_mtu=st.sampled_from([512, 1201]),
        choice=choices,
    )
    def begin(self, initial_tsn: int, path_mtu: int, choice: dict[str, Any]) -> None:
        self.a = Sender(initial_tsn=initial_tsn, path_mtu=path_mtu, **choice)
        self.queue = self.a.queue

    def checked(self) -> None:
        check_invariants(self.queue)

    @rule(size=st.integers(1, 3000), count=st.integers(1, 20), stream_id=streams, u=st.booleans())
    def send(self, size: int, count: int, stream_id: int, u: bool) -> None:
        self.a.send(size, count=count, stream_id=stream_id, unordered=u)
        self.checked()

    @rule()
    def pull(self) -> None:
        self.a.pull_chunks()

    @rule(room=st.integers(0, 500))
    def pull_into_little_room(self, room: int) -> None:
        self.queue.chunks_to_send(room, self.a.now)
        self.checked()

    @rule(dt=st.sampled_from([0.0, 0.01, 0.5, 5.0]))
    def time_passes(self, dt: float) -> None:
        self.a.now = min(self.a.now + dt, self.a.next_timeout)

    @precondition(lambda self: self.a.next_timeout < float("inf"))
    @rule()
    def expire(self) -> None:
        self.a.time_out()
        self.a.pull_chunks()  # packets are pulled after every input

    @rule(choice=choices)
    def choose(self, choice: dict[str, Any]) -> None:
        self.queue.replace_config(self.a.config.replace(**choice), self.a.now)
        self.a.config = self.queue._config
        self.checked()

    @rule(
        advance=st.integers(-2, 6),
        blocks=st.lists(st.tuples(st.integers(0, 12), st.integers(0, 4)), max_size=5),
        a_rwnd=st.sampled_from([0, 100, 3000, 10**6]),
        duplicates=st.lists(st.integers(-4, 8), max_size=3),
    )
    def sack(
        self, advance: int, blocks: list[tuple[int, int]], a_rwnd: int, duplicates: list[int]
    ) -> None:
        queue = self.queue
        cumulative = queue.cumulative_tsn_ack + advance
        before = queue.cumulative_tsn_ack, queue.flight_size, queue.peer_rwnd
        offsets = [(start, start + length - 1) for start, length in blocks]
        queue.never_sent_acknowledged = False
        queue.counters.dropped.clear()
        reported = [cumulative + offset & 0xFFFFFFFF for offset in duplicates]
        queue.handle_sack(
            Sack(cumulative & 0xFFFFFFFF, a_rwnd, row_of(offsets), reported), self.a.now
        )
        self.checked()
        highest = max([cumulative, *[cumulative + end for _, end in offsets]])
        if queue.never_sent_acknowledged or queue.counters.dropped or advance < 0:
            assert before == (queue.cumulative_tsn_ack, queue.flight_size, queue.peer_rwnd)
        else:
            assert highest < queue.next_tsn
            assert queue.cumulative_tsn_ack == cumulative
            assert queue.peer_rwnd == max(0, a_rwnd - queue._data.flight_payload)

    @rule(advance=st.integers(-1, 4))
    def shutdown(self, advance: int) -> None:
        tsn = self.queue.cumulative_tsn_ack + advance
        self.queue.handle_cumulative_ack(tsn & 0xFFFFFFFF, self.a.now)
        self.checked()

    @rule(stream_id=streams)
    def discard(self, stream_id: int) -> None:
        self.a.send_queue.discard(stream_id)
        self.checked()

    @rule(stream_id=streams)
    def reset(self, stream_id: int) -> None:
        if ResettableStreams(self.a.send_queue).is_idle(stream_id):
            ResettableStreams(self.a.send_queue).pause(stream_id)
            ResettableStreams(self.a.send_queue).reset_stream(stream_id)
            self.queue.allow_burst()
        self.checked()

    @rule()
    def cookie_echo_again(self) -> None:
        self.queue.mark_all_for_retransmission(self.a.now)
        self.a.pull_chunks()

    def teardown(self) -> None:
        """From whatever state this has come to: an honest peer gets everything in bounded steps."""
        if not hasattr(self, "a"):
            return
        a, queue = self.a, self.queue
        a.pull_chunks()
        for _ in range(2000):
            if queue.is_empty:
                break
            if queue.outstanding_count:
                wire_tsn = queue.next_tsn - 1 & 0xFFFFFFFF
                a.now += 0.1
                queue.handle_sack(Sack(wire_tsn, 10**7), a.now)
                self.checked()
            else:
                a.time_out()
            a.pull_chunks()
        assert queue.is_empty
        assert a.next_timeout == float("inf")
        assert queue.flight_size == 0


TestArbitraryPeer = ArbitraryPeer.TestCase
TestArbitraryPeer.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
