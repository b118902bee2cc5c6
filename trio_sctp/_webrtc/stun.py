"""STUN messages: bytes to values and back (RFC 8489), with the attributes of ICE (RFC 8445 §16).

No state and no clock.  Whatever comes in, `StunMessage.decode` returns a value or raises
`StunDecodeError`, and nothing that is asked of the value raises afterwards: a malformed attribute
counts as one that is not there.

Only what ICE uses is here: short-term credentials, with HMAC-SHA1 as all of WebRTC has it, or with
HMAC-SHA256 where a peer begins with it.
"""

from __future__ import annotations

import enum
import hashlib
import hmac
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from struct import Struct
from typing import Final, TypeAlias

__all__ = [
    "Address",
    "Attribute",
    "MessageClass",
    "StunDecodeError",
    "StunMessage",
    "decode_xor_address",
    "encode_message",
    "encode_xor_address",
    "error_code_value",
    "is_stun",
]

Address: TypeAlias = tuple[str, int]
"""IP address, as `ipaddress` writes it, and port."""

BINDING: Final = 0x001
MAGIC_COOKIE: Final = 0x2112A442
HEADER_SIZE: Final = 20
_MAX_ATTRIBUTES: Final = 64
_FINGERPRINT_XOR: Final = 0x5354554E
_HEADER: Final = Struct(">HHI12s")
_TLV: Final = Struct(">HH")


class StunDecodeError(ValueError):
    """The bytes are not a STUN message."""


class MessageClass(enum.IntEnum):
    """RFC 8489 §5."""

    REQUEST = 0
    INDICATION = 1
    SUCCESS = 2
    ERROR = 3


class Attribute:
    """Attribute types (RFC 8489 §18.3, RFC 8445 §16.1)."""

    MAPPED_ADDRESS: Final = 0x0001
    USERNAME: Final = 0x0006
    MESSAGE_INTEGRITY: Final = 0x0008
    ERROR_CODE: Final = 0x0009
    UNKNOWN_ATTRIBUTES: Final = 0x000A
    REALM: Final = 0x0014
    NONCE: Final = 0x0015
    MESSAGE_INTEGRITY_SHA256: Final = 0x001C
    PASSWORD_ALGORITHM: Final = 0x001D
    USERHASH: Final = 0x001E
    XOR_MAPPED_ADDRESS: Final = 0x0020
    PRIORITY: Final = 0x0024
    USE_CANDIDATE: Final = 0x0025
    SOFTWARE: Final = 0x8022
    FINGERPRINT: Final = 0x8028
    ICE_CONTROLLED: Final = 0x8029
    ICE_CONTROLLING: Final = 0x802A


_COMPREHENSION_OPTIONAL: Final = 0x8000
_KNOWN: Final = frozenset(
    value for name, value in vars(Attribute).items() if not name.startswith("_")
)
_INTEGRITY: Final = (Attribute.MESSAGE_INTEGRITY, Attribute.MESSAGE_INTEGRITY_SHA256)


def is_stun(datagram: bytes) -> bool:
    """Whether a datagram is for STUN, among what else may arrive at a port (RFC 9443 §3)."""
    return len(datagram) >= HEADER_SIZE and datagram[0] < 4 and datagram[4:8] == b"\x21\x12\xa4\x42"


