"""All numbers begin anew: the SSN/TSN reset (RFC 6525 §4.3, §5.1.4, §5.2.4)."""

from __future__ import annotations

import math
from random import Random
from typing import Any

import pytest

from tests.support.association_pair import (
    End,
    Packet,
    Pair,
    established_pair,
    lose_only,
    pair_in_state,
)
from trio_sctp._core.association import State
from trio_sctp._core.errors import LocalProtocolError
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
from trio_sctp._core.transmission_control_block import TransmissionControlBlock
from trio_sctp._wire import chunks as c, parameters as p
from trio_sctp._wire.error_causes import ProtocolViolation

MASK = 0xFFFFFFFF
JUMP = 1 << 31
NOTHING_TO_DO = p.ReConfigResult.SUCCESS_NOTHING_TO_DO
PERFORMED = p.ReConfigResult.SUCCESS_PERFORMED
DENIED = p.ReConfigResult.DENIED
BUSY = p.ReConfigResult.ERROR_REQUEST_ALREADY_IN_PROGRESS
BAD_SN = p.ReConfigResult.ERROR_BAD_SEQUENCE_NUMBER
IN_PROGRESS = p.ReConfigResult.IN_PROGRESS


def new_pair(**changes: Any) -> Pair:
    return established_pair(**{"interleaving": False, **changes})


def tcb(end: End) -> TransmissionControlBlock:
    assert end.association.tcb is not None
    return end.association.tcb


def next_tsn(end: End) -> int:
    return tcb(end).retransmission_queue.next_tsn & MASK


def expected_tsn(end: End) -> int:
    return (tcb(end).data_receiver.cumulative_tsn_ack + 1) & MASK


def first_sn(end: End) -> int:
    """The number of an end's first request (§4.1)."""
    return tcb(end).local.initial_tsn


def send(pair: Pair, end: End, *payloads: bytes, stream_id: int = 0) -> None:
    for payload in payloads:
        end.association.send(stream_id, payload, now=pair.now)


def parameters(packets: list[Packet]) -> list[p.Parameter]:
    return [
        parameter
        for packet in packets
        for chunk in packet.chunks
        if isinstance(chunk, c.ReConfig)
        for parameter in chunk.parameters
    ]


def data(packets: list[Packet]) -> list[c.Data]:
    return [chunk for packet in packets for chunk in packet.chunks if isinstance(chunk, c.Data)]


def used_pair(**changes: Any) -> Pair:
    """Both ends have sent three messages on stream 0, and all is acknowledged."""
    pair = new_pair(**changes)
    for end in (pair.a, pair.z):
        send(pair, end, b"1", b"2", b"3")
    pair.run_for(1.0)
    for end in (pair.a, pair.z):
        assert end.payloads == [b"1", b"2", b"3"]
        assert not tcb(end).retransmission_queue.outstanding_count
        end.events.clear()
    pair.exchange.clear()
    return pair


def request(pair: Pair, end: End, offset: int = 0) -> list[Packet]:
    """The other end asks this one for a reset, past its own state: what this one answers."""
    peer = pair.z if end is pair.a else pair.a
    sn = (first_sn(peer) + offset) & MASK
    return end.receive(c.ReConfig((p.SsnTsnResetRequest(sn),)), now=pair.now)


def respond(pair: Pair, result: int, *tsns: int, offset: int = 0) -> list[Packet]:
    """A is answered by a made-up Z."""
    sn = (first_sn(pair.a) + offset) & MASK
    return pair.a.receive(c.ReConfig((p.ReConfigResponse(sn, result, *tsns),)), now=pair.now)


# -- the normal course


def test_what_is_unacknowledged_goes_with_the_request() -> None:
    """Some peers check a SACK that comes after the reset against the TSNs of before."""
    pair = used_pair()
    send(pair, pair.z, b"4")
    pair.pull()
    pair.deliver()
    pair.a.association.reset_association(now=pair.now)
    (packet,) = pair.pull()
    assert packet.names == "SACK, RE-CONFIG"
    pair.run()
    assert pair.a.take(AssociationReset)[0].succeeded
    assert not tcb(pair.z).retransmission_queue.outstanding_count


