"""Data channels against a peer that does what it should not: here it is a bare association."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from tests.support.channel_pair import ChannelPair, End
from trio_sctp._core import capabilities
from trio_sctp._core.capabilities import Capabilities
from trio_sctp._core.config import Config
from trio_sctp._core.data_channels import (
    ChannelAccepted,
    ChannelClosed,
    ChannelClosing,
    ChannelFailure,
    ChannelMessage,
    ChannelOpened,
)
from trio_sctp._core.errors import LocalProtocolError
from trio_sctp._core.events import (
    AssociationClosed,
    CloseReason,
    IncomingStreamsReset,
    Message,
    OutgoingStreamsReset,
    PeerShutdown,
)
from trio_sctp._core.tx.resettable_streams import ResettableStreams
from trio_sctp._wire.chunks import Chunk, Data, IData, ReConfig
from trio_sctp._wire.dcep import (
    PPID_BINARY,
    PPID_BINARY_EMPTY,
    PPID_BINARY_PARTIAL,
    PPID_DCEP,
    PPID_STRING,
    PPID_STRING_EMPTY,
    PPID_STRING_PARTIAL,
    ChannelType,
    DataChannelAck,
    DataChannelOpen,
)
from trio_sctp._wire.error_causes import NoUserData
from trio_sctp._wire.packet import encode_packet
from trio_sctp._wire.parameters import ReConfigResponse


def against_raw_server(**arguments: Any) -> ChannelPair:
    """Ours is `a`, the client; `z` is the bare peer, which owns the odd ids."""
    return ChannelPair(channels="a", a=arguments).connect()


def with_channel(stream_id: int = 1, **arguments: Any) -> ChannelPair:
    """The bare peer has opened a channel, and nothing else has happened."""
    pair = against_raw_server(**arguments)
    pair.raw_dcep(pair.z, stream_id, DataChannelOpen(label="victim"))
    pair.settle()
    assert [e.stream_id for e in pair.a.take(ChannelOpened)] == [stream_id]
    pair.a.events.clear()
    pair.z.events.clear()
    return pair


def assert_all_released(end: End) -> None:
    assert end.window == end.association.config.a_rwnd


# -- DATA_CHANNEL_OPEN and DATA_CHANNEL_ACK


def test_open_for_an_existing_id_closes_that_channel() -> None:
    """Field notes §2, Channels: OPEN for an existing id.  RFC 8832 §6."""
    pair = with_channel()
    pair.raw_dcep(pair.z, 1, DataChannelOpen(label="again"))
    pair.settle()
    (closing,) = pair.a.take(ChannelClosing)
    assert closing.error is not None
    assert str(closing.error).endswith("DATA_CHANNEL_OPEN on a stream in use")
    assert pair.a.take(ChannelOpened) == []
    assert pair.z.take(IncomingStreamsReset) == [IncomingStreamsReset((1,))]
    pair.raw_reset(pair.z, 1)
    pair.settle()
    assert pair.a.closed == [(1, ChannelFailure.BAD_MESSAGE)]
    assert_all_released(pair.a)


def test_open_on_a_negotiated_channel_closes_it() -> None:
    pair = against_raw_server()
    pair.open(pair.a, stream_id=1)
    pair.raw_dcep(pair.z, 1, DataChannelOpen())
    pair.raw_reset(pair.z, 1)
    pair.settle()
    assert pair.a.closed == [(1, ChannelFailure.BAD_MESSAGE)]


def test_ack_for_an_unknown_id_is_counted_and_ignored() -> None:
    """Field notes §2, Channels: ACK for an unknown one."""
    pair = with_channel()
    for stream_id in (1, 3, 2):
        pair.raw_dcep(pair.z, stream_id, DataChannelAck())
    pair.settle()
    assert pair.a.channels.counters.dcep_ignored == 3
    assert pair.a.take(ChannelAccepted) == []
    assert len(pair.a.channels) == 1
    assert_all_released(pair.a)


def test_second_ack_is_ignored() -> None:
    pair = against_raw_server()
    pair.open(pair.a)
    pair.raw_dcep(pair.z, 0, DataChannelAck())
    pair.raw_dcep(pair.z, 0, DataChannelAck())
    pair.settle()
    assert pair.a.take(ChannelAccepted) == [ChannelAccepted(0)]
    assert pair.a.channels.counters.dcep_ignored == 1


@pytest.mark.parametrize(
    "stream_id, message",
    [
        pytest.param(2, DataChannelOpen().encode(), id="an id of our half"),
        pytest.param(1, DataChannelOpen(channel_type=0x03).encode(), id="unknown type"),
        pytest.param(1, DataChannelOpen(channel_type=0x7F).encode(), id="reserved type"),
        pytest.param(1, DataChannelOpen(label="abc").encode()[:-1], id="cut short"),
        pytest.param(1, b"\x03", id="only its type"),
        pytest.param(1, b"\x00", id="a message of an old draft"),
        pytest.param(1, b"\xff", id="reserved message type"),
    ],
)
def test_bad_open_is_answered_by_a_reset(stream_id: int, message: bytes) -> None:
    # RFC 8832 §6: A resets the stream and sends no ACK; the program hears nothing
    pair = against_raw_server()
    pair.raw(pair.z, stream_id, PPID_DCEP, message)
    pair.settle()
    assert pair.a.channels.counters.opens_refused == 1
    assert pair.z.events[-1:] == [IncomingStreamsReset((stream_id,))]
    with pytest.raises(LocalProtocolError):
        pair.send(pair.a, stream_id, "x")
    pair.raw_reset(pair.z, stream_id)
    pair.settle()
    assert [e for e in pair.a.events if type(e).__name__.startswith("Channel")] == []
    assert len(pair.a.channels) == 0
    assert_all_released(pair.a)
    # and the id is good again
    pair.raw_dcep(pair.z, 1, DataChannelOpen(label="better"))
    pair.settle()
    assert [e.label for e in pair.a.take(ChannelOpened)] == ["better"]


PARTIALLY_RELIABLE = [t for t in ChannelType if t & 0x7F]


@pytest.mark.parametrize("kind", PARTIALLY_RELIABLE)
def test_partially_reliable_channel_of_the_peer_is_refused_without_the_extension(
    kind: ChannelType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capabilities, "SUPPORTED", Capabilities(reconfiguration=True))
    pair = against_raw_server()
    pair.raw_dcep(pair.z, 1, DataChannelOpen(kind, 256, 5))
    pair.settle()
    assert pair.a.take(ChannelOpened) == []
    assert pair.z.events[-1:] == [IncomingStreamsReset((1,))]


@pytest.mark.parametrize("kind", list(ChannelType))
def test_all_six_channel_types_on_the_wire(kind: ChannelType) -> None:
    pair = against_raw_server()
    pair.raw_dcep(pair.z, 1, DataChannelOpen(kind, 1024, 2500, "label", "protocol"))
    pair.settle()
    (opened,) = pair.a.take(ChannelOpened)
    rexmit, timed = kind & 0x7F == 1, kind & 0x7F == 2
    assert opened == ChannelOpened(
        1,
        "label",
        "protocol",
        not kind & 0x80,
        2500 if rexmit else None,
        2.5 if timed else None,
        1024,
    )
    options: dict[str, Any] = {"ordered": opened.ordered, "priority": 1024}
    if rexmit:
        options["max_retransmits"] = 2500
    if timed:
        options["lifetime"] = 2.5
    pair.open(pair.a, "label", "protocol", **options)
    pair.settle()
    sent = pair.z.events[-1].payload
    expected = 2500 if rexmit or timed else 0
    assert sent == DataChannelOpen(kind, 1024, expected, "label", "protocol").encode()


def test_switch_of_partial_reliability_is_the_associations_capability() -> None:
    pair = against_raw_server()
    assert pair.a.channels._opener._partial_reliability
    assert pair.a.association.tcb is not None
    pair.a.association.tcb.capabilities = Capabilities(reconfiguration=True)
    assert not pair.a.channels._opener._partial_reliability


def test_label_lengths_counted_in_characters() -> None:
    """Field notes §1: label and protocol lengths counted in characters (a cut UTF-8 sequence)."""
    pair = against_raw_server()
    label, protocol = "grüße", "p"
    # the lengths are 5 and 1; in bytes the label has 7
    counted = struct.pack(">BBHIHH", 3, 0, 0, 0, len(label), len(protocol))
    pair.raw(pair.z, 1, PPID_DCEP, counted + label.encode() + protocol.encode())
    pair.settle()
    (opened,) = pair.a.take(ChannelOpened)
    assert opened.stream_id == 1
    assert opened.label.startswith("grü")
    pair.raw(pair.z, 1, PPID_STRING, b"works")
    pair.settle()
    assert pair.a.data == [(1, "works")]


def test_label_and_protocol_of_the_greatest_length() -> None:
    # RFC 8832 §7
    pair = against_raw_server()
    pair.raw_dcep(pair.z, 1, DataChannelOpen(label="l" * 65535, protocol="p" * 65535))
    pair.settle()
    (opened,) = pair.a.take(ChannelOpened)
    assert (len(opened.label), len(opened.protocol)) == (65535, 65535)


def test_open_while_we_shut_down_is_not_answered() -> None:
    pair = against_raw_server()
    pair.raw(pair.a, 9, 0, bytes(100_000))  # keeps A in SHUTDOWN-PENDING
    pair.a.association.shutdown(now=pair.now)
    pair.raw_dcep(pair.z, 1, DataChannelOpen())
    pair.run(5)
    assert pair.a.take(ChannelOpened) == []
    assert pair.a.channels.counters.opens_refused == 1


def test_reset_instead_of_an_ack_means_refused() -> None:
    # RFC 8832 §6
    pair = against_raw_server()
    pair.open(pair.a)
    pair.settle()
    pair.raw_reset(pair.z, 0)
    pair.settle()
    (closing,) = pair.a.take(ChannelClosing)
    assert closing.error is not None
    assert closing.error.failure is ChannelFailure.REFUSED
    assert pair.a.closed == [(0, ChannelFailure.REFUSED)]


# -- messages that are not allowed


@pytest.mark.parametrize(
    "ppid, payload",
    [
        pytest.param(PPID_STRING, b"\xff\xfe", id="invalid UTF-8"),
        pytest.param(PPID_STRING, "ü".encode()[:1], id="cut UTF-8"),
        pytest.param(PPID_BINARY_PARTIAL, b"part", id="52"),
        pytest.param(PPID_STRING_PARTIAL, b"part", id="54"),
        pytest.param(0, b"plain", id="0"),
        pytest.param(55, b"?", id="55"),
        pytest.param(PPID_DCEP, b"\x07", id="unknown DCEP message"),
        pytest.param(PPID_DCEP, b"\x03abc", id="broken OPEN"),
    ],
)
def test_bad_message_closes_just_that_channel(ppid: int, payload: bytes) -> None:
    """Field notes §2, Parsing: invalid UTF-8 in label or string kills the connection."""
    pair = with_channel()
    pair.raw_dcep(pair.z, 3, DataChannelOpen())
    pair.raw(pair.z, 1, ppid, payload)
    pair.raw(pair.z, 1, PPID_STRING, b"too late")
    pair.raw(pair.z, 3, PPID_STRING, b"fine")
    pair.settle()
    assert pair.a.data == [(3, "fine")]
    (closing,) = pair.a.take(ChannelClosing)
    assert closing.stream_id == 1
    assert closing.error is not None
    assert closing.error.failure is ChannelFailure.BAD_MESSAGE
    assert pair.z.take(IncomingStreamsReset) == [IncomingStreamsReset((1,))]
    assert pair.a.channels.counters.messages_discarded == 1
    pair.raw_reset(pair.z, 1)
    pair.settle()
    assert pair.a.closed == [(1, ChannelFailure.BAD_MESSAGE)]
    assert len(pair.a.channels) == 1
    assert_all_released(pair.a)


@pytest.mark.parametrize("ppid", [PPID_STRING_EMPTY, PPID_BINARY_EMPTY])
def test_payload_of_an_empty_message_means_nothing(ppid: int) -> None:
    # RFC 8831 §6.6
    pair = with_channel()
    pair.raw(pair.z, 1, ppid, b"\xff\xffwhatever")
    pair.settle()
    assert pair.a.data == [(1, "" if ppid == PPID_STRING_EMPTY else b"")]
    assert_all_released(pair.a)


def test_empty_string_as_a_data_chunk_without_data_is_answered() -> None:
    """Field notes §1: an empty string as a DATA chunk without data."""
    # RFC 9260 §6.2: ABORT with No User Data; the channel is told why, nothing hangs
    pair = with_channel()
    assert pair.z.association.tcb is not None
    tsn = pair.z.association.tcb.retransmission_queue.next_tsn & 0xFFFFFFFF
    empty = IData(tsn, 1, 1, 0, PPID_STRING, b"")
    packet = encode_packet(5000, 5000, pair.a.association.local_tag, [empty.encode()])
    pair.a.association.receive_packets([packet], now=pair.now)
    pair.settle()
    assert pair.a.closed == [(1, ChannelFailure.ASSOCIATION_CLOSED)]
    (over,) = pair.z.take(AssociationClosed)
    assert over.reason is CloseReason.PEER_ABORT
    assert over.causes == (NoUserData(tsn),)


def test_message_on_an_unknown_stream_is_counted_and_dropped() -> None:
    """Field notes §2, Channels: message on an unknown stream."""
    pair = with_channel()
    for ppid in (PPID_BINARY_PARTIAL, PPID_STRING_PARTIAL):
        pair.raw(pair.z, 7, ppid, b"nobody")
    pair.settle()
    assert pair.a.channels.counters.messages_without_channel == 2
    assert pair.a.events == []
    assert len(pair.a.channels) == 1
    assert_all_released(pair.a)


def test_what_an_unknown_stream_can_fill_is_bounded() -> None:
    pair = ChannelPair(channels="a", a_config=Config(a_rwnd=100_000)).connect()
    for stream_id in range(1, 2001, 2):
        pair.raw(pair.z, stream_id, PPID_BINARY, bytes(1000))
    pair.run(30)
    assert pair.z.association.undelivered_messages == 0
    assert pair.a.channels.counters.messages_without_channel == 1000
    assert pair.a.window >= 100_000 * 7 // 8


def test_unordered_data_that_comes_before_its_open() -> None:
    # a peer that ignores RFC 8832 §6 and sends unordered at once; the OPEN was lost first
    # Z -> DATA_CHANNEL_OPEN -> lost,  Z -> DATA (unordered) -> A,  Z -> DATA_CHANNEL_OPEN -> A
    pair = against_raw_server()
    pair.z.lose = lambda chunks: True
    pair.raw_dcep(pair.z, 1, DataChannelOpen(ChannelType.RELIABLE_UNORDERED))
    pair.settle()
    pair.z.lose = lambda chunks: False
    pair.raw(pair.z, 1, PPID_STRING, b"quick", unordered=True)
    pair.run(5)
    events = [e for e in pair.a.events if type(e).__name__.startswith("Channel")]
    assert [type(e) for e in events] == [ChannelOpened, ChannelMessage]
    assert pair.a.data == [(1, "quick")]


def test_messages_kept_for_a_negotiated_channel_do_not_end_up_in_another() -> None:
    pair = against_raw_server()
    pair.raw(pair.z, 0, PPID_STRING, b"for a negotiated channel")
    pair.settle()
    assert pair.open(pair.a) == 0
    pair.settle()
    assert pair.a.data == []
    assert_all_released(pair.a)


def test_reader_slower_than_the_sender_loses_nothing() -> None:
    """Field notes §2, Channels: reader slower than sender loses messages."""
    pair = ChannelPair(channels="a", a_config=Config(a_rwnd=50_000)).connect()
    pair.a.reading = False
    pair.raw_dcep(pair.z, 1, DataChannelOpen())
    sent = [bytes([i]) * 5000 for i in range(100)]
    for data in sent:
        pair.raw(pair.z, 1, PPID_BINARY, data)
    unread: list[ChannelMessage] = []
    received: list[bytes | str] = []
    for _ in range(300):
        pair.run(0.5)
        unread += pair.a.take(ChannelMessage)
        assert sum(message.size for message in unread) <= 100_000
        for message in unread[:5]:
            received.append(message.data)
            pair.a.association.message_consumed(message.size)
        del unread[:5]
    assert received == sent
    assert_all_released(pair.a)


def test_buffered_amount_counts_until_it_was_sent() -> None:
    """Field notes §2, Channels: `bufferedAmount` 0 while nothing was delivered."""
    pair = with_channel()
    pair.a.lose = lambda chunks: True
    for _ in range(10):
        pair.send(pair.a, 1, bytes(60_000))
    pair.settle()
    assert pair.a.association.unsent_bytes(1) > 500_000
    pair.a.lose = lambda chunks: False
    pair.run(60)
    assert pair.a.association.unsent_bytes(1) == 0


# -- resets


def lose_one_response(end: End) -> None:
    """Lose the next packet of this end that answers a reset."""
    done = False

    def lose(chunks: list[Chunk]) -> bool:
        nonlocal done
        answers = [
            p
            for c in chunks
            if isinstance(c, ReConfig)
            for p in c.parameters
            if isinstance(p, ReConfigResponse)
        ]
        if answers and not done:
            done = True
            return True
        return False

    end.lose = lose


def test_open_that_overtakes_the_answer_to_our_reset_is_held() -> None:
    """Field notes §1: an id reused with an OPEN before our reset of it was answered."""
    # Z -> RE-CONFIG (resets 1) -> A;  A -> Response; RE-CONFIG (resets 1) -> Z
    #      lost <- Response <- Z
    # Z -> DATA_CHANNEL_OPEN (stream 1 again), "hello" -> A
    #   an RTO later: A -> RE-CONFIG (resets 1) -> Z;  Z -> Response -> A
    pair = with_channel()
    lose_one_response(pair.z)
    pair.raw_reset(pair.z, 1)
    pair.settle()
    assert pair.z.take(IncomingStreamsReset) == [IncomingStreamsReset((1,))]
    assert pair.z.take(OutgoingStreamsReset) == [OutgoingStreamsReset((1,), True)]
    assert pair.a.take(ChannelClosing) == [ChannelClosing(1, None)]
    pair.raw_dcep(pair.z, 1, DataChannelOpen(label="new"))
    pair.raw(pair.z, 1, PPID_STRING, b"hello")
    pair.settle()
    assert pair.a.take(ChannelClosed) == []
    assert pair.a.take(ChannelOpened) == []
    pair.run(5)
    events = [e for e in pair.a.events if type(e).__name__.startswith("Channel")]
    assert [type(e) for e in events] == [ChannelClosed, ChannelOpened, ChannelMessage]
    assert events[0].error is None
    assert pair.a.data == [(1, "hello")]
    assert pair.z.take(IncomingStreamsReset) == []  # not refused
    pair.send(pair.a, 1, "hello back")
    pair.settle()
    assert pair.z.take(Message)[-1].payload == b"hello back"
    assert_all_released(pair.a)


def test_open_that_overtakes_a_stream_reset_is_held() -> None:
    """Field notes §1: an OPEN overtaking a stream reset."""
    # A closes channel 1.  Z's own reset is lost, and Z does not wait for the answer to it:
    # Z -> DATA_CHANNEL_OPEN (stream 1, SSN 0) -> A comes first
    pair = with_channel()
    pair.close(pair.a, 1)
    pair.settle()
    pair.z.lose = lambda chunks: any(isinstance(c, ReConfig) for c in chunks)
    pair.raw_reset(pair.z, 1)
    pair.settle()
    pair.z.lose = lambda chunks: False
    # this peer does not wait for the answer
    ResettableStreams(pair.z.association.send_queue).reset_stream(1)
    pair.raw_dcep(pair.z, 1, DataChannelOpen(label="impatient"))
    pair.settle()
    assert pair.a.take(ChannelOpened) == []
    pair.run(10)
    assert pair.a.closed == [(1, None)]
    assert [e.label for e in pair.a.take(ChannelOpened)] == ["impatient"]
    assert_all_released(pair.a)


def test_negotiated_channel_that_the_peer_opens_again_before_we_know_that_it_may() -> None:
    # as above, without DATA_CHANNEL_OPEN: Z opens stream 7 again by agreement and sends on it
    pair = against_raw_server()
    pair.open(pair.a, stream_id=7)
    lose_one_response(pair.z)
    pair.raw_reset(pair.z, 7)
    pair.settle()
    pair.raw(pair.z, 7, PPID_STRING, b"second life")
    pair.raw(pair.z, 7, 99, b"not WebRTC's")
    pair.settle()
    assert pair.a.data == []
    pair.run(5)
    assert pair.a.closed == [(7, None)]
    assert [m.payload for m in pair.a.take(Message)] == [b"not WebRTC's"]
    pair.open(pair.a, stream_id=7)
    pair.settle()
    assert pair.a.data == [(7, "second life")]
    assert_all_released(pair.a)


def test_negotiated_channel_that_was_closed_before_it_was_opened_here() -> None:
    pair = against_raw_server()
    pair.raw(pair.z, 7, PPID_STRING, b"too early")
    pair.raw_reset(pair.z, 7)
    pair.a.lose = lambda chunks: True
    pair.settle()
    with pytest.raises(LocalProtocolError, match="in use"):
        pair.open(pair.a, stream_id=7)
    pair.a.lose = lambda chunks: False
    pair.run(5)
    assert pair.z.take(IncomingStreamsReset) == [IncomingStreamsReset((7,))]
    assert pair.a.events == []
    assert pair.open(pair.a, stream_id=7) == 7
    assert_all_released(pair.a)


def test_message_that_was_held_back_behind_a_deferred_reset_follows_it_at_once() -> None:
    # Z -> DATA (stream 1, SSN 0) -> lost
    # Z -> RE-CONFIG (resets 1) -> A answers "in progress"
    # Z -> DATA (stream 1, SSN 0 of the time after the reset) -> A: Z should have waited
    # Z -> DATA (stream 1, SSN 0), again -> A
    pair = ChannelPair(channels="").connect()
    pair.z.lose = lambda chunks: any(isinstance(c, Data | IData) for c in chunks)
    pair.raw(pair.z, 1, 0, b"before")
    pair.settle()
    pair.z.lose = lambda chunks: False
    pair.raw_reset(pair.z, 1)
    pair.settle()
    ResettableStreams(pair.z.association.send_queue).reset_stream(1)
    pair.raw(pair.z, 1, 0, b"after")
    pair.settle()
    assert pair.a.events == []
    pair.run(pair.z.association.next_timeout() - pair.now)
    first, reset, second = pair.a.events
    assert (first.payload, second.payload) == (b"before", b"after")
    assert reset == IncomingStreamsReset((1,))


def test_whole_lives_of_a_channel_are_held_until_our_reset_is_answered() -> None:
    # as above; meanwhile Z opens channel 1 again, closes it, and opens it once more
    pair = with_channel()
    assert pair.z.association.tcb is not None
    unaware = pair.z.association.tcb.stream_reset
    lose_one_response(pair.z)
    pair.raw_reset(pair.z, 1)
    pair.settle()
    for label in ("second", "third"):
        pair.raw_dcep(pair.z, 1, DataChannelOpen(label=label))
        pair.raw(pair.z, 1, PPID_STRING, label.encode())
        pair.settle()
        if label == "second":
            pair.raw_reset(pair.z, 1)
            pair.settle()
    assert not unaware.pending
    assert pair.a.events == [ChannelClosing(1, None)]
    pair.run(30)
    events = [(type(e), getattr(e, "label", getattr(e, "data", None))) for e in pair.a.events]
    assert events == [
        (ChannelClosing, None),
        (ChannelClosed, None),
        (ChannelOpened, "second"),
        (ChannelMessage, "second"),
        (ChannelClosing, None),
        (ChannelClosed, None),
        (ChannelOpened, "third"),
        (ChannelMessage, "third"),
    ]
    assert_all_released(pair.a)


def test_bad_open_that_was_held_is_refused() -> None:
    pair = with_channel()
    lose_one_response(pair.z)
    pair.raw_reset(pair.z, 1)
    pair.settle()
    pair.raw_dcep(pair.z, 1, DataChannelOpen(channel_type=0x55))
    pair.raw(pair.z, 1, PPID_STRING, b"after it")
    pair.run(5)
    assert pair.a.closed == [(1, None)]
    assert pair.a.take(ChannelOpened) == []
    assert pair.a.channels.counters.opens_refused == 1
    assert_all_released(pair.a)


def test_refused_reset_ends_the_channel_and_its_id() -> None:
    pair = with_channel()
    assert pair.z.association.tcb is not None
    pair.z.association.tcb.stream_reset.counts.inbound = 0  # it will find the stream wrong
    pair.close(pair.a, 1)
    pair.settle()
    assert pair.a.closed == [(1, ChannelFailure.RESET_FAILED)]
    with pytest.raises(LocalProtocolError, match="in use"):
        pair.open(pair.a, stream_id=1)
    pair.raw_dcep(pair.z, 1, DataChannelOpen())
    pair.settle()
    assert pair.a.take(ChannelOpened) == []
    assert len(pair.a.channels) == 0
    pair.raw(pair.z, 1, PPID_STRING, b"nobody will ever read this")
    pair.settle()
    assert_all_released(pair.a)
    # an id of our own half is not chosen again either
    stream_id = pair.open(pair.a)
    pair.close(pair.a, stream_id)
    pair.settle()
    assert pair.a.closed == [(stream_id, ChannelFailure.RESET_FAILED)]
    pair.now += 100
    assert pair.open(pair.a) == stream_id + 2


def test_peer_that_cannot_reset_streams() -> None:
    # RFC 6525 §5.1.1: nothing is sent, and the program is told
    pair = with_channel()
    assert pair.a.association.tcb is not None
    pair.a.association.tcb.capabilities = Capabilities()
    pair.close(pair.a, 1)
    pair.settle()
    assert pair.a.closed == [(1, ChannelFailure.RESET_FAILED)]


def test_peer_that_resets_all_its_streams_closes_all_channels() -> None:
    pair = with_channel()
    pair.open(pair.a)
    pair.raw_dcep(pair.z, 0, DataChannelAck())
    pair.settle()
    pair.raw_reset(pair.z)
    pair.settle()
    assert sorted(pair.a.closed) == [(0, None), (1, None)]
    assert pair.a.take(IncomingStreamsReset) == [IncomingStreamsReset(())]


def test_program_that_resets_a_channels_stream_by_itself_closes_the_channel() -> None:
    pair = with_channel()
    pair.raw_reset(pair.a, 1)
    pair.settle()
    assert pair.a.take(ChannelClosing) == [ChannelClosing(1, None)]
    with pytest.raises(LocalProtocolError):
        pair.send(pair.a, 1, "x")
    pair.raw_reset(pair.z, 1)
    pair.settle()
    assert pair.a.closed == [(1, None)]


def test_incoming_reset_request_of_the_peer_closes_the_channel() -> None:
    pair = with_channel()
    pair.z.association.request_incoming_reset((1,), now=pair.now)
    pair.settle()
    assert pair.z.take(IncomingStreamsReset) == [IncomingStreamsReset((1,))]
    pair.raw_reset(pair.z, 1)
    pair.settle()
    assert pair.a.closed == [(1, None)]


def test_peer_that_resets_twice() -> None:
    pair = with_channel()
    pair.a.lose = lambda chunks: False
    pair.raw(pair.a, 1, PPID_BINARY, bytes(500_000))  # A's own reset has to wait for this
    pair.raw_reset(pair.z, 1)
    pair.settle()
    pair.raw_reset(pair.z, 1)
    pair.run(30)
    assert pair.a.take(ChannelClosing) == [ChannelClosing(1, None)]
    assert pair.a.closed == [(1, None)]


def test_close_while_the_association_shuts_down() -> None:
    pair = with_channel()
    pair.send(pair.a, 1, bytes(60_000))
    pair.z.association.shutdown(now=pair.now)
    pair.run(5)
    assert len(pair.a.take(PeerShutdown)) <= 1
    pair.close(pair.a, 1)
    pair.run(60)
    assert [e.stream_id for e in pair.a.take(ChannelClosed)] == [1]
    assert len(pair.a.take(AssociationClosed)) == 1
