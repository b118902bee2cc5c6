"""Whole lives of two associations under random calls, sends, shutdowns, losses, copies and delays."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings, strategies as st

from tests.support.association_pair import End, Packet, Pair
from trio_sctp._core.events import (
    AssociationClosed,
    AssociationRestarted,
    AssociationUp,
    CloseReason,
    PeerError,
    PeerShutdown,
)
from trio_sctp._core.states import State

STEPS = st.lists(
    st.sampled_from(
        ["call", "send", "big", "send", "shutdown", "last", "drop", "copy", "wait", "long wait"]
        + 4 * ["deliver"]
    ),
    max_size=40,
)


class Life:
    """A pair and what was asked of its ends."""

    def __init__(self) -> None:
        self.pair = Pair(association_max_retrans=20, max_init_retransmits=20)
        self.sent: dict[str, list[bytes]] = {"A": [], "Z": []}

    def step(self, step: str, end: End) -> None:
        pair, association = self.pair, end.association
        if step == "call" and association.state is State.CLOSED and not association.ended:
            association.connect(now=pair.now)
        elif step in ("send", "big") and self.may_send(end):
            sent = self.sent[end.name]
            payload = f"{end.name} {len(sent)} ".encode() * (600 if step == "big" else 1)
            association.send(0, payload, now=pair.now)
            sent.append(payload)
        elif step == "shutdown" and association.state is not State.CLOSED:
            association.shutdown(now=pair.now)
            end.drain(pair.now)
        elif step in ("wait", "long wait"):
            pair.now += 0.3 if step == "wait" else 5.0
            pair.a.expire(pair.now)
            pair.z.expire(pair.now)
        elif pair.transit:
            self.step_on_packets(step)
        pair.pull()

    def step_on_packets(self, step: str) -> None:
        pair = self.pair
        if step == "deliver":
            pair.deliver()
        elif step == "last":
            pair.deliver(-1)
        elif step == "drop":
            pair.drop()
        elif step == "copy":
            packet: Packet = pair.transit[0]
            pair.repeat(packet)

    @staticmethod
    def may_send(end: End) -> bool:
        association = end.association
        return not (association.ended or association.ending.requested) and association.state in (
            State.CLOSED,
            State.COOKIE_WAIT,
            State.COOKIE_ECHOED,
            State.ESTABLISHED,
        )


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=STEPS, choices=st.lists(st.booleans(), min_size=40, max_size=40))
def test_every_life_ends_well(steps: list[str], choices: list[bool]) -> None:
    """Once the path is good: up means up at both ends, a graceful end means that all was delivered."""
    life = Life()
    pair = life.pair
    for step, first in zip(steps, choices, strict=False):
        life.step(step, pair.a if first else pair.z)
    called = pair.a.state is not State.CLOSED or pair.z.state is not State.CLOSED
    pair.run_for(400.0)  # enough for any back-off
    a, z = pair.a, pair.z
    if not called:
        assert a.association.ended == z.association.ended
    elif not a.association.ended and not z.association.ended:
        assert a.state is z.state is State.ESTABLISHED
    for end, other in ((a, z), (z, a)):
        received = other.payloads
        assert received == life.sent[end.name][: len(received)], "out of order, twice, or changed"
        if called and end.state is State.ESTABLISHED:
            assert received == life.sent[end.name]
        if end.closed is not None:
            assert end.closed.reason is CloseReason.SHUTDOWN, (end.closed, other.closed)
            assert end.closed.undelivered_messages == 0
            assert received == life.sent[end.name]
            assert other.closed is not None
        assert len(end.take(AssociationUp)) <= 1
        assert end.take(AssociationRestarted) == []
        assert end.take(PeerError) == []
        assert len(end.take(PeerShutdown)) <= 1
        assert len(end.take(AssociationClosed)) <= 1
