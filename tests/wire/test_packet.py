"""Whole packets: header, checksum, bundling, and every way in which the row of chunks can end."""

from __future__ import annotations

import pytest

from tests.support.gap_ack_blocks import row_of
from trio_sctp._wire.chunks import (
    BEGINNING,
    ENDING,
    Chunk,
    CookieAck,
    Data,
    EncodableChunk,
    Error,
    ForwardTsn,
    Heartbeat,
    IData,
    Init,
    MalformedChunk,
    ReConfig,
    Sack,
    ShutdownAck,
    UnknownChunk,
    encode_data,
)
from trio_sctp._wire.crc32c import crc32c
from trio_sctp._wire.error_causes import UnrecognizedChunkType
from trio_sctp._wire.packet import (
    COMMON_HEADER_SIZE,
    MAX_CHUNKS,
    checksum_ok,
    decode_chunks,
    decode_header,
    encode_packet,
)
from trio_sctp._wire.parameters import UnknownParameter
from trio_sctp._wire.tlv import DecodeError

HELLO = encode_data(BEGINNING | ENDING, 1, 2, 3, 51, b"hello")


def packet_of(body: bytes | str) -> bytes:
    """A packet around chunk bytes, whatever they are."""
    return bytes(12) + (bytes.fromhex(body) if isinstance(body, str) else body)


def only_malformed(chunks: list[Chunk]) -> MalformedChunk:
    (chunk,) = chunks
    assert isinstance(chunk, MalformedChunk)
    return chunk


def test_header_fields_and_checksum() -> None:
    packet = encode_packet(5000, 5001, 0x01020304, [HELLO])
    assert packet[:8] == bytes.fromhex("1388138901020304")
    assert decode_header(packet)[:3] == (5000, 5001, 0x01020304)
    assert len(packet) == COMMON_HEADER_SIZE + 24
    # RFC 9260 §6.8: the checksum field counts as 0, and is sent low byte first.
    assert packet[8:12] == crc32c(packet[:8] + bytes(4) + packet[12:]).to_bytes(4, "little")
    assert checksum_ok(packet)


