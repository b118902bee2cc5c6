"""DTLS handshakes in which somebody changes, cuts, repeats and mixes what is on its way.

Whatever arrives, nothing is raised, nobody is believed who has proven nothing, and both ends come to an
end by themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from hypothesis import given, settings, strategies as st

from tests.webrtc.dtls_support import CLIENT, SERVER, Link, events, make_client, make_server
from trio_sctp._webrtc.certificate import PeerPolicy
from trio_sctp._webrtc.dtls import DtlsAssociation
from trio_sctp._webrtc.dtls_common import DtlsClosed, DtlsCloseReason, DtlsConfig, DtlsEstablished
from trio_sctp._webrtc.dtls_cookie import CookieGate
from trio_sctp._webrtc.dtls_flight import HandshakeType, parse_fragments
from trio_sctp._webrtc.dtls_record import ContentType, split_records

# Signatures differ in length from one run to the next: what is drawn must not depend on them.
RANDOMS = st.integers(0, 2**32).map(Random)
CONFIG = DtlsConfig(initial_rto=0.25, max_rto=4.0)


def before_flight(number: int) -> tuple[DtlsAssociation, bytes]:
    """An end, and the genuine flight that it is about to get: 0 is the ClientHello, 3 the last one."""
    ends = make_client(config=CONFIG), make_server(config=CONFIG)
    ends[0].start(now=0.0)
    for sender in range(number):
        ends[1 - sender % 2].receive_datagrams(ends[sender % 2].datagrams_to_send(), now=0.0)
    return ends[1 - number % 2], b"".join(ends[number % 2].datagrams_to_send())


def bodies(flight: bytes) -> list[tuple[int, int, int]]:
    """Type, position and size of the handshake messages that can be read."""
    found = []
    position = 0
    for record in split_records(flight):
        if record.content_type == ContentType.HANDSHAKE and not record.epoch:
            at = position + 13
            for fragment in parse_fragments(record.fragment):
                found.append((fragment.message_type, at + 12, len(fragment.data)))
                at += 12 + len(fragment.data)
        position += len(record.encoded)
    return found


def check(end: DtlsAssociation) -> None:
    """Nobody may have been believed, and little been said."""
    assert end.packets_received() == []
    happened = events(end)
    assert len(happened) <= 1
    if end.closed:
        (event,) = happened
        assert isinstance(event, DtlsClosed)
        assert event.reason in (
            DtlsCloseReason.HANDSHAKE_FAILED,
            DtlsCloseReason.CERTIFICATE_REJECTED,
        )
    assert sum(map(len, end.datagrams_to_send())) < 2000


@given(st.integers(0, 2), RANDOMS, st.integers(1, 4))
@settings(max_examples=150, deadline=None)
def test_messages_with_changed_contents(number: int, random: Random, changes: int) -> None:
    """The framing is right, so that all of it reaches the parsers of messages and certificates."""
    end, flight = before_flight(number)
    changed = bytearray(flight)
    _, at, size = random.choice([body for body in bodies(flight) if body[2]])
    for _ in range(changes):
        changed[at + random.randrange(size)] = random.randrange(256)
    end.receive_datagrams([bytes(changed)], now=0.0)
    check(end)


@given(st.integers(0, 3), RANDOMS)
@settings(max_examples=100, deadline=None)
def test_flights_that_are_cut(number: int, random: Random) -> None:
    """Once a part of it, and then all of it: the genuine one still gets through."""
    end, flight = before_flight(number)
    stop = random.randrange(len(flight))
    start = random.randint(0, stop)
    end.receive_datagrams([flight[:stop], flight[start:stop]], now=0.0)
    assert not end.closed
    assert end.packets_received() == []
    end.receive_datagrams([flight], now=1.0)
    assert not end.closed
    assert end.established == (number >= 2)


def every_version(certificate: bytes) -> list[bytes]:
    """The certificate with versions that there are not, which parsers differ about."""
    at = certificate.index(b"\xa0\x03\x02\x01\x02") + 4
    return [certificate[:at] + bytes((v,)) + certificate[at + 1 :] for v in (0, 1, 3, 33, 255)]


def test_certificates_that_only_some_parsers_take() -> None:
    for number, certificate in ((1, SERVER.der), (2, CLIENT.der)):
        for strange in every_version(certificate):
            end, flight = before_flight(number)
            (body,) = (b for b in bodies(flight) if b[0] == HandshakeType.CERTIFICATE)
            assert body[2] == len(certificate) + 6
            end.receive_datagrams([flight.replace(certificate, strange)], now=0.0)
            (event,) = events(end)
            assert isinstance(event, DtlsClosed)
            assert event.reason in (
                DtlsCloseReason.CERTIFICATE_REJECTED,
                DtlsCloseReason.HANDSHAKE_FAILED,
            )


MUTATIONS: list[Callable[[Random, bytes, list[bytes]], list[bytes]]] = [
    lambda random, datagram, seen: [],
    lambda random, datagram, seen: [datagram, datagram],
    lambda random, datagram, seen: [datagram[: random.randrange(len(datagram))]],
    lambda random, datagram, seen: [random.choice(seen), datagram],
    lambda random, datagram, seen: [random.choice(seen)[:25] + datagram[25:], datagram],
    lambda random, datagram, seen: [_flipped(random, datagram)],
    lambda random, datagram, seen: [_flipped(random, datagram), datagram],
    lambda random, datagram, seen: [datagram + _flipped(random, random.choice(seen))],
]


def _flipped(random: Random, datagram: bytes) -> bytes:
    changed = bytearray(datagram)
    for _ in range(random.randint(1, 4)):
        changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)


class Meddler(Link):
    """A link on which somebody sits who reads everything and changes some of it."""

    def __init__(
        self, a: DtlsAssociation, z: DtlsAssociation, random: Random, often: float
    ) -> None:
        super().__init__(a, z)
        self.random, self.often = random, often
        self.seen: list[bytes] = []

    def collect(self) -> None:
        before = len(self.in_flight)
        super().collect()
        fresh, self.in_flight = self.in_flight[before:], self.in_flight[:before]
        for at, _, target, datagram in fresh:
            self.seen.append(datagram)
            arriving = [datagram]
            if self.random.random() < self.often:
                arriving = self.random.choice(MUTATIONS)(self.random, datagram, self.seen)
            self.in_flight += [(at, next(self.order), target, data) for data in arriving]
        self.in_flight.sort(key=lambda entry: entry[:2])


@given(RANDOMS, st.sampled_from([0.2, 0.6, 1.0]))
@settings(max_examples=100, deadline=None)
def test_somebody_in_the_middle(random: Random, often: float) -> None:
    a, z = make_client(config=CONFIG), make_server(config=CONFIG)
    link = Meddler(a, z, random, often)
    a.start(now=0.0)
    link.run(100.0)
    for end in (a, z):
        assert end.established or end.closed
        happened = events(end)
        if end.established:
            assert isinstance(happened[0], DtlsEstablished)
    link.often = 0.0
    if a.established and z.established:
        for end, other in ((a, z), (z, a)):
            end.send([b"packet"], now=link.now)
            other.receive_datagrams(end.datagrams_to_send(), now=link.now)
            assert other.packets_received() == [b"packet"]


@given(RANDOMS)
@settings(max_examples=50, deadline=None)
def test_hellos_that_were_changed_at_the_gate(random: Random) -> None:
    """Without state nothing is raised and no more is answered than was asked."""
    _, hello = before_flight(0)
    gate = CookieGate(bytes(16))
    changed = _flipped(random, hello[: random.randrange(1, len(hello) + 1)])
    verdict = gate.examine(changed, b"source", now=0.0)
    assert verdict.hello is None
    assert len(verdict.reply or b"") <= len(changed)


def test_a_chain_without_end_is_refused() -> None:
    """A peer's certificate message may not be longer than a record."""
    end = DtlsAssociation(SERVER, PeerPolicy.anyone(), client=False, now=0.0)
    _, hello = before_flight(0)
    end.receive_datagrams([hello], now=0.0)
    end.datagrams_to_send()
    for offset in range(0, 1 << 16, 1000):
        header = b"\x0b\xff\xff\xff\x00\x01" + offset.to_bytes(3, "big") + (1000).to_bytes(3, "big")
        record = b"\x16\xfe\xfd" + (offset + 1).to_bytes(8, "big") + (1012).to_bytes(2, "big")
        end.receive_datagrams([record + header + bytes(1000)], now=0.0)
    assert end._messages._assemblies == {}
