"""While all numbers begin anew (RFC 6525 §5.1.4): what is lost, overtakes or crosses, and the end."""

from __future__ import annotations

import math
from random import Random

import pytest

from tests.support.association_pair import End, lose_only
from tests.support.tsn_reset import (
    BUSY,
    IN_PROGRESS,
    JUMP,
    MASK,
    PERFORMED,
    data,
    expected_tsn,
    first_sn,
    new_pair,
    next_tsn,
    parameters,
    request,
    respond,
    send,
    tcb,
    used_pair,
)
from trio_sctp._core.association import State
from trio_sctp._core.events import (
    AssociationClosed,
    AssociationReset,
    BufferedAmountLow,
    CloseReason,
    IncomingStreamsReset,
    Message,
    OutgoingStreamsReset,
)
from trio_sctp._core.send_options import SendOptions
from trio_sctp._wire import chunks as c, parameters as p

# -- losses, and packets that overtake


@pytest.mark.parametrize("lost", range(4))
@pytest.mark.parametrize("busy", [False, True])
def test_any_loss_is_made_good(lost: int, busy: bool) -> None:
    pair = used_pair()
    pair.lose = lose_only(lost)
    if busy:
        send(pair, pair.z, *[bytes(5000)] * 3)
    pair.a.association.reset_association(now=pair.now)
    send(pair, pair.a, *[b"%d" % number for number in range(5)])
    pair.run_for(20.0)
    for end in (pair.a, pair.z):
        assert [event.succeeded for event in end.take(AssociationReset)] == [True]
    assert pair.z.payloads == [b"%d" % number for number in range(5)]
    assert len(pair.a.payloads) == 3 * busy
    assert next_tsn(pair.a) == expected_tsn(pair.z)
    assert next_tsn(pair.z) == expected_tsn(pair.a)


def test_lost_request_is_repeated_and_then_given_up() -> None:
    pair = used_pair(association_max_retrans=3, hb_interval=math.inf)
    pair.lose = lambda packet: True
    pair.a.association.reset_association(now=pair.now)
    send(pair, pair.a, b"lost")
    pair.run_for(100.0)
    assert pair.exchange == ["A -> RE-CONFIG -> lost"] * 4
    (closed,) = pair.a.take(AssociationClosed)
    assert closed.reason is CloseReason.TIMED_OUT
    assert closed.undelivered_messages == 1


def test_new_data_that_overtakes_the_answer_is_not_taken_for_old() -> None:
    # Z's SSN 3 of the new time is the one that A would expect next in the old one
    pair = used_pair()
    pair.a.association.reset_association(now=pair.now)
    pair.pull()
    pair.deliver()
    send(pair, pair.z, b"n0", b"n1", b"n2", b"n3")
    packets = pair.pull()
    bare = [chunk for chunk in packets[0].chunks if not isinstance(chunk, c.ReConfig)]
    assert any(isinstance(chunk, c.Data) for chunk in bare)
    late = [chunk for chunk in bare if isinstance(chunk, c.Data)]
    pair.a.receive(late[3], now=pair.now)  # as a peer might send them that does not repeat itself
    pair.a.receive(*late[:3], now=pair.now)
    assert pair.a.payloads == []
    pair.transit.clear()
    pair.a.receive(packets[0].chunk(c.ReConfig), now=pair.now)
    assert [type(event) for event in pair.a.events] == [AssociationReset] + [Message] * 4
    assert pair.a.payloads == [b"n0", b"n1", b"n2", b"n3"]


def test_answer_goes_with_new_data_until_it_has_surely_arrived() -> None:
    # A is told "in progress" and does not hold anything back any more; "performed" is lost
    pair = used_pair()
    send(pair, pair.z, b"4")
    late = pair.z.pull(pair.now)
    pair.a.association.reset_association(now=pair.now)
    pair.pull()
    pair.deliver()
    pair.pull()
    pair.deliver()  # in progress
    pair.transit += late
    pair.deliver()
    pair.now += 0.2
    pair.a.expire(pair.now)
    pair.pull()
    pair.deliver()  # the SACK: Z performs it
    assert pair.z.take(AssociationReset)
    pair.pull()
    pair.drop()  # "performed" is lost
    send(pair, pair.z, *[b"n%d" % number for number in range(6)])
    first = pair.pull()
    send(pair, pair.z, *[b"n%d" % number for number in range(6, 9)])
    second = pair.pull()
    for packet in first + second:
        assert isinstance(packet.chunks[0], c.ReConfig)
    pair.transit = [*second, *first]  # and reordered besides
    pair.run_for(2.0)
    assert pair.a.payloads == [b"4", *[b"n%d" % number for number in range(9)]]
    send(pair, pair.z, b"n9")  # acknowledged: it has arrived
    (packet,) = pair.pull()
    assert packet.names == "DATA"


