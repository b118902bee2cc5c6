"""A chunk that fills a packet is repeated although something received waits for its SACK (§6.1)."""

from __future__ import annotations

from tests.support.association_pair import End, Pair, established_pair
from tests.support.tx_sender import FULL


def z_sends(pair: Pair, payload: bytes) -> None:
    pair.z.association.send(0, payload, now=pair.now)


def t3_deadline(end: End) -> float:
    assert end.association.tcb is not None
    return end.association.tcb.retransmission_queue.t3_rtx.deadline


def test_a_full_sized_retransmission_does_not_wait_for_the_delayed_sack() -> None:
    pair = established_pair(sack_delay=0.2)
    z_sends(pair, b"the first is acknowledged at once")
    pair.run()
    # A -> DATA -> lost
    pair.send(bytes(FULL))
    assert [packet.names for packet in pair.a.pull(pair.now)] == ["DATA"]
    # A <- DATA <- Z, which A will acknowledge in 0.2 s
    pair.now = t3_deadline(pair.a) - 0.05
    z_sends(pair, b"ping")
    pair.a.give([packet.raw for packet in pair.z.pull(pair.now)], pair.now)
    assert pair.a.pull(pair.now) == []
    # T3-rtx expires: A -> DATA -> Z, without a SACK, for which it has no room
    pair.now = t3_deadline(pair.a)
    pair.a.expire(pair.now)
    assert [packet.names for packet in pair.a.pull(pair.now)] == ["DATA"]
