"""`Config`: every limit is checked and named; what INIT told the peer is fixed (RFC 9260 §16, §11.1)."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest

from tests.support.association_pair import Pair, established_pair, pair_in_state
from trio_sctp._core.config import FIXED_BY_INIT, Config
from trio_sctp._core.errors import LocalProtocolError
from trio_sctp._core.states import State
from trio_sctp._wire import chunks as c

FIELDS = {field.name: field.default for field in dataclasses.fields(Config)}

LIMITS: list[tuple[str, float, float]] = [
    ("local_port", 1, 65535),
    ("remote_port", 1, 65535),
    ("outbound_streams", 1, 65535),
    ("inbound_streams", 1, 65535),
    ("a_rwnd", 1500, 2**32 - 1),
    ("max_message_size", 1, 2**40),
    ("path_mtu", 512, 65535),
    ("rto_initial", 0.001, 3600.0),
    ("rto_min", 0.001, 3600.0),
    ("rto_max", 0.001, 3600.0),
    ("rto_alpha", 0.0, 1.0),
    ("rto_beta", 0.0, 1.0),
    ("max_burst", 1, 2**16),
    ("valid_cookie_life", 0.1, 3600.0),
    ("cookie_secret_life", 1.0, 86400.0),
    ("association_max_retrans", 0, 2**16),
    ("max_init_retransmits", 0, 2**16),
    ("hb_interval", 0.001, math.inf),
    ("sack_delay", 0.0, 0.5),
    ("shutdown_guard", 0.001, math.inf),
    ("slow_start_limit", 1, 2**16),
]


def test_every_number_has_limits() -> None:
    """No value that is not even a number gets into any field."""
    numbers = {name for name, value in FIELDS.items() if type(value) in (int, float)}
    for name in numbers:
        with pytest.raises(LocalProtocolError, match=f"{name} is nan"):
            Config().replace(**{name: math.nan})


@pytest.mark.parametrize(
    "name, value",
    [
        ("rto_initial", 1.0),
        ("rto_min", 1.0),
        ("rto_max", 60.0),
        ("max_burst", 4),
        ("rto_alpha", 1 / 8),
        ("rto_beta", 1 / 4),
        ("valid_cookie_life", 60.0),
        ("association_max_retrans", 10),
        ("max_init_retransmits", 8),
        ("hb_interval", 30.0),
    ],
)
def test_defaults_are_those_of_the_rfc(name: str, value: float) -> None:
    """§16."""
    assert FIELDS[name] == value


def test_sacks_are_delayed_for_less_than_the_rfc_allows() -> None:
    """§6.2: within 200 ms.  Senders that wait for a SACK before they go on have to wait less."""
    assert FIELDS["sack_delay"] == 0.02 <= 0.2


@pytest.mark.parametrize("name, low, high", LIMITS)
def test_limits_are_allowed_and_what_is_beyond_is_refused(
    name: str, low: float, high: float
) -> None:
    """The error names the field and the limits."""
    wide: dict[str, Any] = {"rto_min": 0.001, "rto_max": 3600.0}
    for value in (low, high):
        if name != "path_mtu":
            assert getattr(Config(**(wide | {name: value})), name) == value
    step = 1 if isinstance(low, int) else 1e-4
    for wrong in (low - step, high + step, math.nan):
        if wrong != math.inf:
            with pytest.raises(LocalProtocolError, match=f"{name} is .*: it must be "):
                Config(**(wide | {name: wrong}))


@pytest.mark.parametrize("name, low, high", LIMITS)
@pytest.mark.parametrize("wrong", ["5000", None, True, b"1", 1j, [1]])
def test_values_of_other_types_are_refused(
    name: str, low: float, high: float, wrong: object
) -> None:
    kind = "an integer" if isinstance(low, int) else "a number"
    with pytest.raises(LocalProtocolError, match=f"{name} is .*: it must be {kind}"):
        Config(**{name: wrong})  # type: ignore[arg-type]


def test_a_fraction_of_a_byte_is_refused() -> None:
    with pytest.raises(LocalProtocolError, match=r"path_mtu is 1200\.5: it must be an integer"):
        Config(path_mtu=1200.5)  # type: ignore[arg-type]


def test_bounds_of_the_rto_must_not_cross() -> None:
    with pytest.raises(LocalProtocolError, match=r"rto_min is 2.0: above rto_max 1.0"):
        Config(rto_min=2.0, rto_max=1.0)


@pytest.mark.parametrize("path_mtu", [1200, 1201, 1202, 1203])
def test_path_mtu_is_rounded_to_what_a_packet_can_be(path_mtu: int) -> None:
    """§3.2: chunks are multiples of 4."""
    assert Config(path_mtu=path_mtu).path_mtu == 1200


def test_replace() -> None:
    config = Config().replace(rto_min=0.2, hb_interval=math.inf)
    assert (config.rto_min, config.hb_interval, config.rto_max) == (0.2, math.inf, 60.0)
    with pytest.raises(LocalProtocolError, match="Config has no field rto_minimum"):
        config.replace(rto_minimum=1)
    with pytest.raises(LocalProtocolError, match="sack_delay is 1"):
        config.replace(sack_delay=1)


def test_config_cannot_be_changed_in_place() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().rto_min = 5.0  # type: ignore[misc]


# -- while an association runs -----------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(FIXED_BY_INIT))
@pytest.mark.parametrize("state", [State.CLOSED, State.COOKIE_WAIT, State.ESTABLISHED])
def test_what_the_peer_was_told_cannot_change(name: str, state: State) -> None:
    pair = pair_in_state(state)
    before = pair.a.association.config
    with pytest.raises(LocalProtocolError, match=f"{name}: it is fixed"):
        pair.a.association.update_config(now=0.0, **{name: getattr(before, name)})
    assert pair.a.association.config is before


@pytest.mark.parametrize("state", sorted(State, key=str))
def test_everything_else_can_change_in_every_state(state: State) -> None:
    pair = pair_in_state(state)
    for name in sorted(FIELDS.keys() - FIXED_BY_INIT):
        pair.a.association.update_config(now=0.0, **{name: FIELDS[name]})
    assert pair.a.state is state
    assert pair.a.pull(0.0) == []


@pytest.mark.parametrize(
    "changes", [{"rto_min": 61.0}, {"rto_min": -1}, {"unheard_of": 1}, {"max_burst": "x"}], ids=str
)
def test_a_refused_change_changes_nothing(changes: dict[str, Any]) -> None:
    pair = established_pair()
    before = pair.a.association.config
    with pytest.raises(LocalProtocolError):
        pair.a.association.update_config(now=0.0, sack_delay=0.1, **changes)
    assert pair.a.association.config is before


def test_new_rto_bounds_hold_at_once() -> None:
    pair = established_pair(loss_recovery="rfc9260")
    pair.a.association.update_config(now=0.0, rto_min=0.05)
    pair.send(b"x")
    pair.run()
    pair.lose = lambda packet: True
    pair.send(b"y")
    pair.pull()
    assert pair.a.association.next_timeout() == pytest.approx(pair.now + 0.05)
    pair.a.association.update_config(now=0.0, rto_max=1.0)
    pair.run_until(5.0)
    assert pair.a.association.rto.rto == 1.0


def test_new_sack_delay_holds_for_the_next_sack() -> None:
    pair = established_pair()
    for now, delay in ((1.0, 0.2), (2.0, 0.02), (3.0, 0.5)):
        pair.z.association.update_config(now=now, sack_delay=delay)
        pair.now = now
        pair.send(b"x")
        pair.run()
        if now > 1.0:  # the very first one is acknowledged at once
            assert pair.z.association.next_timeout() == pytest.approx(now + delay)
        pair.run_until(now + 0.6)


# -- what the program may ask for --------------------------------------------------------------------


@pytest.mark.parametrize(
    "stream_id, options, message",
    [
        (-1, {}, "stream_id is -1: it must be from 0 to 65534"),
        (65535, {}, "stream_id is 65535: it must be from 0 to 65534"),
        (0, {"ppid": -1}, "ppid is -1: it must be from 0 to 4294967295"),
        (0, {"ppid": 2**32}, "ppid is 4294967296: it must be from 0 to 4294967295"),
    ],
)
@pytest.mark.parametrize("state", [State.CLOSED, State.COOKIE_ECHOED, State.ESTABLISHED])
def test_send_out_of_range(
    state: State, stream_id: int, options: dict[str, Any], message: str
) -> None:
    pair = pair_in_state(state)
    with pytest.raises(LocalProtocolError, match=message):
        pair.send(b"x", stream_id=stream_id, **options)
    assert pair.a.association.total_unsent_bytes == 0
    assert pair.a.pull(0.0) == []


def test_empty_message_is_refused() -> None:
    """§6.2: there is no DATA chunk without data."""
    pair = established_pair()
    for empty in (b"", bytearray(), memoryview(b"")):
        with pytest.raises(LocalProtocolError, match="payload is empty"):
            pair.a.association.send(0, empty, now=0.0)


@pytest.mark.parametrize("payload", ["text", 5, None, [1, 2]])
def test_payload_without_bytes_is_a_type_error_at_the_call(payload: Any) -> None:
    pair = established_pair()
    with pytest.raises(TypeError):
        pair.a.association.send(0, payload, now=0.0)
    assert pair.a.association.undelivered_messages == 0


def test_payload_is_taken_as_it_is_at_the_call() -> None:
    """A buffer that is used again afterwards does no harm."""
    pair = established_pair()
    buffer = bytearray(b"first")
    pair.a.association.send(0, buffer, now=0.0)
    pair.a.association.send(0, memoryview(buffer)[:2], now=0.0)
    buffer[:] = b"other"
    pair.run()
    assert pair.z.payloads == [b"first", b"fi"]


def test_largest_values() -> None:
    pair = established_pair()
    pair.send(b"x", stream_id=65534, ppid=2**32 - 1)
    pair.run()
    (message,) = pair.z.events
    assert message.stream_id == 65534  # type: ignore[union-attr]
    assert message.ppid == 2**32 - 1  # type: ignore[union-attr]


def test_reset_streams_needs_the_extension() -> None:
    """Before the peer is known, and with one that has no RE-CONFIG."""
    pair = Pair()
    with pytest.raises(LocalProtocolError, match="reset_streams"):
        pair.a.association.reset_streams([1], now=0.0)
    pair = pair_in_state(State.COOKIE_ECHOED)
    (answer,) = pair.a.receive(c.Init(7, 10_000, 5, 5, 1), now=0.0, tag=0)
    parameters = answer.chunk(c.InitAck).parameters
    pair.a.receive(c.CookieEcho(parameters[0].cookie), now=0.0)  # type: ignore[union-attr]
    assert pair.a.state is State.ESTABLISHED
    assert not pair.a.association.capabilities.reconfiguration
    with pytest.raises(LocalProtocolError, match="reset_streams: the peer does not support"):
        pair.a.association.reset_streams([1], now=0.0)
    for wrong in (-1, 65536):
        with pytest.raises(LocalProtocolError, match=f"one of stream_ids is {wrong}"):
            pair.a.association.reset_streams([wrong], now=0.0)