@dataclass(slots=True)
class StunMessage:
    """A message that was received."""

    message_class: MessageClass
    method: int
    transaction_id: bytes
    attributes: dict[int, bytes]
    """The first of each type (RFC 8489 §14), without what follows the message's integrity."""
    raw: bytes
    _integrity: tuple[int, int] | None = None  # type and offset
    _fingerprint_offset: int | None = None

    @classmethod
    def decode(cls, data: bytes) -> StunMessage:
        """`StunDecodeError` for anything but one whole message, and for a wrong FINGERPRINT."""
        if len(data) < HEADER_SIZE:
            raise StunDecodeError(f"{len(data)} bytes are less than a header")
        kind, length, cookie, transaction_id = _HEADER.unpack_from(data)
        if kind & 0xC000 or cookie != MAGIC_COOKIE:
            raise StunDecodeError("not a STUN header")
        if length % 4 or length != len(data) - HEADER_SIZE:
            raise StunDecodeError(f"length {length} in a message of {len(data)} bytes")
        message = cls(_class_of(kind), _method_of(kind), transaction_id, {}, data)
        message._decode_attributes()
        return message

    def _decode_attributes(self) -> None:
        data, position, end = self.raw, HEADER_SIZE, len(self.raw)
        count = 0
        while position < end:
            kind, size = _TLV.unpack_from(data, position)
            start = position + 4
            count += 1
            if start + size > end or count > _MAX_ATTRIBUTES:
                raise StunDecodeError("attributes do not fit the message")
            self._take(kind, data[start : start + size], position)
            position = start + size + (-size & 3)
        if self._fingerprint_offset is not None and not self._fingerprint_is_good():
            raise StunDecodeError("wrong FINGERPRINT")

    def _take(self, kind: int, value: bytes, offset: int) -> None:
        if self._fingerprint_offset is not None:
            raise StunDecodeError("FINGERPRINT is not last")  # RFC 8489 §14.7
        if kind == Attribute.FINGERPRINT:
            self._fingerprint_offset = offset
        elif kind == Attribute.MESSAGE_INTEGRITY_SHA256:
            # It counts, also behind MESSAGE-INTEGRITY (RFC 8489 §9.1.3).
            if self._integrity is None or self._integrity[0] != kind:
                self._integrity = kind, offset
        elif self._integrity is not None:
            return  # RFC 8489 §14.5: nothing protects it
        elif kind == Attribute.MESSAGE_INTEGRITY:
            self._integrity = kind, offset
            return
        if kind not in _INTEGRITY:
            self.attributes.setdefault(kind, value)

    def _fingerprint_is_good(self) -> bool:
        value = self.attributes[Attribute.FINGERPRINT]
        crc = zlib.crc32(self.raw[: self._fingerprint_offset]) ^ _FINGERPRINT_XOR
        return value == crc.to_bytes(4, "big")

    # -- what it says --------------------------------------------------------------------------

    @property
    def has_integrity(self) -> bool:
        """Whether there is a MESSAGE-INTEGRITY of either kind."""
        return self._integrity is not None

    @property
    def integrity_is_sha256(self) -> bool:
        """Whether an answer must use MESSAGE-INTEGRITY-SHA256, too (RFC 8489 §9.1.3)."""
        return (
            self._integrity is not None and self._integrity[0] == Attribute.MESSAGE_INTEGRITY_SHA256
        )

    def verify_integrity(self, key: bytes) -> bool:
        """Whether the sender knew ``key``; takes the same time wherever the bytes differ."""
        if self._integrity is None:
            return False
        kind, offset = self._integrity
        size = _TLV.unpack_from(self.raw, offset)[1]
        if size != (32 if kind == Attribute.MESSAGE_INTEGRITY_SHA256 else 20):
            return False
        expected = _integrity_value(self.raw[:offset], key, kind)
        return hmac.compare_digest(expected, self.raw[offset + 4 : offset + 4 + size])

    @property
    def unknown_attributes(self) -> list[int]:
        """Types that have to be understood and are not (RFC 8489 §6.3.1)."""
        return [
            kind
            for kind in self.attributes
            if kind < _COMPREHENSION_OPTIONAL and kind not in _KNOWN
        ]

    @property
    def username(self) -> str | None:
        value = self.attributes.get(Attribute.USERNAME)
        if value is None or len(value) > 513:
            return None
        return value.decode("utf-8", "replace")

    @property
    def priority(self) -> int | None:
        """The candidate priority of a check (RFC 8445 §7.1.1)."""
        return self._number(Attribute.PRIORITY, 4)

    @property
    def ice_controlling(self) -> int | None:
        """The tie-breaker of a controlling agent (RFC 8445 §7.1.3)."""
        return self._number(Attribute.ICE_CONTROLLING, 8)

    @property
    def ice_controlled(self) -> int | None:
        """The tie-breaker of a controlled agent."""
        return self._number(Attribute.ICE_CONTROLLED, 8)

    @property
    def use_candidate(self) -> bool:
        """Whether the check nominates its pair (RFC 8445 §7.1.2)."""
        return Attribute.USE_CANDIDATE in self.attributes

    @property
    def error_code(self) -> int | None:
        """Of an error response (RFC 8489 §14.8)."""
        value = self.attributes.get(Attribute.ERROR_CODE)
        if value is None or len(value) < 4 or not 3 <= value[2] & 7 <= 6 or value[3] > 99:
            return None
        return (value[2] & 7) * 100 + value[3]

    @property
    def mapped_address(self) -> Address | None:
        """XOR-MAPPED-ADDRESS, or MAPPED-ADDRESS of an old server."""
        value = self.attributes.get(Attribute.XOR_MAPPED_ADDRESS)
        if value is not None:
            return decode_xor_address(value, self.transaction_id)
        value = self.attributes.get(Attribute.MAPPED_ADDRESS)
        return None if value is None else _decode_address(value, bytes(16))

    def _number(self, kind: int, size: int) -> int | None:
        value = self.attributes.get(kind)
        return int.from_bytes(value, "big") if value is not None and len(value) == size else None


