"""Data channels between two of ours (RFC 8831, RFC 8832): opened, and used."""

from __future__ import annotations

import sys
import tracemalloc

import pytest

from tests.support.channel_pair import ChannelPair, End
from trio_sctp._core import capabilities
from trio_sctp._core.capabilities import Capabilities
from trio_sctp._core.config import Config
from trio_sctp._core.data_channels import (
    ChannelAccepted,
    ChannelClosed,
    ChannelClosing,
    ChannelError,
    ChannelFailure,
    ChannelOpened,
    MessageTooLargeError,
)
from trio_sctp._core.errors import LocalProtocolError
from trio_sctp._core.events import IncomingStreamsReset, Message, OutgoingStreamsReset
from trio_sctp._wire.chunks import Chunk, Data, IData
from trio_sctp._wire.dcep import PPID_BINARY, PPID_DCEP


def names(end: End) -> list[str]:
    """What happened to channels, in order."""
    names = [type(event).__name__ for event in end.events]
    return [name for name in names if name.startswith("Channel")]


# -- opening


def test_open_and_accept() -> None:
    # A -> DATA_CHANNEL_OPEN (stream 0) -> Z
    # A <- DATA_CHANNEL_ACK (stream 0) <- Z
    pair = ChannelPair().connect()
    stream_id = pair.open(pair.a, "chat", "proto", ordered=False, priority=512)
    assert stream_id == 0
    pair.settle()
    assert pair.z.take(ChannelOpened) == [ChannelOpened(0, "chat", "proto", False, None, None, 512)]
    assert pair.a.take(ChannelAccepted) == [ChannelAccepted(0)]
    for end in (pair.a, pair.z):
        channel = end.channels.channel(0)
        assert channel is not None
        assert channel.open
        assert (channel.label, channel.protocol, channel.ordered) == ("chat", "proto", False)
        assert (channel.priority, channel.negotiated) == (512, False)
        assert end.channels.counters.channels_opened == 1


def test_client_takes_even_and_server_odd_ids() -> None:
    pair = ChannelPair().connect()
    assert [pair.open(pair.a) for _ in range(3)] == [0, 2, 4]
    assert [pair.open(pair.z) for _ in range(3)] == [1, 3, 5]
    pair.settle()
    assert len(pair.a.channels) == len(pair.z.channels) == 6


def test_same_label_twice_is_two_channels() -> None:
    pair = ChannelPair().connect()
    pair.open(pair.a, "x")
    pair.open(pair.z, "x")
    pair.settle()
    assert [e.stream_id for e in pair.z.take(ChannelOpened)] == [0]
    assert [e.stream_id for e in pair.a.take(ChannelOpened)] == [1]


def test_channel_is_usable_right_after_open() -> None:
    # A -> DATA_CHANNEL_OPEN, "one", "two" -> Z in one go
    pair = ChannelPair().connect()
    stream_id = pair.open(pair.a)
    pair.send(pair.a, stream_id, "one")
    pair.send(pair.a, stream_id, b"two")
    pair.settle()
    assert names(pair.z) == ["ChannelOpened", "ChannelMessage", "ChannelMessage"]
    assert pair.z.data == [(0, "one"), (0, b"two")]


def test_channel_may_be_opened_before_the_association_is_up() -> None:
    pair = ChannelPair()
    stream_id = pair.open(pair.a, "early")
    pair.send(pair.a, stream_id, "hello")
    pair.a.association.connect(now=0.0)
    pair.settle()
    assert [e.label for e in pair.z.take(ChannelOpened)] == ["early"]
    assert pair.z.data == [(0, "hello")]


def test_channel_may_be_closed_before_the_association_is_up() -> None:
    pair = ChannelPair()
    stream_id = pair.open(pair.a)
    pair.send(pair.a, stream_id, "hello")
    pair.close(pair.a, stream_id)
    pair.a.association.connect(now=0.0)
    pair.settle()
    assert pair.z.data == [(0, "hello")]
    assert pair.a.closed == [(0, None)]
    assert pair.z.closed == [(0, None)]


def test_both_ends_open_at_once() -> None:
    pair = ChannelPair()
    for end, other in ((pair.a, 0), (pair.z, 1)):
        end.association.connect(now=0.0)
        stream_id = pair.open(end, "mine")
        assert stream_id == other
        pair.send(end, stream_id, "hi")
    pair.settle()
    assert pair.z.data == [(0, "hi")]
    assert pair.a.data == [(1, "hi")]


