"""Chunks one by one: bytes against the figures of the RFCs, and what each refuses."""

from __future__ import annotations

import pytest

from tests.support.gap_ack_blocks import row_of
from trio_sctp._wire import chunks as c
from trio_sctp._wire.data_encoding import encode_data_run, encode_i_data_run
from trio_sctp._wire.error_causes import (
    ProtocolViolation,
    UnrecognizedChunkType,
    UserInitiatedAbort,
)
from trio_sctp._wire.parameters import (
    ForwardTsnSupported,
    IncomingSsnResetRequest,
    IPv4Address,
    OutgoingSsnResetRequest,
    StateCookie,
    SupportedExtensions,
    UnknownParameter,
)
from trio_sctp._wire.serial import MASK32
from trio_sctp._wire.tlv import MAX_ENTRIES, DecodeError

BYTES_OF: list[tuple[c.EncodableChunk, str]] = [
    (c.Data(1, 2, 3, 4, b"12345"), "00030015 00000001 0002 0003 00000004 3132333435 000000"),
    (
        c.Data(1, 2, 3, 4, b"x", unordered=True, beginning=False, ending=False, immediate=True),
        "000c0011 00000001 0002 0003 00000004 78 000000",
    ),
    (
        c.IData(1, 2, 3, 0, 51, b"1234", ending=False),
        "40020018 00000001 0002 0000 00000003 00000033 31323334",
    ),
    (
        c.IData(1, 2, 3, 9, 0, b"1234", True, False, True, True),
        "400d0018 00000001 0002 0000 00000003 00000009 31323334",
    ),
    (
        c.Init(1, 1500, 3, 4, 5, (SupportedExtensions((130,)), ForwardTsnSupported())),
        "01000020 00000001 000005dc 0003 0004 00000005 80080005 82000000 c0000004",
    ),
    (
        # The padding of the last parameter is not in the chunk length (RFC 9260 §3.2).
        c.InitAck(1, 1500, 3, 4, 5, (StateCookie(b"abc"),)),
        "0200001b 00000001 000005dc 0003 0004 00000005 00070007 616263 00",
    ),
    # The example of RFC 9260 §3.3.4.
    (
        c.Sack(12, 4660, (2, 3, 5, 5)),
        "03000018 0000000c 00001234 0002 0000 0002 0003 0005 0005",
    ),
    (
        c.Sack(1, 2, (3, 4), (5, 6)),
        "0300001c 00000001 00000002 0001 0002 0003 0004 00000005 00000006",
    ),
    (c.Sack(0xFFFFFFFF, 0), "03000010 ffffffff 00000000 0000 0000"),
    (c.Heartbeat.from_info(b"nonce"), "0400000d 00010009 6e6f6e6365 000000"),
    (c.HeartbeatAck.from_info(b"nonce"), "0500000d 00010009 6e6f6e6365 000000"),
    (c.Abort(), "06000004"),
    (c.Abort((UserInitiatedAbort(b"bye"),), tag_reflected=True), "0601000b 000c0007 627965 00"),
    (c.Shutdown(7), "07000008 00000007"),
    (c.ShutdownAck(), "08000004"),
    (
        c.Error((ProtocolViolation(b"x"), UserInitiatedAbort())),
        "09000010 000d0005 78000000 000c0004",
    ),
    (c.CookieEcho(b"abc"), "0a000007 616263 00"),
    (c.CookieAck(), "0b000004"),
    (c.ShutdownComplete(), "0e000004"),
    (c.ShutdownComplete(tag_reflected=True), "0e010004"),
    (
        c.ReConfig((OutgoingSsnResetRequest(1, 2, 3, (4,)), IncomingSsnResetRequest(5))),
        "82000020 000d0012 00000001 00000002 00000003 0004 0000 000e0008 00000005",
    ),
    (c.Pad(8), "84000008 00000000"),
    (c.ForwardTsn(9), "c0000008 00000009"),
    (c.ForwardTsn(9, ((1, 2), (3, 4))), "c0000010 00000009 0001 0002 0003 0004"),
    (c.IForwardTsn(9), "c2000008 00000009"),
    (
        c.IForwardTsn(9, ((1, True, 2), (3, False, 4))),
        "c2000018 00000009 0001 0001 00000002 0003 0000 00000004",
    ),
    (c.UnknownChunk(0x3F, 0xAA, b"z"), "3faa0005 7a 000000"),
]


def decode(encoded: bytes) -> c.EncodableChunk:
    """A whole chunk back to a value, by the length it states."""
    length = int.from_bytes(encoded[2:4], "big")
    assert len(encoded) == length + -length % 4
    return c.decode_chunk(encoded[0], encoded[1], encoded[4:length])


@pytest.mark.parametrize("chunk,expected", BYTES_OF, ids=lambda x: type(x).__name__)
def test_bytes_both_ways(chunk: c.EncodableChunk, expected: str) -> None:
    assert chunk.encode() == bytes.fromhex(expected)
    assert decode(bytes.fromhex(expected)) == chunk


KNOWN = [chunk for chunk, _ in BYTES_OF if not isinstance(chunk, c.UnknownChunk)]


