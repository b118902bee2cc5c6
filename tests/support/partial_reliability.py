"""A pair of associations for tests of abandoned messages: losses by TSN, invariants at each step."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from tests.support.association_pair import End, Packet, Pair
from tests.support.tx_invariants import check_invariants, check_not_stalled
from trio_sctp._core.events import Message, MessageOutcome, Outcome
from trio_sctp._core.send_options import SendOptions
from trio_sctp._core.states import SENDING
from trio_sctp._core.tx.retransmission_queue import RetransmissionQueue
from trio_sctp._wire.chunks import Data, ForwardTsn, IData, IForwardTsn

__all__ = ["FULL", "ONCE", "MakePair", "PrPair", "deliver_all", "entry", "is_forward_tsn"]

ONCE = SendOptions(max_retransmits=0)
"""As UDP does it."""
FULL = 1168
"""Payload that fills a packet, with I-DATA; with DATA there is room for four bytes more."""


def is_forward_tsn(packet: Packet) -> bool:
    return any(isinstance(chunk, ForwardTsn | IForwardTsn) for chunk in packet.chunks)


class CheckedEnd(End):
    """After each step the counters of the sending side equal a recount."""

    def pull(self, now: float) -> list[Packet]:
        packets = super().pull(now)
        if self.association.tcb is not None:
            check_invariants(self.association.tcb.retransmission_queue)
            if self.association.state in SENDING:
                check_not_stalled(self.association.tcb.retransmission_queue)
        return packets

    def give(self, raw: Iterable[bytes], now: float) -> None:
        super().give(raw, now)
        if self.association.tcb is not None:
            check_invariants(self.association.tcb.retransmission_queue)

    def expire(self, now: float) -> None:
        super().expire(now)
        if self.association.tcb is not None:
            check_invariants(self.association.tcb.retransmission_queue)


class PrPair(Pair):
    """Established.  TSNs of A are counted from 1 on; SACKs are not delayed.

    As no time passes while packets travel, losses are found by counting misses, unless told otherwise.
    """

    def __init__(self, *, interleaving: bool = False, connect: bool = True, **changes: Any) -> None:
        changes = {"sack_delay": 0.0, "loss_recovery": "rfc9260", **changes}
        super().__init__(interleaving=interleaving, path_mtu_discovery=False, **changes)
        self.a.__class__ = self.z.__class__ = CheckedEnd
        self.transmissions: list[int] = []
        """The TSNs that A has sent, each time."""
        self.forward_tsns: list[tuple[int, list[Any]]] = []
        """The FORWARD TSNs that A has sent: the new cumulative TSN and the streams."""
        self.lost: Callable[[int], bool] = lambda tsn: False
        """Whether a packet of A with this TSN is lost."""
        self.lose_forward_tsn: Callable[[], bool] = lambda: False
        self.lose = self._lose
        if connect:
            self.connect()

    @property
    def queue(self) -> RetransmissionQueue:
        """A's."""
        assert self.a.association.tcb is not None
        return self.a.association.tcb.retransmission_queue

    def tsn(self, wire_tsn: int) -> int:
        assert self.a.association.tcb is not None
        return (wire_tsn - self.a.association.tcb.local.initial_tsn + 1) & 0xFFFFFFFF

    def _lose(self, packet: Packet) -> bool:
        if packet.sender != "A":
            return False
        lost = False
        for chunk in packet.chunks:
            if isinstance(chunk, Data | IData):
                tsn = self.tsn(chunk.tsn)
                self.transmissions.append(tsn)
                lost |= self.lost(tsn)
            elif isinstance(chunk, ForwardTsn | IForwardTsn):
                streams = list(chunk.streams)
                self.forward_tsns.append((self.tsn(chunk.new_cumulative_tsn), streams))
                lost |= self.lose_forward_tsn()
        return lost

    def run(self) -> None:
        """Deliver everything, each packet acknowledged before the next one comes, in no time."""
        self._pull()
        for _ in range(100_000):
            if not self.transit:
                return
            self.deliver()
            self._pull()
        raise AssertionError("they never fall silent")

    def _pull(self) -> None:
        for end in (self.a, self.z):  # no SACK waits
            if end.association.tcb is not None:
                end.association.tcb.data_receiver.end_of_batch(self.now)
                if end.association.next_timeout() <= self.now:
                    end.expire(self.now)
        self.pull()

    def send_each(self, payloads: Iterable[bytes], stream_id: int = 0, **options: Any) -> None:
        """A sends messages, each in a packet of its own."""
        for payload in payloads:
            self.send(payload, stream_id, **options)
            self.pull()

    @property
    def received(self) -> list[bytes]:
        """What Z has got, taken off the list."""
        return [message.payload for message in self.z.take(Message)]

    @property
    def outcomes(self) -> list[tuple[Any, Outcome]]:
        """What A has heard of its messages, taken off the list."""
        return [(o.context, o.outcome) for o in self.a.take(MessageOutcome)]


MakePair = Callable[..., PrPair]


def deliver_all(pair: PrPair) -> None:
    """Deliver everything under way before anything answers it."""
    for _ in range(len(pair.transit)):
        pair.deliver()


def entry(interleaving: bool, stream_id: int, number: int) -> tuple[Any, ...]:
    """What a FORWARD TSN lists of an ordered message that was given up."""
    return (stream_id, False, number) if interleaving else (stream_id, number)
