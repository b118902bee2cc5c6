"""Handshake messages and flights (RFC 6347 §4.2.2 to §4.2.4).

Incoming fragments are put together here, whatever sizes they come in, and handed on whole, in
order and once: a browser's post-quantum ClientHello takes two datagrams, and a second try may be
cut at other places than the first.  Outgoing messages are kept whole and cut anew each time they
are sent, so that a flight that does not get through may be tried in smaller pieces and always
under new record numbers.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator
from struct import Struct
from typing import Final, NamedTuple

from .dtls_record import RECORD_HEADER_SIZE, ContentType, RecordProtection, encode_record

__all__ = [
    "MAX_FRAGMENTS",
    "MAX_MESSAGE",
    "FlightRecord",
    "Fragment",
    "HandshakeReassembler",
    "HandshakeType",
    "Outcome",
    "PlaintextNumbers",
    "encode_flight",
    "parse_fragments",
]

HANDSHAKE_HEADER_SIZE: Final = 12
_HEADER: Final = Struct(">BBHHBHBH")  # 24-bit numbers as 8 + 16
MAX_MESSAGE: Final = (1 << 14) - HANDSHAKE_HEADER_SIZE
"""A longer message is refused: it has to fit one record when OpenSSL gets it.  The longest that is
known from the field is a ClientHello of 1.5 KiB."""
MAX_FRAGMENTS: Final = 8
"""Most fragments of a record that are looked at: who does not give each message its own has five."""
_MAX_AHEAD: Final = 8
"""How many messages beyond the next one are kept: a flight has at most five."""
_MAX_PIECES: Final = 64
_LEAST_PIECE: Final = 32


class HandshakeType:
    """RFC 6347 §4.3.2."""

    CLIENT_HELLO: Final = 1
    HELLO_VERIFY_REQUEST: Final = 3
    CERTIFICATE: Final = 11
    CERTIFICATE_VERIFY: Final = 15


class Fragment(NamedTuple):
    """A piece of a handshake message."""

    message_type: int
    length: int
    message_seq: int
    offset: int
    data: bytes


def parse_fragments(payload: bytes) -> Iterator[Fragment]:
    """The fragments in a handshake record, up to the first that makes no sense."""
    position, end = 0, len(payload)
    for _ in range(MAX_FRAGMENTS):
        if end - position < HANDSHAKE_HEADER_SIZE:
            return
        kind, high, low, seq, offset_high, offset_low, size_high, size_low = _HEADER.unpack_from(
            payload, position
        )
        length = high << 16 | low
        offset = offset_high << 16 | offset_low
        size = size_high << 16 | size_low
        position += HANDSHAKE_HEADER_SIZE
        if size > end - position or offset + size > length or length > MAX_MESSAGE:
            return
        yield Fragment(kind, length, seq, offset, payload[position : position + size])
        position += size


def _encode_fragment(kind: int, length: int, seq: int, offset: int, data: bytes) -> bytes:
    size = len(data)
    header = _HEADER.pack(
        kind,
        length >> 16,
        length & 0xFFFF,
        seq,
        offset >> 16,
        offset & 0xFFFF,
        size >> 16,
        size & 0xFFFF,
    )
    return header + data


class _Assembly:
    """One message of which parts have come."""

    __slots__ = ("_pieces", "data", "length", "message_type")

    def __init__(self, fragment: Fragment) -> None:
        self.message_type = fragment.message_type
        self.length = fragment.length
        self.data = bytearray(fragment.length)
        self._pieces: list[tuple[int, int]] = []

    def add(self, fragment: Fragment) -> None:
        start, stop = fragment.offset, fragment.offset + len(fragment.data)
        apart = []
        for left, right in self._pieces:
            if right < start or left > stop:
                apart.append((left, right))
            else:
                start, stop = min(start, left), max(stop, right)
        if len(apart) >= _MAX_PIECES:
            return
        self.data[fragment.offset : fragment.offset + len(fragment.data)] = fragment.data
        self._pieces = sorted([*apart, (start, stop)])

    @property
    def complete(self) -> bool:
        return self._pieces == [(0, self.length)]


class Outcome(enum.Enum):
    """What a fragment was good for."""

    PROGRESS = enum.auto()
    """It completed the message that was awaited."""
    KEPT = enum.auto()
    REPEATED = enum.auto()
    """It belongs to a message that was complete long ago: the peer repeats a flight."""
    DROPPED = enum.auto()


class HandshakeReassembler:
    """Makes whole messages of fragments; holds a bounded amount whatever comes."""

    __slots__ = ("_assemblies", "_ready", "next_seq")

    def __init__(self, next_seq: int = 0) -> None:
        self.next_seq = next_seq
        """The message_seq that is awaited."""
        self._assemblies: dict[int, _Assembly] = {}
        self._ready: list[tuple[int, bytes]] = []

    def add(self, fragment: Fragment) -> Outcome:
        """Take a fragment; afterwards `take_messages` has what became complete."""
        ahead = fragment.message_seq - self.next_seq
        if ahead < 0:
            return Outcome.REPEATED
        if ahead >= _MAX_AHEAD:
            return Outcome.DROPPED
        assembly = self._assemblies.get(fragment.message_seq)
        if assembly is None or (assembly.message_type, assembly.length) != fragment[:2]:
            # Where two disagree about a message one of them is forged, and nobody can tell which:
            # the later one wins, so that a peer that repeats itself gets through in the end.
            assembly = self._assemblies[fragment.message_seq] = _Assembly(fragment)
        assembly.add(fragment)
        if ahead or not assembly.complete:
            return Outcome.KEPT
        while (done := self._assemblies.get(self.next_seq)) is not None and done.complete:
            del self._assemblies[self.next_seq]
            message = _encode_fragment(
                done.message_type, done.length, self.next_seq, 0, bytes(done.data)
            )
            self._ready.append((done.message_type, message))
            self.next_seq += 1
        return Outcome.PROGRESS

    def take_messages(self) -> list[tuple[int, bytes]]:
        """Type and bytes (with the header of an unfragmented message) of what is complete."""
        ready, self._ready = self._ready, []
        return ready


class FlightRecord(NamedTuple):
    """A record of ours before it gets its number; a handshake message is whole."""

    content_type: int
    epoch: int
    payload: bytes


class PlaintextNumbers:
    """The record numbers of epoch 0, which must not repeat either (RFC 6347 §4.1)."""

    __slots__ = ("next",)

    def __init__(self, first: int = 0) -> None:
        self.next = first

    def take(self) -> int:
        self.next += 1
        return self.next - 1


def encode_flight(
    records: Iterable[FlightRecord],
    numbers: PlaintextNumbers,
    protection: RecordProtection | None,
    max_datagram_size: int,
) -> list[bytes]:
    """Datagrams of a flight: as many records in each as go in, messages cut where they must be.

    ``protection`` encrypts what belongs to epoch 1.
    """
    datagrams: list[bytes] = []
    current = b""
    for record in records:
        if record.epoch:
            assert protection is not None
            (encoded,) = protection.protect([record.payload], record.content_type)
            pieces: Iterable[bytes] = (encoded,)
        elif record.content_type == ContentType.HANDSHAKE:
            pieces = _cut(record.payload, numbers, len(current), max_datagram_size)
        else:
            pieces = (encode_record(record.content_type, numbers.take(), record.payload),)
        for piece in pieces:
            if current and len(current) + len(piece) > max_datagram_size:
                datagrams.append(current)
                current = b""
            current += piece
    if current:
        datagrams.append(current)
    return datagrams


def _cut(
    message: bytes, numbers: PlaintextNumbers, used: int, max_datagram_size: int
) -> Iterator[bytes]:
    """Records that hold a message: the first one fills up the datagram of which ``used`` is
    taken.
    """
    kind, high, low, seq = _HEADER.unpack_from(message)[:4]
    body = message[HANDSHAKE_HEADER_SIZE:]
    overhead = RECORD_HEADER_SIZE + HANDSHAKE_HEADER_SIZE
    room = max_datagram_size - used - overhead
    if room < min(_LEAST_PIECE, len(body)):
        room = max_datagram_size - overhead
    offset = 0
    while True:
        fragment = _encode_fragment(
            kind, high << 16 | low, seq, offset, body[offset : offset + room]
        )
        yield encode_record(ContentType.HANDSHAKE, numbers.take(), fragment)
        offset += room
        if offset >= len(body):
            return
        room = max_datagram_size - overhead
