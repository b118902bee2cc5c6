"""Requirements of RFC 9260 that no other test shows; docs/conformance/rfc9260.md names all of them."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import pytest

from tests.support.association_pair import Packet, Pair, established_pair, pair_in_state
from tests.support.tx_sender import PMDCS, Sender, partial_bytes_acked
from trio_sctp._core.config import Config
from trio_sctp._core.endpoint import Endpoint
from trio_sctp._core.handshake import PacketHeader, random_tag
from trio_sctp._core.state_cookie import StateCookie as Cookie
from trio_sctp._core.states import OPEN, SENDING, SETTING_UP, SHUTTING_DOWN, State
from trio_sctp._core.tx.congestion_standard import StandardController
from trio_sctp._wire import chunks as c
from trio_sctp._wire.packet import encode_packet
from trio_sctp._wire.parameters import HostNameAddress, StateCookie, SupportedAddressTypes
from trio_sctp._wire.tlv import encode_chunk

INIT = c.Init(4711, 10_000, 5, 5, 9)
GOOD_INIT_ACK = c.InitAck(7, 10_000, 1, 1, 1, (StateCookie(b"x"),))


# -- what INIT and INIT ACK say (§3.3.2, §3.3.3) -----------------------------------------------------


def set_up_chunks() -> tuple[c.Init, c.InitAck]:
    """A -> INIT -> Z   Z -> INIT ACK -> A"""
    pair = Pair()
    pair.a.association.connect(now=0.0)
    (init,) = pair.pull()
    pair.deliver()
    (init_ack,) = pair.pull()
    for packet in (init, init_ack):
        assert packet.raw[13] == 0, "flags"
    return init.chunk(c.Init), init_ack.chunk(c.InitAck)


@pytest.mark.parametrize("which", [0, 1])
def test_no_parameter_is_sent_twice(which: int) -> None:
    """§3.3.2, §3.3.3: and the flags are 0."""
    types = [parameter.type for parameter in set_up_chunks()[which].parameters]
    assert types
    assert len(set(types)) == len(types)


@pytest.mark.parametrize("which", [0, 1])
def test_no_addresses_and_no_host_name_are_sent(which: int) -> None:
    """§3.3.2.1.4, §3.3.3.1: not even as a type that we could take."""
    for parameter in set_up_chunks()[which].parameters:
        assert parameter.type not in (5, 6, HostNameAddress.type, SupportedAddressTypes.type)


@pytest.mark.parametrize("mis, os", [(1, 1), (3, 3), (10, 10), (11, 10), (65535, 10)])
def test_an_init_ack_wants_no_more_streams_than_the_init_allows(mis: int, os: int) -> None:
    """§3.3.3: OS of INIT ACK is at most MIS of INIT."""
    pair = Pair(outbound_streams=10)
    (answer,) = pair.z.receive(replace(INIT, inbound_streams=mis), now=0.0, tag=0)
    assert answer.chunk(c.InitAck).outbound_streams == os


@pytest.mark.parametrize(
    "change", [{"inbound_streams": 0}, {"a_rwnd": 1499}, {"parameters": ()}], ids=str
)
@pytest.mark.parametrize("state", sorted(OPEN - {State.COOKIE_WAIT}, key=str))
def test_a_bad_init_ack_that_nobody_waits_for_is_discarded(
    state: State, change: dict[str, Any]
) -> None:
    """§3.3.3: silently, and nothing changes."""
    pair = pair_in_state(state)
    tcb, timeout = pair.a.association.tcb, pair.a.association.next_timeout()
    assert pair.a.receive(replace(GOOD_INIT_ACK, **change), now=0.0) == []
    assert pair.a.state is state
    assert pair.a.association.tcb is tcb
    assert pair.a.association.next_timeout() == timeout


class Constant(Random):
    """Always the same bits."""

    bits = 0

    def getrandbits(self, k: int) -> int:
        return self.bits & ((1 << k) - 1)


@pytest.mark.parametrize("bits, tag", [(0, 1), (2**32 - 2, 2**32 - 1)])
def test_tags_are_from_1_to_the_largest(bits: int, tag: int) -> None:
    """§5.1 A, §5.3.1."""
    rng = Constant()
    rng.bits = bits
    assert random_tag(rng) == tag


def test_a_host_name_is_refused_where_the_init_came_from() -> None:
    """§5.1.2 B: ABORT goes to the source of the packet, and nothing is kept."""
    endpoint = Endpoint(Config(), rng=Random(1))
    host = HostNameAddress(b"somewhere.else.example\0")
    init = replace(INIT, parameters=(host,)).encode()
    source = ("198.51.100.7", 1234)
    endpoint.receive_datagrams([(source, encode_packet(6000, 5000, 0, [init]))], now=0.0)
    ((goal, raw),) = endpoint.datagrams_to_send(now=0.0)
    abort = Packet("", raw)
    assert goal == source
    assert (abort.names, abort.ports, abort.tag) == ("ABORT", (5000, 6000), INIT.initiate_tag)
    assert endpoint.associations == ()


def test_entropy_of_the_shell_is_the_systems() -> None:
    """§5.1.3, §14.1: cookie secrets and tags of cryptographic quality, unless a test says otherwise."""
    import random

    from trio_sctp._options import ENTROPY

    assert isinstance(ENTROPY, random.SystemRandom)


def test_a_secret_lives_for_an_hour() -> None:
    """§5.1.3: reasonably often, without that anything needs to be set."""
    pair = Pair()
    generations = []
    for now in (0.0, 3599.0, 3601.0, 7199.0, 7202.0):
        (answer,) = pair.a.receive(INIT, now=now, tag=0)
        sealed = next(
            p.cookie for p in answer.chunk(c.InitAck).parameters if isinstance(p, StateCookie)
        )
        generations.append(sealed[0])
    assert generations == [1, 1, 2, 2, 3]


# -- an INIT when there is an association (§5.2.1, §5.2.2) -------------------------------------------


def cookie_inside(pair: Pair, answer: Packet) -> Cookie:
    """The State Cookie of A's INIT ACK, opened."""
    init_ack = answer.chunk(c.InitAck)
    sealed = next(p.cookie for p in init_ack.parameters if isinstance(p, StateCookie))
    header = PacketHeader(5000, 5000, init_ack.initiate_tag)
    cookie = pair.a.association.responder.open_cookie(header, sealed)
    assert cookie is not None
    return cookie


