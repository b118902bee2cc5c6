"""What becomes of messages that may be given up, or whose sender wants to know: until it is decided.

Most messages have no `Policy` and cost nothing here.  For the others this keeps, in order, whose
lifetime ends next and who makes room first (heaps that forget lazily what was decided meanwhile), and
tells each outcome that was asked for exactly once.
"""

from __future__ import annotations

import math
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Final, TypeAlias

from ..events import MessageOutcome, Outcome
from ..timer import Timer

if TYPE_CHECKING:
    from ..send_options import SendOptions
    from .outgoing_message import OutgoingMessage

__all__ = ["Policies", "Policy"]

LAST_MILLISECOND: Final = 0.001
"""A lifetime holds to its end, as milliseconds count it: one of 0 is a single try, at once."""
_SLACK: Final = 16  # entries of a heap that may be void before it is built anew

_Entry: TypeAlias = "tuple[float, int, OutgoingMessage]"


class Policy:
    """When to give one message up, and what is known of it for that."""

    __slots__ = (
        "abandoned",
        "context",
        "decided",
        "discard_priority",
        "expires_at",
        "max_retransmits",
        "retransmissions",
        "tsns",
    )

    def __init__(self, options: SendOptions | None, context: object, since: float) -> None:
        self.context = context
        """What the sender knows the message by; None if its outcome is of no interest."""
        self.max_retransmits: int | None = None
        self.discard_priority: int | None = None
        self.expires_at = math.inf
        if options is not None:
            self.max_retransmits = options.max_retransmits
            self.discard_priority = options.discard_priority
            if options.lifetime is not None:
                self.expires_at = since + options.lifetime + LAST_MILLISECOND
        self.tsns: list[int] = []
        """Of all its chunks so far."""
        self.retransmissions: dict[int, int] = {}
        """By TSN, of those that were sent again."""
        self.decided = False
        """Delivered, or given up."""
        self.abandoned = False

    def count_retransmission(self, tsn: int) -> None:
        self.retransmissions[tsn] = self.retransmissions.get(tsn, 0) + 1

    def forget_chunks(self) -> None:
        """Nothing of the message was sent after all."""
        self.tsns.clear()
        self.retransmissions.clear()

    def forbids_to_repeat(self, tsn: int, now: float) -> Outcome | None:
        """Why this chunk must not be sent again, if that is so."""
        limit = self.max_retransmits
        if limit is not None and self.retransmissions.get(tsn, 0) >= limit:
            return Outcome.ABANDONED_RETRANSMISSIONS  # RFC 7496 §3.1
        if now >= self.expires_at:
            return Outcome.ABANDONED_LIFETIME  # RFC 3758 §4.1 TR4
        return None


class _Heap:
    """Undecided messages by a key, the lowest first."""

    __slots__ = ("_entries", "_void")

    def __init__(self) -> None:
        self._entries: list[_Entry] = []
        self._void = 0

    def push(self, key: float, message: OutgoingMessage) -> None:
        heappush(self._entries, (key, message.number, message))

    def first(self) -> _Entry | None:
        """The lowest entry that is not void."""
        entries = self._entries
        while entries and _is_decided(entries[0][2]):
            heappop(entries)
            self._void -= 1
        return entries[0] if entries else None

    def pop(self) -> None:
        """Remove the lowest entry."""
        heappop(self._entries)

    def one_is_void(self) -> None:
        """A message in it was decided.  Memory does not grow with those."""
        self._void += 1
        if 2 * self._void > len(self._entries) + _SLACK:
            self._entries = [entry for entry in self._entries if not _is_decided(entry[2])]
            heapify(self._entries)
            self._void = 0


def _is_decided(message: OutgoingMessage) -> bool:
    return message.policy is None or message.policy.decided