@pytest.mark.parametrize("chunk", KNOWN, ids=lambda x: type(x).__name__)
def test_unused_flag_bits_are_ignored(chunk: c.EncodableChunk) -> None:
    encoded = bytearray(chunk.encode())
    encoded[1] |= 0xF0
    assert decode(bytes(encoded)) == chunk


@pytest.mark.parametrize(
    "kind,size",
    [(kind, size) for kind in (1, 2) for size in range(16)]
    + [(3, size) for size in (*range(12), 13, 14, 15, 16, 20)]
    + [(7, size) for size in (0, 3, 5, 8)]
    + [(kind, size) for kind in (8, 11, 14) for size in (1, 4)]
    + [(64, size) for size in range(16)]
    + [(192, size) for size in (0, 1, 3, 5, 6, 7, 9)]
    + [(194, size) for size in (0, 3, 5, 8, 11, 13, 16)]
    + [(kind, size) for kind in (6, 9, 130) for size in (1, 2, 3, 4, 8)],
)
def test_bodies_of_impossible_size(kind: int, size: int) -> None:
    with pytest.raises(DecodeError):
        c.decode_chunk(kind, 0, bytes(size))


@pytest.mark.parametrize("blocks,duplicates", [(1, 0), (0, 1), (3, 0), (1, 2), (65535, 65535)])
def test_sack_whose_counts_disagree_with_its_length(blocks: int, duplicates: int) -> None:
    fixed = bytes(8) + blocks.to_bytes(2, "big") + duplicates.to_bytes(2, "big")
    for extra in {0, 8, 4 * (blocks + duplicates) - 4, 4 * (blocks + duplicates) + 4}:
        if extra != 4 * (blocks + duplicates):
            with pytest.raises(DecodeError):
                c.Sack.decode(0, fixed + bytes(extra))


def test_sack_with_as_many_duplicates_as_a_chunk_holds() -> None:
    sack = c.Sack(5, 6, (2, 3), tuple(range(16378)))
    assert decode(sack.encode()) == c.Sack(5, 6, (2, 3), sack.duplicate_tsns[:MAX_ENTRIES])


def test_forward_tsn_with_too_many_streams() -> None:
    most = [(i, 1) for i in range(MAX_ENTRIES)]
    assert decode(c.ForwardTsn(5, most).encode()) == c.ForwardTsn(5, tuple(most))
    with pytest.raises(DecodeError, match="1024"):
        c.ForwardTsn.decode(0, c.ForwardTsn(5, [*most, (0, 0)]).encode()[4:])
    i_most = [(i, False, 1) for i in range(MAX_ENTRIES)]
    assert decode(c.IForwardTsn(5, i_most).encode()) == c.IForwardTsn(5, tuple(i_most))
    with pytest.raises(DecodeError, match="1024"):
        c.IForwardTsn.decode(0, c.IForwardTsn(5, [*i_most, (0, False, 0)]).encode()[4:])


def test_sack_with_as_many_gap_blocks_as_a_chunk_holds() -> None:
    sack = c.Sack(5, 6, row_of((i, i) for i in range(1, 16380)))
    assert len(sack.encode()) == 65532
    # what is read of it: more than fits into a packet of an Ethernet
    assert decode(sack.encode()) == c.Sack(5, 6, sack.gap_ack_offsets[: 2 * MAX_ENTRIES])
    with pytest.raises(ValueError, match="SACK"):
        c.Sack(5, 6, (1, 1) * 16380).encode()


@pytest.mark.parametrize("chunk_type", [c.Init, c.InitAck])
@pytest.mark.parametrize(
    "parameters", ["00050003", "0005 0000 00000000", "0005", "00070009 61626364", "00050007 c00002"]
)
def test_init_with_broken_parameters(chunk_type: type[c.Init | c.InitAck], parameters: str) -> None:
    with pytest.raises(DecodeError):
        chunk_type.decode(0, bytes(16) + bytes.fromhex(parameters))


@pytest.mark.parametrize("included", [0, 1, 2, 3])
def test_chunk_length_may_count_the_padding_of_its_last_parameter(included: int) -> None:
    # RFC 9260 §3.2: a robust implementation accepts both
    body = bytes(16) + bytes.fromhex("8008000582") + bytes(included)
    assert c.Init.decode(0, body).parameters == (SupportedExtensions((130,)),)


def test_init_values_are_not_judged() -> None:
    # Tag 0, window 0, no streams: what to do about it is for the association to say.
    assert c.Init.decode(0, bytes(16)) == c.Init(0, 0, 0, 0, 0)


def test_unknown_parameters_of_an_init_are_kept() -> None:
    parameters = (IPv4Address("192.0.2.1"), UnknownParameter(0xC006, b"\0\0\0\x03"))
    init = c.Init(1, 2, 3, 4, 5, parameters)
    assert decode(init.encode()) == init


def test_heartbeat_info_goes_in_and_comes_out() -> None:
    heartbeat = c.Heartbeat.from_info(b"time and nonce")
    assert heartbeat.info == b"time and nonce"
    assert c.HeartbeatAck(heartbeat.value).info == b"time and nonce"


