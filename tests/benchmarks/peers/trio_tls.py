"""One end of a transfer over a trio TLS stream (`trio.SSLStream`), with messages as over TCP."""

from __future__ import annotations

import ssl
import sys
import tempfile
from functools import partial
from pathlib import Path

import trio

import trio_sctp
from tests.benchmarks.peers import trio_tcp
from tests.benchmarks.workloads import Workload


def server_context() -> ssl.SSLContext:
    """With a certificate of the kind that data channels have."""
    certificate = trio_sctp.Certificate.generate()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "certificate.pem")
        path.write_bytes(certificate.to_pem())
        context.load_cert_chain(path)
    return context


def client_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def secure(
    context: ssl.SSLContext, server_side: bool, stream: trio.SocketStream
) -> trio.abc.Stream:
    secured: trio.SSLStream[trio.SocketStream] = trio.SSLStream(
        stream, context, server_side=server_side
    )
    await secured.do_handshake()
    return secured


async def server(workload: Workload) -> None:
    await trio_tcp.server(workload, partial(secure, server_context(), True))


async def client(workload: Workload, port: int) -> None:
    await trio_tcp.client(workload, port, partial(secure, client_context(), False))


if __name__ == "__main__":
    from tests.benchmarks.peers import run_peer

    run_peer(sys.argv, lambda job: trio.run(lambda: job), server, client)
