"""Reassembly of messages that came in I-DATA chunks (RFC 8260 §2.2.3), and their order.

A fragment belongs to the message of its stream, U flag and MID, at the place that its FSN tells; TSNs
mean nothing here.  Each message that is not whole keeps the fragments that came in order as a list and
those that came early by FSN.  The interface is that of `ReassemblyQueue`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from heapq import heapify, heappop, heappush
from typing import ClassVar, Final

from ..._wire.chunks import IData
from ..._wire.data_encoding import I_DATA_HEADER_SIZE, I_DATA_LAYOUT, UNORDERED, WHOLE
from ..._wire.packet import COMMON_HEADER_SIZE
from ..._wire.serial import MASK32, unwrap32
from ..events import Message, new_message
from .ordering import FRAGMENT_OVERHEAD, HELD_OVERHEAD, MessageOrdering
from .reassembly_queue import NO_BEGINNING, TOO_LONG

__all__ = ["EARLY_OVERHEAD", "InterleavedReassemblyQueue"]

PARTIAL_OVERHEAD: Final = 896
"""Charged for a message that is not whole, besides its bytes and fragments."""
EARLY_OVERHEAD: Final = 64
"""Charged besides for a fragment that came before those in front of it."""
_MOST_FSNS_AHEAD: Final = (1 << 31) - 1
"""From the next one to a fragment: one further, by serial number arithmetic, is from before."""

_PAYLOAD: Final = COMMON_HEADER_SIZE + I_DATA_HEADER_SIZE

_unpack_i_data = I_DATA_LAYOUT.unpack_from

REPEATED: Final = "a fragment of an interleaved message came twice"
BEYOND_END: Final = "an interleaved message goes on behind its end"


class _PartialMessage:
    """The fragments of one message that is not whole yet.  FSNs are unwrapped."""

    __slots__ = (
        "early",
        "first_tsn",
        "highest_fsn",
        "last_fsn",
        "last_tsn",
        "next_fsn",
        "parts",
        "ppid",
        "size",
    )

    def __init__(self, tsn: int) -> None:
        self.parts: list[bytes] = []  # those with FSN 0, 1, 2 ...
        self.next_fsn = 0
        self.early: dict[int, bytes] = {}  # by FSN
        self.highest_fsn = -1
        self.last_fsn: int | None = None  # that of the fragment with the E flag
        self.ppid = 0
        self.size = 0
        self.first_tsn = self.last_tsn = tsn

    @property
    def charge(self) -> int:
        fragments = len(self.parts) + len(self.early)
        early = len(self.early) * EARLY_OVERHEAD
        return PARTIAL_OVERHEAD + self.size + fragments * FRAGMENT_OVERHEAD + early

    @property
    def whole(self) -> bool:
        return self.last_fsn is not None and self.next_fsn > self.last_fsn

    def add(self, chunk: IData, tsn: int) -> str | None:
        """Put a fragment in its place; return in words what is wrong with it."""
        expected = self.next_fsn
        fsn = 0 if chunk.beginning else unwrap32(chunk.fsn, expected)
        if fsn < expected or fsn in self.early:
            return REPEATED
        if not (fsn or chunk.beginning):
            return NO_BEGINNING
        last = self.last_fsn
        if fsn > last if last is not None else chunk.ending and fsn < self.highest_fsn:
            return BEYOND_END
        if chunk.ending:
            if last is not None:
                return BEYOND_END
            self.last_fsn = fsn
        if chunk.beginning:
            self.ppid = chunk.ppid
        self.size += len(chunk.payload)
        self.highest_fsn = max(self.highest_fsn, fsn)
        self.first_tsn = min(self.first_tsn, tsn)
        self.last_tsn = max(self.last_tsn, tsn)
        self._place(fsn, chunk.payload)
        return None

    def _place(self, fsn: int, payload: bytes) -> None:
        early = self.early
        if fsn > self.next_fsn:
            early[fsn] = payload
            return
        following: bytes | None = payload
        while following is not None:
            self.parts.append(following)
            self.next_fsn += 1
            following = early.pop(self.next_fsn, None)
        if not early:
            self.early = {}  # an emptied one keeps its size


class _PartialMessages:
    """The messages of one stream, ordered or unordered, that are not whole.  MIDs are unwrapped."""

    __slots__ = ("by_mid", "mids", "reference")

    def __init__(self, mid: int) -> None:
        self.by_mid: dict[int, _PartialMessage] = {}
        self.mids: list[int] = []  # a heap of them all, and of some that are gone
        self.reference = mid

    def get(self, mid: int, tsn: int) -> _PartialMessage:
        """The message of an unwrapped MID, a new one if there is none."""
        partial = self.by_mid.get(mid)
        if partial is None:
            partial = self.by_mid[mid] = _PartialMessage(tsn)
            heappush(self.mids, mid)
        return partial

    def remove(self, mid: int) -> None:
        del self.by_mid[mid]
        if len(self.mids) > 2 * len(self.by_mid) + 8:
            self.mids = list(self.by_mid)
            heapify(self.mids)

    def take_through(self, mid: int) -> _PartialMessage | None:
        """Remove the first message, if its MID is not above this one."""
        while self.mids and self.mids[0] <= mid:
            partial = self.by_mid.pop(heappop(self.mids), None)
            if partial is not None:
                return partial
        return None


class InterleavedReassemblyQueue(MessageOrdering):
    """What has been received in I-DATA chunks and is not complete, or not in turn yet."""

    __slots__ = ("_given_up", "_max_message_size", "_partial", "_partial_charge")
    sequence_mask: ClassVar[int] = MASK32

    def __init__(self, max_message_size: int) -> None:
        super().__init__()
        self._max_message_size = max_message_size
        self._partial: dict[tuple[int, bool], _PartialMessages] = {}
        self._partial_charge = 0
        self._given_up: dict[int, int] = {}  # `_given_up_key`: the last MID, where any was

    def add(self, chunk: IData, tsn: int) -> str | None:
        """Take in a chunk whose TSN is new; return in words what makes it a protocol violation."""
        if not (chunk.beginning and chunk.ending):
            return self._add_fragment(chunk, tsn)
        payload = chunk.payload
        size = len(payload)
        if size > self._max_message_size:
            return TOO_LONG
        stream_id, mid, unordered = chunk.stream_id, chunk.mid, chunk.unordered
        self.charge += HELD_OVERHEAD + size
        wire = chunk.tsn
        message = new_message(Message, (stream_id, chunk.ppid, payload, unordered, mid, wire, wire))
        if not self._waiting and not self._holding:
            expected = self._expected.get(stream_id, 0)
            if unordered or mid == expected & MASK32:
                if not unordered:
                    self._expected[stream_id] = expected + 1
                self.ready.append(message)
                return None
        self._finish(message, tsn, tsn)
        return None

    def add_middle(self, packet: bytes, tsn: int) -> bool:
        _, flags, length, _, stream_id, _, mid, fsn = _unpack_i_data(packet, COMMON_HEADER_SIZE)
        if packet[COMMON_HEADER_SIZE] != IData.type or length != len(packet) - COMMON_HEADER_SIZE:
            return False
        siblings = self._partial.get((stream_id, flags & UNORDERED != 0))
        partial = None if siblings is None else siblings.by_mid.get(mid)
        if (
            partial is None
            or tsn < partial.last_tsn
            or fsn - partial.next_fsn > _MOST_FSNS_AHEAD
            or self._given_up
        ):
            return False
        size = length - I_DATA_HEADER_SIZE
        if not size or partial.size + size > self._max_message_size:
            return False
        charge = FRAGMENT_OVERHEAD + size
        if fsn == partial.next_fsn and not partial.early:
            partial.parts.append(packet[_PAYLOAD:])
            partial.next_fsn += 1
        elif fsn > partial.highest_fsn and partial.last_fsn is None:
            partial.early[fsn] = packet[_PAYLOAD:]
            charge += EARLY_OVERHEAD
        else:
            return False
        self.charge += charge
        self.unfinished += charge
        self._partial_charge += charge
        partial.size += size
        partial.highest_fsn = fsn
        partial.last_tsn = tsn
        return True

    def most_to_follow(self, packet: bytes, tsn: int, size: int) -> int:
        partial = self._partial_of(packet)
        if partial is None or partial.last_tsn != tsn:
            return 0
        furthest = partial.next_fsn + _MOST_FSNS_AHEAD
        return min((self._max_message_size - partial.size) // size, furthest - partial.highest_fsn)

    def add_following(self, packet: bytes, tsn: int, payloads: list[bytes]) -> None:
        partial = self._partial_of(packet)
        assert partial is not None  # `most_to_follow` has seen it
        count, size = len(payloads), sum(map(len, payloads))
        charge = count * FRAGMENT_OVERHEAD + size
        if partial.early:  # the one before them came early, too
            partial.early.update(enumerate(payloads, partial.highest_fsn + 1))
            charge += count * EARLY_OVERHEAD
        else:
            partial.parts += payloads
            partial.next_fsn += count
        self.charge += charge
        self.unfinished += charge
        self._partial_charge += charge
        partial.highest_fsn += count
        partial.last_tsn += count
        partial.size += size

    def _partial_of(self, packet: bytes) -> _PartialMessage | None:
        """The message that a packet carries on, which has nothing else, if its MID has not wrapped."""
        _, flags, _, _, stream_id, _, mid, _ = _unpack_i_data(packet, COMMON_HEADER_SIZE)
        siblings = self._partial.get((stream_id, flags & UNORDERED != 0))
        return None if siblings is None else siblings.by_mid.get(mid)

    def add_whole(self, packet: bytes, offset: int, inbound_streams: int) -> bool:
        kind, flags, length, tsn, stream_id, _, mid, ppid = _unpack_i_data(packet, offset)
        size = length - I_DATA_HEADER_SIZE
        expected = self._expected.get(stream_id, 0)
        unordered = flags & UNORDERED != 0
        if (
            kind != IData.type
            or flags & WHOLE != WHOLE
            or size <= 0
            or length + 3 & ~3 != len(packet) - offset
            or not (unordered or mid == expected & MASK32)
            or stream_id >= inbound_streams
            or size > self._max_message_size
            or self._waiting
            or self._holding
        ):
            return False
        if not unordered:
            self._expected[stream_id] = expected + 1
        self.charge += HELD_OVERHEAD + size
        begin = offset + I_DATA_HEADER_SIZE
        fields = stream_id, ppid, packet[begin : begin + size], unordered, mid, tsn, tsn
        self.ready.append(new_message(Message, fields))
        return True

    def head_charge(self, cumulative_tsn_ack: int) -> int:
        """What the messages weigh that are not whole: any of them may need more data to be."""
        return self._partial_charge

    def forward_tsn(
        self,
        old_cumulative_tsn: int,
        new_cumulative_tsn: int,
        streams: Sequence[tuple[int, bool, int]],
    ) -> None:
        """Give up what the peer has abandoned (RFC 8260 §2.3.1): messages up to the MIDs listed."""
        for stream_id, unordered, mid in streams:
            self._given_up[_given_up_key(stream_id, unordered)] = mid
            siblings = self._partial.get((stream_id, unordered))
            if siblings is not None:
                last = unwrap32(mid, siblings.reference)
                if self._to_drop is None:
                    self._to_drop = {}
                self._to_drop[stream_id, unordered] = max(
                    last, self._to_drop.get((stream_id, unordered), last)
                )
            if not unordered:
                self._skip(stream_id, mid, new_cumulative_tsn)
        self._drop()

    def _drop(self) -> None:
        while self.credit and self._to_drop:
            key, mid = next(iter(self._to_drop.items()))
            if self._drop_through(key, mid):
                del self._to_drop[key]

    def _drop_through(self, key: tuple[int, bool], mid: int) -> bool:
        """Forget partial messages up to an unwrapped MID; True if there are no more of them."""
        siblings = self._partial.get(key)
        if siblings is None:
            return True
        while self.credit:
            self.credit -= 1
            message = siblings.take_through(mid)
            if message is None:
                break
            self._uncharge(message)
        if not siblings.by_mid:
            del self._partial[key]
            return True
        return self.credit > 0

    def reset_streams(self, stream_ids: Collection[int]) -> None:
        if stream_ids:
            for stream_id in stream_ids:
                self._given_up.pop(_given_up_key(stream_id, False), None)
                self._given_up.pop(_given_up_key(stream_id, True), None)
        else:
            self._given_up.clear()
        super().reset_streams(stream_ids)

    def end_numbering(self, next_tsn: int) -> None:
        self._given_up.clear()
        super().end_numbering(next_tsn)

    def _is_given_up(self, chunk: IData, tsn: int) -> bool:
        """Whether a fragment, by a higher TSN, is of a message that was given up before it came."""
        last = self._given_up.get(_given_up_key(chunk.stream_id, chunk.unordered))
        if last is None or self._is_held_back(chunk.stream_id, tsn):
            return False
        return (last - chunk.mid) & MASK32 < 1 << 31

    def _drop_unfinished_before(self, tsn: int) -> None:
        for key, siblings in list(self._partial.items()):
            for mid, partial in list(siblings.by_mid.items()):
                if partial.first_tsn < tsn:
                    siblings.remove(mid)
                    self._uncharge(partial)
            if not siblings.by_mid:
                del self._partial[key]
        self._to_drop = None

    def _add_fragment(self, chunk: IData, tsn: int) -> str | None:
        key = chunk.stream_id, chunk.unordered
        siblings = self._partial.get(key)
        if self._given_up and self._is_given_up(chunk, tsn):
            return None
        if siblings is None:
            siblings = self._partial[key] = _PartialMessages(chunk.mid)
            return self._place_fragment(chunk, tsn, siblings)
        # The usual case: the next fragment of a message of which all came in order.
        partial = siblings.by_mid.get(chunk.mid)  # nothing is found where it has wrapped
        if (
            partial is None
            or chunk.fsn != partial.next_fsn
            or chunk.beginning
            or tsn < partial.last_tsn
            or partial.early
            or self._to_drop
        ):
            return self._place_fragment(chunk, tsn, siblings)
        payload = chunk.payload
        size = len(payload)
        charge = FRAGMENT_OVERHEAD + size
        self.charge += charge
        self.unfinished += charge
        self._partial_charge += charge
        partial.parts.append(payload)
        partial.next_fsn += 1
        partial.size += size
        partial.highest_fsn = chunk.fsn
        partial.last_tsn = tsn
        if partial.size > self._max_message_size:
            return TOO_LONG
        if chunk.ending:
            self._remove(siblings, chunk.mid, key)
            self._complete(partial, chunk)
        return None

    def _place_fragment(self, chunk: IData, tsn: int, siblings: _PartialMessages) -> str | None:
        mid = unwrap32(chunk.mid, siblings.reference)
        key = chunk.stream_id, chunk.unordered
        if self._to_drop and mid in siblings.by_mid and mid <= self._to_drop.get(key, mid - 1):
            self._uncharge(siblings.by_mid[mid])  # another message than the one that was given up
            siblings.remove(mid)
        partial = siblings.get(mid, tsn)
        charge = -partial.charge if partial.size else 0
        problem = partial.add(chunk, tsn)
        if problem is not None:
            return problem
        charge += partial.charge
        self.charge += charge
        self.unfinished += charge
        self._partial_charge += charge
        if partial.size > self._max_message_size:
            return TOO_LONG
        if partial.whole:
            self._remove(siblings, mid, key)
            self._complete(partial, chunk)
        return None

    def _remove(self, siblings: _PartialMessages, mid: int, key: tuple[int, bool]) -> None:
        siblings.remove(mid)
        if not siblings.by_mid:
            del self._partial[key]
            if self._to_drop:
                self._to_drop.pop(key, None)  # MIDs are unwrapped anew then

    def _complete(self, partial: _PartialMessage, chunk: IData) -> None:
        self._uncharge(partial)
        self.charge += HELD_OVERHEAD + partial.size
        message = Message(
            chunk.stream_id,
            partial.ppid,
            b"".join(partial.parts),
            chunk.unordered,
            chunk.mid,
            partial.first_tsn & MASK32,
            partial.last_tsn & MASK32,
        )
        self._finish(message, partial.first_tsn, partial.last_tsn)

    def _uncharge(self, partial: _PartialMessage) -> None:
        charge = partial.charge
        self.charge -= charge
        self.unfinished -= charge
        self._partial_charge -= charge


def _given_up_key(stream_id: int, unordered: bool) -> int:
    """A number, since there may be one for each stream that there is."""
    return stream_id << 1 | unordered
