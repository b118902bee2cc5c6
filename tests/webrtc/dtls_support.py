"""Two DTLS ends, a link between them that loses and reorders, and the time that passes there."""

from __future__ import annotations

import contextlib
import heapq
import itertools
from collections.abc import Callable, Iterator
from random import Random

from OpenSSL import SSL

from trio_sctp._webrtc.certificate import Certificate, PeerPolicy
from trio_sctp._webrtc.dtls import DtlsAssociation
from trio_sctp._webrtc.dtls_common import DtlsConfig, DtlsEvent
from trio_sctp._webrtc.dtls_cookie import CookieGate

# Making keys is slow: the tests share a few.
CLIENT = Certificate.generate()
SERVER = Certificate.generate()
STRANGER = Certificate.generate()

DELAY = 0.02


def make_client(
    *, expects: Certificate = SERVER, mine: Certificate = CLIENT, config: DtlsConfig | None = None
) -> DtlsAssociation:
    policy = PeerPolicy.fingerprints(expects.fingerprint())
    return DtlsAssociation(mine, policy, client=True, now=0.0, config=config)


def make_server(
    *, expects: Certificate = CLIENT, mine: Certificate = SERVER, config: DtlsConfig | None = None
) -> DtlsAssociation:
    policy = PeerPolicy.fingerprints(expects.fingerprint())
    return DtlsAssociation(mine, policy, client=False, now=0.0, config=config)


def events(association: DtlsAssociation) -> list[DtlsEvent]:
    return list(iter(association.next_event, None))


class GatedServer:
    """A server that keeps nothing before a cookie came back."""

    def __init__(self) -> None:
        self.gate = CookieGate(b"secret of sixteen")
        self.association: DtlsAssociation | None = None
        self.replies: list[bytes] = []
        self.received = 0

    def receive_datagrams(self, datagrams: list[bytes], *, now: float) -> None:
        for datagram in datagrams:
            if self.association is None:
                verdict = self.gate.examine(datagram, b"client", now=now)
                if verdict.hello is not None:
                    self.association = DtlsAssociation(
                        SERVER,
                        PeerPolicy.fingerprints(CLIENT.fingerprint()),
                        client=False,
                        now=now,
                        hello=verdict.hello,
                    )
                elif verdict.reply is not None:
                    self.replies.append(verdict.reply)
            if self.association is not None:
                self.association.receive_datagrams([datagram], now=now)

    def datagrams_to_send(self) -> list[bytes]:
        replies, self.replies = self.replies, []
        return replies + (self.association.datagrams_to_send() if self.association else [])

    def next_timeout(self) -> float:
        return self.association.next_timeout() if self.association else float("inf")

    def handle_timeout(self, *, now: float) -> None:
        if self.association:
            self.association.handle_timeout(now=now)

    @property
    def keeps_state(self) -> bool:
        return self.association is not None

    @property
    def closed(self) -> bool:
        return self.association is not None and self.association.closed

    @property
    def established(self) -> bool:
        return self.association is not None and self.association.established


End = DtlsAssociation | GatedServer


