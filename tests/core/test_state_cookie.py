"""The State Cookie (RFC 9260 §5.1.3 to §5.1.5, §5.2.6): no state before it, no way around it."""

from __future__ import annotations

import math
from random import Random

import pytest

from tests.support.association_pair import Packet, Pair, packet_to, pair_in_state
from tests.support.table_sizes import table_sizes
from trio_sctp._core.association import Association
from trio_sctp._core.config import Config
from trio_sctp._core.endpoint import Endpoint
from trio_sctp._core.events import CloseReason
from trio_sctp._core.states import OPEN, State
from trio_sctp._wire import chunks as c
from trio_sctp._wire.error_causes import StaleCookie
from trio_sctp._wire.packet import decode_chunks, encode_packet
from trio_sctp._wire.parameters import CookiePreservative, StateCookie

ADDRESS = ("192.0.2.1", 9899)


def cookie_of(packet: Packet) -> bytes:
    return next(p.cookie for p in packet.chunk(c.InitAck).parameters if isinstance(p, StateCookie))


def init_ack_from_z(pair: Pair) -> Packet:
    """A -> INIT -> Z   Z -> INIT ACK -> (under way)"""
    pair.a.association.connect(now=pair.now)
    pair.pull()
    pair.deliver()
    (packet,) = pair.pull()
    return packet


def cookie_echo_from_a(pair: Pair) -> Packet:
    """... A -> COOKIE ECHO -> (under way)"""
    init_ack_from_z(pair)
    pair.deliver()
    (packet,) = pair.pull()
    pair.transit.clear()
    return packet


# -- nothing is kept ---------------------------------------------------------------------------------


def test_responder_keeps_nothing_before_cookie_echo() -> None:
    """§5.1 B: after INIT ACK an association that waits is as it was."""
    pair = Pair()
    init_ack_from_z(pair)
    z = pair.z.association
    assert z.state is State.CLOSED
    assert z.tcb is None
    assert z.initiator is None
    assert z.local_tag == 0
    assert z.next_timeout() == math.inf
    assert pair.z.events == []


def test_a_flood_of_inits_leaves_no_trace_in_an_endpoint() -> None:
    """§5.1 B, §12.2.4.1."""
    endpoint = Endpoint(Config(), rng=Random(1))
    init = c.Init(1, 10_000, 1, 1, 1)
    endpoint.receive_datagrams([(ADDRESS, encode_packet(5000, 5000, 0, [init.encode()]))], now=0.0)
    endpoint.datagrams_to_send(now=0.0)
    before = table_sizes(endpoint)
    for i in range(1, 2000):
        raw = encode_packet(1 + i % 60000, 5000, 0, [c.Init(i, 10_000, 1, 1, i).encode()])
        endpoint.receive_datagrams([(("192.0.2.1", i), raw)], now=float(i))
        assert len(endpoint.datagrams_to_send(now=float(i))) == 1
    assert table_sizes(endpoint) == before
    assert endpoint.associations == ()


def test_any_responder_with_the_secret_could_take_the_cookie() -> None:
    """§3.3.3.1.1: all that is needed is in it, so that another object can go on with it."""
    pair = Pair()
    echo = cookie_echo_from_a(pair)
    other = Association(Config(), rng=Random(5), responder=pair.z.association.responder)
    other.receive_packets([echo.raw], now=0.0)
    assert other.state is State.ESTABLISHED
    assert other.tcb is not None
    assert pair.a.association.tcb is not None
    assert other.tcb.peer.tag == pair.a.association.tcb.local.tag
    assert other.tcb.peer.initial_tsn == pair.a.association.tcb.local.initial_tsn
    assert other.tcb.local.tag == pair.a.association.tcb.peer.tag
    assert other.tcb.local.initial_tsn == pair.a.association.tcb.peer.initial_tsn
    assert other.tcb.peer.a_rwnd == pair.a.association.config.a_rwnd
    assert other.tcb.capabilities == pair.a.association.tcb.capabilities


def test_a_cookie_is_small() -> None:
    """§3.3.11, §5.1.3, §12.4: as small as possible."""
    pair = Pair()
    packet = init_ack_from_z(pair)
    assert len(cookie_of(packet)) <= 128
    assert len(packet.raw) <= 200


# -- nobody else's, nothing changed ------------------------------------------------------------------


