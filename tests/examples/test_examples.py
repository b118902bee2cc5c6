"""Every example is run as a reader would run it, over real UDP on loopback."""

from __future__ import annotations

import hashlib
import json
import signal
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import trio

import trio_sctp
from tests.support.commands import ROOT, program, run_to_end

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


async def test_webrtc_echo() -> None:
    pytest.importorskip("hypercorn", reason="the extra web is not installed")
    pytest.importorskip("starlette", reason="the extra web is not installed")
    async with (
        program(sys.executable, str(EXAMPLES / "webrtc_echo.py"), "--port", "0") as server,
        trio_sctp.open_rtc_endpoint() as endpoint,
    ):
        url = (await server.line()).partition(",")[0]
        peer = await endpoint.offer()
        answer = await post(url + "/offer", {"type": "offer", "sdp": peer.local_description})
        assert answer["type"] == "answer"
        peer.accept_answer(answer["sdp"])
        async with peer as association:
            async with association.open_channel("first") as channel:
                for value in ("", "hello", b"", bytes(100_000)):
                    await channel.send(value)
                    assert await channel.receive() == value
            assert (await server.line()).endswith(": connected")
            assert (await server.line()).endswith(": channel 'first'")
        assert "error" in await post(url + "/offer", {"type": "offer", "sdp": "nonsense"})
        server.process.send_signal(signal.SIGINT)
        assert await server.everything() == ""
        assert server.process.returncode == 0


async def post(url: str, document: dict[str, str]) -> dict[str, str]:
    """By the standard library, in a thread."""

    def do() -> dict[str, str]:
        request = urllib.request.Request(url, json.dumps(document).encode())
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                answer: dict[str, str] = json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                answer = json.load(error)
        return answer

    return await trio.to_thread.run_sync(do)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_no_example_is_forgotten(path: Path) -> None:
    assert f"test_{path.stem}" in " ".join(globals()) or path.stem in {"echo_server", "echo_client"}
    assert f"python examples/{path.name}" in path.read_text()
