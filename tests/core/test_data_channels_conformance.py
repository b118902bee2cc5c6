"""Requirements of RFC 8831 and RFC 8832 that no other test of data channels looks at."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.channel_pair import ChannelPair, End
from trio_sctp._core.channel_events import ChannelAccepted, ChannelClosed, ChannelOpened
from trio_sctp._core.config import Config
from trio_sctp._core.events import Message
from trio_sctp._dtls_transport import DEFAULT_DTLS_CONFIG
from trio_sctp._rtc import DEFAULT_RTC_CONFIG
from trio_sctp._wire import chunks as c
from trio_sctp._wire.dcep import (
    PPID_BINARY,
    PPID_DCEP,
    PPID_STRING,
    ChannelType,
    DataChannelAck,
    DataChannelOpen,
)
from trio_sctp._wire.packet import decode_chunks

LEAST: list[dict[str, Any]] = [
    {"ordered": False, "max_retransmits": 0},
    {"ordered": False, "lifetime": 0.0},
]
"""Channels on which everything is given up as soon as it may be."""


def data_chunks(packets: list[bytes]) -> list[c.IData]:
    chunks = [chunk for packet in packets for chunk in decode_chunks(packet)]
    return [chunk for chunk in chunks if isinstance(chunk, c.IData)]


def pull(pair: ChannelPair, end: End) -> list[c.IData]:
    """The data that an end sends now; it is lost."""
    end.drain(pair.now)
    return data_chunks(end.association.packets_to_send(now=pair.now))


@pytest.mark.parametrize("options", LEAST)
def test_dcep_is_ordered_and_reliable_whatever_the_channel_is(options: dict[str, Any]) -> None:
    """RFC 8832 §6: OPEN and ACK arrive although each is lost some times."""
    pair = ChannelPair().connect()
    lost = {PPID_DCEP: 0}

    def lose(chunks: list[c.Chunk]) -> bool:
        dcep = [chunk for chunk in chunks if isinstance(chunk, c.IData) and chunk.ppid == PPID_DCEP]
        assert not any(chunk.unordered for chunk in dcep)
        lost[PPID_DCEP] += bool(dcep)
        return bool(dcep) and lost[PPID_DCEP] % 3 != 0

    pair.a.lose = pair.z.lose = lose
    stream_id = pair.open(pair.a, **options)
    pair.run(60.0)
    assert [event.stream_id for event in pair.z.take(ChannelOpened)] == [stream_id]
    assert pair.a.take(ChannelAccepted) == [ChannelAccepted(stream_id)]
    assert lost[PPID_DCEP] >= 6


def test_dcep_goes_on_the_stream_of_its_channel() -> None:
    """RFC 8832 §6, and with its own PPID; what follows has others."""
    pair = ChannelPair().connect()
    stream_id = pair.open(pair.a, "label")
    pair.send(pair.a, stream_id, "text")
    pair.send(pair.a, stream_id, b"binary")
    sent = pull(pair, pair.a)
    assert [(chunk.stream_id, chunk.ppid) for chunk in sent] == [
        (stream_id, PPID_DCEP),
        (stream_id, PPID_STRING),
        (stream_id, PPID_BINARY),
    ]


@pytest.mark.parametrize("ordered", [True, False])
def test_after_the_handshake_each_end_sends_as_the_channel_says(ordered: bool) -> None:
    """RFC 8832 §6; the end that got the OPEN from the beginning, as that was a message on it."""
    pair = ChannelPair().connect()
    stream_id = pair.open(pair.a, ordered=ordered)
    pair.settle()
    for end in (pair.z, pair.a):
        pair.send(end, stream_id, "x")
        (chunk,) = pull(pair, end)
        assert chunk.unordered is not ordered


def test_every_message_of_the_program_is_one_message_of_sctp() -> None:
    """RFC 8831 §6.6: small ones share packets, and nothing else."""
    pair = ChannelPair(channels="a").connect()
    stream_id = pair.open(pair.a)
    pair.settle()
    pair.z.take(Message)
    contents = [b"%d" % number for number in range(100)] + [bytes(50_000)]
    for content in contents:
        pair.send(pair.a, stream_id, content)
    pair.settle()
    assert [message.payload for message in pair.z.take(Message)] == contents


def test_a_small_message_does_not_wait_for_acknowledgements() -> None:
    """RFC 8831 §6.6: no Nagle algorithm."""
    pair = ChannelPair().connect()
    stream_id = pair.open(pair.a)
    pair.settle()
    for _ in range(3):
        pair.send(pair.a, stream_id, b"x")
        assert [chunk.payload for chunk in pull(pair, pair.a)] == [b"x"]


def test_all_streams_are_asked_for() -> None:
    """RFC 8831 §6.2: as many as there can be, unless the configuration says less."""
    pair = ChannelPair()
    pair.a.association.connect(now=0.0)
    (packet,) = pair.a.association.packets_to_send(now=0.0)
    (init,) = decode_chunks(packet)
    assert isinstance(init, c.Init)
    assert (init.outbound_streams, init.inbound_streams) == (65535, 65535)


@pytest.mark.parametrize("config", [DEFAULT_DTLS_CONFIG, DEFAULT_RTC_CONFIG])
def test_the_path_mtu_to_begin_with(config: Config) -> None:
    """RFC 8831 §5, at the IP layer: within 1280 bytes of IPv6; for IPv4 see the table."""
    dtls, udp = 37, 8
    assert config.path_mtu + dtls + udp + 40 <= 1280
    assert config.path_mtu + dtls <= 1200


def test_a_channel_is_closed_if_its_open_is_not_answered_by_an_ack() -> None:
    """RFC 8832 §6: refused ones get a reset and never an ACK."""
    pair = ChannelPair(channels="a").connect()
    for stream_id, opening in (
        (1, DataChannelOpen(ChannelType.RELIABLE, 256, 0, "good", "").encode()),
        (2, DataChannelOpen(ChannelType.RELIABLE, 256, 0, "our id", "").encode()),
        (3, DataChannelOpen(0x55, 256, 0, "no type", "").encode()),
        (5, b"\3\0\0\0"),
    ):
        pair.raw(pair.z, stream_id, PPID_DCEP, opening)
        pair.settle()
        acks = [m.payload for m in pair.z.take(Message) if m.stream_id == stream_id]
        assert acks == ([DataChannelAck().encode()] if stream_id == 1 else [])
    assert [event.stream_id for event in pair.a.take(ChannelOpened)] == [1]
    assert pair.a.channels.counters.opens_refused == 3
    assert pair.a.take(ChannelClosed) == []
