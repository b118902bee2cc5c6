"""The end that calls (RFC 9260 §5.1): what its INIT says, and the timers T1-init and T1-cookie."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from .._wire.chunks import Error, InitAck
from .._wire.error_causes import UnrecognizedParameters
from .._wire.packet import encode_packet
from .._wire.parameters import CookiePreservative, UnknownParameter, encode_parameters
from .config import Config
from .handshake import LocalSetup, find_cookie, fitting, init_of, split_unknown
from .timer import Timer

if TYPE_CHECKING:
    from random import Random

    from .rto import RetransmissionTimeout

__all__ = ["Initiator"]


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
        named = encode_parameters(fitting(self.unknown, room - headers))
        return Error((UnrecognizedParameters(named),)).encode() if named else b""
