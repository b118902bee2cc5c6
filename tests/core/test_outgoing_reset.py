"""Resets of outgoing streams by RE-CONFIG (RFC 6525 §5.1.2, §5.2.2): requests, losses, answers."""

from __future__ import annotations

import pytest

from tests.support.reset_ends import (
    A_TSN,
    BAD_SN,
    DENIED,
    IN_PROGRESS,
    NOTHING_TO_DO,
    PERFORMED,
    ROOM,
    WRONG_SSN,
    Z_TSN,
    End,
    decode,
    exchange,
    pair,
    response,
)
from trio_sctp._core.config import Config
from trio_sctp._core.errors import LocalProtocolError
from trio_sctp._core.tx.resettable_streams import ResettableStreams
from trio_sctp._wire.parameters import OutgoingSsnResetRequest

# -- a reset of outgoing streams


def test_reset_of_two_streams() -> None:
    # A -> RE-CONFIG (Outgoing SSN Reset Request 1000: streams 1, 2) -> Z
    # A <- RE-CONFIG (Response 1000: performed) <- Z
    a, z = pair()
    a.reset.reset_outgoing((1, 2))
    request = a.take_one(now=7.0)
    assert request.parameters == (OutgoingSsnResetRequest(A_TSN, Z_TSN - 1, A_TSN - 1, (1, 2)),)
    assert a.reset.timer.deadline == 8.0
    assert z.reset.receive(request, 7.1)  # a SACK should go with the answer
    assert z.incoming == [(1, 2)]
    answer = z.take_one()
    assert answer.parameters == (response(A_TSN, PERFORMED),)
    assert not a.reset.receive(answer, 7.2)
    assert a.outgoing == [((1, 2), True)]
    assert not a.reset.timer.running
    assert not a.reset.pending
    assert not z.reset.pending


def test_request_waits_until_everything_queued_was_sent() -> None:
    a, _ = pair()
    a.queue_message(1)
    a.queue_message(1)
    a.reset.reset_outgoing((1,))
    assert a.take() == []
    assert a.reset.pending
    a.transmit()
    (request,) = a.take_one().parameters
    assert isinstance(request, OutgoingSsnResetRequest)
    assert request.last_tsn == A_TSN + 1


def test_messages_sent_during_a_reset_wait_for_the_answer_and_start_at_ssn_0() -> None:
    # A -> DATA (SSN 0) -> Z
    # A -> RE-CONFIG (Outgoing SSN Reset Request) -> Z
    #   here A's program sends another message
    # A <- RE-CONFIG (Response: performed) <- Z
    # A -> DATA (SSN 0) -> Z
    a, z = pair()
    a.queue_message(1)
    a.transmit()
    a.reset.reset_outgoing((1,))
    request = a.take_one()
    later = a.queue_message(1)
    assert a.queue.next_message() is None
    z.receiver.cumulative_tsn_ack = A_TSN
    z.reset.receive(request, 0)
    a.reset.receive(z.take_one(), 0)
    a.transmit()
    assert later.ssn == 0
    assert ResettableStreams(a.queue).is_idle(1)


def test_denied_reset_goes_on_with_the_old_ssn() -> None:
    # RFC 6525 §5.2.7 H3
    a, _ = pair()
    a.queue_message(1)
    a.transmit()
    a.reset.reset_outgoing((1,))
    a.take_one()
    later = a.queue_message(1)
    a.receive(response(A_TSN, DENIED))
    assert a.outgoing == [((1,), False)]
    a.transmit()
    assert later.ssn == 1


@pytest.mark.parametrize("result", [DENIED, WRONG_SSN, BAD_SN, 7, 0xFFFFFFFF])
def test_unsuccessful_results_end_the_request(result: int) -> None:
    a, _ = pair()
    a.reset.reset_outgoing((1,))
    a.take_one()
    a.receive(response(A_TSN, result))
    assert a.outgoing == [((1,), False)]
    assert not a.reset.pending
    assert not a.reset.timer.running


