"""DTLS 1.2 for SCTP packets, sans-IO (RFC 6347, RFC 8261, RFC 8842 §5).

`DtlsAssociation` is one end.  Datagrams go in, packets and events come out; what is to be sent is
asked for, and so is the time of the next call:

    association.start(now=now)                       # a client's first flight
    association.receive_datagrams(batch, now=now)    # never raises because of what a peer sent
    association.handle_timeout(now=now)              # a call too many does nothing
    association.send(packets, now=now)
    association.packets_received(); .next_event(); .datagrams_to_send(); .next_timeout()

Each SCTP packet travels in a record of its own and each record of a packet in a datagram of its
own (RFC 8261 §4), so that batches keep their boundaries.  No packet passes, in or out, before the
peer has proven to hold a certificate that the `PeerPolicy` accepts.

What is not authenticated is not believed for long: an alert in the clear ends a handshake only if
no further progress is made, and nothing in the clear has any effect after it.
"""

from __future__ import annotations

import enum
import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from .certificate import Certificate, PeerPolicy
from .dtls_common import (
    DtlsClosed,
    DtlsCloseReason,
    DtlsConfig,
    DtlsEstablished,
    DtlsEvent,
    DtlsStateError,
    DtlsStatistics,
)
from .dtls_cookie import ClientHelloPrefix, client_hello_prefix
from .dtls_engine import HandshakeEngine
from .dtls_flight import FlightRecord, HandshakeReassembler, Outcome, parse_fragments
from .dtls_record import (
    LAST_FOR_PACKETS,
    MAX_PLAINTEXT,
    MAX_RECORDS,
    AlertDescription,
    ContentType,
    Record,
    RecordProtection,
    encode_alert,
    split_records,
)
from .dtls_retransmission import Retransmission

__all__ = ["DtlsAssociation"]

LONGEST_SHARED: Final = 1472
"""The longest datagram of which several packets are taken (RFC 6347 §4.1.1): what an Ethernet carries,
so that whoever puts several into one to save datagrams is understood.  A longer one could hold sixteen
that each cost as much as a packet can."""
_MAX_HELD: Final = 64
_LONGEST_HELD: Final = 2048
_SUSPICION_TIME: Final = 1.0
"""Seconds that a peer has to show that it is there, after an alert in the clear: longer than a round
trip, and than a datagram that is lost on it."""


class _State(enum.Enum):
    NEW = enum.auto()
    HANDSHAKE = enum.auto()
    ESTABLISHED = enum.auto()
    CLOSED = enum.auto()


@dataclass(slots=True)
class _Suspicion:
    """An alert that came in the clear: anybody may have sent it."""

    alert: int | None = None
    deadline: float = math.inf


