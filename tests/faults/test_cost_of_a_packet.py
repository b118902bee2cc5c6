"""No packet costs more than a millisecond of CPU, whatever is in it and however large it is.

How fast the machine is must not decide: the cost is compared with that of plain packets, of which a
slow machine, too, takes some tens of thousands a second.  `python -m tests.faults.cost_of_packets`
measures the milliseconds.
"""

from __future__ import annotations

import gc
import time

import pytest

from tests.support.association_pair import Pair, established_pair, packet_to
from tests.support.memory import measured
from tests.support.worst_packets import ETHERNET, LARGEST, WORST_PACKETS, worst_packet
from trio_sctp._wire import chunks as c

pytestmark = pytest.mark.no_cover  # being traced costs more, and not the same for all code

PLAIN_PACKETS = 100
"""As much as so many plain packets: on a machine that takes 100,000 of them a second, a millisecond."""


def busy_pair(*, interleaving: bool, busy: bool = True) -> Pair:
    """A is established and has, or has not, data outstanding and data to send."""
    pair = established_pair(interleaving=interleaving, path_mtu_discovery=False)
    if busy:
        pair.send(bytes(100_000))
        pair.a.pull(pair.now)
    return pair


def cost(pair: Pair, packet: bytes) -> float:
    """CPU seconds to take a packet, tell of it and answer it."""
    association = pair.a.association
    gc.disable()
    start = time.process_time()
    association.receive_packets([packet], now=pair.now)
    while association.next_event() is not None:
        pass
    while association.packets_to_send(now=pair.now):
        pass
    spent = time.process_time() - start
    gc.enable()
    return spent


def cost_of_plain_packet() -> float:
    """The mean of some full-sized DATA packets in order, each answered."""
    pair = busy_pair(interleaving=False, busy=False)
    spent = 0.0
    for _ in range(20):
        tcb = pair.a.association.tcb
        assert tcb is not None
        tsn = tcb.data_receiver.cumulative_tsn_ack + 1 & 0xFFFFFFFF
        data = c.Data(tsn, 0, 0, 51, bytes(1100), unordered=True)
        spent += cost(pair, packet_to(pair.a.association, data))
    return spent / 20


@pytest.mark.parametrize("interleaving", [False, True], ids=["DATA", "I-DATA"])
@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
def test_no_packet_costs_a_millisecond(interleaving: bool, busy: bool) -> None:
    """The best of several tries counts: what else the machine does only makes it slower."""
    for name in WORST_PACKETS:
        for size in (ETHERNET, LARGEST):
            ratios: list[float] = []
            while not ratios or (min(ratios) > PLAIN_PACKETS and len(ratios) < 20):
                pair = busy_pair(interleaving=interleaving, busy=busy)
                spent = cost(pair, worst_packet(name, pair.a.association, size))
                ratios.append(spent / cost_of_plain_packet())
            assert min(ratios) < PLAIN_PACKETS, f"{name}, {size} bytes: {min(ratios)} times"


@pytest.mark.parametrize("interleaving", [False, True], ids=["DATA", "I-DATA"])
@pytest.mark.parametrize("name", WORST_PACKETS)
def test_no_packet_makes_us_keep_much_more_than_itself(name: str, interleaving: bool) -> None:
    """Once all answers are on their way."""
    for size in (ETHERNET, LARGEST):
        pair = busy_pair(interleaving=interleaving, busy=False)
        packet = worst_packet(name, pair.a.association, size)
        with measured() as grown:
            cost(pair, packet)
            assert grown() < 4 * len(packet) + 300_000
