"""The emulated network: each condition does what its name says, and the same seed gives the same."""

from __future__ import annotations

import math
from typing import Any

import pytest

from trio_sctp.testing import BurstLoss, EmulatedLink, LinkConditions

COUNT = 20_000


def link(seed: int = 0, **conditions: Any) -> EmulatedLink:
    return EmulatedLink(LinkConditions(**conditions), seed)


def numbered(count: int, size: int = 4) -> list[bytes]:
    return [number.to_bytes(4, "big") * (size // 4) for number in range(count)]


def arrivals(emulated: EmulatedLink) -> list[tuple[float, bytes]]:
    """Everything under way with its time of arrival."""
    result: list[tuple[float, bytes]] = []
    while (now := emulated.next_delivery()) < math.inf:
        result += ((now, datagram) for datagram in emulated.pop_due(now))
    return result


def send_evenly(emulated: EmulatedLink, datagrams: list[bytes], interval: float) -> None:
    for number, datagram in enumerate(datagrams):
        emulated.push(datagram, number * interval)


def test_a_perfect_link_delivers_at_once_and_in_order() -> None:
    emulated = link()
    assert emulated.next_delivery() == math.inf
    assert emulated.pop_due(0.0) == []
    for datagram in numbered(5):
        emulated.push(datagram, 3.0)
    assert len(emulated) == 5
    assert emulated.next_delivery() == 3.0
    assert emulated.pop_due(3.0, 2) == numbered(5)[:2]
    assert emulated.pop_due(3.0) == numbered(5)[2:]
    assert emulated.next_delivery() == math.inf
    assert emulated.statistics.sent == emulated.statistics.delivered == 5
    assert emulated.statistics.sent_bytes == emulated.statistics.delivered_bytes == 20


def test_delay_is_added() -> None:
    emulated = link(delay=0.25)
    emulated.push(b"a", 1.0)
    assert emulated.pop_due(1.2499) == []
    assert emulated.next_delivery() == 1.25
    assert emulated.pop_due(1.25) == [b"a"]


def test_jitter_spreads_arrivals_without_changing_their_order() -> None:
    emulated = link(delay=0.1, jitter=0.05)
    send_evenly(emulated, numbered(1000), 0.01)
    received = arrivals(emulated)
    assert [datagram for _, datagram in received] == numbered(1000)
    delays = [time - number * 0.01 for number, (time, _) in enumerate(received)]
    assert 0.1 <= min(delays) < 0.105
    assert 0.145 < max(delays) <= 0.15 + 1e-9


def test_a_shorter_delay_lets_nothing_overtake() -> None:
    emulated = link(delay=1.0)
    emulated.push(b"slow", 0.0)
    emulated.conditions.delay = 0.1
    emulated.push(b"fast", 0.5)
    assert arrivals(emulated) == [(1.0, b"slow"), (1.0, b"fast")]


def test_rate_spaces_datagrams_by_their_size() -> None:
    emulated = link(rate=1000.0, delay=0.5)
    for size in (100, 200, 50):
        emulated.push(bytes(size), 0.0)
    assert [time for time, _ in arrivals(emulated)] == pytest.approx([0.6, 0.8, 0.85])
    emulated.push(bytes(100), 10.0)  # the line has long been free
    assert emulated.next_delivery() == pytest.approx(10.6)


def test_a_full_queue_drops_what_comes_last() -> None:
    emulated = link(rate=1000.0, queue=300)
    for datagram in numbered(5, 100):
        emulated.push(datagram, 0.0)
    assert emulated.statistics.queue_dropped == 2
    emulated.push(b"x" * 100, 0.1)  # the first is through by now
    emulated.push(b"y" * 100, 0.1)
    assert [datagram for _, datagram in arrivals(emulated)] == [*numbered(3, 100), b"x" * 100]
    assert emulated.statistics.queue_dropped == 3


def test_loss_has_its_probability() -> None:
    emulated = link(loss=0.1)
    send_evenly(emulated, numbered(COUNT), 0.001)
    assert emulated.statistics.lost == pytest.approx(0.1 * COUNT, rel=0.1)
    assert len(arrivals(emulated)) == COUNT - emulated.statistics.lost


def test_a_lost_datagram_has_used_the_line() -> None:
    emulated = link(rate=1000.0, loss=1.0)
    emulated.push(bytes(100), 0.0)
    emulated.conditions.loss = 0.0
    emulated.push(b"x" * 100, 0.0)
    assert arrivals(emulated) == [(0.2, b"x" * 100)]


def test_a_link_is_cut_and_restored_while_datagrams_are_under_way() -> None:
    emulated = link(delay=1.0)
    emulated.push(b"before", 0.0)
    emulated.conditions.loss = 1.0
    emulated.push(b"meanwhile", 0.5)
    emulated.conditions.loss = 0.0
    emulated.push(b"after", 0.6)
    assert arrivals(emulated) == [(1.0, b"before"), (1.6, b"after")]


def test_burst_losses_come_in_bursts() -> None:
    burst_loss = BurstLoss(enter=0.01, leave=0.2)
    emulated = link(burst_loss=burst_loss)
    send_evenly(emulated, numbered(COUNT), 0.001)
    statistics = emulated.statistics
    share = burst_loss.enter / (burst_loss.enter + burst_loss.leave)
    assert statistics.lost == statistics.lost_in_bursts == pytest.approx(share * COUNT, rel=0.25)
    received = {datagram for _, datagram in arrivals(emulated)}
    lost = [datagram not in received for datagram in numbered(COUNT)]
    bursts = sum(now and not before for before, now in zip([False, *lost], lost, strict=False))
    assert statistics.lost / bursts == pytest.approx(1 / burst_loss.leave, rel=0.25)


def test_both_kinds_of_loss_add_up() -> None:
    emulated = link(burst_loss=BurstLoss(enter=1.0, leave=0.0, loss=0.5), loss=0.5)
    send_evenly(emulated, numbered(COUNT), 0.001)
    assert emulated.statistics.lost_in_bursts == pytest.approx(0.5 * COUNT, rel=0.1)
    assert emulated.statistics.lost == pytest.approx(0.75 * COUNT, rel=0.1)


def test_reordered_datagrams_are_overtaken() -> None:
    emulated = link(delay=0.1, reorder=0.2, reorder_delay=0.05)
    send_evenly(emulated, numbered(1000), 0.01)
    received = arrivals(emulated)
    late = [
        (time, datagram)
        for time, datagram in received
        if time - int.from_bytes(datagram, "big") * 0.01 > 0.1 + 1e-9
    ]
    assert len(late) == emulated.statistics.reordered == pytest.approx(200, rel=0.2)
    assert [datagram for _, datagram in received] != numbered(1000)
    assert sorted(datagram for _, datagram in received) == numbered(1000)
    for time, datagram in late:
        assert time == pytest.approx(int.from_bytes(datagram, "big") * 0.01 + 0.15)


def test_duplicates_arrive_twice() -> None:
    emulated = link(duplicate=0.1)
    send_evenly(emulated, numbered(COUNT), 0.001)
    duplicated = emulated.statistics.duplicated
    assert duplicated == pytest.approx(0.1 * COUNT, rel=0.1)
    received = [datagram for _, datagram in arrivals(emulated)]
    assert len(received) == COUNT + duplicated
    assert sorted(set(received)) == numbered(COUNT)


def test_corrupted_datagrams_keep_their_length() -> None:
    emulated = link(corrupt=0.5)
    send_evenly(emulated, numbered(1000, 1200), 0.001)
    received = [datagram for _, datagram in arrivals(emulated)]
    changes = [
        sum(a != b for a, b in zip(sent, arrived, strict=True))
        for sent, arrived in zip(numbered(1000, 1200), received, strict=True)
    ]
    assert max(changes) == 3
    assert sum(change > 0 for change in changes) == emulated.statistics.corrupted
    assert emulated.statistics.corrupted == pytest.approx(500, rel=0.2)


def test_datagrams_too_short_to_be_corrupted_much_pass() -> None:
    emulated = link(corrupt=1.0)
    for datagram in (b"", b"a", b"ab"):
        emulated.push(datagram, 0.0)
    received = [datagram for _, datagram in arrivals(emulated)]
    assert [len(datagram) for datagram in received] == [0, 1, 2]
    assert received[1] != b"a"
    assert emulated.statistics.corrupted == 2


def test_datagrams_longer_than_the_mtu_vanish() -> None:
    emulated = link(mtu=1200)
    for size in (1200, 1201):
        emulated.push(bytes(size), 0.0)
    assert [len(datagram) for _, datagram in arrivals(emulated)] == [1200]
    assert emulated.statistics.too_long == 1


def everything_at_once(seed: int) -> EmulatedLink:
    return link(
        seed,
        delay=0.05,
        jitter=0.01,
        rate=100_000.0,
        queue=20_000,
        loss=0.05,
        burst_loss=BurstLoss(0.01, 0.3, 0.8),
        reorder=0.05,
        duplicate=0.05,
        corrupt=0.05,
        mtu=2000,
    )


def test_the_same_seed_gives_the_same_network() -> None:
    results = []
    for seed in (1, 1, 2):
        emulated = everything_at_once(seed)
        send_evenly(emulated, numbered(2000, 400), 0.0035)
        results.append((arrivals(emulated), emulated.statistics))
    assert results[0] == results[1]
    assert results[0] != results[2]


def test_every_datagram_is_accounted_for() -> None:
    emulated = everything_at_once(3)
    send_evenly(emulated, [*numbered(2000, 400), bytes(2001)], 0.0035)
    received = arrivals(emulated)
    counted = emulated.statistics
    assert counted.queue_dropped
    assert counted.sent == 2001
    assert counted.sent_bytes == 2000 * 400 + 2001
    assert counted.delivered == len(received)
    assert counted.delivered_bytes == sum(len(datagram) for _, datagram in received)
    gone = counted.lost + counted.queue_dropped + counted.too_long
    assert counted.delivered == counted.sent - gone + counted.duplicated


@pytest.mark.parametrize(
    "name,value",
    [
        ("delay", -0.1),
        ("jitter", -1),
        ("rate", 0),
        ("queue", -1),
        ("loss", 1.1),
        ("reorder", -0.1),
        ("reorder_delay", -1),
        ("duplicate", 2),
        ("corrupt", -1),
        ("corrupt", math.nan),
        ("mtu", -1),
    ],
)
def test_conditions_outside_their_limits_are_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name} is"):
        LinkConditions(**{name: value})  # type: ignore[arg-type]
    conditions = LinkConditions()
    before = getattr(conditions, name)
    with pytest.raises(ValueError, match=f"{name} is"):
        setattr(conditions, name, value)
    assert getattr(conditions, name) == before


def test_burst_losses_outside_their_limits_are_refused() -> None:
    with pytest.raises(ValueError, match=r"BurstLoss\.leave is 1\.5: it must be from 0\.0 to 1"):
        BurstLoss(0.1, 1.5)


def test_unlimited_is_none() -> None:
    conditions = LinkConditions(rate=1.0, queue=1, mtu=1)
    conditions.rate = conditions.queue = conditions.mtu = None
    assert conditions == LinkConditions()
