"""A peer that is killed in any state, and a clock that jumps ahead by hours at any moment."""

from __future__ import annotations

import math
from typing import Any

import pytest
import trio
from trio.lowlevel import add_instrument, remove_instrument
from trio.testing import MockClock

from tests.support.association_pair import End, Pair, established_pair, pair_in_state
from tests.support.fault_session import Session, StepWatcher
from tests.support.rtc_fault_session import HERE, THERE, RtcSession
from trio_sctp import (
    AssociationError,
    AssociationLost,
    Config,
    HandshakeFailed,
    open_association,
)
from trio_sctp._core.events import AssociationUp, CloseReason
from trio_sctp._core.states import SETTING_UP, State
from trio_sctp._webrtc.stun import Address
from trio_sctp.testing import open_association_pair

ALIVE = sorted(set(State) - {State.CLOSED}, key=str)


def bound_of(config: Config) -> float:
    """No end needs longer than this to find out, whatever it was doing: seconds."""
    tries = max(config.association_max_retrans, config.max_init_retransmits) + 2
    return tries * (config.rto_max + config.hb_interval) + config.shutdown_guard


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
@pytest.mark.parametrize("state", ALIVE)
def test_peer_killed_in_every_state(state: State, busy: bool) -> None:
    pair = pair_in_state(state)
    if busy and (state in SETTING_UP or state is State.ESTABLISHED):
        for _ in range(50):
            pair.send(bytes(3000))
        pair.a.pull(pair.now)
    now, bound = pair.now, pair.now + bound_of(Config())
    packets = 0
    while (due := pair.a.association.next_timeout()) < math.inf:
        assert due < bound, "it would wait for ever"
        now = max(now, due)
        pair.a.expire(now)
        packets += len(pair.a.pull(now))
    assert pair.a.closed is not None
    if state is State.SHUTDOWN_ACK_SENT:  # everything was delivered both ways
        assert pair.a.closed.reason is CloseReason.SHUTDOWN
    else:
        assert pair.a.closed.reason in (CloseReason.TIMED_OUT, CloseReason.LOCAL_ABORT)
    assert packets < 60, "a dead peer's network is left in peace"


@pytest.mark.parametrize("state", ALIVE)
def test_clock_jumps_ahead_in_every_state(state: State) -> None:
    """Each timer has expired once, not many times: the association goes on where it was."""
    for hours in (1, 1000):
        pair = Pair()
        pair.now = 1000.0
        if state in SETTING_UP:
            pair.a.association.connect(now=pair.now)
            if state is State.COOKIE_ECHOED:
                pair.pull_cookie_echo()
            pair.pull()
        else:
            pair = pair_in_state(state)
        assert pair.a.state is state
        pair.transit.clear()  # whatever was under way is lost as well
        pair.now += hours * 3600
        before = len(pair.exchange)
        pair.a.expire(pair.now)
        pair.z.expire(pair.now)
        pair.pull()
        assert len(pair.exchange) - before < 8
        pair.run_for(200.0)
        if state in SETTING_UP or state is State.ESTABLISHED:
            assert pair.a.state is pair.z.state is State.ESTABLISHED
        else:
            assert pair.a.closed is not None, "the guard of the shutdown has ended it or it is done"


@pytest.mark.parametrize("hours", [1, 24 * 365])
def test_clock_jumps_in_the_middle_of_a_transfer(hours: int) -> None:
    pair = established_pair()
    for _ in range(100):
        pair.send(bytes(3000))
    for _ in range(20):
        pair.pull()
        if pair.transit:
            pair.deliver()
        pair.now += hours * 3600
        pair.a.expire(pair.now)
        pair.z.expire(pair.now)
    pair.run_until(pair.now + 3600)
    assert pair.z.payloads == [bytes(3000)] * 100
    assert pair.a.state is pair.z.state is State.ESTABLISHED


def test_both_killed_and_reborn_again_and_again() -> None:
    """Each life ends without a word; the next one sets up an association all the same."""
    pair = Pair(seed=3)
    for life in range(30):
        end, name = (pair.a, "A") if life % 2 else (pair.z, "Z")
        reborn = End(name, end.association.config, end.association.rng)
        if name == "A":
            pair.a = reborn
        else:
            pair.z = reborn
        pair.transit.clear()
        reborn.association.connect(now=pair.now)
        pair.run_for(5.0)
        assert pair.a.state is pair.z.state is State.ESTABLISHED
        assert len(pair.a.take(AssociationUp)) == len(pair.z.take(AssociationUp)) == 1
        pair.send(b"%d" % life)
        pair.run()
        assert pair.z.payloads == [b"%d" % life]


Secured = pytest.mark.parametrize("secured", [False, True], ids=["plain", "dtls"])


