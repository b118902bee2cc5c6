"""Setting an association up (RFC 9260 §5.1): the normal case, losses, limits, bundled data."""

from __future__ import annotations

import math

import pytest

from tests.support.association_pair import Packet, Pair, established_pair, lose_first, pair_in_state
from trio_sctp._core.config import Config
from trio_sctp._core.errors import LocalProtocolError
from trio_sctp._core.events import AssociationUp, CloseReason, PeerError
from trio_sctp._core.states import State
from trio_sctp._wire import chunks as c
from trio_sctp._wire.error_causes import (
    InvalidStreamIdentifier,
    OutOfResource,
    UserInitiatedAbort,
)
from trio_sctp._wire.parameters import StateCookie


def up(pair: Pair) -> bool:
    return pair.a.state is pair.z.state is State.ESTABLISHED


# -- the normal case ---------------------------------------------------------------------------------


def test_four_way_handshake() -> None:
    """§5.1 A to E."""
    pair = Pair()
    pair.a.association.connect(now=0.0)
    assert pair.a.state is State.COOKIE_WAIT
    pair.run()
    assert pair.exchange == [
        "A -> INIT -> Z",
        "Z -> INIT ACK -> A",
        "A -> COOKIE ECHO -> Z",
        "Z -> COOKIE ACK -> A",
    ]
    for end in (pair.a, pair.z):
        assert end.state is State.ESTABLISHED
        assert end.events == [AssociationUp(65535, 65535)]


def test_verification_tags_of_the_handshake() -> None:
    """§5.1 A, B, §8.5, §8.5.1 A, D: 0, then the tag that the receiver has chosen for itself."""
    pair = Pair()
    pair.a.association.connect(now=0.0)
    (init,) = pair.pull()
    pair.deliver()
    (init_ack,) = pair.pull()
    pair.deliver()
    (cookie_echo,) = pair.pull()
    pair.deliver()
    (cookie_ack,) = pair.pull()
    tag_a, tag_z = init.chunk(c.Init).initiate_tag, init_ack.chunk(c.InitAck).initiate_tag
    assert [p.tag for p in (init, init_ack, cookie_echo, cookie_ack)] == [0, tag_a, tag_z, tag_a]
    assert tag_a != 0
    assert tag_z != 0
    assert cookie_echo.chunk(c.CookieEcho).cookie == next(
        p.cookie for p in init_ack.chunk(c.InitAck).parameters if isinstance(p, StateCookie)
    )


def test_cookie_ack_goes_where_init_came_from_when_ports_differ() -> None:
    """§3.1: the ports of an answer are those of the question, exchanged."""
    config = Config(local_port=1000, remote_port=2000)
    pair = Pair(config, config_z=Config(local_port=2000, remote_port=9))
    pair.a.association.connect(now=0.0)
    assert [packet.ports for packet in pair.pull()] == [(1000, 2000)]
    pair.deliver()
    assert [packet.ports for packet in pair.pull()] == [(2000, 1000)]
    pair.run()
    assert up(pair)
    pair.z.association.send(0, b"x", now=0.0)
    assert [packet.ports for packet in pair.pull()] == [(2000, 1000)]


def test_streams_are_what_both_ends_allow() -> None:
    """§5.1.1: min(local OS, remote MIS) in each direction."""
    pair = Pair(
        Config(outbound_streams=10, inbound_streams=3),
        config_z=Config(outbound_streams=20, inbound_streams=7),
    )
    pair.a.association.connect(now=0.0)
    pair.run()
    assert pair.a.events == [AssociationUp(outbound_streams=7, inbound_streams=3)]
    assert pair.z.events == [AssociationUp(outbound_streams=3, inbound_streams=7)]
    pair.send(stream_id=6)
    with pytest.raises(LocalProtocolError, match=r"stream_id is 7: .* from 0 to 6"):
        pair.send(stream_id=7)


