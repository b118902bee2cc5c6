"""Heartbeats: whether the peer is still there when nobody has anything to say (RFC 9260 §8.3).

An idle association sends HEARTBEAT once per HB.interval plus RTO, jittered by half an RTO.  Its info is
a random nonce of which only we know when it was sent: an acknowledgement without that nonce proves
nothing and is ignored.  One that does not come within an RTO counts as an error.

`Heartbeat` is that of one association; below it stands what the chunks and the timers do.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from .._wire.chunks import Heartbeat as HeartbeatChunk, HeartbeatAck
from .config import Config
from .events import RoundTripMeasured
from .timer import Timer

if TYPE_CHECKING:
    from random import Random

    from .handshake import PacketHeader
    from .rto import RetransmissionTimeout
    from .state_machine import StateMachine

__all__ = [
    "Heartbeat",
    "on_heartbeat",
    "on_heartbeat_ack",
    "on_interval",
    "on_unanswered",
    "request_heartbeat",
]

NONCE_LENGTH = 16


class Heartbeat:
    """The heartbeats of one association on its one path."""

    __slots__ = (
        "_config",
        "_jitter",
        "_nonce",
        "_rng",
        "_rto",
        "_sent_at",
        "_watching",
        "ack_timer",
        "interval_timer",
        "path_used_at",
    )

    def __init__(self, config: Config, rto: RetransmissionTimeout, rng: Random) -> None:
        self._config = config
        self._rto = rto
        self._rng = rng
        self._nonce = b""
        self._sent_at = 0.0
        self._watching = False
        self._jitter = 1.0
        self.path_used_at = -math.inf
        """When a chunk was last sent from which a round trip can be measured."""
        self.interval_timer = Timer("HB.interval")
        self.ack_timer = Timer("heartbeat ack")

    def start(self, now: float) -> None:
        """The association is established: watch the path."""
        self._watching = True
        self._draw_jitter()
        self.interval_timer.start(now, self._period())

    def stop(self) -> None:
        self._watching = False
        self.interval_timer.stop()
        self.ack_timer.stop()

    @property
    def running(self) -> bool:
        """Between `start` and `stop`."""
        return self._watching

    def replace_config(self, config: Config, now: float) -> None:
        old, self._config = self._config, config
        if self._watching and config.hb_interval != old.hb_interval:
            self.start(now)

    def handle_interval(self, now: float) -> bytes | None:
        """After the interval: the HEARTBEAT chunk to send, or None if the path was not idle."""
        period = self._period()
        idle_since = self.path_used_at
        if now < idle_since + period:
            self.interval_timer.start(idle_since, period)
            return None
        self._draw_jitter()
        self.interval_timer.start(now, self._period())
        return self.request(now)

    def request(self, now: float) -> bytes | None:
        """A HEARTBEAT chunk to send now (REQUEST HEARTBEAT, RFC 9260 §11.1.10).

        None if one is on its way, whose answer will do: each would make those before it worthless.
        """
        if self.ack_timer.running:
            return None
        self._nonce = self._rng.randbytes(NONCE_LENGTH)
        self._sent_at = now
        self.path_used_at = now
        self.ack_timer.start(now, self._rto.rto)
        return HeartbeatChunk.from_info(self._nonce).encode()

    def handle_unanswered(self) -> None:
        """No acknowledgement within an RTO: back off (the caller counts the error)."""
        self._rto.back_off()

    def take_ack(self, chunk: HeartbeatAck, now: float) -> float | None:
        """The round trip that was measured if it answers the outstanding HEARTBEAT, else None."""
        if not self._nonce or chunk != HeartbeatAck.from_info(self._nonce):
            return None
        self._nonce = b""
        self.ack_timer.stop()
        round_trip = now - self._sent_at
        self._rto.observe(round_trip)
        return round_trip

    def _draw_jitter(self) -> None:
        """Once for each period: what the RTO is multiplied by."""
        self._jitter = 0.5 + self._rng.random()

    def _period(self) -> float:
        return self._config.hb_interval + self._rto.rto * self._jitter


def request_heartbeat(a: StateMachine, now: float) -> None:
    assert a.tcb is not None
    _send(a, a.tcb.heartbeat.request(now))


def on_interval(a: StateMachine, now: float) -> None:
    assert a.tcb is not None
    _send(a, a.tcb.heartbeat.handle_interval(now))


def _send(a: StateMachine, chunk: bytes | None) -> None:
    if chunk is not None:
        a.builder.add_control(chunk)
        a.counters.heartbeats_sent += 1


def on_unanswered(a: StateMachine, now: float) -> None:
    assert a.tcb is not None
    a.tcb.heartbeat.handle_unanswered()
    a.count_error()


def on_heartbeat(a: StateMachine, chunk: HeartbeatChunk, header: PacketHeader, now: float) -> None:
    a.builder.add_answer(HeartbeatAck(chunk.value).encode())


def on_heartbeat_ack(
    a: StateMachine, chunk: HeartbeatAck, header: PacketHeader, now: float
) -> None:
    """It answers a HEARTBEAT, or a probe of path MTU discovery."""
    assert a.tcb is not None
    round_trip = a.tcb.heartbeat.take_ack(chunk, now)
    if round_trip is not None:
        a.tcb.error_count = 0  # §8.1
        a.counters.heartbeats_acknowledged += 1
        a.tell(RoundTripMeasured(round_trip, a.rto.srtt or round_trip, a.rto.rto))
    elif a.tcb.path_mtu_discovery.take_ack(chunk, now):
        a.tcb.error_count = 0  # RFC 8899 §6.2.1.2
        a.follow_path_mtu()
    else:
        a.counters.drop("HEARTBEAT ACK that was not asked for")
