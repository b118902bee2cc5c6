"""What the program wants sent and what has not been sent yet.

The queue belongs to the association and not to its transmission control block: a program may send
before the peer has answered.  It hands out fragments in the order that the scheduler of its streams
says.  Without interleaving the fragments of a message have consecutive TSNs (RFC 9260 §6.9), so a
message that was begun is finished before another one is; with it (RFC 8260 §2) that holds for each
stream by itself.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..._wire.data_encoding import (
    BEGINNING,
    DATA_HEADER_SIZE,
    ENDING,
    I_DATA_HEADER_SIZE,
    UNORDERED,
)
from ..events import Outcome
from .outbound_streams import OutboundStream, OutboundStreams
from .outgoing_message import OutgoingMessage
from .policies import Policies

__all__ = ["SendQueue"]


class SendQueue:
    """Messages that wait, and the fragment that goes next."""

    __slots__ = (
        "_begun_count",
        "_current",
        "_number",
        "delivered",
        "drained",
        "header_size",
        "interleaving",
        "message_count",
        "policies",
        "start_packet",
        "streams",
        "unacknowledged_messages",
        "unsent_bytes",
    )

    def __init__(self, scheduler: str = "wfq", *, interleaving: bool = False) -> None:
        self.policies = Policies()
        self._number = 0  # of the message that was added last
        self.drained: list[int] = []
        """Streams whose unsent bytes fell to their low-water mark; whoever reads it clears it."""
        self.delivered: list[int] = []
        """Watched streams of which nothing is undelivered any more; whoever reads it clears it."""
        self._start_over(OutboundStreams(scheduler, interleaving=interleaving))

    def _start_over(self, streams: OutboundStreams) -> None:
        """Nothing waits and nothing is unacknowledged."""
        self.streams = streams
        self._current: OutgoingMessage | None = None  # begun; never with interleaving
        self._begun_count = 0  # messages that were begun and not finished, with interleaving
        self.message_count = 0
        """Messages of which nothing was sent yet."""
        self.unacknowledged_messages = 0
        """Messages that were begun and are neither wholly acknowledged nor abandoned."""
        self.unsent_bytes = 0
        self._schedule(streams.scheduler_name, streams.interleaving)

    def clear(self) -> None:
        """Forget every message and number; low-water marks and priorities stay."""
        old = self.streams
        self._start_over(OutboundStreams(old.scheduler_name, interleaving=old.interleaving))
        self.drained.clear()
        self.delivered.clear()
        self.policies.lose_all()
        for stream_id, stream in old.by_id.items():
            self.streams.set_low_water(stream_id, stream.low_water)
            self.streams.set_priority(stream_id, stream.priority)

    def add(self, message: OutgoingMessage) -> None:
        """Queue a message behind those of its stream."""
        streams = self.streams
        stream = streams[message.stream_id]
        message.stream = stream
        message.number = self._number = self._number + 1
        size = len(message.payload)
        stream.unsent_bytes += size
        stream.undelivered_bytes += size
        self.unsent_bytes += size
        self.message_count += 1
        if streams.holding:
            streams.hold(message)
            return
        stream.messages.append(message)
        if not stream.active:
            streams.activate(stream)

    # -- what is sent --------------------------------------------------------------------------------

    def next_message(self) -> OutgoingMessage | None:
        """The message that has the turn: the one that was begun, or the scheduler's choice.

        Call `start_packet` when what is asked for begins another packet.
        """
        return self._current or self.streams.next_message()

    @staticmethod
    def is_single(message: OutgoingMessage) -> bool:
        """Nothing was sent of the message, and nothing else waits on its stream."""
        return not message.offset and message.stream.unsent_bytes == len(message.payload)

    def take(self, message: OutgoingMessage, size: int) -> tuple[int, bytes]:
        """The next ``size`` bytes of what `next_message` gave, behind the chunk flags B, E and U.

        ``size`` is from 1 to what is left of the message.
        """
        payload, offset, stream = message.payload, message.offset, message.stream
        interleaving = self.interleaving
        flags = UNORDERED if message.unordered else 0
        message.offset = end = offset + size
        if not offset:
            flags |= BEGINNING
            self.message_count -= 1
            self.unacknowledged_messages += 1
            stream.begin(message, interleaving)
        if end == len(payload):
            flags |= ENDING
            if interleaving:
                if offset:
                    self._begun_count -= 1
                self.streams.end_first(stream, I_DATA_HEADER_SIZE + size)
            else:
                self._current = None
                self.streams.end_first(stream, DATA_HEADER_SIZE + end)
        elif interleaving:
            if not offset:
                self._begun_count += 1
            self.streams.scheduler.sent(stream, I_DATA_HEADER_SIZE + size)
        else:
            self._current = message
        self._reduce_unsent(stream, size)
        return flags, payload[offset:end]

    def take_middles(self, size: int, limit: int) -> list[tuple[OutgoingMessage, range]]:
        """Up to ``limit`` fragments of ``size`` bytes, each for a packet of its own.

        They are those that have the turn one after the other, as long as none of them is the first
        or the last of its message.  Told is where those of a message begin that follow each other.
        """
        interleaving, scheduler = self.interleaving, self.streams.scheduler
        taken: list[tuple[OutgoingMessage, range]] = []
        while limit > 0:
            self.start_packet()
            message = self._current
            allowance = limit * size
            if interleaving and (stream := scheduler.next()) is not None:
                message, allowance = stream.messages[0], scheduler.allowance(stream)
            if message is None or not message.offset:
                break
            payload, begin = message.payload, message.offset
            count = min((len(payload) - begin - 1) // size, -(-allowance // size), limit)
            if count <= 0:
                break
            message.offset = end = begin + count * size
            if interleaving:
                scheduler.sent(message.stream, count * (I_DATA_HEADER_SIZE + size))
            self._reduce_unsent(message.stream, end - begin)
            taken.append((message, range(begin, end, size)))
            limit -= count
        return taken

    def take_whole(
        self, room: int, limit: int, window: int, *, most: int, least_fragment: int
    ) -> list[list[OutgoingMessage]]:
        """The messages of up to ``limit`` packets that are full without cutting one.

        They are all of the only active stream, whose first message was not begun, and more follows
        them.  ``room`` is for the chunks of a packet, of which it may have ``most``, and ``window`` for
        those of all packets.  What would be shorter than ``least_fragment`` is not cut off a message.
        """
        packets: list[list[OutgoingMessage]] = []
        streams = self.streams
        self.start_packet()
        stream = streams.only_stream(limit * most)
        if stream is None:
            return packets
        header_size = self.header_size
        while len(packets) < limit:
            messages, left = stream.take_that_fit(room, most, header_size)
            window -= room - left
            if (
                window < 0
                or not (messages and stream.messages)
                or (left - header_size >= least_fragment and len(messages) < most)
            ):
                stream.messages.extendleft(reversed(messages))
                break
            packets.append(messages)
        self._begun_and_ended(stream, [message for messages in packets for message in messages])
        return packets

    def _begun_and_ended(self, stream: OutboundStream, messages: list[OutgoingMessage]) -> None:
        """These were taken from the stream, to be sent whole, and it has more."""
        size = 0
        for message in messages:
            stream.begin(message, self.interleaving)
            message.offset = length = len(message.payload)
            size += length
        if size:
            count = len(messages)
            self.message_count -= count
            self.unacknowledged_messages += count
            self.streams.scheduler.sent(stream, count * self.header_size + size)
            self._reduce_unsent(stream, size)

    def acknowledged(self, messages: Iterable[OutgoingMessage]) -> None:
        """The peer has all of these: their stream sequence numbers may be used again (§6.1)."""
        for message in messages:
            if message.policy is None:
                self.unacknowledged_messages -= 1
            else:
                self.unacknowledged_messages -= not message.policy.abandoned
                self.policies.delivered(message)
            stream = message.stream
            left = stream.undelivered_bytes - len(message.payload)
            stream.undelivered_bytes = left
            if not message.unordered:
                stream.ordered_in_window -= 1
                if stream.messages and not stream.active:
                    self.streams.activate(stream)
            if not left:
                if stream.watched:
                    self._tell_delivered(stream)
                if not (stream.next_ssn or stream.next_mid):
                    self.streams.forget_if_unused(stream)

    # -- what is not sent after all ------------------------------------------------------------------

    def discard(self, stream_id: int) -> list[OutgoingMessage]:
        """Drop the stream's messages of which nothing was sent, and return them."""
        stream = self.streams.by_id.get(stream_id)
        if stream is None:
            return []
        waiting = [message for message in stream.messages if not message.abandoned]
        dropped = [*waiting, *self.streams.take_held(stream_id)]
        stream.abandoned_waiting = 0
        stream.messages.clear()
        if dropped and dropped[0].offset:  # it was begun: it must be finished
            stream.messages.append(dropped.pop(0))
        for message in dropped:
            self.policies.discarded(message)
        size = sum([len(message.payload) for message in dropped])
        self._reduce_unsent(stream, size)
        self._reduce_undelivered(stream, size)
        self.message_count -= len(dropped)
        if stream.active and not stream.messages:
            self.streams.deactivate(stream)
        return dropped

    def expire(self, now: float) -> list[OutgoingMessage]:
        """Give up the messages whose lifetime ended before they were begun (RFC 3758 §4.1 TR3).

        Returns the others whose lifetime has ended.
        """
        begun: list[OutgoingMessage] = []
        for message in self.policies.expired(now):
            if message.offset:
                begun.append(message)
            else:
                self.abandon(message, Outcome.ABANDONED_LIFETIME)
        return begun

    def make_room(self, size: int, stream_id: int | None, threshold: int) -> int:
        """Give up messages with a discard priority above ``threshold`` (RFC 7496 §3.2).

        The highest first, until that frees ``size`` bytes; of one stream or of all.  Returns how many
        bytes it has freed.
        """
        freed = 0
        while freed < size:
            message = self.policies.least_important(stream_id, threshold)
            if message is None:
                break
            freed += len(message.payload)
            self.abandon(message, Outcome.ABANDONED_PRIORITY)
        return freed

    def abandon(self, message: OutgoingMessage, outcome: Outcome) -> int:
        """Send no more of a message with a policy, for this reason.

        Returns how many bytes are missing to its end, of one that was begun: its numbers remain in
        use until it comes back in `acknowledged`.  Any other leaves no trace.
        """
        self.policies.abandon(message, outcome)
        stream, size = message.stream, len(message.payload)
        offset, rest = message.offset, size - message.offset
        if rest:
            if not offset:
                self._drop(stream, message)
            else:
                self._cut(stream, offset)
            self._reduce_unsent(stream, rest)
        message.payload = b""
        self._reduce_undelivered(stream, size)
        if not offset:
            return 0
        self.unacknowledged_messages -= 1
        return rest

    def _drop(self, stream: OutboundStream, message: OutgoingMessage) -> None:
        """Take a message away that was not begun."""
        self.message_count -= 1
        if self.streams.remove_held(message):
            return
        was_first = stream.messages[0] is message
        stream.remove(message)
        if was_first and stream.active:
            if stream.messages:
                self.streams.scheduler.update(stream)
            else:
                self.streams.deactivate(stream)

    def _cut(self, stream: OutboundStream, sent: int) -> None:
        """The stream's first message ends after the bytes that were sent of it."""
        if self.interleaving:
            self._begun_count -= 1
            self.streams.end_first(stream, 0)  # what was sent is accounted for
        else:
            self._current = None
            self.streams.end_first(stream, DATA_HEADER_SIZE + sent)

    def take_back(self, messages: Iterable[OutgoingMessage]) -> None:
        """None of these, in the order in which they were begun, was sent after all."""
        for message in reversed(list(messages)):
            stream, size = message.stream, len(message.payload)
            stream.reset()
            if not message.unordered:
                stream.ordered_in_window -= 1
            if message.policy is not None:
                if message.policy.abandoned:
                    continue
                message.policy.forget_chunks()
            if message.offset == size:
                stream.messages.appendleft(message)
            self.unsent_bytes += message.offset
            stream.unsent_bytes += message.offset
            self.message_count += 1
            self.unacknowledged_messages -= 1
            message.offset = 0
            message.unacked = size
            if not stream.active:
                self.streams.activate(stream)
        self._current = None
        self._begun_count = 0
        self._schedule(self.streams.scheduler_name, self.interleaving)

    # -- how it is sent (RFC 8260) -------------------------------------------------------------------

    def use_scheduler(self, name: str) -> None:
        """Choose as the scheduler of this name does from now on."""
        if name != self.streams.scheduler_name:
            self._schedule(name, self.interleaving)

    def use_interleaving(self, interleaving: bool) -> None:
        """What was negotiated.  Nothing may be begun and not finished, but see `take_back`."""
        if interleaving != self.interleaving:
            self._schedule(self.streams.scheduler_name, interleaving)

    def _schedule(self, name: str, interleaving: bool) -> None:
        self.streams.use_scheduler(name, interleaving=interleaving)
        self.start_packet = self.streams.scheduler.start_packet
        self.interleaving = interleaving
        self.header_size = I_DATA_HEADER_SIZE if interleaving else DATA_HEADER_SIZE

    # -- look ----------------------------------------------------------------------------------------

    @property
    def is_between_messages(self) -> bool:
        """Nothing was begun that is not finished."""
        return self._current is None and not self._begun_count

    @property
    def undelivered_messages(self) -> int:
        """Messages that the peer does not have wholly, begun or not; none that were given up."""
        return self.message_count + self.unacknowledged_messages

    @property
    def undelivered_bytes(self) -> int:
        """Bytes of these messages, sent or not."""
        return sum([stream.undelivered_bytes for stream in self.streams.by_id.values()])

    def undelivered_of(self, stream_id: int) -> int:
        """The same of one stream."""
        stream = self.streams.by_id.get(stream_id)
        return stream.undelivered_bytes if stream else 0

    def unsent_of(self, stream_id: int) -> int:
        """Bytes of the stream that were not sent yet."""
        stream = self.streams.by_id.get(stream_id)
        return stream.unsent_bytes if stream else 0

    def is_untouched(self, stream_id: int) -> bool:
        """No message of the stream was begun since it was reset."""
        stream = self.streams.by_id.get(stream_id)
        return stream is None or stream.is_untouched

    def waiting_beyond(self, streams: int) -> bool:
        """Whether messages wait on stream ids of ``streams`` or more."""
        by_id = self.streams.by_id
        return any(s.unsent_bytes and s.stream_id >= streams for s in by_id.values())

    # -- what whoever sends wants to know ------------------------------------------------------------

    def watch_delivery(self, stream_id: int) -> None:
        """Note in `delivered` once when nothing of the stream is undelivered any more."""
        stream = self.streams.by_id.get(stream_id)
        if stream is None or not stream.undelivered_bytes:
            self.delivered.append(stream_id)
        else:
            stream.watched = True

    def _reduce_undelivered(self, stream: OutboundStream, size: int) -> None:
        stream.undelivered_bytes -= size
        if stream.watched and not stream.undelivered_bytes:
            self._tell_delivered(stream)

    def _tell_delivered(self, stream: OutboundStream) -> None:
        stream.watched = False
        self.delivered.append(stream.stream_id)

    def _reduce_unsent(self, stream: OutboundStream, size: int) -> None:
        self.unsent_bytes -= size
        before = stream.unsent_bytes
        stream.unsent_bytes = after = before - size
        if after <= stream.low_water < before:
            self.drained.append(stream.stream_id)
