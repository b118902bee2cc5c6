"""Graceful shutdown (RFC 9260 §9.2): in every state, crossing, with losses, and nothing undelivered."""

from __future__ import annotations

import math

import pytest

from tests.support.association_pair import (
    End,
    Packet,
    Pair,
    established_pair,
    lose_first,
    packet_to,
    pair_in_state,
)
from trio_sctp._core.errors import LocalProtocolError
from trio_sctp._core.events import AssociationClosed, CloseReason, Message, PeerShutdown
from trio_sctp._core.states import SHUTTING_DOWN, State
from trio_sctp._wire import chunks as c
from trio_sctp._wire.error_causes import UserInitiatedAbort


def gracefully(*ends: End) -> bool:
    return all(
        end.closed == AssociationClosed(CloseReason.SHUTDOWN, undelivered_messages=0)
        for end in ends
    )


# -- the normal case ---------------------------------------------------------------------------------


def test_shutdown_of_an_idle_association() -> None:
    pair = established_pair()
    pair.a.association.shutdown(now=0.0)
    pair.run()
    assert pair.exchange == [
        "A -> SHUTDOWN -> Z",
        "Z -> SHUTDOWN ACK -> A",
        "A -> SHUTDOWN COMPLETE -> Z",
    ]
    assert pair.z.take(PeerShutdown) == [PeerShutdown()]
    assert gracefully(pair.a, pair.z)
    assert pair.next_timeout() == math.inf


def test_the_last_message_is_not_to_be_acknowledged_with_delay() -> None:
    """§6.1: the I bit in SHUTDOWN-PENDING, as nothing else is waited for."""
    pair = established_pair()
    pair.send(b"last")
    pair.a.association.shutdown(now=pair.now)
    (packet,) = pair.pull()
    (chunk,) = packet.chunks
    assert isinstance(chunk, c.Data)
    assert chunk.immediate


def test_shutdown_complete_goes_under_the_peers_tag_without_t_bit() -> None:
    """§8.5.1 C: there is a TCB."""
    pair = pair_in_state(State.SHUTDOWN_SENT)
    assert pair.a.association.tcb is not None
    tag = pair.a.association.tcb.peer.tag
    (answer,) = pair.a.receive(c.ShutdownAck(), now=0.0)
    assert answer.tag == tag
    assert answer.chunks == [c.ShutdownComplete(tag_reflected=False)]


def test_everything_sent_before_is_delivered_first() -> None:
    """§9.2: SHUTDOWN only after all was acknowledged, whatever was lost on the way."""
    pair = established_pair()
    messages = [bytes([i]) * 4000 for i in range(30)]
    for i, message in enumerate(messages):
        pair.send(message, stream_id=i % 3)
    count = 0

    def lose(packet: Packet) -> bool:
        nonlocal count
        count += 1
        return count % 5 == 0

    pair.lose = lose
    pair.a.association.shutdown(now=0.0)
    assert pair.a.state is State.SHUTDOWN_PENDING
    pair.run_until(done=lambda: pair.a.association.ended and pair.z.association.ended)
    assert sorted(pair.z.payloads) == messages
    assert gracefully(pair.a, pair.z)


def test_data_of_the_peer_is_delivered_before_the_end() -> None:
    """§9.2, §9: what the other end had queued comes through, too."""
    # A -> SHUTDOWN -> Z   Z -> DATA... -> A   A -> SACK, SHUTDOWN -> Z ... Z -> SHUTDOWN ACK
    pair = established_pair()
    messages = [bytes([i]) * 5000 for i in range(40)]
    for message in messages:
        pair.z.association.send(0, message, now=0.0)
    pair.a.association.shutdown(now=0.0)
    pair.run_until(done=lambda: pair.a.association.ended and pair.z.association.ended)
    assert pair.a.payloads == messages
    assert gracefully(pair.a, pair.z)
    shutdowns = [line for line in pair.exchange if "SHUTDOWN" in line]
    assert shutdowns[-2:] == ["Z -> SHUTDOWN ACK -> A", "A -> SHUTDOWN COMPLETE -> Z"]
    assert pair.exchange.index("Z -> SHUTDOWN ACK -> A") > max(
        i for i, line in enumerate(pair.exchange) if "DATA" in line
    )


