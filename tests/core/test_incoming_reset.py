"""Resets that the receiving end asks for (RFC 6525 §5.1.3, §5.2.3), and what is not accepted."""

from __future__ import annotations

import pytest

from tests.support.reset_ends import (
    A_TSN,
    BUSY,
    DENIED,
    IN_PROGRESS,
    NOTHING_TO_DO,
    PERFORMED,
    WRONG_SSN,
    Z_TSN,
    End,
    exchange,
    pair,
    response,
)
from trio_sctp._core.config import Config
from trio_sctp._core.events import IncomingResetRefused
from trio_sctp._wire.error_causes import ProtocolViolation, UnrecognizedParameters
from trio_sctp._wire.parameters import (
    AddOutgoingStreams,
    IncomingSsnResetRequest,
    OutgoingSsnResetRequest,
    Parameter,
    SsnTsnResetRequest,
    StateCookie,
    UnknownParameter,
)

# -- a reset of incoming streams


def test_incoming_reset_is_answered_by_an_outgoing_one() -> None:
    # A -> RE-CONFIG (Incoming SSN Reset Request 1000: streams 1, 2) -> Z
    # A <- RE-CONFIG (Outgoing SSN Reset Request 5000, answers 1000) <- Z
    # A -> RE-CONFIG (Response 5000: performed) -> Z
    a, z = pair()
    a.reset.request_incoming((1, 2))
    request = a.take_one()
    assert request.parameters == (IncomingSsnResetRequest(A_TSN, (1, 2)),)
    z.reset.receive(request, 0)
    answer = z.take_one()
    assert answer.parameters == (OutgoingSsnResetRequest(Z_TSN, A_TSN, Z_TSN - 1, (1, 2)),)
    assert z.reset.timer.running
    a.reset.receive(answer, 0)
    assert not a.reset.timer.running  # E1
    assert a.incoming == [(1, 2)]
    z.reset.receive(a.take_one(), 0)
    assert z.outgoing == [((1, 2), True)]
    assert not a.reset.pending
    assert not z.reset.pending


def test_incoming_reset_of_all_streams() -> None:
    a, z = pair(streams=20)
    a.reset.request_incoming(())
    exchange(a, z)
    assert a.incoming == [()]
    assert z.outgoing == [((), True)]


def test_incoming_reset_is_in_progress_while_data_waits() -> None:
    # A -> RE-CONFIG (Incoming 1000: stream 1) -> Z still has to send on stream 1
    # A <- RE-CONFIG (Response 1000: in progress) <- Z
    #   Z sends the rest
    # A <- RE-CONFIG (Outgoing 5000, answers 1000) <- Z
    a, z = pair()
    z.queue_message(1)
    a.reset.request_incoming((1,))
    request = a.take_one()
    z.reset.receive(request, 0)
    answer = z.take_one()
    assert answer.parameters == (response(A_TSN, IN_PROGRESS),)
    a.reset.receive(answer, 0)
    assert not a.expire()
    z.reset.receive(a.take_one(1.0), 1.0)  # asked again: the same answer
    assert z.take_one() == answer
    z.transmit()
    (late,) = z.take_one().parameters
    assert late == OutgoingSsnResetRequest(Z_TSN, A_TSN, Z_TSN, (1,))
    a.receiver.cumulative_tsn_ack = Z_TSN
    a.receive(late)
    assert a.incoming == [(1,)]
    assert not a.reset.timer.running
    z.reset.receive(request, 2.0)  # a late duplicate gets the final answer
    assert z.take_one().parameters == (late,)


def test_repeated_incoming_request_gets_the_same_request_back() -> None:
    a, z = pair()
    a.reset.request_incoming((1,))
    request = a.take_one()
    z.reset.receive(request, 0)
    first = z.take_one()
    z.reset.receive(request, 1.0)
    assert z.take_one() == first


def test_both_directions_in_one_chunk() -> None:
    # A -> RE-CONFIG (Outgoing 1000, Incoming 1001) -> Z
    # A <- RE-CONFIG (Response 1000, Outgoing 5000 which answers 1001) <- Z
    _, z = pair()
    out = OutgoingSsnResetRequest(A_TSN, Z_TSN - 1, A_TSN - 1, (1,))
    both = (out, IncomingSsnResetRequest(A_TSN + 1, (1,)))
    z.receive(*both)
    answer = z.take_one()
    assert answer.parameters == (
        response(A_TSN, PERFORMED),
        OutgoingSsnResetRequest(Z_TSN, A_TSN + 1, Z_TSN - 1, (1,)),
    )
    z.receive(*both)
    assert z.take_one() == answer
    assert z.incoming == [(1,)]
    z.receive(response(Z_TSN, PERFORMED))
    assert z.outgoing == [((1,), True)]