def test_every_single_bit_error_is_noticed() -> None:
    packet = encode_packet(5000, 5000, 7, [HELLO])
    for bit in range(8 * len(packet)):
        damaged = bytearray(packet)
        damaged[bit // 8] ^= 1 << bit % 8
        assert not checksum_ok(bytes(damaged))


def test_zero_checksum() -> None:
    packet = encode_packet(5000, 5000, 7, [HELLO], zero_checksum=True)
    assert decode_header(packet) == (5000, 5000, 7, 0)
    assert not checksum_ok(packet)
    assert decode_chunks(packet) == decode_chunks(encode_packet(5000, 5000, 7, [HELLO]))


@pytest.mark.parametrize("size", [0, 4, 11, 13, 14, 15, 17])
def test_sizes_that_no_packet_has(size: int) -> None:
    with pytest.raises(DecodeError):
        decode_header(bytes(size))


def test_local_misuse() -> None:
    for ports_and_tag in ((65536, 1, 1), (1, 65536, 1), (1, 1, 2**32), (-1, 1, 1)):
        with pytest.raises(ValueError, match="not encodable"):
            encode_packet(*ports_and_tag, [HELLO])


def test_a_packet_without_chunks() -> None:
    assert decode_chunks(encode_packet(1, 2, 3, [])) == []
    assert decode_chunks(b"") == []


def test_bundled_chunks_come_out_in_order() -> None:
    chunks: list[EncodableChunk] = [
        CookieAck(),
        Sack(7, 1500),
        Data(1, 2, 3, 51, b"hello"),
        Data(2, 2, 4, 53, b"abcd"),
    ]
    packet = encode_packet(1, 2, 3, [chunk.encode() for chunk in chunks])
    assert decode_chunks(packet) == chunks


def test_padding_of_the_last_chunk_may_be_missing() -> None:
    packet = packet_of(HELLO + HELLO[:-3])
    assert decode_chunks(packet) == [Data(1, 2, 3, 51, b"hello")] * 2


def test_padding_is_ignored_whatever_its_bytes() -> None:
    assert (
        decode_chunks(packet_of(HELLO[:-3] + b"\xff\xff\xff" + HELLO))
        == [Data(1, 2, 3, 51, b"hello")] * 2
    )


@pytest.mark.parametrize("kind", [0, 1, 3, 6, 11, 64, 130, 192, 200])
@pytest.mark.parametrize("length", [0, 1, 2, 3])
def test_chunk_length_below_four_ends_the_packet(kind: int, length: int) -> None:
    chunks = decode_chunks(packet_of(HELLO + bytes([kind, 5, 0, length]) + bytes(40)))
    assert chunks[0] == Data(1, 2, 3, 51, b"hello")
    malformed = only_malformed(chunks[1:])
    assert (malformed.type, malformed.flags) == (kind, 5)


@pytest.mark.parametrize("kind", [0, 1, 3, 4, 6, 64, 130, 192, 200])
def test_partial_chunk_is_dropped(kind: int) -> None:
    # RFC 9260 §6.10
    chunks = decode_chunks(packet_of(HELLO + bytes([kind, 0, 0, 41]) + bytes(36)))
    malformed = only_malformed(chunks[1:])
    assert malformed.type == kind
    assert malformed.value == bytes(36)


@pytest.mark.parametrize("rest", [1, 2, 3])
def test_rest_too_short_for_a_chunk_header(rest: int) -> None:
    chunks = decode_chunks(packet_of(HELLO + bytes(rest)))
    assert only_malformed(chunks[1:]).value == bytes(rest)


def test_nothing_after_a_malformed_chunk_is_read() -> None:
    chunks = decode_chunks(packet_of(bytes.fromhex("03000008 00000001") + HELLO))
    assert only_malformed(chunks).type == Sack.type


def test_a_malformed_init_still_shows_its_initiate_tag() -> None:
    # A parameter of length 0 behind the fixed part.
    init = bytes.fromhex("01000018 deadbeef 00020000 0001 0001 00000007 0005 0000")
    malformed = only_malformed(decode_chunks(packet_of(init)))
    assert malformed.type == Init.type
    assert malformed.value[:4] == bytes.fromhex("deadbeef")
    assert "length 0" in malformed.reason


def test_data_without_payload_decodes() -> None:
    # It must, so that the association can answer with No User Data (RFC 9260 §6.2).
    body = "0003 0010 00000009 0001 0002 00000033"
    expected = Data(9, 1, 2, 51, b"")
    assert decode_chunks(packet_of(body)) == [expected]
    assert decode_chunks(packet_of(bytes.fromhex(body) + HELLO))[0] == expected


@pytest.mark.parametrize("size", range(12))
def test_data_too_short_for_its_fixed_fields(size: int) -> None:
    body = bytes([0, 3, 0, 4 + size]) + bytes(size + -size % 4)
    assert only_malformed(decode_chunks(packet_of(body + HELLO))).type == Data.type


@pytest.mark.parametrize("flags", range(16))
def test_data_flags(flags: int) -> None:
    (chunk,) = decode_chunks(packet_of(encode_data(flags | 0xF0, 1, 2, 3, 4, b"x")))
    expected = Data(
        1,
        2,
        3,
        4,
        b"x",
        ending=bool(flags & 1),
        beginning=bool(flags & 2),
        unordered=bool(flags & 4),
        immediate=bool(flags & 8),
    )
    assert chunk == expected
    assert expected.encode()[1] == flags


def test_the_fast_way_and_the_plain_way_agree() -> None:
    value = bytes(range(30))
    for flags in range(16):
        packet = packet_of(bytes([0, flags, 0, 34]) + value + b"\0\0")
        assert decode_chunks(packet) == [Data.decode(flags, value)]
        packet = packet_of(bytes([64, flags, 0, 34]) + value + b"\0\0")
        assert decode_chunks(packet) == [IData.decode(flags, value)]


def test_a_body_that_is_too_long_for_its_chunk() -> None:
    body = "08000008 00000000"
    assert only_malformed(decode_chunks(packet_of(body))).type == ShutdownAck.type


def test_unknown_chunks_are_kept_whole() -> None:
    body = bytes.fromhex("c8010007 616263 00")
    (chunk, data) = decode_chunks(packet_of(body + HELLO))
    assert chunk == UnknownChunk(200, 1, b"abc")
    assert chunk.encode() == body
    assert chunk.unpadded == body[:7]
    assert isinstance(data, Data)


def test_a_heartbeat_comes_out_as_it_went_in() -> None:
    body = bytes.fromhex("04000009 ffff000161 000000")
    (chunk,) = decode_chunks(packet_of(body))
    assert chunk == Heartbeat(bytes.fromhex("ffff000161"))
    assert chunk.info is None


def test_a_packet_full_of_the_smallest_chunks() -> None:
    """No more of them are read than an honest packet has."""
    assert decode_chunks(packet_of("0b000004" * MAX_CHUNKS)) == [CookieAck()] * MAX_CHUNKS
    *read, rest = decode_chunks(packet_of("0b000004" * 16381))
    assert read == [CookieAck()] * MAX_CHUNKS
    assert isinstance(rest, MalformedChunk)
    assert str(MAX_CHUNKS) in rest.reason


def test_the_lists_of_a_packet_have_a_bound_together() -> None:
    """Each of these chunks is read if it is alone; the second full one costs a packet too much."""
    full_lists: tuple[EncodableChunk, ...] = (
        ForwardTsn(7, [(i, 1) for i in range(1024)]),
        ReConfig((UnknownParameter(0xC001, b""),) * 128),
        Error((UnrecognizedChunkType(b""),) * 128),
    )
    for full in full_lists:
        chunk, after = full.encode(), CookieAck().encode()
        assert len(decode_chunks(packet_of(chunk + after))) == 2
        *read, rest = decode_chunks(packet_of(2 * chunk + after))
        assert [one.type for one in read] == [full.type]
        assert isinstance(rest, MalformedChunk)
        assert "lists" in rest.reason


def test_what_a_packet_of_9000_bytes_has_room_for_is_read() -> None:
    """A long SACK, what is given up, an answer, and the data behind it."""
    chunks: list[EncodableChunk] = [
        Sack(5, 6, row_of((2 * i, 2 * i) for i in range(1, 900))),
        ForwardTsn(7, [(i, 1) for i in range(600)]),
        ReConfig((UnknownParameter(0xC001, b"x"),) * 2),
    ]
    body = b"".join(each.encode() for each in chunks) + HELLO
    *read, data = decode_chunks(packet_of(body))
    assert [type(each) for each in read] == [Sack, ForwardTsn, ReConfig]
    assert isinstance(data, Data)
