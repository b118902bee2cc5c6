"""How data channels end (RFC 8831 §6.7): closed, discarded, or with their association."""

from __future__ import annotations

import pytest

from tests.support.channel_pair import ChannelPair
from trio_sctp._core.config import Config
from trio_sctp._core.data_channels import (
    ChannelClosed,
    ChannelClosing,
    ChannelError,
    ChannelFailure,
    ChannelFlushed,
    ChannelOpened,
)
from trio_sctp._core.errors import LocalProtocolError
from trio_sctp._core.events import (
    AssociationClosed,
    AssociationRestarted,
    AssociationUp,
    CloseReason,
)
from trio_sctp._wire.chunks import Chunk, ReConfig


def has_reconfig(chunks: list[Chunk]) -> bool:
    return any(isinstance(chunk, ReConfig) for chunk in chunks)


# -- closing


def test_close_resets_both_directions() -> None:
    # A -> RE-CONFIG (Outgoing 0) -> Z,  A <- Response; Outgoing 0 <- Z,  A -> Response -> Z
    pair = ChannelPair().connect()
    stream_id = pair.open(pair.a)
    pair.settle()
    pair.a.events.clear()
    pair.z.events.clear()
    pair.close(pair.a, stream_id)
    pair.close(pair.a, stream_id)
    pair.settle()
    assert pair.a.events == [ChannelFlushed(stream_id), ChannelClosed(stream_id, None)]
    assert pair.z.events == [ChannelClosing(stream_id, None), ChannelClosed(stream_id, None)]
    for end in (pair.a, pair.z):
        assert len(end.channels) == 0
        assert end.channels.counters.channels_closed == 1
        assert end.channels.channel(stream_id) is None


def test_close_sends_what_is_queued() -> None:
    """Field notes §2, Channels: `close()` drops queued messages."""
    pair = ChannelPair().connect()
    stream_id = pair.open(pair.a)
    messages = [bytes([i]) * 50_000 for i in range(40)]
    for message in messages:
        pair.send(pair.a, stream_id, message)
    pair.close(pair.a, stream_id)
    pair.run(30)
    assert pair.z.data == [(stream_id, message) for message in messages]
    assert pair.a.closed == pair.z.closed == [(stream_id, None)]


def test_what_the_other_end_has_queued_is_sent_too() -> None:
    pair = ChannelPair().connect()
    stream_id = pair.open(pair.a)
    pair.settle()
    for _ in range(40):
        pair.send(pair.z, stream_id, bytes(50_000))
    pair.close(pair.a, stream_id)
    pair.run(30)
    # A has closed and reads no more; nothing of it is lost on the way or blocks the association
    assert pair.a.closed == pair.z.closed == [(stream_id, None)]
    assert pair.a.channels.counters.messages_discarded == 40
    assert pair.a.window == pair.a.association.config.a_rwnd
    assert pair.z.association.undelivered_messages == 0


def test_both_ends_close_at_once() -> None:
    pair = ChannelPair().connect()
    stream_id = pair.open(pair.a)
    pair.settle()
    pair.close(pair.a, stream_id)
    pair.close(pair.z, stream_id)
    pair.settle()
    assert pair.a.closed == pair.z.closed == [(stream_id, None)]
    assert pair.a.take(ChannelClosing) == pair.z.take(ChannelClosing) == []


def test_discard_drops_what_was_not_sent() -> None:
    pair = ChannelPair().connect()
    stream_id = pair.open(pair.a)
    pair.settle()
    for i in range(40):
        pair.send(pair.a, stream_id, bytes([i]) * 50_000)
    pair.a.channels.discard(stream_id, now=pair.now)
    assert pair.a.association.unsent_bytes(stream_id) <= 50_000
    pair.run(30)
    assert len(pair.z.data) <= 1
    assert pair.a.closed == pair.z.closed == [(stream_id, None)]


def test_discard_hurries_a_close_that_is_under_way() -> None:
    pair = ChannelPair().connect()
    stream_id = pair.open(pair.a)
    pair.settle()
    for i in range(40):
        pair.send(pair.a, stream_id, bytes([i]) * 50_000)
    pair.close(pair.a, stream_id)
    pair.a.channels.discard(stream_id, now=pair.now)
    pair.run(30)
    assert len(pair.z.data) <= 1
    assert pair.a.closed == [(stream_id, None)]


