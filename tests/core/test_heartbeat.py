"""HEARTBEAT (RFC 9260 §8.3): when idle, with a nonce, jittered; what it measures and what it proves."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest

from tests.support.association_pair import PLAIN, Packet, Pair, established_pair, pair_in_state
from trio_sctp._core.errors import LocalProtocolError
from trio_sctp._core.states import SENDING, State
from trio_sctp._wire import chunks as c
from trio_sctp._wire.parameters import HeartbeatInfo, UnknownParameter, encode_parameters

ONE_SIDED = PLAIN.replace(hb_interval=math.inf)


def quiet_pair(**changes: Any) -> Pair:
    """A sends heartbeats, Z does not."""
    pair = Pair(config_z=ONE_SIDED, **changes)
    pair.connect()
    return pair


def sent_at(pair: Pair, until: float, name: str = "HEARTBEAT") -> list[float]:
    """When A sends heartbeats, from now on."""
    times: list[float] = []
    lose = pair.lose

    def watch(packet: Packet) -> bool:
        if packet.sender == "A" and packet.names == name:
            times.append(pair.now)
        return lose(packet)

    pair.lose = watch
    pair.run_until(until)
    pair.lose = lose
    return times


# -- when --------------------------------------------------------------------------------------------


def test_idle_association_sends_heartbeats_with_jitter() -> None:
    """§8.3: once per HB.interval + RTO, +/- 50 % of the RTO."""
    gaps: list[float] = []
    for seed in range(20):
        pair = quiet_pair(seed=seed)
        times = [0.0, *sent_at(pair, 320.0)]
        gaps += [b - a for a, b in pairwise(times)]
    assert len(gaps) > 150
    assert 30.5 <= min(gaps) < 30.6
    assert 31.4 < max(gaps) <= 31.5
    assert 30.9 < sum(gaps) / len(gaps) < 31.1


def test_heartbeats_are_answered_at_once() -> None:
    pair = quiet_pair()
    pair.run_until(32.0)
    assert pair.exchange == ["A -> HEARTBEAT -> Z", "Z -> HEARTBEAT ACK -> A"]
    assert pair.a.association.statistics().heartbeats_sent == 1
    assert pair.a.association.statistics().heartbeats_acknowledged == 1


def test_no_heartbeat_while_data_flows() -> None:
    """§8.3: a path is idle if nothing new was sent on it within the period."""
    pair = quiet_pair()
    for i in range(100):
        pair.run_until(i * 5.0)
        pair.send(b"x")
        pair.run()
    assert not any("HEARTBEAT" in line for line in pair.exchange)
    last = pair.now
    times = sent_at(pair, last + 40)
    assert len(times) == 1
    assert 30.5 <= times[0] - last <= 31.5


def test_receiving_alone_does_not_keep_a_path_busy() -> None:
    """§8.3: SACKs measure nothing, so an end that only receives goes on with heartbeats."""
    pair = quiet_pair()
    times: list[float] = []
    for i in range(20):
        times += sent_at(pair, i * 5.0)
        pair.z.association.send(0, b"x", now=pair.now)
        pair.run()
    assert len(times) == 3


@pytest.mark.parametrize("state", [State.COOKIE_WAIT, State.COOKIE_ECHOED])
def test_no_heartbeat_before_established(state: State) -> None:
    pair = pair_in_state(state)
    pair.lose = lambda packet: True
    pair.run_until(100.0)
    assert not any("HEARTBEAT" in line for line in pair.exchange)


@pytest.mark.parametrize("state", [State.SHUTDOWN_SENT, State.SHUTDOWN_ACK_SENT])
def test_no_heartbeat_after_shutdown_or_shutdown_ack(state: State) -> None:
    """§8.3."""
    pair = pair_in_state(state)
    pair.lose = lambda packet: packet.sender == "A"
    pair.run_until(200.0)
    assert not any("A -> HEARTBEAT" in line for line in pair.exchange)


def test_heartbeats_begin_anew_with_the_interval_that_is_set() -> None:
    """§8.3 B: changed while the association runs."""
    pair = quiet_pair()
    pair.run_until(10.0)
    pair.a.association.update_config(now=10.0, hb_interval=5.0)
    times = sent_at(pair, 29.0)
    assert len(times) == 3
    assert 15.5 <= times[0] <= 16.5


def test_heartbeats_can_be_turned_off_and_on_again() -> None:
    """§8.3 A and C: hb_interval=inf."""
    pair = quiet_pair()
    pair.a.association.update_config(now=0.0, hb_interval=math.inf)
    assert pair.a.association.next_timeout() == math.inf
    assert sent_at(pair, 1000.0) == []
    pair.now = 1000.0
    pair.a.association.update_config(now=1000.0, hb_interval=10.0)
    times = sent_at(pair, 1012.0)
    assert len(times) == 1
    assert 1010.5 <= times[0] <= 1011.5


def test_changing_something_else_does_not_put_heartbeats_off() -> None:
    pair = quiet_pair()
    for i in range(31):
        pair.run_until(float(i))
        pair.a.association.update_config(now=pair.now, max_burst=4 + i)
    assert len(sent_at(pair, 32.0)) == 1


def test_heartbeat_interval_set_while_calling() -> None:
    pair = Pair(config_z=ONE_SIDED)
    pair.a.association.connect(now=0.0)
    pair.a.association.update_config(now=0.0, hb_interval=2.0)
    assert sent_at(pair, 3.6) != []


def test_turning_heartbeats_on_after_shutdown_began_sends_none() -> None:
    pair = pair_in_state(State.SHUTDOWN_SENT)
    pair.a.association.update_config(now=0.0, hb_interval=0.1)
    pair.lose = lambda packet: True
    pair.run_until(20.0)
    assert not any("HEARTBEAT" in line for line in pair.exchange)


# -- on demand ---------------------------------------------------------------------------------------


def test_heartbeat_on_demand() -> None:
    """§8.3 D, §11.1.10."""
    pair = quiet_pair()
    pair.a.association.request_heartbeat(now=0.0)
    pair.run()
    assert pair.exchange == ["A -> HEARTBEAT -> Z", "Z -> HEARTBEAT ACK -> A"]


@pytest.mark.parametrize("state", sorted(set(State) - SENDING, key=str))
def test_heartbeat_on_demand_needs_an_association(state: State) -> None:
    pair = pair_in_state(state)
    with pytest.raises(LocalProtocolError, match="heartbeat: the association is"):
        pair.a.association.request_heartbeat(now=0.0)


# -- the nonce ---------------------------------------------------------------------------------------


def heartbeat(pair: Pair, now: float = 0.0) -> Packet:
    pair.a.association.request_heartbeat(now=now)
    (packet,) = pair.a.pull(now)
    return packet


def test_nonce_is_long_and_new_each_time() -> None:
    """§3.3.5, §5.4: 64 bits or more, unpredictable."""
    pair = quiet_pair()
    infos = set()
    for _ in range(50):
        sent = heartbeat(pair).chunk(c.Heartbeat)
        infos.add(sent.info)
        pair.a.receive(c.HeartbeatAck(sent.value), now=0.0)
    assert len(infos) == 50
    assert all(info is not None and len(info) >= 8 for info in infos)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        HeartbeatInfo(bytes(16)).encode(),
        HeartbeatInfo(b"").encode(),
        b"\0\1\0\x03",
        b"\0\1\xff\xff",
    ],
)
def test_heartbeat_ack_without_the_nonce_proves_nothing(value: bytes) -> None:
    """Field note: heartbeat ack accepted without its nonce.  Neither counter nor RTT change."""
    pair = quiet_pair()
    tcb = pair.a.association.tcb
    assert tcb is not None
    heartbeat(pair)
    tcb.error_count = 3
    srtt = pair.a.association.rto.srtt
    pair.a.receive(c.HeartbeatAck(value), now=7.0)
    assert tcb.error_count == 3
    assert pair.a.association.rto.srtt == srtt
    assert pair.a.association.statistics().heartbeats_acknowledged == 0


def test_nonce_works_once() -> None:
    """A copy of an old HEARTBEAT ACK is no sign of life."""
    pair = quiet_pair()
    tcb = pair.a.association.tcb
    assert tcb is not None
    ack = c.HeartbeatAck(heartbeat(pair).chunk(c.Heartbeat).value)
    pair.a.receive(ack, now=0.1)
    tcb.error_count = 3
    pair.a.receive(ack, now=50.0)
    assert tcb.error_count == 3
    assert pair.a.association.rto.srtt is not None
    assert pair.a.association.rto.srtt < 1


def test_no_heartbeat_ack_before_any_heartbeat() -> None:
    pair = quiet_pair()
    assert pair.a.association.tcb is not None
    pair.a.association.tcb.error_count = 3
    for value in (b"", HeartbeatInfo(b"").encode()):
        pair.a.receive(c.HeartbeatAck(value), now=0.0)
    assert pair.a.association.tcb.error_count == 3


# -- what it measures --------------------------------------------------------------------------------


def test_round_trip_is_measured() -> None:
    """§8.3, §6.3.1."""
    pair = quiet_pair(rto_min=0.01)
    ack = c.HeartbeatAck(heartbeat(pair, 1.0).chunk(c.Heartbeat).value)
    before = pair.a.association.rto.srtt
    assert before == 0.0
    pair.a.receive(ack, now=1.4)
    assert pair.a.association.rto.srtt == pytest.approx(0.4 / 8)


def test_acknowledgement_ends_the_back_off() -> None:
    """§6.3.3: a measurement from HEARTBEAT collapses the RTO."""
    pair = quiet_pair()
    pair.lose = lambda packet: True
    pair.run_until(110.0)
    assert pair.a.association.rto.rto == 8.0
    pair.lose = lambda packet: False
    pair.run_until(200.0)
    assert pair.a.association.rto.rto == 1.0


def test_unanswered_heartbeats_back_off() -> None:
    """§8.3: HB.interval is added to the RTO with its back-off."""
    pair = quiet_pair()
    pair.lose = lambda packet: True
    times = [0.0, *sent_at(pair, 300.0)]
    gaps = [b - a for a, b in pairwise(times)]
    rto = 1.0
    for gap in gaps[:6]:
        assert 30 + rto / 2 <= gap <= 30 + 1.5 * rto
        rto *= 2


# -- the other side ----------------------------------------------------------------------------------


@pytest.mark.parametrize("state", sorted(SENDING, key=str))
def test_answer_has_everything_of_the_heartbeat(state: State) -> None:
    """§8.3, §3.3.6: the info and all other TLVs, unchanged."""
    pair = pair_in_state(state)
    value = encode_parameters([HeartbeatInfo(b"12345"), UnknownParameter(0xC123, b"and more")])
    (answer,) = pair.a.receive(c.Heartbeat(value), now=0.0)
    assert answer.chunk(c.HeartbeatAck).value == value


@pytest.mark.parametrize("value", [b"", b"x", b"\0\1\0\0", b"\0\1\xff\xffabcd", bytes(1180)])
def test_any_body_of_a_heartbeat_is_sent_back(value: bytes) -> None:
    """It is understood only by its sender."""
    pair = established_pair()
    (answer,) = pair.a.receive(c.Heartbeat(value), now=0.0)
    assert answer.chunk(c.HeartbeatAck).value == value


@pytest.mark.parametrize("state", sorted(set(State) - SENDING - {State.CLOSED}, key=str))
def test_heartbeat_in_other_states_is_not_answered(state: State) -> None:
    """§8.3: up until SHUTDOWN-SENT or SHUTDOWN-ACK-SENT; nothing can be sent while calling."""
    pair = pair_in_state(state)
    assert pair.a.receive(c.Heartbeat.from_info(b"x"), now=0.0) == []
