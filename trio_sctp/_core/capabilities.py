"""Which extensions an association uses: ours, the peer's, and those that both have.

Extensions are announced in INIT and INIT ACK, most of them as chunk types in the Supported Extensions
parameter (RFC 5061 §4.2.7).  `SUPPORTED` is the one place that says what this library can do.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .._wire.chunks import ForwardTsn, IData, ReConfig
from .._wire.parameters import ForwardTsnSupported, Parameter, SupportedExtensions

__all__ = ["SUPPORTED", "Capabilities"]


@dataclass(frozen=True, slots=True)
class Capabilities:
    """A set of SCTP extensions."""

    reconfiguration: bool = False
    """Stream reconfiguration: streams can be reset and their ids used again (RFC 6525)."""
    partial_reliability: bool = False
    """FORWARD TSN: messages may be abandoned (RFC 3758)."""
    interleaving: bool = False
    """I-DATA: a large message does not hold back the others (RFC 8260)."""

    def __and__(self, other: Capabilities) -> Capabilities:
        """What two ends have in common."""
        return Capabilities.from_bits(self.to_bits() & other.to_bits())

    @classmethod
    def from_parameters(cls, parameters: Iterable[Parameter]) -> Capabilities:
        """What the sender of an INIT or INIT ACK announces."""
        chunk_types: set[int] = set()
        for parameter in parameters:
            if isinstance(parameter, SupportedExtensions):
                chunk_types.update(parameter.chunk_types)
            elif isinstance(parameter, ForwardTsnSupported):
                chunk_types.add(ForwardTsn.type)  # RFC 3758 §3.1: the older way to say it
        return cls(
            reconfiguration=ReConfig.type in chunk_types,
            partial_reliability=ForwardTsn.type in chunk_types,
            interleaving=IData.type in chunk_types,
        )

    def parameters(self) -> tuple[Parameter, ...]:
        """The parameters that announce this set in INIT or INIT ACK."""
        chunk_types = [
            chunk_type
            for present, chunk_type in (
                (self.reconfiguration, ReConfig.type),
                (self.partial_reliability, ForwardTsn.type),
                (self.interleaving, IData.type),
            )
            if present
        ]
        if not chunk_types:
            return ()
        extensions = SupportedExtensions(tuple(chunk_types))
        return (extensions, ForwardTsnSupported()) if self.partial_reliability else (extensions,)

    def to_bits(self) -> int:
        """A compact form for the State Cookie."""
        return self.reconfiguration | self.partial_reliability << 1 | self.interleaving << 2

    @classmethod
    def from_bits(cls, bits: int) -> Capabilities:
        return cls(bool(bits & 1), bool(bits & 2), bool(bits & 4))


SUPPORTED = Capabilities(reconfiguration=True)
