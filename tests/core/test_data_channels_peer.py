"""Data channels against a peer that does what it should not: here it is a bare association."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from tests.support.channel_pair import ChannelPair
from tests.support.raw_channel_peer import against_raw_server, assert_all_released, with_channel
from trio_sctp._core import capabilities
from trio_sctp._core.capabilities import Capabilities
from trio_sctp._core.config import Config
from trio_sctp._core.data_channels import (
    ChannelAccepted,
    ChannelClosing,
    ChannelFailure,
    ChannelMessage,
    ChannelOpened,
)
from trio_sctp._core.errors import LocalProtocolError
from trio_sctp._core.events import AssociationClosed, CloseReason, IncomingStreamsReset
from trio_sctp._wire.chunks import IData
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