@pytest.mark.parametrize("result", [PERFORMED, NOTHING_TO_DO])
def test_both_kinds_of_success(result: int) -> None:
    a, _ = pair()
    a.reset.reset_outgoing((1,))
    a.take_one()
    a.receive(response(A_TSN, result))
    assert a.outgoing == [((1,), True)]


def test_resets_requested_at_once_share_a_request() -> None:
    a, z = pair()
    for stream_id in range(100):
        a.reset.reset_outgoing((stream_id,))
    (request,) = a.take_one().parameters
    assert isinstance(request, OutgoingSsnResetRequest)
    assert request.stream_ids == tuple(range(100))
    z.receive(request)
    a.reset.receive(z.take_one(), 0)
    assert a.outgoing == [(tuple(range(100)), True)]


def test_each_request_fits_the_path_mtu_and_only_one_is_on_its_way() -> None:
    a, z = pair()
    a.reset.reset_outgoing(range(3000))
    sizes = []
    while a.reset.pending:
        (chunk,) = a.reset.chunks_to_send(ROOM, 0.0)
        assert a.reset.chunks_to_send(ROOM, 0.0) == []
        sizes.append(len(chunk))
        z.reset.receive(decode(chunk), 0.0)
        a.reset.receive(z.take_one(), 0.0)
    assert max(sizes) == ROOM
    assert len(sizes) == 6
    assert sorted(i for ids, _ in a.outgoing for i in ids) == list(range(3000))


def test_streams_that_are_ready_do_not_wait_for_busy_ones() -> None:
    a, z = pair()
    for stream_id in range(300):
        a.queue_message(stream_id)
    a.reset.reset_outgoing(range(400))
    for _ in range(10):
        exchange(a, z)
    assert sorted(i for ids, _ in a.outgoing for i in ids) == list(range(300, 400))
    a.transmit()
    z.receiver.cumulative_tsn_ack = a.sender.next_tsn - 1
    exchange(a, z)
    assert sorted(i for ids, _ in a.outgoing for i in ids) == list(range(400))


def test_request_waits_for_a_packet_with_room() -> None:
    a, _ = pair()
    a.reset.reset_outgoing(range(50))
    assert a.take(room=100) == []
    assert not a.reset.timer.running
    assert a.reset.pending
    assert len(a.take(room=ROOM)) == 1


def test_reset_of_all_streams() -> None:
    # A -> RE-CONFIG (Outgoing SSN Reset Request without stream numbers) -> Z
    a, z = pair(streams=10)
    a.queue_message(3)
    a.reset.reset_outgoing(())
    assert a.take() == []  # not before everything was sent
    a.transmit()
    request = a.take_one()
    (parameter,) = request.parameters
    assert isinstance(parameter, OutgoingSsnResetRequest)
    assert parameter.stream_ids == ()
    held = a.queue_message(7)
    assert a.queue.next_message() is None  # every stream waits for the answer
    z.receiver.cumulative_tsn_ack = A_TSN
    z.reset.receive(request, 0)
    assert z.incoming == [()]
    a.reset.receive(z.take_one(), 0)
    assert a.outgoing == [((), True)]
    a.transmit()
    assert held.ssn == 0


@pytest.mark.parametrize("call", ["reset_outgoing", "request_incoming"])
def test_stream_out_of_range_is_a_local_error(call: str) -> None:
    a, _ = pair(streams=10)
    with pytest.raises(
        LocalProtocolError, match=r"one of stream_ids is 10: it must be from 0 to 9"
    ):
        getattr(a.reset, call)((3, 10))
    assert not a.reset.pending


# -- loss


def test_lost_request_is_repeated_with_back_off_and_counts_errors() -> None:
    # A -> RE-CONFIG (1000) -> lost, after 1 s, 2 s and 4 s again
    config = Config(rto_max=3.0)
    a, z = End(A_TSN, Z_TSN, config=config), End(Z_TSN, A_TSN)
    a.reset.reset_outgoing((1,))
    now, first, deadlines = 0.0, a.take_one(), []
    for _ in range(3):
        now = a.reset.timer.deadline
        deadlines.append(now)
        assert a.expire()
        again = a.take_one(now)
        assert again == first
    assert deadlines == [1.0, 3.0, 6.0]  # 1, 2, then RTO.Max
    z.reset.receive(again, now)
    a.reset.receive(z.take_one(), now)
    assert a.reset.answered
    assert a.outgoing == [((1,), True)]
    assert not a.reset.timer.running


