"""After every step, the short ways leave all that an association holds as the plain ways do.

Each end is there twice: one goes the short ways, the other is kept from them.  Both are told the same
by the program, the clock and the network, on which packets are lost, repeated, overtaken, damaged and
made up.  What they send and tell, and each of their attributes, has to be the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random
from typing import Any, get_args

import pytest

from tests.support.deep_comparison import differences
from trio_sctp._core import receive
from trio_sctp._core.association import Association
from trio_sctp._core.config import Config, StreamSchedulerName
from trio_sctp._core.errors import LocalProtocolError
from trio_sctp._core.events import Message
from trio_sctp._core.packet_builder import PacketBuilder
from trio_sctp._core.rx.data_receiver import DataReceiver
from trio_sctp._core.rx.data_tracker import DataTracker
from trio_sctp._core.rx.reassembly_queue import ReassemblyQueue
from trio_sctp._core.send_options import SendOptions
from trio_sctp._core.states import State
from trio_sctp._core.transmission_control_block import TransmissionControlBlock
from trio_sctp._core.tx import gap_ranges, retransmission_queue
from trio_sctp._core.tx.outstanding_data import OutstandingData
from trio_sctp._core.tx.transmission import Transmission
from trio_sctp._wire import chunks as c
from trio_sctp._wire.packet import encode_packet

pytestmark = pytest.mark.interpreted  # replaces what compiled modules call directly

RUNS = 30
STEPS = 90
UNLIKE = frozenset(
    {
        "_alarm",  # it may ring too early, and is compared by `next_timeout`
        "_bounds",  # what the next SACK need not look for again
        "_companion",  # forgotten when somebody looks at it, and
        "_heap",  # so are entries of no use any more
        "_next_once",  # never below the cumulative TSN ack when it is used
        "alarm",
        "answer_room",  # full before each packet that could use it
    }
)
SIZES = [1, 3, 64, 64, 570, 586, 600, 1000, 1100, 1132, 1136, 1144, 1148, 1172, 1700, 5000, 70_000]
SCHEDULERS = get_args(StreamSchedulerName)
LIMITS: list[SendOptions | None] = [
    None,
    None,
    SendOptions(max_retransmits=0),
    SendOptions(lifetime=0.05),
]


class Way:
    """Which one is gone at this moment."""

    is_plain = False


@pytest.fixture
def way(monkeypatch: pytest.MonkeyPatch) -> Way:
    way = Way()

    def replace(owner: Any, name: str, plain: Callable[..., Any]) -> None:
        short = getattr(owner, name)
        monkeypatch.setattr(
            owner, name, lambda *a, **k: plain(*a, **k) if way.is_plain else short(*a, **k)
        )

    known_bounds, known_changes = DataTracker.gap_ack_blocks, OutstandingData.acknowledge_gaps

    def blocks(tracker: DataTracker, most: int) -> list[int]:
        tracker._bounds.clear()
        return known_bounds(tracker, most)

    def add(queue: ReassemblyQueue, chunk: c.Data, tsn: int) -> str | None:
        return (queue._add_whole if chunk.beginning and chunk.ending else queue._insert)(chunk, tsn)

    replace(receive, "receive_expected", lambda a, packet, now: False)
    replace(DataReceiver, "receive_alone", lambda receiver, packet: False)
    replace(ReassemblyQueue, "add", add)
    replace(DataTracker, "gap_ack_blocks", blocks)
    replace(PacketBuilder, "_only_body", lambda builder, tcb, now: b"")
    replace(PacketBuilder, "_bodies", bodies)
    replace(Transmission, "full_packets", lambda queue, room, limit, now: [])
    replace(OutstandingData, "acknowledge_to", OutstandingData._acknowledge_mixed)
    replace(
        OutstandingData,
        "acknowledge_gaps",
        lambda data, gaps, changed=None: known_changes(data, gaps),
    )
    replace(retransmission_queue, "bounds_of_gaps", gap_ranges._bounds_of_any_gaps)
    return way


def bodies(
    builder: PacketBuilder, tcb: TransmissionControlBlock, state: State, now: float, limit: int
) -> list[bytes]:
    """Packet by packet."""
    made: list[bytes] = []
    while len(made) < limit and builder.may_have(tcb):
        chunks, has_data = builder._next_chunks(tcb, state, now)
        if not chunks:
            break
        made.append(b"".join(chunks))
        if has_data:
            tcb.heartbeat.path_used_at = now
    return made


class NearTheEnd(Random):
    """TSNs begin shortly before they wrap around."""

    def getrandbits(self, k: int) -> int:
        bits = super().getrandbits(k)
        return 0xFFFFFFFF - bits % 500 if k == 32 else bits


class Twins:
    """One end, and the same on the plain way."""

    def __init__(self, way: Way, config: Config, seed: int) -> None:
        self.way = way
        self.twins = [
            Association(config, rng=NearTheEnd(seed), max_path_mtu=1500) for _ in range(2)
        ]
        self.short = self.twins[0]
        self.unread: list[int] = []
        self.coming: list[bytes] = []
        """Packets on their way to it."""

    def do(self, verb: str, *args: Any, **options: Any) -> Any:
        results = []
        for association in self.twins:
            self.way.is_plain = association is not self.short
            try:
                results.append(getattr(association, verb)(*args, **options))
            except LocalProtocolError as error:
                results.append(str(error))
        self.way.is_plain = False
        assert results[0] == results[1], verb
        self._take_events()
        return results[0]

    def _take_events(self) -> None:
        while (event := self.short.next_event()) is not None:
            assert not differences(event, self.twins[1].next_event(), frozenset())
            if isinstance(event, Message):
                self.unread.append(len(event.payload))
        assert not self.twins[1].has_events

    def check(self) -> None:
        assert differences(self.short, self.twins[1], UNLIKE) == []
        assert self.short.next_timeout() == self.twins[1].next_timeout()


def made_up(association: Association, random: Random) -> bytes:
    """What a peer might say that is confused or lies: near misses, mostly."""
    tcb = association.tcb
    assert tcb is not None
    queue, receiver = tcb.retransmission_queue, tcb.data_receiver
    sent = queue.outstanding_count
    acked = queue.cumulative_tsn_ack + random.choice([0, 0, sent, sent, sent // 2, -1])
    start, length = random.choice([2, 2, 3, sent // 2 + 2]), random.choice([0, 1, 5, sent // 3])
    left = queue.next_tsn - 1 - acked
    gaps = (start, start + length) if start + length <= left and random.random() < 0.6 else ()
    window = random.choice([0, 1, 5000, 1 << 20, 1 << 20])
    chunks: list[c.EncodableChunk] = [c.Sack(acked & 0xFFFFFFFF, window, gaps)]
    tsn = receiver.cumulative_tsn_ack + random.choice([1, 1, 1, 2, 3, 0])
    stream_id, payload = random.choice([0, 0, 1, 12]), bytes(random.choice([1, 64, 1000]))
    number = receiver._queue._expected.get(stream_id, 0)
    number += random.choice([0, 0, 0, 1, -1])
    unordered = random.random() < 0.2
    if tcb.capabilities.interleaving:
        number &= 0xFFFFFFFF
        data: c.Data | c.IData = c.IData(
            tsn & 0xFFFFFFFF, stream_id, number, 0, 51, payload, unordered=unordered
        )
    else:
        data = c.Data(
            tsn & 0xFFFFFFFF, stream_id, number & 0xFFFF, 51, payload, unordered=unordered
        )
    chunks = random.choice([chunks, chunks, [data], [*chunks, data]])
    return encode_packet(5000, 5000, association.local_tag, [chunk.encode() for chunk in chunks])


class Life:
    """Both ends, in steps at random."""

    def __init__(self, way: Way, seed: int) -> None:
        self.random = random = Random(seed)
        self.now = 0.0
        self.loss, self.lies = random.choice([0, 0, 0.02, 0.2]), random.choice([0, 0, 0.1, 0.3])
        self.answers = random.choice([0, 0.9])
        self.limits = random.choice([LIMITS[:1], LIMITS])
        config = Config(
            interleaving=bool(seed & 1),
            a_rwnd=random.choice([5000, 30_000, 1 << 20]),
            max_burst=random.choice([1, 4, 1000]),
            stream_scheduler=random.choice(SCHEDULERS),
            congestion_control=random.choice(["rfc9260", "cubic"]),
            loss_recovery=random.choice(["rack", "rfc9260"]),
            path_mtu=random.choice([512, 1200]),
            rto_initial=0.5,
            rto_min=0.2,
            outbound_streams=8,
        )
        self.ends = [Twins(way, config, 2 * seed + which) for which in range(2)]
        self.ends[0].do("connect", now=0.0)
        while any(end.short.state is not State.ESTABLISHED for end in self.ends):
            for end in self.ends:
                self._pull(end, loss=0.0)
                end.do("receive_packets", end.coming, now=0.0)
                end.coming.clear()
        self.steps = 0
        self.most_at_once = 30
        if seed % 6 == 0:
            self._open_windows()

    def _open_windows(self) -> None:
        """A SACK may be for more chunks than are looked at in one step."""
        self.most_at_once = 800
        for end in self.ends:
            for association in end.twins:
                assert association.tcb is not None
                queue = association.tcb.retransmission_queue
                queue.congestion.cwnd = queue.congestion.ssthresh = 1 << 20
                queue._burst_limit = queue.peer_rwnd = 1 << 20

    def step(self) -> None:
        random = self.random
        end = random.choice(self.ends)
        kinds = [self._send, self._receive, self._let_time_pass, self._read, self._wish]
        random.choices(kinds, [25, 40, 15, 10, 5])[0](end)
        if random.random() < 0.9:
            for other in self.ends:
                self._pull(other, self.loss)
        self.steps += 1
        for other in self.ends:
            if self.steps % 10 == 0 or other.short.undelivered_messages < 100:
                other.check()  # which takes as long as much is held

    def _pull(self, end: Twins, loss: float) -> None:
        goal = self.ends[end is self.ends[0]].coming
        for _ in range(1000):
            packets = end.do("packets_to_send", now=self.now, limit=self.random.choice([1, 64]))
            if not packets:
                return
            goal += [packet for packet in packets if self.random.random() >= loss]
        raise AssertionError("it never stops sending")

    def _send(self, end: Twins) -> None:
        random, stream_id = self.random, self.random.choice([0, 0, 0, 1, 2])
        sizes = random.choice([SIZES, [random.choice(SIZES)], [random.choice(SIZES[:4])]])
        options, unordered = random.choice(self.limits), random.random() < 0.3
        count = random.choice([1, 1, 3, self.most_at_once])
        if count > 30:
            sizes = [random.choice(SIZES[:4])]
        for _ in range(count):
            data = bytes([random.randrange(256)]) * random.choice(sizes)
            end.do("send", stream_id, data, unordered=unordered, options=options, now=self.now)

    def _receive(self, end: Twins) -> None:
        random, count = self.random, self.random.choice([1, 1, 2, 20, 200])
        batch = end.coming[:count]
        del end.coming[:count]
        if batch and random.random() < 0.1:
            random.shuffle(batch)
        if batch and random.random() < 0.05:
            batch.append(random.choice(batch))
        if batch and random.random() < 0.05:
            batch[-1] = batch[-1][:-1] + bytes([batch[-1][-1] ^ 4])
        if end.short.tcb is not None and random.random() < self.lies:
            batch.insert(random.randint(0, len(batch)), made_up(end.short, random))
        before = len(end.unread)
        end.do("receive_packets", batch, now=self.now)
        if len(end.unread) > before and random.random() < self.answers:
            end.do("send", 0, b"an answer", now=self.now)

    def _let_time_pass(self, _: Twins) -> None:
        due = min(end.short.next_timeout() for end in self.ends)
        soon = self.now + self.random.choice([0.001, 0.01, 0.05, 0.3])
        self.now = max(self.now, due) if due < math.inf and self.random.random() < 0.6 else soon
        for end in self.ends:
            end.do("handle_timeout", now=self.now)

    def _read(self, end: Twins) -> None:
        for size in end.unread:
            end.do("message_consumed", size)
        end.unread.clear()

    def _wish(self, end: Twins) -> None:
        random, now = self.random, self.now
        wishes: list[Callable[[], object]] = [
            lambda: end.do("reset_streams", random.choice([[0], [1, 2], []]), now=now),
            lambda: end.do("reset_association", now=now),
            lambda: end.do("set_stream_priority", random.randrange(3), random.choice([0, 512])),
            lambda: end.do("set_low_water", random.randrange(3), 1000),
            lambda: end.do("discard_unsent", random.randrange(3), now=now),
            lambda: end.do("request_heartbeat", now=now),
            lambda: end.do("path_changed", now=now),
            lambda: end.do("update_config", stream_scheduler=random.choice(SCHEDULERS), now=now),
            lambda: end.do(random.choice(["shutdown", "abort"]), now=now),
        ]
        random.choice(wishes)()


@pytest.mark.parametrize("seed", range(RUNS))
def test_short_ways_leave_what_plain_ways_leave(seed: int, way: Way) -> None:
    life = Life(way, seed)
    for _ in range(STEPS):
        life.step()
