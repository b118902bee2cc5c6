"""Every chunk there is: the control chunks are defined here, those of data transfer re-exported.

One class per chunk.  `type` is its number, `encode()` gives the whole padded chunk, `decode(flags,
value)` takes what the chunk header left over and raises DecodeError.  `decode_chunk` finds the
class by the type; a type without one becomes an `UnknownChunk`, which knows what the two highest
bits of its type demand.  All serial numbers are as on the wire.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from struct import Struct
from typing import ClassVar, Final, Self, TypeAlias, get_args

from .data_chunks import (
    Data as Data,
    ForwardTsn as ForwardTsn,
    IData as IData,
    IForwardTsn as IForwardTsn,
    Sack as Sack,
)
from .data_encoding import (
    BEGINNING as BEGINNING,
    DATA_HEADER_SIZE as DATA_HEADER_SIZE,
    ENDING as ENDING,
    I_DATA_HEADER_SIZE as I_DATA_HEADER_SIZE,
    IMMEDIATE as IMMEDIATE,
    UNORDERED as UNORDERED,
    encode_data as encode_data,
    encode_i_data as encode_i_data,
)
from .error_causes import ErrorCause, decode_causes, encode_causes
from .parameters import HeartbeatInfo, Parameter, decode_parameters, encode_parameters
from .tlv import DecodeError, decode_tlvs, encode_chunk, pack_fields, unpack_exact, unpack_prefix

_U32: Final = Struct(">I")
_INIT: Final = Struct(">IIHHI")

_T_BIT: Final = 0x01


@dataclass(frozen=True, slots=True)
class _Initiation:
    """The fields that INIT and INIT ACK have in common."""

    type: ClassVar[int]
    initiate_tag: int
    a_rwnd: int
    outbound_streams: int
    inbound_streams: int
    initial_tsn: int
    parameters: tuple[Parameter, ...] = ()

    def encode(self) -> bytes:
        fixed = pack_fields(
            _INIT,
            self.initiate_tag,
            self.a_rwnd,
            self.outbound_streams,
            self.inbound_streams,
            self.initial_tsn,
        )
        return encode_chunk(self.type, 0, fixed + encode_parameters(self.parameters))

    @classmethod
    def decode(cls, flags: int, value: bytes) -> Self:
        tag, a_rwnd, outbound, inbound, tsn = unpack_prefix(_INIT, value)
        return cls(tag, a_rwnd, outbound, inbound, tsn, decode_parameters(value[16:]))


class Init(_Initiation):
    """Initiation (INIT), RFC 9260 §3.3.2: the first message of the handshake.

    `outbound_streams` and `inbound_streams` are what the sender of the chunk wishes to send on and
    is ready to receive on.  The values are not judged here: a tag or a number of streams of 0
    decodes.
    """

    __slots__ = ()
    type = 1


class InitAck(_Initiation):
    """Initiation Acknowledgement (INIT ACK), RFC 9260 §3.3.3: the second message of the handshake.

    Its fields are those of INIT.  That a State Cookie is among the parameters is not checked here.
    """

    __slots__ = ()
    type = 2


@dataclass(frozen=True, slots=True)
class _Probe:
    """`value` is the body as it came, because the peer wants exactly that back.  `from_info` and `info`
    make it and take it apart.
    """

    type: ClassVar[int]
    value: bytes

    @classmethod
    def from_info(cls, info: bytes) -> Self:
        """Make the chunk around the given Heartbeat Info."""
        return cls(HeartbeatInfo(info).encode())

    @property
    def info(self) -> bytes | None:
        """The Heartbeat Info; None where the body is something else."""
        try:
            tlvs = decode_tlvs(self.value)
        except DecodeError:
            return None
        return tlvs[0][1] if tlvs and tlvs[0][0] == HeartbeatInfo.type else None

    def encode(self) -> bytes:
        return encode_chunk(self.type, 0, self.value)

    @classmethod
    def decode(cls, flags: int, value: bytes) -> Self:
        return cls(value)


class Heartbeat(_Probe):
    """Heartbeat Request (HEARTBEAT), RFC 9260 §3.3.5."""

    __slots__ = ()
    type = 4


class HeartbeatAck(_Probe):
    """Heartbeat Acknowledgement (HEARTBEAT ACK), RFC 9260 §3.3.6: a HEARTBEAT's body, sent back."""

    __slots__ = ()
    type = 5


@dataclass(frozen=True, slots=True)
class Abort:
    """Abort Association (ABORT), RFC 9260 §3.3.7.

    `tag_reflected` is the T bit: the verification tag of the packet is the one the receiver sent.
    """

    type: ClassVar[int] = 6
    causes: tuple[ErrorCause, ...] = ()
    tag_reflected: bool = False

    def encode(self) -> bytes:
        flags = _T_BIT if self.tag_reflected else 0
        return encode_chunk(self.type, flags, encode_causes(self.causes))

    @classmethod
    def decode(cls, flags: int, value: bytes) -> Self:
        return cls(decode_causes(value), bool(flags & _T_BIT))


@dataclass(frozen=True, slots=True)
class Shutdown:
    """Shutdown Association (SHUTDOWN), RFC 9260 §3.3.8."""

    type: ClassVar[int] = 7
    cumulative_tsn_ack: int

    def encode(self) -> bytes:
        return encode_chunk(self.type, 0, pack_fields(_U32, self.cumulative_tsn_ack))

    @classmethod
    def decode(cls, flags: int, value: bytes) -> Self:
        return cls(*unpack_exact(_U32, value))


