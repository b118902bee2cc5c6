"""Parsing mistakes seen in other stacks: each once, as bytes from a hostile or broken peer."""

from __future__ import annotations

import pytest

from trio_sctp._wire.chunks import (
    Data,
    Error,
    ForwardTsn,
    IData,
    IForwardTsn,
    Init,
    MalformedChunk,
    ReConfig,
    Sack,
    UnknownChunk,
)
from trio_sctp._wire.dcep import DataChannelOpen, decode_dcep
from trio_sctp._wire.error_causes import UnrecognizedChunkType
from trio_sctp._wire.packet import decode_chunks, encode_packet
from trio_sctp._wire.parameters import OutgoingSsnResetRequest
from trio_sctp._wire.tlv import encode_chunk


def packet_of(*chunks: bytes) -> bytes:
    return encode_packet(5000, 5000, 1, chunks)


@pytest.mark.parametrize("kind", range(256))
def test_chunk_length_0_loops_forever(kind: int) -> None:
    (chunk,) = decode_chunks(bytes(12) + bytes([kind, 0, 0, 0]) * 10)
    assert isinstance(chunk, MalformedChunk)


@pytest.mark.parametrize("kind,fixed", [(1, 16), (2, 16), (6, 0), (9, 0), (130, 0)], ids=str)
def test_parameter_length_0_loops_forever(kind: int, fixed: int) -> None:
    body = bytes(fixed) + bytes.fromhex("00010000") * 10
    (chunk,) = decode_chunks(packet_of(encode_chunk(kind, 0, body)))
    assert isinstance(chunk, MalformedChunk)


@pytest.mark.parametrize(
    "whole",
    [
        Sack(1, 2, (3, 4, 5, 6), (7, 8)),
        ForwardTsn(1, ((2, 3), (4, 5))),
        IForwardTsn(1, ((2, False, 3), (4, True, 5))),
        Data(1, 2, 3, 4, b"payload."),
        IData(1, 2, 3, 0, 4, b"payload."),
        ReConfig((OutgoingSsnResetRequest(1, 2, 3, (4, 5)),)),
    ],
    ids=lambda x: type(x).__name__,
)
def test_truncated_chunk_raises_out_of_the_receive_task(
    whole: Sack | ForwardTsn | IForwardTsn | Data | IData | ReConfig,
) -> None:
    encoded = whole.encode()
    for size in range(1, len(encoded)):
        # cut off with the packet: a partial chunk
        cut_packet = decode_chunks(bytes(12) + encoded[:size])
        assert [type(chunk) for chunk in cut_packet] == [MalformedChunk]
        # and with a length that says so: whatever still makes sense, but no exception
        if size >= 4:
            body = encode_chunk(encoded[0], encoded[1], encoded[4:size])
            (chunk,) = decode_chunks(bytes(12) + body)
            assert isinstance(chunk, MalformedChunk | type(whole))


def test_bundled_init_or_init_with_tag_0_trips_an_assert() -> None:
    init = Init(0, 0, 0, 0, 0)
    data = Data(1, 2, 3, 4, b"x")
    assert decode_chunks(packet_of(data.encode(), init.encode(), init.encode())) == [
        data,
        init,
        init,
    ]


def test_invalid_utf8_in_label_kills_the_connection() -> None:
    message = decode_dcep(bytes.fromhex("03 00 0000 00000000 0003 0001 ff41c3 80"))
    assert message == DataChannelOpen(label="\ufffdA\ufffd", protocol="\ufffd")


def test_sack_of_268_bytes_with_60_gap_blocks_costs_seconds() -> None:
    # Decoding touches each block once; how many TSNs a block spans costs nothing.
    encoded = Sack(0, 0, (1, 65535) * 60, (1, 2, 3)).encode()
    assert len(encoded) == 268
    (sack,) = decode_chunks(packet_of(encoded))
    assert isinstance(sack, Sack)
    assert sack.gap_ack_offsets == (1, 65535) * 60
    assert sack.duplicate_tsns == (1, 2, 3)


def test_gap_block_with_start_beyond_end() -> None:
    (sack,) = decode_chunks(packet_of(Sack(5, 6, (9, 3, 0, 0)).encode()))
    assert isinstance(sack, Sack)
    assert sack.gap_ack_offsets == (9, 3, 0, 0)


@pytest.mark.parametrize("number", [0, 1, 2**31 - 1, 2**31, 2**32 - 1])
def test_crafted_mid_or_fsn_panics(number: int) -> None:
    middle = IData(number, 65535, number, number, 0, b"x", False, False, False, False)
    forward = IForwardTsn(number, ((65535, True, number), (0, False, number)))
    assert decode_chunks(packet_of(middle.encode(), forward.encode())) == [middle, forward]


def test_echo_of_an_oversized_unknown_chunk_exceeds_the_mtu() -> None:
    # A chunk of 60,000 bytes can be reported by its beginning alone.
    (unknown,) = decode_chunks(packet_of(encode_chunk(0xC8, 7, bytes(60000))))
    assert isinstance(unknown, UnknownChunk)
    room = 1188 - 8  # a packet of 1200 bytes, less the headers of ERROR and of the cause
    report = Error((UnrecognizedChunkType(unknown.unpadded[:room]),))
    assert len(packet_of(report.encode())) == 1200
    assert decode_chunks(packet_of(report.encode())) == [report]
    assert str(report.causes[0]) == "unrecognized chunk type 200"


def test_empty_string_as_a_data_chunk_without_data() -> None:
    # A protocol violation that has to be answered (RFC 9260 §6.2): the TSN must come out.
    (chunk,) = decode_chunks(packet_of(Data(77, 1, 0, 56, b"").encode()))
    assert chunk == Data(77, 1, 0, 56, b"")


def test_label_and_protocol_lengths_counted_in_characters() -> None:
    # Label "ñandú" and protocol "ß", said to be 5 and 1 long instead of 7 and 2.
    message = decode_dcep(
        bytes.fromhex("03 00 0000 00000000 0005 0001") + "ñandú".encode() + "ß".encode()
    )
    assert isinstance(message, DataChannelOpen)
    assert message.label == "ñand"
    assert message.protocol == "\ufffd"
