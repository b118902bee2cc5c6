"""What a program may ask for, and what it is told: outcomes, priorities (RFC 7496 §3.2), negotiation."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.association_pair import Pair, established_pair
from tests.support.partial_reliability import FULL, ONCE, MakePair, PrPair
from trio_sctp._core import capabilities
from trio_sctp._core.capabilities import Capabilities
from trio_sctp._core.errors import LocalProtocolError
from trio_sctp._core.events import CloseReason, Outcome, SendBufferDrained, StreamDelivered
from trio_sctp._core.send_options import SendOptions
from trio_sctp._core.states import State
from trio_sctp._wire import chunks as c

# -- outcomes


def test_each_message_that_asked_has_one_outcome(make_pair: MakePair) -> None:
    pair = make_pair()
    pair.lost = lambda tsn: tsn == 2
    for number in range(1, 5):
        pair.send_each([b"x"], options=ONCE, context=number)
    pair.send(b"reliable", context="r")
    pair.send(b"does not ask")
    pair.run_for(10)
    outcomes = pair.outcomes
    assert sorted(outcomes, key=lambda outcome: str(outcome[0])) == [
        (1, Outcome.DELIVERED),
        (2, Outcome.ABANDONED_RETRANSMISSIONS),
        (3, Outcome.DELIVERED),
        (4, Outcome.DELIVERED),
        ("r", Outcome.DELIVERED),
    ]


def test_end_of_the_association_leaves_no_message_without_an_outcome(make_pair: MakePair) -> None:
    pair = make_pair()
    pair.send(b"delivered", context=1)
    pair.run()
    pair.lost = lambda tsn: True
    pair.send(b"under way", context=2)
    pair.send_each([bytes(90 * FULL)], context=3, options=SendOptions(lifetime=60.0))
    pair.send(b"not sent", context=4)
    pair.a.association.abort(now=pair.now)
    pair.a.drain(pair.now)
    assert pair.outcomes == [
        (1, Outcome.DELIVERED),
        (2, Outcome.UNKNOWN),
        (3, Outcome.UNKNOWN),
        (4, Outcome.UNKNOWN),
    ]
    assert pair.a.closed is not None
    assert pair.a.closed.reason is CloseReason.LOCAL_ABORT
    assert pair.a.closed.undelivered_messages == 3


def test_discarded_messages_have_an_outcome(make_pair: MakePair) -> None:
    pair = make_pair()
    pair.send(b"x", 1, context="x")
    pair.a.association.discard_unsent(1, now=pair.now)
    pair.a.drain(pair.now)
    assert pair.outcomes == [("x", Outcome.DISCARDED)]


def test_delivery_of_a_whole_stream_can_be_watched(make_pair: MakePair) -> None:
    pair = make_pair()
    association = pair.a.association
    association.watch_delivery(1)
    pair.a.drain(pair.now)
    assert pair.a.take(StreamDelivered) == [StreamDelivered(1)]
    pair.send(bytes(5000), 1)
    pair.send(b"other", 2)
    association.watch_delivery(1)
    assert association.unsent_bytes(1) == 5000
    assert association.unacknowledged_bytes(1) == 0
    sent = pair.pull()
    assert association.unacknowledged_bytes(1) == 5000 - association.unsent_bytes(1) > 0
    assert sent
    assert not pair.a.take(StreamDelivered)
    pair.run()
    assert pair.a.take(StreamDelivered) == [StreamDelivered(1)]
    assert association.unacknowledged_bytes(1) == association.unsent_bytes(1) == 0


def test_delivery_of_everything_can_be_watched(make_pair: MakePair) -> None:
    # RFC 6458 §6.1.9
    pair = make_pair()
    association = pair.a.association
    association.watch_send_buffer()
    pair.a.drain(pair.now)
    assert pair.a.take(SendBufferDrained) == [SendBufferDrained()]
    pair.send(bytes(5000), 1)
    pair.send(b"other", 2)
    association.watch_send_buffer()
    assert pair.pull()
    pair.a.drain(pair.now)
    assert not pair.a.take(SendBufferDrained)
    pair.run()
    assert pair.a.take(SendBufferDrained) == [SendBufferDrained()]
    pair.send(b"not asked for again")
    pair.run()
    assert not pair.a.take(SendBufferDrained)


def test_stream_is_delivered_when_the_last_of_it_was_given_up(make_pair: MakePair) -> None:
    pair = make_pair()
    pair.lost = lambda tsn: True
    pair.send(b"x", 1, options=ONCE)
    pair.a.association.watch_delivery(1)
    pair.run_for(5)
    assert pair.a.take(StreamDelivered) == [StreamDelivered(1)]


# -- the priority policy (RFC 7496 §3.2)


def test_less_important_messages_make_room(make_pair: MakePair) -> None:
    pair = make_pair(a_rwnd=1500)
    pair.z.reading = False
    pair.send(bytes(1500), 9)
    pair.run_for(3)
    association = pair.a.association
    for number, priority in enumerate([5, 1, 5, 9, None]):
        options = SendOptions(discard_priority=priority)
        pair.send(bytes(100), number % 2, options=options, context=number)
    make_room = association.make_room
    assert make_room(50, discard_priority=9, now=pair.now) == 0
    assert make_room(150, discard_priority=4, now=pair.now) == 200
    pair.a.drain(pair.now)
    gone = Outcome.ABANDONED_PRIORITY
    assert pair.outcomes == [(3, gone), (0, gone)]
    assert make_room(1000, stream_id=1, now=pair.now) == 100  # reliable ones go before all others
    assert make_room(1000, stream_id=2, now=pair.now) == 0
    assert make_room(1000, now=pair.now) == 100
    pair.a.drain(pair.now)
    assert pair.outcomes == [(1, gone), (2, gone)]
    assert association.statistics().messages_abandoned_unsent == 4
    assert association.total_unsent_bytes == 100


def test_message_that_was_begun_makes_no_room(make_pair: MakePair) -> None:
    pair = make_pair()
    pair.send(bytes(50 * FULL), options=SendOptions(discard_priority=1))
    pair.pull()
    assert pair.a.association.make_room(1, now=pair.now) == 0
    pair.run_for(5)
    assert pair.received == [bytes(50 * FULL)]


# -- negotiation


@pytest.mark.parametrize(
    "options, text",
    [
        ({"max_retransmits": -1}, "max_retransmits is -1: it must be from 0 to 4294967295"),
        ({"max_retransmits": 2**32}, "max_retransmits is 4294967296"),
        ({"max_retransmits": 1.5}, "max_retransmits is 1.5: it must be an integer"),
        ({"max_retransmits": True}, "max_retransmits is True: it must be an integer"),
        ({"discard_priority": -1}, "discard_priority is -1"),
        ({"lifetime": -0.001}, "lifetime is -0.001: it must be 0 or more"),
        ({"lifetime": float("nan")}, "lifetime is nan"),
    ],
)
def test_options_are_checked(options: dict[str, Any], text: str) -> None:
    with pytest.raises(LocalProtocolError, match=text):
        SendOptions(**options)


def test_limits_need_a_peer_that_supports_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capabilities, "SUPPORTED", Capabilities(reconfiguration=True))
    pair = established_pair()
    with pytest.raises(LocalProtocolError, match="does not support partial reliability"):
        pair.send(b"x", options=ONCE)
    pair.send(b"x", options=SendOptions(), context="x")  # which is no limit
    pair.run()
    assert pair.z.payloads == [b"x"]
    # RFC 3758 §3.3.2: then FORWARD TSN is an unknown chunk, to be reported and skipped
    (answer,) = pair.z.receive(c.ForwardTsn(1), now=pair.now)
    assert answer.names == "ERROR"


def test_messages_sent_before_the_peer_turned_out_not_to_support_limits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # what was sent is reliable then; what was not may still expire (RFC 9260 §11.1.5)
    pair = Pair(sack_delay=0.0)
    pair.a.association.connect(now=pair.now)
    pair.send(b"once", options=ONCE, context=1)
    pair.send(b"brief", 1, options=SendOptions(lifetime=0.1), context=2)
    monkeypatch.setattr(capabilities, "SUPPORTED", Capabilities(reconfiguration=True))
    pair.pull()
    pair.now += 0.5
    pair.a.expire(pair.now)
    dropped: list[str] = []

    def lose(packet: Any) -> bool:
        first = "DATA" in packet.names and not dropped
        dropped.extend(["it"] if first else [])
        return first

    pair.lose = lose
    pair.run_for(10)
    assert pair.z.payloads == [b"once"]
    assert not any("FORWARD" in line for line in pair.exchange)


def test_forward_tsn_of_the_wrong_kind_ends_the_association(interleaving: bool) -> None:
    # RFC 8260 §2.3.1
    pair = PrPair(interleaving=interleaving)
    wrong = c.ForwardTsn(1) if interleaving else c.IForwardTsn(1)
    (answer,) = pair.z.receive(wrong, now=pair.now)
    assert answer.names == "ABORT"


def test_forward_tsn_before_the_association_is_up_is_dropped() -> None:
    pair = PrPair(connect=False)
    pair.a.association.connect(now=0.0)
    pair.pull()
    assert pair.a.receive(c.ForwardTsn(1), now=0.0) == []
    pair.run()
    assert pair.a.state is State.ESTABLISHED


def test_data_with_the_cookie_is_given_up_when_that_is_lost(make_pair: MakePair) -> None:
    # A -> COOKIE ECHO, DATA -> lost; A -> COOKIE ECHO, FORWARD TSN -> Z or later
    pair = make_pair(connect=False)
    pair.a.association.connect(now=pair.now)
    pair.send(b"once", options=ONCE, context=1)
    pair.send(b"always", 1)
    lost: list[str] = []

    def lose(packet: Any) -> bool:
        if "COOKIE ECHO" in packet.names and not lost:
            lost.append(packet.names)
            return True
        return pair._lose(packet)

    pair.lose = lose
    pair.run_for(20)
    assert pair.received == [b"always"]
    assert pair.outcomes == [(1, Outcome.ABANDONED_RETRANSMISSIONS)]
    assert pair.queue.outstanding_count == 0


def test_sent_while_nothing_is_known_of_the_peer_and_expired(make_pair: MakePair) -> None:
    pair = make_pair(connect=False)
    pair.a.association.connect(now=pair.now)
    pair.pull()
    pair.transit.clear()  # the INIT is lost
    pair.send(b"x", options=SendOptions(lifetime=0.5), context="x")
    pair.run_for(0.6)
    assert pair.outcomes == [("x", Outcome.ABANDONED_LIFETIME)]
    pair.run_for(5)
    assert pair.received == []
