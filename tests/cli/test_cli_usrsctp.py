"""The command and usrsctp's programs, which know nothing of data channels."""

from __future__ import annotations

from pathlib import Path

import trio

from tests.support.commands import TIME_LIMIT, run_trio_sctp, trio_sctp_command
from tests.support.live_peers import free_udp_ports, run_program, wait_for_usrsctp_listener


async def test_the_client_talks_to_usrsctp_s_echo_server() -> None:
    here, there = free_udp_ports(2)
    with trio.fail_after(TIME_LIMIT):
        async with run_program("echo_server", there, here):
            await wait_for_usrsctp_listener(there, 7)
            result = await run_trio_sctp(
                "client", "--plain", "--sctp-port", 7, "127.0.0.1", there, stdin=b"hello\nworld\n"
            )
    assert result.returncode == 0, result.stderr
    assert result.stdout == b"hello\nworld\n"


async def test_tsctp_talks_to_the_echo_server(tmp_path: Path) -> None:
    here, there = free_udp_ports(2)
    options = f"-E {here} -U {there} -p 5001 -n 20 -l 1000 127.0.0.1".split()
    with trio.fail_after(TIME_LIMIT):
        async with trio_sctp_command(
            "echo", "--udp", there, "--sctp-port", 5001, errors=tmp_path / "errors"
        ) as server:
            await server.line()
            async with run_program("tsctp", *options) as tsctp:
                await tsctp.wait()
            while len(said := (tmp_path / "errors").read_text().splitlines()) < 2:
                await trio.sleep(0.01)
    # How many came back is chance: tsctp does not wait for them before it shuts down.
    assert [line.split()[1] for line in said] == ["came", "left:"]
