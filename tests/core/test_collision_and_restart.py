"""Duplicate and unexpected set-up chunks (RFC 9260 §5.2): both call at once, a peer restarts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from tests.support.association_pair import (
    PLAIN,
    End,
    Packet,
    Pair,
    check_association,
    established_pair,
    lose_only,
    packet_to,
    pair_in_state,
)
from trio_sctp._core.capabilities import Capabilities
from trio_sctp._core.config import Config
from trio_sctp._core.events import AssociationRestarted, AssociationUp, CloseReason, Message
from trio_sctp._core.state_cookie import CookieAction, StateCookie as Cookie, cookie_action
from trio_sctp._core.states import OPEN, SETTING_UP, UP, State
from trio_sctp._wire import chunks as c
from trio_sctp._wire.error_causes import (
    CookieReceivedWhileShuttingDown,
    InvalidMandatoryParameter,
)
from trio_sctp._wire.packet import decode_chunks
from trio_sctp._wire.parameters import StateCookie

# -- both ends call at once (§5.2.1) -----------------------------------------------------------------


def colliding_pair() -> Pair:
    pair = Pair()
    for end in (pair.a, pair.z):
        end.association.send(0, b"from " + end.name.encode(), now=0.0)
        end.association.connect(now=0.0)
    pair.pull()
    return pair


def test_both_ends_call_at_once() -> None:
    """§5.2.1: each answers the other's INIT with what it said in its own."""
    pair = colliding_pair()
    pair.run()
    assert pair.exchange[:4] == [
        "A -> INIT -> Z",
        "Z -> INIT -> A",
        "A -> INIT ACK -> Z",
        "Z -> INIT ACK -> A",
    ]
    assert pair.a.state is pair.z.state is State.ESTABLISHED
    assert pair.z.payloads == [b"from A"]
    assert pair.a.payloads == [b"from Z"]
    assert len(pair.a.take(AssociationUp)) == len(pair.z.take(AssociationUp)) == 1


@pytest.mark.parametrize("state", sorted(SETTING_UP, key=str))
def test_init_while_calling_is_answered_with_our_own_parameters(state: State) -> None:
    """§5.2.1: same tag and TSN; state and timers stay."""
    pair = Pair()
    pair.a.association.connect(now=0.0)
    (packet,) = pair.pull()
    mine = packet.chunk(c.Init)
    if state is State.COOKIE_ECHOED:
        pair.deliver()
        pair.pull()
        pair.deliver()
        pair.pull()
    before = pair.a.association.next_timeout()
    (answer,) = pair.a.receive(c.Init(1234, 10_000, 5, 65535, 9), now=0.5, tag=0)
    init_ack = answer.chunk(c.InitAck)
    assert answer.tag == 1234
    for field in ("initiate_tag", "initial_tsn", "a_rwnd", "outbound_streams", "inbound_streams"):
        assert getattr(init_ack, field) == getattr(mine, field)
    assert pair.a.state is state
    assert pair.a.association.next_timeout() == before


CALLS = ("A calls", "Z calls")


def replay(steps: tuple[str | int, ...]) -> tuple[Pair, list[str | int]]:
    """Take these steps: an end calls, or a packet under way arrives; also, which may come next."""
    pair = Pair()
    calls = [step for step in CALLS if step not in steps]
    for step in steps:
        if isinstance(step, str):
            end = pair.a if step == CALLS[0] else pair.z
            if end.state is State.CLOSED:  # not if the other's call has come through by then
                end.association.connect(now=0.0)
        else:
            pair.deliver(step)
        pair.pull()
    return pair, [*calls, *range(len(pair.transit))]


