"""Cancellation at every checkpoint of a session, one after the other.

A program that is cancelled anywhere leaves nothing behind and its peer ends too; an operation that is
cancelled and tried again loses and doubles nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
import trio
from trio.lowlevel import add_instrument, remove_instrument
from trio.testing import MockClock

from tests.support.fault_session import Operation, Session, StepWatcher
from tests.support.rtc_fault_session import RtcSession
from trio_sctp import AssociationAborted, HandshakeFailed, TransportFailed

BROKEN = (AssociationAborted, HandshakeFailed, TransportFailed)


async def cancel_at(
    step: int, victim: str, *, children: bool, session: Session | None = None
) -> tuple[Session, bool]:
    """A session of which one program is cancelled there; also, whether it got that far."""
    session = session or Session()
    watcher = StepWatcher(step, children=children)
    scope = session.client_scope if victim == "client" else session.server_scope
    name = f"_{victim}"
    program: Callable[[], Awaitable[None]] = getattr(session, name)

    async def watched() -> None:
        with watcher.watching(scope.cancel):
            await program()

    setattr(session, name, watched)
    add_instrument(watcher)
    try:
        await session.run()
    finally:
        remove_instrument(watcher)
    return session, watcher.reached


async def test_client_cancelled_at_every_checkpoint(autojump_clock: MockClock) -> None:
    step = finished = 0
    while True:
        step += 1
        session, reached = await cancel_at(step, "client", children=False)
        if not reached:
            break
        finished += session.finished
        assert session.client_error is None, "a cancellation comes out as a cancellation"
        assert session.server_error is None or isinstance(
            session.server_error, AssociationAborted | HandshakeFailed | TransportFailed
        )
    session.check_complete()
    assert step > 20
    assert finished < 4, "only behind the last checkpoints that can be cancelled"


async def test_server_and_its_tasks_cancelled_at_every_checkpoint(
    autojump_clock: MockClock,
) -> None:
    """The tasks that serve channels and those that move packets are all cancelled with it."""
    step = 0
    while True:
        step += 1
        session, reached = await cancel_at(step, "server", children=True)
        if not reached:
            break
        assert session.server_error is None
    session.check_complete()
    assert step > 60


Victims = pytest.mark.parametrize("victim", ["client", "server"])


@Victims
async def test_cancelled_at_every_checkpoint_of_a_session_over_dtls(
    victim: str, autojump_clock: MockClock
) -> None:
    """The DTLS handshake and the tasks of both programs included."""
    step = 0
    while True:
        step += 1
        session = Session(secured=True)
        _, reached = await cancel_at(step, victim, children=True, session=session)
        if not reached:
            break
        mine, other = session.client_error, session.server_error
        if victim == "server":
            mine, other = other, mine
        assert mine is None or isinstance(mine, BROKEN)
        assert other is None or isinstance(other, BROKEN)
    session.check_complete()
    assert step > 60


@Victims
async def test_cancelled_at_checkpoints_of_a_webrtc_session(
    victim: str, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of the first ones, where everything is set up, and then every seventh."""
    step = 0
    while True:
        step += 1 if step < 40 else 7
        session = RtcSession(monkeypatch)
        _, reached = await cancel_at(step, victim, children=True, session=session)
        if not reached:
            break
    session.check_complete()
    assert step > 60


class Retrying(trio.abc.Instrument):
    """Calls operations again that were cancelled: one of them, at the n-th checkpoint of them all."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.steps = 0
        self._running: dict[trio.lowlevel.Task, trio.CancelScope] = {}

    async def __call__(self, operation: Operation) -> object:
        task = trio.lowlevel.current_task()
        while True:
            with trio.CancelScope() as scope:
                self._running[task] = scope
                try:
                    return await operation()
                finally:
                    del self._running[task]

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        scope = self._running.get(task)
        if scope is not None:
            self.steps += 1
            if self.steps == self.at:
                scope.cancel()


@pytest.mark.parametrize("side", ["client", "server"])
async def test_cancelled_operations_lose_and_double_nothing(
    side: str, autojump_clock: MockClock
) -> None:
    """send, receive, receive_some and accept, cancelled wherever they can wait."""
    step = 0
    while True:
        step += 1
        session = Session()
        retrying = Retrying(step)
        setattr(session, f"retry_{side}", retrying)
        add_instrument(retrying)
        try:
            await session.run()
        finally:
            remove_instrument(retrying)
        session.check_complete()
        if retrying.steps < step:
            break
    assert step > 10
