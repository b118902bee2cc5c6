"""Messages that are given up (RFC 3758, RFC 7496): both ends, in scripts, with DATA and with I-DATA."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.association_pair import Pair, established_pair
from tests.support.partial_reliability import ONCE, PrPair, is_forward_tsn
from tests.support.tx_sender import partial_bytes_acked
from trio_sctp._core import capabilities
from trio_sctp._core.capabilities import Capabilities
from trio_sctp._core.errors import LocalProtocolError
from trio_sctp._core.events import (
    AssociationClosed,
    BufferedAmountLow,
    CloseReason,
    IncomingStreamsReset,
    Outcome,
    OutgoingStreamsReset,
    SendBufferDrained,
    StreamDelivered,
)
from trio_sctp._core.send_options import SendOptions
from trio_sctp._core.states import State
from trio_sctp._wire import chunks as c

MakePair = Callable[..., PrPair]

FULL = 1168
"""Payload that fills a packet, with I-DATA; with DATA there is room for four bytes more."""


@pytest.fixture(params=[False, True], ids=["DATA", "I-DATA"])
def interleaving(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def make_pair(interleaving: bool) -> MakePair:
    def make(**options: Any) -> PrPair:
        return PrPair(interleaving=interleaving, **options)

    return make


def deliver_all(pair: PrPair) -> None:
    """Deliver everything under way before anything answers it."""
    for _ in range(len(pair.transit)):
        pair.deliver()


def entry(interleaving: bool, stream_id: int, number: int) -> tuple[Any, ...]:
    return (stream_id, False, number) if interleaving else (stream_id, number)


# -- the normal course


def test_last_message_is_lost(make_pair: MakePair, interleaving: bool) -> None:
    # A -> DATA -> lost
    # A -> FORWARD TSN -> Z       T3-rtx has expired
    # Z -> SACK -> A
    pair = make_pair()
    data, forward = ("I-DATA", "I-FORWARD-TSN") if interleaving else ("DATA", "FORWARD TSN")
    pair.lost = lambda tsn: tsn == 1
    pair.send(b"lost", options=ONCE, context=1)
    pair.a.association.watch_send_buffer()
    pair.run_for(5)
    assert pair.take_exchange() == [
        f"A -> {data} -> lost",
        f"A -> {forward} -> Z",
        "Z -> SACK -> A",
    ]
    assert pair.outcomes == [(1, Outcome.ABANDONED_RETRANSMISSIONS)]
    assert pair.a.take(SendBufferDrained)
    assert pair.forward_tsns == [(1, [entry(interleaving, 0, 0)])]
    pair.send(b"next")
    pair.run()
    assert pair.received == [b"next"]
    assert pair.a.association.next_timeout() > pair.now + 20  # nothing but the heartbeat


def test_lost_message_among_others_is_skipped_at_once(
    make_pair: MakePair, interleaving: bool
) -> None:
    # A -> DATA 1 -> lost, DATA 2 3 4 -> Z; with the third SACK FORWARD TSN goes, and DATA 5 with it
    pair = make_pair()
    pair.lost = lambda tsn: tsn == 1
    pair.send_each([b"1", b"2", b"3", b"4"], options=ONCE)
    began = pair.now
    for _ in range(3):
        pair.deliver()
        pair.pull()
    for _ in range(2):
        pair.deliver()
        pair.pull()
    assert pair.received == []
    pair.send(b"5", options=ONCE)
    pair.deliver()
    (packet,) = pair.pull()
    assert [type(chunk) for chunk in packet.chunks] == (
        [c.IForwardTsn, c.IData] if interleaving else [c.ForwardTsn, c.Data]
    )
    pair.run()
    assert pair.received == [b"2", b"3", b"4", b"5"]
    assert pair.now == began
    assert pair.transmissions == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("limit", [0, 1, 3])
def test_message_is_sent_again_so_often_and_no_more(make_pair: MakePair, limit: int) -> None:
    """Field notes §2: `maxRetransmits: 0` is no retransmission, not any number of them."""
    pair = make_pair()
    pair.lost = lambda tsn: tsn == 1
    pair.send(b"lost", options=SendOptions(max_retransmits=limit), context="it")
    pair.send(b"next", stream_id=1, options=ONCE)
    pair.run_for(60)
    assert pair.transmissions.count(1) == limit + 1
    assert pair.outcomes == [("it", Outcome.ABANDONED_RETRANSMISSIONS)]
    statistics = pair.a.association.statistics()
    assert statistics.messages_abandoned_sent >= 1
    assert statistics.messages_abandoned_unsent == 0


def test_fast_and_timed_retransmissions_count_alike(make_pair: MakePair) -> None:
    # RFC 7496 §3.1
    pair = make_pair()
    pair.lost = lambda tsn: tsn == 1
    pair.send_each([b"%d" % i for i in range(6)], options=SendOptions(max_retransmits=1))
    pair.run()
    assert pair.transmissions.count(1) == 2  # it was fast retransmitted
    pair.run_for(10)
    assert pair.transmissions.count(1) == 2
    assert pair.received == [b"%d" % i for i in range(1, 6)]


def test_message_that_arrives_in_time_is_not_given_up(make_pair: MakePair) -> None:
    pair = make_pair()
    pair.send(b"x", options=SendOptions(max_retransmits=0, lifetime=0.0), context="x")
    pair.run_for(5)
    assert pair.received == [b"x"]
    assert pair.outcomes == [("x", Outcome.DELIVERED)]
    assert pair.forward_tsns == []


# -- lifetime (RFC 3758 §4.1)


def test_lifetime_is_counted_from_send(make_pair: MakePair) -> None:
    """Field notes §2: lifetime counted from first transmission instead of from `send`."""
    pair = make_pair(a_rwnd=3000)
    pair.z.reading = False
    pair.send(bytes(3000))
    pair.run_for(3)  # the window is full
    began = pair.now
    pair.send(b"queued", options=SendOptions(lifetime=0.5), context="queued")
    pair.run_for(0.45)
    assert pair.a.association.unsent_bytes(0) == 6
    pair.run_for(0.1)
    assert pair.outcomes == [("queued", Outcome.ABANDONED_LIFETIME)]
    assert began + 0.5 < pair.now < began + 0.6
    assert pair.a.association.unsent_bytes(0) == 0
    assert pair.a.association.undelivered_messages == 0
    statistics = pair.a.association.statistics()
    assert statistics.messages_abandoned_unsent == 1
    # TR3: it never had a TSN, so the peer need not hear of it
    pair.z.association.message_consumed(3000)
    pair.send(b"next")
    pair.run_for(10)
    assert pair.received == [bytes(3000), b"next"]
    assert pair.forward_tsns == []


def test_expired_message_is_not_sent_even_if_the_timer_is_late(make_pair: MakePair) -> None:
    # TR3: packets are pulled before anybody has called handle_timeout
    pair = make_pair()
    pair.send(b"late", options=SendOptions(lifetime=0.1), context="late")
    pair.a.association.watch_send_buffer()
    pair.now += 0.2
    assert pair.pull() == []
    pair.a.drain(pair.now)
    assert pair.outcomes == [("late", Outcome.ABANDONED_LIFETIME)]
    assert pair.a.take(SendBufferDrained)


def test_lost_message_is_repeated_only_while_it_lives(make_pair: MakePair) -> None:
    # TR4.  RTO: 1, 2, 4 seconds
    pair = make_pair()
    pair.lost = lambda tsn: tsn == 1
    pair.send(b"lost", options=SendOptions(lifetime=2.0), context="it")
    pair.run_for(0.9)
    assert pair.outcomes == []
    pair.run_for(1.6)
    assert pair.transmissions == [1, 1]
    assert pair.outcomes == []  # it may have arrived this time
    pair.run_for(2)
    assert pair.transmissions == [1, 1]
    assert pair.outcomes == [("it", Outcome.ABANDONED_LIFETIME)]
    assert len(pair.forward_tsns) == 1


def test_message_whose_acknowledgement_comes_after_its_lifetime_was_delivered(
    make_pair: MakePair,
) -> None:
    pair = make_pair()
    pair.send(b"x", options=SendOptions(lifetime=0.1), context="x")
    pair.pull()
    pair.deliver()
    pair.pull()
    pair.now += 0.5
    pair.a.expire(pair.now)
    pair.run()
    assert pair.outcomes == [("x", Outcome.DELIVERED)]
    assert pair.forward_tsns == []


def test_lifetimes_end_in_their_own_order_and_free_the_buffer(make_pair: MakePair) -> None:
    pair = make_pair()
    association = pair.a.association
    association.set_low_water(1, 2000)
    for name, lifetime in (("c", 3.0), ("a", 1.0), ("never", None), ("b", 2.0)):
        options = SendOptions(lifetime=lifetime)
        pair.send(bytes(1000), stream_id=1, options=options, context=name)
    assert association.unsent_bytes(1) == 4000
    for name, left in (("a", 3000), ("b", 2000), ("c", 1000)):
        assert not pair.a.take(BufferedAmountLow)
        due = association.next_timeout()
        assert due == pytest.approx(pair.now + 1, abs=0.01)
        pair.now = due
        pair.a.expire(pair.now)
        assert pair.outcomes == [(name, Outcome.ABANDONED_LIFETIME)]
        assert association.unsent_bytes(1) == left
        if name == "b":
            assert pair.a.take(BufferedAmountLow) == [BufferedAmountLow(1)]
    pair.run()
    assert pair.outcomes == [("never", Outcome.DELIVERED)]


def test_thousands_of_expired_messages_behind_one_that_lives_cost_no_memory(
    make_pair: MakePair,
) -> None:
    pair = make_pair()
    pair.send(b"lives")
    for _ in range(50):
        for _ in range(40):
            pair.send(bytes(100), options=SendOptions(lifetime=0.01))
        pair.now += 0.1
        pair.a.expire(pair.now)
    stream = pair.queue._send_queue.streams.by_id[0]
    assert len(stream.messages) < 5
    assert pair.a.association.statistics().messages_abandoned_unsent == 2000
    pair.run()
    assert pair.received == [b"lives"]
    assert pair.forward_tsns == []


def test_delivered_messages_with_long_lifetimes_are_not_kept(make_pair: MakePair) -> None:
    pair = make_pair()
    for _ in range(500):
        pair.send(b"x", options=SendOptions(lifetime=3600.0))
        pair.run()
    heap = pair.a.association.policies._lifetimes
    assert len(heap._entries) < 50
    assert pair.a.association.next_timeout() < pair.now + 100  # no lifetime is waited for


# -- fragmented messages (RFC 3758 §3.5 A3)


def test_abandoned_fragmented_message_does_not_block_its_stream(make_pair: MakePair) -> None:
    """Field notes §2: an abandoned fragmented message blocks its stream."""
    pair = make_pair()
    pair.lost = lambda tsn: tsn == 2
    pair.send(bytes(4 * FULL), options=ONCE, context="big")
    pair.send(b"next", options=ONCE)
    pair.run_for(5)
    assert pair.received == [b"next"]
    assert pair.outcomes == [("big", Outcome.ABANDONED_RETRANSMISSIONS)]
    assert Counter(pair.transmissions).most_common(1)[0][1] == 1  # no fragment went twice


@pytest.mark.parametrize("lost", [{3}, {1}, set()], ids=["last", "first", "none"])
def test_message_half_of_which_was_never_sent(make_pair: MakePair, lost: set[int]) -> None:
    # What was sent may have arrived wholly: without a TSN that nobody sends, the peer would take the
    # next message for the continuation of this one, and end the association.
    pair = make_pair()
    association = pair.a.association
    pair.lost = lambda tsn: tsn in lost
    options = SendOptions(lifetime=0.01)
    association.send(0, bytes(20 * FULL), options=options, context="big", now=pair.now)
    sent = pair.pull()  # as much as cwnd allows
    assert 0 < len(sent) + len(lost) < 10
    pair.now += 0.1
    pair.a.expire(pair.now)
    assert association.unsent_bytes(0) == association.unacknowledged_bytes(0) == 0
    assert association.undelivered_messages == 0
    pair.send(b"next")
    pair.send(bytes(3 * FULL))
    pair.run_for(10)
    assert pair.received == [b"next", bytes(3 * FULL)]
    assert pair.outcomes == [("big", Outcome.ABANDONED_LIFETIME)]
    assert pair.z.state is State.ESTABLISHED
    assert association.statistics().messages_abandoned_sent == 1


def test_all_that_was_sent_of_an_abandoned_message_was_acknowledged_before(
    make_pair: MakePair,
) -> None:
    # there is no TSN left that the peer misses, but it has half a message
    pair = make_pair()
    options = SendOptions(lifetime=0.05)
    pair.send(bytes(20 * FULL), options=options, context="big")
    sent = len(pair.pull())
    for _ in range(sent):
        pair.deliver()
    for sack in pair.z.pull(pair.now):
        pair.repeat(sack)
    assert pair.queue.outstanding_count == 0
    pair.now += 0.1
    pair.a.expire(pair.now)
    assert pair.outcomes == [("big", Outcome.ABANDONED_LIFETIME)]
    pair.send(b"next")
    pair.run()
    assert pair.received == [b"next"]
    assert [point for point, _ in pair.forward_tsns] == [sent + 1]
    assert pair.z.association.tcb is not None
    assert pair.z.association.tcb.data_receiver._queue.unfinished == 0


def test_abandoned_message_is_not_given_to_the_program_in_part(make_pair: MakePair) -> None:
    # its last fragment arrives after the FORWARD TSN (RFC 3758 §3.6: a duplicate then)
    pair = make_pair()
    pair.lost = lambda tsn: tsn == 1
    pair.send(bytes(2 * FULL), options=ONCE)
    (late,) = pair.pull()
    pair.transit.clear()
    pair.run_for(3)
    assert len(pair.forward_tsns) == 1
    pair.repeat(late)
    (sack,) = pair.pull()
    assert [pair.tsn(tsn) for tsn in sack.chunk(c.Sack).duplicate_tsns] == [2]
    pair.run_for(3)
    assert pair.received == []


def test_interleaved_messages_are_given_up_apart() -> None:
    # With I-DATA the fragments of two messages alternate: one is given up, the other arrives
    pair = PrPair(interleaving=True)
    association = pair.a.association
    options = SendOptions(lifetime=0.01)
    association.send(1, b"a" * 10 * FULL, options=options, now=pair.now)
    association.send(2, b"b" * 10 * FULL, now=pair.now)
    pair.pull()
    assert {chunk.stream_id for p in pair.transit for chunk in p.chunks} == {1, 2}  # type: ignore[union-attr]
    pair.now += 0.1
    pair.a.expire(pair.now)
    pair.send(b"after", stream_id=1)
    pair.run_for(5)
    assert sorted(pair.received) == [b"after", b"b" * 10 * FULL]


# -- FORWARD TSN is lost, late, repeated


def test_lost_forward_tsn_is_sent_again(make_pair: MakePair) -> None:
    """Field notes §2: lost FORWARD-TSN never resent."""
    pair = make_pair()
    pair.lost = lambda tsn: tsn == 1
    pair.lose_forward_tsn = lambda: len(pair.forward_tsns) < 4
    pair.send(b"lost", options=ONCE)
    pair.run_for(3)
    pair.send(b"next", stream_id=1)
    pair.send(b"behind", stream_id=0)
    pair.run_for(60)
    assert len(pair.forward_tsns) == 4
    assert set(pair.received) == {b"next", b"behind"}
    assert pair.queue.outstanding_count == 0
    assert not pair.queue.t3_rtx.running


def test_forward_tsn_counts_against_the_limit_of_retransmissions(make_pair: MakePair) -> None:
    # a peer that has gone is noticed although nothing but FORWARD TSNs is sent
    pair = make_pair(association_max_retrans=3)
    pair.lost = lambda tsn: True
    pair.lose_forward_tsn = lambda: True
    pair.send(b"x", options=ONCE, context="x")
    pair.run_for(60)
    assert pair.a.closed == AssociationClosed(CloseReason.TIMED_OUT)
    assert pair.outcomes == [("x", Outcome.ABANDONED_RETRANSMISSIONS)]


def test_sacks_that_miss_the_point_ask_for_it_once_per_round_trip(make_pair: MakePair) -> None:
    # RFC 3758 §3.5 C3 and F2: FORWARD TSNs are lost while data and SACKs flow
    pair = make_pair(rto_min=10.0)
    pair.queue.congestion.cwnd = 10**6
    pair.lost = lambda tsn: tsn == 101
    pair.lose_forward_tsn = lambda: len(pair.forward_tsns) < 4
    for _ in range(20):  # each takes a round trip of 0.1 s, with 10 SACKs
        pair.send_each([b"x"] * 10, options=ONCE)
        pair.now += 0.05
        for _ in range(len(pair.transit)):
            pair.deliver()
            pair.transit += pair.z.pull(pair.now)
        pair.now += 0.05
        while pair.transit:
            pair.deliver()
            pair.pull()
    assert len(pair.forward_tsns) == 4
    assert len(pair.received) == 199


def test_forward_tsn_overtakes_data(make_pair: MakePair) -> None:
    # A -> DATA 1 -> lost, DATA 2 -> late; FORWARD TSN arrives first, and DATA 2 is a duplicate then
    pair = make_pair()
    pair.lost = lambda tsn: tsn == 1
    pair.send_each([b"1", b"2"], options=ONCE, context="?")
    (late,) = pair.transit
    pair.transit.clear()
    pair.run_for(5)
    assert [point for point, _ in pair.forward_tsns] == [2]
    pair.repeat(late)
    pair.send(b"3")
    pair.run()
    assert pair.received == [b"3"]


def test_data_that_is_held_when_its_forward_tsn_comes_is_delivered(make_pair: MakePair) -> None:
    # RFC 3758 §3.6: stranded messages.  A's SACKs are lost, so it gives up what Z has
    pair = make_pair()
    pair.lost = lambda tsn: tsn == 1
    pair.send_each([b"1", b"2"], options=ONCE, context="?")
    pair.deliver()
    assert pair.received == []
    pair.run_for(5)
    assert [point for point, _ in pair.forward_tsns] in ([1], [2])
    assert pair.received == [b"2"]


def test_forward_tsn_comes_twice(make_pair: MakePair) -> None:
    pair = make_pair()
    pair.lost = lambda tsn: tsn == 1
    pair.send(b"1", options=ONCE)
    pair.pull()
    while not pair.forward_tsns:
        pair.now = pair.next_timeout()
        pair.a.expire(pair.now)
        pair.pull()
    (forward,) = pair.transit
    pair.repeat(forward)
    pair.run()
    pair.send(b"2")
    pair.run()
    pair.repeat(forward)
    pair.send(b"3")
    pair.run()
    assert pair.received == [b"2", b"3"]
    assert len(pair.forward_tsns) == 1


def test_old_forward_tsn_is_answered_by_a_sack_at_once(
    make_pair: MakePair, interleaving: bool
) -> None:
    # RFC 3758 §3.6: the SACK for it may have been lost
    pair = make_pair(sack_delay=0.2)
    pair.lost = lambda tsn: tsn == 1
    pair.send(b"lost", options=ONCE)
    pair.pull()
    pair.run_until(done=lambda: bool(pair.forward_tsns))
    pair.run_for(1)
    pair.send(b"x")
    pair.run_for(1)
    kind = c.IForwardTsn if interleaving else c.ForwardTsn
    assert pair.a.association.tcb is not None
    old = kind(pair.a.association.tcb.local.initial_tsn)
    (answer,) = pair.z.receive(old, now=pair.now)
    assert pair.tsn(answer.chunk(c.Sack).cumulative_tsn_ack) == 2
    assert pair.received == [b"x"]


def test_sack_for_a_forward_tsn_may_be_delayed_as_for_data(
    make_pair: MakePair, interleaving: bool
) -> None:
    # RFC 3758 §3.6
    pair = make_pair(sack_delay=0.2)
    pair.send_each([b"1", b"2"])
    pair.run_for(1)
    assert pair.a.association.tcb is not None
    kind = c.IForwardTsn if interleaving else c.ForwardTsn
    new = kind(pair.a.association.tcb.local.initial_tsn + 2 & 0xFFFFFFFF)
    assert pair.z.receive(new, now=pair.now) == []
    pair.now += 0.2
    pair.z.expire(pair.now)
    (answer,) = pair.z.pull(pair.now)
    assert pair.tsn(answer.chunk(c.Sack).cumulative_tsn_ack) == 3


def test_forward_tsns_of_both_ends_cross(make_pair: MakePair) -> None:
    pair = make_pair()
    for end in (pair.a, pair.z):
        end.association.send(0, b"lost", options=ONCE, now=pair.now)
    pair.pull()
    pair.transit.clear()
    pair.run_for(5)
    for end in (pair.a, pair.z):
        end.association.send(0, b"next", now=pair.now)
    pair.run_for(5)
    assert pair.a.payloads == pair.z.payloads == [b"next"]


def test_point_passes_many_holes_at_once(make_pair: MakePair) -> None:
    # Every second message is lost.  One packet tells of all that is known to be lost, although the
    # peer has gap-acked what lies between: not one hole for each round trip.
    pair = make_pair()
    pair.queue.congestion.cwnd = 10**6
    pair.lost = lambda tsn: tsn % 2 == 1
    pair.send_each([b"%d" % i for i in range(1, 101)], options=ONCE)
    assert len(pair.transit) == 50
    for _ in range(47):
        pair.deliver()
    sacks = []
    for _ in range(3):
        sacks += pair.z.pull(pair.now)
        pair.deliver()
    for sack in sacks:
        pair.repeat(sack)
    (packet,) = filter(is_forward_tsn, pair.pull())
    assert [point for point, _ in pair.forward_tsns] == list(range(1, 94, 2))
    assert len(packet.raw) <= 1200
    pair.run_for(5)
    assert pair.received == [b"%d" % i for i in range(2, 101, 2)]
    assert sum("FORWARD" in line for line in pair.exchange) <= 6


def test_more_holes_than_one_packet_tells_of(make_pair: MakePair) -> None:
    # A peer reads a bounded number of chunks with lists in a packet: no FORWARD TSN may be beyond it.
    pair = make_pair()
    pair.queue.congestion.cwnd = 10**6
    pair.lost = lambda tsn: tsn % 2 == 1
    pair.send_each([b"%d" % i for i in range(1, 301)], options=ONCE)
    pair.run_for(5)
    assert pair.received == [b"%d" % i for i in range(2, 301, 2)]
    assert max(line.count("FORWARD") for line in pair.exchange) == 48
    assert pair.z.association.statistics().dropped == {}


def test_what_waits_between_two_numbers_that_are_skipped_is_told_apart(
    make_pair: MakePair, interleaving: bool
) -> None:
    # Some peers throw away all that waits up to the number that a FORWARD TSN lists for its stream.
    # Lost: 1 and 3 of stream 0, 4 of stream 1.  2 waits, so 1 and 3 take two steps.  5 to 7 may follow.
    pair = make_pair()
    pair.lost = lambda tsn: tsn in (1, 3, 4)
    for stream_id in (0, 0, 0, 1, 2, 2, 2):
        pair.send_each([b"x"], stream_id, options=ONCE)
    deliver_all(pair)
    pair.run_for(5)
    assert pair.forward_tsns == [
        (1, [entry(interleaving, 0, 0)]),
        (4, [entry(interleaving, 0, 2), entry(interleaving, 1, 0)]),
    ]
    (line,) = [line for line in pair.exchange if "FORWARD" in line]
    assert line.count("FORWARD") == 2


def test_unordered_messages_wait_for_nothing(make_pair: MakePair, interleaving: bool) -> None:
    pair = make_pair()
    pair.lost = lambda tsn: tsn in (1, 3)
    pair.send_each([b"%d" % i for i in range(1, 7)], unordered=True, options=ONCE)
    deliver_all(pair)
    pair.run_for(5)
    assert pair.forward_tsns == [(3, [(0, True, 2)] if interleaving else [])]
    assert pair.received == [b"2", b"4", b"5", b"6"]


def test_steps_that_do_not_fit_into_one_packet(make_pair: MakePair) -> None:
    pair = make_pair()
    pair.queue.congestion.cwnd = 10**7
    pair.lost = lambda tsn: tsn % 2 == 1
    pair.send_each([b"%d" % i for i in range(1, 401)], options=ONCE)
    pair.run_for(20)
    assert pair.received == [b"%d" % i for i in range(2, 401, 2)]
    assert pair.queue.outstanding_count == 0


def test_point_stops_before_what_the_peer_must_still_get(make_pair: MakePair) -> None:
    # RFC 3758 §3.5 C2: 1 abandoned, 2 reliable and lost, 3 abandoned
    pair = make_pair()
    held = {1, 2, 3}
    pair.lost = lambda tsn: tsn in held
    pair.send_each([b"1"], options=ONCE)
    pair.send_each([b"2"])
    pair.send_each([b"3"], options=ONCE)
    pair.send_each([b"4", b"5", b"6"], stream_id=1)
    pair.run()
    assert next(point for point, _ in pair.forward_tsns) == 1
    held.clear()
    pair.run_for(30)
    assert pair.received == [b"4", b"5", b"6", b"2"] or b"2" in pair.received
    assert pair.forward_tsns[-1][0] == 3


def test_forward_tsn_lists_each_stream_once_and_fits_a_packet(
    make_pair: MakePair, interleaving: bool
) -> None:
    # RFC 3758 §3.5 C4: 700 streams are skipped, which takes several FORWARD TSNs
    pair = make_pair()
    pair.queue.congestion.cwnd = 10**6
    pair.lost = lambda tsn: True
    for number in range(2):
        for stream_id in range(700):
            pair.send(b"%d" % number, stream_id, options=ONCE)
            if stream_id % 40 == 0:
                pair.pull()
        pair.pull()
    pair.run_for(5)
    assert len(pair.forward_tsns) > 2
    for _, streams in pair.forward_tsns:
        keys = [stream[:-1] for stream in streams]
        assert len(set(keys)) == len(keys)
        size = 8 if interleaving else 4
        assert 8 + size * len(streams) <= 1200 - 12
    pair.lost = lambda tsn: False
    for stream_id in range(700):
        pair.send(b"next", stream_id)
    pair.run_for(5)
    assert pair.received == [b"next"] * 700


def test_unordered_messages_are_listed_only_where_they_have_a_number(
    make_pair: MakePair, interleaving: bool
) -> None:
    # RFC 3758 §3.2, RFC 8260 §2.3.1
    pair = make_pair()
    pair.lost = lambda tsn: True
    pair.send(b"x", 3, unordered=True, options=ONCE)
    pair.run_for(5)
    assert pair.forward_tsns == [(1, [(3, True, 0)] if interleaving else [])]
    pair.lost = lambda tsn: False
    pair.send(bytes(3 * FULL), 3, unordered=True, options=ONCE)
    pair.run_for(5)
    assert pair.received == [bytes(3 * FULL)]


def test_numbers_wrap_around(make_pair: MakePair, interleaving: bool) -> None:
    pair = make_pair()
    queue = pair.queue._send_queue
    stream = queue.streams[0]
    for end_queue in (pair.z.association.tcb,):
        assert end_queue is not None
        end_queue.data_receiver._queue._expected[0] = 0xFFFFFFFF if interleaving else 0xFFFF
    stream.next_ssn, stream.next_mid = 0xFFFF, 0xFFFFFFFF
    pair.lost = lambda tsn: tsn <= 3
    pair.send_each([b"1", b"2", b"3"], options=ONCE)
    pair.run_for(5)
    assert pair.forward_tsns[-1] == (3, [entry(interleaving, 0, 1)])
    pair.send(b"4")
    pair.run_for(5)
    assert pair.received == [b"4"]


# -- what happens around it


def test_flight_size_does_not_leak(make_pair: MakePair) -> None:
    """Field notes §2: flight size leaks (abandoned chunks) until the association wedges."""
    pair = make_pair(rto_min=0.2)
    pair.lost = lambda tsn: tsn % 3 == 0
    for i in range(300):
        size = (1, 500, 5 * FULL)[i % 3]
        pair.send(bytes(size), i % 5, unordered=i % 2 == 0, options=ONCE)
        pair.run_for(0.05)
    pair.lost = lambda tsn: False
    pair.run_for(60)
    assert pair.queue.flight_size == 0
    assert pair.queue.outstanding_count == 0
    pair.send(bytes(100 * FULL))
    pair.run_for(5)
    assert pair.received[-1] == bytes(100 * FULL)


def test_loss_of_abandoned_data_is_a_sign_of_congestion(make_pair: MakePair) -> None:
    # RFC 3758 §3.5 F5
    pair = make_pair()
    pair.queue.congestion.cwnd = cwnd = 40_000
    pair.lost = lambda tsn: tsn == 1
    pair.send_each([bytes(FULL)] * 5, options=ONCE)
    pair.run()
    assert pair.queue.cwnd == pair.queue.ssthresh == cwnd // 2
    pair.lost = lambda tsn: tsn == 6
    pair.send(bytes(FULL), options=ONCE)
    pair.run_for(3)
    assert pair.queue.cwnd == pair.queue.congestion.pmdcs


def test_data_that_was_abandoned_in_flight_and_lost_is_one_too(make_pair: MakePair) -> None:
    # F5 again: its lifetime ended before anybody could know that it was lost
    pair = make_pair()
    pair.queue.congestion.cwnd = cwnd = 20_000
    pair.lost = lambda tsn: tsn == 1
    options = SendOptions(lifetime=0.01)
    pair.a.association.send(0, bytes(40 * FULL), options=options, now=pair.now)
    pair.pull()
    pair.now += 0.05
    pair.a.expire(pair.now)
    assert pair.queue.cwnd == cwnd
    pair.lose_forward_tsn = lambda: True
    while pair.transit:
        pair.deliver()
        pair.pull()
    assert pair.queue.cwnd == cwnd // 2


def test_acknowledgement_of_abandoned_data_does_not_open_the_window(make_pair: MakePair) -> None:
    # RFC 3758 §3.5 A2
    pair = make_pair()
    pair.a.association.send(0, bytes(9 * FULL), options=SendOptions(lifetime=0.0), now=pair.now)
    pair.pull()
    cwnd = pair.queue.cwnd
    pair.now += 0.1
    pair.a.expire(pair.now)
    assert pair.queue.flight_size == 0
    pair.run()
    assert pair.queue.outstanding_count == 0
    assert pair.queue.cwnd == cwnd
    assert partial_bytes_acked(pair.queue) == 0


def test_round_trip_is_not_measured_by_a_forward_tsn(make_pair: MakePair) -> None:
    pair = make_pair()
    before = pair.a.association.rto.srtt  # the handshake's
    pair.lost = lambda tsn: True
    pair.send(b"x", options=ONCE)
    pair.run_for(30)
    assert pair.a.association.rto.srtt == before


def test_closed_window_does_not_hold_a_forward_tsn_back(
    make_pair: MakePair, interleaving: bool
) -> None:
    pair = make_pair(a_rwnd=3000)
    pair.z.reading = False
    pair.lost = lambda tsn: tsn == 1
    pair.send(b"lost", options=ONCE)
    pair.send(bytes(2900), 1)
    pair.send(b"rest", 1)
    pair.run_for(60)
    assert (1, [entry(interleaving, 0, 0)]) in pair.forward_tsns
    assert pair.queue.cumulative_tsn_ack > pair.queue.next_tsn - 4
    for message in pair.received:
        pair.z.association.message_consumed(len(message))
    pair.z.reading = True
    pair.run_for(60)
    assert pair.a.association.undelivered_messages == 0


def test_peer_that_takes_back_what_was_passed(make_pair: MakePair) -> None:
    # RFC 9260 §6.2.1: gap ack blocks are advisory.  1 lost, 2 gap-acked and taken back, 3 lost
    pair = make_pair()
    pair.lost = lambda tsn: True
    pair.send_each([b"%d" % i for i in range(1, 7)], options=ONCE, context="?")
    wire = pair.a.association.tcb.local.initial_tsn  # type: ignore[union-attr]

    def sack(*blocks: tuple[int, int]) -> None:
        pair.a.receive(c.Sack(wire - 1 & 0xFFFFFFFF, 10**6, blocks), now=pair.now)

    for highest in (4, 5, 6):
        sack((2, 2), (4, highest))
    assert pair.queue.advanced_peer_ack_point == wire + 2
    sack((4, 6))
    assert pair.queue.advanced_peer_ack_point == wire + 2
    pair.a.receive(c.Sack(wire + 5 & 0xFFFFFFFF, 10**6), now=pair.now)
    outcomes = [outcome for _, outcome in pair.outcomes]
    assert outcomes.count(Outcome.ABANDONED_RETRANSMISSIONS) == 3
    assert outcomes.count(Outcome.DELIVERED) == 3
    assert pair.queue.outstanding_count == 0


def test_stale_numbers_are_not_listed_after_a_stream_reset(make_pair: MakePair) -> None:
    # The peer has reset stream 0 and starts from 0; a FORWARD TSN that told of the SSN before the
    # reset would make it skip the new messages.
    pair = make_pair()
    pair.lost = lambda tsn: tsn == 6
    pair.send_each([b"%d" % i for i in range(5)])
    pair.send(b"5", options=ONCE)
    pair.pull()
    pair.run_for(0.1)
    sacks_lost = True

    def lose(packet: Any) -> bool:
        # from the FORWARD TSN on A hears no SACK, but the answer to its reset
        if packet.sender == "Z" and sacks_lost and "RE-CONFIG" not in packet.names:
            return bool(pair.forward_tsns)
        return pair._lose(packet)

    pair.lose = lose
    pair.a.association.reset_streams([0], now=pair.now)
    pair.run_for(8)
    assert pair.a.take(OutgoingStreamsReset)
    sacks_lost = False
    pair.lost = lambda tsn: tsn == 7
    pair.send_each([b"lost"], 1, options=ONCE)
    pair.send_each([b"new 0", b"new 1"])
    pair.run_for(60)
    assert pair.received[-2:] == [b"new 0", b"new 1"]


def test_forward_tsn_goes_no_further_while_it_is_unknown_whether_a_stream_was_reset(
    make_pair: MakePair, interleaving: bool
) -> None:
    # A -> DATA 1 (stream 0) -> lost
    # A -> FORWARD TSN 1 (stream 0), RE-CONFIG -> Z     it resets stream 0
    # Z -> SACK, RE-CONFIG -> lost                      as often as it comes
    # A -> DATA 2 (stream 1) -> lost                    given up, too
    # A -> FORWARD TSN 1 -> Z                           not 2, which would skip a number anew
    pair = make_pair()
    deaf = True
    pair.lost = lambda tsn: tsn <= 2
    pair.lose = lambda packet: pair._lose(packet) or (deaf and packet.sender == "Z")
    pair.send_each([b"1"], options=ONCE)
    pair.a.association.reset_streams([0], now=pair.now)
    pair.run_until(done=lambda: bool(pair.forward_tsns))
    pair.run()
    assert pair.z.take(IncomingStreamsReset)
    pair.send_each([b"2"], 1, options=ONCE)
    pair.run_for(10)
    entries = [entry(interleaving, 0, 0)]
    assert len(pair.forward_tsns) > 1
    assert all(forward_tsn == (1, entries) for forward_tsn in pair.forward_tsns)
    deaf = False
    pair.run_for(20)
    assert pair.a.take(OutgoingStreamsReset) == [OutgoingStreamsReset((0,), succeeded=True)]
    assert pair.forward_tsns[-1] == (2, [entry(interleaving, 1, 0)])
    pair.send_each([b"new 0", b"new 1"])
    pair.send_each([b"other"], 1)
    pair.run()
    assert pair.received == [b"new 0", b"new 1", b"other"]


def test_reset_that_no_skipped_number_concerns_holds_nothing_up(make_pair: MakePair) -> None:
    # the peer is silent about the reset of stream 0; on stream 1 a message is given up meanwhile
    pair = make_pair()
    pair.send_each([b"0"])
    pair.run()
    pair.lost = lambda tsn: tsn == 2
    pair.lose = lambda packet: pair._lose(packet) or packet.names == "RE-CONFIG"
    pair.a.association.reset_streams([0], now=pair.now)
    pair.send_each([b"lost", b"1", b"2", b"3"], 1, options=ONCE)
    began = pair.now
    pair.run()
    assert pair.received == [b"0", b"1", b"2", b"3"]
    assert pair.now == began


# -- shutdown


def test_shutdown_does_not_wait_for_what_was_given_up(make_pair: MakePair) -> None:
    pair = make_pair()
    pair.lost = lambda tsn: True
    pair.send(bytes(100 * FULL), options=SendOptions(lifetime=1.0), context="big")
    pair.a.association.shutdown(now=pair.now)
    pair.run_for(20)
    assert pair.a.closed == pair.z.closed == AssociationClosed(CloseReason.SHUTDOWN)
    assert pair.outcomes == [("big", Outcome.ABANDONED_LIFETIME)]
    assert len(pair.forward_tsns) == 1


def test_shutdown_while_an_unsent_message_expires(make_pair: MakePair) -> None:
    pair = make_pair(a_rwnd=1500)
    pair.z.reading = False
    pair.send(bytes(1500))
    pair.run_for(3)
    pair.send(b"queued", options=SendOptions(lifetime=1.0))
    pair.a.association.shutdown(now=pair.now)
    pair.run_for(0.5)
    assert pair.a.state is State.SHUTDOWN_PENDING
    pair.run_for(2)
    assert pair.a.closed == AssociationClosed(CloseReason.SHUTDOWN)


def test_lost_forward_tsn_during_a_shutdown(make_pair: MakePair) -> None:
    pair = make_pair()
    pair.lost = lambda tsn: True
    pair.lose_forward_tsn = lambda: len(pair.forward_tsns) < 3
    pair.send(b"x", options=ONCE)
    pair.a.association.shutdown(now=pair.now)
    pair.run_for(60)
    assert pair.a.closed == pair.z.closed == AssociationClosed(CloseReason.SHUTDOWN)


def test_peer_shuts_down_while_we_give_up(make_pair: MakePair) -> None:
    # Z -> SHUTDOWN -> A; A in SHUTDOWN-RECEIVED has a FORWARD TSN to send first
    pair = make_pair()
    pair.lost = lambda tsn: True
    pair.send(b"x", options=ONCE)
    pair.pull()
    pair.z.association.shutdown(now=pair.now)
    pair.run_for(20)
    assert pair.a.closed == pair.z.closed == AssociationClosed(CloseReason.SHUTDOWN)
    assert len(pair.forward_tsns) == 1


# -- outcomes


def test_each_message_that_asked_has_one_outcome(make_pair: MakePair) -> None:
    pair = make_pair()
    pair.lost = lambda tsn: tsn == 2
    for number in range(1, 5):
        pair.send_each([b"x"], options=ONCE, context=number)
    pair.send(b"reliable", context="r")
    pair.send(b"does not ask")
    pair.run_for(10)
    outcomes = pair.outcomes
    assert sorted(outcomes, key=lambda outcome: str(outcome[0])) == [
        (1, Outcome.DELIVERED),
        (2, Outcome.ABANDONED_RETRANSMISSIONS),
        (3, Outcome.DELIVERED),
        (4, Outcome.DELIVERED),
        ("r", Outcome.DELIVERED),
    ]


def test_end_of_the_association_leaves_no_message_without_an_outcome(make_pair: MakePair) -> None:
    pair = make_pair()
    pair.send(b"delivered", context=1)
    pair.run()
    pair.lost = lambda tsn: True
    pair.send(b"under way", context=2)
    pair.send_each([bytes(90 * FULL)], context=3, options=SendOptions(lifetime=60.0))
    pair.send(b"not sent", context=4)
    pair.a.association.abort(now=pair.now)
    pair.a.drain(pair.now)
    assert pair.outcomes == [
        (1, Outcome.DELIVERED),
        (2, Outcome.UNKNOWN),
        (3, Outcome.UNKNOWN),
        (4, Outcome.UNKNOWN),
    ]
    assert pair.a.closed is not None
    assert pair.a.closed.reason is CloseReason.LOCAL_ABORT
    assert pair.a.closed.undelivered_messages == 3


def test_discarded_messages_have_an_outcome(make_pair: MakePair) -> None:
    pair = make_pair()
    pair.send(b"x", 1, context="x")
    pair.a.association.discard_unsent(1, now=pair.now)
    pair.a.drain(pair.now)
    assert pair.outcomes == [("x", Outcome.DISCARDED)]


def test_delivery_of_a_whole_stream_can_be_watched(make_pair: MakePair) -> None:
    pair = make_pair()
    association = pair.a.association
    association.watch_delivery(1)
    pair.a.drain(pair.now)
    assert pair.a.take(StreamDelivered) == [StreamDelivered(1)]
    pair.send(bytes(5000), 1)
    pair.send(b"other", 2)
    association.watch_delivery(1)
    assert association.unsent_bytes(1) == 5000
    assert association.unacknowledged_bytes(1) == 0
    sent = pair.pull()
    assert association.unacknowledged_bytes(1) == 5000 - association.unsent_bytes(1) > 0
    assert sent
    assert not pair.a.take(StreamDelivered)
    pair.run()
    assert pair.a.take(StreamDelivered) == [StreamDelivered(1)]
    assert association.unacknowledged_bytes(1) == association.unsent_bytes(1) == 0


def test_delivery_of_everything_can_be_watched(make_pair: MakePair) -> None:
    # RFC 6458 §6.1.9
    pair = make_pair()
    association = pair.a.association
    association.watch_send_buffer()
    pair.a.drain(pair.now)
    assert pair.a.take(SendBufferDrained) == [SendBufferDrained()]
    pair.send(bytes(5000), 1)
    pair.send(b"other", 2)
    association.watch_send_buffer()
    assert pair.pull()
    pair.a.drain(pair.now)
    assert not pair.a.take(SendBufferDrained)
    pair.run()
    assert pair.a.take(SendBufferDrained) == [SendBufferDrained()]
    pair.send(b"not asked for again")
    pair.run()
    assert not pair.a.take(SendBufferDrained)


def test_stream_is_delivered_when_the_last_of_it_was_given_up(make_pair: MakePair) -> None:
    pair = make_pair()
    pair.lost = lambda tsn: True
    pair.send(b"x", 1, options=ONCE)
    pair.a.association.watch_delivery(1)
    pair.run_for(5)
    assert pair.a.take(StreamDelivered) == [StreamDelivered(1)]


# -- the priority policy (RFC 7496 §3.2)


def test_less_important_messages_make_room(make_pair: MakePair) -> None:
    pair = make_pair(a_rwnd=1500)
    pair.z.reading = False
    pair.send(bytes(1500), 9)
    pair.run_for(3)
    association = pair.a.association
    for number, priority in enumerate([5, 1, 5, 9, None]):
        options = SendOptions(discard_priority=priority)
        pair.send(bytes(100), number % 2, options=options, context=number)
    make_room = association.make_room
    assert make_room(50, discard_priority=9, now=pair.now) == 0
    assert make_room(150, discard_priority=4, now=pair.now) == 200
    pair.a.drain(pair.now)
    gone = Outcome.ABANDONED_PRIORITY
    assert pair.outcomes == [(3, gone), (0, gone)]
    assert make_room(1000, stream_id=1, now=pair.now) == 100  # reliable ones go before all others
    assert make_room(1000, stream_id=2, now=pair.now) == 0
    assert make_room(1000, now=pair.now) == 100
    pair.a.drain(pair.now)
    assert pair.outcomes == [(1, gone), (2, gone)]
    assert association.statistics().messages_abandoned_unsent == 4
    assert association.total_unsent_bytes == 100


def test_message_that_was_begun_makes_no_room(make_pair: MakePair) -> None:
    pair = make_pair()
    pair.send(bytes(50 * FULL), options=SendOptions(discard_priority=1))
    pair.pull()
    assert pair.a.association.make_room(1, now=pair.now) == 0
    pair.run_for(5)
    assert pair.received == [bytes(50 * FULL)]


# -- negotiation


@pytest.mark.parametrize(
    "options, text",
    [
        ({"max_retransmits": -1}, "max_retransmits is -1: it must be from 0 to 4294967295"),
        ({"max_retransmits": 2**32}, "max_retransmits is 4294967296"),
        ({"max_retransmits": 1.5}, "max_retransmits is 1.5: it must be an integer"),
        ({"max_retransmits": True}, "max_retransmits is True: it must be an integer"),
        ({"discard_priority": -1}, "discard_priority is -1"),
        ({"lifetime": -0.001}, "lifetime is -0.001: it must be 0 or more"),
        ({"lifetime": float("nan")}, "lifetime is nan"),
    ],
)
def test_options_are_checked(options: dict[str, Any], text: str) -> None:
    with pytest.raises(LocalProtocolError, match=text):
        SendOptions(**options)


def test_limits_need_a_peer_that_supports_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capabilities, "SUPPORTED", Capabilities(reconfiguration=True))
    pair = established_pair()
    with pytest.raises(LocalProtocolError, match="does not support partial reliability"):
        pair.send(b"x", options=ONCE)
    pair.send(b"x", options=SendOptions(), context="x")  # which is no limit
    pair.run()
    assert pair.z.payloads == [b"x"]
    # RFC 3758 §3.3.2: then FORWARD TSN is an unknown chunk, to be reported and skipped
    (answer,) = pair.z.receive(c.ForwardTsn(1), now=pair.now)
    assert answer.names == "ERROR"


def test_messages_sent_before_the_peer_turned_out_not_to_support_limits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # what was sent is reliable then; what was not may still expire (RFC 9260 §11.1.5)
    pair = Pair(sack_delay=0.0)
    pair.a.association.connect(now=pair.now)
    pair.send(b"once", options=ONCE, context=1)
    pair.send(b"brief", 1, options=SendOptions(lifetime=0.1), context=2)
    monkeypatch.setattr(capabilities, "SUPPORTED", Capabilities(reconfiguration=True))
    pair.pull()
    pair.now += 0.5
    pair.a.expire(pair.now)
    dropped: list[str] = []

    def lose(packet: Any) -> bool:
        first = "DATA" in packet.names and not dropped
        dropped.extend(["it"] if first else [])
        return first

    pair.lose = lose
    pair.run_for(10)
    assert pair.z.payloads == [b"once"]
    assert not any("FORWARD" in line for line in pair.exchange)


def test_forward_tsn_of_the_wrong_kind_ends_the_association(interleaving: bool) -> None:
    # RFC 8260 §2.3.1
    pair = PrPair(interleaving=interleaving)
    wrong = c.ForwardTsn(1) if interleaving else c.IForwardTsn(1)
    (answer,) = pair.z.receive(wrong, now=pair.now)
    assert answer.names == "ABORT"


def test_forward_tsn_before_the_association_is_up_is_dropped() -> None:
    pair = PrPair(connect=False)
    pair.a.association.connect(now=0.0)
    pair.pull()
    assert pair.a.receive(c.ForwardTsn(1), now=0.0) == []
    pair.run()
    assert pair.a.state is State.ESTABLISHED


def test_data_with_the_cookie_is_given_up_when_that_is_lost(make_pair: MakePair) -> None:
    # A -> COOKIE ECHO, DATA -> lost; A -> COOKIE ECHO, FORWARD TSN -> Z or later
    pair = make_pair(connect=False)
    pair.a.association.connect(now=pair.now)
    pair.send(b"once", options=ONCE, context=1)
    pair.send(b"always", 1)
    lost: list[str] = []

    def lose(packet: Any) -> bool:
        if "COOKIE ECHO" in packet.names and not lost:
            lost.append(packet.names)
            return True
        return pair._lose(packet)

    pair.lose = lose
    pair.run_for(20)
    assert pair.received == [b"always"]
    assert pair.outcomes == [(1, Outcome.ABANDONED_RETRANSMISSIONS)]
    assert pair.queue.outstanding_count == 0


def test_sent_while_nothing_is_known_of_the_peer_and_expired(make_pair: MakePair) -> None:
    pair = make_pair(connect=False)
    pair.a.association.connect(now=pair.now)
    pair.pull()
    pair.transit.clear()  # the INIT is lost
    pair.send(b"x", options=SendOptions(lifetime=0.5), context="x")
    pair.run_for(0.6)
    assert pair.outcomes == [("x", Outcome.ABANDONED_LIFETIME)]
    pair.run_for(5)
    assert pair.received == []