def every_order(steps: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    pair, choices = replay(steps)
    if pair.a.state is pair.z.state is State.ESTABLISHED:
        choices = list(range(len(pair.transit)))
    if not choices:
        yield steps
    for choice in choices:
        yield from every_order((*steps, choice))


def test_every_order_of_calls_and_packets() -> None:
    """§5.2: whoever calls when, whatever overtakes whatever, one association comes out."""
    count = 0
    for steps in every_order():
        pair, _ = replay(steps)
        for end in (pair.a, pair.z):
            end.association.send(0, b"from " + end.name.encode(), now=0.0)
        pair.run()
        assert pair.now == 0.0
        a, z = pair.a.association.tcb, pair.z.association.tcb
        assert a is not None, steps
        assert z is not None, steps
        assert (a.local.tag, a.peer.tag) == (z.peer.tag, z.local.tag), steps
        assert pair.z.payloads == [b"from A"], steps
        assert pair.a.payloads == [b"from Z"], steps
        for end in (pair.a, pair.z):
            assert end.state is State.ESTABLISHED, steps
            assert end.take(AssociationRestarted) == [], steps
            assert len(end.take(AssociationUp)) == 1, steps
        count += 1
    assert count > 100, count


def test_every_order_of_a_collision_with_data_bundled() -> None:
    """Messages that wait for the association come once, whatever the order."""
    stack: list[tuple[int, ...]] = [()]
    while stack:
        steps = stack.pop()
        pair = colliding_pair()
        for step in steps:
            pair.deliver(step)
            pair.pull()
        if pair.transit and len(steps) < 5:
            stack.extend([(*steps, i) for i in range(len(pair.transit))])
            continue
        pair.run_until(3.0)
        assert pair.z.payloads == [b"from A"], steps
        assert pair.a.payloads == [b"from Z"], steps
        assert pair.a.state is pair.z.state is State.ESTABLISHED


def test_every_single_loss_in_a_collision() -> None:
    """Field note: simultaneous INIT hangs."""
    for lost in range(8):
        pair = Pair()
        pair.lose = lose_only(lost)
        for end in (pair.a, pair.z):
            end.association.connect(now=0.0)
        pair.run_until(
            done=lambda pair=pair: pair.a.state is pair.z.state is State.ESTABLISHED  # type: ignore[misc]
        )
        assert pair.now <= 3.0


def test_every_duplicate_in_a_collision() -> None:
    """Each packet twice, the copy after everything else."""
    for repeated in range(8):
        pair = colliding_pair()
        packets: list[Packet] = list(pair.transit)
        for _ in range(10):
            while pair.transit:
                pair.deliver()
            packets += pair.pull()
        if repeated >= len(packets):
            break
        pair.repeat(packets[repeated])
        pair.run()
        assert pair.a.state is pair.z.state is State.ESTABLISHED
        assert pair.a.payloads == [b"from Z"]
        assert pair.z.payloads == [b"from A"]
        pair.send(b"still there")
        pair.run_until(done=lambda pair=pair: not pair.a.association.undelivered_messages)  # type: ignore[misc]
        assert pair.z.payloads == [b"still there"]


# -- table 12, row by row (§5.2.4) -------------------------------------------------------------------

LOCAL, PEER, LOCAL_TIE, PEER_TIE = 11, 22, 33, 44


def cookie(local: int, peer: int, local_tie: int, peer_tie: int) -> Cookie:
    return Cookie(
        0.0, 60.0, 5000, 5000, local, peer, 1, 1, 10_000, 1, 1, Capabilities(), local_tie, peer_tie
    )


def action(k: Cookie, *, peer_tag: int = PEER, local_tie: int = LOCAL_TIE) -> CookieAction:
    return cookie_action(
        k,
        local_tag=LOCAL,
        peer_tag=peer_tag,
        local_tie_tag=local_tie,
        peer_tie_tag=PEER_TIE if local_tie else 0,
    )


def expected_action(local: str, peer: str, local_tie: str, peer_tie: str) -> CookieAction:
    """Table 12, its rows in words; X: no match, M: match, 0: unknown."""
    if (local, peer, local_tie, peer_tie) == ("X", "X", "M", "M"):
        return CookieAction.RESTART
    if (local, peer) == ("M", "X"):
        return CookieAction.ADOPT_PEER
    if (local, peer, local_tie, peer_tie) == ("X", "M", "0", "0"):
        return CookieAction.LATE
    if (local, peer) == ("M", "M"):
        return CookieAction.DUPLICATE
    return CookieAction.DISCARD


@pytest.mark.parametrize("local", "MX")
@pytest.mark.parametrize("peer", "MX0")
@pytest.mark.parametrize("local_tie", "MX0")
@pytest.mark.parametrize("peer_tie", "MX0")
def test_table_12(local: str, peer: str, local_tie: str, peer_tie: str) -> None:
    """All that there can be, the rows of the table and what is not in it."""
    k = cookie(
        LOCAL if local == "M" else 1,
        2 if peer == "X" else PEER,
        {"M": LOCAL_TIE, "X": 3, "0": 0}[local_tie],
        {"M": PEER_TIE, "X": 4, "0": 0}[peer_tie],
    )
    if peer == "0":  # before INIT ACK an association has no tie-tags that could match
        found = action(k, peer_tag=0, local_tie=0)
        assert found is (CookieAction.ADOPT_PEER if local == "M" else CookieAction.DISCARD)
    else:
        assert action(k) is expected_action(local, peer, local_tie, peer_tie)


def test_no_restart_without_tie_tags_of_ours() -> None:
    """An association that never answered an INIT has none: 0 and 0 are not a match."""
    assert action(cookie(1, 2, 0, 0), local_tie=0) is CookieAction.DISCARD


# -- the actions -------------------------------------------------------------------------------------


def cookie_of(answer: Packet) -> tuple[c.CookieEcho, int]:
    """The COOKIE ECHO that an INIT ACK asks for, and the tag to send it under."""
    init_ack = answer.chunk(c.InitAck)
    (parameter,) = [p for p in init_ack.parameters if isinstance(p, StateCookie)]
    return c.CookieEcho(parameter.cookie), init_ack.initiate_tag


def test_action_b_adopts_the_peers_new_tag() -> None:
    """§5.2.4 B: from COOKIE-ECHOED; T1-cookie stops, the new tag is used, ESTABLISHED."""
    pair = pair_in_state(State.COOKIE_ECHOED)
    pair.send(b"early")
    (answer,) = pair.a.receive(c.Init(4711, 10_000, 5, 5, 9), now=0.0, tag=0)
    echo, tag = cookie_of(answer)
    assert tag == pair.a.association.local_tag
    (ack, *_) = pair.a.receive(echo, now=0.0)
    assert ack.names == "COOKIE ACK, DATA"
    assert ack.tag == 4711
    assert pair.a.state is State.ESTABLISHED
    assert pair.a.events == [AssociationUp(5, 5)]
    (sack,) = pair.a.receive(c.Data(9, 0, 0, 0, b"hello"), now=0.0)
    assert sack.chunk(c.Sack).cumulative_tsn_ack == 9
    assert pair.a.payloads == [b"hello"]


def test_action_b_from_cookie_wait() -> None:
    """§5.2.4 B, row M 0: the peer's tag was unknown."""
    pair = pair_in_state(State.COOKIE_WAIT)
    (answer,) = pair.a.receive(c.Init(4711, 10_000, 5, 5, 9), now=0.0, tag=0)
    echo, _tag = cookie_of(answer)
    (ack,) = pair.a.receive(echo, c.Data(9, 0, 0, 0, b"with it"), now=0.0)
    assert ack.names == "COOKIE ACK, SACK"
    assert ack.tag == 4711
    assert pair.a.payloads == [b"with it"]
    pair.run_until(20.0)
    assert "INIT" not in "".join(pair.exchange), "T1-init has stopped"


def test_action_b_in_established_stays_and_takes_the_tag() -> None:
    """§5.2.4 B: SHOULD stay in ESTABLISHED; what the program was owed it gets first."""
    pair = pair_in_state(State.COOKIE_ECHOED)
    # two INITs of the peer, under different tags, are answered before either cookie comes
    (first,) = pair.a.receive(c.Init(100, 10_000, 5, 5, 1), now=0.0, tag=0)
    (second,) = pair.a.receive(c.Init(200, 10_000, 5, 5, 5), now=0.0, tag=0)
    pair.a.receive(cookie_of(first)[0], now=0.0)
    a = pair.a.association
    data = packet_to(a, c.Data(1, 0, 0, 0, b"of the first"))
    again = packet_to(a, cookie_of(second)[0], c.Data(5, 0, 0, 0, b"of the second"))
    pair.a.give([data, again], 0.0)
    assert pair.a.state is State.ESTABLISHED
    assert a.tcb is not None
    assert a.tcb.peer.tag == 200
    assert pair.a.payloads == [b"of the first", b"of the second"]
    assert len(pair.a.take(AssociationUp)) == 1


def test_action_c_late_cookie_is_discarded() -> None:
    """§5.2.4 C: same peer tag, another tag of ours, no tie-tags."""
    # Z -> INIT -> A (CLOSED: new tags)   A -> INIT -> Z ... COOKIE-ECHOED   Z's late COOKIE ECHO -> A
    pair = Pair()
    (answer,) = pair.a.receive(c.Init(100, 10_000, 5, 5, 1), now=0.0, tag=0)
    echo, tag = cookie_of(answer)
    pair.a.association.connect(now=0.0)
    pair.a.pull(0.0)
    pair.a.receive(c.InitAck(100, 10_000, 5, 5, 1, (StateCookie(b"z"),)), now=0.0)
    assert pair.a.state is State.COOKIE_ECHOED
    before = pair.a.association.next_timeout()
    assert pair.a.receive(echo, now=0.0, tag=tag) == []
    assert pair.a.state is State.COOKIE_ECHOED
    assert pair.a.association.next_timeout() == before
    assert pair.a.association.counters.dropped == {"late COOKIE ECHO": 1}


@pytest.mark.parametrize("state", sorted(UP, key=str))
def test_action_d_duplicate_cookie_is_acknowledged_again(state: State) -> None:
    """§5.2.4 D: COOKIE ACK in whatever state, and nothing else changes."""
    pair = Pair()
    pair.z.association.connect(now=0.0)  # so that A has made the cookie
    echo = pair.pull_cookie_echo()
    pair.run()
    a, z = pair.a.association, pair.z.association
    if state is State.SHUTDOWN_PENDING:
        pair.send()
    if state in (State.SHUTDOWN_PENDING, State.SHUTDOWN_SENT):
        a.shutdown(now=0.0)
    elif state is not State.ESTABLISHED:
        z.shutdown(now=0.0)
        pair.pull()
        if state is State.SHUTDOWN_RECEIVED:
            pair.send()
        pair.deliver()
    pair.pull()
    pair.transit.clear()
    pair.a.events.clear()
    assert pair.a.state is state
    pair.repeat(echo)
    assert [packet.names for packet in pair.a.pull(0.0)] == ["COOKIE ACK"]
    assert pair.a.state is state
    assert pair.a.events == []


def test_duplicate_cookie_ack_is_discarded() -> None:
    """§5.2.5."""
    for state in sorted(OPEN - {State.COOKIE_ECHOED}, key=str):
        pair = pair_in_state(state)
        assert pair.a.receive(c.CookieAck(), now=0.0) == []
        assert pair.a.state is state
        assert pair.a.events == []


def test_unexpected_init_ack_is_discarded() -> None:
    """§5.2.3, §3.3.3: bad ones too."""
    good = c.InitAck(7, 10_000, 1, 1, 1, (StateCookie(b"x"),))
    for init_ack in (good, replace(good, initiate_tag=0), replace(good, outbound_streams=0)):
        for state in sorted(OPEN - {State.COOKIE_WAIT}, key=str):
            pair = pair_in_state(state)
            assert pair.a.receive(init_ack, now=0.0) == []
            assert pair.a.state is state
            assert pair.a.events == []


# -- INIT in ESTABLISHED and later (§5.2.2) ----------------------------------------------------------

INIT_IS_ANSWERED = sorted(OPEN - SETTING_UP - {State.SHUTDOWN_ACK_SENT}, key=str)


@pytest.mark.parametrize("state", INIT_IS_ANSWERED)
def test_unexpected_init_changes_nothing(state: State) -> None:
    """Field note: INIT in ESTABLISHED overwrites tag and TSN.  It gets an INIT ACK with a new tag."""
    pair = pair_in_state(state)
    tcb = pair.a.association.tcb
    assert tcb is not None
    queue = tcb.retransmission_queue
    before = (tcb.local, tcb.peer, queue.next_tsn, tcb.data_receiver.cumulative_tsn_ack)
    timeout = pair.a.association.next_timeout()
    (answer,) = pair.a.receive(c.Init(4711, 10_000, 5, 5, 9), now=0.0, tag=0)
    assert answer.names == "INIT ACK"
    assert answer.tag == 4711
    assert answer.chunk(c.InitAck).initiate_tag not in (0, tcb.local.tag)
    assert pair.a.association.tcb is tcb
    assert before == (tcb.local, tcb.peer, queue.next_tsn, tcb.data_receiver.cumulative_tsn_ack)
    assert pair.a.association.next_timeout() == timeout
    assert pair.a.state is state
    assert pair.a.events == []


def test_tie_tags_are_random_and_stay() -> None:
    """§5.2.2: not 0, and the same for each INIT, so that any of the cookies restarts."""
    pair = established_pair()
    tcb = pair.a.association.tcb
    assert tcb is not None
    assert (tcb.local_tie_tag, tcb.peer_tie_tag) == (0, 0)
    pair.a.receive(c.Init(4711, 10_000, 5, 5, 9), now=0.0, tag=0)
    tie_tags = tcb.local_tie_tag, tcb.peer_tie_tag
    assert 0 not in tie_tags
    assert not set(tie_tags) & {tcb.local.tag, tcb.peer.tag}
    pair.a.receive(c.Init(4712, 10_000, 5, 5, 9), now=0.0, tag=0)
    assert tie_tags == (tcb.local_tie_tag, tcb.peer_tie_tag)


# -- restart (§5.2.4 A) ------------------------------------------------------------------------------


def reborn(pair: Pair, seed: int = 99) -> Pair:
    """Z's process dies and another takes its place and calls."""
    pair.transit.clear()
    pair.z = End("Z", PLAIN, Random(seed))
    pair.z.association.send(0, b"from the reborn", now=pair.now)
    pair.z.association.connect(now=pair.now)
    pair.exchange.clear()
    return pair


@pytest.mark.parametrize("state", INIT_IS_ANSWERED)
def test_restart_of_the_peer(state: State) -> None:
    """§5.2.4 A in every state but SHUTDOWN-ACK-SENT: a new association, and the program is told."""
    pair = reborn(pair_in_state(state))
    asked_for_shutdown = pair.a.association.ending.requested
    undelivered = pair.a.association.undelivered_messages
    assert undelivered == (1 if state in (State.SHUTDOWN_PENDING, State.SHUTDOWN_RECEIVED) else 0)
    pair.run()
    assert pair.exchange[:4] == [
        "Z -> INIT -> A",
        "A -> INIT ACK -> Z",
        "Z -> COOKIE ECHO, DATA -> A",
        pair.exchange[3],
    ]
    assert pair.exchange[3].startswith("A -> COOKIE ACK")
    assert pair.a.take(AssociationRestarted) == [AssociationRestarted(undelivered)]
    assert len(pair.a.take(AssociationUp)) == 1
    assert pair.a.payloads == [b"from the reborn"]
    if asked_for_shutdown:
        assert pair.a.closed is not None
        assert pair.a.closed.reason is CloseReason.SHUTDOWN
        return
    assert pair.a.state is pair.z.state is State.ESTABLISHED
    pair.send(b"to the reborn")
    pair.run()
    assert pair.z.payloads == [b"to the reborn"]


def test_restart_resets_congestion_control_and_rto() -> None:
    """§5.2.4 A: all of it to its initial values."""
    pair = established_pair()
    fresh = pair.a.association.statistics()
    for _ in range(50):
        pair.send(bytes(5000))
    pair.run()
    pair.lose = lambda packet: packet.sender == "A"
    pair.send(bytes(5000))
    pair.run_for(20.0)
    pair.lose = lambda packet: False
    old = pair.a.association.statistics()
    assert old.rto > 4
    assert old.cwnd != fresh.cwnd
    assert old.error_count > 0
    reborn(pair).run()
    new = pair.a.association.statistics()
    assert new.cwnd == fresh.cwnd
    assert new.ssthresh == fresh.ssthresh
    assert new.rto == 1.0
    assert new.srtt is None
    assert new.error_count == 0
    assert new.flight_size == new.unsent_bytes == 0


def test_timers_of_the_shutdown_use_the_new_rto_after_a_restart() -> None:
    pair = established_pair()
    pair.lose = lambda packet: packet.sender == "A"
    pair.send(b"x")
    pair.run_for(20.0)
    pair.lose = lambda packet: False
    reborn(pair).run()
    pair.a.association.shutdown(now=pair.now)
    pair.lose = lambda packet: packet.names == "SHUTDOWN"
    start = pair.now
    pair.run_for(0.5)
    assert pair.next_timeout() == start + 1.0


def test_messages_complete_before_a_restart_are_not_lost() -> None:
    """Even if both come in one batch: they were acknowledged, or would have been."""
    pair = established_pair()
    a, tcb = pair.a.association, pair.a.association.tcb
    assert tcb is not None
    (answer,) = pair.a.receive(c.Init(4711, 10_000, 5, 5, 9), now=0.0, tag=0)
    echo, tag = cookie_of(answer)
    data = packet_to(a, c.Data(tcb.peer.initial_tsn, 0, 0, 0, b"old"))
    pair.a.give([data, packet_to(a, echo, c.Data(9, 0, 0, 0, b"new"), tag=tag)], 0.0)
    kinds = [type(event) for event in pair.a.events]
    assert kinds == [Message, AssociationRestarted, AssociationUp, Message]
    assert pair.a.payloads == [b"old", b"new"]


def test_restart_while_messages_are_unread() -> None:
    """What the program still holds of the old association is not taken off the new window."""
    pair = established_pair()
    pair.a.reading = False
    for _ in range(5):
        pair.z.association.send(0, bytes(3000), now=0.0)
    pair.run_until(done=lambda: not pair.z.association.undelivered_messages)
    reborn(pair)
    pair.run()
    for event in pair.a.take(Message):
        pair.a.association.message_consumed(len(event.payload))
        check_association(pair.a.association)
    assert pair.a.association.statistics().a_rwnd == Config().a_rwnd


def test_restart_twice() -> None:
    pair = established_pair()
    for seed in (1, 2, 3):
        reborn(pair, seed).run()
        assert pair.a.payloads == [b"from the reborn"]
    assert len(pair.a.take(AssociationRestarted)) == 3


def test_restart_in_shutdown_ack_sent_sets_nothing_up() -> None:
    """§5.2.4 A, §9.2: SHUTDOWN ACK again, with an ERROR; the caller answers that and retries."""
    # INIT ACK was sent while A was ESTABLISHED; the COOKIE ECHO comes in SHUTDOWN-ACK-SENT
    pair = established_pair()
    old_z = pair.z
    reborn(pair)
    echo = pair.pull_cookie_echo()
    pair.transit.clear()
    # small answers to an earlier packet must not count
    pair.a.receive(c.Heartbeat.from_info(bytes(1100)), now=0.0)
    old_z.association.shutdown(now=0.0)
    pair.a.give([packet.raw for packet in old_z.pull(0.0)], 0.0)
    assert [packet.names for packet in pair.a.pull(0.0)] == ["SHUTDOWN ACK"]
    assert pair.a.state is State.SHUTDOWN_ACK_SENT
    pair.exchange.clear()
    pair.repeat(echo)
    (answer,) = pair.pull()
    assert answer.names == "ERROR, SHUTDOWN ACK"
    assert answer.chunk(c.Error).causes == (CookieReceivedWhileShuttingDown(),)
    assert pair.a.state is State.SHUTDOWN_ACK_SENT
    pair.run()
    assert pair.exchange[1] == "Z -> SHUTDOWN COMPLETE -> A"
    assert pair.a.closed is not None
    assert pair.z.state is State.COOKIE_ECHOED, "T1-cookie goes on, as §9.2 says"


def test_init_in_shutdown_ack_sent_gets_shutdown_ack() -> None:
    """§9.2: SHUTDOWN COMPLETE was lost and the peer calls anew."""
    # Z(new) -> INIT -> A   A -> SHUTDOWN ACK -> Z   Z -> SHUTDOWN COMPLETE -> A   (T1-init) INIT ...
    pair = reborn(pair_in_state(State.SHUTDOWN_ACK_SENT))
    pair.run()
    assert pair.exchange == [
        "Z -> INIT -> A",
        "A -> SHUTDOWN ACK -> Z",
        "Z -> SHUTDOWN COMPLETE -> A",
    ]
    assert pair.a.closed is not None
    assert pair.a.closed.reason is CloseReason.SHUTDOWN
    assert pair.z.state is State.COOKIE_WAIT
    assert pair.z.association.next_timeout() == pair.now + 1.0


def test_init_with_tag_0_in_shutdown_ack_sent_is_discarded() -> None:
    """§3.3.2."""
    pair = pair_in_state(State.SHUTDOWN_ACK_SENT)
    assert pair.a.receive(c.Init(0, 10_000, 1, 1, 1), now=0.0, tag=0) == []


def test_old_cookie_after_a_restart_is_discarded() -> None:
    """A replay of the COOKIE ECHO that began the old association (case C of §5.2)."""
    pair = Pair()
    pair.z.association.connect(now=0.0)
    old_echo = pair.pull_cookie_echo()
    pair.run()
    reborn(pair).run()
    state_before = pair.a.association.tcb
    pair.repeat(old_echo)
    assert pair.a.pull(pair.now) == []
    assert pair.a.association.tcb is state_before
    assert pair.a.state is State.ESTABLISHED


def test_replayed_restart_cookie_is_only_a_duplicate() -> None:
    pair = established_pair()
    reborn(pair)
    echo = pair.pull_cookie_echo()
    pair.run()
    pair.a.events.clear()
    tcb = pair.a.association.tcb
    pair.repeat(echo)
    assert pair.a.association.tcb is tcb
    assert pair.a.events == []


def test_stale_restart_cookie_is_answered_with_error() -> None:
    """§5.2.4 step 3: the tags are not those of the association."""
    pair = established_pair(hb_interval=1000.0)
    (answer,) = pair.a.receive(c.Init(4711, 10_000, 5, 5, 9), now=0.0, tag=0)
    echo, tag = cookie_of(answer)
    (error,) = pair.a.receive(echo, now=61.0, tag=tag)
    assert error.names == "ERROR"
    assert error.tag == 4711
    assert pair.a.state is State.ESTABLISHED
    assert pair.a.events == []


# -- INIT that cannot be accepted, in every state ----------------------------------------------------


@pytest.mark.parametrize("state", sorted(set(State) - {State.SHUTDOWN_ACK_SENT}, key=str))
@pytest.mark.parametrize(
    "change", [{"outbound_streams": 0}, {"inbound_streams": 0}, {"a_rwnd": 1499}], ids=str
)
def test_bad_init_is_answered_by_abort_and_changes_nothing(
    state: State, change: dict[str, Any]
) -> None:
    """§3.3.2, §8.4 rule 3: under its Initiate Tag, T bit 0; no state changes."""
    pair = pair_in_state(state)
    tcb = pair.a.association.tcb
    init = replace(c.Init(4711, 1500, 1, 1, 9), **change)
    (answer,) = pair.a.receive(init, now=0.0, tag=0)
    assert answer.tag == 4711
    assert answer.chunk(c.Abort) == c.Abort((InvalidMandatoryParameter(),), tag_reflected=False)
    assert pair.a.state is state
    assert pair.a.association.tcb is tcb
    assert pair.a.events == []


@pytest.mark.parametrize("state", list(State))
def test_init_with_tag_0_is_discarded_silently(state: State) -> None:
    """§3.3.2.  Field note: INIT with tag 0 trips an assert."""
    pair = pair_in_state(state)
    assert pair.a.receive(c.Init(0, 10_000, 1, 1, 9), now=0.0, tag=0) == []
    assert pair.a.receive(c.Init(0, 0, 0, 0, 9), now=0.0, tag=0) == []
    assert pair.a.state is state
    assert pair.a.events == []


def test_smallest_init_is_accepted() -> None:
    """§3.3.2: a_rwnd of 1500 and a stream are enough."""
    pair = Pair()
    (answer,) = pair.a.receive(c.Init(4711, 1500, 1, 1, 9), now=0.0, tag=0)
    assert [type(chunk) for chunk in decode_chunks(answer.raw)] == [c.InitAck]