def test_data_of_the_old_time_that_comes_late_is_dropped() -> None:
    pair = new_pair()
    send(pair, pair.a, b"old")
    (packet,) = pair.pull()
    pair.run_for(1.0)
    pair.a.association.reset_association(now=pair.now)
    pair.run()
    pair.z.events.clear()
    pair.repeat(packet)
    pair.run()
    assert pair.z.payloads == []
    assert not tcb(pair.z).data_receiver.ack_pending
    send(pair, pair.a, b"new")
    pair.run()
    assert pair.z.payloads == [b"new"]


def test_sacks_of_the_old_time_that_come_late_are_no_violation() -> None:
    # they seem to acknowledge what was never sent (RFC 9260 §12.4)
    pair = new_pair()
    stale = []
    for payload in (b"1", b"2", b"3"):
        send(pair, pair.a, payload)
        pair.pull()
        pair.deliver()
        pair.now += 0.2
        pair.z.expire(pair.now)
        stale += pair.pull()
        pair.run()
    assert [packet.names for packet in stale] == ["SACK"] * 3
    pair.a.association.reset_association(now=pair.now)
    pair.pull()
    for packet in stale:
        pair.repeat(packet)
    pair.run()
    send(pair, pair.a, b"new")
    pair.pull()
    for packet in stale:
        pair.repeat(packet)
    assert pair.a.state is State.ESTABLISHED
    assert tcb(pair.a).retransmission_queue.outstanding_count == 1
    pair.run_for(1.0)
    assert tcb(pair.a).retransmission_queue.outstanding_count == 0


def test_sack_under_the_new_tsns_that_overtakes_the_answer() -> None:
    pair = used_pair()
    pair.a.association.reset_association(now=pair.now)
    pair.pull()
    for tsn in (next_tsn(pair.a) + 4096, next_tsn(pair.a) + JUMP - 2):
        pair.a.receive(c.Sack(tsn & MASK, 10_000, (), ()), now=pair.now)
    assert pair.a.state is State.ESTABLISHED
    pair.run()
    assert [event.succeeded for event in pair.a.take(AssociationReset)] == [True]


def test_acknowledging_the_future_is_still_a_violation_after_a_reset() -> None:
    pair = used_pair()
    pair.a.association.reset_association(now=pair.now)
    pair.run()
    pair.a.receive(c.Sack((next_tsn(pair.a) + 5) & MASK, 10_000, (), ()), now=pair.now)
    assert pair.a.closed is not None


def test_forward_tsn_of_the_old_time_that_comes_late_is_dropped() -> None:
    pair = used_pair()
    old = expected_tsn(pair.z)
    pair.a.association.reset_association(now=pair.now)
    pair.run()
    pair.z.receive(c.ForwardTsn((old - 3) & MASK, ()), now=pair.now)
    assert expected_tsn(pair.z) == next_tsn(pair.a)
    assert pair.z.association.statistics().dropped == {"FORWARD TSN from before a reset": 1}
    pair.z.receive(c.ForwardTsn((next_tsn(pair.a) + 2) & MASK, ()), now=pair.now)
    assert expected_tsn(pair.z) == (next_tsn(pair.a) + 3) & MASK


# -- crossing


