"""Adding streams to an association (RFC 6525 §5.1.5, §5.1.6, §5.2.5, §5.2.6).

Streams are only ever added at the end, by requests of whoever will send on them; who wants to receive
on more of them asks the other end to make such a request.  An Add Incoming Streams Request that we
agree to is answered at once, and our own request follows when none is on its way: some peers wait for
the one, some for the other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from .._wire.parameters import AddIncomingStreams, AddOutgoingStreams, ReConfigResult
from .._wire.serial import MASK32
from .arguments import check_integer
from .config import Config
from .errors import LocalProtocolError
from .events import StreamsChanged

__all__ = ["StreamCounts"]

_MAX_WANTED: Final = 64
"""Requests of the peer's making that wait to be made."""


class StreamCounts:
    """The streams of both directions, and those that are wanted besides.

    `tell` is called with a `StreamsChanged` whenever an attempt to add some has ended.
    """

    __slots__ = (
        "_asked_inbound",
        "_asked_outbound",
        "_tell",
        "_wanted_inbound",
        "_wanted_outbound",
        "config",
        "inbound",
        "outbound",
    )

    def __init__(
        self,
        config: Config,
        *,
        outbound: int,
        inbound: int,
        tell: Callable[[StreamsChanged], None],
    ) -> None:
        self.config = config
        self.outbound = outbound
        self.inbound = inbound
        self._tell = tell
        self._wanted_outbound: list[int] = []  # a deque takes 760 bytes, and these are mostly empty
        self._wanted_inbound: list[int] = []
        # in the request that is on its way
        self._asked_outbound = 0
        self._asked_inbound = 0

    @property
    def wanted(self) -> bool:
        """There is a request to be made."""
        return bool(self._wanted_outbound or self._wanted_inbound)

    # -- what the program asks for

    def add_outbound(self, count: int) -> None:
        """Ask the peer for more streams to send on; `LocalProtocolError` beyond the limit."""
        _check(count, self._planned_outbound, self._max_outbound, "outbound")
        self._wanted_outbound.append(count)

    def add_inbound(self, count: int) -> None:
        """Ask the peer to send on more streams; `LocalProtocolError` beyond the limit."""
        _check(count, self._planned_inbound, self._max_inbound, "inbound")
        self._wanted_inbound.append(count)

    def next_request(self, sn: int) -> AddOutgoingStreams | AddIncomingStreams:
        """The request to make now, under a number; there is one if `wanted`."""
        if self._wanted_outbound:
            self._asked_outbound = self._wanted_outbound.pop(0)
            return AddOutgoingStreams(sn & MASK32, self._asked_outbound)
        self._asked_inbound = self._wanted_inbound.pop(0)
        return AddIncomingStreams(sn & MASK32, self._asked_inbound)

    def finish(self, request: AddOutgoingStreams | AddIncomingStreams, result: int | None) -> None:
        """A request of ours has its answer; None: the answer is a request of the peer."""
        performed = result in (None, ReConfigResult.SUCCESS_PERFORMED)
        if isinstance(request, AddIncomingStreams):
            self._asked_inbound = 0
            if not performed:
                self._changed(succeeded=False)
            return  # otherwise the peer's own request tells more
        self._asked_outbound = 0
        if performed:  # §5.2.7 H6
            self.outbound += request.new_streams
        self._changed(succeeded=performed)

    # -- what the peer asks for

    def receive_add_outgoing(self, request: AddOutgoingStreams) -> ReConfigResult:
        """The peer wants to send on more streams (§5.2.5)."""
        count = request.new_streams
        if not count:
            return ReConfigResult.SUCCESS_NOTHING_TO_DO
        if self.inbound + count > self._max_inbound:
            return ReConfigResult.DENIED
        self.inbound += count
        self._changed(succeeded=True)
        return ReConfigResult.SUCCESS_PERFORMED

    def receive_add_incoming(self, request: AddIncomingStreams) -> ReConfigResult:
        """The peer wants us to send on more streams (§5.2.6)."""
        count = request.new_streams
        if not count:
            return ReConfigResult.SUCCESS_NOTHING_TO_DO
        if self._planned_outbound + count > self._max_outbound:
            return ReConfigResult.DENIED
        if len(self._wanted_outbound) >= _MAX_WANTED:
            return ReConfigResult.ERROR_REQUEST_ALREADY_IN_PROGRESS
        self._wanted_outbound.append(count)
        return ReConfigResult.SUCCESS_PERFORMED

    # -- limits

    @property
    def _max_outbound(self) -> int:
        return max(self.config.outbound_streams, self.config.max_outbound_streams)

    @property
    def _max_inbound(self) -> int:
        return max(self.config.inbound_streams, self.config.max_inbound_streams)

    @property
    def _planned_outbound(self) -> int:
        return self.outbound + self._asked_outbound + sum(self._wanted_outbound)

    @property
    def _planned_inbound(self) -> int:
        return self.inbound + self._asked_inbound + sum(self._wanted_inbound)

    def _changed(self, *, succeeded: bool) -> None:
        self._tell(StreamsChanged(self.outbound, self.inbound, succeeded))


def _check(count: int, present: int, limit: int, direction: str) -> None:
    check_integer("count", count, 1, 65535)
    if present + count > limit:
        raise LocalProtocolError(
            f"count is {count}: with {present} {direction} streams it must be at most"
            f" {max(limit - present, 0)} (max_{direction}_streams)"
        )
