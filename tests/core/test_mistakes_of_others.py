"""Mistakes seen in other stacks that concern a whole association; docs/mistakes-of-others.md has all.

Mistakes of one part alone are tested beside it, in files whose names end like this one's.
"""

from __future__ import annotations

import ast
import math
import time
from pathlib import Path
from typing import Any, NoReturn

import pytest

import trio_sctp
from tests.support.association_pair import Packet, Pair, established_pair, packet_to, pair_in_state
from trio_sctp._core.events import CloseReason
from trio_sctp._core.states import SETTING_UP, State
from trio_sctp._wire import chunks as c
from trio_sctp._wire.error_causes import InvalidStreamIdentifier, StaleCookie
from trio_sctp._wire.parameters import CookiePreservative, OutgoingSsnResetRequest
from trio_sctp._wire.tlv import encode_chunk

PACKAGE = Path(trio_sctp.__file__).parent

# -- parsing -----------------------------------------------------------------------------------------


def next_tsns(pair: Pair) -> tuple[int, int]:
    """The TSN that A sends next, and the one that it expects next."""
    tcb = pair.a.association.tcb
    assert tcb is not None
    mine, theirs = tcb.retransmission_queue.next_tsn, tcb.data_receiver.cumulative_tsn_ack + 1
    return mine % 2**32, theirs % 2**32


@pytest.mark.parametrize("name", ["SACK", "FORWARD TSN", "DATA", "RE-CONFIG"])
def test_truncated_sack_forward_tsn_data_or_re_config_raises_out_of_the_receive_task(
    name: str,
) -> None:
    """Cut off with its packet, or with a length that says so: dropped, or answered as the RFC says."""
    mine, theirs = next_tsns(established_pair())
    chunks: dict[str, c.EncodableChunk] = {
        "SACK": c.Sack(mine - 1, 10_000, (3, 4, 5, 6), (7, 8)),
        "FORWARD TSN": c.ForwardTsn(theirs + 1, ((2, 3), (4, 5))),
        "DATA": c.Data(theirs, 0, 0, 51, b"payload"),
        "RE-CONFIG": c.ReConfig((OutgoingSsnResetRequest(theirs, 2, theirs, (4, 5)),)),
    }
    encoded = chunks[name].encode()
    for size in range(1, len(encoded)):
        cut = [encoded[:size] + bytes(-size % 4)]  # its length goes beyond the packet
        if size >= 4:
            cut.append(encode_chunk(encoded[0], encoded[1], encoded[4:size]))
        for raw in cut:
            pair = established_pair()
            pair.a.receive(raw, now=0.0)
            assert pair.a.state is State.ESTABLISHED or pair.a.closed is not None
            if pair.a.closed is not None:
                assert pair.a.closed.reason is CloseReason.LOCAL_ABORT
                continue
            pair.send(b"still there")
            pair.run()
            assert pair.z.payloads == [b"still there"]


@pytest.mark.parametrize("state", sorted(set(State), key=str))
def test_parameter_or_chunk_length_0_loops_forever(state: State) -> None:
    """In whatever state it comes, at whatever depth."""
    pair = pair_in_state(state)
    zeros = bytes(40)
    for kind in (0, 1, 2, 3, 4, 6, 9, 130, 192, 255):
        for raw in (
            bytes([kind, 0, 0, 0]) + zeros,
            encode_chunk(kind, 0, zeros),
            encode_chunk(kind, 0, b"\0\1\0\0" * 10),
        ):
            for tag in (pair.a.association.local_tag, 0, 5):
                pair.a.receive(raw, now=0.0, tag=tag)


# -- association -------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", sorted(SETTING_UP, key=str))
def test_error_during_set_up_closes(state: State) -> None:
    pair = pair_in_state(state)
    pair.a.receive(c.Error((InvalidStreamIdentifier(3),)), c.Error(()), now=0.0)
    assert pair.a.state is state
    assert pair.a.closed is None
    assert pair.a.association.next_timeout() == 1.0, "it goes on calling"


