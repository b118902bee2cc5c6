"""Two associations on a path of limited packet size, in virtual time.

Each direction is an `EmulatedLink` of its own, whose conditions a test changes while time passes.  What
is too large for a path vanishes without a word; only what an association gives away as
`Association.split_oversized` says is sent in pieces.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from trio_sctp._core.association import Association
from trio_sctp._core.config import Config
from trio_sctp._core.events import Event, Message, PathMtuChanged
from trio_sctp._core.path_mtu import DiscoveryState, PathMtuDiscovery
from trio_sctp._core.states import State
from trio_sctp._wire.chunks import Heartbeat, Pad
from trio_sctp._wire.packet import decode_chunks
from trio_sctp.testing._emulated_link import EmulatedLink, LinkConditions

__all__ = ["MtuEnd", "MtuPair"]

LARGEST = 65532


class MtuEnd:
    """An association, the way out of it, and what came of it."""

    def __init__(self, config: Config, link: EmulatedLink, seed: int, *, overhead: int) -> None:
        self.association = Association(
            config, rng=Random(seed), max_path_mtu=LARGEST, path_overhead=overhead
        )
        self.link = link
        self.messages: list[bytes] = []
        self.events: list[Event] = []
        self.sizes: list[int] = []
        """The path MTUs that it has told of."""
        self.probes: list[tuple[float, int]] = []
        """When a probe was sent, and its size."""
        self.largest_sent = 0
        """The largest packet that was no probe and was not given to IP to be fragmented."""
        self.fragmented = 0

    @property
    def discovery(self) -> PathMtuDiscovery:
        assert self.association.tcb is not None
        return self.association.tcb.path_mtu_discovery

    @property
    def path_mtu(self) -> int:
        return self.association.path_mtu

    @property
    def is_complete(self) -> bool:
        return self.discovery.state is DiscoveryState.SEARCH_COMPLETE

    def step(self, now: float) -> None:
        """Take all events and send all packets."""
        while True:
            self._take_events(now)
            packets = self.association.packets_to_send(now=now)
            fit, oversized = self.association.split_oversized(packets)
            for packet in fit:
                self._look_at(packet, now)
                self.link.push(packet, now)
            for packet in oversized:
                self.fragmented += 1
                self.link.push(packet, now, fragment=True)
            if not packets:
                break
        self._take_events(now)

    def _take_events(self, now: float) -> None:
        while (event := self.association.next_event()) is not None:
            self.events.append(event)
            if isinstance(event, Message):
                self.messages.append(event.payload)
                self.association.message_consumed(len(event.payload))
            elif isinstance(event, PathMtuChanged):
                assert event.path_mtu == self.path_mtu
                self.sizes.append(event.path_mtu)

    def _look_at(self, packet: bytes, now: float) -> None:
        if packet[12] == Heartbeat.type:
            chunks = decode_chunks(packet)
            if len(chunks) == 2 and isinstance(chunks[1], Pad):
                self.probes.append((now, len(packet)))
                return
        self.largest_sent = max(self.largest_sent, len(packet))
        assert len(packet) <= self.path_mtu, "larger than the path MTU and no probe"


class MtuPair:
    """``a`` calls, ``z`` answers; afterwards both are established."""

    def __init__(
        self,
        mtu: int | None = None,
        config: Config | None = None,
        *,
        back: int | None = None,
        delay: float = 0.02,
        overhead: int = 0,
        seed: int = 0,
    ) -> None:
        config = config or Config()
        self.now = 0.0
        there = EmulatedLink(LinkConditions(delay=delay, mtu=mtu), f"{seed} a")
        answers = EmulatedLink(LinkConditions(delay=delay, mtu=back or mtu), f"{seed} z")
        self.a = MtuEnd(config, there, 2 * seed, overhead=overhead)
        self.z = MtuEnd(config, answers, 2 * seed + 1, overhead=overhead)
        self.ends = (self.a, self.z)
        self.a.association.connect(now=self.now)
        self.run_until(lambda: all(end.association.state is State.ESTABLISHED for end in self.ends))

    def send(self, *payloads: bytes) -> None:
        for payload in payloads:
            self.a.association.send(0, payload, now=self.now)
        self.a.step(self.now)

    def run_until(self, done: Callable[[], bool], *, within: float = 60.0) -> None:
        """Let time pass until ``done``, which has to be the case ``within`` seconds."""
        limit = self.now + within
        for end in self.ends:
            end.step(self.now)
        while not done():
            due = min(self._next(end) for end in self.ends)
            assert due <= limit, f"at {self.now}, next at {due}: {self.a.sizes} {self.z.sizes}"
            self._step_to(due)

    def run_for(self, seconds: float) -> None:
        limit = self.now + seconds
        for end in self.ends:
            end.step(self.now)
        while (due := min(self._next(end) for end in self.ends)) <= limit:
            self._step_to(due)
        self.now = limit

    def complete(self, *, within: float = 200.0) -> None:
        """Until both ends have searched to the end."""
        self.run_until(lambda: self.a.is_complete and self.z.is_complete, within=within)

    def _step_to(self, due: float) -> None:
        self.now = max(self.now, due)
        for end, other in ((self.a, self.z), (self.z, self.a)):
            if arrived := other.link.pop_due(self.now):
                end.association.receive_packets(arrived, now=self.now)
            if end.association.next_timeout() <= self.now:
                end.association.handle_timeout(now=self.now)
            end.step(self.now)

    @staticmethod
    def _next(end: MtuEnd) -> float:
        return min(end.link.next_delivery(), end.association.next_timeout())
