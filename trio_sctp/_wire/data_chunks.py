"""The chunks of data transfer: DATA, I-DATA, SACK, FORWARD-TSN and I-FORWARD-TSN.

These are plain slotted classes that are not frozen; what makes most of them is in `data_encoding`.  All
serial numbers are as on the wire.  `encode()` gives the whole padded chunk; `decode(flags, value)` takes
what the chunk header left over and raises DecodeError.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from itertools import chain
from struct import Struct
from typing import ClassVar, Final, Self

from .data_encoding import (
    BEGINNING,
    ENDING,
    FRAGMENT_FLAGS,
    IMMEDIATE,
    UNORDERED,
    encode_data,
    encode_i_data,
    encode_sack,
    row_of_u16,
)
from .tlv import MAX_ENTRIES, DecodeError, encode_chunk, pack_fields, unpack_prefix

__all__ = ["Data", "ForwardTsn", "IData", "IForwardTsn", "Sack"]

_DATA_VALUE: Final = Struct(">IHHI")
_I_DATA_VALUE: Final = Struct(">IHHII")
_SACK_VALUE: Final = Struct(">IIHH")
_U32: Final = Struct(">I")
_MOST_OF_SACK: Final = 4 * MAX_ENTRIES
_TWO_U16: Final = Struct(">HH")
_STREAM_MID: Final = Struct(">HHI")


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


@dataclass(slots=True)
class Sack:
    """Selective Acknowledgement (SACK), RFC 9260 §3.3.4.

    `gap_ack_offsets` has the starts and ends of the gap ack blocks in turn, from the cumulative TSN
    ack on, as the peer wrote them: blocks may overlap, be out of order, or end before they start.
    Of a longer list the first MAX_ENTRIES blocks are decoded: what is not reported there counts as
    not yet received.
    """

    type: ClassVar[int] = 3
    cumulative_tsn_ack: int
    a_rwnd: int
    gap_ack_offsets: tuple[int, ...] = ()
    duplicate_tsns: Sequence[int] = ()

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
        offsets = row_of_u16(2 * min(n, MAX_ENTRIES)).unpack_from(value, 12)
        duplicates = _U32.iter_unpack(value[end : end + _MOST_OF_SACK])
        return cls(cumulative_tsn_ack, a_rwnd, offsets, tuple(chain.from_iterable(duplicates)))


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
