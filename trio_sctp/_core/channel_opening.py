"""How data channels begin (RFC 8832 §6): by a DATA_CHANNEL_OPEN of either end, or by agreement.

Messages may be sent at once; everything goes ordered until the peer is known to have the channel, which
DATA_CHANNEL_ACK says, or any message on it.  What cannot be accepted is answered by a reset.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from .._wire.dcep import (
    PPID_DCEP,
    ChannelType,
    DataChannelAck,
    DataChannelOpen,
    decode_dcep,
)
from .._wire.tlv import DecodeError
from .arguments import check_integer
from .capabilities import offered
from .channel import (
    Channel,
    ChannelAssociation,
    channel_of,
    is_partially_reliable,
    opening_of,
)
from .channel_closing import ChannelCloser, HeldItem
from .channel_events import (
    ChannelAccepted,
    ChannelFailure,
    ChannelOpened,
    MessageTooLargeError,
)
from .channel_table import ChannelTable
from .errors import LocalProtocolError, PeerLimitError
from .events import AssociationUp, Message

__all__ = ["ChannelOpener"]

_CHANNEL_TYPES: Final = frozenset(ChannelType)


class ChannelOpener:
    """Adds channels to a table; ``receive_again`` gets what came before one was open."""

    __slots__ = (
        "_association",
        "_closer",
        "_receive_again",
        "_send_limit",
        "_table",
        "inbound_streams",
    )

    def __init__(
        self,
        association: ChannelAssociation,
        table: ChannelTable,
        closer: ChannelCloser,
        receive_again: Callable[[Iterable[HeldItem], float], None],
        send_limit: float,
    ) -> None:
        self._association = association
        self._table = table
        self._closer = closer
        self._receive_again = receive_again
        self._send_limit = send_limit
        self.inbound_streams = association.config.inbound_streams

    # -- opened here

    def open(self, channel: Channel, stream_id: int | None, now: float) -> None:
        """Open a channel: by a message, or with a stream id, by agreement."""
        opening = opening_of(channel)
        if is_partially_reliable(opening.channel_type) and not self._partial_reliability:
            name = "lifetime" if channel.max_retransmits is None else "max_retransmits"
            raise PeerLimitError(
                f"{name}: partial reliability is not supported by this association"
            )
        if stream_id is None:
            self._open_by_message(channel, opening, now)
        else:
            self._open_negotiated(channel, stream_id, now)

    @property
    def _partial_reliability(self) -> bool:
        """Whether messages of a channel may be given up: the only place that decides it."""
        association = self._association
        capabilities = association.capabilities if self._closer.up else offered(association.config)
        return capabilities.partial_reliability

    @property
    def _stream_limit(self) -> int:
        """A channel needs its id in both directions; 65535 is never one (RFC 8832 §3)."""
        return min(self._association.outbound_streams, self.inbound_streams, 65535)

    def _open_by_message(self, channel: Channel, opening: DataChannelOpen, now: float) -> None:
        message = opening.encode()
        if len(message) > self._send_limit:  # RFC 8841 §6.1: it is a user message, too
            raise MessageTooLargeError(
                len(message), int(self._send_limit), what="label: the DATA_CHANNEL_OPEN"
            )
        stream_id = self._table.ids.choose(self._stream_limit, self._table.by_id, now)
        self._association.send(stream_id, message, ppid=PPID_DCEP, now=now)
        # RFC 8832 §6: everything goes ordered until the peer is known to have the channel
        channel._ack_awaited = True
        channel._send_unordered = False
        self._table.drop_early(stream_id)
        self._table.add(channel, stream_id)

    def _open_negotiated(self, channel: Channel, stream_id: int, now: float) -> None:
        check_integer("stream_id", stream_id, 0, self._stream_limit - 1)
        if stream_id in self._table.by_id or self._table.ids.is_burnt(stream_id):
            raise LocalProtocolError(f"stream_id is {stream_id}: that id is in use")
        self._table.add(channel, stream_id)
        self._take_early(stream_id, now)

    # -- opened by the peer

    def receive_opening(self, message: Message, now: float) -> None:
        """A DCEP message on a stream without a channel (RFC 8832 §6)."""
        self._table.release(message)
        try:
            opening = decode_dcep(message.payload)
        except DecodeError:
            self._refuse(message.stream_id, now)
            return
        if isinstance(opening, DataChannelAck):
            self._table.counters.dcep_ignored += 1
        elif self._is_acceptable(message.stream_id, opening):
            self._accept(message.stream_id, opening, now)
        else:
            self._refuse(message.stream_id, now)

    def _is_acceptable(self, stream_id: int, opening: DataChannelOpen) -> bool:
        if self._table.ids.is_ours(stream_id) or opening.channel_type not in _CHANNEL_TYPES:
            return False
        if is_partially_reliable(opening.channel_type) and not self._partial_reliability:
            return False
        return not self._table.ids.is_burnt(stream_id)

    def _accept(self, stream_id: int, opening: DataChannelOpen, now: float) -> None:
        channel = channel_of(stream_id, opening)
        if not self._table.has_room(channel._name_memory):
            self._refuse(stream_id, now)
            return
        try:
            self._association.send(stream_id, DataChannelAck().encode(), ppid=PPID_DCEP, now=now)
        except LocalProtocolError:  # we are shutting down
            self._table.counters.opens_refused += 1
            return
        self._table.add(channel, stream_id)
        self._table.charge_names(channel)
        self._table.events.append(
            ChannelOpened(
                stream_id,
                channel.label,
                channel.protocol,
                channel.ordered,
                channel.max_retransmits,
                channel.lifetime,
                channel.priority,
            )
        )
        self._take_early(stream_id, now)

    def _refuse(self, stream_id: int, now: float) -> None:
        """Answer a DATA_CHANNEL_OPEN by a reset; the program hears nothing of it (RFC 8832 §6)."""
        self._table.counters.opens_refused += 1
        self._closer.close_unknown(stream_id, now)

    def accepted(self, channel: Channel) -> None:
        """RFC 8832 §6: the peer has the channel, unordered messages may go unordered."""
        channel._ack_awaited = False
        channel._send_unordered = not channel.ordered
        self._table.events.append(ChannelAccepted(channel.stream_id))

    def _take_early(self, stream_id: int, now: float) -> None:
        """Deliver what came before the channel was open."""
        self._receive_again(self._table.early.take(stream_id), now)

    # -- the peer is known

    def on_up(self, event: AssociationUp, now: float) -> None:
        """What both ends can do is known: not all that was opened before may be possible."""
        self._closer.up = True
        self.inbound_streams = event.inbound_streams
        limit = self._stream_limit
        for channel in list(self._table.by_id.values()):
            if not self._partial_reliability:
                channel._options = None  # then it is a reliable one
            if channel.stream_id >= limit:
                detail = f"it has streams below {limit}"
                self._closer.abandon(channel, ChannelFailure.NO_STREAM, detail, now)
            elif not channel.open:
                self._closer.reset(channel, now)