class Link:
    """Carries datagrams between two ends in virtual time; decides by a seed what gets lost."""

    def __init__(
        self,
        a: End,
        z: End,
        *,
        loss: float = 0.0,
        jitter: float = 0.0,
        duplicate: float = 0.0,
        seed: int = 0,
        drop: Callable[[End, bytes], bool] = lambda _from, _datagram: False,
    ) -> None:
        self.a, self.z, self.now = a, z, 0.0
        self.loss, self.jitter, self.duplicate, self.drop = loss, jitter, duplicate, drop
        self.rng = Random(seed)
        self.in_flight: list[tuple[float, int, End, bytes]] = []
        self.order = itertools.count()
        self.carried: list[bytes] = []

    def collect(self) -> None:
        for source, target in ((self.a, self.z), (self.z, self.a)):
            for datagram in source.datagrams_to_send():
                self.carried.append(datagram)
                copies = 2 if self.rng.random() < self.duplicate else 1
                for _ in range(copies):
                    if self.rng.random() >= self.loss and not self.drop(source, datagram):
                        at = self.now + DELAY + self.rng.random() * self.jitter
                        heapq.heappush(self.in_flight, (at, next(self.order), target, datagram))

    def step(self) -> bool:
        """To the next thing that happens; False if nothing ever will."""
        self.collect()
        arrival = self.in_flight[0][0] if self.in_flight else float("inf")
        timeouts = [end.next_timeout() for end in (self.a, self.z)]
        at = min(arrival, *timeouts)
        if at == float("inf"):
            return False
        assert at >= self.now
        self.now = at
        if arrival == at:
            _, _, target, datagram = heapq.heappop(self.in_flight)
            target.receive_datagrams([datagram], now=at)
        for end in (self.a, self.z):
            if end.next_timeout() <= at:
                end.handle_timeout(now=at)
                assert end.next_timeout() > at
        self.collect()
        return True

    def run(self, seconds: float = 100.0) -> None:
        """Until nothing happens any more, or so much time has passed."""
        while self.now < seconds and self.step():
            pass

    def run_until_settled(self) -> None:
        """Until both ends are up or have given up."""
        while not all(end.established or end.closed for end in (self.a, self.z)):
            if not self.step():
                return


def connect(a: DtlsAssociation, z: End, **options: object) -> Link:
    link = Link(a, z, **options)  # type: ignore[arg-type]
    a.start(now=0.0)
    link.run_until_settled()
    return link


class OpenSslEnd:
    """The other end done wholly by OpenSSL, record layer included: an independent peer."""

    def __init__(
        self, *, client: bool, ciphers: str = "ALL", srtp: bool = True, mtu: int = 1200
    ) -> None:
        context = SSL.Context(SSL.DTLS_METHOD)
        own = CLIENT if client else SERVER
        context.use_privatekey(own.private_key)
        context.use_certificate(own.certificate)
        context.set_verify(
            SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *_arguments: True
        )
        context.set_cipher_list(ciphers.encode())
        context.set_options(SSL.OP_NO_QUERY_MTU)
        if srtp:
            context.set_tlsext_use_srtp(b"SRTP_AES128_CM_SHA1_80")
        self.connection = SSL.Connection(context, None)
        self.connection.set_ciphertext_mtu(mtu)
        if client:
            self.connection.set_connect_state()
        else:
            self.connection.set_accept_state()
        self.up = False
        self.error: SSL.Error | None = None

    def handshake(self) -> None:
        if self.up or self.error:
            return
        try:
            self.connection.do_handshake()
            self.up = True
        except SSL.WantReadError:
            pass
        except SSL.Error as error:
            self.error = error

    def renegotiate(self) -> list[bytes]:
        """Ask for another handshake inside the association: what it sends for that."""
        self.connection.renegotiate()
        with contextlib.suppress(SSL.WantReadError):
            self.connection.do_handshake()
        datagrams = self.to_send()
        assert datagrams
        return datagrams

    def receive(self, datagrams: list[bytes]) -> list[bytes]:
        packets = []
        for datagram in datagrams:
            self.connection.bio_write(datagram)
            self.handshake()
            if self.up:
                packets += list(self._read())
        return packets

    def _read(self) -> Iterator[bytes]:
        while True:
            try:
                yield self.connection.recv(20_000)
            except (SSL.WantReadError, SSL.ZeroReturnError):
                return

    def to_send(self) -> list[bytes]:
        try:
            output = self.connection.bio_read(1 << 16)
        except SSL.WantReadError:
            return []
        records = []
        while output:
            size = 13 + int.from_bytes(output[11:13], "big")
            records.append(output[:size])
            output = output[size:]
        return records


def shake_hands(ours: DtlsAssociation, theirs: OpenSslEnd) -> None:
    """Without loss and without time passing."""
    if ours.client:
        ours.start(now=0.0)
    else:
        theirs.handshake()
    for _ in range(10):
        theirs.receive(ours.datagrams_to_send())
        ours.receive_datagrams(theirs.to_send(), now=0.0)