def test_both_directions_in_one_chunk_while_data_waits() -> None:
    # RFC 6525 §5.2.1: several answers go back in one chunk
    _, z = pair()
    z.queue_message(1)
    out = OutgoingSsnResetRequest(A_TSN, Z_TSN - 1, A_TSN - 1, (1,))
    z.receive(out, IncomingSsnResetRequest(A_TSN + 1, (1,)))
    assert z.take_one().parameters == (
        response(A_TSN, PERFORMED),
        response(A_TSN + 1, IN_PROGRESS),
    )


def test_incoming_request_covered_by_a_reset_on_its_way_has_nothing_to_do() -> None:
    # RFC 6525 §5.2.3, the first race
    _, z = pair()
    z.reset.reset_outgoing((1, 2))
    z.take_one()
    z.receive(IncomingSsnResetRequest(A_TSN, (2,)))
    assert z.take_one().parameters == (response(A_TSN, NOTHING_TO_DO),)


def test_incoming_request_that_overlaps_a_reset_on_its_way_is_performed_after_it() -> None:
    _, z = pair()
    z.reset.reset_outgoing((1, 2))
    z.take_one()
    z.receive(IncomingSsnResetRequest(A_TSN, (2, 3)))
    assert z.take_one().parameters == (response(A_TSN, IN_PROGRESS),)
    z.receive(response(Z_TSN, PERFORMED))
    (request,) = z.take_one().parameters
    assert request == OutgoingSsnResetRequest(Z_TSN + 1, A_TSN, Z_TSN - 1, (2, 3))


def test_incoming_request_after_the_reset_just_completed_has_nothing_to_do() -> None:
    # RFC 6525 §5.2.3, the second race
    a, z = pair()
    z.reset.reset_outgoing((1, 2))
    exchange(a, z)
    z.receive(IncomingSsnResetRequest(A_TSN, (2,)))
    assert z.take_one().parameters == (response(A_TSN, NOTHING_TO_DO),)
    z.queue_message(2)
    z.transmit()
    z.receive(IncomingSsnResetRequest(A_TSN + 1, (2,)))
    (request,) = z.take_one().parameters
    assert isinstance(request, OutgoingSsnResetRequest)


def test_incoming_requests_of_both_ends_cross() -> None:
    # A -> RE-CONFIG (Incoming 1000: stream 1) ->   <- RE-CONFIG (Incoming 5000: stream 2) <- Z
    a, z = pair()
    a.reset.request_incoming((1,))
    z.reset.request_incoming((2,))
    exchange(a, z)
    assert a.incoming == [(1,)]
    assert z.incoming == [(2,)]
    assert a.outgoing == [((2,), True)]
    assert z.outgoing == [((1,), True)]
    assert not a.reset.pending
    assert not z.reset.pending


def test_incoming_request_takes_over_streams_that_wait_for_a_reset() -> None:
    a, z = pair()
    z.queue_message(1)
    z.reset.reset_outgoing((1,))
    a.reset.request_incoming((1,))
    z.reset.receive(a.take_one(), 0)
    z.take_one()
    z.transmit()
    a.receiver.cumulative_tsn_ack = Z_TSN
    exchange(a, z)
    assert z.outgoing == [((1,), True)]
    assert not z.reset.pending


def test_incoming_request_given_up_by_the_peer_is_still_performed() -> None:
    _, z = pair()
    z.queue_message(1)
    z.receive(IncomingSsnResetRequest(A_TSN, (1,)))
    z.receive(IncomingSsnResetRequest(A_TSN + 1, (2,)))
    answers = [chunk.parameters[0] for chunk in z.take()]
    assert answers[:1] == [response(A_TSN, IN_PROGRESS)]
    assert answers[1:] == [OutgoingSsnResetRequest(Z_TSN, A_TSN + 1, Z_TSN - 1, (2,))]
    z.receive(response(Z_TSN, PERFORMED))
    z.transmit()
    (request,) = z.take_one().parameters
    assert isinstance(request, OutgoingSsnResetRequest)
    assert request.stream_ids == (1,)


def test_more_streams_than_we_can_name_are_reset_in_parts() -> None:
    # a peer with a larger MTU asks for more streams than fit into a request of ours
    config = Config(path_mtu=512)
    z = End(Z_TSN, A_TSN, config=config)
    z.receive(IncomingSsnResetRequest(A_TSN, tuple(range(500))))
    chunks = z.take()
    assert chunks[0].parameters == (response(A_TSN, PERFORMED),)
    while z.reset.pending:
        (request,) = chunks[-1].parameters
        assert isinstance(request, OutgoingSsnResetRequest)
        z.receive(response(request.request_sn, PERFORMED))
        chunks = z.take(room=500)
    assert sorted(i for ids, _ in z.outgoing for i in ids) == list(range(500))


