"""Serving any number of WebRTC peers on one UDP port, each by a handler of the user.

The program does the signalling, over whatever it has, and gives the offers that it gets to the
`RtcServer`; the rest happens here, one task for each peer.
"""

from __future__ import annotations

import logging
from typing import Final, NoReturn, Unpack, final

import trio

from ._arguments import check_handler
from ._association import Association
from ._core.config import Config
from ._errors import HandshakeFailed, comes_from
from ._options import RtcKeywords, RtcOptions, takes
from ._rtc import DEFAULT_RTC_CONFIG, RtcEndpoint, RtcStatistics, open_rtc_endpoint
from ._rtc_peer import RtcPeer
from ._serve import Handler
from ._webrtc.certificate import Certificate
from ._webrtc.stun import Address

__all__ = ["RtcServer", "serve_rtc"]

OFFER_LIFETIME: Final = 120.0
"""Seconds within which an offer of ours has to be answered and lead to a connection."""

LOGGER = logging.getLogger("trio_sctp.serve_rtc")


@takes(RtcOptions)
async def serve_rtc(
    handler: Handler,
    port: int,
    *,
    lite: bool = True,
    config: Config = DEFAULT_RTC_CONFIG,
    task_status: trio.TaskStatus[RtcServer] = trio.TASK_STATUS_IGNORED,
    **keywords: Unpack[RtcKeywords],
) -> NoReturn:
    """Run ``handler(association)`` for every WebRTC peer; ``nursery.start`` returns an `RtcServer`,
    which makes answers of offers.

    The arguments are those of `open_rtc_endpoint`, but that ``lite`` is the default: a server is there
    to be reached.  Set it to False on a machine behind a NAT.

    For handlers the rules of `serve_udp` hold: returning closes the peer gracefully, raising aborts
    it, and an exception ends the server unless it only says how the handler's own association ended:
    that is logged to ``trio_sctp.serve_rtc``, as are peers with whom no association comes about.  A
    peer that vanishes ends its association with `AssociationLost`.

    Never returns.  Raises `OSError` if an address cannot be bound.
    """
    check_handler(handler)
    async with (
        open_rtc_endpoint(port, lite=lite, config=config, **keywords) as endpoint,
        trio.open_nursery() as nursery,
    ):
        task_status.started(RtcServer(endpoint, nursery, handler))
        await trio.sleep_forever()
    raise AssertionError("the server runs until it is cancelled")  # pragma: no cover


@final
class RtcServer:
    """A running `serve_rtc`."""

    def __init__(self, endpoint: RtcEndpoint, nursery: trio.Nursery, handler: Handler) -> None:
        self._endpoint = endpoint
        self._nursery = nursery
        self._handler = handler

    def __repr__(self) -> str:
        return f"<RtcServer at port {self.port}, {self.statistics().peers} peers>"

    @property
    def port(self) -> int:
        """The UDP port it is bound to."""
        return self._endpoint.port

    @property
    def local_addresses(self) -> list[Address]:
        """Where it is bound."""
        return self._endpoint.local_addresses

    @property
    def certificate(self) -> Certificate:
        """What it shows to its peers."""
        return self._endpoint.certificate

    def statistics(self) -> RtcStatistics:
        """A snapshot: how many there are now, and what was counted since it began."""
        return self._endpoint.statistics()

    async def answer(
        self, offer: str, *, trickle: bool = False, handler: Handler | None = None
    ) -> RtcPeer:
        """Serve the peer that made this offer (SDP); send it the ``local_description`` of what comes
        back.  As `RtcEndpoint.answer`, but that the peer is entered here.

        ``handler`` takes the place of the server's for this peer: `functools.partial` can give it what
        signalling knows, such as who has logged in.
        """
        check_handler(handler, optional=True)
        peer = await self._endpoint.answer(offer, trickle=trickle)
        return self._serve_soon(peer, handler)

    async def offer(self, *, trickle: bool = False, handler: Handler | None = None) -> RtcPeer:
        """Serve a peer that answers the ``local_description`` of what comes back; give its answer to
        ``accept_answer`` within two minutes.  ``handler`` is as in `answer`.
        """
        check_handler(handler, optional=True)
        return self._serve_soon(await self._endpoint.offer(trickle=trickle), handler)

    def _serve_soon(self, peer: RtcPeer, handler: Handler | None) -> RtcPeer:
        handler = handler or self._handler
        self._nursery.start_soon(self._serve, peer, handler, name=f"handler of {peer!r}")
        return peer

    async def _serve(self, peer: RtcPeer, handler: Handler) -> None:
        association: Association | None = None
        with trio.move_on_after(OFFER_LIFETIME) as unanswered:
            await peer.connected()
        if unanswered.cancelled_caught:
            await peer.aclose()
            LOGGER.info("%r: the offer was not answered", peer)
            return
        try:
            async with peer as association:
                await handler(association)
        except Exception as error:
            if association is None:
                expected = isinstance(error, (HandshakeFailed, trio.ClosedResourceError))
            else:
                expected = comes_from(error, association)
            if not expected:
                raise
            LOGGER.info("%r: %s", peer, error)
