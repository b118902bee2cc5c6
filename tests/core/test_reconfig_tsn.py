"""All numbers begin anew: the SSN/TSN reset (RFC 6525 §4.3, §5.1.4, §5.2.4)."""

from __future__ import annotations

import pytest

from tests.support.association_pair import Packet, pair_in_state
from tests.support.tsn_reset import (
    BAD_SN,
    DENIED,
    IN_PROGRESS,
    JUMP,
    MASK,
    NOTHING_TO_DO,
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
from trio_sctp._core.errors import LocalProtocolError
from trio_sctp._core.events import AssociationReset, IncomingStreamsReset, Message
from trio_sctp._wire import chunks as c, parameters as p
from trio_sctp._wire.error_causes import ProtocolViolation

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
