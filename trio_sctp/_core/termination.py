"""Ending an association (RFC 9260 §9): by ABORT (§9.1), or gracefully by SHUTDOWN (§9.2).

A graceful end begins when either program asks for it.  Each end goes on until all that it has sent is
acknowledged; then one says SHUTDOWN, the other SHUTDOWN ACK, the first SHUTDOWN COMPLETE.  `Shutdown` is
what SHUTDOWN and SHUTDOWN ACK have in common: they are repeated with back-off until answered, a limited
number of times, and the guard bounds the whole sequence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._wire.chunks import Abort, Shutdown as ShutdownChunk, ShutdownAck, ShutdownComplete
from .._wire.error_causes import ErrorCause, ProtocolViolation, UserInitiatedAbort
from .config import Config
from .events import CloseReason, PeerShutdown
from .out_of_the_blue import answer_stranger
from .states import SETTING_UP, State
from .timer import Timer
from .verdict import STOP, Verdict

if TYPE_CHECKING:
    from .handshake import PacketHeader
    from .rto import RetransmissionTimeout
    from .state_machine import StateMachine

__all__ = [
    "NEVER_SENT",
    "Shutdown",
    "abort_with",
    "all_is_acknowledged",
    "begin_shutdown",
    "is_reflected",
    "on_abort",
    "on_shutdown",
    "on_shutdown_ack",
    "on_shutdown_complete",
    "on_t2_shutdown",
    "on_t5_shutdown_guard",
]

# RFC 9260 §12.4: acknowledging what was never sent ends the association
NEVER_SENT = ProtocolViolation(b"a TSN was acknowledged that was never sent")


class Shutdown:
    """Counts and times the repetitions of SHUTDOWN or SHUTDOWN ACK."""

    __slots__ = (
        "_config",
        "_rto",
        "requested",
        "retransmissions",
        "t2_shutdown",
        "t5_shutdown_guard",
    )

    def __init__(
        self, config: Config, rto: RetransmissionTimeout, *, requested: bool = False
    ) -> None:
        self._config = config
        self._rto = rto
        self.requested = requested
        """The program has asked for the shutdown (it outlives a restart by the peer)."""
        self.retransmissions = 0
        self.t2_shutdown = Timer("T2-shutdown")
        self.t5_shutdown_guard = Timer("T5-shutdown-guard")

    def begin(self, now: float, *, guarded: bool) -> None:
        """The first SHUTDOWN (which the guard bounds) or SHUTDOWN ACK goes out."""
        self.retransmissions = 0
        if guarded:
            self.t5_shutdown_guard.start(now, self._config.shutdown_guard)
        else:
            self.t5_shutdown_guard.stop()  # it is the sender of SHUTDOWN that has one
        self.sent(now)

    def sent(self, now: float) -> None:
        """SHUTDOWN or SHUTDOWN ACK goes out: (re)start T2."""
        self.t2_shutdown.start(now, self._rto.rto)

    def heard_from_peer(self, now: float) -> None:
        """Any packet of the peer clears the count and gives it time (§9.2)."""
        self.retransmissions = 0
        if self.t2_shutdown.running:
            self.t2_shutdown.start(now, self._rto.rto)

    def may_repeat(self) -> bool:
        """After T2-shutdown: back off; False once Association.Max.Retrans is exceeded."""
        self.retransmissions += 1
        self._rto.back_off()
        return self.retransmissions <= self._config.association_max_retrans

    def replace_config(self, config: Config) -> None:
        self._config = config


# -- abort (§9.1) ------------------------------------------------------------------------------------


def abort_with(a: StateMachine, cause: ErrorCause) -> None:
    """ABORT: the peer is told the cause, and the association is over."""
    a.builder.drop_packets()  # what waited is of no use to anybody now
    if a.tcb is not None:
        abort = Abort((cause,)).encode()
        a.builder.add_packet(a.tcb.header.packet(abort, a.tcb.omits_checksum))
    a.close(CloseReason.LOCAL_ABORT, (cause,))


def on_abort(a: StateMachine, chunk: Abort, header: PacketHeader, now: float) -> Verdict:
    if chunk.tag_reflected and not is_reflected(a, chunk, header):  # §8.5.1 B
        a.counters.drop("ABORT with a wrong T bit")
    else:
        a.close(_meaning_of(a, chunk), chunk.causes)
    return STOP


def _meaning_of(a: StateMachine, chunk: Abort) -> CloseReason:
    if a.state in SETTING_UP:
        return CloseReason.REFUSED
    if a.state is State.SHUTDOWN_ACK_SENT and chunk.tag_reflected:
        # The peer had everything, and has gone: something of ours came late, and what it was answered
        # has overtaken the SHUTDOWN COMPLETE (§8.4).
        return CloseReason.SHUTDOWN
    return CloseReason.PEER_ABORT


def is_reflected(a: StateMachine, chunk: Abort | ShutdownComplete, header: PacketHeader) -> bool:
    """The T bit is set and the tag is the peer's own (§8.5.1 B and C)."""
    peer_tag = a.tcb.peer.tag if a.tcb else 0
    return chunk.tag_reflected and header.verification_tag == peer_tag != 0


