"""The DTLS 1.2 record layer: framing, replay protection and the ciphers (RFC 6347 §4.1).

OpenSSL does the handshake; the records that come after it are protected here, with the keys that
the handshake agreed on and with the AEAD primitives of `cryptography`.  This has two reasons.  A
last flight that was lost has to be sent again under new record numbers, when virtual time says
so, which OpenSSL does by the wall clock only; and a record costs a third of what the way through
an OpenSSL connection costs, whose memory can be given back once the handshake is done.

Only AEAD cipher suites with ephemeral ECDH are known, and one epoch: there is no renegotiation.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterable, Iterator, Sequence
from struct import Struct
from typing import Any, Final, NamedTuple, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

__all__ = [
    "CIPHER_SUITES",
    "LAST_FOR_PACKETS",
    "MAX_PLAINTEXT",
    "MAX_RECORDS",
    "RECORD_HEADER_SIZE",
    "AlertDescription",
    "CipherSuite",
    "ContentType",
    "Record",
    "RecordProtection",
    "ReplayWindow",
    "derive_protections",
    "encode_alert",
    "encode_record",
    "split_records",
]

RECORD_HEADER_SIZE: Final = 13
MAX_PLAINTEXT: Final = 1 << 14
MAX_RECORDS: Final = 16
"""Most records of a datagram that are looked at: flights have up to five, strangers send thousands."""
_TAG_SIZE: Final = 16
_DTLS_1_2: Final = 0xFEFD
_DTLS_1_0: Final = 0xFEFF
_EPOCH_SHIFT: Final = 48
_FIRST_OF_EPOCH_1: Final = 1 << _EPOCH_SHIFT
_NEXT_OF_EPOCH_1: Final = _FIRST_OF_EPOCH_1 + 1
LAST_FOR_PACKETS: Final = _FIRST_OF_EPOCH_1 - (1 << 20)
"""Where an association ends, as numbers may not begin anew (RFC 6347 §4.1): what a batch and some alerts
may take is left."""

# type, version, epoch and sequence number as one number, length
_HEADER: Final = Struct(">BHQH")
# ... and the explicit part of a GCM nonce
_HEADER_AND_NONCE: Final = Struct(">BHQHQ")
# epoch and sequence number, type, version, length of the plaintext (RFC 5246 §6.2.3.3)
_ADDITIONAL_DATA: Final = Struct(">QBHH")


class ContentType:
    """What a record carries (RFC 5246 §6.2.1)."""

    CHANGE_CIPHER_SPEC: Final = 20
    ALERT: Final = 21
    HANDSHAKE: Final = 22
    APPLICATION_DATA: Final = 23


class AlertDescription:
    """The alerts that this library sends or tells apart (RFC 5246 §7.2)."""

    CLOSE_NOTIFY: Final = 0
    HANDSHAKE_FAILURE: Final = 40
    BAD_CERTIFICATE: Final = 42
    USER_CANCELED: Final = 90


class Record(NamedTuple):
    """One record as it is on the wire: protected, where its epoch is."""

    content_type: int
    epoch: int
    sequence_number: int
    fragment: bytes
    encoded: bytes


def split_records(datagram: bytes) -> Iterator[Record]:
    """The records of a datagram, up to the first that is none (RFC 6347 §4.1.1)."""
    offset, end = 0, len(datagram)
    for _ in range(MAX_RECORDS):
        if end - offset < RECORD_HEADER_SIZE:
            return
        content_type, version, number, length = _HEADER.unpack_from(datagram, offset)
        start = offset + RECORD_HEADER_SIZE
        stop = start + length
        # RFC 6347 §4.1: hellos may still have the older version, but what is protected may not
        oldest = _DTLS_1_0 if number < _FIRST_OF_EPOCH_1 else _DTLS_1_2
        if version not in (_DTLS_1_2, oldest) or stop > end:
            return
        yield Record(
            content_type,
            number >> _EPOCH_SHIFT,
            number & (_FIRST_OF_EPOCH_1 - 1),
            datagram[start:stop],
            datagram[offset:stop],
        )
        offset = stop


def encode_record(
    content_type: int, sequence_number: int, fragment: bytes, *, version: int = _DTLS_1_2
) -> bytes:
    """An unprotected record: epoch 0."""
    return _HEADER.pack(content_type, version, sequence_number, len(fragment)) + fragment


def encode_alert(description: int) -> bytes:
    """The two bytes of an alert; close_notify and user_canceled are warnings (RFC 5246 §7.2.1)."""
    warnings = (AlertDescription.CLOSE_NOTIFY, AlertDescription.USER_CANCELED)
    return bytes((1 if description in warnings else 2, description))


class ReplayWindow:
    """Remembers which record numbers were seen (RFC 6347 §4.1.2.6).

    Wider than the 64 that the RFC prefers: a batch that was reordered on its way through several
    queues should not be lost.
    """

    __slots__ = ("_seen", "highest")

    SIZE: Final = 1024
    _MASK: Final = (1 << SIZE) - 1

    def __init__(self) -> None:
        self.highest = -1
        """The highest number that was seen."""
        self._seen = 0  # bit n: highest - n was seen

    def is_new(self, sequence_number: int) -> bool:
        """Whether the record may be looked at: neither seen before nor too old to tell."""
        age = self.highest - sequence_number
        return age < 0 or (age < self.SIZE and not self._seen >> age & 1)

    def mark(self, sequence_number: int) -> None:
        """The record was genuine: take its number."""
        age = self.highest - sequence_number
        if age < 0:
            # A jump may be as large as the peer likes: never shift by more than the window.
            self._seen = (self._seen << min(-age, self.SIZE) | 1) & self._MASK
            self.highest = sequence_number
        else:
            self._seen |= 1 << age

    def mark_up_to(self, number: int) -> None:
        """The records after `highest` up to below ``number`` were genuine, every one."""
        count = number - self.highest - 1
        if count:
            self._seen = (self._seen << count | (1 << count) - 1) & self._MASK
            self.highest = number - 1


class _Aead(Protocol):
    def __init__(self, key: bytes) -> None: ...
    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes: ...
    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes: ...


class CipherSuite(NamedTuple):
    """What a cipher suite stands for."""

    aead: type[_Aead]
    key_size: int
    fixed_nonce_size: int
    """Bytes of the nonce that come from the handshake; the rest of 12 is in each record."""
    hash_function: Callable[..., Any]


_AES_128 = CipherSuite(AESGCM, 16, 4, hashlib.sha256)
_AES_256 = CipherSuite(AESGCM, 32, 4, hashlib.sha384)
_CHACHA = CipherSuite(ChaCha20Poly1305, 32, 12, hashlib.sha256)

CIPHER_SUITES: Final[dict[str, CipherSuite]] = {
    # By OpenSSL's names, in the order in which they are offered.  The RSA ones serve peers whose
    # certificate is RSA: forward secrecy and AEAD are the same.
    "ECDHE-ECDSA-AES128-GCM-SHA256": _AES_128,
    "ECDHE-ECDSA-AES256-GCM-SHA384": _AES_256,
    "ECDHE-ECDSA-CHACHA20-POLY1305": _CHACHA,
    "ECDHE-RSA-AES128-GCM-SHA256": _AES_128,
    "ECDHE-RSA-AES256-GCM-SHA384": _AES_256,
    "ECDHE-RSA-CHACHA20-POLY1305": _CHACHA,
}


class RecordProtection:
    """One direction's keys and record numbers in epoch 1.

    `protect` and `unprotect` are where every packet of a WebRTC peer passes: they work on batches
    and hold what they need in local names.
    """

    __slots__ = (
        "_aead",
        "_explicit",
        "_fixed_nonce",
        "forged",
        "next_sequence_number",
        "overhead",
        "window",
    )

    def __init__(self, suite: CipherSuite, key: bytes, fixed_nonce: bytes) -> None:
        self._aead = suite.aead(key)
        self._fixed_nonce = fixed_nonce
        self._explicit = len(fixed_nonce) < 12
        self.overhead = RECORD_HEADER_SIZE + _TAG_SIZE + (12 - len(fixed_nonce))
        """How many bytes a record is longer than what it carries."""
        self.next_sequence_number = 0
        self.window = ReplayWindow()
        self.forged = 0
        """Records whose MAC was wrong."""

    def protect(
        self, fragments: Iterable[bytes], content_type: int = ContentType.APPLICATION_DATA
    ) -> list[bytes]:
        """One record for each of ``fragments``, under the next numbers."""
        if not self._explicit:
            return [self._protect_implicit(fragment, content_type) for fragment in fragments]
        number = self.next_sequence_number + _FIRST_OF_EPOCH_1
        nonce = self._fixed_nonce
        encrypt = self._aead.encrypt
        header, additional_data = _HEADER_AND_NONCE.pack, _ADDITIONAL_DATA.pack
        records = []
        for fragment in fragments:
            size = len(fragment)
            # RFC 5288 §3 wants the explicit part never to repeat: the record's own number never
            # does.
            head = header(content_type, _DTLS_1_2, number, size + 24, number)
            aad = additional_data(number, content_type, _DTLS_1_2, size)
            records.append(head + encrypt(nonce + head[13:], fragment, aad))
            number += 1
        self.next_sequence_number = number - _FIRST_OF_EPOCH_1
        return records

    def _protect_implicit(self, fragment: bytes, content_type: int) -> bytes:
        number = self.next_sequence_number + _FIRST_OF_EPOCH_1
        self.next_sequence_number += 1
        size = len(fragment)
        aad = _ADDITIONAL_DATA.pack(number, content_type, _DTLS_1_2, size)
        head = _HEADER.pack(content_type, _DTLS_1_2, number, size + _TAG_SIZE)
        return head + self._aead.encrypt(self._implicit_nonce(number), fragment, aad)

    def _implicit_nonce(self, number: int) -> bytes:
        # RFC 7905 §2: the fixed nonce xor the record's number
        return (int.from_bytes(self._fixed_nonce, "big") ^ number).to_bytes(12, "big")

    def unprotect(self, record: Record) -> bytes | None:
        """What a record of epoch 1 carries, or None if it is forged or was seen before."""
        sequence_number = record.sequence_number
        if not self.window.is_new(sequence_number):
            return None
        plaintext = self.open(record)
        if plaintext is not None:
            self.window.mark(sequence_number)
        return plaintext

    def open(self, record: Record) -> bytes | None:
        """Like `unprotect` without looking at the record's number."""
        number = record.epoch << _EPOCH_SHIFT | record.sequence_number
        fragment = record.fragment
        if self._explicit:
            nonce, sealed = self._fixed_nonce + fragment[:8], fragment[8:]
        else:
            nonce, sealed = self._implicit_nonce(number), fragment
        size = len(sealed) - _TAG_SIZE
        if size < 0 or size > MAX_PLAINTEXT:
            return None
        aad = _ADDITIONAL_DATA.pack(number, record.content_type, _DTLS_1_2, size)
        try:
            return self._aead.decrypt(nonce, sealed, aad)
        except InvalidTag:
            self.forged += 1
            return None

    def unprotect_packets(self, datagrams: Sequence[bytes], index: int) -> list[bytes]:
        """The fast way: datagrams that are exactly one application data record each, with AES-GCM.

        It ends at the first that is anything else, forged or seen before: the caller then takes the
        slow way, which tells them apart.  One plaintext for each datagram before that.
        """
        packets: list[bytes] = []
        nonce, window = self._fixed_nonce, self.window
        # In a run of records that begins later the numbers of epoch 1 could end: none is of epoch 2.
        if not self._explicit or window.highest >= LAST_FOR_PACKETS:
            return packets
        decrypt, header, aad = self._aead.decrypt, _HEADER.unpack_from, _ADDITIONAL_DATA.pack
        expected = window.highest + _NEXT_OF_EPOCH_1
        for datagram in datagrams[index:] if index else datagrams:
            size = len(datagram) - 37
            if not 0 <= size <= MAX_PLAINTEXT:
                break
            content_type, version, number, length = header(datagram)
            if content_type != 23 or version != _DTLS_1_2 or length != size + 24:
                break
            if number != expected:
                if not _FIRST_OF_EPOCH_1 <= number < _FIRST_OF_EPOCH_1 + LAST_FOR_PACKETS:
                    break
                window.mark_up_to(expected - _FIRST_OF_EPOCH_1)
                if not window.is_new(number - _FIRST_OF_EPOCH_1):
                    break
            try:
                packets.append(
                    decrypt(
                        nonce + datagram[13:21], datagram[21:], aad(number, 23, _DTLS_1_2, size)
                    )
                )
            except InvalidTag:
                break
            if number == expected:
                expected += 1
            else:
                window.mark(number - _FIRST_OF_EPOCH_1)
                expected = window.highest + _NEXT_OF_EPOCH_1
        window.mark_up_to(expected - _FIRST_OF_EPOCH_1)
        return packets


def _pseudo_random(
    secret: bytes, label: bytes, seed: bytes, size: int, hash_function: Callable[..., Any]
) -> bytes:
    """The PRF of RFC 5246 §5."""
    seed = label + seed
    block, output = seed, b""
    while len(output) < size:
        block = hmac.digest(secret, block, hash_function)
        output += hmac.digest(secret, block + seed, hash_function)
    return output[:size]


def derive_protections(
    cipher_name: str, master_secret: bytes, client_random: bytes, server_random: bytes
) -> tuple[RecordProtection, RecordProtection]:
    """The client's and the server's direction, from what the handshake agreed on (RFC 5246
    §6.3).
    """
    suite = CIPHER_SUITES[cipher_name]
    key, nonce = suite.key_size, suite.fixed_nonce_size
    block = _pseudo_random(
        master_secret,
        b"key expansion",
        server_random + client_random,
        2 * (key + nonce),
        suite.hash_function,
    )
    nonces = block[2 * key :]
    return (
        RecordProtection(suite, block[:key], nonces[:nonce]),
        RecordProtection(suite, block[key : 2 * key], nonces[nonce:]),
    )
