"""A transfer over a loopback interface with an MTU of one's own, in a network of one's own.

``python -m tests.support.loopback_of_size MTU`` writes the path MTU of both ends, after a message of
a megabyte each way.  Behind `IN_A_NETWORK_OF_ITS_OWN` it touches no interface but its own.
"""

from __future__ import annotations

import json
import socket
import struct
import sys

import trio

from trio_sctp import Association, Config, open_udp_association, serve_udp

SET_FLAGS, SET_MTU = 0x8914, 0x8922  # SIOCSIFFLAGS and SIOCSIFMTU of <linux/sockios.h>
UP = 0x1
HOST, PORT = "127.0.0.1", 9899
OVERHEAD = 28  # of IPv4 and UDP
MESSAGE = bytes(1_000_000)

IN_A_NETWORK_OF_ITS_OWN = ("unshare", "--net", "--map-root-user")


def set_up_loopback(mtu: int) -> None:
    import fcntl  # not everywhere, and neither are such networks

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SET_MTU, struct.pack("16si", b"lo", mtu))
        fcntl.ioctl(any_socket, SET_FLAGS, struct.pack("16sh", b"lo", UP))


async def reach(association: Association, size: int) -> int:
    while association.statistics().path_mtu < size:
        await association.events.receive()
    return association.statistics().path_mtu


async def transfer(mtu: int) -> list[int]:
    config, size = Config(rto_min=0.2), (mtu - OVERHEAD) & ~3
    reached: list[int] = []

    async def handle(association: Association) -> None:
        channel = await association.listen().accept()
        reached.append(await reach(association, size))
        await channel.send(await channel.receive())
        await association.wait_closed()

    with trio.fail_after(300):
        async with trio.open_nursery() as nursery:
            await nursery.start(
                lambda task_status: serve_udp(
                    handle, PORT, host=HOST, config=config, task_status=task_status
                )
            )
            async with (
                open_udp_association(HOST, PORT, config=config) as association,
                association.open_channel() as channel,
            ):
                reached.append(await reach(association, size))
                await channel.send(MESSAGE)
                assert await channel.receive() == MESSAGE
            nursery.cancel_scope.cancel()
    return reached


if __name__ == "__main__":
    set_up_loopback(int(sys.argv[1]))
    sys.stdout.write(json.dumps(trio.run(transfer, int(sys.argv[1]))))
