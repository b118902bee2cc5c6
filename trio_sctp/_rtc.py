"""A WebRTC endpoint: any number of peers on one UDP port, by offer and answer.

`open_rtc_endpoint` binds the sockets and runs the tasks that all peers share: one for each socket,
which hands on what arrives, and a timer for each peer.  Who a datagram is for, `_rtc_routes` knows.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, NoReturn, Unpack, final

import trio
from trio.lowlevel import enable_ki_protection

from ._arguments import check_type, public_addresses
from ._association import Association
from ._background import BackgroundNursery
from ._capture import PacketCapture, captured
from ._core.config import Config
from ._dtls_transport import DtlsTransport
from ._open_association import make_association, make_init
from ._options import RtcKeywords, RtcOptions, takes
from ._rtc_ice import FullIce, Ice, LiteIce
from ._rtc_peer import RtcPeer
from ._rtc_routes import RtcRoutes
from ._rtc_session import DtlsRole, RtcSession
from ._rtc_sockets import RtcSockets, resolve_servers
from ._udp_socket import UDPSocket
from ._webrtc.certificate import Certificate
from ._webrtc.ice_common import IceConfig, IceDatagram
from ._webrtc.sdp_common import SdpType
from ._webrtc.sdp_lines import SdpError
from ._webrtc.sdp_remote import RemoteDescription
from ._webrtc.stun import Address

__all__ = [
    "DEFAULT_RTC_CONFIG",
    "RtcEndpoint",
    "RtcStatistics",
    "TooManyPeersError",
    "open_rtc_endpoint",
]

DEFAULT_RTC_CONFIG: Final = Config(
    path_mtu=1160,
    rto_initial=0.5,
    rto_min=0.4,
    rto_max=3.0,
    max_init_retransmits=12,
    association_max_retrans=30,
)
"""As for DTLS, and with the shorter time-outs that WebRTC stacks use.  How long a peer may be silent
is left to ICE's consent (RFC 7675): after a shorter interruption packets should soon flow again."""


class TooManyPeersError(RuntimeError):
    """The endpoint has as many peers, or half-open ones, as it may have."""


@dataclass(slots=True)
class RtcStatistics:
    """How an endpoint does."""

    peers: int = 0
    """Those there are, also before and shortly after their association."""
    half_open: int = 0
    """Those whose association is not up yet."""
    datagrams_dropped: int = 0
    """For nobody that is known."""


@asynccontextmanager
@takes(RtcOptions)
async def open_rtc_endpoint(
    port: int = 0,
    *,
    lite: bool = False,
    config: Config = DEFAULT_RTC_CONFIG,
    **keywords: Unpack[RtcKeywords],
) -> AsyncIterator[RtcEndpoint]:
    """A WebRTC endpoint at UDP ``port``, as an async context manager.

    ``host`` names the addresses to bind; without it, those of all interfaces are, each with a socket of
    its own on the same port (0 lets the system choose it).  ``certificate`` is shown to all peers;
    without one it is made for this time.

    ``lite`` is for a server that its peers can reach as it is: it waits for their checks (ICE lite, RFC
    8445 §2.5).  Otherwise the endpoint checks by itself, which also gets through a NAT on its side;
    ``stun_servers`` (``"stun:host:port"`` or (host, port)) then tell it how it looks from outside.
    ``public_hosts`` are the addresses of this machine where a static translation (a cloud's) stands
    before it: they are announced in place of its own.  Of both a single one may stand for itself.

    With ``snap`` descriptions carry an INIT chunk; where the peer's does, too, the association is up
    without a handshake of its own, two round trips sooner (draft-hancke-tsvwg-snap).

    At most ``max_peers`` and ``max_half_open`` peers without association at a time: more raise
    `TooManyPeersError` from ``answer`` and ``offer``.  ``ice`` has the timing; all else is as in
    `open_association`, for each peer.

    ``max_datagram_size``, from 1200 to 65507 bytes, is how far the search for the path MTU goes.  The
    default is what Ethernet carries: more is for peers that are known to read more, as this library
    does; browsers and other stacks fail on larger datagrams.

    Nothing in DTLS tells two sessions apart that have the same addresses at both ends: two endpoints
    with one address each can have one session with each other at a time.

    Raises `OSError` if an address cannot be bound or a STUN server's name is unknown, and `ValueError`
    for a size out of range.  All peers have to be left before the endpoint is.
    """
    options = RtcOptions(config=config, lite=lite, **keywords)
    public_hosts = public_addresses(options.public_hosts)
    stun_servers = await resolve_servers(options.stun_servers)
    sockets = await RtcSockets.bind(port, options.host, dont_fragment=config.path_mtu_discovery)
    try:
        async with captured(options.capture) as opened, BackgroundNursery() as nursery:
            endpoint = RtcEndpoint(sockets, nursery, options, public_hosts, stun_servers, opened)
            endpoint._start()
            try:
                yield endpoint
            finally:
                endpoint._let_go()
    finally:
        sockets.close()


