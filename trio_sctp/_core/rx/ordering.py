"""What both kinds of reassembly share: whose turn it is on each stream, and what everything weighs.

A whole message is ready at once if it is unordered or the next one of its stream; otherwise it waits
for its turn.  State is kept only for streams that were used (the next sequence number) and for those
with messages waiting (a heap).  Sequence numbers are unwrapped ints: a number that looks old is taken
for one far ahead, since it may belong to the time after a stream reset that it has overtaken.

One packet may give thousands of messages their turn.  They go in steps, so that none takes long: as
many as `RELEASE_STEP` with a packet, the others with the packets and the time-outs that follow at once.
Until then they wait as before, and what comes on their streams waits behind them.

All that is held is charged, payload and overhead, from its arrival until the program has consumed
it: that is what the receiver window is made of.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Collection, Sequence
from heapq import heappop, heappush
from typing import Any, ClassVar, Final

from ..._wire.serial import MASK32
from ..events import Message, new_message

__all__ = [
    "FRAGMENT_OVERHEAD",
    "HELD_OVERHEAD",
    "RELEASE_STEP",
    "WAITING_OVERHEAD",
    "MessageOrdering",
]

# What objects take besides the bytes that they hold, as measured and a little more, so that the window
# bounds memory even where messages are of one byte.  tests/faults/test_hoarding.py compares.
HELD_OVERHEAD: Final = 256
"""Charged for a message besides its bytes, until it is consumed."""
WAITING_OVERHEAD: Final = 192
"""Charged besides for a message that waits for its turn."""
FRAGMENT_OVERHEAD: Final = 64
"""Charged for a fragment of a message that is being reassembled, besides its bytes."""

RELEASE_STEP: Final = 256
"""Messages that a packet lets go at most: twice as many as it can bring, so that what is left of them
shrinks however many come."""


class MessageOrdering(ABC):
    """Base of the reassembly queues: finished messages come in, ready ones go out in turn."""

    __slots__ = (
        "_deferred",
        "_due",
        "_expected",
        "_held_back",
        "_held_skips",
        "_hold_after",
        "_holding",
        "_returning",
        "_returning_skips",
        "_to_drop",
        "_waiting",
        "charge",
        "credit",
        "ready",
        "unfinished",
    )
    sequence_mask: ClassVar[int]
    """The largest sequence number, SSN or MID, that there is on the wire."""

    def __init__(self) -> None:
        self.ready: deque[Message] = deque()
        """Messages for the program, each charged until `ReceiveWindow.consumed`."""
        self.charge = 0
        """What everything weighs that is held, or was taken and not consumed."""
        self.unfinished = 0
        """The part of `charge` that the program cannot have yet."""
        self.credit = RELEASE_STEP
        """Messages that may still go in this step; less than the full number while any are due."""
        self._expected: dict[int, int] = {}  # stream id: next number, if not the first one
        self._waiting: dict[int, list[tuple[int, int, Message]]] = {}  # heaps: number, last TSN
        # stream id, where the heap's first can go: what went last, and below what nothing goes
        self._due: dict[int, tuple[int, int]] = {}
        # stream id and U flag, where partial messages were given up: the last MID, unwrapped
        self._to_drop: dict[tuple[int, bool], int] | None = None
        self._deferred: tuple[frozenset[int], int] | None = None
        self._hold_after: int | None = None
        self._holding = False  # one of these two says that messages are to be held back
        self._held_back: list[tuple[Message, int, int]] = []
        self._held_skips: dict[int, tuple[int, int]] | None = None  # stream id: the last one
        # what was held back, and is not any more; the first ones last
        self._returning: list[tuple[Message, int, int]] | None = None
        self._returning_skips: dict[int, tuple[int, int]] | None = None

    @abstractmethod
    def add(self, chunk: Any, tsn: int) -> str | None:
        """Take in a chunk whose TSN is new; return in words what makes it a protocol violation."""

    def has_place_for(self, chunk: Any, tsn: int) -> bool:
        """Whether a chunk that did not come in order may be added: there are not too many parts."""
        return True

    @abstractmethod
    def add_middle(self, packet: bytes, tsn: int) -> bool:
        """Take in a packet that has nothing but the next fragment of a message, with others to follow.

        Nothing from ``tsn`` on has arrived.  False, and nothing is changed, if the packet is anything
        else: that is for `add`.
        """

    @abstractmethod
    def most_to_follow(self, packet: bytes, tsn: int, size: int) -> int:
        """How many more fragments of ``size`` bytes may follow what `add_middle` took last.

        0 if they may not simply be appended by `add_following`.
        """

    @abstractmethod
    def add_following(self, packet: bytes, tsn: int, payloads: list[bytes]) -> None:
        """Take in successive fragments behind the one of ``packet``, no more than `most_to_follow`.

        Their headers are those of that packet, with the TSNs and FSNs that follow.
        """

    @abstractmethod
    def add_whole(self, packet: bytes, offset: int, inbound_streams: int) -> bool:
        """Take in the chunk at ``offset``, if it is the last of a packet and a message whose turn it is.

        Its TSN is the next in order, and nothing above it has arrived.  False, and nothing is changed,
        if it is anything else.
        """

    def add_messages(
        self, stream_id: int, number: int, ppid: int, tsn: int, payloads: list[bytes]
    ) -> None:
        """Take in successive whole messages behind one with these numbers that `add_whole` took last.

        They are ordered, of the same stream, and have the TSNs and the SSNs or MIDs that follow.
        """
        mask = self.sequence_mask
        self._expected[stream_id] += len(payloads)
        self.charge += len(payloads) * HELD_OVERHEAD + sum(map(len, payloads))
        ready = self.ready
        for payload in payloads:
            number = number + 1 & mask
            tsn = tsn + 1 & MASK32
            fields = stream_id, ppid, payload, False, number, tsn, tsn
            ready.append(new_message(Message, fields))

    @abstractmethod
    def head_charge(self, cumulative_tsn_ack: int) -> int:
        """What those incomplete messages weigh that more data is sure to continue."""

    @abstractmethod
    def forward_tsn(
        self, old_cumulative_tsn: int, new_cumulative_tsn: int, streams: Sequence[Any]
    ) -> None:
        """Give up what the peer has abandoned: partial messages, and turns that never come."""

    @property
    def unread(self) -> int:
        """What the messages weigh that are ready, or taken and not consumed."""
        return self.charge - self.unfinished

    # -- turns (RFC 9260 §6.6) ---------------------------------------------------------------------

    def _finish(self, message: Message, first_tsn: int, last_tsn: int) -> None:
        """A message is whole, and charged as an unread one: deliver it or let it wait."""
        stream_id = message.stream_id
        if self._is_held_back(stream_id, first_tsn):
            self._charge_waiting(message)
            self._held_back.append((message, first_tsn, last_tsn))
        elif message.unordered:
            self.ready.append(message)
        else:
            expected = self._next(stream_id)
            ahead = (message.sequence_number - expected) & self.sequence_mask
            if ahead or stream_id in self._due:
                self._charge_waiting(message)
                heap = self._waiting.setdefault(stream_id, [])
                heappush(heap, (expected + ahead, last_tsn, message))
            else:
                self.ready.append(message)
                self._release(stream_id, expected + 1, expected)

    def _next(self, stream_id: int) -> int:
        """The number whose turn it is."""
        return self._expected.get(stream_id, 0)

    def _release(self, stream_id: int, expected: int, delivered: int, stale: int = 0) -> None:
        """Deliver what waits below ``expected``, then what follows without a gap.

        ``delivered`` is the number that went last: a second message with it is thrown away, and so is
        what is below ``stale``.
        """
        self._expected[stream_id] = expected
        heap = self._waiting.get(stream_id)
        if heap is not None and heap[0][0] <= expected:
            self._due.setdefault(stream_id, (delivered, stale))
            self._release_due()

    def _release_due(self) -> None:
        """Deliver what is due, as far as the credit goes, one stream after the other."""
        while self.credit and self._due:
            stream_id = next(iter(self._due))
            if self._release_from(stream_id, self._waiting[stream_id]):
                del self._due[stream_id]

    def _release_from(self, stream_id: int, heap: list[tuple[int, int, Message]]) -> bool:
        """The same for one stream; True if nothing more is due on it."""
        expected, credit = self._expected[stream_id], self.credit
        delivered, stale = self._due[stream_id]
        while heap and heap[0][0] <= expected and credit:
            credit -= 1
            sequence, _, message = heappop(heap)
            if sequence == delivered or sequence < stale:
                self._throw_away(message)
                continue
            self._uncharge_waiting(message)
            self.ready.append(message)
            delivered = sequence
            expected = max(expected, sequence + 1)
        self.credit = credit
        self._expected[stream_id] = expected
        if heap and heap[0][0] <= expected:
            self._due[stream_id] = delivered, stale
            return False
        if not heap:
            del self._waiting[stream_id]
        return True

    @property
    def is_releasing(self) -> bool:
        """More can go than went in this step."""
        return bool(self._due or self._returning or self._returning_skips or self._to_drop)

    def go_on(self) -> None:
        """A packet is through, or time has come: use what is left of the step, and begin another."""
        if self._to_drop:
            self._drop()
        self._return()
        self._release_due()
        self.credit = RELEASE_STEP - self.is_releasing

    def release_all(self) -> None:
        """Deliver what is due, however much it is: something is told next that has to follow it."""
        while self.is_releasing:
            self.go_on()

    def _drop(self) -> None:
        """Forget partial messages that were given up, as far as the credit goes."""
        self._to_drop = None

    def _skip(self, stream_id: int, sequence_number: int, tsn: int) -> None:
        """Wait no longer for numbers up to this one, as on the wire (RFC 3758 §3.6).

        ``tsn`` is what the peer has abandoned up to.
        """
        if self._returning or self.holds_back(tsn):  # with what the peer has not given up, perhaps
            if self._held_skips is None:
                self._held_skips = {}
            self._held_skips[stream_id] = sequence_number, tsn
            return
        expected = self._next(stream_id)
        ahead = (sequence_number - expected) & self.sequence_mask
        if ahead <= self.sequence_mask >> 1:  # otherwise it is behind: delivered or skipped before
            self._release(stream_id, expected + ahead + 1, expected - 1)

    def _is_behind(self, stream_id: int, sequence_number: int) -> bool:
        """Whether that number, as on the wire, was delivered or skipped."""
        half = self.sequence_mask >> 1
        ahead = (sequence_number - self._next(stream_id)) & self.sequence_mask
        if ahead > half:
            return True
        for skips in (self._held_skips, self._returning_skips):
            held = skips.get(stream_id) if skips else None
            if held is not None and (held[0] - sequence_number) & self.sequence_mask <= half:
                return True
        return False

    def _throw_away(self, message: Message) -> None:
        """Forget a message that was waiting."""
        self._uncharge_waiting(message)
        self.charge -= HELD_OVERHEAD + len(message.payload)

    def _charge_waiting(self, message: Message) -> None:
        """A whole message, which is charged already, cannot be had yet."""
        self.charge += WAITING_OVERHEAD
        self.unfinished += WAITING_OVERHEAD + HELD_OVERHEAD + len(message.payload)

    def _uncharge_waiting(self, message: Message) -> None:
        self.charge -= WAITING_OVERHEAD
        self.unfinished -= WAITING_OVERHEAD + HELD_OVERHEAD + len(message.payload)

    # -- stream resets (RFC 6525 §5.2.2) -----------------------------------------------------------

    def defer_reset(self, stream_ids: Collection[int], last_tsn: int) -> None:
        """Hold back messages of these streams (none: all) that begin after a TSN (step E2)."""
        self._deferred = frozenset(stream_ids), last_tsn
        self._holding = True

    def reset_streams(self, stream_ids: Collection[int]) -> None:
        """Expect number 0 next on these streams (none: on all); release what was held back."""
        self.release_all()  # whoever can wait until nothing is due does
        if stream_ids or self._waiting:
            used = self._expected.keys() & stream_ids if stream_ids else list(self._expected)
            for stream_id in used:
                self._reset(stream_id)
        else:
            self._expected.clear()
        self._deferred = None
        self.release_held_back()  # step E4

    def release_held_back(self) -> None:
        """Give turns to what need not be held back any more."""
        self._holding = self._deferred is not None or self._hold_after is not None
        self._returning = [*reversed(self._held_back), *(self._returning or ())]
        self._held_back = []
        if not self._returning:
            self._return_skips()
        self._return()

    def _return(self) -> None:
        """Give turns to what was held back, as far as the credit goes, and skip numbers then."""
        while self._returning and self.credit:
            self.credit -= 1
            message, first_tsn, last_tsn = self._returning.pop()
            self._uncharge_waiting(message)
            self._finish(message, first_tsn, last_tsn)
            if not self._returning:
                self._return_skips()
        while self._returning_skips and self.credit and not self._returning:
            self.credit -= 1
            stream_id, skip = self._returning_skips.popitem()
            self._skip(stream_id, *skip)

    def _return_skips(self) -> None:
        if self._held_skips:
            self._returning_skips = {**(self._returning_skips or {}), **self._held_skips}
            self._held_skips = None

    def _reset(self, stream_id: int) -> None:
        """Begin an epoch: its numbers are those from the next multiple of the number space on.

        Messages that came early for the time after the reset wait under such numbers.  What waited
        for a turn of the time before is thrown away: all that could have preceded it has arrived.
        """
        expected = self._expected.pop(stream_id)
        heap = self._waiting.get(stream_id)
        if heap is None:
            return
        mask = self.sequence_mask
        epoch = (expected + mask) & ~mask
        self._release(stream_id, epoch, epoch - 1, stale=epoch)

    def _is_held_back(self, stream_id: int, first_tsn: int) -> bool:
        if not self._holding:
            return False
        if self.holds_back(first_tsn):
            return True
        if self._deferred is None:
            return False
        stream_ids, last_tsn = self._deferred
        return first_tsn > last_tsn and (not stream_ids or stream_id in stream_ids)

    # -- new numbers for everything (RFC 6525 §5.2.4 and §5.2.7 H5) ----------------------------------

    def hold_back(self, last_tsn: int) -> None:
        """Hold back all messages that begin after a TSN: their numbers may be new ones."""
        self._hold_after = last_tsn
        self._holding = True

    def holds_back(self, tsn: int) -> bool:
        """Whether messages that begin at this TSN wait for `end_hold_back`."""
        return self._hold_after is not None and tsn > self._hold_after

    def end_hold_back(self) -> None:
        """The numbers are still the old ones."""
        self._hold_after = None
        self.release_held_back()

    def end_numbering(self, next_tsn: int) -> None:
        """The peer's messages from this TSN on have new numbers: deliver what came before.

        Of that, what has its turn only after a message that never comes is delivered, too, and what
        is not whole is thrown away, as a FORWARD TSN for all streams would ask (step G4).
        """
        self.release_all()
        for heap in self._waiting.values():
            while heap:
                message = heappop(heap)[2]
                self._uncharge_waiting(message)
                self.ready.append(message)
        self._waiting.clear()
        self._expected.clear()
        self._drop_unfinished_before(next_tsn)

    @abstractmethod
    def _drop_unfinished_before(self, tsn: int) -> None:
        """Throw away what is not whole of messages that began before a TSN."""
