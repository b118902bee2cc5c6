"""Resets by the peer of streams that it sends on: that it is asked for them (RFC 6525 §5.1.3), and that
they are performed (§5.2.2), at once, or when the data before them has come, and it is known by which
numbers it goes (§5.2.7 H5).
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from .._wire.parameters import (
    IncomingSsnResetRequest,
    OutgoingSsnResetRequest,
    ReConfigResponse,
    ReConfigResult,
)
from .._wire.serial import MASK32, unwrap32
from .events import IncomingStreamsReset
from .reconfig_common import MAX_STREAM_IDS, ReceivingSide, response_to

__all__ = ["IncomingResets"]


@dataclass(slots=True)
class DeferredReset:
    """A reset by the peer that waits for the data before it (RFC 6525 §5.2.2 E2)."""

    sn: int
    last_tsn: int
    stream_ids: tuple[int, ...]


class IncomingResets:
    """`tell` is called with the streams that begin anew, and has to see to it."""

    __slots__ = ("_performed_late", "_receiver", "_tell", "deferred", "wanted")

    def __init__(
        self, receiver: ReceivingSide, tell: Callable[[IncomingStreamsReset], None]
    ) -> None:
        self._receiver = receiver
        self._tell = tell
        self.deferred: DeferredReset | None = None
        """A reset that waits for data."""
        self._performed_late: tuple[int, tuple[int, ...]] | None = None
        self.wanted: dict[tuple[int, ...], None] = {}
        """What the peer is to be asked for, each in a request of its own."""

    def want(self, stream_ids: Collection[int], limit: int) -> None:
        """Ask the peer to reset streams (none: all), up to `limit` in one request."""
        ids = tuple(dict.fromkeys(stream_ids))
        for begin in range(0, len(ids) or 1, limit):
            self.wanted[ids[begin : begin + limit]] = None

    def next_request(self, sn: int) -> IncomingSsnResetRequest:
        """The first of those wanted."""
        stream_ids = next(iter(self.wanted))
        del self.wanted[stream_ids]
        return IncomingSsnResetRequest(sn & MASK32, stream_ids)

    def receive(self, sn: int, request: OutgoingSsnResetRequest, streams: int) -> ReConfigResponse:
        """Answer a request of a peer that has so many streams."""
        if len(request.stream_ids) > MAX_STREAM_IDS:
            return response_to(sn, ReConfigResult.DENIED)
        stream_ids = tuple(dict.fromkeys(request.stream_ids))
        if stream_ids and max(stream_ids) >= streams:
            return response_to(sn, ReConfigResult.ERROR_WRONG_SSN)
        last_tsn = unwrap32(request.last_tsn, self._receiver.cumulative_tsn_ack)
        if not self._has_all_before(last_tsn):
            waits = self._defer(sn, last_tsn, stream_ids)
            return response_to(sn, ReConfigResult.IN_PROGRESS if waits else ReConfigResult.DENIED)
        if self._performed_late != (last_tsn, stream_ids):
            self._performed_late = None
            self._tell(IncomingStreamsReset(stream_ids))
        return response_to(sn, ReConfigResult.SUCCESS_PERFORMED)

    @property
    def is_due(self) -> bool:
        """There is a deferred reset, and the data before it has come and found its place."""
        return self.deferred is not None and self._has_all_before(self.deferred.last_tsn)

    def _has_all_before(self, last_tsn: int) -> bool:
        """All data up to there has come, and what had its turn by that was delivered."""
        receiver = self._receiver
        return (
            receiver.cumulative_tsn_ack >= last_tsn
            and not receiver.holds_back(last_tsn)
            and not receiver.is_releasing
        )

    def is_before(self, tsn: int) -> bool:
        """There is a deferred reset, and it comes before what begins at a TSN, as on the wire."""
        deferred = self.deferred
        return deferred is not None and (tsn - deferred.last_tsn - 1) & MASK32 < 1 << 31

    def perform_deferred(self) -> ReConfigResponse | None:
        """The reset that waited for data takes place now (E3 to E6); None if there is none."""
        deferred = self.deferred
        if deferred is None:
            return None
        self.deferred = None
        self._tell(IncomingStreamsReset(deferred.stream_ids))
        # A peer that was told "in progress" may ask for the same under a new number before it
        # hears that it is done: that is no second reset.
        self._performed_late = (deferred.last_tsn, deferred.stream_ids)
        return response_to(deferred.sn, ReConfigResult.SUCCESS_PERFORMED)

    def _defer(self, sn: int, last_tsn: int, stream_ids: tuple[int, ...]) -> bool:
        """Enter deferred reset processing (E2); a new request takes over an older one.

        False: together they are too many.
        """
        older = self.deferred
        if older is not None:
            last_tsn = max(last_tsn, older.last_tsn)
            both = older.stream_ids and stream_ids
            stream_ids = tuple(dict.fromkeys(older.stream_ids + stream_ids)) if both else ()
            if len(stream_ids) > MAX_STREAM_IDS:
                return False
        self.deferred = DeferredReset(sn, last_tsn, stream_ids)
        self._receiver.defer_reset(stream_ids, last_tsn)
        return True
