"""Path MTU discovery in associations: two ends, each direction a path of its own (RFC 8899 §6.2)."""

from __future__ import annotations

import math
from itertools import pairwise
from random import Random

import pytest

from tests.support.association_pair import End, established_pair
from tests.support.mtu_pair import LARGEST, MtuPair
from trio_sctp._core.association import Association
from trio_sctp._core.config import Config
from trio_sctp._core.events import (
    AssociationClosed,
    AssociationRestarted,
    AssociationUp,
    CloseReason,
    PathMtuChanged,
)
from trio_sctp._core.path_mtu import DiscoveryState
from trio_sctp._core.states import State
from trio_sctp._wire import chunks as c
from trio_sctp._wire.parameters import Parameter, StateCookie, SupportedExtensions
from trio_sctp.testing._emulated_link import EmulatedLink, LinkConditions

MTUS = [1500, 9000, 65535]


def payload(size: int, seed: int = 0) -> bytes:
    return Random(seed).randbytes(size)


class Unfragmenting(EmulatedLink):
    """A network in which fragments do not get through."""

    def push(self, datagram: bytes, now: float, *, fragment: bool = False) -> None:
        super().push(datagram, now)


# -- what a probe is (§6.2.1.2, RFC 4820) --------------------------------------------------------------


def test_6_2_1_2_a_probe_is_a_heartbeat_with_padding_in_a_packet_of_its_own() -> None:
    pair = established_pair()
    pair.run()
    end = pair.a.association
    assert end.tcb is not None
    end.tcb.path_mtu_discovery._max_path_mtu = 1500
    end.tcb.path_mtu_discovery.start(pair.now)
    pair.a.max_packet = 1500
    pair.send(b"data goes in another packet")
    # A -> DATA -> Z, A -> HEARTBEAT, PAD (1200 bytes) -> Z, A <- HEARTBEAT ACK, SACK <- Z
    _, probe = pair.pull()
    assert probe.names == "HEARTBEAT, PAD"
    assert len(probe.raw) == 1200
    pair.deliver()
    pair.deliver()
    (answer,) = pair.pull()
    assert answer.names == "SACK, HEARTBEAT ACK"
    assert answer.chunk(c.HeartbeatAck).value == probe.chunk(c.Heartbeat).value


@pytest.mark.parametrize(
    "parameters, pads",
    [
        ([StateCookie(b"0" * 24)], False),
        ([StateCookie(b"0" * 24), SupportedExtensions((130, 192))], False),
        ([StateCookie(b"dcSCTP00" + bytes(28)), SupportedExtensions((130, 192))], True),
        ([StateCookie(b"KAME-BSD 1.1" + bytes(200))], True),
        ([StateCookie(b"0" * 24), SupportedExtensions((0x84,))], True),
    ],
)
def test_padding_only_for_peers_that_are_known_to_take_it(
    parameters: list[Parameter], pads: bool
) -> None:
    end = End("A", Config(), Random(1))
    end.association.pads_probes = False
    end.association.max_path_mtu = 1500
    end.association.connect(now=0.0)
    end.pull(0.0)
    end.receive(c.InitAck(77, 10_000, 5, 5, 1, tuple(parameters)), now=0.0)
    (probe,) = end.receive(c.CookieAck(), now=0.0)
    # what the peer answers is as long as the probe where that has no padding
    assert probe.names == ("HEARTBEAT, PAD" if pads else "HEARTBEAT")
    assert len(probe.raw) == 1200
    end.max_packet = 1500
    (larger,) = end.receive(c.HeartbeatAck(probe.chunk(c.Heartbeat).value), now=0.0)
    assert len(larger.raw) == 1500


def test_a_long_heartbeat_is_answered_whole() -> None:
    z = established_pair().z
    z.max_packet = 1500
    (answer,) = z.receive(c.Heartbeat.from_info(bytes(1400)), now=0.0)
    assert answer.chunk(c.HeartbeatAck).value == c.Heartbeat.from_info(bytes(1400)).value


def test_rfc_4820_3_padding_is_ignored_and_what_follows_it_is_not() -> None:
    z = established_pair().z
    chunks = c.Pad(100), c.Heartbeat.from_info(b"one"), c.Pad(4), c.Heartbeat.from_info(b"two")
    (answer,) = z.receive(*chunks, now=0.0)
    assert answer.names == "HEARTBEAT ACK, HEARTBEAT ACK"
    assert not z.association.counters.dropped