def test_channel_discarded_before_the_peer_heard_of_it_leaves_nothing() -> None:
    # the window is full: the DATA_CHANNEL_OPEN has not left yet
    pair = ChannelPair().connect()
    first = pair.open(pair.a)
    pair.send(pair.a, first, bytes(60_000))
    pair.a.lose = lambda chunks: True
    pair.settle()
    for close_first in (False, True):
        stream_id = pair.open(pair.a)
        pair.send(pair.a, stream_id, "never sent")
        if close_first:
            pair.close(pair.a, stream_id)
        pair.a.channels.discard(stream_id, now=pair.now)
    pair.a.lose = lambda chunks: False
    pair.run(30)
    assert pair.a.closed == [(2, None), (4, None)]
    assert [e.stream_id for e in pair.z.take(ChannelOpened)] == [0]
    pair.now += 10
    assert pair.open(pair.a) == 2


def test_channel_discarded_before_the_association_is_up() -> None:
    pair = ChannelPair()
    stream_id = pair.open(pair.a)
    pair.a.channels.discard(stream_id, now=0.0)
    pair.a.association.connect(now=0.0)
    pair.settle()
    assert pair.a.closed == [(0, None)]
    assert pair.z.take(ChannelOpened) == []
    assert len(pair.a.channels) == len(pair.z.channels) == 0


def test_closing_what_is_not_open_changes_nothing() -> None:
    pair = ChannelPair().connect()
    pair.close(pair.a, 0)
    pair.a.channels.discard(0, now=pair.now)
    pair.settle()
    assert pair.a.events == []


@pytest.mark.parametrize("lost", range(6))
def test_close_survives_the_loss_of_any_reconfig(lost: int) -> None:
    """Field notes §2, Transfer: lost RE-CONFIG never resent."""
    pair = ChannelPair().connect()
    stream_id = pair.open(pair.a)
    pair.settle()
    count = 0

    def lose(chunks: list[Chunk]) -> bool:
        nonlocal count
        count += has_reconfig(chunks)
        return has_reconfig(chunks) and count == lost + 1

    pair.a.lose = pair.z.lose = lose
    pair.close(pair.a, stream_id)
    pair.run(60)
    assert pair.a.closed == pair.z.closed == [(stream_id, None)]


def test_close_when_the_peer_is_gone_does_not_hang() -> None:
    """Field notes §2, Channels: close hangs when the peer is gone."""
    pair = ChannelPair().connect()
    stream_id = pair.open(pair.a)
    pair.settle()
    pair.a.lose = pair.z.lose = lambda chunks: True
    pair.close(pair.a, stream_id)
    pair.run(3600)
    (over,) = pair.a.take(ChannelClosed)
    assert over.error is not None
    assert over.error.failure is ChannelFailure.ASSOCIATION_CLOSED
    assert over.error.association_closed is not None
    assert over.error.association_closed.reason is CloseReason.TIMED_OUT
    assert str(over.error) == "the association ended: the peer did not answer"


def test_id_is_not_used_again_before_both_directions_were_reset() -> None:
    """Field notes §2, Channels: id reused too early."""
    config = Config(outbound_streams=2, inbound_streams=2)
    pair = ChannelPair(a_config=config).connect()
    stream_id = pair.open(pair.a)
    pair.settle()
    pair.z.lose = lambda chunks: True  # neither Z's response nor its own reset arrives
    pair.close(pair.a, stream_id)
    pair.settle()
    with pytest.raises(LocalProtocolError, match="no id below 2 is free"):
        pair.open(pair.a)
    with pytest.raises(LocalProtocolError, match="in use"):
        pair.open(pair.a, stream_id=stream_id)
    pair.z.lose = lambda chunks: False
    pair.run(60)
    assert pair.a.closed == [(stream_id, None)]
    assert pair.open(pair.a) == stream_id
    pair.send(pair.a, stream_id, "again")
    pair.run(1)
    assert pair.z.data == [(stream_id, "again")]


