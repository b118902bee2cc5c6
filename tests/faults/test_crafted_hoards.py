"""Peers that send whatever is expensive to keep: what they can make us hold is bounded by `Config`.

The receiver window covers data, whole or not: what is charged to it is at least what it takes, so that
these tests compare allocated memory with the charge.  The rest (streams, channels, their names, resets,
events) has bounds of its own.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest
import trio
from trio.testing import MockClock

from tests.support.association_pair import Pair, established_pair, packet_to
from tests.support.channel_pair import ChannelPair
from tests.support.memory import measured
from trio_sctp import Config
from trio_sctp._core.association import Association as CoreAssociation
from trio_sctp._core.channel_events import ChannelClosing, ChannelOpened
from trio_sctp._core.endpoint import Endpoint
from trio_sctp._wire import chunks as c, error_causes, parameters as p
from trio_sctp._wire.dcep import PPID_DCEP, PPID_STRING, ChannelType, DataChannelOpen
from trio_sctp.testing import open_association_pair

WINDOW = 256 * 1024
CONFIG = Config(a_rwnd=WINDOW, max_message_size=WINDOW, path_mtu_discovery=False)
SLACK = 60_000
"""Bytes for what is not proportional to anything: tables that have just grown, one packet."""
PER_PACKET = 20

Kind = Callable[[int], c.EncodableChunk]


def data(
    offset: int,
    stream_id: int = 0,
    number: int = 0,
    *,
    begins: bool = True,
    ends: bool = True,
    unordered: bool = False,
) -> c.Data:
    """A chunk ``offset`` TSNs behind the next one; of two bytes, since Python keeps single ones."""
    where = offset % 2**32, stream_id % 65535, number % 65536, PPID_STRING
    return c.Data(*where, b"xy", beginning=begins, ending=ends, unordered=unordered)


def i_data(
    offset: int,
    stream_id: int = 0,
    mid: int = 0,
    fsn: int = 0,
    *,
    begins: bool = True,
    ends: bool = True,
    unordered: bool = False,
) -> c.IData:
    where = offset % 2**32, stream_id % 65535, mid, fsn, PPID_STRING
    return c.IData(*where, b"xy", beginning=begins, ending=ends, unordered=unordered)


DATA_KINDS: dict[str, Kind] = {
    "unread": lambda n: data(n, unordered=True),
    "unread on all streams": lambda n: data(n, n, n // 65535),
    "all behind a gap": lambda n: data(n + 1, 0, 1 + n),
    "every other one missing": lambda n: data(2 * n + 1, 0, n),
    "out of turn": lambda n: data(n, 0, 1 + n),
    "out of turn on all streams": lambda n: data(n, n, 1 + n // 65535),
    "a message without an end": lambda n: data(n, begins=n == 0, ends=False),
    "beginnings without neighbours": lambda n: data(3 * n + 1, n, ends=False),
    "middles without neighbours": lambda n: data(3 * n + 1, n, begins=False, ends=False),
}
I_DATA_KINDS: dict[str, Kind] = {
    "unread": lambda n: i_data(n, 0, n, unordered=True),
    "out of turn": lambda n: i_data(n, 0, 1 + n),
    "out of turn on all streams": lambda n: i_data(n, n, 1 + n // 65535),
    "a message without an end": lambda n: i_data(n, 0, 0, n, begins=n == 0, ends=False),
    "a message without a beginning": lambda n: i_data(n, 0, 0, n + 1, begins=False, ends=False),
    "beginnings": lambda n: i_data(n, 0, n, ends=False),
    "beginnings on all streams": lambda n: i_data(n, n, n // 65535, ends=False),
    "middles on all streams": lambda n: i_data(n, n, n // 65535, 7, begins=False, ends=False),
    "unordered beginnings": lambda n: i_data(n, n, n // 65535, ends=False, unordered=True),
}


def give(association: CoreAssociation, chunks: Iterable[c.EncodableChunk]) -> list[object]:
    """A packet of these chunks; the events, which the program does not throw away."""
    association.receive_packets([packet_to(association, *chunks)], now=0.0)
    events: list[object] = []
    while (event := association.next_event()) is not None:
        events.append(event)
    association.packets_to_send(now=0.0)
    return events


def first_tsn(pair: Pair) -> int:
    assert pair.a.association.tcb is not None
    return pair.a.association.tcb.data_receiver.cumulative_tsn_ack + 1


@pytest.mark.parametrize(
    "interleaving, name",
    [(False, name) for name in DATA_KINDS] + [(True, name) for name in I_DATA_KINDS],
)
def test_data_costs_no_more_than_it_is_charged(interleaving: bool, name: str) -> None:
    """Until the window is shut, and on: a peer that does not care about it."""
    pair = established_pair(config=CONFIG, interleaving=interleaving)
    association, tsn = pair.a.association, first_tsn(pair)
    kind = (I_DATA_KINDS if interleaving else DATA_KINDS)[name]

    def at(number: int) -> c.EncodableChunk:
        chunk = kind(number)
        assert isinstance(chunk, c.Data | c.IData)
        return replace(chunk, tsn=(tsn + chunk.tsn) % 2**32)

    kept: list[object] = []
    with measured() as grown:
        for number in range(0, 3200, PER_PACKET):
            kept += give(association, [at(number + i) for i in range(PER_PACKET)])
            if number % 800 == 0 and association.tcb is not None:
                charged = association.tcb.data_receiver.charge
                assert grown() < charged + SLACK
        # More is taken than was advertised, but no more than this (see rx/receive_window.py)
        assert grown() < 3 * WINDOW + 2 * CONFIG.max_message_size + SLACK


def test_a_message_whose_early_fragments_were_many_leaves_nothing_behind() -> None:
    pair = established_pair(config=CONFIG.replace(a_rwnd=2**20), interleaving=True)
    association, tsn = pair.a.association, first_tsn(pair)
    order = [*range(1, 4000), 0]
    with measured() as grown:
        for start in range(0, 4000, PER_PACKET):
            fragments = [
                i_data(tsn + start + i, 0, 0, fsn, begins=fsn == 0, ends=False)
                for i, fsn in enumerate(order[start : start + PER_PACKET])
            ]
            give(association, fragments)
        assert association.tcb is not None
        assert grown() < association.tcb.data_receiver.charge + SLACK


@pytest.mark.parametrize("interleaving", [False, True])
def test_every_stream_in_use_takes_some_hundred_bytes(interleaving: bool) -> None:
    """Its next number; with I-FORWARD-TSN also the last MIDs that were given up."""
    streams = 4000
    config = CONFIG.replace(inbound_streams=streams)
    pair = established_pair(config=config, interleaving=interleaving)
    association, tsn = pair.a.association, first_tsn(pair)
    with measured() as grown:
        for stream_id in range(0, 16000, 50):
            if stream_id < streams:
                new = i_data if interleaving else data
                messages = [new(tsn + stream_id + i, stream_id + i) for i in range(50)]
                give(association, messages)
                for _ in messages:
                    association.message_consumed(2)
            skipped: c.EncodableChunk = c.ForwardTsn(
                (tsn + 65536 + stream_id) % 2**32,
                [(id_, 9) for id_ in range(stream_id, stream_id + 50)],
            )
            if interleaving:
                skipped = c.IForwardTsn(
                    (tsn + 65536 + stream_id) % 2**32,
                    [(i, u, 9) for i in range(stream_id, stream_id + 50) for u in (False, True)],
                )
            give(association, [skipped])
        assert grown() < 300 * streams + SLACK


# -- channels


def opening(label: str = "", protocol: str = "") -> DataChannelOpen:
    return DataChannelOpen(ChannelType.RELIABLE, 256, 0, label, protocol)


def test_labels_and_protocols_have_a_budget() -> None:
    """RFC 8832 §5.1 lets each be 64 KiB long: what does not fit is refused, until there is room."""
    limit = 300_000
    config = CONFIG.replace(max_channel_name_memory=limit)
    pair = ChannelPair(a_config=config, channels="a").connect()
    with measured() as grown:
        for number in range(100):
            pair.raw_dcep(pair.z, 1 + 2 * number, opening("l" * 50_000, "p" * 10_000))
            pair.settle()
        assert grown() < limit + 100 * 3000 + 200_000
    assert [event.stream_id for event in pair.a.take(ChannelOpened)] == [1, 3, 5, 7, 9]
    assert pair.a.channels.counters.opens_refused == 95
    # Z -> RE-CONFIG -> A: one ends, and gives back its room
    pair.raw_reset(pair.z, 5)
    pair.settle()
    for stream_id, label, fits in ((301, "l" * 60_000, True), (303, "l", False), (305, "", True)):
        pair.raw_dcep(pair.z, stream_id, opening(label))
        pair.settle()
        assert bool(pair.a.take(ChannelOpened)) is fits


def test_a_single_character_may_make_a_label_four_times_as_large() -> None:
    limit = 100_000
    config = CONFIG.replace(max_channel_name_memory=limit)
    pair = ChannelPair(a_config=config, channels="a").connect()
    with measured() as grown:
        for number in range(20):
            pair.raw_dcep(pair.z, 1 + 2 * number, opening("x" * 20_000 + "\U0001f600"))
            pair.settle()
        assert grown() < limit + 20 * 3000 + 100_000
    assert len(pair.a.take(ChannelOpened)) == 1


def test_labels_of_our_own_channels_are_our_own_business() -> None:
    config = CONFIG.replace(max_channel_name_memory=10)
    pair = ChannelPair(a_config=config).connect()
    pair.open(pair.a, "l" * 60_000)
    pair.open(pair.z, "four")
    pair.settle()
    assert pair.z.take(ChannelOpened)
    assert pair.a.take(ChannelOpened)


async def test_names_of_channels_that_nobody_accepts_count_after_their_end(
    autojump_clock: MockClock,
) -> None:
    """They wait with the channel: a peer that opens and closes gets no more room by that."""
    few = Config(max_channel_name_memory=500_000)
    async with open_association_pair(delay=0.001, server_config=few) as (client, server):
        with measured() as grown:
            for _ in range(40):
                await client.open_channel("l" * 50_000).aclose()
                await trio.sleep(1)
            assert grown() < 500_000 + 40 * 3000 + 300_000
        listener = server.listen()
        for _ in range(10):
            assert len((await listener.accept()).label) == 50_000
        client.open_channel("fits again" * 1000)
        assert len((await listener.accept()).label) == 10_000


async def test_a_channel_takes_three_kilobytes(autojump_clock: MockClock) -> None:
    """With a message that nobody reads, four: that, times ``max_channels``, is the bound."""
    count = 1000
    few = Config(max_channels=count)
    async with open_association_pair(delay=0.001, server_config=few) as (client, server):
        core, now = server._core, trio.current_time()
        assert core.tcb is not None
        tsn = core.tcb.data_receiver.cumulative_tsn_ack + 1
        wire = opening("ab").encode()
        with measured() as grown:
            for number in range(2 * count):
                where = tsn + 2 * number, 2 * number, 0, 0, PPID_DCEP
                chunks = [
                    c.IData(where[0] % 2**32, *where[1:], wire, beginning=True, ending=True),
                    i_data(tsn + 2 * number + 1, 2 * number, 1),
                ]
                core.receive_packets([packet_to(core, *chunks)], now=now)
                server._pump.dispatch(now)
                core.packets_to_send(now=now)
            assert len(server._open_channels) == count
            # a refused one takes less, until the peer has answered our reset
            assert grown() < count * 4200 + count * 1200 + SLACK
        client.abort()
        server.abort()


def test_resets_are_kept_only_behind_what_they_end() -> None:
    """The peer says for ever that it works on our reset, and goes on with the stream."""
    pair = ChannelPair(channels="a").connect()
    pair.raw_dcep(pair.z, 1, opening("first"))
    pair.settle()
    assert [event.label for event in pair.a.take(ChannelOpened)] == ["first"]
    association, sn = pair.a.association, pair.z.association.tcb
    assert association.tcb is not None
    assert sn is not None
    request_sn, tsn = association.tcb.peer.initial_tsn, sn.retransmission_queue.next_tsn
    our_sn = association.tcb.local.initial_tsn

    def arrives(*chunks: c.EncodableChunk) -> None:
        association.receive_packets([packet_to(association, *chunks)], now=pair.now)
        pair.a.drain(pair.now)
        association.packets_to_send(now=pair.now)

    def reset(number: int) -> c.ReConfig:
        wire = (request_sn + number) % 2**32
        return c.ReConfig((p.OutgoingSsnResetRequest(wire, 0, (tsn - 1) % 2**32, (1,)),))

    # A -> RE-CONFIG: outgoing reset of 1 -> Z, Z -> in progress -> A, and so on
    pair.close(pair.a, 1)
    association.packets_to_send(now=pair.now)
    arrives(c.ReConfig((p.ReConfigResponse(our_sn, p.ReConfigResult.IN_PROGRESS),)))
    wire = opening("second").encode()
    arrives(c.IData(tsn % 2**32, 1, 1, 0, PPID_DCEP, wire, beginning=True, ending=True))
    tsn += 1
    with measured() as grown:
        for number in range(2000):
            arrives(reset(number))
        assert grown() < 10_000
    # Z -> performed -> A: the old one is over, and what was held has lived and ended
    arrives(c.ReConfig((p.ReConfigResponse(our_sn, p.ReConfigResult.SUCCESS_PERFORMED),)))
    assert [event.label for event in pair.a.take(ChannelOpened)] == ["second"]
    assert [event.stream_id for event in pair.a.take(ChannelClosing)] == [1]


async def test_events_with_long_lists_make_way_sooner(autojump_clock: MockClock) -> None:
    """An ERROR may be as long as a packet, and nobody has to read what it says."""
    async with open_association_pair() as (client, server):
        core, now = server._core, trio.current_time()
        errors = c.Error((error_causes.UnrecognizedParameters(bytes(1000)),) * 40)
        with measured() as grown:
            for _ in range(300):
                core.receive_packets([packet_to(core, errors)], now=now)
                server._pump.dispatch(now)
            assert grown() < 600_000
        assert server.events.statistics().current_buffer_used > 1
        client.abort()
        server.abort()


# -- associations


def test_an_association_that_only_exists() -> None:
    """What a peer that has shown where it is can make a server keep; before that it is nothing."""
    count = 50
    endpoint = Endpoint(Config(), rng=random.Random(0), max_associations=count)
    peers = [CoreAssociation(Config(), rng=random.Random(i)) for i in range(2 * count)]
    for peer in peers:
        peer.connect(now=0.0)
    inits = [peer.packets_to_send(now=0.0) for peer in peers]
    answers: list[list[bytes]] = []
    with measured() as grown:
        for number, packets in enumerate(inits):
            address = "192.0.2.1", number
            endpoint.receive_datagrams([(address, packet) for packet in packets], now=0.0)
            answers.append([packet for _, packet in endpoint.datagrams_to_send(now=0.0)])
        size = sum(len(packet) + 300 for answer in answers for packet in answer)
        assert grown() < size + 20_000, "an INIT leaves nothing"
    echoes = []
    for peer, answer in zip(peers, answers, strict=True):
        peer.receive_packets(answer, now=0.0)
        echoes.append(peer.packets_to_send(now=0.0))
    with measured() as grown:
        for number, packets in enumerate(echoes):
            address = "192.0.2.1", number
            endpoint.receive_datagrams([(address, packet) for packet in packets], now=0.0)
            endpoint.datagrams_to_send(now=0.0)
        assert len(endpoint.associations) == count
        assert grown() < count * 16_000