def test_shutdown_is_not_answered_while_data_is_unacknowledged() -> None:
    """Field note: SHUTDOWN answered while data is unacknowledged."""
    pair = pair_in_state(State.SHUTDOWN_RECEIVED)
    a = pair.a.association
    assert a.tcb is not None
    queue = a.tcb.retransmission_queue
    acked = queue.cumulative_tsn_ack % 2**32
    assert pair.a.receive(c.Shutdown(acked), now=0.0) == []
    assert pair.a.state is State.SHUTDOWN_RECEIVED
    # §9.2: the Cumulative TSN Ack of SHUTDOWN acknowledges
    (answer,) = pair.a.receive(c.Shutdown((acked + 1) % 2**32), now=0.0)
    assert answer.names == "SHUTDOWN ACK"
    assert a.undelivered_messages == 0


def test_sack_ends_shutdown_received() -> None:
    """§9.2: by whichever chunk the last data is acknowledged."""
    pair = pair_in_state(State.SHUTDOWN_RECEIVED)
    assert pair.a.association.tcb is not None
    sent = pair.a.association.tcb.retransmission_queue.next_tsn - 1
    (answer,) = pair.a.receive(c.Sack(sent % 2**32, 10_000), now=0.0)
    assert answer.names == "SHUTDOWN ACK"
    assert pair.a.state is State.SHUTDOWN_ACK_SENT


def test_gap_acknowledged_data_is_not_acknowledged() -> None:
    """§9.2: the peer may still take a gap back; SHUTDOWN waits for the cumulative TSN ack."""
    pair = established_pair()
    for _ in range(2):
        pair.send(bytes(1000))
    pair.a.association.shutdown(now=0.0)
    pair.a.pull(0.0)
    assert pair.a.association.tcb is not None
    acked = pair.a.association.tcb.retransmission_queue.cumulative_tsn_ack % 2**32
    pair.a.receive(c.Sack(acked, 100_000, (2, 2)), now=0.0)
    assert pair.a.state is State.SHUTDOWN_PENDING


def test_unsent_data_is_sent_in_shutdown_received() -> None:
    """§4 note 6: transmit or retransmit, and leave when all is through."""
    pair = established_pair()
    pair.lose = lambda packet: packet.sender == "A"
    messages = [bytes([i]) * 2000 for i in range(50)]
    for message in messages:
        pair.send(message)  # much more than the congestion window
    pair.pull()
    pair.z.association.shutdown(now=0.0)
    pair.run()
    assert pair.a.state is State.SHUTDOWN_RECEIVED
    assert pair.a.association.total_unsent_bytes > 0
    pair.lose = lambda packet: False
    pair.run_until(done=lambda: pair.a.association.ended and pair.z.association.ended)
    assert pair.z.payloads == messages
    assert gracefully(pair.a, pair.z)


def test_incomplete_messages_do_not_end_gracefully() -> None:
    """Data arriving out of order in SHUTDOWN-SENT is kept and delivered when the gap closes."""
    pair = established_pair()
    messages = [bytes([i]) * 1000 for i in range(5)]
    for message in messages:
        pair.z.association.send(0, message, now=0.0)
    pair.a.association.shutdown(now=0.0)
    pair.lose = lose_first("DATA")
    pair.pull()
    pair.run_until(done=lambda: pair.a.association.ended and pair.z.association.ended)
    assert pair.a.payloads == messages
    assert gracefully(pair.a, pair.z)


# -- SHUTDOWN-SENT -----------------------------------------------------------------------------------


def test_data_in_shutdown_sent_is_answered_by_shutdown_at_once() -> None:
    """§9.2, §4 note 4: every packet with data, with the TSN up to date, and T2 begins anew."""
    pair = pair_in_state(State.SHUTDOWN_SENT)
    a = pair.a.association
    assert a.tcb is not None
    tsn = a.tcb.peer.initial_tsn
    for i in range(4):
        now = 0.2 * i
        (answer,) = pair.a.receive(c.Data((tsn + i) % 2**32, 0, i, 0, b"x"), now=now)
        assert answer.chunk(c.Shutdown).cumulative_tsn_ack == (tsn + i) % 2**32
        assert a.ending.t2_shutdown.deadline == pytest.approx(now + 1.0)
    assert len(pair.a.take(Message)) == 4