class Policies:
    """Messages with a policy, from `send` until they are delivered or given up."""

    __slots__ = (
        "_asked",
        "_by_priority",
        "_lifetimes",
        "abandoned_sent",
        "abandoned_unsent",
        "outcomes",
        "timer",
    )

    def __init__(self) -> None:
        self.timer = Timer("message lifetime")
        """Expires with the first lifetime that ends."""
        self.outcomes: list[MessageOutcome] = []
        """Those that were asked for; whoever reads it clears it."""
        self.abandoned_sent = self.abandoned_unsent = 0
        """Messages given up after a part of them was sent, and before (RFC 7496 §4.4)."""
        self._asked: dict[OutgoingMessage, None] = {}  # those with a context, in their order
        self._lifetimes = _Heap()
        self._by_priority: dict[int, _Heap] = {}  # by stream; the least important first

    def add(self, message: OutgoingMessage) -> None:
        """A message with a policy, which the send queue has just taken."""
        policy = message.policy
        assert policy is not None
        if policy.context is not None:
            self._asked[message] = None
        if policy.expires_at != math.inf:
            self._lifetimes.push(policy.expires_at, message)
            if policy.expires_at < self.timer.deadline:
                self.timer.start_at(policy.expires_at)
        if policy.discard_priority is not None:
            heap = self._by_priority.setdefault(message.stream_id, _Heap())
            heap.push(-policy.discard_priority, message)

    def expired(self, now: float) -> list[OutgoingMessage]:
        """The messages whose lifetime has ended since the last call."""
        expired: list[OutgoingMessage] = []
        while (entry := self._lifetimes.first()) is not None and entry[0] <= now:
            expired.append(entry[2])
            self._lifetimes.pop()
        self._set_timer()
        return expired

    def least_important(self, stream_id: int | None, threshold: float) -> OutgoingMessage | None:
        """The waiting message with the highest discard priority above ``threshold`` (RFC 7496 §3.2).

        Of one stream or of all; the oldest of several.
        """
        heaps = self._by_priority
        ids = list(heaps) if stream_id is None else [stream_id] if stream_id in heaps else []
        best: _Entry | None = None
        for candidate in ids:
            entry = self._first_waiting(candidate)
            if entry is not None and (best is None or entry < best):
                best = entry
        return best[2] if best is not None and -best[0] > threshold else None

    def _first_waiting(self, stream_id: int) -> _Entry | None:
        heap = self._by_priority[stream_id]
        while (entry := heap.first()) is not None and entry[2].offset:
            heap.pop()  # it was begun
        if entry is None:
            del self._by_priority[stream_id]
        return entry

    def delivered(self, message: OutgoingMessage) -> None:
        """The peer has acknowledged all of it."""
        self._decide(message, Outcome.DELIVERED)

    def abandon(self, message: OutgoingMessage, outcome: Outcome) -> None:
        """It is given up."""
        assert message.policy is not None
        message.policy.abandoned = True
        if message.offset:
            self.abandoned_sent += 1
        else:
            self.abandoned_unsent += 1
        self._decide(message, outcome)

    def discarded(self, message: OutgoingMessage) -> None:
        """The program has dropped it before anything of it was sent."""
        self._decide(message, Outcome.DISCARDED)

    def lose_all(self) -> None:
        """Nothing will be known any more of those that are undecided."""
        for message in list(self._asked):
            self._decide(message, Outcome.UNKNOWN)
        self._lifetimes = _Heap()
        self._by_priority = {}
        self.timer.stop()

    def _decide(self, message: OutgoingMessage, outcome: Outcome) -> None:
        policy = message.policy
        if policy is None or policy.decided:
            return
        policy.decided = True
        if policy.context is not None:
            del self._asked[message]
            self.outcomes.append(MessageOutcome(policy.context, message.stream_id, outcome))
        if policy.expires_at != math.inf:
            self._lifetimes.one_is_void()
            self._set_timer()
        if policy.discard_priority is not None:
            heap = self._by_priority.get(message.stream_id)
            if heap is not None:
                heap.one_is_void()

    def _set_timer(self) -> None:
        first = self._lifetimes.first()
        self.timer.start_at(math.inf if first is None else first[0])