# -- the size is found -----------------------------------------------------------------------------


@pytest.mark.parametrize("mtu", MTUS)
def test_a_path_is_used_to_its_size(mtu: int) -> None:
    pair = MtuPair(mtu)
    pair.run_for(0.5)  # a few round trips, and no time-out
    for end in pair.ends:
        assert end.path_mtu == mtu & ~3
        assert end.association.statistics().path_mtu == mtu & ~3
        assert end.sizes == [size for size in (1500, 9000, LARGEST) if size <= mtu]
        rounds = [now for now, _ in end.probes]
        assert all(b - a > 0.0399 for a, b in pairwise(rounds)), "a round trip between probes (§8)"
    message = payload(500_000)
    pair.send(message)
    pair.run_until(lambda: pair.z.messages == [message])
    assert pair.a.largest_sent > 0.99 * (mtu & ~3)


def test_over_dtls_and_udp_the_overhead_is_known() -> None:
    pair = MtuPair(1500 - 28 - 37, overhead=28 + 37)
    pair.run_for(0.5)
    assert pair.a.path_mtu == 1432
    assert [size for _, size in pair.a.probes[:2]] == [1200, 1432]


def test_each_direction_has_its_own_size() -> None:
    pair = MtuPair(9000, back=1500)
    pair.complete()
    assert (pair.a.path_mtu, pair.z.path_mtu) == (9000, 1500)


def test_odd_paths_are_used_nearly_to_their_size() -> None:
    pair = MtuPair(8896, back=1440)
    pair.complete()
    assert pair.a.path_mtu > 8000
    assert pair.z.path_mtu == 1420 or pair.z.path_mtu > 1420


@pytest.mark.parametrize("loss", [0.05, 0.2])
@pytest.mark.parametrize("mtu", MTUS)
def test_lost_probes_and_lost_data(mtu: int, loss: float) -> None:
    pair = MtuPair(mtu, seed=mtu, config=Config(rto_min=0.2))
    for end in pair.ends:
        end.link.conditions.loss = loss
    message = payload(200_000)
    pair.send(message)
    pair.run_until(lambda: pair.z.messages == [message], within=600)
    pair.run_until(lambda: pair.a.path_mtu == mtu & ~3, within=2500)
    assert not any(isinstance(event, AssociationClosed) for event in pair.a.events)


def test_a_lost_probe_is_no_error_and_no_congestion() -> None:
    """§3 item 7, §6.2.1.2: it shows nothing but that it was too large, perhaps."""
    pair = MtuPair(1200, config=Config(hb_interval=math.inf))
    before = pair.a.association.statistics()
    pair.complete()
    after = pair.a.association.statistics()
    assert after.path_mtu_probes_lost >= 3
    assert (after.cwnd, after.rto, after.error_count) == (before.cwnd, before.rto, 0)
    assert after.heartbeats_sent == 0


def test_an_answered_probe_shows_that_the_peer_is_there() -> None:
    pair = MtuPair(9000)
    tcb = pair.a.association.tcb
    assert tcb is not None
    tcb.error_count = 5
    pair.run_for(0.1)
    assert tcb.error_count == 0


def test_a_larger_size_lets_no_more_bytes_out() -> None:
    """§3 item 7: the congestion window keeps its bytes."""
    pair = MtuPair(65535)
    cwnd = pair.a.association.statistics().cwnd
    pair.run_for(0.5)
    assert pair.a.path_mtu == LARGEST
    assert pair.a.association.statistics().cwnd == cwnd


def test_no_probe_goes_out_while_lost_data_is_sent_again() -> None:
    pair = MtuPair(1500)
    pair.complete()
    pair.a.link.conditions.mtu = 9000
    raised = pair.a.discovery.timer.deadline
    pair.run_for(raised - 1.5 - pair.now)
    pair.a.link.conditions.loss = 1.0
    pair.send(b"lost twice")
    # T3-rtx expires half a second before PMTU_RAISE_TIMER, and again two seconds later
    sent = len(pair.a.probes)
    pair.run_for(2.0)
    assert pair.a.discovery.state is DiscoveryState.SEARCHING
    assert len(pair.a.probes) == sent
    pair.a.link.conditions.loss = 0.0
    pair.run_for(5.0)
    assert pair.z.messages
    assert pair.a.path_mtu == 9000
    assert pair.a.probes[sent][0] > raised + 1.5