@pytest.mark.parametrize("seed", range(4))
def test_resets_of_both_ends_cross(seed: int) -> None:
    # A -> RE-CONFIG (SSN/TSN Reset) ->   <- RE-CONFIG (SSN/TSN Reset) <- Z
    # A -> Response: request already in progress ->   <- the same <- Z
    # one end asks again at once, the other one later
    pair = used_pair(seed=seed)
    for end in (pair.a, pair.z):
        end.association.reset_association(now=pair.now)
        send(pair, end, *[b"n%d" % number for number in range(5)])
    pair.pull()
    pair.deliver()
    pair.deliver()
    answers = parameters(pair.pull())
    assert [a.result for a in answers if isinstance(a, p.ReConfigResponse)] == [BUSY, BUSY]
    pair.run_for(5.0)
    for end in (pair.a, pair.z):
        assert [event.succeeded for event in end.take(AssociationReset)] == [True, True]
        assert end.payloads == [b"n%d" % number for number in range(5)]
        assert not tcb(end).stream_reset.pending
    assert next_tsn(pair.a) == expected_tsn(pair.z)
    assert next_tsn(pair.z) == expected_tsn(pair.a)


def test_reset_while_the_own_one_still_waits_for_data() -> None:
    pair = used_pair()
    send(pair, pair.a, bytes(100_000))
    pair.a.association.reset_association(now=pair.now)
    send(pair, pair.a, b"later")
    pair.z.association.reset_association(now=pair.now)
    pair.run_for(5.0)
    assert [event.succeeded for event in pair.a.take(AssociationReset)] == [True, True]
    messages = pair.z.take(Message)
    assert [len(message.payload) for message in messages] == [100_000, 5]
    assert [event.succeeded for event in pair.z.take(AssociationReset)] == [True, True]


@pytest.mark.parametrize("by_a", [False, True])
def test_other_requests_cross_it(by_a: bool) -> None:
    pair = used_pair()
    other = pair.a if by_a else pair.z
    pair.a.association.reset_association(now=pair.now)
    other.association.reset_streams([0, 1], now=pair.now)
    other.association.request_incoming_reset([2], now=pair.now)
    send(pair, pair.a, b"a")
    send(pair, pair.z, b"z")
    pair.run_for(10.0)
    assert pair.z.payloads == [b"a"]
    assert pair.a.payloads == [b"z"]
    for end in (pair.a, pair.z):
        assert [event.succeeded for event in end.take(AssociationReset)] == [True]
        resets = end.take(IncomingStreamsReset)
        assert sorted(i for event in resets for i in event.stream_ids) == (
            [2] if end is other else [0, 1]
        )
        assert not tcb(end).stream_reset.pending


def test_deferred_stream_reset_does_not_outlive_it() -> None:
    # The peer gave its data up (C2), and with it what its stream reset waited for.
    pair = used_pair()
    sn, last = first_sn(pair.a), (next_tsn(pair.a) + 2) & MASK
    pair.z.receive(c.ReConfig((p.OutgoingSsnResetRequest(sn, 0, last, (0,)),)), now=pair.now)
    request(pair, pair.z, 1)
    assert [type(event) for event in pair.z.events] == [IncomingStreamsReset, AssociationReset]
    assert not tcb(pair.z).stream_reset.waits_for_data


def test_stream_reset_of_the_peer_before_it_has_heard_of_the_request() -> None:
    # A -> RE-CONFIG (SSN/TSN Reset Request) -> lost     A keeps what comes until it is answered
    # Z -> DATA (SSN 3), RE-CONFIG (stream 0) -> A       which follows that message, not the last told
    pair = used_pair()
    pair.a.association.reset_association(now=pair.now)
    pair.pull()
    pair.drop()
    send(pair, pair.z, b"4")
    pair.z.association.reset_streams([0], now=pair.now)
    pair.pull()
    send(pair, pair.z, b"r0", b"r1")
    pair.run_for(0.5)
    assert pair.a.events == []
    pair.run_for(10.0)
    kinds = [type(event) for event in pair.a.events if not isinstance(event, BufferedAmountLow)]
    assert kinds == [Message, IncomingStreamsReset, AssociationReset, Message, Message]
    assert pair.a.payloads == [b"4", b"r0", b"r1"]
    assert pair.z.take(OutgoingStreamsReset)[0].succeeded


