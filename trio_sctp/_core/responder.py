"""The end that answers an INIT, and checks COOKIE ECHO (RFC 9260 §5.1): without memory of the peer.

What it would have to remember is in the State Cookie, so that one responder serves an endpoint with any
number of callers.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from .._wire.chunks import Error, Init, InitAck
from .._wire.error_causes import StaleCookie
from .._wire.packet import COMMON_HEADER_SIZE
from .._wire.parameters import (
    CookiePreservative,
    Parameter,
    StateCookie as StateCookieParameter,
    UnknownParameter,
    UnrecognizedParameter,
)
from .capabilities import offered
from .config import Config
from .handshake import (
    LocalSetup,
    PacketHeader,
    PeerSetup,
    fitting,
    init_fault,
    refusal,
    split_unknown,
)
from .state_cookie import CookieJar, StateCookie

if TYPE_CHECKING:
    from random import Random

__all__ = ["Responder"]


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
            return header.answer(init.initiate_tag, abort)
        local = local or LocalSetup.random(self._rng)
        cookie = self._cookie(header, init, local, now)
        known = (
            StateCookieParameter(self._jar.seal(cookie, peer=peer)),
            *offered(self._config).parameters(),
        )
        init_ack = self._init_ack(init, local, known)
        room = self._config.path_mtu - COMMON_HEADER_SIZE - len(init_ack.encode())
        reports = fitting(map(_report, split_unknown(init.parameters)[1]), room)
        if reports:
            init_ack = self._init_ack(init, local, (*known, *reports))
        return header.answer(init.initiate_tag, init_ack.encode())

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
        return header.answer(cookie.peer_tag, Error((StaleCookie(microseconds),)).encode())

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


def _report(parameter: UnknownParameter) -> UnrecognizedParameter:
    return UnrecognizedParameter(parameter.encode())
