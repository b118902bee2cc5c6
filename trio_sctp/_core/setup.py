"""What INIT, INIT ACK, COOKIE ECHO and COOKIE ACK do to an association (RFC 9260 §5.1 and §5.2).

A set-up chunk may come when it is expected, or because both ends called at once, because the peer has
restarted, or late.  `initiator` and `responder` know what each is answered; here stands what changes in
the association, until it is established.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from .._wire.chunks import (
    Abort,
    Chunk,
    CookieAck,
    CookieEcho,
    Init,
    InitAck,
    MalformedChunk,
)
from .._wire.error_causes import (
    CookieReceivedWhileShuttingDown,
    ErrorCause,
    InvalidMandatoryParameter,
    OutOfResource,
    StaleCookie,
)
from .._wire.packet import COMMON_HEADER_SIZE
from .events import AssociationRestarted, AssociationUp, CloseReason
from .handshake import (
    MALFORMED,
    MINIMUM_A_RWND,
    LocalSetup,
    PacketHeader,
    PeerSetup,
    ignores_what_it_does_not_know,
    init_fault,
    malformed_init_tag,
    refusal,
)
from .rto import RetransmissionTimeout
from .state_cookie import CookieAction, StateCookie, cookie_action
from .states import SETTING_UP, State
from .termination import Shutdown, abort_with, begin_shutdown
from .transmission_control_block import TransmissionControlBlock
from .verdict import STOP, Verdict

if TYPE_CHECKING:
    from .state_machine import StateMachine

__all__ = [
    "establish",
    "learn_peer",
    "on_cookie_ack",
    "on_cookie_echo",
    "on_init",
    "on_init_ack",
    "on_malformed_init",
    "on_malformed_init_ack",
    "on_stale_cookie",
    "on_t1_cookie",
    "on_t1_init",
]


# -- INIT and INIT ACK -------------------------------------------------------------------------------


def on_init(a: StateMachine, init: Init, header: PacketHeader, now: float) -> None:
    if init.initiate_tag == 0:  # §3.3.2: silently discarded
        a.counters.drop("INIT with tag 0")
    elif a.ended:
        a.builder.add_packet(header.answer(init.initiate_tag, Abort((OutOfResource(),)).encode()))
    elif a.state is State.SHUTDOWN_ACK_SENT:  # §9.2: SHUTDOWN COMPLETE must have been lost
        a.builder.shutdown_due = True
    else:
        local = _local_setup(a)
        answer = a.responder.answer_init(header, init, now=now, local=local, peer=a.peer_address)
        if answer is not None:
            a.builder.add_packet(answer)


def on_malformed_init(a: StateMachine, chunk: Chunk | None, header: PacketHeader) -> None:
    """A packet with the tag 0 that holds no INIT: one whose parameters make no sense is answered."""
    tag = malformed_init_tag(chunk)
    a.counters.drop("malformed INIT" if tag else "wrong verification tag")
    if tag and not a.ended:
        a.builder.add_packet(header.answer(tag, Abort((MALFORMED,)).encode()))


def on_malformed_init_ack(a: StateMachine, chunk: MalformedChunk, header: PacketHeader) -> None:
    """The same of an INIT ACK that we have waited for: no association can come of it."""
    tag = malformed_init_tag(chunk)
    if tag and chunk.type == InitAck.type:
        a.builder.add_packet(header.answer(tag, Abort((MALFORMED,)).encode()))
        a.close(CloseReason.LOCAL_ABORT, (MALFORMED,))


def _local_setup(a: StateMachine) -> LocalSetup | None:
    """What our INIT ACK says of us; None where nothing exists yet and all is drawn anew."""
    if a.tcb is None:
        # §5.2.1: a collision in COOKIE-WAIT is answered with what our own INIT said
        return a.initiator.local if a.initiator else None
    a.tcb.populate_tie_tags(a.rng)
    local = a.tcb.local
    if a.state not in SETTING_UP:  # §5.2.2: the peer may have restarted
        local = LocalSetup.random(a.rng)
    return replace(local, local_tie_tag=a.tcb.local_tie_tag, peer_tie_tag=a.tcb.peer_tie_tag)


def on_init_ack(a: StateMachine, chunk: InitAck, header: PacketHeader, now: float) -> Verdict:
    initiator = a.initiator
    assert initiator is not None  # in COOKIE-WAIT there is one
    if chunk.initiate_tag == 0:  # §3.3.3: the TCB is destroyed
        fault: ErrorCause = InvalidMandatoryParameter()
        abort = Abort((fault,), tag_reflected=True).encode()
        a.builder.add_packet(header.answer(header.verification_tag, abort))
        a.close(CloseReason.LOCAL_ABORT, (fault,))
        return STOP
    problem = init_fault(chunk)
    if problem is not None:
        a.builder.add_packet(header.answer(chunk.initiate_tag, refusal(problem, a.config.path_mtu)))
        if chunk.a_rwnd >= MINIMUM_A_RWND:  # §3.3.3: too small a window changes no state
            a.close(CloseReason.LOCAL_ABORT, (problem,))
        return STOP
    initiator.take_init_ack(chunk, now)
    learn_peer(a, initiator.local, PeerSetup.from_init(chunk, header.source_port), now)
    if _refuse_shortage_of_streams(a):
        return STOP
    assert a.tcb is not None
    if ignores_what_it_does_not_know(initiator.cookie):
        a.tcb.path_mtu_discovery.pads = True
    a.state = State.COOKIE_ECHOED
    a.builder.cookie_chunk = cookie_echo = CookieEcho(initiator.cookie).encode()
    room = a.config.path_mtu - COMMON_HEADER_SIZE - len(cookie_echo)
    report = initiator.unrecognized_report(room)
    if report:
        a.builder.add_control(report)
    return STOP  # §5.1: INIT ACK is alone in its packet


def on_t1_init(a: StateMachine, now: float) -> None:
    assert a.initiator is not None
    init = a.initiator.repeat_init(now)
    if init is None:
        a.close(CloseReason.TIMED_OUT)
    else:
        a.builder.add_packet(init)


# -- COOKIE ECHO and COOKIE ACK ----------------------------------------------------------------------


def on_cookie_echo(a: StateMachine, chunk: CookieEcho, header: PacketHeader, now: float) -> Verdict:
    cookie = None
    if not a.ended:
        cookie = a.responder.open_cookie(header, chunk.cookie, peer=a.peer_address)
    if cookie is None:
        a.counters.drop("invalid COOKIE ECHO")
        return STOP
    action = _cookie_action(a, cookie)
    if cookie.staleness(now) > 0 and action is not CookieAction.DUPLICATE:  # §5.2.4 step 3
        a.counters.drop("stale cookie")
        a.builder.add_packet(a.responder.answer_stale(header, cookie, now=now))
        return STOP
    return _PROCEDURES[action](a, cookie, now)


def _cookie_action(a: StateMachine, cookie: StateCookie) -> CookieAction:
    if a.tcb is not None:
        return cookie_action(
            cookie,
            local_tag=a.tcb.local.tag,
            peer_tag=a.tcb.peer.tag,
            local_tie_tag=a.tcb.local_tie_tag,
            peer_tie_tag=a.tcb.peer_tie_tag,
        )
    if a.initiator is None:
        return CookieAction.ADOPT_PEER  # §5.1.5 step 5: there is no association yet
    return cookie_action(
        cookie, local_tag=a.initiator.local.tag, peer_tag=0, local_tie_tag=0, peer_tie_tag=0
    )


def _adopt_peer(a: StateMachine, cookie: StateCookie, now: float) -> None:
    local = LocalSetup(cookie.local_tag, cookie.local_initial_tsn)
    learn_peer(a, local, PeerSetup.from_cookie(cookie), now)
    _acknowledge(a, cookie, now)


def _restart(a: StateMachine, cookie: StateCookie, now: float) -> Verdict:
    if a.state is State.SHUTDOWN_ACK_SENT:  # §5.2.4 A: no new association then
        a.builder.shutdown_due = True
        a.builder.report([CookieReceivedWhileShuttingDown()])
        return STOP
    was_up = a.state not in SETTING_UP
    a.catch_up()
    undelivered = a.send_queue.undelivered_messages
    _forget_peer(a)
    if was_up:
        a.tell(AssociationRestarted(undelivered))
    _adopt_peer(a, cookie, now)
    return None


def _acknowledge(a: StateMachine, cookie: StateCookie, now: float) -> None:
    """COOKIE ACK, and ESTABLISHED unless we are there already (§5.2.4 B and D)."""
    if a.state in SETTING_UP or a.state is State.CLOSED:
        establish(a, now)
    if not a.ended:
        a.builder.cookie_chunk = CookieAck().encode()


def _discard(a: StateMachine, cookie: StateCookie, now: float) -> Verdict:
    a.counters.drop("late COOKIE ECHO")
    return STOP


_PROCEDURES: dict[CookieAction, Callable[[StateMachine, StateCookie, float], Verdict]] = {
    CookieAction.RESTART: _restart,
    CookieAction.ADOPT_PEER: _adopt_peer,
    CookieAction.LATE: _discard,
    CookieAction.DUPLICATE: _acknowledge,
    CookieAction.DISCARD: _discard,
}


def on_cookie_ack(a: StateMachine, chunk: CookieAck, header: PacketHeader, now: float) -> None:
    assert a.initiator is not None  # in COOKIE-ECHOED there is one
    a.initiator.take_cookie_ack(now)
    establish(a, now)


def on_stale_cookie(a: StateMachine, cause: StaleCookie, now: float) -> None:
    """Our cookie came too late: ask for one that lives longer (§5.2.6 alternative 3)."""
    assert a.initiator is not None  # in COOKIE-ECHOED there is one
    init = a.initiator.take_stale_cookie(cause.staleness_us, now)
    if init is None:
        a.close(CloseReason.REFUSED, (cause,))
        return
    a.builder.cookie_chunk = b""
    a.state = State.COOKIE_WAIT
    a.builder.add_packet(init)


def on_t1_cookie(a: StateMachine, now: float) -> None:
    assert a.initiator is not None
    assert a.tcb is not None
    if a.initiator.repeat_cookie(now):
        a.builder.cookie_chunk = CookieEcho(a.initiator.cookie).encode()
        a.tcb.retransmission_queue.mark_all_for_retransmission(now)
    else:
        a.close(CloseReason.TIMED_OUT)


# -- the peer is known, or known no more -------------------------------------------------------------


def learn_peer(a: StateMachine, local: LocalSetup, peer: PeerSetup, now: float) -> None:
    """The peer is known now (or known to be another): build the transmission control block."""
    a.expect(local.tag, peer.port)
    if a.tcb is not None:
        a.catch_up()
        a.tcb.adopt_peer(peer, now)
    else:
        a.builder.set_path_mtu(a.config.path_mtu)
        a.tcb = TransmissionControlBlock(
            a.config,
            local=local,
            peer=peer,
            rto=a.rto,
            send_queue=a.send_queue,
            counters=a.counters,
            rng=a.rng,
            max_path_mtu=a.max_path_mtu,
            path_overhead=a.path_overhead,
            pads_probes=a.pads_probes,
            tell=a.tell,
        )
    # RFC 9653 §5.2: the peer says what it takes, the transport whether that is safe
    a.tcb.omits_checksum = a.protects_integrity and peer.capabilities.zero_checksum
    a.watch_timers()


def _forget_peer(a: StateMachine) -> None:
    """The peer has restarted: nothing of the old association stays, what was sent included."""
    a.stop()
    a.send_queue.clear()
    a.tell_of_sending()
    a.tcb = None
    a.state = State.CLOSED
    a.rto = RetransmissionTimeout(a.config)
    a.ending = Shutdown(a.config, a.rto, requested=a.ending.requested)


def establish(a: StateMachine, now: float) -> None:
    """Both ends know each other."""
    assert a.tcb is not None
    if a.initiator is not None:
        a.initiator.stop()
        a.initiator = None
    a.builder.cookie_chunk = b""
    a.state = State.ESTABLISHED
    if _refuse_shortage_of_streams(a):
        return
    a.watch_timers()
    a.tcb.heartbeat.start(now)
    a.tcb.path_mtu_discovery.start(now)
    a.tcb.retransmission_queue.allow_burst()
    a.tell(AssociationUp(a.tcb.outbound_streams, a.tcb.inbound_streams))
    if a.ending.requested:
        begin_shutdown(a, now)


def _refuse_shortage_of_streams(a: StateMachine) -> bool:
    """§5.1.1: ABORT if the program has sent on more streams than the peer takes; True then."""
    assert a.tcb is not None
    if not a.send_queue.waiting_beyond(a.tcb.outbound_streams):
        return False
    abort_with(a, OutOfResource())
    return True