# -- shutdown (§9.2) ---------------------------------------------------------------------------------


def begin_shutdown(a: StateMachine, now: float) -> None:
    """Our program wants the end, and the association is established."""
    assert a.tcb is not None
    a.state = State.SHUTDOWN_PENDING
    a.tcb.retransmission_queue.shutdown_pending = True  # §6.1: the I bit speeds it up
    a.settle(now)


def all_is_acknowledged(a: StateMachine, now: float) -> None:
    """The peer has all that we sent: a shutdown goes on."""
    if a.state is State.SHUTDOWN_RECEIVED:
        _enter_last_state(a, State.SHUTDOWN_ACK_SENT, now)
    elif a.state is State.SHUTDOWN_PENDING:
        _enter_last_state(a, State.SHUTDOWN_SENT, now)


def _enter_last_state(a: StateMachine, state: State, now: float) -> None:
    assert a.tcb is not None
    a.tcb.heartbeat.stop()  # §8.3: no heartbeats from here on
    a.tcb.path_mtu_discovery.stop()
    a.state = state
    a.builder.shutdown_due = True
    a.ending.begin(now, guarded=state is State.SHUTDOWN_SENT)


def on_shutdown(a: StateMachine, chunk: ShutdownChunk, header: PacketHeader, now: float) -> None:
    assert a.tcb is not None
    queue = a.tcb.retransmission_queue
    if queue.handle_cumulative_ack(chunk.cumulative_tsn_ack, now):
        a.tcb.error_count = 0  # §8.1
    elif queue.never_sent_acknowledged:
        abort_with(a, NEVER_SENT)
        return
    if a.state is State.SHUTDOWN_SENT:  # both ends at once
        _enter_last_state(a, State.SHUTDOWN_ACK_SENT, now)
    elif a.state is State.SHUTDOWN_ACK_SENT:
        a.builder.shutdown_due = True
    elif a.state is not State.SHUTDOWN_RECEIVED:
        a.state = State.SHUTDOWN_RECEIVED
        a.catch_up()
        a.tell(PeerShutdown())


def on_shutdown_ack(
    a: StateMachine, chunk: ShutdownAck, header: PacketHeader, now: float
) -> Verdict:
    if a.state in SETTING_UP:  # §8.5.1 E
        answer_stranger(a, header, [chunk])
    else:
        assert a.tcb is not None
        a.builder.add_packet(header.answer(a.tcb.peer.tag, ShutdownComplete().encode()))
        a.close(CloseReason.SHUTDOWN)
    return STOP


def on_shutdown_complete(
    a: StateMachine, chunk: ShutdownComplete, header: PacketHeader, now: float
) -> Verdict:
    if chunk.tag_reflected and not is_reflected(a, chunk, header):  # §8.5.1 C
        a.counters.drop("SHUTDOWN COMPLETE with a wrong T bit")
    else:
        a.close(CloseReason.SHUTDOWN)
    return STOP


def on_t2_shutdown(a: StateMachine, now: float) -> None:
    if a.ending.may_repeat():
        a.builder.shutdown_due = True
        a.ending.sent(now)
    elif a.state is State.SHUTDOWN_ACK_SENT:
        # Both ends have everything of the other: it is only the good-bye that was lost
        a.close(CloseReason.SHUTDOWN)
    else:
        a.close(CloseReason.TIMED_OUT)


def on_t5_shutdown_guard(a: StateMachine, now: float) -> None:
    abort_with(a, UserInitiatedAbort(b"the shutdown took too long"))
