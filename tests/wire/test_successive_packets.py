"""Packets that carry on the one before them: taken up to the first that differs in anything else."""

from __future__ import annotations

from typing import Any

import pytest

from trio_sctp._wire.chunks import Data, IData
from trio_sctp._wire.packet import decode_header, encode_packet, header_crc, successive_payloads

PORTS_AND_TAG = 5000, 5001, 0x01020304
CRC = header_crc(bytes.fromhex("1388138901020304"))
TSN, STREAM, PPID = 2**32 - 3, 0x0203, 0x05060708  # TSNs wrap within the row
MASK16, MASK32 = 0xFFFF, 0xFFFFFFFF


def chunk_at(place: int, *, interleaved: bool, whole: bool, size: int, first: int) -> Data | IData:
    """The chunk of a packet in a row; what counts up besides the TSN begins with ``first``."""
    tsn, payload = TSN + place & MASK32, bytes([place]) * size
    flags: dict[str, Any] = {"beginning": whole, "ending": whole}
    if not interleaved:
        ssn = first + place & MASK16 if whole else 7
        return Data(tsn, STREAM, ssn, PPID, payload, **flags)
    number = first + place & MASK32
    if whole:
        return IData(tsn, STREAM, number, 0, PPID, payload, **flags)
    return IData(tsn, STREAM, 0x0A0B0C0D, number, 0, payload, **flags)


def row(
    count: int, *, interleaved: bool, whole: bool, size: int = 100, first: int = 5, **how: Any
) -> list[bytes]:
    chunks = [
        chunk_at(place, interleaved=interleaved, whole=whole, size=size, first=first)
        for place in range(count)
    ]
    return [encode_packet(*PORTS_AND_TAG, [chunk.encode()], **how) for chunk in chunks]


def taken(packets: list[bytes], start: int = 1, most: int = 100, *, zero: bool = False) -> int:
    """How many payloads come; each has to be its packet's, for which the first byte tells the place."""
    payloads = successive_payloads(packets, start, most, CRC, zero_checksum=zero)
    places = [packet[-4] for packet in packets[start : start + len(payloads)]]
    assert [payload[0] for payload in payloads] == places
    return len(payloads)


kinds = pytest.mark.parametrize("whole", [False, True], ids=["middle", "whole"])
chunks = pytest.mark.parametrize("interleaved", [False, True], ids=["DATA", "I-DATA"])


@chunks
@kinds
@pytest.mark.parametrize("size", [1, 99, 100, 1001])
def test_all_that_carry_on_are_taken(interleaved: bool, whole: bool, size: int) -> None:
    packets = row(8, interleaved=interleaved, whole=whole, size=size)
    payloads = successive_payloads(packets, 1, 100, CRC, zero_checksum=False)
    assert payloads == [bytes([place]) * size for place in range(1, 8)]


@chunks
@kinds
def test_no_more_than_asked_for_from_where_it_is_asked(interleaved: bool, whole: bool) -> None:
    packets = row(8, interleaved=interleaved, whole=whole)
    assert taken(packets, 3) == 5
    assert taken(packets, 3, most=2) == 2
    assert taken(packets, 8) == 0


@chunks
@pytest.mark.parametrize("before_wrap", [1, 2])
def test_numbers_wrap(interleaved: bool, before_wrap: int) -> None:
    """RFC 9260 §1.6 and RFC 8260 §2.1: SSNs after 65535, MIDs and FSNs after 2^32 - 1."""
    first = (2**32 if interleaved else 2**16) - before_wrap
    assert taken(row(5, interleaved=interleaved, whole=True, first=first)) == 4
    assert taken(row(5, interleaved=interleaved, whole=False, first=first)) == 4


@chunks
@kinds
@pytest.mark.parametrize("zero", [False, True], ids=["checksum", "no checksum"])
def test_any_other_bit_of_the_headers_ends_it(interleaved: bool, whole: bool, zero: bool) -> None:
    """Ports, tag, type, flags, length, TSN, stream, numbers, PPID; a checksum is right for them."""
    begin = 32 if interleaved else 28
    packets = row(4, interleaved=interleaved, whole=whole, zero_checksum=zero)
    for at in [*range(8), *range(12, begin)]:
        for bit in range(8):
            changed = bytearray(packets[2])
            changed[at] ^= 1 << bit
            ports_and_tag = decode_header(bytes(changed))[:3]
            odd = encode_packet(*ports_and_tag, [bytes(changed[12:])], zero_checksum=zero)
            assert taken([*packets[:2], odd, packets[3]], zero=zero) == 1, (at, bit)


@chunks
@kinds
def test_numbers_that_stay_or_go_back_end_it(interleaved: bool, whole: bool) -> None:
    packets = row(6, interleaved=interleaved, whole=whole)
    assert taken([packets[2], packets[2], packets[3]]) == 0
    assert taken([packets[2], packets[1], packets[3]]) == 0
    assert taken([packets[2], packets[3], packets[5], packets[4]]) == 1


@chunks
@kinds
def test_another_length_ends_it(interleaved: bool, whole: bool) -> None:
    packets = row(4, interleaved=interleaved, whole=whole)
    shorter = row(4, interleaved=interleaved, whole=whole, size=96)
    longer = row(4, interleaved=interleaved, whole=whole, size=104)
    for odd in (shorter[2], longer[2], packets[2] + bytes(4)):
        assert taken([*packets[:2], odd, packets[3]]) == 1
    # The length of the chunk is that of the others, the packet's is not
    for rest in (packets[2][12:] + bytes(4), packets[2][12:-4]):
        odd = encode_packet(*PORTS_AND_TAG, [rest])
        assert taken([*packets[:2], odd, packets[3]]) == 1


@chunks
@kinds
@pytest.mark.parametrize("at", [8, 11, 50, -1])
def test_6_8_a_checksum_that_is_wrong_ends_it(interleaved: bool, whole: bool, at: int) -> None:
    packets = row(4, interleaved=interleaved, whole=whole)
    damaged = bytearray(packets[2])
    damaged[at] ^= 1
    for zero in (False, True):
        assert taken([*packets[:2], bytes(damaged), packets[3]], zero=zero) == 1


@chunks
@kinds
def test_no_checksum_is_none_only_where_that_is_agreed(interleaved: bool, whole: bool) -> None:
    """RFC 9653 §5.3: with it packets may have one all the same, as long as it is right."""
    without = row(5, interleaved=interleaved, whole=whole, zero_checksum=True)
    assert taken(without, zero=True) == 4
    assert taken(without) == 0
    with_one = row(5, interleaved=interleaved, whole=whole)
    assert taken([without[0], with_one[1], without[2]], zero=True) == 2
    one_byte = without[1][:8] + b"\0\0\0\1" + without[1][12:]
    assert taken([without[0], one_byte], zero=True) == 0