def test_gaps_and_duplicates_in_shutdown_sent_are_answered_by_sack_too() -> None:
    """§9.2: SHUTDOWN alone cannot acknowledge them."""
    pair = pair_in_state(State.SHUTDOWN_SENT)
    assert pair.a.association.tcb is not None
    tsn = pair.a.association.tcb.peer.initial_tsn
    pair.a.receive(c.Data(tsn, 0, 0, 0, b"x"), now=0.0)
    (gap,) = pair.a.receive(c.Data((tsn + 3) % 2**32, 0, 1, 0, b"x"), now=0.0)
    assert gap.names == "SACK, SHUTDOWN"
    assert gap.chunk(c.Sack).gap_ack_offsets == (3, 3)
    assert gap.chunk(c.Shutdown).cumulative_tsn_ack == tsn
    (duplicate,) = pair.a.receive(c.Data(tsn, 0, 0, 0, b"x"), now=0.0)
    assert duplicate.names == "SACK, SHUTDOWN"
    assert duplicate.chunk(c.Sack).duplicate_tsns == (tsn,)


def test_any_packet_of_the_peer_gives_it_time() -> None:
    """§9.2: count cleared, T2 restarted."""
    pair = pair_in_state(State.SHUTDOWN_SENT)
    ending = pair.a.association.ending
    pair.a.expire(1.0)
    pair.a.pull(1.0)
    assert ending.retransmissions == 1
    pair.a.receive(c.Pad(), now=1.5)
    assert ending.retransmissions == 0
    assert ending.t2_shutdown.deadline == 1.5 + pair.a.association.rto.rto


# -- crossing ----------------------------------------------------------------------------------------


def test_crossing_shutdowns() -> None:
    """§9.2: SHUTDOWN in SHUTDOWN-SENT gets SHUTDOWN ACK; SHUTDOWN ACK in SHUTDOWN-ACK-SENT COMPLETE."""
    # A -> SHUTDOWN -> Z   Z -> SHUTDOWN -> A   A -> SHUTDOWN ACK -> Z   Z -> SHUTDOWN ACK -> A ...
    pair = established_pair()
    for end in (pair.a, pair.z):
        end.association.shutdown(now=0.0)
    pair.pull()
    pair.deliver()
    pair.deliver()
    assert pair.a.state is pair.z.state is State.SHUTDOWN_ACK_SENT
    pair.pull()
    pair.deliver()
    pair.deliver()
    assert gracefully(pair.a, pair.z)
    pair.run()
    assert pair.exchange == [
        "A -> SHUTDOWN -> Z",
        "Z -> SHUTDOWN -> A",
        "A -> SHUTDOWN ACK -> Z",
        "Z -> SHUTDOWN ACK -> A",
        "A -> SHUTDOWN COMPLETE -> Z",
        "Z -> SHUTDOWN COMPLETE -> A",
    ]


def test_crossing_shutdowns_with_data_both_ways() -> None:
    """§9.2: SHUTDOWN in SHUTDOWN-PENDING: this end has still to get its data through."""
    pair = established_pair()
    for end in (pair.a, pair.z):
        for _ in range(20):
            end.association.send(0, bytes(3000), now=0.0)
        end.association.shutdown(now=0.0)
    pair.run_until(done=lambda: pair.a.association.ended and pair.z.association.ended)
    assert len(pair.a.payloads) == len(pair.z.payloads) == 20
    assert gracefully(pair.a, pair.z)


def test_every_order_of_crossing_shutdowns() -> None:
    """Whatever overtakes whatever, both end gracefully; at worst after a T2."""
    stack: list[list[int]] = [[]]
    count = 0
    while stack:
        steps = stack.pop()
        pair = established_pair()
        for end in (pair.a, pair.z):
            end.association.send(0, b"x", now=0.0)
            end.association.shutdown(now=0.0)
        pair.pull()
        for step in steps:
            pair.deliver(step)
            pair.pull()
        if pair.transit and len(steps) < 6:
            stack += [[*steps, i] for i in range(len(pair.transit))]
            continue
        pair.run_until(3.0)
        assert gracefully(pair.a, pair.z), steps
        count += 1
    assert count > 20


# -- losses ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lost", ["SHUTDOWN", "SHUTDOWN ACK"])
@pytest.mark.parametrize("times", [1, 3])
def test_lost_shutdown_or_shutdown_ack(lost: str, times: int) -> None:
    """§9.2, §6.3.3 E2: repeated after T2-shutdown, with back-off, until it is answered."""
    pair = established_pair()
    pair.lose = lose_first(*[lost] * times)
    pair.a.association.shutdown(now=0.0)
    pair.run_until(done=lambda: pair.a.association.ended and pair.z.association.ended)
    assert gracefully(pair.a, pair.z)
    assert pair.now <= 2**times - 1  # SHUTDOWN is repeated, too, and answered


