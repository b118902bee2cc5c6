"""Two associations stepped through virtual time, with every packet under way in the test's hands.

`Pair` has two ends, ``a`` and ``z``.  What an end sends is pulled into ``pair.transit``, from where a
test delivers, drops, repeats or reorders it; or `Pair.run` delivers everything at once, and
`Pair.run_until` lets timers expire as well.  ``pair.exchange`` is the story so far, one line per packet
sent (``A -> COOKIE ECHO, DATA -> Z``; lost ones as ``A -> INIT -> lost``), for a test to compare.

Every packet is checked as it is pulled for what holds of all packets (`check_packet`), and every end
after each input for what holds of all associations (`check_association`).  A test that plays the peer
itself gives chunks to `End.receive` and reads `End.sent`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from random import Random
from typing import Any, NamedTuple, TypeVar

from trio_sctp._core.association import Association
from trio_sctp._core.config import Config
from trio_sctp._core.events import AssociationClosed, AssociationUp, Event, Message
from trio_sctp._core.responder import Responder
from trio_sctp._core.states import SENDING, SETTING_UP, State
from trio_sctp._wire import chunks as c
from trio_sctp._wire.packet import checksum_ok, decode_chunks, decode_header, encode_packet

__all__ = [
    "PLAIN",
    "End",
    "Packet",
    "Pair",
    "check_association",
    "check_packet",
    "check_packet_of",
    "established_pair",
    "name_of",
    "packet_to",
    "pair_in_state",
]

T = TypeVar("T")

_NAMES = {
    0: "DATA",
    1: "INIT",
    2: "INIT ACK",
    3: "SACK",
    4: "HEARTBEAT",
    5: "HEARTBEAT ACK",
    6: "ABORT",
    7: "SHUTDOWN",
    8: "SHUTDOWN ACK",
    9: "ERROR",
    10: "COOKIE ECHO",
    11: "COOKIE ACK",
    14: "SHUTDOWN COMPLETE",
    64: "I-DATA",
    130: "RE-CONFIG",
    132: "PAD",
    192: "FORWARD TSN",
    194: "I-FORWARD-TSN",
}
PLAIN = Config(interleaving=False)
"""Defaults, with DATA as RFC 9260 has it and not I-DATA."""

ALONE = {"INIT", "INIT ACK", "SHUTDOWN COMPLETE"}
DATA_CHUNKS = {"DATA", "I-DATA"}


def name_of(chunk: c.Chunk) -> str:
    """The RFC's name of a chunk."""
    return _NAMES.get(chunk.type, f"chunk {chunk.type}")


class Packet(NamedTuple):
    """A packet that an end has sent."""

    sender: str
    raw: bytes

    @property
    def tag(self) -> int:
        return decode_header(self.raw)[2]

    @property
    def ports(self) -> tuple[int, int]:
        return decode_header(self.raw)[:2]

    @property
    def chunks(self) -> list[c.Chunk]:
        return decode_chunks(self.raw)

    @property
    def names(self) -> str:
        return ", ".join(map(name_of, self.chunks))

    def chunk(self, kind: type[T]) -> T:
        """The first chunk of a type; AssertionError if there is none."""
        for chunk in self.chunks:
            if isinstance(chunk, kind):
                return chunk
        raise AssertionError(f"no {kind.__name__} in {self.names}")


def packet_to(
    association: Association,
    *chunks: c.EncodableChunk | bytes,
    tag: int | None = None,
    source_port: int | None = None,
    destination_port: int | None = None,
) -> bytes:
    """A packet that the peer of an association might send, with the right tag and ports or others."""
    config = association.config
    return encode_packet(
        config.remote_port if source_port is None else source_port,
        config.local_port if destination_port is None else destination_port,
        association.local_tag if tag is None else tag,
        [chunk if isinstance(chunk, bytes) else chunk.encode() for chunk in chunks],
    )