def test_id_is_not_used_again_before_the_peer_has_reset_its_stream() -> None:
    """Its answer to our reset is there, its own reset is not."""
    config = Config(outbound_streams=2, inbound_streams=2)
    pair = ChannelPair(channels="a", a_config=config).connect()
    stream_id = pair.open(pair.a)
    pair.close(pair.a, stream_id)
    pair.run(1)
    assert pair.a.take(ChannelFlushed) == [ChannelFlushed(stream_id)]
    with pytest.raises(LocalProtocolError, match="no id below 2 is free"):
        pair.open(pair.a)
    pair.z.association.reset_streams((stream_id,), now=pair.now)
    pair.run(1)
    assert pair.a.closed == [(stream_id, None)]
    assert pair.open(pair.a) == stream_id


def test_freed_ids_rest_while_others_are_free() -> None:
    pair = ChannelPair().connect()
    pair.open(pair.a)
    pair.close(pair.a, 0)
    pair.settle()
    assert pair.open(pair.a) == 2
    pair.now += 1.0
    assert pair.open(pair.a) == 0
    assert pair.open(pair.a) == 4


def test_channel_reopened_on_the_same_id_many_times() -> None:
    config = Config(outbound_streams=1, inbound_streams=1)
    pair = ChannelPair(a_config=config).connect()
    for i in range(50):
        stream_id = pair.open(pair.a, f"number {i}", ordered=i % 2 == 0)
        assert stream_id == 0
        pair.send(pair.a, stream_id, f"message {i}")
        pair.close(pair.a, stream_id)
        pair.settle()
        assert [e.label for e in pair.z.take(ChannelOpened)] == [f"number {i}"]
        assert pair.z.data == [(0, f"message {i}")]
        assert pair.a.closed == pair.z.closed == [(0, None)]


# -- the end of the association


def test_shutdown_closes_every_channel_without_an_error() -> None:
    # RFC 8831 §6.2
    pair = ChannelPair().connect()
    pair.open(pair.a)
    pair.open(pair.z)
    pair.settle()
    pair.a.association.shutdown(now=pair.now)
    pair.run(5)
    for end in (pair.a, pair.z):
        assert sorted(end.closed) == [(0, None), (1, None)]
        assert isinstance(end.events[-1], AssociationClosed)
        assert len(end.channels) == 0
        with pytest.raises(LocalProtocolError, match="open: the association is over"):
            pair.open(end)
        with pytest.raises(LocalProtocolError):
            pair.send(end, 0, "x")


def test_abort_closes_every_channel_with_the_reason() -> None:
    pair = ChannelPair().connect()
    pair.open(pair.a)
    pair.settle()
    pair.a.association.abort(b"enough", now=pair.now)
    pair.settle()
    for end, reason in ((pair.a, CloseReason.LOCAL_ABORT), (pair.z, CloseReason.PEER_ABORT)):
        *_, over, event = end.events
        assert isinstance(event, AssociationClosed)
        assert event.reason is reason
        error = ChannelError(ChannelFailure.ASSOCIATION_CLOSED, reason.value, event)
        assert over == ChannelClosed(0, error)


def test_restart_of_the_peer_closes_every_channel_with_the_reason() -> None:
    pair = ChannelPair().connect()
    pair.open(pair.a)
    pair.open(pair.z)
    pair.settle()
    pair.a.events.clear()
    reborn = ChannelPair(channels="z", seed=100)
    reborn.a, reborn.now = pair.a, pair.now
    reborn.z.association.connect(now=pair.now)
    reborn.settle()
    assert pair.a.closed == [
        (0, ChannelFailure.ASSOCIATION_RESTARTED),
        (1, ChannelFailure.ASSOCIATION_RESTARTED),
    ]
    assert len(pair.a.take(AssociationRestarted)) == 1
    stream_id = reborn.open(pair.a, "new life")
    assert stream_id == 0
    reborn.settle()
    assert [e.label for e in reborn.z.take(ChannelOpened)] == ["new life"]


def test_channel_on_a_stream_that_the_peer_does_not_have() -> None:
    pair = ChannelPair(z_config=Config(inbound_streams=10, outbound_streams=10))
    pair.open(pair.a, stream_id=9)
    pair.open(pair.a, stream_id=10)
    pair.a.association.connect(now=0.0)
    pair.settle()
    assert isinstance(pair.a.events[0], AssociationUp)
    assert pair.a.closed == [(10, ChannelFailure.NO_STREAM)]
