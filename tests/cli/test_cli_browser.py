"""``trio-sctp browser``: what its server does for whoever opens the right channels, and its HTTP."""

from __future__ import annotations

import json
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.support.commands import Program, run_to_end, run_trio_sctp, trio_sctp_command
from tests.support.signalling import connected_by_sdp, http
from trio_sctp import Association, AssociationError, DataChannel, open_rtc_endpoint
from trio_sctp.cli.files import PROTOCOL, Header, Progress, receive_file, send_file


@asynccontextmanager
async def site(*arguments: str | Path, errors: Path | None = None) -> AsyncIterator[Site]:
    """The command, running."""
    async with trio_sctp_command("browser", "--port", "0", *arguments, errors=errors) as server:
        found = re.fullmatch(
            r"browser: (http://127\.0\.0\.1:\d+/) \(UDP port \d+\)", await server.line()
        )
        assert found is not None
        yield Site(server, found[1])


class Site:
    def __init__(self, server: Program, url: str) -> None:
        self.server = server
        self.url = url
        self.session = f"{url}session"


async def note(channel: DataChannel) -> dict[str, object]:
    said: dict[str, object] = json.loads(await channel.receive())
    return said


async def test_echo_with_any_reliability() -> None:
    async with site() as running, connected_by_sdp(running.session) as association:
        choices: list[dict[str, Any]] = [{}, {"ordered": False, "max_retransmits": 0}]
        for options in choices:
            async with association.open_channel("x", protocol="echo", **options) as channel:
                for value in ("grüße", b"\x00" * 500):
                    await channel.send(value)
                    assert await channel.receive() == value


async def test_a_channel_for_nothing_known_is_closed() -> None:
    async with (
        site() as running,
        connected_by_sdp(running.session) as association,
        association.open_channel("x", protocol="nonsense") as channel,
    ):
        with pytest.raises(trio.EndOfChannel):
            await channel.receive()


async def test_chat_between_two() -> None:
    async with (
        site() as running,
        connected_by_sdp(running.session) as one,
        connected_by_sdp(running.session) as other,
        one.open_channel("chat", protocol="chat") as ada,
    ):
        assert await note(ada) == {"you": 1, "said": []}
        assert await note(ada) == {"people": [{"id": 1, "name": "Guest 1"}]}
        await ada.send(json.dumps({"name": " Ada ", "text": "hello"}))
        assert await note(ada) == {"people": [{"id": 1, "name": "Ada"}]}
        said = {"from": 1, "name": "Ada", "text": "hello"}
        assert await note(ada) == {"said": [said]}
        async with other.open_channel("chat", protocol="chat") as grace:
            assert await note(grace) == {"you": 2, "said": [said]}
            people = [{"id": 1, "name": "Ada"}, {"id": 2, "name": "Guest 2"}]
            assert await note(grace) == await note(ada) == {"people": people}
            await grace.send(json.dumps({"text": "x" * 5000}))
            cut = {"said": [{"from": 2, "name": "Guest 2", "text": "x" * 1000}]}
            assert await note(grace) == await note(ada) == cut
        assert await note(ada) == {"people": [{"id": 1, "name": "Ada"}]}


@pytest.mark.parametrize("nonsense", ["", "[]", "{", "[" * 100_000, b"\xff"])
async def test_what_is_no_note_closes_the_channel(nonsense: str | bytes) -> None:
    async with site() as running, connected_by_sdp(running.session) as association:
        for protocol in ("chat", "flood"):
            async with association.open_channel("x", protocol=protocol) as channel:
                await channel.send(nonsense)
                async for _ in channel:
                    pass  # until it ends
        async with association.open_channel("x", protocol="flood") as channel:
            await channel.send('{"size": 10, "seconds": "many"}')
            with pytest.raises(trio.EndOfChannel):
                await channel.receive()


async def test_throughput_to_the_page() -> None:
    async with (
        site() as running,
        connected_by_sdp(running.session) as association,
        association.open_channel("x", protocol="flood") as channel,
    ):
        await channel.send(json.dumps({"size": 10_000, "seconds": 0.2}))
        sizes = {len(message) async for message in channel}
        assert sizes == {10_000}


async def test_throughput_from_the_page() -> None:
    async with (
        site() as running,
        connected_by_sdp(running.session) as association,
        association.open_channel("x", protocol="count") as channel,
    ):
        for _ in range(100):
            await channel.send(bytes(1000))
        while (await note(channel))["bytes"] != 100_000:
            pass


