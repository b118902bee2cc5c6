"""What is given up, and what happens beside it: congestion control, stream resets, SHUTDOWN."""

from __future__ import annotations

from typing import Any

from tests.support.gap_ack_blocks import row_of
from tests.support.partial_reliability import FULL, ONCE, MakePair, entry
from tests.support.tx_sender import partial_bytes_acked
from trio_sctp._core.events import (
    AssociationClosed,
    CloseReason,
    IncomingStreamsReset,
    Outcome,
    OutgoingStreamsReset,
)
from trio_sctp._core.send_options import SendOptions
from trio_sctp._core.states import State
from trio_sctp._wire import chunks as c

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
        pair.a.receive(c.Sack(wire - 1 & 0xFFFFFFFF, 10**6, row_of(blocks)), now=pair.now)

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
