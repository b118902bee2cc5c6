"""Stream reconfiguration (RFC 6525): which request of ours is made and when, and what its answer means.

One is made at a time, at the moment when a packet is built; how it is sent and repeated stands in
`own_requests`.  Those of the peer are dealt with in `reconfig_requests`, and `reconfig_answers` keeps
their answers.  What requests of either end do stands elsewhere: `reconfig_outgoing` and
`reconfig_incoming` reset streams, `reconfig_streams` adds them, `reconfig_tsn` resets all numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final, TypeAlias

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
from .._wire.serial import MASK32
from .config import Config
from .events import (
    AssociationReset,
    IncomingResetRefused,
    IncomingStreamsReset,
    OutgoingStreamsReset,
    StreamsChanged,
)
from .own_requests import OwnRequest, OwnRequests
from .reconfig_answers import Answers
from .reconfig_chunk import REQUESTS, parameters_of
from .reconfig_common import (
    MAX_STREAM_IDS,
    ReceivingSide,
    RetransmissionTimer,
    SendingSide,
    check_stream_ids,
)
from .reconfig_incoming import IncomingResets
from .reconfig_outgoing import OutgoingResets
from .reconfig_requests import answer_by_request, receive_requests
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
        "_config",
        "_tell",
        "answered",
        "answers",
        "asked",
        "counts",
        "errors",
        "incoming",
        "outgoing",
        "own_requests",
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
        self.own_requests = OwnRequests(
            config,
            initial_sn=initial_tsn,
            goes_first=initial_tsn > peer_initial_tsn,
            sender=sender,
            rto=rto,
        )
        self.timer = self.own_requests.timer
        self.outgoing = OutgoingResets(send_queue, sender, tell)
        self.incoming = IncomingResets(receiver, tell)
        self.answers = Answers(peer_initial_tsn)
        self.asked: tuple[int, tuple[int, ...]] | None = None
        """A request of the peer, and its streams, that is to be answered by our own reset."""

    # -- what the program asks for

    def reset_outgoing(self, stream_ids: Collection[int]) -> None:
        """Reset streams we send on (§5.1.2), once all that is queued on them was sent; none: all.

        What is sent on them before that moment still belongs to the time before the reset; what is
        sent later waits for the peer's answer.  Raises `LocalProtocolError` for an id that is not
        one of our outbound streams.
        """
        check_stream_ids("stream_ids", stream_ids, self.counts.outbound)
        self.outgoing.want(stream_ids)
        self.pending = True

    def withdraw_outgoing(self, stream_id: int) -> bool:
        """Not to reset a stream after all; False if the peer has been asked, or nobody has."""
        return self.outgoing.withdraw(stream_id)

    def request_incoming(self, stream_ids: Collection[int]) -> None:
        """Ask the peer to reset streams that it sends on (§5.1.3); none: all.

        Raises `LocalProtocolError` for an id that is not one of our inbound streams.
        """
        check_stream_ids("stream_ids", stream_ids, self.counts.inbound)
        limit = min((self.max_chunk - _INCOMING_REQUEST_SIZE) // 2, MAX_STREAM_IDS)
        self.incoming.want(stream_ids, limit)
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
        self._config = self.counts.config = self.tsn.config = self.own_requests.config = config

    # -- what comes from the peer and from the clock

    def receive(self, chunk: ReConfig, now: float) -> bool:
        """Take a RE-CONFIG chunk (§5.2.1).  True: a SACK should go back with the answer."""
        self.answered = False
        if self.answers.are_too_many:
            return False
        self.data_advanced(now)
        parameters = parameters_of(chunk, self.errors, self.max_chunk - 8)
        if parameters is None:
            return False
        for parameter in parameters:
            if isinstance(parameter, ReConfigResponse):
                self._receive_response(parameter, now)
        requests = [parameter for parameter in parameters if isinstance(parameter, REQUESTS)]
        if requests:
            receive_requests(self, requests, now)
        self._update()
        return bool(requests)

    @property
    def waits_for_data(self) -> bool:
        """`data_advanced` is to be called when data or an acknowledgement has come."""
        return self.incoming.deferred is not None or self.tsn.asked is not None

    def data_advanced(self, now: float) -> bool:
        """What we received or what was acknowledged has moved: perform a reset that waited for it.

        Messages that were complete by then have to be told to the program before the reset.
        True: it was performed, and a SACK should go with the answer (§5.2.1).
        """
        due = self.incoming.is_due
        if due:
            self._perform_deferred()
        late = self.tsn.perform(now)
        if late is not None:
            self.answers.respond_late(late)
            self.pending = True
        return due or late is not None

    def _finish_deferred(self, tsn: int) -> None:
        """From a TSN on, as on the wire, the peer has new numbers for everything."""
        if self.incoming.is_before(tsn):
            self._perform_deferred()

    def _perform_deferred(self) -> None:
        late = self.incoming.perform_deferred()
        if late is not None:
            self.answers.respond_late(late)
            self.pending = True

    def handle_timeout(self, now: float) -> bool:
        """`timer` has expired.  True: a request stayed unanswered, count an error (§5.1.1)."""
        is_error = self.own_requests.expire()
        request = self.own_requests.current
        if (
            request is not None
            and request.added
            and request.expiries > self._config.association_max_retrans
        ):
            self.finish(request, None, now)
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
        chunks = self.answers.take(room)
        if self.own_requests.current is None and new_requests:
            self._make_next_request()
        request = self.own_requests.take_due(room - sum(map(len, chunks)), now)
        if request is not None:
            if isinstance(request.parameter, SsnTsnResetRequest):
                self.tsn.request_sent()
            chunks.append(request.chunk)
        self._update()
        return chunks

    # -- requests of ours

    @property
    def max_chunk(self) -> int:
        return self._config.path_mtu - COMMON_HEADER_SIZE

    @property
    def max_outgoing(self) -> int:
        """Stream ids in one Outgoing SSN Reset Request."""
        return min((self.max_chunk - _OUTGOING_REQUEST_SIZE) // 2, MAX_STREAM_IDS)

    def _make_next_request(self) -> None:
        """Make the next request of those that can be made now: one at a time (§5.1.1)."""
        if answer_by_request(self):
            return
        if self.counts.wanted:
            sn = self.own_requests.take_sn()
            self.own_requests.begin(sn, self.counts.next_request(sn))
        elif (ready := self.outgoing.take_ready(self.max_outgoing)) is not None:
            self.request_outgoing_reset(ready, response_sn=self.answers.expected_sn - 1)
        elif self.tsn.is_ready:
            sn = self.own_requests.take_sn()
            self.own_requests.begin(sn, SsnTsnResetRequest(sn & MASK32))
        elif self.incoming.wanted and self.asked is None:
            sn = self.own_requests.take_sn()
            self.own_requests.begin(sn, self.incoming.next_request(sn))

    def request_outgoing_reset(
        self, stream_ids: tuple[int, ...], *, response_sn: int
    ) -> OwnRequest:
        sn = self.own_requests.take_sn()
        parameter = self.outgoing.make_request(sn, stream_ids, response_sn=response_sn)
        return self.own_requests.begin(sn, parameter)

    def _receive_response(self, response: ReConfigResponse, now: float) -> None:
        request = self.own_requests.current
        if request is None or not request.answers_to(response.response_sn):
            return  # RFC 6525 §5.2.7 H1: not what we wait for
        self.answered = True
        if not self.own_requests.goes_on(request, response.result, now):
            self.finish(request, response, now)
        elif isinstance(request.parameter, SsnTsnResetRequest):
            self.tsn.put_off()

    def finish(self, request: OwnRequest, response: ReConfigResponse | None, now: float) -> None:
        """A request of ours has its answer; None: that is a request of the peer."""
        self.own_requests.end()
        parameter = request.parameter
        succeeded = response is None or response.result in _SUCCESS
        if isinstance(parameter, IncomingSsnResetRequest):
            if not succeeded:
                self._tell(IncomingResetRefused(parameter.stream_ids))
        elif isinstance(parameter, OutgoingSsnResetRequest):
            self.outgoing.finish(parameter.stream_ids, succeeded)
        elif isinstance(parameter, AddOutgoingStreams | AddIncomingStreams):
            self.counts.finish(parameter, None if response is None else response.result)
        elif response is not None and not self.tsn.finish(response, now):
            self.errors.append(ProtocolViolation(b"an SSN/TSN reset without the TSNs"))

    def _update(self) -> None:
        self.pending = bool(
            self.own_requests.current
            or self.answers.are_waiting
            or self.asked
            or self.outgoing.wanted
            or self.incoming.wanted
            or self.counts.wanted
            or self.tsn.wanted
        )
