"""A trio_sctp client of a server that answers offers by HTTP, with nothing but the standard library."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import trio

from trio_sctp import Association, open_rtc_endpoint


class Answer(NamedTuple):
    """What an HTTP server says."""

    status: int
    body: str
    headers: dict[str, str]


async def http(url: str, body: bytes | None = None, **headers: str) -> Answer:
    """GET, or POST if there is a body; underscores in the headers' names mean hyphens."""

    def do() -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(url, body, named)
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                return Answer(response.status, response.read().decode(), dict(response.headers))
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.read().decode(), dict(error.headers))

    return await trio.to_thread.run_sync(do)


async def post_json(url: str, document: dict[str, str]) -> dict[str, str]:
    """JSON both ways."""
    answer: dict[str, str] = json.loads((await http(url, json.dumps(document).encode())).body)
    return answer


@asynccontextmanager
async def connected(url: str, **options: Any) -> AsyncIterator[Association]:
    """Connect to a server that takes ``POST URL`` with a description as JSON."""
    async with open_rtc_endpoint(**options) as endpoint:
        peer = await endpoint.offer()
        answer = await post_json(url, {"type": "offer", "sdp": peer.local_description})
        assert answer["type"] == "answer"
        peer.accept_answer(answer["sdp"])
        async with peer as association:
            yield association


@asynccontextmanager
async def connected_by_sdp(url: str) -> AsyncIterator[Association]:
    """Connect to a server that takes ``POST URL`` with SDP, as WHIP does."""
    async with open_rtc_endpoint() as endpoint:
        peer = await endpoint.offer()
        offer = peer.local_description.encode()
        answer = await http(url, offer, content_type="application/sdp")
        assert answer.status == 201, answer
        peer.accept_answer(answer.body)
        async with peer as association:
            yield association
