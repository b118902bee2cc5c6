"""What the program wants sent and what has not been sent yet: messages, by stream.

The queue belongs to the association and not to its transmission control block: a program may send
before the peer has answered.  It hands out fragments in the order its scheduler says.  Without
interleaving the fragments of a message have consecutive TSNs (RFC 9260 §6.9), so a message that was
begun is finished before another one is; with it (RFC 8260 §2) that holds for each stream by itself.  A
stream sequence number or message identifier is assigned when a message is begun, never earlier, so that
whatever was not begun can still be dropped.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from ..._wire.data_chunks import (
    BEGINNING,
    DATA_HEADER_SIZE,
    ENDING,
    I_DATA_HEADER_SIZE,
    UNORDERED,
)
from ..._wire.serial import MASK16, MASK32
from ..events import Outcome
from .policies import Policies, Policy
from .scheduler import NO_TURN, SCHEDULERS

__all__ = ["DEFAULT_PRIORITY", "OutboundStream", "OutgoingMessage", "SendQueue"]

MAX_ORDERED_IN_WINDOW = 2**16 - 1  # RFC 9260 §6.1: messages of a stream that may be unacknowledged
MAX_MIDS_IN_FLIGHT = 2**31 - 1  # RFC 8260 §2.1: the same of messages with MIDs
_BY_TSN_RESET, _BY_STREAM_RESET = 1, 2  # who suspends everything
DEFAULT_PRIORITY = 256
"""Of a stream that was given no other: "normal" in RFC 8831 §6.4."""


class OutgoingMessage:
    """A message of the program on its way to the peer."""

    __slots__ = (
        "fsn",
        "mid",
        "number",
        "offset",
        "payload",
        "policy",
        "ppid",
        "ssn",
        "stream",
        "stream_id",
        "unacked",
        "unordered",
    )

    def __init__(self, stream_id: int, ppid: int, payload: bytes, unordered: bool = False) -> None:
        self.stream_id = stream_id
        self.ppid = ppid
        self.payload = payload
        self.unordered = unordered
        self.offset = 0
        """Bytes of it that were sent at least once."""
        self.unacked = len(payload)
        """Bytes of it that the peer has not acknowledged cumulatively."""
        self.policy: Policy | None = None
        """When to give it up, or that somebody wants to know what becomes of it."""
        self.ssn = 0
        self.mid: int
        """Instead of the SSN, with interleaving, once it was begun."""
        self.fsn: int
        """That of the fragment sent last, unwrapped."""
        self.number: int
        """Its place among all messages in the order in which they were added."""
        self.stream: OutboundStream

    @property
    def abandoned(self) -> bool:
        """It was given up: of what was not sent nothing will be."""
        return self.policy is not None and self.policy.abandoned


class OutboundStream:
    """What there is to know of a stream that we send on."""

    __slots__ = (
        "abandoned_waiting",
        "active",
        "low_water",
        "messages",
        "next_mid",
        "next_ssn",
        "next_unordered_mid",
        "ordered_in_window",
        "paused",
        "priority",
        "stream_id",
        "turn",
        "undelivered_bytes",
        "unsent_bytes",
        "virtual_time",
        "watched",
    )

    def __init__(self, stream_id: int) -> None:
        self.stream_id = stream_id
        self.messages: deque[OutgoingMessage] = deque()
        self.next_ssn = 0
        self.next_mid = 0
        self.next_unordered_mid = 0
        self.unsent_bytes = 0
        self.undelivered_bytes = 0
        """Of messages that the peer does not have wholly, sent or not."""
        self.watched = False
        """To be told when there are none of these any more."""
        self.abandoned_waiting = 0
        """Of `messages`, the first of which is never one, those that were given up meanwhile."""
        self.low_water = -1
        self.paused = False
        self.active = False
        """The scheduler has it: its first message was begun or may be."""
        self.ordered_in_window = 0
        self.priority = DEFAULT_PRIORITY
        # the scheduler's own
        self.turn = NO_TURN
        self.virtual_time = 0

    def reset(self) -> None:
        """The next message has the first number (RFC 6525 §5.1.2, RFC 8260 §2.3.2)."""
        self.next_ssn = self.next_mid = self.next_unordered_mid = 0


class SendQueue:
    """Messages that wait, and the fragment that goes next."""

    __slots__ = (
        "_added",
        "_begun_count",
        "_current",
        "_held",
        "_held_count",
        "_holding",
        "_most_in_window",
        "_paused",
        "_scheduler",
        "_scheduler_name",
        "_streams",
        "_suspended",
        "delivered",
        "drained",
        "header_size",
        "interleaving",
        "message_count",
        "policies",
        "start_packet",
        "unacknowledged_messages",
        "unsent_bytes",
    )

    def __init__(self, scheduler: str = "wfq", *, interleaving: bool = False) -> None:
        self._streams: dict[int, OutboundStream] = {}
        self._current: OutgoingMessage | None = None  # begun; never with interleaving
        self._begun_count = 0  # messages that were, with interleaving
        self._added = 0
        self._schedule(scheduler, interleaving)
        self._held: dict[int, dict[OutgoingMessage, None]] = {}  # by stream, see `hold`
        self._held_count = 0
        self._holding = False
        self._suspended = 0  # flags: nothing is begun as long as there is one
        self._paused: set[int] = set()  # stream ids, those included of which nothing else is kept
        self.message_count = 0
        """Messages of which nothing was sent yet."""
        self.unacknowledged_messages = 0
        """Messages that were begun and are neither wholly acknowledged nor abandoned."""
        self.unsent_bytes = 0
        self.drained: list[int] = []
        """Streams whose unsent bytes fell to their low-water mark; whoever reads it clears it."""
        self.delivered: list[int] = []
        """Watched streams of which nothing is undelivered any more; whoever reads it clears it."""
        self.policies = Policies()

    def add(self, message: OutgoingMessage) -> None:
        """Queue a message behind those of its stream."""
        stream = self._stream(message.stream_id)
        message.stream = stream
        message.number = self._added = self._added + 1
        size = len(message.payload)
        stream.unsent_bytes += size
        stream.undelivered_bytes += size
        self.unsent_bytes += size
        self.message_count += 1
        if self._holding:
            self._held.setdefault(message.stream_id, {})[message] = None
            self._held_count += 1
            return
        stream.messages.append(message)
        if not stream.active:
            self._activate(stream)

    def next_message(self) -> OutgoingMessage | None:
        """The message that has the turn: the one that was begun, or the scheduler's choice.

        Call `start_packet` when what is asked for begins another packet.
        """
        return self._current or self._choose()

    @staticmethod
    def is_single(message: OutgoingMessage) -> bool:
        """Nothing was sent of the message, and nothing else waits on its stream."""
        return message.stream.unsent_bytes == len(message.payload)

    def take(self, message: OutgoingMessage, size: int) -> tuple[int, bytes]:
        """The next ``size`` bytes of what `next_message` gave, behind the chunk flags B, E and U.

        ``size`` is from 1 to what is left of the message.
        """
        payload, offset, stream = message.payload, message.offset, message.stream
        flags = UNORDERED if message.unordered else 0
        if not offset:
            flags |= BEGINNING
            self._begin(message)
        message.offset = end = offset + size
        if end == len(payload):
            flags |= ENDING
            self._finish(stream, size, offset > 0)
        elif self.interleaving:
            if not offset:
                self._begun_count += 1
            self._scheduler.sent(stream, I_DATA_HEADER_SIZE + size)
        self._reduce_unsent(stream, size)
        return flags, payload[offset:end]

    def take_middles(self, size: int, limit: int) -> list[tuple[OutgoingMessage, bytes]]:
        """Up to ``limit`` fragments of ``size`` bytes, each for a packet of its own.

        They are those that have the turn one after the other, as long as none of them is the first
        or the last of its message.
        """
        taken: list[tuple[OutgoingMessage, bytes]] = []
        interleaving, scheduler = self.interleaving, self._scheduler
        while limit > 0 and self.unsent_bytes:
            self.start_packet()
            message = self._current or self._choose()
            if message is None or not message.offset:
                break
            payload, begin = message.payload, message.offset
            count = min((len(payload) - begin - 1) // size, limit)
            if count <= 0:
                break
            if interleaving and count > 1 and not scheduler.is_alone:
                count = 1
            message.offset = end = begin + count * size
            if interleaving:
                scheduler.sent(message.stream, count * (I_DATA_HEADER_SIZE + size))
            self._reduce_unsent(message.stream, end - begin)
            offsets = range(begin, end, size)
            taken += [(message, payload[offset : offset + size]) for offset in offsets]
            limit -= count
        return taken

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
                    self._activate(stream)
            if not left:
                if stream.watched:
                    self._tell_delivered(stream)
                if not (stream.next_ssn or stream.next_mid):
                    self._forget_if_unused(stream)

    # -- what a stream has waiting -----------------------------------------------------------------

    def unsent_of(self, stream_id: int) -> int:
        """Bytes of the stream that were not sent yet."""
        stream = self._streams.get(stream_id)
        return stream.unsent_bytes if stream else 0

    def set_low_water(self, stream_id: int, threshold: int) -> None:
        """Note in `drained` when the stream's unsent bytes fall from above to ``threshold``.

        A negative one takes the mark away.
        """
        stream = self._stream(stream_id)
        stream.low_water = threshold
        self._forget_if_unused(stream)

    def discard(self, stream_id: int) -> list[OutgoingMessage]:
        """Drop the stream's messages of which nothing was sent, and return them."""
        stream = self._streams.get(stream_id)
        if stream is None:
            return []
        held = self._held.pop(stream_id, {})
        self._held_count -= len(held)
        dropped = [*stream.messages, *held]
        if stream.abandoned_waiting:
            dropped = [message for message in dropped if not message.abandoned]
            stream.abandoned_waiting = 0
        stream.messages.clear()
        if dropped and dropped[0].offset:  # it was begun: it must be finished
            stream.messages.append(dropped.pop(0))
        size = sum([len(message.payload) for message in dropped])
        self._reduce_unsent(stream, size)
        self._reduce_undelivered(stream, size)
        self.message_count -= len(dropped)
        if stream.active and not stream.messages:
            self._deactivate(stream)
        return dropped

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
        held = self._held.get(stream.stream_id)
        if held is not None and message in held:
            del held[message]
            self._held_count -= 1
            if not held:
                del self._held[stream.stream_id]  # the stream may be forgotten now
        elif stream.messages[0] is not message:  # not worth looking for
            stream.abandoned_waiting += 1
            if 2 * stream.abandoned_waiting > len(stream.messages):
                stream.messages = deque([m for m in stream.messages if not m.abandoned])
                stream.abandoned_waiting = 0
        else:
            stream.messages.popleft()
            self._skip_abandoned(stream)
            if stream.active:
                if stream.messages:
                    self._scheduler.update(stream)
                else:
                    self._deactivate(stream)

    def _cut(self, stream: OutboundStream, sent: int) -> None:
        """The stream's first message ends after the bytes that were sent of it."""
        stream.messages.popleft()
        if stream.abandoned_waiting:
            self._skip_abandoned(stream)
        size = 0
        if self.interleaving:
            self._begun_count -= 1
        else:
            self._current = None
            size = DATA_HEADER_SIZE + sent
        if stream.messages and not (stream.paused or self._suspended):
            self._scheduler.sent(stream, size)
        else:
            stream.active = False
            self._scheduler.sent_last(stream, size)

    def _skip_abandoned(self, stream: OutboundStream) -> None:
        """The first message is one to be sent."""
        messages = stream.messages
        while messages and messages[0].abandoned:
            messages.popleft()
            stream.abandoned_waiting -= 1

    def is_untouched(self, stream_id: int) -> bool:
        """No message of the stream was begun since it was reset."""
        stream = self._streams.get(stream_id)
        return stream is None or not (
            stream.next_ssn
            or stream.next_mid
            or stream.next_unordered_mid
            or stream.ordered_in_window
            or stream.unsent_bytes != stream.undelivered_bytes
        )

    def undelivered_of(self, stream_id: int) -> int:
        """Bytes of the stream's messages that the peer does not have wholly, sent or not."""
        stream = self._streams.get(stream_id)
        return stream.undelivered_bytes if stream else 0

    @property
    def undelivered_bytes(self) -> int:
        """The same of all streams."""
        return sum([stream.undelivered_bytes for stream in self._streams.values()])

    def watch_delivery(self, stream_id: int) -> None:
        """Note in `delivered` once when nothing of the stream is undelivered any more."""
        stream = self._streams.get(stream_id)
        if stream is None or not stream.undelivered_bytes:
            self.delivered.append(stream_id)
        else:
            stream.watched = True

    def clear(self) -> None:
        """Forget every message and number; low-water marks and priorities stay."""
        streams = self._streams
        self._streams = {}
        self._current = None
        self._begun_count = 0
        self._schedule(self._scheduler_name, self.interleaving)
        self._held = {}
        self._held_count = 0
        self._holding = False
        self._suspended = 0
        self._paused = set()
        self.message_count = self.unacknowledged_messages = 0
        self.unsent_bytes = 0
        self.drained.clear()
        self.delivered.clear()
        self.policies.lose_all()
        for stream_id, stream in streams.items():
            self.set_low_water(stream_id, stream.low_water)
            self.set_priority(stream_id, stream.priority)

    @property
    def undelivered_messages(self) -> int:
        """Messages that the peer does not have wholly, begun or not; none that were given up."""
        return self.message_count + self.unacknowledged_messages

    def waiting_beyond(self, streams: int) -> bool:
        """Whether messages wait on stream ids of ``streams`` or more."""
        return any(s.unsent_bytes and s.stream_id >= streams for s in self._streams.values())

    # -- stream resets (RFC 6525 §5.1.2) -----------------------------------------------------------

    def is_idle(self, stream_id: int) -> bool:
        """All that was queued on the stream was sent at least once."""
        stream = self._streams.get(stream_id)
        return stream is None or not stream.unsent_bytes

    @property
    def is_all_idle(self) -> bool:
        """The same of all streams."""
        return not self.unsent_bytes

    def pause(self, stream_id: int) -> None:
        """Begin no message of the stream: its reset is on its way."""
        self._paused.add(stream_id)
        stream = self._streams.get(stream_id)
        if stream is not None:
            stream.paused = True
            if stream.active and not stream.messages[0].offset:
                self._deactivate(stream)

    def resume(self, stream_id: int) -> None:
        """Go on with the stream as it was."""
        self._paused.discard(stream_id)
        stream = self._streams.get(stream_id)
        if stream is not None:
            stream.paused = False
            if stream.messages and not stream.active:
                self._activate(stream)
            self._forget_if_unused(stream)

    def reset_stream(self, stream_id: int) -> None:
        """The stream begins anew with stream sequence number or message identifiers 0."""
        stream = self._streams.get(stream_id)
        if stream is not None:
            stream.reset()
        self.resume(stream_id)

    def pause_all(self) -> None:
        """Begin no message at all: a reset of all streams is on its way."""
        self._suspend(_BY_STREAM_RESET)

    def resume_all(self) -> None:
        """Go on with all streams as they were."""
        self._end_suspension(_BY_STREAM_RESET)

    def reset_all(self) -> None:
        """As `reset_stream`, of all streams."""
        self.reset_numbers()
        self.resume_all()

    # -- new numbers for everything (RFC 6525 §5.1.4 and §5.2.4) ------------------------------------

    def hold(self) -> None:
        """Messages added from now on wait for `end_hold`; those before them go out."""
        self._holding = True

    def end_hold(self) -> None:
        self._holding = False
        held, self._held = self._held, {}
        self._held_count = 0
        for stream_id, messages in held.items():
            stream = self._streams[stream_id]
            stream.messages.extend(messages)
            if not stream.active:
                self._activate(stream)

    def suspend(self) -> None:
        """Begin no message until `end_suspension`; what was begun is finished."""
        self._suspend(_BY_TSN_RESET)

    def end_suspension(self) -> None:
        self._end_suspension(_BY_TSN_RESET)

    def _suspend(self, by: int) -> None:
        self._suspended |= by
        for stream in self._streams.values():
            if stream.active and not stream.messages[0].offset:
                self._deactivate(stream)

    def _end_suspension(self, by: int) -> None:
        self._suspended &= ~by
        for stream in self._streams.values():
            if stream.messages and not stream.active:
                self._activate(stream)

    @property
    def is_between_messages(self) -> bool:
        """Nothing was begun that is not finished."""
        return self._current is None and not self._begun_count

    @property
    def is_drained(self) -> bool:
        """Everything was sent but what `hold` keeps back."""
        return self.is_between_messages and self.message_count == self._held_count

    def reset_numbers(self) -> None:
        """The next message of every stream has number 0; nothing is unacknowledged."""
        for stream in list(self._streams.values()):
            stream.reset()
            self._forget_if_unused(stream)

    # -- how it is sent (RFC 8260) -----------------------------------------------------------------

    def set_priority(self, stream_id: int, priority: int) -> None:
        """The stream's priority, or its weight, is this from now on."""
        if priority == DEFAULT_PRIORITY and stream_id not in self._streams:
            return
        stream = self._stream(stream_id)
        stream.priority = priority
        if stream.active:
            self._scheduler.update(stream)
        self._forget_if_unused(stream)

    def priority_of(self, stream_id: int) -> int:
        stream = self._streams.get(stream_id)
        return stream.priority if stream else DEFAULT_PRIORITY

    def use_scheduler(self, name: str) -> None:
        """Choose as the scheduler of this name does from now on."""
        if name != self._scheduler_name:
            self._schedule(name, self.interleaving)

    def use_interleaving(self, interleaving: bool) -> None:
        """What was negotiated.  Nothing may be begun and not finished, but see `take_back`."""
        if interleaving != self.interleaving:
            self._schedule(self._scheduler_name, interleaving)

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
                self._activate(stream)
        self._current = None
        self._begun_count = 0
        self._schedule(self._scheduler_name, self.interleaving)

    def _schedule(self, name: str, interleaving: bool) -> None:
        """Go on with another scheduler; streams keep their order."""
        self.interleaving = interleaving
        self.header_size = I_DATA_HEADER_SIZE if interleaving else DATA_HEADER_SIZE
        self._most_in_window = MAX_MIDS_IN_FLIGHT if interleaving else MAX_ORDERED_IN_WINDOW
        self._scheduler_name = name
        self._scheduler = scheduler = SCHEDULERS[name](interleaving=interleaving)
        self.start_packet = scheduler.start_packet
        active = [stream for stream in self._streams.values() if stream.active]
        for stream in sorted(active, key=lambda stream: stream.messages[0].number):
            stream.virtual_time = 0
            scheduler.activate(stream)

    # -- choosing ----------------------------------------------------------------------------------

    def _stream(self, stream_id: int) -> OutboundStream:
        stream = self._streams.get(stream_id)
        if stream is None:
            self._streams[stream_id] = stream = OutboundStream(stream_id)
            stream.paused = stream_id in self._paused
        return stream

    def _forget_if_unused(self, stream: OutboundStream) -> None:
        """Keep no state of a stream that is as good as new."""
        if not (
            stream.undelivered_bytes
            or stream.next_ssn
            or stream.next_mid
            or stream.next_unordered_mid
            or stream.ordered_in_window
            or stream.low_water >= 0
            or stream.priority != DEFAULT_PRIORITY
        ):
            self._streams.pop(stream.stream_id, None)

    def _reduce_unsent(self, stream: OutboundStream, size: int) -> None:
        self.unsent_bytes -= size
        before = stream.unsent_bytes
        stream.unsent_bytes = after = before - size
        if after <= stream.low_water < before:
            self.drained.append(stream.stream_id)

    def _reduce_undelivered(self, stream: OutboundStream, size: int) -> None:
        stream.undelivered_bytes -= size
        if stream.watched and not stream.undelivered_bytes:
            self._tell_delivered(stream)

    def _tell_delivered(self, stream: OutboundStream) -> None:
        stream.watched = False
        self.delivered.append(stream.stream_id)

    def _choose(self) -> OutgoingMessage | None:
        """The message of which the next fragment is."""
        while (stream := self._scheduler.next()) is not None:
            message = stream.messages[0]
            if (
                stream.ordered_in_window < self._most_in_window
                or message.unordered
                or message.offset
            ):
                return message
            self._deactivate(stream)  # `acknowledged` will activate it again
        return None

    def _begin(self, message: OutgoingMessage) -> None:
        stream = message.stream
        self.message_count -= 1
        self.unacknowledged_messages += 1
        if self.interleaving:
            message.fsn = 0
            if message.unordered:  # RFC 8260 §2.1: two counters for each stream
                message.mid = mid = stream.next_unordered_mid
                stream.next_unordered_mid = (mid + 1) & MASK32
                return
            message.mid = mid = stream.next_mid
            stream.next_mid = (mid + 1) & MASK32
            stream.ordered_in_window += 1
            return
        self._current = message
        if not message.unordered:
            message.ssn = ssn = stream.next_ssn
            stream.next_ssn = (ssn + 1) & MASK16
            stream.ordered_in_window += 1

    def _finish(self, stream: OutboundStream, size: int, was_begun: bool) -> None:
        """The last ``size`` bytes of the stream's first message are sent."""
        message = stream.messages.popleft()
        if stream.abandoned_waiting:
            self._skip_abandoned(stream)
        if self.interleaving:
            size += I_DATA_HEADER_SIZE
            if was_begun:
                self._begun_count -= 1
        else:
            self._current = None
            size = DATA_HEADER_SIZE + len(message.payload)
        if stream.messages and not (stream.paused or self._suspended):
            self._scheduler.sent(stream, size)
        else:
            stream.active = False
            self._scheduler.sent_last(stream, size)

    def _activate(self, stream: OutboundStream) -> None:
        if stream.messages[0].offset or not (stream.paused or self._suspended):
            stream.active = True
            self._scheduler.activate(stream)

    def _deactivate(self, stream: OutboundStream) -> None:
        stream.active = False
        self._scheduler.deactivate(stream)
