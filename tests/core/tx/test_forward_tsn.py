"""What a FORWARD TSN says, to the last TSN, stream and byte (RFC 3758 §3.5, RFC 8260 §2.3.1)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.tx_invariants import check_invariants, check_not_stalled
from tests.support.tx_sender import FULL, PATH_MTU, PMDCS, Sender
from trio_sctp._core.send_options import SendOptions
from trio_sctp._core.tx.outgoing_message import OutgoingMessage
from trio_sctp._core.tx.policies import Policy
from trio_sctp._wire.chunks import Data, ForwardTsn, IData, IForwardTsn

KINDS: dict[int, type[Data | IData | ForwardTsn | IForwardTsn]] = {
    chunk.type: chunk for chunk in (Data, IData, ForwardTsn, IForwardTsn)
}
BESIDE_SACK = 12 + 16
"""Common header, and a SACK without gap ack blocks: a FORWARD TSN leaves room for it."""


@pytest.fixture(params=[False, True], ids=["DATA", "I-DATA"])
def interleaving(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


class Forgetful(Sender):
    """Sends messages that are given up when they are lost, which T3-rtx says.  TSNs from 1 on."""

    def __init__(
        self, interleaving: bool = False, *, path_mtu: int = PATH_MTU, **config: Any
    ) -> None:
        super().__init__(path_mtu=path_mtu, cwnd=10**6, max_burst=2**16, **config)
        self.queue.partial_reliability = True
        self.send_queue.use_interleaving(interleaving)
        self.interleaving = interleaving

    def once(self, *stream_ids: int, unordered: bool = False) -> None:
        for stream_id in stream_ids:
            self.send_limited(b"once", stream_id, unordered=unordered)
            self.packets()

    def send_limited(
        self, payload: bytes, stream_id: int = 0, *, limit: int = 0, unordered: bool = False
    ) -> None:
        """It may be sent again so often."""
        message = OutgoingMessage(stream_id, 51, payload, unordered)
        message.policy = Policy(SendOptions(max_retransmits=limit), None, self.now)
        self.send_queue.add(message)
        self.send_queue.policies.add(message)
        self.queue.message_added(message)

    def packets(self) -> list[list[Any]]:
        """All that may go out now."""
        packets = []
        while wires := self.queue.chunks_to_send(self.room, self.now):
            check_invariants(self.queue)
            assert sum(map(len, wires)) <= self.room
            packets.append(_decoded(b"".join(wires)))
        check_not_stalled(self.queue)
        return packets

    def told(self) -> list[tuple[int, list[Any]]]:
        """What the next packet tells the peer to do without: TSNs, and numbers by stream."""
        (packet,) = self.packets()
        return [
            (chunk.new_cumulative_tsn - self.before_first, list(chunk.streams))
            for chunk in packet
            if isinstance(chunk, ForwardTsn | IForwardTsn)
        ]

    def give_up(self) -> list[tuple[int, list[Any]]]:
        """T3-rtx expires; what the peer is told then."""
        self.expire()
        return self.told()

    def entry(self, stream_id: int, number: int, *, unordered: bool = False) -> tuple[Any, ...]:
        return (stream_id, unordered, number) if self.interleaving else (stream_id, number)


def _decoded(data: bytes) -> list[Any]:
    found = []
    while data:
        length = int.from_bytes(data[2:4], "big")
        found.append(KINDS[data[0]].decode(data[1], data[4:length]))
        data = data[(length + 3) & ~3 :]
    return found


# -- what fits


def test_as_many_streams_as_leave_room_for_a_sack(interleaving: bool) -> None:
    path_mtu, streams_in_all = 604, 160
    a = Forgetful(interleaving, path_mtu=path_mtu)
    a.once(*range(streams_in_all))
    size = 8 if interleaving else 4
    fit = (path_mtu - BESIDE_SACK - 8) // size
    assert (path_mtu - BESIDE_SACK - 8) % size == 0
    ((point, streams),) = a.give_up()
    assert (point, len(streams)) == (fit, fit)
    a.sack(point)
    ((point, streams),) = a.told()
    assert (point, len(streams)) == (
        min(2 * fit, streams_in_all),
        min(fit, streams_in_all - fit),
    )


@pytest.mark.parametrize("path_mtu, chunks", [(592, 47), (1200, 48)])
def test_as_many_steps_as_leave_room_for_a_sack_and_48_at_most(path_mtu: int, chunks: int) -> None:
    # the peer has each second message; they wait for what comes before them
    a = Forgetful(path_mtu=path_mtu)
    a.once(*[7] * 120)
    a.sack(0, *[(tsn, tsn) for tsn in range(2, 121, 2)], after=0.1)
    assert a.give_up() == [(2 * step + 1, [(7, 2 * step)]) for step in range(chunks)]


def test_where_there_is_no_room_for_it_nothing_goes_in_its_place(interleaving: bool) -> None:
    a = Forgetful(interleaving)
    a.once(1, 2, 3)
    a.expire()
    assert a.queue.chunks_to_send(12, a.now) == []
    assert [point for point, _ in a.told()] == [3]


# -- steps


def test_a_step_for_each_message_that_waits_at_the_peer(interleaving: bool) -> None:
    a = Forgetful(interleaving)
    a.once(1, 1, 1, 1, 1)
    a.sack(0, (2, 2), (4, 4), after=0.1)
    assert a.give_up() == [(tsn, [a.entry(1, tsn - 1)]) for tsn in (1, 3, 5)]


def test_none_for_messages_of_other_streams_and_unordered_ones(interleaving: bool) -> None:
    a = Forgetful(interleaving)
    a.once(1, 2)
    a.once(1, unordered=True)
    a.once(1, 2)
    a.sack(0, (2, 3), after=0.1)
    assert a.give_up() == [(5, [a.entry(1, 1), a.entry(2, 1)])]


def test_steps_that_the_peer_has_taken_are_not_told_again(interleaving: bool) -> None:
    a = Forgetful(interleaving)
    a.once(1, 1, 1, 1, 1)
    a.sack(0, (2, 2), (4, 4), after=0.1)
    a.give_up()
    a.sack(2, (4, 4), after=0.1)
    assert a.give_up() == [(tsn, [a.entry(1, tsn - 1)]) for tsn in (3, 5)]
    a.sack(3, (5, 5), after=0.1)
    assert a.give_up() == [(5, [a.entry(1, 4)])]


def test_what_waited_behind_a_step_that_was_taken_waits_no_more(interleaving: bool) -> None:
    a = Forgetful(interleaving)
    a.once(1, 1)
    a.sack(0, (2, 2), after=0.1)
    assert a.give_up() == [(1, [a.entry(1, 0)])]
    a.sack(2, after=0.1)
    a.once(1)
    assert a.give_up() == [(3, [a.entry(1, 2)])]


# -- which streams


def test_what_the_peer_has_acknowledged_is_not_told_again(interleaving: bool) -> None:
    a = Forgetful(interleaving)
    a.once(1, 2, 3)
    a.give_up()
    a.sack(1, after=0.1)
    assert a.give_up() == [(3, [a.entry(2, 0), a.entry(3, 0)])]


def test_nothing_is_told_while_the_first_missing_message_is_to_arrive(interleaving: bool) -> None:
    a = Forgetful(interleaving)
    a.send(10)
    a.packets()
    a.once(1)
    a.expire()
    ((chunk,),) = a.packets()
    assert chunk.tsn - a.before_first == 1


# -- while streams are reset (RFC 6525)


def test_up_to_the_last_tsn_before_a_reset_that_may_have_been_performed(interleaving: bool) -> None:
    a = Forgetful(interleaving)
    a.once(1, 1)
    a.queue.streams_will_be_reset([1])
    a.once(2)
    assert a.give_up() == [(2, [a.entry(1, 1)])]
    a.sack(2, after=0.1)
    assert a.told() == [(3, [a.entry(2, 0)])]


def test_a_reset_that_concerns_no_number_does_not_stop_it(interleaving: bool) -> None:
    a = Forgetful(interleaving)
    a.once(2, 2)
    a.queue.streams_will_be_reset([1])
    a.once(2)
    assert a.give_up() == [(3, [a.entry(2, 2)])]


def test_a_reset_of_all_concerns_every_number(interleaving: bool) -> None:
    a = Forgetful(interleaving)
    a.once(2, 2)
    a.queue.streams_will_be_reset([])
    a.once(2)
    assert a.give_up() == [(2, [a.entry(2, 1)])]


def test_numbers_of_before_a_reset_are_not_told(interleaving: bool) -> None:
    a = Forgetful(interleaving)
    a.once(1, 2)
    a.once(1, unordered=True)
    a.queue.streams_were_reset([1])
    assert a.give_up() == [(3, [a.entry(2, 0)])]


def test_nor_told_again(interleaving: bool) -> None:
    a = Forgetful(interleaving)
    a.once(1, 2)
    a.once(1, unordered=True)
    a.give_up()
    a.queue.streams_were_reset([1])
    assert a.give_up() == [(3, [a.entry(2, 0)])]


def test_those_of_after_a_reset_are(interleaving: bool) -> None:
    a = Forgetful(interleaving)
    a.once(1)
    a.queue.streams_were_reset([1])
    a.send_queue.streams[1].reset()
    a.once(1)
    assert a.give_up() == [(2, [a.entry(1, 0)])]


def test_after_a_reset_of_all_streams_no_number_is(interleaving: bool) -> None:
    a = Forgetful(interleaving)
    a.once(1, 2)
    a.queue.streams_were_reset([])
    a.send_queue.streams[2].reset()
    a.once(2)
    assert a.give_up() == [(3, [a.entry(2, 0)])]


# -- when a message is given up (RFC 7496 §3.1), and what that means for congestion (RFC 3758 §3.5)


def tsns(a: Forgetful) -> list[int]:
    """Of the DATA chunks in the next packets."""
    chunks = [chunk for packet in a.packets() for chunk in packet]
    return [c.tsn - a.before_first for c in chunks if isinstance(c, Data | IData)]


@pytest.mark.parametrize("limit", [1, 3])
def test_so_many_retransmissions_and_no_more(limit: int) -> None:
    a = Forgetful()
    a.send_limited(b"again", limit=limit)
    assert tsns(a) == [1]
    for _ in range(limit):
        a.expire()
        assert tsns(a) == [1]
    assert a.give_up() == [(1, [(0, 0)])]


def test_a_probe_for_a_lost_tail_counts_as_one() -> None:
    a = Forgetful(loss_recovery="rack")
    a.once(5)
    a.sack(1, after=0.1)
    a.send_limited(b"again", limit=1)
    assert tsns(a) == [2]
    sent = []
    while a.queue.recovery.timer.deadline < a.queue.t3_rtx.deadline:
        a.time_out()
        sent += tsns(a)
    assert sent == [2]
    assert a.give_up() == [(2, [(0, 0)])]


def half_sent() -> Forgetful:
    """Of a message of seven chunks six were sent, TSNs 2 to 7; another message was sent before it."""
    a = Forgetful()
    a.once(3)
    a.queue.congestion.cwnd = 6 * PMDCS
    a.send_limited(bytes(7 * FULL))
    a.packets()
    assert a.queue.next_tsn - a.before_first == 8
    return a


def given_up_in_flight() -> Forgetful:
    """TSN 2 is lost, and 6 and 7 are in flight then."""
    a = half_sent()
    for last in (3, 4, 5):
        a.sack(1, (3, last), after=0.1)
    return a


def test_the_end_that_was_never_sent_is_passed_by_a_tsn_of_its_own() -> None:
    a = half_sent()
    assert a.give_up() == [(8, [(3, 0), (0, 0)])]
    assert a.queue.flight_size == 0
    a.sack(8, after=0.1)
    assert a.queue.is_empty
    assert not a.queue.t3_rtx.running


def test_what_is_in_flight_of_a_message_that_is_given_up_is_in_flight_no_more() -> None:
    a = given_up_in_flight()
    assert a.told() == [(8, [(0, 0)])]
    assert a.queue.flight_size == 0
    a.sack(8, a_rwnd=10**6, after=0.1)
    assert a.queue.peer_rwnd == 10**6


@pytest.mark.parametrize("arrived", [False, True])
def test_after_t3_rtx_nothing_of_it_is_lost_once_more(arrived: bool) -> None:
    """F5: a loss has its effect once, and what was never sent or has arrived was not lost."""
    a = given_up_in_flight() if arrived else half_sent()
    gaps = [(3, 7)] if arrived else []
    a.sack(1, *gaps, after=0.1)
    a.expire()
    a.packets()
    a.queue.congestion.cwnd = 20 * PMDCS
    a.send(100, count=8)
    a.packets()
    ssthresh = a.queue.ssthresh
    for last in (9, 10, 11, 12):
        a.sack(1, *gaps, (9, last))
        a.packets()
    assert a.queue.ssthresh == ssthresh
    assert a.queue.recovery.exit_point is None
