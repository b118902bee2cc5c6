"""Large transfers to and from usrsctp, each byte compared, in both roles and to the graceful end."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
import trio

from tests.support.commands import TIME_LIMIT
from tests.support.live_peers import (
    Digest,
    free_udp_ports,
    run_c_peer,
    run_program,
    wait_for_usrsctp_listener,
)
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
    listening,
)
from trio_sctp import Association, Message

MESSAGES, SIZE = 6104, 16384  # 100 MB


async def send_messages(
    association: Association, count: int, size: int, digest: Digest | None = None
) -> None:
    random = Random(count)
    for i in range(count):
        payload = random.randbytes(size)
        if digest is not None:
            digest.add(payload)
        await association.messages.send(Message(i % 8, 51, payload))


async def receive_messages(association: Association, count: int) -> Digest:
    digest = Digest()
    for _ in range(count):
        digest.add((await association.messages.receive()).payload)
    return digest


@pytest.mark.parametrize("role", ROLES)
async def test_100_megabytes_each_way_at_once(c_peer: Path, role: Role) -> None:
    options = ("--verify", "--job", "send", "--linger", "--count", MESSAGES, "--size", SIZE)
    async with associated(role, c_peer, *BIG_BUFFERS, *options) as (association, peer):
        sent = Digest()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send_messages, association, MESSAGES, SIZE, sent)
            received = await receive_messages(association, MESSAGES)
        await association.aclose()
        summary = await peer.summary()
    await assert_shut_down(association)
    assert summary["ending"] == "shutdown"
    assert sent.size == received.size == 100_007_936
    # Messages of several streams may overtake each other, if packets were lost.
    assert sent.in_any_order() == (MESSAGES, sent.size, summary["received"]["sum"])
    assert received.in_order() == (MESSAGES, received.size, summary["sent"]["digest"])
    assert summary["checksum_errors"] == 0
    assert_nothing_dropped(association)


async def test_tsctp_sends_us_100_megabytes() -> None:
    here, there = free_udp_ports(2)
    options = ("-E", there, "-U", here, "-n", MESSAGES, "-l", SIZE)
    with trio.fail_after(TIME_LIMIT):
        async with (
            listening(here) as associations,
            run_program("tsctp", *options, "127.0.0.1") as client,
        ):
            association = await associations.receive()
            sizes = [len(message.payload) async for message in association.messages]
            await assert_shut_down(association)
            assert f"Sending of {MESSAGES} messages of length {SIZE}" in await client.wait()
    assert sizes == [SIZE] * MESSAGES


async def test_tsctp_gets_100_megabytes_from_us() -> None:
    here, there = free_udp_ports(2)
    with trio.fail_after(TIME_LIMIT):
        async with run_program("tsctp", "-E", there, "-U", here, "-L", "127.0.0.1") as server:
            await wait_for_usrsctp_listener(there, 5001)
            async with connected(here, there) as association:
                await send_messages(association, MESSAGES, SIZE)
            await assert_shut_down(association)
            assert (await server.line()).startswith(f"{SIZE}, {MESSAGES}, ")


async def test_echo_server_returns_100_megabytes() -> None:
    here, there = free_udp_ports(2)
    count, size = 9770, 10240  # longer ones it would cut
    with trio.fail_after(TIME_LIMIT):
        async with run_program("echo_server", there, here):
            await wait_for_usrsctp_listener(there, 7)
            sent = Digest()
            async with (
                connected(here, there, config=CONFIG.replace(remote_port=7)) as association,
                trio.open_nursery() as nursery,
            ):
                nursery.start_soon(send_messages, association, count, size, sent)
                received = await receive_messages(association, count)
            await assert_shut_down(association)
    assert sent.in_any_order() == received.in_any_order()


async def test_a_bad_network_between_us(c_peer: Path) -> None:
    here, there = free_udp_ports(2)
    ports = ("--udp", there, "--peer-udp", here)
    timers = ("--rto-min", 50, "--rto-max", 200)
    job = ("--verify", "--job", "send", "--linger", "--count", 600, "--size", 3000)
    with trio.fail_after(TIME_LIMIT):
        async with (
            run_c_peer(c_peer, *ports, *timers, *job) as peer,
            open_relay(here, there, loss=0.05, reorder=0.02, duplicate=0.02, corrupt=0.02) as relay,
            connected(0, relay.port, config=QUICK) as association,
        ):
            sent = Digest()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(send_messages, association, 600, 3000, sent)
                received = await receive_messages(association, 600)
            statistics = association.statistics()
            await association.aclose()
            summary = await peer.summary()
    await assert_shut_down(association)
    assert sent.in_any_order() == (600, sent.size, summary["received"]["sum"])
    assert received.in_order() == (600, received.size, summary["sent"]["digest"])
    assert statistics.retransmitted_chunks > 0
    assert statistics.dropped["bad checksum"] > 0
    assert summary["checksum_errors"] > 0
    assert summary["retransmitted"] > 0
