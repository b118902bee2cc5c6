"""Setting an association up: the four-way handshake of RFC 9260 §5, both sides of it.

``Responder`` answers INIT and checks COOKIE ECHO.  It keeps nothing about the peer, so that one of them
serves an endpoint with any number of callers.  ``Initiator`` is the calling side: what we sent in INIT
and the two timers that repeat INIT and COOKIE ECHO.  What a valid cookie means to an association that
exists already is decided by `cookie_action`, RFC 9260's table 12.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from .._wire.chunks import Abort, Chunk, Error, Init, InitAck, MalformedChunk
from .._wire.error_causes import (
    ErrorCause,
    InvalidMandatoryParameter,
    MissingMandatoryParameter,
    ProtocolViolation,
    StaleCookie,
    UnrecognizedParameters,
    UnresolvableAddress,
)
from .._wire.packet import COMMON_HEADER_SIZE, encode_packet
from .._wire.parameters import (
    CookiePreservative,
    HostNameAddress,
    Parameter,
    StateCookie as StateCookieParameter,
    UnknownParameter,
    UnrecognizedParameter,
    encode_parameters,
)
from .capabilities import Capabilities, offered
from .config import Config
from .state_cookie import CookieJar, StateCookie
from .timer import Timer

if TYPE_CHECKING:
    from random import Random

    from .rto import RetransmissionTimeout

__all__ = [
    "CookieAction",
    "MALFORMED",
    "Initiator",
    "PacketHeader",
    "PeerSetup",
    "Responder",
    "cookie_action",
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


class CookieAction(enum.Enum):
    """What a valid COOKIE ECHO means to an existing association (RFC 9260 §5.2.4)."""

    RESTART = "A"
    ADOPT_PEER = "B"
    LATE = "C"
    DUPLICATE = "D"
    DISCARD = ""


def cookie_action(
    cookie: StateCookie, *, local_tag: int, peer_tag: int, local_tie_tag: int, peer_tie_tag: int
) -> CookieAction:
    """RFC 9260 table 12.  ``peer_tag`` and the tie-tags of the association are 0 while unknown."""
    local_matches = cookie.local_tag == local_tag
    peer_matches = cookie.peer_tag == peer_tag
    cookie_tie_tags = (cookie.local_tie_tag, cookie.peer_tie_tag)
    if local_matches:
        return CookieAction.DUPLICATE if peer_matches else CookieAction.ADOPT_PEER
    if peer_matches:
        return CookieAction.LATE if cookie_tie_tags == (0, 0) else CookieAction.DISCARD
    if local_tie_tag and cookie_tie_tags == (local_tie_tag, peer_tie_tag):
        return CookieAction.RESTART
    return CookieAction.DISCARD


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


class Responder:
    """Answers INIT and verifies COOKIE ECHO without memory of the peer (RFC 9260 §5.1)."""

    __slots__ = ("_config", "_jar", "_rng")

    def __init__(self, config: Config, rng: Random) -> None:
        self._config = config
        self._rng = rng
        self._jar = CookieJar(rng, secret_life=config.cookie_secret_life)

    def replace_config(self, config: Config) -> None:
        """Cookies and secrets made from now on live as long as this says."""
        self._config = config
        self._jar.secret_life = config.cookie_secret_life

    def answer_init(
        self,
        header: PacketHeader,
        init: Init,
        *,
        now: float,
        local: LocalSetup | None = None,
        peer: bytes = b"",
    ) -> bytes | None:
        """The packet that answers an INIT: INIT ACK, ABORT where it can't be accepted, or nothing.

        ``local`` is None where no association with this peer exists; ``peer`` names its address.
        """
        if init.initiate_tag == 0:  # §3.3.2: silently discarded
            return None
        fault = init_fault(init)
        if fault is not None:
            abort = refusal(fault, self._config.path_mtu)
            return self._packet(header, init.initiate_tag, abort)
        local = local or LocalSetup.random(self._rng)
        cookie = self._cookie(header, init, local, now)
        known = (
            StateCookieParameter(self._jar.seal(cookie, peer=peer)),
            *offered(self._config).parameters(),
        )
        init_ack = self._init_ack(init, local, known)
        room = self._config.path_mtu - COMMON_HEADER_SIZE - len(init_ack.encode())
        reports = _fitting(map(_report, split_unknown(init.parameters)[1]), room)
        if reports:
            init_ack = self._init_ack(init, local, (*known, *reports))
        return self._packet(header, init.initiate_tag, init_ack.encode())

    def open_cookie(
        self, header: PacketHeader, sealed: bytes, *, peer: bytes = b""
    ) -> StateCookie | None:
        """The cookie of a COOKIE ECHO if it is ours and meant for these ports and this tag.

        RFC 9260 §5.1.5 steps 1 to 3: anything else is to be discarded silently.
        """
        cookie = self._jar.open(sealed, peer=peer)
        if cookie is None:
            return None
        meant_for = PacketHeader(cookie.peer_port, cookie.local_port, cookie.local_tag)
        return cookie if meant_for == header else None

    def answer_stale(self, header: PacketHeader, cookie: StateCookie, *, now: float) -> bytes:
        """The ERROR that answers a cookie past its life (RFC 9260 §5.1.5 step 4, §3.3.10.3)."""
        microseconds = min(math.ceil(cookie.staleness(now) * 1e6), 2**32 - 1)
        return self._packet(header, cookie.peer_tag, Error((StaleCookie(microseconds),)).encode())

    def _cookie(
        self, header: PacketHeader, init: Init, local: LocalSetup, now: float
    ) -> StateCookie:
        setup = PeerSetup.from_init(init, header.source_port)
        return StateCookie(
            created_at=now,
            lifespan=self._lifespan(init),
            local_port=header.destination_port,
            peer_port=setup.port,
            local_tag=local.tag,
            peer_tag=setup.tag,
            local_initial_tsn=local.initial_tsn,
            peer_initial_tsn=setup.initial_tsn,
            peer_a_rwnd=setup.a_rwnd,
            peer_outbound_streams=setup.outbound_streams,
            peer_inbound_streams=setup.inbound_streams,
            peer_capabilities=setup.capabilities,
            local_tie_tag=local.local_tie_tag,
            peer_tie_tag=local.peer_tie_tag,
        )

    def _lifespan(self, init: Init) -> float:
        """Valid.Cookie.Life, at most doubled at the peer's wish (RFC 9260 §3.3.2.1.3)."""
        wish = 0.0
        for parameter in split_unknown(init.parameters)[0]:
            if isinstance(parameter, CookiePreservative):
                wish = parameter.increment_ms / 1000
        life = self._config.valid_cookie_life
        return life + min(wish, life)

    def _init_ack(
        self, init: Init, local: LocalSetup, parameters: tuple[Parameter, ...]
    ) -> InitAck:
        config = self._config
        return InitAck(
            local.tag,
            config.a_rwnd,
            min(config.outbound_streams, init.inbound_streams),  # §3.3.3: no more than its MIS
            config.inbound_streams,
            local.initial_tsn,
            parameters,
        )

    def _packet(self, header: PacketHeader, tag: int, chunk: bytes) -> bytes:
        return encode_packet(header.destination_port, header.source_port, tag, [chunk])


