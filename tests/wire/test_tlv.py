"""Framing of parameters and causes: every way in which a length can be wrong."""

from __future__ import annotations

from struct import Struct

import pytest

from trio_sctp._wire.tlv import (
    MAX_TLVS,
    DecodeError,
    decode_tlvs,
    encode_chunk,
    encode_tlv,
    join_tlvs,
    pack_fields,
    pack_u16s,
    unpack_exact,
    unpack_prefix,
    unpack_u16s,
)


def test_decode_error_is_a_value_error() -> None:
    assert issubclass(DecodeError, ValueError)


def test_nothing_holds_nothing() -> None:
    assert decode_tlvs(b"") == []
    assert join_tlvs([]) == b""


def test_length_counts_header_and_value_but_no_padding() -> None:
    assert encode_tlv(0x8008, b"\x82\xc0\x40") == bytes.fromhex("8008000782c040")
    assert encode_chunk(10, 0, b"cookie!") == bytes.fromhex("0a00000b") + b"cookie!\0"


def test_padding_stands_between_but_not_at_the_end() -> None:
    joined = join_tlvs([encode_tlv(1, b"a"), encode_tlv(2, b"bcde"), encode_tlv(3, b"fg")])
    assert joined == bytes.fromhex("00010005 61000000 00020008 62636465 00030006 6667")
    assert decode_tlvs(joined) == [(1, b"a"), (2, b"bcde"), (3, b"fg")]


@pytest.mark.parametrize("padding", [0, 1, 2, 3])
def test_padding_of_the_last_may_be_missing_partial_or_there(padding: int) -> None:
    assert decode_tlvs(bytes.fromhex("0001000561") + bytes(padding)) == [(1, b"a")]


def test_padding_bytes_are_ignored() -> None:
    assert decode_tlvs(bytes.fromhex("00010005 61ffffff 00020004")) == [(1, b"a"), (2, b"")]


@pytest.mark.parametrize("length", [0, 1, 2, 3])
@pytest.mark.parametrize("before", [b"", bytes.fromhex("00010005 61000000")])
def test_length_below_four_is_an_error_and_ends(length: int, before: bytes) -> None:
    data = before + bytes([0, 7, 0, length]) + bytes(8)
    with pytest.raises(DecodeError):
        decode_tlvs(data)


@pytest.mark.parametrize(
    "data",
    [
        "00",
        "0001",
        "000100",
        "00010005",
        "0001000961626364",
        "0001ffff61626364",
        "0001000400",
        "0001000561000000 0002000962636465",  # within the whole, but not within what is left of it
    ],
)
def test_truncated_or_overlong_is_an_error(data: str) -> None:
    with pytest.raises(DecodeError):
        decode_tlvs(bytes.fromhex(data))


def test_the_largest_value_that_fits() -> None:
    assert len(encode_tlv(1, bytes(65531))) == 65535
    assert len(encode_chunk(1, 0, bytes(65531))) == 65536  # one byte of padding
    with pytest.raises(ValueError, match="65536"):
        encode_tlv(1, bytes(65532))
    with pytest.raises(ValueError, match="65536"):
        encode_chunk(1, 0, bytes(65532))


def test_local_values_that_do_not_fit_are_value_errors() -> None:
    with pytest.raises(ValueError, match="not encodable"):
        encode_tlv(65536, b"")
    with pytest.raises(ValueError, match="not encodable"):
        encode_chunk(256, 0, b"")
    with pytest.raises(ValueError, match="not encodable"):
        pack_fields(Struct(">I"), -1)
    with pytest.raises(ValueError, match="not encodable"):
        pack_u16s([65536])


def test_fixed_fields() -> None:
    layout = Struct(">HH")
    assert unpack_exact(layout, b"\0\1\0\2") == (1, 2)
    assert unpack_prefix(layout, b"\0\1\0\2more") == (1, 2)
    assert unpack_u16s(pack_u16s([1, 65535])) == (1, 65535)
    for wrong in (b"", b"\0\1\0", b"\0\1\0\2\0"):
        with pytest.raises(DecodeError):
            unpack_exact(layout, wrong)
    with pytest.raises(DecodeError):
        unpack_prefix(layout, b"\0\1\0")
    with pytest.raises(DecodeError):
        unpack_u16s(b"\0\1\0")


def test_no_more_of_them_are_read_than_anybody_needs() -> None:
    tlv = encode_tlv(0xC001, b"")
    assert len(decode_tlvs(tlv * MAX_TLVS)) == MAX_TLVS
    with pytest.raises(DecodeError, match=str(MAX_TLVS)):
        decode_tlvs(tlv * (MAX_TLVS + 1))