def _class_of(kind: int) -> MessageClass:
    return MessageClass((kind >> 4 & 1) | (kind >> 7 & 2))


def _method_of(kind: int) -> int:
    return (kind & 0xF) | (kind >> 1 & 0x70) | (kind >> 2 & 0xF80)


def _kind_of(message_class: MessageClass, method: int) -> int:
    return (
        (method & 0xF)
        | (method & 0x70) << 1
        | (method & 0xF80) << 2
        | (message_class & 1) << 4
        | (message_class & 2) << 7
    )


def _xor_pad(transaction_id: bytes) -> bytes:
    return MAGIC_COOKIE.to_bytes(4, "big") + transaction_id


def encode_xor_address(address: Address, transaction_id: bytes) -> bytes:
    """The value of XOR-MAPPED-ADDRESS (RFC 8489 §14.2)."""
    packed = ip_address(address[0]).packed
    pad = _xor_pad(transaction_id)
    family = 1 if len(packed) == 4 else 2
    port = address[1] ^ MAGIC_COOKIE >> 16
    mixed = bytes(a ^ b for a, b in zip(packed, pad, strict=False))
    return bytes((0, family)) + port.to_bytes(2, "big") + mixed


def decode_xor_address(value: bytes, transaction_id: bytes) -> Address | None:
    """The address in the value of XOR-MAPPED-ADDRESS, or None if it is malformed."""
    return _decode_address(value, _xor_pad(transaction_id))


def _decode_address(value: bytes, pad: bytes) -> Address | None:
    if len(value) < 4 or (value[1], len(value)) not in ((1, 8), (2, 20)):
        return None
    port = int.from_bytes(value[2:4], "big") ^ int.from_bytes(pad[:2], "big")
    packed = bytes(a ^ b for a, b in zip(value[4:], pad, strict=False))
    host = IPv4Address(packed) if len(packed) == 4 else IPv6Address(packed)
    return str(host), port


def error_code_value(code: int, reason: str) -> bytes:
    """The value of ERROR-CODE (RFC 8489 §14.8)."""
    return bytes((0, 0, code // 100, code % 100)) + reason.encode()


def _attribute(kind: int, value: bytes) -> bytes:
    return _TLV.pack(kind, len(value)) + value + bytes(-len(value) & 3)


def _with_length(message: bytes, length: int) -> bytes:
    return message[:2] + length.to_bytes(2, "big") + message[4:]


def _integrity_value(message: bytes, key: bytes, kind: int) -> bytes:
    """Over ``message`` as if it ended with the attribute (RFC 8489 §14.5, §14.6)."""
    sha256 = kind == Attribute.MESSAGE_INTEGRITY_SHA256
    length = len(message) - HEADER_SIZE + 4 + (32 if sha256 else 20)
    function = hashlib.sha256 if sha256 else hashlib.sha1
    return hmac.digest(key, _with_length(message, length), function)


def encode_message(
    message_class: MessageClass,
    transaction_id: bytes,
    attributes: Iterable[tuple[int, bytes]] = (),
    *,
    method: int = BINDING,
    key: bytes | None = None,
    sha256: bool = False,
    fingerprint: bool = True,
) -> bytes:
    """A message; with ``key``, the password, MESSAGE-INTEGRITY is added."""
    body = b"".join(_attribute(kind, value) for kind, value in attributes)
    kind = _kind_of(message_class, method)
    message = _HEADER.pack(kind, len(body), MAGIC_COOKIE, transaction_id) + body
    if key is not None:
        integrity = _INTEGRITY[sha256]
        message += _attribute(integrity, _integrity_value(message, key, integrity))
    if fingerprint:
        message = _with_length(message, len(message) - HEADER_SIZE + 8)
        crc = zlib.crc32(message) ^ _FINGERPRINT_XOR
        return message + _attribute(Attribute.FINGERPRINT, crc.to_bytes(4, "big"))
    return _with_length(message, len(message) - HEADER_SIZE)
