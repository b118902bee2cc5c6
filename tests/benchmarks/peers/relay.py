"""What stands between two ends of a transfer and loses some of their datagrams, both ways.

``relay LOSS SERVER_PORT CLIENT_PORT`` prints the two ports that it has, one for each end to talk to; a
client whose port is 0 is known by its first datagram.  It runs until it is killed.
"""

from __future__ import annotations

import select
import socket
import sys
from random import Random
from typing import Any

from tests.benchmarks.workloads import SOCKET_BUFFER, say

MOST_AT_ONCE = 64


def bound_socket() -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        bound.setsockopt(socket.SOL_SOCKET, option, SOCKET_BUFFER)
    bound.bind(("127.0.0.1", 0))
    bound.setblocking(False)
    return bound


class Relay:
    """Two sockets: what comes to one goes out by the other, or nowhere."""

    def __init__(self, loss: float, server_port: int, client_port: int) -> None:
        self.loss = loss
        self.random = Random(1)
        self.for_client, self.for_server = bound_socket(), bound_socket()
        self.server: Any = ("127.0.0.1", server_port)
        self.client: Any = ("127.0.0.1", client_port) if client_port else None

    def run(self) -> None:
        sockets = [self.for_client, self.for_server]
        say("ready", **{name: getattr(self, name).getsockname()[1] for name in PORTS})
        while True:
            for ready in select.select(sockets, [], [])[0]:
                for _ in range(MOST_AT_ONCE):
                    try:
                        self.pass_on(ready)
                    except BlockingIOError:  # nothing more has come, or it finds no room
                        break

    def pass_on(self, arrived_at: socket.socket) -> None:
        datagram, source = arrived_at.recvfrom(65535)
        if arrived_at is self.for_client:
            self.client = source
        if self.random.random() < self.loss:
            return
        if arrived_at is self.for_client:
            self.for_server.sendto(datagram, self.server)
        else:
            self.for_client.sendto(datagram, self.client)


PORTS = ("for_client", "for_server")

if __name__ == "__main__":
    Relay(float(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])).run()
