"""The streams that we send on: their numbers, what waits on each, and whose turn it is.

A stream sequence number (RFC 9260 §6.5) or message identifier (RFC 8260 §2.1) is assigned when a message
is begun, never earlier, so that whatever was not begun can still be dropped.  A stream is *active* as
long as its first message was begun or may be: the scheduler chooses among those.  Messages may not be
begun on a stream that is paused, or while all are suspended; and those that are held are not even in
line.  `ResettableStreams` says when that is so.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from ..._wire.serial import MASK16, MASK32
from .outgoing_message import OutgoingMessage
from .scheduler import NO_TURN, SCHEDULERS

__all__ = ["DEFAULT_PRIORITY", "MAX_ORDERED_IN_WINDOW", "OutboundStream", "OutboundStreams"]

MAX_ORDERED_IN_WINDOW = 2**16 - 1  # RFC 9260 §6.1: messages of a stream that may be unacknowledged
MAX_MIDS_IN_FLIGHT = 2**31 - 1  # RFC 8260 §2.1: the same of messages with MIDs
DEFAULT_PRIORITY = 256
"""Of a stream that was given no other: "normal" in RFC 8831 §6.4."""


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
        "portion_end",
        "portion_start",
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
        """Those of which something is to be sent for the first time; only the first may be begun."""
        self.abandoned_waiting = 0
        """Of `messages`, the first of which is never one, those that were given up meanwhile."""
        self.next_ssn = 0
        self.next_mid = 0
        self.next_unordered_mid = 0
        self.ordered_in_window = 0
        """Ordered messages that were begun and are not acknowledged."""
        self.unsent_bytes = 0
        self.undelivered_bytes = 0
        """Of messages that the peer does not have wholly, sent or not."""
        self.watched = False
        """To be told when there are none of these any more."""
        self.low_water = -1
        self.paused = False
        self.active = False
        """The scheduler has it: its first message was begun or may be."""
        self.priority = DEFAULT_PRIORITY
        # the scheduler's own
        self.turn = NO_TURN
        self.virtual_time = 0
        self.portion_start = 0  # a virtual time
        self.portion_end = 0  # an offset in the first message

    def begin(self, message: OutgoingMessage, interleaving: bool) -> None:
        """A message of the stream is begun: it gets its SSN or MID."""
        if not interleaving:
            if not message.unordered:
                message.ssn = ssn = self.next_ssn
                self.next_ssn = (ssn + 1) & MASK16
                self.ordered_in_window += 1
            return
        message.fsn = 0
        if message.unordered:  # RFC 8260 §2.1: two counters for each stream
            message.mid = mid = self.next_unordered_mid
            self.next_unordered_mid = (mid + 1) & MASK32
        else:
            message.mid = mid = self.next_mid
            self.next_mid = (mid + 1) & MASK32
            self.ordered_in_window += 1

    def reset(self) -> None:
        """The next message has the first number (RFC 6525 §5.1.2, RFC 8260 §2.3.2)."""
        self.next_ssn = self.next_mid = self.next_unordered_mid = 0

    @property
    def is_untouched(self) -> bool:
        """No message was begun since the stream was reset."""
        return not (
            self.next_ssn
            or self.next_mid
            or self.next_unordered_mid
            or self.ordered_in_window
            or self.unsent_bytes != self.undelivered_bytes
        )

    def take_that_fit(
        self, room: int, most: int, header_size: int
    ) -> tuple[list[OutgoingMessage], int]:
        """Take the first messages whose chunks share ``room``, at most so many; and what is left."""
        messages = self.messages
        taken: list[OutgoingMessage] = []
        while messages and len(taken) < most:
            size = header_size + len(messages[0].payload) + 3 & ~3
            if size > room:
                break
            room -= size
            taken.append(messages.popleft())
        return taken, room

    def remove(self, message: OutgoingMessage) -> None:
        """Take a message out of the line that was given up before it was begun."""
        messages = self.messages
        if messages[0] is message:
            messages.popleft()
            self.skip_abandoned()
            return
        self.abandoned_waiting += 1  # not worth looking for
        if 2 * self.abandoned_waiting > len(messages):
            self.messages = deque([m for m in messages if not m.abandoned])
            self.abandoned_waiting = 0

    def skip_abandoned(self) -> None:
        """The first message is one to be sent."""
        messages = self.messages
        while messages and messages[0].abandoned:
            messages.popleft()
            self.abandoned_waiting -= 1


class OutboundStreams:
    """The streams of which anything is kept, and the scheduler that chooses among the active ones."""

    __slots__ = (
        "_held",
        "_most_in_window",
        "by_id",
        "held_count",
        "holding",
        "interleaving",
        "paused",
        "scheduler",
        "scheduler_name",
        "suspended",
    )

    def __init__(self, scheduler: str, *, interleaving: bool) -> None:
        self.by_id: dict[int, OutboundStream] = {}
        self.paused: set[int] = set()
        """Stream ids, those included of which nothing else is kept."""
        self.suspended = 0
        """Flags: nothing is begun as long as there is one."""
        self.holding = False
        """Messages that are added go to those that are held."""
        self._held: dict[int, dict[OutgoingMessage, None]] = {}  # by stream
        self.held_count = 0
        self.use_scheduler(scheduler, interleaving=interleaving)

    def __getitem__(self, stream_id: int) -> OutboundStream:
        stream = self.by_id.get(stream_id)
        if stream is None:
            self.by_id[stream_id] = stream = OutboundStream(stream_id)
            stream.paused = stream_id in self.paused
        return stream

    def forget_if_unused(self, stream: OutboundStream) -> None:
        """Keep no state of a stream that is as good as new."""
        if (
            not stream.undelivered_bytes
            and stream.is_untouched
            and stream.low_water < 0
            and stream.priority == DEFAULT_PRIORITY
            and self.by_id.get(stream.stream_id) is stream  # and not one that came after it
        ):
            del self.by_id[stream.stream_id]

    def set_low_water(self, stream_id: int, threshold: int) -> None:
        """Note it when the stream's unsent bytes fall from above to ``threshold``; negative: no more."""
        stream = self[stream_id]
        stream.low_water = threshold
        self.forget_if_unused(stream)

    # -- whose turn it is (RFC 8260 §3) --------------------------------------------------------------

    def use_scheduler(self, name: str, *, interleaving: bool) -> None:
        """Choose as the scheduler of this name does from now on; streams keep their order."""
        self.interleaving = interleaving
        self._most_in_window = MAX_MIDS_IN_FLIGHT if interleaving else MAX_ORDERED_IN_WINDOW
        self.scheduler_name = name
        self.scheduler = SCHEDULERS[name](interleaving=interleaving)
        active = [stream for stream in self.by_id.values() if stream.active]
        for stream in sorted(active, key=lambda stream: stream.messages[0].number):
            stream.virtual_time = 0
            self.scheduler.activate(stream)

    def set_priority(self, stream_id: int, priority: int) -> None:
        """The stream's priority, or its weight, is this from now on."""
        if priority == DEFAULT_PRIORITY and stream_id not in self.by_id:
            return
        stream = self[stream_id]
        stream.priority = priority
        if stream.active:
            self.scheduler.update(stream)
        self.forget_if_unused(stream)

    def priority_of(self, stream_id: int) -> int:
        stream = self.by_id.get(stream_id)
        return stream.priority if stream else DEFAULT_PRIORITY

    def next_message(self) -> OutgoingMessage | None:
        """The message of which the next fragment is, by the scheduler's choice."""
        while (stream := self.scheduler.next()) is not None:
            message = stream.messages[0]
            if (
                stream.ordered_in_window < self._most_in_window
                or message.unordered
                or message.offset
            ):
                return message
            self.deactivate(stream)  # an acknowledgement will activate it again
        return None

    def only_stream(self, count: int) -> OutboundStream | None:
        """The stream that has every turn, if all it has is in line and so many may be begun."""
        stream = self.scheduler.next() if self.scheduler.is_alone else None
        if (
            stream is None
            or stream.abandoned_waiting
            or self.held_count  # not all that is unsent is in line
            or stream.paused
            or self.suspended
            or stream.ordered_in_window + count > self._most_in_window
        ):
            return None
        return stream

    def activate(self, stream: OutboundStream) -> None:
        """The scheduler may choose a stream on which a message waits, unless it must not be begun."""
        if stream.messages[0].offset or not (stream.paused or self.suspended):
            stream.active = True
            self.scheduler.activate(stream)

    def deactivate(self, stream: OutboundStream) -> None:
        stream.active = False
        self.scheduler.deactivate(stream)

    def end_first(self, stream: OutboundStream, size: int) -> None:
        """No more is to be sent of the stream's first message; the last unit had ``size`` bytes."""
        stream.messages.popleft()
        if stream.abandoned_waiting:
            stream.skip_abandoned()
        if stream.messages and not (stream.paused or self.suspended):
            self.scheduler.sent(stream, size)
        else:
            stream.active = False
            self.scheduler.sent_last(stream, size)

    # -- messages that are held ----------------------------------------------------------------------

    def hold(self, message: OutgoingMessage) -> None:
        self._held.setdefault(message.stream_id, {})[message] = None
        self.held_count += 1

    def remove_held(self, message: OutgoingMessage) -> bool:
        """Hold a message no longer, which was given up.  Whether it was held."""
        held = self._held.get(message.stream_id)
        if held is None or message not in held:
            return False
        del held[message]
        self.held_count -= 1
        if not held:
            del self._held[message.stream_id]  # the stream may be forgotten now
        return True

    def take_held(self, stream_id: int) -> Iterable[OutgoingMessage]:
        """Those of one stream, which are held no longer."""
        held = self._held.pop(stream_id, {})
        self.held_count -= len(held)
        return held

    def take_all_held(self) -> dict[int, dict[OutgoingMessage, None]]:
        """Those of all streams, by stream."""
        held, self._held = self._held, {}
        self.held_count = 0
        return held
