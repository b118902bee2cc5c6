"""Path MTU discovery alone (RFC 8899 §5): sizes, timers and states, on a path of one number.

`search` plays the peer: a probe that fits is answered after a round trip, any other never.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from random import Random

import pytest

from trio_sctp._core.config import Config
from trio_sctp._core.errors import LocalProtocolError
from trio_sctp._core.path_mtu import MIN_PLPMTU, DiscoveryState, PathMtuDiscovery
from trio_sctp._core.rto import RetransmissionTimeout
from trio_sctp._wire.chunks import Heartbeat, HeartbeatAck, Pad, decode_chunk

ROUND_TRIP = 0.05
Step = tuple[float, int]


def discovery(
    maximum: int | None = 65532, *, overhead: int = 0, config: Config | None = None, seed: int = 0
) -> PathMtuDiscovery:
    config = config or Config()
    rto = RetransmissionTimeout(config)
    return PathMtuDiscovery(config, rto, Random(seed), max_path_mtu=maximum, overhead=overhead)


def probe_of(chunks: list[bytes]) -> tuple[int, HeartbeatAck]:
    """The size of a probe, and its acknowledgement."""
    heartbeat, pad = (decode_chunk(wire[0], wire[1], wire[4:]) for wire in chunks)
    assert isinstance(heartbeat, Heartbeat)
    assert isinstance(pad, Pad)
    return 12 + sum(map(len, chunks)), HeartbeatAck(heartbeat.value)


def search(
    found: PathMtuDiscovery,
    arrives: Callable[[int], bool],
    *,
    now: float = 0.0,
    until: DiscoveryState = DiscoveryState.SEARCH_COMPLETE,
) -> list[Step]:
    """Let it probe until it is in a state; returns when each probe was sent, and its size."""
    probes: list[Step] = []
    while found.state is not until:
        if not found.probe_due:
            now = found.timer.deadline
            assert found.timer.take_expiry(now)
            found.handle_timeout(now)
            continue
        size, ack = probe_of(found.take_probe(now, recovering=False))
        probes.append((now, size))
        assert found.timer.running
        if arrives(size):
            now += ROUND_TRIP
            assert found.take_ack(ack, now)
        assert len(probes) < 100, probes
    return probes


def sizes(probes: list[Step]) -> list[int]:
    return [size for _, size in probes]


# -- the search (§5.3) -------------------------------------------------------------------------------


def test_5_2_the_base_size_is_confirmed_before_a_larger_one_is_tried() -> None:
    found = discovery()
    states = [found.state]
    found.start(0.0)
    states.append(found.state)
    size, ack = probe_of(found.take_probe(0.0, recovering=False))
    assert size == 1200
    assert found.take_ack(ack, 0.05)
    states.append(found.state)
    assert states == [DiscoveryState.DISABLED, DiscoveryState.BASE, DiscoveryState.SEARCHING]


@pytest.mark.parametrize(
    "mtu, overhead, probes",
    [
        (65535, 0, [1200, 1500, 9000, 65532]),
        (9000, 0, [1200, 1500, 9000, 65532, 32768, 16384]),
        (1500, 0, [1200, 1500, 9000, 4352, 2304]),
        (1500, 28, [1200, 1472, 8972, 4324, 2276]),  # UDP over IPv4
        (1500, 48 + 37, [1200, 1412, 8912, 4264, 2216]),  # DTLS over IPv6
        (1480, 28, [1200, 1472, 1420, 1464, 1452, 1464]),  # that loss is looked at again
        (1280, 28, [1200, 1472, 1420, 1252]),  # the last try is the smallest
    ],
)
def test_5_3_usual_paths_take_a_few_probes(mtu: int, overhead: int, probes: list[int]) -> None:
    found = discovery(65532 - overhead, overhead=overhead)
    found.start(0.0)
    sent = sizes(search(found, lambda size: size + overhead <= mtu))
    assert sent[: len(probes)] == probes
    assert found.path_mtu in (mtu - overhead & ~3, 65532 - overhead & ~3)
    assert len(sent) <= len(probes) + 3


@pytest.mark.parametrize("mtu", [1201, 1208, 1280, 1333, 1492, 1600, 3000, 5000, 8896, 16000])
def test_5_3_other_sizes_are_found_nearly(mtu: int) -> None:
    found = discovery(9000)
    found.start(0.0)
    sent = search(found, lambda size: size <= mtu)
    assert found.path_mtu <= mtu
    assert found.path_mtu > min(mtu, 9000) * 0.86
    assert len(sent) <= 20


@pytest.mark.parametrize("maximum", [1200, 1202, 1204, 1460, 1503, 1504, 9000, 9004])
def test_the_largest_size_is_that_of_the_transport(maximum: int) -> None:
    found = discovery(maximum)
    found.start(0.0)
    sent = sizes(search(found, lambda size: True))
    assert found.path_mtu == maximum & ~3
    assert max(sent) == maximum & ~3
    assert len(sent) <= 4
    assert not found.timer.running, "there is nothing to raise"


def test_a_peer_with_a_small_window_gets_packets_to_match() -> None:
    found = discovery()
    found.limit(4003)
    found.start(0.0)
    search(found, lambda size: True)
    assert found.path_mtu == 4000
    found.limit(100)
    assert sizes(search(found, lambda size: True)) == []


def test_5_1_2_max_probes_losses_in_a_row_end_the_search() -> None:
    found = discovery(config=Config(max_probes=5))
    found.start(0.0)
    lost = [size for _, size in search(found, lambda size: size <= 1500) if size > 1500]
    assert len(lost) == 5


def test_5_1_1_an_unanswered_probe_is_lost_after_probe_timer() -> None:
    found = discovery(config=Config(probe_timer=20.0))
    found.start(0.0)
    times = [now for now, size in search(found, lambda size: size <= 1500) if size > 1500]
    assert [round(b - a, 6) for a, b in pairwise(times)] == [20.0, 20.0]
    assert found.probes_lost == 3


def test_5_1_1_probe_timer_is_never_shorter_than_the_retransmission_timeout() -> None:
    config = Config(probe_timer=1.0)
    rto = RetransmissionTimeout(config)
    for _ in range(3):
        rto.back_off()
    found = PathMtuDiscovery(config, rto, Random(0), max_path_mtu=9000)
    found.start(0.0)
    found.take_probe(0.0, recovering=False)
    assert found.timer.deadline == 8.0


def arrives_over(mtu: int, loss: float, line: Random, size: int) -> bool:
    return size <= mtu and line.random() >= loss


@pytest.mark.parametrize("loss", [0.05, 0.2])
@pytest.mark.parametrize("mtu", [1500, 9000, 65532])
def test_5_3_1_lost_probes_are_made_up_for(mtu: int, loss: float) -> None:
    reached = 0
    for seed in range(40):
        line = Random(seed)
        found = discovery(seed=seed)
        found.start(0.0)
        for _ in range(4):  # the search at the beginning, and three after the raise timer
            search(found, partial(arrives_over, mtu, loss, line))
            if found.path_mtu == mtu:
                break
            assert found.path_mtu <= mtu
            now = found.timer.deadline
            assert found.timer.take_expiry(now)
            found.handle_timeout(now)
        reached += found.path_mtu == mtu
    assert reached >= 39


def test_5_2_the_search_begins_again_after_pmtu_raise_timer() -> None:
    found = discovery()
    found.start(0.0)
    last, _ = search(found, lambda size: size <= 1500)[-1]
    assert found.path_mtu == 1500
    assert found.timer.deadline == pytest.approx(last + 16.0 + 600.0)
    now = found.timer.deadline
    assert found.timer.take_expiry(now)
    found.handle_timeout(now)
    assert found.state is DiscoveryState.SEARCHING
    assert sizes(search(found, lambda size: size <= 9000, now=now))[0] == 9000
    assert found.path_mtu == 9000


def test_without_pmtu_raise_timer_there_is_one_search() -> None:
    found = discovery(config=Config(pmtu_raise_timer=math.inf))
    found.start(0.0)
    search(found, lambda size: size <= 1500)
    assert not found.timer.running


# -- acknowledgements (§4.1) -------------------------------------------------------------------------


def test_4_1_an_acknowledgement_counts_once_and_only_with_its_nonce() -> None:
    found = discovery()
    found.start(0.0)
    _, ack = probe_of(found.take_probe(0.0, recovering=False))
    forged = bytes([*ack.value[:-1], ack.value[-1] ^ 1])
    assert not found.take_ack(HeartbeatAck(forged), 0.05)
    assert not found.take_ack(HeartbeatAck(b""), 0.05)
    assert found.take_ack(ack, 0.05)
    assert not found.take_ack(ack, 0.06)


def test_4_1_an_acknowledgement_that_comes_late_still_counts() -> None:
    found = discovery()
    found.start(0.0)
    search(found, lambda size: True, until=DiscoveryState.SEARCHING)
    size, late = probe_of(found.take_probe(1.0, recovering=False))
    assert size == 1500
    assert found.timer.take_expiry(17.0)
    found.handle_timeout(17.0)
    smaller, _ = probe_of(found.take_probe(17.0, recovering=False))
    assert smaller < 1500
    assert found.take_ack(late, 17.5)
    assert found.path_mtu == 1500
    assert found.timer.running, "the other one is still awaited: a round trip between probes"


def test_what_a_probe_said_before_a_black_hole_is_forgotten() -> None:
    found = discovery()
    found.start(0.0)
    search(found, lambda size: size <= 1500)
    now = found.timer.deadline
    found.handle_timeout(now)
    size, stale = probe_of(found.take_probe(now, recovering=False))
    assert size == 9000
    for _ in range(2):
        found.data_timed_out(7, 1488, now)
    assert found.state is DiscoveryState.BASE
    assert found.take_ack(stale, now)  # it was asked for, but
    assert found.path_mtu == 1200


# -- while data is being recovered (§3, item 7) --------------------------------------------------------


def test_no_larger_size_is_tried_while_data_is_being_recovered() -> None:
    found = discovery()
    found.start(0.0)
    assert found.take_probe(0.0, recovering=True), "the base size is not in question"
    found = discovery()
    found.start(0.0)
    search(found, lambda size: True, until=DiscoveryState.SEARCHING)
    assert found.take_probe(1.0, recovering=True) == []
    assert found.probe_due
    assert not found.timer.running
    assert found.take_probe(15.0, recovering=True) == []
    assert found.take_probe(15.1, recovering=False)


def test_a_recovery_without_end_does_not_keep_it_from_searching() -> None:
    found = discovery()
    found.start(0.0)
    search(found, lambda size: True, until=DiscoveryState.SEARCHING)
    assert found.take_probe(15.9, recovering=True) == []
    assert found.take_probe(16.1, recovering=True)


# -- black holes (§4.3) and paths that are worse than the base size (§5.4) -----------------------------


def complete_at(mtu: int) -> PathMtuDiscovery:
    found = discovery()
    found.start(0.0)
    search(found, lambda size: size <= mtu)
    assert found.path_mtu == mtu
    return found


def test_4_3_data_that_times_out_again_and_again_is_a_black_hole() -> None:
    found = complete_at(9000)
    found.data_timed_out(100, 8988, 50.0)
    assert found.path_mtu == 9000, "once may be bad luck"
    found.data_timed_out(100, 8988, 52.0)
    assert found.path_mtu == 1200
    assert found.state is DiscoveryState.BASE
    assert found.black_holes == 1
    # and the new size is searched for at once
    assert sizes(search(found, lambda size: size <= 1500, now=52.0))[:2] == [1200, 1500]
    assert found.path_mtu == 1500


def test_4_3_time_outs_of_different_chunks_or_of_small_packets_are_none() -> None:
    found = complete_at(9000)
    for tsn in range(20):
        found.data_timed_out(tsn, 8988, 50.0 + tsn)
    for _ in range(20):
        found.data_timed_out(100, 1188, 80.0)
    assert found.path_mtu == 9000
    assert found.black_holes == 0


def test_5_3_3_a_size_whose_probes_arrive_and_whose_data_does_not_is_left_alone() -> None:
    found = complete_at(9000)
    for now in (50.0, 200.0):
        found.data_timed_out(int(now), 8988, now)
        found.data_timed_out(int(now), 8988, now + 2)
        assert found.path_mtu == 1200
        search(found, lambda size: size <= 9000, now=now + 2)
    assert found.path_mtu == 8996
    now = found.timer.deadline
    found.handle_timeout(now)
    search(found, lambda size: size <= 9000, now=now)
    assert found.path_mtu == 9000, "after the raise timer it has its chance again"


def test_5_4_while_not_even_the_base_size_arrives_packets_are_small() -> None:
    found = discovery()
    found.start(0.0)
    probes = search(found, lambda size: False, until=DiscoveryState.ERROR)
    assert sizes(probes) == [1200, 1200, 1200]
    assert found.path_mtu == MIN_PLPMTU
    # it is left once the base size arrives
    size, ack = probe_of(found.take_probe(100.0, recovering=False))
    assert size == 1200
    assert found.take_ack(ack, 100.1)
    assert found.state is DiscoveryState.SEARCHING
    assert found.path_mtu == 1200


def test_a_black_hole_at_the_base_size_leads_to_the_error_state() -> None:
    found = complete_at(1200)
    for now in (700.0, 702.0):
        found.data_timed_out(5, 1188, now)
    assert found.state is DiscoveryState.BASE
    assert found.path_mtu == 1200
    search(found, lambda size: False, now=702.0, until=DiscoveryState.ERROR)
    assert found.path_mtu == MIN_PLPMTU


# -- on and off ----------------------------------------------------------------------------------------


def test_where_sizes_cannot_be_tried_nothing_is() -> None:
    for found in (discovery(None), discovery(config=Config(path_mtu_discovery=False))):
        found.start(0.0)
        assert found.state is DiscoveryState.DISABLED
        assert not found.probe_due
        assert not found.timer.running
        found.data_timed_out(0, 10**6, 1.0)
        found.data_timed_out(0, 10**6, 1.0)
        found.limit(5000)
        found.restart(3.0)
        assert found.path_mtu == 1200
        assert not found.probe_due


def test_it_is_switched_off_and_on() -> None:
    found = complete_at(1500)
    off = Config(path_mtu_discovery=False)
    found.replace_config(off, 20.0, running=True)
    assert found.state is DiscoveryState.DISABLED
    assert found.path_mtu == 1200
    assert not found.timer.running
    found.replace_config(Config(), 30.0, running=True)
    search(found, lambda size: size <= 9000, now=30.0)
    assert found.path_mtu == 9000
    found.replace_config(Config(pmtu_raise_timer=100.0), 300.0, running=True)
    assert found.timer.deadline == 400.0


def test_stop_keeps_the_size() -> None:
    found = complete_at(1500)
    found.stop()
    assert found.path_mtu == 1500
    assert not found.timer.running
    found.replace_config(Config(), 30.0, running=False)
    assert found.state is DiscoveryState.DISABLED


def test_another_path_is_another_search() -> None:
    found = complete_at(9000)
    found.restart(50.0)
    assert found.path_mtu == 1200
    search(found, lambda size: size <= 1500, now=50.0)
    assert found.path_mtu == 1500


def test_the_limits_of_the_settings() -> None:
    assert Config().probe_timer > 15.0, "§5.1.1"
    for wrong in (
        {"probe_timer": 0.9},
        {"max_probes": 0},
        {"max_probes": True},
        {"pmtu_raise_timer": 0.0},
        {"path_mtu_discovery": 1},
    ):
        with pytest.raises(LocalProtocolError, match=min(wrong)):
            Config(**wrong)
