"""CRC-32C against published vectors and against a bit-by-bit division."""

from __future__ import annotations

import pytest
from hypothesis import given, settings, strategies as st

from trio_sctp._wire.crc32c import crc32c, extend_crc32c

# RFC 3720 §B.4; its last example is an iSCSI command.
ISCSI_READ = bytes.fromhex(
    "01c000000000000000000000000000001400000000000400000000140000001828000000000000000200000000000000"
)


@pytest.mark.parametrize(
    "data,expected",
    [
        (b"", 0x00000000),
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(reversed(range(32))), 0x113FDB5C),
        (ISCSI_READ, 0xD9963A56),
    ],
)
def test_known_vectors(data: bytes, expected: int) -> None:
    assert crc32c(data) == expected


def bitwise_crc32c(data: bytes) -> int:
    """The reflected polynomial of RFC 9260 appendix A, one bit at a time."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


@given(st.binary(max_size=60), st.binary(max_size=60))
@settings(deadline=None)
def test_agrees_with_long_division_also_in_two_parts(first: bytes, second: bytes) -> None:
    expected = bitwise_crc32c(first + second)
    assert crc32c(first + second) == expected
    assert extend_crc32c(crc32c(first), second) == expected
