"""What happens when a timer expires: which timers an association has, and the procedure of each.

`procedures_of` is the table.  Procedures that belong to a section of the RFC with a module of its own
stand there; here are those of data (RFC 9260 §6), path MTU discovery and reconfiguration.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from .heartbeat import on_interval, on_unanswered
from .setup import on_t1_cookie, on_t1_init
from .states import SETTING_UP
from .termination import on_t2_shutdown, on_t5_shutdown_guard
from .timer import Timer

if TYPE_CHECKING:
    from .state_machine import StateMachine

__all__ = ["Procedure", "procedures_of"]

Procedure: TypeAlias = "Callable[[StateMachine, float], None]"


def procedures_of(a: StateMachine) -> dict[Timer, Procedure]:
    """The timers that can run now, in the order in which they are looked at, and what each does."""
    procedures: dict[Timer, Procedure] = {a.send_queue.policies.timer: _on_lifetime}
    if a.initiator is not None:
        procedures[a.initiator.t1_init] = on_t1_init
        procedures[a.initiator.t1_cookie] = on_t1_cookie
    if a.tcb is not None:
        queue = a.tcb.retransmission_queue
        procedures[queue.sack_timer] = _on_rest_of_sack  # first: that is not late any more
        procedures[queue.recovery.timer] = _on_recovery_timer  # RFC 8985 §7.2: before T3-rtx
        procedures[queue.t3_rtx] = _on_t3_rtx
        procedures[queue.pacer.timer] = _pull_again
        procedures[a.tcb.data_receiver.sack_timer] = _on_sack_delay
        procedures[a.tcb.data_receiver.release_timer] = _on_release
        procedures[a.tcb.heartbeat.interval_timer] = on_interval
        procedures[a.tcb.heartbeat.ack_timer] = on_unanswered
        procedures[a.tcb.path_mtu_discovery.timer] = _on_path_mtu_timer
        procedures[a.tcb.stream_reset.timer] = _on_reconfig_timer
        procedures[a.ending.t2_shutdown] = on_t2_shutdown
        procedures[a.ending.t5_shutdown_guard] = on_t5_shutdown_guard
    return procedures


def _on_lifetime(a: StateMachine, now: float) -> None:
    """Messages are too old to be sent, or to be sent again (RFC 3758 §4.1 TR3, TR4)."""
    if a.tcb is not None:
        a.tcb.retransmission_queue.expire(now)
    else:
        a.send_queue.expire(now)


def _on_t3_rtx(a: StateMachine, now: float) -> None:
    assert a.tcb is not None
    queue = a.tcb.retransmission_queue
    if a.state in SETTING_UP:
        # §5.1 C: only COOKIE ECHO may be sent; T1-cookie repeats the data with it
        queue.t3_rtx.start(now, a.rto.rto)
        return
    flight_size = queue.flight_size or queue.next_repeat_size  # all may have been found lost
    if queue.handle_t3_expiry(now):
        a.tcb.path_mtu_discovery.data_timed_out(queue.cumulative_tsn_ack, flight_size, now)
        a.follow_path_mtu()
        a.count_error()


def _on_recovery_timer(a: StateMachine, now: float) -> None:
    assert a.tcb is not None
    a.tcb.retransmission_queue.handle_recovery_timeout(now)


def _on_rest_of_sack(a: StateMachine, now: float) -> None:
    assert a.tcb is not None
    if a.tcb.retransmission_queue.go_on(now):
        a.tcb.error_count = 0  # §8.1


def _pull_again(a: StateMachine, now: float) -> None:
    """After this time-out, as after every input, packets are pulled: that is all it is for."""


def _on_sack_delay(a: StateMachine, now: float) -> None:
    assert a.tcb is not None
    a.tcb.data_receiver.handle_sack_delay()


def _on_release(a: StateMachine, now: float) -> None:
    assert a.tcb is not None
    a.tcb.data_receiver.handle_release()


def _on_path_mtu_timer(a: StateMachine, now: float) -> None:
    assert a.tcb is not None
    a.tcb.path_mtu_discovery.handle_timeout(now)
    a.follow_path_mtu()


def _on_reconfig_timer(a: StateMachine, now: float) -> None:
    assert a.tcb is not None
    if a.tcb.stream_reset.handle_timeout(now):
        a.count_error()
