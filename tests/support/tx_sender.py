"""A sending side on its own, in virtual time: what tests of the retransmission queue are written in.

TSNs count from 1 here, whatever the initial TSN is; SACKs are written as in the RFC's figures.
"""

from __future__ import annotations

from typing import Any

from tests.support.gap_ack_blocks import row_of
from tests.support.tx_invariants import check_invariants, check_not_stalled
from trio_sctp._core.config import Config
from trio_sctp._core.rto import RetransmissionTimeout
from trio_sctp._core.statistics import Counters
from trio_sctp._core.tx.congestion_standard import StandardController
from trio_sctp._core.tx.outgoing_message import OutgoingMessage
from trio_sctp._core.tx.retransmission_queue import RetransmissionQueue
from trio_sctp._core.tx.send_queue import SendQueue
from trio_sctp._wire.chunks import Data, Sack

PATH_MTU = 1200
PMDCS = PATH_MTU - 12
FULL = PMDCS - 16
"""Payload of a DATA chunk that fills a packet."""
WIDE_OPEN = 10_000_000
IMPOSSIBLE_GAPS = "SACK with impossible gap ack blocks"
"""Why such a SACK was dropped, in the words of the statistics."""


def partial_bytes_acked(queue: RetransmissionQueue) -> int:
    """The standard controller's counter."""
    assert isinstance(queue.congestion, StandardController)
    return queue.congestion.partial_bytes_acked


def parse(wire: bytes) -> Data:
    """The DATA chunk in ``wire``, which is padded as it must be."""
    length = int.from_bytes(wire[2:4], "big")
    assert wire[0] == 0
    assert len(wire) == (length + 3) & ~3
    return Data.decode(wire[1], wire[4:length])


class Sender:
    """A `RetransmissionQueue` with its surroundings; invariants are checked after every step.

    Unless told otherwise it follows RFC 9260 to the letter, in loss recovery, too.
    """

    def __init__(
        self,
        *,
        initial_tsn: int = 1000,
        peer_rwnd: int = WIDE_OPEN,
        path_mtu: int = PATH_MTU,
        cwnd: int | None = None,
        **config: Any,
    ) -> None:
        self.config = Config(path_mtu=path_mtu, **{"loss_recovery": "rfc9260", **config})
        self.room = path_mtu - 12
        self.rto = RetransmissionTimeout(self.config)
        self.send_queue = SendQueue()
        self.queue = RetransmissionQueue(
            self.config,
            initial_tsn=initial_tsn,
            peer_rwnd=peer_rwnd,
            send_queue=self.send_queue,
            rto=self.rto,
            counters=Counters(),
            path_mtu=path_mtu,
        )
        self.before_first = initial_tsn - 1
        self.now = 100.0
        if cwnd is not None:
            self.queue.congestion.cwnd = cwnd

    def send(
        self, size: int = FULL, *, count: int = 1, stream_id: int = 0, unordered: bool = False
    ) -> None:
        """The program sends messages."""
        for _ in range(count):
            message = OutgoingMessage(stream_id, 51, bytes(size), unordered)
            self.send_queue.add(message)
            self.queue.message_added(message)

    def pull_chunks(self, *, room: int | None = None) -> list[list[Data]]:
        """All packets that may go out now, as their DATA chunks."""
        packets: list[list[Data]] = []
        while True:
            before = self.queue.flight_size
            wires = self.queue.chunks_to_send(room or self.room, self.now)
            check_invariants(self.queue)
            if not wires:
                if room is None:
                    check_not_stalled(self.queue)
                return packets
            size = sum(map(len, wires))
            assert size <= (room or self.room) or len(wires) == 1
            assert self.queue.flight_size == before + size
            chunks = [parse(wire) for wire in wires]
            tsns = [chunk.tsn - chunks[0].tsn & 0xFFFFFFFF for chunk in chunks]
            assert tsns == sorted(set(tsns)), "§6.10: TSNs rise within a packet"
            packets.append(chunks)

    def pull(self, *, room: int | None = None) -> list[list[int]]:
        """All packets that may go out now, as lists of TSNs."""
        return [
            [(chunk.tsn - self.before_first) & 0xFFFFFFFF for chunk in packet]
            for packet in self.pull_chunks(room=room)
        ]

    def sack(
        self, cumulative: int, *blocks: tuple[int, int], a_rwnd: int = WIDE_OPEN, after: float = 0.0
    ) -> bool:
        """A SACK arrives.  Blocks are (first, last) TSNs, not offsets."""
        self.now += after
        offsets = [(first - cumulative, last - cumulative) for first, last in blocks]
        wire_tsn = (self.before_first + cumulative) & 0xFFFFFFFF
        result = self.queue.handle_sack(Sack(wire_tsn, a_rwnd, row_of(offsets)), self.now)
        check_invariants(self.queue)
        return result

    def shutdown_acks(self, cumulative: int, *, after: float = 0.0) -> bool:
        """A SHUTDOWN chunk arrives."""
        self.now += after
        wire_tsn = (self.before_first + cumulative) & 0xFFFFFFFF
        result = self.queue.handle_cumulative_ack(wire_tsn, self.now)
        check_invariants(self.queue)
        return result

    def expire(self) -> bool:
        """Time passes until T3-rtx expires; whether that counts as an error of the peer."""
        assert self.queue.t3_rtx.running
        self.now = self.queue.t3_rtx.deadline
        assert self.queue.t3_rtx.take_expiry(self.now)
        result = self.queue.handle_t3_expiry(self.now)
        check_invariants(self.queue)
        return result

    @property
    def next_timeout(self) -> float:
        """When a timer of the queue expires."""
        return min(self.queue.t3_rtx.deadline, self.queue.recovery.timer.deadline)

    def time_out(self) -> None:
        """Time passes until a timer expires; that of loss recovery first if there are two."""
        self.now = max(self.now, self.next_timeout)
        if self.queue.recovery.timer.take_expiry(self.now):
            self.queue.handle_recovery_timeout(self.now)
        elif self.queue.t3_rtx.take_expiry(self.now):
            self.queue.handle_t3_expiry(self.now)
        check_invariants(self.queue)

    @property
    def t3_in(self) -> float:
        """Seconds until T3-rtx expires."""
        return round(self.queue.t3_rtx.deadline - self.now, 9)
