"""Reconfiguration requests of ours (RFC 6525 §5.1.1): one at a time is on its way until it is answered.

It is repeated with back-off, asked again under the same number while the peer works on it (§5.2.7 H2),
and under a new one where the peer was busy with another request.  What the answer means for streams and
numbers is not known here.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypeAlias

from .._wire.chunks import ReConfig
from .._wire.parameters import (
    AddIncomingStreams,
    AddOutgoingStreams,
    IncomingSsnResetRequest,
    OutgoingSsnResetRequest,
    ReConfigResult,
    SsnTsnResetRequest,
)
from .._wire.serial import MASK32, unwrap32
from .config import Config
from .reconfig_common import RetransmissionTimer, SendingSide
from .timer import Timer

__all__ = ["OwnParameter", "OwnRequest", "OwnRequests"]

OwnParameter: TypeAlias = (
    OutgoingSsnResetRequest
    | IncomingSsnResetRequest
    | SsnTsnResetRequest
    | AddOutgoingStreams
    | AddIncomingStreams
)


class OwnRequest:
    """The request that the peer has not answered yet."""

    __slots__ = (
        "added",
        "busy",
        "chunk",
        "due",
        "expiries",
        "in_progress",
        "parameter",
        "refusals",
        "repeated",
        "sn",
    )

    def __init__(self, sn: int, parameter: OwnParameter) -> None:
        self.refusals = 0
        self._begin(sn, parameter)

    def _begin(self, sn: int, parameter: OwnParameter) -> None:
        self.sn = sn
        self.parameter = parameter
        self.chunk = ReConfig((parameter,)).encode()
        self.due = True
        self.expiries = 0
        self.in_progress = False
        """The peer has said that it works on it: its silence is no error (RFC 6525 §5.2.7 H2)."""
        self.repeated = False
        """Sent again after the peer said that it works on it."""
        self.added = False
        """The peer has added as many streams as this asks for, but does not say why."""
        self.busy = False
        """The peer was busy with another request: to be asked anew when the timer expires."""

    def answers_to(self, response_sn: int) -> bool:
        """Whether this is the request with that number, as on the wire."""
        return response_sn == self.sn & MASK32

    def renumber(self, sn: int) -> None:
        """Ask the same again as a new request.

        The last TSN of a stream reset remains what it was: the streams have been paused since
        (§5.1.2 A1).
        """
        self._begin(sn, replace(self.parameter, request_sn=sn & MASK32))


class OwnRequests:
    """Numbers the requests, sends each and repeats it.

    ``goes_first``: where resets of all numbers by both ends cross and both are refused, ours is asked
    again first.
    """

    __slots__ = ("_goes_first", "_next_sn", "_rto", "_sender", "config", "current", "timer")

    def __init__(
        self,
        config: Config,
        *,
        initial_sn: int,
        goes_first: bool,
        sender: SendingSide,
        rto: RetransmissionTimer,
    ) -> None:
        self.config = config
        self._next_sn = initial_sn
        self._goes_first = goes_first
        self._sender = sender
        self._rto = rto
        self.current: OwnRequest | None = None
        self.timer = Timer("Re-configuration")

    def take_sn(self) -> int:
        """The number of the next request."""
        sn = self._next_sn
        self._next_sn = sn + 1
        return sn

    def begin(self, sn: int, parameter: OwnParameter) -> OwnRequest:
        """From now on it is this one."""
        self.current = request = OwnRequest(sn, parameter)
        return request

    def end(self) -> None:
        """It has its answer."""
        self.current = None
        self.timer.stop()

    def take_due(self, room: int, now: float) -> OwnRequest | None:
        """The request if its chunk is to be sent now, and fits; the timer runs."""
        request = self.current
        if request is None or not request.due or len(request.chunk) > room:
            return None
        request.due = False
        duration = self._rto.rto * (1 << min(request.expiries, 32))
        self.timer.start(now, min(duration, self.config.rto_max))
        return request

    def expire(self) -> bool:
        """The timer has: the request goes out again.  True: an error, the peer was silent (§5.1.1)."""
        request = self.current
        if request is None:
            return False
        if request.busy:
            request.renumber(self.take_sn())
            return False
        request.expiries += 1
        request.due = True
        request.repeated = request.in_progress
        return not request.in_progress  # §5.2.7 H2

    def goes_on(self, request: OwnRequest, result: int, now: float) -> bool:
        """Whether the peer's answer is none yet: then the request will be asked again."""
        if result == ReConfigResult.IN_PROGRESS:
            self._receive_in_progress(request, now)
            return True
        if result == ReConfigResult.ERROR_REQUEST_ALREADY_IN_PROGRESS:
            return self._receive_busy(request, now)
        return False

    def _receive_in_progress(self, request: OwnRequest, now: float) -> None:
        if request.repeated and self._peer_has_all(request):
            # Some peers repeat "in progress" for this number even when they have all the data; they
            # look again only at a new request.
            request.renumber(self.take_sn())
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

    def _receive_busy(self, request: OwnRequest, now: float) -> bool:
        """The peer is busy with another request: try again later, but not for ever."""
        request.refusals += 1
        if request.refusals > self.config.association_max_retrans:
            return False
        patience = self._rto.rto
        if isinstance(request.parameter, SsnTsnResetRequest):
            if not self._goes_first:
                patience *= 2  # or both might ask at the same time for ever
            elif request.refusals == 1:
                # Resets by both ends have crossed and both were refused: this end's goes first.
                request.renumber(self.take_sn())
                self.timer.stop()
                return True
        request.busy = True
        request.due = False
        self.timer.start(now, patience)
        return True
