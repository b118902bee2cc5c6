"""RFC 9260 §6.1, §6.9 and §6.10: what goes out, when, and in which chunks and packets."""

from __future__ import annotations

import pytest

from tests.support.tx_invariants import check_invariants
from tests.support.tx_sender import FULL, PMDCS, Sender
from trio_sctp._core.tx.resettable_streams import ResettableStreams
from trio_sctp._wire.chunks import Data


def flags(chunk: Data) -> str:
    bits = ((chunk.beginning, "B"), (chunk.ending, "E"), (chunk.unordered, "U"))
    return "".join([letter for bit, letter in bits if bit])


# -- fragmentation (§6.9) and bundling (§6.10) -------------------------------------------------------


def test_6_9_a_long_message_becomes_full_chunks_with_consecutive_tsns_and_one_ssn() -> None:
    a = Sender(cwnd=100_000, max_burst=100)
    a.send(1)  # takes SSN 0
    a.send(3 * FULL + 500)
    packets = a.pull_chunks()
    chunks = [chunk for packet in packets for chunk in packet]
    assert [flags(chunk) for chunk in chunks] == ["BE", "B", "", "", "E"]
    assert [chunk.ssn for chunk in chunks] == [0, 1, 1, 1, 1]
    assert sum(len(chunk.payload) for chunk in chunks) == 1 + 3 * FULL + 500
    assert [chunk.tsn - chunks[0].tsn for chunk in chunks] == [0, 1, 2, 3, 4]


def test_6_9_unordered_fragments_all_carry_the_u_flag() -> None:
    a = Sender(cwnd=100_000)
    a.send(2 * FULL + 1, unordered=True)
    assert [flags(c) for packet in a.pull_chunks() for c in packet] == ["BU", "U", "EU"]


def test_6_9_the_payload_survives_in_order() -> None:
    a = Sender(cwnd=100_000, max_burst=100)
    a.send(1)
    payload = bytes(range(256)) * 40
    a.send_queue.streams.by_id[0].messages[0].payload = b"x"
    a.send(len(payload))
    a.send_queue.streams.by_id[0].messages[1].payload = payload
    chunks = [chunk for packet in a.pull_chunks() for chunk in packet]
    assert b"".join([chunk.payload for chunk in chunks]) == b"x" + payload


@pytest.mark.parametrize("size", [1, 2, 3, 4, FULL - 1, FULL, FULL + 1, 5 * FULL - 3])
@pytest.mark.parametrize("path_mtu", [1200, 1201, 1202, 1203, 1204])
def test_6_10_no_packet_exceeds_the_path_mtu(size: int, path_mtu: int) -> None:
    a = Sender(path_mtu=path_mtu, cwnd=100_000, max_burst=100)
    a.send(size, count=3)
    for packet in a.pull_chunks():
        assert 12 + sum(len(chunk.encode()) for chunk in packet) <= path_mtu


def test_6_10_small_messages_share_packets() -> None:
    a = Sender(cwnd=100_000)
    a.send(64, count=40)
    packets = a.pull()
    assert [len(packet) for packet in packets] == [14, 14, 12]
    assert [tsn for packet in packets for tsn in packet] == list(range(1, 41))


def test_6_10_room_taken_by_control_chunks_is_left_free() -> None:
    a = Sender(cwnd=100_000)
    a.send(5000)
    for room in (16 + FULL - 16, 700, 1188):
        size = sum(map(len, a.queue.chunks_to_send(room, a.now)))
        assert room - 4 < size <= room


def test_6_1_no_sliver_of_a_message_at_the_end_of_a_packet() -> None:
    a = Sender(cwnd=100_000)
    a.send(1000)
    a.send(FULL)
    assert [[len(c.payload) for c in packet] for packet in a.pull_chunks()] == [[1000], [FULL]]
    a.send(400)
    a.send(FULL)
    sizes = [[len(c.payload) for c in packet] for packet in a.pull_chunks()]
    assert sizes == [[400, FULL - 416], [416]], "half a packet is worth a fragment"


def test_a_packet_without_room_for_data_does_not_end_the_transfer() -> None:
    # a SACK or control chunks took the room of the first packet; the next one has it
    a = Sender()
    a.send(5000)
    assert a.queue.chunks_to_send(40, a.now) == []
    assert a.queue.chunks_to_send(0, a.now) == []
    assert a.pull() == [[1], [2], [3], [4]]


# -- rule A: the peer's receiver window --------------------------------------------------------------


def test_6_1_a_the_peers_window_is_honoured() -> None:
    a = Sender(peer_rwnd=2 * FULL + 100, cwnd=100_000)
    a.send(count=10)
    assert a.pull() == [[1], [2]]
    assert a.queue.peer_rwnd == 100
    a.sack(2, a_rwnd=FULL)
    assert a.pull() == [[3]]


