"""The page of ``trio-sctp browser`` in Chromium, used as a person would use it."""

from __future__ import annotations

import hashlib
import json
import re
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from tests.support.commands import TIME_LIMIT, Program, trio_sctp_command
from tests.support.devtools import Browser, Page, open_browser
from tests.support.live_peers import free_udp_ports

STATE = "document.querySelector('#connection').dataset.state"


@asynccontextmanager
async def site(*arguments: str | Path) -> AsyncIterator[tuple[Program, str]]:
    async with trio_sctp_command("browser", "--port", "0", *arguments) as server:
        found = re.search(r"http://\S+", await server.line())
        assert found is not None
        yield server, found[0]


@asynccontextmanager
async def opened(downloads: Path) -> AsyncIterator[tuple[Browser, Page, str]]:
    """A browser that has the page open, connected."""
    with trio.fail_after(TIME_LIMIT):
        async with site() as (_, url), open_browser(downloads) as browser:
            page = await browser.open(url)
            await connected(page)
            yield browser, page, url
            assert page.errors == []


async def connected(page: Page) -> None:
    await page.until(f"{STATE} === 'connected'")


async def number(page: Page, selector: str) -> float:
    """What an element shows, once that is a number."""
    element = f"document.querySelector({json.dumps(selector)})"
    return float(await page.until(f"parseFloat({element}.innerText)"))


async def test_echo(tmp_path: Path) -> None:
    async with opened(tmp_path) as (_, page, _):
        await page.type("#call", "grüße 𝄞")
        assert re.fullmatch(
            r"grüße 𝄞\s+[\d.]+ ms", await page.until_text("#echoes li:first-child", "ms")
        )
        await page.type("#call", "<b>bold</b>")
        assert "<b>bold</b>" in await page.until_text("#echoes li:nth-child(2)", "ms")


async def test_two_pages_chat(tmp_path: Path) -> None:
    async with opened(tmp_path) as (browser, ada, url):
        grace = await browser.open(url)
        await ada.type("#name", "Ada", enter=False)
        await ada.type("#text", "hello <i>there</i>")
        await grace.until_text("#said", "Ada\nhello <i>there</i>")
        await grace.type("#text", "good morning")
        await ada.until_text("#said", "good morning")
        assert await ada.eval("document.querySelector('#said li.mine').innerText") != ""
        await grace.until_text("#people", "with Ada")
        await grace.close()
        await ada.until_text("#people", "nobody else")


async def test_round_trips_of_both_channels(tmp_path: Path) -> None:
    async with opened(tmp_path) as (_, page, _):
        for kind in ("reliable", "unreliable"):
            median = await number(page, f"#{kind} dl div:nth-child(2) dd")
            assert 0 < median < 1000
        assert await page.until_text("#reliable", "0 %")


async def test_a_bad_network_shows_in_the_round_trips(tmp_path: Path) -> None:
    async with opened(tmp_path) as (_, page, _):
        await page.choose("#network", "delay=40&jitter=20&loss=4")
        await page.until(f"{STATE} !== 'connected'")
        await connected(page)
        for kind in ("reliable", "unreliable"):
            await page.until(
                f"parseFloat(document.querySelector('#{kind} dl div:nth-child(2) dd').innerText) >= 80"
            )
        # of 20 pings a second, 4 % lost each way, some are soon
        await page.until(
            "parseFloat(document.querySelector('#unreliable dl div:last-child dd').innerText) > 0"
        )
        assert await page.eval(
            "parseFloat(document.querySelector('#reliable dl div:last-child dd').innerText) === 0"
        )


async def test_throughput_both_ways(tmp_path: Path) -> None:
    async with opened(tmp_path) as (_, page, _):
        await page.click("#measure")
        await page.until_text("#throughput-hint", "in messages of 64 KiB.")
        assert await number(page, "#down output") > 0
        assert await number(page, "#up output") > 0
        assert await page.eval("!document.querySelector('#measure').disabled")


