"""Two associations with data channels, joined by an emulated network in virtual time.

Everything happens in one loop: the earliest of what is under way and what the two ends' timers wait for
is done next.  Nothing sleeps, so hundreds of virtual seconds cost milliseconds.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random

from trio_sctp._core.association import Association
from trio_sctp._core.config import Config
from trio_sctp._core.data_channels import (
    ChannelClosed,
    ChannelMessage,
    ChannelOpened,
    DataChannels,
)
from trio_sctp._core.events import AssociationClosed, MessageOutcome
from trio_sctp.testing._emulated_link import EmulatedLink, LinkConditions

__all__ = ["BOUND", "PATIENT", "EmulatedEnd", "EmulatedPair", "Stalled"]

PATIENT = Config(
    rto_initial=0.5,
    rto_min=0.2,
    rto_max=4.0,
    association_max_retrans=1000,
    max_init_retransmits=1000,
)
"""For bad links.  A peer is given up after Association.Max.Retrans failures in a row.  With 30 % loss
each way half of all attempts fail, so over thousands of cases eleven in a row do happen: the limit is
out of the way."""
BOUND = 3600.0
"""Virtual seconds in which everything is to arrive over them.  Every second attempt succeeds in the
worst case, and takes RTO.Max at most: no chunk needs more than about forty attempts, and one is lost per
few packets of at most a few hundred."""


class Stalled(AssertionError):
    """Nothing is under way and no timer runs, or the time allowed is over."""


class EmulatedEnd:
    """One end: its association, its channels, the link towards the other end, and what came."""

    def __init__(self, config: Config, *, client: bool, link: EmulatedLink, seed: int) -> None:
        self.association = Association(config, rng=Random(seed))
        self.channels = DataChannels(self.association, client=client, max_message_size=0)
        self.link = link
        self.received: dict[int, list[bytes | str]] = {}
        self.outcomes: list[MessageOutcome] = []
        self.opened: list[int] = []
        self.closed: list[int] = []
        self.ending: AssociationClosed | None = None
        self.after_step: Callable[[Association], None] = lambda association: None

    def receive(self, packets: list[bytes], now: float) -> None:
        self.association.receive_packets(packets, now=now)
        self.step(now)

    def step(self, now: float) -> None:
        """Take all events and send all packets, as the contract asks after each input."""
        while True:
            self._take_events(now)
            packets = self.association.packets_to_send(now=now)
            self.after_step(self.association)
            if not packets:
                break
            for packet in packets:
                self.link.push(packet, now)
        self._take_events(now)

    def _take_events(self, now: float) -> None:
        while (event := self.channels.next_event(now=now)) is not None:
            if isinstance(event, ChannelMessage):
                self.received.setdefault(event.stream_id, []).append(event.data)
                self.association.message_consumed(event.size)
            elif isinstance(event, MessageOutcome):
                self.outcomes.append(event)
            elif isinstance(event, ChannelOpened):
                self.opened.append(event.stream_id)
            elif isinstance(event, ChannelClosed):
                self.closed.append(event.stream_id)
            elif isinstance(event, AssociationClosed):
                self.ending = event


class EmulatedPair:
    """``a`` calls, ``z`` answers; both directions have the same conditions."""

    def __init__(
        self,
        conditions: LinkConditions,
        config: Config,
        *,
        config_z: Config | None = None,
        seed: int = 0,
    ) -> None:
        self.now = 0.0
        self.a = EmulatedEnd(
            config, client=True, link=EmulatedLink(conditions, f"{seed} a"), seed=2 * seed
        )
        self.z = EmulatedEnd(
            config_z or config,
            client=False,
            link=EmulatedLink(conditions, f"{seed} z"),
            seed=2 * seed + 1,
        )
        self.ends = (self.a, self.z)

    def run_until(self, done: Callable[[], bool], *, within: float) -> None:
        """Let time pass until ``done``; `Stalled` if that does not come ``within`` seconds."""
        limit = self.now + within
        self._step()
        while not done():
            due = self._due()
            if due > limit or due == math.inf:
                raise Stalled(f"at {self.now} of {limit}, next at {due}")
            self._let_happen(due)

    def run_to(self, time: float) -> None:
        """Let everything happen until ``time``, and be there."""
        self._step()
        while (due := self._due()) <= time:
            self._let_happen(due)
        self.now = max(self.now, time)

    def _step(self) -> None:
        for end in self.ends:
            end.step(self.now)

    def _due(self) -> float:
        return min(self._next(end) for end in self.ends)

    def _let_happen(self, due: float) -> None:
        """What is due at one time: packets arrive, timers expire."""
        self.now = max(self.now, due)
        for end, other in ((self.a, self.z), (self.z, self.a)):
            arrived = other.link.pop_due(self.now)
            if arrived:
                end.receive(arrived, self.now)
            if end.association.next_timeout() <= self.now:
                end.association.handle_timeout(now=self.now)
                end.step(self.now)

    @staticmethod
    def _next(end: EmulatedEnd) -> float:
        return min(end.link.next_delivery(), end.association.next_timeout())