def test_label_longer_than_a_packet() -> None:
    pair = ChannelPair().connect()
    label = "ä" * 30000
    pair.open(pair.a, label)
    pair.settle()
    assert [e.label for e in pair.z.take(ChannelOpened)] == [label]


@pytest.mark.parametrize(
    "options, message",
    [
        ({"priority": -1}, "priority is -1: it must be from 0 to 65535"),
        ({"priority": 65536}, "priority is 65536"),
        ({"label": "ä" * 32768}, "label is 65536 bytes of UTF-8: it may have 65535"),
        ({"protocol": "x" * 65536}, "protocol is 65536 bytes"),
        ({"label": "\ud800"}, "label cannot be sent as UTF-8"),
        ({"stream_id": -1}, "stream_id is -1: it must be from 0 to 65534"),
        ({"stream_id": 65535}, "stream_id is 65535: it must be from 0 to 65534"),
        ({"max_retransmits": -1}, "max_retransmits is -1"),
        ({"lifetime": -0.1}, "lifetime is -0.1"),
        ({"lifetime": 1.0, "max_retransmits": 1}, "lifetime: .*not both"),
    ],
)
def test_arguments_of_open_are_checked(options: dict[str, object], message: str) -> None:
    pair = ChannelPair().connect()
    with pytest.raises(LocalProtocolError, match=message):
        pair.open(pair.a, **options)  # type: ignore[arg-type]
    assert len(pair.a.channels) == 0
    assert pair.open(pair.a) == 0


@pytest.mark.parametrize("name", ["max_retransmits", "lifetime"])
def test_partially_reliable_channel_is_refused_rather_than_made_reliable(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capabilities, "SUPPORTED", Capabilities(reconfiguration=True))
    pair = ChannelPair().connect()
    with pytest.raises(LocalProtocolError, match=f"{name}: partial reliability is not supported"):
        pair.open(pair.a, **{name: 3})  # type: ignore[arg-type]


def test_ids_run_out() -> None:
    config = Config(outbound_streams=6, inbound_streams=4)
    pair = ChannelPair(a_config=config).connect()
    assert [pair.open(pair.a), pair.open(pair.a)] == [0, 2]
    with pytest.raises(LocalProtocolError, match="stream_id: no id below 4 is free"):
        pair.open(pair.a)
    with pytest.raises(LocalProtocolError, match="stream_id is 4: it must be from 0 to 3"):
        pair.open(pair.a, stream_id=4)
    pair.close(pair.a, 2)
    pair.settle()
    assert pair.open(pair.a) == 2


def test_open_beyond_max_channels_is_refused() -> None:
    pair = ChannelPair(z_config=Config(max_channels=2)).connect()
    for _ in range(3):
        pair.open(pair.a)
    pair.settle()
    assert len(pair.z.take(ChannelOpened)) == 2
    assert pair.a.closed == [(4, ChannelFailure.REFUSED)]
    assert pair.z.channels.counters.opens_refused == 1


# -- negotiated channels


def test_negotiated_channel_needs_no_message() -> None:
    pair = ChannelPair().connect()
    for end in (pair.a, pair.z):
        assert pair.open(end, "agreed", stream_id=7) == 7
    pair.send(pair.a, 7, "from a")
    pair.send(pair.z, 7, "from z")
    pair.settle()
    assert pair.z.data == [(7, "from a")]
    assert pair.a.data == [(7, "from z")]
    assert pair.a.take(ChannelOpened) == pair.z.take(ChannelOpened) == []


def test_messages_before_a_negotiated_channel_is_open_here_are_kept_for_it() -> None:
    pair = ChannelPair().connect()
    pair.open(pair.a, stream_id=7)
    pair.send(pair.a, 7, "early")
    pair.send(pair.a, 7, b"")
    pair.settle()
    assert pair.z.data == []
    pair.open(pair.z, stream_id=7)
    pair.send(pair.a, 7, "later")
    pair.settle()
    assert pair.z.data == [(7, "early"), (7, b""), (7, "later")]
    assert pair.z.window == pair.z.association.config.a_rwnd


