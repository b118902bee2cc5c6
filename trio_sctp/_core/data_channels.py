"""Data channels on an association, without any I/O: RFC 8831 and its handshake, RFC 8832.

A channel is a pair of streams with one id.  How channels begin stands in `channel_opening`, how they end
in `channel_closing`; here is what a program asks for, and what the messages on a channel mean.  Messages
with payload protocol identifiers that are not WebRTC's, on streams without a channel, remain the
program's own.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from .._wire.dcep import (
    PPID_BINARY,
    PPID_BINARY_EMPTY,
    PPID_BINARY_PARTIAL,
    PPID_DCEP,
    PPID_STRING,
    PPID_STRING_EMPTY,
    PPID_STRING_PARTIAL,
    DataChannelOpen,
    decode_dcep,
)
from .._wire.tlv import DecodeError
from .arguments import check_integer
from .channel import Channel, ChannelAssociation, ChannelCounters
from .channel_closing import ChannelCloser, HeldItem, error_of
from .channel_events import (
    ChannelAccepted,
    ChannelClosed,
    ChannelClosing,
    ChannelError,
    ChannelEvent,
    ChannelFailure,
    ChannelFlushed,
    ChannelMessage,
    ChannelOpened,
    MessageTooLargeError,
)
from .channel_opening import ChannelOpener
from .channel_table import ChannelTable
from .errors import LocalProtocolError
from .events import (
    AssociationClosed,
    AssociationRestarted,
    AssociationUp,
    Event,
    IncomingStreamsReset,
    Message,
    OutgoingStreamsReset,
    StreamsChanged,
    new_message,
)

if TYPE_CHECKING:
    from .send_options import SendOptions

__all__ = [
    "Channel",
    "ChannelAccepted",
    "ChannelClosed",
    "ChannelClosing",
    "ChannelCounters",
    "ChannelError",
    "ChannelEvent",
    "ChannelFailure",
    "ChannelFlushed",
    "ChannelMessage",
    "ChannelOpened",
    "DataChannels",
    "MessageTooLargeError",
    "WEBRTC_PPIDS",
]

DEFAULT_MAX_MESSAGE_SIZE: Final = 65536
"""What a peer takes that has not said anything else (RFC 8841 §6.1)."""
_USER_PPIDS: Final = frozenset({PPID_STRING, PPID_BINARY, PPID_STRING_EMPTY, PPID_BINARY_EMPTY})
WEBRTC_PPIDS: Final = _USER_PPIDS | {PPID_DCEP, PPID_BINARY_PARTIAL, PPID_STRING_PARTIAL}
"""What says that a message belongs to a data channel (RFC 8831 §8)."""
_OF_INTEREST: Final = {
    IncomingStreamsReset,
    OutgoingStreamsReset,
    AssociationUp,
    StreamsChanged,
    AssociationRestarted,
    AssociationClosed,
}
"""Events, besides messages, that change channels."""


class DataChannels:
    """The data channels of one association; events are taken from here instead of from it.

    `client`: whether this end is the DTLS client; it takes the even stream ids (RFC 8832 §6).
    `max_message_size`: bytes of a message that the peer takes, 0 for any number (RFC 8841 §6).
    `local_max_message_size`: bytes of a message that we take, 0 for what the association takes.
    How much of the peer's channels is kept is bounded by `Config.max_channels` and
    `Config.max_channel_name_memory`.
    """

    def __init__(
        self,
        association: ChannelAssociation,
        *,
        client: bool,
        max_message_size: int = DEFAULT_MAX_MESSAGE_SIZE,
        local_max_message_size: int = 0,
    ) -> None:
        check_integer("max_message_size", max_message_size, 0, 2**64 - 1)
        self._association = association
        self._table = table = ChannelTable(association, client=client)
        self._channels = table.by_id
        self._events = table.events
        self._closer = ChannelCloser(association, table, self._receive_again)
        self._send_limit: float = max_message_size or float("inf")
        self._opener = ChannelOpener(
            association, table, self._closer, self._receive_again, self._send_limit
        )
        self.counters = table.counters
        self._receive_limit = local_max_message_size or association.config.max_message_size
        self._ended = False

    # -- look

    def __len__(self) -> int:
        return len(self._channels)

    def channel(self, stream_id: int) -> Channel | None:
        """The channel that uses a stream id now."""
        return self._channels.get(stream_id)

    # -- in

    def open(
        self,
        label: str = "",
        protocol: str = "",
        *,
        ordered: bool = True,
        max_retransmits: int | None = None,
        lifetime: float | None = None,
        priority: int = 256,
        stream_id: int | None = None,
        now: float,
    ) -> int:
        """Open a channel and return its stream id; messages may be sent on it at once.

        With a `stream_id` the channel is negotiated: the peer's program opens the same id by
        itself, nothing is sent.  `lifetime` is in seconds.  Raises `LocalProtocolError` where an
        argument is out of its range, the id in use, no id free, or the association ending, and
        `MessageTooLargeError` where the peer does not take a DATA_CHANNEL_OPEN of that length.
        """
        if self._ended:
            raise LocalProtocolError("open: the association is over")
        channel = Channel(
            -1,
            label=label,
            protocol=protocol,
            ordered=ordered,
            max_retransmits=max_retransmits,
            lifetime=lifetime,
            priority=priority,
            negotiated=stream_id is not None,
        )
        self._opener.open(channel, stream_id, now)
        return channel.stream_id

    def send(
        self,
        stream_id: int,
        data: bytes | bytearray | memoryview | str,
        *,
        ordered: bool | None = None,
        options: SendOptions | None = None,
        context: object = None,
        since: float | None = None,
        now: float,
    ) -> None:
        """Send a message on an open channel: `str` arrives as `str`, anything else as `bytes`.

        `ordered` and `options` are for this message instead of those of its channel (RFC 8831 §6.6);
        until the peer is known to have the channel, everything goes ordered.  `context` and `since`
        are as in `Association.send`.

        Raises `MessageTooLargeError` above the peer's limit and `LocalProtocolError` where there is
        no such channel or the association takes no more messages.
        """
        channel = self._channels.get(stream_id)
        if channel is None or not channel.open:
            raise LocalProtocolError(f"stream_id is {stream_id}: no channel is open there")
        if isinstance(data, str):
            try:
                payload = data.encode()
            except UnicodeEncodeError as exc:
                raise LocalProtocolError(f"data cannot be sent as UTF-8: {exc}") from None
            ppid = PPID_STRING
        else:
            payload = data if data.__class__ is bytes else bytes(data)
            ppid = PPID_BINARY
        size = len(payload)
        if size > self._send_limit:
            raise MessageTooLargeError(size, int(self._send_limit))
        if not size:  # RFC 8831 §6.6: an empty message is one byte that means nothing
            payload = b"\0"
            ppid = PPID_STRING_EMPTY if ppid == PPID_STRING else PPID_BINARY_EMPTY
        unordered = channel._send_unordered
        if ordered is not None and not channel._ack_awaited:
            unordered = not ordered
        self._association.send(
            stream_id,
            payload,
            ppid=ppid,
            unordered=unordered,
            options=channel._options if options is None else options,
            context=context,
            since=since,
            now=now,
        )
        channel.messages_sent += 1
        channel.bytes_sent += size

    def set_priority(self, stream_id: int, priority: int) -> None:
        """What is sent on an open channel has another priority from now on, also what waits.

        The peer is not told: its own direction keeps the one the channel was opened with.  Raises
        `LocalProtocolError` where no channel is open there or the priority is out of range.
        """
        channel = self._channels.get(stream_id)
        if channel is None or not channel.open:
            raise LocalProtocolError(f"stream_id is {stream_id}: no channel is open there")
        self._association.set_stream_priority(stream_id, priority)
        channel.priority = priority

    def close(self, stream_id: int, *, now: float) -> None:
        """Close a channel after all that was sent on it; `ChannelClosed` tells when it is done.

        Messages that still come on it are dropped.  Nothing happens where there is no open channel.
        """
        channel = self._channels.get(stream_id)
        if channel is not None and channel.open:
            channel.open = False
            self._closer.reset(channel, now)

    def discard(self, stream_id: int, *, now: float) -> None:
        """Close a channel at once: what the peer has not begun to get is not sent.

        A channel that is closing already is closed faster by it.
        """
        channel = self._channels.get(stream_id)
        if channel is None:
            return
        unknown = channel._ack_awaited and self._association.nothing_sent(stream_id)
        self._association.discard_unsent(stream_id, now=now)
        if unknown:
            # even the DATA_CHANNEL_OPEN: the peer does not know of the channel and never will
            channel._incoming_reset = True
            if not channel._reset_requested:
                self._closer.finish(channel, now)
                return
        channel.open = False
        self._closer.reset(channel, now)

    def halt(self, stream_id: int, *, now: float) -> None:
        """Drop what is unsent and keep from the peer that the channel ends: `discard` follows.

        For a program that is about to abort the association, perhaps: by a reset, a message stream
        that was cut off would look like a finished one.
        """
        channel = self._channels.get(stream_id)
        if channel is not None:
            if self._association.withdraw_reset(stream_id):
                channel._reset_requested = False
            self._association.discard_unsent(stream_id, now=now)

    def retain(self, channel: Channel) -> None:
        """The program keeps a channel of the peer for somebody who is to take it.

        Its label and protocol then count as the peer's also after it is gone, until `release`.
        """
        channel._retained = True

    def release(self, channel: Channel) -> None:
        """Somebody has taken the channel, or it was thrown away."""
        channel._retained = False
        self._table.release_names(channel)

    # -- out

    def next_event(self, *, now: float) -> Event | ChannelEvent | None:
        """The oldest event not taken yet, the association's included, or None."""
        events = self._events
        if events:
            return events.popleft()
        next_event = self._association.next_event
        while (event := next_event()) is not None:
            outcome = (
                self._receive(event, now)
                if event.__class__ is Message
                else self._notice(event, now)
            )
            if outcome is not None:
                return outcome
            if events:
                return events.popleft()
        return None

    # -- messages

    def _receive(self, message: Message, now: float) -> Message | ChannelMessage | None:
        """Turn a message into one of a channel; whatever else follows from it is in `_events`."""
        stream_id, ppid, payload = message[0], message[1], message[2]
        channel = self._channels.get(stream_id)
        if channel is None:
            return self._receive_without_channel(message, now)
        if ppid == PPID_DCEP or not channel.open:
            self._receive_dcep_or_late(channel, message, now)
            return None
        size = len(payload)
        if size > self._receive_limit:
            self._closer.fail(
                channel, ChannelFailure.MESSAGE_TOO_LARGE, f"{size} bytes", message, now
            )
            return None
        data: bytes | str
        if ppid == PPID_BINARY:
            data = payload
            channel.bytes_received += size
        elif ppid == PPID_STRING:
            try:
                data = payload.decode()
            except UnicodeDecodeError as exc:
                self._closer.fail(channel, ChannelFailure.BAD_MESSAGE, str(exc), message, now)
                return None
            channel.bytes_received += size
        elif ppid == PPID_STRING_EMPTY:
            data = ""
        elif ppid == PPID_BINARY_EMPTY:
            data = b""
        else:  # RFC 8831 §6.6
            self._closer.fail(channel, ChannelFailure.BAD_MESSAGE, f"PPID {ppid}", message, now)
            return None
        channel.messages_received += 1
        told = new_message(ChannelMessage, (stream_id, data, size))
        if channel._ack_awaited:
            self._opener.accepted(channel)
            self._events.append(told)
            return None
        return told

    def _receive_without_channel(self, message: Message, now: float) -> Message | None:
        ppid = message.ppid
        if ppid not in WEBRTC_PPIDS:
            return message
        if ppid == PPID_DCEP:
            self._opener.receive_opening(message, now)
            return None
        self.counters.messages_without_channel += 1
        mine = ppid in _USER_PPIDS and not self._table.ids.is_burnt(message.stream_id)
        if not (mine and self._table.early.keep(message)):
            self._table.release(message)
        return None

    def _receive_dcep_or_late(self, channel: Channel, message: Message, now: float) -> None:
        if not channel.open:
            self._closer.receive_late(channel, message)
            return
        try:
            dcep = decode_dcep(message.payload)
        except DecodeError as exc:
            self._closer.fail(channel, ChannelFailure.BAD_MESSAGE, str(exc), message, now)
            return
        if isinstance(dcep, DataChannelOpen):
            detail = "DATA_CHANNEL_OPEN on a stream in use"
            self._closer.fail(channel, ChannelFailure.BAD_MESSAGE, detail, message, now)
            return
        self._table.release(message)
        if channel._ack_awaited:
            self._opener.accepted(channel)
        else:
            self.counters.dcep_ignored += 1

    def _receive_again(self, items: Iterable[HeldItem], now: float) -> None:
        for item in items:
            event = (
                self._receive(item, now)
                if isinstance(item, Message)
                else self._closer.on_incoming_reset(item, now)
            )
            if event is not None:
                self._events.append(event)

    # -- events of the association

    def _notice(self, event: Event, now: float) -> Event | ChannelEvent | None:
        if event.__class__ not in _OF_INTEREST:
            return event
        if isinstance(event, IncomingStreamsReset):
            return self._closer.on_incoming_reset(event, now)
        if isinstance(event, OutgoingStreamsReset):
            return self._closer.on_outgoing_reset(event, now)
        if isinstance(event, AssociationUp):
            self._opener.on_up(event, now)
        elif isinstance(event, StreamsChanged):
            self._opener.inbound_streams = event.inbound_streams
        elif isinstance(event, AssociationRestarted):
            return self._end_all(ChannelError(ChannelFailure.ASSOCIATION_RESTARTED), event)
        elif isinstance(event, AssociationClosed):
            self._ended = True
            return self._end_all(error_of(event), event)
        return event

    def _end_all(self, error: ChannelError | None, event: Event) -> Event | ChannelEvent:
        """Channels end before the program hears why."""
        self._closer.end_all(error)
        self._events.append(event)
        return self._events.popleft()