def test_lost_response_is_given_again_and_the_reset_performed_once() -> None:
    # A -> RE-CONFIG (1000) -> Z
    #      lost <- RE-CONFIG (Response 1000: performed) <- Z
    # A -> RE-CONFIG (1000) -> Z
    # A <- RE-CONFIG (Response 1000: performed) <- Z
    a, z = pair()
    a.reset.reset_outgoing((1,))
    z.reset.receive(a.take_one(), 0)
    lost = z.take_one()
    a.expire()
    z.reset.receive(a.take_one(1.0), 1.0)
    answer = z.take_one()
    assert answer == lost
    assert z.incoming == [(1,)]
    a.reset.receive(answer, 1.0)
    a.reset.receive(answer, 1.0)  # duplicated by the network
    assert a.outgoing == [((1,), True)]


def test_timer_without_a_request_changes_nothing() -> None:
    a, _ = pair()
    assert not a.reset.handle_timeout(5.0)
    assert a.take() == []


def test_response_to_something_else_is_ignored() -> None:
    a, _ = pair()
    a.receive(response(A_TSN, PERFORMED))
    a.reset.reset_outgoing((1,))
    a.take_one()
    a.receive(response(A_TSN - 1, PERFORMED))
    a.receive(response(A_TSN + 1, DENIED))
    assert a.outgoing == []
    assert a.reset.timer.running


# -- "in progress"


def test_reset_is_deferred_until_the_data_before_it_has_come() -> None:
    # A -> DATA (TSN 1000) -> lost
    # A -> RE-CONFIG (Outgoing SSN Reset Request 1000, last TSN 1000) -> Z
    # A <- RE-CONFIG (Response 1000: in progress) <- Z
    # A -> DATA (TSN 1000) -> Z
    # A <- RE-CONFIG (Response 1000: performed) <- Z
    a, z = pair()
    a.queue_message(1)
    a.transmit()
    a.reset.reset_outgoing((1,))
    z.reset.receive(a.take_one(), 0)
    assert z.incoming == []
    assert z.receiver.deferred == [((1,), A_TSN)]
    answer = z.take_one()
    assert answer.parameters == (response(A_TSN, IN_PROGRESS),)
    a.reset.receive(answer, 0.5)
    assert a.reset.timer.deadline == 1.5
    assert a.outgoing == []
    assert not z.reset.data_advanced(0.6)
    assert z.incoming == []
    z.receiver.cumulative_tsn_ack = A_TSN
    assert z.reset.data_advanced(0.7)  # a SACK should go with the answer
    assert z.incoming == [(1,)]
    assert not z.reset.waits_for_data
    answer = z.take_one()
    assert answer.parameters == (response(A_TSN, PERFORMED),)
    a.reset.receive(answer, 0.8)
    assert a.outgoing == [((1,), True)]


def test_request_in_progress_is_repeated_under_its_number_without_counting_errors() -> None:
    # RFC 6525 §5.2.7 H2
    a, z = pair()
    a.queue_message(1)
    a.transmit()
    a.reset.reset_outgoing((1,))
    first = a.take_one()
    z.reset.receive(first, 0)
    a.reset.receive(z.take_one(), 0)
    for now in (1.0, 2.0):
        assert not a.expire()
        again = a.take_one(now)
        assert again == first
        z.reset.receive(again, now)
        answer = z.take_one()
        assert answer.parameters == (response(A_TSN, IN_PROGRESS),)
        a.reset.receive(answer, now)
    z.receiver.cumulative_tsn_ack = A_TSN
    z.reset.data_advanced(2.0)
    z.take_one()  # "performed" is lost
    assert not a.expire()
    z.reset.receive(a.take_one(3.0), 3.0)
    a.reset.receive(z.take_one(), 3.0)
    assert a.outgoing == [((1,), True)]
    assert z.incoming == [(1,)]