def check_packet(packet: Packet, path_mtu: int) -> None:
    """What RFC 9260 §3, §6.8 and §6.10 ask of every packet."""
    assert checksum_ok(packet.raw)
    check_packet_of(packet.raw, packet.chunks, path_mtu)


def check_packet_of(packet: bytes, chunks: Sequence[c.Chunk], path_mtu: int) -> None:
    """The same apart from the checksum, which a packet over DTLS may do without (RFC 9653)."""
    names = [name_of(chunk) for chunk in chunks]
    assert chunks, "an empty packet"
    assert not any(isinstance(chunk, c.MalformedChunk) for chunk in chunks), names
    assert len(packet) <= path_mtu, f"{len(packet)} bytes: {names}"
    assert (decode_header(packet)[2] == 0) == ("INIT" in names), "the tag is 0 with INIT only"
    assert len(names) == 1 or not ALONE.intersection(names), names
    assert "COOKIE ECHO" not in names[1:], names
    assert "COOKIE ACK" not in names[1:], names
    data = [name in DATA_CHUNKS for name in names]
    assert data == sorted(data), f"DATA before control chunks: {names}"
    assert not DATA_CHUNKS.issubset(names), "RFC 8260 §2.2.1: the one or the other"
    if any(data):
        assert not {"ABORT", "SHUTDOWN", "SHUTDOWN ACK"}.intersection(names), names
    tsns = [chunk.tsn for chunk in chunks if isinstance(chunk, c.Data | c.IData)]
    assert all(0 < (b - a) % 2**32 < 2**31 for a, b in pairwise(tsns)), tsns


def check_association(association: Association, *, drained: bool = False) -> None:
    """What holds of an association after any input, and (drained) when all packets were pulled."""
    state, tcb = association.state, association.tcb
    wakes_at = association.wakes_at
    assert wakes_at <= association.next_timeout(), "whoever sleeps until then misses a timer"
    if association.ended:
        assert state is State.CLOSED
        assert tcb is None
        assert association.local_tag == 0
        assert association.undelivered_messages == 0
    if state is State.CLOSED:
        assert association.next_timeout() == math.inf, "a timer runs in CLOSED"
        return
    assert association.local_tag != 0
    assert (association.initiator is not None) == (state in SETTING_UP)
    assert association.next_timeout() > -math.inf
    if tcb is None:
        assert state is State.COOKIE_WAIT
        return
    assert tcb.peer.tag != 0
    queue = tcb.retransmission_queue
    assert queue.flight_size >= 0
    assert queue.peer_rwnd >= 0
    assert queue.outstanding_count == queue.next_tsn - queue.cumulative_tsn_ack - 1
    if drained and queue.outstanding_count and state in SENDING:
        assert queue.t3_rtx.running, "data is outstanding and T3-rtx does not run"
    assert 0 <= tcb.data_receiver.a_rwnd <= association.config.a_rwnd
    assert tcb.error_count <= association.config.association_max_retrans
    if state in (State.SHUTDOWN_SENT, State.SHUTDOWN_ACK_SENT):
        assert association.ending.t2_shutdown.running
        assert not tcb.heartbeat.interval_timer.running
        assert not queue.outstanding_count, "a shutdown before all data was acknowledged"


