"""DTLS over any transport of datagrams, as a transport itself (RFC 8261).

The protocol is `trio_sctp._webrtc.dtls`; here it meets trio: one task does the handshake, and then
whoever sends has his packets protected and whoever receives gets those of the proven peer, in the same
batches as below.
"""

from __future__ import annotations

import ssl
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final, TypeAlias, final

import trio
from trio.lowlevel import checkpoint, checkpoint_if_cancelled

from ._arguments import check_type
from ._core.config import Config
from ._errors import HandshakeFailed
from ._key_log import key_log_from_environment
from ._mailbox import Mailbox
from ._transport import DatagramTransport, as_datagram_transport
from ._webrtc.certificate import Certificate, Fingerprint, PeerPolicy
from ._webrtc.dtls import DtlsAssociation
from ._webrtc.dtls_common import (
    DtlsClosed,
    DtlsCloseReason,
    DtlsConfig,
    DtlsEstablished,
    DtlsStatistics,
)
from ._webrtc.dtls_record import MAX_PLAINTEXT

__all__ = [
    "DEFAULT_DTLS_CONFIG",
    "CertificateRejected",
    "DtlsTransport",
    "VerifyPeer",
    "open_dtls",
    "peer_policy",
]

DEFAULT_DTLS_CONFIG: Final = Config(path_mtu=1160)
"""What associations over DTLS have unless told otherwise: with the record around it, a packet still
fits into 1200 bytes of UDP payload."""

VerifyPeer: TypeAlias = PeerPolicy | Fingerprint | str | Iterable[Fingerprint | str]
"""Who the peer must be: a fingerprint, several of them, or a `PeerPolicy`, which may also be a
certificate authority or, said aloud, anyone."""


class CertificateRejected(HandshakeFailed):
    """The peer has shown a certificate that is not the one it has to have."""


def peer_policy(verify_peer: VerifyPeer) -> PeerPolicy:
    """The policy that ``verify_peer`` means; `ValueError` if it would refuse everybody."""
    if isinstance(verify_peer, PeerPolicy):
        return verify_peer
    if isinstance(verify_peer, (Fingerprint, str)):
        return PeerPolicy.fingerprints(verify_peer)
    if not isinstance(verify_peer, Iterable):
        raise TypeError(
            f"verify_peer is {verify_peer!r}: it must be a PeerPolicy or one or several fingerprints"
        )
    return PeerPolicy.fingerprints(*verify_peer)