@pytest.mark.parametrize("sender", ["a", "z"])
def test_peer_with_too_few_streams_for_what_waits_is_aborted(sender: str) -> None:
    """§5.1.1: and nothing is sent on a stream that does not exist."""
    few = Config(inbound_streams=3)
    pair = Pair(config_z=few) if sender == "a" else Pair(few, config_z=Config())
    end = pair.a if sender == "a" else pair.z
    end.association.send(3, b"too high", now=0.0)
    pair.a.association.connect(now=0.0)
    pair.run()
    assert end.closed is not None
    assert end.closed.reason is CloseReason.LOCAL_ABORT
    assert end.closed.causes == (OutOfResource(),)
    assert end.closed.undelivered_messages == 1
    assert end.take(AssociationUp) == []
    assert not any("DATA" in line for line in pair.exchange)
    other = pair.z if sender == "a" else pair.a
    assert other.closed is None or other.closed.reason in (
        CloseReason.REFUSED,
        CloseReason.PEER_ABORT,
    )


def test_first_data_is_acknowledged_at_once() -> None:
    """§5.1: the first DATA chunk is, later ones may wait (§6.2)."""
    pair = established_pair()
    pair.send()
    pair.run()
    assert pair.take_exchange() == ["A -> DATA -> Z", "Z -> SACK -> A"]
    pair.send()
    pair.run()
    assert pair.take_exchange() == ["A -> DATA -> Z"]