def test_all_numbers_begin_anew() -> None:
    # A -> RE-CONFIG (SSN/TSN Reset Request) -> Z
    # A <- SACK, RE-CONFIG (Response: performed, Z's next TSN, A's next TSN) <- Z
    pair = used_pair()
    a_tsn, z_tsn = next_tsn(pair.a), next_tsn(pair.z)
    pair.a.association.reset_association(now=pair.now)
    packets = pair.pull()
    assert parameters(packets) == [p.SsnTsnResetRequest(first_sn(pair.a))]
    assert packets[0].names == "RE-CONFIG"  # C3
    pair.deliver()
    packets = pair.pull()
    a_new = (a_tsn + JUMP) & MASK
    assert packets[0].names == "SACK, RE-CONFIG"  # §5.2.1
    assert parameters(packets) == [
        p.ReConfigResponse(first_sn(pair.a), PERFORMED, z_tsn, a_new)  # D3, D4
    ]
    assert pair.z.take(AssociationReset) == [AssociationReset(z_tsn, a_new, succeeded=True)]
    assert expected_tsn(pair.z) == a_new  # G4
    pair.run()
    assert pair.a.take(AssociationReset) == [AssociationReset(a_new, z_tsn, succeeded=True)]
    assert (next_tsn(pair.a), next_tsn(pair.z)) == (a_new, z_tsn)
    assert (expected_tsn(pair.a), expected_tsn(pair.z)) == (z_tsn, a_new)
    # G5, H5: SSN 0 on every stream of both directions
    for end in (pair.a, pair.z):
        send(pair, end, b"new")
    chunks = data(pair.pull())
    assert [(chunk.tsn, chunk.ssn) for chunk in chunks] == [(a_new, 0), (z_tsn, 0)]
    pair.run_for(1.0)
    for end in (pair.a, pair.z):
        (message,) = end.take(Message)
        assert (message.payload, message.sequence_number) == (b"new", 0)
    assert not tcb(pair.a).stream_reset.pending
    assert not tcb(pair.a).stream_reset.timer.running


def test_mids_begin_anew_too() -> None:
    pair = used_pair(interleaving=True)
    pair.a.association.send(0, b"unordered", unordered=True, now=pair.now)
    pair.run_for(1.0)
    pair.a.association.reset_association(now=pair.now)
    pair.run()
    for end in (pair.a, pair.z):
        end.events.clear()
        end.association.send(0, b"u", unordered=True, now=pair.now)
        send(pair, end, b"0", b"1")
    pair.run_for(1.0)
    for end in (pair.a, pair.z):
        assert [
            (message.unordered, message.sequence_number, message.payload)
            for message in end.take(Message)
        ] == [(True, 0, b"u"), (False, 0, b"0"), (False, 1, b"1")]


def test_what_was_sent_before_goes_first_and_what_is_sent_later_waits() -> None:
    # C2: nothing is outstanding when the request goes out
    pair = new_pair(a_rwnd=10_000)
    big = [bytes([number]) * 30_000 for number in range(3)]
    send(pair, pair.a, *big)
    pair.a.association.reset_association(now=pair.now)
    send(pair, pair.a, b"later", stream_id=0)
    send(pair, pair.a, b"elsewhere", stream_id=1)
    asked: list[int] = []

    def watch(packet: Packet) -> bool:
        if packet.sender == "A" and parameters([packet]):
            asked.append(tcb(pair.a).retransmission_queue.outstanding_count)
        return False

    pair.lose = watch
    pair.run_until(done=lambda: len(pair.z.events) >= 6)
    assert asked == [0]
    kinds = [type(event) for event in pair.z.events]
    assert kinds == [Message] * 3 + [AssociationReset] + [Message] * 2
    messages = pair.z.take(Message)
    assert [message.payload for message in messages[:3]] == big
    assert {(m.payload, m.stream_id, m.sequence_number) for m in messages[3:]} == {
        (b"later", 0, 0),
        (b"elsewhere", 1, 0),
    }
    pair.run_for(1.0)
    assert pair.a.association.undelivered_messages == 0


def test_no_data_is_sent_between_request_and_answer() -> None:
    pair = used_pair()
    pair.a.association.reset_association(now=pair.now)
    pair.pull()
    send(pair, pair.a, b"waits")
    assert pair.pull() == []
    assert pair.a.association.unsent_bytes(0) == 5
    assert pair.a.association.discard_unsent(0, now=pair.now) == 1
    send(pair, pair.a, b"waits")
    pair.run()
    assert pair.z.payloads == [b"waits"]


def test_a_stream_reset_after_it_comes_after_the_messages_in_between() -> None:
    pair = used_pair()
    pair.a.association.reset_association(now=pair.now)
    send(pair, pair.a, b"between")
    pair.a.association.reset_streams([0], now=pair.now)
    pair.run_for(5.0)
    assert [type(event) for event in pair.z.events] == [
        AssociationReset,
        Message,
        IncomingStreamsReset,
    ]


def test_asking_twice_is_asking_once() -> None:
    pair = used_pair()
    pair.a.association.reset_association(now=pair.now)
    pair.a.association.reset_association(now=pair.now)
    pair.run_for(5.0)
    assert len(pair.a.take(AssociationReset)) == 1