def test_messages_for_a_channel_that_is_never_opened_do_not_fill_the_window() -> None:
    config = Config(a_rwnd=200_000)
    pair = ChannelPair(z_config=config).connect()
    pair.open(pair.a, stream_id=7)
    for _ in range(100):
        pair.send(pair.a, 7, bytes(10_000))
        pair.run(0.3)
    assert pair.a.association.undelivered_messages == 0
    assert pair.z.channels.counters.messages_without_channel == 100
    assert pair.z.window >= 200_000 * 7 // 8
    pair.close(pair.a, 7)
    pair.settle()
    assert pair.a.closed == [(7, None)]
    assert pair.z.window == 200_000


def test_negotiated_id_in_use_is_a_local_error() -> None:
    pair = ChannelPair().connect()
    pair.open(pair.a, stream_id=0)
    with pytest.raises(LocalProtocolError, match="stream_id is 0: that id is in use"):
        pair.open(pair.a, stream_id=0)
    assert pair.open(pair.a) == 2  # and the next automatic one goes around it


def test_id_of_a_negotiated_channel_is_used_again_after_it_closed() -> None:
    pair = ChannelPair().connect()
    for end in (pair.a, pair.z):
        pair.open(end, stream_id=0)
    assert pair.open(pair.a) == 2
    pair.close(pair.a, 0)
    pair.settle()
    assert pair.a.closed == pair.z.closed == [(0, None)]
    pair.now += 10
    assert pair.open(pair.a) == 0


# -- messages


@pytest.mark.parametrize(
    "data", ["text", "", "ü€𝄞", b"bytes", b"", b"\0", "\0", b"x" * 60000, "é" * 30000]
)
def test_message_arrives_as_it_was_sent(data: bytes | str) -> None:
    pair = ChannelPair().connect()
    stream_id = pair.open(pair.a)
    pair.send(pair.a, stream_id, data)
    pair.settle()
    assert pair.z.data == [(stream_id, data)]
    assert pair.z.window == pair.z.association.config.a_rwnd


def test_bytes_like_objects_are_sent_as_bytes() -> None:
    pair = ChannelPair().connect()
    stream_id = pair.open(pair.a)
    buffer = bytearray(b"abcdef")
    pair.send(pair.a, stream_id, buffer)
    pair.send(pair.a, stream_id, memoryview(buffer)[2:4])
    buffer[:] = b"XXXXXX"
    pair.settle()
    assert pair.z.data == [(0, b"abcdef"), (0, b"cd")]


def test_text_that_is_not_unicode_is_a_local_error() -> None:
    pair = ChannelPair().connect()
    stream_id = pair.open(pair.a)
    with pytest.raises(LocalProtocolError, match="data cannot be sent as UTF-8"):
        pair.send(pair.a, stream_id, "\ud800")


def test_send_without_a_channel_is_a_local_error() -> None:
    pair = ChannelPair().connect()
    with pytest.raises(LocalProtocolError, match="stream_id is 4: no channel is open there"):
        pair.send(pair.a, 4, "x")
    stream_id = pair.open(pair.a)
    pair.close(pair.a, stream_id)
    with pytest.raises(LocalProtocolError, match="stream_id is 0: no channel is open there"):
        pair.send(pair.a, stream_id, "x")


def test_peers_limit_is_enforced_with_a_typed_error() -> None:
    # RFC 8841 §6
    pair = ChannelPair(a={"max_message_size": 20}).connect()
    stream_id = pair.open(pair.a)
    pair.send(pair.a, stream_id, b"x" * 20)
    with pytest.raises(MessageTooLargeError, match=r"data is 22 bytes long: .* at most 20") as info:
        pair.send(pair.a, stream_id, "ä" * 11)
    assert (info.value.size, info.value.limit) == (22, 20)
    pair.settle()
    assert pair.z.data == [(0, b"x" * 20)]


def test_peers_limit_holds_for_the_message_that_opens_a_channel() -> None:
    # RFC 8841 §6.1: what is longer MUST NOT be sent, and a peer may end the association for it.
    # RFC 8832 §5.1: a DATA_CHANNEL_OPEN has 12 bytes, the label and the protocol.
    pair = ChannelPair(a={"max_message_size": 20}, z={"max_message_size": 1}).connect()
    with pytest.raises(MessageTooLargeError, match="DATA_CHANNEL_OPEN is 21 bytes") as info:
        pair.open(pair.a, "ä" * 3, "xyz")
    assert (info.value.size, info.value.limit) == (21, 20)
    assert len(pair.a.channels) == 0
    assert pair.open(pair.a, "ä" * 3, "xy") == 0  # and z may accept it: its answer has one byte
    for end in (pair.a, pair.z):  # by agreement, nothing is sent
        assert pair.open(end, stream_id=2) == 2
    pair.send(pair.z, 2, b"x")
    pair.settle()
    assert [event.label for event in pair.z.take(ChannelOpened)] == ["ä" * 3]
    assert pair.a.take(ChannelAccepted)
    assert pair.a.data == [(2, b"x")]