def test_peer_that_stays_in_progress_although_it_has_the_data_gets_a_new_request() -> None:
    # Some stacks look at a deferred reset again only when a new request comes.
    # A -> RE-CONFIG (1000) -> Z,  A <- in progress,  A -> RE-CONFIG (1000) -> Z,  A <- in progress
    # A -> RE-CONFIG (1001, same last TSN) -> Z
    a, _ = pair()
    a.queue_message(1)
    a.transmit()
    a.reset.reset_outgoing((1,))
    (first,) = a.take_one().parameters
    assert isinstance(first, OutgoingSsnResetRequest)
    a.receive(response(A_TSN, IN_PROGRESS))
    a.sender.cumulative_tsn_ack = A_TSN
    assert not a.expire()
    assert a.take_one(1.0).parameters == (first,)
    a.receive(response(A_TSN, IN_PROGRESS), now=1.1)
    (renewed,) = a.take_one(1.1).parameters
    assert renewed == OutgoingSsnResetRequest(
        A_TSN + 1, first.response_sn, first.last_tsn, first.stream_ids
    )
    a.receive(response(A_TSN, PERFORMED))  # no longer of interest
    assert a.outgoing == []
    a.receive(response(A_TSN + 1, PERFORMED))
    assert a.outgoing == [((1,), True)]


def test_new_request_takes_over_a_deferred_one() -> None:
    # A -> RE-CONFIG (1000, stream 1, last TSN 1003) -> Z answers "in progress"
    # A -> RE-CONFIG (1001, stream 1, last TSN 1003) -> Z answers "in progress"
    #   the data arrives
    # A <- RE-CONFIG (Response 1001: performed) <- Z
    _, z = pair()
    z.receive(OutgoingSsnResetRequest(A_TSN, 0, A_TSN + 3, (1,)))
    z.take_one()
    z.receive(OutgoingSsnResetRequest(A_TSN + 1, 0, A_TSN + 3, (1, 2)))
    assert z.take_one().parameters == (response(A_TSN + 1, IN_PROGRESS),)
    z.receiver.cumulative_tsn_ack = A_TSN + 3
    z.reset.data_advanced(0)
    assert z.incoming == [(1, 2)]
    assert z.take_one().parameters == (response(A_TSN + 1, PERFORMED),)


def test_request_renewed_after_it_was_performed_late_is_no_second_reset() -> None:
    # A -> RE-CONFIG (1000, last TSN 1003) -> Z, A <- in progress; the data comes; "performed" is lost
    # A -> RE-CONFIG (1001, the same) -> Z: a stack that renumbers after "in progress"
    _, z = pair()
    z.receive(OutgoingSsnResetRequest(A_TSN, 0, A_TSN + 3, (1,)))
    z.receiver.cumulative_tsn_ack = A_TSN + 3
    z.reset.data_advanced(0)
    z.take()
    z.receive(OutgoingSsnResetRequest(A_TSN + 1, 0, A_TSN + 3, (1,)))
    assert z.take_one().parameters == (response(A_TSN + 1, PERFORMED),)
    assert z.incoming == [(1,)]
    # a later reset of the same stream is one
    z.receiver.cumulative_tsn_ack = A_TSN + 4
    z.receive(OutgoingSsnResetRequest(A_TSN + 2, 0, A_TSN + 4, (1,)))
    assert z.incoming == [(1,), (1,)]


def test_deferred_reset_of_all_streams_swallows_one_of_some() -> None:
    _, z = pair()
    z.receive(OutgoingSsnResetRequest(A_TSN, 0, A_TSN + 3, (1,)))
    z.receive(OutgoingSsnResetRequest(A_TSN + 1, 0, A_TSN, ()))
    z.receiver.cumulative_tsn_ack = A_TSN
    z.reset.data_advanced(0)
    assert z.incoming == []
    z.receiver.cumulative_tsn_ack = A_TSN + 3
    z.reset.data_advanced(0)
    assert z.incoming == [()]