def test_cookie_changed_in_any_byte_is_discarded_silently() -> None:
    """§5.1.5 steps 1 and 2."""
    pair = Pair()
    echo = cookie_echo_from_a(pair)
    cookie = echo.chunk(c.CookieEcho).cookie
    for i in range(len(cookie)):
        for bit in (0x01, 0x80):
            changed = cookie[:i] + bytes([cookie[i] ^ bit]) + cookie[i + 1 :]
            assert pair.z.receive(c.CookieEcho(changed), now=0.0, tag=echo.tag) == []
            assert pair.z.state is State.CLOSED
    pair.repeat(echo)
    assert pair.z.state is State.ESTABLISHED


@pytest.mark.parametrize("length", [0, 1, 32, 85, 117, 119, 200, 1000])
def test_cookie_of_another_length_is_discarded(length: int) -> None:
    pair = Pair()
    echo = cookie_echo_from_a(pair)
    cookie = (echo.chunk(c.CookieEcho).cookie * 9)[:length]
    if cookie != echo.chunk(c.CookieEcho).cookie:
        assert pair.z.receive(c.CookieEcho(cookie), now=0.0, tag=echo.tag) == []
        assert pair.z.state is State.CLOSED


def test_data_behind_a_bad_cookie_is_discarded_with_it() -> None:
    """§5.1.5 step 2."""
    pair = Pair()
    echo = cookie_echo_from_a(pair)
    data = c.Data(1, 0, 0, 0, b"x")
    assert pair.z.receive(c.CookieEcho(b"bad"), data, now=0.0, tag=echo.tag) == []
    assert pair.z.events == []


@pytest.mark.parametrize("wrong", ["tag", "source_port", "destination_port"])
def test_cookie_under_another_tag_or_port_is_discarded(wrong: str) -> None:
    """§5.1.5 step 3."""
    pair = Pair()
    echo = cookie_echo_from_a(pair)
    chunk = echo.chunk(c.CookieEcho)
    options = {"tag": echo.tag}
    options[wrong] = options.get(wrong, 5000) ^ 1
    pair.z.give([packet_to(pair.z.association, chunk, **options)], 0.0)
    assert pair.z.pull(0.0) == []
    assert pair.z.association.tcb is None
    pair.repeat(echo)
    assert pair.z.state is State.ESTABLISHED


def test_cookie_from_another_address_is_discarded() -> None:
    """A cookie answers for the address that INIT ACK was sent to."""
    endpoint = Endpoint(Config(), rng=Random(1))
    caller = Association(Config(), rng=Random(2))
    caller.connect(now=0.0)
    endpoint.receive_datagrams([(ADDRESS, p) for p in caller.packets_to_send(now=0.0)], now=0.0)
    caller.receive_packets([p for _, p in endpoint.datagrams_to_send(now=0.0)], now=0.0)
    echo = caller.packets_to_send(now=0.0)
    for other in (("192.0.2.2", 9899), ("192.0.2.1", 9900)):
        endpoint.receive_datagrams([(other, p) for p in echo], now=0.0)
        assert endpoint.next_accepted() is None
    endpoint.receive_datagrams([(ADDRESS, p) for p in echo], now=0.0)
    assert endpoint.next_accepted() is not None


def test_cookie_of_before_our_restart_is_discarded() -> None:
    """The secret was lost with the process."""
    pair = Pair()
    echo = cookie_echo_from_a(pair)
    reborn = Association(Config(), rng=Random("another"))
    reborn.receive_packets([echo.raw], now=0.0)
    assert reborn.state is State.CLOSED
    assert reborn.packets_to_send(now=0.0) == []
    assert reborn.counters.dropped == {"invalid COOKIE ECHO": 1}


def test_a_cookie_says_nothing_of_the_association_it_would_replace() -> None:
    """§5.1.3: unencrypted, so the tie-tags stand for the tags, which are not in it."""
    pair = Pair()
    pair.connect()
    tcb = pair.z.association.tcb
    assert tcb is not None
    init = c.Init(99, 10_000, 1, 1, 1)
    (init_ack,) = pair.z.receive(init, now=0.0, tag=0)
    cookie = cookie_of(init_ack)
    for tag in (tcb.local.tag, tcb.peer.tag):
        assert tag.to_bytes(4) not in cookie


# -- secrets -----------------------------------------------------------------------------------------


def test_secret_is_replaced_and_the_one_before_stays_good() -> None:
    """§5.1.3: reasonably often; and a cookie made just before the change is good for its life."""
    config = Config(cookie_secret_life=100.0, valid_cookie_life=60.0)
    pair = Pair(config)
    pair.now = 0.0
    init_ack_from_z(pair)
    pair.transit.clear()
    # a cookie made at 99, and another INIT at 101 which makes the second secret
    other = Pair(config, seed=1)
    other.z = pair.z
    other.now = 99.0
    echo = cookie_echo_from_a(other)
    pair.z.receive(c.Init(5, 10_000, 1, 1, 1), now=101.0, tag=0)
    other.now = 102.0
    other.repeat(echo)
    assert pair.z.state is State.ESTABLISHED