class End:
    """One association, its events so far, and what it has sent."""

    def __init__(
        self, name: str, config: Config, rng: Random, responder: Responder | None = None
    ) -> None:
        self.name = name
        self.association = Association(config, rng=rng, responder=responder)
        self.events: list[Event] = []
        self.reading = True
        """Messages are consumed as they come."""
        self.max_packet = config.path_mtu
        """What `check_packet` allows; a test that provokes a larger one may raise it."""
        self._closed: AssociationClosed | None = None

    @property
    def state(self) -> State:
        return self.association.state

    def drain(self, now: float) -> None:
        """Take all events."""
        while (event := self.association.next_event()) is not None:
            assert self._closed is None, f"{event} after the end"
            if isinstance(event, AssociationClosed):
                self._closed = event
            self.events.append(event)
            if self.reading and isinstance(event, Message):
                self.association.message_consumed(len(event.payload))

    def take(self, kind: type[T]) -> list[T]:
        """The events of one kind so far; they are taken off the list."""
        found: list[T] = [event for event in self.events if isinstance(event, kind)]
        self.events = [event for event in self.events if not isinstance(event, kind)]
        return found

    @property
    def payloads(self) -> list[bytes]:
        """The payloads of the messages so far, taken off the list."""
        return [message.payload for message in self.take(Message)]

    @property
    def closed(self) -> AssociationClosed | None:
        """How it ended, if it has."""
        return self._closed

    def pull(self, now: float) -> list[Packet]:
        """All packets that may go out now, checked."""
        packets: list[Packet] = []
        while raw := self.association.packets_to_send(now=now):
            packets += [Packet(self.name, packet) for packet in raw]
            assert len(packets) < 10_000, "it never stops sending"
        for packet in packets:
            check_packet(packet, self.max_packet)
        self.drain(now)
        check_association(self.association, drained=True)
        return packets

    def give(self, raw: Iterable[bytes], now: float) -> None:
        """Packets arrive, as one batch."""
        self.association.receive_packets(list(raw), now=now)
        self.drain(now)
        check_association(self.association)

    def receive(
        self, *chunks: c.EncodableChunk | bytes, now: float, tag: int | None = None
    ) -> list[Packet]:
        """One packet of these chunks arrives from the peer; returns what is sent in answer."""
        self.give([packet_to(self.association, *chunks, tag=tag)], now)
        return self.pull(now)

    def expire(self, now: float) -> None:
        """Time has come to ``now``."""
        self.association.handle_timeout(now=now)
        self.drain(now)
        check_association(self.association)


class Pair:
    """Two ends, the packets between them and the time.

    Both have the same configuration, the defaults with ``changes``, unless others are given.
    """

    def __init__(
        self,
        config: Config | None = None,
        *,
        config_z: Config | None = None,
        seed: int = 0,
        interleaving: bool = False,
        **changes: Any,
    ) -> None:
        """Without ``interleaving`` the ends use DATA, which RFC 9260 is about, whatever is given."""
        config = (config or Config()).replace(interleaving=interleaving, **changes)
        config_z = config_z and config_z.replace(interleaving=interleaving)
        self.a = End("A", config, Random(f"{seed} a"))
        self.z = End("Z", config_z or config, Random(f"{seed} z"))
        self.now = 0.0
        self.transit: list[Packet] = []
        """Packets under way, in the order in which they were sent."""
        self.exchange: list[str] = []
        self.lose: Callable[[Packet], bool] = lambda packet: False
        """Whether a packet is lost when it is sent."""

    # -- packet by packet --------------------------------------------------------------------------

    def pull(self) -> list[Packet]:
        """What both ends send now is under way; returns these packets (lost ones are missing)."""
        sent: list[Packet] = []
        for end in (self.a, self.z):
            for packet in end.pull(self.now):
                lost = self.lose(packet)
                goal = "lost" if lost else self.other(packet).name
                self.exchange.append(f"{packet.sender} -> {packet.names} -> {goal}")
                if not lost:
                    sent.append(packet)
        self.transit += sent
        return sent

    def other(self, packet: Packet) -> End:
        """Where a packet goes to."""
        return self.z if packet.sender == "A" else self.a

    def deliver(self, index: int = 0) -> Packet:
        """A packet under way arrives, the oldest as a rule."""
        packet = self.transit.pop(index)
        self.repeat(packet)
        return packet

    def repeat(self, packet: Packet) -> None:
        """A packet arrives (again)."""
        self.other(packet).give([packet.raw], self.now)

    def drop(self, index: int = 0) -> Packet:
        """A packet under way is lost."""
        return self.transit.pop(index)

    def pull_cookie_echo(self) -> Packet:
        """After `connect` of one end: as far as its COOKIE ECHO, which is under way."""
        for _ in ("INIT", "INIT ACK"):
            self.pull()
            self.deliver()
        packet, *_ = self.pull()
        assert packet.names.startswith("COOKIE ECHO")
        return packet

    # -- until nothing more happens ----------------------------------------------------------------

    def run(self) -> None:
        """Deliver everything in order, in no time, until both ends are silent."""
        for _ in range(10_000):
            self.pull()
            if not self.transit:
                return
            while self.transit:
                self.deliver()
        raise AssertionError("they never fall silent")

    def next_timeout(self) -> float:
        return min(self.a.association.next_timeout(), self.z.association.next_timeout())

    def run_until(self, time: float = math.inf, *, done: Callable[[], bool] | None = None) -> None:
        """Run, let timers expire in their order, and so on: until a time, or until ``done()``."""
        self.run()
        for _ in range(100_000):
            if done is not None and done():
                return
            due = self.next_timeout()
            if due > time or due == math.inf:
                assert done is None, f"it does not come about: {self.a.state}, {self.z.state}"
                self.now = max(self.now, time) if time < math.inf else self.now
                return
            self.now = max(self.now, due)
            self.a.expire(self.now)
            self.z.expire(self.now)
            self.run()
        raise AssertionError("too many timers")

    def run_for(self, seconds: float) -> None:
        self.run_until(self.now + seconds)

    # -- shortcuts ---------------------------------------------------------------------------------

    def send(self, payload: bytes = b"x", stream_id: int = 0, **options: Any) -> None:
        """A sends a message."""
        self.a.association.send(stream_id, payload, now=self.now, **options)

    def take_exchange(self) -> list[str]:
        """The story since the last call."""
        story, self.exchange = self.exchange, []
        return story

    def connect(self) -> None:
        """A -> INIT -> Z, and so on until both are established; the story begins after that."""
        self.a.association.connect(now=self.now)
        self.run()
        for end in (self.a, self.z):
            assert end.state is State.ESTABLISHED
            assert end.take(AssociationUp)
        self.exchange.clear()


