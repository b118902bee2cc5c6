"""The data channels of an association by stream id, and what is kept for ids that have none.

All that a peer can make grow is bounded here: the number of its channels, the memory of their labels and
protocols, which no receiver window covers, and what came before a channel or waits behind its end.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from .channel import Channel, ChannelAssociation, ChannelCounters
from .channel_events import ChannelEvent
from .channel_ids import ChannelIds
from .early_messages import EarlyMessages
from .events import Event, IncomingStreamsReset, Message

if TYPE_CHECKING:
    from .config import Config

__all__ = ["ChannelTable"]


class ChannelTable:
    """What the procedures of data channels have in common."""

    __slots__ = (
        "by_id",
        "counters",
        "early",
        "events",
        "held",
        "ids",
        "name_memory",
        "_association",
    )

    def __init__(self, association: ChannelAssociation, *, client: bool) -> None:
        self._association = association
        self.counters = ChannelCounters()
        self.events: deque[Event | ChannelEvent] = deque()
        """What is to be told before anything else."""
        self.ids = ChannelIds(client=client)
        self.by_id: dict[int, Channel] = {}
        self.early = EarlyMessages(association.config.a_rwnd)
        self.held: dict[int, list[Message | IncomingStreamsReset]] = {}
        """What came on streams whose channel is about to be gone, for the next one."""
        self.name_memory = 0
        """Bytes of labels and protocols that the peer has chosen and that are kept."""

    def forget(self) -> None:
        """Nothing is left of the association that was."""
        self.by_id.clear()
        self.early.clear()
        self.held.clear()
        self.ids.clear()

    @property
    def _config(self) -> Config:
        return self._association.config

    def add(self, channel: Channel, stream_id: int) -> None:
        self.ids.take(stream_id)
        channel.stream_id = stream_id
        self.by_id[stream_id] = channel
        self._association.set_stream_priority(stream_id, channel.priority)
        self.counters.channels_opened += 1

    # -- what the peer's channels take

    def has_room(self, name_memory: int) -> bool:
        """Whether the peer may have another channel, with names of this size."""
        config = self._config
        return (
            len(self.by_id) < config.max_channels
            and self.name_memory + name_memory <= config.max_channel_name_memory
        )

    def charge_names(self, channel: Channel) -> None:
        self.name_memory += channel._name_memory

    def release_names(self, channel: Channel) -> None:
        """The channel is gone, or was taken by the program: unless the other is still to come."""
        if channel._retained or self.by_id.get(channel.stream_id) is channel:
            return
        self.name_memory -= channel._name_memory
        channel._name_memory = 0

    # -- messages that nobody will read

    def release(self, message: Message) -> None:
        """Give the room of a message that nobody will read back to the peer."""
        self._association.message_consumed(len(message.payload))

    def drop_early(self, stream_id: int) -> None:
        for message in self.early.take(stream_id):
            self.release(message)