def test_6_2_1_d_ii_window_minus_what_is_outstanding() -> None:
    a = Sender(cwnd=100_000)
    a.send(count=4)
    a.pull()
    a.sack(1, (3, 3), a_rwnd=5000)
    assert a.queue.peer_rwnd == 5000 - 2 * FULL
    a.sack(1, (3, 3), a_rwnd=100)
    assert a.queue.peer_rwnd == 0


# -- rule B: cwnd ------------------------------------------------------------------------------------


def test_6_1_b_cwnd_is_exceeded_by_less_than_one_packet() -> None:
    a = Sender(cwnd=2 * PMDCS + 1, max_burst=100)
    a.send(count=10)
    assert a.pull() == [[1], [2], [3]]
    assert a.queue.flight_size == 3 * PMDCS < 2 * PMDCS + 1 + PMDCS
    a.sack(1)
    a.queue.congestion.cwnd = 2 * PMDCS
    assert a.pull() == []


def test_6_1_b_bundled_small_chunks_breach_cwnd_by_one_packet_only() -> None:
    a = Sender(cwnd=PMDCS, max_burst=100)
    a.send(64, count=100)
    assert [len(packet) for packet in a.pull()] == [14, 14]
    assert a.queue.flight_size == 28 * 80


# -- rule C: what is marked goes first ---------------------------------------------------------------


def test_6_1_c_marked_data_goes_before_new() -> None:
    a = Sender(cwnd=4 * PMDCS)
    a.send(count=4)
    a.pull()
    a.send(count=4)
    a.expire()
    assert a.pull() == [[1]]
    a.sack(1, after=0.1)
    assert a.pull() == [[2], [3]]
    a.sack(3, after=0.1)
    assert a.pull()[:2] == [[4], [5]]


def test_6_1_new_data_may_share_a_packet_with_retransmissions() -> None:
    a = Sender()
    a.send(100)
    a.pull()
    a.send(100)
    a.expire()
    assert a.pull() == [[1, 2]]


# -- rule D: Max.Burst -------------------------------------------------------------------------------


def test_6_1_d_a_burst_is_limited() -> None:
    a = Sender(cwnd=10**6, max_burst=4)
    a.send(count=100)
    assert a.pull() == [[1], [2], [3], [4]]
    assert a.pull() == []


def test_6_1_d_a_sack_releases_what_it_acknowledged_and_a_burst() -> None:
    a = Sender(cwnd=10**6, max_burst=4)
    a.send(count=100)
    a.pull()
    a.sack(1)
    assert len(a.pull()) == 1 + 4, "the flight before the SACK was 4, so now it may be 8"
    a.sack(9)
    assert len(a.pull()) == 8 + 8, "a SACK for a batch of packets counts like several"


def test_6_1_d_sacks_of_one_batch_do_not_shrink_the_burst() -> None:
    a = Sender(cwnd=10**6, max_burst=4)
    a.send(count=100)
    a.pull()
    for tsn in (1, 2, 3, 4):
        a.sack(tsn)
    assert len(a.pull()) == 4 + 4


def test_6_1_d_cwnd_is_not_changed_by_it() -> None:
    a = Sender(cwnd=10**6, max_burst=1)
    a.send(count=10)
    a.pull()
    assert a.queue.cwnd == 10**6


def test_6_1_d_a_pull_in_parts_keeps_its_burst() -> None:
    a = Sender(cwnd=10**6, max_burst=4)
    a.send(count=100)
    assert a.queue.chunks_to_send(a.room, a.now)
    assert a.queue.chunks_to_send(20, a.now) == []  # this packet was full of other things
    assert len(a.pull()) == 3


# -- the I bit ---------------------------------------------------------------------------------------


def immediates(a: Sender) -> list[bool]:
    return [chunk.immediate for packet in a.pull_chunks() for chunk in packet]


def test_6_1_i_bit_where_a_chunk_fills_cwnd() -> None:
    a = Sender(cwnd=4 * PMDCS, max_burst=100)
    a.send(count=10)
    assert immediates(a) == [False, False, False, True]


def test_6_1_i_bit_where_a_chunk_fills_the_receiver_window() -> None:
    a = Sender(peer_rwnd=3 * FULL + 50, cwnd=10**6)
    a.send(count=10)
    assert immediates(a) == [False, False, True]


def test_6_1_i_bit_in_shutdown_pending() -> None:
    a = Sender(cwnd=10**6)
    a.queue.shutdown_pending = True
    a.send(count=2)
    assert immediates(a) == [True, True]


def test_6_1_no_i_bit_otherwise() -> None:
    a = Sender(cwnd=10**6)
    a.send(count=2)
    assert immediates(a) == [False, False]


# -- numbers -----------------------------------------------------------------------------------------


