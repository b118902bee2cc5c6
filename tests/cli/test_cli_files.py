"""`trio-sctp send` and `trio-sctp receive`: integrity, names, and what may go wrong."""

from __future__ import annotations

import json
import os
import random
import signal
import struct
from pathlib import Path

import pytest
import trio

import trio_sctp
from tests.support.commands import assert_fails_in_one_line, run_trio_sctp, trio_sctp_command
from trio_sctp.cli.failure import Failure
from trio_sctp.cli.files import PROTOCOL, Header, Progress, receive_file, safe_name, send_file
from trio_sctp.testing import open_association_pair


def receiver(directory: Path, *options: str) -> tuple[str | int | Path, ...]:
    return ("receive", 0, directory, "--host", "127.0.0.1", *options)


@pytest.mark.parametrize("size", [0, 1, 65536, 5_000_001])
async def test_a_file_arrives_intact(tmp_path: Path, size: int) -> None:
    content = random.Random(size).randbytes(size)
    source = tmp_path / "source file.bin"
    source.write_bytes(content)
    (tmp_path / "in").mkdir()
    async with trio_sctp_command(*receiver(tmp_path / "in", "--once")) as listening:
        port = await listening.port()
        result = await run_trio_sctp("send", source, "127.0.0.1", port)
        assert result.returncode == 0, result.stderr
        assert result.stdout.startswith(b"sent source file.bin")
        said = await listening.everything()
        assert listening.process.returncode == 0
    assert said.startswith(f"received source file.bin: {size} bytes")
    assert [path.name for path in (tmp_path / "in").iterdir()] == ["source file.bin"]
    arrived = tmp_path / "in" / "source file.bin"
    assert arrived.read_bytes() == content
    assert arrived.stat().st_mode == source.stat().st_mode


async def test_many_files_at_once_and_none_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("was here before")
    contents = [random.Random(number).randbytes(300_000) for number in range(4)]
    async with trio_sctp_command(*receiver(tmp_path / "in")) as listening:
        port = await listening.port()
        async with trio.open_nursery() as nursery:
            for number, content in enumerate(contents):
                source = tmp_path / str(number) / "a.txt"
                source.parent.mkdir()
                source.write_bytes(content)
                nursery.start_soon(run_trio_sctp, "send", source, "127.0.0.1", port)
        listening.process.send_signal(signal.SIGINT)
        await listening.everything()
        assert listening.process.returncode == 0
    found = {path.name: path.read_bytes() for path in (tmp_path / "in").iterdir()}
    assert found.pop("a.txt") == b"was here before"
    assert sorted(found) == ["a (2).txt", "a (3).txt", "a (4).txt", "a (5).txt"]
    assert sorted(found.values()) == sorted(contents)


async def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    result = await run_trio_sctp("send", tmp_path / "nothing", "127.0.0.1", 9)
    assert result.returncode == 2
    assert b"does not exist" in result.stderr