@pytest.mark.parametrize(
    "timer, lost",
    [
        ("T1-init", "INIT"),
        ("T1-cookie", "COOKIE ECHO"),
        ("T2", "SHUTDOWN"),
        ("T2 of SHUTDOWN ACK", "SHUTDOWN ACK"),
        ("T3", "DATA"),
    ],
)
def test_t1_t2_or_t3_without_back_off_or_limit(timer: str, lost: str) -> None:
    """Each waits twice as long as before, and not for ever."""
    options: dict[str, Any] = {
        "max_init_retransmits": 4,
        "association_max_retrans": 4,
        "hb_interval": math.inf,
        "loss_recovery": "rfc9260",
    }
    if timer.startswith("T1"):
        pair = Pair(**options)
        pair.a.association.connect(now=0.0)
    elif timer == "T2 of SHUTDOWN ACK":
        pair = pair_in_state(State.SHUTDOWN_ACK_SENT, **options)
    else:
        pair = established_pair(**options)
        if timer == "T2":
            pair.a.association.shutdown(now=0.0)
        else:
            pair.send(b"x")
    pair.lose = lambda packet: packet.sender == "A" and packet.names == lost
    sent: list[float] = []
    while not pair.a.association.ended:
        before = len(pair.exchange)
        pair.run()
        sent += [pair.now] * any(f"A -> {lost} -> lost" == p for p in pair.exchange[before:])
        if not pair.a.association.ended:
            pair.now = pair.a.association.next_timeout()
            pair.a.expire(pair.now)
    expected = [0.0, 1.0, 3.0, 7.0, 15.0]
    assert sent == (expected[1:] if timer == "T2 of SHUTDOWN ACK" else expected)
    assert pair.now == 31.0
    assert pair.a.association.next_timeout() == math.inf


def no_clock(*arguments: object) -> NoReturn:
    raise AssertionError("somebody looks at a clock")


