"""An association of ours with the C peer, in either role, and how it ended."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal

import trio

from tests.support.commands import TIME_LIMIT
from tests.support.live_peers import JsonPeer, free_udp_ports, run_c_peer
from trio_sctp import (
    Association,
    AssociationClosed,
    CloseReason,
    Config,
    Event,
    open_udp_association,
    serve_udp,
)

Role = Literal["connect", "listen"]
"""What our end does."""
ROLES: tuple[Role, ...] = ("connect", "listen")

LOOPBACK = "127.0.0.1"
CONFIG = Config(local_port=5001, remote_port=5001)
"""SCTP ports as the C peer and tsctp have them."""
QUICK = CONFIG.replace(
    rto_initial=0.1,
    rto_min=0.05,
    rto_max=0.2,
    association_max_retrans=100,
    max_init_retransmits=100,
)
"""For tests that wait for timers; a peer that a busy machine holds up for seconds is not given up."""
BIG_BUFFERS = ("--sndbuf", 4 << 20, "--rcvbuf", 4 << 20, "--udpbuf", 4 << 20, "--mtu", 1200)
"""Options of the C peer."""


@asynccontextmanager
async def associated(
    role: Role, program: Path, *options: str | int, config: Config = CONFIG
) -> AsyncIterator[tuple[Association, JsonPeer]]:
    """An association for plain messages, and the C peer with these options at its other end.

    It is shut down at the end of the block, unless it is over.
    """
    here, there = free_udp_ports(2)
    options = ("--udp", there, "--peer-udp", here, *options)
    with trio.fail_after(TIME_LIMIT):
        if role == "connect":
            async with (
                run_c_peer(program, *options) as peer,
                connected(here, there, config=config) as association,
            ):
                yield association, peer
        else:
            async with (
                listening(here, config=config) as associations,
                run_c_peer(program, *options, "--connect", LOOPBACK) as peer,
            ):
                association = await associations.receive()
                yield association, peer
                await association.aclose()


def connected(here: int, there: int, *, config: Config = CONFIG) -> Any:
    """An association that we begin, from one UDP port to another."""
    return open_udp_association(
        LOOPBACK, there, local_host=LOOPBACK, local_port=here, config=config, data_channels=False
    )


@asynccontextmanager
async def listening(
    port: int, *, config: Config = CONFIG
) -> AsyncIterator[trio.MemoryReceiveChannel[Association]]:
    """A server of ours: the associations that others begin, which live as long as the block."""
    arrived, associations = trio.open_memory_channel[Association](10)

    async def handle(association: Association) -> None:
        arrived.send_nowait(association)
        await association.wait_closed()

    async with arrived, associations, trio.open_nursery() as nursery:
        serve = partial(serve_udp, handle, port, host=LOOPBACK, config=config, data_channels=False)
        await nursery.start(serve)
        yield associations
        nursery.cancel_scope.cancel()


async def events_of(association: Association) -> list[Event]:
    """Everything that `events` has, of an association that is over."""
    return [event async for event in association.events]


async def ending_of(association: Association) -> AssociationClosed:
    """Wait until it is over; how."""
    await association.wait_closed()
    last = (await events_of(association))[-1]
    assert isinstance(last, AssociationClosed)
    return last


async def assert_shut_down(association: Association) -> None:
    """It ended gracefully and everything that was sent was delivered."""
    ending = await ending_of(association)
    assert ending == AssociationClosed(CloseReason.SHUTDOWN)


def assert_nothing_dropped(association: Association) -> None:
    """But what comes twice where the machine is so slow that a handshake is repeated."""
    repeated = {"InitAck in COOKIE-ECHOED", "InitAck in ESTABLISHED", "CookieAck in ESTABLISHED"}
    assert association.statistics().dropped.keys() <= repeated
