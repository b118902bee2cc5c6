"""Parameters: what INIT, INIT ACK, HEARTBEAT and RE-CONFIG chunks carry after their fixed part.

One frozen class per parameter.  `type` is its number, `encode()` gives the parameter *without*
padding (`encode_parameters` pads between them), `decode(value)` takes the value without its header
and raises DecodeError.  A type that has no class here becomes an `UnknownParameter`, which knows
what the two highest bits of its type demand.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from struct import Struct
from typing import ClassVar, Final, Self, TypeAlias, get_args

from .reconfig_parameters import (
    AddIncomingStreams as AddIncomingStreams,
    AddOutgoingStreams as AddOutgoingStreams,
    IncomingSsnResetRequest as IncomingSsnResetRequest,
    OutgoingSsnResetRequest as OutgoingSsnResetRequest,
    ReConfigResponse as ReConfigResponse,
    ReConfigResult as ReConfigResult,
    SsnTsnResetRequest as SsnTsnResetRequest,
)
from .tlv import (
    DecodeError,
    decode_tlvs,
    encode_tlv,
    join_tlvs,
    pack_fields,
    pack_u16s,
    unpack_exact,
    unpack_u16s,
)

__all__ = [
    "AddIncomingStreams",
    "AddOutgoingStreams",
    "CookiePreservative",
    "EcnCapable",
    "ForwardTsnSupported",
    "HeartbeatInfo",
    "HostNameAddress",
    "IPv4Address",
    "IPv6Address",
    "IncomingSsnResetRequest",
    "OutgoingSsnResetRequest",
    "Padding",
    "Parameter",
    "ReConfigResponse",
    "ReConfigResult",
    "SsnTsnResetRequest",
    "StateCookie",
    "SupportedAddressTypes",
    "SupportedExtensions",
    "UnknownParameter",
    "UnrecognizedParameter",
    "ZeroChecksumAcceptable",
    "decode_parameters",
    "encode_parameters",
]

_U32: Final = Struct(">I")


@dataclass(frozen=True, slots=True)
class HeartbeatInfo:
    """Heartbeat Info, RFC 9260 §3.3.5: bytes that only the sender of the HEARTBEAT understands."""

    type: ClassVar[int] = 1
    info: bytes

    def encode(self) -> bytes:
        return encode_tlv(self.type, self.info)

    @classmethod
    def decode(cls, value: bytes) -> Self:
        return cls(value)


@dataclass(frozen=True, slots=True)
class IPv4Address:
    """IPv4 Address, RFC 9260 §3.3.2.1.1: an address of the sender.

    Give four bytes or text; `address` holds the four bytes, `str()` gives the text.
    """

    type: ClassVar[int] = 5
    address: bytes

    def __init__(self, address: bytes | str) -> None:
        object.__setattr__(self, "address", ipaddress.IPv4Address(address).packed)

    def __str__(self) -> str:
        return str(ipaddress.IPv4Address(self.address))

    def encode(self) -> bytes:
        return encode_tlv(self.type, self.address)

    @classmethod
    def decode(cls, value: bytes) -> Self:
        if len(value) != 4:
            raise DecodeError(f"an IPv4 address of {len(value)} bytes")
        return cls(value)


@dataclass(frozen=True, slots=True)
class IPv6Address:
    """IPv6 Address, RFC 9260 §3.3.2.1.2: an address of the sender.

    Give sixteen bytes or text; `address` holds the sixteen bytes, `str()` gives the text.
    """

    type: ClassVar[int] = 6
    address: bytes

    def __init__(self, address: bytes | str) -> None:
        object.__setattr__(self, "address", ipaddress.IPv6Address(address).packed)

    def __str__(self) -> str:
        return str(ipaddress.IPv6Address(self.address))

    def encode(self) -> bytes:
        return encode_tlv(self.type, self.address)

    @classmethod
    def decode(cls, value: bytes) -> Self:
        if len(value) != 16:
            raise DecodeError(f"an IPv6 address of {len(value)} bytes")
        return cls(value)


@dataclass(frozen=True, slots=True)
class StateCookie:
    """State Cookie, RFC 9260 §3.3.3.1.1: what the peer must echo to prove that it hears us."""

    type: ClassVar[int] = 7
    cookie: bytes

    def encode(self) -> bytes:
        return encode_tlv(self.type, self.cookie)

    @classmethod
    def decode(cls, value: bytes) -> Self:
        return cls(value)


@dataclass(frozen=True, slots=True)
class UnrecognizedParameter:
    """Unrecognized Parameter, RFC 9260 §3.3.3.1.2: a parameter of the INIT, sent back whole.

    `parameter` is that parameter with its own header, without padding.
    """

    type: ClassVar[int] = 8
    parameter: bytes

    def encode(self) -> bytes:
        return encode_tlv(self.type, self.parameter)

    @classmethod
    def decode(cls, value: bytes) -> Self:
        return cls(value)


@dataclass(frozen=True, slots=True)
class CookiePreservative:
    """Cookie Preservative, RFC 9260 §3.3.2.1.3: a wish for `increment_ms` more of cookie life."""

    type: ClassVar[int] = 9
    increment_ms: int

    def encode(self) -> bytes:
        return encode_tlv(self.type, pack_fields(_U32, self.increment_ms))

    @classmethod
    def decode(cls, value: bytes) -> Self:
        return cls(*unpack_exact(_U32, value))


@dataclass(frozen=True, slots=True)
class HostNameAddress:
    """Host Name Address, RFC 9260 §3.3.2.1.4: deprecated, and answered with an ABORT.

    `host_name` is kept as it came, terminating null bytes included.
    """

    type: ClassVar[int] = 11
    host_name: bytes

    def encode(self) -> bytes:
        return encode_tlv(self.type, self.host_name)

    @classmethod
    def decode(cls, value: bytes) -> Self:
        return cls(value)


@dataclass(frozen=True, slots=True)
class SupportedAddressTypes:
    """Supported Address Types, RFC 9260 §3.3.2.1.5: parameter types (5, 6) of usable addresses."""

    type: ClassVar[int] = 12
    address_types: tuple[int, ...]

    def encode(self) -> bytes:
        return encode_tlv(self.type, pack_u16s(self.address_types))

    @classmethod
    def decode(cls, value: bytes) -> Self:
        return cls(unpack_u16s(value))


@dataclass(frozen=True, slots=True)
class EcnCapable:
    """ECN Capable, RFC 9260 §3.3.2 table 6: reserved; some stacks send it."""

    type: ClassVar[int] = 0x8000

    def encode(self) -> bytes:
        return encode_tlv(self.type, b"")

    @classmethod
    def decode(cls, value: bytes) -> Self:
        _expect_empty(value)
        return cls()


@dataclass(frozen=True, slots=True)
class ZeroChecksumAcceptable:
    """Zero Checksum Acceptable, RFC 9653 §4: a checksum of 0 is fine where `edmid` protects.

    Error detection method 1 is SCTP over DTLS (§6).
    """

    type: ClassVar[int] = 0x8001
    edmid: int = 1

    def encode(self) -> bytes:
        return encode_tlv(self.type, pack_fields(_U32, self.edmid))

    @classmethod
    def decode(cls, value: bytes) -> Self:
        return cls(*unpack_exact(_U32, value))


@dataclass(frozen=True, slots=True)
class Padding:
    """Padding, RFC 4820 §4: enlarges an INIT; `length` counts the whole parameter, 4 or more."""

    type: ClassVar[int] = 0x8005
    length: int = 4

    def encode(self) -> bytes:
        return encode_tlv(self.type, bytes(self.length - 4))

    @classmethod
    def decode(cls, value: bytes) -> Self:
        return cls(4 + len(value))


@dataclass(frozen=True, slots=True)
class SupportedExtensions:
    """Supported Extensions, RFC 5061 §4.2.7: chunk types beyond RFC 9260 that the sender knows."""

    type: ClassVar[int] = 0x8008
    chunk_types: tuple[int, ...]

    def encode(self) -> bytes:
        return encode_tlv(self.type, bytes(self.chunk_types))

    @classmethod
    def decode(cls, value: bytes) -> Self:
        return cls(tuple(value))


@dataclass(frozen=True, slots=True)
class ForwardTsnSupported:
    """Forward-TSN-Supported, RFC 3758 §3.1: the sender does partial reliability."""

    type: ClassVar[int] = 0xC000

    def encode(self) -> bytes:
        return encode_tlv(self.type, b"")

    @classmethod
    def decode(cls, value: bytes) -> Self:
        _expect_empty(value)
        return cls()


@dataclass(frozen=True, slots=True)
class UnknownParameter:
    """A parameter of a type that has no class here, kept as it came (RFC 9260 §3.2.1)."""

    type: int
    value: bytes

    @property
    def continue_processing(self) -> bool:
        """Whether the parameters after this one are to be processed."""
        return bool(self.type & 0x8000)

    @property
    def report(self) -> bool:
        """Whether the peer is to be told (RFC 9260 §3.2.2)."""
        return bool(self.type & 0x4000)

    def encode(self) -> bytes:
        return encode_tlv(self.type, self.value)


Parameter: TypeAlias = (
    HeartbeatInfo
    | IPv4Address
    | IPv6Address
    | StateCookie
    | UnrecognizedParameter
    | CookiePreservative
    | HostNameAddress
    | SupportedAddressTypes
    | OutgoingSsnResetRequest
    | IncomingSsnResetRequest
    | SsnTsnResetRequest
    | ReConfigResponse
    | AddOutgoingStreams
    | AddIncomingStreams
    | EcnCapable
    | ZeroChecksumAcceptable
    | Padding
    | SupportedExtensions
    | ForwardTsnSupported
    | UnknownParameter
)

_DECODERS: Final[dict[int, Callable[[bytes], Parameter]]] = {
    parameter.type: parameter.decode
    for parameter in get_args(Parameter)
    if parameter is not UnknownParameter
}


def decode_parameters(data: bytes) -> tuple[Parameter, ...]:
    """Decode a sequence of parameters, in order.

    Raises DecodeError where the framing is broken or a known parameter is not as its section says.
    """
    return tuple([_decode_one(kind, value) for kind, value in decode_tlvs(data)])


def encode_parameters(parameters: Iterable[Parameter]) -> bytes:
    """Encode parameters one after the other; the last one is not padded."""
    return join_tlvs(parameter.encode() for parameter in parameters)


def _decode_one(kind: int, value: bytes) -> Parameter:
    decoder = _DECODERS.get(kind)
    return UnknownParameter(kind, value) if decoder is None else decoder(value)


def _expect_empty(value: bytes) -> None:
    if value:
        raise DecodeError(f"{len(value)} bytes in a parameter that has no value")
