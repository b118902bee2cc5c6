"""Serving any number of peers on one UDP port (RFC 6951), each by a handler of the user.

One task receives for all and routes packets by the sans-IO endpoint; each association is the same
as everywhere else, on a transport that is its share of the socket.  Nothing is kept for a peer
that has not proved by a State Cookie that it is where it says it is.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Final, NoReturn, TypeAlias, Unpack, final

import trio
from trio.lowlevel import enable_ki_protection

from ._arguments import check_handler
from ._association import Association
from ._capture import captured
from ._core.association import Association as CoreAssociation
from ._core.config import Config
from ._core.endpoint import Endpoint
from ._core.statistics import EndpointStatistics
from ._errors import comes_from
from ._open_association import AssociationManager
from ._options import DEFAULT_CONFIG, AssociationKeywords, AssociationOptions, takes
from ._socket_share import SocketShare
from ._transport import plain_address
from ._udp_address import Address
from ._udp_socket import UDPSocket

__all__ = ["DEFAULT_MAX_ASSOCIATIONS", "Handler", "UdpEndpoint", "serve_udp"]

DEFAULT_MAX_ASSOCIATIONS: Final = 10_000

LOGGER = logging.getLogger("trio_sctp.serve_udp")

Handler: TypeAlias = Callable[[Association], Awaitable[object]]
"""What a server runs for each association."""


@takes(AssociationOptions)
async def serve_udp(
    handler: Handler,
    port: int,
    *,
    host: str | None = None,
    config: Config = DEFAULT_CONFIG,
    max_associations: int = DEFAULT_MAX_ASSOCIATIONS,
    task_status: trio.TaskStatus[UdpEndpoint] = trio.TASK_STATUS_IGNORED,
    **keywords: Unpack[AssociationKeywords],
) -> NoReturn:
    """Accept associations on UDP ``port`` and run ``handler(association)`` for each.

    ``host`` is the address to bind, by default all of this machine; port 0 lets the system
    choose, and ``nursery.start`` returns a `UdpEndpoint` that knows.  Peers beyond
    ``max_associations`` are refused.  All else is as in `open_association`, whose rules hold for a
    handler as for a block: returning shuts its association down gracefully, raising aborts it.

    As with `trio.serve_listeners`, an exception of a handler ends the server and comes out of
    here, so catch what you expect.  The exception to that: what only says how the handler's own
    association or one of its channels ended (`AssociationError`, ``EndOfChannel`` from ``accept``,
    `trio.ClosedResourceError` where another task has aborted the association, and so on), or that
    this peer does not take what others would (a message of that length, a further channel, partial
    reliability), ends this handler alone.  It is logged to ``trio_sctp.serve_udp``.

    Never returns; when it is cancelled, the peers are told by an ABORT.  Raises `OSError` if the
    port cannot be bound.
    """
    options = AssociationOptions(config=config, **keywords)
    check_handler(handler)
    async with (
        await UDPSocket.bind(port, host=host, dont_fragment=config.path_mtu_discovery) as socket,
        captured(options.capture) as opened,
    ):

        def make_association(core: CoreAssociation, share: AssociationShare) -> Association:
            return Association(
                core,
                share,
                options,
                client=False,
                peer_address=share.remote_address,
                capture=opened,
            )

        endpoint = Endpoint(
            # RFC 9653 §3: over bare UDP nothing else would notice what is wrong
            config.replace(zero_checksum=False),
            rng=options.entropy,
            max_associations=max_associations,
        )
        async with trio.open_nursery() as nursery:
            served = UdpEndpoint(socket, endpoint, nursery, handler, make_association)
            task_status.started(served)
            await served._run()
    raise AssertionError("the server runs until it is cancelled")  # pragma: no cover


@final
class AssociationShare(SocketShare):
    """What the association that the endpoint calls ``core`` sends and receives."""

    __slots__ = ("_core", "_endpoint", "association")

    def __init__(
        self, socket: UDPSocket, endpoint: Endpoint, core: CoreAssociation, address: Address
    ) -> None:
        super().__init__(socket, address)
        self._endpoint = endpoint
        self._core = core
        self.association: Association

    def move(self, address: Address) -> None:
        """The peer is somewhere else now."""
        self.remote_address = address
        self.association.peer_address = plain_address(address)

    def deliver_to(self, take: Callable[[list[bytes]], None]) -> None:
        def read_at_once(packets: list[bytes]) -> list[bytes]:
            take(packets)
            self._endpoint.update(self._core)
            return []

        self.read_at_once = read_at_once

    async def receive_batch(self) -> list[bytes]:
        self._endpoint.update(self._core)  # it has processed what was received before
        return await super().receive_batch()


@final
class UdpEndpoint:
    """A running `serve_udp`: where it is bound and how it does."""

    def __init__(
        self,
        socket: UDPSocket,
        endpoint: Endpoint,
        nursery: trio.Nursery,
        handler: Handler,
        make_association: Callable[[CoreAssociation, AssociationShare], Association],
    ) -> None:
        self._socket = socket
        self._endpoint = endpoint
        self._nursery = nursery
        self._handler = handler
        self._make_association = make_association
        self._shares: dict[CoreAssociation, AssociationShare] = {}
        self.local_address: Address = socket.local_address
        """The address it is bound to, as the socket module has it."""

    def __repr__(self) -> str:
        return f"<UdpEndpoint at {self.local_address}, {len(self._shares)} associations>"

    @property
    def port(self) -> int:
        """The UDP port it is bound to."""
        port: int = self.local_address[1]
        return port

    def statistics(self) -> EndpointStatistics:
        """A snapshot of all that has come to the port."""
        return self._endpoint.statistics()

    @enable_ki_protection
    async def _run(self) -> NoReturn:
        clock = trio.lowlevel.current_clock()
        while True:
            batch = await self._socket.receive_batch()
            now = clock.current_time()
            for address, packets in batch:
                self._route(address, packets, now)
            if answers := self._endpoint.answers_to_send():
                await self._socket.send_batch([(address, (answer,)) for address, answer in answers])

    def _route(self, address: Address, packets: list[bytes], now: float) -> None:
        endpoint = self._endpoint
        batches = endpoint.route(packets, address, now=now)
        while (accepted := endpoint.next_accepted()) is not None:
            self._accept(accepted, address)
        for core, batch in batches.items():
            share = self._shares.get(core)
            if share is not None:
                if share.remote_address != address:  # RFC 6951 §5.4: its UDP port may have changed
                    share.move(endpoint.address_of(core))
                share.deliver(batch)

    def _accept(self, core: CoreAssociation, address: Address) -> None:
        share = self._shares[core] = AssociationShare(self._socket, self._endpoint, core, address)
        share.association = self._make_association(core, share)
        self._nursery.start_soon(self._serve, core, share.association)

    async def _serve(self, core: CoreAssociation, association: Association) -> None:
        try:
            async with AssociationManager(association, connect=False):
                await self._handler(association)
        except Exception as error:
            if not comes_from(error, association):
                raise
            LOGGER.info("%r: %s", association, error)
        finally:
            self._endpoint.forget(core)
            del self._shares[core]
