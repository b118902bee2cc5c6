"""Headless Chromium driven as a person would: pages with clicks, typing, files and reloads.

It speaks the DevTools protocol over two pipes: a JSON object and a zero byte for each message.
`tests.support.chromium` is the smaller tool for tests that bring a page of their own.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

import trio

from tests.support.chromium import FLAGS
from tests.support.live_peers import missing_peer

POLL_INTERVAL = 0.05


class Browser:
    """A running browser: commands go out with a number, answers come back with it."""

    def __init__(self, commands: trio.lowlevel.FdStream, answers: trio.lowlevel.FdStream) -> None:
        self._commands = commands
        self._answers = answers
        self._numbers = count(1)
        self._sending = trio.Lock()
        self._waiting: dict[int, trio.MemorySendChannel[dict[str, Any]]] = {}
        self._pages: dict[str, Page] = {}

    async def call(self, method: str, *, session: str | None = None, **params: Any) -> Any:
        """One command; what the browser says is wrong with it fails the test."""
        number = next(self._numbers)
        message: dict[str, Any] = {"id": number, "method": method, "params": params}
        if session is not None:
            message["sessionId"] = session
        send, receive = trio.open_memory_channel[dict[str, Any]](1)
        self._waiting[number] = send
        async with self._sending:
            await self._commands.send_all(json.dumps(message).encode() + b"\0")
        answer = await receive.receive()
        assert "error" not in answer, (method, answer["error"])
        return answer["result"]

    async def run(self) -> None:
        """Take what the browser says, until it ends."""
        unread = b""
        async for block in self._answers:
            *messages, unread = (unread + block).split(b"\0")
            for message in map(json.loads, messages):
                if "id" in message:
                    self._waiting.pop(message["id"]).send_nowait(message)
                elif page := self._pages.get(message.get("sessionId", "")):
                    page.note(message["method"], message["params"])

    async def open(self, url: str, *, width: int = 1280, height: int = 900) -> Page:
        """A new page, loaded."""
        target = await self.call("Target.createTarget", url="about:blank", newWindow=True)
        attached = await self.call(
            "Target.attachToTarget", targetId=target["targetId"], flatten=True
        )
        page = self._pages[attached["sessionId"]] = Page(self, attached["sessionId"])
        for domain in ("Page", "Runtime", "DOM", "Log"):
            await page.call(f"{domain}.enable")
        await page.be(width=width, height=height)
        await page.go(url)
        return page


class Page:
    """One page."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser = browser
        self._session = session
        self._loaded = trio.Event()
        self.errors: list[str] = []
        """Exceptions that nobody caught and errors that the browser logged."""

    def note(self, method: str, params: Any) -> None:
        if method == "Page.loadEventFired":
            self._loaded.set()
        elif method == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.errors.append(details.get("exception", {}).get("description", details["text"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.errors.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")

    async def call(self, method: str, **params: Any) -> Any:
        return await self._browser.call(method, session=self._session, **params)

    async def be(
        self, *, width: int, height: int, dark: bool = False, scale: float = 1, phone: bool = False
    ) -> None:
        """What the page is shown on."""
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=phone,
        )
        await self.call("Emulation.setScrollbarsHidden", hidden=True)
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        await self.call("Emulation.setEmulatedMedia", features=features)

    async def go(self, url: str) -> None:
        self._loaded = trio.Event()
        await self.call("Page.navigate", url=url)
        await self._loaded.wait()

    async def reload(self) -> None:
        self._loaded = trio.Event()
        await self.call("Page.reload")
        await self._loaded.wait()

    async def eval(self, expression: str) -> Any:
        """The value of an expression; a promise is waited for."""
        answer = await self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        details = answer.get("exceptionDetails")
        assert details is None, (expression, details)
        return answer["result"].get("value")

    async def until(self, expression: str) -> Any:
        """Wait until an expression is true; its value."""
        while not (value := await self.eval(expression)):
            await trio.sleep(POLL_INTERVAL)
        return value

    async def text(self, selector: str) -> str:
        found = await self.eval(f"document.querySelector({json.dumps(selector)}).innerText")
        assert isinstance(found, str)
        return found

    async def until_text(self, selector: str, part: str) -> str:
        """Wait until an element's text has a part; the text."""
        element = f"document.querySelector({json.dumps(selector)})?.innerText ?? ''"
        text = await self.until(f"({element}).includes({json.dumps(part)}) && ({element})")
        assert isinstance(text, str)
        return text

    async def click(self, selector: str) -> None:
        """In the middle of an element, once it can be clicked."""
        element = f"document.querySelector({json.dumps(selector)})"
        await self.until(f"{element} && !{element}.disabled")
        x, y = await self.eval(
            f"(() => {{ const e = {element}; e.scrollIntoView({{block: 'center'}});"
            "const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2] })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            await self.call(
                "Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1
            )

    async def type(self, selector: str, text: str, *, enter: bool = True) -> None:
        """Into a field, after what is there is selected."""
        await self.click(selector)
        await self.eval(f"document.querySelector({json.dumps(selector)}).select()")
        await self.call("Input.insertText", text=text)
        if enter:
            for kind in ("keyDown", "keyUp"):
                key = {"key": "Enter", "code": "Enter", "text": "\r", "windowsVirtualKeyCode": 13}
                await self.call("Input.dispatchKeyEvent", type=kind, **key)

    async def choose(self, selector: str, value: str) -> None:
        """One of a list."""
        element = f"document.querySelector({json.dumps(selector)})"
        chosen = await self.eval(
            f"(() => {{ const e = {element}; e.value = {json.dumps(value)};"
            "e.dispatchEvent(new Event('change', {bubbles: true})); return e.value })()"
        )
        assert chosen == value

    async def put_files(self, selector: str, paths: Sequence[Path]) -> None:
        document = await self.call("DOM.getDocument")
        root = document["root"]["nodeId"]
        found = await self.call("DOM.querySelector", nodeId=root, selector=selector)
        await self.call(
            "DOM.setFileInputFiles", nodeId=found["nodeId"], files=[str(path) for path in paths]
        )

    async def picture(self, *, form: str = "png", whole: bool = True, **options: Any) -> bytes:
        answer = await self.call(
            "Page.captureScreenshot", format=form, captureBeyondViewport=whole, **options
        )
        return base64.b64decode(answer["data"])

    async def close(self) -> None:
        with suppress(AssertionError):  # it may be gone before it says so
            await self.call("Page.close")


@asynccontextmanager
async def open_browser(downloads: Path | None = None) -> AsyncIterator[Browser]:
    """Start a browser; what pages save goes to a directory."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        missing_peer("there is no chromium (Debian: apt-get install chromium)")
    command_out, command_in = os.pipe()
    answer_out, answer_in = os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        flags = [*FLAGS, "--remote-debugging-pipe", f"--user-data-dir={profile}"]
        process = await trio.lowlevel.open_process(
            # its descriptors 3 and 4 are the pipes
            ["bash", "-c", f'exec "$@" 3<&{command_out} 4>&{answer_in}', "-", program, *flags],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(command_out, answer_in),
        )
        os.close(command_out)
        os.close(answer_in)
        commands, answers = trio.lowlevel.FdStream(command_in), trio.lowlevel.FdStream(answer_out)
        try:
            async with commands, answers, trio.open_nursery() as nursery:
                browser = Browser(commands, answers)
                nursery.start_soon(browser.run)
                if downloads is not None:
                    await browser.call(
                        "Browser.setDownloadBehavior",
                        behavior="allow",
                        downloadPath=str(downloads),
                    )
                yield browser
                nursery.cancel_scope.cancel()
        finally:
            with trio.CancelScope(shield=True):
                process.kill()
                await process.wait()
