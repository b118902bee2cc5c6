"""A chat room for browsers: everybody who has the page open is told what anybody says.

    python examples/chat_room.py [--host H] [--port P] [--udp-port Q]

One task for each member, and none of them ever waits for another: who does not read misses something,
and nobody else notices.  many_peers.py is the same between trio programs.

Needs the extra ``web``: pip install trio-sctp[web]
"""

from __future__ import annotations

import argparse
import json
import signal
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any

import trio
from hypercorn.config import Config as HttpConfig
from hypercorn.trio import serve as serve_http
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

import trio_sctp

LONGEST_TEXT = 500
REMEMBERED = 20

PAGE = r"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>Chat room</title>
<style>
  body { font: 1rem/1.5 system-ui, sans-serif; max-width: 40rem; margin: 0 auto; padding: 1rem }
  ol { list-style: none; padding: 0; height: 60vh; overflow: auto }
  form { display: flex; gap: .5rem }
  input, button { font: inherit; padding: .4rem }
  #text { flex: 1; min-width: 0 }
</style>
<h1>Chat room</h1>
<p role="status">connecting …</p>
<ol role="log"></ol>
<form autocomplete="off">
  <input id="name" aria-label="Your name" placeholder="Name" maxlength="40" size="8" required>
  <input id="text" aria-label="Message" placeholder="Message" maxlength="500" required>
  <button disabled>Say</button></form>
<script>
const [status, log, form] = ['p', 'ol', 'form'].map((name) => document.querySelector(name));
const [name, text, button] = form.elements;
const pc = new RTCPeerConnection();
const room = pc.createDataChannel('room');
room.onopen = () => { button.disabled = false; status.textContent = 'connected'; };
room.onclose = () => { button.disabled = true; status.textContent = 'the room is gone: reload'; };
room.onmessage = ({data}) => {
  const said = JSON.parse(data), line = document.createElement('li'), by = document.createElement('b');
  by.textContent = `${said.name}: `;
  line.append(by, said.text);
  log.append(line);
  line.scrollIntoView();
};
form.onsubmit = (event) => {
  event.preventDefault();
  room.send(JSON.stringify({name: name.value, text: text.value}));
  text.value = '';
};
(async () => {
  await pc.setLocalDescription();  // the server is ICE lite: it need not know where we are
  const answer = await fetch('offer', {method: 'POST', body: JSON.stringify(pc.localDescription)});
  if (!answer.ok) throw Error((await answer.json()).error);
  await pc.setRemoteDescription(await answer.json());
})().catch((error) => { status.textContent = error; });
</script>
"""


class Room:
    """Who is here, and what was said last."""

    def __init__(self) -> None:
        self.members: set[trio_sctp.DataChannel] = set()
        self.said: deque[str] = deque(maxlen=REMEMBERED)

    async def welcome(self, association: trio_sctp.Association) -> None:
        """Serve one browser: its first channel is the room, more it does not get."""
        channel = await association.listen().accept()
        with suppress(trio.BrokenResourceError):  # the browser is gone
            for said in self.said:
                channel.send_nowait(said)
            self.members.add(channel)
            try:
                async for message in channel:
                    if (text := tidy(message)) is not None:
                        self.tell_all(text)
            finally:
                self.members.remove(channel)

    def tell_all(self, text: str) -> None:
        self.said.append(text)
        for member in self.members:
            with suppress(trio.WouldBlock, trio.BrokenResourceError):
                member.send_nowait(text)


def tidy(message: str | bytes) -> str | None:
    """What a page sends, with nothing in it that others need not have; None if it is no such thing."""
    try:
        said = json.loads(message)
        name, text = str(said["name"]).strip(), str(said["text"]).strip()
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    return json.dumps({"name": name[:40] or "?", "text": text[:LONGEST_TEXT]})


def http_application(server: trio_sctp.RtcServer) -> Starlette:
    async def page(request: Request) -> Response:
        return HTMLResponse(PAGE)

    async def offer(request: Request) -> Response:
        try:
            description: Any = json.loads(await request.body())
            peer = await server.answer(str(description["sdp"]))
        except (ValueError, LookupError, TypeError, RecursionError) as error:
            return JSONResponse({"error": str(error)}, status_code=400)
        except trio_sctp.TooManyPeersError as error:
            return JSONResponse({"error": str(error)}, status_code=503)
        return JSONResponse({"type": "answer", "sdp": peer.local_description})

    return Starlette(routes=[Route("/", page), Route("/offer", offer, methods=["POST"])])


async def main(host: str, port: int, udp_port: int) -> None:
    with trio.open_signal_receiver(signal.SIGINT) as interrupts:
        async with trio.open_nursery() as nursery:
            server = await nursery.start(partial(trio_sctp.serve_rtc, Room().welcome, udp_port))
            config = HttpConfig()
            config.bind = [f"[{host}]:{port}" if ":" in host else f"{host}:{port}"]
            config.accesslog = config.errorlog = None
            serve: Callable[..., Awaitable[Any]] = serve_http
            urls = await nursery.start(partial(serve, http_application(server), config))
            print(f"{urls[0]}, UDP port {server.port}", flush=True)
            await anext(aiter(interrupts))  # an exception might end in hypercorn instead
            nursery.cancel_scope.cancel()  # peers are told


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A chat room for browsers.")
    parser.add_argument("--host", default="127.0.0.1", help="where HTTP is served")
    parser.add_argument("--port", type=int, default=8080, help="TCP port of HTTP")
    parser.add_argument("--udp-port", type=int, default=0, help="UDP port for all browsers")
    arguments = parser.parse_args()
    trio.run(main, arguments.host, arguments.port, arguments.udp_port)
