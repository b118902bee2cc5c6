"""The server of ``trio-sctp browser``: HTTP and WebRTC are two tasks of one nursery."""

from __future__ import annotations

import tempfile
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
import trio
from hypercorn.config import Config as HttpConfig
from hypercorn.trio import serve as serve_http

from ... import RtcServer, serve_rtc
from ..running import say, socket_name
from .bad_network import BadNetworks
from .shared_files import SharedFiles
from .signalling import application
from .visits import Visits

__all__ = ["run_site"]


async def run_site(
    host: str,
    port: int,
    *,
    udp_port: int,
    public_hosts: Sequence[str],
    directory: Path | None,
    open_page: bool,
) -> None:
    """Serve until cancelled."""
    with ExitStack() as stack:
        if directory is None:
            temporary = tempfile.TemporaryDirectory(prefix="trio-sctp-browser-")
            directory = Path(stack.enter_context(temporary))
        visits = Visits(SharedFiles(directory, say))
        async with trio.open_nursery() as nursery:
            rtc: RtcServer = await nursery.start(
                partial(serve_rtc, visits.serve, udp_port, public_hosts=public_hosts)
            )
            serve: Callable[..., Awaitable[Any]] = serve_http
            site = application(rtc, BadNetworks(nursery))
            bound: list[str] = await nursery.start(partial(serve, site, _http_config(host, port)))
            urls = _urls(bound[0], rtc)
            say(f"browser: {urls[0]} (UDP port {rtc.port})")
            for url in urls[1:]:
                say(f"         {url}")
            if open_page:
                click.launch(urls[0])


def _http_config(host: str, port: int) -> HttpConfig:
    config = HttpConfig()
    config.bind = [socket_name((host, port))]
    config.accesslog = config.errorlog = None
    config.include_server_header = False
    return config


def _urls(bound: str, rtc: RtcServer) -> list[str]:
    """Where the page is; for "all addresses", each by name."""
    parts = urlsplit(bound)
    if parts.hostname not in {"0.0.0.0", "::"}:
        return [f"{bound}/"]
    hosts = ["localhost", *(address[0] for address in rtc.local_addresses)]
    return [f"http://{socket_name((host, parts.port))}/" for host in hosts]