@pytest.mark.parametrize("state", [State.CLOSED, State.COOKIE_WAIT])
def test_without_a_peer_the_tie_tags_of_a_cookie_are_0(state: State) -> None:
    """§5.2.1, §5.2.2."""
    pair = pair_in_state(state)
    (answer,) = pair.a.receive(INIT, now=0.0, tag=0)
    cookie = cookie_inside(pair, answer)
    assert (cookie.local_tie_tag, cookie.peer_tie_tag) == (0, 0)


@pytest.mark.parametrize(
    "state", sorted(SENDING | {State.COOKIE_ECHOED, State.SHUTDOWN_SENT}, key=str)
)
def test_with_a_peer_the_cookie_holds_the_tie_tags_of_the_tcb(state: State) -> None:
    """§5.2.1, §5.2.2: for COOKIE-ECHOED, too; the TCB stays what it was."""
    pair = pair_in_state(state)
    tcb = pair.a.association.tcb
    (answer,) = pair.a.receive(INIT, now=0.0, tag=0)
    assert pair.a.association.tcb is tcb
    assert tcb is not None
    cookie = cookie_inside(pair, answer)
    assert 0 not in (tcb.local_tie_tag, tcb.peer_tie_tag)
    assert (cookie.local_tie_tag, cookie.peer_tie_tag) == (tcb.local_tie_tag, tcb.peer_tie_tag)
    assert pair.a.state is state


def test_an_unexpected_init_is_answered_with_the_parameters_of_the_association() -> None:
    """§5.2.2: all but tag and TSN, which are new."""
    pair = Pair(outbound_streams=4, inbound_streams=6, a_rwnd=50_000)
    pair.a.association.connect(now=0.0)
    (packet,) = pair.pull()
    mine = packet.chunk(c.Init)
    pair.run()
    (answer,) = pair.a.receive(INIT, now=0.0, tag=0)
    init_ack = answer.chunk(c.InitAck)
    for name in ("a_rwnd", "outbound_streams", "inbound_streams"):
        assert getattr(init_ack, name) == getattr(mine, name)
    assert init_ack.initiate_tag != mine.initiate_tag
    assert init_ack.initial_tsn != mine.initial_tsn


# -- data (§6, §7) -----------------------------------------------------------------------------------


@pytest.mark.parametrize("state", sorted(OPEN - SENDING - {State.COOKIE_ECHOED}, key=str))
def test_sack_in_other_states_is_discarded(state: State) -> None:
    """§6: where it is processed, this one ends the association (§12.4)."""
    pair = pair_in_state(state)
    tcb = pair.a.association.tcb
    tsn = (tcb.retransmission_queue.next_tsn + 5) % 2**32 if tcb else 5
    assert pair.a.receive(c.Sack(tsn, 10_000), now=0.0) == []
    assert pair.a.state is state
    # The peer need not know yet that the shutdown has begun.
    expected = {} if state in SHUTTING_DOWN else {f"Sack in {state.value}": 1}
    assert pair.a.association.counters.dropped == expected


