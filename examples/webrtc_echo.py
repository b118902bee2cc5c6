"""Echo for browsers: everything that a peer sends on any data channel comes back.

    python examples/webrtc_echo.py [--host H] [--port P] [--udp-port Q]

Signalling is one HTTP request: ``POST /offer`` with ``{"type": "offer", "sdp": ...}`` as JSON, answered
by ``{"type": "answer", "sdp": ...}``; all candidates are in the descriptions.  ``GET /`` gives a page
that does so.  A line is printed for each peer and each channel.

Needs the extra ``web``: pip install trio-sctp[web]
"""

from __future__ import annotations

import argparse
import json
import signal
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, cast

import trio
from hypercorn.config import Config as HttpConfig
from hypercorn.trio import serve as serve_http
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

import trio_sctp

MOST_OFFERED = 64 * 1024

PAGE = """<!doctype html>
<meta charset="utf-8">
<title>trio_sctp echo</title>
<h1>Echo</h1>
<form><input autofocus autocomplete="off" disabled> <button disabled>Send</button></form>
<pre></pre>
<script>
const [form] = document.forms, [input, button] = form.elements;
const log = (text) => { document.querySelector('pre').textContent += text + '\\n'; };
const pc = new RTCPeerConnection();
pc.onconnectionstatechange = () => log(`connection: ${pc.connectionState}`);
const channel = pc.createDataChannel('echo');
channel.onopen = () => { input.disabled = button.disabled = false; };
channel.onclose = () => { input.disabled = button.disabled = true; log('channel closed'); };
channel.onmessage = ({data}) => log(`it said: ${data}`);
form.onsubmit = (event) => { event.preventDefault(); channel.send(input.value); input.value = ''; };
(async () => {
  await pc.setLocalDescription();
  while (pc.iceGatheringState !== 'complete')
    await new Promise((r) => pc.addEventListener('icegatheringstatechange', r, {once: true}));
  const answer = await fetch('offer', {method: 'POST', body: JSON.stringify(pc.localDescription)});
  if (!answer.ok) throw Error(await answer.text());
  await pc.setRemoteDescription(await answer.json());
})().catch((error) => log(error));
</script>
"""


async def echo_channel(peer: str, channel: trio_sctp.DataChannel) -> None:
    """Until the peer closes it, which leaving the block answers."""
    print(f"{peer}: channel {channel.label!r}", flush=True)
    try:
        async with channel:
            async for message in channel:
                await channel.send(message)
    except trio.BrokenResourceError:
        pass  # the channel, or the peer, is gone


async def echo(association: trio_sctp.Association) -> None:
    """Handle one peer."""
    host, port = cast("tuple[str, int]", association.peer_address)
    peer = f"{host} port {port}"
    print(f"{peer}: connected", flush=True)
    await trio.serve_listeners(partial(echo_channel, peer), [association.listen()])


def http_application(server: trio_sctp.RtcServer) -> Starlette:
    async def page(request: Request) -> Response:
        return HTMLResponse(PAGE)

    async def offer(request: Request) -> Response:
        if int(request.headers.get("content-length", 0)) > MOST_OFFERED:
            return JSONResponse({"error": "too long"}, status_code=413)
        try:
            description: Any = json.loads(await request.body())
            if not isinstance(description, dict) or description.get("type") != "offer":
                raise ValueError("type is not 'offer'")
            peer = await server.answer(str(description.get("sdp")))
        except (ValueError, RecursionError) as error:
            return JSONResponse({"error": str(error)}, status_code=400)
        except trio_sctp.TooManyPeersError as error:
            return JSONResponse({"error": str(error)}, status_code=503)
        return JSONResponse({"type": "answer", "sdp": peer.local_description})

    return Starlette(
        routes=[Route("/", page), Route("/offer", offer, methods=["POST"])],
    )


async def main(host: str, port: int, udp_port: int) -> None:
    with trio.open_signal_receiver(signal.SIGINT) as interrupts:
        async with trio.open_nursery() as nursery:
            server = await nursery.start(partial(trio_sctp.serve_rtc, echo, udp_port))
            config = HttpConfig()
            config.bind = [f"[{host}]:{port}" if ":" in host else f"{host}:{port}"]
            config.accesslog = config.errorlog = None
            serve: Callable[..., Awaitable[Any]] = serve_http
            urls = await nursery.start(partial(serve, http_application(server), config))
            print(f"{urls[0]}, UDP port {server.port}", flush=True)
            await anext(aiter(interrupts))  # an exception might end in hypercorn instead
            nursery.cancel_scope.cancel()  # peers are told


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Echo for browsers, over WebRTC data channels.")
    parser.add_argument("--host", default="127.0.0.1", help="where HTTP is served")
    parser.add_argument("--port", type=int, default=8080, help="TCP port of HTTP")
    parser.add_argument("--udp-port", type=int, default=0, help="UDP port for all peers")
    arguments = parser.parse_args()
    trio.run(main, arguments.host, arguments.port, arguments.udp_port)
