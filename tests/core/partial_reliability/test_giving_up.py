"""When a message is given up (RFC 3758 §3.5, §4; RFC 7496 §3.1), and what both ends make of it."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.support.partial_reliability import FULL, ONCE, MakePair, PrPair, entry
from trio_sctp._core.events import BufferedAmountLow, Outcome, SendBufferDrained
from trio_sctp._core.send_options import SendOptions
from trio_sctp._core.states import State
from trio_sctp._wire import chunks as c

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
    pair = PrPair(interleaving=True, stream_scheduler="rr_pkt")
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