def test_secret_of_two_changes_ago_is_forgotten() -> None:
    """§5.1.5 step 1: and its cookies are discarded silently."""
    pair = Pair(cookie_secret_life=10.0)
    echo = cookie_echo_from_a(pair)
    for now in (11.0, 22.0):
        pair.z.receive(c.Init(5, 10_000, 1, 1, 1), now=now, tag=0)
    pair.now = 23.0
    pair.repeat(echo)
    assert pair.z.state is State.CLOSED
    assert pair.z.pull(23.0) == []


def test_cookies_work_over_very_many_secrets() -> None:
    pair = Pair(cookie_secret_life=1.0)
    for i in range(600):
        pair.z.receive(c.Init(5, 10_000, 1, 1, 1), now=i * 1.5, tag=0)
    pair.now = 900.0
    pair.repeat(cookie_echo_from_a(pair))
    assert pair.z.state is State.ESTABLISHED


def test_update_config_reaches_cookies() -> None:
    pair = Pair()
    pair.z.association.update_config(now=0.0, valid_cookie_life=5.0)
    echo = cookie_echo_from_a(pair)
    pair.now = 5.5
    pair.repeat(echo)
    (error,) = pair.z.pull(5.5)
    assert error.names == "ERROR"


# -- too late ----------------------------------------------------------------------------------------


def test_stale_cookie_is_answered_with_its_measure() -> None:
    """§5.1.5 step 4, §3.3.10.3: microseconds past expiry, rounded up; nothing is set up."""
    # A -> COOKIE ECHO, DATA -> (60 s and 250.5 µs too late) Z   Z -> ERROR(Stale Cookie) -> A
    pair = Pair()
    pair.send(b"early")
    echo = cookie_echo_from_a(pair)
    pair.now = 60.0002505
    pair.repeat(echo)
    assert pair.z.state is State.CLOSED
    assert pair.z.events == []
    (error,) = pair.z.pull(pair.now)
    (cause,) = error.chunk(c.Error).causes
    assert isinstance(cause, StaleCookie)
    assert cause.staleness_us == 251
    assert pair.a.association.local_tag == error.tag


@pytest.mark.parametrize("age", [0.0, 59.9, 60.0])
def test_fresh_cookie(age: float) -> None:
    pair = Pair()
    echo = cookie_echo_from_a(pair)
    pair.now = age
    pair.repeat(echo)
    assert pair.z.state is State.ESTABLISHED


def test_measure_of_staleness_is_bounded_by_its_field() -> None:
    pair = Pair(valid_cookie_life=0.1)
    echo = cookie_echo_from_a(pair)
    pair.now = 1e7
    pair.repeat(echo)
    (error,) = pair.z.pull(pair.now)
    assert error.chunk(c.Error).causes == (StaleCookie(2**32 - 1),)


def test_duplicate_cookie_is_valid_however_old() -> None:
    """§5.2.4 step 3: both tags match the association, so it is the peer that missed COOKIE ACK."""
    pair = Pair()
    echo = cookie_echo_from_a(pair)
    pair.repeat(echo)
    pair.z.pull(0.0)
    pair.now = 500.0
    pair.z.association.update_config(now=0.0, hb_interval=math.inf)
    pair.repeat(echo)
    assert [packet.names for packet in pair.z.pull(500.0)] == ["COOKIE ACK"]


def test_caller_asks_again_with_a_longer_life() -> None:
    """§5.2.6 alternative 3: round trip and a second at most, and the new cookie lives that long."""
    # A -> COOKIE ECHO -> Z (late)   Z -> ERROR -> A   A -> INIT(Cookie Preservative) -> Z ...
    pair = Pair(valid_cookie_life=1.0)
    pair.send(b"early")
    init_ack_from_z(pair)
    pair.deliver()
    pair.pull()
    pair.now = 1.5
    pair.deliver()
    pair.pull()
    pair.now = 3.0
    pair.deliver()
    assert pair.a.state.name == "COOKIE_WAIT"
    assert pair.a.events == []
    (init,) = pair.pull()
    assert init.names == "INIT"
    (wish,) = [p for p in init.chunk(c.Init).parameters if isinstance(p, CookiePreservative)]
    assert wish.increment_ms == 500
    pair.run()
    assert pair.a.state is pair.z.state is State.ESTABLISHED
    pair.run_until(done=lambda: not pair.a.association.undelivered_messages)
    assert pair.z.payloads == [b"early"]


