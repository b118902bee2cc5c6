"""Every example is run as a reader would run it, over real UDP on loopback."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import math
import os
import re
import signal
import socket
import struct
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

import trio_sctp
from tests.support.commands import ROOT, Program, program, run_to_end
from tests.support.signalling import connected, post_json
from trio_sctp.testing import open_association_pair

EXAMPLES = ROOT / "examples"


async def run_example(name: str, *arguments: str) -> str:
    result = await run_to_end([sys.executable, str(EXAMPLES / name), *arguments])
    assert result.returncode == 0, result.stderr.decode()
    assert result.stderr == b""
    return result.stdout.decode()


async def test_echo_server_and_client() -> None:
    async with program(sys.executable, str(EXAMPLES / "echo_server.py"), "0") as server:
        port = await server.port()
        said = await run_example("echo_client.py", str(port))
        assert sorted(said.splitlines()) == ["farewell: 'good bye'", "greeting: 'hello'"]
        server.process.send_signal(signal.SIGINT)
        await server.everything()
        assert server.process.returncode == 0


async def test_many_peers() -> None:
    assert (await run_example("many_peers.py", "10")).startswith("10 visitors heard each other")


async def test_file_transfer(tmp_path: Path) -> None:
    content = bytes(range(256)) * 4000
    (tmp_path / "file").write_bytes(content)
    said = await run_example("file_transfer.py", str(tmp_path / "file"))
    digest = hashlib.sha256(content).hexdigest()
    assert said == f"file: {len(content)} bytes, SHA-256 {digest}\n"


async def test_plain_sctp() -> None:
    said = (await run_example("plain_sctp.py")).splitlines()
    assert said[-1] == "very well"
    in_order = [line for line in said if line.startswith("stream 7")]
    assert [line.split(": ")[1].split(",")[0] for line in in_order] == [
        "first",
        "second",
        "how are you?",
    ]


async def test_virtual_time_test() -> None:
    said = await run_example("virtual_time_test.py")
    assert said.count("passed") == 2


async def test_virtual_time_test_under_pytest() -> None:
    command = [sys.executable, "-m", "pytest", "-q", str(EXAMPLES / "virtual_time_test.py")]
    result = await run_to_end(command)
    assert result.returncode == 0, result.stdout.decode()
    assert b"2 passed" in result.stdout


@asynccontextmanager
async def web_example(name: str) -> AsyncIterator[tuple[Program, str]]:
    """A server that browsers use, and its address; it ends by an interrupt with nothing to say."""
    async with program(sys.executable, str(EXAMPLES / name), "--port", "0") as server:
        yield server, (await server.line()).partition(",")[0]
        server.process.send_signal(signal.SIGINT)
        assert await server.everything() == ""
        assert server.process.returncode == 0


async def test_webrtc_echo() -> None:
    async with web_example("webrtc_echo.py") as (server, url):
        async with connected(url + "/offer") as association:
            async with association.open_channel("first") as channel:
                for value in ("", "hello", b"", bytes(100_000)):
                    await channel.send(value)
                    assert await channel.receive() == value
            assert (await server.line()).endswith(": connected")
            assert (await server.line()).endswith(": channel 'first'")
        assert "error" in await post_json(url + "/offer", {"type": "offer", "sdp": "nonsense"})
        config = trio_sctp.Config(max_message_size=1000)
        async with (
            connected(url + "/offer", config=config) as association,
            association.open_channel() as other,
            association.open_channel() as channel,
        ):
            await channel.send("longer than what may come back" * 100)
            with pytest.raises(trio.EndOfChannel):
                await channel.receive()
            await other.send("this one goes on")
            assert await other.receive() == "this one goes on"
            assert "channel" in [await server.line() for _ in range(3)][-1]


@pytest.mark.parametrize("name", ["webrtc_echo.py", "webrtc_workers.py"])
async def test_a_port_that_is_taken_is_said_in_one_line(name: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        result = await run_to_end([sys.executable, str(EXAMPLES / name), "--port", port])
    assert result.returncode == 1
    (line,) = result.stderr.decode().splitlines()
    assert "already in use" in line


async def test_webrtc_workers() -> None:
    """Each answers offers with a port of its own; one that is killed is replaced."""
    path = str(EXAMPLES / "webrtc_workers.py")
    async with program(sys.executable, path, "--workers", "2", "--port", "0") as server:
        url = (await server.line()).partition(",")[0]
        workers = dict([worker_and_port(await server.line()) for _ in range(2)])
        first = await who_echoes(url)
        taken = {port: pid for pid, port in workers.items()}[first]
        os.kill(taken, signal.SIGKILL)
        del workers[taken]
        pid, port = worker_and_port(await server.line())
        assert pid not in workers
        assert await who_echoes(url) in {port, *workers.values()}
        server.process.send_signal(signal.SIGTERM)
        assert await server.everything() == ""  # so the workers have ended, too
        assert server.process.returncode == 0


async def who_echoes(url: str) -> int:
    """The port of the worker that answers."""
    async with connected(url + "/offer") as association, association.open_channel() as channel:
        await channel.send("hello")
        assert await channel.receive() == "hello"
        assert isinstance(association.peer_address, tuple)
        return int(association.peer_address[1])


def worker_and_port(line: str) -> tuple[int, int]:
    found = re.fullmatch(r"process (\d+): UDP port (\d+)", line)
    assert found is not None, line
    return int(found[1]), int(found[2])


async def test_chat_room() -> None:
    async with (
        web_example("chat_room.py") as (_, url),
        connected(url + "/offer") as one,
        connected(url + "/offer") as other,
        one.open_channel("room") as ada,
    ):
        for nonsense in ("nothing", "[]", '{"name": "x"}', b"\xff"):
            await ada.send(nonsense)
        await ada.send(json.dumps({"name": "Ada", "text": " hello ", "more": 1}))
        hello = {"name": "Ada", "text": "hello"}
        assert json.loads(await ada.receive()) == hello
        async with other.open_channel("room") as grace:
            assert json.loads(await grace.receive()) == hello  # who comes late is told
            await grace.send(json.dumps({"name": "Grace", "text": "x" * 10_000}))
            for channel in (ada, grace):
                cut = {"name": "Grace", "text": "x" * 500}
                assert json.loads(await channel.receive()) == cut
        assert "error" in await post_json(url + "/offer", {"sdp": "nonsense"})


async def test_game_state() -> None:
    player, state = struct.Struct("!Iff"), struct.Struct("!II")
    options: dict[str, Any] = {"ordered": False, "max_retransmits": 0}

    async def receive(channel: trio_sctp.DataChannel) -> tuple[int, int, dict[int, Any]]:
        message = await channel.receive()
        assert isinstance(message, bytes)
        tick, me = state.unpack_from(message)
        everybody = player.iter_unpack(message[state.size :])
        return tick, me, {number: (x, y) for number, x, y in everybody}

    async with (
        web_example("game_state.py") as (_, url),
        connected(url + "/offer") as one,
        connected(url + "/offer") as other,
        one.open_channel("game", **options) as ada,
        other.open_channel("game", **options) as grace,
    ):
        before, me, _ = await receive(ada)
        await ada.send(b"nonsense!")
        await ada.send(struct.pack("!ff", math.nan, 2.0))
        await ada.send(struct.pack("!ff", 0.25, 0.75))
        there = (0.0, 0.0)
        while math.dist(there, (0.25, 0.75)) > 0.001:
            tick, _, everybody = await receive(grace)
            there = everybody.get(me, there)
        assert tick > before
        assert len(everybody) == 2


async def test_http_over_channel(tmp_path: Path) -> None:
    for number in range(10):
        (tmp_path / f"{number}.bin").write_bytes(bytes(number * 100_000))
    said = (await run_example("http_over_channel.py", str(tmp_path))).splitlines()
    files = [f"/{number}.bin: 200, {number * 100_000} bytes" for number in range(10)]
    again = ["/missing: 404, 0 bytes", "/../secret: 404, 0 bytes", files[0]]
    assert sorted(said) == sorted(files + again)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_no_example_is_forgotten(path: Path) -> None:
    if "__main__" in path.read_text():
        tested = {"echo_server", "echo_client", *(name.removeprefix("test_") for name in globals())}
        assert path.stem in tested
        assert f"python examples/{path.name}" in path.read_text()
    assert f"`{path.name}`" in (ROOT / "docs" / "examples.md").read_text()


async def test_http_over_channel_outlives_what_is_no_request(tmp_path: Path) -> None:
    """Each had ended the whole server."""
    (tmp_path / "file").write_bytes(b"content")
    path = EXAMPLES / "http_over_channel.py"
    spec = importlib.util.spec_from_file_location("http_over_channel", path)
    assert spec is not None
    assert spec.loader is not None
    example: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    head = "Host: x\r\nConnection: close\r\n\r\n"
    async with open_association_pair() as (client, server), trio.open_nursery() as nursery:
        nursery.start_soon(example.handle, trio.Path(tmp_path), server)
        async with client.open_channel(ordered=False) as channel:
            with pytest.raises(trio.EndOfChannel):
                await channel.receive()
        for request, answer in (
            (f"HEAD /file HTTP/1.1\r\n{head}", b"405"),
            (f"GET /{'x' * 5000} HTTP/1.1\r\n{head}", b""),
            ("nonsense\r\n\r\n", b""),
            (f"GET /file HTTP/1.1\r\n{head}", b"content"),
        ):
            async with client.open_channel() as channel:
                await channel.send(request)
                said = b"".join([piece async for piece in channel if isinstance(piece, bytes)])
                assert answer in said
        nursery.cancel_scope.cancel()