def test_one_reset_in_thirty_seconds() -> None:
    # §5.1.4: two jumps lead back to TSNs of which packets may be under way
    pair = used_pair()
    pair.a.association.reset_association(now=pair.now)
    pair.run()
    pair.run_for(29.0)
    with pytest.raises(LocalProtocolError, match=r"29 s ago, it must be at least 30 s"):
        pair.a.association.reset_association(now=pair.now)
    pair.z.association.reset_association(now=pair.now)  # its TSNs are others
    pair.run_for(1.0)
    pair.a.association.reset_association(now=pair.now)
    pair.run_for(1.0)
    for end in (pair.a, pair.z):
        assert [event.succeeded for event in end.take(AssociationReset)] == [True] * 3


@pytest.mark.parametrize(
    "state", [State.CLOSED, State.COOKIE_WAIT, State.COOKIE_ECHOED, State.SHUTDOWN_SENT]
)
def test_only_an_association_that_is_up_can_be_reset(state: State) -> None:
    pair = pair_in_state(state)
    with pytest.raises(LocalProtocolError, match="reset_association: the association is"):
        pair.a.association.reset_association(now=pair.now)


# -- answers of all kinds


@pytest.mark.parametrize("result", [NOTHING_TO_DO, DENIED, 3, BAD_SN, 7])
def test_without_success_the_old_numbers_go_on(result: int) -> None:
    # H3
    pair = used_pair()
    a_tsn, z_tsn = next_tsn(pair.a), next_tsn(pair.z)
    pair.a.association.reset_association(now=pair.now)
    pair.pull()
    pair.transit.clear()
    send(pair, pair.a, b"4")
    packets = respond(pair, result, 7, 8)
    assert pair.a.take(AssociationReset) == [AssociationReset(a_tsn, z_tsn, succeeded=False)]
    assert [(chunk.tsn, chunk.ssn) for chunk in data(packets)] == [(a_tsn, 3)]


def test_success_without_the_tsns_is_a_violation() -> None:
    # §4.4, D3
    pair = used_pair()
    pair.a.association.reset_association(now=pair.now)
    pair.pull()
    packets = respond(pair, PERFORMED)
    assert isinstance(packets[0].chunk(c.Error).causes[0], ProtocolViolation)
    assert [event.succeeded for event in pair.a.take(AssociationReset)] == [False]


def test_program_may_deny_it() -> None:
    # §5.2.1; D3 and D4 want the TSNs whatever the result
    pair = used_pair()
    pair.z.association.update_config(now=pair.now, accept_association_reset=False)
    packets = request(pair, pair.z)
    assert parameters(packets) == [
        p.ReConfigResponse(first_sn(pair.a), DENIED, next_tsn(pair.z), expected_tsn(pair.z))
    ]
    assert pair.z.take(AssociationReset) == []


def test_peer_that_asks_too_soon_again_is_denied() -> None:
    pair = used_pair()
    request(pair, pair.z)
    pair.now += 29.0
    (answer,) = parameters(request(pair, pair.z, 1))
    assert isinstance(answer, p.ReConfigResponse)
    assert answer.result == DENIED
    pair.now += 1.0
    (answer,) = parameters(request(pair, pair.z, 2))
    assert isinstance(answer, p.ReConfigResponse)
    assert answer.result == PERFORMED


def test_wrong_request_numbers() -> None:
    pair = used_pair()
    for offset in (-1, 1, JUMP):
        (answer,) = parameters(request(pair, pair.z, offset))
        assert isinstance(answer, p.ReConfigResponse)
        assert (answer.result, answer.sender_next_tsn) == (BAD_SN, next_tsn(pair.z))
    assert pair.z.take(AssociationReset) == []


def test_repeated_request_gets_the_same_answer() -> None:
    # §5.2.1: the numbers of then, although data has come under them since
    pair = used_pair()
    pair.a.association.reset_association(now=pair.now)
    pair.pull()
    asked = pair.deliver()
    (first,) = pair.pull()
    pair.run()
    send(pair, pair.a, b"new")
    pair.run()
    pair.repeat(asked)
    (again,) = pair.pull()
    assert again.chunk(c.ReConfig) == first.chunk(c.ReConfig)
    assert len(pair.z.take(AssociationReset)) == 1