def test_refused_incoming_request_is_told() -> None:
    a, _ = pair()
    a.reset.request_incoming((1,))
    a.take_one()
    a.receive(response(A_TSN, DENIED))
    assert a.told == [IncomingResetRefused((1,))]
    assert not a.reset.pending


def test_incoming_request_may_stay_in_progress_as_long_as_the_peer_likes() -> None:
    a, _ = pair()
    a.reset.request_incoming((1,))
    first, now = a.take_one(), 0.0
    for _ in range(50):
        a.receive(response(A_TSN, IN_PROGRESS), now=now)
        now = a.reset.timer.deadline
        assert not a.expire()
        assert a.take_one(now) == first


def test_large_incoming_request_is_split() -> None:
    a, z = pair()
    a.reset.request_incoming(range(1000))
    exchange(a, z)
    assert sorted(i for ids in a.incoming for i in ids) == list(range(1000))


def test_peer_that_is_busy_is_asked_again_later() -> None:
    # A <- RE-CONFIG (Response 1000: request already in progress) <- Z
    #   one RTO later: A -> RE-CONFIG (Incoming 1001) -> Z
    a, _ = pair()
    a.reset.request_incoming((1,))
    a.take_one()
    a.receive(response(A_TSN, BUSY), now=0.5)
    assert a.take() == []
    assert a.reset.timer.deadline == 1.5
    assert not a.expire()
    assert a.take_one(1.5).parameters == (IncomingSsnResetRequest(A_TSN + 1, (1,)),)


def test_peer_that_is_always_busy_is_not_asked_for_ever() -> None:
    config = Config(association_max_retrans=3)
    a = End(A_TSN, Z_TSN, config=config)
    a.reset.reset_outgoing((1,))
    requests = 0
    while a.reset.pending:
        (request,) = a.take_one().parameters
        assert isinstance(request, OutgoingSsnResetRequest)
        requests += 1
        a.receive(response(request.request_sn, BUSY))
        if a.reset.timer.running:
            a.expire()
    assert requests == 4
    assert a.outgoing == [((1,), False)]


# -- what is not accepted


def test_streams_that_do_not_exist_are_refused() -> None:
    _, z = pair(streams=10)
    z.receive(OutgoingSsnResetRequest(A_TSN, 0, A_TSN - 1, (9, 10)))
    z.receive(IncomingSsnResetRequest(A_TSN + 1, (65535,)))
    answers = [chunk.parameters for chunk in z.take()]
    assert answers == [(response(A_TSN, WRONG_SSN),), (response(A_TSN + 1, WRONG_SSN),)]
    assert z.incoming == []


@pytest.mark.parametrize(
    "parameters",
    [
        (),
        (StateCookie(b"?"),),
        (SsnTsnResetRequest(A_TSN), OutgoingSsnResetRequest(A_TSN + 1, 0, 0, (1,))),
        (AddOutgoingStreams(A_TSN, 1), AddOutgoingStreams(A_TSN + 1, 1)),
        (
            OutgoingSsnResetRequest(A_TSN, 0, A_TSN - 1, (1,)),
            OutgoingSsnResetRequest(A_TSN + 1, 0, A_TSN - 1, (2,)),
        ),
        (response(0, PERFORMED), response(1, PERFORMED), response(2, PERFORMED)),
        (response(0, PERFORMED), IncomingSsnResetRequest(A_TSN, (1,))),
    ],
)
def test_combinations_that_are_not_allowed_are_a_protocol_violation(
    parameters: tuple[Parameter, ...],
) -> None:
    # RFC 6525 §3.1
    _, z = pair()
    assert not z.receive(*parameters)
    assert z.take() == []
    assert z.incoming == []
    (error,) = z.reset.errors
    assert isinstance(error, ProtocolViolation)


def test_unknown_parameters_by_their_high_bits() -> None:
    # RFC 9260 §3.2.1: 00 stop, 01 stop and report, 10 skip, 11 skip and report
    out = OutgoingSsnResetRequest(A_TSN, 0, A_TSN - 1, (1,))
    for kind, performed, reported in (
        (0x3000, False, False),
        (0x7000, False, True),
        (0xB000, True, False),
        (0xF000, True, True),
    ):
        _, z = pair()
        unknown = UnknownParameter(kind, b"what")
        z.receive(unknown, out)
        assert bool(z.incoming) == performed
        assert z.reset.errors == ([UnrecognizedParameters(unknown.encode())] if reported else [])


def test_flood_of_requests_does_not_grow_the_queue_of_answers() -> None:
    _, z = pair()
    for _ in range(1000):
        z.receive(OutgoingSsnResetRequest(0, 0, 0, (1,)))
    assert len(z.take()) < 20
    assert not z.reset.pending
