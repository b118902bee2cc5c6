"""One reliable channel over an emulated link in virtual time, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass

from tests.support.emulated_pair import EmulatedPair
from trio_sctp._core.association import State
from trio_sctp._core.config import Config
from trio_sctp._core.statistics import AssociationStatistics
from trio_sctp.testing._emulated_link import EmulatedLink, LinkConditions

__all__ = ["MESSAGE", "LossyTail", "PickyLink", "Transfer", "TransferResult"]

MESSAGE = 16 * 1024


@dataclass(frozen=True)
class TransferResult:
    """What a transfer has come to."""

    seconds: float
    """Of virtual time, from the first message on."""
    delivered: int
    """Bytes of user data."""
    retransmitted: int
    """Chunks that were sent again."""

    @property
    def mbit_per_second(self) -> float:
        return self.delivered * 8 / self.seconds / 1e6


class Transfer:
    """``a`` sends messages to ``z`` on one ordered, reliable channel; only its data meets the link.

    Acknowledgements go back with the same delay, and undisturbed unless ``back`` is given.
    """

    def __init__(
        self,
        conditions: LinkConditions,
        config: Config,
        *,
        back: LinkConditions | None = None,
        seed: int = 0,
    ) -> None:
        self.pair = EmulatedPair(
            LinkConditions(delay=conditions.delay),
            config.replace(path_mtu_discovery=False),
            seed=seed,
        )
        self.sender, self.receiver = self.pair.a.association, self.pair.z.association
        self.sender.connect(now=0.0)
        self.pair.run_until(lambda: self.receiver.state is State.ESTABLISHED, within=100.0)
        self.stream_id = self.pair.a.channels.open(now=self.pair.now)
        self.pair.run_to(self.pair.now + 4 * conditions.delay)
        self.pair.a.link.conditions = conditions
        if back is not None:
            self.pair.z.link.conditions = back
        self.began = self.pair.now
        self._received_before = self.receiver.counters.messages_received
        self.most_unsent = 4 * 1024 * 1024

    def run_for(self, seconds: float) -> TransferResult:
        """Send without end."""
        pair = self.pair
        pair.a.after_step = lambda _: self._refill()
        self._refill()
        pair.run_to(pair.now + seconds)
        return self.result()

    def run_bytes(self, size: int, *, within: float) -> TransferResult:
        """Send so much and wait until all of it is acknowledged."""
        for _ in range(-(-size // MESSAGE)):
            self.pair.a.channels.send(self.stream_id, bytes(MESSAGE), now=self.pair.now)
        self.pair.run_until(lambda: not self.sender.undelivered_messages, within=within)
        return self.result()

    def result(self) -> TransferResult:
        """So far."""
        count = self.receiver.counters.messages_received - self._received_before
        return TransferResult(
            self.pair.now - self.began,
            count * MESSAGE,
            self.statistics.retransmitted_chunks,
        )

    @property
    def statistics(self) -> AssociationStatistics:
        """The sender's."""
        return self.sender.statistics()

    def _refill(self) -> None:
        sender, send = self.sender, self.pair.a.channels.send
        if sender.total_unsent_bytes < self.most_unsent // 2:
            self.pair.z.received.clear()
            while sender.total_unsent_bytes < self.most_unsent:
                send(self.stream_id, _PAYLOAD, now=self.pair.now)


class PickyLink(EmulatedLink):
    """Loses exactly the datagrams that it is told to."""

    lost: frozenset[int] = frozenset()
    """By number, counted from 1 on, as `statistics.sent` counts."""
    lost_at = 0.0
    """When the last one was."""

    def push(self, datagram: bytes, now: float, *, fragment: bool = False) -> None:
        if self.statistics.sent + 1 in self.lost:
            self.statistics.sent += 1
            self.statistics.lost += 1
            self.lost_at = now
        else:
            super().push(datagram, now, fragment=fragment)


class LossyTail:
    """A path that has been in use; then a burst of packets goes out, and some are lost once."""

    def __init__(self, config: Config, *, delay: float) -> None:
        self.round_trip = 2 * delay
        transfer = Transfer(LinkConditions(delay=delay), config)
        self.pair, self.stream_id = transfer.pair, transfer.stream_id
        self.link = self.pair.a.link = PickyLink(LinkConditions(delay=delay))
        transfer.run_bytes(400_000, within=60.0)
        self.pair.run_to(self.pair.now + 0.9)

    def round_trips(self, packets: int, *lost: int) -> float:
        """From when the last one that is lost was sent until all have arrived.

        Those ``lost`` are counted from 1 on.
        """
        pair, began = self.pair, self.pair.now
        before = self.link.statistics.sent
        self.link.lost = frozenset(before + number for number in lost)
        counters = pair.z.association.counters
        wanted = counters.messages_received + packets
        for _ in range(packets):
            pair.a.channels.send(self.stream_id, bytes(1100), now=began)
        pair.a.step(began)
        pair.run_until(lambda: counters.messages_received == wanted, within=60.0)
        return round((pair.now - self.link.lost_at) / self.round_trip, 6)


_PAYLOAD = bytes(MESSAGE)
