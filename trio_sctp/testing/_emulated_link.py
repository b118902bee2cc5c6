"""One direction of an emulated network, without I/O: datagrams go in at one time and come out
later.

A datagram passes, in this order: the MTU, the bottleneck (a queue in front of a line of limited
rate), the line's losses and bit errors, and the delay, where some are late enough to be overtaken
and some arrive twice.  Time is what the caller says it is, chance comes from a seed: the same calls
give the same result.  The trio ends of `memory_link` and synchronous tests of the core use the same
emulation.
"""

from __future__ import annotations

import math
from bisect import insort
from collections import deque
from dataclasses import dataclass, field
from operator import itemgetter
from random import Random
from typing import Any

__all__ = ["BurstLoss", "EmulatedLink", "LinkConditions", "LinkStatistics"]


@dataclass(frozen=True, slots=True)
class BurstLoss:
    """Losses that come in bursts: the two-state model of Gilbert and Elliott.

    Before each datagram the line turns bad with probability ``enter`` if it is good, and good with
    probability ``leave`` if it is bad; a bad line loses a datagram with probability ``loss``.  A
    burst lasts ``1 / leave`` datagrams and the line is bad for ``enter / (enter + leave)`` of them
    on average.
    """

    enter: float
    leave: float
    loss: float = 1.0

    def __post_init__(self) -> None:
        for name in ("enter", "leave", "loss"):
            _check(f"BurstLoss.{name}", getattr(self, name), 0.0, 1.0)


@dataclass(slots=True)
class LinkConditions:
    """What a link does to datagrams.  Every field may be changed while datagrams are under way; a
    value outside its limits raises `ValueError`.
    """

    delay: float = 0.0
    """Seconds from the far end of the bottleneck to arrival."""
    jitter: float = 0.0
    """Largest extra delay in seconds, uniformly distributed; it does not change the order."""
    rate: float | None = None
    """Bytes per second of the bottleneck; None is unlimited."""
    queue: int | None = None
    """Bytes that may wait for the bottleneck or be in it: more are dropped.  None is unlimited."""
    loss: float = 0.0
    """Probability that a datagram is lost; 1.0 cuts the link."""
    burst_loss: BurstLoss | None = None
    """Losses in bursts, beside ``loss``."""
    reorder: float = 0.0
    """Probability that a datagram is held back by ``reorder_delay``, so that others overtake it."""
    reorder_delay: float = 0.01
    """Seconds by which a datagram picked by ``reorder`` is late."""
    duplicate: float = 0.0
    """Probability that a datagram arrives twice."""
    corrupt: float = 0.0
    """Probability that some of a datagram's bits are changed."""
    mtu: int | None = None
    """Longest datagram in bytes that is carried; longer ones vanish.  None is unlimited."""

    def __setattr__(self, name: str, value: Any) -> None:
        limits = _LIMITS.get(name)
        if limits is not None and not (value is None and name in _OPTIONAL):
            _check(name, value, *limits)
        _set_slot(self, name, value)


_set_slot = object.__setattr__
_OPTIONAL = frozenset({"rate", "queue", "mtu"})
_LIMITS: dict[str, tuple[float, float]] = {
    "delay": (0.0, math.inf),
    "jitter": (0.0, math.inf),
    "rate": (1e-9, math.inf),
    "queue": (0, math.inf),
    "loss": (0.0, 1.0),
    "reorder": (0.0, 1.0),
    "reorder_delay": (0.0, math.inf),
    "duplicate": (0.0, 1.0),
    "corrupt": (0.0, 1.0),
    "mtu": (0, math.inf),
}


