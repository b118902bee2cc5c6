"""What is received at the ends of ranges and windows, where changes had not been noticed."""

from __future__ import annotations

import pytest

from tests.support.incoming_data import TSN, arrive, data, fragment, new_receiver, read_sack


@pytest.mark.parametrize("offset, blocks", [(65_535, [(65_535, 65_535)]), (65_536, [])])
def test_a_gap_ack_block_says_what_fits_its_field(offset: int, blocks: list[object]) -> None:
    """RFC 9260 §3.3.4: offsets have 16 bits; what lies further ahead is told later."""
    receiver = new_receiver()
    arrive(receiver, data(TSN - 1 + offset, unordered=True))
    assert list(read_sack(receiver).gap_ack_blocks) == blocks


def test_what_arrives_within_a_gap_is_reported() -> None:
    """§6.2: each TSN that has arrived, in whichever order."""
    receiver = new_receiver()
    arrive(receiver, *[data(TSN - 1 + offset, unordered=True) for offset in (6, 4, 2, 3)])
    assert list(read_sack(receiver).gap_ack_blocks) == [(2, 4), (6, 6)]


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
