"""DATA, I-DATA and SACK chunks as bytes: their layouts and flags, and how they are made of numbers.

Every packet of data is one of these, so they need no object to be made, and the classes of `data_chunks`
are made of the same.  All serial numbers are as on the wire, and what is made is padded.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import lru_cache
from struct import Struct
from typing import Final

from .serial import MASK32
from .tlv import PADDING

__all__ = [
    "BEGINNING",
    "DATA_HEADER_SIZE",
    "DATA_LAYOUT",
    "ENDING",
    "FRAGMENT_FLAGS",
    "IMMEDIATE",
    "I_DATA_HEADER_SIZE",
    "I_DATA_LAYOUT",
    "SACK_HEADER_SIZE",
    "SACK_LAYOUT",
    "UNORDERED",
    "WHOLE",
    "encode_data",
    "encode_data_run",
    "encode_i_data",
    "encode_i_data_run",
    "encode_sack",
    "row_of_u16",
]

ENDING: Final = 0x01
"""Flag E of DATA and I-DATA: the last fragment of a message."""
BEGINNING: Final = 0x02
"""Flag B of DATA and I-DATA: the first fragment of a message."""
WHOLE: Final = BEGINNING | ENDING
"""Flags of a message in one piece."""
UNORDERED: Final = 0x04
"""Flag U of DATA and I-DATA."""
IMMEDIATE: Final = 0x08
"""Flag I of DATA and I-DATA: the SACK should not be delayed (RFC 7053)."""

FRAGMENT_FLAGS: Final = tuple(
    [
        tuple([bool(bits & flag) for flag in (UNORDERED, BEGINNING, ENDING, IMMEDIATE)])
        for bits in range(16)
    ]
)
"""(unordered, beginning, ending, immediate) for the low four flag bits of DATA and I-DATA."""

DATA_HEADER_SIZE: Final = 16
"""Bytes of a DATA chunk before its payload."""
I_DATA_HEADER_SIZE: Final = 20
"""Bytes of an I-DATA chunk before its payload."""
SACK_HEADER_SIZE: Final = 16
"""Bytes of a SACK chunk before its gap ack blocks and duplicate TSNs."""

DATA_LAYOUT: Final = Struct(">BBHIHHI")
"""A DATA chunk up to its payload: type, flags, length, TSN, stream id, SSN, PPID."""
I_DATA_LAYOUT: Final = Struct(">BBHIHHII")
"""An I-DATA chunk up to its payload: type, flags, length, TSN, stream id, 0, MID, PPID or FSN."""

SACK_LAYOUT: Final = Struct(">BBHIIHH")

_pack_data = DATA_LAYOUT.pack
_pack_i_data = I_DATA_LAYOUT.pack
_pack_sack = SACK_LAYOUT.pack
_pack_u32 = Struct(">I").pack


@lru_cache(1024)
def row_of_u16(count: int) -> Struct:
    return Struct(f">{count}H")


def encode_data(flags: int, tsn: int, stream_id: int, ssn: int, ppid: int, payload: bytes) -> bytes:
    """Encode a DATA chunk, padding included (RFC 9260 §3.3.1).

    `flags` is made of ENDING, BEGINNING, UNORDERED and IMMEDIATE.  Raises ValueError where a number
    or the payload (65519 bytes at most) is too large for its field.
    """
    size = len(payload)
    try:
        chunk = _pack_data(0, flags, 16 + size, tsn, stream_id, ssn, ppid) + payload
    except struct.error as error:
        raise ValueError(f"not encodable as a DATA chunk: {error}") from None
    return chunk + PADDING[size & 3] if size & 3 else chunk


def encode_data_run(
    flags: int, tsn: int, stream_id: int, ssn: int, ppid: int, payload: bytes, offsets: range
) -> list[bytes]:
    """Encode successive DATA chunks of a message, each of ``offsets.step`` bytes of its payload.

    That is a multiple of four.  `tsn` is that of the first.  No field may be too large.
    """
    size = offsets.step
    length = DATA_HEADER_SIZE + size
    return [
        _pack_data(0, flags, length, tsn + index & MASK32, stream_id, ssn, ppid)
        + payload[offset : offset + size]
        for index, offset in enumerate(offsets)
    ]


def encode_i_data_run(
    flags: int, tsn: int, stream_id: int, mid: int, fsn: int, payload: bytes, offsets: range
) -> list[bytes]:
    """The same as I-DATA chunks; `fsn` is that of the first as well, which does not begin a message."""
    size = offsets.step
    length = I_DATA_HEADER_SIZE + size
    return [
        _pack_i_data(
            64, flags, length, tsn + index & MASK32, stream_id, 0, mid, fsn + index & MASK32
        )
        + payload[offset : offset + size]
        for index, offset in enumerate(offsets)
    ]


def encode_i_data(
    flags: int, tsn: int, stream_id: int, mid: int, ppid_or_fsn: int, payload: bytes
) -> bytes:
    """Encode an I-DATA chunk, padding included (RFC 8260 §2.1).

    With BEGINNING in `flags`, `ppid_or_fsn` is the PPID, otherwise the FSN.  Raises ValueError
    where a number or the payload (65515 bytes at most) is too large for its field.
    """
    size = len(payload)
    try:
        chunk = _pack_i_data(64, flags, 20 + size, tsn, stream_id, 0, mid, ppid_or_fsn) + payload
    except struct.error as error:
        raise ValueError(f"not encodable as an I-DATA chunk: {error}") from None
    return chunk + PADDING[size & 3] if size & 3 else chunk


def encode_sack(
    cumulative_tsn_ack: int,
    a_rwnd: int,
    gap_ack_offsets: Sequence[int],
    duplicate_tsns: Sequence[int],
) -> bytes:
    """Encode a SACK chunk (RFC 9260 §3.3.4); ValueError where a number or a list does not fit.

    The offsets are the starts and ends of gap ack blocks in turn.
    """
    n, m = len(gap_ack_offsets) >> 1, len(duplicate_tsns)
    try:
        chunk = _pack_sack(3, 0, 16 + 4 * (n + m), cumulative_tsn_ack, a_rwnd, n, m)
        if n:
            chunk += row_of_u16(2 * n).pack(*gap_ack_offsets)
        if m:
            chunk += b"".join([_pack_u32(tsn) for tsn in duplicate_tsns])
    except struct.error as error:
        raise ValueError(f"not encodable as a SACK chunk: {error}") from None
    return chunk
