"""`trio-sctp echo` and `trio-sctp client`, over real UDP on loopback."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

import pytest
import trio

import trio_sctp
from tests.support.commands import assert_fails_in_one_line, run_trio_sctp, trio_sctp_command
from trio_sctp import Config, Message

SERVER = ("echo", "--udp", 0, "--host", "127.0.0.1")


async def test_data_channels_come_back_as_they_were_sent() -> None:
    async with trio_sctp_command(*SERVER) as server:
        port = await server.port()
        async with (
            trio_sctp.open_udp_association("127.0.0.1", port) as association,
            association.open_channel("one") as one,
            association.open_channel("two", ordered=False) as two,
        ):
            await one.send("text")
            await one.send(b"binary")
            await two.send(b"")
            await one.send("")
            assert [await one.receive() for _ in range(3)] == ["text", b"binary", ""]
            assert await two.receive() == b""


async def test_plain_messages_come_back_on_the_same_stream_with_the_same_ppid() -> None:
    async with trio_sctp_command(*SERVER) as server:
        port = await server.port()
        async with trio_sctp.open_udp_association(
            "127.0.0.1", port, data_channels=False
        ) as association:
            for stream_id, ppid, size in ((0, 0, 1), (7, 4711, 5000), (65534, 2**32 - 1, 100_000)):
                await association.messages.send(Message(stream_id, ppid, bytes(size)))
                back = await association.messages.receive()
                assert (back.stream_id, back.ppid, back.payload) == (stream_id, ppid, bytes(size))


async def test_a_message_that_cannot_be_answered_ends_nothing() -> None:
    """The peer takes messages on one stream and sends on another: the whole server was gone."""
    async with trio_sctp_command(*SERVER) as server:
        port = await server.port()
        async with trio_sctp.open_udp_association(
            "127.0.0.1", port, data_channels=False, config=Config(inbound_streams=1)
        ) as association:
            await association.messages.send(Message(5, 1, b"to nowhere"))
            await association.messages.send(Message(0, 1, b"and back"))
            assert (await association.messages.receive()).payload == b"and back"


async def test_a_peer_may_use_both_kinds_at_once() -> None:
    async with trio_sctp_command(*SERVER) as server:
        port = await server.port()
        async with (
            trio_sctp.open_udp_association("127.0.0.1", port, plain_messages=True) as association,
            association.open_channel() as channel,
        ):
            await association.messages.send(Message(101, 9, b"plain"))
            await channel.send("on a channel")
            assert await channel.receive() == "on a channel"
            assert (await association.messages.receive()).payload == b"plain"


async def test_the_sctp_port_can_be_chosen() -> None:
    async with trio_sctp_command(*SERVER, "--sctp-port", 7) as server:
        line = await server.line()
        assert "SCTP port 7" in line
        port = int(line.split(":")[2].split(",")[0])
        async with trio_sctp.open_udp_association(
            "127.0.0.1", port, config=Config(remote_port=7)
        ) as association:
            assert association.config.remote_port == 7


async def test_interrupting_the_server_tells_its_peers_and_is_no_failure(tmp_path: Path) -> None:
    async with trio_sctp_command(*SERVER, errors=tmp_path / "errors") as server:
        port = await server.port()
        async with trio_sctp.open_udp_association("127.0.0.1", port) as association:
            channel = association.open_channel()
            await channel.send("there?")
            await channel.receive()
            server.process.send_signal(signal.SIGINT)
            with pytest.raises((trio.EndOfChannel, trio_sctp.AssociationAborted)):
                await channel.receive()
            await association.wait_closed()
        assert await server.everything() == ""
        assert server.process.returncode == 0
        said = (tmp_path / "errors").read_text().splitlines()
        assert [line.split()[1] for line in said] == ["came", "left:"]


async def test_a_peer_that_breaks_off_does_not_disturb_others() -> None:
    async with trio_sctp_command(*SERVER) as server:
        port = await server.port()
        async with trio_sctp.open_udp_association("127.0.0.1", port) as faithful:
            async with trio_sctp.open_udp_association("127.0.0.1", port) as association:
                await association.open_channel().send(bytes(500_000))
                association.abort()
            async with faithful.open_channel() as channel:
                await channel.send("still there?")
                assert await channel.receive() == "still there?"


@pytest.mark.parametrize("options", [(), ("--plain",)], ids=["channel", "plain"])
async def test_the_client_sends_lines_and_prints_what_returns(options: tuple[str, ...]) -> None:
    lines = [f"line {number} ü" for number in range(2000)]
    async with trio_sctp_command(*SERVER) as server:
        port = await server.port()
        given = "\n".join(lines).encode()
        result = await run_trio_sctp("client", *options, "127.0.0.1", port, stdin=given)
    assert result.returncode == 0, result.stderr
    assert result.stdout.decode().splitlines() == lines
    assert result.stderr == b""


@pytest.mark.parametrize("options", [(), ("--plain",)], ids=["channel", "plain"])
async def test_the_client_takes_empty_lines_and_no_lines(options: tuple[str, ...]) -> None:
    async with trio_sctp_command(*SERVER) as server:
        port = await server.port()
        for given in (b"", b"\n", b"a\n\nb\n"):
            result = await run_trio_sctp("client", *options, "127.0.0.1", port, stdin=given)
            assert (result.returncode, result.stdout) == (0, given)


async def test_the_client_is_interrupted_with_the_status_of_a_signal() -> None:
    async with trio_sctp_command(*SERVER) as server:
        port = await server.port()
        async with trio_sctp_command("client", "127.0.0.1", port) as client:
            assert client.process.stdin is not None
            await client.process.stdin.send_all(b"hello\n")
            assert await client.line() == "hello"
            client.process.send_signal(signal.SIGINT)
            await client.everything()
            assert client.process.returncode == 128 + signal.SIGINT


async def test_the_client_says_when_the_server_goes_away(tmp_path: Path) -> None:
    async with trio_sctp_command(*SERVER) as server:
        port = await server.port()
        errors = tmp_path / "errors"
        async with trio_sctp_command("client", "127.0.0.1", port, errors=errors) as client:
            assert client.process.stdin is not None
            await client.process.stdin.send_all(b"hello\n")
            await client.line()
            server.process.send_signal(signal.SIGTERM)
            await client.everything()
            assert client.process.returncode == 1
            assert errors.read_text() in {
                "Error: the peer ended the conversation\n",
                "Error: the peer aborted the association\n",
            }


async def test_a_silent_peer_is_given_up_after_the_time_out() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        result = await run_trio_sctp("client", "127.0.0.1", port, "--timeout", 0.2)
    assert_fails_in_one_line(result, f"127.0.0.1 port {port} did not answer within 0.2 seconds")


async def test_a_port_where_nobody_listens_is_given_up_after_the_time_out() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    result = await run_trio_sctp("client", "127.0.0.1", port, "--timeout", 0.2)
    assert_fails_in_one_line(result, f"127.0.0.1 port {port}")


async def test_an_unknown_host_is_told() -> None:
    result = await run_trio_sctp("client", "300.300.300.300.invalid", 9)
    assert_fails_in_one_line(result, "300.300.300.300.invalid")


@pytest.mark.parametrize(
    "command", [("echo", "--udp"), ("receive",), ("bench", "--server")], ids=lambda c: c[0]
)
async def test_a_port_in_use_is_told(command: tuple[str, ...]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        result = await run_trio_sctp(*command, port, "--host", "127.0.0.1")
    assert_fails_in_one_line(result, f"UDP port {port}", "in use")


async def test_the_address_is_printed_for_ipv6_too() -> None:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("no IPv6 here")
    async with trio_sctp_command("echo", "--udp", 0, "--host", "::1") as server:
        line = await server.line()
        assert "UDP [::1]:" in line
        port = int(line.split("]:")[1].split(",")[0])
        result = await run_trio_sctp("client", "::1", port, stdin=b"six\n")
        assert result.stdout == b"six\n"


async def test_what_a_peer_says_cannot_steer_the_terminal() -> None:
    async def handle(association: trio_sctp.Association) -> None:
        association.abort("\x1b[2J\nbye")
        await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        endpoint = await nursery.start(trio_sctp.serve_udp, handle, 0)
        async with trio_sctp_command("client", "127.0.0.1", endpoint.port) as client:
            await client.everything()
        result = await run_trio_sctp("client", "127.0.0.1", endpoint.port, stdin=b"hello")
        nursery.cancel_scope.cancel()
    assert_fails_in_one_line(result, "bye")
    assert b"\x1b" not in result.stderr