def test_the_raise_timer_finds_that_the_path_has_become_better() -> None:
    pair = MtuPair(1500)
    pair.complete()
    pair.a.link.conditions.mtu = 9000
    pair.run_for(500)
    assert pair.a.path_mtu == 1500
    pair.run_for(150)
    assert pair.a.path_mtu == 9000
    assert pair.z.path_mtu == 1500


# -- black holes (§4.3) ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "before, after", [(9000, 1500), (65535, 9000), (65535, 1500), (1500, 1280)]
)
def test_a_path_that_shrinks_is_found_out_and_the_data_arrives(before: int, after: int) -> None:
    pair = MtuPair(before, config=Config(rto_min=0.2))
    pair.run_for(1.0)
    assert pair.a.path_mtu == before & ~3
    first, second = payload(300_000, 1), payload(300_000, 2)
    pair.send(first)
    pair.run_for(0.05)
    pair.a.link.conditions.mtu = after  # in the middle of the transfer
    pair.send(second)
    pair.run_until(lambda: len(pair.z.messages) == 2, within=30)
    assert pair.z.messages == [first, second]
    assert pair.a.association.statistics().path_mtu_black_holes == 1
    assert pair.a.fragmented, "RFC 9260 §6.9: what was cut before goes as IP fragments"
    assert 1200 in pair.a.sizes
    pair.run_until(lambda: pair.a.is_complete, within=100)
    assert after * 0.9 < pair.a.path_mtu <= after
    assert pair.z.path_mtu == before & ~3, "the other direction is as it was"


def test_small_messages_in_large_packets_find_the_black_hole_too() -> None:
    """Chunks that fit are bundled anew: nothing has to be fragmented."""
    pair = MtuPair(9000, config=Config(rto_min=0.2))
    pair.run_for(1.0)
    pair.a.link.conditions.mtu = 1500
    messages = [payload(300, seed) for seed in range(200)]
    pair.send(*messages)
    pair.run_until(lambda: pair.z.messages == messages, within=30)
    assert pair.a.fragmented == 0
    pair.complete()
    assert pair.a.path_mtu == 1500


def test_where_fragments_do_not_pass_the_association_ends_as_unreachable() -> None:
    """RFC 9260 §6.9: it can fail if IP fragmentation does not work."""
    pair = MtuPair(9000, config=Config(rto_min=0.2, rto_max=1.0))
    pair.run_for(1.0)
    pair.send(payload(100_000))
    pair.a.link = Unfragmenting(LinkConditions(delay=0.02, mtu=1500))

    def closed() -> bool:
        return any(isinstance(event, AssociationClosed) for event in pair.a.events)

    pair.run_until(closed, within=100)
    assert pair.a.events[-1] == AssociationClosed(CloseReason.TIMED_OUT, (), 1)


def test_an_idle_direction_needs_no_probes_to_stay_as_it_is() -> None:
    """§6.2.1.3: SCTP data is acknowledged, so there is no CONFIRMATION_TIMER."""
    pair = MtuPair(65535)
    pair.run_for(1.0)
    sent = len(pair.a.probes)
    pair.run_for(3000)
    assert len(pair.a.probes) == sent, "nor a raise timer, at the largest size there is"


def test_a_path_that_takes_less_than_the_base_size() -> None:
    pair = MtuPair(600, config=Config(rto_min=0.2))
    message = payload(20_000)
    pair.run_until(lambda: pair.a.discovery.state is DiscoveryState.ERROR)
    assert pair.a.path_mtu == 512
    pair.send(message)
    pair.run_until(lambda: pair.z.messages == [message])
    pair.a.link.conditions.mtu = 1500
    pair.run_until(lambda: pair.a.path_mtu == 1500)


# -- what follows the size -----------------------------------------------------------------------------