async def test_a_receiver_that_does_not_answer_is_told(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    result = await run_trio_sctp("send", tmp_path / "a", "127.0.0.1", 9, "--timeout", 0.2)
    assert_fails_in_one_line(result, "127.0.0.1 port 9")


async def test_sending_to_what_is_no_receiver_is_told(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    async with trio_sctp_command("echo", "--udp", 0, "--host", "127.0.0.1") as echo:
        result = await run_trio_sctp("send", tmp_path / "a", "127.0.0.1", await echo.port())
    assert_fails_in_one_line(result, "did not take it")


async def test_interrupting_the_receiver_fails_the_sender_and_leaves_no_piece(
    tmp_path: Path,
) -> None:
    with (tmp_path / "large").open("wb") as file:
        file.truncate(10**12)  # sparse: more than can be sent in the time of a test
    (tmp_path / "in").mkdir()
    errors = tmp_path / "errors"
    async with trio_sctp_command(*receiver(tmp_path / "in")) as listening:
        port = await listening.port()
        async with trio_sctp_command(
            "send", tmp_path / "large", "127.0.0.1", port, errors=errors
        ) as sender:
            while not any(path.stat().st_size for path in (tmp_path / "in").iterdir()):
                await trio.sleep(0.01)
            listening.process.send_signal(signal.SIGINT)
            await listening.everything()
            await sender.everything()
            assert sender.process.returncode == 1
            assert len(errors.read_text().splitlines()) == 1
    assert list((tmp_path / "in").iterdir()) == []


# -- the protocol, over an emulated network, with a peer that misbehaves


def ignore(added: int) -> None:
    pass


async def announced(header: Header) -> Progress:
    await trio.lowlevel.checkpoint()
    return ignore


def written(note: object) -> bytes:
    encoded = json.dumps(note).encode()
    return struct.pack("!I", len(encoded)) + encoded


async def send_raw(directory: Path, *pieces: bytes, cut_off: bool = False) -> tuple[bytes, str]:
    """Send raw bytes to `receive_file` and close; its answer and its complaint."""
    complaint = ""
    answer = b""

    async def receive(association: trio_sctp.Association) -> None:
        nonlocal complaint
        channel = await association.listen().accept()
        try:
            await receive_file(channel.as_stream(), directory, announced)
        except (Failure, trio.BrokenResourceError) as error:
            complaint = str(error)
        await channel.aclose()

    async with (
        open_association_pair() as (client, server),
        client.open_channel(protocol=PROTOCOL) as channel,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(receive, server)
        stream = channel.as_stream()
        for piece in pieces:
            await stream.send_all(piece)
        if not cut_off:
            answer = await stream.receive_some()
        await stream.aclose()
    return answer, complaint


async def test_a_file_whose_sha_256_is_wrong_is_not_kept(tmp_path: Path) -> None:
    header = written({"name": "a", "size": 5})
    answer, complaint = await send_raw(tmp_path, header, b"12345", bytes(32))
    assert b"error" in answer
    assert "SHA-256" in complaint
    assert list(tmp_path.iterdir()) == []


async def test_a_sender_that_leaves_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    _, complaint = await send_raw(tmp_path, written({"name": "a", "size": 5}), b"123", cut_off=True)
    assert complaint
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "header",
    [
        struct.pack("!I", 2**32 - 1),
        struct.pack("!I", 3) + b"{}}",
        written([]),
        written({}),
        written({"name": "a", "size": -1}),
        written({"name": "a", "size": True}),
        written({"name": 1, "size": 1}),
        written({"name": "a", "size": 2**63}),
        struct.pack("!I", 9000) + b"[" * 9000,  # ended the receiver
    ],
)
async def test_a_header_that_makes_no_sense_is_refused(tmp_path: Path, header: bytes) -> None:
    answer, complaint = await send_raw(tmp_path, header)
    assert b"error" in answer
    assert complaint
    assert list(tmp_path.iterdir()) == []


async def test_a_file_that_shrinks_while_it_is_sent_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"123")
    async with (
        open_association_pair() as (client, _),
        client.open_channel() as channel,
    ):
        with pytest.raises(Failure, match="shorter"):
            await send_file(channel.as_stream(), tmp_path / "a", Header("a", 5), ignore)


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/passwd",
        "/etc/passwd",
        "..\\..\\passwd",
        "C:\\Windows\\passwd",
        "a/../passwd",
        "passwd\x00",
        "\x1b[2Jpasswd\n",
    ],
)
def test_a_name_cannot_lead_out_of_the_directory(name: str) -> None:
    assert safe_name(name) in {"passwd", "[2Jpasswd"}


@pytest.mark.parametrize("name", ["", ".", "..", "/", "...", "a/", "\\", " ", "\x00"])
def test_a_name_of_which_nothing_is_left_becomes_a_name(name: str) -> None:
    assert safe_name(name) == "file"


@pytest.mark.parametrize(
    "name, safe",
    [
        ("report.pdf", "report.pdf"),
        ("Übersicht 2.tar.gz", "Übersicht 2.tar.gz"),
        (".bashrc", "bashrc"),
        ("what?.txt", "what_.txt"),
        ("CON", "_CON"),
        ("nul.txt", "_nul.txt"),
        ("name. ", "name"),
    ],
)
def test_a_harmless_name_stays_and_a_misleading_one_does_not(name: str, safe: str) -> None:
    assert safe_name(name) == safe


@pytest.mark.parametrize(
    "name", ["ü" * 5000 + ".txt", "a" * 300, "." + "b" * 300, "c." + "d" * 300]
)
def test_a_long_name_fits_a_file_system(tmp_path: Path, name: str) -> None:
    safe = safe_name(name)
    (tmp_path / safe).write_text("")
    assert len(os.fsencode(safe)) <= 200
    assert safe.endswith(".txt") == name.endswith(".txt")


async def test_a_link_in_the_directory_is_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    inside = tmp_path / "in"
    inside.mkdir()
    (inside / "a").symlink_to(outside)
    source = tmp_path / "a"
    source.write_bytes(b"content")

    async def receive(association: trio_sctp.Association) -> None:
        channel = await association.listen().accept()
        path, _ = await receive_file(channel.as_stream(), inside, announced)
        assert path.name == "a (2)"
        await channel.aclose()

    async with (
        open_association_pair() as (client, server),
        client.open_channel() as channel,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(receive, server)
        await send_file(channel.as_stream(), source, Header("a", 7), ignore)
    assert not outside.exists()
    assert (inside / "a (2)").read_bytes() == b"content"
