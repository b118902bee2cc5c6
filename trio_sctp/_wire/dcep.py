"""The Data Channel Establishment Protocol (RFC 8832) and the PPIDs of data channels (RFC 8831 §8).

Its messages travel as user messages with PPID_DCEP on the stream of the channel.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from struct import Struct
from typing import ClassVar, Final, Self

from .tlv import DecodeError, pack_fields

__all__ = [
    "PPID_BINARY",
    "PPID_BINARY_EMPTY",
    "PPID_BINARY_PARTIAL",
    "PPID_DCEP",
    "PPID_STRING",
    "PPID_STRING_EMPTY",
    "PPID_STRING_PARTIAL",
    "ChannelType",
    "DataChannelAck",
    "DataChannelOpen",
    "decode_dcep",
]

PPID_DCEP: Final = 50
PPID_STRING: Final = 51
PPID_BINARY_PARTIAL: Final = 52
"""Deprecated: not the last part of a binary message."""
PPID_BINARY: Final = 53
PPID_STRING_PARTIAL: Final = 54
"""Deprecated: not the last part of a string."""
PPID_STRING_EMPTY: Final = 56
"""An empty string, sent as one byte that means nothing."""
PPID_BINARY_EMPTY: Final = 57
"""An empty binary message, sent as one byte that means nothing."""

_OPEN: Final = Struct(">BBHIHH")


class ChannelType(enum.IntEnum):
    """Channel types, RFC 8832 §5.1; the highest bit says that messages are unordered (§8.2.2)."""

    RELIABLE = 0x00
    RELIABLE_UNORDERED = 0x80
    PARTIAL_RELIABLE_REXMIT = 0x01
    PARTIAL_RELIABLE_REXMIT_UNORDERED = 0x81
    PARTIAL_RELIABLE_TIMED = 0x02
    PARTIAL_RELIABLE_TIMED_UNORDERED = 0x82


@dataclass(frozen=True, slots=True)
class DataChannelOpen:
    """DATA_CHANNEL_OPEN, RFC 8832 §5.1: the peer opens a channel.

    `channel_type` is a ChannelType, or an unknown number from the peer.  `reliability_parameter`
    counts retransmissions or milliseconds, as the type says.  The lengths on the wire count UTF-8
    bytes; label and protocol from a peer that counted characters come out cut, never as an error.
    """

    message_type: ClassVar[int] = 0x03
    channel_type: int = ChannelType.RELIABLE
    priority: int = 0
    reliability_parameter: int = 0
    label: str = ""
    protocol: str = ""

    def encode(self) -> bytes:
        """Encode the message; ValueError where label or protocol exceed 65535 bytes of UTF-8."""
        label, protocol = self.label.encode(), self.protocol.encode()
        for name, text in (("label", label), ("protocol", protocol)):
            if len(text) > 0xFFFF:
                raise ValueError(f"the {name} is {len(text)} bytes of UTF-8, more than 65535")
        fixed = pack_fields(
            _OPEN,
            self.message_type,
            self.channel_type,
            self.priority,
            self.reliability_parameter,
            len(label),
            len(protocol),
        )
        return fixed + label + protocol

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Decode the message; DecodeError where it is of another type or cut short.

        Bytes after the protocol are ignored: they are there where a peer counted characters.
        """
        if len(data) < _OPEN.size or data[0] != cls.message_type:
            raise DecodeError("not a DATA_CHANNEL_OPEN message")
        _, channel_type, priority, reliability, label_size, protocol_size = _OPEN.unpack_from(data)
        label_end = _OPEN.size + label_size
        if label_end + protocol_size > len(data):
            raise DecodeError("label and protocol go beyond the end of the message")
        label = data[_OPEN.size : label_end].decode(errors="replace")
        protocol = data[label_end : label_end + protocol_size].decode(errors="replace")
        return cls(channel_type, priority, reliability, label, protocol)


@dataclass(frozen=True, slots=True)
class DataChannelAck:
    """DATA_CHANNEL_ACK, RFC 8832 §5.2: the peer accepts the channel."""

    message_type: ClassVar[int] = 0x02

    def encode(self) -> bytes:
        return bytes([self.message_type])

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Decode the message; DecodeError where it is of another type."""
        if data[:1] != bytes([cls.message_type]):
            raise DecodeError("not a DATA_CHANNEL_ACK message")
        return cls()


def decode_dcep(data: bytes) -> DataChannelOpen | DataChannelAck:
    """Decode a message that came with PPID_DCEP; DecodeError for what RFC 8832 does not define."""
    if not data:
        raise DecodeError("an empty DCEP message")
    if data[0] == DataChannelAck.message_type:
        return DataChannelAck.decode(data)
    if data[0] == DataChannelOpen.message_type:
        return DataChannelOpen.decode(data)
    raise DecodeError(f"DCEP message type {data[0]:#04x}")
