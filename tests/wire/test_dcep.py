"""DCEP messages: bytes against RFC 8832 §5, and what other stacks get wrong."""

from __future__ import annotations

import pytest

from trio_sctp._wire import dcep
from trio_sctp._wire.dcep import ChannelType, DataChannelAck, DataChannelOpen, decode_dcep
from trio_sctp._wire.tlv import DecodeError

OPEN_FIXED = bytes.fromhex("03 00 0100 00000000")


@pytest.mark.parametrize(
    "message,expected",
    [
        (DataChannelOpen(), "03 00 0000 00000000 0000 0000"),
        (
            DataChannelOpen(ChannelType.RELIABLE, 256, 0, "chat", "json"),
            "03 00 0100 00000000 0004 0004 63686174 6a736f6e",
        ),
        (
            DataChannelOpen(ChannelType.PARTIAL_RELIABLE_TIMED_UNORDERED, 1, 3000, "é€", "ü"),
            "03 82 0001 00000bb8 0005 0002 c3a9e282ac c3bc",
        ),
        (
            DataChannelOpen(ChannelType.PARTIAL_RELIABLE_REXMIT, 1024, 0xFFFFFFFF, "", "p"),
            "03 01 0400 ffffffff 0000 0001 70",
        ),
        (DataChannelAck(), "02"),
    ],
)
def test_bytes_both_ways(message: DataChannelOpen | DataChannelAck, expected: str) -> None:
    assert message.encode() == bytes.fromhex(expected)
    assert decode_dcep(bytes.fromhex(expected)) == message


def test_ppids() -> None:
    # RFC 8831 §8
    assert (
        dcep.PPID_DCEP,
        dcep.PPID_STRING,
        dcep.PPID_BINARY_PARTIAL,
        dcep.PPID_BINARY,
        dcep.PPID_STRING_PARTIAL,
        dcep.PPID_STRING_EMPTY,
        dcep.PPID_BINARY_EMPTY,
    ) == (50, 51, 52, 53, 54, 56, 57)


def test_lengths_count_utf8_bytes() -> None:
    encoded = DataChannelOpen(label="Ä" * 100, protocol="€").encode()
    assert encoded[8:12] == bytes.fromhex("00c8 0003")


@pytest.mark.parametrize(
    "label_length,protocol_length,expected",
    [
        # The peer said 3 characters for "é€x" (6 bytes) and 1 for "p".
        (3, 1, ("é\ufffd", "\ufffd")),
        (6, 1, ("é€x", "p")),
    ],
)
def test_lengths_counted_in_characters_give_a_cut_label(
    label_length: int, protocol_length: int, expected: tuple[str, str]
) -> None:
    lengths = bytes([0, label_length, 0, protocol_length])
    message = decode_dcep(OPEN_FIXED + lengths + "é€x".encode() + b"p")
    assert isinstance(message, DataChannelOpen)
    assert (message.label, message.protocol) == expected


def test_invalid_utf8_is_replaced() -> None:
    message = decode_dcep(OPEN_FIXED + bytes.fromhex("0002 0003") + b"\xff\xfe" + b"\xed\xa0\x80")
    assert isinstance(message, DataChannelOpen)
    assert message.label == "\ufffd\ufffd"
    assert "\ufffd" in message.protocol


def test_null_bytes_belong_to_the_label() -> None:
    message = decode_dcep(OPEN_FIXED + bytes.fromhex("0003 0000") + b"a\0b")
    assert isinstance(message, DataChannelOpen)
    assert message.label == "a\0b"


@pytest.mark.parametrize(
    "lengths", ["0001 0000", "0000 0001", "ffff ffff", "ffff 0000", "0000 ffff"]
)
def test_lengths_beyond_the_message(lengths: str) -> None:
    with pytest.raises(DecodeError):
        decode_dcep(OPEN_FIXED + bytes.fromhex(lengths))


@pytest.mark.parametrize("size", range(1, 12))
def test_open_that_is_cut_short(size: int) -> None:
    with pytest.raises(DecodeError):
        decode_dcep((OPEN_FIXED + bytes(4))[:size])


@pytest.mark.parametrize("message", [b"", b"\0", b"\1", b"\4", b"\xff" * 20])
def test_message_types_nobody_defined(message: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_dcep(message)


def test_each_class_refuses_the_other_message() -> None:
    with pytest.raises(DecodeError):
        DataChannelOpen.decode(b"\2" + bytes(11))
    with pytest.raises(DecodeError):
        DataChannelAck.decode(b"\3" + bytes(11))
    with pytest.raises(DecodeError):
        DataChannelAck.decode(b"")


def test_bytes_after_an_ack_are_ignored() -> None:
    assert decode_dcep(b"\2\0\0\0") == DataChannelAck()


def test_a_channel_type_nobody_knows_is_kept() -> None:
    message = decode_dcep(bytes.fromhex("03 7f 0000 00000000 0000 0000"))
    assert message == DataChannelOpen(channel_type=0x7F)


def test_the_longest_label_and_the_one_beyond() -> None:
    longest = DataChannelOpen(label="€" * 21845)
    assert decode_dcep(longest.encode()) == longest
    with pytest.raises(ValueError, match="label is 65538 bytes"):
        DataChannelOpen(label="€" * 21846).encode()
    with pytest.raises(ValueError, match="protocol is 65536 bytes"):
        DataChannelOpen(protocol="p" * 65536).encode()
    with pytest.raises(ValueError, match="not encodable"):
        DataChannelOpen(priority=65536).encode()