@dataclass(frozen=True, slots=True)
class ShutdownAck:
    """Shutdown Acknowledgement (SHUTDOWN ACK), RFC 9260 §3.3.9."""

    type: ClassVar[int] = 8

    def encode(self) -> bytes:
        return encode_chunk(self.type, 0, b"")

    @classmethod
    def decode(cls, flags: int, value: bytes) -> Self:
        _expect_empty(value)
        return cls()


@dataclass(frozen=True, slots=True)
class Error:
    """Operation Error (ERROR), RFC 9260 §3.3.10: something is wrong, but the association lives."""

    type: ClassVar[int] = 9
    causes: tuple[ErrorCause, ...]

    def encode(self) -> bytes:
        return encode_chunk(self.type, 0, encode_causes(self.causes))

    @classmethod
    def decode(cls, flags: int, value: bytes) -> Self:
        return cls(decode_causes(value))


@dataclass(frozen=True, slots=True)
class CookieEcho:
    """Cookie Echo (COOKIE ECHO), RFC 9260 §3.3.11: the third message of the handshake."""

    type: ClassVar[int] = 10
    cookie: bytes

    def encode(self) -> bytes:
        return encode_chunk(self.type, 0, self.cookie)

    @classmethod
    def decode(cls, flags: int, value: bytes) -> Self:
        return cls(value)


@dataclass(frozen=True, slots=True)
class CookieAck:
    """Cookie Acknowledgement (COOKIE ACK), RFC 9260 §3.3.12: the last message of the handshake."""

    type: ClassVar[int] = 11

    def encode(self) -> bytes:
        return encode_chunk(self.type, 0, b"")

    @classmethod
    def decode(cls, flags: int, value: bytes) -> Self:
        _expect_empty(value)
        return cls()


@dataclass(frozen=True, slots=True)
class ShutdownComplete:
    """Shutdown Complete (SHUTDOWN COMPLETE), RFC 9260 §3.3.13.

    `tag_reflected` is the T bit: the verification tag of the packet is the one the receiver sent.
    """

    type: ClassVar[int] = 14
    tag_reflected: bool = False

    def encode(self) -> bytes:
        return encode_chunk(self.type, _T_BIT if self.tag_reflected else 0, b"")

    @classmethod
    def decode(cls, flags: int, value: bytes) -> Self:
        _expect_empty(value)
        return cls(bool(flags & _T_BIT))


@dataclass(frozen=True, slots=True)
class ReConfig:
    """Re-configuration (RE-CONFIG), RFC 6525 §3.1.

    Which combinations of one or two parameters are allowed is not checked here.
    """

    type: ClassVar[int] = 130
    parameters: tuple[Parameter, ...]

    def encode(self) -> bytes:
        return encode_chunk(self.type, 0, encode_parameters(self.parameters))

    @classmethod
    def decode(cls, flags: int, value: bytes) -> Self:
        return cls(decode_parameters(value))


@dataclass(frozen=True, slots=True)
class Pad:
    """Padding (PAD), RFC 4820 §3: enlarges a packet; `length` counts the whole chunk, 4 or more."""

    type: ClassVar[int] = 0x84
    length: int = 4

    def encode(self) -> bytes:
        return encode_chunk(self.type, 0, bytes(self.length - 4))

    @classmethod
    def decode(cls, flags: int, value: bytes) -> Self:
        return cls(4 + len(value))


@dataclass(frozen=True, slots=True)
class UnknownChunk:
    """A chunk of a type that has no class here, kept as it came (RFC 9260 §3.2)."""

    type: int
    flags: int
    value: bytes

    @property
    def continue_processing(self) -> bool:
        """Whether the chunks after this one are to be processed."""
        return bool(self.type & 0x80)

    @property
    def report(self) -> bool:
        """Whether the peer is to be told by an Unrecognized Chunk Type cause."""
        return bool(self.type & 0x40)

    @property
    def unpadded(self) -> bytes:
        """The chunk as it came, header included, without padding: what such a cause holds."""
        return self.encode()[: 4 + len(self.value)]

    def encode(self) -> bytes:
        return encode_chunk(self.type, self.flags, self.value)


@dataclass(frozen=True, slots=True)
class MalformedChunk:
    """What `decode_chunks` found where a chunk should be; nothing of the packet is read after it.

    `type` and `flags` are 0 where not even a chunk header was there.  `value` is what followed the
    header, cut at the end of the packet: the initiate tag of a malformed INIT can be read from it.
    `whole` says that nothing is missing: what is there makes no sense.
    """

    type: int
    flags: int
    reason: str
    value: bytes = b""
    whole: bool = False


EncodableChunk: TypeAlias = (
    Data
    | Init
    | InitAck
    | Sack
    | Heartbeat
    | HeartbeatAck
    | Abort
    | Shutdown
    | ShutdownAck
    | Error
    | CookieEcho
    | CookieAck
    | ShutdownComplete
    | IData
    | ReConfig
    | Pad
    | ForwardTsn
    | IForwardTsn
    | UnknownChunk
)

Chunk: TypeAlias = EncodableChunk | MalformedChunk

_DECODERS: Final[dict[int, Callable[[int, bytes], EncodableChunk]]] = {
    chunk.type: chunk.decode for chunk in get_args(EncodableChunk) if chunk is not UnknownChunk
}


def decode_chunk(kind: int, flags: int, value: bytes) -> EncodableChunk:
    """Decode one chunk from its type, its flags and what follows its header.

    Raises DecodeError where a known chunk is not as its section says.
    """
    decoder = _DECODERS.get(kind)
    return UnknownChunk(kind, flags, value) if decoder is None else decoder(flags, value)


def _expect_empty(value: bytes) -> None:
    if value:
        raise DecodeError(f"{len(value)} bytes in a chunk that has no value")