async def test_files_both_ways(tmp_path: Path) -> None:
    content = bytes(range(251)) * 10_000
    (tmp_path / "mine").mkdir()
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / ".hidden").write_text("")
    mine = tmp_path / "mine" / "a.bin"
    mine.write_bytes(content)
    async with (
        site("--directory", shared) as running,
        connected_by_sdp(running.session) as association,
        association.open_channel("files", protocol="files") as watching,
    ):
        assert await note(watching) == {"files": []}
        async with association.open_channel("a.bin", protocol=PROTOCOL) as channel:
            header = Header("../a.bin", len(content))
            await send_file(channel.as_stream(), mine, header, lambda _: None)
        assert (shared / "a.bin").read_bytes() == content
        assert await note(watching) == {"files": [{"name": "a.bin", "size": len(content)}]}
        assert await running.server.line() == f"received a.bin: {len(content)} bytes, checked"
        path, _ = await fetch(association, "a.bin", tmp_path)
        assert path.read_bytes() == content
        assert (await running.server.line()).startswith("sent a.bin")
        for name in (".hidden", "../mine/a.bin", "nothing"):
            async with association.open_channel(name, protocol="fetch") as channel:
                assert b"there is no such file" in b"".join(
                    [piece async for piece in channel.as_stream()]
                )


async def fetch(association: Association, name: str, directory: Path) -> tuple[Path, Header]:
    async def announced(_: Header) -> Progress:
        await trio.lowlevel.checkpoint()
        return lambda _: None

    async with association.open_channel(name, protocol="fetch") as channel:
        return await receive_file(channel.as_stream(), directory, announced)


async def test_a_file_that_is_too_large_is_refused() -> None:
    async with (
        site() as running,
        connected_by_sdp(running.session) as association,
        association.open_channel("x", protocol=PROTOCOL) as channel,
    ):
        header = json.dumps({"name": "x", "size": 10**15}).encode()
        await channel.send(len(header).to_bytes(4, "big") + header)
        answer = await channel.receive()
        assert b"not taken" in (answer if isinstance(answer, bytes) else answer.encode())


async def test_figures_of_the_connection() -> None:
    async with (
        site() as running,
        connected_by_sdp(running.session) as association,
        association.open_channel("x", protocol="figures") as channel,
    ):
        figures = await note(channel)
        assert isinstance(figures["packets"], int)
        assert figures["retransmitted"] == 0
        await note(channel)


async def test_over_a_bad_network() -> None:
    """The round trip has the delay of both ways, and what is lost arrives all the same."""
    async with (
        site() as running,
        connected_by_sdp(f"{running.session}?delay=30&jitter=5&loss=3") as association,
        association.open_channel("x", protocol="echo") as channel,
    ):
        for number in range(20):
            began = trio.current_time()
            await channel.send(str(number))
            assert await channel.receive() == str(number)
            assert trio.current_time() - began > 0.06


async def test_the_files_of_the_page() -> None:
    async with site() as running:
        page = await http(running.url)
        assert page.status == 200
        assert "default-src 'self'" in page.headers["content-security-policy"]
        named = re.findall(r'(?:src|href)="([^"]+)"', page.body)
        assert named
        for name in named:
            assert (await http(running.url + name)).status == 200
        assert (await http(f"{running.url}../site.py")).status == 404
        assert (await http(f"{running.url}%2e%2e/site.py")).status == 404


async def test_what_is_no_offer_is_refused() -> None:
    sdp = {"content_type": "application/sdp"}
    async with site() as running:
        assert (await http(running.session, b"nonsense", **sdp)).status == 400
        assert (await http(running.session, b"\xff", **sdp)).status == 400
        assert (await http(running.session, b"v=0\r\n", content_type="text/plain")).status == 415
        assert (await http(running.session, b"x" * 100_000, **sdp)).status == 413
        elsewhere = await http(running.session, b"v=0\r\n", origin="http://example.org", **sdp)
        assert elsewhere.status == 403
        for query in ("delay=x", "delay=1e9", "loss=101", "loss=nan", "jitter=-1"):
            async with open_rtc_endpoint() as endpoint:
                peer = await endpoint.offer()
                offer = peer.local_description.encode()
                assert (await http(f"{running.session}?{query}", offer, **sdp)).status == 400
                await peer.aclose()


async def test_an_interrupt_is_its_normal_end_and_pages_are_told(tmp_path: Path) -> None:
    errors = tmp_path / "errors"
    async with site(errors=errors) as running:
        async with (
            connected_by_sdp(running.session) as association,
            association.open_channel("x", protocol="echo") as channel,
        ):
            await channel.send("x")
            await channel.receive()
            running.server.process.send_signal(signal.SIGINT)
            with trio.fail_after(25), pytest.raises(AssociationError):
                await association.listen().accept()
        assert await running.server.everything() == ""
        assert running.server.process.returncode == 0
        assert re.sub(r"\S+:\d+", "PEER", errors.read_text()) == "PEER came\nPEER left\n"


async def test_a_port_in_use() -> None:
    async with site() as running:
        port = running.url.split(":")[2].strip("/")
        result = await run_trio_sctp("browser", "--port", port)
        assert result.returncode == 1
        assert b"in use" in result.stderr
        assert len(result.stderr.splitlines()) == 1


async def test_without_the_extra_it_says_what_to_install() -> None:
    hide = (
        "import sys; sys.modules['hypercorn'] = None; sys.argv[1:] = ['browser'];"
        "from trio_sctp.cli import main; main()"
    )
    result = await run_to_end([sys.executable, "-c", hide])
    assert result.returncode == 1
    assert b"pip install 'trio-sctp[cli,web]'" in result.stderr
