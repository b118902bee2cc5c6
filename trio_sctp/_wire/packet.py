"""Whole packets: common header, checksum and a row of chunks (RFC 9260 §3 and §6.8).

The hot path of both directions.  A packet is built with one copy of its chunks, and a DATA chunk is
read with one unpacking and one slice.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from itertools import islice
from struct import Struct
from typing import Final

from .chunks import (
    Abort,
    Chunk,
    Data,
    Error,
    ForwardTsn,
    IData,
    IForwardTsn,
    Init,
    InitAck,
    MalformedChunk,
    ReConfig,
    Sack,
    decode_chunk,
)
from .crc32c import crc32c, extend_crc32c
from .data_encoding import (
    DATA_HEADER_SIZE,
    DATA_LAYOUT,
    FRAGMENT_FLAGS,
    I_DATA_HEADER_SIZE,
    I_DATA_LAYOUT,
    SACK_LAYOUT,
    WHOLE,
)
from .serial import MASK16, MASK32
from .tlv import MAX_TLVS, DecodeError

__all__ = [
    "COMMON_HEADER_SIZE",
    "CommonHeader",
    "MAX_CHUNKS",
    "MAX_CONTROL_OFFSET",
    "MAX_LISTED",
    "checksum_follows",
    "checksum_ok",
    "decode_chunks",
    "decode_header",
    "encode_packet",
    "header_crc",
    "successive_payloads",
]

MAX_CHUNKS: Final = 128
"""Chunks of a packet that are read.  It bounds what a packet costs, however large it is; one for an
Ethernet has room for 73 DATA chunks."""
MAX_CONTROL_OFFSET: Final = 16_384
"""No control chunk is read that begins behind this: DATA comes last in a packet (RFC 9260 §6.10)."""
MAX_LISTED: Final = 1280
"""What the control chunks with lists in them may cost together, in entries of a FORWARD TSN.  Each may
be full if it is alone.  A packet that somebody needs has one of a kind, or two; of short FORWARD TSNs
it has up to 48, see `tx/forward_tsn`."""
COMMON_HEADER_SIZE: Final = 12
"""Bytes of a packet before its first chunk."""

_TLV_COST: Final = 9
_RECONFIG_COST: Final = MAX_LISTED - _TLV_COST * MAX_TLVS

_NO_CHECKSUM: Final = b"\0\0\0\0"

_unpack_header: Callable[[bytes], tuple[int, int, int, int]] = Struct(">HHII").unpack_from
_pack_ports_and_tag = Struct(">HHI").pack
# The checksum alone stands in little-endian order: see crc32c.py.
_pack_checksum = Struct("<I").pack
_unpack_checksum = Struct("<I").unpack_from
_unpack_data = DATA_LAYOUT.unpack_from
_unpack_i_data = I_DATA_LAYOUT.unpack_from
_unpack_sack = SACK_LAYOUT.unpack_from
_unpack_chunk_header = Struct(">BBH").unpack_from
_unpack_tsn = Struct(">I").unpack_from
_unpack_ssn = Struct(">H").unpack_from
# A chunk's header by what stays as it is, the TSN, and the number after which each is called.
_pack_next_ssn = Struct(">4sI2sH4s").pack
_pack_next_mid = Struct(">4sI4sI4s").pack
_pack_next_fsn = Struct(">4sI8sI0s").pack
_TOO_MUCH_LISTED: Final = "too much in the lists of a packet"
_WITH_LISTS: Final = frozenset(
    chunk.type for chunk in (Abort, Error, ForwardTsn, IForwardTsn, Init, InitAck, ReConfig, Sack)
)
_READ: Final = range(MAX_CHUNKS)
_new_data = Data.__new__
_new_i_data = IData.__new__


def encode_packet(
    source_port: int,
    destination_port: int,
    verification_tag: int,
    chunks: Sequence[bytes],
    *,
    zero_checksum: bool = False,
) -> bytes:
    """Build a packet of encoded, padded chunks.

    `zero_checksum` leaves the checksum 0 (RFC 9653 §5.2) instead of computing it.  Raises
    ValueError where a port or the tag is too large for its field.
    """
    header = CommonHeader(source_port, destination_port, verification_tag)
    return header.packet(b"".join(chunks), zero_checksum)


class CommonHeader:
    """The common header of all packets to one peer, and what it contributes to their checksums.

    Raises ValueError where a port or the tag is too large for its field.
    """

    __slots__ = ("_crc", "_ports_and_tag")

    def __init__(self, source_port: int, destination_port: int, verification_tag: int) -> None:
        try:
            self._ports_and_tag = _pack_ports_and_tag(
                source_port, destination_port, verification_tag
            )
        except struct.error as error:
            raise ValueError(f"not encodable as a packet: {error}") from None
        # The checksum is computed of the packet with a checksum of 0 (RFC 9260 §6.8): the header's
        # part of it is the same for all.
        self._crc = header_crc(self._ports_and_tag)

    def packet(self, body: bytes, zero_checksum: bool = False) -> bytes:
        """Build a packet of chunks that were joined."""
        if zero_checksum:
            return self._ports_and_tag + _NO_CHECKSUM + body
        return self._ports_and_tag + _pack_checksum(extend_crc32c(self._crc, body)) + body

    def packets(self, bodies: Sequence[bytes], zero_checksum: bool = False) -> list[bytes]:
        """Build a packet of each body."""
        header, crc = self._ports_and_tag, self._crc
        if zero_checksum:
            return [header + _NO_CHECKSUM + body for body in bodies]
        return [header + _pack_checksum(extend_crc32c(crc, body)) + body for body in bodies]


def decode_header(packet: bytes) -> tuple[int, int, int, int]:
    """Return source port, destination port, verification tag and checksum.

    The checksum is for looking at and for comparing with 0 (RFC 9653): it is read as the other
    fields are, while `checksum_ok` takes its bytes in their own order.  Raises DecodeError where
    there are fewer than twelve bytes, or not a multiple of four (RFC 9260 §3.2).
    """
    if len(packet) < 12 or len(packet) & 3:
        raise DecodeError(f"a packet of {len(packet)} bytes")
    return _unpack_header(packet)


def checksum_ok(packet: bytes) -> bool:
    """Whether the packet, of twelve bytes or more, carries its CRC-32C (RFC 9260 §6.8)."""
    return checksum_follows(packet, header_crc(packet[:8]))


def header_crc(ports_and_tag: bytes) -> int:
    """The CRC-32C of a common header that has these first eight bytes and no checksum yet."""
    return crc32c(ports_and_tag + _NO_CHECKSUM)


def checksum_follows(packet: bytes, crc: int) -> bool:
    """As `checksum_ok`, of a packet whose `header_crc` is known."""
    carried: int = _unpack_checksum(packet, 8)[0]
    return extend_crc32c(crc, packet[12:]) == carried


def successive_payloads(
    packets: Sequence[bytes], start: int, most: int, crc: int, *, zero_checksum: bool
) -> list[bytes]:
    """The payloads of up to ``most`` packets that do nothing but carry on the one before ``start``.

    That is a packet of one DATA or I-DATA chunk, the middle of a message or a whole, ordered one, whose
    headers are known to be right.  Those of the others are the same but for the next TSN, the next
    number of their kind, and a checksum that is right as well; `crc` is that of `checksum_follows`.
    The first packet that differs ends it.
    """
    model = packets[start - 1]
    size, prefix, head = len(model), model[:8], model[12:16]
    whole = head[1] & WHOLE == WHOLE
    if head[0] == IData.type:  # next is a MID, or in the middle of a message an FSN
        begin = COMMON_HEADER_SIZE + I_DATA_HEADER_SIZE
        at, pack = (24, _pack_next_mid) if whole else (28, _pack_next_fsn)
        mask, step = MASK32, 1
        number: int = _unpack_tsn(model, at)[0]
        before, after = model[20:at], model[at + 4 : begin]
    else:  # an SSN, which all fragments of a message have in common
        begin = COMMON_HEADER_SIZE + DATA_HEADER_SIZE
        pack, mask, step = _pack_next_ssn, MASK16, int(whole)
        number = _unpack_ssn(model, 22)[0]
        before, after = model[20:22], model[24:begin]
    end = COMMON_HEADER_SIZE + (head[2] << 8 | head[3])  # padding may follow
    tsn: int = _unpack_tsn(model, 16)[0]
    payloads: list[bytes] = []
    for packet in islice(packets, start, start + most):
        tsn = tsn + 1 & MASK32
        number = number + step & mask
        header = pack(head, tsn, before, number, after)
        if packet[12:begin] != header or packet[:8] != prefix or len(packet) != size:
            break
        payload = packet[begin:]
        if (
            not (zero_checksum and packet[8:12] == _NO_CHECKSUM)
            and extend_crc32c(extend_crc32c(crc, header), payload) != _unpack_checksum(packet, 8)[0]
        ):
            break
        payloads.append(payload if end == size else packet[begin:end])
    return payloads


def decode_chunks(packet: bytes) -> list[Chunk]:
    """Decode the chunks of a packet, in order; never raises, whatever the bytes are.

    A malformed chunk gives a MalformedChunk, which is the last of the list, as does what goes
    beyond MAX_CHUNKS, MAX_CONTROL_OFFSET or MAX_LISTED.  The padding of the last chunk may be missing.
    Well-formed DATA and I-DATA, and a SACK without lists, are read here, everything else by its class.
    """
    chunks: list[Chunk] = []
    offset, end, listed = 12, len(packet), 0
    for _ in _READ:
        if offset >= end:
            return chunks
        kind = packet[offset]
        if kind == 0 and end - offset >= 16:
            _, flags, length, tsn, stream_id, ssn, ppid = _unpack_data(packet, offset)
            if 16 <= length <= end - offset:
                # A Data is filled in field by field because this costs half of a call of its class.
                data = _new_data(Data)
                data.tsn = tsn
                data.stream_id = stream_id
                data.ssn = ssn
                data.ppid = ppid
                data.payload = packet[offset + 16 : offset + length]
                bits = FRAGMENT_FLAGS[flags & 15]
                data.unordered, data.beginning, data.ending, data.immediate = bits
                chunks.append(data)
                offset += length + 3 & ~3
                continue
        elif kind == 64 and end - offset >= 20:
            _, flags, length, tsn, stream_id, _, mid, shared = _unpack_i_data(packet, offset)
            if 20 <= length <= end - offset:
                interleaved = _new_i_data(IData)  # as with Data
                interleaved.tsn = tsn
                interleaved.stream_id = stream_id
                interleaved.mid = mid
                unordered, beginning, ending, immediate = FRAGMENT_FLAGS[flags & 15]
                interleaved.fsn, interleaved.ppid = (0, shared) if beginning else (shared, 0)
                interleaved.payload = packet[offset + 20 : offset + length]
                interleaved.unordered = unordered
                interleaved.beginning = beginning
                interleaved.ending = ending
                interleaved.immediate = immediate
                chunks.append(interleaved)
                offset += length + 3 & ~3
                continue
        elif kind == 3 and end - offset >= 16 and offset <= MAX_CONTROL_OFFSET:
            _, _, length, cumulative_tsn_ack, a_rwnd, gaps, duplicates = _unpack_sack(
                packet, offset
            )
            if length == 16 and not gaps and not duplicates:
                chunks.append(Sack(cumulative_tsn_ack, a_rwnd))
                offset += 16
                continue
        chunk, offset = _decode_any(packet, offset, end, listed)
        if kind in _WITH_LISTS:
            listed += _listed(chunk)
            if listed > MAX_LISTED:
                chunk, offset = MalformedChunk(kind, 0, _TOO_MUCH_LISTED), end
        chunks.append(chunk)
    if offset < end:
        reason = f"more than {MAX_CHUNKS} chunks in a packet"
        chunks.append(MalformedChunk(packet[offset], 0, reason, b""))
    return chunks


def _listed(chunk: Chunk) -> int:
    """What a chunk takes of MAX_LISTED."""
    if isinstance(chunk, Sack):
        return 32 + (len(chunk.gap_ack_offsets) // 2 + len(chunk.duplicate_tsns)) // 2
    if isinstance(chunk, ForwardTsn | IForwardTsn):
        return 16 + len(chunk.streams)
    if isinstance(chunk, ReConfig):
        return _RECONFIG_COST + _TLV_COST * len(chunk.parameters)
    if isinstance(chunk, Init | InitAck):
        return _TLV_COST * len(chunk.parameters)
    if isinstance(chunk, Error | Abort):
        return _TLV_COST * len(chunk.causes)
    return 0


def _decode_any(packet: bytes, offset: int, end: int, listed: int) -> tuple[Chunk, int]:
    """Decode the chunk at `offset`; also return where the next one starts, or `end`."""
    if end - offset < 4:
        return MalformedChunk(0, 0, "a chunk header is cut short", packet[offset:]), end
    kind, flags, length = _unpack_chunk_header(packet, offset)
    if offset > MAX_CONTROL_OFFSET:
        return MalformedChunk(
            kind, flags, f"a control chunk behind {MAX_CONTROL_OFFSET} bytes"
        ), end
    if listed and kind in _WITH_LISTS and listed + length // 8 > MAX_LISTED:
        return MalformedChunk(kind, flags, _TOO_MUCH_LISTED), end  # no need to decode it
    value = packet[offset + 4 : offset + length]
    if length < 4:
        return MalformedChunk(kind, flags, f"chunk length {length}", packet[offset + 4 :]), end
    if length > end - offset:
        # RFC 9260 §6.10: a partial chunk is dropped
        return MalformedChunk(kind, flags, "a chunk goes beyond the end of the packet", value), end
    try:
        return decode_chunk(kind, flags, value), offset + (length + 3 & ~3)
    except DecodeError as error:
        return MalformedChunk(kind, flags, str(error), value, whole=True), end
