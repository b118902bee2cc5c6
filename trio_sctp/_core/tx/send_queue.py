"""What the program wants sent and what has not been sent yet: messages, by stream.

The queue belongs to the association and not to its transmission control block: a program may send
before the peer has answered.  It hands out fragments in the order its scheduler says.  Without
interleaving the fragments of a message have consecutive TSNs (RFC 9260 §6.9), so a message that was
begun is finished before another one is.  A stream sequence number is assigned when a message is begun,
never earlier, so that whatever was not begun can still be dropped.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from ..._wire.data_chunks import BEGINNING, ENDING, UNORDERED
from ..._wire.serial import MASK16
from .scheduler import RoundRobin, StreamScheduler

__all__ = ["OutboundStream", "OutgoingMessage", "SendQueue"]

MAX_ORDERED_IN_WINDOW = 2**16 - 1  # RFC 9260 §6.1: messages of a stream that may be unacknowledged


class OutgoingMessage:
    """A message of the program on its way to the peer."""

    __slots__ = ("offset", "payload", "ppid", "ssn", "stream", "stream_id", "unacked", "unordered")

    def __init__(self, stream_id: int, ppid: int, payload: bytes, unordered: bool = False) -> None:
        self.stream_id = stream_id
        self.ppid = ppid
        self.payload = payload
        self.unordered = unordered
        self.offset = 0
        """Bytes of it that were sent at least once."""
        self.unacked = len(payload)
        """Bytes of it that the peer has not acknowledged cumulatively."""
        self.ssn = 0
        self.stream: OutboundStream


class OutboundStream:
    """What there is to know of a stream that we send on."""

    __slots__ = (
        "active",
        "low_water",
        "messages",
        "next_ssn",
        "ordered_in_window",
        "paused",
        "stream_id",
        "unsent_bytes",
    )

    def __init__(self, stream_id: int) -> None:
        self.stream_id = stream_id
        self.messages: deque[OutgoingMessage] = deque()
        self.next_ssn = 0
        self.unsent_bytes = 0
        self.low_water = -1
        self.paused = False
        self.active = False
        self.ordered_in_window = 0


class SendQueue:
    """Messages that wait, and the fragment that goes next."""

    __slots__ = ("_current", "_scheduler", "_streams", "drained", "message_count", "unsent_bytes")

    def __init__(self, scheduler: StreamScheduler | None = None) -> None:
        self._scheduler = scheduler or RoundRobin()
        self._streams: dict[int, OutboundStream] = {}
        self._current: OutgoingMessage | None = None
        self.message_count = 0
        """Messages of which nothing was sent yet."""
        self.unsent_bytes = 0
        self.drained: list[int] = []
        """Streams whose unsent bytes fell to their low-water mark; whoever reads it clears it."""

    def add(self, message: OutgoingMessage) -> None:
        """Queue a message behind those of its stream."""
        stream = self._stream(message.stream_id)
        message.stream = stream
        stream.messages.append(message)
        size = len(message.payload)
        stream.unsent_bytes += size
        self.unsent_bytes += size
        self.message_count += 1
        if not stream.active:
            self._activate(stream)

    def next_message(self) -> OutgoingMessage | None:
        """The message that has the turn: the one that was begun, or the one to begin next."""
        return self._current or self._choose()

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
            self._finish(stream)
        self.unsent_bytes -= size
        before = stream.unsent_bytes
        stream.unsent_bytes = after = before - size
        if after <= stream.low_water < before:
            self.drained.append(stream.stream_id)
        return flags, payload[offset:end]

    def acknowledged(self, messages: Iterable[OutgoingMessage]) -> None:
        """The peer has all of these: their stream sequence numbers may be used again (§6.1)."""
        for message in messages:
            if message.unordered:
                continue
            stream = message.stream
            stream.ordered_in_window -= 1
            if stream.messages:
                if not stream.active:
                    self._activate(stream)
            elif not stream.next_ssn:
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
        dropped = list(stream.messages)
        stream.messages.clear()
        if dropped and dropped[0] is self._current:  # it was begun: it must be finished
            stream.messages.append(dropped.pop(0))
        self._reduce_unsent(stream, sum([len(message.payload) for message in dropped]))
        self.message_count -= len(dropped)
        if stream.active and not stream.messages:
            self._deactivate(stream)
        return dropped

    def clear(self) -> None:
        """Forget every message and every stream sequence number; low-water marks stay."""
        low_water = {s.stream_id: s.low_water for s in self._streams.values() if s.low_water >= 0}
        while (stream := self._scheduler.next()) is not None:
            self._deactivate(stream)
        self._streams = {}
        self._current = None
        self.message_count = 0
        self.unsent_bytes = 0
        self.drained.clear()
        for stream_id, threshold in low_water.items():
            self.set_low_water(stream_id, threshold)

    def waiting_beyond(self, streams: int) -> bool:
        """Whether messages wait on stream ids of ``streams`` or more."""
        return any(s.messages and s.stream_id >= streams for s in self._streams.values())

    # -- stream resets (RFC 6525 §5.1.2) -----------------------------------------------------------

    def is_idle(self, stream_id: int) -> bool:
        """All that was queued on the stream was sent at least once."""
        stream = self._streams.get(stream_id)
        return stream is None or not stream.messages

    def pause(self, stream_id: int) -> None:
        """Begin no message of the stream: its reset is on its way."""
        stream = self._stream(stream_id)
        stream.paused = True
        if stream.active:
            self._deactivate(stream)

    def resume(self, stream_id: int) -> None:
        """Go on with the stream as it was."""
        stream = self._stream(stream_id)
        stream.paused = False
        if stream.messages and not stream.active:
            self._activate(stream)
        self._forget_if_unused(stream)

    def reset_stream(self, stream_id: int) -> None:
        """The stream begins anew with stream sequence number 0."""
        self._stream(stream_id).next_ssn = 0
        self.resume(stream_id)

    # -- choosing ----------------------------------------------------------------------------------

    def _stream(self, stream_id: int) -> OutboundStream:
        stream = self._streams.get(stream_id)
        if stream is None:
            self._streams[stream_id] = stream = OutboundStream(stream_id)
        return stream

    def _forget_if_unused(self, stream: OutboundStream) -> None:
        """Keep no state of a stream that is as good as new."""
        if not (
            stream.messages
            or stream.next_ssn
            or stream.ordered_in_window
            or stream.paused
            or stream.low_water >= 0
        ):
            self._streams.pop(stream.stream_id, None)

    def _reduce_unsent(self, stream: OutboundStream, size: int) -> None:
        self.unsent_bytes -= size
        before = stream.unsent_bytes
        stream.unsent_bytes = after = before - size
        if after <= stream.low_water < before:
            self.drained.append(stream.stream_id)

    def _choose(self) -> OutgoingMessage | None:
        """The message that is to be begun next."""
        while (stream := self._scheduler.next()) is not None:
            message = stream.messages[0]
            if message.unordered or stream.ordered_in_window < MAX_ORDERED_IN_WINDOW:
                return message
            self._deactivate(stream)  # `acknowledged` will activate it again
        return None

    def _begin(self, message: OutgoingMessage) -> None:
        if not message.unordered:
            stream = message.stream
            message.ssn = ssn = stream.next_ssn
            stream.next_ssn = (ssn + 1) & MASK16
            stream.ordered_in_window += 1
        self.message_count -= 1
        self._current = message

    def _finish(self, stream: OutboundStream) -> None:
        self._current = None
        stream.messages.popleft()
        if not stream.active:  # it was paused meanwhile
            return
        if stream.messages:
            self._scheduler.message_finished(stream)
        else:
            self._deactivate(stream)

    def _activate(self, stream: OutboundStream) -> None:
        if not stream.paused:
            stream.active = True
            self._scheduler.activate(stream)

    def _deactivate(self, stream: OutboundStream) -> None:
        stream.active = False
        self._scheduler.deactivate(stream)
