"""Type-length-value framing: chunks, parameters and error causes are all built of it.

RFC 9260 §3.2 and §3.2.1: the length counts the header and the value but not the padding to a
multiple of four bytes.  Where TLVs are nested, the outer length counts the padding between the
inner ones, and may or may not count the padding after the last of them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from struct import Struct
from typing import Any, Final

__all__ = [
    "MAX_ENTRIES",
    "MAX_LENGTH",
    "MAX_TLVS",
    "PADDING",
    "DecodeError",
    "decode_tlvs",
    "encode_chunk",
    "encode_tlv",
    "join_tlvs",
    "pack_fields",
    "pack_u16s",
    "unpack_exact",
    "unpack_prefix",
    "unpack_u16s",
]

MAX_LENGTH: Final = 0xFFFF
"""The largest length, header included, that a chunk, parameter or error cause can state."""

MAX_TLVS: Final = 128
"""Parameters in a chunk, or error causes, that are read: more are an attack on our time."""

MAX_ENTRIES: Final = 1024
"""Entries that are read of a list that a chunk may contain (gap ack blocks, duplicates, streams)."""

PADDING: Final = (b"", b"\0\0\0", b"\0\0", b"\0")
"""The padding that follows n bytes is `PADDING[n & 3]`."""

_U16: Final = Struct(">H")
_TLV_HEADER: Final = Struct(">HH")
_CHUNK_HEADER: Final = Struct(">BBH")


class DecodeError(ValueError):
    """Bytes from the peer are not what the RFC says they should be.

    The only exception that decoding raises, whatever the bytes are.
    """


def decode_tlvs(data: bytes) -> list[tuple[int, bytes]]:
    """Split a sequence of parameters or error causes into (type, value) pairs (RFC 9260 §3.2.1).

    The padding after the last one may be missing.  Raises DecodeError for a length below four, a
    value that goes beyond the end, a rest too short to be a header, or more than MAX_TLVS.
    """
    found: list[tuple[int, bytes]] = []
    offset, end = 0, len(data)
    while offset < end:
        if end - offset < 4:
            raise DecodeError("a parameter header is cut short")
        kind, length = _TLV_HEADER.unpack_from(data, offset)
        if length < 4:
            raise DecodeError(f"parameter {kind:#06x} states length {length}")
        if length > end - offset:
            raise DecodeError(f"parameter {kind:#06x} goes beyond the end of what holds it")
        if len(found) == MAX_TLVS:
            raise DecodeError(f"more than {MAX_TLVS} parameters")
        found.append((kind, data[offset + 4 : offset + length]))
        offset += length + 3 & ~3
    return found


def encode_tlv(kind: int, value: bytes) -> bytes:
    """Encode one parameter or error cause, without padding.

    Raises ValueError where it would be longer than MAX_LENGTH or a field does not fit.
    """
    length = 4 + len(value)
    if length > MAX_LENGTH:
        raise ValueError(f"a parameter or error cause of {length} bytes exceeds {MAX_LENGTH}")
    return pack_fields(_TLV_HEADER, kind, length) + value


def join_tlvs(encoded: Iterable[bytes]) -> bytes:
    """Put encoded parameters or error causes one after the other.

    Each is padded but the last: its padding belongs to whatever holds it, as the chunk length does
    not count it (RFC 9260 §3.2).
    """
    parts: list[bytes] = []
    for item in encoded:
        parts += (item, PADDING[len(item) & 3])
    return b"".join(parts[:-1])


def encode_chunk(kind: int, flags: int, value: bytes) -> bytes:
    """Encode a whole chunk, padding included (RFC 9260 §3.2).

    Raises ValueError where it would be longer than MAX_LENGTH or a field does not fit.
    """
    length = 4 + len(value)
    if length > MAX_LENGTH:
        raise ValueError(f"a chunk of {length} bytes exceeds {MAX_LENGTH}")
    return pack_fields(_CHUNK_HEADER, kind, flags, length) + value + PADDING[length & 3]


def pack_fields(layout: Struct, *fields: int) -> bytes:
    """Pack local values; ValueError where one is too large, or negative, for its field."""
    try:
        return layout.pack(*fields)
    except struct.error as error:
        raise ValueError(f"not encodable: {error}") from None


def pack_u16s(numbers: Sequence[int]) -> bytes:
    """Pack a list of 16-bit numbers; ValueError where one does not fit."""
    return b"".join([pack_fields(_U16, number) for number in numbers])


def unpack_u16s(data: bytes) -> tuple[int, ...]:
    """Unpack a list of 16-bit numbers; DecodeError where its length is odd.

    Of a list that is too long there is one more than MAX_ENTRIES, so that this can be seen.
    """
    if len(data) & 1:
        raise DecodeError("a list of 16-bit numbers has an odd length")
    count = min(len(data) >> 1, MAX_ENTRIES + 1)
    return struct.unpack_from(f">{count}H", data)


def unpack_exact(layout: Struct, value: bytes) -> tuple[Any, ...]:
    """Unpack a value whose size is fixed; DecodeError where it has any other size."""
    if len(value) != layout.size:
        raise DecodeError(f"{len(value)} bytes where there should be {layout.size}")
    return layout.unpack(value)


def unpack_prefix(layout: Struct, value: bytes) -> tuple[Any, ...]:
    """Unpack the fixed part at the start of a value; DecodeError where it is too short for that."""
    if len(value) < layout.size:
        raise DecodeError(f"{len(value)} bytes where there should be {layout.size} or more")
    return layout.unpack_from(value)