def test_peer_that_says_nothing_takes_65536_bytes_and_zero_means_no_limit() -> None:
    pair = ChannelPair(z={"max_message_size": 0}).connect()
    stream_id = pair.open(pair.a)
    with pytest.raises(MessageTooLargeError):
        pair.send(pair.a, stream_id, bytes(65537))
    pair.settle()
    pair.send(pair.z, stream_id, bytes(1_000_000))
    pair.run(10)
    assert pair.a.data == [(0, bytes(1_000_000))]
    with pytest.raises(LocalProtocolError, match="max_message_size is -1"):
        ChannelPair(a={"max_message_size": -1})


def test_message_above_our_own_limit_closes_only_its_channel() -> None:
    pair = ChannelPair(z={"local_max_message_size": 1000}).connect()
    bad, good = pair.open(pair.a), pair.open(pair.a)
    pair.send(pair.a, bad, bytes(1000))
    pair.send(pair.a, bad, bytes(1001))
    pair.send(pair.a, good, "fine")
    pair.settle()
    assert sorted(pair.z.data) == [(0, bytes(1000)), (2, "fine")]
    error = ChannelError(ChannelFailure.MESSAGE_TOO_LARGE, "1001 bytes")
    assert pair.z.take(ChannelClosing) == [ChannelClosing(bad, error)]
    assert pair.z.take(ChannelClosed) == [ChannelClosed(bad, error)]
    assert pair.a.closed == [(bad, None)]
    assert len(pair.a.channels) == 1
    assert pair.z.window == pair.z.association.config.a_rwnd


def test_data_on_an_unordered_channel_goes_ordered_until_the_ack() -> None:
    # RFC 8832 §6.  A -> OPEN, data (ordered) -> Z,  A <- ACK <- Z,  A -> data (unordered) -> Z
    pair = ChannelPair().connect()
    sent: list[tuple[int, bool]] = []

    def watch(chunks: list[Chunk]) -> bool:
        sent.extend((c.ppid, c.unordered) for c in chunks if isinstance(c, Data | IData))
        return False

    pair.a.lose = pair.z.lose = watch
    stream_id = pair.open(pair.a, ordered=False)
    pair.send(pair.a, stream_id, b"before")
    pair.settle()
    pair.send(pair.a, stream_id, b"after")
    pair.send(pair.z, stream_id, b"back")  # Z has had a message from the start
    pair.settle()
    assert [unordered for ppid, unordered in sent if ppid == PPID_DCEP] == [False, False]
    assert [unordered for ppid, unordered in sent if ppid == PPID_BINARY] == [False, True, True]


def test_data_confirms_a_channel_as_well_as_its_ack() -> None:
    # RFC 8832 §6: "or any other message"; here the peer's ACK is lost and its data comes
    pair = ChannelPair(channels="a").connect()
    stream_id = pair.open(pair.a, ordered=False)
    pair.raw(pair.z, stream_id, PPID_BINARY, b"data", unordered=True)
    pair.settle()
    assert names(pair.a) == ["ChannelAccepted", "ChannelMessage"]
    sent: list[bool] = []

    def watch(chunks: list[Chunk]) -> bool:
        sent.extend(c.unordered for c in chunks if isinstance(c, Data | IData))
        return False

    pair.a.lose = watch
    pair.send(pair.a, stream_id, b"after")
    pair.settle()
    assert sent == [True]


def test_negotiated_unordered_channel_is_unordered_at_once() -> None:
    pair = ChannelPair().connect()
    sent: list[bool] = []

    def watch(chunks: list[Chunk]) -> bool:
        sent.extend(c.unordered for c in chunks if isinstance(c, Data | IData))
        return False

    pair.a.lose = watch
    pair.open(pair.a, stream_id=4, ordered=False)
    pair.send(pair.a, 4, b"x")
    pair.settle()
    assert sent == [True]