@pytest.mark.parametrize(
    "round_trip, staleness, wish", [(2.0, 10.0, 3000), (2.0, 0.25, 250), (0.0, 9.0, 1000)]
)
def test_preservative_is_no_more_than_a_round_trip_and_a_second(
    round_trip: float, staleness: float, wish: int
) -> None:
    """§5.2.6 alternative 3."""
    pair = pair_in_state(State.COOKIE_ECHOED)
    error = c.Error((StaleCookie(round(staleness * 1e6)),))
    (init,) = pair.a.receive(error, now=round_trip)
    assert init.chunk(c.Init).parameters[0] == CookiePreservative(wish)


def test_preservative_is_bounded_after_a_repeated_cookie_echo() -> None:
    """Nobody knows the round trip then; a peer that claims a day does not get it."""
    pair = pair_in_state(State.COOKIE_ECHOED)
    pair.a.expire(1.0)
    pair.a.pull(1.0)
    (init,) = pair.a.receive(c.Error((StaleCookie(2**32 - 1),)), now=1.1)
    assert init.chunk(c.Init).parameters[0] == CookiePreservative(1000)


def test_no_preservative_where_the_measure_is_not_told() -> None:
    pair = pair_in_state(State.COOKIE_ECHOED)
    (init,) = pair.a.receive(c.Error((StaleCookie(0),)), now=0.1)
    assert not any(isinstance(p, CookiePreservative) for p in init.chunk(c.Init).parameters)


def test_caller_gives_up_on_cookies_that_are_always_stale() -> None:
    """Bounded as everything else, by Max.Init.Retransmits."""
    pair = pair_in_state(State.COOKIE_ECHOED, max_init_retransmits=3)
    times = 0
    while True:
        pair.a.receive(c.Error((StaleCookie(1),)), now=0.1)
        if pair.a.closed:
            break
        times += 1
        init_ack = c.InitAck(7, 10_000, 1, 1, 1, (StateCookie(b"stale"),))
        pair.a.receive(init_ack, now=0.2)
        assert pair.a.state is State.COOKIE_ECHOED
    assert times == 3
    assert pair.a.closed is not None
    assert pair.a.closed.reason is CloseReason.REFUSED
    assert pair.a.closed.causes == (StaleCookie(1),)


@pytest.mark.parametrize("state", sorted(OPEN - {State.COOKIE_ECHOED}, key=str))
def test_stale_cookie_error_in_other_states_is_discarded(state: State) -> None:
    """§5.2.6: of interest in COOKIE-ECHOED only."""
    pair = pair_in_state(state)
    assert pair.a.receive(c.Error((StaleCookie(5),)), now=0.0) == []
    assert pair.a.state is state
    assert pair.a.events == []


def test_timers_between_stale_cookie_and_the_next_init_ack() -> None:
    """In COOKIE-WAIT again T3-rtx of the data sent with COOKIE ECHO does nothing."""
    pair = Pair(association_max_retrans=0)
    pair.send(b"early")
    pair.a.association.connect(now=0.0)
    pair.pull_cookie_echo()
    pair.transit.clear()
    pair.a.receive(c.Error((StaleCookie(5),)), now=0.5)
    pair.lose = lambda packet: packet.sender == "A" and packet.names == "INIT"
    pair.run_until(10.0)
    assert pair.a.state is State.COOKIE_WAIT
    assert set(pair.exchange[3:]) == {"A -> INIT -> lost"}


def test_cookie_preservative_is_granted_up_to_twice_the_life() -> None:
    """§3.3.2.1.3, §5.2.6: long-lived cookies are easier to replay."""
    for wish, life in ((0, 60), (5_000, 65), (60_000, 120), (2**32 - 1, 120)):
        z = Association(Config(), rng=Random(1))
        init = c.Init(7, 10_000, 1, 1, 1, (CookiePreservative(wish),))
        z.receive_packets([packet_to(z, init, tag=0)], now=0.0)
        (raw,) = z.packets_to_send(now=0.0)
        init_ack = Packet("Z", raw).chunk(c.InitAck)
        (cookie,) = [p for p in init_ack.parameters if isinstance(p, StateCookie)]
        echo = packet_to(z, c.CookieEcho(cookie.cookie), tag=init_ack.initiate_tag)
        z.receive_packets([echo], now=life + 0.001)
        assert [type(k) for p in z.packets_to_send(now=0.0) for k in decode_chunks(p)] == [c.Error]
        z.receive_packets([echo], now=life)
        assert z.state is State.ESTABLISHED
