"""What the examples for browsers have in common: signalling by HTTP, and the end by an interrupt.

``POST /offer`` with ``{"type": "offer", "sdp": ...}`` as JSON is answered by ``{"type": "answer",
"sdp": ...}``; all our candidates are in it.  ``GET /`` gives the page, and connect.js beside this file
is the page's half of that.

Needs the extra ``web``: pip install trio-sctp[web]
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import trio
from hypercorn.config import Config as HttpConfig
from hypercorn.trio import serve
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

import trio_sctp

LONGEST_OFFER = 64 * 1024
CONNECT = Path(__file__).with_name("connect.js").read_text()


def application(server: trio_sctp.RtcServer, html: str) -> Starlette:
    async def page(request: Request) -> Response:
        return HTMLResponse(html)

    async def script(request: Request) -> Response:
        return Response(CONNECT, media_type="text/javascript")

    async def offer(request: Request) -> Response:
        body = b""
        async for piece in request.stream():
            body += piece
            if len(body) > LONGEST_OFFER:
                return JSONResponse({"error": "too long"}, status_code=413)
        try:
            description: Any = json.loads(body)
            peer = await server.answer(str(description["sdp"]))
        except (ValueError, LookupError, TypeError, RecursionError) as error:
            return JSONResponse({"error": str(error)}, status_code=400)
        except trio_sctp.TooManyPeersError as error:
            return JSONResponse({"error": str(error)}, status_code=503)
        return JSONResponse({"type": "answer", "sdp": peer.local_description})

    return Starlette(
        routes=[
            Route("/", page),
            Route("/connect.js", script),
            Route("/offer", offer, methods=["POST"]),
        ]
    )


async def serve_http(
    server: trio_sctp.RtcServer,
    html: str,
    bind: str,
    *,
    task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Bring offers to the server and answers back; `nursery.start` gives the URLs."""
    config = HttpConfig()
    config.bind = [bind]
    config.accesslog = config.errorlog = None
    run: Callable[..., Awaitable[Any]] = serve
    await run(application(server, html), config, task_status=task_status)


async def serve_browsers(
    handler: Callable[[trio_sctp.Association], Awaitable[object]],
    html: str,
    host: str,
    port: int,
    udp_port: int,
) -> None:
    """Serve the page, and by the handler each browser that opens it, until Ctrl-C or SIGTERM."""
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as interrupts:
        async with trio.open_nursery() as nursery:
            server = await nursery.start(partial(trio_sctp.serve_rtc, handler, udp_port))
            bind = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            urls = await nursery.start(serve_http, server, html, bind)
            print(f"{urls[0]}, UDP port {server.port}", flush=True)
            await anext(aiter(interrupts))  # an exception might end in hypercorn instead
            nursery.cancel_scope.cancel()  # peers are told


def run(main: Callable[[str, int, int], Awaitable[None]], description: str) -> None:
    """Run ``main(host, port, udp_port)`` as the command line says."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--host", default="127.0.0.1", help="where HTTP is served")
    parser.add_argument("--port", type=int, default=8080, help="TCP port of HTTP")
    parser.add_argument("--udp-port", type=int, default=0, help="UDP port for all browsers")
    arguments = parser.parse_args()
    failure: BaseException | None = None
    try:
        trio.run(main, arguments.host, arguments.port, arguments.udp_port)
    except* OSError as group:  # a port that is taken, say
        failure = group
        while isinstance(failure, BaseExceptionGroup):
            failure = failure.exceptions[0]
    sys.exit(str(failure) if failure else 0)
