"""Whose turn it is: the order in which streams get to send (RFC 8260 §3).

A scheduler knows the streams that have something to send.  The send queue asks it for the next stream
whenever it may choose and tells it what was sent: with interleaving that is each fragment, without it
each message as a whole, since one that was begun has to be finished.  No step costs more than the
logarithm of the number of active streams.

Capacity is counted in bytes of chunks, headers included: a stream of tiny messages pays for what they
take, not for what they carry.

The fair schedulers keep a virtual time.  What a stream sends next starts where its last one ended, or
at the present if that is later, and takes its size divided by the stream's weight; where it ends ranks
it, the earliest end being next: what is large is begun only when its stream would have got it through
by sharing each byte fairly, and whatever is smaller goes before it until then.  The present is the
latest start of what was sent.  Without interleaving the whole message counts, and once it is begun
nothing can be done: it has to be finished (RFC 9260 §6.9), which is why messages should be no longer
than 16 KB then (RFC 8831 §6.6).  With interleaving a portion of that size counts.  Its stream keeps the
turn until it is through, so that messages are finished one after the other rather than all at the
end, but only against others that would end later: a short message of a stream that has not used up
its share goes before the next fragment of all large ones.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict
from heapq import heapify, heappop, heappush, heapreplace
from typing import TYPE_CHECKING, Final, TypeAlias

from ..._wire.data_encoding import DATA_HEADER_SIZE

if TYPE_CHECKING:
    from .outbound_streams import OutboundStream

__all__ = [
    "SCHEDULERS",
    "FairCapacity",
    "FirstComeFirstServed",
    "Priority",
    "RoundRobin",
    "RoundRobinPerPacket",
    "StreamScheduler",
    "WeightedFairQueueing",
]

Entry: TypeAlias = "tuple[int, int, int, OutboundStream]"
"""A place in a heap: two keys, a number that no other entry has, and the stream."""
NO_TURN: Final = 0
"""The number of no entry."""

_UNIT = 1 << 16  # virtual time per byte of a stream of weight 1; the largest weight still moves it
_PORTION = 16 * 1024  # of a message that may be interrupted; RFC 8831 §6.6 about those that may not


class StreamScheduler(ABC):
    """Chooses among active streams.  Their `messages` are never empty."""

    __slots__ = ("interleaving",)

    def __init__(self, *, interleaving: bool = False) -> None:
        self.interleaving = interleaving
        """Fragments of messages of several streams may alternate."""

    @abstractmethod
    def activate(self, stream: OutboundStream) -> None:
        """The stream has something to send from now on."""

    @abstractmethod
    def deactivate(self, stream: OutboundStream) -> None:
        """The stream, active until now, must not send any more."""

    @property
    @abstractmethod
    def is_alone(self) -> bool:
        """There is one active stream: it goes on having the turn whatever it sends."""

    @abstractmethod
    def next(self) -> OutboundStream | None:
        """The stream whose turn it is, or None if none is."""

    def allowance(self, stream: OutboundStream) -> int:
        """Bytes that the stream which is next may send in several fragments, as things stand.

        A fragment may always be sent, however large it is.
        """
        return stream.unsent_bytes if self.is_alone else 1

    @abstractmethod
    def sent(self, stream: OutboundStream, size: int) -> None:
        """A unit of an active stream was sent, of so many bytes, and it has more to send."""

    @abstractmethod
    def sent_last(self, stream: OutboundStream, size: int) -> None:
        """A unit of an active stream was sent and it has no more: it is not active any longer."""

    def update(self, stream: OutboundStream) -> None:
        """The priority of an active stream, or its first message, is another one."""
        return

    def start_packet(self) -> None:
        """What is chosen from here on goes into another packet."""
        return


class RoundRobin(StreamScheduler):
    """One unit of each stream in turn (RFC 8260 §3.2, SCTP_SS_RR)."""

    __slots__ = ("_active",)

    def __init__(self, *, interleaving: bool = False) -> None:
        super().__init__(interleaving=interleaving)
        # first the stream whose turn it is; every step costs the same for any number of streams
        self._active: OrderedDict[OutboundStream, None] = OrderedDict()

    def activate(self, stream: OutboundStream) -> None:
        self._active[stream] = None

    def deactivate(self, stream: OutboundStream) -> None:
        del self._active[stream]

    @property
    def is_alone(self) -> bool:
        return len(self._active) == 1

    def next(self) -> OutboundStream | None:
        return next(iter(self._active), None)

    def sent(self, stream: OutboundStream, size: int) -> None:
        self._active.move_to_end(stream)

    def sent_last(self, stream: OutboundStream, size: int) -> None:
        del self._active[stream]


class RoundRobinPerPacket(RoundRobin):
    """A packet for each stream in turn (RFC 8260 §3.3, SCTP_SS_RR_PKT).

    The loss of a packet holds up one stream only.  What is retransmitted is bundled by TSN all the same.
    """

    __slots__ = ("_owner",)

    def __init__(self, *, interleaving: bool = False) -> None:
        super().__init__(interleaving=interleaving)
        self._owner: OutboundStream | None = None  # whose packet it is

    def start_packet(self) -> None:
        owner, self._owner = self._owner, None
        if owner is not None and owner in self._active:
            self._active.move_to_end(owner)

    def next(self) -> OutboundStream | None:
        owner = self._owner
        if owner is None:
            return next(iter(self._active), None)
        return owner if owner in self._active else None

    def sent(self, stream: OutboundStream, size: int) -> None:
        self._owner = stream

    def sent_last(self, stream: OutboundStream, size: int) -> None:
        self._owner = stream
        del self._active[stream]


class _Ranking(StreamScheduler):
    """Base of those that rank the streams: the lowest key is next, the one that waited longest first.

    A stream that is the only active one stays where it is, and one that becomes active while no other
    is, is not ranked yet.  What it sends is noted when there is another one: as long as nobody
    competes, nothing is to be compared.  If all was sent before that, it was of no account.
    """

    __slots__ = ("_active_count", "_alone", "_heap", "_number", "_unranked", "_unranked_is_new")

    def __init__(self, *, interleaving: bool = False) -> None:
        super().__init__(interleaving=interleaving)
        # An entry holds as long as its stream's `turn` is its number; others are thrown away when
        # they come up.
        self._heap: list[Entry] = []
        self._active_count = 0
        self._number = 0
        self._alone = 0  # bytes that the only active stream has sent and not been charged with
        self._unranked: OutboundStream | None = (
            None  # the only active stream, if it is not in the heap
        )
        self._unranked_is_new = (
            False  # its priority and its first message are still those it began with
        )

    @abstractmethod
    def _key(self, stream: OutboundStream) -> int:
        """What ranks an active stream."""

    def _charge(self, stream: OutboundStream, size: int) -> None:
        """The stream has sent so much."""
        return

    def _note_alone(self, stream: OutboundStream) -> None:
        """Charge the only active stream with what it has sent as such."""
        self._alone = 0

    def _begin(self, stream: OutboundStream) -> int:
        """The stream has become active: what ranks it among those with the same key."""
        return 0

    def activate(self, stream: OutboundStream) -> None:
        if not self._active_count:
            self._active_count = 1
            self._unranked, self._unranked_is_new = stream, True
            return
        key = 0
        if (unranked := self._unranked) is not None:
            key = self._begin(unranked)
        if self._alone and (only := self.next()) is not None:
            self._note_alone(only)
            self._enter(only, 0)
        elif unranked is not None:
            self._enter(unranked, key if self._unranked_is_new else 0)
        self._unranked = None
        self._active_count += 1
        self._enter(stream, self._begin(stream))

    def deactivate(self, stream: OutboundStream) -> None:
        if self._unranked is not None:
            self._forget_unranked()
            return
        if self._alone:
            self._note_alone(stream)
        self._active_count -= 1
        stream.turn = NO_TURN
        self._tidy()

    @property
    def is_alone(self) -> bool:
        return self._active_count == 1

    def next(self) -> OutboundStream | None:
        if self._unranked is not None:
            return self._unranked
        heap = self._heap
        while heap:
            entry = heap[0]
            stream = entry[3]
            if stream.turn == entry[2]:
                return stream
            heappop(heap)
        return None

    def sent(self, stream: OutboundStream, size: int) -> None:
        if self._active_count == 1:
            self._alone += size
            return
        self._charge(stream, size)
        self._number = number = self._number + 1
        entry = self._key(stream), 0, number, stream
        heap = self._heap
        is_first = heap[0][2] == stream.turn
        stream.turn = number
        if is_first:
            heapreplace(heap, entry)
        else:
            heappush(heap, entry)
            self._tidy()

    def sent_last(self, stream: OutboundStream, size: int) -> None:
        if self._unranked is not None:
            self._forget_unranked()
            return
        if self._alone:
            self._note_alone(stream)
        self._charge(stream, size)
        self._active_count -= 1
        if self._heap[0][2] == stream.turn:
            heappop(self._heap)
        stream.turn = NO_TURN
        self._tidy()

    def update(self, stream: OutboundStream) -> None:
        if self._unranked is not None:
            self._unranked_is_new = False
            return
        self._enter(stream, 0)
        self._tidy()

    def _forget_unranked(self) -> None:
        """No stream is active any more."""
        self._unranked = None
        self._active_count = self._alone = 0

    def _enter(self, stream: OutboundStream, second_key: int) -> None:
        self._number = number = self._number + 1
        stream.turn = number
        heappush(self._heap, (self._key(stream), second_key, number, stream))

    def _tidy(self) -> None:
        """Most of the heap is entries that hold: memory does not grow with what has happened."""
        if len(self._heap) > 2 * self._active_count + 16:
            self._heap = [entry for entry in self._heap if entry[3].turn == entry[2]]
            heapify(self._heap)


class FirstComeFirstServed(_Ranking):
    """All messages in the order in which the program sent them (RFC 8260 §3.1, SCTP_SS_FCFS)."""

    __slots__ = ()

    def _key(self, stream: OutboundStream) -> int:
        return stream.messages[0].number


class Priority(_Ranking):
    """The streams of the highest priority in turn; others only while these have nothing (SCTP_SS_PRIO).

    RFC 8260 §3.4.  A larger number is a higher priority, as for data channels (RFC 8831 §6.4) and other
    than in the socket API (RFC 8260 §4.3.2).
    """

    __slots__ = ()

    def _key(self, stream: OutboundStream) -> int:
        return -stream.priority


class FairCapacity(_Ranking):
    """The same capacity for each stream, in bytes (RFC 8260 §3.5, SCTP_SS_FC)."""

    __slots__ = ("_latest_end", "_now")

    def __init__(self, *, interleaving: bool = False) -> None:
        super().__init__(interleaving=interleaving)
        self._now = 0
        self._latest_end = 0

    def _weight(self, stream: OutboundStream) -> int:
        return 1

    def _key(self, stream: OutboundStream) -> int:
        message = stream.messages[0]
        size = len(message.payload)
        if self.interleaving:
            size = min(size - message.offset, _PORTION)
            stream.portion_end = message.offset + size
        stream.portion_start = stream.virtual_time
        size += DATA_HEADER_SIZE
        return stream.virtual_time + size * _UNIT // self._weight(stream)

    def allowance(self, stream: OutboundStream) -> int:
        if self._active_count == 1:
            return stream.unsent_bytes
        return stream.portion_end - stream.messages[0].offset

    def sent(self, stream: OutboundStream, size: int) -> None:
        if self._active_count > 1 and 0 < stream.messages[0].offset < stream.portion_end:
            self._charge(stream, size)  # it keeps its place
        else:
            super().sent(stream, size)

    def _begin(self, stream: OutboundStream) -> int:
        if self._active_count == 1:  # first after a time when all was sent: nobody owes anything
            self._now = self._latest_end
        if stream.virtual_time < self._now:
            stream.virtual_time = self._now
        return -self._weight(stream)  # before those that have had a turn; the heavier first

    def _note_alone(self, stream: OutboundStream) -> None:
        self._charge(stream, self._alone)
        self._now = max(self._now, stream.virtual_time)
        self._alone = 0

    def _charge(self, stream: OutboundStream, size: int) -> None:
        stream.virtual_time = end = stream.virtual_time + size * _UNIT // self._weight(stream)
        self._now = max(self._now, stream.portion_start)
        self._latest_end = max(self._latest_end, end)


class WeightedFairQueueing(FairCapacity):
    """Capacity by the streams' priorities as weights (RFC 8260 §3.6, SCTP_SS_WFQ)."""

    __slots__ = ()

    def _weight(self, stream: OutboundStream) -> int:
        return stream.priority or 1


SCHEDULERS: dict[str, type[StreamScheduler]] = {
    "fcfs": FirstComeFirstServed,
    "rr": RoundRobin,
    "rr_pkt": RoundRobinPerPacket,
    "prio": Priority,
    "fc": FairCapacity,
    "wfq": WeightedFairQueueing,
}
"""By the names that RFC 8260 §4.3.2 gives them, less their prefix."""