@pytest.mark.parametrize("initial_tsn", [0, 1, 2**31, 2**32 - 3, 2**32 - 1])
def test_any_initial_tsn_works(initial_tsn: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """§3.3.2, §1.6: TSNs wrap around, from the first one on too."""
    from trio_sctp._core.handshake import LocalSetup

    pair = Pair()
    monkeypatch.setattr(
        LocalSetup,
        "random",
        classmethod(lambda cls, rng: cls(rng.randrange(1, 2**32), initial_tsn)),
    )
    messages = [bytes([i]) * 3000 for i in range(8)]
    for message in messages:
        pair.send(message)
    pair.a.association.connect(now=0.0)
    pair.run_until(done=lambda: up(pair) and pair.a.association.undelivered_messages == 0)
    for message in messages:
        pair.z.association.send(0, message, now=pair.now)
    pair.run_until(done=lambda: pair.z.association.undelivered_messages == 0)
    pair.a.association.shutdown(now=pair.now)
    pair.run()
    assert pair.z.payloads == messages
    assert pair.a.payloads == messages
    assert pair.a.closed is not None
    assert pair.a.closed.reason is CloseReason.SHUTDOWN


# -- losses ------------------------------------------------------------------------------------------


def test_lost_init() -> None:
    """§5.1.6: the same INIT after T1-init."""
    pair = Pair()
    inits: list[bytes] = []

    def lose(packet: Packet) -> bool:
        if packet.names == "INIT":
            inits.append(packet.raw)
        return packet.names == "INIT" and len(inits) == 1

    pair.lose = lose
    pair.a.association.connect(now=0.0)
    pair.run_until(done=lambda: up(pair))
    assert pair.now == 1.0
    assert inits[0] == inits[1]
    assert pair.exchange[:2] == ["A -> INIT -> lost", "A -> INIT -> Z"]


def test_lost_init_ack() -> None:
    # A -> INIT -> Z   Z -> INIT ACK -> lost   (T1-init)   A -> INIT -> Z ...
    pair = Pair()
    pair.lose = lose_first("INIT ACK")
    pair.a.association.connect(now=0.0)
    pair.run_until(done=lambda: up(pair))
    assert pair.now == 1.0
    assert pair.z.state is State.ESTABLISHED
    assert pair.exchange.count("A -> INIT -> Z") == 2


def test_lost_cookie_echo() -> None:
    # A -> COOKIE ECHO -> lost   (T1-cookie)   A -> COOKIE ECHO -> Z
    pair = Pair()
    pair.lose = lose_first("COOKIE ECHO")
    pair.a.association.connect(now=0.0)
    pair.run()
    assert pair.a.state is State.COOKIE_ECHOED
    assert pair.z.state is State.CLOSED
    pair.run_until(done=lambda: up(pair))
    assert pair.now == 1.0


def test_lost_cookie_ack() -> None:
    # Z -> COOKIE ACK -> lost   (T1-cookie)   A -> COOKIE ECHO -> Z   Z -> COOKIE ACK -> A
    pair = Pair()
    pair.lose = lose_first("COOKIE ACK")
    pair.a.association.connect(now=0.0)
    pair.run()
    assert pair.a.state is State.COOKIE_ECHOED
    assert pair.z.state is State.ESTABLISHED
    pair.run_until(done=lambda: up(pair))
    assert pair.now == 1.0
    assert pair.z.events == [AssociationUp(65535, 65535)], "once, not again for the duplicate"


def test_every_handshake_packet_lost_once() -> None:
    pair = Pair()
    pair.lose = lose_first("INIT", "INIT ACK", "COOKIE ECHO", "COOKIE ACK")
    pair.a.association.connect(now=0.0)
    pair.run_until(done=lambda: up(pair))
    # INIT at 0, 1, 3; then the RTO of 4 that this left is T1-cookie's: COOKIE ECHO at 3, 7, 15
    assert pair.now == 15.0


# -- back-off and limits -----------------------------------------------------------------------------


@pytest.mark.parametrize("lost", ["INIT", "COOKIE ECHO"])
def test_t1_backs_off_and_gives_up(lost: str) -> None:
    """§5.1.6, §6.3.3 E2, §4 notes 2 and 3: doubled up to RTO.Max, Max.Init.Retransmits times."""
    pair = Pair()
    times: list[float] = []

    def lose(packet: Packet) -> bool:
        if packet.names == lost:
            times.append(pair.now)
        return packet.names == lost

    pair.lose = lose
    pair.a.association.connect(now=0.0)
    pair.run_until()
    assert times == [0, 1, 3, 7, 15, 31, 63, 123, 183]
    assert pair.now == 243.0
    assert pair.a.closed is not None
    assert pair.a.closed.reason is CloseReason.TIMED_OUT
    assert pair.a.association.next_timeout() == math.inf
    assert pair.a.take(AssociationUp) == []


def test_max_init_retransmits_of_zero() -> None:
    pair = Pair(max_init_retransmits=0)
    pair.lose = lambda packet: True
    pair.a.association.connect(now=0.0)
    pair.run_until()
    assert pair.exchange == ["A -> INIT -> lost"]
    assert pair.now == 1.0


def test_max_init_retransmits_counts_init_and_cookie_echo_apart() -> None:
    """§5.1.4: T1-cookie has its own count."""
    pair = Pair(max_init_retransmits=1)
    pair.lose = lose_first("INIT", "COOKIE ECHO")
    pair.a.association.connect(now=0.0)
    pair.run_until(done=lambda: up(pair))


def test_max_init_retransmits_may_change_while_calling() -> None:
    pair = Pair()
    pair.lose = lambda packet: True
    pair.a.association.connect(now=0.0)
    pair.run()
    pair.a.association.update_config(now=0.0, max_init_retransmits=1)
    pair.run_until()
    assert pair.exchange == ["A -> INIT -> lost"] * 2
    assert pair.a.closed is not None


def test_round_trip_of_the_handshake_is_measured() -> None:
    """§6.3.1 C2, §8.3 (INIT and COOKIE ECHO may be used to measure)."""
    pair = Pair(rto_min=0.05)
    pair.a.association.connect(now=0.0)
    pair.pull()
    pair.deliver()
    pair.pull()
    pair.now = 0.1
    pair.deliver()
    assert pair.a.association.rto.srtt == pytest.approx(0.1)
    pair.pull()
    pair.now = 0.3
    pair.deliver()
    pair.pull()
    pair.deliver()
    assert pair.a.association.rto.srtt == pytest.approx(0.1 + (0.2 - 0.1) / 8)


def test_round_trip_is_not_measured_from_a_repeated_init() -> None:
    """§6.3.1 C5, Karn's rule."""
    pair = Pair()
    pair.lose = lose_first("INIT", "COOKIE ECHO")
    pair.a.association.connect(now=0.0)
    pair.run_until(done=lambda: up(pair))
    assert pair.a.association.rto.srtt is None


def test_no_round_trip_is_measured_from_the_peers_cookie_echo() -> None:
    """Both ends call; what ends the wait of one is not an answer to what it sent."""
    # A -> INIT -> Z   Z -> INIT ... both COOKIE-ECHOED   Z -> COOKIE ECHO -> A at once
    pair = Pair(rto_min=0.001)
    for end in (pair.a, pair.z):
        end.association.connect(now=0.0)
    pair.pull()
    pair.now = 5.0  # slow, but no timer was asked
    pair.deliver()
    pair.deliver()
    pair.pull()
    pair.now = 10.0
    pair.deliver()
    pair.deliver()
    assert pair.a.association.rto.srtt == pytest.approx(10.0)
    pair.pull()
    pair.deliver(1)  # Z's COOKIE ECHO
    assert pair.a.state is State.ESTABLISHED
    assert pair.a.association.rto.srtt == pytest.approx(10.0)


# -- data with the handshake -------------------------------------------------------------------------


def test_data_is_bundled_behind_cookie_echo_and_cookie_ack() -> None:
    """§5.1 C, D: each is the first chunk of its packet."""
    pair = Pair()
    pair.send(b"from A")
    pair.z.association.send(0, b"from Z", now=0.0)
    pair.a.association.connect(now=0.0)
    pair.run()
    assert pair.exchange == [
        "A -> INIT -> Z",
        "Z -> INIT ACK -> A",
        "A -> COOKIE ECHO, DATA -> Z",
        "Z -> COOKIE ACK, SACK, DATA -> A",
        "A -> SACK -> Z",
    ]
    assert pair.z.payloads == [b"from A"]
    assert pair.a.payloads == [b"from Z"]


def test_nothing_else_is_sent_in_cookie_echoed() -> None:
    """§5.1 C: until COOKIE ACK one packet at a time, whatever waits and whatever expires."""
    pair = Pair()
    for _ in range(20):
        pair.send(bytes(1000))
    pair.lose = lambda packet: packet.names.startswith("COOKIE ECHO")
    pair.a.association.connect(now=0.0)
    pair.run_until(20.0)
    story = [line for line in pair.exchange if "INIT" not in line]
    assert story == ["A -> COOKIE ECHO, DATA -> lost"] * 5  # at 0, 1, 3, 7, 15
    pair.send(b"more")
    assert pair.pull() == []
    pair.lose = lambda packet: False
    pair.run_until(done=lambda: up(pair) and not pair.a.association.undelivered_messages)
    assert len(pair.z.payloads) == 21


@pytest.mark.parametrize("lost", ["COOKIE ECHO", "COOKIE ACK"])
def test_bundled_data_survives_the_loss_of(lost: str) -> None:
    """A message sent with a lost COOKIE ECHO comes with the next; one that came is not told twice."""
    pair = Pair()
    pair.lose = lose_first(lost)
    pair.send(b"early")
    pair.a.association.connect(now=0.0)
    pair.run_until(done=lambda: up(pair) and not pair.a.association.undelivered_messages)
    assert pair.now == 1.0, "T1-cookie brings it, not T3-rtx after another RTO"
    assert pair.z.payloads == [b"early"]
    assert pair.exchange[-2:] == ["A -> COOKIE ECHO, DATA -> Z", "Z -> COOKIE ACK, SACK -> A"]


def test_data_that_overtakes_cookie_ack_is_discarded() -> None:
    """§6: DATA in COOKIE-ECHOED is not taken, and comes again."""
    pair = Pair()
    pair.a.association.connect(now=0.0)
    pair.pull_cookie_echo()
    pair.deliver()  # Z is ESTABLISHED
    pair.pull()
    pair.z.association.send(0, b"overtakes", now=0.0)
    pair.pull()
    pair.deliver(1)
    assert pair.a.state is State.COOKIE_ECHOED
    assert pair.a.association.counters.dropped == {"Data in COOKIE-ECHOED": 1}
    pair.run_until(done=lambda: not pair.z.association.undelivered_messages)
    assert pair.a.payloads == [b"overtakes"]


def test_sack_in_cookie_echoed_is_processed() -> None:
    """§6: it may be."""
    pair = Pair()
    pair.send(b"early")
    pair.a.association.connect(now=0.0)
    cookie_echo = pair.pull_cookie_echo()
    sack = c.Sack(cookie_echo.chunk(c.Data).tsn, 100_000)
    pair.a.receive(sack, now=0.0)
    assert pair.a.state is State.COOKIE_ECHOED
    assert pair.a.association.undelivered_messages == 0


def test_a_heartbeat_in_cookie_echoed_is_answered_when_it_may_be() -> None:
    """§8.3 asks for an answer from COOKIE-ECHOED on, §5.1 C allows no other packet before COOKIE ACK."""
    pair = pair_in_state(State.COOKIE_ECHOED)
    heartbeat = c.Heartbeat.from_info(b"are you there")
    assert pair.a.receive(heartbeat, now=0.0) == []
    (answer,) = pair.a.receive(c.CookieAck(), now=0.1)
    assert answer.chunk(c.HeartbeatAck).info == b"are you there"


def test_large_init_ack_with_a_cookie_beyond_the_mtu() -> None:
    """§3.3.3: an INIT ACK may be quite large; the cookie goes back whole, with nothing beside it."""
    pair = pair_in_state(State.COOKIE_WAIT)
    pair.send(b"early")
    pair.a.max_packet = 4000
    cookie = StateCookie(bytes(range(250)) * 12)
    init_ack = c.InitAck(77, 10_000, 1, 1, 5, (cookie,))
    (answer,) = pair.a.receive(init_ack, now=0.0)
    assert answer.names == "COOKIE ECHO"
    assert answer.tag == 77
    assert answer.chunk(c.CookieEcho).cookie == cookie.cookie
    (data,) = pair.a.receive(c.CookieAck(), now=0.0)
    assert data.names == "DATA"


# -- the caller and the called -----------------------------------------------------------------------


def test_refused_by_the_peer() -> None:
    """An ABORT that answers INIT: not the same as an abort later on (§9.1)."""
    # A -> INIT -> Z   Z -> ABORT -> A
    pair = pair_in_state(State.COOKIE_WAIT)
    cause = UserInitiatedAbort(b"not you")
    assert pair.a.receive(c.Abort((cause,)), now=0.0) == []
    assert pair.a.closed is not None
    assert pair.a.closed.reason is CloseReason.REFUSED
    assert pair.a.closed.causes == (cause,)


def test_error_during_set_up_closes_nothing() -> None:
    """§3.3.10: an ERROR is not fatal in itself."""
    pair = pair_in_state(State.COOKIE_ECHOED)
    causes = (InvalidStreamIdentifier(3),)
    pair.a.receive(c.Error(causes), now=0.0)
    assert pair.a.state.name == "COOKIE_ECHOED"
    assert pair.a.events == [PeerError(causes)]
    pair.a.receive(c.CookieAck(), now=0.0)
    assert pair.a.state is State.ESTABLISHED


def test_abort_while_calling_ends_it() -> None:
    pair = Pair()
    pair.a.association.connect(now=0.0)
    pair.a.association.abort(b"never mind", now=0.0)
    pair.run()
    assert pair.exchange == [], "not even the INIT that had not been sent"
    assert pair.a.closed is not None
    assert pair.a.closed.reason is CloseReason.LOCAL_ABORT


def test_abort_in_cookie_echoed_tells_the_peer() -> None:
    pair = pair_in_state(State.COOKIE_ECHOED)
    pair.a.association.abort(b"never mind", now=0.0)
    assert [packet.names for packet in pair.a.pull(0.0)] == ["ABORT"]


def test_shutdown_while_calling_waits_for_the_association() -> None:
    """§11.1.3, §9.2: what was sent is delivered first."""
    pair = Pair()
    pair.send(b"last words")
    pair.a.association.connect(now=0.0)
    pair.a.association.shutdown(now=0.0)
    with pytest.raises(LocalProtocolError, match="shutting down"):
        pair.send(b"too late")
    pair.run()
    assert pair.z.payloads == [b"last words"]
    for end in (pair.a, pair.z):
        assert end.closed is not None
        assert end.closed.reason is CloseReason.SHUTDOWN
        assert end.closed.undelivered_messages == 0


def test_connect_twice_or_too_late_is_refused() -> None:
    pair = established_pair()
    with pytest.raises(LocalProtocolError, match="connect: the association is ESTABLISHED"):
        pair.a.association.connect(now=0.0)
    pair.a.association.abort(now=0.0)
    with pytest.raises(LocalProtocolError, match="connect: the association is over"):
        pair.a.association.connect(now=0.0)
    waiting = Pair()
    waiting.a.association.shutdown(now=0.0)
    with pytest.raises(LocalProtocolError, match="over"):
        waiting.a.association.connect(now=0.0)


def test_tags_and_tsns_of_two_associations_differ() -> None:
    """§5.3.1, §3.3.2: random ones."""
    seen = set()
    for seed in range(30):
        pair = Pair(seed=seed)
        pair.a.association.connect(now=0.0)
        (packet,) = pair.a.pull(0.0)
        init = packet.chunk(c.Init)
        seen |= {init.initiate_tag, init.initial_tsn}
    assert len(seen) == 60
    assert max(seen) > 2**31