def _check(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ValueError(f"{name} is {value}: it must be from {low} to {high}")


@dataclass(slots=True)
class LinkStatistics:
    """What happened on a link so far, in datagrams unless named otherwise."""

    sent: int = 0
    sent_bytes: int = 0
    delivered: int = 0
    delivered_bytes: int = 0
    lost: int = 0
    """Lost on the line, bursts included."""
    lost_in_bursts: int = 0
    too_long: int = 0
    """Vanished because they exceeded the MTU."""
    queue_dropped: int = 0
    """Dropped because the bottleneck's queue was full."""
    reordered: int = 0
    """Held back; they were overtaken if another came soon enough."""
    duplicated: int = 0
    corrupted: int = 0


@dataclass(slots=True, eq=False)
class EmulatedLink:
    """One direction of an emulated network: `push` datagrams, `pop_due` what has arrived.

    ``conditions`` may be changed at any time, by assignment to one of its fields, too:
    ``link.conditions.loss = 1.0`` cuts the link.  Datagrams under way are not affected.  Time, in
    seconds, must not go backwards.
    """

    conditions: LinkConditions = field(default_factory=LinkConditions)
    seed: int | str = 0
    statistics: LinkStatistics = field(default_factory=LinkStatistics)
    _random: Random = field(init=False, repr=False)
    _under_way: deque[tuple[float, bytes]] = field(default_factory=deque, init=False, repr=False)
    _line_free_at: float = field(default=-math.inf, init=False, repr=False)
    _latest_arrival: float = field(default=-math.inf, init=False, repr=False)
    _in_burst: bool = field(default=False, init=False, repr=False)

    def __post_init__(self) -> None:
        self._random = Random(self.seed)

    def __len__(self) -> int:
        """How many datagrams are under way."""
        return len(self._under_way)

    def next_delivery(self) -> float:
        """When `pop_due` will have something; ``math.inf`` if nothing is under way."""
        return self._under_way[0][0] if self._under_way else math.inf

    def pop_due(self, now: float, limit: int | None = None) -> list[bytes]:
        """Take out what has arrived by ``now``, in order of arrival, at most ``limit``
        datagrams.
        """
        under_way = self._under_way
        arrived: list[bytes] = []
        while under_way and under_way[0][0] <= now and len(arrived) != limit:
            arrived.append(under_way.popleft()[1])
        self.statistics.delivered += len(arrived)
        self.statistics.delivered_bytes += sum(map(len, arrived))
        return arrived

    def push(self, datagram: bytes, now: float, *, fragment: bool = False) -> None:
        """Send one datagram at time ``now``; in pieces if it exceeds the MTU and ``fragment`` is set.

        All pieces have to get through for it to arrive.
        """
        size = len(datagram)
        statistics = self.statistics
        statistics.sent += 1
        statistics.sent_bytes += size
        conditions = self.conditions
        pieces = 1
        if conditions.mtu is not None and size > conditions.mtu:
            if not fragment or not conditions.mtu:
                statistics.too_long += 1
                return
            pieces = -(-size // conditions.mtu)
        if conditions.rate is not None:
            backlog = max(self._line_free_at - now, 0.0) * conditions.rate
            if conditions.queue is not None and backlog + size > conditions.queue:
                statistics.queue_dropped += 1
                return
            now = self._line_free_at = max(self._line_free_at, now) + size / conditions.rate
        for _ in range(pieces):
            if self._is_lost():
                statistics.lost += 1
                return
        if conditions.corrupt and size and self._random.random() < conditions.corrupt:
            statistics.corrupted += 1
            datagram = self._corrupted(datagram)
        self._deliver(datagram, now)
        if conditions.duplicate and self._random.random() < conditions.duplicate:
            statistics.duplicated += 1
            self._deliver(datagram, now)

    def _is_lost(self) -> bool:
        conditions = self.conditions
        if (burst_loss := conditions.burst_loss) is not None:
            chance = self._random.random
            threshold = burst_loss.leave if self._in_burst else burst_loss.enter
            if chance() < threshold:
                self._in_burst = not self._in_burst
            if self._in_burst and chance() < burst_loss.loss:
                self.statistics.lost_in_bursts += 1
                return True
        return conditions.loss > 0.0 and self._random.random() < conditions.loss

    def _corrupted(self, datagram: bytes) -> bytes:
        """With one to three of its bytes changed."""
        random = self._random
        damaged = bytearray(datagram)
        positions = random.sample(range(len(datagram)), min(random.randint(1, 3), len(datagram)))
        for position in positions:
            damaged[position] ^= random.randint(1, 255)
        return bytes(damaged)

    def _deliver(self, datagram: bytes, departure: float) -> None:
        conditions = self.conditions
        arrival = departure + conditions.delay
        if conditions.jitter:
            arrival += self._random.random() * conditions.jitter
        # A shorter delay or jitter lets nothing overtake; only `reorder` does.
        arrival = self._latest_arrival = max(arrival, self._latest_arrival)
        if conditions.reorder and self._random.random() < conditions.reorder:
            self.statistics.reordered += 1
            arrival += conditions.reorder_delay
        under_way = self._under_way
        if under_way and arrival < under_way[-1][0]:  # it overtakes one that is held back
            insort(under_way, (arrival, datagram), key=itemgetter(0))
        else:
            under_way.append((arrival, datagram))