def test_stream_reset_of_the_peer_among_its_new_numbers() -> None:
    # Z has performed it and its answer is late: what it sends meanwhile, and the stream reset behind
    # that, go by the new numbers
    pair = used_pair()
    pair.a.association.reset_association(now=pair.now)
    pair.pull()
    pair.deliver()
    (answer,) = pair.pull()
    send(pair, pair.z, b"n0", b"n1")
    (packet,) = pair.pull()
    pair.transit.clear()
    pair.a.receive(*[chunk for chunk in packet.chunks if isinstance(chunk, c.Data)], now=pair.now)
    reset = p.OutgoingSsnResetRequest(first_sn(pair.z), 0, (next_tsn(pair.z) - 1) & MASK, (0,))
    response = parameters(pair.a.receive(c.ReConfig((reset,)), now=pair.now))
    assert response == [p.ReConfigResponse(first_sn(pair.z), IN_PROGRESS)]
    assert pair.a.events == []
    late = parameters(pair.a.receive(answer.chunk(c.ReConfig), now=pair.now))
    assert p.ReConfigResponse(first_sn(pair.z), PERFORMED) in late
    assert [type(event) for event in pair.a.events] == [
        AssociationReset,
        Message,
        Message,
        IncomingStreamsReset,
    ]
    assert pair.a.payloads == [b"n0", b"n1"]


def test_stream_reset_of_the_peer_whose_answer_is_in_progress() -> None:
    # then nothing is kept back until A asks again, and the stream reset takes place
    pair = used_pair()
    pair.a.association.reset_association(now=pair.now)
    pair.pull()
    send(pair, pair.z, b"4")
    late = data(pair.z.pull(pair.now))
    reset = p.OutgoingSsnResetRequest(first_sn(pair.z), 0, (next_tsn(pair.z) - 1) & MASK, (0,))
    pair.a.receive(*late, now=pair.now)
    pair.a.receive(c.ReConfig((reset,)), now=pair.now)
    assert pair.a.events == []
    answers = parameters(respond(pair, IN_PROGRESS))
    assert p.ReConfigResponse(first_sn(pair.z), PERFORMED) in answers
    assert [type(event) for event in pair.a.events] == [Message, IncomingStreamsReset]


@pytest.mark.parametrize("count", [1, 500])
def test_messages_whose_lifetime_ends_while_they_wait_for_it(count: int) -> None:
    pair = used_pair()
    pair.a.association.reset_association(now=pair.now)
    pair.pull()
    pair.drop()
    for _ in range(count):
        options = SendOptions(lifetime=0.1)
        pair.a.association.send(7, b"brief", options=options, now=pair.now)
    pair.run_for(0.5)
    assert pair.a.association.unsent_bytes(7) == 0
    pair.run_for(10.0)
    assert [event.succeeded for event in pair.a.take(AssociationReset)] == [True]
    send(pair, pair.a, b"next", stream_id=7)
    pair.run_for(1.0)
    assert pair.z.payloads == [b"next"]
    assert pair.a.association.statistics().messages_abandoned_unsent == count


# -- the end


@pytest.mark.parametrize("by_a", [False, True])
@pytest.mark.parametrize("lost", range(5))
def test_shutdown_meanwhile_loses_nothing(by_a: bool, lost: int) -> None:
    pair = used_pair()
    send(pair, pair.z, *[bytes(20_000)] * 3)
    pair.a.association.reset_association(now=pair.now)
    send(pair, pair.a, b"n0", b"n1")
    pair.pull()
    pair.lose = lose_only(lost)
    (pair.a if by_a else pair.z).association.shutdown(now=pair.now)
    pair.run_until(done=lambda: bool(pair.a.closed and pair.z.closed))
    assert pair.z.payloads == [b"n0", b"n1"]
    assert len(pair.a.payloads) == 3
    for end in (pair.a, pair.z):
        assert end.closed is not None
        assert (end.closed.reason, end.closed.undelivered_messages) == (CloseReason.SHUTDOWN, 0)


def test_restart_meanwhile_forgets_it() -> None:
    pair = used_pair()
    pair.a.association.reset_association(now=pair.now)
    send(pair, pair.a, b"lost with the old association")
    pair.pull()
    pair.transit.clear()
    pair.z = End("Z", pair.z.association.config, Random(77))
    pair.z.association.connect(now=pair.now)
    pair.run()
    pair.a.events.clear()
    send(pair, pair.a, b"new")
    pair.run_for(1.0)
    assert pair.z.payloads == [b"new"]
