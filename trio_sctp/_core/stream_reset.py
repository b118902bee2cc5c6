"""Stream reconfiguration (RFC 6525): which request is made and when, and what one of the peer means.

One request of ours is made at a time, at the moment when a packet is built, and those of the peer are
answered.  What they do stands elsewhere: `reconfig_outgoing` and `reconfig_incoming` reset streams,
`reconfig_streams` adds them, `reconfig_tsn` resets all numbers.  How a request is sent and repeated
stands in `own_requests`, how answers are in `reconfig_answers`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, Final, TypeAlias

from .._wire.chunks import ReConfig
from .._wire.error_causes import ErrorCause, ProtocolViolation
from .._wire.packet import COMMON_HEADER_SIZE
from .._wire.parameters import (
    AddIncomingStreams,
    AddOutgoingStreams,
    IncomingSsnResetRequest,
    OutgoingSsnResetRequest,
    ReConfigResponse,
    ReConfigResult,
    SsnTsnResetRequest,
)
from .._wire.serial import MASK32, unwrap32
from .config import Config
from .events import (
    AssociationReset,
    IncomingResetRefused,
    IncomingStreamsReset,
    OutgoingStreamsReset,
    StreamsChanged,
)
from .own_requests import OwnRequest, OwnRequests
from .reconfig_answers import Answer, Answers
from .reconfig_chunk import REQUESTS, Request, parameters_of
from .reconfig_common import (
    MAX_STREAM_IDS,
    ReceivingSide,
    RetransmissionTimer,
    SendingSide,
    check_stream_ids,
    covers,
    response_to,
)
from .reconfig_incoming import IncomingResets
from .reconfig_outgoing import OutgoingResets
from .reconfig_streams import StreamCounts
from .reconfig_tsn import TsnReset
from .tx.resettable_streams import ResettableStreams

__all__ = ["ReconfigEvent", "StreamReset"]

_OUTGOING_REQUEST_SIZE: Final = 20
"""A RE-CONFIG chunk with an Outgoing SSN Reset Request, without its stream ids."""
_INCOMING_REQUEST_SIZE: Final = 12
_NOTHING: Final[list[bytes]] = []

ReconfigEvent: TypeAlias = (
    AssociationReset
    | IncomingResetRefused
    | IncomingStreamsReset
    | OutgoingStreamsReset
    | StreamsChanged
)
_SUCCESS: Final = (ReConfigResult.SUCCESS_PERFORMED, ReConfigResult.SUCCESS_NOTHING_TO_DO)


class StreamReset:
    """Both directions of stream reconfiguration for one association.

    `initial_tsn` and `peer_initial_tsn` are where the two ends' request numbers begin (§4.1).
    `sender` and `receiver` tell TSNs.  `tell` is called with each reset or change of either end at
    the moment when it takes effect, or has failed, and has to see to what it means for data.
    """

    __slots__ = (
        "_answers",
        "_asked",
        "_config",
        "_incoming",
        "_outgoing",
        "_requests",
        "_tell",
        "answered",
        "counts",
        "errors",
        "pending",
        "timer",
        "tsn",
    )

    def __init__(
        self,
        config: Config,
        *,
        initial_tsn: int,
        peer_initial_tsn: int,
        outbound_streams: int,
        inbound_streams: int,
        send_queue: ResettableStreams,
        sender: SendingSide,
        receiver: ReceivingSide,
        rto: RetransmissionTimer,
        tell: Callable[[ReconfigEvent], None],
    ) -> None:
        self._config = config
        self._tell = tell
        self.counts = StreamCounts(
            config, outbound=outbound_streams, inbound=inbound_streams, tell=tell
        )
        self.tsn = TsnReset(
            config,
            send_queue=send_queue,
            sender=sender,
            receiver=receiver,
            finish_deferred=self._finish_deferred,
            tell=tell,
        )
        self.errors: list[ErrorCause] = []
        """Causes to report to the peer in an ERROR chunk, see `take_errors`."""
        self.answered = False
        """The last RE-CONFIG chunk answered a request of ours: the peer is there."""
        self.pending = False
        """Something is to be sent, or waits for streams to become ready or for the peer."""
        self._requests = OwnRequests(
            config,
            initial_sn=initial_tsn,
            goes_first=initial_tsn > peer_initial_tsn,
            sender=sender,
            rto=rto,
        )
        self.timer = self._requests.timer
        self._outgoing = OutgoingResets(send_queue, sender, tell)
        self._incoming = IncomingResets(receiver, tell)
        self._answers = Answers(peer_initial_tsn)
        self._asked: tuple[int, tuple[int, ...]] | None = None  # to be answered by our own reset

    # -- what the program asks for

    def reset_outgoing(self, stream_ids: Collection[int]) -> None:
        """Reset streams we send on (§5.1.2), once all that is queued on them was sent; none: all.

        What is sent on them before that moment still belongs to the time before the reset; what is
        sent later waits for the peer's answer.  Raises `LocalProtocolError` for an id that is not
        one of our outbound streams.
        """
        check_stream_ids("stream_ids", stream_ids, self.counts.outbound)
        self._outgoing.want(stream_ids)
        self.pending = True

    def withdraw_outgoing(self, stream_id: int) -> bool:
        """Not to reset a stream after all; False if the peer has been asked, or nobody has."""
        return self._outgoing.withdraw(stream_id)

    def request_incoming(self, stream_ids: Collection[int]) -> None:
        """Ask the peer to reset streams that it sends on (§5.1.3); none: all.

        Raises `LocalProtocolError` for an id that is not one of our inbound streams.
        """
        check_stream_ids("stream_ids", stream_ids, self.counts.inbound)
        limit = min((self._max_chunk - _INCOMING_REQUEST_SIZE) // 2, MAX_STREAM_IDS)
        self._incoming.want(stream_ids, limit)
        self.pending = True

    def add_outgoing(self, count: int) -> None:
        """Ask the peer for more streams to send on (§5.1.5)."""
        self.counts.add_outbound(count)
        self.pending = True

    def add_incoming(self, count: int) -> None:
        """Ask the peer to send on more streams (§5.1.6)."""
        self.counts.add_inbound(count)
        self.pending = True

    def reset_tsn(self, now: float) -> None:
        """Begin all TSNs and SSNs anew, once all that was sent until now is acknowledged (§5.1.4)."""
        self.tsn.want(now)
        self.pending = True

    def take_errors(self) -> list[ErrorCause]:
        """The causes to report now; nobody gets them twice."""
        errors, self.errors = self.errors, []
        return errors

    def replace_config(self, config: Config) -> None:
        self._config = self.counts.config = self.tsn.config = self._requests.config = config

    # -- what comes from the peer and from the clock

    def receive(self, chunk: ReConfig, now: float) -> bool:
        """Take a RE-CONFIG chunk (§5.2.1).  True: a SACK should go back with the answer."""
        self.answered = False
        if self._answers.are_too_many:
            return False
        self.data_advanced(now)
        parameters = parameters_of(chunk, self.errors, self._max_chunk - 8)
        if parameters is None:
            return False
        for parameter in parameters:
            if isinstance(parameter, ReConfigResponse):
                self._receive_response(parameter, now)
        requests = [parameter for parameter in parameters if isinstance(parameter, REQUESTS)]
        if requests:
            self._receive_requests(requests, now)
        self._update()
        return bool(requests)

    @property
    def waits_for_data(self) -> bool:
        """`data_advanced` is to be called when data or an acknowledgement has come."""
        return self._incoming.deferred is not None or self.tsn.asked is not None

    def data_advanced(self, now: float) -> bool:
        """What we received or what was acknowledged has moved: perform a reset that waited for it.

        Messages that were complete by then have to be told to the program before the reset.
        True: it was performed, and a SACK should go with the answer (§5.2.1).
        """
        due = self._incoming.is_due
        if due:
            self._perform_deferred()
        late = self.tsn.perform(now)
        if late is not None:
            self._answers.respond_late(late)
            self.pending = True
        return due or late is not None

    def _finish_deferred(self, tsn: int) -> None:
        """From a TSN on, as on the wire, the peer has new numbers for everything."""
        if self._incoming.is_before(tsn):
            self._perform_deferred()

    def _perform_deferred(self) -> None:
        late = self._incoming.perform_deferred()
        if late is not None:
            self._answers.respond_late(late)
            self.pending = True

    def handle_timeout(self, now: float) -> bool:
        """`timer` has expired.  True: a request stayed unanswered, count an error (§5.1.1)."""
        is_error = self._requests.expire()
        request = self._requests.current
        if (
            request is not None
            and request.added
            and request.expiries > self._config.association_max_retrans
        ):
            self._finish(request, None, now)
            self._update()
            return False
        return is_error

    # -- what goes to the peer

    def chunks_to_send(self, room: int, now: float, *, new_requests: bool = True) -> list[bytes]:
        """The RE-CONFIG chunks that are due and fit into `room` bytes; call until none come.

        `new_requests`: whether a request that was not sent before may be among them.
        """
        if not self.pending:
            return _NOTHING
        chunks = self._answers.take(room)
        if self._requests.current is None and new_requests:
            self._make_next_request()
        request = self._requests.take_due(room - sum(map(len, chunks)), now)
        if request is not None:
            if isinstance(request.parameter, SsnTsnResetRequest):
                self.tsn.request_sent()
            chunks.append(request.chunk)
        self._update()
        return chunks

    # -- requests of ours

    @property
    def _max_chunk(self) -> int:
        return self._config.path_mtu - COMMON_HEADER_SIZE

    @property
    def _max_outgoing(self) -> int:
        """Stream ids in one Outgoing SSN Reset Request."""
        return min((self._max_chunk - _OUTGOING_REQUEST_SIZE) // 2, MAX_STREAM_IDS)

    def _make_next_request(self) -> None:
        """Make the next request of those that can be made now: one at a time (§5.1.1)."""
        if self._answer_by_request():
            return
        if self.counts.wanted:
            sn = self._requests.take_sn()
            self._requests.begin(sn, self.counts.next_request(sn))
        elif (ready := self._outgoing.take_ready(self._max_outgoing)) is not None:
            self._request_outgoing_reset(ready, response_sn=self._answers.expected_sn - 1)
        elif self.tsn.is_ready:
            sn = self._requests.take_sn()
            self._requests.begin(sn, SsnTsnResetRequest(sn & MASK32))
        elif self._incoming.wanted and self._asked is None:
            sn = self._requests.take_sn()
            self._requests.begin(sn, self._incoming.next_request(sn))

    def _request_outgoing_reset(
        self, stream_ids: tuple[int, ...], *, response_sn: int
    ) -> OwnRequest:
        sn = self._requests.take_sn()
        parameter = self._outgoing.make_request(sn, stream_ids, response_sn=response_sn)
        return self._requests.begin(sn, parameter)

    def _receive_response(self, response: ReConfigResponse, now: float) -> None:
        request = self._requests.current
        if request is None or not request.answers_to(response.response_sn):
            return  # RFC 6525 §5.2.7 H1: not what we wait for
        self.answered = True
        if not self._requests.goes_on(request, response.result, now):
            self._finish(request, response, now)
        elif isinstance(request.parameter, SsnTsnResetRequest):
            self.tsn.put_off()

    def _finish(self, request: OwnRequest, response: ReConfigResponse | None, now: float) -> None:
        """A request of ours has its answer; None: that is a request of the peer."""
        self._requests.end()
        parameter = request.parameter
        succeeded = response is None or response.result in _SUCCESS
        if isinstance(parameter, IncomingSsnResetRequest):
            if not succeeded:
                self._tell(IncomingResetRefused(parameter.stream_ids))
        elif isinstance(parameter, OutgoingSsnResetRequest):
            self._outgoing.finish(parameter.stream_ids, succeeded)
        elif isinstance(parameter, AddOutgoingStreams | AddIncomingStreams):
            self.counts.finish(parameter, None if response is None else response.result)
        elif response is not None and not self.tsn.finish(response, now):
            self.errors.append(ProtocolViolation(b"an SSN/TSN reset without the TSNs"))

    # -- requests of the peer

    def _receive_requests(self, requests: list[Request], now: float) -> None:
        new = self._answers.expected_sn
        answers: list[Answer] = []
        for request in requests:
            if isinstance(request, AddOutgoingStreams):
                self._notice_added(request)
            answer = self._answer(request, new, now)
            if answer is not None:
                answers.append(answer)
        if len(answers) == len(requests):
            self._answers.respond(answers)
        elif self._requests.current is None and self._answer_by_request(answers):
            return
        else:
            # the request that answers cannot be made yet: it is the answer when it comes
            assert self._asked is not None
            self._answers.respond([*answers, self._answers.given[self._asked[0]]])

    def _answer(self, request: Request, new: int, now: float) -> Answer | None:
        """What to answer; None where a request of ours will be the answer (§5.2.3 F1).

        Numbers from `new` on were not seen before this chunk.
        """
        sn = unwrap32(request.request_sn, self._answers.expected_sn)
        if sn < new and sn in self._answers.given:
            return self._answers.given[sn]  # §5.2.1: a repetition gets the same answer
        if sn != self._answers.expected_sn:
            result = ReConfigResult.ERROR_BAD_SEQUENCE_NUMBER
            if isinstance(request, SsnTsnResetRequest):
                return self.tsn.response(sn, result)
            return response_to(sn, result)
        if sn == new:
            self._answers.given.clear()
            self.tsn.forget_companion()  # whoever asks anew has had the answers before
        self._answers.expected_sn = sn + 1
        answer = _HANDLERS[type(request)](self, sn, request, now)
        self._answers.given[sn] = answer or response_to(sn, ReConfigResult.IN_PROGRESS)
        return answer

    def _answer_by_request(self, answers: list[Answer] | None = None) -> bool:
        """Make the request that answers one of the peer (§5.2.3 F1), together with `answers`."""
        if self._asked is None or not self._outgoing.are_idle(self._asked[1]):
            return False
        sn, stream_ids = self._asked
        self._asked = None
        request = self._request_outgoing_reset(stream_ids, response_sn=sn)
        if sn in self._answers.given:
            self._answers.given[sn] = request.parameter
        if answers:
            together = ReConfig((*answers, request.parameter)).encode()
            if len(together) <= self._max_chunk:
                request.chunk = together
            else:
                self._answers.respond(answers)
        return True

    def _receive_outgoing_request(
        self, sn: int, request: OutgoingSsnResetRequest, now: float
    ) -> Answer:
        """The peer resets streams it sends on (RFC 6525 §5.2.2)."""
        own = self._requests.current
        if (
            own is not None
            and isinstance(own.parameter, IncomingSsnResetRequest)
            and own.answers_to(request.response_sn)
        ):
            self.answered = True
            self._finish(own, None, now)  # E1: this is its answer
        return self._incoming.receive(sn, request, self.counts.inbound)

    def _receive_incoming_request(
        self, sn: int, request: IncomingSsnResetRequest, now: float
    ) -> Answer | None:
        """The peer wants us to reset streams we send on (§5.2.3)."""
        stream_ids = request.stream_ids
        if len(stream_ids) > MAX_STREAM_IDS:
            return response_to(sn, ReConfigResult.DENIED)
        if stream_ids and max(stream_ids) >= self.counts.outbound:
            return response_to(sn, ReConfigResult.ERROR_WRONG_SSN)
        if self._is_being_reset(stream_ids) or self._outgoing.were_just_reset(stream_ids):
            return response_to(sn, ReConfigResult.SUCCESS_NOTHING_TO_DO)
        if self._asked is not None:
            # the peer has given up an older request; what it asked for we do by ourselves
            self.reset_outgoing(self._asked[1])
        own = self._requests.current
        crossing = own is not None and isinstance(own.parameter, IncomingSsnResetRequest)
        if crossing or len(stream_ids) > self._max_outgoing:
            # Both ends wait for a request of the other, or we cannot name so many streams in one:
            # agree, and do it by requests of our own.
            self.reset_outgoing(stream_ids)
            return response_to(sn, ReConfigResult.SUCCESS_PERFORMED)
        self._asked = (sn, stream_ids)
        return None

    def _is_being_reset(self, stream_ids: tuple[int, ...]) -> bool:
        own = self._requests.current
        return (
            own is not None
            and isinstance(own.parameter, OutgoingSsnResetRequest)
            and covers(own.parameter.stream_ids, stream_ids)
        )

    def _receive_tsn_request(self, sn: int, request: SsnTsnResetRequest, now: float) -> Answer:
        """The peer begins all numbers anew (§5.2.4)."""
        own = self._requests.current
        crossing = own is not None and not own.busy and type(own.parameter) is SsnTsnResetRequest
        return self.tsn.receive(sn, now, crossing=crossing)

    def _receive_add_outgoing(self, sn: int, request: AddOutgoingStreams, now: float) -> Answer:
        return response_to(sn, self.counts.receive_add_outgoing(request))

    def _receive_add_incoming(self, sn: int, request: AddIncomingStreams, now: float) -> Answer:
        return response_to(sn, self.counts.receive_add_incoming(request))

    def _notice_added(self, request: AddOutgoingStreams) -> None:
        """The peer adds as many streams as we have asked it for.

        That may be its answer, the only one that §5.2.6 asks for, or its own wish that crosses ours.
        So ask on, as most peers answer in words sooner or later, but not for ever.
        """
        own = self._requests.current
        if (
            own is not None
            and isinstance(own.parameter, AddIncomingStreams)
            and own.parameter.new_streams == request.new_streams
        ):
            own.in_progress = own.added = True

    def _update(self) -> None:
        self.pending = bool(
            self._requests.current
            or self._answers.are_waiting
            or self._asked
            or self._outgoing.wanted
            or self._incoming.wanted
            or self.counts.wanted
            or self.tsn.wanted
        )


# How each request of the peer is dealt with.
_HANDLERS: dict[type[Request], Callable[[StreamReset, int, Any, float], Answer | None]] = {
    OutgoingSsnResetRequest: StreamReset._receive_outgoing_request,
    IncomingSsnResetRequest: StreamReset._receive_incoming_request,
    SsnTsnResetRequest: StreamReset._receive_tsn_request,
    AddOutgoingStreams: StreamReset._receive_add_outgoing,
    AddIncomingStreams: StreamReset._receive_add_incoming,
}
