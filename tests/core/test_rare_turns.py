"""Turns that a long life takes once or never, and that no other test has come to."""

from __future__ import annotations

from random import Random

import pytest

from tests.support.association_pair import End, Pair, established_pair
from tests.support.incoming_data import Sender, arrive, data, new_receiver, take
from tests.support.reset_ends import A_TSN, DENIED, pair as reset_pair, response
from trio_sctp._core.channel_ids import ChannelIds
from trio_sctp._core.config import Config
from trio_sctp._core.errors import LocalProtocolError
from trio_sctp._core.events import Message, MessageOutcome, Outcome
from trio_sctp._core.reconfig_common import MAX_STREAM_IDS
from trio_sctp._core.send_options import SendOptions
from trio_sctp._core.tx.outgoing_message import OutgoingMessage
from trio_sctp._core.tx.resettable_streams import ResettableStreams
from trio_sctp._core.tx.send_queue import SendQueue
from trio_sctp._wire import chunks as c
from trio_sctp._wire.parameters import IncomingSsnResetRequest, OutgoingSsnResetRequest

Interleaving = pytest.mark.parametrize("interleaving", [False, True], ids=["DATA", "I-DATA"])
GONE = SendOptions(lifetime=0.5)
PATIENT = SendOptions(lifetime=1000.0)


# -- a peer that turns out to be another (RFC 9260 §5.2.4 B) -------------------------------------


def cookie_echo_is_lost_with_its_peer(pair: Pair, *, interleaving: bool) -> End:
    """What went with the cookie has reached nobody; a new peer calls."""
    pair.a.association.connect(now=pair.now)
    for _ in range(2):  # INIT, INIT ACK
        pair.pull()
        pair.deliver()
    assert "COOKIE ECHO" in pair.pull()[0].names
    pair.transit.clear()
    pair.now += 0.6
    pair.a.expire(pair.now)
    z = pair.z = End("Z", Config(interleaving=interleaving), Random("another"))
    pair.transit.clear()
    z.association.connect(now=pair.now)
    return z


@pytest.mark.parametrize("same", [False, True], ids=["it does DATA", "it does I-DATA, too"])
def test_what_was_given_up_in_between_does_not_go_to_another_peer(same: bool) -> None:
    """Messages with limits among those that go again, in chunks of the other kind perhaps."""
    pair = Pair(interleaving=True, stream_scheduler="rr")
    pair.send(bytes(3000), 0, options=GONE)
    pair.send(b"ordered", 1, options=PATIENT)
    pair.send(b"unordered", 2, unordered=True, options=PATIENT)
    pair.send(b"given up", 2, unordered=True, options=GONE)
    pair.send(b"also ordered", 1)
    z = cookie_echo_is_lost_with_its_peer(pair, interleaving=same)
    pair.run_until(done=lambda: not pair.a.association.undelivered_messages)
    messages = z.take(Message)
    assert [m.payload for m in messages if m.stream_id == 1] == [b"ordered", b"also ordered"]
    assert [m.payload for m in messages if m.stream_id != 1] == [b"unordered"]
    assert pair.a.association.capabilities.interleaving is same
    pair.send(b"later", 0)
    pair.run()
    assert z.payloads == [b"later"]


# -- receiving ---------------------------------------------------------------------------------


@Interleaving
def test_fragments_of_the_old_numbering_are_dropped(interleaving: bool) -> None:
    """RFC 6525 §5.2.4 G4: what is not whole when all numbers begin anew never will be."""
    receiver = new_receiver(interleaving=interleaving)
    peer = Sender(interleaving=interleaving)
    for stream_id in (1, 2):
        first, _ = peer.message(b"never whole", stream_id, cuts=[5])
        arrive(receiver, first)
    assert receiver.charge > 0
    receiver.hold_back_from(peer.tsn)
    receiver.end_numbering(peer.tsn)
    receiver.end_hold_back(for_good=True)
    assert receiver.charge == 0
    anew = Sender(peer.tsn, interleaving=interleaving)
    arrive(receiver, *anew.message(b"new", 1))
    assert take(receiver) == [b"new"]


def test_numbers_that_are_skipped_while_messages_are_held_back() -> None:
    """Until it is known which numbers hold, a FORWARD TSN for what is held back waits as well."""
    receiver = new_receiver()
    arrive(receiver, data(1000, ssn=0, payload=b"before"))
    receiver.hold_back()
    arrive(receiver, data(1003, ssn=3, payload=b"after"))
    assert receiver.forward_tsn(c.ForwardTsn(1002, ((0, 2),))) is None
    arrive(receiver, data(1001, ssn=1, payload=b"too late"))
    assert take(receiver) == [b"before"]
    receiver.end_hold_back()
    assert take(receiver) == [b"after"]
    assert receiver.cumulative_tsn_ack == 1003


def test_a_forward_tsn_far_ahead_after_all_numbers_began_anew() -> None:
    receiver = new_receiver()
    arrive(receiver, data(1000))
    receiver.hold_back_from(1001)
    receiver.end_numbering(1001)
    receiver.end_hold_back(for_good=True)
    assert receiver.forward_tsn(c.ForwardTsn(1000 + (1 << 31) - 1)) is None
    arrive(receiver, data(1000 + (1 << 31), payload=b"as far as the peer likes"))
    assert take(receiver) == [b"x", b"as far as the peer likes"]