def test_any_tsns_that_the_peer_chooses_are_used() -> None:
    # H5; other stacks jump less far, or do not go on where they were
    for mine in (0, 1, 4096, JUMP - 1, JUMP + 1, MASK):
        for theirs in (0, 1, 5, JUMP, MASK):
            pair = used_pair()
            a_new, z_new = (next_tsn(pair.a) + mine) & MASK, (next_tsn(pair.z) + theirs) & MASK
            pair.a.association.reset_association(now=pair.now)
            pair.pull()
            send(pair, pair.a, b"new")
            chunks = data(respond(pair, PERFORMED, z_new, a_new))
            assert [(chunk.tsn, chunk.ssn) for chunk in chunks] == [(a_new, 0)]
            assert pair.a.take(AssociationReset) == [AssociationReset(a_new, z_new, True)]
            answer = c.Data(z_new, 0, 0, 0, b"x", beginning=True, ending=True)
            pair.a.receive(c.Sack(a_new, 10_000, (), ()), answer, now=pair.now)
            assert pair.a.payloads == [b"x"]
            assert not tcb(pair.a).retransmission_queue.outstanding_count


def test_what_the_peer_has_given_up_with_its_reset_is_given_up_here() -> None:
    # H5 with a peer that had data outstanding: what is whole is delivered before the event.
    pair = used_pair()
    z_tsn = next_tsn(pair.z)
    pair.a.association.reset_association(now=pair.now)
    pair.pull()

    def fragment(tsn: int, ssn: int, **flags: bool) -> c.Data:
        return c.Data((z_tsn + tsn) & MASK, 0, ssn, 0, b"x%d" % tsn, **flags)

    pair.a.receive(
        fragment(1, 4, beginning=True, ending=True),
        fragment(3, 5, beginning=True, ending=False),
        fragment(7, 0, beginning=True, ending=True),  # under the new numbers
        now=pair.now,
    )
    assert pair.a.payloads == []  # nobody knows yet which numbers these are
    respond(pair, PERFORMED, (z_tsn + 6) & MASK, next_tsn(pair.a))
    assert [type(event) for event in pair.a.events] == [Message, AssociationReset, Message]
    assert pair.a.payloads == [b"x1", b"x7"]
    pair.a.receive(fragment(6, 1, beginning=True, ending=True), now=pair.now)
    assert pair.a.payloads == [b"x6"]
    assert tcb(pair.a).data_receiver.a_rwnd == pair.a.association.config.a_rwnd


# -- a peer that is not ready


def test_the_asked_end_finishes_what_it_has_begun() -> None:
    # A -> RE-CONFIG (SSN/TSN Reset Request) -> Z, which is in the middle of a message
    # A <- RE-CONFIG (Response: in progress) <- Z
    # A <- DATA (the rest) <- Z
    # A <- RE-CONFIG (Response: performed) <- Z, and only then other messages
    pair = used_pair()
    big = [bytes([number]) * 40_000 for number in range(5)]
    send(pair, pair.z, *big)
    pair.pull()
    asked = request(pair, pair.z)
    (answer,) = parameters(asked)
    assert isinstance(answer, p.ReConfigResponse)
    assert answer.result == IN_PROGRESS
    pair.a.association.reset_association(now=pair.now)
    pair.a.pull(pair.now)  # this is the request that was just answered
    pair.transit += asked
    pair.run_for(5.0)
    kinds = [type(event) for event in pair.a.events]
    assert kinds == [Message, AssociationReset] + [Message] * 4
    messages = pair.a.take(Message)
    assert [message.payload for message in messages] == big
    assert [message.sequence_number for message in messages] == [3, 0, 1, 2, 3]


def test_in_progress_is_no_error_and_ends_without_a_repetition() -> None:
    # the peer's answer comes as soon as its data is acknowledged, not one RTO later
    pair = used_pair(rto_min=5.0)
    send(pair, pair.z, bytes(3000))
    pair.z.pull(pair.now)  # lost, or late
    pair.a.association.reset_association(now=pair.now)
    pair.pull()
    pair.deliver()
    pair.pull()
    assert [a.result for a in parameters(pair.transit) if isinstance(a, p.ReConfigResponse)] == [6]
    start = pair.now
    pair.run_until(done=lambda: bool(pair.a.take(AssociationReset)))
    assert pair.now - start <= 5.0 + 0.2  # T3-rtx, delayed SACK
    assert tcb(pair.a).error_count == 0
    assert len(pair.a.payloads) == 1


def test_unread_data_does_not_matter() -> None:
    # Z's window is closed by a slow reader; the reset takes place all the same
    pair = new_pair(a_rwnd=10_000)
    pair.z.reading = False
    send(pair, pair.a, *[bytes(1000)] * 9)
    pair.run_for(5.0)
    pair.z.association.reset_association(now=pair.now)
    pair.run_for(5.0)
    assert [event.succeeded for event in pair.z.take(AssociationReset)] == [True]
    assert len(pair.z.payloads) == 9


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