async def test_files_both_ways_are_intact(tmp_path: Path) -> None:
    content = b"".join(hashlib.sha256(str(i).encode()).digest() for i in range(100_000))
    mine, downloads = tmp_path / "päper.bin", tmp_path / "downloads"
    mine.write_bytes(content)
    empty = tmp_path / "empty.txt"
    empty.touch()
    downloads.mkdir()
    async with opened(downloads) as (browser, page, url):
        await page.put_files("#file", [mine, empty])
        await page.until("document.querySelectorAll('#transfers .done').length === 2")
        other = await browser.open(url)
        for path, size in ((mine, "3.2 MB"), (empty, "0 bytes")):
            await other.until_text("#shared", size)
            await other.click(f"#shared [aria-label='Get {path.name}']")
            while not (downloads / path.name).exists():
                await trio.sleep(0.05)
        await other.until("document.querySelectorAll('#transfers .done').length === 2")
        digest = hashlib.sha256((downloads / mine.name).read_bytes())
        assert digest.digest() == hashlib.sha256(content).digest()
        assert (downloads / empty.name).read_bytes() == b""
        assert other.errors == []


async def test_a_reload_and_a_disconnection(tmp_path: Path) -> None:
    async with opened(tmp_path) as (browser, page, url):
        other = await browser.open(url)
        await other.until_text("#people", "with Guest 1")
        await page.reload()
        await connected(page)
        # the old one is gone at once, and not when the server misses it
        with trio.fail_after(25):
            await other.until("document.querySelector('#people').innerText === 'with Guest 3'")
        await page.click("#connect")
        assert await page.eval(STATE) == "off"
        await other.until_text("#people", "nobody else")
        await page.click("#connect")
        await connected(page)
        await other.until_text("#people", "with Guest 4")


async def test_the_server_goes_and_comes_back(tmp_path: Path) -> None:
    (port,) = free_udp_ports(1)
    with trio.fail_after(TIME_LIMIT):
        async with open_browser(tmp_path) as browser:
            async with site("--port", str(port)) as (server, url):
                page = await browser.open(url)
                await connected(page)
                server.process.send_signal(signal.SIGINT)
                # both at once: a second later it tries
                said = await page.until(
                    f"{STATE} === 'lost' && ['#connection', '#connect'].map("
                    "(name) => document.querySelector(name).innerText)"
                )
                assert "trying again" in said[0]
                assert said[1] == "Try now"
            async with trio_sctp_command("browser", "--port", port) as server:
                await server.line()
                await connected(page)
                await page.type("#call", "again")
                await page.until_text("#echoes", "again")


async def test_it_fits_on_a_phone(tmp_path: Path) -> None:
    async with opened(tmp_path) as (_, page, _):
        for dark in (False, True):
            await page.be(width=320, height=640, dark=dark, phone=True)
            assert await page.eval(
                "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
            )
            # on its background the text is legible: 7 to 1, WCAG 1.4.6
            assert await contrast(page, "h2") > 7
            assert await contrast(page, ".hint") > 4.5


async def contrast(page: Page, selector: str) -> float:
    """Of an element on its card (WCAG 2.2, relative luminance)."""

    def luminance(colour: str) -> float:
        parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    colours = await page.eval(
        f"(() => {{ const e = document.querySelector('.card {selector}');"
        "return [getComputedStyle(e).color,"
        " getComputedStyle(e.closest('.card')).backgroundColor] })()"
    )
    dark, light = sorted(map(luminance, colours))
    return (light + 0.05) / (dark + 0.05)


async def test_everything_one_can_use_has_a_name(tmp_path: Path) -> None:
    async with opened(tmp_path) as (_, page, _):
        await page.call("Accessibility.enable")
        tree = await page.call("Accessibility.getFullAXTree")
        roles = {"button", "textbox", "combobox", "image", "progressbar"}
        found = [
            (node["role"]["value"], node.get("name", {}).get("value", ""))
            for node in tree["nodes"]
            if not node.get("ignored") and node["role"]["value"] in roles
        ]
        assert {role for role, _ in found} >= {"button", "textbox", "combobox"}
        assert [role for role, name in found if not name] == []
