"""User message interleaving (RFC 8260 §2): two associations that send I-DATA, step by step."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations
from random import Random

import pytest

from tests.support.association_pair import End, Packet, Pair, established_pair, lose_only
from trio_sctp._core.association import Association
from trio_sctp._core.capabilities import Capabilities
from trio_sctp._core.config import Config
from trio_sctp._core.events import (
    AssociationRestarted,
    CloseReason,
    IncomingStreamsReset,
    Message,
    OutgoingStreamsReset,
)
from trio_sctp._core.rx.interleaving import _PartialMessage
from trio_sctp._core.states import State
from trio_sctp._wire import chunks as c
from trio_sctp._wire.error_causes import NoUserData, ProtocolViolation
from trio_sctp._wire.parameters import SupportedExtensions

FULL = 1200 - 12 - 20
"""Payload of an I-DATA chunk that fills a packet."""


def interleaving_pair(scheduler: str = "rr", **options: object) -> Pair:
    """An established pair; round robin, so that the order is easy to tell."""
    return established_pair(interleaving=True, stream_scheduler=scheduler, **options)


def idata(packets: list[Packet]) -> list[c.IData]:
    chunks = [chunk for packet in packets for chunk in packet.chunks]
    assert not any(isinstance(chunk, c.Data) for chunk in chunks)
    return [chunk for chunk in chunks if isinstance(chunk, c.IData)]


def noting(seen: list[c.IData]) -> Callable[[Packet], bool]:
    """For `Pair.lose`: nothing is lost, but all I-DATA seen."""

    def look(packet: Packet) -> bool:
        seen.extend(chunk for chunk in packet.chunks if isinstance(chunk, c.IData))
        return False

    return look


def send_and_pull(pair: Pair, *messages: tuple[int, bytes]) -> list[c.IData]:
    """A sends messages; the chunks that it makes of them are under way."""
    for stream_id, payload in messages:
        pair.send(payload, stream_id)
    return idata(pair.pull())


def large(n: int, fragments: int) -> bytes:
    """A message that takes so many packets, unlike others."""
    return Random(n).randbytes(FULL * fragments)


def received(end: End) -> dict[int, list[bytes]]:
    """The messages so far, by stream, taken off the list."""
    by_stream: dict[int, list[bytes]] = {}
    for message in end.take(Message):
        by_stream.setdefault(message.stream_id, []).append(message.payload)
    return by_stream


# -- negotiation (§2.2.1) ----------------------------------------------------------------------------


@pytest.mark.parametrize("ours", [False, True])
@pytest.mark.parametrize("theirs", [False, True])
def test_used_if_both_ends_announce_it(ours: bool, theirs: bool) -> None:
    pair = Pair()
    pair.a = End("A", Config(interleaving=ours), Random(1))
    pair.z = End("Z", Config(interleaving=theirs), Random(2))
    announced: list[bool] = []

    def look(packet: Packet) -> bool:
        for chunk in packet.chunks:
            if isinstance(chunk, c.Init | c.InitAck):
                types = [p for p in chunk.parameters if isinstance(p, SupportedExtensions)]
                announced.append(c.IData.type in types[0].chunk_types)
        return False

    pair.lose = look
    pair.connect()
    assert announced == [ours, theirs]
    for end, other in ((pair.a, pair.z), (pair.z, pair.a)):
        assert end.association.capabilities.interleaving == (ours and theirs)
        end.association.send(3, large(3, 5), now=0.0)
        end.association.send(3, b"unordered", unordered=True, now=0.0)
        names = {name for packet in pair.pull() for name in packet.names.split(", ")}
        assert names - {"SACK"} == {"I-DATA" if ours and theirs else "DATA"}
        pair.run()
        assert received(other) == {3: [large(3, 5), b"unordered"]}


def test_on_unless_the_program_wants_it_off() -> None:
    assert Config().interleaving
    assert Association(Config(), rng=Random(1)).capabilities == Capabilities()


def test_partial_reliability_goes_with_it_if_the_peer_has_i_forward_tsn() -> None:
    """§2.3.1: with I-DATA FORWARD-TSN is of no use."""
    everything = Capabilities(True, True, True, True)
    old = Capabilities(partial_reliability=True, interleaving=True)
    assert not (everything & old).partial_reliability
    assert (everything & old).interleaving
    plain = Capabilities(partial_reliability=True, interleaved_partial_reliability=True)
    assert everything & plain == Capabilities(partial_reliability=True)
    assert (everything & everything).partial_reliability
    for bits in range(16):
        assert Capabilities.from_bits(bits).to_bits() == bits


# -- the sender (§2.1, §2.2.2) -----------------------------------------------------------------------


def test_fragments_of_messages_alternate() -> None:
    """Figure 2: each chunk is SID/MID/FSN."""
    pair = interleaving_pair()
    chunks = send_and_pull(
        pair, (0, bytes(FULL + 800)), (1, b"1"), (1, b"2"), (1, b"3"), (2, bytes(FULL + 800))
    )
    assert [(k.stream_id, k.mid, k.fsn) for k in chunks] == [
        (0, 0, 0),
        (1, 0, 0),
        (2, 0, 0),  # what fits behind the small one
        (0, 0, 1),
        (1, 1, 0),
        (2, 0, 1),
        (1, 2, 0),
    ]
    tsns = [k.tsn for k in chunks]
    assert tsns == [(tsns[0] + n) % 2**32 for n in range(len(tsns))], "assigned as late as this"
    pair.run()
    assert received(pair.z) == {
        0: [bytes(FULL + 800)],
        1: [b"1", b"2", b"3"],
        2: [bytes(FULL + 800)],
    }


def test_fields_of_the_fragments_of_a_message() -> None:
    pair = interleaving_pair()
    pair.send(large(1, 3), 7, ppid=51)
    pair.send(large(2, 2), 7, ppid=53, unordered=True)
    pair.send(b"x", 7, ppid=50)
    pair.send(b"y", 7, ppid=50, unordered=True)
    pair.pull()
    # the congestion window holds the rest back
    seen: list[c.IData] = []
    pair.lose = noting(seen)
    seen += idata(pair.transit)
    pair.run()
    assert [(k.unordered, k.beginning, k.ending, k.mid, k.fsn, k.ppid) for k in seen] == [
        (False, True, False, 0, 0, 51),
        (False, False, False, 0, 1, 0),
        (False, False, True, 0, 2, 0),
        (True, True, False, 0, 0, 53),
        (True, False, True, 0, 1, 0),
        (False, True, True, 1, 0, 50),
        (True, True, True, 1, 0, 50),
    ], "two counters for each stream, and one message of a stream after the other"
    assert all(len(k.payload) == FULL for k in seen[:5])
    first, second, third, fourth = pair.z.take(Message)
    assert [m.ppid for m in (first, second, third, fourth)] == [51, 53, 50, 50]
    assert [m.unordered for m in (first, second, third, fourth)] == [False, True, False, True]
    assert [m.sequence_number for m in (first, second, third, fourth)] == [0, 0, 1, 1]


@pytest.mark.parametrize("size", [1, FULL - 1, FULL, FULL + 1, 2 * FULL, 100_000])
def test_messages_of_any_size(size: int) -> None:
    pair = interleaving_pair()
    pair.send(bytes(size), 1)
    seen: list[c.IData] = []
    pair.lose = noting(seen)
    pair.run()
    sizes = [len(k.payload) for k in seen]
    assert sum(sizes) == size
    assert max(sizes) <= FULL
    assert len(sizes) == -(-size // FULL)
    assert received(pair.z) == {1: [bytes(size)]}


def test_chunks_count_with_their_headers_and_padding() -> None:
    pair = interleaving_pair()
    chunks = send_and_pull(pair, (0, b"abc"), (1, b"12345"))
    assert pair.a.association.tcb is not None
    assert pair.a.association.tcb.retransmission_queue.flight_size == 24 + 28
    assert [len(k.encode()) for k in chunks] == [24, 28]


def test_a_small_message_is_the_next_chunk_however_much_waits() -> None:
    """RFC 8831 §6.6: a large message does not monopolize the association."""
    pair = interleaving_pair("wfq")
    pair.send(bytes(10_000_000), 1)
    pair.send(bytes(10_000_000), 2)
    for n in range(20):
        pair.pull()
        pair.send(b"%d" % n, 9)
        sent: list[c.IData] = []
        while not sent:
            while pair.transit:
                pair.deliver()
            sent = idata(pair.pull())
        assert sent[0].stream_id == 9
        while pair.transit:
            pair.deliver()
        assert received(pair.z)[9] == [b"%d" % n]


# -- the receiver (§2.2.3) ---------------------------------------------------------------------------


def test_every_order_of_the_fragments() -> None:
    for order in permutations(range(4)):
        pair = interleaving_pair(slow_start_limit=64)
        send_and_pull(pair, (0, large(0, 2)), (1, large(1, 2)), (1, b"end"))
        assert len(pair.transit) >= 4
        first = [pair.transit[i] for i in order]
        pair.transit[:4] = first
        pair.run_for(5.0)
        assert received(pair.z) == {0: [large(0, 2)], 1: [large(1, 2), b"end"]}, order


@pytest.mark.parametrize("index", range(12))
def test_every_single_loss(index: int) -> None:
    """Whatever packet is lost, all arrives, and no chunk is made anew."""
    pair = interleaving_pair()
    count = 0
    wires: dict[int, c.IData] = {}

    def lose(packet: Packet) -> bool:
        nonlocal count
        count += 1
        for chunk in packet.chunks:
            if isinstance(chunk, c.IData):
                chunk.immediate = False  # it may well be asked for another SACK
                assert wires.setdefault(chunk.tsn, chunk) == chunk
        return count == index + 1

    pair.lose = lose
    for stream_id in range(3):
        pair.send(large(stream_id, 3), stream_id)
    pair.send(b"u", 2, unordered=True)
    pair.run_until(done=lambda: not pair.a.association.undelivered_messages)
    assert count > 12
    found = received(pair.z)
    assert sorted(found.pop(2)) == sorted([b"u", large(2, 3)])
    assert found == {0: [large(0, 3)], 1: [large(1, 3)]}


def test_every_duplicate() -> None:
    pair = interleaving_pair()
    send_and_pull(pair, (0, large(0, 2)), (1, large(1, 2)))
    while pair.transit:
        packet = pair.deliver()
        pair.repeat(packet)
        pair.pull()
    assert received(pair.z) == {0: [large(0, 2)], 1: [large(1, 2)]}


def test_tsns_mean_nothing() -> None:
    """A sender may give fragments TSNs in any order, and those of others between them."""
    pair = interleaving_pair()
    assert pair.a.association.tcb is not None
    tsn = pair.a.association.tcb.peer.initial_tsn

    def chunk(n: int, mid: int, fsn: int, payload: bytes, ending: bool = False) -> c.IData:
        begins = not fsn
        return c.IData(
            (tsn + n) % 2**32, 5, mid, fsn, 51 if begins else 0, payload, False, begins, ending
        )

    pair.a.receive(chunk(0, 1, 1, b"b", ending=True), chunk(1, 0, 2, b"3", True), now=0.0)
    pair.a.receive(chunk(2, 0, 0, b"1"), chunk(3, 1, 0, b"a"), now=0.0)
    assert pair.a.payloads == []
    pair.a.receive(chunk(4, 0, 1, b"2"), now=0.0)
    assert pair.a.payloads == [b"123", b"ab"]


def violation(end: End) -> None:
    assert end.closed is not None
    assert end.closed.reason is CloseReason.LOCAL_ABORT
    (cause,) = end.closed.causes
    assert isinstance(cause, ProtocolViolation)


@pytest.mark.parametrize("interleaving", [False, True])
def test_the_chunk_that_was_not_agreed_ends_the_association(interleaving: bool) -> None:
    """§2.2.3: DATA where I-DATA was negotiated, and I-DATA where it was not."""
    pair = established_pair(interleaving=interleaving)
    assert pair.a.association.tcb is not None
    tsn = pair.a.association.tcb.peer.initial_tsn
    wrong = c.Data(tsn, 0, 0, 51, b"x") if interleaving else c.IData(tsn, 0, 0, 0, 51, b"x")
    # Z -> DATA -> A, A -> ABORT -> Z
    (answer,) = pair.a.receive(wrong, now=0.0)
    assert answer.names == "ABORT"
    violation(pair.a)
    assert pair.a.payloads == []


def test_the_chunk_that_was_not_agreed_behind_one_that_was() -> None:
    pair = interleaving_pair()
    assert pair.a.association.tcb is not None
    tsn = pair.a.association.tcb.peer.initial_tsn
    good, bad = c.IData(tsn, 0, 0, 0, 51, b"x"), c.Data((tsn + 1) % 2**32, 0, 0, 51, b"x")
    (answer,) = pair.a.receive(good, bad, now=0.0)
    assert answer.names == "ABORT"
    assert pair.a.payloads == [b"x"]


def test_i_data_without_data() -> None:
    pair = interleaving_pair()
    assert pair.a.association.tcb is not None
    tsn = pair.a.association.tcb.peer.initial_tsn
    (answer,) = pair.a.receive(c.IData(tsn, 0, 0, 0, 51, b""), now=0.0)
    assert answer.names == "ABORT"
    assert pair.a.closed is not None
    assert pair.a.closed.causes == (NoUserData(tsn),)


@pytest.mark.parametrize("state", [State.COOKIE_WAIT, State.CLOSED])
def test_i_data_before_the_association_is_up_is_dropped(state: State) -> None:
    pair = Pair(interleaving=True)
    if state is State.COOKIE_WAIT:
        pair.a.association.connect(now=0.0)
        pair.pull()
    assert pair.a.receive(c.IData(5, 0, 0, 0, 51, b"x"), now=0.0) == []
    assert pair.a.state is state


def test_the_i_bit_is_answered_at_once() -> None:
    """RFC 7053, as for DATA (§2.2)."""
    pair = interleaving_pair()
    assert pair.a.association.tcb is not None
    tsn = pair.a.association.tcb.peer.initial_tsn
    pair.a.receive(c.IData(tsn, 0, 0, 0, 51, b"x"), now=0.0)  # the first is, always
    second = c.IData((tsn + 1) % 2**32, 0, 1, 0, 51, b"x", immediate=True)
    (answer,) = pair.a.receive(second, now=0.0)
    assert answer.names == "SACK"
    assert pair.a.receive(c.IData((tsn + 2) % 2**32, 0, 2, 0, 51, b"x"), now=0.0) == []


# -- numbers wrap (§2.1) -----------------------------------------------------------------------------


def test_mids_wrap() -> None:
    pair = interleaving_pair()
    assert pair.a.association.tcb is not None
    assert pair.z.association.tcb is not None
    stream = pair.a.association.send_queue.streams[4]
    stream.next_mid = stream.next_unordered_mid = 2**32 - 2
    pair.z.association.tcb.data_receiver._queue._expected[4] = 2**32 - 2
    seen: list[c.IData] = []
    pair.lose = noting(seen)
    for n in range(4):
        pair.send(large(n, 2), 4)
        pair.send(b"u%d" % n, 4, unordered=True)
    pair.run()
    mids = [2**32 - 2, 2**32 - 1, 0, 1]
    assert [k.mid for k in seen if k.beginning and not k.unordered] == mids
    assert [k.mid for k in seen if k.beginning and k.unordered] == mids
    messages = pair.z.take(Message)
    assert [m.payload for m in messages if not m.unordered] == [large(n, 2) for n in range(4)]
    assert [m.payload for m in messages if m.unordered] == [b"u%d" % n for n in range(4)]


def test_mids_wrap_under_loss() -> None:
    pair = interleaving_pair()
    assert pair.z.association.tcb is not None
    pair.a.association.send_queue.streams[4].next_mid = 2**32 - 3
    pair.z.association.tcb.data_receiver._queue._expected[4] = 2**32 - 3
    rng = Random(7)
    pair.lose = lambda packet: rng.random() < 0.3
    for n in range(8):
        pair.send(large(n, 2), 4)
    pair.run_until(done=lambda: not pair.a.association.undelivered_messages)
    assert received(pair.z) == {4: [large(n, 2) for n in range(8)]}


def test_no_more_ordered_messages_than_mids_allow() -> None:
    """§2.1: at most 2^31 - 1 of a stream in flight."""
    pair = interleaving_pair()
    send_and_pull(pair, (4, b"1"))
    pair.a.association.send_queue.streams[4].ordered_in_window = 2**31 - 1
    assert [k.payload for k in send_and_pull(pair, (4, b"2"), (5, b"other"))] == [b"other"]
    pair.run()  # the first is acknowledged
    assert received(pair.z) == {4: [b"1", b"2"], 5: [b"other"]}


def test_fsns_wrap_at_the_sender() -> None:
    pair = interleaving_pair()
    send_and_pull(pair, (4, large(0, 9)))
    begun = pair.a.association.send_queue.streams[4].messages[0]
    begun.fsn = 2**32 - 2  # 2^32 fragments cannot be sent here
    while pair.transit:
        pair.deliver()
    fsns: list[int] = []
    while len(fsns) < 3:
        fsns += [k.fsn for k in idata(pair.pull())]
        while pair.transit:
            pair.transit.pop(0) if pair.transit[0].sender == "A" else pair.deliver()
    assert fsns[:3] == [2**32 - 1, 0, 1]


def test_fsns_wrap_at_the_receiver() -> None:
    for order in permutations(range(5)):
        partial = _PartialMessage(10)
        # it has gone on for so long that FSNs are about to wrap
        partial.parts, partial.next_fsn, partial.size = [b""], 2**32 - 2, 1
        for n in order:
            fsn = (2**32 - 2 + n) % 2**32
            chunk = c.IData(20 + n, 4, 0, fsn, 0, b"%d" % n, False, False, n == 4)
            assert partial.add(chunk, 20 + n) is None
            assert partial.whole == (len(partial.parts) == 6)
        assert b"".join(partial.parts) == b"01234"
        assert not partial.early


# -- stream reset (§2.3.2) ---------------------------------------------------------------------------


def test_a_reset_sets_both_counters_to_0() -> None:
    pair = interleaving_pair()

    def numbers(stream_id: int) -> list[tuple[bool, int]]:
        """Of the messages so far: are they unordered, and their MIDs."""
        messages = [m for m in pair.z.take(Message) if m.stream_id == stream_id]
        return sorted((m.unordered, m.sequence_number) for m in messages)

    for _ in range(3):
        pair.send(large(0, 2), 1)
        pair.send(b"u", 1, unordered=True)
        pair.send(b"other", 2)
    # A -> RE-CONFIG -> Z after the last of its messages, Z -> RE-CONFIG -> A
    pair.a.association.reset_streams([1], now=pair.now)
    pair.run()
    assert numbers(1) == [(False, 0), (False, 1), (False, 2), (True, 0), (True, 1), (True, 2)]
    assert pair.a.take(OutgoingStreamsReset) == [OutgoingStreamsReset((1,), True)]
    assert pair.z.take(IncomingStreamsReset) == [IncomingStreamsReset((1,))]
    pair.send(b"o", 1)
    pair.send(b"u", 1, unordered=True)
    pair.run()
    assert numbers(1) == [(False, 0), (True, 0)]
    pair.send(b"other", 2)
    pair.run()
    assert numbers(2) == [(False, 3)]


@pytest.mark.parametrize("index", range(14))
def test_a_reset_while_another_stream_is_in_the_midst_of_a_message(index: int) -> None:
    """The reset waits for its own stream only, and any packet may be lost."""
    pair = interleaving_pair()
    pair.lose = lose_only(index)
    pair.send(large(1, 12), 1)
    pair.send(large(2, 2), 2)
    pair.a.association.reset_streams([2], now=pair.now)
    pair.run_until(done=lambda: bool(pair.a.take(OutgoingStreamsReset)))
    pair.send(b"anew", 2)
    pair.run_until(done=lambda: not pair.a.association.undelivered_messages)
    messages = pair.z.take(Message)
    assert [m.payload for m in messages if m.stream_id == 1] == [large(1, 12)]
    of_2 = [(m.payload, m.sequence_number) for m in messages if m.stream_id == 2]
    assert of_2 == [(large(2, 2), 0), (b"anew", 0)]
    assert pair.z.take(IncomingStreamsReset) == [IncomingStreamsReset((2,))]


def test_a_reset_of_all_streams_waits_for_what_was_begun() -> None:
    pair = interleaving_pair()
    for stream_id in range(4):
        pair.send(large(stream_id, 4), stream_id)
    pair.pull()
    pair.a.association.reset_streams([0, 1, 2, 3], now=pair.now)
    pair.run()
    assert received(pair.z) == {n: [large(n, 4)] for n in range(4)}
    assert sorted(sum([e.stream_ids for e in pair.z.take(IncomingStreamsReset)], ())) == [
        0,
        1,
        2,
        3,
    ]
    assert {k.mid for k in send_and_pull(pair, *[(n, b"x") for n in range(4)])} == {0}


# -- another peer (RFC 9260 §5.2) --------------------------------------------------------------------


@pytest.mark.parametrize("before", [False, True])
def test_a_peer_that_restarts_may_have_changed_its_mind(before: bool) -> None:
    pair = established_pair(interleaving=True) if before else established_pair()
    pair.send(b"1", 1)
    pair.run()
    z = End("Z", pair.z.association.config.replace(interleaving=not before), Random("anew"))
    a_offers = pair.a.association.config.interleaving
    pair.z = z
    z.association.connect(now=pair.now)
    pair.run()
    assert pair.a.take(AssociationRestarted)
    uses = a_offers and not before
    assert pair.a.association.capabilities.interleaving is z.association.capabilities.interleaving
    assert z.association.capabilities.interleaving is uses
    pair.send(large(1, 3), 1)
    pair.run()
    assert received(z) == {1: [large(1, 3)]}


def test_what_went_with_the_cookie_is_sent_as_data_if_the_peer_turns_out_to_be_another() -> None:
    """RFC 9260 §5.2.4 B: the new peer has nothing of it, and does without I-DATA."""
    pair = Pair(interleaving=True, stream_scheduler="rr")
    for n in range(3):
        pair.send(large(n, 3), n)
        pair.send(b"u%d" % n, 0, unordered=True)
    pair.send(b"last", 0)
    pair.a.association.connect(now=0.0)
    echo = pair.pull_cookie_echo()
    # A -> COOKIE ECHO, I-DATA -> lost, and Z with it
    assert echo.names.startswith("COOKIE ECHO, I-DATA")
    pair.transit.clear()
    z = pair.z = End("Z", Config(interleaving=False), Random("another"))
    # Z -> INIT -> A -> INIT ACK -> Z -> COOKIE ECHO -> A
    z.association.connect(now=0.0)
    pair.exchange.clear()
    pair.run_until(done=lambda: not pair.a.association.undelivered_messages)
    assert not pair.a.association.capabilities.interleaving
    assert not any("I-DATA" in line for line in pair.exchange)
    messages = z.take(Message)
    for n in range(3):
        of_n = [
            (m.payload, m.sequence_number) for m in messages if m.stream_id == n and not m.unordered
        ]
        assert of_n == [(large(n, 3), 0), (b"last", 1)][: 1 + (n == 0)]
    assert sorted(m.payload for m in messages if m.unordered) == [b"u0", b"u1", b"u2"]
