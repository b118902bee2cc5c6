"""How large a packet the path carries, found by trying: DPLPMTUD for SCTP (RFC 8899 §6.2).

A probe is a HEARTBEAT whose packet is filled up with a PAD chunk (RFC 4820); its acknowledgement, known
by a nonce, shows that packets of that size arrive.  Where the peer may be one that fails on a chunk that
it does not know, the HEARTBEAT's own information is as long instead, and so is the acknowledgement: it
then shows as much of the way back.  A probe that is lost says nothing of congestion or of the peer.
Nothing here depends on ICMP.  All sizes are those of SCTP packets, common header included.

The search goes up in three leaps (Ethernet, jumbo frames, whatever the transport takes); below a size
that failed it tries the common ones between, then halves the gap.  MAX_PROBES failures in a row, of any
size, end it until PMTU_RAISE_TIMER: as a rule those are sizes that no network has.  When data of more
than the base size times out again and again, the path has become a black hole for it: back to the base
size, and search anew.  As SCTP data is acknowledged, there is no CONFIRMATION_TIMER: RFC 8899 §6.2.1.3
forbids it.
"""

from __future__ import annotations

import enum
import math
from typing import TYPE_CHECKING, Final

from .._wire.chunks import Heartbeat, HeartbeatAck, Pad
from .._wire.packet import COMMON_HEADER_SIZE
from .._wire.parameters import HeartbeatInfo
from .config import Config
from .timer import Timer

if TYPE_CHECKING:
    from random import Random

    from .rto import RetransmissionTimeout

__all__ = ["MIN_PLPMTU", "DiscoveryState", "PathMtuDiscovery"]

MIN_PLPMTU: Final = 512
"""The size that is used while not even the base size arrives."""
BLACK_HOLE_TIMEOUTS: Final = 2
"""Expiries of T3-rtx for one and the same chunk that make the path a black hole."""
LEAPS: Final = (1500, 9000, 65535)
"""The IP packets of the networks that most paths are made of."""
COMMON_SIZES: Final = (
    1280,
    1400,
    1420,
    1450,
    1480,
    1492,
    1500,
    2304,
    4352,
    8192,
    9000,
    16384,
    32768,
)
"""The IP packets of these and of what is tunnelled through them."""
NONCE_LENGTH = 16
_HEARTBEAT_LENGTH = 4 + 4 + NONCE_LENGTH
_MAX_AWAITED: Final = 16
"""Probes whose answer still counts, should it come late."""


class DiscoveryState(enum.Enum):
    """The states of RFC 8899 §5.2."""

    DISABLED = "DISABLED"
    BASE = "BASE"
    SEARCHING = "SEARCHING"
    SEARCH_COMPLETE = "SEARCH_COMPLETE"
    ERROR = "ERROR"