@Secured
@pytest.mark.parametrize("victim", ["client", "server"])
async def test_process_killed_at_every_packet(
    victim: str, secured: bool, autojump_clock: MockClock
) -> None:
    """From one moment on there is only silence: the other end finds out and leaves nothing."""
    at = 0
    while True:
        at += 1
        session = Session(silent_close=True, secured=secured)
        end = session.client_end if victim == "client" else session.server_end
        scope = session.client_scope if victim == "client" else session.server_scope

        def kill(
            sent: int,
            session: Session = session,
            scope: trio.CancelScope = scope,
            at: int = at,
        ) -> None:
            if sent == at:
                session.cut = True  # so that the ABORT of leaving is never heard
                scope.cancel()

        end.after_send = kill
        await session.run()
        if end.sent < at:
            break
        other = session.server_error if victim == "client" else session.client_error
        assert other is None or isinstance(other, AssociationLost | HandshakeFailed)
    session.check_complete()
    assert at > 10


@pytest.mark.parametrize("victim, host", [("client", HERE), ("server", THERE)])
async def test_process_of_a_webrtc_session_killed_at_datagrams(
    victim: str, host: str, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While there is ICE only, during DTLS, SCTP's handshake, transfer or end: nobody waits for ever."""
    at = sent = 0
    while sent >= at:
        at += 3
        session = RtcSession(monkeypatch)
        scope = session.client_scope if victim == "client" else session.server_scope
        carry, sent = session.network.carry, 0

        def counted(source: Address, *arguments: Any, **options: Any) -> None:
            nonlocal sent
            sent += source[0] == host
            if sent == at:  # noqa: B023  # called before the next turn
                session.network.conditions.loss = 1.0  # noqa: B023
                scope.cancel()  # noqa: B023
            carry(source, *arguments, **options)  # noqa: B023

        monkeypatch.setattr(session.network, "carry", counted)
        await session.run(within=60.0)
        other = session.server_error if victim == "client" else session.client_error
        assert other is None or isinstance(other, AssociationLost | HandshakeFailed)
    session.check_complete()
    assert at > 60


async def run_with_jump(
    session: Session | RtcSession, clock: MockClock, *, at: int, children: bool = False
) -> bool:
    """Two hours pass at one step of the client's; False if there is no such step."""
    watcher = StepWatcher(at, children=children)
    program = session._client

    async def watched() -> None:
        with watcher.watching(lambda: clock.jump(7200)):
            await program()

    session._client = watched  # type: ignore[method-assign]
    add_instrument(watcher)
    try:
        await session.run(within=20_000)
    finally:
        remove_instrument(watcher)
    assert session.finished or isinstance(session.client_error, AssociationError)
    return watcher.reached


@Secured
async def test_clock_jumps_at_every_checkpoint_of_a_session(
    secured: bool, autojump_clock: MockClock
) -> None:
    """Two hours each time: everything arrives, or the end that gave up says so."""
    step = complete = 0
    reached = True
    while reached:
        step += 1
        session = Session(secured=secured)
        reached = await run_with_jump(session, autojump_clock, at=step)
        complete += session.finished
    assert step > 20
    in_handshakes = 12 if secured else 4  # that of DTLS has 30 seconds
    assert complete > step - in_handshakes, "only in set-up and shutdown something may be given up"


async def test_clock_jumps_at_checkpoints_of_a_webrtc_session(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Consent is lost in two hours: a session that was up ends for both, as do those to come."""
    complete = lost = step = 0
    reached = True
    while reached:
        step += 1 if step < 30 else 11
        session = RtcSession(monkeypatch)
        reached = await run_with_jump(session, autojump_clock, at=step, children=True)
        complete += session.finished
        lost += session.client_error is not None
    assert step > 60
    assert complete
    assert lost


async def test_a_jumping_clock_does_not_wake_more_than_it_must(autojump_clock: MockClock) -> None:
    config = Config(path_mtu_discovery=False)
    async with open_association_pair(delay=0.01, config=config) as (client, server):
        for _ in range(50):
            before = client.statistics().packets_sent + server.statistics().packets_sent
            autojump_clock.jump(86_400)
            await trio.sleep(1)
            after = client.statistics().packets_sent + server.statistics().packets_sent
            assert after - before < 12
        async with client.open_channel() as channel:
            await channel.send("still here")
        assert await (await server.listen().accept()).receive() == "still here"


async def test_nobody_there(autojump_clock: MockClock) -> None:
    """A call into the void ends by itself, with the number of INITs that the configuration says."""
    session = Session(silent_close=True)
    session.cut = True
    start = trio.current_time()
    with pytest.raises(HandshakeFailed):
        async with open_association(session.client_end, client=True, config=session.config):
            pass
    assert session.client_end.sent == session.config.max_init_retransmits + 1
    assert trio.current_time() - start < 20
    assert session.client_end.closed
