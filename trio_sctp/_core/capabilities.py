"""Which extensions an association uses: ours, the peer's, and those that both have.

Extensions are announced in INIT and INIT ACK, most of them as chunk types in the Supported Extensions
parameter (RFC 5061 §4.2.7).  `SUPPORTED` is the one place that says what this library can do.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from .._wire.chunks import ForwardTsn, IData, IForwardTsn, Pad, ReConfig
from .._wire.parameters import (
    ForwardTsnSupported,
    Parameter,
    SupportedExtensions,
    ZeroChecksumAcceptable,
)

if TYPE_CHECKING:
    from .config import Config

__all__ = ["SUPPORTED", "Capabilities", "offered"]

EDMID_DTLS = 1  # RFC 9653 §6: the error detection of what carries SCTP


@dataclass(frozen=True, slots=True)
class Capabilities:
    """A set of SCTP extensions."""

    reconfiguration: bool = False
    """Stream reconfiguration: streams can be reset and their ids used again (RFC 6525)."""
    partial_reliability: bool = False
    """FORWARD TSN: messages may be abandoned (RFC 3758)."""
    interleaving: bool = False
    """I-DATA: a large message does not hold back the others (RFC 8260)."""
    interleaved_partial_reliability: bool = False
    """I-FORWARD-TSN: messages may be abandoned although they are interleaved (RFC 8260 §2.3.1)."""

    zero_checksum: bool = False
    """Packets are accepted without a checksum (RFC 9653); each end says so for what it receives."""
    padding: bool = False
    """PAD: probes of the path MTU may have it (RFC 4820), where no harm is known to come of it."""

    def __and__(self, other: Capabilities) -> Capabilities:
        """What two ends have in common."""
        common = Capabilities.from_bits(self.to_bits() & other.to_bits())
        if not common.interleaving:
            return replace(common, interleaved_partial_reliability=False)
        # RFC 8260 §2.3.1: with I-DATA only I-FORWARD-TSN will do
        partial_reliability = common.interleaved_partial_reliability
        return replace(common, partial_reliability=partial_reliability)

    @classmethod
    def from_parameters(cls, parameters: Iterable[Parameter]) -> Capabilities:
        """What the sender of an INIT or INIT ACK announces."""
        chunk_types: set[int] = set()
        zero_checksum = False
        for parameter in parameters:
            if isinstance(parameter, SupportedExtensions):
                chunk_types.update(parameter.chunk_types)
            elif isinstance(parameter, ForwardTsnSupported):
                chunk_types.add(ForwardTsn.type)  # RFC 3758 §3.1: the older way to say it
            elif isinstance(parameter, ZeroChecksumAcceptable):
                zero_checksum |= parameter.edmid == EDMID_DTLS
        return cls(
            reconfiguration=ReConfig.type in chunk_types,
            partial_reliability=ForwardTsn.type in chunk_types,
            interleaving=IData.type in chunk_types,
            interleaved_partial_reliability=IForwardTsn.type in chunk_types,
            zero_checksum=zero_checksum,
            padding=Pad.type in chunk_types,
        )

    def parameters(self) -> tuple[Parameter, ...]:
        """The parameters that announce this set in INIT or INIT ACK."""
        chunk_types = [
            chunk_type
            for present, chunk_type in (
                (self.reconfiguration, ReConfig.type),
                (self.partial_reliability, ForwardTsn.type),
                (self.interleaving, IData.type),
                (self.interleaved_partial_reliability, IForwardTsn.type),
                (self.padding, Pad.type),
            )
            if present
        ]
        parameters: list[Parameter] = []
        if chunk_types:
            parameters.append(SupportedExtensions(tuple(chunk_types)))
        if self.partial_reliability:
            parameters.append(ForwardTsnSupported())
        if self.zero_checksum:
            parameters.append(ZeroChecksumAcceptable(EDMID_DTLS))
        return tuple(parameters)

    def to_bits(self) -> int:
        """A compact form for the State Cookie."""
        return (
            self.reconfiguration
            | self.partial_reliability << 1
            | self.interleaving << 2
            | self.interleaved_partial_reliability << 3
            | self.zero_checksum << 4
            | self.padding << 5
        )

    @classmethod
    def from_bits(cls, bits: int) -> Capabilities:
        return cls(*(bool(bits & 1 << position) for position in range(6)))


SUPPORTED = Capabilities(
    reconfiguration=True,
    partial_reliability=True,
    interleaving=True,
    interleaved_partial_reliability=True,
    padding=True,
)


def offered(config: Config) -> Capabilities:
    """What an association with this configuration announces."""
    capabilities = replace(SUPPORTED, zero_checksum=config.zero_checksum)
    if config.interleaving:
        return capabilities
    return replace(capabilities, interleaving=False, interleaved_partial_reliability=False)
