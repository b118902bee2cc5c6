"""What must hold of the sending side after every step, computed the slow way from what it holds."""

from __future__ import annotations

from collections import Counter

from trio_sctp._core.path_mtu import MIN_PLPMTU
from trio_sctp._core.tx.congestion_standard import StandardController
from trio_sctp._core.tx.gap_ranges import ranges_of
from trio_sctp._core.tx.miss_indications import MissIndications
from trio_sctp._core.tx.outbound_streams import (
    MAX_MIDS_IN_FLIGHT,
    MAX_ORDERED_IN_WINDOW,
    OutboundStream,
)
from trio_sctp._core.tx.outgoing_message import OutgoingMessage
from trio_sctp._core.tx.outstanding_data import ABANDONED, ACKED, IN_FLIGHT, MARKED
from trio_sctp._core.tx.rack import Rack
from trio_sctp._core.tx.retransmission_queue import RetransmissionQueue
from trio_sctp._core.tx.send_queue import SendQueue

SMALLEST_PMDCS = MIN_PLPMTU - 12


def check_invariants(queue: RetransmissionQueue) -> None:
    """Every counter equals what a recount says, and no window is out of its bounds."""
    _check_outstanding_data(queue)
    _check_messages(queue)
    check_send_queue(queue._send_queue)
    congestion = queue.congestion
    least = min(congestion.pmdcs, SMALLEST_PMDCS)  # the windows do not grow with the path MTU
    assert congestion.cwnd >= least
    assert congestion.ssthresh >= 4 * least
    if isinstance(congestion, StandardController):
        assert congestion.partial_bytes_acked >= 0
    assert queue.peer_rwnd >= 0
    rest = queue._rest
    if rest is not None:
        wire = rest if isinstance(rest, int) else rest.cumulative_tsn_ack
        left = (wire - queue.cumulative_tsn_ack) & 0xFFFFFFFF
        assert left < 1 << 31, "the rest of a SACK that is out of date would never be done with"
    _check_recovery(queue)


def check_not_stalled(queue: RetransmissionQueue) -> None:
    """After all that may go was pulled: what is left waits for a timer or cannot be sent at all."""
    data, send_queue = queue._data, queue._send_queue
    if data.chunks:
        first = data.chunks[data.cumulative_tsn_ack + 1]
        done = all(chunk.state in (ACKED, ABANDONED) for chunk in data.chunks.values())
        assert data.flight_size > 0 or done, "outstanding data, and none of it under way"
        if first.state == ABANDONED and queue.partial_reliability:
            assert queue.advanced_peer_ack_point > data.cumulative_tsn_ack
            assert not queue._abandonment.forward_tsn.due, "a FORWARD TSN that was not sent"
        assert queue.t3_rtx.running, "data in flight without a timer"
    elif send_queue.next_message() is not None:
        assert queue.t3_rtx.running, "data to send, and nothing will ever send it"


