"""Parameters one by one: bytes against the figures of the RFCs, and what each refuses."""

from __future__ import annotations

import pytest

from trio_sctp._wire import parameters as p
from trio_sctp._wire.tlv import DecodeError

BYTES_OF: list[tuple[p.Parameter, str]] = [
    (p.HeartbeatInfo(b"abc"), "00010007 616263"),
    (p.IPv4Address("192.0.2.1"), "00050008 c0000201"),
    (p.IPv6Address("2001:db8::1"), "00060014 20010db8000000000000000000000001"),
    (p.StateCookie(b"cookie"), "0007000a 636f6f6b6965"),
    (p.UnrecognizedParameter(b"\xc0\x06\0\x04"), "00080008 c0060004"),
    (p.CookiePreservative(1000), "00090008 000003e8"),
    (p.HostNameAddress(b"a.example\0"), "000b000e 612e6578616d706c6500"),
    (p.SupportedAddressTypes((5, 6)), "000c0008 0005 0006"),
    (p.OutgoingSsnResetRequest(1, 2, 3), "000d0010 00000001 00000002 00000003"),
    (
        p.OutgoingSsnResetRequest(1, 2, 3, (4, 65535)),
        "000d0014 00000001 00000002 00000003 0004 ffff",
    ),
    (p.IncomingSsnResetRequest(1), "000e0008 00000001"),
    (p.IncomingSsnResetRequest(1, (2, 3, 4)), "000e000e 00000001 0002 0003 0004"),
    (p.SsnTsnResetRequest(1), "000f0008 00000001"),
    (p.ReConfigResponse(1, p.ReConfigResult.IN_PROGRESS), "0010000c 00000001 00000006"),
    (p.ReConfigResponse(1, 1, 3, 4), "00100014 00000001 00000001 00000003 00000004"),
    (p.AddOutgoingStreams(1, 2), "0011000c 00000001 0002 0000"),
    (p.AddIncomingStreams(1, 2), "0012000c 00000001 0002 0000"),
    (p.EcnCapable(), "80000004"),
    (p.ZeroChecksumAcceptable(), "80010008 00000001"),
    (p.Padding(7), "80050007 000000"),
    (p.SupportedExtensions((64, 130, 192)), "80080007 4082c0"),
    (p.ForwardTsnSupported(), "c0000004"),
    (p.UnknownParameter(0xC006, b"\0\0\0\x01"), "c0060008 00000001"),
]


@pytest.mark.parametrize("parameter,expected", BYTES_OF, ids=lambda x: type(x).__name__)
def test_bytes_both_ways(parameter: p.Parameter, expected: str) -> None:
    encoded = bytes.fromhex(expected)
    assert parameter.encode() == encoded
    assert p.decode_parameters(encoded) == (parameter,)
    assert p.decode_parameters(encoded + bytes(-len(encoded) % 4)) == (parameter,)


def test_all_of_them_in_a_row() -> None:
    parameters = tuple([parameter for parameter, _ in BYTES_OF])
    assert p.decode_parameters(p.encode_parameters(parameters)) == parameters


@pytest.mark.parametrize(
    "encoded",
    [
        "00050007 c00002",
        "00050009 c0000201 00",
        "00060008 20010db8",
        "00090004",
        "00090007 000003",
        "000c0005 00",
        "000d000c 00000001 00000002",
        "000d0011 00000001 00000002 00000003 00",
        "000e0007 000000",
        "000e0009 00000001 00",
        "000f0004",
        "000f000c 00000001 00000002",
        "00100008 00000001",
        "00100010 00000001 00000001 00000003",  # one next TSN without the other
        "00100018 00000001 00000001 00000003 00000004 00000005",
        "00110008 00000001",
        "0012000b 00000001 0002 00",
        "80000008 00000000",
        "80010004",
        "8001000c 00000001 00000001",
        "c0000005 00",
    ],
)
def test_values_of_impossible_size(encoded: str) -> None:
    with pytest.raises(DecodeError):
        p.decode_parameters(bytes.fromhex(encoded))


@pytest.mark.parametrize(
    "encoded",
    ["0001", "00010000", "00010001", "00010002", "00010003", "00010005", "80080005 82000000 0007"],
)
def test_broken_framing(encoded: str) -> None:
    with pytest.raises(DecodeError):
        p.decode_parameters(bytes.fromhex(encoded))


def test_reserved_fields_are_ignored() -> None:
    (parameter,) = p.decode_parameters(bytes.fromhex("0011000c 00000001 0002 ffff"))
    assert parameter == p.AddOutgoingStreams(1, 2)


def test_a_result_nobody_knows_is_kept() -> None:
    (parameter,) = p.decode_parameters(bytes.fromhex("0010000c 00000001 000000ff"))
    assert parameter == p.ReConfigResponse(1, 255)


@pytest.mark.parametrize(
    "number,continues,reports",
    [(0x3FFF, False, False), (0x7FFF, False, True), (0x8FFF, True, False), (0xCFFF, True, True)],
)
def test_what_the_high_bits_of_an_unknown_type_say(
    number: int, continues: bool, reports: bool
) -> None:
    # RFC 9260 §3.2.1 table 3
    (parameter,) = p.decode_parameters(p.UnknownParameter(number, b"").encode())
    assert isinstance(parameter, p.UnknownParameter)
    assert (parameter.continue_processing, parameter.report) == (continues, reports)


def test_addresses_are_bytes_or_text() -> None:
    assert p.IPv4Address(bytes([192, 0, 2, 1])) == p.IPv4Address("192.0.2.1")
    assert str(p.IPv4Address("192.0.2.1")) == "192.0.2.1"
    assert p.IPv6Address(bytes(15) + b"\1") == p.IPv6Address("::1")
    assert str(p.IPv6Address("::1")) == "::1"


@pytest.mark.parametrize(
    "make",
    [
        lambda: p.IPv4Address("::1"),
        lambda: p.IPv4Address(b"123"),
        lambda: p.IPv6Address("192.0.2.1"),
        lambda: p.CookiePreservative(2**32).encode(),
        lambda: p.SupportedAddressTypes((65536,)).encode(),
        lambda: p.SupportedExtensions((256,)).encode(),
        lambda: p.StateCookie(bytes(65532)).encode(),
        lambda: p.Padding(3).encode(),
        lambda: p.ReConfigResponse(1, 1, 3, None).encode(),
        lambda: p.ReConfigResponse(1, 1, None, 3).encode(),
        lambda: p.OutgoingSsnResetRequest(1, 2, 3, (-1,)).encode(),
    ],
)
def test_local_misuse_is_a_value_error(make: object) -> None:
    assert callable(make)
    with pytest.raises(ValueError):
        make()
