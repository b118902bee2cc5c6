"""FORWARD TSN chunks on their way: lost, late, repeated, and what they list (RFC 3758 §3.5, §3.6)."""

from __future__ import annotations

from tests.support.partial_reliability import (
    FULL,
    ONCE,
    MakePair,
    deliver_all,
    entry,
    is_forward_tsn,
)
from trio_sctp._core.events import AssociationClosed, CloseReason, Outcome
from trio_sctp._wire import chunks as c


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