@pytest.mark.parametrize("value", ["", "00", "0001", "00010003", "00010009 61", "00020005 61"])
def test_heartbeat_body_that_is_no_heartbeat_info(value: str) -> None:
    body = bytes.fromhex(value)
    assert c.Heartbeat.decode(0, body).info is None
    ack = c.HeartbeatAck.decode(0, body)
    assert ack.info is None
    assert ack.encode()[4 : 4 + len(body)] == body


def test_causes_that_contain_whole_chunks_and_parameters() -> None:
    inner = c.UnknownChunk(0xFF, 0, bytes.fromhex("0001 0000 0000"))  # looks like TLVs of length 0
    error = c.Error((UnrecognizedChunkType(inner.unpadded), UnrecognizedChunkType(b"")))
    assert decode(error.encode()) == error


@pytest.mark.parametrize(
    "kind,continues,reports",
    [(0x3F, False, False), (0x7F, False, True), (0xBF, True, False), (0xFF, True, True)],
)
def test_what_the_high_bits_of_an_unknown_type_say(
    kind: int, continues: bool, reports: bool
) -> None:
    # RFC 9260 §3.2 table 2
    chunk = c.decode_chunk(kind, 0, b"")
    assert isinstance(chunk, c.UnknownChunk)
    assert (chunk.continue_processing, chunk.report) == (continues, reports)


def test_reserved_ecn_chunks_are_unknown() -> None:
    for kind in (12, 13):
        assert c.decode_chunk(kind, 0, bytes(4)) == c.UnknownChunk(kind, 0, bytes(4))


def test_the_second_field_of_i_data_is_ppid_or_fsn() -> None:
    body = bytes.fromhex("00000001 0002 ffff 00000003 0000002a") + b"x"
    first, later = c.IData.decode(c.BEGINNING, body), c.IData.decode(0, body)
    assert (first.ppid, first.fsn) == (42, 0)
    assert (later.ppid, later.fsn) == (0, 42)


def test_i_data_without_payload_decodes() -> None:
    assert c.IData.decode(c.BEGINNING | c.ENDING, bytes(16)) == c.IData(0, 0, 0, 0, 0, b"")


def test_i_forward_tsn_ignores_reserved_bits() -> None:
    body = bytes.fromhex("00000009 0001 fffe 00000002 0003 ffff 00000004")
    assert c.IForwardTsn.decode(0, body).streams == ((1, False, 2), (3, True, 4))


def test_largest_payloads() -> None:
    assert len(c.encode_data(3, 1, 2, 3, 4, bytes(65519))) == 65536
    assert len(c.encode_i_data(3, 1, 2, 3, 4, bytes(65515))) == 65536


@pytest.mark.parametrize(
    "chunk",
    [
        c.Data(0, 0, 0, 0, bytes(65520)),
        c.Data(2**32, 0, 0, 0, b"x"),
        c.Data(0, 65536, 0, 0, b"x"),
        c.Data(0, 0, -1, 0, b"x"),
        c.IData(0, 0, 0, 0, 0, bytes(65516)),
        c.IData(0, 0, 2**32, 0, 0, b"x"),
        c.Init(2**32, 0, 0, 0, 0),
        c.Init(1, 0, 0, 0, 0, (StateCookie(bytes(65530)),)),
        c.Sack(-1, 0),
        c.Sack(1, 1, (0, 65536)),
        c.Sack(1, 1, (), (2**32,)),
        c.Heartbeat(bytes(65532)),
        c.Abort((UserInitiatedAbort(bytes(65532)),)),
        c.Error((UserInitiatedAbort(bytes(65531)),)),
        c.Shutdown(2**32),
        c.CookieEcho(bytes(65532)),
        c.Pad(3),
        c.Pad(65536),
        c.ForwardTsn(1, ((65536, 0),)),
        c.ForwardTsn(1, ((1, 0),) * 16382),
        c.IForwardTsn(1, ((1, False, 2**32),)),
        c.UnknownChunk(256, 0, b""),
    ],
    ids=lambda x: type(x).__name__,
)
def test_local_misuse_is_a_value_error(chunk: c.EncodableChunk) -> None:
    with pytest.raises(ValueError):
        chunk.encode()


@pytest.mark.parametrize("tsn, fsn", [(7, 1), (2**32 - 2, 2**32 - 1)])
def test_a_run_of_fragments_is_each_of_them(tsn: int, fsn: int) -> None:
    payload = bytes(range(256))
    offsets = range(8, 8 + 4 * 60, 60)
    parts = [payload[offset : offset + 60] for offset in offsets]
    assert encode_data_run(4, tsn, 9, 65535, 51, payload, offsets) == [
        c.encode_data(4, tsn + index & MASK32, 9, 65535, 51, part)
        for index, part in enumerate(parts)
    ]
    assert encode_i_data_run(4, tsn, 9, 2**32 - 1, fsn, payload, offsets) == [
        c.encode_i_data(4, tsn + index & MASK32, 9, 2**32 - 1, fsn + index & MASK32, part)
        for index, part in enumerate(parts)
    ]
