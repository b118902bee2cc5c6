"""When a peer counts as gone (RFC 9260 §8.1, §8.2): what is counted, and what clears the count."""

from __future__ import annotations

import math

import pytest

from tests.support.association_pair import End, Pair, established_pair
from trio_sctp._core.events import CloseReason
from trio_sctp._core.states import State
from trio_sctp._wire import chunks as c


def error_count(end: End) -> int:
    return end.association.statistics().error_count


def test_unacknowledged_data_ends_the_association() -> None:
    """§8.1: after more than Association.Max.Retrans expiries of T3-rtx, backing off."""
    pair = established_pair(
        association_max_retrans=4, hb_interval=math.inf, loss_recovery="rfc9260"
    )
    pair.lose = lambda packet: True
    pair.send(b"x")
    pair.run_until(done=lambda: pair.a.association.ended)
    assert pair.now == 1 + 2 + 4 + 8 + 16
    assert pair.exchange == ["A -> DATA -> lost"] * 5
    assert pair.a.closed is not None
    assert pair.a.closed.reason is CloseReason.TIMED_OUT
    assert pair.a.closed.undelivered_messages == 1
    assert pair.a.association.next_timeout() == math.inf


def test_default_limit() -> None:
    """§16: 10."""
    pair = established_pair(hb_interval=math.inf, loss_recovery="rfc9260")
    pair.lose = lambda packet: True
    pair.send(b"x")
    pair.run_until(done=lambda: pair.a.association.ended)
    assert len(pair.exchange) == 11
    assert pair.now == 1 + 2 + 4 + 8 + 16 + 32 + 60 * 5


def test_unanswered_heartbeats_end_the_association() -> None:
    """§8.1, §8.3: an idle end finds out, too."""
    pair = established_pair(association_max_retrans=2)
    pair.lose = lambda packet: True
    pair.run_until(done=lambda: pair.a.association.ended)
    assert pair.exchange.count("A -> HEARTBEAT -> lost") == 3
    assert pair.a.closed is not None
    assert pair.a.closed.reason is CloseReason.TIMED_OUT
    assert 90 < pair.now < 110


def test_limit_of_zero() -> None:
    pair = established_pair(association_max_retrans=0, loss_recovery="rfc9260")
    pair.lose = lambda packet: True
    pair.send(b"x")
    pair.run_until(1.0)
    assert pair.a.closed is not None


def test_sack_of_new_data_clears_the_count() -> None:
    """§8.1: each time a DATA chunk is acknowledged."""
    pair = established_pair(hb_interval=math.inf)
    pair.lose = lambda packet: True
    pair.send(b"x")
    pair.run_until(8.0)
    assert error_count(pair.a) == 3
    pair.lose = lambda packet: False
    pair.run_until(16.0)
    assert error_count(pair.a) == 0


def test_sack_of_nothing_new_clears_nothing() -> None:
    pair = established_pair(hb_interval=math.inf)
    pair.lose = lambda packet: True
    pair.send(b"x")
    pair.run_until(2.0)
    tcb = pair.a.association.tcb
    assert tcb is not None
    acked = tcb.retransmission_queue.cumulative_tsn_ack % 2**32
    pair.a.receive(c.Sack(acked, 10_000), now=2.0)
    assert error_count(pair.a) == 1


def test_heartbeat_ack_clears_the_count() -> None:
    """§8.1, §8.3."""
    pair = established_pair()
    pair.lose = lambda packet: True
    pair.run_until(80.0)
    assert error_count(pair.a) == 2
    pair.lose = lambda packet: False
    pair.run_until(120.0)
    assert error_count(pair.a) == 0


def test_shutdown_that_acknowledges_clears_the_count() -> None:
    pair = established_pair(hb_interval=math.inf)
    pair.lose = lambda packet: packet.sender == "Z"
    pair.send(b"x")
    pair.run_until(4.0)
    assert error_count(pair.a) == 2
    pair.lose = lambda packet: False
    tcb = pair.a.association.tcb
    assert tcb is not None
    pair.a.receive(c.Shutdown((tcb.retransmission_queue.next_tsn - 1) % 2**32), now=4.0)
    assert pair.a.state is State.SHUTDOWN_ACK_SENT
    assert error_count(pair.a) == 0


def test_other_packets_clear_nothing() -> None:
    """Neither ERROR nor DATA nor HEARTBEAT proves that what we send arrives."""
    pair = established_pair(hb_interval=math.inf)
    pair.lose = lambda packet: packet.sender == "A"
    pair.send(b"x")
    pair.z.association.send(0, b"y", now=0.0)
    pair.run_until(2.0)
    tcb = pair.a.association.tcb
    assert tcb is not None
    pair.a.receive(c.Heartbeat.from_info(b"x"), c.Error(()), c.Pad(), now=2.0)
    assert error_count(pair.a) == 1


@pytest.mark.parametrize("counted", ["data", "heartbeat"])
def test_both_kinds_count_together(counted: str) -> None:
    """§8.1: one counter for retransmissions and heartbeats."""
    pair = established_pair(association_max_retrans=3, hb_interval=5.0)
    pair.lose = lambda packet: True
    if counted == "data":
        pair.send(b"x")
    pair.run_until(done=lambda: pair.a.association.ended)
    assert pair.now <= (16 if counted == "data" else 50)


def test_limit_can_be_changed_while_it_runs() -> None:
    """§11.1.12."""
    pair = established_pair(hb_interval=math.inf)
    pair.lose = lambda packet: True
    pair.send(b"x")
    pair.run_until(4.0)
    pair.a.association.update_config(now=4.0, association_max_retrans=2)
    pair.run_until(10.0)
    assert pair.a.closed is not None


def test_a_failed_end_leaves_no_timer_and_a_late_answer_is_a_stranger() -> None:
    pair = established_pair(association_max_retrans=0, hb_interval=math.inf)
    pair.lose = lambda packet: packet.sender == "A"
    pair.send(b"x")
    pair.run_until(done=lambda: pair.a.association.ended)
    assert pair.a.closed is not None
    assert pair.next_timeout() == math.inf
    pair.lose = lambda packet: False
    pair.z.association.send(0, b"x", now=pair.now)
    pair.run()
    assert pair.exchange[-2:] == ["Z -> DATA -> A", "A -> ABORT -> Z"]
    assert pair.z.closed is not None


def test_peer_that_comes_back_in_time() -> None:
    """Whatever was queued in the mean time arrives."""
    pair = Pair()
    pair.connect()
    pair.lose = lambda packet: True
    for i in range(50):
        pair.send(bytes([i]) * 3000)
    pair.run_until(60.0)
    pair.lose = lambda packet: False
    pair.run_until(done=lambda: not pair.a.association.undelivered_messages)
    assert [payload[0] for payload in pair.z.payloads] == list(range(50))
