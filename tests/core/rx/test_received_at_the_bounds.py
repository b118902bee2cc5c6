"""What is received at the ends of ranges and windows, where changes had not been noticed."""

from __future__ import annotations

from itertools import permutations

import pytest

from tests.support.association_pair import established_pair
from tests.support.gap_ack_blocks import blocks_of
from tests.support.incoming_data import (
    PPID,
    TSN,
    Sender,
    arrive,
    data,
    fragment,
    new_receiver,
    read_sack,
)
from trio_sctp._wire import chunks as c


@pytest.mark.parametrize("offset, blocks", [(65_535, [(65_535, 65_535)]), (65_536, [])])
def test_a_gap_ack_block_says_what_fits_its_field(offset: int, blocks: list[object]) -> None:
    """RFC 9260 §3.3.4: offsets have 16 bits; what lies further ahead is told later."""
    receiver = new_receiver()
    arrive(receiver, data(TSN - 1 + offset, unordered=True))
    assert blocks_of(read_sack(receiver)) == blocks


def test_what_arrives_within_a_gap_is_reported() -> None:
    """§6.2: each TSN that has arrived, in whichever order."""
    receiver = new_receiver()
    arrive(receiver, *[data(TSN - 1 + offset, unordered=True) for offset in (6, 4, 2, 3)])
    assert blocks_of(read_sack(receiver)) == [(2, 4), (6, 6)]


def test_the_next_tsn_is_taken_however_much_is_held() -> None:
    """§6.2: without it nothing of what is held could ever leave; the one behind it is dropped."""
    receiver = new_receiver(a_rwnd=100_000)
    held, tsn = -1, TSN + 2000
    while receiver.charge > held:  # from the top downwards: gaps may be filled for long
        held = receiver.charge
        arrive(receiver, fragment(tsn, "B", stream_id=tsn - TSN, payload=bytes(1000)))
        tsn -= 2
    assert 200_000 < held < 400_000
    arrive(receiver, fragment(TSN + 1, "B", stream_id=1))
    assert receiver.charge == held
    arrive(receiver, fragment(TSN, "B", stream_id=0))
    assert receiver.charge > held
    assert receiver.cumulative_tsn_ack == TSN


@pytest.mark.parametrize("interleaving", [False, True], ids=["DATA", "I-DATA"])
@pytest.mark.parametrize("lost", [0, 1])
def test_the_middle_of_a_message_is_acknowledged_as_all_data_is(
    interleaving: bool, lost: int
) -> None:
    """§6.2: every second packet; §6.7: at once behind a gap, with what has arrived."""
    pair = established_pair(interleaving=interleaving, path_mtu_discovery=False, max_burst=10)
    pair.send(bytes(40_000))
    packets = pair.a.pull(pair.now)
    while len(packets) < 8:
        pair.z.give([packet.raw for packet in packets], pair.now)
        pair.a.give([packet.raw for packet in pair.z.pull(pair.now)], pair.now)
        packets = pair.a.pull(pair.now)
    answers = []
    for packet in packets[lost:8]:
        pair.z.give([packet.raw], pair.now)
        answers.append([a.chunk(c.Sack).gap_ack_offsets for a in pair.z.pull(pair.now)])
    if lost:
        assert answers == [[(2, 2 + i)] for i in range(7)]
    else:
        assert answers in ([[], [()]] * 4, [[()], []] * 4)


@pytest.mark.parametrize("interleaving", [False, True], ids=["DATA", "I-DATA"])
@pytest.mark.parametrize("unordered", [False, True])
@pytest.mark.parametrize("cuts", [(), (1,), (1, 2)])
def test_a_message_says_what_its_chunks_said(
    interleaving: bool, unordered: bool, cuts: tuple[int, ...]
) -> None:
    """§6.9: in whichever order they came."""
    for order in permutations(range(len(cuts) + 1)):
        receiver = new_receiver(interleaving=interleaving)
        chunks = Sender(interleaving=interleaving).message(
            b"abc", stream_id=7, unordered=unordered, cuts=cuts
        )
        arrive(receiver, *[chunks[i] for i in order])
        (message,) = receiver.messages
        said = message.stream_id, message.ppid, message.payload, message.unordered
        assert said == (7, PPID, b"abc", unordered)
