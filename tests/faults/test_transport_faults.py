"""Transports that fail, close or fall silent at every point of a session.

Each test walks: the first batch, the second, and so on, until a session no longer gets that far.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tests.support.fault_session import FaultyTransport, Session, TransportFault
from tests.support.rtc_fault_session import RtcSession
from trio_sctp import (
    AssociationAborted,
    AssociationLost,
    HandshakeFailed,
    TransportFailed,
)

Errors = pytest.mark.parametrize(
    "error",
    [
        partial(TransportFault, "broken on purpose"),
        trio.BrokenResourceError,
        trio.ClosedResourceError,
        trio.EndOfChannel,
    ],
    ids=["OSError", "Broken", "Closed", "EndOfChannel"],
)
Sides = pytest.mark.parametrize("side", ["client", "server"])


def end_of(session: Session, side: str) -> FaultyTransport:
    return session.client_end if side == "client" else session.server_end


Secured = pytest.mark.parametrize("secured", [False, True], ids=["plain", "dtls"])


async def walk(
    side: str, prepare: Callable[[FaultyTransport, int], None], *, secured: bool
) -> list[tuple[Session, FaultyTransport]]:
    """Sessions of which one end breaks at the first point, the second, ...; the last is whole."""
    sessions: list[tuple[Session, FaultyTransport]] = []
    while not sessions or not sessions[-1][0].finished or sessions[-1][0].server_error:
        session = Session(secured=secured)
        end = end_of(session, side)
        prepare(end, len(sessions) + 1)
        await session.run()
        sessions.append((session, end))
    return sessions


def check_broken(session: Session, side: str, error: Callable[[], Exception]) -> None:
    """The end that broke knows why; the other was told, or has everything already."""
    mine, other = session.client_error, session.server_error
    if side == "server":
        mine, other = other, mine
    if mine is not None:
        assert isinstance(mine, TransportFailed | HandshakeFailed)
        assert type(mine.__cause__) is type(error())
    assert other is None or isinstance(
        other, AssociationAborted | HandshakeFailed | TransportFailed | AssociationLost
    )
    assert not (session.finished and not session.stream_echoed)


@Sides
@Errors
@Secured
async def test_send_fails_at_every_point(
    side: str, error: Callable[[], Exception], secured: bool, autojump_clock: MockClock
) -> None:
    def prepare(end: FaultyTransport, at: int) -> None:
        end.fail_send_at, end.error = at, error

    sessions = await walk(side, prepare, secured=secured)
    assert len(sessions) > 10
    for session, _ in sessions[:-1]:
        check_broken(session, side, error)


@Sides
@Errors
@Secured
async def test_receive_fails_at_every_point(
    side: str, error: Callable[[], Exception], secured: bool, autojump_clock: MockClock
) -> None:
    """This end can still send: the other hears an ABORT."""

    def prepare(end: FaultyTransport, at: int) -> None:
        end.fail_receive_at, end.error = at, error

    sessions = await walk(side, prepare, secured=secured)
    assert len(sessions) > 10
    for session, _ in sessions[:-1]:
        check_broken(session, side, error)


@Sides
@Secured
async def test_closed_under_the_association_at_every_point(
    side: str, secured: bool, autojump_clock: MockClock
) -> None:
    def prepare(end: FaultyTransport, at: int) -> None:
        end.close_at = at

    sessions = await walk(side, prepare, secured=secured)
    assert len(sessions) > 10
    for session, _ in sessions[:-1]:
        check_broken(session, side, trio.ClosedResourceError)


async def outage(session: Session) -> None:
    session.cut = True
    await trio.sleep(6)
    session.cut = False


@Secured
async def test_interface_gone_and_back_at_every_point(
    secured: bool, autojump_clock: MockClock
) -> None:
    """For less than the association's patience: everything arrives, once and in order."""
    whole = Session(secured=secured)
    await whole.run()
    whole.check_complete()
    for side, count in (("client", whole.client_end.sent), ("server", whole.server_end.sent)):
        for at in range(1, count + 1):
            session = Session(silent_close=True, secured=secured)

            def cut(sent: int, session: Session = session, at: int = at) -> None:
                if sent == at:
                    session.disturbers.start_soon(outage, session)

            end_of(session, side).after_send = cut
            await session.run()
            session.check_complete()
            # the good-bye is repeated until its last packet cannot be missed any more
            assert session.client_error is None
            assert session.server_error is None


