"""Error causes one by one: bytes, sentences, and what each refuses."""

from __future__ import annotations

import pytest

from trio_sctp._wire import error_causes as e
from trio_sctp._wire.parameters import (
    IPv4Address,
    UnknownParameter,
    decode_parameters,
    encode_parameters,
)
from trio_sctp._wire.tlv import DecodeError

BYTES_OF: list[tuple[e.ErrorCause, str, str]] = [
    (e.InvalidStreamIdentifier(7), "00010008 0007 0000", "invalid stream identifier 7"),
    (
        e.MissingMandatoryParameter((7, 0x8008)),
        "0002000c 00000002 0007 8008",
        "missing mandatory parameter 0x0007, 0x8008",
    ),
    (
        e.StaleCookie(1500),
        "00030008 000005dc",
        "stale cookie, expired 1500 microseconds ago",
    ),
    (e.StaleCookie(), "00030008 00000000", "stale cookie"),
    (e.OutOfResource(), "00040004", "out of resource"),
    (
        e.UnresolvableAddress(bytes.fromhex("000b0008 61000000")),
        "0005000c 000b0008 61000000",
        "unresolvable address 000b000861000000",
    ),
    (
        e.UnrecognizedChunkType(bytes.fromhex("c8000005 61")),
        "00060009 c8000005 61",
        "unrecognized chunk type 200",
    ),
    (e.UnrecognizedChunkType(b""), "00060004", "unrecognized chunk type"),
    (e.InvalidMandatoryParameter(), "00070004", "invalid mandatory parameter"),
    (
        e.UnrecognizedParameters(bytes.fromhex("c0060005 61000000 c0040004")),
        "00080010 c0060005 61000000 c0040004",
        "unrecognized parameters 0xc006, 0xc004",
    ),
    (
        e.UnrecognizedParameters(bytes.fromhex("c0060000")),
        "00080008 c0060000",
        "unrecognized parameters (none listed)",
    ),
    (e.NoUserData(9), "00090008 00000009", "no user data in the DATA chunk with TSN 9"),
    (
        e.CookieReceivedWhileShuttingDown(),
        "000a0004",
        "cookie received while shutting down",
    ),
    (
        e.RestartWithNewAddresses(IPv4Address("192.0.2.1").encode()),
        "000b000c 00050008 c0000201",
        "restart of an association with new addresses 00050008c0000201",
    ),
    (e.UserInitiatedAbort(), "000c0004", "user-initiated abort"),
    (e.UserInitiatedAbort(b"bye"), "000c0007 627965", "user-initiated abort: 'bye'"),
    (e.ProtocolViolation(), "000d0004", "protocol violation"),
    (e.ProtocolViolation("dé".encode()), "000d0007 64c3a9", "protocol violation: 'dé'"),
    (e.UnknownCause(0x0105, b"\0\x03"), "01050006 0003", "error cause 261: 0003"),
    (e.UnknownCause(0, b""), "00000004", "error cause 0"),
]


@pytest.mark.parametrize("cause,expected,sentence", BYTES_OF, ids=lambda x: type(x).__name__)
def test_bytes_both_ways_and_sentence(cause: e.ErrorCause, expected: str, sentence: str) -> None:
    assert cause.encode() == bytes.fromhex(expected)
    assert e.decode_causes(bytes.fromhex(expected)) == (cause,)
    assert str(cause) == sentence


def test_all_of_them_in_a_row() -> None:
    causes = tuple([cause for cause, _, _ in BYTES_OF])
    assert e.decode_causes(e.encode_causes(causes)) == causes


@pytest.mark.parametrize(
    "encoded",
    [
        "00010004",
        "00010006 0007",
        "00020004",
        "00020008 00000001",
        "0002000a 00000002 0007",
        "0002000a ffffffff 0007",
        "00030007 000000",
        "00090004",
    ],
)
def test_values_that_are_too_short(encoded: str) -> None:
    with pytest.raises(DecodeError):
        e.decode_causes(bytes.fromhex(encoded))


@pytest.mark.parametrize("encoded", ["000c", "000c0000", "000c0003", "000c0006 61", "000c0004 00"])
def test_broken_framing(encoded: str) -> None:
    with pytest.raises(DecodeError):
        e.decode_causes(bytes.fromhex(encoded))


@pytest.mark.parametrize(
    "encoded,cause",
    [
        ("0001000c 0007 0000 00000000", e.InvalidStreamIdentifier(7)),
        ("0002000c 00000001 0007 0000", e.MissingMandatoryParameter((7,))),  # padding counted
        ("0004000a 6d656d6f7279", e.OutOfResource()),
        ("0007000a 6d656d6f7279", e.InvalidMandatoryParameter()),
        ("000a0008 00000000", e.CookieReceivedWhileShuttingDown()),
    ],
)
def test_what_a_peer_adds_does_not_hide_the_cause(encoded: str, cause: e.ErrorCause) -> None:
    assert e.decode_causes(bytes.fromhex(encoded)) == (cause,)


def test_unrecognized_parameters_can_be_taken_apart() -> None:
    parameters = (UnknownParameter(0xC006, b"a"), UnknownParameter(0xC004, b"bcd"))
    cause = e.UnrecognizedParameters(encode_parameters(parameters))
    assert cause.parameter_types == (0xC006, 0xC004)
    assert decode_parameters(cause.parameters) == parameters


def test_sentences_hold_no_control_characters_or_broken_text() -> None:
    hostile = b"\x1b[2J\r\n\0\xff\xfe"
    for cause in (e.UserInitiatedAbort(hostile), e.ProtocolViolation(hostile)):
        assert str(cause).isprintable()


def test_local_misuse_is_a_value_error() -> None:
    for cause in (
        e.InvalidStreamIdentifier(65536),
        e.MissingMandatoryParameter((65536,)),
        e.NoUserData(-1),
        e.StaleCookie(2**32),
        e.UserInitiatedAbort(bytes(65532)),
        e.UnknownCause(65536, b""),
    ):
        with pytest.raises(ValueError):
            cause.encode()
