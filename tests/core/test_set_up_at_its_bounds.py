"""Setting up where a packet is just full, a window just large enough, a wish the last of its kind.

Changes of the code that no other test had noticed are noticed here.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.association_pair import Pair, pair_in_state
from trio_sctp._core.events import CloseReason
from trio_sctp._core.states import State
from trio_sctp._wire import chunks as c
from trio_sctp._wire.error_causes import (
    InvalidMandatoryParameter,
    StaleCookie,
    UnresolvableAddress,
)
from trio_sctp._wire.parameters import (
    CookiePreservative,
    HostNameAddress,
    StateCookie,
    UnknownParameter,
    UnrecognizedParameter,
)

INIT = c.Init(4711, 10_000, 5, 5, 9)
INIT_ACK = c.InitAck(4711, 10_000, 5, 5, 9, (StateCookie(b"cookie"),))
HOST = HostNameAddress(b"name")


# -- packets that are just full ----------------------------------------------------------------------


@pytest.mark.parametrize("excess", [0, 4])
def test_a_refusal_echoes_what_fits_to_the_last_byte(excess: int) -> None:
    """RFC 9260 §3.3.10.5: the whole address is echoed; what would not fit is left out."""
    path_mtu = 1200
    pair = Pair(path_mtu=path_mtu)
    room = (
        path_mtu - 12 - len(c.Abort((UnresolvableAddress(HostNameAddress(b"").encode()),)).encode())
    )
    init = replace(INIT, parameters=(HostNameAddress(bytes(room + excess)),))
    (answer,) = pair.z.receive(init, now=0.0, tag=0)
    assert len(answer.chunk(c.Abort).causes) == (0 if excess else 1)
    assert (len(answer.raw) == path_mtu) is not bool(excess)


@pytest.mark.parametrize("excess", [0, 4])
def test_reports_fill_an_init_ack_to_the_last_byte(excess: int) -> None:
    """§3.2.2: what is not understood is reported wherever there is room."""
    (plain,) = Pair(path_mtu=1200).z.receive(INIT, now=0.0, tag=0)
    room = (
        1200
        - len(plain.raw)
        - len(UnrecognizedParameter(UnknownParameter(0xC001, b"").encode()).encode())
    )
    init = replace(INIT, parameters=(UnknownParameter(0xC001, bytes(room + excess)),))
    (answer,) = Pair(path_mtu=1200).z.receive(init, now=0.0, tag=0)
    kinds = [type(parameter) for parameter in answer.chunk(c.InitAck).parameters]
    assert (UnrecognizedParameter in kinds) is not bool(excess)


@pytest.mark.parametrize("excess", [0, 4])
def test_a_report_fills_the_packet_of_cookie_echo_to_the_last_byte(excess: int) -> None:
    """§3.2.2: an ERROR goes with COOKIE ECHO if it fits."""
    pair = pair_in_state(State.COOKIE_WAIT, path_mtu=1200)
    room = 1200 - 12 - len(c.CookieEcho(b"cookie").encode()) - 8 - 4
    unknown = UnknownParameter(0xC001, bytes(room + excess))
    init_ack = replace(INIT_ACK, parameters=(StateCookie(b"cookie"), unknown))
    (answer,) = pair.a.receive(init_ack, now=0.0)
    assert answer.names == ("COOKIE ECHO" if excess else "COOKIE ECHO, ERROR")


# -- what ends an attempt ----------------------------------------------------------------------------


def test_an_init_ack_without_a_tag_is_told_by_its_cause() -> None:
    """§3.3.3: the TCB is destroyed, and the program learns why."""
    pair = pair_in_state(State.COOKIE_WAIT)
    (abort,) = pair.a.receive(replace(INIT_ACK, initiate_tag=0), now=0.0)
    assert abort.chunk(c.Abort).causes == (InvalidMandatoryParameter(),)
    assert pair.a.closed is not None
    assert pair.a.closed.reason is CloseReason.LOCAL_ABORT
    assert pair.a.closed.causes == (InvalidMandatoryParameter(),)


@pytest.mark.parametrize("a_rwnd", [1499, 1500])
def test_too_small_a_window_changes_no_state_and_1500_is_enough(a_rwnd: int) -> None:
    """§3.3.3: such an INIT ACK is only answered; for another fault the attempt ends."""
    pair = pair_in_state(State.COOKIE_WAIT)
    pair.a.receive(replace(INIT_ACK, a_rwnd=a_rwnd, parameters=(HOST,)), now=0.0)
    assert pair.a.state is (State.COOKIE_WAIT if a_rwnd == 1499 else State.CLOSED)


# -- cookies that are late ---------------------------------------------------------------------------


def test_the_measured_round_trip_bounds_the_wish_when_cookie_echo_was_repeated() -> None:
    """§5.2.6: which COOKIE ECHO the ERROR answers nobody knows; INIT's round trip is known."""
    pair = pair_in_state(State.COOKIE_WAIT)
    pair.a.receive(INIT_ACK, now=0.75)
    pair.a.expire(pair.a.association.next_timeout())
    pair.a.pull(4.0)
    (init,) = pair.a.receive(c.Error((StaleCookie(10_000_000),)), now=4.0)
    assert init.chunk(c.Init).parameters[0] == CookiePreservative(1750)


def test_after_a_stale_cookie_init_is_repeated_as_often_as_ever() -> None:
    """§5.1.1: Max.Init.Retransmits is for each attempt."""
    pair = pair_in_state(State.COOKIE_ECHOED, max_init_retransmits=3)
    sent = len(pair.a.receive(c.Error((StaleCookie(5),)), now=0.1))
    pair.lose = lambda packet: packet.sender == "A"
    pair.run_until(done=lambda: pair.a.closed is not None)
    sent += sum("INIT" in line for line in pair.exchange)
    assert pair.a.closed is not None
    assert pair.a.closed.reason is CloseReason.TIMED_OUT
    assert sent == 1 + 3


def test_update_config_reaches_the_secrets_of_cookies() -> None:
    """§5.1.3: a cookie of the secret before the last is nobody's."""
    pair = Pair()
    z = pair.z
    (first,) = z.receive(INIT, now=0.0, tag=0)
    z.association.update_config(now=0.0, cookie_secret_life=10.0)
    for now in (11.0, 22.0):
        z.receive(INIT, now=now, tag=0)
    init_ack = first.chunk(c.InitAck)
    (cookie,) = [p for p in init_ack.parameters if isinstance(p, StateCookie)]
    assert z.receive(c.CookieEcho(cookie.cookie), now=23.0, tag=init_ack.initiate_tag) == []
    assert z.state is State.CLOSED
