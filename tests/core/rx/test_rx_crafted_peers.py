"""What a hostile peer can make the receiving half spend: steps for a packet, and memory.

A step is a line of Python that runs, so the assertions do not depend on the machine.  Each test brings
a receiver into the worst state that it can think of, twice: with little held and with a lot of it, and
compares what the next packet costs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from tests.support.incoming_data import (
    TSN,
    arrive,
    data,
    executed_lines,
    fragment,
    new_receiver,
    read_sack,
)
from trio_sctp._core.rx.data_receiver import DataReceiver
from trio_sctp._wire.chunks import Data, ForwardTsn, IData, IForwardTsn

IN_A_PACKET = 59  # DATA chunks of one byte in 1200 bytes
LITTLE, A_LOT = 100, 20_000


def cost(receiver: DataReceiver, chunks: Iterable[Data | IData]) -> int:
    """Steps for one packet with these chunks, its SACK and the reading of what came out."""
    chunks = list(chunks)

    def handle() -> None:
        for chunk in chunks:
            receiver.receive(chunk)
        receiver.end_of_packet()
        receiver.end_of_batch(0.0)
        receiver.sack(1188)

    return executed_lines(handle)


def compare(
    prepare: Callable[[DataReceiver, int], object],
    packet: Callable[[int], Iterable[Data | IData]],
    *,
    interleaving: bool = False,
) -> None:
    """The packet costs the same, whatever is held, and few steps for each chunk."""
    costs = []
    for held in (LITTLE, A_LOT):
        receiver = new_receiver(a_rwnd=2**26, interleaving=interleaving)
        prepare(receiver, held)
        costs.append(cost(receiver, packet(held)))
    little, a_lot = costs
    assert a_lot <= 1.2 * little + 3 * 300  # a full SACK lists up to 293 Gap Ack Blocks
    assert a_lot <= 150 * IN_A_PACKET


def feed(receiver: DataReceiver, chunks: Iterable[Data | IData]) -> None:
    for chunk in chunks:
        receiver.receive(chunk)


def test_every_second_tsn_only() -> None:
    compare(
        lambda r, n: feed(r, (data(TSN + 1 + 2 * i, i) for i in range(n))),
        lambda n: [data(TSN + 2 * n + 1 + 2 * i) for i in range(IN_A_PACKET)],
    )


def test_holes_filled_from_the_top() -> None:
    compare(
        lambda r, n: feed(r, (data(TSN + 1 + 2 * i, i) for i in range(n))),
        lambda n: [data(TSN + 2 * n - 2 * i) for i in range(IN_A_PACKET)],
    )


def test_thousands_of_one_byte_fragments_in_ascending_order() -> None:
    compare(
        lambda r, n: feed(r, (fragment(TSN + i, "B" if i == 0 else "") for i in range(n))),
        lambda n: [fragment(TSN + n + i, "") for i in range(IN_A_PACKET)],
    )


def test_thousands_of_one_byte_fragments_in_descending_order() -> None:
    compare(
        lambda r, n: feed(r, (fragment(TSN + 100 + n - i, "") for i in range(n))),
        lambda n: [fragment(TSN + 100 - i, "") for i in range(IN_A_PACKET)],
    )


def test_isolated_fragments_that_are_joined() -> None:
    compare(
        lambda r, n: feed(r, (fragment(TSN + 1 + 2 * i, "") for i in range(n))),
        lambda n: [fragment(TSN + 2 + 2 * i, "") for i in range(IN_A_PACKET)],
    )


def test_long_runs_that_are_joined() -> None:
    # The payloads of the shorter run are moved, by one operation: no step for each fragment.
    compare(
        lambda r, n: feed(r, (fragment(TSN + 1 + i, "") for i in range(n) if i != n // 2)),
        lambda n: [fragment(TSN + 1 + n // 2, "")],
    )


def test_duplicates_of_everything() -> None:
    compare(
        lambda r, n: feed(r, [data(TSN + i + i % 2, i) for i in range(n)] * 2),
        lambda n: [data(TSN + 3)] * IN_A_PACKET,
    )


def test_ssns_far_ahead() -> None:
    compare(
        lambda r, n: feed(r, (data(TSN + i, 60_000 - i) for i in range(n))),
        lambda n: [data(TSN + n + i, 30_000 + i) for i in range(IN_A_PACKET)],
    )


def test_ends_before_beginnings() -> None:
    compare(
        lambda r, n: feed(r, (fragment(TSN + 1 + 3 * i, "E", i) for i in range(n))),
        lambda n: [fragment(TSN + 1 + 3 * n + 3 * i, "E", n + i) for i in range(IN_A_PACKET)],
    )


def test_tsns_beyond_all_sense() -> None:
    compare(
        lambda r, n: feed(r, (data(TSN + 2**31 - 1 - i) for i in range(n))),
        lambda n: [data(TSN + 2**31 - 1 - n - i) for i in range(IN_A_PACKET)],
    )


def test_a_packet_for_each_stream() -> None:
    compare(
        lambda r, n: feed(r, (data(TSN + i, 1, stream_id=i) for i in range(n))),
        lambda n: [data(TSN + n + i, 1, stream_id=n + i) for i in range(IN_A_PACKET)],
    )


def test_interleaved_messages_that_never_end() -> None:
    compare(
        lambda r, n: feed(
            r, (IData(TSN + i, i % 7, i, 1 + i, 0, b"x", beginning=False) for i in range(n))
        ),
        lambda n: [
            IData(TSN + n + i, i % 7, n + i, 9, 0, b"x", beginning=False)
            for i in range(IN_A_PACKET)
        ],
        interleaving=True,
    )


def test_interleaved_fragments_in_descending_order() -> None:
    flags = {"beginning": False, "ending": False}
    compare(
        lambda r, n: feed(r, (IData(TSN + i, 0, 0, 2 + n - i, 0, b"x", **flags) for i in range(n))),
        lambda n: [
            IData(TSN + n + i, 0, 0, 3 + n + i, 0, b"x", **flags) for i in range(IN_A_PACKET)
        ],
        interleaving=True,
    )


def test_interleaved_messages_around_one_that_never_ends() -> None:
    # what is remembered of MIDs does not grow with the messages that came and went
    receiver = new_receiver(a_rwnd=2**26, interleaving=True)
    receiver.receive(IData(TSN, 0, 0, 1, 0, b"x", beginning=False))
    for i in range(1000):
        receiver.receive(IData(TSN + 2 * i + 1, 0, 1 + i, 0, 0, b"x", ending=False))
        receiver.receive(IData(TSN + 2 * i + 2, 0, 1 + i, 1, 0, b"y", beginning=False))
    ((_, partial),) = receiver._queue._partial.items()  # type: ignore[attr-defined]
    assert len(partial.by_mid) == 1
    assert len(partial.mids) <= 10


# -- FORWARD TSN and resets -----------------------------------------------------------------------


def test_forward_tsn_costs_what_it_lists_and_gives_up() -> None:
    # runs above the new point, waiting messages of far SSNs, and 290 entries for one stream
    costs = []
    for held in (LITTLE, A_LOT):
        receiver = new_receiver(a_rwnd=2**26)
        feed(receiver, (fragment(TSN + 1000 + 2 * i, "", i) for i in range(held)))
        feed(receiver, (data(TSN + 999 - i, 60_000 - i, stream_id=1) for i in range(500)))
        chunk = ForwardTsn(TSN + 10, [(1, ssn) for ssn in range(290)])
        costs.append(executed_lines(lambda c=chunk, r=receiver: r.forward_tsn(c)))  # type: ignore[misc]
    assert costs[1] <= 1.2 * costs[0]
    assert costs[1] < 290 * 20


def test_i_forward_tsn_costs_what_it_lists_and_gives_up() -> None:
    costs = []
    for held in (LITTLE, A_LOT):
        receiver = new_receiver(a_rwnd=2**26, interleaving=True)
        feed(
            receiver,
            (IData(TSN + 1 + i, 1, 1000 + i, 1, 0, b"x", beginning=False) for i in range(held)),
        )
        chunk = IForwardTsn(TSN, [(1, False, mid) for mid in range(140)])
        costs.append(executed_lines(lambda c=chunk, r=receiver: r.forward_tsn(c)))  # type: ignore[misc]
    assert costs[1] <= 1.2 * costs[0]
    assert costs[1] < 140 * 40


def test_a_reset_of_named_streams_costs_what_it_names() -> None:
    costs = []
    for held in (LITTLE, A_LOT):
        receiver = new_receiver(a_rwnd=2**26)
        feed(receiver, (data(TSN + i, 1, stream_id=i) for i in range(held)))
        ids = list(range(60_000, 60_500))
        costs.append(executed_lines(lambda i=ids, r=receiver: r.reset_streams(i)))  # type: ignore[misc]
    assert costs[1] == costs[0]


def test_a_reset_of_all_streams_does_not_visit_those_that_wait() -> None:
    receiver = new_receiver(a_rwnd=2**26)
    feed(receiver, (data(TSN + 1 + i, 1, stream_id=i) for i in range(A_LOT)))
    receiver.receive(data(TSN + A_LOT + 1, 0, stream_id=60_000))
    receiver.reset_streams(None)
    assert executed_lines(lambda: receiver.reset_streams(None)) < 50


# -- memory ---------------------------------------------------------------------------------------


def weight(receiver: DataReceiver) -> int:
    return receiver._queue.charge


@pytest.mark.parametrize(
    "chunks",
    [
        lambda i: data(TSN + 1 + i, i),
        lambda i: data(TSN + 1 + 2 * i, i),
        lambda i: data(TSN + 1 + i, 1, stream_id=i % 65535),
        lambda i: fragment(TSN + 1 + i, ""),
        lambda i: fragment(TSN + 1 + 2 * i, ""),
        lambda i: fragment(TSN + 1 + 2 * i, "B", i),
        lambda i: data(TSN + 1 + i, unordered=True),
    ],
)
def test_what_is_held_is_bounded_by_the_window(chunks: Callable[[int], Data]) -> None:
    receiver = new_receiver(a_rwnd=100_000, max_message_size=10_000)
    for i in range(5000):
        if receiver.receive(chunks(i)) is not None:
            break
    receiver.end_of_packet()
    assert weight(receiver) <= 2 * 100_000 + 600
    assert len(read_sack(receiver).gap_ack_offsets) <= 2 * 300


def test_a_message_at_the_head_is_bounded_by_the_largest_message_that_is_accepted() -> None:
    receiver = new_receiver(a_rwnd=100_000, max_message_size=10_000)
    for i in range(10_000):
        if receiver.receive(fragment(TSN + i, "B" if i == 0 else "")) is not None:
            break
    assert weight(receiver) <= 3 * 100_000 + 2 * 10_000 + 100


def test_one_forged_tsn_does_not_cost_much_memory() -> None:
    receiver = new_receiver()
    arrive(receiver, data(TSN + 100_000), data(TSN + 2**30), data(TSN + 2**31 - 1))
    assert len(receiver._tracker.above) <= 2**17


def test_the_charge_is_what_the_objects_take() -> None:
    # The overheads are measured values: a message of one byte must not weigh less than it takes.
    tracemalloc = pytest.importorskip("tracemalloc")
    receiver = new_receiver(a_rwnd=2**26)
    tracemalloc.start()
    try:
        for i in range(2000):
            receiver.receive(data(TSN + i, i, bytes([i & 255]) * 2))
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken <= weight(receiver) * 1.2
