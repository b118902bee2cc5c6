"""Echo for browsers by many processes: one address for HTTP, a UDP port of its own for each worker.

    python examples/webrtc_workers.py [--workers N] [--host H] [--port P] [--udp-port Q]

All workers accept from one listening TCP socket, which they inherit.  Whoever takes an offer answers
it, and the answer names that worker's UDP port; so all packets of the session come to the process
that has it.  Worker 0 is at UDP port Q, worker 1 at Q + 1; with Q = 0 they take any free ones.  A
worker that dies is started again: its browsers have to call anew, the others notice nothing.

Needs the extra ``web``: pip install trio-sctp[web]
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
from functools import partial

import trio

import trio_sctp
from http_signalling import serve_http
from webrtc_echo import PAGE

# -- a worker


async def echo_channel(channel: trio_sctp.DataChannel) -> None:
    async with channel:
        async for message in channel:
            await channel.send(message)


async def echo(association: trio_sctp.Association) -> None:
    await trio.serve_listeners(echo_channel, [association.listen()])


async def work(listening_socket: int, udp_port: int) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with trio.open_nursery() as nursery:
            server = await nursery.start(partial(trio_sctp.serve_rtc, echo, udp_port))
            await nursery.start(serve_http, server, PAGE, f"fd://{listening_socket}")
            # the line with its end in one piece: all workers write to one place
            print(f"process {os.getpid()}: UDP port {server.port}\n", end="", flush=True)
            await anext(aiter(signals))
            nursery.cancel_scope.cancel()  # peers are told


# -- the process that starts them


async def keep_running(number: int, listening_socket: int, udp_port: int) -> None:
    port = udp_port + number if udp_port else 0
    command = [sys.executable, __file__, "--worker", str(listening_socket), "--udp-port", str(port)]
    while True:
        await trio.run_process(command, pass_fds=[listening_socket], check=False)
        print(f"worker {number} has ended", file=sys.stderr)
        await trio.sleep(1)  # one that cannot start shall not keep the machine busy


async def main(workers: int, host: str, port: int, udp_port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, port), family=family, backlog=1000) as listening:
        url = f"http://[{host}]" if ":" in host else f"http://{host}"
        print(f"{url}:{listening.getsockname()[1]}, {workers} workers", flush=True)
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async with trio.open_nursery() as nursery:
                for number in range(workers):
                    nursery.start_soon(keep_running, number, listening.fileno(), udp_port)
                await anext(aiter(signals))
                nursery.cancel_scope.cancel()  # which ends the workers by SIGTERM


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Echo for browsers, by many processes.")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--host", default="127.0.0.1", help="where HTTP is served")
    parser.add_argument("--port", type=int, default=8080, help="TCP port of HTTP")
    parser.add_argument("--udp-port", type=int, default=0, help="first UDP port")
    parser.add_argument("--worker", type=int, metavar="SOCKET", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    failure = None
    try:
        if arguments.worker is not None:
            trio.run(work, arguments.worker, arguments.udp_port)
        else:
            trio.run(main, arguments.workers, arguments.host, arguments.port, arguments.udp_port)
    except* OSError as group:  # the port is taken, say
        failure = group.exceptions[0]
    sys.exit(str(failure) if failure else 0)