# -- stream resets -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [OutgoingSsnResetRequest, IncomingSsnResetRequest])
def test_a_request_for_more_streams_than_one_can_be_answered_for_is_denied(kind: type) -> None:
    _, z = reset_pair()
    too_many = tuple(range(MAX_STREAM_IDS + 1))
    if kind is OutgoingSsnResetRequest:
        z.receive(OutgoingSsnResetRequest(A_TSN, 0, A_TSN - 1, too_many))
    else:
        z.receive(IncomingSsnResetRequest(A_TSN, too_many))
    assert z.take_one().parameters == (response(A_TSN, DENIED),)
    assert z.incoming == []


def test_deferred_resets_that_are_too_many_together() -> None:
    """The second is denied, the first one stays."""
    _, z = reset_pair()
    half = MAX_STREAM_IDS // 2 + 1
    z.receive(OutgoingSsnResetRequest(A_TSN, 0, A_TSN + 3, tuple(range(half))))
    z.take()
    z.receive(OutgoingSsnResetRequest(A_TSN + 1, 0, A_TSN + 3, tuple(range(half, 2 * half))))
    assert z.take_one().parameters == (response(A_TSN + 1, DENIED),)
    z.receiver.cumulative_tsn_ack = A_TSN + 3
    z.reset.data_advanced(0)
    assert z.incoming == [tuple(range(half))]


def test_resets_of_many_streams_while_data_is_outstanding_are_forgotten_when_it_arrives() -> None:
    pair = established_pair(interleaving=False)
    tcb = pair.a.association.tcb
    assert tcb is not None
    forward_tsn = tcb.retransmission_queue._abandonment.forward_tsn
    pair.send(b"outstanding", options=PATIENT)
    pair.a.pull(pair.now)
    for stream_id in range(100):
        forward_tsn.streams_were_reset((stream_id,))
    assert len(forward_tsn._reset_at) == 100
    pair.run_until(pair.now + 5)
    pair.send(b"more", options=PATIENT)
    pair.a.pull(pair.now)
    forward_tsn.streams_were_reset((100,))
    assert len(forward_tsn._reset_at) <= 1


# -- sending -----------------------------------------------------------------------------------


def test_discarding_a_stream_of_which_messages_were_given_up() -> None:
    """Each has one outcome, and what was begun is finished."""
    pair = established_pair(interleaving=False)
    pair.a.association.send(1, bytes(100_000), now=pair.now, context="begun")
    for number in range(3):
        pair.a.association.send(1, b"x", now=pair.now, context=f"given up {number}", options=GONE)
    pair.a.association.send(1, b"x", now=pair.now, context="discarded")
    pair.a.pull(pair.now)
    pair.now += 0.6
    pair.a.expire(pair.now)
    pair.a.association.discard_unsent(1, now=pair.now)
    pair.run_until(pair.now + 20)
    outcomes = {event.context: event.outcome for event in pair.a.take(MessageOutcome)}
    assert outcomes.pop("begun") is Outcome.DELIVERED
    assert len(outcomes) == 4
    assert Outcome.DELIVERED not in outcomes.values()
    assert pair.z.payloads == [bytes(100_000)]


def test_a_shutdown_chunk_that_acknowledges_what_comes_before_something_given_up() -> None:
    pair = established_pair()
    pair.send(b"arrives", 1)
    pair.send(b"given up", 2, options=GONE)
    (packet,) = pair.a.pull(pair.now)
    first = packet.chunks[0]
    assert isinstance(first, c.Data)
    pair.now += 0.6
    pair.a.expire(pair.now)
    assert pair.a.receive(c.Shutdown(first.tsn), now=pair.now) == []  # the other may be there, too
    pair.now += 3.0
    pair.a.expire(pair.now)
    (packet,) = pair.a.pull(pair.now)
    assert packet.names == "FORWARD TSN"
    (packet,) = pair.a.receive(c.Shutdown(first.tsn + 1 & 0xFFFFFFFF), now=pair.now)
    assert packet.names == "SHUTDOWN ACK"


def test_messages_held_for_a_reset_go_to_streams_that_are_busy() -> None:
    queue = SendQueue("rr")
    streams = ResettableStreams(queue)
    begun = OutgoingMessage(1, 51, bytes(300))
    queue.add(begun)
    streams.hold()
    queue.add(OutgoingMessage(1, 51, b"held"))
    queue.add(OutgoingMessage(2, 51, b"held, too"))
    assert queue.next_message() is begun
    queue.take(begun, 100)
    streams.end_hold()
    order = []
    while (message := queue.next_message()) is not None:
        queue.take(message, len(message.payload) - message.offset)
        order.append(message.payload)
    assert order == [bytes(300), b"held, too", b"held"] or order == [
        bytes(300),
        b"held",
        b"held, too",
    ]


# -- channels ----------------------------------------------------------------------------------


def test_ids_that_can_never_be_used_again_are_passed_over() -> None:
    ids = ChannelIds(client=True)
    ids.burn(0)
    ids.burn(4)
    chosen: list[int] = []
    for _ in range(3):
        chosen.append(ids.choose(100, set(chosen), 0.0))
        ids.take(chosen[-1])
    assert chosen == [2, 6, 8]
    ids.free(2, 0.0)
    assert ids.choose(10, set(chosen), 1000.0) == 2
    with pytest.raises(LocalProtocolError, match="no id below 2"):
        ids.choose(2, set(chosen), 1000.0)
