"""Packets that leave at a rate, as a congestion controller may ask for."""

from __future__ import annotations

import math

import pytest

from tests.support.association_pair import established_pair
from tests.support.tx_sender import FULL
from trio_sctp._core.config import Config
from trio_sctp._core.tx.congestion_standard import StandardController
from trio_sctp._core.tx.pacing import LEAST_BURST, Pacer

RATE = 120_000.0
"""Bytes per second: a full packet takes 10 ms."""


class Paced(StandardController):
    """The standard controller, at a rate."""

    __slots__ = ()
    watches_packets = True


def test_credit_is_kept_for_a_few_packets_only() -> None:
    pacer = Pacer()
    for now in (1000.0, 2000.0):  # however long nothing was sent
        packets = 0
        while pacer.allows(RATE, 1200, now):
            pacer.sent(1200)
            packets += 1
        assert packets == LEAST_BURST
        assert now < pacer.timer.deadline < now + 1200 / RATE


def test_the_time_of_the_next_packet_is_told() -> None:
    pacer = Pacer()
    now, times = 1000.0, []
    for _ in range(50):
        while not pacer.allows(RATE, 1200, now):
            assert pacer.timer.deadline > now
            now = pacer.timer.deadline
            assert pacer.timer.take_expiry(now)
        assert pacer.timer.deadline == math.inf
        pacer.sent(1200)
        times.append(now)
    late = 1200 * (len(times) - LEAST_BURST - 1)  # one goes as soon as there is any credit
    assert late / (times[-1] - times[0]) == pytest.approx(RATE, rel=0.01)


@pytest.mark.interpreted
def test_an_association_sends_at_the_rate() -> None:
    """Neither faster, where cwnd would allow it, nor much slower; all arrives."""
    pair = established_pair(path_mtu_discovery=False, sack_delay=0.0, max_burst=100)
    tcb = pair.a.association.tcb
    assert tcb is not None
    queue = tcb.retransmission_queue
    controller = Paced(Config(), pmdcs=1188)
    controller.cwnd, controller.pacing_rate = 10**6, RATE
    queue.congestion = controller
    count = 100
    for _ in range(count):
        pair.send(bytes(FULL))
    began = pair.now
    times: list[float] = []
    while len(times) < count:
        times += [pair.now - began for packet in pair.a.pull(pair.now) if "DATA" in packet.names]
        pair.transit.clear()
        pair.now = queue.pacer.timer.deadline
        pair.a.expire(pair.now)
    for number, at in enumerate(times):
        assert at >= (number - LEAST_BURST) * 0.0099
    assert times[-1] <= count * 0.0101
