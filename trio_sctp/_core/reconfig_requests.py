"""What the peer's requests do, and what they are answered (RFC 6525 §5.2.1 to §5.2.6)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .._wire.chunks import ReConfig
from .._wire.parameters import (
    AddIncomingStreams,
    AddOutgoingStreams,
    IncomingSsnResetRequest,
    OutgoingSsnResetRequest,
    ReConfigResult,
    SsnTsnResetRequest,
)
from .._wire.serial import unwrap32
from .reconfig_answers import Answer
from .reconfig_chunk import Request
from .reconfig_common import MAX_STREAM_IDS, covers, response_to

if TYPE_CHECKING:
    from .stream_reset import StreamReset

__all__ = ["answer_by_request", "receive_requests"]


def receive_requests(reset: StreamReset, requests: list[Request], now: float) -> None:
    """Do what the requests of one chunk ask for, and answer them in one chunk."""
    new = reset.answers.expected_sn
    answers: list[Answer] = []
    for request in requests:
        if isinstance(request, AddOutgoingStreams):
            _notice_added(reset, request)
        answer = _answer(reset, request, new, now)
        if answer is not None:
            answers.append(answer)
    if len(answers) == len(requests):
        reset.answers.respond(answers)
    elif reset.own_requests.current is None and answer_by_request(reset, answers):
        return
    else:
        # the request that answers cannot be made yet: it is the answer when it comes
        assert reset.asked is not None
        reset.answers.respond([*answers, reset.answers.given[reset.asked[0]]])


def _answer(reset: StreamReset, request: Request, new: int, now: float) -> Answer | None:
    """What to answer; None where a request of ours will be the answer (§5.2.3 F1).

    Numbers from `new` on were not seen before this chunk.
    """
    sn = unwrap32(request.request_sn, reset.answers.expected_sn)
    if sn < new and sn in reset.answers.given:
        return reset.answers.given[sn]  # §5.2.1: a repetition gets the same answer
    if sn != reset.answers.expected_sn:
        result = ReConfigResult.ERROR_BAD_SEQUENCE_NUMBER
        if isinstance(request, SsnTsnResetRequest):
            return reset.tsn.response(sn, result)
        return response_to(sn, result)
    if sn == new:
        reset.answers.given.clear()
        reset.tsn.forget_companion()  # whoever asks anew has had the answers before
    reset.answers.expected_sn = sn + 1
    answer = _HANDLERS[type(request)](reset, sn, request, now)
    reset.answers.given[sn] = answer or response_to(sn, ReConfigResult.IN_PROGRESS)
    return answer


def answer_by_request(reset: StreamReset, answers: list[Answer] | None = None) -> bool:
    """Make the request that answers one of the peer (§5.2.3 F1), together with `answers`."""
    if reset.asked is None or not reset.outgoing.are_idle(reset.asked[1]):
        return False
    sn, stream_ids = reset.asked
    reset.asked = None
    request = reset.request_outgoing_reset(stream_ids, response_sn=sn)
    if sn in reset.answers.given:
        reset.answers.given[sn] = request.parameter
    if answers:
        together = ReConfig((*answers, request.parameter)).encode()
        if len(together) <= reset.max_chunk:
            request.chunk = together
        else:
            reset.answers.respond(answers)
    return True


def _receive_outgoing_request(
    reset: StreamReset, sn: int, request: OutgoingSsnResetRequest, now: float
) -> Answer:
    """The peer resets streams it sends on (RFC 6525 §5.2.2)."""
    own = reset.own_requests.current
    if (
        own is not None
        and isinstance(own.parameter, IncomingSsnResetRequest)
        and own.answers_to(request.response_sn)
    ):
        reset.answered = True
        reset.finish(own, None, now)  # E1: this is its answer
    return reset.incoming.receive(sn, request, reset.counts.inbound)


def _receive_incoming_request(
    reset: StreamReset, sn: int, request: IncomingSsnResetRequest, now: float
) -> Answer | None:
    """The peer wants us to reset streams we send on (§5.2.3)."""
    stream_ids = request.stream_ids
    if len(stream_ids) > MAX_STREAM_IDS:
        return response_to(sn, ReConfigResult.DENIED)
    if stream_ids and max(stream_ids) >= reset.counts.outbound:
        return response_to(sn, ReConfigResult.ERROR_WRONG_SSN)
    if _is_being_reset(reset, stream_ids) or reset.outgoing.were_just_reset(stream_ids):
        return response_to(sn, ReConfigResult.SUCCESS_NOTHING_TO_DO)
    if reset.asked is not None:
        # the peer has given up an older request; what it asked for we do by ourselves
        reset.reset_outgoing(reset.asked[1])
    own = reset.own_requests.current
    crossing = own is not None and isinstance(own.parameter, IncomingSsnResetRequest)
    if crossing or len(stream_ids) > reset.max_outgoing:
        # Both ends wait for a request of the other, or we cannot name so many streams in one:
        # agree, and do it by requests of our own.
        reset.reset_outgoing(stream_ids)
        return response_to(sn, ReConfigResult.SUCCESS_PERFORMED)
    reset.asked = (sn, stream_ids)
    return None


def _is_being_reset(reset: StreamReset, stream_ids: tuple[int, ...]) -> bool:
    own = reset.own_requests.current
    return (
        own is not None
        and isinstance(own.parameter, OutgoingSsnResetRequest)
        and covers(own.parameter.stream_ids, stream_ids)
    )


def _receive_tsn_request(
    reset: StreamReset, sn: int, request: SsnTsnResetRequest, now: float
) -> Answer:
    """The peer begins all numbers anew (§5.2.4)."""
    own = reset.own_requests.current
    crossing = own is not None and not own.busy and type(own.parameter) is SsnTsnResetRequest
    return reset.tsn.receive(sn, now, crossing=crossing)


def _receive_add_outgoing(
    reset: StreamReset, sn: int, request: AddOutgoingStreams, now: float
) -> Answer:
    """The peer will send on more streams (§5.2.5)."""
    return response_to(sn, reset.counts.receive_add_outgoing(request))


def _receive_add_incoming(
    reset: StreamReset, sn: int, request: AddIncomingStreams, now: float
) -> Answer:
    """The peer wants us to send on more streams (§5.2.6)."""
    return response_to(sn, reset.counts.receive_add_incoming(request))


def _notice_added(reset: StreamReset, request: AddOutgoingStreams) -> None:
    """The peer adds as many streams as we have asked it for.

    That may be its answer, the only one that §5.2.6 asks for, or its own wish that crosses ours.
    So ask on, as most peers answer in words sooner or later, but not for ever.
    """
    own = reset.own_requests.current
    if (
        own is not None
        and isinstance(own.parameter, AddIncomingStreams)
        and own.parameter.new_streams == request.new_streams
    ):
        own.in_progress = own.added = True


_HANDLERS: dict[type[Request], Callable[[StreamReset, int, Any, float], Answer | None]] = {
    OutgoingSsnResetRequest: _receive_outgoing_request,
    IncomingSsnResetRequest: _receive_incoming_request,
    SsnTsnResetRequest: _receive_tsn_request,
    AddOutgoingStreams: _receive_add_outgoing,
    AddIncomingStreams: _receive_add_incoming,
}