def _report(parameter: UnknownParameter) -> UnrecognizedParameter:
    return UnrecognizedParameter(parameter.encode())


def _fitting(parameters: Iterable[Parameter], room: int) -> list[Parameter]:
    """The first of the parameters, as many as fit with their padding."""
    fitting: list[Parameter] = []
    for parameter in parameters:
        room -= len(parameter.encode()) + 3 & ~3
        if room < 0:
            break
        fitting.append(parameter)
    return fitting


class Initiator:
    """The end that calls: what its INIT says, and the timers T1-init and T1-cookie (RFC 9260 §5.1)."""

    __slots__ = (
        "_config",
        "_rto",
        "_sent_at",
        "_preservative",
        "cookie",
        "local",
        "retransmissions",
        "stale_cookies",
        "t1_cookie",
        "t1_init",
        "unknown",
    )

    def __init__(self, config: Config, rng: Random, rto: RetransmissionTimeout) -> None:
        self._config = config
        self._rto = rto
        self._preservative = 0
        self._sent_at = -math.inf
        self.local = LocalSetup.random(rng)
        self.cookie = b""
        self.unknown: list[UnknownParameter] = []
        self.retransmissions = 0
        self.stale_cookies = 0
        self.t1_init = Timer("T1-init")
        self.t1_cookie = Timer("T1-cookie")

    def replace_config(self, config: Config) -> None:
        """Other limits hold from the next expiry on."""
        self._config = config

    def start(self, now: float) -> bytes:
        """The packet with our INIT, sent for the first time; T1-init runs."""
        self._sent_at = now
        self.t1_init.start(now, self._rto.rto)
        return self._init_packet()

    def repeat_init(self, now: float) -> bytes | None:
        """After T1-init: the INIT once more, or None after Max.Init.Retransmits."""
        if not self._may_repeat():
            return None
        self.t1_init.start(now, self._rto.rto)
        return self._init_packet()

    def take_init_ack(self, init_ack: InitAck, now: float) -> None:
        """The cookie has come: from now on T1-cookie runs."""
        self._observe_round_trip(now)
        self.cookie = find_cookie(init_ack) or b""
        self.unknown = split_unknown(init_ack.parameters)[1]
        self.t1_init.stop()
        self.retransmissions = 0
        self._sent_at = now
        self.t1_cookie.start(now, self._rto.rto)

    def repeat_cookie(self, now: float) -> bool:
        """After T1-cookie: True if the COOKIE ECHO may be sent once more."""
        if not self._may_repeat():
            return False
        self.t1_cookie.start(now, self._rto.rto)
        return True

    def take_stale_cookie(self, staleness: int, now: float) -> bytes | None:
        """Ask anew, with a wish for a longer life (RFC 9260 §5.2.6 alternative 3).

        The wish is how late the cookie was, but no more than the measured round trip and a second.
        None when the peer has called our cookies stale once too often.
        """
        self.t1_cookie.stop()
        self.stale_cookies += 1
        if self.stale_cookies > self._config.max_init_retransmits:
            return None
        round_trip = now - self._sent_at
        if round_trip == math.inf:  # COOKIE ECHO was repeated: who knows which one this answers
            round_trip = self._rto.srtt or 0.0
        self._preservative = math.ceil(min(staleness / 1e6, round_trip + 1.0) * 1000)
        self.retransmissions = 0
        return self.start(now)

    def take_cookie_ack(self, now: float) -> None:
        """The answer to COOKIE ECHO: a round trip is over."""
        self._observe_round_trip(now)

    def stop(self) -> None:
        """The association is up, or given up: nothing is repeated any more."""
        self.t1_init.stop()
        self.t1_cookie.stop()

    def _may_repeat(self) -> bool:
        self.retransmissions += 1
        self._sent_at = -math.inf  # Karn's rule: no round trip is measured from here on
        self._rto.back_off()
        return self.retransmissions <= self._config.max_init_retransmits

    def _observe_round_trip(self, now: float) -> None:
        if self._sent_at != -math.inf:
            self._rto.observe(now - self._sent_at)
            self._sent_at = -math.inf

    def _init_packet(self) -> bytes:
        config = self._config
        preservative = (CookiePreservative(self._preservative),) if self._preservative else ()
        init = init_of(config, self.local, *preservative)
        return encode_packet(config.local_port, config.remote_port, 0, [init.encode()])

    def unrecognized_report(self, room: int) -> bytes:
        """ERROR about parameters of the INIT ACK that we don't know, to go with COOKIE ECHO (§3.2.2).

        Only parameters that fit as a whole are named; empty if there are none.
        """
        headers = 8  # the chunk's and the cause's
        named = encode_parameters(_fitting(self.unknown, room - headers))
        return Error((UnrecognizedParameters(named),)).encode() if named else b""
