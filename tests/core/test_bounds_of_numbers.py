"""The last number on this side, and the first on the other: where mutants have lived."""

from __future__ import annotations

import pytest

from tests.support.association_pair import Pair, established_pair
from tests.support.incoming_data import Sender, arrive, data, fragment, new_receiver, take
from tests.support.tx_sender import Sender as SendingSide
from trio_sctp._core.events import CloseReason
from trio_sctp._core.states import State
from trio_sctp._core.tx.gap_ranges import above, subtract
from trio_sctp._wire import chunks as c

Interleaving = pytest.mark.parametrize("interleaving", [False, True], ids=["DATA", "I-DATA"])


@Interleaving
@pytest.mark.parametrize("excess", [0, 1])
@pytest.mark.parametrize("whole", [False, True])
def test_a_message_is_as_long_as_it_may_be_or_a_byte_longer(
    interleaving: bool, excess: int, whole: bool
) -> None:
    pair = established_pair(interleaving=interleaving, max_message_size=5000)
    size = 5000 + excess
    if whole:
        size = 500 + excess
        pair = established_pair(interleaving=interleaving, max_message_size=500)
    pair.send(bytes(size))
    pair.run()
    if excess:
        assert pair.z.closed is not None
        assert pair.z.closed.reason is CloseReason.LOCAL_ABORT
    else:
        assert pair.z.payloads == [bytes(size)]
        assert pair.z.state is State.ESTABLISHED


@Interleaving
def test_numbers_may_be_skipped_up_to_half_of_their_space(interleaving: bool) -> None:
    """And what is further ahead is behind (RFC 9260 §1.6)."""
    half = 1 << (31 if interleaving else 15)
    for ahead in (half // 2 + 5, half - 2):
        receiver = new_receiver(interleaving=interleaving)
        chunk: c.ForwardTsn | c.IForwardTsn
        if interleaving:
            chunk = c.IForwardTsn(1000, [(0, False, ahead)])
            waiting = c.IData(1001, 0, ahead + 1, 0, 53, b"next")
            behind = c.IData(1002, 0, ahead - half // 2, 0, 53, b"behind")
        else:
            chunk = c.ForwardTsn(1000, [(0, ahead)])
            waiting = data(1001, ssn=ahead + 1, payload=b"next")  # type: ignore[assignment]
            behind = data(1002, ssn=ahead - half // 2, payload=b"behind")  # type: ignore[assignment]
        assert receiver.forward_tsn(chunk) is None
        arrive(receiver, waiting, behind)
        assert take(receiver) == [b"next"]


@Interleaving
def test_a_message_far_ahead_of_its_turn_waits(interleaving: bool) -> None:
    sender = Sender(interleaving=interleaving)
    receiver = new_receiver(interleaving=interleaving)
    sender.numbers[0, False] = 1 << (30 if interleaving else 14) | 7
    arrive(receiver, *sender.message(b"later"))
    assert take(receiver) == []
    assert receiver.charge > 0, "kept, since its turn may come"


def test_a_forward_tsn_leaves_what_begins_behind_it() -> None:
    """A message begins two TSNs behind the new point: its end is still to come."""
    receiver = new_receiver()
    arrive(receiver, fragment(1000, "B"), fragment(1003, "B", ssn=1, payload=b"he"))
    assert receiver.forward_tsn(c.ForwardTsn(1001, [(0, 0)])) is None
    arrive(receiver, data(1002, ssn=0, stream_id=9, payload=b"other"))
    arrive(receiver, fragment(1004, "E", ssn=1, payload=b"llo"))
    assert take(receiver) == [b"other", b"hello"]


def test_a_forward_tsn_leaves_the_middle_of_what_begins_behind_it() -> None:
    receiver = new_receiver()
    arrive(receiver, fragment(1003, "", ssn=0, payload=b"l"))
    assert receiver.forward_tsn(c.ForwardTsn(1001, [])) is None
    arrive(receiver, fragment(1002, "B", payload=b"hel"), fragment(1004, "E", payload=b"o"))
    assert take(receiver) == [b"hello"]


def test_a_message_cut_at_the_new_point_has_its_turn_yet() -> None:
    receiver = new_receiver()
    arrive(receiver, fragment(1001, "B", ssn=20_000, payload=b"hel"))
    assert receiver.forward_tsn(c.ForwardTsn(1001, [])) is None
    arrive(receiver, fragment(1002, "E", ssn=20_000, payload=b"lo"))
    assert receiver.forward_tsn(c.ForwardTsn(1003, [(0, 19_999)])) is None
    assert take(receiver) == [b"hello"]


@pytest.mark.parametrize("tag", [0, 1, 2**32 - 1])
def test_an_init_ack_needs_a_tag(tag: int) -> None:
    """RFC 9260 §3.3.3: with 0 the attempt ends; any other one will do."""
    pair = Pair()
    pair.a.association.connect(now=0.0)
    pair.pull()
    pair.deliver()
    (packet,) = pair.z.pull(0.0)
    init_ack = packet.chunk(c.InitAck)
    answer = c.InitAck(
        tag,
        init_ack.a_rwnd,
        init_ack.outbound_streams,
        init_ack.inbound_streams,
        init_ack.initial_tsn,
        init_ack.parameters,
    )
    pair.a.receive(answer, now=0.0)
    assert pair.a.state is (State.COOKIE_ECHOED if tag else State.CLOSED)


def test_ranges_of_what_is_missing() -> None:
    assert above([3, 9], 4) == [5, 9]
    assert above([3, 9, 11, 12], 2) == [3, 9, 11, 12]
    assert above([3, 9, 11, 12], 9) == [11, 12]
    assert above([3, 9], 8) == [9, 9]
    assert subtract([(1, 10), (12, 20)], [(2, 3), (5, 15)]) == [(1, 1), (4, 4), (16, 20)]
    assert subtract([(1, 5), (6, 8), (10, 12)], [(3, 10)]) == [(1, 2), (11, 12)]


def test_the_peers_window_is_whole_again_when_time_finds_a_loss() -> None:
    """RFC 9260 §6.2.1 C: what is marked for retransmission is not in flight, and takes no room."""
    window = 50_000
    a = SendingSide(loss_recovery="rack", peer_rwnd=window, cwnd=20_000, max_burst=20)
    a.send(count=8)
    a.pull()
    a.now += 0.1
    a.sack(1, a_rwnd=window)  # a round trip is known now
    a.sack(1, (3, 7), a_rwnd=window - 6 * 1000, after=0.001)
    assert a.queue.flight_size
    a.time_out()
    assert a.queue._data.marked_count
    assert a.queue.peer_rwnd + a.queue._data.flight_payload == window - 6 * 1000
    a.pull()
    a.sack(8, a_rwnd=window)
    assert a.queue.peer_rwnd == window