def test_only_data_makes_a_packet_larger_than_the_base_size() -> None:
    """Its loss is noticed; that of a large SACK or ERROR would not be."""
    pair = MtuPair(9000)
    pair.run_for(1.0)
    unknown = c.UnknownChunk(0xC7, 0, bytes(5000))
    z = End("Z", Config(), Random(0))
    z.association = pair.z.association
    z.drain(pair.now)
    (answer,) = z.receive(unknown, now=pair.now)
    assert answer.names == "ERROR"
    assert len(answer.raw) == 1200


def test_the_other_end_may_be_told_of_the_end_in_any_state_of_the_search() -> None:
    pair = MtuPair(9000)
    pair.a.association.shutdown(now=pair.now)
    pair.run_until(lambda: pair.a.association.ended and pair.z.association.ended)
    assert pair.a.association.next_timeout() == float("inf")


def test_no_probes_once_the_shutdown_is_under_way() -> None:
    """RFC 9260 §8.3: no heartbeats either."""
    pair = MtuPair(1500)
    pair.run_for(0.2)
    assert pair.a.discovery.state is DiscoveryState.SEARCHING
    pair.z.link.conditions.loss = 1.0
    pair.a.association.shutdown(now=pair.now)
    pair.a.step(pair.now)
    sent = len(pair.a.probes)
    pair.run_for(40)
    assert pair.a.association.state is State.SHUTDOWN_SENT
    assert len(pair.a.probes) == sent


def test_an_answer_that_comes_after_the_shutdown_has_begun_was_asked_for() -> None:
    pair = MtuPair(1500)
    pair.a.step(pair.now)
    assert pair.a.probes
    pair.a.association.shutdown(now=pair.now)
    pair.run_until(lambda: pair.a.association.ended and pair.z.association.ended)
    assert pair.a.association.counters.dropped == pair.z.association.counters.dropped == {}


def test_two_answers_to_the_base_probe_were_both_asked_for() -> None:
    pair = MtuPair(1500, Config(probe_timer=1.0), delay=0.7)
    pair.complete()
    assert pair.a.discovery.probes_lost > 0
    assert "HEARTBEAT ACK that was not asked for" not in pair.a.association.counters.dropped
    assert pair.a.association.statistics().path_mtu == 1500


def test_a_restarted_peer_begins_at_the_base_size() -> None:
    pair = MtuPair(9000)
    pair.run_for(1.0)
    assert pair.a.path_mtu == 9000
    pair.z.association = Association(Config(), rng=Random(5))
    pair.z.association.connect(now=pair.now)
    pair.run_until(lambda: isinstance(pair.a.events[-1], AssociationUp))
    assert isinstance(pair.a.events[-2], AssociationRestarted)
    assert pair.a.path_mtu == pair.z.path_mtu == 1200


def test_path_changed_begins_anew() -> None:
    """RFC 8831 §5: path MTU, congestion window and what was measured."""
    pair = MtuPair(9000)
    pair.run_for(1.0)
    pair.send(payload(1_000_000))
    pair.run_until(lambda: len(pair.z.messages) == 1)
    pair.a.association.path_changed(now=pair.now)
    statistics = pair.a.association.statistics()
    assert (statistics.cwnd, statistics.srtt, statistics.path_mtu) == (4404, None, 1200)
    assert statistics.ssthresh == 2**32
    pair.run_for(1.0)
    assert pair.a.path_mtu == 9000
    fresh = End("A", Config(), Random(0)).association
    fresh.path_changed(now=0.0)  # there is nothing to forget yet


def test_it_is_switched_off_and_on_while_the_association_runs() -> None:
    pair = MtuPair(9000)
    pair.run_for(1.0)
    pair.a.association.update_config(path_mtu_discovery=False, now=pair.now)
    assert pair.a.path_mtu == 1200
    assert pair.a.association.next_event() == PathMtuChanged(1200)
    pair.a.association.update_config(path_mtu_discovery=True, now=pair.now)
    pair.run_for(1.0)
    assert pair.a.path_mtu == 9000


def test_without_a_known_limit_nothing_is_tried() -> None:
    pair = established_pair()
    pair.run_for(100)
    assert not any("PAD" in line for line in pair.exchange)
    assert pair.a.association.statistics().path_mtu_state == "DISABLED"
