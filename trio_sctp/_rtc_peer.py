"""One WebRTC peer: its ICE agent, then DTLS, then the association; a context manager that yields it.

ICE runs in the endpoint's own tasks from the moment when the peer is made, so that checks are answered
while the program is busy with signalling.  DTLS and SCTP run in whoever enters the peer.  What arrives
for DTLS waits at the peer's mailbox, as it would at a socket.
"""

from __future__ import annotations

import math
from contextlib import AbstractAsyncContextManager, suppress
from types import TracebackType
from typing import Final, Protocol, final

import trio
from trio.lowlevel import enable_ki_protection

from ._arguments import check_type
from ._association import Association
from ._dtls_transport import DtlsTransport, finish_handshake
from ._errors import AssociationError, AssociationLost, HandshakeFailed
from ._key_log import key_log_from_environment
from ._open_association import AssociationManager
from ._rtc_ice import Ice, Path
from ._rtc_routes import KnownBy, RtcRoutes
from ._rtc_session import RtcSession
from ._rtc_share import RtcShare
from ._rtc_sockets import RtcSockets
from ._webrtc.certificate import Certificate, Fingerprint, PeerPolicy
from ._webrtc.dtls import DtlsAssociation
from ._webrtc.dtls_common import DtlsConfig
from ._webrtc.ice_candidate import Candidate
from ._webrtc.ice_common import (
    IceDatagram,
    IceFailed,
    IceFailureReason,
    LocalCandidate,
    PairSelected,
)
from ._webrtc.sdp_common import SdpType
from ._webrtc.sdp_remote import RemoteDescription

__all__ = ["RtcPeer"]

LINGER: Final = 3.0
"""Seconds for which a peer that was closed still answers: it may have missed the good-bye."""
_DTLS_CONFIG: Final = DtlsConfig(initial_rto=0.2, max_rto=3.0)  # ICE has shown that the path works


class PeerOwner(Protocol):
    """The endpoint, seen from its peers."""

    _sockets: RtcSockets
    _routes: RtcRoutes
    certificate: Certificate

    def _associate(self, peer: RtcPeer, transport: DtlsTransport) -> Association: ...
    def _on_settled(self, peer: RtcPeer) -> None: ...
    def _on_over(self, peer: RtcPeer) -> None: ...


