"""The examples that have a page, with the page: two of them in Chromium, as two people would."""

from __future__ import annotations

import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from tests.support.commands import ROOT, TIME_LIMIT, program
from tests.support.devtools import Page, open_browser


@asynccontextmanager
async def two_pages(name: str) -> AsyncIterator[tuple[Page, Page]]:
    path: Path = ROOT / "examples" / name
    with trio.fail_after(TIME_LIMIT):
        async with (
            program(sys.executable, str(path), "--port", "0") as server,
            open_browser() as browser,
        ):
            url = (await server.line()).partition(",")[0]
            pages = await browser.open(url), await browser.open(url)
            yield pages
            # the pages have no icon, for which the browser asks
            for page in pages:
                assert [error for error in page.errors if "favicon" not in error] == []


async def test_webrtc_echo() -> None:
    async with two_pages("webrtc_echo.py") as (page, other):
        for number, one in enumerate((page, other)):
            await one.until_text("pre", "connection: connected")
            await one.type("input", f"hello {number}")
            await one.until_text("pre", f"it said: hello {number}")


async def test_chat_room() -> None:
    async with two_pages("chat_room.py") as (ada, grace):
        for page, name in ((ada, "Ada"), (grace, "Grace")):
            await page.until_text("[role=status]", "connected")
            await page.type("#name", name, enter=False)
        await ada.type("#text", "hello <b>all</b>")
        await grace.until_text("ol", "Ada: hello <b>all</b>")
        await grace.type("#text", "good morning")
        for page in (ada, grace):
            await page.until_text("ol", "Grace: good morning")


async def test_game_state() -> None:
    async with two_pages("game_state.py") as (one, other):
        for page in (one, other):
            await page.until_text("[role=status]", "2 here")
        x, y = await one.eval(
            "(() => { const r = canvas.getBoundingClientRect();"
            " return [r.x + r.width / 4, r.y + r.height / 4] })()"
        )
        await one.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        me = await one.eval("me")
        await other.until(f"Math.hypot(...players.get({me}).map((at) => at - 0.25)) < 0.02")
        before = await other.eval("latest")
        await other.until(f"latest > {before} + 60")


async def test_the_page_in_the_manual() -> None:
    """Its script, as it is, with the server of webrtc_echo.py."""
    text = (ROOT / "docs" / "webrtc.md").read_text()
    [script] = re.findall(r"^```js\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    async with two_pages("webrtc_echo.py") as (page, _):
        await page.eval("globalThis.said = []; console.log = (text) => said.push(text); 0")
        await page.eval(f"{script}; connect().then((pc) => {{ globalThis.called = pc; }})")
        await page.until("said.includes('hello')")
        await page.eval("called.close()")