def imported_modules(source: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add((node.module or "").split(".")[0])
    return names


def test_wall_clock_time_used_for_rtt_lifetime_and_cookies(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A whole life without a clock: RTT, RTO, the life of a cookie and heartbeats follow from `now`."""
    with monkeypatch.context() as patch:
        for name in ("time", "monotonic", "perf_counter", "time_ns", "monotonic_ns"):
            patch.setattr(time, name, no_clock)
        # Times before the epoch, of a clock that runs as the test likes
        pair = Pair(valid_cookie_life=5.0, rto_min=0.01)
        pair.now = -1000.0
        pair.a.association.connect(now=pair.now)
        pair.pull()
        pair.now += 0.25
        pair.deliver()
        pair.pull()
        pair.deliver()
        assert pair.a.association.rto.srtt == 0.25
        (echo,) = pair.pull()
        pair.transit.clear()
        late = pair.now + 5.5
        pair.z.give([echo.raw], late)
        (error,) = pair.z.pull(late)
        assert error.chunk(c.Error).causes == (StaleCookie(500_000),)
        pair.now = late
        (init,) = pair.a.receive(error.chunk(c.Error), now=late)
        assert isinstance(init.chunk(c.Init).parameters[0], CookiePreservative)
        pair.z.give([init.raw], pair.now)
        pair.run()
        assert pair.a.state is pair.z.state is State.ESTABLISHED
        pair.run_for(100.0)
        assert pair.a.association.statistics().heartbeats_acknowledged == 3
        pair.a.association.shutdown(now=pair.now)
        pair.run()
        assert pair.a.association.ended
    # and nothing of the library could: not in the core, not in the shell
    clocks = {"time", "datetime", "calendar"}
    # but for the constant dates of certificates, captures and logs, which show people the time of day,
    # and programs that measure themselves
    shown = {PACKAGE / "_capture.py", PACKAGE / "_packet_log.py"}
    may = {PACKAGE / "_webrtc" / "certificate.py", *shown, *(PACKAGE / "cli").rglob("*.py")}
    for source in PACKAGE.rglob("*.py"):
        if source not in may:
            assert not imported_modules(source) & clocks, source


def test_init_in_established_overwrites_tag_and_tsn() -> None:
    """Data goes on in both directions, before and after the stranger's COOKIE ECHO does not come."""
    pair = established_pair()
    before = pair.a.association.local_tag, next_tsns(pair)
    for tsn in range(5):
        init = c.Init(4711 + tsn, 10_000, 5, 5, tsn)
        (answer,) = pair.a.receive(init, now=0.0, tag=0)
        assert answer.names == "INIT ACK"
    assert (pair.a.association.local_tag, next_tsns(pair)) == before
    pair.send(b"there")
    pair.z.association.send(0, b"and back", now=0.0)
    pair.run()
    assert (pair.z.payloads, pair.a.payloads) == ([b"there"], [b"and back"])


def test_shutdown_answered_while_data_is_unacknowledged() -> None:
    """The last message is lost with the SHUTDOWN of the other end under way: it still arrives."""
    # A -> DATA -> lost   Z -> SHUTDOWN -> A   (T3)   A -> DATA -> Z   ...   A -> SHUTDOWN ACK -> Z
    pair = established_pair()
    pair.lose = lambda packet: packet.names == "DATA" and pair.now == 0.0
    pair.send(b"last")
    pair.z.association.shutdown(now=0.0)
    pair.run()
    assert pair.a.state is State.SHUTDOWN_RECEIVED
    assert "A -> SHUTDOWN ACK -> Z" not in pair.exchange
    pair.run_until(done=lambda: pair.a.association.ended and pair.z.association.ended)
    assert pair.z.payloads == [b"last"]
    assert pair.a.closed is not None
    assert pair.a.closed.undelivered_messages == 0


def test_simultaneous_init_hangs() -> None:
    """In WebRTC the normal case: both are up after the packets of one handshake each."""
    pair = Pair()
    for end in (pair.a, pair.z):
        end.association.connect(now=0.0)
    pair.run()
    assert pair.now == 0.0
    assert pair.a.state is pair.z.state is State.ESTABLISHED


@pytest.mark.parametrize("nonce", [bytes(16), b"", b"x" * 15])
def test_heartbeat_ack_accepted_without_its_nonce(nonce: bytes) -> None:
    """Whoever does not see our packets cannot keep us waiting for a peer that is gone."""
    pair = established_pair(association_max_retrans=1, hb_interval=5.0)
    pair.lose = lambda packet: True
    forged = packet_to(pair.a.association, c.HeartbeatAck.from_info(nonce))
    while not pair.a.association.ended:
        pair.now = pair.a.association.next_timeout()
        pair.a.expire(pair.now)
        pair.a.give([forged], pair.now)
        pair.a.pull(pair.now)
        assert pair.now < 60
    assert pair.a.closed is not None
    assert pair.a.closed.reason is CloseReason.TIMED_OUT


# -- transfer ----------------------------------------------------------------------------------------


def test_lost_re_config_never_resent() -> None:
    """Request or response, whichever is lost; the reset is performed once."""
    from trio_sctp._core.events import IncomingStreamsReset, OutgoingStreamsReset

    for sender in "AZ":
        pair = established_pair()
        left = [sender]

        def lose(packet: Packet, left: list[str] = left) -> bool:
            if "RE-CONFIG" not in packet.names or packet.sender not in left:
                return False
            left.clear()
            return True

        pair.lose = lose
        pair.a.association.reset_streams([3], now=0.0)
        pair.run_until(5.0)
        assert not left
        assert pair.a.take(OutgoingStreamsReset) == [OutgoingStreamsReset((3,), succeeded=True)]
        assert pair.z.take(IncomingStreamsReset) == [IncomingStreamsReset((3,))]
