"""The send queue's part in reconfiguration (RFC 6525): what must not be sent, and new numbers.

While the reset of a stream is on its way (§5.1.2), no message of it is begun: the stream is paused, or
all are suspended where all are reset.  Before our own SSN/TSN reset (§5.1.4) messages that are added are
held back, and those before them go out; before one of the peer's (§5.2.4) what was begun is finished
and nothing else is begun.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .outbound_streams import OutboundStreams
    from .send_queue import SendQueue

__all__ = ["ResettableStreams"]

_BY_TSN_RESET, _BY_STREAM_RESET = 1, 2  # who suspends everything


class ResettableStreams:
    """What reconfiguration may do with a send queue."""

    __slots__ = ("_queue",)

    def __init__(self, queue: SendQueue) -> None:
        self._queue = queue

    @property
    def _streams(self) -> OutboundStreams:
        return self._queue.streams  # `SendQueue.clear` makes new ones

    # -- resets of streams (§5.1.2) ------------------------------------------------------------------

    def is_idle(self, stream_id: int) -> bool:
        """All that was queued on the stream was sent at least once."""
        return not self._queue.unsent_of(stream_id)

    @property
    def is_all_idle(self) -> bool:
        """The same of all streams."""
        return not self._queue.unsent_bytes

    def pause(self, stream_id: int) -> None:
        """Begin no message of the stream: its reset is on its way."""
        streams = self._streams
        streams.paused.add(stream_id)
        stream = streams.by_id.get(stream_id)
        if stream is not None:
            stream.paused = True
            if stream.active and not stream.messages[0].offset:
                streams.deactivate(stream)

    def resume(self, stream_id: int) -> None:
        """Go on with the stream as it was."""
        streams = self._streams
        streams.paused.discard(stream_id)
        stream = streams.by_id.get(stream_id)
        if stream is not None:
            stream.paused = False
            if stream.messages and not stream.active:
                streams.activate(stream)
            streams.forget_if_unused(stream)

    def reset_stream(self, stream_id: int) -> None:
        """The stream begins anew with stream sequence number or message identifiers 0."""
        stream = self._streams.by_id.get(stream_id)
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

    # -- new numbers for everything (§5.1.4 and §5.2.4) ----------------------------------------------

    def hold(self) -> None:
        """Messages added from now on wait for `end_hold`; those before them go out."""
        self._streams.holding = True

    def end_hold(self) -> None:
        streams = self._streams
        streams.holding = False
        for stream_id, messages in streams.take_all_held().items():
            stream = streams.by_id[stream_id]
            stream.messages.extend(messages)
            if not stream.active:
                streams.activate(stream)

    def suspend(self) -> None:
        """Begin no message until `end_suspension`; what was begun is finished."""
        self._suspend(_BY_TSN_RESET)

    def end_suspension(self) -> None:
        self._end_suspension(_BY_TSN_RESET)

    def _suspend(self, by: int) -> None:
        streams = self._streams
        streams.suspended |= by
        for stream in streams.by_id.values():
            if stream.active and not stream.messages[0].offset:
                streams.deactivate(stream)

    def _end_suspension(self, by: int) -> None:
        streams = self._streams
        streams.suspended &= ~by
        for stream in streams.by_id.values():
            if stream.messages and not stream.active:
                streams.activate(stream)

    @property
    def is_between_messages(self) -> bool:
        """Nothing was begun that is not finished."""
        return self._queue.is_between_messages

    @property
    def is_drained(self) -> bool:
        """Everything was sent but what `hold` keeps back."""
        queue = self._queue
        return queue.is_between_messages and queue.message_count == queue.streams.held_count

    def reset_numbers(self) -> None:
        """The next message of every stream has number 0; nothing is unacknowledged."""
        streams = self._streams
        for stream in list(streams.by_id.values()):
            stream.reset()
            streams.forget_if_unused(stream)