class DtlsAssociation:
    """One end of a DTLS association (RFC 6347), client or server."""

    def __init__(
        self,
        certificate: Certificate,
        policy: PeerPolicy,
        *,
        client: bool,
        now: float,
        config: DtlsConfig | None = None,
        hello: ClientHelloPrefix | None = None,
        key_log: Callable[[bytes], object] | None = None,
    ) -> None:
        """``client``: whether this end begins (``a=setup:active``, RFC 8842 §5.3).
        ``hello``: what a `CookieGate` returned; without it a server answers any hello at once,
        which is only right behind ICE.
        ``key_log`` is called with lines for a key log file: for debugging only.
        """
        self._config = config or DtlsConfig()
        self.client = client
        self.statistics = DtlsStatistics()
        self.peer_certificate: bytes | None = None
        """DER, once established."""
        self.client_random: bytes | None = hello.random if hello else None
        """Tells a repeated hello from one of a client that began anew (RFC 6347 §4.2.8)."""
        self._state = _State.NEW
        self._engine: HandshakeEngine | None = HandshakeEngine(
            certificate,
            policy,
            client=client,
            srtp_profiles=self._config.srtp_profiles,
            cookie_verified=hello is not None,
            key_log=key_log,
        )
        self._incoming: RecordProtection | None = None
        self._outgoing: RecordProtection | None = None
        self._retransmission = Retransmission(
            self._config,
            self.statistics,
            first_number=hello.record.sequence_number if hello else 0,
        )
        self._messages = HandshakeReassembler(hello.message_seq if hello else 0)
        self._held: list[Record] = []
        self._suspicion = _Suspicion()
        self._handshake_deadline = now + self._config.handshake_timeout
        self._events: deque[DtlsEvent] = deque()
        self._packets: list[bytes] = []
        self._datagrams: list[bytes] = []

    # -- what is known -------------------------------------------------------------------------

    @property
    def established(self) -> bool:
        """Whether packets may be sent."""
        return self._state is _State.ESTABLISHED

    @property
    def closed(self) -> bool:
        """Whether it is over."""
        return self._state is _State.CLOSED

    @property
    def record_overhead(self) -> int:
        """By how many bytes a datagram is longer than the packet in it: for the path MTU.

        Before the cipher suite is known, the largest of those that may be agreed on.
        """
        return self._outgoing.overhead if self._outgoing is not None else 37

    # -- in ------------------------------------------------------------------------------------

    def start(self, *, now: float) -> None:
        """Send the ClientHello.  `DtlsStateError` for a server, or a second time."""
        if not self.client or self._state is not _State.NEW or self._engine is None:
            raise DtlsStateError("only a client starts, and once")
        self._state = _State.HANDSHAKE
        self._datagrams += self._retransmission.send(self._engine.start(), now)

    def receive_datagrams(self, datagrams: Sequence[bytes], *, now: float) -> None:
        """Take what arrived; packets in it are then in `packets_received`."""
        index, end = 0, len(datagrams)
        while index < end:
            index, packets = self.take_packets(datagrams, index)
            self._packets += packets
            if index < end:
                self._receive_datagram(datagrams[index], now)
                index += 1

    def take_packets(self, datagrams: Sequence[bytes], index: int = 0) -> tuple[int, list[bytes]]:
        """Packets of an association that is up, from ``datagrams[index]`` on as far as there is
        nothing else.

        Returns the index of the first datagram that is no packet, is forged or was seen before: from
        there on they are for `receive_datagrams`.  Nothing but packets comes of this call.
        """
        if self._state is not _State.ESTABLISHED:
            return index, []
        assert self._incoming is not None
        packets = self._incoming.unprotect_packets(datagrams, index)
        index += len(packets)
        if packets and self._retransmission.waits:
            self._retransmission.answered()  # as in `_take_packet`
        return index, packets if all(packets) else [packet for packet in packets if packet]

    def send(self, packets: Sequence[bytes], *, now: float) -> None:
        """Protect a batch of packets, each in a datagram of its own.

        `DtlsStateError` unless established; `ValueError` for a packet that no record can hold.
        """
        self._datagrams = self.protect(packets, now=now)

    def protect(self, packets: Sequence[bytes], *, now: float) -> list[bytes]:
        """`send` and `datagrams_to_send` in one."""
        outgoing = self._outgoing
        if self._state is not _State.ESTABLISHED or outgoing is None:
            raise DtlsStateError("the association is not established")
        if packets and max(map(len, packets)) > MAX_PLAINTEXT:
            raise ValueError(f"packets has one of more than {MAX_PLAINTEXT} bytes")
        records = outgoing.protect(packets)
        if outgoing.next_sequence_number >= LAST_FOR_PACKETS or self._datagrams:
            self._datagrams += records
            if outgoing.next_sequence_number >= LAST_FOR_PACKETS:
                self.close(now=now)
            return self.datagrams_to_send()
        return records

    def close(self, *, now: float) -> None:
        """End it, telling the peer by close_notify (RFC 5246 §7.2.1).  Twice does nothing."""
        if self._state is _State.CLOSED:
            return
        alerts = [AlertDescription.CLOSE_NOTIFY]
        if self._state is not _State.ESTABLISHED:
            alerts.insert(0, AlertDescription.USER_CANCELED)
        if self._state is _State.NEW:
            alerts.clear()
        self._end(DtlsClosed(DtlsCloseReason.LOCAL_CLOSE), alerts, now)

    def handle_timeout(self, *, now: float) -> None:
        """Do what is due by now."""
        if self._state is _State.CLOSED or self._state is _State.ESTABLISHED:
            return
        if now >= self._suspicion.deadline:
            alert = self._suspicion.alert
            self._end(DtlsClosed(DtlsCloseReason.PEER_ALERT, alert, "not authenticated"), (), now)
        elif now >= self._handshake_deadline:
            alerts = [] if self._state is _State.NEW else [AlertDescription.USER_CANCELED]
            self._end(DtlsClosed(DtlsCloseReason.TIMED_OUT), alerts, now)
        elif now >= self._retransmission.deadline:
            self._datagrams += self._retransmission.expire(now)

    # -- out -----------------------------------------------------------------------------------

    def datagrams_to_send(self) -> list[bytes]:
        """What is to be sent now, in order."""
        datagrams, self._datagrams = self._datagrams, []
        return datagrams

    def packets_received(self) -> list[bytes]:
        """The packets that arrived since the last call, in order."""
        packets, self._packets = self._packets, []
        return packets

    def next_event(self) -> DtlsEvent | None:
        """What happened, one at a time; None if nothing more did."""
        return self._events.popleft() if self._events else None

    def next_timeout(self) -> float:
        """When `handle_timeout` wants to be called; ``math.inf`` if never."""
        if self._state is _State.CLOSED or self._state is _State.ESTABLISHED:
            return math.inf
        return min(
            self._retransmission.deadline, self._handshake_deadline, self._suspicion.deadline
        )

    # -- records -------------------------------------------------------------------------------

    def _receive_datagram(self, datagram: bytes, now: float) -> None:
        size = len(datagram)
        most = MAX_RECORDS if size <= LONGEST_SHARED else 1
        for record in split_records(datagram):
            if record.content_type == ContentType.APPLICATION_DATA:
                if not most:
                    self.statistics.records_dropped += 1
                    continue
                most -= 1
            self._receive_record(record, size, now)

    def _receive_record(self, record: Record, datagram_size: int, now: float) -> None:
        if self._state is _State.CLOSED:
            if record.content_type != ContentType.ALERT:  # two ends shall not alert each other
                self._datagrams += self._retransmission.repeat_farewell(datagram_size, now)
        elif self._state is _State.NEW and self.client:
            self.statistics.records_dropped += 1
        elif record.epoch == 0:
            self._receive_plaintext(record, now)
        elif record.epoch == 1:
            self._receive_protected(record, now)
        else:
            self.statistics.records_dropped += 1

    def _receive_plaintext(self, record: Record, now: float) -> None:
        if record.content_type == ContentType.HANDSHAKE:
            self._receive_fragments(record, now)
        elif record.content_type == ContentType.ALERT and self._state is _State.HANDSHAKE:
            self._receive_plaintext_alert(record.fragment, now)
        elif record.content_type != ContentType.CHANGE_CIPHER_SPEC:
            self.statistics.records_dropped += 1

    def _receive_fragments(self, record: Record, now: float) -> None:
        repeated = False
        for fragment in parse_fragments(record.fragment):
            outcome = Outcome.REPEATED
            if self._state is not _State.ESTABLISHED:
                outcome = self._messages.add(fragment)
            if outcome is Outcome.PROGRESS:
                if self._state is _State.NEW:
                    self._accept(record)
                self._feed_messages(now)
                if self._state is _State.CLOSED:
                    return
            repeated |= outcome is Outcome.REPEATED
            self.statistics.records_dropped += outcome is Outcome.DROPPED
        if repeated:
            self._datagrams += self._retransmission.repeat(now)

    def _accept(self, record: Record) -> None:
        """A server's first message."""
        self._state = _State.HANDSHAKE
        # RFC 6347 §4.2.1: the answer takes the number of the record with the hello; the mask keeps
        # a hello with an absurd one from using up the numbers.
        self._retransmission.numbers.next = record.sequence_number & 0xFFFF
        if self.client_random is None:
            prefix = client_hello_prefix(record.encoded)
            self.client_random = prefix.random if prefix is not None else None

    def _feed_messages(self, now: float) -> None:
        for message_type, message in self._messages.take_messages():
            if self._engine is None:
                return
            self._suspicion = _Suspicion()
            self._advance(self._engine.feed_message(message_type, message), now)
        held, self._held = self._held, []
        for record in held:
            self._receive_protected(record, now)

    def _receive_plaintext_alert(self, fragment: bytes, now: float) -> None:
        self.statistics.plaintext_alerts += 1
        if len(fragment) != 2:
            return
        level, alert = fragment
        ends = level == 2 or alert in (
            AlertDescription.CLOSE_NOTIFY,
            AlertDescription.USER_CANCELED,
        )
        if ends and self._suspicion.alert is None:
            # A peer that is still there goes on within a round trip or two: the alert was forged.
            time = max(_SUSPICION_TIME, self._config.initial_rto)
            self._suspicion = _Suspicion(alert, now + time)

    def _receive_protected(self, record: Record, now: float) -> None:
        if self._state is _State.ESTABLISHED:
            self._receive_authentic(record, now)
            return
        engine = self._engine
        if engine is None or self._state is not _State.HANDSHAKE:
            self.statistics.records_dropped += 1
        elif record.content_type == ContentType.HANDSHAKE and engine.ready_for_finished:
            self._advance(engine.feed_protected(record), now)
        elif record.content_type == ContentType.ALERT and engine.incoming is not None:
            self._receive_early_alert(engine.incoming, record, now)
        elif len(self._held) < _MAX_HELD and len(record.encoded) <= _LONGEST_HELD:
            # RFC 6347 §4.2.4: packets may overtake the Finished that goes before them.
            self._held.append(record)
        else:
            self.statistics.records_dropped += 1

    def _receive_early_alert(self, incoming: RecordProtection, record: Record, now: float) -> None:
        plaintext = incoming.open(record)
        if plaintext is None or len(plaintext) != 2:
            self.statistics.records_dropped += 1
            self.statistics.records_forged = incoming.forged
        else:
            self._receive_alert(plaintext, now)

    def _receive_authentic(self, record: Record, now: float) -> None:
        assert self._incoming is not None
        plaintext = self._incoming.unprotect(record)
        if plaintext is None:
            self.statistics.records_dropped += 1
            self.statistics.records_forged = self._incoming.forged
        elif record.content_type == ContentType.APPLICATION_DATA:
            self._take_packet(plaintext)
        elif record.content_type == ContentType.ALERT and len(plaintext) == 2:
            self._receive_alert(plaintext, now)
        elif record.content_type == ContentType.HANDSHAKE:
            # The peer's Finished once more: it misses our last flight (RFC 6347 §4.2.4).
            self._datagrams += self._retransmission.repeat(now)

    def _receive_alert(self, plaintext: bytes, now: float) -> None:
        level, alert = plaintext
        if alert == AlertDescription.CLOSE_NOTIFY:
            # RFC 5246 §7.2.1: answered by a close_notify, and closed at once.
            answer = [AlertDescription.CLOSE_NOTIFY]
            self._end(DtlsClosed(DtlsCloseReason.PEER_CLOSE, alert), answer, now)
        elif level == 2:
            self._end(DtlsClosed(DtlsCloseReason.PEER_ALERT, alert), (), now)

    def _take_packet(self, packet: bytes) -> None:
        if packet:
            self._packets.append(packet)
        # A client sends packets only after it got our last flight.
        if self._retransmission.waits:
            self._retransmission.answered()

    # -- handshake -----------------------------------------------------------------------------

    def _advance(self, records: list[FlightRecord], now: float) -> None:
        """What the engine made of the last message."""
        engine = self._engine
        assert engine is not None
        if engine.outgoing is not None:
            self._outgoing = self._retransmission.protection = engine.outgoing
        if engine.failure is not None:
            reason = (
                DtlsCloseReason.CERTIFICATE_REJECTED
                if engine.failure.certificate_rejected
                else DtlsCloseReason.HANDSHAKE_FAILED
            )
            self._datagrams += self._retransmission.say_farewell(records, now)
            self._close(DtlsClosed(reason, engine.failure.alert, engine.failure.detail))
            return
        if records:
            self._datagrams += self._retransmission.send(records, now)
        if engine.complete:
            self._establish(engine, now)

    def _establish(self, engine: HandshakeEngine, now: float) -> None:
        assert engine.peer_certificate is not None
        self._state = _State.ESTABLISHED
        self._incoming = engine.incoming
        self.peer_certificate = engine.peer_certificate
        self._engine = None  # OpenSSL has done its part
        self._suspicion = _Suspicion()
        if self.client:
            self._retransmission.answered()  # a server's last flight may be wanted again
        self._events.append(DtlsEstablished(*engine.details))
        held, self._held = self._held, []
        for record in held:
            if self._state is _State.ESTABLISHED:
                self._receive_authentic(record, now)

    # -- the end -------------------------------------------------------------------------------

    def _end(self, event: DtlsClosed, alerts: Iterable[int], now: float) -> None:
        epoch = 1 if self._state is _State.ESTABLISHED else 0
        records = [FlightRecord(ContentType.ALERT, epoch, encode_alert(a)) for a in alerts]
        self._datagrams += self._retransmission.say_farewell(records, now)
        self._close(event)

    def _close(self, event: DtlsClosed) -> None:
        self._state = _State.CLOSED
        self._engine = None
        self._held = []
        self._events.append(event)
