"""Telling the peer to do without what was abandoned: FORWARD TSN and I-FORWARD-TSN (RFC 3758 §3.5).

The Advanced.Peer.Ack.Point runs ahead of the cumulative TSN ack over abandoned chunks; each TSN is
passed once.  What was skipped on the way is kept by stream, the latest number only, until the peer has
acknowledged it: a FORWARD TSN costs what it contains, however much was abandoned.

A chunk between abandoned ones that the peer has acknowledged in a gap ack block, and that its policy
would not let us send again, is passed as well.  Otherwise every hole in a stream that is never
retransmitted would take a round trip of its own.  The message may be waiting for its turn at the peer,
between two numbers that are skipped.  It ought to be delivered then (§3.6), but some peers throw away
all that waits up to a number they are told.  So that is told in steps: several FORWARD TSN chunks in one
packet, of which each skips what comes before the next message that waits.
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from collections.abc import Collection
from typing import Final, TypeAlias

from ..._wire.chunks import ForwardTsn, IForwardTsn
from ..._wire.data_encoding import SACK_HEADER_SIZE
from ..._wire.packet import COMMON_HEADER_SIZE
from ..._wire.serial import MASK32
from ..._wire.tlv import MAX_ENTRIES
from .outstanding_data import ABANDONED, ACKED, OutstandingChunk, OutstandingData

__all__ = ["ForwardTsnSender"]

_HEADER_SIZE: Final = 8
_ENTRY_SIZE: Final = 4
_I_ENTRY_SIZE: Final = 8
_MAX_STEPS: Final = 48  # chunks in one packet, of which a peer may read no more: see MAX_LISTED
_MAX_RESETS: Final = 64  # resets remembered before those that are over are looked for


_Skipped: TypeAlias = "OrderedDict[tuple[int, bool], tuple[int, int]]"


class ForwardTsnSender:
    """The Advanced.Peer.Ack.Point, and the chunk that tells the peer of it."""

    __slots__ = (
        "_all_reset_at",
        "_data",
        "_looked_at",
        "_reset_at",
        "_resetting",
        "_room",
        "_sent_at",
        "_sent_point",
        "_skipped",
        "_steps",
        "_waiting_there",
        "advanced_peer_ack_point",
        "due",
    )

    def __init__(self, data: OutstandingData, path_mtu: int) -> None:
        """``path_mtu`` is the least that there will ever be."""
        room = path_mtu - COMMON_HEADER_SIZE - SACK_HEADER_SIZE
        self._room = min(room, _ENTRY_SIZE * MAX_ENTRIES)  # a peer may read no more either
        self.restart(data)

    def restart(self, data: OutstandingData) -> None:
        """Begin anew with other TSNs; nothing is outstanding."""
        self._data = data
        self.advanced_peer_ack_point = data.cumulative_tsn_ack
        self.due = False
        """A FORWARD TSN is to go out with the next packet."""
        self._looked_at = data.cumulative_tsn_ack  # the last chunk that may be passed
        self._sent_point = data.cumulative_tsn_ack
        self._sent_at = 0.0
        # (stream id, unordered): the last TSN skipped and its SSN or MID; the lowest TSN first
        self._skipped: _Skipped = OrderedDict()
        # the same of earlier steps: each up to a point, and the numbers skipped since the one before
        self._steps: deque[tuple[int, _Skipped]] = deque()
        # streams on which ordered messages may wait at the peer behind what this step has skipped
        self._waiting_there: set[int] = set()
        # stream id: numbers of chunks before this TSN mean nothing to the peer any more
        self._reset_at: dict[int, int] = {}
        self._all_reset_at = 0
        # streams that the peer may have reset after this TSN, we do not know yet
        self._resetting: tuple[Collection[int], float] = (), math.inf

    def streams_will_be_reset(self, stream_ids: Collection[int]) -> None:
        """The peer is asked to reset these streams (none: all) after what was sent so far."""
        self._resetting = stream_ids, self._data.next_tsn - 1

    def streams_were_reset(self, stream_ids: Collection[int]) -> None:
        """The peer has reset these streams (none: all): their numbers begin with 0 again."""
        data = self._data
        if not data.chunks:
            return
        if not stream_ids:
            self._all_reset_at = data.next_tsn
            self._forget_skipped()
            return
        for stream_id in stream_ids:
            self._reset_at[stream_id] = data.next_tsn
            for skipped in self._all_skipped():
                skipped.pop((stream_id, False), None)
                skipped.pop((stream_id, True), None)
        if len(self._reset_at) > _MAX_RESETS:
            first = data.cumulative_tsn_ack + 1
            self._reset_at = {s: tsn for s, tsn in self._reset_at.items() if tsn > first}

    def update(self, interleaving: bool, now: float, repeat_after: float) -> None:
        """Chunks were abandoned or acknowledged: find the point anew (§3.5 C1 to C3)."""
        data = self._data
        acked = data.cumulative_tsn_ack
        skipped, steps = self._skipped, self._steps
        while steps and steps[0][0] <= acked:
            steps.popleft()
        while skipped and next(iter(skipped.values()))[0] <= acked:
            (stream_id, _), _ = skipped.popitem(last=False)
            self._waiting_there.discard(stream_id)
        if self._resetting[1] <= acked:
            self._resetting = (), math.inf
        if self.advanced_peer_ack_point < acked:  # C1
            self.advanced_peer_ack_point = acked
        if data.abandoned_count:
            self._advance(interleaving, now)
        point = self.advanced_peer_ack_point
        if point <= acked:
            self.due = False
        elif point > self._sent_point or now - self._sent_at >= repeat_after:
            self.due = True  # C3; once per round trip for the same point (F2)

    def _advance(self, interleaving: bool, now: float) -> None:
        """C2: move on as long as nothing stands in the way that the peer must still get."""
        chunks = self._data.chunks
        tsn = max(self._looked_at, self.advanced_peer_ack_point) + 1
        while (chunk := chunks.get(tsn)) is not None:
            if chunk.state == ABANDONED:
                if self._must_wait(tsn) or not self._skip(chunk, interleaving):
                    break
                self.advanced_peer_ack_point = tsn
            elif chunk.state != ACKED or not _may_be_passed(chunk, now):
                break
            elif not chunk.message.unordered and (chunk.message.stream_id, False) in self._skipped:
                self._waiting_there.add(chunk.message.stream_id)
            tsn += 1
        self._looked_at = tsn - 1

    def _must_wait(self, tsn: int) -> bool:
        """Whether to stop short of a TSN because of a reset that may have been performed or not.

        Up to the last TSN before it a FORWARD TSN tells numbers to a peer that has not performed it,
        and no news to one that has (RFC 3758 §3.6).  Beyond that, the same numbers would be taken
        for those that the stream has begun anew with.
        """
        stream_ids, last_tsn = self._resetting
        if tsn <= last_tsn:
            return False
        return any(
            tsn_skipped <= last_tsn and (not stream_ids or stream_id in stream_ids)
            for skipped in self._all_skipped()
            for (stream_id, _), (tsn_skipped, _) in skipped.items()
        )

    def _all_skipped(self) -> list[_Skipped]:
        return [skipped for _, skipped in self._steps] + [self._skipped]

    def _forget_skipped(self) -> None:
        self._steps.clear()
        self._skipped.clear()
        self._waiting_there.clear()

    def _skip(self, chunk: OutstandingChunk, interleaving: bool) -> bool:
        """Note the number that is skipped on a stream; False: one packet has no room for it."""
        message = chunk.message
        stream_id, unordered = message.stream_id, message.unordered
        if unordered and not interleaving:
            return True  # C4: without a number there is none to tell
        if chunk.tsn < self._all_reset_at or chunk.tsn < self._reset_at.get(stream_id, 0):
            return True
        key = stream_id, unordered
        skipped = self._skipped
        begins_step = not unordered and stream_id in self._waiting_there
        if begins_step or key not in skipped:
            added = (_HEADER_SIZE if begins_step else 0) + _entry_size(interleaving)
            if self._size(interleaving) + added > self._room:
                return False
            if begins_step and len(self._steps) + 1 == _MAX_STEPS:
                return False
        if begins_step:
            self._steps.append((self.advanced_peer_ack_point, skipped))
            self._skipped = skipped = OrderedDict()
            self._waiting_there.clear()
        # on a stream numbers rise with the TSNs: the last one is the largest
        skipped[key] = chunk.tsn, message.mid if interleaving else message.ssn
        skipped.move_to_end(key)
        return True

    def _size(self, interleaving: bool) -> int:
        """Of all the chunks that are to be sent."""
        entries = sum(map(len, self._all_skipped()))
        return (len(self._steps) + 1) * _HEADER_SIZE + entries * _entry_size(interleaving)

    def rewind(self) -> None:
        """The peer has taken back what it had acknowledged, and we have passed, perhaps."""
        data = self._data
        acked = data.cumulative_tsn_ack
        for tsn in range(acked + 1, self.advanced_peer_ack_point + 1):
            data.mark_again(tsn)  # its policy gives it up then
        self.advanced_peer_ack_point = self._looked_at = self._sent_point = acked
        self._forget_skipped()

    def repeat(self) -> None:
        """T3-rtx has expired, or the peer is another incarnation (§3.5 A5)."""
        self.due = self.advanced_peer_ack_point > self._data.cumulative_tsn_ack

    def chunk(self, room: int, interleaving: bool, now: float) -> bytes:
        """The chunk that is due, or several; empty if that does not fit."""
        steps = [*self._steps, (self.advanced_peer_ack_point, self._skipped)]
        wire = b"".join([_encode(point, skipped, interleaving) for point, skipped in steps])
        if len(wire) > room:
            return b""
        self.due = False
        self._sent_at = now
        self._sent_point = self.advanced_peer_ack_point
        return wire


def _entry_size(interleaving: bool) -> int:
    return _I_ENTRY_SIZE if interleaving else _ENTRY_SIZE


def _encode(point: int, skipped: _Skipped, interleaving: bool) -> bytes:
    if interleaving:
        mids = [(*key, number) for key, (_, number) in skipped.items()]
        return IForwardTsn(point & MASK32, mids).encode()
    return ForwardTsn(
        point & MASK32, [(key[0], number) for key, (_, number) in skipped.items()]
    ).encode()


def _may_be_passed(chunk: OutstandingChunk, now: float) -> bool:
    policy = chunk.message.policy
    return policy is not None and policy.forbids_to_repeat(chunk.tsn, now) is not None