def test_new_data_waits_until_nothing_is_marked() -> None:
    """§6.1 C: even where it would fit behind a retransmission and the next one does not."""
    a = Sender(cwnd=10 * PMDCS)
    a.send(700, count=2)
    a.pull()
    a.send(10)
    a.expire()
    a.queue._one_packet_only = False
    a.queue.congestion.cwnd = 10 * PMDCS
    assert a.pull() == [[1], [2, 3]]


def test_a_measurement_ends_with_the_retransmission_of_a_lower_tsn() -> None:
    """§6.3.1 C5: although the chunk that is timed was sent only once."""
    a = Sender(cwnd=100_000, max_burst=100)
    a.send(count=5)
    a.pull()
    a.sack(1, after=0.1)
    srtt = a.rto.srtt
    a.send()
    a.pull()  # 6 is timed, 2 is lost
    for last in (3, 4, 5):
        a.sack(1, (3, last), after=0.01)
    assert a.pull() == [[2]]
    a.sack(6, after=3.0)
    assert a.rto.srtt == srtt


def test_padding_counts_in_all_lengths_of_congestion_control() -> None:
    """§7.2: the DATA chunk with its header and padding."""
    a = Sender(cwnd=10 * PMDCS)
    a.send(1)
    a.pull()
    assert a.queue.flight_size == 20
    a.queue.congestion.ssthresh = 4 * PMDCS
    a.send(5)
    a.pull()
    a.sack(1)
    assert partial_bytes_acked(a.queue) == 20


def test_idle_decay_is_the_same_in_congestion_avoidance() -> None:
    """§7.2.2."""
    controller = StandardController(Config(), pmdcs=PMDCS)
    controller.cwnd, controller.ssthresh = 64_000, 9_000
    controller.on_idle(1.0, 1.0)
    assert (controller.cwnd, controller.ssthresh) == (32_000, 64_000)


def test_another_path_begins_with_nothing_known() -> None:
    """§7.2.5, §7.2.5.2: cwnd, ssthresh and RTO as in the beginning; data goes on."""
    pair = established_pair()
    fresh = pair.a.association.statistics()
    for _ in range(50):
        pair.send(bytes(5000))
    pair.run()
    pair.lose = lambda packet: packet.sender == "A"
    pair.send(b"on the way when the path changed")
    pair.run_for(8.0)
    pair.lose = lambda packet: False
    before = pair.a.association.statistics()
    assert (before.cwnd, before.rto) != (fresh.cwnd, 1.0)
    pair.a.association.path_changed(now=pair.now)
    after = pair.a.association.statistics()
    assert (after.cwnd, after.ssthresh) == (fresh.cwnd, fresh.ssthresh)
    assert (after.srtt, after.rto) == (None, 1.0)
    pair.run_until(done=lambda: not pair.a.association.undelivered_messages)
    assert pair.z.payloads[-1] == b"on the way when the path changed"


# -- supervision (§8.3) ------------------------------------------------------------------------------


def test_a_heartbeat_counts_as_unanswered_after_one_rto() -> None:
    """§8.3: neither sooner nor later."""
    pair = established_pair()
    pair.lose = lambda packet: True
    rto = pair.a.association.rto.rto
    pair.a.association.request_heartbeat(now=0.0)
    pair.run_until(rto - 0.001)
    assert pair.a.association.statistics().error_count == 0
    pair.run_until(rto)
    assert pair.a.association.statistics().error_count == 1


# -- set-up chunks out of place ----------------------------------------------------------------------


@pytest.mark.parametrize("state", sorted(SETTING_UP, key=str))
def test_shutdown_while_setting_up_is_discarded(state: State) -> None:
    """§9.2."""
    pair = pair_in_state(state)
    timeout = pair.a.association.next_timeout()
    assert pair.a.receive(c.Shutdown(1), now=0.0) == []
    assert pair.a.state is state
    assert pair.a.association.next_timeout() == timeout


def test_an_abort_without_an_association_is_never_answered() -> None:
    """§3.3.7, §8.4 rule 2: whatever its form, whatever stands beside it."""
    for body in (b"", b"\0\1\0\0", b"\xff" * 7):
        for others in ([], [c.Heartbeat.from_info(b"x")]):
            pair = Pair()
            abort = encode_chunk(c.Abort.type, 0, body)
            assert pair.a.receive(*others, abort, now=0.0, tag=5) == []
