"""The HTTP side: the files of the page, and one request that connects it.

``POST /session`` takes an offer and gives the answer, both SDP, as WHIP does it (RFC 9725) with no
later requests: the server is an ICE lite agent, so all that it has to tell is in the answer, and all
that it needs to know of the page is in the offer and its checks.  The query may ask for a bad
network: ``?delay=40&jitter=10&loss=2``, in milliseconds and percent for each way.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from ... import RtcServer, SdpError, TooManyPeersError
from ...testing import LinkConditions
from .bad_network import BadNetworks, TooManyNetworksError

__all__ = ["application"]

PAGE = Path(__file__).parent / "page"
SDP_TYPE = "application/sdp"
LONGEST_OFFER = 64 * 1024
LONGEST_DELAY = 2000.0
"""Milliseconds."""

HEADERS = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'",
    # alone in its process the page gets precise clocks, which its round-trip times need
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}


class Refused(Exception):
    """The status and what to say about it."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(status, why)
        self.status = status
        self.why = why


def application(rtc: RtcServer, networks: BadNetworks) -> Starlette:
    """The whole of it, as an ASGI application."""

    async def session(request: Request) -> Response:
        try:
            offer = await _offer_of(request)
            conditions = _conditions_of(request)
            answer = (await rtc.answer(offer)).local_description
            if conditions is not None:
                answer = await networks.stand_before(answer, conditions)
        except Refused as refused:
            return PlainTextResponse(refused.why, refused.status)
        except SdpError as error:
            return PlainTextResponse(str(error), 400)
        except (TooManyPeersError, TooManyNetworksError) as error:
            return PlainTextResponse(str(error), 503, {"Retry-After": "5"})
        return Response(answer, 201, media_type=SDP_TYPE)

    routes = [
        Route("/session", session, methods=["POST"]),
        Mount("/", StaticFiles(directory=PAGE, html=True)),
    ]
    site = Starlette(routes=routes)
    site.add_middleware(_Headers)
    return site


async def _offer_of(request: Request) -> str:
    """The offer in a request's body, if it may be there."""
    # A page from elsewhere could make a browser send this, but not with this type without asking.
    if request.headers.get("content-type", "").partition(";")[0].strip() != SDP_TYPE:
        raise Refused(415, f"an offer is {SDP_TYPE}")
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        raise Refused(403, "the page is not from here")
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > LONGEST_OFFER:
            raise Refused(413, f"an offer has no more than {LONGEST_OFFER} bytes")
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise Refused(400, "an offer is UTF-8") from None


def _conditions_of(request: Request) -> LinkConditions | None:
    """The bad network that a request asks for, if it does."""
    try:
        delay, jitter, loss = (
            float(request.query_params.get(name, 0)) for name in ("delay", "jitter", "loss")
        )
        if max(delay, jitter) > LONGEST_DELAY:
            raise ValueError(f"more than {LONGEST_DELAY:g} ms")
        if not (delay or jitter or loss):
            return None
        return LinkConditions(delay=delay / 1000, jitter=jitter / 1000, loss=loss / 100)
    except ValueError as error:
        raise Refused(400, f"no such network: {error}") from None


class _Headers:
    """Adds `HEADERS` to every response."""

    def __init__(self, app: Callable[..., Awaitable[Any]]) -> None:
        self._app = app
        self._headers = [(k.lower().encode(), v.encode()) for k, v in HEADERS.items()]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def send_with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *self._headers]
            await send(message)

        await self._app(scope, receive, send_with_headers)
