"""Which of many WebRTC peers on one port a datagram is for (RFC 9443).

A STUN request names the peer's session, a response the request that it answers, and DTLS comes from an
address where a peer has shown to be.  All else is dropped, unanswered.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from ._rtc_ice import Path
from ._webrtc.ice_check import peek_local_ufrag
from ._webrtc.ice_common import IceDatagram

if TYPE_CHECKING:
    from ._rtc_peer import RtcPeer

__all__ = ["KnownBy", "RtcRoutes"]

_OWNED_FOR: Final = 15.0
"""Seconds since an address was last heard of for which nobody else can claim it."""
_MAX_PATHS: Final = 64
_MAX_TRANSACTIONS: Final = 256


class KnownBy:
    """How a peer is recognised at present: what of it stands in the tables of its `RtcRoutes`."""

    __slots__ = ("paths", "transactions", "ufrags")

    def __init__(self) -> None:
        self.paths: dict[Path, float] = {}
        """And when each was last heard on; the one heard of least lately first."""
        self.transactions: deque[bytes] = deque()
        self.ufrags: list[str] = []


class RtcRoutes:
    """The peers by their ICE user names, by transactions under way and by paths."""

    __slots__ = ("by_path", "by_transaction", "by_ufrag", "dropped")

    def __init__(self) -> None:
        self.by_ufrag: dict[str, RtcPeer] = {}
        self.by_path: dict[Path, RtcPeer] = {}
        self.by_transaction: dict[bytes, RtcPeer] = {}
        self.dropped = 0
        """Datagrams for nobody that is known."""

    def forget(self, peer: RtcPeer) -> None:
        """Nothing is for it any more."""
        for ufrag in peer._known_by.ufrags:
            self.by_ufrag.pop(ufrag, None)
        for transaction in peer._known_by.transactions:
            self.by_transaction.pop(transaction, None)
        for path in peer._known_by.paths:
            if self.by_path.get(path) is peer:
                del self.by_path[path]

    def note_credentials(self, peer: RtcPeer) -> None:
        """Its first ones, or new ones: then those of the pair in use are still good."""
        for ufrag in peer._known_by.ufrags:
            self.by_ufrag.pop(ufrag, None)
        peer._known_by.ufrags = peer._session.ice.ufrags
        for ufrag in peer._known_by.ufrags:
            self.by_ufrag[ufrag] = peer

    def note_requests(self, peer: RtcPeer, datagrams: Sequence[IceDatagram]) -> None:
        """Whose the responses will be."""
        for data, _, _ in datagrams:
            if not (data[0] or data[1] & 0x10):  # a request: RFC 8489 §5
                transaction = data[8:20]
                self.by_transaction[transaction] = peer
                peer._known_by.transactions.append(transaction)
        while len(peer._known_by.transactions) > _MAX_TRANSACTIONS:
            self.by_transaction.pop(peer._known_by.transactions.popleft(), None)

    def route(self, datagrams: list[bytes], path: Path, now: float) -> list[IceDatagram]:
        """Hand on datagrams from one sender; what to answer."""
        dtls = datagrams
        if len(datagrams) > 1 or not 20 <= datagrams[0][0] < 64:  # RFC 9443 §2
            dtls = [datagram for datagram in datagrams if 20 <= datagram[0] < 64]
        answers: list[IceDatagram] = []
        if len(dtls) < len(datagrams):
            for datagram in datagrams:
                if datagram[0] < 4:
                    answers += self._route_stun(datagram, path, now)
        if dtls:
            peer = self.by_path.get(path)
            if peer is not None:
                answers += peer._receive_dtls(dtls, path, now)
            else:
                self.dropped += len(dtls)
        return answers

    def _route_stun(self, datagram: bytes, path: Path, now: float) -> list[IceDatagram]:
        ufrag = peek_local_ufrag(datagram)
        peer = (
            self.by_transaction.get(datagram[8:20]) if ufrag is None else self.by_ufrag.get(ufrag)
        )
        if peer is None:
            self.dropped += 1
            return []
        if peer._receive_stun(datagram, path, now) and peer._is_verified(path):
            self._claim(path, peer, now)
        return peer._datagrams_to_send()

    def _claim(self, path: Path, peer: RtcPeer, now: float) -> None:
        """The peer is where the path says.

        Requests can be sent in another's name: whoever was there and is still heard of stays.
        """
        owner = self.by_path.get(path)
        if owner is not None and owner is not peer:
            if not owner._over and now - owner._known_by.paths.get(path, -math.inf) < _OWNED_FOR:
                return
            owner._known_by.paths.pop(path, None)
        self.by_path[path] = peer
        peer._known_by.paths.pop(path, None)
        peer._known_by.paths[path] = now
        if len(peer._known_by.paths) > _MAX_PATHS:
            oldest = next(iter(peer._known_by.paths))
            del peer._known_by.paths[oldest]
            if self.by_path.get(oldest) is peer:
                del self.by_path[oldest]
