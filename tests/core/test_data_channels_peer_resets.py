"""Data channels and a peer's stream resets: late, early, refused, unasked for (RFC 8831 §6.7)."""

from __future__ import annotations

import pytest

from tests.support.channel_pair import ChannelPair, End
from tests.support.raw_channel_peer import against_raw_server, assert_all_released, with_channel
from trio_sctp._core.capabilities import Capabilities
from trio_sctp._core.data_channels import (
    ChannelClosed,
    ChannelClosing,
    ChannelFailure,
    ChannelMessage,
    ChannelOpened,
)
from trio_sctp._core.errors import LocalProtocolError
from trio_sctp._core.events import (
    AssociationClosed,
    IncomingStreamsReset,
    Message,
    OutgoingStreamsReset,
    PeerShutdown,
)
from trio_sctp._core.tx.resettable_streams import ResettableStreams
from trio_sctp._wire.chunks import Chunk, Data, IData, ReConfig
from trio_sctp._wire.dcep import PPID_BINARY, PPID_STRING, DataChannelAck, DataChannelOpen
from trio_sctp._wire.parameters import ReConfigResponse


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
