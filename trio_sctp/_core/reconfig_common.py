"""What the parts of reconfiguration (RFC 6525) have in common: how they see the two halves of data
transfer, and small questions about stream ids.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, Protocol

from .._wire.parameters import ReConfigResponse, ReConfigResult
from .._wire.serial import MASK32
from .arguments import check_integer

__all__ = [
    "MAX_STREAM_IDS",
    "ReceivingSide",
    "RetransmissionTimer",
    "SendingSide",
    "check_stream_ids",
    "covers",
    "response_to",
]

MAX_STREAM_IDS: Final = 736
"""Streams in one request, of ours or of the peer: it bounds what a packet costs.  No packet of an
Ethernet has room for more."""


class SendingSide(Protocol):
    """What resets need of the data that was sent."""

    tsn_reset_pending: bool

    @property
    def next_tsn(self) -> int: ...
    @property
    def cumulative_tsn_ack(self) -> int: ...
    @property
    def outstanding_count(self) -> int: ...
    def reset_tsn(self, next_tsn: int) -> None: ...
    def streams_will_be_reset(self, stream_ids: Collection[int]) -> None: ...


class ReceivingSide(Protocol):
    """What resets need of the data that was received."""

    @property
    def cumulative_tsn_ack(self) -> int: ...
    @property
    def is_releasing(self) -> bool: ...
    @property
    def holds_much(self) -> bool: ...
    def defer_reset(self, stream_ids: tuple[int, ...], last_tsn: int) -> None: ...
    def holds_back(self, tsn: int) -> bool: ...
    def hold_back(self) -> None: ...
    def end_hold_back(self, *, for_good: bool = False) -> None: ...
    def hold_back_from(self, next_tsn: int) -> None: ...
    def end_numbering(self, next_tsn: int) -> None: ...


class RetransmissionTimer(Protocol):
    """The retransmission timeout of the path."""

    @property
    def rto(self) -> float: ...


def response_to(sn: int, result: ReConfigResult) -> ReConfigResponse:
    """The answer to the request with an unwrapped number."""
    return ReConfigResponse(sn & MASK32, result)


def covers(stream_ids: tuple[int, ...], others: tuple[int, ...]) -> bool:
    """Whether a reset of `stream_ids` resets all of `others` (empty: all streams)."""
    return not stream_ids or (bool(others) and set(stream_ids).issuperset(others))


def check_stream_ids(name: str, stream_ids: Collection[int], count: int) -> None:
    """Raise `LocalProtocolError` for an id that is not one of `count` streams."""
    for stream_id in stream_ids:
        check_integer(f"one of {name}", stream_id, 0, count - 1)
