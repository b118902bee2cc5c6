"""The snapshot that `Association.statistics` gives (RFC 6458 §8.2, RFC 9260 §11.1.8)."""

from __future__ import annotations

import math

import pytest

from tests.support.association_pair import Pair, established_pair, packet_to, pair_in_state
from tests.support.incoming_data import NO_ROOM
from trio_sctp._core.states import State
from trio_sctp._wire import chunks as c


@pytest.mark.parametrize("state", list(State))
def test_there_are_statistics_in_every_state(state: State) -> None:
    pair = pair_in_state(state)
    statistics = pair.a.association.statistics()
    assert statistics.state == state.value
    assert statistics.path_mtu == 1200
    assert statistics.rto >= 1.0


def test_before_anything_happened() -> None:
    statistics = Pair(a_rwnd=5000, outbound_streams=3, inbound_streams=4).a.association.statistics()
    assert statistics.a_rwnd == 5000
    assert (statistics.outbound_streams, statistics.inbound_streams) == (3, 4)
    assert statistics.peer_rwnd == statistics.cwnd == statistics.flight_size == 0
    assert statistics.srtt is None
    assert statistics.rttvar is None
    assert statistics.packets_sent == statistics.packets_received == 0


def test_packets_bytes_and_messages_are_counted_at_both_ends() -> None:
    pair = Pair()
    pair.a.association.connect(now=0.0)
    pair.run()
    for _ in range(7):
        pair.send(bytes(3000))
    pair.run_until(5.0)
    a, z = pair.a.association.statistics(), pair.z.association.statistics()
    assert a.packets_sent == z.packets_received == sum(1 for s in pair.exchange if s[0] == "A")
    assert z.packets_sent == a.packets_received == sum(1 for s in pair.exchange if s[0] == "Z")
    assert a.bytes_sent == z.bytes_received > 7 * 3000
    assert z.bytes_sent == a.bytes_received
    assert (a.messages_sent, z.messages_received) == (7, 7)
    assert (a.messages_received, z.messages_sent) == (0, 0)


def test_what_is_under_way() -> None:
    pair = established_pair()
    pair.send(bytes(100_000))
    pair.a.pull(0.0)
    statistics = pair.a.association.statistics()
    assert statistics.unacked_chunks > 2
    assert statistics.flight_size > 2000
    assert statistics.unsent_bytes == pair.a.association.total_unsent_bytes > 50_000
    assert pair.a.association.unsent_bytes(0) == statistics.unsent_bytes
    assert pair.a.association.unsent_bytes(1) == 0
    assert statistics.peer_rwnd < pair.z.association.config.a_rwnd
    assert statistics.flight_size <= statistics.cwnd + 1200


def test_losses_and_duplicates() -> None:
    pair = established_pair(hb_interval=math.inf, loss_recovery="rfc9260")
    pair.lose = lambda packet: packet.sender == "Z"
    pair.send(b"x")
    pair.run_until(2.0)
    assert pair.a.association.statistics().error_count == 1
    assert pair.a.association.statistics().rto == 2.0
    pair.lose = lambda packet: False
    pair.run_until(5.0)
    assert pair.a.association.statistics().retransmitted_chunks == 2
    assert pair.z.association.statistics().duplicate_tsns == 2
    assert pair.a.association.statistics().error_count == 0


def test_window_shrinks_by_what_is_unread() -> None:
    pair = established_pair()
    pair.z.reading = False
    pair.send(bytes(1000))
    pair.run()
    shrunk = pair.z.association.statistics().a_rwnd
    assert shrunk <= pair.z.association.config.a_rwnd - 1000
    pair.z.association.message_consumed(1000)
    assert pair.z.association.statistics().a_rwnd == pair.z.association.config.a_rwnd


def test_everything_dropped_has_a_reason() -> None:
    """What a peer does wrong is counted, never raised."""
    pair = established_pair()
    pair.a.give([b"too short"], 0.0)
    pair.a.receive(c.CookieAck(), now=0.0)
    pair.a.receive(c.Pad(), now=0.0, tag=3)
    dropped = pair.a.association.statistics().dropped
    assert dropped == {
        "malformed packet": 1,
        "CookieAck in ESTABLISHED": 1,
        "wrong verification tag": 1,
    }


def test_data_beyond_a_window_that_is_used_up_is_told_of() -> None:
    """RFC 9260 §6.2: it was dropped for want of room, not lost."""
    pair = established_pair(a_rwnd=5000, path_mtu_discovery=False)
    pair.a.reading = False
    assert pair.a.association.tcb is not None
    tsn = pair.a.association.tcb.peer.initial_tsn
    chunks = [c.Data((tsn + n) % 2**32, 0, n, 0, bytes(1000)) for n in range(20)]
    pair.a.give([packet_to(pair.a.association, chunk) for chunk in chunks], 0.0)
    taken = len(pair.a.payloads)
    assert 5 <= taken < 20
    assert pair.a.association.statistics().dropped == {NO_ROOM: 20 - taken}


def test_snapshot_does_not_change_afterwards() -> None:
    pair = established_pair()
    before = pair.a.association.statistics()
    pair.a.give([b"too short"], 0.0)
    assert before.dropped == {}


def test_reasons_are_bounded() -> None:
    """No peer can make the table of reasons grow by what it sends."""
    pair = established_pair()
    for kind in range(256):
        pair.a.receive(c.UnknownChunk(kind, 0, b"x"), now=0.0) if kind > 14 else None
        pair.a.receive(bytes([kind, 0, 0, 2]), now=0.0)
        if pair.a.association.ended:
            break
    assert len(pair.a.association.statistics().dropped) < 10
