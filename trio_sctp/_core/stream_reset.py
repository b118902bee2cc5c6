"""Resetting streams: the RE-CONFIG procedures of RFC 6525 that make stream ids usable again.

Requests of ours are made at the moment a packet is built: streams that were asked for wait until
all that was queued on them has been sent, those that are ready share one request, and one request
at a time is on its way, repeated until it is answered.  Requests of the peer are answered once, or
answered again in the same words; a reset that came before the data it follows waits for it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable
from typing import Any, Final, TypeAlias

from .._wire.chunks import ReConfig
from .._wire.error_causes import ErrorCause, ProtocolViolation, UnrecognizedParameters
from .._wire.parameters import (
    AddIncomingStreams,
    AddOutgoingStreams,
    IncomingSsnResetRequest,
    OutgoingSsnResetRequest,
    Parameter,
    ReConfigResponse,
    ReConfigResult,
    SsnTsnResetRequest,
    UnknownParameter,
)
from .._wire.serial import MASK32, unwrap32
from .config import Config
from .errors import LocalProtocolError
from .reset_request import (
    DeferredReset,
    OwnParameter,
    OwnRequest,
    ReceivingSide,
    ResettableSendQueue,
    RetransmissionTimer,
    SendingSide,
    WaitingStreams,
)
from .timer import Timer

__all__ = ["StreamReset"]

_COMMON_HEADER_SIZE: Final = 12
_OUTGOING_REQUEST_SIZE: Final = 20
"""A RE-CONFIG chunk with an Outgoing SSN Reset Request, without its stream ids."""
_INCOMING_REQUEST_SIZE: Final = 12
_MAX_RESPONSES: Final = 8
"""RE-CONFIG chunks kept for sending: a peer that asks faster than that asks again."""
_NOTHING: Final[list[bytes]] = []

_Request: TypeAlias = (
    OutgoingSsnResetRequest
    | IncomingSsnResetRequest
    | SsnTsnResetRequest
    | AddOutgoingStreams
    | AddIncomingStreams
)
_Answer: TypeAlias = ReConfigResponse | OwnParameter
_REQUESTS: Final = (
    OutgoingSsnResetRequest,
    IncomingSsnResetRequest,
    SsnTsnResetRequest,
    AddOutgoingStreams,
    AddIncomingStreams,
)
# RFC 6525 §3.1: what may be together in one chunk, as sorted parameter types
_COMBINATIONS: Final = frozenset(
    {(13,), (14,), (13, 14), (15,), (17,), (18,), (17, 18), (16,), (13, 16), (16, 16)}
)


class StreamReset:
    """Both directions of stream resets for one association.

    `initial_tsn` and `peer_initial_tsn` are where the two ends' request numbers begin (§4.1).
    `sender` and `receiver` tell TSNs.  `on_incoming_reset` is called with the ids of streams that
    the peer resets and has to perform it, `on_outgoing_reset` with those of ours and whether that
    succeeded, `on_incoming_refused` with what we asked the peer for in vain.  No ids: all streams.
    """

    __slots__ = (
        "_answered",
        "_asked",
        "_config",
        "_expected_sn",
        "_incoming_wanted",
        "_last_reset",
        "_next_sn",
        "_on_incoming_refused",
        "_on_incoming_reset",
        "_on_outgoing_reset",
        "_outstanding",
        "_performed_late",
        "_receiver",
        "_responses",
        "_reset_all",
        "_rto",
        "_send_queue",
        "_sender",
        "_waiting",
        "answered",
        "deferred",
        "errors",
        "inbound_streams",
        "outbound_streams",
        "pending",
        "timer",
    )

    def __init__(
        self,
        config: Config,
        *,
        initial_tsn: int,
        peer_initial_tsn: int,
        outbound_streams: int,
        inbound_streams: int,
        send_queue: ResettableSendQueue,
        sender: SendingSide,
        receiver: ReceivingSide,
        rto: RetransmissionTimer,
        on_incoming_reset: Callable[[tuple[int, ...]], None],
        on_outgoing_reset: Callable[[tuple[int, ...], bool], None],
        on_incoming_refused: Callable[[tuple[int, ...]], None] | None = None,
    ) -> None:
        self._config = config
        self._send_queue = send_queue
        self._sender = sender
        self._receiver = receiver
        self._rto = rto
        self._on_incoming_reset = on_incoming_reset
        self._on_outgoing_reset = on_outgoing_reset
        self._on_incoming_refused = on_incoming_refused
        self.outbound_streams = outbound_streams
        self.inbound_streams = inbound_streams
        self.timer = Timer("Re-configuration")
        self.errors: list[ErrorCause] = []
        """Causes to report to the peer in an ERROR chunk, see `take_errors`."""
        self.answered = False
        """The last RE-CONFIG chunk answered a request of ours: the peer is there."""
        self.pending = False
        """Something is to be sent, or waits for streams to become ready or for the peer."""

        self.deferred: DeferredReset | None = None
        """A reset by the peer that `data_advanced` will perform."""

        # what we want
        self._next_sn = initial_tsn
        self._waiting = WaitingStreams(send_queue)
        self._reset_all = False
        self._incoming_wanted: dict[tuple[int, ...], None] = {}
        self._outstanding: OwnRequest | None = None
        self._last_reset: tuple[tuple[int, ...], int] | None = None

        # what the peer wants
        self._expected_sn = peer_initial_tsn
        self._answered: dict[int, _Answer] = {}
        self._asked: tuple[int, tuple[int, ...]] | None = None
        self._performed_late: tuple[int, tuple[int, ...]] | None = None
        self._responses: deque[bytes] = deque()

    # -- what the program asks for

    def reset_outgoing(self, stream_ids: Collection[int]) -> None:
        """Reset streams we send on (§5.1.2), once all that is queued on them was sent; none: all.

        What is sent on them before that moment still belongs to the time before the reset; what is
        sent later waits for the peer's answer.  Raises `LocalProtocolError` for an id that is not
        one of `outbound_streams`.
        """
        _check("stream_ids", stream_ids, self.outbound_streams)
        if stream_ids:
            self._waiting.add(tuple(stream_ids))
        else:
            self._reset_all = True
        self.pending = True

    def request_incoming(self, stream_ids: Collection[int]) -> None:
        """Ask the peer to reset streams that it sends on (§5.1.3); none: all.

        Raises `LocalProtocolError` for an id that is not one of `inbound_streams`.
        """
        _check("stream_ids", stream_ids, self.inbound_streams)
        ids = tuple(dict.fromkeys(stream_ids))
        limit = (self._max_chunk - _INCOMING_REQUEST_SIZE) // 2
        for begin in range(0, len(ids) or 1, limit):
            self._incoming_wanted[ids[begin : begin + limit]] = None
        self.pending = True

    def take_errors(self) -> list[ErrorCause]:
        """The causes to report now; nobody gets them twice."""
        errors, self.errors = self.errors, []
        return errors

    def replace_config(self, config: Config) -> None:
        self._config = config

    # -- what comes from the peer and from the clock

    def receive(self, chunk: ReConfig, now: float) -> bool:
        """Take a RE-CONFIG chunk (§5.2.1).  True: a SACK should go back with the answer."""
        self.answered = False
        self.data_advanced(now)
        parameters = self._known_parameters(chunk)
        if tuple(sorted([parameter.type for parameter in parameters])) not in _COMBINATIONS:
            if parameters or not chunk.parameters:
                cause = b"a RE-CONFIG chunk with parameters that do not belong together"
                self.errors.append(ProtocolViolation(cause))
            return False
        for parameter in parameters:
            if isinstance(parameter, ReConfigResponse):
                self._receive_response(parameter, now)
        requests = [parameter for parameter in parameters if isinstance(parameter, _REQUESTS)]
        if requests:
            self._receive_requests(requests)
        self._update()
        return bool(requests)

    def data_advanced(self, now: float) -> bool:
        """The cumulative TSN of what we received has moved: perform a reset that waited for it.

        Messages that were complete by then have to be told to the program before the reset.
        True: it was performed, and a SACK should go with the answer (§5.2.1).
        """
        deferred = self.deferred
        if deferred is None or self._receiver.cumulative_tsn_ack < deferred.last_tsn:
            return False
        # RFC 6525 §5.2.2 E3 to E6
        self.deferred = None
        self._on_incoming_reset(deferred.stream_ids)
        # A peer that was told "in progress" may ask for the same under a new number before it
        # hears that it is done: that is no second reset.
        self._performed_late = (deferred.last_tsn, deferred.stream_ids)
        response = _response(deferred.sn, ReConfigResult.SUCCESS_PERFORMED)
        if deferred.sn in self._answered:
            self._answered[deferred.sn] = response
        self._respond([response])
        self.pending = True
        return True

    def handle_timeout(self, now: float) -> bool:
        """`timer` has expired.  True: a request stayed unanswered, count an error (§5.1.1)."""
        request = self._outstanding
        if request is None:
            return False
        if request.busy:
            request.renumber(self._take_sn())
            return False
        request.due = True
        request.expiries += 1
        request.repeated = request.in_progress
        return not request.in_progress  # §5.2.7 H2

    # -- what goes to the peer

    def chunks_to_send(self, room: int, now: float) -> list[bytes]:
        """The RE-CONFIG chunks that are due and fit into `room` bytes; call until none come."""
        if not self.pending:
            return _NOTHING
        chunks: list[bytes] = []
        responses = self._responses
        while responses and len(responses[0]) <= room:
            chunk = responses.popleft()
            room -= len(chunk)
            chunks.append(chunk)
        if self._outstanding is None:
            self._make_next_request()
        request = self._outstanding
        if request is not None and request.due and len(request.chunk) <= room:
            request.due = False
            chunks.append(request.chunk)
            duration = self._rto.rto * (1 << min(request.expiries, 32))
            self.timer.start(now, min(duration, self._config.rto_max))
        self._update()
        return chunks

    # -- requests of ours

    @property
    def _max_chunk(self) -> int:
        return self._config.path_mtu - _COMMON_HEADER_SIZE

    @property
    def _max_outgoing(self) -> int:
        """Stream ids in one Outgoing SSN Reset Request."""
        return (self._max_chunk - _OUTGOING_REQUEST_SIZE) // 2

    def _make_next_request(self) -> None:
        """Make the next request of those that can be made now: one at a time (§5.1.1)."""
        if self._answer_by_request():
            return
        if self._reset_all and self._all_idle(()):
            self._reset_all = False
            self._request_outgoing_reset(())
        elif ready := self._waiting.take_ready(self._max_outgoing):
            self._request_outgoing_reset(ready)
        elif self._incoming_wanted and self._asked is None:
            stream_ids = next(iter(self._incoming_wanted))
            del self._incoming_wanted[stream_ids]
            sn = self._take_sn()
            self._outstanding = OwnRequest(sn, IncomingSsnResetRequest(sn & MASK32, stream_ids))

    def _take_sn(self) -> int:
        sn = self._next_sn
        self._next_sn = sn + 1
        return sn

    def _all_idle(self, stream_ids: tuple[int, ...]) -> bool:
        is_idle = self._send_queue.is_idle
        return all(is_idle(stream_id) for stream_id in self._outgoing(stream_ids))

    def _outgoing(self, stream_ids: tuple[int, ...]) -> Iterable[int]:
        return stream_ids or range(self.outbound_streams)

    def _request_outgoing_reset(
        self, stream_ids: tuple[int, ...], response_sn: int | None = None
    ) -> OwnRequest:
        # RFC 6525 §5.1.2 A1: from here on nothing of these streams gets an SSN
        pause = self._send_queue.pause
        for stream_id in self._outgoing(stream_ids):
            pause(stream_id)
            self._waiting.remove(stream_id)
        sn = self._take_sn()
        answered = self._expected_sn - 1 if response_sn is None else response_sn
        parameter = OutgoingSsnResetRequest(
            sn & MASK32, answered & MASK32, (self._sender.next_tsn - 1) & MASK32, stream_ids
        )
        self._outstanding = request = OwnRequest(sn, parameter)
        return request

    def _receive_response(self, response: ReConfigResponse, now: float) -> None:
        request = self._outstanding
        if request is None or not request.answers_to(response.response_sn):
            return  # RFC 6525 §5.2.7 H1: not what we wait for
        self.answered = True
        result = response.result
        if result == ReConfigResult.IN_PROGRESS:
            self._receive_in_progress(request, now)
        elif result == ReConfigResult.ERROR_REQUEST_ALREADY_IN_PROGRESS:
            self._receive_busy(request, now)
        else:
            self._finish(
                request,
                result in (ReConfigResult.SUCCESS_PERFORMED, ReConfigResult.SUCCESS_NOTHING_TO_DO),
            )

    def _receive_in_progress(self, request: OwnRequest, now: float) -> None:
        if request.repeated and self._peer_has_all(request):
            # Some peers repeat "in progress" for this number even when they have all the data; they
            # look again only at a new request.
            request.renumber(self._take_sn())
            self.timer.stop()
            return
        # §5.2.7 H2: ask again after the timer
        request.in_progress = True
        request.due = False
        request.expiries = 0
        self.timer.start(now, self._rto.rto)

    def _peer_has_all(self, request: OwnRequest) -> bool:
        parameter, acked = request.parameter, self._sender.cumulative_tsn_ack
        if isinstance(parameter, OutgoingSsnResetRequest):
            return unwrap32(parameter.last_tsn, acked) <= acked
        return False

    def _receive_busy(self, request: OwnRequest, now: float) -> None:
        """The peer is busy with another request: try again later, but not for ever."""
        request.refusals += 1
        if request.refusals > self._config.association_max_retrans:
            self._finish(request, succeeded=False)
            return
        request.busy = True
        request.due = False
        self.timer.start(now, self._rto.rto)

    def _finish(self, request: OwnRequest, succeeded: bool) -> None:
        self._outstanding = None
        self.timer.stop()
        parameter = request.parameter
        stream_ids = parameter.stream_ids
        if isinstance(parameter, IncomingSsnResetRequest):
            if not succeeded and self._on_incoming_refused is not None:
                self._on_incoming_refused(stream_ids)
            return
        # §5.2.7 H4
        end = self._send_queue.reset_stream if succeeded else self._send_queue.resume
        for stream_id in self._outgoing(stream_ids):
            end(stream_id)
        if succeeded:
            self._last_reset = (stream_ids, self._sender.next_tsn)
        self._on_outgoing_reset(stream_ids, succeeded)

    # -- requests of the peer

    def _known_parameters(self, chunk: ReConfig) -> list[Parameter]:
        """The parameters to process, by the two high bits of unknown types (RFC 9260 §3.2.1)."""
        known: list[Parameter] = []
        for parameter in chunk.parameters:
            if not isinstance(parameter, UnknownParameter):
                known.append(parameter)
                continue
            if parameter.report:
                whole = parameter.encode()
                self.errors.append(UnrecognizedParameters(whole[: self._max_chunk - 8]))
            if not parameter.continue_processing:
                break
        return known

    def _receive_requests(self, requests: list[_Request]) -> None:
        new = self._expected_sn
        answers: list[_Answer] = []
        for request in requests:
            answer = self._answer(request, new)
            if answer is not None:
                answers.append(answer)
        if len(answers) == len(requests):
            self._respond(answers)
        elif self._outstanding is None and self._answer_by_request(answers):
            return
        else:
            # the request that answers cannot be made yet: it is the answer when it comes
            assert self._asked is not None
            self._respond([*answers, self._answered[self._asked[0]]])

    def _answer(self, request: _Request, new: int) -> _Answer | None:
        """What to answer; None where a request of ours will be the answer (§5.2.3 F1).

        Numbers from `new` on were not seen before this chunk.
        """
        sn = unwrap32(request.request_sn, self._expected_sn)
        if sn < new and sn in self._answered:
            return self._answered[sn]  # §5.2.1: a repetition gets the same answer
        if sn != self._expected_sn:
            return _response(sn, ReConfigResult.ERROR_BAD_SEQUENCE_NUMBER)
        if sn == new:
            self._answered = {}
        self._expected_sn = sn + 1
        handler = _HANDLERS.get(type(request))
        if handler is None:
            answer: _Answer | None = _response(sn, ReConfigResult.DENIED)
        else:
            answer = handler(self, sn, request)
        self._answered[sn] = answer or _response(sn, ReConfigResult.IN_PROGRESS)
        return answer

    def _answer_by_request(self, answers: list[_Answer] | None = None) -> bool:
        """Make the request that answers one of the peer (§5.2.3 F1), together with `answers`."""
        if self._asked is None or not self._all_idle(self._asked[1]):
            return False
        sn, stream_ids = self._asked
        self._asked = None
        request = self._request_outgoing_reset(stream_ids, response_sn=sn)
        if sn in self._answered:
            self._answered[sn] = request.parameter
        if answers:
            together = ReConfig((*answers, request.parameter)).encode()
            if len(together) <= self._max_chunk:
                request.chunk = together
            else:
                self._respond(answers)
        return True

    def _receive_outgoing_request(self, sn: int, request: OutgoingSsnResetRequest) -> _Answer:
        """The peer resets streams it sends on (RFC 6525 §5.2.2)."""
        own = self._outstanding
        if (
            own is not None
            and isinstance(own.parameter, IncomingSsnResetRequest)
            and own.answers_to(request.response_sn)
        ):
            self.answered = True
            self._finish(own, succeeded=True)  # E1: this is its answer
        stream_ids = tuple(dict.fromkeys(request.stream_ids))
        if stream_ids and max(stream_ids) >= self.inbound_streams:
            return _response(sn, ReConfigResult.ERROR_WRONG_SSN)
        cumulative_tsn_ack = self._receiver.cumulative_tsn_ack
        last_tsn = unwrap32(request.last_tsn, cumulative_tsn_ack)
        if last_tsn > cumulative_tsn_ack:
            self._defer(sn, last_tsn, stream_ids)
            return _response(sn, ReConfigResult.IN_PROGRESS)
        if self._performed_late != (last_tsn, stream_ids):
            self._performed_late = None
            self._on_incoming_reset(stream_ids)
        return _response(sn, ReConfigResult.SUCCESS_PERFORMED)

    def _defer(self, sn: int, last_tsn: int, stream_ids: tuple[int, ...]) -> None:
        """Enter deferred reset processing (§5.2.2 E2); a new request takes over an older one."""
        older = self.deferred
        if older is not None:
            last_tsn = max(last_tsn, older.last_tsn)
            both = older.stream_ids and stream_ids
            stream_ids = tuple(dict.fromkeys(older.stream_ids + stream_ids)) if both else ()
        self.deferred = DeferredReset(sn, last_tsn, stream_ids)
        self._receiver.defer_reset(stream_ids, last_tsn)

    def _receive_incoming_request(
        self, sn: int, request: IncomingSsnResetRequest
    ) -> _Answer | None:
        """The peer wants us to reset streams we send on (§5.2.3)."""
        stream_ids = request.stream_ids
        if stream_ids and max(stream_ids) >= self.outbound_streams:
            return _response(sn, ReConfigResult.ERROR_WRONG_SSN)
        if self._is_being_reset(stream_ids) or self._was_just_reset(stream_ids):
            return _response(sn, ReConfigResult.SUCCESS_NOTHING_TO_DO)
        if self._asked is not None:
            # the peer has given up an older request; what it asked for we do by ourselves
            self.reset_outgoing(self._asked[1])
        own = self._outstanding
        crossing = own is not None and isinstance(own.parameter, IncomingSsnResetRequest)
        if crossing or len(stream_ids) > self._max_outgoing:
            # Both ends wait for a request of the other, or we cannot name so many streams in one:
            # agree, and do it by requests of our own.
            self.reset_outgoing(stream_ids)
            return _response(sn, ReConfigResult.SUCCESS_PERFORMED)
        self._asked = (sn, stream_ids)
        return None

    def _is_being_reset(self, stream_ids: tuple[int, ...]) -> bool:
        own = self._outstanding
        return (
            own is not None
            and isinstance(own.parameter, OutgoingSsnResetRequest)
            and _covers(own.parameter.stream_ids, stream_ids)
        )

    def _was_just_reset(self, stream_ids: tuple[int, ...]) -> bool:
        last = self._last_reset
        return (
            last is not None and last[1] == self._sender.next_tsn and _covers(last[0], stream_ids)
        )

    def _respond(self, answers: list[_Answer]) -> None:
        """Queue one RE-CONFIG chunk with all the answers to one chunk (§5.2.1)."""
        if len(self._responses) < _MAX_RESPONSES:
            self._responses.append(ReConfig(tuple(answers)).encode())

    def _update(self) -> None:
        self.pending = bool(
            self._outstanding
            or self._responses
            or self._waiting
            or self._reset_all
            or self._asked
            or self._incoming_wanted
        )


def _response(sn: int, result: ReConfigResult) -> ReConfigResponse:
    return ReConfigResponse(sn & MASK32, result)


def _covers(stream_ids: tuple[int, ...], others: tuple[int, ...]) -> bool:
    """Whether a reset of `stream_ids` resets all of `others` (empty: all streams)."""
    return not stream_ids or (bool(others) and set(stream_ids).issuperset(others))


def _check(name: str, stream_ids: Collection[int], count: int) -> None:
    for stream_id in stream_ids:
        if not 0 <= stream_id < count:
            raise LocalProtocolError(
                f"{name} contains {stream_id}: it must be from 0 to {count - 1}"
            )


# How each request of the peer is dealt with; one that is not listed is denied.
_HANDLERS: dict[type[_Request], Callable[[StreamReset, int, Any], _Answer | None]] = {
    OutgoingSsnResetRequest: StreamReset._receive_outgoing_request,
    IncomingSsnResetRequest: StreamReset._receive_incoming_request,
}