class PathMtuDiscovery:
    """The path MTU of one association, in one direction.

    ``max_path_mtu`` is the largest packet that the transport takes (MAX_PLPMTU), None where sizes
    cannot be tried; ``overhead`` is what the transport, UDP and IP add to each.  After every call
    `path_mtu` (PLPMTU) may be another one.
    """

    __slots__ = (
        "_awaited",
        "_config",
        "_due_since",
        "_failed",
        "_max_path_mtu",
        "_overhead",
        "_probe_count",
        "_probed_size",
        "_rng",
        "_rto",
        "_stuck_at",
        "_swallowed",
        "_timeouts",
        "black_holes",
        "pads",
        "path_mtu",
        "probe_due",
        "probes_lost",
        "probes_sent",
        "state",
        "timer",
    )

    def __init__(
        self,
        config: Config,
        rto: RetransmissionTimeout,
        rng: Random,
        *,
        max_path_mtu: int | None,
        overhead: int = 0,
    ) -> None:
        self._config = config
        self._rto = rto
        self._rng = rng
        self._max_path_mtu = 0 if max_path_mtu is None else max(max_path_mtu & ~3, config.path_mtu)
        self._overhead = overhead
        self.state = DiscoveryState.DISABLED
        self.path_mtu = config.path_mtu
        self.pads = True
        """Whether probes have PAD chunks."""
        self.timer = Timer("PROBE_TIMER")
        """PROBE_TIMER, or in SEARCH_COMPLETE PMTU_RAISE_TIMER."""
        self.probe_due = False
        """A probe is to be sent with the next packets."""
        self.probes_sent = self.probes_lost = self.black_holes = 0
        self._probed_size = 0
        self._probe_count = 0  # failures in a row
        self._due_since = 0.0
        self._awaited: dict[bytes, int] = {}  # unanswered probes by their info: their sizes, or 0
        self._failed: set[int] = set()  # sizes that a probe of this search was lost with
        self._swallowed = 0  # the size that the last black hole had; 0 once it may be tried again
        # the TSN below the chunk that T3-rtx expires for, and how often it did
        self._stuck_at = -1
        self._timeouts = 0

    # -- in ----------------------------------------------------------------------------------------

    def start(self, now: float) -> None:
        """The peer is reachable: confirm the base size, then search."""
        if self._config.path_mtu_discovery and self._max_path_mtu:
            self._enter_base(now)

    def stop(self) -> None:
        """No more probes; the size stays."""
        self.state = DiscoveryState.DISABLED
        self.probe_due = False
        self.timer.stop()
        self._forget_probes()

    def restart(self, now: float) -> None:
        """The path is another one: nothing is known of it."""
        self._swallowed = 0
        self.path_mtu = self._config.path_mtu
        if self.state is not DiscoveryState.DISABLED:
            self._enter_base(now)

    def limit(self, size: int) -> None:
        """The peer has no use for larger packets than this; the base size is always tried."""
        if self._max_path_mtu:
            self._max_path_mtu = max(min(self._max_path_mtu, size & ~3), self._config.path_mtu)

    def replace_config(self, config: Config, now: float, *, running: bool) -> None:
        old, self._config = self._config, config
        if old.path_mtu_discovery and not config.path_mtu_discovery:
            self.stop()
            self.path_mtu = config.path_mtu
        elif running and self.state is DiscoveryState.DISABLED:
            self.start(now)
        elif self.state is DiscoveryState.SEARCH_COMPLETE and self.timer.running:
            self.timer.start(now, config.pmtu_raise_timer)

    def take_ack(self, chunk: HeartbeatAck, now: float) -> bool:
        """True if it answers a probe, perhaps one that counted as lost already."""
        size = self._awaited.pop(chunk.value, None)
        if not size:
            return size is not None
        self._probe_count = 0
        self._failed.discard(size)
        if self.state in _CONFIRMING:
            self.path_mtu = self._config.path_mtu
            self._enter_searching(now)
        else:
            self.path_mtu = max(self.path_mtu, size)
            if self.state is DiscoveryState.SEARCHING and size == self._probed_size:
                self._advance(now)
        return True

    def handle_timeout(self, now: float) -> None:
        """PROBE_TIMER or PMTU_RAISE_TIMER has expired."""
        if self.state is DiscoveryState.SEARCH_COMPLETE:
            self._swallowed = 0
            self._enter_searching(now)
            return
        self.probes_lost += 1
        self._probe_count += 1
        given_up = self._probe_count >= self._config.max_probes
        if self.state is DiscoveryState.SEARCHING:
            self._failed.add(self._probed_size)
            if given_up:
                self._complete(now)
            else:
                self._advance(now)
            return
        if given_up:  # not even the base size arrives
            self.state = DiscoveryState.ERROR
            self.path_mtu = min(MIN_PLPMTU, self._config.path_mtu)
        self._try(self._config.path_mtu, now)

    def data_timed_out(self, cumulative_tsn_ack: int, flight_size: int, now: float) -> None:
        """T3-rtx has expired with so much in flight (§4.3: loss that the size may be the cause of)."""
        if self.state not in _SEARCHED:
            return
        base = self._config.path_mtu
        smaller = base if self.path_mtu > base else MIN_PLPMTU
        if flight_size <= smaller - COMMON_HEADER_SIZE:
            return  # nothing of it was in a packet that could be too large
        if cumulative_tsn_ack != self._stuck_at:
            self._stuck_at, self._timeouts = cumulative_tsn_ack, 0
        self._timeouts += 1
        # After the first one a single packet is in flight.  If that is larger than the path MTU, it was
        # cut before that shrank, and a smaller one will not help it.
        whole = self.path_mtu - COMMON_HEADER_SIZE
        if self._timeouts >= BLACK_HOLE_TIMEOUTS and flight_size <= whole:
            self._fall_back(now)

    # -- out ---------------------------------------------------------------------------------------

    def take_probe(self, now: float, *, recovering: bool) -> list[bytes]:
        """The chunks of the probe that is due, for a packet of their own; none if it has to wait.

        While data is being ``recovered`` no larger size is tried, unless that lasts for longer than a
        probe would.
        """
        searching = self.state is DiscoveryState.SEARCHING
        if recovering and searching and now < self._due_since + self._config.probe_timer:
            return []
        self.probe_due = False
        self.probes_sent += 1
        # RFC 8899 §5.1.1: longer than an acknowledgement can take
        self.timer.start(now, max(self._config.probe_timer, self._rto.rto))
        nonce = self._rng.randbytes(NONCE_LENGTH)
        padding = self._probed_size - COMMON_HEADER_SIZE - _HEARTBEAT_LENGTH
        info = HeartbeatInfo(nonce if self.pads else nonce + bytes(padding)).encode()
        if len(self._awaited) == _MAX_AWAITED:  # a peer may never answer, and yet stay for years
            del self._awaited[next(iter(self._awaited))]
        self._awaited[info] = self._probed_size
        heartbeat = Heartbeat(info).encode()
        return [heartbeat, Pad(padding).encode()] if self.pads else [heartbeat]

    # -- states ------------------------------------------------------------------------------------

    def _enter_base(self, now: float) -> None:
        self.state = DiscoveryState.BASE
        self._forget_probes()
        self._probe_count = self._timeouts = 0
        self._stuck_at = -1
        self._try(self._config.path_mtu, now)

    def _enter_searching(self, now: float) -> None:
        self.state = DiscoveryState.SEARCHING
        self._failed.clear()
        self._forget_probes()
        self._probe_count = 0
        self._advance(now)

    def _advance(self, now: float) -> None:
        size = self._next_size()
        if size:
            self._try(size, now)
        else:
            self._complete(now)

    def _forget_probes(self) -> None:
        """What is still on its way says nothing of the path as it is now, and yet was asked for."""
        self._awaited = dict.fromkeys(self._awaited, 0)

    def _try(self, size: int, now: float) -> None:
        self.timer.stop()  # it starts when the probe is sent
        self._probed_size = size
        self._due_since = now
        self.probe_due = True

    def _complete(self, now: float) -> None:
        self.state = DiscoveryState.SEARCH_COMPLETE
        self.timer.stop()
        if self.path_mtu < self._max_path_mtu and self._config.pmtu_raise_timer < math.inf:
            self.timer.start(now, self._config.pmtu_raise_timer)

    def _fall_back(self, now: float) -> None:
        """A black hole: the base size, and a new search (§4.3)."""
        self.black_holes += 1
        if self.path_mtu == self._swallowed:
            # §5.3.3: probes of this size arrive and data does not; below it until the raise timer
            self._swallowed = -self.path_mtu
        elif self._swallowed >= 0:
            self._swallowed = self.path_mtu
        self.path_mtu = min(self.path_mtu, self._config.path_mtu)
        self._enter_base(now)

    # -- the search (§5.3) -------------------------------------------------------------------------

    def _next_size(self) -> int:
        """The size to try next; 0 where there is none worth it."""
        low = self.path_mtu
        top = self._max_path_mtu
        if self._swallowed < 0:
            top = min(top, -self._swallowed - 4)
        if low >= top:
            return 0
        high = min((size for size in self._failed if size > low), default=0)
        if not high:
            return next((size for size in self._sizes(LEAPS) if low < size < top), top)
        between = [size for size in self._sizes(COMMON_SIZES) if low < size < high]
        is_last = self._probe_count + 1 == self._config.max_probes  # rather a little than nothing
        if between:
            return between[0 if is_last else len(between) // 2]
        if high - low > max(16, low >> 6):
            return low + (high - low >> (2 if is_last else 1)) & ~3
        return high  # close enough; but was that loss really due to its size?

    def _sizes(self, mtus: tuple[int, ...]) -> list[int]:
        return [mtu - self._overhead & ~3 for mtu in mtus]


_CONFIRMING: Final = frozenset({DiscoveryState.BASE, DiscoveryState.ERROR})
_SEARCHED: Final = frozenset({DiscoveryState.SEARCHING, DiscoveryState.SEARCH_COMPLETE})
