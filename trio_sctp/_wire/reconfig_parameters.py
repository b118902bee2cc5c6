"""The parameters of RE-CONFIG chunks: resetting streams and adding them (RFC 6525 §4).

Used as those in `parameters`, which re-exports them.  Sequence numbers and TSNs are as on the
wire.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from struct import Struct
from typing import ClassVar, Final, Self

from .tlv import encode_tlv, pack_fields, pack_u16s, unpack_exact, unpack_prefix, unpack_u16s

__all__ = [
    "AddIncomingStreams",
    "AddOutgoingStreams",
    "IncomingSsnResetRequest",
    "OutgoingSsnResetRequest",
    "ReConfigResponse",
    "ReConfigResult",
    "SsnTsnResetRequest",
]

_U32: Final = Struct(">I")
_TWO_U32: Final = Struct(">II")
_THREE_U32: Final = Struct(">III")
_FOUR_U32: Final = Struct(">IIII")
_ADD_STREAMS: Final = Struct(">IHH")


@dataclass(frozen=True, slots=True)
class OutgoingSsnResetRequest:
    """Outgoing SSN Reset Request, RFC 6525 §4.1: the sender resets streams it sends on.

    No stream ids: all streams.  `response_sn` answers an Incoming SSN Reset Request where there was
    one.
    """

    type: ClassVar[int] = 13
    request_sn: int
    response_sn: int
    last_tsn: int
    stream_ids: tuple[int, ...] = ()

    def encode(self) -> bytes:
        fixed = pack_fields(_THREE_U32, self.request_sn, self.response_sn, self.last_tsn)
        return encode_tlv(self.type, fixed + pack_u16s(self.stream_ids))

    @classmethod
    def decode(cls, value: bytes) -> Self:
        request_sn, response_sn, last_tsn = unpack_prefix(_THREE_U32, value)
        return cls(request_sn, response_sn, last_tsn, unpack_u16s(value[12:]))


@dataclass(frozen=True, slots=True)
class IncomingSsnResetRequest:
    """Incoming SSN Reset Request, RFC 6525 §4.2: a wish that the peer resets streams it sends on.

    No stream ids: all streams.
    """

    type: ClassVar[int] = 14
    request_sn: int
    stream_ids: tuple[int, ...] = ()

    def encode(self) -> bytes:
        return encode_tlv(
            self.type, pack_fields(_U32, self.request_sn) + pack_u16s(self.stream_ids)
        )

    @classmethod
    def decode(cls, value: bytes) -> Self:
        (request_sn,) = unpack_prefix(_U32, value)
        return cls(request_sn, unpack_u16s(value[4:]))


@dataclass(frozen=True, slots=True)
class SsnTsnResetRequest:
    """SSN/TSN Reset Request, RFC 6525 §4.3: all numbering of the association begins anew."""

    type: ClassVar[int] = 15
    request_sn: int

    def encode(self) -> bytes:
        return encode_tlv(self.type, pack_fields(_U32, self.request_sn))

    @classmethod
    def decode(cls, value: bytes) -> Self:
        return cls(*unpack_exact(_U32, value))


class ReConfigResult(enum.IntEnum):
    """Results of a re-configuration request, RFC 6525 §4.4 table 3."""

    SUCCESS_NOTHING_TO_DO = 0
    SUCCESS_PERFORMED = 1
    DENIED = 2
    ERROR_WRONG_SSN = 3
    ERROR_REQUEST_ALREADY_IN_PROGRESS = 4
    ERROR_BAD_SEQUENCE_NUMBER = 5
    IN_PROGRESS = 6


@dataclass(frozen=True, slots=True)
class ReConfigResponse:
    """Re-configuration Response, RFC 6525 §4.4: how the request `response_sn` went.

    `result` is a ReConfigResult, or an unknown number from the peer.  Both next TSNs are there, or
    none.
    """

    type: ClassVar[int] = 16
    response_sn: int
    result: int
    sender_next_tsn: int | None = None
    receiver_next_tsn: int | None = None

    def encode(self) -> bytes:
        fields: tuple[int, ...] = (self.response_sn, self.result)
        if self.sender_next_tsn is None and self.receiver_next_tsn is None:
            return encode_tlv(self.type, pack_fields(_TWO_U32, *fields))
        if self.sender_next_tsn is None or self.receiver_next_tsn is None:
            raise ValueError("sender_next_tsn and receiver_next_tsn go together")
        fields += (self.sender_next_tsn, self.receiver_next_tsn)
        return encode_tlv(self.type, pack_fields(_FOUR_U32, *fields))

    @classmethod
    def decode(cls, value: bytes) -> Self:
        return cls(*unpack_exact(_FOUR_U32 if len(value) == 16 else _TWO_U32, value))


@dataclass(frozen=True, slots=True)
class _AddStreams:
    type: ClassVar[int]
    request_sn: int
    new_streams: int

    def encode(self) -> bytes:
        return encode_tlv(
            self.type, pack_fields(_ADD_STREAMS, self.request_sn, self.new_streams, 0)
        )

    @classmethod
    def decode(cls, value: bytes) -> Self:
        request_sn, new_streams, _reserved = unpack_exact(_ADD_STREAMS, value)
        return cls(request_sn, new_streams)


class AddOutgoingStreams(_AddStreams):
    """Add Outgoing Streams Request, RFC 6525 §4.5: the sender wants more streams to send on."""

    __slots__ = ()
    type = 17


class AddIncomingStreams(_AddStreams):
    """Add Incoming Streams Request, RFC 6525 §4.6: a wish that the peer adds streams to send on."""

    __slots__ = ()
    type = 18
