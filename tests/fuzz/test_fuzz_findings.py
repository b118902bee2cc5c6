"""What the fuzzer has found, told as stories."""

from __future__ import annotations

import math

from tests.support.association_pair import established_pair, lose_only, packet_to
from tests.support.memory import measured
from trio_sctp._core.association import Association
from trio_sctp._core.config import Config
from trio_sctp._core.events import AssociationReset, OutgoingStreamsReset
from trio_sctp._core.path_mtu import PathMtuDiscovery
from trio_sctp._core.send_options import SendOptions
from trio_sctp._core.states import State
from trio_sctp._wire import chunks as c
from trio_sctp._wire.parameters import IncomingSsnResetRequest, OutgoingSsnResetRequest


def test_a_message_expires_while_an_association_reset_holds_it() -> None:
    """The answer to the reset came, and the stream that was held was unknown by then: KeyError."""
    pair = established_pair()
    pair.send(b"outstanding")
    pair.pull()
    pair.a.association.reset_association(now=pair.now)
    pair.send(b"held", stream_id=3, options=SendOptions(lifetime=0.5))
    pair.now += 0.6
    pair.a.expire(pair.now)
    pair.run_for(5.0)
    (event,) = pair.a.take(AssociationReset)
    assert event.succeeded
    assert pair.z.payloads == [b"outstanding"]
    pair.send(b"later", stream_id=3)
    pair.run()
    assert pair.z.payloads == [b"later"]


def test_association_resets_that_cross_again_and_again() -> None:
    """Both were refused and asked again at the same moment, until they had tried too often.

    One end may ask again at once, but that request was lost.
    """
    pair = established_pair(association_max_retrans=3)
    for end in (pair.a, pair.z):
        end.association.reset_association(now=pair.now)
    pair.lose = lose_only(4)
    pair.run_for(60.0)
    outcomes = [event.succeeded for end in (pair.a, pair.z) for event in end.take(AssociationReset)]
    assert outcomes.count(True) >= 2
    assert False not in outcomes


def test_a_peer_that_answers_no_probes_for_weeks() -> None:
    """Whatever it would take to recognise an answer that is late was kept for each of them."""
    pair = established_pair()
    tcb = pair.a.association.tcb
    assert tcb is not None
    rng = pair.a.association.rng
    discovery = PathMtuDiscovery(Config(), tcb.rto, rng, max_path_mtu=1500)
    now = 0.0
    discovery.start(now)
    for _ in range(1000):
        if discovery.probe_due:
            assert discovery.take_probe(now, recovering=False)
        now = discovery.timer.deadline
        assert now < math.inf
        discovery.timer.take_expiry(now)
        discovery.handle_timeout(now)
    assert len(discovery._awaited) <= 16


def ask(association: Association, request: object, now: float) -> None:
    assert isinstance(request, IncomingSsnResetRequest | OutgoingSsnResetRequest)
    association.receive_packets([packet_to(association, c.ReConfig((request,)))], now=now)
    while association.next_event() is not None:
        pass


def test_a_wish_to_reset_all_streams_costs_nothing() -> None:
    """Half a second of CPU and 65 MB for a packet of 24 bytes: something for each of 65535 streams."""
    pair = established_pair()
    a = pair.a.association
    assert a.tcb is not None
    a.send(7, b"x", now=pair.now)
    pair.run()
    sn = a.tcb.stream_reset.answers.expected_sn
    with measured() as grown:
        ask(a, IncomingSsnResetRequest(sn & 0xFFFFFFFF, ()), pair.now)
        (packet,) = pair.a.pull(pair.now)
        assert grown() < 50_000
    a.send(7, b"waits", now=pair.now)
    assert pair.a.pull(pair.now) == [], "a stream that is being reset begins no message"
    (parameter,) = packet.chunk(c.ReConfig).parameters
    assert isinstance(parameter, OutgoingSsnResetRequest)
    assert parameter.stream_ids == ()
    pair.repeat(packet)
    pair.run()
    assert [event.stream_ids for event in pair.a.take(OutgoingStreamsReset)] == [()]
    assert pair.z.payloads == [b"x", b"waits"]
    assert pair.a.state is State.ESTABLISHED


def test_a_stream_that_came_anew_is_not_forgotten_with_the_old_one() -> None:
    """The end of a message that had been given up took away the numbers of those sent since."""
    pair = established_pair(interleaving=False, path_mtu_discovery=False)
    pair.send(b"x", 3, unordered=True)
    short_lived = SendOptions(lifetime=0.1)
    pair.send(bytes(15_000), 3, unordered=True, options=short_lived)
    pair.pull()
    pair.now += 0.15
    pair.a.expire(pair.now)  # its lifetime is over
    first = pair.transit[0]
    pair.transit.clear()
    pair.repeat(first)
    pair.run()  # "x" is acknowledged, nothing of stream 3 is left
    pair.send(b"first", 3)
    pair.run()
    pair.run_for(5.0)  # the rest of the one that was given up is
    pair.send(b"second", 3)
    pair.run_for(5.0)
    assert pair.z.payloads == [b"x", b"first", b"second"]