def test_lost_shutdown_complete() -> None:
    """§8.4 rule 5: the end that has forgotten all answers the repeated SHUTDOWN ACK."""
    # Z -> SHUTDOWN ACK -> A   A -> COMPLETE -> lost   (T2)   Z -> SHUTDOWN ACK -> A   A -> COMPLETE(T)
    pair = established_pair()
    pair.lose = lose_first("SHUTDOWN COMPLETE")
    pair.a.association.shutdown(now=0.0)
    pair.run()
    assert gracefully(pair.a)
    assert pair.z.state is State.SHUTDOWN_ACK_SENT
    pair.run_until(1.0)
    assert gracefully(pair.z)
    assert pair.exchange[-2:] == ["Z -> SHUTDOWN ACK -> A", "A -> SHUTDOWN COMPLETE -> Z"]


def test_repeated_shutdown_has_the_newest_tsn() -> None:
    """§9.2: the updated last sequential TSN, even if what answered the DATA was lost."""
    pair = pair_in_state(State.SHUTDOWN_SENT)
    assert pair.a.association.tcb is not None
    tsn = pair.a.association.tcb.peer.initial_tsn
    pair.a.receive(c.Data(tsn, 0, 0, 0, b"x"), now=0.0)
    pair.a.expire(1.0)
    (again,) = pair.a.pull(1.0)
    assert again.chunk(c.Shutdown).cumulative_tsn_ack == tsn


def test_repeated_shutdown_in_shutdown_ack_sent_gets_shutdown_ack_again() -> None:
    """§9.2: it MUST go on responding."""
    pair = pair_in_state(State.SHUTDOWN_ACK_SENT)
    (answer,) = pair.a.receive(c.Shutdown(tsn_acked(pair)), now=0.0)
    assert answer.names == "SHUTDOWN ACK"


def tsn_acked(pair: Pair) -> int:
    assert pair.a.association.tcb is not None
    return pair.a.association.tcb.retransmission_queue.cumulative_tsn_ack % 2**32


# -- limits ------------------------------------------------------------------------------------------


def test_shutdown_is_repeated_up_to_its_limit() -> None:
    """§9.2: Association.Max.Retrans times, with back-off; then the peer is unreachable."""
    pair = established_pair(association_max_retrans=3)
    pair.lose = lambda packet: True
    times: list[float] = []
    pair.a.association.shutdown(now=0.0)
    pair.run()
    while not pair.a.association.ended:
        pair.now = pair.a.association.next_timeout()
        pair.a.expire(pair.now)
        if pair.a.pull(pair.now):
            times.append(pair.now)
    assert times == [1, 3, 7]
    assert pair.now == 15
    assert pair.a.closed is not None
    assert pair.a.closed.reason is CloseReason.TIMED_OUT


def test_shutdown_ack_is_repeated_up_to_its_limit() -> None:
    """§9.2: the same count, of its own.  By then both ends have everything: it ends gracefully."""
    pair = pair_in_state(State.SHUTDOWN_ACK_SENT, association_max_retrans=3)
    pair.lose = lambda packet: True
    story = []
    while not pair.a.association.ended:
        pair.now = pair.a.association.next_timeout()
        pair.a.expire(pair.now)
        story += [packet.names for packet in pair.a.pull(pair.now)]
    assert story == ["SHUTDOWN ACK"] * 3
    assert gracefully(pair.a)


def test_count_of_shutdown_ack_begins_anew_after_shutdowns() -> None:
    """Repetitions of SHUTDOWN do not count against SHUTDOWN ACK, nor does the guard stay."""
    pair = pair_in_state(State.SHUTDOWN_SENT, association_max_retrans=2)
    for now in (1.0, 3.0):
        pair.a.expire(now)
        pair.a.pull(now)
    pair.a.receive(c.Shutdown(tsn_acked(pair)), now=3.5)
    assert pair.a.state is State.SHUTDOWN_ACK_SENT
    story = []
    now = 3.5
    while not pair.a.association.ended:
        now = pair.a.association.next_timeout()
        pair.a.expire(now)
        story += [packet.names for packet in pair.a.pull(now)]
    assert story == ["SHUTDOWN ACK"] * 2