def test_counters_are_those_of_w3c() -> None:
    pair = ChannelPair().connect()
    stream_id = pair.open(pair.a)
    pair.settle()
    mine, theirs = pair.a.channels.channel(stream_id), pair.z.channels.channel(stream_id)
    assert mine is not None
    assert theirs is not None
    for data in ("ä", b"xyz", "", b""):
        pair.send(pair.a, stream_id, data)
    pair.settle()
    assert (mine.messages_sent, mine.bytes_sent) == (4, 5)
    assert (theirs.messages_received, theirs.bytes_received) == (4, 5)
    assert (mine.messages_received, mine.bytes_received) == (0, 0)
    pair.close(pair.a, stream_id)
    pair.settle()
    assert mine.messages_sent == 4  # the object outlives the channel


# -- plain SCTP beside channels


def test_message_that_is_not_webrtcs_is_the_programs_own() -> None:
    pair = ChannelPair().connect()
    pair.raw(pair.a, 9, 0, b"plain")
    pair.raw(pair.a, 10, 60, b"other")
    pair.settle()
    messages = pair.z.take(Message)
    assert [(m.stream_id, m.ppid, m.payload) for m in messages] == [
        (9, 0, b"plain"),
        (10, 60, b"other"),
    ]


def test_resets_of_streams_without_channels_are_the_programs_own() -> None:
    pair = ChannelPair().connect()
    stream_id = pair.open(pair.a)
    pair.raw(pair.a, 9, 0, b"plain")
    pair.settle()
    pair.close(pair.a, stream_id)
    pair.raw_reset(pair.a, 9, 10)
    pair.settle()
    assert pair.z.take(IncomingStreamsReset) == [IncomingStreamsReset((9, 10))]
    assert pair.a.take(OutgoingStreamsReset) == [OutgoingStreamsReset((9, 10), True)]
    assert pair.a.closed == [(stream_id, None)]


def test_program_that_resets_all_streams_past_the_channels_closes_them() -> None:
    config = Config(outbound_streams=20, inbound_streams=20)
    pair = ChannelPair(a_config=config).connect()
    pair.open(pair.a)
    pair.open(pair.z)
    pair.settle()
    pair.raw_reset(pair.a)
    pair.settle()
    assert pair.a.take(ChannelClosing) == [ChannelClosing(0, None), ChannelClosing(1, None)]
    assert sorted(pair.a.closed) == sorted(pair.z.closed) == [(0, None), (1, None)]
    assert pair.a.take(OutgoingStreamsReset) == [OutgoingStreamsReset((), True)]


# -- many channels


def test_ten_thousand_channels_are_cheap() -> None:
    """Field notes §2, Channels: 65,535-entry tables allocated per association."""
    pair = ChannelPair().connect()
    tracemalloc.start()
    for i in range(10_000):
        pair.open(pair.a, f"channel {i}")
        if i % 500 == 0:
            pair.settle()
            pair.a.events.clear()
            pair.z.events.clear()
    pair.run(1)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    pair.z.events.clear()
    assert len(pair.a.channels) == len(pair.z.channels) == 10_000
    assert size < 30_000_000
    channel = pair.a.channels.channel(0)
    assert not hasattr(channel, "__dict__")
    assert sys.getsizeof(channel) < 300
    for stream_id in range(0, 20_000, 2):
        pair.close(pair.a, stream_id)
    pair.run(1)
    assert len(pair.a.channels) == len(pair.z.channels) == 0


def test_short_lived_channels_leave_no_memory_behind() -> None:
    """Field notes §2, Channels: memory grows with many short-lived channels."""
    pair = ChannelPair().connect()

    def churn(rounds: int) -> None:
        for _ in range(rounds):
            for end in (pair.a, pair.z):
                stream_id = pair.open(end, "short", ordered=False)
                end.association.set_low_water(stream_id, 1000)
                pair.send(end, stream_id, b"x" * 100)
                pair.close(end, stream_id)
            pair.run(0.1)
            pair.a.events.clear()
            pair.z.events.clear()

    churn(200)
    tracemalloc.start()
    churn(500)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(pair.a.channels) == len(pair.z.channels) == 0
    assert size < 50_000
    for end in (pair.a, pair.z):
        assert not end.association.send_queue.streams.by_id
