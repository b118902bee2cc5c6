"""Channels that share a bottleneck in virtual time, and what goes into it when."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import NamedTuple

from tests.support.emulated_pair import EmulatedPair
from trio_sctp._core.association import State
from trio_sctp._core.config import Config
from trio_sctp._core.data_channels import DataChannels
from trio_sctp._wire.chunks import Data, IData
from trio_sctp._wire.packet import decode_chunks
from trio_sctp.testing._emulated_link import EmulatedLink, LinkConditions

__all__ = ["PACKET", "Link", "Waits", "WatchedLink"]

PACKET = 1200


class WatchedLink(EmulatedLink):
    """A link that keeps account of the user data in what goes into it."""

    def __init__(self, conditions: LinkConditions) -> None:
        super().__init__(conditions, "watched")
        self.sent: Counter[int] = Counter()
        """Bytes by stream."""
        self.first_sent: dict[tuple[int, int], tuple[float, int]] = {}
        """When the first chunk of each message went out, and in which packet; by stream and number."""
        self.packets = 0
        """Packets with new data so far."""
        self._tsns: set[int] = set()

    def push(self, datagram: bytes, now: float, *, fragment: bool = False) -> None:
        chunks = [k for k in decode_chunks(datagram) if isinstance(k, Data | IData)]
        self.packets += any(chunk.tsn not in self._tsns for chunk in chunks)
        for chunk in chunks:
            self._tsns.add(chunk.tsn)
            number = 2 * (chunk.mid if isinstance(chunk, IData) else chunk.ssn) + chunk.unordered
            self.sent[chunk.stream_id] += len(chunk.payload)
            self.first_sent.setdefault((chunk.stream_id, number), (now, self.packets))
        super().push(datagram, now, fragment=fragment)


class Link:
    """Two ends joined by a bottleneck, and what the caller sends by stream, as it goes out."""

    def __init__(
        self,
        *,
        rate: float = 125_000.0,
        queue: int | None = 50_000,
        delay: float = 0.02,
        loss: float = 0.0,
        **config: object,
    ) -> None:
        conditions = LinkConditions(rate=rate, delay=delay, queue=queue, loss=loss)
        self.pair = EmulatedPair(conditions, Config(path_mtu_discovery=False).replace(**config))
        self.pair.a.link = self.link = WatchedLink(conditions)
        self.packet_time = PACKET / rate
        self.channels: DataChannels = self.pair.a.channels
        self.pair.a.association.connect(now=0.0)
        self.pair.run_until(lambda: self.pair.a.association.state is State.ESTABLISHED, within=9)

    @property
    def now(self) -> float:
        return self.pair.now

    def open(self, priority: int) -> int:
        return self.channels.open(priority=priority, now=self.now)

    def open_game(self) -> int:
        """As games do: unordered, and nothing is sent twice."""
        return self.channels.open(ordered=False, max_retransmits=0, now=self.now)

    def send(self, stream_id: int, size: int) -> None:
        self.channels.send(stream_id, bytes(size), now=self.now)
        self.pair.a.step(self.now)

    def run(self, seconds: float, busy: dict[int, int] | None = None) -> None:
        """Let time pass while these streams, with messages of these sizes, never run dry."""
        association = self.pair.a.association

        def refill(_: object) -> None:
            for stream_id, size in (busy or {}).items():
                while association.unsent_bytes(stream_id) < 2 * size + 20_000:
                    self.channels.send(stream_id, bytes(size), now=self.now)

        refill(association)
        self.pair.a.after_step = refill
        self.pair.run_to(self.now + seconds)
        self.pair.z.received.clear()

    def shares(self, seconds: float, busy: dict[int, int]) -> dict[int, float]:
        before = self.link.sent.copy()
        self.run(seconds, busy)
        sent = {stream_id: self.link.sent[stream_id] - before[stream_id] for stream_id in busy}
        return {stream_id: size / sum(sent.values()) for stream_id, size in sent.items()}


class Waits(NamedTuple):
    """For how long each message of a 60 Hz game had to wait until it was on its way, sorted."""

    packets: list[int]
    """Packets of new data that went out before it."""
    packet_times: list[float]

    @classmethod
    def measure(
        cls,
        link: Link,
        game: int,
        busy: dict[int, int],
        seconds: float = 10.0,
        warm_up: float = 3.0,
    ) -> Waits:
        link.run(warm_up, busy)
        asked: list[tuple[float, int]] = []
        random = Random(60)
        before = {key for key in link.link.first_sent if key[0] == game}
        end = link.now + seconds
        while link.now < end:
            link.run(random.uniform(0.5, 1.5) / 60, busy)
            asked.append((link.now, link.link.packets))
            link.send(game, 100)
        link.run(3.0, busy)
        sent = link.link.first_sent
        went = sorted(sent[key] for key in sent.keys() - before if key[0] == game)
        assert len(went) == len(asked)
        pairs = list(zip(asked, went, strict=True))
        packets = sorted(later[1] - earlier[1] - 1 for earlier, later in pairs)
        times = sorted((later[0] - earlier[0]) / link.packet_time for earlier, later in pairs)
        return cls(packets, times)
