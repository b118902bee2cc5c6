"""The chunks of data transfer: DATA, I-DATA, SACK, FORWARD-TSN and I-FORWARD-TSN.

These are the chunks of the hot path: plain slotted classes that are not frozen, one combined Struct
each, and `encode_data` and `encode_i_data`, which need no object at all.  All serial numbers are as
on the wire.  `encode()` gives the whole padded chunk; `decode(flags, value)` takes what the chunk
header left over and raises DecodeError.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from functools import lru_cache
from itertools import chain
from struct import Struct
from typing import ClassVar, Final, Self

from .serial import MASK32
from .tlv import MAX_ENTRIES, PADDING, DecodeError, encode_chunk, pack_fields, unpack_prefix

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
    "Data",
    "ForwardTsn",
    "IData",
    "IForwardTsn",
    "Sack",
    "encode_data",
    "encode_data_run",
    "encode_i_data",
    "encode_i_data_run",
    "encode_sack",
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

_DATA_VALUE: Final = Struct(">IHHI")
_I_DATA_VALUE: Final = Struct(">IHHII")
SACK_LAYOUT: Final = Struct(">BBHIIHH")
_SACK_VALUE: Final = Struct(">IIHH")
_MOST_OF_SACK: Final = 4 * MAX_ENTRIES
_U32: Final = Struct(">I")
_TWO_U16: Final = Struct(">HH")
_STREAM_MID: Final = Struct(">HHI")

_pack_data = DATA_LAYOUT.pack
_pack_i_data = I_DATA_LAYOUT.pack
_pack_sack = SACK_LAYOUT.pack
_pack_u32 = _U32.pack


@lru_cache(1024)
def _row_of_u16(count: int) -> Struct:
    return Struct(f">{count}H")


FRAGMENT_FLAGS: Final = tuple(
    [
        tuple([bool(bits & flag) for flag in (UNORDERED, BEGINNING, ENDING, IMMEDIATE)])
        for bits in range(16)
    ]
)
"""(unordered, beginning, ending, immediate) for the low four flag bits of DATA and I-DATA."""


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
            chunk += _row_of_u16(2 * n).pack(*gap_ack_offsets)
        if m:
            chunk += b"".join([_pack_u32(tsn) for tsn in duplicate_tsns])
    except struct.error as error:
        raise ValueError(f"not encodable as a SACK chunk: {error}") from None
    return chunk


@dataclass(slots=True)
class Data:
    """Payload Data (DATA), RFC 9260 §3.3.1: a message or a fragment of one.

    An empty payload is decoded although no peer may send it: the association has to answer it with
    a No User Data cause (§6.2).
    """

    type: ClassVar[int] = 0
    tsn: int
    stream_id: int
    ssn: int
    ppid: int
    payload: bytes
    _: KW_ONLY
    unordered: bool = False
    beginning: bool = True
    ending: bool = True
    immediate: bool = False

    def encode(self) -> bytes:
        return encode_data(
            _fragment_flags(self), self.tsn, self.stream_id, self.ssn, self.ppid, self.payload
        )

    @classmethod
    def decode(cls, flags: int, value: bytes) -> Self:
        tsn, stream_id, ssn, ppid = unpack_prefix(_DATA_VALUE, value)
        unordered, beginning, ending, immediate = FRAGMENT_FLAGS[flags & 15]
        return cls(
            tsn,
            stream_id,
            ssn,
            ppid,
            value[12:],
            unordered=unordered,
            beginning=beginning,
            ending=ending,
            immediate=immediate,
        )


@dataclass(slots=True)
class IData:
    """I-DATA, RFC 8260 §2.1: a message or a fragment of one, which others may interleave.

    The first fragment (`beginning`) carries the PPID and its FSN is 0; the others carry the FSN,
    and decode with PPID 0.
    """

    type: ClassVar[int] = 64
    tsn: int
    stream_id: int
    mid: int
    fsn: int
    ppid: int
    payload: bytes
    unordered: bool = False
    beginning: bool = True
    ending: bool = True
    immediate: bool = False

    def encode(self) -> bytes:
        shared = self.ppid if self.beginning else self.fsn
        return encode_i_data(
            _fragment_flags(self), self.tsn, self.stream_id, self.mid, shared, self.payload
        )

    @classmethod
    def decode(cls, flags: int, value: bytes) -> Self:
        tsn, stream_id, _reserved, mid, shared = unpack_prefix(_I_DATA_VALUE, value)
        unordered, beginning, ending, immediate = FRAGMENT_FLAGS[flags & 15]
        fsn, ppid = (0, shared) if beginning else (shared, 0)
        return cls(
            tsn,
            stream_id,
            mid,
            fsn,
            ppid,
            value[16:],
            unordered,
            beginning,
            ending,
            immediate,
        )


def _fragment_flags(chunk: Data | IData) -> int:
    return (
        (UNORDERED if chunk.unordered else 0)
        | (BEGINNING if chunk.beginning else 0)
        | (ENDING if chunk.ending else 0)
        | (IMMEDIATE if chunk.immediate else 0)
    )


@dataclass(slots=True, init=False)
class Sack:
    """Selective Acknowledgement (SACK), RFC 9260 §3.3.4.

    Gap ack blocks are (start, end) offsets from the cumulative TSN ack, as the peer wrote them:
    they may overlap, be out of order, or end before they start.  They are kept in one row.  Of a
    longer list the first MAX_ENTRIES are decoded: what is not reported there counts as not yet
    received.
    """

    type: ClassVar[int] = 3
    cumulative_tsn_ack: int
    a_rwnd: int
    gap_ack_offsets: tuple[int, ...]
    duplicate_tsns: Sequence[int]

    def __init__(
        self,
        cumulative_tsn_ack: int,
        a_rwnd: int,
        gap_ack_blocks: Sequence[tuple[int, int]] = (),
        duplicate_tsns: Sequence[int] = (),
    ) -> None:
        self.cumulative_tsn_ack = cumulative_tsn_ack
        self.a_rwnd = a_rwnd
        self.gap_ack_offsets = tuple(chain.from_iterable(gap_ack_blocks)) if gap_ack_blocks else ()
        self.duplicate_tsns = duplicate_tsns

    @property
    def gap_ack_blocks(self) -> Sequence[tuple[int, int]]:
        return tuple(zip(self.gap_ack_offsets[::2], self.gap_ack_offsets[1::2], strict=True))

    def encode(self) -> bytes:
        """Encode the whole chunk; ValueError where a number or a list does not fit."""
        return encode_sack(
            self.cumulative_tsn_ack, self.a_rwnd, self.gap_ack_offsets, self.duplicate_tsns
        )

    @classmethod
    def decode(cls, flags: int, value: bytes) -> Self:
        cumulative_tsn_ack, a_rwnd, n, m = unpack_prefix(_SACK_VALUE, value)
        end = 12 + 4 * n
        if len(value) != end + 4 * m:
            raise DecodeError(f"a SACK body of {len(value)} bytes for {n} gaps, {m} duplicates")
        duplicates = _U32.iter_unpack(value[end : end + _MOST_OF_SACK])
        sack = cls(cumulative_tsn_ack, a_rwnd, (), tuple(chain.from_iterable(duplicates)))
        sack.gap_ack_offsets = _row_of_u16(2 * min(n, MAX_ENTRIES)).unpack_from(value, 12)
        return sack


@dataclass(slots=True)
class ForwardTsn:
    """Forward Cumulative TSN (FORWARD TSN), RFC 3758 §3.2: nothing up to here will be sent again.

    `streams` lists (stream id, largest skipped SSN) of ordered messages.
    """

    type: ClassVar[int] = 192
    new_cumulative_tsn: int
    streams: Sequence[tuple[int, int]] = ()

    def encode(self) -> bytes:
        entries = [pack_fields(_TWO_U16, *entry) for entry in self.streams]
        return encode_chunk(
            self.type, 0, pack_fields(_U32, self.new_cumulative_tsn) + b"".join(entries)
        )

    @classmethod
    def decode(cls, flags: int, value: bytes) -> Self:
        (new_cumulative_tsn,) = unpack_prefix(_U32, value)
        if len(value) & 3:
            raise DecodeError("a FORWARD TSN ends within a stream entry")
        if len(value) > 4 + 4 * MAX_ENTRIES:
            raise DecodeError(f"a FORWARD TSN with more than {MAX_ENTRIES} streams")
        return cls(new_cumulative_tsn, tuple(_TWO_U16.iter_unpack(value[4:])))


@dataclass(slots=True)
class IForwardTsn:
    """I-FORWARD-TSN, RFC 8260 §2.3.1: as FORWARD TSN where messages are interleaved.

    `streams` lists (stream id, unordered, largest skipped MID).
    """

    type: ClassVar[int] = 194
    new_cumulative_tsn: int
    streams: Sequence[tuple[int, bool, int]] = ()

    def encode(self) -> bytes:
        entries = [pack_fields(_STREAM_MID, *entry) for entry in self.streams]
        return encode_chunk(
            self.type, 0, pack_fields(_U32, self.new_cumulative_tsn) + b"".join(entries)
        )

    @classmethod
    def decode(cls, flags: int, value: bytes) -> Self:
        (new_cumulative_tsn,) = unpack_prefix(_U32, value)
        if len(value) & 7 != 4:
            raise DecodeError("an I-FORWARD-TSN ends within a stream entry")
        if len(value) > 4 + 8 * MAX_ENTRIES:
            raise DecodeError(f"an I-FORWARD-TSN with more than {MAX_ENTRIES} streams")
        entries = _STREAM_MID.iter_unpack(value[4:])
        return cls(new_cumulative_tsn, tuple([(sid, bool(u & 1), mid) for sid, u, mid in entries]))
