"""The SSN/TSN reset: all sequence numbers of an association begin anew (RFC 6525 §5.1.4, §5.2.4).

Nothing that is reliable may be lost by it.  Whoever asks sends what the program gave before, waits
until all of it is acknowledged, and keeps what comes later until the answer.  Whoever is asked finishes
the message that was begun, waits for its acknowledgements, and says "in progress" until then.

The first data under new stream sequence numbers must not be taken for old.  The asking end holds
messages back while the answer may be on its way; the other end repeats its answer in every packet with
data until something shows that it has arrived.  Late packets of the time before are told by their
TSNs, which jump by 2^31 at the asking end; hence there is only one reset in 30 seconds.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from .._wire.chunks import ReConfig
from .._wire.parameters import ReConfigResponse, ReConfigResult
from .._wire.serial import MASK32
from .config import Config
from .errors import LocalProtocolError
from .events import AssociationReset
from .reconfig_common import ReceivingSide, SendingSide
from .tx.resettable_streams import ResettableStreams

__all__ = ["MAXIMUM_SEGMENT_LIFETIME", "TsnReset"]

MAXIMUM_SEGMENT_LIFETIME: Final = 30.0
"""Seconds between two resets by the same end (§5.1.4)."""
_JUMP: Final = 1 << 31


class TsnReset:
    """Both roles in an SSN/TSN reset, for `StreamReset` to drive.

    `tell` is called with an `AssociationReset` whenever one has ended, `finish_deferred` when a stream
    reset must not wait any longer, unless it comes after this TSN, as on the wire.
    """

    __slots__ = (
        "_companion",
        "_finish_deferred",
        "_holding_back",
        "_peer_reset_at",
        "_receiver",
        "_reset_at",
        "_send_queue",
        "_sender",
        "_shown_by",
        "_tell",
        "asked",
        "config",
        "wanted",
    )

    def __init__(
        self,
        config: Config,
        *,
        send_queue: ResettableStreams,
        sender: SendingSide,
        receiver: ReceivingSide,
        finish_deferred: Callable[[int], None],
        tell: Callable[[AssociationReset], None],
    ) -> None:
        self.config = config
        self._send_queue = send_queue
        self._sender = sender
        self._receiver = receiver
        self._finish_deferred = finish_deferred
        self._tell = tell
        self.wanted = False
        """Our program asked for a reset that has not ended."""
        self.asked: int | None = None
        """The number of the peer's request, while what was sent before keeps it waiting."""
        self._holding_back = False
        self._companion = b""
        self._shown_by = 0, 0
        self._reset_at = self._peer_reset_at = -math.inf

    # -- our own reset

    def want(self, now: float) -> None:
        """Reset all numbers once what was sent until now is acknowledged.

        Raises `LocalProtocolError` less than 30 seconds after the last time.
        """
        if self.wanted:
            return
        passed = now - self._reset_at
        if passed < MAXIMUM_SEGMENT_LIFETIME:
            raise LocalProtocolError(
                f"reset_association: the last reset was {passed:g} s ago, it must be at least"
                f" {MAXIMUM_SEGMENT_LIFETIME:g} s"
            )
        self.wanted = True
        self._send_queue.hold()  # §5.1.4 C2

    @property
    def is_ready(self) -> bool:
        """The request can be made: nothing is outstanding (C2)."""
        return (
            self.wanted
            and self.asked is None
            and self._send_queue.is_drained
            and not self._sender.outstanding_count
        )

    def request_sent(self) -> None:
        """The peer may perform it at any moment from now on."""
        self._sender.tsn_reset_pending = True
        if not self._holding_back:
            self._holding_back = True
            self._receiver.hold_back()

    def put_off(self) -> None:
        """The peer has not performed it yet."""
        self._holding_back = False
        self._receiver.end_hold_back()

    def finish(self, response: ReConfigResponse, now: float) -> bool:
        """Our request has its answer (§5.2.7 H5).  False: the answer makes no sense."""
        sender_next_tsn, receiver_next_tsn = response.sender_next_tsn, response.receiver_next_tsn
        performed = response.result == ReConfigResult.SUCCESS_PERFORMED
        if performed and sender_next_tsn is not None and receiver_next_tsn is not None:
            self._reset_at = now
            self._sender.reset_tsn(receiver_next_tsn)
            self._renumber(sender_next_tsn)
        else:
            self._sender.tsn_reset_pending = False
            self._receiver.end_hold_back(for_good=True)
            self._tell(AssociationReset(*self._next_tsns(), succeeded=False))
            performed = not performed
        self._holding_back = self.wanted = False
        self._send_queue.end_hold()
        return performed

    # -- the peer's

    def receive(self, sn: int, now: float, *, crossing: bool) -> ReConfigResponse:
        """Answer a request (§5.2.4); `crossing`: one of ours is on its way."""
        if (
            not self.config.accept_association_reset
            or now - self._peer_reset_at < MAXIMUM_SEGMENT_LIFETIME
            or self._receiver.holds_much  # then not all that it has sent has arrived (C2)
        ):
            return self.response(sn, ReConfigResult.DENIED)
        if crossing:  # both ends cannot follow from the state before: one has to ask again
            return self.response(sn, ReConfigResult.ERROR_REQUEST_ALREADY_IN_PROGRESS)
        self.asked = sn
        self._send_queue.suspend()
        return self.perform(now) or self.response(sn, ReConfigResult.IN_PROGRESS)

    def perform(self, now: float) -> ReConfigResponse | None:
        """Do what the peer asked for, if nothing of ours is outstanding any more (G1 to G6)."""
        sn = self.asked
        if (
            sn is None
            or not self._send_queue.is_between_messages
            or self._sender.outstanding_count
            or self._receiver.is_releasing
        ):
            return None
        self.asked = None
        self._peer_reset_at = now
        sender_next_tsn = self._sender.next_tsn  # G2; and G3 has nothing to do
        receiver_next_tsn = self._receiver.cumulative_tsn_ack + 1 + _JUMP  # G1
        response = ReConfigResponse(
            sn & MASK32,
            ReConfigResult.SUCCESS_PERFORMED,
            sender_next_tsn & MASK32,
            receiver_next_tsn & MASK32,
        )
        self._renumber(receiver_next_tsn & MASK32)  # G4
        self._send_queue.end_suspension()
        self._companion = ReConfig((response,)).encode()
        self._shown_by = sender_next_tsn, receiver_next_tsn
        return response

    def response(self, sn: int, result: ReConfigResult) -> ReConfigResponse:
        """An answer that leaves the numbers as they are; both TSNs are there all the same (D3, D4)."""
        return ReConfigResponse(sn & MASK32, result, *self._next_tsns())

    def forget_companion(self) -> None:
        """The peer has had our answer."""
        self._companion = b""

    @property
    def companion(self) -> bytes:
        """Our answer, to go with data as long as it may have been lost."""
        if self._companion:
            acknowledged, received = self._shown_by
            if (
                self._sender.cumulative_tsn_ack >= acknowledged
                or self._receiver.cumulative_tsn_ack >= received
            ):
                self._companion = b""
        return self._companion

    # -- both

    def _renumber(self, peer_next_tsn: int) -> None:
        """All streams of both directions begin with number 0 (G5, H5)."""
        self._receiver.hold_back_from(peer_next_tsn)
        self._finish_deferred(peer_next_tsn)
        self._send_queue.reset_numbers()
        self._receiver.end_numbering(peer_next_tsn)
        next_tsn, _ = self._next_tsns()
        self._tell(AssociationReset(next_tsn, peer_next_tsn, succeeded=True))
        self._receiver.end_hold_back(for_good=True)

    def _next_tsns(self) -> tuple[int, int]:
        return self._sender.next_tsn & MASK32, (self._receiver.cumulative_tsn_ack + 1) & MASK32
