"""A bulk transfer over the protocol core alone, in virtual time: no trio, no sockets, hardly a harness.

Two associations with data channels, joined by two lines that deliver a batch after the delay, less what
they lose.  A loop of a few lines does what is due next.  What it takes is the core's own work.

A window may be held: whatever is lost or acknowledged, so many packets are in flight.  That tells what
the handling of losses costs from what small batches cost.
"""

from __future__ import annotations

import math
import time
from collections import deque
from random import Random

from trio_sctp.sansio import Association, ChannelMessage, Config, DataChannels

__all__ = ["CoreTransfer"]

BATCH = 54
"""Packets of 1200 bytes that one system call carries, so as many as a program pulls at a time."""


class End:
    """An association with its channels, and what is on its way to it."""

    def __init__(self, config: Config, *, client: bool, loss: float) -> None:
        self.association = Association(config, rng=Random(client))
        self.channels = DataChannels(self.association, client=client, max_message_size=0)
        self.arriving: deque[tuple[float, list[bytes]]] = deque()
        self.received = 0
        self._loss = loss
        self._chance = Random(f"line to {client}").random

    def next_due(self) -> float:
        due = self.association.next_timeout()
        return min(due, self.arriving[0][0]) if self.arriving else due

    def let_happen(self, now: float) -> None:
        if self.arriving and self.arriving[0][0] <= now:
            self.association.receive_packets(self.arriving.popleft()[1], now=now)
        elif self.association.next_timeout() <= now:
            self.association.handle_timeout(now=now)
        while (event := self.channels.next_event(now=now)) is not None:
            if isinstance(event, ChannelMessage):
                self.association.message_consumed(event.size)
                self.received += 1

    def deliver(self, packets: list[bytes], at: float) -> None:
        if self._loss:
            packets = [packet for packet in packets if self._chance() >= self._loss]
        if packets:
            self.arriving.append((at, packets))


class CoreTransfer:
    """``count`` messages of ``size`` bytes from one end to the other on one channel."""

    def __init__(
        self,
        config: Config,
        *,
        size: int,
        count: int,
        outstanding: int,
        delay: float,
        loss: float = 0.0,
        window: int = 0,
    ) -> None:
        """At most ``outstanding`` bytes are unsent, and ``window`` bytes in flight, if it is not 0."""
        self._ends = [End(config, client=client, loss=loss) for client in (True, False)]
        self._payload = bytes(size)
        self._packet = config.path_mtu
        self._count, self._outstanding, self._window = count, outstanding, window
        self._delay = delay
        self.now = 0.0
        """Virtual seconds since the beginning."""

    def run(self) -> dict[str, float]:
        """CPU seconds for a GB that went over the line, and the part of it that was resent."""
        sender, receiver = self._ends
        sender.association.connect(now=0.0)
        stream_id = sender.channels.open(now=0.0)
        self._pull(sender, 0.0)
        while not receiver.channels:
            self._do_next()
        sent_before = sender.association.statistics().bytes_sent
        started = time.process_time()
        left = self._count
        while receiver.received < self._count:
            if left and sender.association.total_unsent_bytes < self._outstanding:
                while left and sender.association.total_unsent_bytes < self._outstanding:
                    sender.channels.send(stream_id, self._payload, now=self.now)
                    left -= 1
                self._pull(sender, self.now)
            self._do_next()
        cpu = time.process_time() - started
        statistics = sender.association.statistics()
        sent = statistics.bytes_sent - sent_before
        return {
            "cpu_per_gb": cpu / sent * 1e9,
            "resent": statistics.retransmitted_chunks * self._packet / sent,
        }

    def _do_next(self) -> None:
        """What is due first, and what comes of it."""
        one, other = self._ends
        due, other_due = one.next_due(), other.next_due()
        if other_due < due:
            one, due = other, other_due
        if due == math.inf:
            raise RuntimeError("nothing is under way and no timer runs")
        self.now = max(self.now, due)
        one.let_happen(self.now)
        if one.association.may_send:
            self._pull(one, self.now)

    def _pull(self, end: End, now: float) -> None:
        """What may go out goes, as a program does it: until a batch is not full."""
        sender, receiver = self._ends
        if self._window and end is sender:
            hold_window(end.association, self._window)
        more = True
        while more:
            packets = end.association.packets_to_send(now=now, limit=BATCH)
            (receiver if end is sender else sender).deliver(packets, now + self._delay)
            more = len(packets) == BATCH


def hold_window(association: Association, window: int) -> None:
    """Whatever congestion control makes of what has happened, so many bytes may be in flight."""
    if association.tcb is not None:
        queue = association.tcb.retransmission_queue
        queue.congestion.cwnd = queue.congestion.ssthresh = window
        queue.recovery.quota = None