def test_data_that_came_with_the_request_is_seen_before_it() -> None:
    _, z = pair()
    z.receive(OutgoingSsnResetRequest(A_TSN, 0, A_TSN, (1,)))
    z.receiver.cumulative_tsn_ack = A_TSN  # nobody has called data_advanced yet
    z.receive(OutgoingSsnResetRequest(A_TSN + 1, 0, A_TSN, (2,)))
    assert z.incoming == [(1,), (2,)]


# -- sequence numbers of requests


def test_bad_sequence_numbers_are_answered_and_nothing_is_performed() -> None:
    _, z = pair()
    for sn in (A_TSN - 1, A_TSN + 1, A_TSN + 2**31, 0, 0xFFFFFFFF):
        z.receive(OutgoingSsnResetRequest(sn, 0, A_TSN - 1, (1,)))
        assert z.take_one().parameters == (response(sn, BAD_SN),)
    assert z.incoming == []
    z.receive(OutgoingSsnResetRequest(A_TSN, 0, A_TSN - 1, (1,)))
    assert z.take_one().parameters == (response(A_TSN, PERFORMED),)


def test_only_the_last_request_is_answered_again() -> None:
    _, z = pair()
    for offset in (0, 1):
        z.receive(OutgoingSsnResetRequest(A_TSN + offset, 0, A_TSN - 1, (1,)))
        z.take_one()
    z.receive(OutgoingSsnResetRequest(A_TSN + 1, 0, A_TSN - 1, (1,)))
    assert z.take_one().parameters == (response(A_TSN + 1, PERFORMED),)
    z.receive(OutgoingSsnResetRequest(A_TSN, 0, A_TSN - 1, (1,)))
    assert z.take_one().parameters == (response(A_TSN, BAD_SN),)
    assert len(z.incoming) == 2


def test_request_numbers_and_tsns_wrap_around() -> None:
    a, z = End(0xFFFFFFFF, 0), End(0, 0xFFFFFFFF)
    for round_number in range(3):
        a.queue_message(1)
        a.transmit()
        z.receiver.cumulative_tsn_ack = a.sender.next_tsn - 1
        a.reset.reset_outgoing((1,))
        z.reset.reset_outgoing((2,))
        exchange(a, z)
        assert len(a.outgoing) == len(z.outgoing) == round_number + 1
    assert all(ok for _, ok in a.outgoing + z.outgoing)
    assert z.incoming == [(1,)] * 3
    assert a.incoming == [(2,)] * 3


def test_resets_of_both_ends_cross() -> None:
    # A -> RE-CONFIG (Outgoing 1000) ->   <- RE-CONFIG (Outgoing 5000) <- Z
    # A -> RE-CONFIG (Response 5000) ->   <- RE-CONFIG (Response 1000) <- Z
    a, z = pair()
    a.reset.reset_outgoing((1,))
    z.reset.reset_outgoing((1,))
    from_a, from_z = a.take_one(), z.take_one()
    a.reset.receive(from_z, 0)
    z.reset.receive(from_a, 0)
    from_a, from_z = a.take_one(), z.take_one()
    assert from_a.parameters == (response(Z_TSN, PERFORMED),)
    assert from_z.parameters == (response(A_TSN, PERFORMED),)
    a.reset.receive(from_z, 0)
    z.reset.receive(from_a, 0)
    for end in (a, z):
        assert end.incoming == [(1,)]
        assert end.outgoing == [((1,), True)]


def test_response_sn_names_the_last_request_of_the_peer() -> None:
    # RFC 6525 §4.1
    a, z = pair()
    z.reset.reset_outgoing((1,))
    exchange(a, z)
    a.reset.reset_outgoing((2,))
    (request,) = a.take_one().parameters
    assert isinstance(request, OutgoingSsnResetRequest)
    assert request.response_sn == Z_TSN
