"""What goes the short ways, in and out, is what would have gone the long ones.

`tests/properties/test_header_prediction.py` compares whole exchanges; here is each case by itself.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.association_pair import End, Pair, established_pair, packet_to
from trio_sctp._wire import chunks as c

MASK = 0xFFFFFFFF
PATH_MTU = 1200
HEADERS = 12 + 16
SACK = 16


def after_a_message(**changes: Any) -> Pair:
    """A has acknowledged one, which is done at once; it takes its time with the next."""
    pair = established_pair(path_mtu_discovery=False, **changes)
    pair.z.association.send(0, b"hello", now=pair.now)
    pair.run()
    assert pair.a.payloads == [b"hello"]
    return pair


def sending(count: int) -> Pair:
    """A has sent so many messages, in packets of their own, of which none has arrived."""
    pair = after_a_message()
    for number in range(count):
        pair.send(bytes([number]))
        pair.a.pull(pair.now)
    return pair


def sack_of(pair: Pair, ahead: int, *, a_rwnd: int = 1 << 20) -> c.Sack:
    tcb = pair.a.association.tcb
    assert tcb is not None
    return c.Sack((tcb.retransmission_queue.cumulative_tsn_ack + ahead) & MASK, a_rwnd)


def message_from(pair: Pair, ssn: int = 1) -> c.Data:
    """The next message of Z."""
    tcb = pair.a.association.tcb
    assert tcb is not None
    return c.Data((tcb.data_receiver.cumulative_tsn_ack + 1) & MASK, 0, ssn, 51, b"an answer")


def outstanding(end: End) -> int:
    tcb = end.association.tcb
    assert tcb is not None
    return tcb.retransmission_queue.outstanding_count


# -- a SACK and a message come ------------------------------------------------------------------------


@pytest.mark.parametrize("acked, left", [(0, 2), (1, 1), (2, 0)])
def test_6_2_1_a_sack_beside_a_message_acknowledges_what_it_says(acked: int, left: int) -> None:
    pair = sending(2)
    assert pair.a.receive(sack_of(pair, acked), message_from(pair), now=0.1) == []
    assert outstanding(pair.a) == left
    assert pair.a.payloads == [b"an answer"]


def test_6_2_what_comes_once_is_processed_once() -> None:
    """A duplicate would have been reported at once."""
    pair = sending(1)
    assert pair.a.receive(sack_of(pair, 1), message_from(pair), now=0.1) == []
    assert pair.a.payloads == [b"an answer"]


@pytest.mark.parametrize("with_message", [False, True])
def test_8_1_what_acknowledges_ends_the_count_of_errors(with_message: bool) -> None:
    pair = sending(1)
    now = pair.a.association.next_timeout()
    while not pair.a.association.statistics().error_count:
        now = pair.a.association.next_timeout()
        pair.a.expire(now)
        pair.a.pull(now)
    pair.a.receive(sack_of(pair, 1), *[message_from(pair)] * with_message, now=now)
    assert pair.a.association.statistics().error_count == 0


@pytest.mark.parametrize("with_message", [False, True])
@pytest.mark.parametrize("counts", [b"\0\1\0\0", b"\0\0\0\1", b"\0\1\0\1"])
def test_3_3_4_a_sack_without_the_lists_that_it_counts_is_none(
    counts: bytes, with_message: bool
) -> None:
    pair = sending(1)
    malformed = sack_of(pair, 1).encode()[:12] + counts
    pair.a.receive(malformed, *[message_from(pair)] * with_message, now=0.1)
    assert outstanding(pair.a) == 1


def test_3_2_a_sack_that_is_cut_off_is_malformed() -> None:
    pair = sending(1)
    before = sum(pair.a.association.statistics().dropped.values())
    pair.a.receive(b"\x03\0\0\x08" + bytes(4), now=0.1)
    assert outstanding(pair.a) == 1
    assert sum(pair.a.association.statistics().dropped.values()) == before + 1


# -- a SACK and a message go --------------------------------------------------------------------------


@pytest.mark.parametrize("size", range(PATH_MTU - HEADERS - 24, PATH_MTU - HEADERS + 28, 4))
@pytest.mark.parametrize("acknowledges", [False, True])
def test_6_9_a_lone_message_is_in_one_packet_or_in_two_and_none_is_too_long(
    size: int, acknowledges: bool
) -> None:
    pair = after_a_message()
    if acknowledges:
        assert pair.a.receive(message_from(pair), now=0.0) == []
    pair.send(bytes(size))
    packets = pair.a.pull(0.0)
    room = PATH_MTU - HEADERS - SACK * acknowledges
    assert len(packets) == (1 if size <= room else 2)
    sacks = [packet.names.startswith("SACK") for packet in packets]
    assert sacks[0] is acknowledges, "§6.1: what is unacknowledged rides along"
    assert not any(sacks[1:])


def test_6_7_a_sack_alone_with_very_many_gaps_fits() -> None:
    pair = after_a_message()
    first = message_from(pair)
    packets = [
        packet_to(
            pair.a.association, c.Data((first.tsn + 2 * n + 1) & MASK, 0, n + 2, 51, b"early")
        )
        for n in range(400)
    ]
    pair.a.give(packets, 0.0)
    (packet,) = pair.a.pull(0.0)
    assert PATH_MTU - 4 < len(packet.raw) <= PATH_MTU


@pytest.mark.parametrize("limit", [1, 3, 7])
def test_no_more_packets_are_made_than_asked_for_with_a_sack_before_them(limit: int) -> None:
    pair = after_a_message()
    pair.a.receive(message_from(pair), now=0.0)
    tcb = pair.a.association.tcb
    assert tcb is not None
    tcb.retransmission_queue.congestion.cwnd = tcb.retransmission_queue.peer_rwnd = 1 << 20
    tcb.retransmission_queue._config = pair.a.association.config.replace(max_burst=100)
    pair.send(bytes(50_000))
    assert len(pair.a.association.packets_to_send(now=0.0, limit=limit)) == limit


@pytest.mark.parametrize("sizes", [(100,), (5000,), (100, 100)])
@pytest.mark.parametrize("acknowledges", [False, True])
def test_8_3_a_path_that_data_went_along_is_not_idle(
    sizes: tuple[int, ...], acknowledges: bool
) -> None:
    pair = after_a_message()
    tcb = pair.a.association.tcb
    assert tcb is not None
    for number, size in enumerate(sizes, 1):
        now = number / 10
        if acknowledges:
            pair.a.receive(message_from(pair, ssn=number), now=now)
        pair.send(bytes(size))
        names = [packet.names for packet in pair.a.pull(now)]
        assert names[0] == ("SACK, DATA" if acknowledges else "DATA")
        assert tcb.heartbeat.path_used_at == now


def test_8_3_an_answer_without_data_leaves_a_path_idle() -> None:
    """It measures no round trip: a HEARTBEAT goes when it would have."""
    pair = after_a_message()
    tcb = pair.a.association.tcb
    assert tcb is not None
    before = tcb.heartbeat.path_used_at
    (packet,) = pair.a.receive(c.Heartbeat.from_info(b"x"), now=9.0)
    assert packet.names == "HEARTBEAT ACK"
    assert tcb.heartbeat.path_used_at == before


def test_6_3_3_a_full_chunk_that_is_repeated_waits_for_no_sack_to_go_first() -> None:
    """It fills its packet: what is unacknowledged cannot ride along."""
    pair = after_a_message(loss_recovery="rfc9260")
    pair.send(bytes(PATH_MTU - HEADERS))
    pair.a.pull(pair.now)
    now = pair.a.association.next_timeout()
    assert pair.a.receive(message_from(pair), now=now - 0.001) == []
    pair.a.expire(now)
    assert [packet.names for packet in pair.a.pull(now)] == ["DATA"]
