"""What INIT and INIT ACK say (RFC 9260 §3.3.2, §3.3.3), and if an association can come of it (§5.1).

`initiator` is the end that calls, `responder` the one that answers; this is what they have in common.
What a set-up chunk does to an association stands in `setup`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from .._wire.chunks import Abort, Chunk, Init, InitAck, MalformedChunk
from .._wire.error_causes import (
    ErrorCause,
    InvalidMandatoryParameter,
    MissingMandatoryParameter,
    ProtocolViolation,
    UnresolvableAddress,
)
from .._wire.packet import COMMON_HEADER_SIZE, encode_packet
from .._wire.parameters import (
    CookiePreservative,
    HostNameAddress,
    Parameter,
    StateCookie as StateCookieParameter,
    UnknownParameter,
)
from .capabilities import Capabilities, offered
from .config import Config

if TYPE_CHECKING:
    from random import Random

    from .state_cookie import StateCookie

__all__ = [
    "MALFORMED",
    "LocalSetup",
    "PacketHeader",
    "PeerSetup",
    "find_cookie",
    "fitting",
    "ignores_what_it_does_not_know",
    "init_fault",
    "init_of",
    "malformed_init_tag",
    "random_tag",
    "refusal",
    "split_unknown",
]

MINIMUM_A_RWND = 1500  # RFC 9260 §3.3.2
_FIXED_PART: Final = 16


class PacketHeader(NamedTuple):
    """The common header of a received packet."""

    source_port: int
    destination_port: int
    verification_tag: int

    def answer(self, tag: int, chunk: bytes) -> bytes:
        """A packet of one chunk, back to where this one came from."""
        return encode_packet(self.destination_port, self.source_port, tag, [chunk])


class PeerSetup(NamedTuple):
    """What the peer told of itself in INIT or INIT ACK."""

    port: int
    tag: int
    initial_tsn: int
    a_rwnd: int
    outbound_streams: int
    inbound_streams: int
    capabilities: Capabilities

    @classmethod
    def from_init(cls, init: Init | InitAck, port: int) -> PeerSetup:
        return cls(
            port,
            init.initiate_tag,
            init.initial_tsn,
            init.a_rwnd,
            init.outbound_streams,
            init.inbound_streams,
            Capabilities.from_parameters(split_unknown(init.parameters)[0]),
        )

    @classmethod
    def from_cookie(cls, cookie: StateCookie) -> PeerSetup:
        return cls(
            cookie.peer_port,
            cookie.peer_tag,
            cookie.peer_initial_tsn,
            cookie.peer_a_rwnd,
            cookie.peer_outbound_streams,
            cookie.peer_inbound_streams,
            cookie.peer_capabilities,
        )


@dataclass(frozen=True, slots=True)
class LocalSetup:
    """What an INIT ACK of ours says of us and what its cookie says of an association that exists."""

    tag: int
    initial_tsn: int
    local_tie_tag: int = 0
    peer_tie_tag: int = 0

    @classmethod
    def random(cls, rng: Random) -> LocalSetup:
        return cls(random_tag(rng), rng.getrandbits(32))


def random_tag(rng: Random) -> int:
    """An Initiate Tag: any 32-bit value but 0 (RFC 9260 §5.3.1)."""
    return rng.randrange(1, 2**32)


def split_unknown(
    parameters: Iterable[Parameter],
) -> tuple[list[Parameter], list[UnknownParameter]]:
    """The parameters to process and the unknown ones to report (RFC 9260 §3.2.1, table 3).

    The two high bits of an unknown type say whether to go on behind it and whether to report it.
    """
    known: list[Parameter] = []
    report: list[UnknownParameter] = []
    for parameter in parameters:
        if not isinstance(parameter, UnknownParameter):
            known.append(parameter)
            continue
        if parameter.report:
            report.append(parameter)
        if not parameter.continue_processing:
            break
    return known, report


def init_of(config: Config, local: LocalSetup, *preservative: CookiePreservative) -> Init:
    """What an association with this configuration says in INIT."""
    return Init(
        local.tag,
        config.a_rwnd,
        config.outbound_streams,
        config.inbound_streams,
        local.initial_tsn,
        (*preservative, *offered(config).parameters()),
    )


def init_fault(init: Init | InitAck) -> ErrorCause | None:
    """Why no association can come of an INIT or INIT ACK, or None (RFC 9260 §3.3.2, §3.3.3, §5.1)."""
    if init.a_rwnd < MINIMUM_A_RWND or not init.outbound_streams or not init.inbound_streams:
        return InvalidMandatoryParameter()
    for parameter in split_unknown(init.parameters)[0]:
        if isinstance(parameter, HostNameAddress):  # §5.1.2 B
            return UnresolvableAddress(parameter.encode())
    if isinstance(init, InitAck) and find_cookie(init) is None:
        return MissingMandatoryParameter((StateCookieParameter.type,))
    return None


def refusal(fault: ErrorCause, path_mtu: int) -> bytes:
    """The ABORT that answers a bad INIT or INIT ACK; without a cause that is too long to echo."""
    abort = Abort((fault,)).encode()
    return abort if len(abort) <= path_mtu - COMMON_HEADER_SIZE else Abort().encode()


def ignores_what_it_does_not_know(cookie: bytes) -> bool:
    """Whether a stack that made this State Cookie skips unknown chunks (RFC 9260 §3.2) for certain.

    Two that are known to do so put their names into it: Chromium's and FreeBSD's, which is that of many
    programs.
    """
    return cookie.startswith((b"dcSCTP00", b"KAME-BSD"))


MALFORMED: Final = ProtocolViolation(b"malformed INIT")


def malformed_init_tag(chunk: Chunk | None) -> int:
    """The Initiate Tag of an INIT or INIT ACK whose parameters make no sense; otherwise 0.

    RFC 9260 §5.1: it should be answered by an ABORT, as all that no association can come of.  One that
    is cut short is dropped (§6.10).
    """
    if (
        isinstance(chunk, MalformedChunk)
        and chunk.type in (Init.type, InitAck.type)
        and chunk.whole
        and len(chunk.value) >= _FIXED_PART
    ):
        return int.from_bytes(chunk.value[:4])
    return 0


def find_cookie(init_ack: InitAck) -> bytes | None:
    """The State Cookie that an INIT ACK carries."""
    for parameter in init_ack.parameters:
        if isinstance(parameter, StateCookieParameter):
            return parameter.cookie
    return None


def fitting(parameters: Iterable[Parameter], room: int) -> list[Parameter]:
    """The first of the parameters, as many as fit with their padding."""
    fitting: list[Parameter] = []
    for parameter in parameters:
        room -= len(parameter.encode()) + 3 & ~3
        if room < 0:
            break
        fitting.append(parameter)
    return fitting
