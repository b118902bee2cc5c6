"""The receiving half of an association: chunks in, messages out, SACKs when they are due.

`DataReceiver` decides whether a DATA or I-DATA chunk is taken (duplicates, the receiver window; RFC
9260 §6.2) and when it is acknowledged (§6.2, §6.7).  How large the window is, is `ReceiveWindow`'s
business; reassembly and order are the queues'.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence
from struct import Struct
from typing import TYPE_CHECKING

from ..._wire.chunks import Data, ForwardTsn, IData, IForwardTsn
from ..._wire.data_encoding import (
    DATA_HEADER_SIZE,
    DATA_LAYOUT,
    I_DATA_HEADER_SIZE,
    I_DATA_LAYOUT,
    IMMEDIATE,
    SACK_HEADER_SIZE,
    UNORDERED,
    WHOLE,
    encode_sack,
)
from ..._wire.error_causes import (
    ErrorCause,
    InvalidStreamIdentifier,
    NoUserData,
    OutOfResource,
    ProtocolViolation,
)
from ..._wire.packet import COMMON_HEADER_SIZE, successive_payloads
from ..._wire.serial import MASK32, unwrap32
from ..timer import Timer
from .data_tracker import MAX_TSNS_AHEAD, DataTracker
from .interleaving import EARLY_OVERHEAD, InterleavedReassemblyQueue
from .ordering import FRAGMENT_OVERHEAD, HELD_OVERHEAD, RELEASE_STEP, MessageOrdering
from .reassembly_queue import ReassemblyQueue
from .receive_window import ReceiveWindow

if TYPE_CHECKING:
    from ..config import Config
    from ..events import Message
    from ..statistics import Counters

__all__ = ["DataReceiver"]

_FLAGS_AT = COMMON_HEADER_SIZE + 1
_TSN_AT = COMMON_HEADER_SIZE + 4
_SHORTEST = COMMON_HEADER_SIZE + I_DATA_HEADER_SIZE
_unpack_tsn = Struct(">I").unpack_from
_unpack_data = DATA_LAYOUT.unpack_from
_unpack_i_data = I_DATA_LAYOUT.unpack_from
_MAX_ERRORS = 16  # reports of invalid streams that wait
_MUCH = 1 << 16


class DataReceiver:
    """Everything about user data from the peer, for the association to drive.

    Call `receive` for each chunk, `end_of_packet` after each packet and `end_of_batch` after each
    batch; then take `messages`, and send `sack` if `sack_wanted`, or with DATA if `ack_pending`.
    """

    __slots__ = (
        "_chunk_type",
        "_config",
        "_ended_numbering_at",
        "_header_size",
        "_numbering_from",
        "_packets_per_sack",
        "_packets_unacknowledged",
        "_queue",
        "_sack_now",
        "_saw_data",
        "_tracker",
        "_window",
        "counters",
        "duplicate_chunks",
        "errors",
        "inbound_streams",
        "messages",
        "release_timer",
        "sack_timer",
        "sack_wanted",
    )

    def __init__(
        self,
        config: Config,
        *,
        initial_tsn: int,
        inbound_streams: int,
        counters: Counters,
        interleaving: bool = False,
    ) -> None:
        """``initial_tsn`` is the peer's Initial TSN; ``inbound_streams`` what was negotiated."""
        self._config = config
        self.counters = counters
        self._tracker = DataTracker(initial_tsn)
        self._queue: MessageOrdering = (
            InterleavedReassemblyQueue(config.max_message_size)
            if interleaving
            else ReassemblyQueue(config.max_message_size, self._tracker)
        )
        self._window = ReceiveWindow(config, self._tracker, self._queue)
        self._chunk_type = IData if interleaving else Data
        self._header_size = I_DATA_HEADER_SIZE if interleaving else DATA_HEADER_SIZE
        self.inbound_streams = inbound_streams
        self.messages: deque[Message] = self._queue.ready
        """Messages for the program, in order; each stays charged until `message_consumed`."""
        self.errors: list[ErrorCause] = []
        """Causes to report in ERROR chunks, see `take_errors`."""
        self.sack_timer = Timer("SACK delay")
        self.release_timer = Timer("release of messages")
        """Due at once while more messages can go than one packet lets go."""
        self.sack_wanted = False
        """A SACK is due without waiting for anything."""
        self.duplicate_chunks = 0
        self._numbering_from: int | None = None
        self._ended_numbering_at: int | None = None
        self._saw_data = False
        self._sack_now = False
        self._packets_unacknowledged = 0
        self._packets_per_sack = 1  # §5.1: the first DATA is acknowledged at once

    # -- chunks in ---------------------------------------------------------------------------------

    def receive(self, chunk: Data | IData) -> ErrorCause | None:
        """Take a DATA or I-DATA chunk.  A cause that is returned ends the association (ABORT)."""
        if type(chunk) is not self._chunk_type:
            return _violation("DATA and I-DATA are never mixed")  # RFC 8260 §2.2.3
        if not chunk.payload:
            return NoUserData(chunk.tsn)  # RFC 9260 §6.2
        tracker, queue = self._tracker, self._queue
        self._saw_data = True
        above = tracker.above
        tsn = tracker.cumulative_tsn_ack + 1
        ahead = (chunk.tsn - tsn) & MASK32
        has_room = queue.charge < self._config.a_rwnd
        if has_room and not ahead and not above:
            tracker.cumulative_tsn_ack = tsn  # in order, nothing is missing and there is room
            if chunk.immediate:
                self._sack_now = True
        else:
            self._sack_now = True  # §6.7: a gap, or one that is being filled; §6.2: all other cases
            if (
                has_room
                and len(above) <= ahead < MAX_TSNS_AHEAD
                and queue.has_place_for(chunk, tsn + ahead)
            ):
                tsn += ahead
                tracker.observe(tsn)
            elif not self._admit(chunk, tsn := unwrap32(chunk.tsn, tsn)):
                return OutOfResource() if self._window.is_exhausted else None
        if chunk.stream_id >= self.inbound_streams:
            self._report_stream(chunk.stream_id)
            return None
        problem = queue.add(chunk, tsn)
        return None if problem is None else _violation(problem)

    def receive_alone(self, packet: bytes) -> bool:
        """Take a packet of nothing but the middle of a message, with the highest TSN, or a whole one.

        Most packets are such, those of a long message also while something before them is missing.
        They say nothing else, so they need not become chunks first.  False if this is another one, to
        be treated as any packet.
        """
        if len(packet) < _SHORTEST:
            return False
        if fragment := packet[_FLAGS_AT] & WHOLE:
            return fragment == WHOLE and self.receive_whole(packet, COMMON_HEADER_SIZE)
        tracker, queue = self._tracker, self._queue
        above = tracker.above
        tsn = tracker.cumulative_tsn_ack + 1
        ahead = (_unpack_tsn(packet, _TSN_AT)[0] - tsn) & MASK32
        missing = ahead - len(above)
        if (
            missing < 0
            or ahead >= MAX_TSNS_AHEAD
            or queue.charge >= self._config.a_rwnd
            or not queue.add_middle(packet, tsn + ahead)
        ):
            return False
        if ahead:
            if missing:
                above.extend(bytes(missing))
            above.append(1)
            self._sack_now = True  # §6.7: there is a gap
        else:
            tracker.cumulative_tsn_ack = tsn
            if packet[_FLAGS_AT] & IMMEDIATE:
                self._sack_now = True
        self._packets_unacknowledged += 1
        return True

    def receive_following(
        self, packets: Sequence[bytes], start: int, crc: int, *, zero_checksum: bool
    ) -> int:
        """Take those from ``start`` on that only carry on what the one before them has; how many.

        That is the middle of a message, which `receive_alone` has taken.  The other arguments are those
        of `successive_payloads`, which recognises such packets without a look at each field.
        """
        packet = packets[start - 1]
        tracker, queue = self._tracker, self._queue
        above = tracker.above
        tsn = tracker.cumulative_tsn_ack + len(above)
        size = len(packet) - COMMON_HEADER_SIZE - self._header_size
        room = self._config.a_rwnd - queue.charge
        most = min(
            room // (size + FRAGMENT_OVERHEAD + EARLY_OVERHEAD),
            queue.most_to_follow(packet, tsn, size),
            MAX_TSNS_AHEAD - len(above),
        )
        if most <= 0:
            return 0
        payloads = successive_payloads(packets, start, most, crc, zero_checksum=zero_checksum)
        count = len(payloads)
        if count:
            queue.add_following(packet, tsn, payloads)
            if above:
                above.extend(b"\1" * count)
            else:
                tracker.cumulative_tsn_ack = tsn + count
            self._packets_unacknowledged += count
        return count

    def receive_messages(
        self, packets: Sequence[bytes], start: int, crc: int, *, zero_checksum: bool
    ) -> int:
        """Take those from ``start`` on that are the next messages as the one before them is; how many.

        That is a whole one, which `receive_alone` has taken.  The other arguments are those of
        `successive_payloads`.
        """
        packet, queue = packets[start - 1], self._queue
        if packet[_FLAGS_AT] & UNORDERED:
            return 0
        if self._chunk_type is IData:
            _, _, length, tsn, stream_id, _, number, ppid = _unpack_i_data(
                packet, COMMON_HEADER_SIZE
            )
        else:
            _, _, length, tsn, stream_id, number, ppid = _unpack_data(packet, COMMON_HEADER_SIZE)
        size = length - self._header_size + HELD_OVERHEAD
        most = (self._config.a_rwnd - queue.charge) // size
        if most <= 0:
            return 0
        payloads = successive_payloads(packets, start, most, crc, zero_checksum=zero_checksum)
        count = len(payloads)
        if count:
            queue.add_messages(stream_id, number, ppid, tsn, payloads)
            self._tracker.cumulative_tsn_ack += count
            self._packets_unacknowledged += count
        return count

    def receive_whole(self, packet: bytes, offset: int) -> bool:
        """Take the chunk at ``offset``, if it is the last and a whole message with the next TSN.

        False if this is something else, to be treated as any packet.
        """
        tracker, queue = self._tracker, self._queue
        tsn = tracker.cumulative_tsn_ack + 1
        if (
            len(packet) < offset + I_DATA_HEADER_SIZE
            or _unpack_tsn(packet, offset + 4)[0] != tsn & MASK32
            or tracker.above
            or queue.charge >= self._config.a_rwnd
            or not queue.add_whole(packet, offset, self.inbound_streams)
        ):
            return False
        tracker.cumulative_tsn_ack = tsn
        if packet[offset + 1] & IMMEDIATE:
            self._sack_now = True
        self._packets_unacknowledged += 1
        return True

    def forward_tsn(self, chunk: ForwardTsn | IForwardTsn) -> ErrorCause | None:
        """Give up what the peer has abandoned (RFC 3758 §3.6).  A returned cause ends all."""
        interleaving = self._chunk_type is IData
        if interleaving is not (type(chunk) is IForwardTsn):  # RFC 8260 §2.3.1
            return _violation("FORWARD TSN and I-FORWARD-TSN go with DATA and I-DATA")
        tracker = self._tracker
        old = tracker.cumulative_tsn_ack
        new = unwrap32(chunk.new_cumulative_tsn, old)
        self._saw_data = True  # for SACKs it counts as DATA does
        if new - old >= 1 << 30 and self._ended_numbering_at is not None:
            before = (self._ended_numbering_at - new) & MASK32
            if before < 1 << 30:  # it was sent before the last TSN reset
                self.counters.drop("FORWARD TSN from before a reset")
                return None
        if tracker.above:
            self._sack_now = True
        if tracker.forward(new):
            streams = [entry for entry in chunk.streams if entry[0] < self.inbound_streams]
            self._queue.forward_tsn(old, new, streams)
        else:
            self._sack_now = True  # it is old: our SACK was lost, perhaps
        return None

    def end_of_packet(self) -> None:
        """A packet is through, with or without data."""
        if self._saw_data:
            self._saw_data = False
            self._packets_unacknowledged += 1
        if self._queue.credit < RELEASE_STEP:
            self._queue.go_on()

    def end_of_batch(self, now: float) -> None:
        """Decide when what has come is acknowledged: now, or ``sack_delay`` later at most."""
        unacknowledged = self._packets_unacknowledged
        if self._sack_now or unacknowledged >= self._packets_per_sack:
            self.sack_wanted = True
            self.sack_timer.stop()
        elif unacknowledged and not self.sack_wanted and not self.sack_timer.running:
            self.sack_timer.start(now, self._config.sack_delay)
        if self._queue.credit < RELEASE_STEP and self._queue.is_releasing:
            self.release_timer.start_at(now)

    def handle_sack_delay(self) -> None:
        """`sack_timer` has expired."""
        self.sack_wanted = True

    @property
    def is_releasing(self) -> bool:
        """Messages have their turn that are not among `messages` yet."""
        return self._queue.is_releasing

    @property
    def holds_much(self) -> bool:
        """More is unfinished than one packet may give up."""
        return self._queue.unfinished > _MUCH

    def handle_release(self) -> None:
        """`release_timer` has expired: some more are among `messages`."""
        self._queue.go_on()

    def release_all(self) -> None:
        """All of them are."""
        self._queue.release_all()

    # -- acknowledgements out ----------------------------------------------------------------------

    @property
    def cumulative_tsn_ack(self) -> int:
        """The last TSN before the first one that is missing, unwrapped."""
        return self._tracker.cumulative_tsn_ack

    @property
    def ack_pending(self) -> bool:
        """Something has come that no SACK has acknowledged: send one along with DATA (§6.1)."""
        return self._packets_unacknowledged > 0

    @property
    def has_lists(self) -> bool:
        """A SACK would have gap ack blocks, or duplicates to report."""
        tracker = self._tracker
        return bool(tracker.above or tracker.duplicates)

    def sack(self, max_size: int) -> bytes:
        """The SACK chunk of this moment, of at most ``max_size`` (16 or more) bytes.

        Gap Ack Blocks come first, from the lowest (§6.7), then as many duplicates as fit.
        """
        tracker = self._tracker
        gaps: list[int] = []
        duplicates: list[int] = []
        if self.has_lists:
            room = (max_size - SACK_HEADER_SIZE) >> 2
            gaps = tracker.gap_ack_blocks(room)
            duplicates = tracker.take_duplicates(room - (len(gaps) >> 1))
        a_rwnd = self._window.advertise()
        self._packets_unacknowledged = 0
        self._packets_per_sack = 2  # §6.2
        self._sack_now = self.sack_wanted = False
        self.sack_timer.stop()
        cumulative_tsn_ack = tracker.cumulative_tsn_ack & MASK32
        return encode_sack(cumulative_tsn_ack, a_rwnd, gaps, duplicates)

    # -- the window --------------------------------------------------------------------------------

    @property
    def a_rwnd(self) -> int:
        """The window as a SACK would advertise it now."""
        return self._window.a_rwnd

    @property
    def charge(self) -> int:
        """What all that is held or unread takes, in bytes."""
        return self._queue.charge

    def message_consumed(self, size: int) -> bool:
        """The program is done with a message of ``size`` bytes.

        True if a SACK has become due only because the window has opened (§6.2).
        """
        if not self._window.consumed(size):
            return False
        self.sack_wanted = True
        return True

    def _admit(self, chunk: Data | IData, tsn: int) -> bool:
        """Whether to keep a chunk that did not come in order, or while the window is used up."""
        tracker = self._tracker
        if tsn in tracker:
            self.duplicate_chunks += 1
            tracker.observe(tsn)
            return False
        too_far = tsn - tracker.cumulative_tsn_ack > MAX_TSNS_AHEAD
        if too_far or not (self._window.admits(tsn) and self._queue.has_place_for(chunk, tsn)):
            self.counters.drop("data without room for it")
            return False
        return tracker.observe(tsn)

    # -- the association's other wishes ------------------------------------------------------------

    def take_errors(self) -> list[ErrorCause]:
        """What is to be reported in ERROR chunks; the list is emptied."""
        errors, self.errors = self.errors, []
        return errors

    def defer_reset(self, stream_ids: Collection[int] | None, last_tsn: int) -> None:
        """A reset of these streams (None: all) awaits the data up to an unwrapped TSN.

        Until `reset_streams`, later messages on them are held back (RFC 6525 §5.2.2 step E2).
        """
        self._queue.defer_reset(stream_ids or (), last_tsn)

    def reset_streams(self, stream_ids: Collection[int] | None) -> None:
        """Expect SSN or MID 0 next on these streams (None: all); release what was held back."""
        self._queue.reset_streams(stream_ids or ())

    # -- new numbers for everything (RFC 6525 §5.2.4 and §5.2.7 H5) ----------------------------------

    def hold_back(self) -> None:
        """From the next TSN on the peer may count anew: let messages wait until that is known."""
        if self._numbering_from is None:
            self._numbering_from = self._tracker.highest_tsn + 1
        self._queue.hold_back(max(self._tracker.highest_tsn, self._numbering_from - 1))

    def holds_back(self, tsn: int) -> bool:
        """What begins at this TSN may have new numbers or old ones, and waits therefore."""
        return self._queue.holds_back(tsn)

    def end_hold_back(self, *, for_good: bool = False) -> None:
        """The peer counts as before, for now or (``for_good``) until further notice."""
        if for_good:
            self._numbering_from = None
        self._queue.end_hold_back()

    def hold_back_from(self, next_tsn: int) -> None:
        """The peer's messages from a TSN on, as on the wire, have new numbers, all others old ones."""
        self._queue.hold_back(self._numbered_from(next_tsn) - 1)
        self._queue.release_held_back()

    def end_numbering(self, next_tsn: int) -> None:
        """After `hold_back_from`: finish the messages that have old numbers.

        All others are held back until `end_hold_back`.
        """
        acked, tsn = self._tracker.cumulative_tsn_ack, self._numbered_from(next_tsn)
        self._ended_numbering_at = acked
        if tsn - 1 > acked:
            self._tracker.forward(tsn - 1)
        self._queue.end_numbering(tsn)

    def _numbered_from(self, next_tsn: int) -> int:
        first = self._numbering_from
        if first is None:
            first = self._tracker.cumulative_tsn_ack + 1
        return first + ((next_tsn - first) & MASK32)

    def replace_config(self, config: Config) -> None:
        """Go on with other values; those of `FIXED_BY_INIT` are the same."""
        self._config = self._window.config = config

    def _report_stream(self, stream_id: int) -> None:
        """RFC 9260 §6.5: acknowledged, reported and thrown away."""
        cause = InvalidStreamIdentifier(stream_id)
        if len(self.errors) < _MAX_ERRORS and cause not in self.errors:
            self.errors.append(cause)


def _violation(information: str) -> ProtocolViolation:
    return ProtocolViolation(information.encode())
