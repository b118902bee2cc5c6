"""Any bytes in: a value or a DecodeError out, of every decoder; and what came out goes in again."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given, settings, strategies as st

from tests.support.codec_checks import check_causes, check_chunks, check_dcep, check_parameters
from tests.support.wire_strategies import (
    KNOWN_CHUNK_TYPES,
    almost_causes,
    almost_chunk,
    almost_parameters,
    chunks,
    damaged,
    joined,
    u8,
)
from trio_sctp._wire.chunks import decode_chunk
from trio_sctp._wire.packet import checksum_ok, decode_chunks, decode_header
from trio_sctp._wire.tlv import DecodeError, decode_tlvs

thorough = settings(deadline=None, max_examples=300)
anything = st.binary(max_size=120)


def value_or_decode_error(decode: Callable[[bytes], object], data: bytes) -> None:
    try:
        decode(data)
    except DecodeError as error:
        assert str(error)  # noqa: PT017


@given(st.binary(max_size=300))
@thorough
def test_any_bytes_as_a_packet(packet: bytes) -> None:
    value_or_decode_error(decode_header, packet)
    check_chunks(decode_chunks(packet))
    if len(packet) >= 12:
        checksum_ok(packet)


@given(damaged(st.lists(chunks, max_size=4).map(lambda cs: b"".join([c.encode() for c in cs]))))
@thorough
def test_damaged_packets(body: bytes) -> None:
    check_chunks(decode_chunks(bytes(12) + body))


@given(damaged(st.lists(almost_chunk, max_size=3).map(b"".join)))
@thorough
def test_known_chunk_types_with_any_body(body: bytes) -> None:
    check_chunks(decode_chunks(bytes(12) + body))


@given(st.sampled_from(KNOWN_CHUNK_TYPES), u8, anything)
@thorough
def test_each_chunk_decoder(kind: int, flags: int, value: bytes) -> None:
    value_or_decode_error(lambda data: decode_chunk(kind, flags, data), value)


@given(anything | damaged(almost_parameters.map(joined)))
@thorough
def test_any_bytes_as_parameters(data: bytes) -> None:
    value_or_decode_error(decode_tlvs, data)
    check_parameters(data)


@given(anything | damaged(almost_causes.map(joined)))
@thorough
def test_any_bytes_as_causes(data: bytes) -> None:
    check_causes(data)


@given(st.sampled_from([b"", b"\2", b"\3"]), anything)
@thorough
def test_any_bytes_as_dcep(start: bytes, rest: bytes) -> None:
    check_dcep(start + rest)