def test_6_5_ssn_starts_at_0_per_stream_and_unordered_messages_take_none() -> None:
    a = Sender(cwnd=10**6)
    for stream_id, unordered in ((5, False), (9, True), (5, False), (9, False), (9, False)):
        a.send(10, stream_id=stream_id, unordered=unordered)
    chunks = [chunk for packet in a.pull_chunks() for chunk in packet]
    ordered = [(c.stream_id, c.ssn) for c in chunks if not c.unordered]
    assert sorted(ordered) == [(5, 0), (5, 1), (9, 0), (9, 1)]


def test_6_5_ssn_wraps_from_65535_to_0() -> None:
    a = Sender(cwnd=10**7, max_burst=1000)
    a.send(1, count=3)
    a.send_queue.streams.by_id[0].next_ssn = 65535
    assert [chunk.ssn for packet in a.pull_chunks() for chunk in packet] == [65535, 0, 1]


def test_1_6_tsn_wraps_and_everything_goes_on() -> None:
    # initial TSN 2**32 - 3: the third packet has 2**32 - 1, the fourth 0
    a = Sender(initial_tsn=2**32 - 3, cwnd=100 * PMDCS, max_burst=100)
    a.send(count=10)
    packets = a.pull_chunks()
    assert [p[0].tsn for p in packets[:5]] == [2**32 - 3, 2**32 - 2, 2**32 - 1, 0, 1]
    a.sack(1, (3, 6))
    a.sack(1, (3, 7))
    a.sack(1, (3, 8))
    assert a.pull() == [[2]]
    a.sack(10)
    assert a.queue.is_empty
    assert a.queue.flight_size == 0


def test_6_1_at_most_65535_ordered_messages_of_a_stream_in_the_window() -> None:
    a = Sender(cwnd=10**8, peer_rwnd=10**8, max_burst=2**16)
    queue = a.queue
    for _ in range(2**16 + 10):
        a.send(1, stream_id=1)
    a.send(1, stream_id=2, count=3)
    a.send(1, stream_id=3, unordered=True, count=3)
    sent = 0
    while chunks := queue.chunks_to_send(a.room, a.now):
        sent += len(chunks)
    assert sent == 2**16 - 1 + 3 + 3, "stream 1 waits, others do not"
    assert queue.chunks_to_send(a.room, a.now) == []
    a.sack(1)  # the first message of stream 1
    assert len(queue.chunks_to_send(a.room, a.now)) == 1
    assert queue.chunks_to_send(a.room, a.now) == []


# -- who need not look -------------------------------------------------------------------------------


def is_stuck(a: Sender) -> bool:
    return a.queue.is_stuck


def test_what_is_added_behind_what_waits_for_a_window_need_not_be_looked_at() -> None:
    a = Sender(cwnd=4 * PMDCS)
    a.send(FULL, count=6)
    assert not is_stuck(a)
    assert len(a.pull()) == 4
    assert is_stuck(a)
    a.send(FULL)
    assert is_stuck(a)
    assert a.pull() == []
    a.sack(2)
    assert a.pull() != [], "whoever hears of the peer looks"


def test_a_short_message_of_a_quiet_stream_is_to_be_looked_at() -> None:
    a = Sender(cwnd=4 * PMDCS)
    a.send(FULL, count=6)
    a.pull()
    a.send(10, stream_id=1)
    assert not is_stuck(a)
    assert a.pull() == [[5]], "§6.1 B: it uses the packet by which cwnd may be exceeded"


def test_what_waits_for_a_burst_to_be_allowed_is_let_out_by_the_next_message() -> None:
    a = Sender(cwnd=100 * PMDCS, max_burst=4)
    a.send(FULL, count=10)
    assert len(a.pull()) == 4
    assert not is_stuck(a)
    a.send(FULL)
    assert len(a.pull()) == 4


# -- a message that is all there is to send goes a short way


def lone(a: Sender, size: int = 100) -> bytes:
    a.send(size)
    return a.queue.only_chunk(a.room, a.now)


def test_6_2_1_b_it_takes_its_part_of_the_peers_window() -> None:
    a = Sender(cwnd=20 * PMDCS, peer_rwnd=3 * FULL)
    assert lone(a)
    assert a.queue.peer_rwnd == 3 * FULL - 100
    a.send(count=5)
    assert len(a.pull()) == 2, "there is no room for a third"


def test_7_2_1_cwnd_decays_only_where_nothing_was_sent_for_long() -> None:
    a = Sender(cwnd=20 * PMDCS)
    for number in range(1, 4):
        assert lone(a)
        a.sack(number, after=0.1)
    assert a.queue.cwnd == 20 * PMDCS
    a.now += 1.0
    assert lone(a)
    assert a.queue.cwnd == 10 * PMDCS


