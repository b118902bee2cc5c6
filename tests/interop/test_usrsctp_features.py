"""What SCTP has beside plain transfers, as usrsctp sees it: streams, resets, ends, supervision."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

import pytest
import trio

from tests.support.commands import TIME_LIMIT
from tests.support.live_peers import Digest, JsonPeer, free_udp_ports, run_c_peer
from tests.support.udp_relay import open_relay
from tests.support.usrsctp_association import (
    CONFIG,
    QUICK,
    ROLES,
    Role,
    assert_shut_down,
    associated,
    connected,
    ending_of,
    events_of,
    listening,
)
from trio_sctp import (
    Association,
    AssociationAborted,
    AssociationLost,
    AssociationRestarted,
    CloseReason,
    HandshakeFailed,
    IncomingStreamsReset,
    Message,
    OutgoingStreamsReset,
    PeerShutdown,
)
from trio_sctp._wire.chunks import HeartbeatAck
from trio_sctp._wire.error_causes import ProtocolViolation, UserInitiatedAbort
from trio_sctp._wire.packet import decode_chunks

COMMANDS = ("--job", "commands", "--report")
REPORT = ("--job", "receive", "--report")


async def receive(association: Association, count: int) -> list[Message]:
    return [await association.messages.receive() for _ in range(count)]


async def said(peer: JsonPeer, event: str, count: int) -> list[dict[str, object]]:
    return [await peer.expect(event) for _ in range(count)]


Reset = IncomingStreamsReset | OutgoingStreamsReset


async def next_reset(association: Association) -> Reset:
    """The next event about a reset; others do not matter here."""
    async for event in association.events:
        if isinstance(event, Reset):
            return event
    raise AssertionError("the association is over")


# -- messages


@pytest.mark.parametrize("role", ROLES)
async def test_many_streams(c_peer: Path, role: Role) -> None:
    streams, rounds = 300, 4
    async with associated(role, c_peer, "--out-streams", streams, *COMMANDS) as (association, peer):
        assert (association.outbound_streams, association.inbound_streams) == (2048, streams)
        await peer.command(f"send {streams * rounds} 100 0 {streams} 51 0 0 0")
        received = await receive(association, streams * rounds)
        for i in range(streams * rounds):
            await association.messages.send(Message(i * 6 % 2048, i, b"%d" % i))
        told = await said(peer, "message", streams * rounds)
        await association.aclose()
        assert (await peer.summary())["ending"] == "shutdown"
    for stream in range(streams):
        numbers = [m.sequence_number for m in received if m.stream_id == stream]
        assert numbers == list(range(rounds))
    for i, event in enumerate(sorted(told, key=lambda event: int(str(event["ppid"])))):
        assert (event["stream"], event["ppid"]) == (i * 6 % 2048, i)
        assert bytes.fromhex(str(event["head"])) == b"%d" % i
    await assert_shut_down(association)


async def test_order_and_ppid(c_peer: Path) -> None:
    async with associated("connect", c_peer, *COMMANDS) as (association, peer):
        await peer.command("send 3 5000 7 1 4294967295 1 0 0")
        await peer.command("send 3 5000 7 1 0 0 0 0")
        received = await receive(association, 6)
        await association.messages.send(Message(9, 2**32 - 1, b"free", unordered=True))
        await association.messages.send(Message(9, 0, b"in line"))
        told = await said(peer, "message", 2)
    assert [(m.ppid, m.unordered) for m in received] == [(2**32 - 1, True)] * 3 + [(0, False)] * 3
    assert [m.sequence_number for m in received[3:]] == [0, 1, 2]
    assert [(e["ppid"], e["unordered"], e["stream"]) for e in told] == [
        (2**32 - 1, True, 9),
        (0, False, 9),
    ]


async def test_messages_larger_than_the_window(c_peer: Path) -> None:
    """16 MiB, the longest we take, by windows of 4 and 8 MiB."""
    size = CONFIG.max_message_size
    buffers = ("--sndbuf", 32 << 20, "--rcvbuf", 4 << 20, "--udpbuf", 4 << 20, "--mtu", 1200)
    async with associated("connect", c_peer, *buffers, *COMMANDS) as (association, peer):
        await peer.command(f"send 1 {size} 0 1 51 0 0 0")
        (message,) = await receive(association, 1)
        assert len(message.payload) == size
        await association.messages.send(Message(0, 53, message.payload))
        told = await peer.expect("message")
        assert (told["size"], told["head"]) == (size, message.payload[:64].hex())


async def test_a_message_longer_than_we_take(c_peer: Path) -> None:
    config = CONFIG.replace(max_message_size=10_000)
    async with associated("listen", c_peer, *COMMANDS, config=config) as (association, peer):
        await peer.command("send 1 10000 0 1 51 0 0 0")
        await receive(association, 1)
        await peer.command("send 1 10001 0 1 51 0 0 0")
        with pytest.raises(AssociationAborted):
            await association.messages.receive()
        assert (await peer.expect("abort"))["cause"] == ProtocolViolation.code
        assert (await peer.summary())["ending"] == "lost"


# -- windows


async def test_our_reader_is_slow(c_peer: Path) -> None:
    # The window fills up again and again, and no packet comes that it has no room for: not one is
    # sent twice, for which the peer would wait longer than the whole test may take.
    config = CONFIG.replace(a_rwnd=20_000)
    job = ("--job", "send", "--count", 200, "--size", 2000, "--verify")
    timers = ("--rto-min", 400_000, "--rto-max", 400_000)
    async with associated("connect", c_peer, *job, *timers, config=config) as (association, peer):
        digest = Digest()
        for _ in range(5):
            while association.statistics().a_rwnd > 1500:  # there is no room for a packet
                await trio.sleep(0.002)
            for _ in range(10):
                digest.add((await association.messages.receive()).payload)
        async for message in association.messages:
            digest.add(message.payload)
        summary = await peer.summary()
    assert digest.in_order() == (200, 400_000, summary["sent"]["digest"])
    assert summary["ending"] == "shutdown"
    assert summary["timeouts"] == 0
    await assert_shut_down(association)


async def test_the_peers_reader_is_slow(c_peer: Path) -> None:
    # Its window stays empty until it is told to read: probes, and on when it opens again.
    options = ("--rcvbuf", 20_000, "--hold", "--job", "commands", "--verify")
    async with associated("connect", c_peer, *options, config=QUICK) as (association, peer):
        for i in range(200):
            await association.messages.send(Message(0, 51, bytes([i]) * 2000))
        while association.statistics().peer_rwnd > 1:  # 1 is how usrsctp says 0
            await trio.sleep(0.01)
        probes = association.statistics().retransmitted_chunks
        while association.statistics().retransmitted_chunks < probes + 3:
            await trio.sleep(0.01)
        assert association.statistics().unsent_bytes > 300_000
        await peer.command("read")
        await association.aclose()
        summary = await peer.summary()
    assert (summary["ending"], summary["received"]["bytes"]) == ("shutdown", 400_000)
    await assert_shut_down(association)


# -- stream resets


@pytest.mark.parametrize("role", ROLES)
async def test_the_peer_resets_its_streams(c_peer: Path, role: Role) -> None:
    async with associated(role, c_peer, *COMMANDS) as (association, peer):
        await peer.command("send 5 100 3 1 51 0 0 0")
        await peer.command("reset out 3 4")
        # It resets stream 4 by itself if something is still on its way on stream 3.
        done: list[int] = []
        while len(done) < 2:
            told = await peer.expect("stream reset")
            assert (told["outgoing"], told["denied"], told["failed"]) == (True, False, False)
            done += told["streams"]
        reset: list[int] = []
        while len(reset) < 2:
            event = await next_reset(association)
            assert isinstance(event, IncomingStreamsReset)
            reset += event.stream_ids
        assert sorted(done) == sorted(reset) == [3, 4]
        await peer.command("send 2 100 3 1 51 0 0 0")
        numbers = [message.sequence_number for message in await receive(association, 7)]
        assert numbers == [0, 1, 2, 3, 4, 0, 1]


@pytest.mark.parametrize("role", ROLES)
async def test_the_peer_asks_us_to_reset_ours(c_peer: Path, role: Role) -> None:
    async with associated(role, c_peer, *COMMANDS) as (association, peer):
        await association.messages.send(Message(3, 51, b"one"))
        await peer.expect("message")
        await peer.command("reset in 3")
        done = await peer.expect("stream reset")
        assert (done["incoming"], done["streams"], done["denied"]) == (True, [3], False)
        assert await next_reset(association) == OutgoingStreamsReset((3,), succeeded=True)
        await association.messages.send(Message(3, 51, b"two"))
        assert (await peer.expect("message"))["ssn"] == 0


async def test_the_peer_resets_both_directions(c_peer: Path) -> None:
    async with associated("connect", c_peer, *COMMANDS) as (association, peer):
        await association.messages.send(Message(3, 51, b"one"))
        await peer.command("text 3 51 one")
        await receive(association, 1)
        await peer.expect("message")
        await peer.command("reset both 3")
        events = {type(await next_reset(association)) for _ in range(2)}
        assert events == {IncomingStreamsReset, OutgoingStreamsReset}
        told = {"incoming": False, "outgoing": False}
        while not all(told.values()):  # before that it takes no message for the stream
            done = await peer.expect("stream reset")
            told = {direction: told[direction] or done[direction] for direction in told}
        await peer.command("text 3 51 two")
        assert (await receive(association, 1))[0].sequence_number == 0
        await association.messages.send(Message(3, 51, b"two"))
        assert (await peer.expect("message"))["ssn"] == 0


@pytest.mark.parametrize("role", ROLES)
async def test_we_reset_our_streams(c_peer: Path, role: Role) -> None:
    async with associated(role, c_peer, *REPORT) as (association, peer):
        for stream in (1, 2, 3):
            await association.messages.send(Message(stream, 51, b"before"))
        association.reset_streams([1, 3])
        ours: list[int] = []
        while len(ours) < 2:
            event = await next_reset(association)
            assert isinstance(event, OutgoingStreamsReset)
            assert event.succeeded
            ours += event.stream_ids
        theirs: list[int] = []
        while len(theirs) < 2:
            done = await peer.expect("stream reset")
            assert done["incoming"]
            theirs += done["streams"]
        assert ours == theirs
        assert sorted(ours) == [1, 3]
        for stream in (1, 2, 3):
            await association.messages.send(Message(stream, 51, b"after"))
        await association.aclose()
        await peer.summary()
    numbers = [(e["stream"], e["ssn"]) for e in peer.events if e["event"] == "message"]
    assert sorted(numbers) == [(1, 0), (1, 0), (2, 0), (2, 1), (3, 0), (3, 0)]


# -- ends


@pytest.mark.parametrize("role", ROLES)
async def test_the_peer_shuts_down(c_peer: Path, role: Role) -> None:
    async with associated(role, c_peer, *COMMANDS) as (association, peer):
        await association.messages.send(Message(0, 51, b"this is still delivered"))
        await peer.command("text 0 51 and this")
        await peer.no_more_commands()
        assert [message.payload async for message in association.messages] == [b"and this"]
        assert (await peer.summary())["received"]["messages"] == 1
    assert PeerShutdown() in await events_of(association)
    assert peer.events[-1]["ending"] == "shutdown"


@pytest.mark.parametrize("role", ROLES)
async def test_the_peer_aborts(c_peer: Path, role: Role) -> None:
    async with associated(role, c_peer, *COMMANDS) as (association, peer):
        await peer.command("abort")
        with pytest.raises(AssociationAborted, match="bye") as caught:
            await association.messages.receive()
    assert caught.value.reason == "bye"
    ending = await ending_of(association)
    assert ending.reason is CloseReason.PEER_ABORT
    assert ending.causes == (UserInitiatedAbort(b"bye"),)


@pytest.mark.parametrize("role", ROLES)
async def test_we_abort(c_peer: Path, role: Role) -> None:
    async with associated(role, c_peer, *REPORT) as (association, peer):
        await association.messages.send(Message(0, 51, b"hello"))
        await peer.expect("message")
        association.abort("enough of this")
        told = await peer.expect("abort")
        assert b"enough of this" in bytes.fromhex(told["chunk"])
        assert told["cause"] == UserInitiatedAbort.code
        assert (await peer.summary())["ending"] == "lost"


async def test_nobody_listens_at_that_port(c_peer: Path) -> None:
    # INIT -> a program that has the UDP port, but no listener at this SCTP port: <- ABORT
    here, there = free_udp_ports(2)
    with trio.fail_after(TIME_LIMIT):
        async with run_c_peer(c_peer, "--udp", there, "--peer-udp", here, "--answer-strangers"):
            with pytest.raises(HandshakeFailed, match="refused"):
                async with connected(here, there, config=CONFIG.replace(remote_port=4242)):
                    pass


# -- supervision


@pytest.mark.parametrize("idle", [True, False])
async def test_the_peer_is_killed(c_peer: Path, idle: bool) -> None:
    config = QUICK.replace(association_max_retrans=3, hb_interval=0.1 if idle else 30.0)
    async with associated("connect", c_peer, config=config) as (association, peer):
        peer.process.kill()
        await peer.process.wait()
        if not idle:
            await association.messages.send(Message(0, 51, b"is anybody there?"))
        with trio.fail_after(TIME_LIMIT), pytest.raises(AssociationLost):
            await association.messages.receive()
        await association.aclose()  # a failure is told once
    ending = await ending_of(association)
    assert ending.reason is CloseReason.TIMED_OUT
    assert ending.undelivered_messages == (0 if idle else 1)


async def test_heartbeats_both_ways(c_peer: Path) -> None:
    here, there = free_udp_ports(2)
    # Neither end gives the other up when both wait for a processor.
    timers = ("--heartbeat", 50, "--rto-min", 500, "--rto-max", 10_000)
    config = QUICK.replace(hb_interval=0.05, rto_max=10.0)
    with trio.fail_after(TIME_LIMIT):
        async with (
            run_c_peer(c_peer, "--udp", there, "--peer-udp", here, *timers) as peer,
            open_relay(here, there) as relay,
            connected(0, relay.port, config=config) as association,
        ):

            def answers() -> int:
                chunks = chain.from_iterable(map(decode_chunks, relay.came[0]))
                return sum(isinstance(chunk, HeartbeatAck) for chunk in chunks)

            statistics = association.statistics()
            while statistics.heartbeats_acknowledged < 3 or statistics.error_count or answers() < 3:
                await trio.sleep(0.05)
                statistics = association.statistics()
            assert statistics.srtt is not None
            await association.aclose()
            assert (await peer.summary())["heartbeats_acknowledged"] >= 2


@pytest.mark.parametrize("role", ROLES)
async def test_the_peer_restarts(c_peer: Path, role: Role) -> None:
    # It is killed and comes back at the same ports with a new INIT.
    here, there = free_udp_ports(2)
    options = ("--udp", there, "--peer-udp", here, *COMMANDS)
    connect = (*options, "--connect", "127.0.0.1")
    # However long the second takes to come; what we repeat should not come before its INIT.
    patient = CONFIG.replace(association_max_retrans=1000)

    async def show_restart(association: Association, first: JsonPeer) -> None:
        first.process.kill()
        await first.process.wait()
        await association.messages.send(Message(0, 51, b"to nobody"))
        async with run_c_peer(c_peer, *connect) as second:
            async for event in association.events:
                if event == AssociationRestarted(1):
                    break
            await second.command("text 1 51 here I am again")
            assert (await association.messages.receive()).sequence_number == 0
            await association.messages.send(Message(0, 51, b"welcome back"))
            assert (await second.expect("message"))["ssn"] == 0
            await association.aclose()
            assert (await second.summary())["ending"] == "shutdown"

    with trio.fail_after(TIME_LIMIT):
        if role == "connect":
            async with (
                run_c_peer(c_peer, *options) as first,
                connected(here, there, config=patient) as association,
            ):
                await show_restart(association, first)
        else:
            async with (
                listening(here, config=patient) as associations,
                run_c_peer(c_peer, *connect) as first,
            ):
                association = await associations.receive()
                await show_restart(association, first)
    await assert_shut_down(association)


async def test_we_restart(c_peer: Path) -> None:
    # The network is cut while our first association goes, so that only INIT tells of the second.
    here, there = free_udp_ports(2)
    with trio.fail_after(TIME_LIMIT):
        async with (
            run_c_peer(c_peer, "--udp", there, "--peer-udp", here, *COMMANDS) as peer,
            open_relay(here, there) as relay,
        ):
            async with connected(0, relay.port) as association:
                await peer.command("text 0 51 one")
                await association.messages.receive()
                relay.cut(True)
                association.abort()
            relay.cut(False)
            async with connected(0, relay.port) as association:
                await peer.expect("restart")
                await peer.command("text 0 51 two")
                assert (await association.messages.receive()).sequence_number == 0
            assert (await peer.summary())["ending"] == "shutdown"
