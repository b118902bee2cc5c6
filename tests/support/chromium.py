"""Headless Chromium as a live peer: a page that runs the snippets of JavaScript that a test gives it."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import trio

from tests.support.commands import TIME_LIMIT
from tests.support.live_peers import missing_peer
from trio_sctp import RtcEndpoint, RtcPeer, RtcServer

PAGE = b"""<!doctype html><title>trio_sctp</title><script>
const Snippet = Object.getPrototypeOf(async function () {}).constructor;
const post = (path, body) => fetch(path, {method: 'POST', body});
const sha256 = async (data) => {
  const raw = typeof data === 'string' ? new TextEncoder().encode(data) : data;
  const digest = await crypto.subtle.digest('SHA-256', raw);
  return [...new Uint8Array(digest)].map((b) => b.toString(16).padStart(2, '0')).join('');
};
const gathered = (pc) => new Promise((done) => {
  const look = () => pc.iceGatheringState === 'complete' && done();
  pc.addEventListener('icegatheringstatechange', look);
  look();
});
const happened = (target, name) =>
  new Promise((done) => target.addEventListener(name, done, {once: true}));
const opened = async (channel) => {
  channel.binaryType = 'arraybuffer';
  if (channel.readyState === 'connecting') await happened(channel, 'open');
  return channel;
};
const message = async (channel) => (await happened(channel, 'message')).data;
let pc;
(async () => {
  for (;;) {
    let result;
    const code = await (await post('/next/NUMBER')).text();
    try { result = {value: await new Snippet(code)()}; }
    catch (error) { result = {error: `${error}\\n${error.stack}`}; }
    await post('/result', JSON.stringify(result));
  }
})();
</script>"""

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--allow-loopback-in-peer-connection",
    "--disable-features=WebRtcHideLocalIpsWithMdns",
)

Request = tuple[str, str, bytes]


class Chromium:
    """A running browser with one page."""

    def __init__(self) -> None:
        self._page_loads = trio.Event()
        self._loads = 0
        self._to_run, self._snippets = trio.open_memory_channel[str](math.inf)
        self._results_in, self._results = trio.open_memory_channel[dict[str, Any]](math.inf)
        self.url = ""

    async def run(self, code: str, **variables: Any) -> Any:
        """The value that an async function with this body returns; its exceptions fail the test."""
        given = "".join(f"const {name} = {json.dumps(v)};" for name, v in variables.items())
        self._to_run.send_nowait(given + code)
        result = await self._results.receive()
        assert "error" not in result, result["error"]
        return result.get("value")

    async def reload(self) -> None:
        """As the button does it."""
        loaded = self._page_loads = trio.Event()
        self._to_run.send_nowait("location.reload(); return new Promise(() => {})")
        await loaded.wait()

    async def call(self, endpoint: RtcEndpoint | RtcServer) -> RtcPeer:
        """The page calls, with whatever channels it has made on ``pc``."""
        offer = await self.run(
            "await pc.setLocalDescription(); await gathered(pc); return pc.localDescription.sdp"
        )
        peer = await endpoint.answer(offer)
        await self.run(
            "await pc.setRemoteDescription({type: 'answer', sdp})", sdp=peer.local_description
        )
        return peer

    async def be_called(self, endpoint: RtcEndpoint | RtcServer) -> RtcPeer:
        """The page answers."""
        peer = await endpoint.offer()
        answer = await self.run(
            "await pc.setRemoteDescription({type: 'offer', sdp});"
            "await pc.setLocalDescription(); await gathered(pc); return pc.localDescription.sdp",
            sdp=peer.local_description,
        )
        peer.accept_answer(answer)
        return peer

    async def _answer(self, stream: trio.SocketStream) -> None:
        try:
            while (request := await _read_request(stream)) is not None:
                method, path, body = request
                content = b""
                if method == "GET" and path == "/":
                    self._loads += 1
                    self._page_loads.set()
                    content = PAGE.replace(b"NUMBER", b"%d" % self._loads)
                elif path == f"/next/{self._loads}":
                    content = (await self._snippets.receive()).encode()
                elif path.startswith("/next"):
                    await trio.sleep_forever()  # a page that is about to go
                elif path == "/result":
                    self._results_in.send_nowait(json.loads(body))
                kind = b"text/html" if method == "GET" else b"text/plain"
                await stream.send_all(
                    b"HTTP/1.1 200 OK\r\nContent-Type: %s; charset=utf-8\r\nContent-Length: %d\r\n\r\n"
                    % (kind, len(content))
                    + content
                )
        except trio.BrokenResourceError:
            pass


async def _read_request(stream: trio.SocketStream) -> Request | None:
    head = b""
    while b"\r\n\r\n" not in head:
        block = await stream.receive_some()
        if not block:
            return None
        head += block
    head, _, body = head.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    method, path, _ = lines[0].split(" ")
    headers = dict(line.lower().split(": ", 1) for line in lines[1:])
    length = int(headers.get("content-length", "0"))
    while len(body) < length:
        block = await stream.receive_some()
        if not block:
            return None
        body += block
    return method, path, body


@asynccontextmanager
async def run_chromium(*flags: str) -> AsyncIterator[Chromium]:
    """Start the browser, with more ``flags``; its page is ready when the body begins."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        missing_peer("there is no chromium (Debian: apt-get install chromium)")
    browser = Chromium()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        async with trio.open_nursery() as nursery:
            listeners = await nursery.start(
                partial(trio.serve_tcp, browser._answer, 0, host="127.0.0.1")
            )
            port = listeners[0].socket.getsockname()[1]
            browser.url = f"http://127.0.0.1:{port}/"
            process = await trio.lowlevel.open_process(
                [program, *FLAGS, *flags, f"--user-data-dir={profile}", browser.url],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            try:
                with trio.fail_after(TIME_LIMIT):
                    await browser._page_loads.wait()
                    await browser.run("return navigator.userAgent")
                yield browser
            finally:
                with trio.CancelScope(shield=True):
                    process.kill()
                    await process.wait()
            nursery.cancel_scope.cancel()
