"""What a FORWARD TSN says, to the last TSN, stream and byte (RFC 3758 §3.5, RFC 8260 §2.3.1)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.tx_invariants import check_invariants, check_not_stalled
from tests.support.tx_sender import PATH_MTU, Sender
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

    def __init__(self, interleaving: bool = False, *, path_mtu: int = PATH_MTU) -> None:
        super().__init__(path_mtu=path_mtu, cwnd=10**6, max_burst=2**16)
        self.queue.partial_reliability = True
        self.send_queue.use_interleaving(interleaving)
        self.interleaving = interleaving

    def once(self, *stream_ids: int, unordered: bool = False) -> None:
        for stream_id in stream_ids:
            message = OutgoingMessage(stream_id, 51, b"once", unordered)
            message.policy = Policy(SendOptions(max_retransmits=0), None, self.now)
            self.send_queue.add(message)
            self.send_queue.policies.add(message)
            self.queue.message_added(message)
            self.packets()

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
