"""Packets made by an independent encoder (scapy 2.8), which must mean the same to us.

Port 5000 to 5001, verification tag 0x01020304.  That encoder counts the padding of the last
parameter or cause in the chunk length, which RFC 9260 §3.2 wants accepted; where it does, our own
encoding states a smaller length and is not compared.
"""

from __future__ import annotations

import pytest

from trio_sctp._wire import chunks as c, error_causes as e, parameters as p
from trio_sctp._wire.packet import checksum_ok, decode_chunks, decode_header, encode_packet

SAME_BYTES: dict[str, list[c.EncodableChunk]] = {
    "1388138901020304a3af95e1000b001511223344000500070000003568656c6c6f000000": [
        c.Data(0x11223344, 5, 7, 53, b"hello", immediate=True)
    ],
    "138813890102030451fcfc4a00060014000000010005000700000035616263640005001300000002000500070000"
    "003578797a00": [
        c.Data(1, 5, 7, 53, b"abcd", unordered=True, beginning=True, ending=False),
        c.Data(2, 5, 7, 53, b"xyz", unordered=True, beginning=False, ending=True),
    ],
    "138813890102030486e5b4c54002001600000009000300000000004d0000003368690000": [
        c.IData(9, 3, 77, 0, 51, b"hi", False, True, False, False)
    ],
    "1388138901020304e429195f400500190000000a000300000000004d000000017468657265000000": [
        c.IData(10, 3, 77, 1, 0, b"there", True, False, True, False)
    ],
    "1388138901020304d7e5c63201000058deadbeef00020000040008005566778800050008c0000201000600142001"
    "0db800000000000000000000000100090008000003e8000c00080005000680000004c00000048008000782c04000"
    "c006000800000003": [
        c.Init(
            0xDEADBEEF,
            131072,
            1024,
            2048,
            0x55667788,
            (
                p.IPv4Address("192.0.2.1"),
                p.IPv6Address("2001:db8::1"),
                p.CookiePreservative(1000),
                p.SupportedAddressTypes((5, 6)),
                p.EcnCapable(),
                p.ForwardTsnSupported(),
                p.SupportedExtensions((130, 192, 64)),
                p.UnknownParameter(0xC006, b"\0\0\0\x03"),
            ),
        )
    ],
    "138813890102030483de503502000038deadbeef00020000000a0014000000010007000b636f6f6b696521000008"
    "000cc006000800000003000b000c6578616d706c6500": [
        c.InitAck(
            0xDEADBEEF,
            131072,
            10,
            20,
            1,
            (
                p.StateCookie(b"cookie!"),
                p.UnrecognizedParameter(bytes.fromhex("c006000800000003")),
                p.HostNameAddress(b"example\0"),
            ),
        )
    ],
    "1388138901020304d13262b2030000200000000c000012340002000200020003000500050000000a0000000b": [
        c.Sack(12, 4660, (2, 3, 5, 5), (10, 11))
    ],
    "1388138901020304f8b48c47030000100000000c0000123400000000": [c.Sack(12, 4660)],
    "13881389010203048ca800bb0700000800000063": [c.Shutdown(99)],
    "1388138901020304b2eba1f708000004": [c.ShutdownAck()],
    "13881389010203041d0b71da09000014000100080007000000030008000003e8": [
        c.Error((e.InvalidStreamIdentifier(7), e.StaleCookie(1000)))
    ],
    "13881389010203045112d9db0a00000b636f6f6b69652100": [c.CookieEcho(b"cookie!")],
    "13881389010203048b6283950b000004": [c.CookieAck()],
    "1388138901020304be6ba5960e010004": [c.ShutdownComplete(tag_reflected=True)],
    "13881389010203047b70972b8200000c000f000800000007": [c.ReConfig((p.SsnTsnResetRequest(7),))],
    "138813890102030498f3fb258200001c0011000c0000000b000c00000012000c0000000c000d0000": [
        c.ReConfig((p.AddOutgoingStreams(11, 12), p.AddIncomingStreams(12, 13)))
    ],
    "138813890102030475f7b22a84000010000000000000000000000000": [c.Pad(16)],
    "138813890102030493234e5682000018001000140000000800000001000000090000000a": [
        c.ReConfig((p.ReConfigResponse(8, 1, 9, 10),))
    ],
    "138813890102030428c7c310c000001000000037000100020003ffff": [
        c.ForwardTsn(55, ((1, 2), (3, 65535)))
    ],
    "1388138901020304a01499dfc20000180000003700010001000000020003000000011170": [
        c.IForwardTsn(55, ((1, True, 2), (3, False, 70000)))
    ],
}

PADDING_COUNTED: dict[str, list[c.EncodableChunk]] = {
    "138813890102030455bb8963040000140001000d6e6f6e63652d313233000000": [
        c.Heartbeat(bytes.fromhex("0001000d6e6f6e63652d313233000000"))
    ],
    "1388138901020304e84cca54050000140001000d6e6f6e63652d313233000000": [
        c.HeartbeatAck(bytes.fromhex("0001000d6e6f6e63652d313233000000"))
    ],
    "138813890102030422d312a30601000b000c000762796500": [
        c.Abort((e.UserInitiatedAbort(b"bye"),), tag_reflected=True)
    ],
    "138813890102030494f5f9298200002c000d001600000064000000c80000012c0001000300050000000e000e0000"
    "00650002000400060000": [
        c.ReConfig(
            (
                p.OutgoingSsnResetRequest(100, 200, 300, (1, 3, 5)),
                p.IncomingSsnResetRequest(101, (2, 4, 6)),
            )
        )
    ],
}


@pytest.mark.parametrize("packet,chunks", [*SAME_BYTES.items(), *PADDING_COUNTED.items()])
def test_we_understand(packet: str, chunks: list[c.EncodableChunk]) -> None:
    data = bytes.fromhex(packet)
    assert decode_header(data)[:3] == (5000, 5001, 0x01020304)
    assert checksum_ok(data)
    assert decode_chunks(data) == chunks


@pytest.mark.parametrize("packet,chunks", SAME_BYTES.items())
def test_we_make_the_same(packet: str, chunks: list[c.EncodableChunk]) -> None:
    ours = encode_packet(5000, 5001, 0x01020304, [chunk.encode() for chunk in chunks])
    assert ours.hex() == packet


def test_heartbeat_info_of_the_independent_encoder() -> None:
    for packet in PADDING_COUNTED:
        for chunk in decode_chunks(bytes.fromhex(packet)):
            if isinstance(chunk, c.Heartbeat | c.HeartbeatAck):
                assert chunk.info == b"nonce-123"
