"""Serving any number of peers over DTLS on one UDP port, each by a handler of the user.

One task receives for all.  Who is not known has to return a cookie first (RFC 6347 §4.2.1): until then
nothing is kept of it, and it gets no more bytes than it sent.  Behind the cookie there is one task for
each peer, which does the handshake and then runs the handler.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, NoReturn, Unpack, final

import trio
from trio.lowlevel import enable_ki_protection

from ._arguments import check_capacity, check_handler, check_type
from ._association import Association
from ._capture import captured
from ._core.config import Config
from ._dtls_transport import (
    DEFAULT_DTLS_CONFIG,
    DtlsTransport,
    VerifyPeer,
    finish_handshake,
    peer_policy,
)
from ._errors import HandshakeFailed, comes_from
from ._farewells import Farewells
from ._key_log import key_log_from_environment
from ._open_association import AssociationManager, make_association
from ._options import AssociationKeywords, AssociationOptions, takes
from ._serve import DEFAULT_MAX_ASSOCIATIONS, Handler
from ._socket_share import SocketShare
from ._transport import plain_address
from ._udp_address import Address
from ._udp_socket import UDPSocket
from ._webrtc.certificate import Certificate, PeerPolicy
from ._webrtc.dtls import DtlsAssociation
from ._webrtc.dtls_cookie import ClientHelloPrefix, CookieGate

__all__ = ["DtlsEndpoint", "DtlsServerStatistics", "serve_dtls"]

DEFAULT_MAX_HALF_OPEN: Final = 1000
SETUP_TIMEOUT: Final = 60.0
"""Seconds from the end of the DTLS handshake in which there has to be an association."""
_HANDSHAKE_RECORD: Final = 22

LOGGER = logging.getLogger("trio_sctp.serve_dtls")


@takes(AssociationOptions)
async def serve_dtls(
    handler: Handler,
    port: int,
    *,
    certificate: Certificate,
    verify_peer: VerifyPeer,
    host: str | None = None,
    config: Config = DEFAULT_DTLS_CONFIG,
    max_associations: int = DEFAULT_MAX_ASSOCIATIONS,
    max_half_open: int = DEFAULT_MAX_HALF_OPEN,
    task_status: trio.TaskStatus[DtlsEndpoint] = trio.TASK_STATUS_IGNORED,
    **keywords: Unpack[AssociationKeywords],
) -> NoReturn:
    """Accept DTLS associations on UDP ``port`` and run ``handler(association)`` for each.

    ``certificate`` is what the server shows and ``verify_peer`` says who its peers may be: a
    fingerprint, several of them, or a `PeerPolicy` (``PeerPolicy.authority(pem)``,
    ``PeerPolicy.anyone()``).  Which of them a peer is, its handler sees in
    ``association.peer_certificate``.

    ``max_half_open`` bounds the handshakes under way; hellos beyond it, and beyond
    ``max_associations``, are ignored, and clients repeat them.  Peers that make no association within
    a minute of their DTLS handshake are sent away.  All else, and what becomes of a
    handler's exceptions, is as in `serve_udp`; peers that fail their handshake are logged to
    ``trio_sctp.serve_dtls``.

    Never returns.  Raises `OSError` if the port cannot be bound.
    """
    options = AssociationOptions(config=config, **keywords)
    check_handler(handler)
    check_type("certificate", certificate, Certificate)
    check_capacity("max_associations", max_associations)
    check_capacity("max_half_open", max_half_open)
    policy = peer_policy(verify_peer)
    async with (
        await UDPSocket.bind(port, host=host, dont_fragment=config.path_mtu_discovery) as socket,
        captured(options.capture) as opened,
        trio.open_nursery() as nursery,
    ):

        def associate(transport: DtlsTransport) -> Association:
            return make_association(transport, options, client=False, capture=opened)

        endpoint = DtlsEndpoint(
            socket,
            nursery,
            handler,
            associate,
            certificate,
            policy,
            CookieGate(options.entropy.randbytes(32)),
            max_associations,
            max_half_open,
        )
        task_status.started(endpoint)
        await endpoint._run()
    raise AssertionError("the server runs until it is cancelled")  # pragma: no cover


@dataclass(slots=True)
class DtlsServerStatistics:
    """How a `serve_dtls` does."""

    associations: int = 0
    """Those that there are, handshakes under way included."""
    half_open: int = 0
    """Handshakes under way, that of SCTP included."""
    cookies_sent: int = 0
    handshakes_failed: int = 0
    datagrams_dropped: int = 0
    """From nobody that is known, and no hello."""
    hellos_ignored: int = 0
    """There were too many peers already."""


@final
class DtlsShare(SocketShare):
    """What one peer's DTLS association, ``dtls``, sends and receives."""

    __slots__ = ("dtls",)

    def __init__(self, socket: UDPSocket, address: Address, dtls: DtlsAssociation) -> None:
        super().__init__(socket, address)
        self.dtls = dtls