@Sides
async def test_interface_gone_for_good_at_every_point(side: str, autojump_clock: MockClock) -> None:
    """Both ends find out by themselves, within the bounds of the configuration."""
    at = 0
    while True:
        at += 1
        session = Session(silent_close=True)

        def cut(sent: int, session: Session = session, at: int = at) -> None:
            if sent == at:
                session.cut = True

        end_of(session, side).after_send = cut
        await session.run()
        if not session.cut:
            break
        for error in (session.client_error, session.server_error):
            assert error is None or isinstance(error, AssociationLost | HandshakeFailed)
        assert session.client_error is not None or session.finished
    assert at > 10


@pytest.mark.parametrize("times", [1, 2, 5])
async def test_an_unsteady_interface(times: int, autojump_clock: MockClock) -> None:
    """Gone again and again in the middle of the transfer."""
    session = Session(silent_close=True)

    async def flap() -> None:
        for _ in range(times):
            await trio.sleep(0.03)
            session.cut = True
            await trio.sleep(2.5)
            session.cut = False
            await trio.sleep(3)

    session.talking = lambda: session.disturbers.start_soon(flap)
    await session.run()
    session.check_complete()


async def test_a_transport_that_never_lets_go_cannot_hold_the_program(
    autojump_clock: MockClock,
) -> None:
    """Sending blocks for ever, as does closing: leaving is bounded all the same."""

    class Stuck(FaultyTransport):
        stuck = False

        async def send_batch(self, datagrams: object) -> None:
            if self.stuck:
                await trio.sleep_forever()
            await super().send_batch(datagrams)  # type: ignore[arg-type]

        async def aclose(self) -> None:
            await super().aclose()
            if self.stuck:
                await trio.sleep_forever()

    session = Session(silent_close=True)
    end = session.client_end = Stuck(session.client_end.inner)

    def stick() -> None:
        end.stuck = True

    session.talking = stick
    start = trio.current_time()
    session.client_scope.deadline = start + 50
    await session.run()
    assert 50 <= session.client_ended_at - start < 60
    assert not session.finished


@pytest.mark.parametrize("at", [0, 1, 2, 4, 8, 16, 32, 64, 100, 150])
async def test_interface_of_a_webrtc_session_gone_and_back(
    at: int, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After so many datagrams, for three seconds: ICE, DTLS and SCTP repeat what was lost."""
    session = RtcSession(monkeypatch)
    carried, carry = 0, session.network.carry

    async def outage() -> None:
        session.network.conditions.loss = 1.0
        await trio.sleep(3)
        session.network.conditions.loss = 0.0

    def counted(*arguments: Any, **options: Any) -> None:
        nonlocal carried
        if carried == at:
            session.disturbers.start_soon(outage)
        carried += 1
        carry(*arguments, **options)

    monkeypatch.setattr(session.network, "carry", counted)
    await session.run()
    session.check_complete()
    assert carried > 150


async def test_interface_of_a_webrtc_session_gone_for_good(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both ends find out by themselves, whatever they were doing."""
    for at in range(0, 150, 9):
        session = RtcSession(monkeypatch)
        carried, carry = 0, session.network.carry

        def counted(*arguments: Any, **options: Any) -> None:
            nonlocal carried
            carried += 1
            if carried > at:  # noqa: B023  # called before the next turn
                session.network.conditions.loss = 1.0  # noqa: B023
            carry(*arguments, **options)  # noqa: B023

        monkeypatch.setattr(session.network, "carry", counted)
        await session.run()
        assert not session.finished
        assert isinstance(session.client_error, AssociationLost | HandshakeFailed | TransportFailed)
