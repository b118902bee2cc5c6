"""What the stream schedulers of RFC 8260 §3 do for data channels, in virtual time on a slow link."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from tests.support.watched_link import Link, Waits
from trio_sctp._core.association import Association
from trio_sctp._core.config import Config
from trio_sctp._core.errors import LocalProtocolError


@pytest.fixture(params=[True, False], ids=["I-DATA", "DATA"])
def interleaving(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


# -- shares ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [200, 1000, 16_384])
def test_weighted_fair_queueing_is_the_default(interleaving: bool, size: int) -> None:
    """RFC 8831 §6.4: the priorities are weights."""
    link = Link(interleaving=interleaving)
    weights = {link.open(weight): weight for weight in (128, 256, 512, 1024)}
    found = link.shares(90.0, dict.fromkeys(weights, size))
    for stream_id, weight in weights.items():
        assert found[stream_id] == pytest.approx(weight / sum(weights.values()), rel=0.05)


def test_weights_hold_whatever_the_sizes_of_the_messages(interleaving: bool) -> None:
    link = Link(interleaving=interleaving)
    small, large = link.open(256), link.open(512)
    found = link.shares(60.0, {small: 1000, large: 60_000})
    assert found[large] == pytest.approx(2 / 3, rel=0.05)


def test_a_priority_is_changed_while_the_channel_is_open(interleaving: bool) -> None:
    link = Link(interleaving=interleaving)
    one, other = link.open(256), link.open(256)
    busy = {one: 5000, other: 5000}
    assert link.shares(30.0, busy)[one] == pytest.approx(1 / 2, rel=0.05)
    link.channels.set_priority(one, 1024)
    link.run(2.0, busy)  # what is on its way
    assert link.shares(30.0, busy)[one] == pytest.approx(4 / 5, rel=0.05)
    link.channels.set_priority(one, 64)
    link.run(2.0, busy)
    assert link.shares(30.0, busy)[one] == pytest.approx(1 / 5, rel=0.05)


def test_other_schedulers_by_configuration(interleaving: bool) -> None:
    expected = {
        "wfq": [1 / 4, 3 / 4],
        "fc": [1 / 2, 1 / 2],
        "prio": [0.0, 1.0],
        "rr": [1 / 2, 1 / 2],
        "rr_pkt": [1 / 2, 1 / 2],
        "fcfs": [1 / 2, 1 / 2],  # both are refilled in turn
    }
    link = Link(interleaving=interleaving)
    low, high = link.open(100), link.open(300)
    for name, shares in expected.items():
        link.pair.a.association.update_config(now=link.now, stream_scheduler=name)
        busy = {low: 3000, high: 3000}
        link.run(3.0, busy)
        found = link.shares(20.0, busy)
        assert [found[low], found[high]] == pytest.approx(shares, abs=0.04), name


# -- latency -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("bulk_streams", [1, 8])
def test_a_game_beside_a_bulk_transfer_waits_for_two_packet_times_at_most(
    bulk_streams: int,
) -> None:
    link = Link(queue=None)
    busy = {link.open(256): 1_000_000 for _ in range(bulk_streams)}
    found = Waits.measure(link, link.open_game(), busy)
    assert found.packet_times[-1] <= 2.001
    assert found.packets[len(found.packets) // 2] == 0, "it is in the first packet that may go"
    assert found.packets[-1] <= 1, "unless there are two"


@pytest.mark.parametrize("rate", [125_000.0, 2_250_000.0])
@pytest.mark.parametrize("bulk_streams", [1, 8])
def test_a_game_beside_a_bulk_transfer_that_overflows_the_queue(
    rate: float, bulk_streams: int
) -> None:
    """Nor does the game wait while the bulk transfer repairs its losses."""
    link = Link(rate=rate, queue=max(50_000, int(rate * 0.1)))
    busy = {link.open(256): 1_000_000 for _ in range(bulk_streams)}
    found = Waits.measure(link, link.open_game(), busy)
    assert link.link.statistics.queue_dropped > 10
    assert found.packets[-1] <= 1
    assert found.packet_times[-1] <= 2.0


def test_without_interleaving_a_large_message_is_waited_for_and_16_kb_are_bearable() -> None:
    """RFC 8831 §6.6: that is why messages should have no more then."""
    link = Link(queue=None, interleaving=False)
    bulk, game = link.open(256), link.open(256)
    found = Waits.measure(link, game, {bulk: 16_384})
    assert found.packets[-1] <= 16_384 / 1172
    assert found.packet_times[-1] <= 2.0 + 16_384 / 1172
    found = Waits.measure(link, game, {bulk: 200_000})
    assert 20 < found.packets[len(found.packets) // 2] < 200_000 / 1172


# -- the verbs ---------------------------------------------------------------------------------------


def test_values_out_of_range() -> None:
    association = Association(Config(), rng=Random(1))
    for stream_id, priority in ((-1, 1), (65536, 1), (0, -1), (0, 65536)):
        with pytest.raises(LocalProtocolError, match="must be from 0 to 65535"):
            association.set_stream_priority(stream_id, priority)
    with pytest.raises((LocalProtocolError, TypeError)):  # the latter if compiled
        association.set_stream_priority(0, 0.5)  # type: ignore[arg-type]
    with pytest.raises(LocalProtocolError, match="stream_scheduler is 'lottery'"):
        Config(stream_scheduler="lottery")  # type: ignore[arg-type]
    with pytest.raises(LocalProtocolError, match="interleaving is 1"):
        Config(interleaving=1)  # type: ignore[arg-type]
    assert association.stream_priority(3) == 256
    association.set_stream_priority(3, 65535)
    assert association.stream_priority(3) == 65535


def both_opened(link: Link, stream_id: int) -> Callable[[], bool]:
    return lambda: stream_id in link.pair.z.opened


def test_a_channel_has_its_priority_in_both_directions_and_its_stream_forgets_it() -> None:
    """RFC 8831 §6.4: the properties are the same in both directions."""
    link = Link()
    ends = link.pair.ends
    stream_id = link.open(700)
    link.pair.run_until(both_opened(link, stream_id), within=5.0)
    assert [end.association.stream_priority(stream_id) for end in ends] == [700, 700]
    link.channels.set_priority(stream_id, 800)
    channel = link.channels.channel(stream_id)
    assert channel is not None
    assert channel.priority == 800
    assert [end.association.stream_priority(stream_id) for end in ends] == [800, 700]
    link.channels.close(stream_id, now=link.now)
    link.pair.run_until(lambda: all(stream_id in end.closed for end in ends), within=5.0)
    assert [end.association.stream_priority(stream_id) for end in ends] == [256, 256]
    with pytest.raises(LocalProtocolError, match="no channel is open"):
        link.channels.set_priority(stream_id, 1)


def test_the_end_of_an_association_leaves_no_priorities() -> None:
    link = Link()
    stream_id = link.open(700)
    link.pair.run_until(both_opened(link, stream_id), within=5.0)
    link.pair.a.association.abort(now=link.now)
    link.pair.a.step(link.now)
    assert link.pair.a.association.stream_priority(stream_id) == 256