def _check_outstanding_data(queue: RetransmissionQueue) -> None:
    data = queue._data
    chunks = data.chunks
    assert list(chunks) == list(range(data.cumulative_tsn_ack + 1, data.next_tsn))
    in_flight = [chunk for chunk in chunks.values() if chunk.state == IN_FLIGHT]
    assert data.flight_size == sum(len(chunk.wire) for chunk in in_flight)
    assert data.flight_payload == sum(chunk.payload_size for chunk in in_flight)

    abandoned = {tsn for tsn, chunk in chunks.items() if chunk.state == ABANDONED}
    assert data.abandoned_count == len(abandoned)
    assert data.lost == []
    for chunk in chunks.values():
        assert chunk.message.abandoned == (chunk.state == ABANDONED), "a part of a message"
    assert queue._abandonment.active >= bool(abandoned)
    _check_peer_ack_point(queue)

    marked = {tsn for tsn, chunk in chunks.items() if chunk.state == MARKED}
    assert data.marked_count == len(marked)
    assert data.repeated_count == sum(chunk.retransmitted for chunk in chunks.values())
    assert marked <= set(data._marked), "a marked chunk that nobody will retransmit"
    heap = data._marked
    assert all(heap[(i - 1) // 2] <= heap[i] for i in range(1, len(heap)))

    covered: list[int] = []
    for first, last in ranges_of(data.gap_bounds):
        assert first <= last
        assert not covered or covered[-1] + 1 < first, "gap ranges overlap, touch or are unsorted"
        covered += range(first, last + 1)
    acked = [tsn for tsn, chunk in chunks.items() if chunk.state == ACKED]
    assert [tsn for tsn in covered if tsn not in abandoned] == acked
    assert data.highest_acked >= (data.gap_bounds or [data.cumulative_tsn_ack])[-1]


def _check_recovery(queue: RetransmissionQueue) -> None:
    """What loss recovery will look at is all that it has to look at, and in the right order."""
    recovery, data = queue.recovery, queue._data
    assert recovery._data is data
    if recovery.exit_point is not None:
        assert data.cumulative_tsn_ack < recovery.exit_point < data.next_tsn
    if isinstance(recovery, MissIndications):
        assert len(recovery._highest) <= 3
        assert recovery._highest == sorted(recovery._highest)
        return
    assert isinstance(recovery, Rack)
    # of a recovery that another one has begun cwnd says what may go out
    assert (recovery.quota is None) == (recovery._prr is None)
    assert recovery._prr is None or recovery.exit_point is not None
    in_flight = [chunk for chunk in data.chunks.values() if chunk.state == IN_FLIGHT]
    once = [chunk for chunk in in_flight if not chunk.retransmitted]
    assert all(chunk.tsn >= recovery._next_once for chunk in once), "a loss nobody will find"
    sending_times = [chunk.sent_at for chunk in once]
    assert sending_times == sorted(sending_times)
    queued = {(sent_at, tsn) for sent_at, tsn, _ in recovery._repeated}
    again = {(chunk.sent_at, chunk.tsn) for chunk in in_flight if chunk.retransmitted}
    assert again <= queued, "a lost retransmission nobody will find"
    times = [sent_at for sent_at, _, _ in recovery._repeated]
    assert times == sorted(times)
    if recovery.timer.running:
        assert data.chunks


def _check_peer_ack_point(queue: RetransmissionQueue) -> None:
    """RFC 3758 §3.5 C2: up to it the peer needs nothing more, and it has learnt of all numbers."""
    data, forward_tsn = queue._data, queue._abandonment.forward_tsn
    point = queue.advanced_peer_ack_point
    for tsn in range(data.cumulative_tsn_ack + 1, point + 1):
        assert data.chunks[tsn].state in (ACKED, ABANDONED)
    if point > data.cumulative_tsn_ack:
        assert data.chunks[point].state == ABANDONED
    following = data.chunks.get(point + 1)
    if following is not None and following.state == ABANDONED:
        assert forward_tsn._skipped, "the point could go on"
    tsns = [tsn for tsn, _ in forward_tsn._skipped.values()]
    assert tsns == sorted(tsns)


def _check_messages(queue: RetransmissionQueue) -> None:
    assert not queue._data.acked_messages
    begun: dict[int, OutgoingMessage] = {}
    outstanding: Counter[int] = Counter()
    for chunk in queue._data.chunks.values():
        if not chunk.message.abandoned:
            begun[id(chunk.message)] = chunk.message
        outstanding[id(chunk.message)] += chunk.payload_size
    for stream in queue._send_queue.streams.by_id.values():
        for message in stream.messages:
            if message.offset:
                begun[id(message)] = message
    assert queue.unacknowledged_messages == len(begun)
    for key, message in begun.items():
        assert message.unacked == outstanding[key] + len(message.payload) - message.offset
        assert message.unacked > 0


def check_send_queue(send_queue: SendQueue) -> None:
    """The send queue's own counters."""
    streams = send_queue.streams.by_id.values()
    most = MAX_MIDS_IN_FLIGHT if send_queue.interleaving else MAX_ORDERED_IN_WINDOW
    for stream in streams:
        assert stream.paused == (stream.stream_id in send_queue.streams.paused)
        assert stream.abandoned_waiting == sum(m.abandoned for m in stream.messages)
        assert not (stream.messages and stream.messages[0].abandoned)
        waiting = [len(m.payload) - m.offset for m in stream.messages if not m.abandoned]
        assert all(waiting), "a message that was wholly sent still waits"
        held = list(send_queue.streams._held.get(stream.stream_id, ()))
        assert not any(m.abandoned or m.offset for m in held)
        waiting += [len(message.payload) for message in held]
        assert stream.unsent_bytes == sum(waiting)
        assert stream.undelivered_bytes >= stream.unsent_bytes
        assert 0 <= stream.next_ssn < 2**16
        assert 0 <= stream.ordered_in_window <= most
        assert not (stream.active and not stream.messages)
        if stream.messages and not stream.active:
            held_up = stream.paused or send_queue.streams.suspended
            assert held_up or stream.ordered_in_window == most
        if stream.active and stream.paused:
            assert stream.messages[0].offset, "a stream may send although it is paused"
        for message in list(stream.messages)[1:]:
            assert message.offset == 0, "a message was begun before the one ahead of it"
    assert send_queue.unsent_bytes == sum(stream.unsent_bytes for stream in streams)
    waiting_messages = [m for stream in streams for m in stream.messages if not m.abandoned]
    assert send_queue.streams.held_count == sum(map(len, send_queue.streams._held.values()))
    not_begun = sum(m.offset == 0 for m in waiting_messages)
    assert send_queue.message_count == not_begun + send_queue.streams.held_count
    begun = [m for m in waiting_messages if m.offset]
    if send_queue.interleaving:
        assert send_queue._begun_count == len(begun)
        assert send_queue._current is None
    else:
        assert begun == ([send_queue._current] if send_queue._current else [])
    assert send_queue.is_between_messages == (not begun)


def state_is_kept_of(send_queue: SendQueue, stream_id: int) -> OutboundStream | None:
    """What the queue remembers of a stream; None for one that is as good as new."""
    return send_queue.streams.by_id.get(stream_id)