@final
class RtcPeer(AbstractAsyncContextManager[Association]):
    """A WebRTC peer to be, as `RtcEndpoint.answer` and `RtcEndpoint.offer` give it.

    Send it `local_description`; after an offer, hand its answer to `accept_answer`; then enter it:
    ``async with peer as association``.  That waits until ICE, DTLS and SCTP are through, and leaving
    is as with `open_association`, with a DTLS close_notify at the end.

    Every peer has to be entered or closed.
    """

    def __init__(self, owner: PeerOwner, session: RtcSession, *, max_datagram_size: int) -> None:
        self._owner = owner
        self._session = session
        self._ice: Ice = session.ice
        self._share = RtcShare(session.ice, owner._sockets, max_datagram_size)
        self._dtls: DtlsAssociation | None = None
        self._transport: DtlsTransport | None = None
        self._manager: AssociationManager | None = None
        self._association: Association | None = None
        self._entered = False
        self._over = False
        self._finished = False
        """It is over for itself, and not because its endpoint is."""
        self._connected = trio.Event()
        self._gathered = trio.Event()
        self._timer = trio.CancelScope()
        self._selected: Path | None = None
        self._announce, self.local_candidates = trio.open_memory_channel[str](math.inf)
        """Our candidates as they become known, for signalling that trickles: texts as in a browser's
        ``RTCIceCandidate.candidate``.  The channel ends with the last one."""
        self._known_by = KnownBy()
        self._settle(trio.current_time())

    def __repr__(self) -> str:
        state = "over" if self._over else "established" if self._association else "connecting"
        where = self._ice.send_path
        return f"<RtcPeer{'' if where is None else f' at {where[1]}'} {state}>"

    # -- signalling

    @property
    def local_description(self) -> str:
        """Our offer or answer, SDP to be sent to the peer, with the candidates known so far."""
        return self._session.description(trickling=not self._gathered.is_set())

    @property
    def description_type(self) -> str:
        """``offer`` or ``answer``, for signalling."""
        return self._session.type

    @property
    def peer_fingerprints(self) -> tuple[Fingerprint, ...]:
        """What the peer's description said about its certificate; empty before there is one."""
        remote = self._session.remote
        return () if remote is None else remote.fingerprints

    async def connected(self) -> None:
        """Wait until ICE has found a way to the peer, or failed, or the peer was closed."""
        await self._connected.wait()

    async def gathered(self) -> None:
        """Wait until all our candidates are known, or the peer is over."""
        await self._gathered.wait()

    def accept_answer(self, sdp: str) -> None:
        """The peer's answer to our offer.  Raises `SdpError` if it is none for data channels, and
        `trio.ClosedResourceError` if the peer is over, as one is whose answer comes too late.
        """
        self._check_can_signal(sdp)
        self._session.accept_answer(RemoteDescription.parse(sdp, SdpType.ANSWER))
        self._settle(trio.current_time())

    def add_candidate(self, candidate: str | None) -> None:
        """A candidate that the peer trickles; None or "" says that there are no more.

        One that cannot be used, such as a name that only mDNS knows, is ignored.  Raises
        `ValueError` for what is no candidate.
        """
        check_type("candidate", candidate, str, optional=True)
        if candidate:
            self._ice.add_remote_candidate(Candidate.parse(candidate), trio.current_time())
            self._settle(trio.current_time())

    def renegotiate(self, offer: str) -> str:
        """A further offer of the peer's in the same session, for an ICE restart say; our answer.

        Raises `SdpError` for what makes no sense, another certificate included, and
        `trio.ClosedResourceError` if the peer is over: then a new session is needed.
        """
        self._check_can_signal(offer)
        self._session.accept_offer(RemoteDescription.parse(offer, SdpType.OFFER))
        self._after_restart()
        return self.local_description

    def restart_ice(self) -> str:
        """Begin ICE anew, if the peer is on another network perhaps: an offer, to whose answer
        `accept_answer` is due.  The association goes on meanwhile.  Raises
        `trio.ClosedResourceError` if it is over.
        """
        self._check_can_signal()
        self._session.restart()
        self._after_restart()
        return self.local_description

    def _check_can_signal(self, description: str = "") -> None:
        check_type("description", description, str)
        # Where the endpoint is being cancelled, the program hears of that and of nothing else.
        if self._finished:
            raise trio.ClosedResourceError(f"{self!r}")

    def _after_restart(self) -> None:
        self._owner._routes.note_credentials(self)
        self._settle(trio.current_time())

    # -- entering and leaving

    @enable_ki_protection
    async def __aenter__(self) -> Association:
        if self._entered:
            raise RuntimeError("an RtcPeer can be entered once")
        self._entered = True
        try:
            self._transport = await self._secure()
            association = self._owner._associate(self, self._transport)
            self._manager = AssociationManager(association, connect=True, inits=self._session.inits)
            self._association = await self._manager.__aenter__()
        except BaseException:
            self._finish()
            raise
        self._owner._on_settled(self)
        return association

    async def _secure(self) -> DtlsTransport:
        """ICE, then DTLS."""
        await self._connected.wait()
        if self._share.why_over is not None:
            error = self._share.why_over()
            if isinstance(error, trio.ClosedResourceError):
                raise error
            raise HandshakeFailed(f"no way to the peer: {error}", reason=str(error))
        remote = self._session.remote
        assert remote is not None
        self._dtls = DtlsAssociation(
            self._owner.certificate,
            PeerPolicy.fingerprints(*remote.fingerprints),
            client=self._session.is_dtls_client,
            now=trio.current_time(),
            config=_DTLS_CONFIG,
            key_log=key_log_from_environment(),
        )
        transport = DtlsTransport(self._share, self._dtls)
        await finish_handshake(transport)
        return transport

    @enable_ki_protection
    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._manager is not None
        try:
            await self._manager.__aexit__(kind, error, traceback)
        finally:
            self._finish()

    async def aclose(self) -> None:
        """Forget a peer that is not entered.  One that is ends by leaving its block."""
        if self._association is None:
            self._finish()
        await trio.lowlevel.checkpoint()

    def _finish(self) -> None:
        if not self._over:
            self._over = self._finished = True
            self._owner._on_settled(self)
            self._share.fail(lambda: trio.ClosedResourceError("this peer was closed"))
            self._connected.set()
            self._end_gathering()
            self._timer.cancel()

    # -- what the endpoint hands in

    @property
    def _is_over(self) -> bool:
        """As the attribute, which mypy believes to be the same after an await."""
        return self._over

    def _is_verified(self, path: Path) -> bool:
        return self._ice.is_verified(path)

    def _receive_stun(self, datagram: bytes, path: Path, now: float) -> bool:
        authentic = self._ice.receive(datagram, path, now)
        self._settle(now)
        return authentic

    def _receive_dtls(self, datagrams: list[bytes], path: Path, now: float) -> list[IceDatagram]:
        """Datagrams from where the peer has proven to be; what to answer if it is over."""
        if not self._over:
            self._share.deliver(datagrams)
        elif self._dtls is not None:
            self._dtls.receive_datagrams(datagrams, now=now)
            return [IceDatagram(data, *path) for data in self._dtls.datagrams_to_send()]
        return []

    def _datagrams_to_send(self) -> list[IceDatagram]:
        """What ICE has to say."""
        datagrams = self._ice.datagrams_to_send()
        if datagrams and not self._ice.lite:
            self._owner._routes.note_requests(self, datagrams)
        return datagrams

    @enable_ki_protection
    async def _run(self) -> None:
        """ICE's timer, from the beginning to some seconds after the end."""
        try:
            while not self._over:
                await self._owner._sockets.send(self._datagrams_to_send())
                if self._is_over:
                    break  # closed meanwhile: nobody will wake it
                with trio.CancelScope(deadline=self._ice.next_timeout()) as self._timer:
                    await trio.sleep_forever()
                now = trio.current_time()
                self._ice.handle_timeout(now)
                self._settle(now)
                if self._share.why_over is not None and not self._entered:
                    self._finish()  # whoever enters it later is told why
            if self._dtls is not None:
                await trio.sleep(LINGER)
        finally:
            # Cancelled with the endpoint: whoever has entered the peer may still say good-bye.
            if self._over or not self._entered:
                self._cut_off()

    def _cut_off(self) -> None:
        """The endpoint has no more to do with it."""
        self._over = True
        self._share.fail(lambda: trio.ClosedResourceError("the endpoint was closed"))
        self._connected.set()
        self._end_gathering()
        self._owner._on_over(self)

    def _settle(self, now: float) -> None:
        """The agent was given something: see what came of it."""
        while (event := self._ice.next_event()) is not None:
            if isinstance(event, LocalCandidate):
                self._on_candidate(event.candidate)
            elif isinstance(event, PairSelected):
                self._on_selected((event.local, event.remote), now)
            elif isinstance(event, IceFailed):
                self._on_failed(event.reason)
        if self._ice.gathering_complete:
            self._end_gathering()
        if self._session.remote is not None and self._ice.send_path is not None:
            self._connected.set()
        self._timer.deadline = self._ice.next_timeout()

    def _end_gathering(self) -> None:
        self._gathered.set()
        self._announce.close()

    def _on_candidate(self, candidate: Candidate) -> None:
        # A STUN server may answer when the peer is over or nobody wants to hear of it any more.
        with suppress(trio.ClosedResourceError, trio.BrokenResourceError):
            for text in self._session.announced(candidate):
                self._announce.send_nowait(text)

    def _on_selected(self, path: Path, now: float) -> None:
        before, self._selected = self._selected, path
        association = self._association
        if association is not None:
            association.peer_address = path[1]
            if before not in (None, path):
                # The window and the path MTU belong to the old path (RFC 8261 §6.1).
                association._core.path_changed(now=now)
                association._touched(now)

    def _on_failed(self, reason: IceFailureReason) -> None:
        # Before anything was nominated there may have been an association already.
        was_there = reason is IceFailureReason.CONSENT_LOST or self._association is not None
        kind: type[AssociationError] = AssociationLost if was_there else HandshakeFailed
        self._share.fail(lambda: kind(f"ICE: {reason.value}"))
        self._connected.set()
