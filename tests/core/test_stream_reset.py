"""RE-CONFIG between two ends (RFC 6525): a StreamReset and a real send queue each, a fake receiver."""

from __future__ import annotations

import math
from collections.abc import Collection

import pytest

from trio_sctp._core.config import Config
from trio_sctp._core.errors import LocalProtocolError
from trio_sctp._core.events import (
    IncomingResetRefused,
    IncomingStreamsReset,
    OutgoingStreamsReset,
)
from trio_sctp._core.stream_reset import ReconfigEvent, StreamReset
from trio_sctp._core.tx.outgoing_message import OutgoingMessage
from trio_sctp._core.tx.resettable_streams import ResettableStreams
from trio_sctp._core.tx.send_queue import SendQueue
from trio_sctp._wire.chunks import ReConfig
from trio_sctp._wire.error_causes import ProtocolViolation, UnrecognizedParameters
from trio_sctp._wire.parameters import (
    AddOutgoingStreams,
    IncomingSsnResetRequest,
    OutgoingSsnResetRequest,
    Parameter,
    ReConfigResponse,
    ReConfigResult,
    SsnTsnResetRequest,
    StateCookie,
    UnknownParameter,
)

A_TSN, Z_TSN = 1000, 5000
ROOM = 1188
NOTHING_TO_DO = ReConfigResult.SUCCESS_NOTHING_TO_DO
PERFORMED = ReConfigResult.SUCCESS_PERFORMED
DENIED = ReConfigResult.DENIED
WRONG_SSN = ReConfigResult.ERROR_WRONG_SSN
BUSY = ReConfigResult.ERROR_REQUEST_ALREADY_IN_PROGRESS
BAD_SN = ReConfigResult.ERROR_BAD_SEQUENCE_NUMBER
IN_PROGRESS = ReConfigResult.IN_PROGRESS


class Rto:
    rto = 1.0


class Sender:
    def __init__(self, initial_tsn: int) -> None:
        self.next_tsn = initial_tsn
        self.cumulative_tsn_ack = initial_tsn - 1
        self.outstanding_count = 0
        self.tsn_reset_pending = False

    def reset_tsn(self, next_tsn: int) -> None:
        raise NotImplementedError

    def streams_will_be_reset(self, stream_ids: Collection[int]) -> None: ...


class Receiver:
    def __init__(self, initial_tsn: int) -> None:
        self.cumulative_tsn_ack = initial_tsn - 1
        self.is_releasing = self.holds_much = False
        self.deferred: list[tuple[tuple[int, ...], int]] = []

    def defer_reset(self, stream_ids: tuple[int, ...], last_tsn: int) -> None:
        self.deferred.append((stream_ids, last_tsn))

    def hold_back(self) -> None: ...
    def holds_back(self, tsn: int) -> bool:
        return False

    def end_hold_back(self, *, for_good: bool = False) -> None: ...
    def hold_back_from(self, next_tsn: int) -> None: ...
    def end_numbering(self, next_tsn: int) -> None: ...


class End:
    """One end: what its reset component needs, and what it told."""

    def __init__(
        self, tsn: int, peer_tsn: int, *, streams: int = 65535, config: Config | None = None
    ) -> None:
        self.queue = SendQueue()
        self.sender = Sender(tsn)
        self.receiver = Receiver(peer_tsn)
        self.incoming: list[tuple[int, ...]] = []
        self.outgoing: list[tuple[tuple[int, ...], bool]] = []
        self.told: list[object] = []
        self.reset = StreamReset(
            config or Config(),
            initial_tsn=tsn,
            peer_initial_tsn=peer_tsn,
            outbound_streams=streams,
            inbound_streams=streams,
            send_queue=ResettableStreams(self.queue),
            sender=self.sender,
            receiver=self.receiver,
            rto=Rto(),
            tell=self._tell,
        )

    def _tell(self, event: ReconfigEvent) -> None:
        if isinstance(event, IncomingStreamsReset):
            self.incoming.append(event.stream_ids)
        elif isinstance(event, OutgoingStreamsReset):
            self.outgoing.append((event.stream_ids, event.succeeded))
        else:
            self.told.append(event)

    def queue_message(self, stream_id: int) -> OutgoingMessage:
        message = OutgoingMessage(stream_id, 0, b"message")
        self.queue.add(message)
        return message

    def transmit(self) -> None:
        """Send all that may be sent: each message is one chunk and gets one TSN."""
        while (message := self.queue.next_message()) is not None:
            self.queue.take(message, len(message.payload))
            self.sender.next_tsn += 1

    def take(self, now: float = 0.0, room: int = ROOM) -> list[ReConfig]:
        return [decode(chunk) for chunk in self.reset.chunks_to_send(room, now)]

    def take_one(self, now: float = 0.0) -> ReConfig:
        (chunk,) = self.take(now)
        assert self.take(now) == []
        return chunk

    def receive(self, *parameters: Parameter, now: float = 0.0) -> bool:
        return self.reset.receive(ReConfig(parameters), now)

    def expire(self) -> bool:
        """Let the timer run out: whether an error counts."""
        now = self.reset.timer.deadline
        assert now < math.inf
        assert self.reset.timer.take_expiry(now)
        return self.reset.handle_timeout(now)


def decode(chunk: bytes) -> ReConfig:
    length = int.from_bytes(chunk[2:4], "big")
    return ReConfig.decode(chunk[1], chunk[4:length])


def pair(*, streams: int = 65535) -> tuple[End, End]:
    return End(A_TSN, Z_TSN, streams=streams), End(Z_TSN, A_TSN, streams=streams)


def exchange(a: End, z: End, now: float = 0.0) -> None:
    """Carry everything back and forth without loss until both are quiet."""
    quiet = False
    while not quiet:
        quiet = True
        for sender, receiver in ((a, z), (z, a)):
            for chunk in sender.take(now):
                quiet = False
                receiver.reset.receive(chunk, now)


def response(sn: int, result: int) -> ReConfigResponse:
    return ReConfigResponse(sn & 0xFFFFFFFF, result)


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
