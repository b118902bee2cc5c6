"""What was sent and is not acknowledged cumulatively: every DATA chunk and the state it is in.

A SACK costs what it newly acknowledges plus its gap blocks, whatever a peer puts into it:

* Chunks are found by their TSN in a dict, never searched for.
* What earlier SACKs acknowledged beyond the cumulative TSN is kept as sorted bounds (`gap_ranges`); the
  new set minus the old one is what is new, the old minus the new is what the peer has taken back.
* Which of what is missing is lost is not decided here (see `loss_recovery`).  What a SACK shows for that
  is noted while it is processed: what it newly acknowledges of chunks sent once and of others, and
  whether something has come late.
* Chunks of an abandoned message (RFC 3758) stay until the peer's cumulative TSN ack has passed them,
  but count as acknowledged at once: they are neither in flight nor sent again.
* One SACK may acknowledge or take back thousands of chunks: those beyond `SACK_STEP` have their turn
  later, see `RetransmissionQueue`.
* Data that a peer has taken back may be acknowledged and taken back again for the price of one small
  SACK.  After `MAX_RENEGED_CHUNKS` a peer's gap ack blocks are ignored: they are advisory (§7.1).
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING, Final

from ..._wire.data_encoding import IMMEDIATE
from .gap_ranges import Bounds, Range, above, changes

if TYPE_CHECKING:
    from .outgoing_message import OutgoingMessage
    from .policies import Policy

__all__ = [
    "ABANDONED",
    "ACKED",
    "IN_FLIGHT",
    "MARKED",
    "SACK_STEP",
    "OutstandingChunk",
    "OutstandingData",
]

IN_FLIGHT: Final = 0
ACKED: Final = 1
"""Acknowledged by a gap ack block; the peer may still take that back."""
MARKED: Final = 2
"""To be retransmitted, and not in flight until then."""
ABANDONED: Final = 3
"""Given up with its message (RFC 3758 §3.4): as good as acknowledged."""

MAX_RENEGED_CHUNKS = 2**16
SACK_STEP: Final = 512
"""Chunks of which a SACK changes the state, or whose loss it shows, in one step."""


class OutstandingChunk:
    """A DATA chunk that was sent; its bytes are built once and kept for retransmission."""

    __slots__ = (
        "loss_counted",
        "message",
        "payload_size",
        "retransmitted",
        "sent_at",
        "state",
        "tsn",
        "wire",
    )

    def __init__(
        self, tsn: int, wire: bytes, payload_size: int, message: OutgoingMessage, sent_at: float
    ) -> None:
        self.tsn = tsn
        self.wire = wire
        self.payload_size = payload_size
        self.message = message
        self.sent_at = sent_at
        """When it went out last."""
        self.state = IN_FLIGHT
        self.retransmitted = False
        self.loss_counted = False
        """That it was lost had its effect (RFC 9260 §7.2.4 step 5), or it was given up and is not."""

    @property
    def asks_for_sack(self) -> bool:
        """Its acknowledgement is not to be delayed (I bit)."""
        return self.wire != b"" and self.wire[1] & IMMEDIATE != 0

    def ask_for_sack(self) -> None:
        wire = self.wire
        self.wire = wire[:1] + bytes((wire[1] | IMMEDIATE,)) + wire[2:]


class OutstandingData:
    """The chunks between the cumulative TSN ack point and the next TSN.  TSNs are unwrapped."""

    __slots__ = (
        "_marked",
        "_reneged_chunks",
        "abandoned_count",
        "acked_messages",
        "chunks",
        "cumulative_tsn_ack",
        "flight_payload",
        "flight_size",
        "gap_bounds",
        "highest_acked",
        "lost",
        "marked_count",
        "newest_acked",
        "next_tsn",
        "reordered",
        "reneged",
        "repeated_acked",
        "repeated_count",
    )

    def __init__(self, initial_tsn: int) -> None:
        self.next_tsn = initial_tsn
        self.cumulative_tsn_ack = initial_tsn - 1
        self.chunks: dict[int, OutstandingChunk] = {}
        self.flight_size = 0
        """Bytes in flight, with chunk headers and padding."""
        self.flight_payload = 0
        """User data in flight, as the peer's receiver window counts it."""
        self.gap_bounds: Bounds = []
        """Of what gap ack blocks have acknowledged."""
        self.marked_count = 0
        self.abandoned_count = 0
        self.repeated_count = 0
        """Chunks that were sent more than once."""
        self.lost: list[OutstandingChunk] = []
        """Chunks of messages with a policy that were marked; whoever reads it clears it."""
        self.acked_messages: list[OutgoingMessage] = []
        """Messages that the peer has wholly; whoever reads it clears it."""
        self.highest_acked = initial_tsn - 1
        """The highest TSN that was ever acknowledged."""
        # what the latest SACK shows, from `begin_sack` on
        self.newest_acked: OutstandingChunk | None = None
        """Of the chunks it newly acknowledges that were sent once, the last one."""
        self.repeated_acked: list[OutstandingChunk] = []
        """Those that were sent more than once."""
        self.reordered = False
        """One that was sent once has come after a later one."""
        self.reneged: list[OutstandingChunk] = []
        """What peers have taken back; whoever reads it clears it."""
        self._marked: list[int] = []  # a heap; may hold TSNs that were acknowledged since
        self._reneged_chunks = 0

    def add(self, wire: bytes, payload_size: int, message: OutgoingMessage, now: float) -> None:
        """A chunk goes out for the first time, under `next_tsn`."""
        tsn = self.next_tsn
        self.chunks[tsn] = OutstandingChunk(tsn, wire, payload_size, message, now)
        self.next_tsn = tsn + 1
        self.flight_size += len(wire)
        self.flight_payload += payload_size
        if message.policy is not None:
            message.policy.tsns.append(tsn)

    def add_run(
        self, wires: list[bytes], payload_size: int, message: OutgoingMessage, now: float
    ) -> None:
        """As `add`, of successive fragments of one message that are all equally long."""
        chunks, tsn = self.chunks, self.next_tsn
        policy = message.policy
        for wire in wires:
            chunks[tsn] = OutstandingChunk(tsn, wire, payload_size, message, now)
            if policy is not None:
                policy.tsns.append(tsn)
            tsn += 1
        self.next_tsn = tsn
        self.flight_size += len(wires) * len(wires[0])
        self.flight_payload += len(wires) * payload_size

    # -- acknowledgements --------------------------------------------------------------------------

    def begin_sack(self) -> None:
        """A SACK is to be processed: nothing is known of what it shows."""
        self.newest_acked = None
        self.reordered = False
        if self.repeated_acked:
            self.repeated_acked = []

    def acknowledge_to(self, cumulative_tsn_ack: int) -> int:
        """Everything up to here has arrived; returns the bytes that this newly acknowledges."""
        if self.gap_bounds or self.marked_count or self.abandoned_count or self.repeated_count:
            return self._acknowledge_mixed(cumulative_tsn_ack)
        pop = self.chunks.pop
        finished = self.acked_messages
        chunk: OutstandingChunk | None = None
        flight = flight_payload = 0
        for tsn in range(self.cumulative_tsn_ack + 1, cumulative_tsn_ack + 1):
            chunk = pop(tsn)
            payload_size = chunk.payload_size
            flight += len(chunk.wire)
            flight_payload += payload_size
            message = chunk.message
            message.unacked = unacked = message.unacked - payload_size
            if not unacked:
                finished.append(message)
        self.flight_size -= flight
        self.flight_payload -= flight_payload
        self.newest_acked = chunk
        self.cumulative_tsn_ack = cumulative_tsn_ack
        self.highest_acked = max(self.highest_acked, cumulative_tsn_ack)
        return flight

    def _acknowledge_mixed(self, cumulative_tsn_ack: int) -> int:
        """The same where not all chunks are in flight for the first time."""
        pop, finished = self.chunks.pop, self.acked_messages
        # what was sent once and is below this has come after one with a higher TSN
        highest = self.highest_acked if self.gap_bounds else 0
        newly_acked = flight = flight_payload = 0
        for tsn in range(self.cumulative_tsn_ack + 1, cumulative_tsn_ack + 1):
            chunk = pop(tsn)
            state, payload_size = chunk.state, chunk.payload_size
            if chunk.retransmitted:
                self.repeated_count -= 1
                if state in (IN_FLIGHT, MARKED):
                    newly_acked += self._arrived(chunk)
                elif state == ABANDONED:
                    self.abandoned_count -= 1
            elif state == IN_FLIGHT:
                flight += len(chunk.wire)
                flight_payload += payload_size
                self.newest_acked = chunk
                if tsn < highest:
                    self.reordered = True
            elif state == MARKED:
                newly_acked += self._arrived(chunk)
                if tsn < highest:
                    self.reordered = True
            elif state == ABANDONED:
                self.abandoned_count -= 1
            message = chunk.message
            message.unacked = unacked = message.unacked - payload_size
            if not unacked:
                finished.append(message)
        self.flight_size -= flight
        self.flight_payload -= flight_payload
        self.cumulative_tsn_ack = cumulative_tsn_ack
        self.highest_acked = max(self.highest_acked, cumulative_tsn_ack)
        if self.gap_bounds and self.gap_bounds[0] <= cumulative_tsn_ack:
            self.gap_bounds = above(self.gap_bounds, cumulative_tsn_ack)
        return newly_acked + flight

    def _arrived(self, chunk: OutstandingChunk) -> int:
        """A chunk is newly acknowledged; returns its bytes."""
        size = len(chunk.wire)
        if chunk.state == IN_FLIGHT:
            self.flight_size -= size
            self.flight_payload -= chunk.payload_size
        else:
            self.marked_count -= 1
        if chunk.retransmitted:
            self.repeated_acked.append(chunk)
        else:
            self.newest_acked = chunk
        return size

    def acknowledge_gaps(
        self, gaps: Bounds, changed: tuple[list[Range], list[Range]] | None = None
    ) -> tuple[int, int | None, bool]:
        """What the gap ack blocks say, as the bounds of what is above the cumulative TSN ack.

        ``changed`` are the `changes` that they make, if these are known.

        Returns the bytes newly acknowledged, the TSN below which this is a miss indication for all
        that is missing (HTNA) and whether the peer took back what it had acknowledged before.
        """
        if changed is None:
            if gaps == self.gap_bounds:
                return 0, None, False
            changed = changes(self.gap_bounds, gaps)
        self.gap_bounds = gaps
        newly_acked = 0
        htna: int | None = None
        gained, reneged = changed
        for first, last in gained:
            newly_acked += self._acknowledge_gap(first, last)
            htna = last
        if htna is not None and htna > self.highest_acked:
            self.highest_acked = htna
        if reneged:
            htna = max(htna or 0, self._take_back(reneged))
        return newly_acked, htna, bool(reneged)

    @property
    def ignores_gap_acks(self) -> bool:
        """The peer has taken back too much of what it had acknowledged."""
        return self._reneged_chunks > MAX_RENEGED_CHUNKS

    def _acknowledge_gap(self, first: int, last: int) -> int:
        """These have arrived although something before them has not; returns the bytes."""
        chunks, highest = self.chunks, self.highest_acked
        newly_acked = flight = flight_payload = 0
        newest: OutstandingChunk | None = None
        for tsn in range(first, last + 1):
            chunk = chunks[tsn]
            state = chunk.state
            if chunk.retransmitted or state != IN_FLIGHT:
                newly_acked += self._acknowledge_other(chunk)
                continue
            chunk.state = ACKED
            flight += len(chunk.wire)
            flight_payload += chunk.payload_size
            newest = chunk
            if tsn < highest:
                self.reordered = True
        self.flight_size -= flight
        self.flight_payload -= flight_payload
        known = self.newest_acked
        if newest is not None and (known is None or known.tsn < newest.tsn):
            self.newest_acked = newest
        return newly_acked + flight

    def _acknowledge_other(self, chunk: OutstandingChunk) -> int:
        """The same of one that is not in flight for the first time."""
        if chunk.state == ABANDONED:  # it was not lost, however (RFC 3758 §3.5 A2, F5)
            chunk.loss_counted = True
            return 0
        size = self._arrived(chunk)
        chunk.state = ACKED
        if chunk.tsn < self.highest_acked and not chunk.retransmitted:
            self.reordered = True
        return size

    def _take_back(self, reneged: list[Range]) -> int:
        """These are missing again (§6.2.1 D iii); returns the TSN above the last of them."""
        for first, last in reneged:
            self._reneged_chunks += last - first + 1
            for tsn in range(first, last + 1):
                chunk = self.chunks[tsn]
                if chunk.state == ACKED:
                    self._put_in_flight(chunk)
                    self.reneged.append(chunk)
        return reneged[-1][1] + 1

    # -- losses ------------------------------------------------------------------------------------

    def mark_all(self) -> None:
        """All that is in flight counts as lost; what gap ack blocks acknowledged does not."""
        first = self.cumulative_tsn_ack + 1
        if self.gap_bounds and self.gap_bounds[0] == first:
            # The peer contradicts itself: by its cumulative TSN ack it misses this one.  Nobody else
            # would ever send it again.
            self.acknowledge_gaps(above(self.gap_bounds, first))
        for chunk in self.chunks.values():
            if chunk.state == IN_FLIGHT:
                self._mark(chunk)
        self._marked = [tsn for tsn, chunk in self.chunks.items() if chunk.state == MARKED]

    def mark(self, chunk: OutstandingChunk) -> None:
        """A chunk in flight counts as lost: it is to be retransmitted."""
        self._mark(chunk)
        heappush(self._marked, chunk.tsn)

    def _mark(self, chunk: OutstandingChunk) -> None:
        chunk.state = MARKED
        self.marked_count += 1
        self.flight_size -= len(chunk.wire)
        self.flight_payload -= chunk.payload_size
        if chunk.message.policy is not None:
            self.lost.append(chunk)

    def mark_again(self, tsn: int) -> None:
        """A chunk that the peer had acknowledged and has taken back counts as lost at once."""
        chunk = self.chunks[tsn]
        if chunk.state == IN_FLIGHT:
            self.mark(chunk)

    def _put_in_flight(self, chunk: OutstandingChunk) -> None:
        chunk.state = IN_FLIGHT
        self.flight_size += len(chunk.wire)
        self.flight_payload += chunk.payload_size

    def first_marked(self) -> OutstandingChunk | None:
        """The marked chunk with the lowest TSN."""
        marked, chunks = self._marked, self.chunks
        while marked:
            chunk = chunks.get(marked[0])
            if chunk is not None and chunk.state == MARKED:
                return chunk
            heappop(marked)
        return None

    def retransmit(self, chunk: OutstandingChunk, now: float) -> None:
        """The chunk that `first_marked` gave goes out again."""
        heappop(self._marked)
        self.marked_count -= 1
        self.sent_again(chunk, now)
        self._put_in_flight(chunk)
        if chunk.message.policy is not None:
            chunk.message.policy.count_retransmission(chunk.tsn)

    def last_repeatable(self, now: float) -> OutstandingChunk | None:
        """The chunk in flight with the highest TSN that may be sent again though it is not lost."""
        for tsn in range(self.next_tsn - 1, max(self.next_tsn - 9, self.cumulative_tsn_ack), -1):
            chunk = self.chunks[tsn]
            policy = chunk.message.policy
            if chunk.state == IN_FLIGHT and (
                policy is None or policy.forbids_to_repeat(tsn, now) is None
            ):
                return chunk
        return None

    def sent_again(self, chunk: OutstandingChunk, now: float) -> None:
        """Note that a chunk was sent more than once, and now for the last time."""
        self.repeated_count += not chunk.retransmitted
        chunk.retransmitted = True
        chunk.sent_at = now

    # -- abandoned messages (RFC 3758) -------------------------------------------------------------

    def abandon(self, policy: Policy) -> None:
        """Give up all chunks of a message, which has this policy."""
        for tsn in policy.tsns:
            chunk = self.chunks.get(tsn)
            if chunk is not None:
                self._abandon(chunk)

    def abandon_unsent(self, message: OutgoingMessage, size: int) -> None:
        """Give up the end of a message, of so many bytes, that no chunk was made of: it gets a TSN."""
        tsn = self.next_tsn
        self.chunks[tsn] = chunk = OutstandingChunk(tsn, b"", size, message, 0.0)
        chunk.state = ABANDONED
        chunk.loss_counted = True  # it cannot be lost
        self.next_tsn = tsn + 1
        self.abandoned_count += 1

    def _abandon(self, chunk: OutstandingChunk) -> None:
        if chunk.state == IN_FLIGHT:
            self.flight_size -= len(chunk.wire)
            self.flight_payload -= chunk.payload_size
        else:
            self.marked_count -= chunk.state == MARKED
            chunk.loss_counted = True  # that it was lost, or not, has had its effect
        chunk.state = ABANDONED
        chunk.wire = b""
        self.abandoned_count += 1