def lose_first(*names: str) -> Callable[[Packet], bool]:
    """Lose the first packet that begins with each of the chunks named."""
    left = list(names)

    def lose(packet: Packet) -> bool:
        name = packet.names.split(", ")[0]
        if name not in left:
            return False
        left.remove(name)
        return True

    return lose


def lose_only(number: int) -> Callable[[Packet], bool]:
    """Lose one of all packets, counted from 0 on."""
    numbers = itertools.count()
    return lambda packet: next(numbers) == number


def established_pair(**options: Any) -> Pair:
    """A `Pair` after the handshake, with no events left and an empty story."""
    pair = Pair(**options)
    pair.connect()
    return pair


def pair_in_state(state: State, **options: Any) -> Pair:
    """A pair of which A is in the state, with nothing under way and no events left.

    Z is where that leaves it: what A sent last is lost.
    """
    pair = Pair(**options)
    a, z = pair.a, pair.z
    if state in (State.COOKIE_WAIT, State.COOKIE_ECHOED):
        a.association.connect(now=pair.now)
        if state is State.COOKIE_ECHOED:
            pair.pull_cookie_echo()
    elif state is not State.CLOSED:
        pair.connect()
    if state is State.SHUTDOWN_PENDING:
        pair.send(b"unacknowledged")
        a.association.shutdown(now=pair.now)
    elif state is State.SHUTDOWN_SENT:
        a.association.shutdown(now=pair.now)
    elif state in (State.SHUTDOWN_RECEIVED, State.SHUTDOWN_ACK_SENT):
        z.association.shutdown(now=pair.now)
        pair.pull()
        if state is State.SHUTDOWN_RECEIVED:
            pair.send(b"unacknowledged")
        pair.deliver()
    pair.pull()
    pair.transit.clear()
    pair.exchange.clear()
    a.events.clear()
    z.events.clear()
    assert a.state is state
    return pair
