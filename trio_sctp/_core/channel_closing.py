"""How data channels end: RFC 8831 §6.7, by resets of the streams of both directions (RFC 6525).

Either end begins by resetting its outgoing stream, and the other answers with a reset of its own.  The
two ends do not learn at the same time that both are done: what the peer sends for the next channel of an
id, while this end does not know that the last one is over, waits until it does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TypeAlias

from .._wire.dcep import PPID_DCEP, DataChannelOpen
from .channel import Channel, ChannelAssociation
from .channel_events import (
    ChannelClosed,
    ChannelClosing,
    ChannelError,
    ChannelFailure,
    ChannelFlushed,
)
from .errors import LocalProtocolError
from .events import (
    AssociationClosed,
    CloseReason,
    Event,
    IncomingStreamsReset,
    Message,
    OutgoingStreamsReset,
)
from .states import State
from .tx.outbound_streams import DEFAULT_PRIORITY

if TYPE_CHECKING:
    from .channel_table import ChannelTable

__all__ = ["ChannelCloser", "HeldItem", "error_of"]

HeldItem: TypeAlias = Message | IncomingStreamsReset


class ChannelCloser:
    """Ends the channels of a table; ``receive_again`` gets what was held for the next of an id."""

    __slots__ = ("_association", "_receive_again", "_table", "up")

    def __init__(
        self,
        association: ChannelAssociation,
        table: ChannelTable,
        receive_again: Callable[[Iterable[HeldItem], float], None],
    ) -> None:
        self._association = association
        self._table = table
        self._receive_again = receive_again
        self.up = association.state is State.ESTABLISHED
        """The association has been set up: streams can be reset."""

    # -- begun here

    def fail(
        self, channel: Channel, failure: ChannelFailure, detail: str, message: Message, now: float
    ) -> None:
        """Close a channel because of a message on it (RFC 8831 §6.6, RFC 8832 §6)."""
        self._table.release(message)
        channel.open = False
        channel.error = ChannelError(failure, detail)
        self._table.events.append(ChannelClosing(channel.stream_id, channel.error))
        self.reset(channel, now)

    def close_unknown(self, stream_id: int, now: float, *, incoming_reset: bool = False) -> None:
        """Close what is a channel for the peer only; until that is done its id is in use."""
        table = self._table
        table.drop_early(stream_id)
        if stream_id >= self._association.outbound_streams or table.ids.is_burnt(stream_id):
            return
        channel = Channel(stream_id)
        channel.open = channel._announced = False
        channel._incoming_reset = incoming_reset
        table.ids.take(stream_id)
        table.by_id[stream_id] = channel
        self.reset(channel, now)

    def reset(self, channel: Channel, now: float) -> None:
        """Reset our outgoing stream: the sign that the channel closes (RFC 8831 §6.7)."""
        if channel._reset_requested or not self.up:
            return  # before the association is up it waits for that
        channel._reset_requested = True
        try:
            self._association.reset_streams((channel.stream_id,), now=now)
        except LocalProtocolError as exc:
            if not self._association.ended:  # otherwise AssociationClosed is about to come
                self.abandon(channel, ChannelFailure.RESET_FAILED, str(exc), now)

    def abandon(self, channel: Channel, failure: ChannelFailure, detail: str, now: float) -> None:
        """The channel is over although its streams were not reset: the id is of no more use."""
        channel.error = channel.error or ChannelError(failure, detail)
        self._table.ids.burn(channel.stream_id)
        self.finish(channel, now)

    def finish(self, channel: Channel, now: float) -> None:
        """The channel is gone, its id free."""
        table, stream_id = self._table, channel.stream_id
        channel.open = False
        del table.by_id[stream_id]
        table.release_names(channel)
        table.counters.channels_closed += channel._announced
        if channel._announced:
            table.events.append(ChannelClosed(stream_id, channel.error))
        self._association.set_low_water(stream_id, -1)
        self._association.set_stream_priority(stream_id, DEFAULT_PRIORITY)
        table.ids.free(stream_id, now)
        self._receive_again(table.held.pop(stream_id, ()), now)

    def end_all(self, error: ChannelError | None) -> None:
        """The association has ended or begun anew: no channel survives that."""
        table, channels = self._table, list(self._table.by_id.values())
        table.forget()
        for channel in channels:
            channel.open = False
            table.release_names(channel)
            self._association.set_stream_priority(channel.stream_id, DEFAULT_PRIORITY)
            if channel._announced:
                channel.error = channel.error or error
                table.events.append(ChannelClosed(channel.stream_id, channel.error))
                table.counters.channels_closed += 1

    # -- what comes late

    def receive_late(self, channel: Channel, message: Message) -> None:
        """A message on a channel that is being closed here.

        The peer may know before we do that both streams were reset: what comes after its own
        reset, or from a new DATA_CHANNEL_OPEN on, waits until we know it too.
        """
        table = self._table
        held = table.held.get(channel.stream_id)
        if held is not None:
            held.append(message)
        elif channel._incoming_reset or (
            _is_opening(message) and not table.ids.is_ours(channel.stream_id)
        ):
            table.held[channel.stream_id] = [message]
        else:
            table.counters.messages_discarded += 1
            table.release(message)

    # -- resets

    def on_incoming_reset(self, event: IncomingStreamsReset, now: float) -> Event | None:
        """RFC 8831 §6.7: the peer closes channels by resetting what it sends on."""
        table = self._table
        others: list[int] = []
        for stream_id in event.stream_ids or [*table.by_id, *table.early]:
            channel = table.by_id.get(stream_id)
            if channel is not None:
                self._closed_by_peer(channel, now)
            elif stream_id in table.early:
                # a negotiated channel that we never opened: let the peer finish with it
                self.close_unknown(stream_id, now, incoming_reset=True)
            else:
                others.append(stream_id)
        if not event.stream_ids:
            return event
        return IncomingStreamsReset(tuple(others)) if others else None

    def _closed_by_peer(self, channel: Channel, now: float) -> None:
        if channel._incoming_reset:
            self._hold_reset(channel.stream_id)
            return
        channel._incoming_reset = True
        if channel.open:
            channel.open = False
            if channel._ack_awaited:
                channel.error = ChannelError(ChannelFailure.REFUSED)
            self._table.events.append(ChannelClosing(channel.stream_id, channel.error))
        if channel._outgoing_reset:
            self.finish(channel, now)
        else:
            self.reset(channel, now)

    def _hold_reset(self, stream_id: int) -> None:
        """It ends what is held, the next channel of this id: once, however often it comes.

        A held message takes room of the receiver window and a reset does not: so none is kept that
        does not follow a message.
        """
        held = self._table.held.get(stream_id)
        if held is not None and isinstance(held[-1], Message):
            held.append(IncomingStreamsReset((stream_id,)))

    def on_outgoing_reset(self, event: OutgoingStreamsReset, now: float) -> Event | None:
        table = self._table
        others: list[int] = []
        for stream_id in event.stream_ids or list(table.by_id):
            channel = table.by_id.get(stream_id)
            if channel is None:
                others.append(stream_id)
            elif not event.succeeded:
                if channel._reset_requested:
                    detail = "the peer did not agree"
                    self.abandon(channel, ChannelFailure.RESET_FAILED, detail, now)
            else:
                self._was_reset(channel, now)
        if not event.stream_ids:
            return event
        return OutgoingStreamsReset(tuple(others), event.succeeded) if others else None

    def _was_reset(self, channel: Channel, now: float) -> None:
        events, stream_id = self._table.events, channel.stream_id
        if channel.open:  # the program did it past us, or the peer asked for it
            channel.open = False
            events.append(ChannelClosing(stream_id, None))
        channel._outgoing_reset = channel._reset_requested = True
        if channel._incoming_reset:
            self.finish(channel, now)
        elif channel._announced:
            events.append(ChannelFlushed(stream_id))


def _is_opening(message: Message) -> bool:
    return message.ppid == PPID_DCEP and message.payload[0] == DataChannelOpen.message_type


def error_of(event: AssociationClosed) -> ChannelError | None:
    """RFC 8831 §6.2: a graceful end closes channels, any other is an error."""
    if event.reason is CloseReason.SHUTDOWN and not event.undelivered_messages:
        return None
    return ChannelError(ChannelFailure.ASSOCIATION_CLOSED, event.reason.value, event)
