"""Timeout and retransmission (RFC 6347 §4.2.4): what a DTLS end says again.

A flight is kept until the next one of the peer shows that it arrived.  It goes out again when its timer
has run out or the peer repeats itself, and so does the alert with which the association ended where the
peer goes on regardless (§4.2.7): every time under new record numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from .dtls_common import DtlsConfig, DtlsStatistics
from .dtls_flight import FlightRecord, PlaintextNumbers, encode_flight
from .dtls_record import RecordProtection

__all__ = ["Retransmission"]

_SMALL_DATAGRAM: Final = 548
"""What gets through wherever IPv4 does: 576 bytes less the IP and UDP headers."""
_TRIES_BEFORE_SMALL: Final = 3
_MAX_TRIES: Final = 32
_MAX_FAREWELLS: Final = 8


@dataclass(slots=True)
class _Sent:
    """Records that may be wanted again."""

    records: Sequence[FlightRecord] = ()
    sent_at: float = -math.inf
    tries: int = 0

    def may_be_repeated(self, most: int, interval: float, now: float) -> bool:
        """Anybody can bring about a repetition by a datagram of the peer's: so only so often."""
        return bool(self.records) and self.tries < most and now >= self.sent_at + interval


class Retransmission:
    """The flight that is not answered yet, and in the end the farewell; each call returns datagrams."""

    def __init__(
        self, config: DtlsConfig, statistics: DtlsStatistics, *, first_number: int
    ) -> None:
        self.numbers = PlaintextNumbers(first_number)
        self.protection: RecordProtection | None = None
        self.waits = False
        """A flight of ours is unanswered."""
        self.deadline = math.inf
        """When `expire` is to be called."""
        self._config = config
        self._statistics = statistics
        self._rto = config.initial_rto
        self._soonest = config.initial_rto / 4
        self._flight = _Sent()
        self._farewell = _Sent()

    def send(self, records: Sequence[FlightRecord], now: float) -> list[bytes]:
        """A new flight."""
        self._rto = self._config.initial_rto
        self._flight = _Sent(records)
        self.waits = True
        return self._transmit(now)

    def answered(self) -> None:
        """The peer has the last flight."""
        self._flight = _Sent()
        self.waits = False
        self.deadline = math.inf

    def expire(self, now: float) -> list[bytes]:
        """No answer has come in time: RFC 6347 §4.2.4.1."""
        self._rto = min(self._rto * 2, self._config.max_rto)
        return self._transmit(now)

    def repeat(self, now: float) -> list[bytes]:
        """The peer repeats itself: our flight did not arrive (§4.2.4, WAITING, exit 2)."""
        if self._flight.may_be_repeated(_MAX_TRIES, self._soonest, now):
            return self._transmit(now)
        return []

    def say_farewell(self, records: Sequence[FlightRecord], now: float) -> list[bytes]:
        """The association ends by these alerts."""
        self._farewell = _Sent(records, now)
        return self._encode(records)

    def repeat_farewell(self, datagram_size: int, now: float) -> list[bytes]:
        """Once more for a peer that goes on, in no more bytes than it has sent."""
        farewell = self._farewell
        if not farewell.may_be_repeated(_MAX_FAREWELLS, self._soonest, now):
            return []
        datagrams = self._encode(farewell.records)
        if sum(map(len, datagrams)) > datagram_size:
            return []
        farewell.tries += 1
        farewell.sent_at = now
        return datagrams

    def _transmit(self, now: float) -> list[bytes]:
        flight = self._flight
        datagrams = self._encode(flight.records, small=flight.tries >= _TRIES_BEFORE_SMALL)
        self._statistics.flights_retransmitted += flight.tries > 0
        flight.tries += 1
        flight.sent_at = now
        self.deadline = now + self._rto
        return datagrams

    def _encode(self, records: Sequence[FlightRecord], *, small: bool = False) -> list[bytes]:
        size = self._config.max_datagram_size
        if small:
            size = min(size, _SMALL_DATAGRAM)  # §4.1.1.1: perhaps the size does not get through
        return encode_flight(records, self.numbers, self.protection, size)
