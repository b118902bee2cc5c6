"""Error causes: why an ABORT or ERROR chunk was sent (RFC 9260 §3.3.10).

One frozen class per cause.  `code` is its number, `encode()` gives the cause without padding
(`encode_causes` pads between them), `decode(value)` takes the value without its header, and `str()`
gives a sentence for people.  A cause with more bytes than its section says is understood all the
same: it is a report, and some stacks add an explanation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from struct import Struct
from typing import ClassVar, Final, Self, TypeAlias, get_args

from .tlv import (
    DecodeError,
    decode_tlvs,
    encode_tlv,
    join_tlvs,
    pack_fields,
    pack_u16s,
    unpack_prefix,
    unpack_u16s,
)

__all__ = [
    "CookieReceivedWhileShuttingDown",
    "ErrorCause",
    "InvalidMandatoryParameter",
    "InvalidStreamIdentifier",
    "MissingMandatoryParameter",
    "NoUserData",
    "OutOfResource",
    "ProtocolViolation",
    "RestartWithNewAddresses",
    "StaleCookie",
    "UnknownCause",
    "UnrecognizedChunkType",
    "UnrecognizedParameters",
    "UnresolvableAddress",
    "UserInitiatedAbort",
    "decode_causes",
    "encode_causes",
]

_U32: Final = Struct(">I")
_STREAM: Final = Struct(">HH")


@dataclass(frozen=True, slots=True)
class InvalidStreamIdentifier:
    """Invalid Stream Identifier, RFC 9260 §3.3.10.1: data came on a stream that does not exist."""

    code: ClassVar[int] = 1
    stream_id: int

    def __str__(self) -> str:
        return f"invalid stream identifier {self.stream_id}"

    def encode(self) -> bytes:
        return encode_tlv(self.code, pack_fields(_STREAM, self.stream_id, 0))

    @classmethod
    def decode(cls, value: bytes) -> Self:
        return cls(unpack_prefix(_STREAM, value)[0])


@dataclass(frozen=True, slots=True)
class MissingMandatoryParameter:
    """Missing Mandatory Parameter, RFC 9260 §3.3.10.2: an INIT or INIT ACK lacks these types."""

    code: ClassVar[int] = 2
    parameter_types: tuple[int, ...]

    def __str__(self) -> str:
        return f"missing mandatory parameter {_types(self.parameter_types)}"

    def encode(self) -> bytes:
        count = pack_fields(_U32, len(self.parameter_types))
        return encode_tlv(self.code, count + pack_u16s(self.parameter_types))

    @classmethod
    def decode(cls, value: bytes) -> Self:
        (count,) = unpack_prefix(_U32, value)
        end = 4 + 2 * count
        if end > len(value):
            raise DecodeError("fewer missing parameters are listed than counted")
        return cls(unpack_u16s(value[4:end]))


@dataclass(frozen=True, slots=True)
class StaleCookie:
    """Stale Cookie, RFC 9260 §3.3.10.3.

    `staleness_us` is its Measure of Staleness: how many microseconds ago the cookie expired, or 0
    where the peer does not tell.
    """

    code: ClassVar[int] = 3
    staleness_us: int = 0

    def __str__(self) -> str:
        if self.staleness_us:
            return f"stale cookie, expired {self.staleness_us} microseconds ago"
        return "stale cookie"

    def encode(self) -> bytes:
        return encode_tlv(self.code, pack_fields(_U32, self.staleness_us))

    @classmethod
    def decode(cls, value: bytes) -> Self:
        return cls(*unpack_prefix(_U32, value))


@dataclass(frozen=True, slots=True)
class OutOfResource:
    """Out of Resource, RFC 9260 §3.3.10.4."""

    code: ClassVar[int] = 4

    def __str__(self) -> str:
        return "out of resource"

    def encode(self) -> bytes:
        return encode_tlv(self.code, b"")

    @classmethod
    def decode(cls, value: bytes) -> Self:
        return cls()


@dataclass(frozen=True, slots=True)
class UnresolvableAddress:
    """Unresolvable Address, RFC 9260 §3.3.10.5: the whole address parameter, with its header."""

    code: ClassVar[int] = 5
    address: bytes

    def __str__(self) -> str:
        return f"unresolvable address {self.address.hex()}"

    def encode(self) -> bytes:
        return encode_tlv(self.code, self.address)

    @classmethod
    def decode(cls, value: bytes) -> Self:
        return cls(value)


@dataclass(frozen=True, slots=True)
class UnrecognizedChunkType:
    """Unrecognized Chunk Type, RFC 9260 §3.3.10.6: the chunk with its header, or its beginning."""

    code: ClassVar[int] = 6
    chunk: bytes

    def __str__(self) -> str:
        return "unrecognized chunk type" + (f" {self.chunk[0]}" if self.chunk else "")

    def encode(self) -> bytes:
        return encode_tlv(self.code, self.chunk)

    @classmethod
    def decode(cls, value: bytes) -> Self:
        return cls(value)


@dataclass(frozen=True, slots=True)
class InvalidMandatoryParameter:
    """Invalid Mandatory Parameter, RFC 9260 §3.3.10.7: a fixed field of an INIT (ACK) is wrong."""

    code: ClassVar[int] = 7

    def __str__(self) -> str:
        return "invalid mandatory parameter"

    def encode(self) -> bytes:
        return encode_tlv(self.code, b"")

    @classmethod
    def decode(cls, value: bytes) -> Self:
        return cls()


@dataclass(frozen=True, slots=True)
class UnrecognizedParameters:
    """Unrecognized Parameters, RFC 9260 §3.3.10.8: parameters of an INIT ACK or other chunk.

    `parameters` holds them as they came, headers included (`encode_parameters` makes it).
    """

    code: ClassVar[int] = 8
    parameters: bytes

    @property
    def parameter_types(self) -> tuple[int, ...]:
        """The types of the parameters; empty where they cannot be taken apart."""
        try:
            return tuple([kind for kind, _value in decode_tlvs(self.parameters)])
        except DecodeError:
            return ()

    def __str__(self) -> str:
        return f"unrecognized parameters {_types(self.parameter_types)}"

    def encode(self) -> bytes:
        return encode_tlv(self.code, self.parameters)

    @classmethod
    def decode(cls, value: bytes) -> Self:
        return cls(value)


@dataclass(frozen=True, slots=True)
class NoUserData:
    """No User Data, RFC 9260 §3.3.10.9: the DATA chunk `tsn` carried nothing."""

    code: ClassVar[int] = 9
    tsn: int

    def __str__(self) -> str:
        return f"no user data in the DATA chunk with TSN {self.tsn}"

    def encode(self) -> bytes:
        return encode_tlv(self.code, pack_fields(_U32, self.tsn))

    @classmethod
    def decode(cls, value: bytes) -> Self:
        return cls(*unpack_prefix(_U32, value))


@dataclass(frozen=True, slots=True)
class CookieReceivedWhileShuttingDown:
    """Cookie Received While Shutting Down, RFC 9260 §3.3.10.10."""

    code: ClassVar[int] = 10

    def __str__(self) -> str:
        return "cookie received while shutting down"

    def encode(self) -> bytes:
        return encode_tlv(self.code, b"")

    @classmethod
    def decode(cls, value: bytes) -> Self:
        return cls()


@dataclass(frozen=True, slots=True)
class RestartWithNewAddresses:
    """Restart of an Association with New Addresses, RFC 9260 §3.3.10.11.

    `addresses` holds the address parameters of the INIT that were new, headers included.
    """

    code: ClassVar[int] = 11
    addresses: bytes

    def __str__(self) -> str:
        return f"restart of an association with new addresses {self.addresses.hex()}"

    def encode(self) -> bytes:
        return encode_tlv(self.code, self.addresses)

    @classmethod
    def decode(cls, value: bytes) -> Self:
        return cls(value)


@dataclass(frozen=True, slots=True)
class UserInitiatedAbort:
    """User-Initiated Abort, RFC 9260 §3.3.10.12: the user wanted it, for this reason."""

    code: ClassVar[int] = 12
    reason: bytes = b""

    def __str__(self) -> str:
        return "user-initiated abort" + _explanation(self.reason)

    def encode(self) -> bytes:
        return encode_tlv(self.code, self.reason)

    @classmethod
    def decode(cls, value: bytes) -> Self:
        return cls(value)


@dataclass(frozen=True, slots=True)
class ProtocolViolation:
    """Protocol Violation, RFC 9260 §3.3.10.13: with a free explanation."""

    code: ClassVar[int] = 13
    information: bytes = b""

    def __str__(self) -> str:
        return "protocol violation" + _explanation(self.information)

    def encode(self) -> bytes:
        return encode_tlv(self.code, self.information)

    @classmethod
    def decode(cls, value: bytes) -> Self:
        return cls(value)


@dataclass(frozen=True, slots=True)
class UnknownCause:
    """A cause of a code that has no class here, kept as it came (RFC 9260 §15.4)."""

    code: int
    value: bytes

    def __str__(self) -> str:
        return f"error cause {self.code}" + (f": {self.value.hex()}" if self.value else "")

    def encode(self) -> bytes:
        return encode_tlv(self.code, self.value)


ErrorCause: TypeAlias = (
    InvalidStreamIdentifier
    | MissingMandatoryParameter
    | StaleCookie
    | OutOfResource
    | UnresolvableAddress
    | UnrecognizedChunkType
    | InvalidMandatoryParameter
    | UnrecognizedParameters
    | NoUserData
    | CookieReceivedWhileShuttingDown
    | RestartWithNewAddresses
    | UserInitiatedAbort
    | ProtocolViolation
    | UnknownCause
)

_DECODERS: Final[dict[int, Callable[[bytes], ErrorCause]]] = {
    cause.code: cause.decode for cause in get_args(ErrorCause) if cause is not UnknownCause
}


def decode_causes(data: bytes) -> tuple[ErrorCause, ...]:
    """Decode a sequence of error causes, in order.

    Raises DecodeError where the framing is broken or a cause is shorter than its section says.
    """
    return tuple([_decode_one(code, value) for code, value in decode_tlvs(data)])


def encode_causes(causes: Iterable[ErrorCause]) -> bytes:
    """Encode error causes one after the other; the last one is not padded."""
    return join_tlvs(cause.encode() for cause in causes)


def _decode_one(code: int, value: bytes) -> ErrorCause:
    decoder = _DECODERS.get(code)
    return UnknownCause(code, value) if decoder is None else decoder(value)


def _types(parameter_types: tuple[int, ...]) -> str:
    return ", ".join([f"{number:#06x}" for number in parameter_types]) or "(none listed)"


def _explanation(text: bytes) -> str:
    # The bytes are the peer's: shown with nothing in them that could upset a terminal or a log.
    return f": {text.decode(errors='backslashreplace')!r}" if text else ""
