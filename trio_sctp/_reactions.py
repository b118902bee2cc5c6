"""What the shell does with each event of the core that is not a message of a data channel.

Whoever waits for something is woken and told: tasks at a channel, those that read `Association.events`,
the block that opened the association.  Nothing here waits or sends.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import trio

from ._answer import Answer
from ._core.data_channels import (
    ChannelAccepted,
    ChannelClosed,
    ChannelClosing,
    ChannelError,
    ChannelEvent,
    ChannelFlushed,
    ChannelOpened,
)
from ._core.events import (
    AssociationClosed,
    AssociationReset,
    AssociationRestarted,
    AssociationUp,
    BufferedAmountLow,
    Event,
    IncomingResetRefused,
    IncomingStreamsReset,
    Message,
    MessageOutcome,
    OutgoingStreamsReset,
    PathMtuChanged,
    PeerError,
    PeerShutdown,
    RoundTripMeasured,
    SendBufferDrained,
    StreamDelivered,
    StreamsChanged,
)
from ._data_channel import DataChannel
from ._errors import Ending, ending_of

if TYPE_CHECKING:
    from ._association import Association
    from ._buffered_channel import BufferedChannel

__all__ = ["REACTIONS"]


def _on_message(a: Association, event: Message) -> None:
    if not (a._takes_messages and a.messages._inbox.put(event)):
        a._consumed(len(event.payload))


def _on_up(a: Association, event: AssociationUp) -> None:
    a._up = True
    a._inbound_streams = event.inbound_streams
    a._capabilities = a._core.capabilities
    a._settled.set()


def _on_round_trip(a: Association, event: RoundTripMeasured) -> None:
    a._round_trip.settle(event.round_trip)
    a._round_trip = Answer[float]()
    _on_notable(a, event)


def _on_streams_changed(a: Association, event: StreamsChanged) -> None:
    a._inbound_streams = event.inbound_streams
    _on_notable(a, event)


def _on_notable(a: Association, event: Event) -> None:
    """Keep it for who reads `events`."""
    a._events.put(event)


def _on_restarted(a: Association, event: AssociationRestarted) -> None:
    _on_notable(a, event)
    a.messages._room_again()
    a.messages._all_delivered(False)


def _on_peer_shutdown(a: Association, event: PeerShutdown) -> None:
    # Its data was all delivered before (RFC 9260 §9.2), and of ours it takes nothing new.
    _on_notable(a, event)
    channels: list[BufferedChannel[Any, Any]] = [a.messages, *a._open_channels.values()]
    for channel in channels:
        if not channel._undelivered():  # as it says with the same words
            channel._all_delivered(True)
    _end_everything(a, Ending(a, "the peer shut the association down"))


def _on_closed(a: Association, event: AssociationClosed) -> None:
    ending = a._ending = _ending_of(a, event)
    _on_notable(a, event)
    _end_everything(a, ending)
    channels = list(a._open_channels.values())
    a._open_channels.clear()
    for channel in channels:
        channel._is_over()
    a._events.close()
    a._closed.set()
    a._settled.set()


def _ending_of(a: Association, event: AssociationClosed) -> Ending:
    return ending_of(
        event,
        a,
        was_up=a._up,
        transport_error=a._transport_error,
        given_up=a._abandoned,
    )


def _end_everything(a: Association, ending: Ending) -> None:
    if a._no_more_channels is None:
        a._no_more_channels = ending
    a._round_trip.settle(None)
    for channel in list(a._open_channels.values()):
        channel._end(ending)
    a.messages._end(ending)
    a._visitors.close()


def _on_low(a: Association, event: BufferedAmountLow) -> None:
    if (channel := a._open_channels.get(event.stream_id)) is not None:
        channel._room_again()


def _on_stream_delivered(a: Association, event: StreamDelivered) -> None:
    if (channel := a._open_channels.get(event.stream_id)) is not None:
        channel._all_delivered(True)


def _on_outcome(a: Association, event: MessageOutcome) -> None:
    event.context._settle(event.outcome)


def _on_channel_opened(a: Association, event: ChannelOpened) -> None:
    assert a._channels is not None
    properties = a._channels.channel(event.stream_id)
    if properties is not None and not a._closing and a._no_more_channels is None:
        waiting = a._visitors.statistics().current_buffer_used
        if waiting < a.config.max_channels:
            channel = a._open_channels[event.stream_id] = DataChannel(a, properties)
            a._channels.retain(properties)
            a._visitors.send_nowait(channel)
        else:  # one that opens and closes channels for ever cannot fill the memory
            a._channels.close(event.stream_id, now=trio.current_time())


def _on_channel_closing(a: Association, event: ChannelClosing) -> None:
    if (channel := a._open_channels.get(event.stream_id)) is not None:
        channel._end(_ending_of_channel(a, channel, event.error))


def _on_channel_flushed(a: Association, event: ChannelFlushed) -> None:
    # A peer may never reset its own direction: whoever closes does not wait for that.
    if (channel := a._open_channels.get(event.stream_id)) is not None:
        channel._was_reset()


def _on_channel_closed(a: Association, event: ChannelClosed) -> None:
    channel = a._open_channels.pop(event.stream_id, None)
    if channel is not None:
        if event.error is not None or not channel._closed:
            channel._end(_ending_of_channel(a, channel, event.error))
        channel._was_reset()
        channel._is_over()


def _ending_of_channel(a: Association, channel: DataChannel, error: ChannelError | None) -> Ending:
    if error is None:
        return Ending(a, f"the peer closed {channel!r}")
    if error.association_closed is not None:
        return _ending_of(a, error.association_closed)
    return Ending(a, f"{channel!r}: {error}", trio.BrokenResourceError)


def _on_drained(a: Association, event: SendBufferDrained) -> None:
    a.messages._all_delivered(True)


def _ignore(a: Association, event: object) -> None:
    """Nothing that the shell's users are told of."""


REACTIONS: Final[dict[type[Event | ChannelEvent], Callable[[Association, Any], None]]] = {
    Message: _on_message,
    AssociationUp: _on_up,
    AssociationRestarted: _on_restarted,
    PeerShutdown: _on_peer_shutdown,
    AssociationClosed: _on_closed,
    PeerError: _on_notable,
    IncomingStreamsReset: _on_notable,
    OutgoingStreamsReset: _on_notable,
    IncomingResetRefused: _on_notable,
    StreamsChanged: _on_streams_changed,
    AssociationReset: _on_notable,
    PathMtuChanged: _on_notable,
    RoundTripMeasured: _on_round_trip,
    BufferedAmountLow: _on_low,
    SendBufferDrained: _on_drained,
    StreamDelivered: _on_stream_delivered,
    MessageOutcome: _on_outcome,
    ChannelOpened: _on_channel_opened,
    ChannelAccepted: _ignore,
    ChannelClosing: _on_channel_closing,
    ChannelFlushed: _on_channel_flushed,
    ChannelClosed: _on_channel_closed,
}