@final
class DtlsTransport(DatagramTransport):
    """DTLS on top of ``transport``, which it owns; `open_dtls` makes one and does the handshake."""

    __slots__ = (
        "_can_send_nowait",
        "_clock",
        "_closed",
        "_dtls",
        "_pending",
        "_transport",
        "_why_over",
        "peer_certificate",
    )

    def __init__(self, transport: DatagramTransport, dtls: DtlsAssociation) -> None:
        self._transport = transport
        self._clock = trio.lowlevel.current_clock()
        self._dtls = dtls
        below = type(transport).send_batch_nowait
        self._can_send_nowait = below is not DatagramTransport.send_batch_nowait
        self._closed = False
        self._why_over: DtlsClosed | None = None
        self._pending: deque[bytes] = deque()  # rest of a batch of which `receive` took a part
        self.peer_certificate: bytes | None = None
        """What the peer has proven to hold the key of, in DER."""

    def __repr__(self) -> str:
        return f"<DtlsTransport over {self._transport!r}>"

    @property
    def max_datagram_size(self) -> int:
        room = self._transport.max_datagram_size - self._dtls.record_overhead
        return min(room, MAX_PLAINTEXT)

    @property
    def never_fragments(self) -> bool:
        return self._transport.never_fragments

    @property
    def datagram_overhead(self) -> int:
        return self._transport.datagram_overhead + self._dtls.record_overhead

    @property
    def protects_integrity(self) -> bool:
        return True

    @property
    def remote_address(self) -> Any:
        """Where the peer is, if the transport below knows."""
        return getattr(self._transport, "remote_address", None)

    @property
    def peer_fingerprint(self) -> Fingerprint | None:
        """The SHA-256 fingerprint of `peer_certificate`."""
        return None if self.peer_certificate is None else Fingerprint.of(self.peer_certificate)

    def statistics(self) -> DtlsStatistics:
        """A snapshot, also after the end."""
        return replace(self._dtls.statistics)

    async def _handshake(self) -> None:
        """Wait until the peer has proven who it is.

        Raises `CertificateRejected` if it is somebody else and `HandshakeFailed` for all other ways
        in which there will be no association.  To be called once, before anything else.
        """
        await checkpoint()
        if self._dtls.client:
            self._dtls.start(now=trio.current_time())
        try:
            while not self._is_settled():
                await self._flush()
                await self._one_input()
            await self._flush()
        except (
            OSError,
            trio.EndOfChannel,
            trio.BrokenResourceError,
            trio.ClosedResourceError,
        ) as error:
            if isinstance(error, HandshakeFailed):
                raise
            raise HandshakeFailed(f"no DTLS handshake: {error}") from error
        if self._why_over is not None:
            raise _handshake_failure(self._why_over)

    def _is_settled(self) -> bool:
        """Whether the handshake is over, one way or the other."""
        while (event := self._dtls.next_event()) is not None:
            if isinstance(event, DtlsEstablished):
                self.peer_certificate = self._dtls.peer_certificate
            else:
                self._why_over = event
        return self.peer_certificate is not None or self._why_over is not None

    async def _one_input(self) -> None:
        """A batch of datagrams, or the time-out."""
        with trio.move_on_at(self._dtls.next_timeout()):
            batch = await self._transport.receive_batch()
            self._dtls.receive_datagrams(batch, now=trio.current_time())
            return
        self._dtls.handle_timeout(now=trio.current_time())

    async def _flush(self) -> None:
        if datagrams := self._dtls.datagrams_to_send():
            await self._transport.send_batch(datagrams)

    async def send_batch(self, datagrams: Sequence[bytes]) -> None:
        await checkpoint_if_cancelled()
        self._check_usable()
        await self._transport.send_batch(self._dtls.protect(datagrams, now=trio.current_time()))

    def send_batch_nowait(self, datagrams: Sequence[bytes]) -> int:
        if self._closed or self._dtls.closed:
            self._check_usable()
        if not self._can_send_nowait:
            return 0
        records = self._dtls.protect(datagrams, now=self._clock.current_time())
        unsent = len(records) - self._transport.send_batch_nowait(records)
        # What finds no room is protected once more when it is its turn: no record number counts twice.
        return len(datagrams) - unsent if unsent < len(datagrams) else 0

    async def send_fragmented(self, datagrams: Sequence[bytes]) -> None:
        await checkpoint_if_cancelled()
        self._check_usable()
        records = self._dtls.protect(datagrams, now=trio.current_time())
        await self._transport.send_fragmented(records)

    def deliver_to(self, take: Callable[[list[bytes]], None]) -> None:
        def read_at_once(datagrams: list[bytes]) -> list[bytes]:
            taken, packets = self._dtls.take_packets(datagrams)
            if packets:
                take(packets)
            return datagrams[taken:] if taken < len(datagrams) else []

        if isinstance(self._transport, Mailbox):
            self._transport.read_at_once = read_at_once

    async def receive_batch(self) -> list[bytes]:
        dtls = self._dtls
        if self._pending:
            await checkpoint()
            batch = list(self._pending)
            self._pending.clear()
            return batch
        while True:
            # A packet is taken after the last await, so that none is lost by a cancellation.
            await self._flush()
            if packets := dtls.packets_received():
                return packets
            self._check_usable(receiving=True)
            batch = await self._transport.receive_batch()
            dtls.receive_datagrams(batch, now=trio.current_time())
            if dtls.closed:
                self._is_settled()

    async def receive(self) -> bytes:
        if not self._pending:
            self._pending.extend(await self.receive_batch())
        else:
            await checkpoint()
        return self._pending.popleft()

    def _check_usable(self, *, receiving: bool = False) -> None:
        if self._closed:
            raise trio.ClosedResourceError(f"{self!r} was closed")
        if self._dtls.closed:
            self._is_settled()
            assert self._why_over is not None
            if receiving and self._why_over.reason is DtlsCloseReason.PEER_CLOSE:
                raise trio.EndOfChannel("the peer closed the DTLS association")
            raise trio.BrokenResourceError(f"DTLS: {_described(self._why_over)}")

    async def aclose(self) -> None:
        """Tell the peer by close_notify, once, and close the transport below."""
        self._closed = True
        self._pending.clear()
        self._dtls.close(now=trio.current_time())
        try:
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError, OSError):
                await self._flush()
        finally:
            await self._transport.aclose()


def _described(closed: DtlsClosed) -> str:
    """For people."""
    text = closed.reason.value
    if closed.alert is not None:
        try:
            name = ssl.AlertDescription(closed.alert).name.removeprefix("ALERT_DESCRIPTION_")
        except ValueError:
            name = str(closed.alert)
        text += f" (alert {name.lower()})"
    return f"{text}: {closed.detail}" if closed.detail else text


def _handshake_failure(closed: DtlsClosed) -> HandshakeFailed:
    rejected = closed.reason is DtlsCloseReason.CERTIFICATE_REJECTED
    kind = CertificateRejected if rejected else HandshakeFailed
    reason = _described(closed)
    return kind(f"no DTLS handshake: {reason}", reason=reason)


async def open_dtls(
    channel: trio.abc.Channel[bytes],
    *,
    client: bool,
    certificate: Certificate,
    verify_peer: VerifyPeer,
    config: DtlsConfig | None = None,
) -> DtlsTransport:
    """Secure any channel of datagrams: the transport that comes back can carry an association.

    One end is the ``client``.  ``certificate`` is what this end shows, ``verify_peer`` says who the
    other must be.  The ``channel`` is closed with the transport, or at once if there is no handshake.

    A server behind this answers whoever sends to its channel; where that may be any host on the
    Internet, use `serve_dtls`, which asks for proof of the address first.

    Raises `CertificateRejected` or `HandshakeFailed`.
    """
    check_type("certificate", certificate, Certificate)
    policy = peer_policy(verify_peer)
    dtls = DtlsAssociation(
        certificate,
        policy,
        client=client,
        now=trio.current_time(),
        config=config,
        key_log=key_log_from_environment(),
    )
    transport = DtlsTransport(as_datagram_transport(channel), dtls)
    await finish_handshake(transport)
    return transport


async def finish_handshake(transport: DtlsTransport) -> None:
    """Do the handshake, and close the transport if that does not succeed."""
    try:
        await transport._handshake()
    except BaseException:
        await give_up(transport)
        raise


async def give_up(transport: DtlsTransport) -> None:
    """Close the transport although something else goes wrong, within a second."""
    with trio.CancelScope(shield=True, deadline=trio.current_time() + 1.0):
        await transport.aclose()
