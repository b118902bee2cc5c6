"""User message interleaving (RFC 8260) with usrsctp, each end sending and receiving I-DATA."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
import trio

from tests.support.commands import TIME_LIMIT
from tests.support.live_peers import Digest, free_udp_ports, run_c_peer
from tests.support.udp_relay import open_relay
from tests.support.usrsctp_association import (
    BIG_BUFFERS,
    CONFIG,
    QUICK,
    ROLES,
    Role,
    assert_nothing_dropped,
    assert_shut_down,
    associated,
    connected,
)
from trio_sctp import Association, IncomingStreamsReset, Message, OutgoingStreamsReset

INTERLEAVING = (
    "--interleaving",
    *BIG_BUFFERS,
)  # large enough for it to deliver messages as a whole
COMMANDS = ("--job", "commands", "--report")


def uses_interleaving(association: Association) -> bool:
    return association._core.capabilities.interleaving


async def receive(association: Association, count: int) -> list[Message]:
    return [await association.messages.receive() for _ in range(count)]


@pytest.mark.parametrize("role", ROLES)
async def test_mixed_messages_each_way_at_once(c_peer: Path, role: Role) -> None:
    job = (
        "--verify",
        "--job",
        "send",
        "--linger",
        "--count",
        400,
        "--size",
        60_000,
        "--streams",
        16,
    )
    async with associated(role, c_peer, *INTERLEAVING, *job) as (association, peer):
        assert uses_interleaving(association)
        sent, received = Digest(), Digest()
        random = Random(role)

        async def send_from(stream_id: int) -> None:
            for _ in range(50):
                payload = random.randbytes(random.choice([1, 100, 1168, 5000, 200_000]))
                sent.add(payload)
                unordered = random.random() < 0.3
                await association.messages.send(
                    Message(stream_id, 51, payload, unordered=unordered)
                )

        async with trio.open_nursery() as nursery:
            for stream_id in range(8):
                nursery.start_soon(send_from, stream_id)
            for _ in range(400):
                received.add((await association.messages.receive()).payload)
        await association.aclose()
        summary = await peer.summary()
    await assert_shut_down(association)
    assert summary["ending"] == "shutdown"
    assert sent.in_any_order() == (400, sent.size, summary["received"]["sum"])
    assert received.in_any_order() == (400, 24_000_000, summary["sent"]["sum"])
    assert_nothing_dropped(association)


@pytest.mark.parametrize("ours", [False, True])
async def test_not_used_unless_both_have_it(c_peer: Path, ours: bool) -> None:
    options = BIG_BUFFERS if ours else INTERLEAVING
    config = CONFIG.replace(interleaving=ours)
    async with associated("connect", c_peer, *options, *COMMANDS, config=config) as (
        association,
        peer,
    ):
        assert not uses_interleaving(association)
        await association.messages.send(Message(1, 51, bytes(100_000)))
        assert (await peer.expect("message"))["size"] == 100_000
        await peer.command("send 1 100000 1 1 51 0 0 0")
        assert len((await association.messages.receive()).payload) == 100_000


@pytest.mark.parametrize("role", ROLES)
async def test_a_small_message_overtakes_a_large_one(c_peer: Path, role: Role) -> None:
    async with associated(role, c_peer, *INTERLEAVING, *COMMANDS) as (association, peer):
        association.messages.set_water_marks(high=4_000_000, low=0)
        await association.messages.send(Message(1, 51, bytes(900_000)))
        await association.messages.send(Message(2, 53, b"small"))
        told = [await peer.expect("message") for _ in range(2)]
        assert [event["size"] for event in told] == [5, 900_000]
        await peer.command("send 1 900000 1 1 51 0 0 0")
        await peer.command("text 2 53 small")
        assert [len(m.payload) for m in await receive(association, 2)] == [5, 900_000]


@pytest.mark.parametrize("role", ROLES)
async def test_order_ppid_and_numbers(c_peer: Path, role: Role) -> None:
    async with associated(role, c_peer, *INTERLEAVING, *COMMANDS) as (association, peer):
        await peer.command("send 3 5000 7 1 4294967295 1 0 0")
        await peer.command("send 3 5000 7 1 0 0 0 0")
        received = await receive(association, 6)
        assert [m.ppid for m in received] == [2**32 - 1] * 3 + [0] * 3
        assert [m.sequence_number for m in received] == [
            0,
            1,
            2,
            0,
            1,
            2,
        ]  # a counter for each kind
        for n in range(3):
            await association.messages.send(Message(9, 2**32 - 1 - n, bytes(3000), unordered=True))
            await association.messages.send(Message(9, n, bytes(3000)))
        told = [await peer.expect("message") for _ in range(6)]
        for unordered, ppids in ((True, [2**32 - 1 - n for n in range(3)]), (False, [0, 1, 2])):
            events = [event for event in told if event["unordered"] is unordered]
            assert [event["ppid"] for event in events] == ppids
            # RFC 8260 §4.1: what it calls the SSN is the low half of the MID
            assert [event["ssn"] for event in events] == [0, 1, 2]


@pytest.mark.parametrize("role", ROLES)
async def test_stream_resets_begin_with_mid_0(c_peer: Path, role: Role) -> None:
    async with associated(role, c_peer, *INTERLEAVING, *COMMANDS) as (association, peer):
        await peer.command("send 3 5000 3 1 51 0 0 0")
        await peer.command("send 2 5000 3 1 51 1 0 0")
        await peer.command("reset out 3")
        assert len(await receive(association, 5)) == 5
        async for event in association.events:
            if event == IncomingStreamsReset((3,)):
                break
        assert (await peer.expect("stream reset"))["outgoing"]  # before that it refuses to send
        await peer.command("send 1 5000 3 1 51 0 0 0")
        await peer.command("send 1 5000 3 1 51 1 0 0")
        assert [m.sequence_number for m in await receive(association, 2)] == [0, 0]

        for _ in range(3):
            await association.messages.send(Message(3, 51, b"ordered"))
            await association.messages.send(Message(3, 51, b"unordered", unordered=True))
        association.reset_streams([3])
        async for event in association.events:
            if isinstance(event, OutgoingStreamsReset):
                assert event.succeeded
                break
        await association.messages.send(Message(3, 51, b"ordered"))
        await association.messages.send(Message(3, 51, b"unordered", unordered=True))
        told = [await peer.expect("message") for _ in range(8)]
        for unordered in (False, True):
            numbers = [event["ssn"] for event in told if event["unordered"] is unordered]
            assert numbers == [0, 1, 2, 0]


async def test_a_bad_network_between_us(c_peer: Path) -> None:
    here, there = free_udp_ports(2)
    options = ("--udp", there, "--peer-udp", here, "--rto-min", 50, "--rto-max", 200)
    job = ("--verify", "--job", "send", "--linger", "--count", 300, "--size", 6000, "--streams", 8)
    with trio.fail_after(TIME_LIMIT):
        async with (
            run_c_peer(c_peer, *options, *INTERLEAVING, *job) as peer,
            open_relay(here, there, loss=0.05, reorder=0.05, duplicate=0.02) as relay,
            connected(0, relay.port, config=QUICK) as association,
        ):
            assert uses_interleaving(association)
            sent, received = Digest(), Digest()

            async def send_all() -> None:
                random = Random(3)
                for n in range(300):
                    payload = random.randbytes(6000 if n % 3 else 10)
                    sent.add(payload)
                    message = Message(n % 8, 51, payload, unordered=n % 5 == 0)
                    await association.messages.send(message)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(send_all)
                for _ in range(300):
                    received.add((await association.messages.receive()).payload)
            await association.aclose()
            summary = await peer.summary()
    await assert_shut_down(association)
    assert sent.in_any_order() == (300, sent.size, summary["received"]["sum"])
    assert received.in_any_order() == (300, 1_800_000, summary["sent"]["sum"])