def test_what_follows_it_goes_the_long_way_at_once() -> None:
    a = Sender(cwnd=20 * PMDCS, max_burst=4)
    assert lone(a)
    assert not lone(a), "one is in flight"
    a.send(count=8)
    assert len(a.pull()) == 4, "a burst"


@pytest.mark.parametrize("size, fits", [(FULL, True), (FULL + 1, False)])
def test_6_9_what_does_not_fit_a_packet_is_none(size: int, fits: bool) -> None:
    assert bool(lone(Sender(cwnd=20 * PMDCS), size)) is fits


@pytest.mark.parametrize("left, alone", [(PMDCS, True), (PMDCS - 1, False)])
def test_6_1_a_it_leaves_the_peer_room_for_a_packet(left: int, alone: bool) -> None:
    """Otherwise it has to ask for a SACK, or to wait, which is for the long way."""
    assert bool(lone(Sender(cwnd=20 * PMDCS, peer_rwnd=100 + left))) is alone


@pytest.mark.parametrize("more, alone", [(4, True), (0, False)])
def test_6_1_b_it_does_not_fill_cwnd(more: int, alone: bool) -> None:
    """The chunk that does asks for a SACK at once."""
    assert bool(lone(Sender(cwnd=FULL + 16 + more), FULL)) is alone


# -- many packets at a time


@pytest.mark.parametrize("size", [FULL, 570, FULL + 300, 50 * FULL])
def test_6_1_a_what_is_made_in_bulk_leaves_the_peers_window_as_all_else_does(size: int) -> None:
    a = Sender(cwnd=10**6, max_burst=2**16, peer_rwnd=20 * FULL + 600)
    a.send(size, count=100)
    assert a.queue.chunks_to_send(a.room, a.now)
    assert a.queue.full_packets(a.room, 100, a.now)
    sent = a.queue._data.flight_payload
    assert 18 * FULL < sent <= 20 * FULL + 600
    assert a.queue.peer_rwnd == 20 * FULL + 600 - sent
    check_invariants(a.queue)


@pytest.mark.parametrize("size", [FULL, 570, FULL + 300, 50 * FULL])
@pytest.mark.parametrize("limit", [0, 1, 3, 60])
def test_no_more_is_made_in_bulk_than_was_asked_for(size: int, limit: int) -> None:
    a = Sender(cwnd=10**6, max_burst=2**16)
    a.send(size, count=200)
    assert a.queue.chunks_to_send(a.room, a.now)
    assert len(a.queue.full_packets(a.room, limit, a.now)) == limit


@pytest.mark.parametrize("size", [570, FULL - 200, FULL + 300])
def test_what_is_held_back_is_not_made_in_bulk_either(size: int) -> None:
    a = Sender(cwnd=10**6, max_burst=2**16)
    a.send(size, count=10)
    ResettableStreams(a.send_queue).hold()
    a.send(size, count=10)
    assert a.queue.chunks_to_send(a.room, a.now)
    a.queue.full_packets(a.room, 100, a.now)
    a.pull_chunks()
    assert a.send_queue.unsent_bytes == 10 * size


def in_the_way(a: Sender, what: str) -> None:
    if what == "something lost":  # §6.1 C
        a.queue._data.mark(a.queue._data.chunks[a.queue._data.cumulative_tsn_ack + 1])
    elif what == "one packet only":  # §7.2.3
        a.queue._one_packet_only = True
    elif what == "the end":  # §6.1: the last chunk asks for a SACK at once
        a.queue.shutdown_pending = True
    elif what == "short messages":
        a.queue._spares_until = a.now + 1
    elif what == "a window probe":  # §6.1 A
        a.queue._window_probe.interval = 1.0
    elif what == "FORWARD TSN":
        a.queue._abandonment.forward_tsn.due = True
    else:
        assert what == "nothing"


@pytest.mark.parametrize(
    "what, made",
    [
        ("nothing", 9),
        ("something lost", 0),
        ("one packet only", 0),
        ("the end", 0),
        ("short messages", 0),
        ("FORWARD TSN", 0),
    ],
)
def test_nothing_is_made_in_bulk_where_each_packet_is_to_be_looked_at(what: str, made: int) -> None:
    a = Sender(cwnd=10**6, max_burst=2**16)
    a.send(50 * FULL)
    assert a.queue.chunks_to_send(a.room, a.now)
    in_the_way(a, what)
    assert len(a.queue.full_packets(a.room, 9, a.now)) == made


@pytest.mark.parametrize(
    "what, alone",
    [
        ("nothing", True),
        ("one packet only", False),
        ("the end", False),
        ("a window probe", False),
        ("FORWARD TSN", False),
    ],
)
def test_nor_does_a_message_go_the_short_way_then(what: str, alone: bool) -> None:
    a = Sender(cwnd=20 * PMDCS)
    in_the_way(a, what)
    assert bool(lone(a)) is alone
