"""Associations over DTLS over UDP, without ICE (RFC 8261)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Unpack

from ._association import Association
from ._core.config import Config
from ._dtls_transport import (
    DEFAULT_DTLS_CONFIG,
    VerifyPeer,
    give_up,
    open_dtls,
    peer_policy,
)
from ._open_association import manager_of
from ._options import AssociationKeywords, AssociationOptions, takes
from ._udp_socket import ConnectedUDPSocket
from ._webrtc.certificate import Certificate, Fingerprint

__all__ = ["open_dtls_association"]


@asynccontextmanager
@takes(AssociationOptions)
async def open_dtls_association(
    host: str,
    port: int,
    *,
    certificate: Certificate | None = None,
    peer_fingerprint: Fingerprint | str | Iterable[Fingerprint | str] | None = None,
    verify_peer: VerifyPeer | None = None,
    local_host: str | None = None,
    local_port: int = 0,
    connect: bool = True,
    inits: tuple[bytes, bytes] | None = None,
    config: Config = DEFAULT_DTLS_CONFIG,
    **keywords: Unpack[AssociationKeywords],
) -> AsyncIterator[Association]:
    """An association over DTLS with the server at ``host``, UDP ``port``, as a context manager.

    ``certificate`` is what this end shows; without one it makes one for this time.  Who the server
    must be has to be said, by ``peer_fingerprint`` (its certificate's fingerprint, or several of which
    one must fit) or by ``verify_peer`` (a `PeerPolicy`: fingerprints, an authority, or anyone).
    ``inits`` are as in `open_association`, all else as in `open_udp_association`; this end opens
    channels on even ids.

    Raises `CertificateRejected` if somebody else is there, `HandshakeFailed` if nobody, and `OSError`
    if the name is unknown or no socket can be made.
    """
    if (peer_fingerprint is None) == (verify_peer is None):
        raise TypeError("one of peer_fingerprint and verify_peer has to say who the peer must be")
    options = AssociationOptions(config=config, **keywords)
    accepted = peer_fingerprint if verify_peer is None else verify_peer
    assert accepted is not None
    policy = peer_policy(accepted)
    socket = await ConnectedUDPSocket.connect(
        host,
        port,
        local_host=local_host,
        local_port=local_port,
        dont_fragment=config.path_mtu_discovery,
    )
    try:
        transport = await open_dtls(
            socket,
            client=True,
            certificate=certificate or Certificate.generate(),
            verify_peer=policy,
        )
    except BaseException:
        socket.close()
        raise
    try:
        manager = manager_of(transport, options, client=True, connect=connect, inits=inits)
    except BaseException:  # a capture that cannot be made, say: the server is told
        await give_up(transport)
        raise
    async with manager as association:
        yield association