def test_guard_bounds_the_whole_shutdown() -> None:
    """§9.2: T5-shutdown-guard; a peer that always says something keeps T2 from counting."""
    pair = pair_in_state(State.SHUTDOWN_SENT, shutdown_guard=30.0, hb_interval=math.inf)
    now = 0.0
    abort: list[Packet] = []
    while pair.a.closed is None:
        now += 0.5
        pair.a.expire(now)
        abort = pair.a.pull(now)
        pair.a.receive(c.Pad(), now=now)
    assert now == 30.0
    assert [packet.names for packet in abort] == ["ABORT"]
    (cause,) = abort[0].chunk(c.Abort).causes
    assert isinstance(cause, UserInitiatedAbort)
    assert pair.a.closed.reason is CloseReason.LOCAL_ABORT


def test_guard_has_the_recommended_default() -> None:
    """§9.2: 5 times RTO.Max."""
    config = Pair().a.association.config
    assert config.shutdown_guard == 5 * config.rto_max


def test_guard_does_not_abort_an_end_that_has_everything() -> None:
    """In SHUTDOWN-ACK-SENT only the good-bye is missing."""
    pair = pair_in_state(State.SHUTDOWN_ACK_SENT, shutdown_guard=5.0)
    pair.lose = lambda packet: True
    pair.run_until(done=lambda: pair.a.association.ended)
    assert gracefully(pair.a)


# -- what the program may do -------------------------------------------------------------------------


@pytest.mark.parametrize("state", sorted(SHUTTING_DOWN, key=str))
def test_send_is_refused_while_shutting_down(state: State) -> None:
    """§9.2, §4 notes 5 and 7; and a refused call changes nothing."""
    pair = pair_in_state(state)
    before = pair.a.association.statistics()
    with pytest.raises(LocalProtocolError, match="send: the association is"):
        pair.send(b"late")
    assert pair.a.association.statistics() == before


@pytest.mark.parametrize("state", sorted(SHUTTING_DOWN, key=str))
def test_shutdown_while_shutting_down_changes_nothing(state: State) -> None:
    """§9.2: ignored."""
    pair = pair_in_state(state)
    timeout = pair.a.association.next_timeout()
    pair.a.association.shutdown(now=0.0)
    assert pair.a.state is state
    assert pair.a.pull(0.0) == []
    assert pair.a.association.next_timeout() == timeout


def test_shutdown_of_an_association_that_never_was() -> None:
    pair = Pair()
    pair.send(b"never sent")
    pair.a.association.shutdown(now=0.0)
    pair.run()
    assert pair.a.closed == AssociationClosed(CloseReason.SHUTDOWN, undelivered_messages=1)


def test_shutdown_after_the_end_is_harmless() -> None:
    pair = established_pair()
    pair.a.association.abort(now=0.0)
    pair.run()
    pair.a.association.shutdown(now=0.0)
    pair.run()
    assert pair.a.closed is not None
    assert pair.a.closed.reason is CloseReason.LOCAL_ABORT


def test_messages_come_before_the_end_is_told() -> None:
    """DATA and the rest of the shutdown in one batch: the program reads, then learns of the end."""
    pair = established_pair()
    pair.a.association.shutdown(now=0.0)
    pair.a.pull(0.0)
    a = pair.a.association
    assert a.tcb is not None
    data = c.Data(a.tcb.peer.initial_tsn, 0, 0, 0, b"last")
    pair.a.give([packet_to(a, data), packet_to(a, c.ShutdownAck())], 0.0)
    assert [type(event) for event in pair.a.events] == [Message, AssociationClosed]


def test_shutdown_goes_on_when_what_it_waited_for_is_discarded() -> None:
    """Without waiting for a heartbeat or whatever comes next."""
    pair = established_pair()
    pair.send(b"never mind", stream_id=3)
    pair.a.association.shutdown(now=0.0)
    assert pair.a.state is State.SHUTDOWN_PENDING
    assert pair.a.association.discard_unsent(3, now=0.0) == 1
    pair.run()
    assert pair.now == 0.0
    assert gracefully(pair.a, pair.z)


def test_shutdown_waits_for_a_stream_reset_that_is_on_its_way() -> None:
    """A reset asked for before the shutdown is not forgotten by it."""
    from trio_sctp._core.events import IncomingStreamsReset, OutgoingStreamsReset

    pair = established_pair()
    pair.send(b"x", stream_id=3)
    pair.a.association.reset_streams([3], now=0.0)
    pair.a.association.shutdown(now=0.0)
    pair.run_until(done=lambda: pair.a.association.ended and pair.z.association.ended)
    assert pair.a.take(OutgoingStreamsReset) == [OutgoingStreamsReset((3,), succeeded=True)]
    assert pair.z.take(IncomingStreamsReset) == [IncomingStreamsReset((3,))]
    assert gracefully(pair.a, pair.z)
