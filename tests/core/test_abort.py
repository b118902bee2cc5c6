"""ABORT (RFC 9260 §9.1): with its causes, unbundled from data, and unanswered."""

from __future__ import annotations

import math

import pytest

from tests.support.association_pair import Pair, established_pair, packet_to, pair_in_state
from trio_sctp._core.errors import LocalProtocolError
from trio_sctp._core.events import AssociationClosed, CloseReason, Message
from trio_sctp._core.states import OPEN, State
from trio_sctp._wire import chunks as c
from trio_sctp._wire.error_causes import OutOfResource, ProtocolViolation, UserInitiatedAbort


@pytest.mark.parametrize("state", sorted(OPEN - {State.COOKIE_WAIT}, key=str))
def test_abort_tells_the_peer_why(state: State) -> None:
    """§9.1, §8.5.1 B: User-Initiated Abort with the reason, under the peer's tag, T bit 0."""
    pair = pair_in_state(state)
    assert pair.a.association.tcb is not None
    tag = pair.a.association.tcb.peer.tag
    pair.a.association.abort("zu spät".encode(), now=0.0)
    (packet,) = pair.a.pull(0.0)
    assert packet.tag == tag
    cause = UserInitiatedAbort("zu spät".encode())
    assert packet.chunks == [c.Abort((cause,), tag_reflected=False)]
    assert pair.a.closed is not None
    assert pair.a.closed.reason is CloseReason.LOCAL_ABORT
    assert pair.a.closed.causes == (cause,)
    assert pair.a.association.next_timeout() == math.inf
    if state is not State.COOKIE_ECHOED:
        pair.repeat(packet)
        assert pair.z.closed is not None
        assert pair.z.closed.reason is CloseReason.PEER_ABORT
        assert pair.z.closed.causes == (cause,)
        assert pair.z.pull(0.0) == [], "an ABORT is never answered"


def test_data_that_waits_is_dropped_and_counted() -> None:
    """§9, §9.1: no DATA with ABORT; the program learns how much was not delivered."""
    pair = established_pair()
    for _ in range(3):
        pair.send(bytes(2000))
    pair.a.association.abort(now=0.0)
    assert [packet.names for packet in pair.a.pull(0.0)] == ["ABORT"]
    assert pair.a.closed is not None
    assert pair.a.closed.undelivered_messages == 3
    assert pair.a.association.total_unsent_bytes == 0


def test_control_chunks_that_wait_are_not_bundled() -> None:
    pair = established_pair()
    pair.a.association.request_heartbeat(now=0.0)
    pair.a.association.abort(now=0.0)
    assert [packet.names for packet in pair.a.pull(0.0)] == ["ABORT"]


def test_messages_that_came_before_the_abort_are_told() -> None:
    """What is complete belongs to the program, even if the ABORT is in the same batch."""
    pair = established_pair()
    a = pair.a.association
    assert a.tcb is not None
    data = c.Data(a.tcb.peer.initial_tsn, 0, 0, 0, b"before")
    pair.a.give([packet_to(a, data), packet_to(a, c.Abort())], 0.0)
    assert [type(event) for event in pair.a.events] == [Message, AssociationClosed]


def test_several_causes() -> None:
    pair = established_pair()
    causes = (OutOfResource(), ProtocolViolation(b"you know"))
    pair.a.receive(c.Abort(causes), now=0.0)
    assert pair.a.closed == AssociationClosed(CloseReason.PEER_ABORT, causes)


def test_malformed_abort_is_discarded_silently() -> None:
    """§3.3.7: a format error; nothing ends."""
    pair = established_pair()
    assert pair.a.receive(b"\6\0\0\5\1\0\0\0", now=0.0) == []
    assert pair.a.receive(b"\6\0\0\x08\0\4\0\x09", now=0.0) == []
    assert pair.a.state is State.ESTABLISHED


def test_reason_that_does_not_fit() -> None:
    """The limit is named; at the limit the packet is as large as one may be."""
    pair = established_pair()
    with pytest.raises(LocalProtocolError, match="reason has 1181 bytes: it must be at most 1180"):
        pair.a.association.abort(bytes(1181), now=0.0)
    assert pair.a.state is State.ESTABLISHED
    assert pair.a.pull(0.0) == []
    pair.a.association.abort(bytes(1180), now=0.0)
    assert [len(packet.raw) for packet in pair.a.pull(0.0)] == [1200]


def test_abort_without_a_peer() -> None:
    """Before INIT ACK nobody can be told: the peer's tag is unknown."""
    for state in (State.CLOSED, State.COOKIE_WAIT):
        pair = pair_in_state(state)
        pair.a.association.abort(now=0.0)
        assert pair.a.pull(0.0) == []
        assert pair.a.closed is not None
        assert pair.a.closed.reason is CloseReason.LOCAL_ABORT


def test_abort_twice() -> None:
    pair = established_pair()
    pair.a.association.abort(now=0.0)
    pair.a.association.abort(now=0.0)
    assert len(pair.a.pull(0.0)) == 1
    assert len(pair.a.events) == 1


def test_a_lost_abort_is_found_out_by_the_next_data() -> None:
    """§8.3, §8.4 rule 8: what was sent to an end that has forgotten us comes back as ABORT."""
    # A -> ABORT -> lost   Z -> DATA -> A   A -> ABORT(T) -> Z
    pair = established_pair()
    pair.lose = lambda packet: packet.sender == "A"
    pair.a.association.abort(now=0.0)
    pair.run()
    pair.lose = lambda packet: False
    pair.z.association.send(0, b"are you there", now=0.0)
    pair.run()
    assert pair.z.closed is not None
    assert pair.z.closed.reason is CloseReason.PEER_ABORT
    assert pair.z.closed.undelivered_messages == 1


def test_a_lost_abort_is_found_out_by_the_next_heartbeat() -> None:
    pair = established_pair()
    pair.lose = lambda packet: packet.sender == "A"
    pair.a.association.abort(now=0.0)
    pair.run()
    pair.lose = lambda packet: False
    pair.run_until(done=lambda: pair.z.association.ended)
    assert pair.now < 32
    assert pair.z.closed is not None
    assert pair.z.closed.reason is CloseReason.PEER_ABORT


def test_both_abort_at_once() -> None:
    pair = established_pair()
    for end in (pair.a, pair.z):
        end.association.abort(now=0.0)
    pair.run()
    assert pair.exchange == ["A -> ABORT -> Z", "Z -> ABORT -> A"]


def test_nothing_works_after_the_end_and_nothing_breaks() -> None:
    pair = established_pair()
    a = pair.a.association
    a.abort(now=0.0)
    pair.a.pull(0.0)
    with pytest.raises(LocalProtocolError, match="send: the association is over"):
        a.send(0, b"x", now=0.0)
    with pytest.raises(LocalProtocolError, match="heartbeat: the association is over"):
        a.request_heartbeat(now=0.0)
    with pytest.raises(LocalProtocolError, match="reset_streams"):
        a.reset_streams([1], now=0.0)
    assert a.message_consumed(5) is False
    a.handle_timeout(now=1e9)
    a.update_config(now=0.0, rto_min=0.5)
    assert a.next_event() is None
    assert a.statistics().state == "CLOSED"


def test_a_pair_ends_alone() -> None:
    """An abort of one association is no business of another."""
    one, two = established_pair(seed=1), established_pair(seed=2)
    one.a.association.abort(now=0.0)
    (abort,) = one.a.pull(0.0)
    two.repeat(abort)
    assert two.z.state is State.ESTABLISHED
    assert Pair().a.state is State.CLOSED