@final
class RtcEndpoint:
    """What `open_rtc_endpoint` gives: makes peers of offers and answers."""

    def __init__(
        self,
        sockets: RtcSockets,
        nursery: BackgroundNursery,
        options: RtcOptions,
        public_hosts: Sequence[str],
        stun_servers: Sequence[Address],
        capture: PacketCapture | None,
    ) -> None:
        self._sockets = sockets
        self.certificate = options.certificate or Certificate.generate()
        self._options = options
        self._ice = options.ice or IceConfig()
        self._public_hosts = public_hosts
        self._stun_servers = stun_servers
        self._capture = capture
        self._nursery = nursery
        self._peers: dict[RtcPeer, None] = {}
        self._half_open: set[RtcPeer] = set()
        self._routes = RtcRoutes()
        self._closed = False

    def __repr__(self) -> str:
        return f"<RtcEndpoint at port {self.port}, {len(self._peers)} peers>"

    @property
    def port(self) -> int:
        """The UDP port it is bound to."""
        return self._sockets.port

    @property
    def local_addresses(self) -> list[Address]:
        """Where it is bound."""
        return self._sockets.addresses

    def statistics(self) -> RtcStatistics:
        """A snapshot: how many there are now, and what was counted since it began."""
        return RtcStatistics(
            peers=len(self._peers),
            half_open=len(self._half_open),
            datagrams_dropped=self._routes.dropped,
        )

    # -- peers

    async def answer(
        self, offer: str, *, trickle: bool = False, dtls_role: DtlsRole | None = None
    ) -> RtcPeer:
        """A peer that has made an ``offer`` (SDP): its `RtcPeer.local_description` is the answer.

        With ``trickle`` the answer does not wait for STUN servers, and later candidates come from
        `RtcPeer.local_candidates`.  ``dtls_role``, "client" or "server", is ours where the offer leaves
        the choice.

        Raises `SdpError` if no data channels can come of the offer, and `TooManyPeersError`.
        """
        check_type("offer", offer, str)
        remote = RemoteDescription.parse(offer, SdpType.OFFER)  # before anything is kept of it
        self._check_is_of_another(remote)
        # Two lite agents would wait for each other: towards one that is, we are not.
        ice = self._make_ice(controlling=False, lite=self._options.lite and not remote.ice_lite)
        session = self._make_session(ice, dtls_role)
        session.accept_offer(remote)
        return await self._introduce(session, trickle=trickle)

    def _check_is_of_another(self, remote: RemoteDescription) -> None:
        # A port cannot have DTLS with itself: both ends would be at the same address.
        if (
            remote.credentials.ufrag in self._routes.by_ufrag
            and self.certificate.fingerprint() in remote.fingerprints
        ):
            raise SdpError("this endpoint's own offer: it takes another endpoint to answer it")

    async def offer(self, *, trickle: bool = False) -> RtcPeer:
        """A peer to be called: `RtcPeer.local_description` is the offer, to be sent to it by
        whatever means, and its answer goes to `RtcPeer.accept_answer`.

        ``trickle`` is as in `answer`.  Raises `TooManyPeersError`.
        """
        ice = self._make_ice(controlling=True, lite=self._options.lite)
        return await self._introduce(self._make_session(ice, None), trickle=trickle)

    def _make_ice(self, *, controlling: bool, lite: bool) -> Ice:
        hosts, rng, now = self._sockets.addresses, self._options.entropy, trio.current_time()
        if lite:
            return LiteIce(hosts, rng=rng, now=now, config=self._ice)
        return FullIce(
            hosts,
            list(self._stun_servers),
            controlling=controlling,
            rng=rng,
            now=now,
            config=self._ice,
        )

    def _make_session(self, ice: Ice, dtls_role: DtlsRole | None) -> RtcSession:
        options = self._options
        return RtcSession(
            ice,
            self.certificate,
            rng=options.entropy,
            sctp_port=options.config.local_port,
            max_message_size=options.config.max_message_size,
            public_hosts=self._public_hosts,
            dtls_role=dtls_role,
            sctp_init=make_init(options.config, rng=options.entropy) if options.snap else None,
        )

    def _check_is_open(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError("the endpoint was closed")

    async def _introduce(self, session: RtcSession, *, trickle: bool) -> RtcPeer:
        self._check_is_open()
        if len(self._half_open) >= self._options.max_half_open:
            raise TooManyPeersError(f"{len(self._half_open)} peers are connecting")
        if len(self._peers) >= self._options.max_peers:
            raise TooManyPeersError(f"there are {len(self._peers)} peers")
        size = self._options.max_datagram_size
        peer = RtcPeer(self, session, max_datagram_size=size)
        self._peers[peer] = None
        self._half_open.add(peer)
        self._routes.note_credentials(peer)
        self._nursery.start_soon(peer._run, name=f"ICE of {session.ice.credentials.ufrag}")
        try:
            if trickle:
                await trio.lowlevel.checkpoint()
            else:
                await peer.gathered()
            self._check_is_open()
        except BaseException:
            peer._finish()
            raise
        return peer

    # -- what peers tell

    def _associate(self, peer: RtcPeer, transport: DtlsTransport) -> Association:
        """The association over a peer's DTLS; both ends of it will send INIT."""
        remote = peer._session.remote
        assert remote is not None
        return make_association(
            transport,
            self._options.with_peer(remote.sctp_port, remote.max_message_size),
            client=transport._dtls.client,
            capture=self._capture,
            pads_probes=False,  # werift ends by a chunk that it does not know
        )

    def _on_settled(self, peer: RtcPeer) -> None:
        """It has an association, or will not have one."""
        self._half_open.discard(peer)

    def _on_over(self, peer: RtcPeer) -> None:
        self._half_open.discard(peer)
        self._peers.pop(peer, None)
        self._routes.forget(peer)

    def _let_go(self) -> None:
        self._closed = True
        for peer in tuple(self._peers):
            peer._cut_off()

    # -- what arrives

    def _start(self) -> None:
        for local, socket in self._sockets.by_address.items():
            self._nursery.start_soon(self._receive, socket, local, name=f"receiver at {local}")

    @enable_ki_protection
    async def _receive(self, socket: UDPSocket, local: Address) -> NoReturn:
        clock = trio.lowlevel.current_clock()
        while True:
            batch = await socket.receive_batch()
            now = clock.current_time()
            answers: list[IceDatagram] = []
            for address, datagrams in batch:
                answers += self._routes.route(datagrams, (local, address[:2]), now)
            if answers:
                await self._sockets.send(answers)
