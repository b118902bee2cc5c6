"""usrsctp against itself: shows that the peers and the harness work, apart from our own stack."""

from __future__ import annotations

from pathlib import Path

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


@pytest.fixture
async def ports() -> list[int]:
    return free_udp_ports(2)


def test_digest_depends_on_every_bit_and_on_boundaries() -> None:
    def digest(*messages: bytes) -> Digest:
        made = Digest()
        for message in messages:
            made.add(message)
        return made

    assert digest(b"ab", b"c").in_order() != digest(b"a", b"bc").in_order()
    assert digest(b"ab", b"c").in_order() != digest(b"c", b"ab").in_order()
    assert digest(b"ab", b"c").in_any_order() == digest(b"c", b"ab").in_any_order()


async def test_c_peers_agree_on_what_passed(c_peer: Path, ports: list[int]) -> None:
    here, there = ports
    listen = ("--udp", there, "--peer-udp", here, "--verify")
    connect = ("--udp", here, "--peer-udp", there, "--connect", "127.0.0.1", "--verify")
    with trio.fail_after(TIME_LIMIT):
        async with (
            run_c_peer(c_peer, *listen) as receiver,
            run_c_peer(
                c_peer, *connect, "--job", "send", "--count", 300, "--size", 16384
            ) as sender,
        ):
            sent = await sender.summary()
            received = await receiver.summary()
    assert sent["ending"] == received["ending"] == "shutdown"
    assert received["received"]["bytes"] == 300 * 16384
    assert received["received"]["digest"] == sent["sent"]["digest"]
    assert received["checksum_errors"] == 0


async def test_c_peer_digest_is_the_one_made_here(c_peer: Path, ports: list[int]) -> None:
    here, there = ports
    with trio.fail_after(TIME_LIMIT):
        async with (
            run_c_peer(
                c_peer, "--udp", there, "--peer-udp", here, "--verify", "--report"
            ) as receiver,
            run_c_peer(
                c_peer,
                *("--udp", here, "--peer-udp", there, "--connect", "127.0.0.1"),
                *("--job", "send", "--count", 20, "--size", 63),
            ),
        ):
            summary = await receiver.summary()
    digest = Digest()
    for event in receiver.events:
        if event["event"] == "message":
            digest.add(bytes.fromhex(event["head"]))
    assert digest.in_order() == (20, 20 * 63, summary["received"]["digest"])
    assert digest.in_any_order() == (20, 20 * 63, summary["received"]["sum"])


async def test_c_peer_obeys_commands(c_peer: Path, ports: list[int]) -> None:
    here, there = ports
    with trio.fail_after(TIME_LIMIT):
        async with (
            run_c_peer(c_peer, "--udp", there, "--peer-udp", here, "--report") as receiver,
            run_c_peer(
                c_peer,
                *("--udp", here, "--peer-udp", there, "--connect", "127.0.0.1"),
                *("--job", "commands"),
            ) as sender,
        ):
            await sender.command("text 3 51 over here")
            message = await receiver.expect("message")
            assert bytes.fromhex(message["head"]) == b"over here"
            assert (message["stream"], message["ppid"]) == (3, 51)
            await sender.command("reset out 3")
            reset = await receiver.expect("stream reset")
            assert reset["incoming"]
            assert reset["streams"] == [3]
            await sender.no_more_commands()
            assert (await receiver.summary())["ending"] == "shutdown"


async def test_c_peer_echoes_and_measures_round_trips(c_peer: Path, ports: list[int]) -> None:
    here, there = ports
    with trio.fail_after(TIME_LIMIT):
        async with (
            run_c_peer(c_peer, "--udp", there, "--peer-udp", here, "--job", "echo"),
            run_c_peer(
                c_peer,
                *("--udp", here, "--peer-udp", there, "--connect", "127.0.0.1"),
                *("--job", "ping", "--count", 100, "--size", 64),
            ) as client,
        ):
            assert (await client.expect("round trips"))["count"] == 100


async def test_tsctp_counts_what_tsctp_sends(ports: list[int]) -> None:
    here, there = ports
    with trio.fail_after(TIME_LIMIT):
        async with run_program("tsctp", "-E", there, "-U", here, "-L", "127.0.0.1") as server:
            await wait_for_usrsctp_listener(there, 5001)
            async with run_program(
                "tsctp", "-E", here, "-U", there, "-n", 100, "-l", 5000, "127.0.0.1"
            ) as client:
                assert "Sending of 100 messages of length 5000" in await client.wait()
            assert (await server.line()).startswith("5000, 100, 100, 500000, ")


async def test_echo_server_returns_what_was_sent(c_peer: Path, ports: list[int]) -> None:
    here, there = ports
    with trio.fail_after(TIME_LIMIT):
        async with run_program("echo_server", there, here):
            await wait_for_usrsctp_listener(there, 7)
            async with run_c_peer(
                c_peer,
                *("--udp", here, "--peer-udp", there, "--peer-port", 7, "--connect", "127.0.0.1"),
                *("--job", "ping", "--count", 50, "--size", 10240, "--verify"),
            ) as client:
                summary = await client.summary()
    assert summary["received"]["digest"] == summary["sent"]["digest"]