@final
class DtlsEndpoint:
    """A running `serve_dtls`: where it is bound and how it does."""

    def __init__(
        self,
        socket: UDPSocket,
        nursery: trio.Nursery,
        handler: Handler,
        associate: Callable[[DtlsTransport], Association],
        certificate: Certificate,
        policy: PeerPolicy,
        gate: CookieGate,
        max_associations: int,
        max_half_open: int,
    ) -> None:
        self._socket = socket
        self._nursery = nursery
        self._handler = handler
        self._associate = associate
        self._certificate = certificate
        self._policy = policy
        self._gate = gate
        self._max_associations = max_associations
        self._max_half_open = max_half_open
        self._shares: dict[Address, DtlsShare] = {}
        self._farewells: Farewells[Address] = Farewells()
        self._statistics = DtlsServerStatistics()
        self.local_address: Address = socket.local_address
        """The address it is bound to, as the socket module has it."""

    def __repr__(self) -> str:
        return f"<DtlsEndpoint at {self.local_address}, {len(self._shares)} associations>"

    @property
    def port(self) -> int:
        """The UDP port it is bound to."""
        port: int = self.local_address[1]
        return port

    def statistics(self) -> DtlsServerStatistics:
        """A snapshot: how many there are now, and what was counted since it began."""
        return replace(self._statistics, associations=len(self._shares))

    @enable_ki_protection
    async def _run(self) -> NoReturn:
        while True:
            answers: list[tuple[Address, Sequence[bytes]]] = []
            for address, datagrams in await self._socket.receive_batch():
                share = self._shares.get(address)
                if share is None or any(map(_is_plaintext_handshake, datagrams)):
                    answers += self._judge(address, datagrams, share)
                else:
                    share.deliver(datagrams)
            if answers:
                await self._socket.send_batch(answers)

    def _judge(
        self, address: Address, datagrams: list[bytes], share: DtlsShare | None
    ) -> list[tuple[Address, Sequence[bytes]]]:
        """Datagrams of a stranger, or of a known address where somebody may begin anew."""
        now = trio.current_time()
        replies: list[bytes] = []
        for_share: list[bytes] = []  # in one batch: a mailbox holds only so many
        source = repr(address[:2]).encode()
        for datagram in datagrams:
            verdict = self._gate.examine(datagram, source, now=now)
            hello = verdict.hello
            if verdict.reply is not None:
                # To a known address as well: its client may have lost everything it knew.
                self._statistics.cookies_sent += 1
                replies.append(verdict.reply)
            elif hello is not None and (share is None or share.dtls.client_random != hello.random):
                if share is not None and for_share:
                    share.deliver(for_share)
                    for_share = []
                share = self._begin(address, hello, datagram, share)
            elif share is not None:
                for_share.append(datagram)
            else:
                replies += self._farewells.answer(address, datagram, now=now)
                self._statistics.datagrams_dropped += 1
        if share is not None and for_share:
            share.deliver(for_share)
        return [(address, replies)] if replies else []

    def _begin(
        self, address: Address, hello: ClientHelloPrefix, datagram: bytes, old: DtlsShare | None
    ) -> DtlsShare | None:
        """A client has shown that it can receive at its address."""
        statistics = self._statistics
        if statistics.half_open >= self._max_half_open or (
            old is None and len(self._shares) >= self._max_associations
        ):
            statistics.hellos_ignored += 1
            return old
        if old is not None:
            # RFC 6347 §4.2.8: with a good cookie the new association takes the old one's place.
            old.end(partial(trio.BrokenResourceError, "the peer began anew"))
        self._farewells.forget(address)
        dtls = DtlsAssociation(
            self._certificate,
            self._policy,
            client=False,
            now=trio.current_time(),
            hello=hello,
            key_log=key_log_from_environment(),
        )
        share = self._shares[address] = DtlsShare(self._socket, address, dtls)
        share.deliver([datagram])
        statistics.half_open += 1
        self._nursery.start_soon(self._serve, share)
        return share

    async def _serve(self, share: DtlsShare) -> None:
        transport = DtlsTransport(share, share.dtls)
        association: Association | None = None
        half_open = True
        try:
            with trio.CancelScope() as patience:
                await finish_handshake(transport)
                # Who does no more than that could stay for ever otherwise
                patience.deadline = trio.current_time() + SETUP_TIMEOUT
                association = self._associate(transport)
                async with AssociationManager(association, connect=False):
                    patience.deadline = math.inf
                    half_open = False
                    self._statistics.half_open -= 1
                    await self._handler(association)
            if patience.cancelled_caught:
                self._statistics.handshakes_failed += 1
                LOGGER.info("%s: no SCTP association", plain_address(share.remote_address))
        except Exception as error:
            if association is None and isinstance(error, HandshakeFailed):
                self._statistics.handshakes_failed += 1
            elif association is None or not comes_from(error, association):
                raise
            LOGGER.info("%s: %s", plain_address(share.remote_address), error)
        finally:
            self._statistics.half_open -= half_open
            if self._shares.get(share.remote_address) is share:
                del self._shares[share.remote_address]
                self._farewells.add(share.remote_address, share.dtls, now=trio.current_time())


def _is_plaintext_handshake(datagram: bytes) -> bool:
    """Whether it begins with a handshake record of epoch 0, which may be a hello."""
    return datagram[0] == _HANDSHAKE_RECORD and datagram[3:5] == b"\0\0"
