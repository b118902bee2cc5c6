"""Any life of channels over a lossy link ends with every message in its place and no channel left."""

from __future__ import annotations

from random import Random

from hypothesis import given, settings, strategies as st

from tests.support.channel_pair import ChannelPair, End
from trio_sctp._core.config import Config
from trio_sctp._core.data_channels import (
    ChannelClosed,
    ChannelClosing,
    ChannelMessage,
    ChannelOpened,
)

ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["open", "open", "send", "send", "send", "close", "wait", "discard"]),
        st.booleans(),  # which end
        st.integers(0, 7),  # which of its channels
        st.sampled_from([0, 1, 300, 5000]),  # how much data
    ),
    min_size=10,
    max_size=60,
)


class Link:
    """Loses, doubles and holds back packets, so that later ones overtake them."""

    def __init__(self, rng: Random, loss: float) -> None:
        self.rng, self.loss = rng, loss
        self.late: list[bytes] = []

    def __call__(self, packets: list[bytes]) -> list[bytes]:
        chance = self.rng.random
        arriving: list[bytes] = []
        late, self.late = self.late, []
        for packet in packets:
            if chance() < self.loss:
                continue
            (self.late if chance() < self.loss else arriving).append(packet)
            if chance() < self.loss / 2:
                self.late.append(packet)
        for packet in late:
            if packets or chance() < 0.1:
                arriving.insert(self.rng.randint(0, len(arriving)), packet)
            else:
                self.late.append(packet)
        return arriving


class Life:
    """What one end of each channel has sent, by the name of the channel."""

    def __init__(self, loss: float, seed: int, streams: int) -> None:
        rng = Random(seed)
        config = Config(
            outbound_streams=streams,
            inbound_streams=streams,
            rto_max=4.0,
            association_max_retrans=100,
        )
        self.pair = ChannelPair(a_config=config, z_config=config).connect()
        for end in self.ends:
            end.mangle = Link(rng, loss)
        self.mine: dict[int, list[tuple[int, str]]] = {0: [], 1: []}
        self.sent: dict[str, list[bytes]] = {}
        self.received: dict[str, list[bytes | str]] = {}
        self.discarded: set[str] = set()
        self.unordered: set[str] = set()
        self.names: dict[tuple[int, int], str] = {}

    @property
    def ends(self) -> tuple[End, End]:
        return self.pair.a, self.pair.z

    def act(self, action: str, side: int, which: int, size: int) -> None:
        end, mine = self.ends[side], self.mine[side]
        if action == "open" and len(mine) < 3:
            name = f"{len(self.sent)}"
            mine.append((self.pair.open(end, name, ordered=size != 300), name))
            self.sent[name], self.received[name] = [], []
            if size == 300:
                self.unordered.add(name)
        elif action == "wait":
            self.pair.run(size / 1000)
        elif mine and action == "send":
            stream_id, name = mine[which % len(mine)]
            data = (b"%d " % len(self.sent[name])) + bytes(size)
            self.pair.send(end, stream_id, data)
            self.sent[name].append(data)
        elif mine and action == "close":
            stream_id, _ = mine.pop(which % len(mine))
            self.pair.close(end, stream_id)
        elif mine and action == "discard":
            stream_id, name = mine.pop(which % len(mine))
            end.channels.discard(stream_id, now=self.pair.now)
            self.discarded.add(name)
        self.pair.settle()
        self.look()

    def look(self) -> None:
        for side, end in enumerate(self.ends):
            for event in end.events:
                if isinstance(event, ChannelOpened):
                    self.names[side, event.stream_id] = event.label
                elif isinstance(event, ChannelMessage):
                    self.received[self.names[side, event.stream_id]].append(event.data)
                elif isinstance(event, ChannelClosing | ChannelClosed):
                    assert event.error is None
            end.events.clear()


@settings(max_examples=300, deadline=None)
@given(
    actions=ACTIONS,
    loss=st.sampled_from([0.0, 0.05, 0.3]),
    seed=st.integers(0, 2**32),
    streams=st.sampled_from([8, 65535]),
)
def test_every_life_of_channels_ends_well(
    actions: list[tuple[str, bool, int, int]], loss: float, seed: int, streams: int
) -> None:
    life = Life(loss, seed, streams)
    for action, side, which, size in actions:
        # with few ids, all of them may still be on their way to being free
        if action == "open" and len(life.ends[side].channels) > 3:
            continue
        life.act(action, side, which, size)
    for end, mine in zip(life.ends, life.mine.values(), strict=True):
        for stream_id, _ in mine:
            life.pair.close(end, stream_id)
    for _ in range(200):
        life.pair.run(5)
        life.look()
        if not any(len(e.channels) or e.association.undelivered_messages for e in life.ends):
            break
    for end in life.ends:
        assert len(end.channels) == 0
        assert end.association.undelivered_messages == 0
        assert end.window == end.association.config.a_rwnd
    for name, sent in life.sent.items():
        received = life.received[name]
        assert len(set(received)) == len(received)
        if name not in life.discarded:
            assert set(received) == set(sent)
        if name not in life.unordered:
            assert received == sent[: len(received)]
