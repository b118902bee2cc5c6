"""What the stream schedulers of RFC 8260 §3 do for data channels, in virtual time on a slow link."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from random import Random
from typing import NamedTuple

import pytest

from tests.support.emulated_pair import EmulatedPair
from trio_sctp._core.association import Association, State
from trio_sctp._core.config import Config
from trio_sctp._core.data_channels import DataChannels
from trio_sctp._core.errors import LocalProtocolError
from trio_sctp._wire.chunks import Data, IData
from trio_sctp._wire.packet import decode_chunks
from trio_sctp.testing._emulated_link import EmulatedLink, LinkConditions

PACKET = 1200


class WatchedLink(EmulatedLink):
    """A link that keeps account of the user data in what goes into it."""

    def __init__(self, conditions: LinkConditions) -> None:
        super().__init__(conditions, "watched")
        self.sent: Counter[int] = Counter()
        """Bytes by stream."""
        self.first_sent: dict[tuple[int, int], tuple[float, int]] = {}
        """When the first chunk of each message went out, and in which packet; by stream and number."""
        self.packets = 0
        """Packets with new data so far."""
        self._tsns: set[int] = set()

    def push(self, datagram: bytes, now: float, *, fragment: bool = False) -> None:
        chunks = [k for k in decode_chunks(datagram) if isinstance(k, Data | IData)]
        self.packets += any(chunk.tsn not in self._tsns for chunk in chunks)
        for chunk in chunks:
            self._tsns.add(chunk.tsn)
            number = chunk.mid if isinstance(chunk, IData) else chunk.ssn
            self.sent[chunk.stream_id] += len(chunk.payload)
            self.first_sent.setdefault((chunk.stream_id, number), (now, self.packets))
        super().push(datagram, now, fragment=fragment)


class Link:
    """Two ends joined by a bottleneck, and what the caller sends by stream, as it goes out."""

    def __init__(
        self, *, rate: float = 125_000.0, queue: int | None = 50_000, **config: object
    ) -> None:
        conditions = LinkConditions(rate=rate, delay=0.02, queue=queue)
        self.pair = EmulatedPair(conditions, Config(path_mtu_discovery=False).replace(**config))
        self.pair.a.link = self.link = WatchedLink(conditions)
        self.packet_time = PACKET / rate
        self.channels: DataChannels = self.pair.a.channels
        self.pair.a.association.connect(now=0.0)
        self.pair.run_until(lambda: self.pair.a.association.state is State.ESTABLISHED, within=9)

    @property
    def now(self) -> float:
        return self.pair.now

    def open(self, priority: int) -> int:
        return self.channels.open(priority=priority, now=self.now)

    def send(self, stream_id: int, size: int) -> None:
        self.channels.send(stream_id, bytes(size), now=self.now)
        self.pair.a.step(self.now)

    def run(self, seconds: float, busy: dict[int, int] | None = None) -> None:
        """Let time pass while these streams, with messages of these sizes, never run dry."""
        end = self.now + seconds

        def refill() -> bool:
            for stream_id, size in (busy or {}).items():
                while self.pair.a.association.unsent_bytes(stream_id) < 2 * size + 20_000:
                    self.channels.send(stream_id, bytes(size), now=self.now)
            return self.now >= end

        self.pair.run_until(refill, within=seconds + 60.0)

    def shares(self, seconds: float, busy: dict[int, int]) -> dict[int, float]:
        before = self.link.sent.copy()
        self.run(seconds, busy)
        sent = {stream_id: self.link.sent[stream_id] - before[stream_id] for stream_id in busy}
        return {stream_id: size / sum(sent.values()) for stream_id, size in sent.items()}


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


class Waits(NamedTuple):
    """For how long each message of a 60 Hz game had to wait until it was on its way, sorted."""

    packets: list[int]
    """Packets of new data that went out before it."""
    packet_times: list[float]

    @classmethod
    def measure(cls, link: Link, game: int, busy: dict[int, int], seconds: float = 10.0) -> Waits:
        link.run(3.0, busy)
        asked: list[tuple[float, int]] = []
        random = Random(60)
        before = {key for key in link.link.first_sent if key[0] == game}
        end = link.now + seconds
        while link.now < end:
            link.run(random.uniform(0.5, 1.5) / 60, busy)
            asked.append((link.now, link.link.packets))
            link.send(game, 100)
        link.run(3.0, busy)
        sent = link.link.first_sent
        went = sorted(sent[key] for key in sent.keys() - before if key[0] == game)
        assert len(went) == len(asked)
        pairs = list(zip(asked, went, strict=True))
        packets = sorted(later[1] - earlier[1] - 1 for earlier, later in pairs)
        times = sorted((later[0] - earlier[0]) / link.packet_time for earlier, later in pairs)
        return cls(packets, times)


@pytest.mark.parametrize("bulk_streams", [1, 8])
def test_a_game_beside_a_bulk_transfer_waits_for_two_packet_times_at_most(
    bulk_streams: int,
) -> None:
    link = Link(queue=None)
    busy = {link.open(256): 1_000_000 for _ in range(bulk_streams)}
    found = Waits.measure(link, link.open(256), busy)
    assert found.packet_times[-1] <= 2.001
    assert found.packets[len(found.packets) // 2] == 0, "it is in the first packet that may go"
    assert found.packets[-1] <= 1, "unless there are two"


@pytest.mark.parametrize("rate", [125_000.0, 2_250_000.0])
@pytest.mark.parametrize("bulk_streams", [1, 8])
def test_a_game_beside_a_bulk_transfer_that_overflows_the_queue(
    rate: float, bulk_streams: int
) -> None:
    """After a loss all new data waits for the congestion window, but hardly anything goes first."""
    link = Link(rate=rate, queue=max(50_000, int(rate * 0.1)))
    busy = {link.open(256): 1_000_000 for _ in range(bulk_streams)}
    found = Waits.measure(link, link.open(256), busy)
    assert found.packets[int(len(found.packets) * 0.99)] <= 1
    assert found.packet_times[int(len(found.packet_times) * 0.9)] <= 3.0


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
