"""What others may do to a DTLS end: nothing, or very little for a short time."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings, strategies as st

from tests.webrtc.dtls_support import (
    CLIENT,
    SERVER,
    GatedServer,
    Link,
    OpenSslEnd,
    connect,
    events,
    make_client,
    make_server,
)
from trio_sctp._webrtc.certificate import PeerPolicy
from trio_sctp._webrtc.dtls import DtlsAssociation
from trio_sctp._webrtc.dtls_common import DtlsClosed, DtlsCloseReason, DtlsConfig, DtlsEstablished
from trio_sctp._webrtc.dtls_cookie import CookieGate, client_hello_prefix
from trio_sctp._webrtc.dtls_flight import (
    MAX_MESSAGE,
    Fragment,
    HandshakeReassembler,
    Outcome,
    parse_fragments,
)
from trio_sctp._webrtc.dtls_record import (
    ContentType,
    ReplayWindow,
    encode_alert,
    encode_record,
    split_records,
)


def established_pair() -> tuple[DtlsAssociation, DtlsAssociation]:
    a, z = make_client(), make_server()
    connect(a, z)
    events(a), events(z)
    return a, z


def handshake_record(
    number: int, kind: int, length: int, seq: int, offset: int, data: bytes
) -> bytes:
    header = (
        bytes((kind,))
        + length.to_bytes(3, "big")
        + seq.to_bytes(2, "big")
        + offset.to_bytes(3, "big")
        + len(data).to_bytes(3, "big")
    )
    return encode_record(ContentType.HANDSHAKE, number, header + data)


def recut(datagram: bytes, size: int, number: int) -> list[bytes]:
    """The handshake message in a datagram, as fragments of ``size`` in records of their own."""
    (fragment,) = parse_fragments(datagram[13:])
    assert fragment.length == len(fragment.data)
    return [
        handshake_record(
            number + n,
            fragment.message_type,
            fragment.length,
            fragment.message_seq,
            offset,
            fragment.data[offset : offset + size],
        )
        for n, offset in enumerate(range(0, fragment.length, size))
    ]


class BigHelloClient(OpenSslEnd):
    """Sends a ClientHello as long as a browser's with a post-quantum key share."""

    def __init__(self) -> None:
        super().__init__(client=True, mtu=16_000)
        self.connection.set_alpn_protos([bytes((65 + n,)) * 200 for n in range(6)])

    def hello(self) -> bytes:
        self.handshake()
        (datagram,) = self.to_send()
        assert len(datagram) > 1300
        return datagram


# -- fragmented hellos -------------------------------------------------------------------------


def test_hello_in_fragments_in_any_order() -> None:
    theirs, z = BigHelloClient(), make_server()
    fragments = recut(theirs.hello(), 700, 0)
    z.receive_datagrams(list(reversed(fragments)), now=0.0)
    assert z.datagrams_to_send()


def test_fragments_of_two_tries_mix() -> None:
    # First try: 0-699 lost, 700- arrives.  Second try, cut at other places: 0-899 arrives.
    theirs, z = BigHelloClient(), make_server()
    hello = theirs.hello()
    z.receive_datagrams(recut(hello, 700, 0)[1:], now=0.0)
    assert z.datagrams_to_send() == []
    z.receive_datagrams(recut(hello, 900, 2)[:1], now=1.0)
    flight = z.datagrams_to_send()
    assert flight
    theirs.receive(flight)
    z.receive_datagrams(theirs.to_send(), now=1.0)
    assert z.established


@pytest.mark.parametrize("size", [90, 700, 1200])
def test_fragmented_hello_through_the_cookie_exchange(size: int) -> None:
    # A -> ClientHello (fragments) -> Z
    # A <- HelloVerifyRequest <- Z          (nothing kept)
    # A -> ClientHello with cookie (fragments) -> Z
    theirs, z = BigHelloClient(), GatedServer()
    z.receive_datagrams(recut(theirs.hello(), size, 0), now=0.0)
    (reply,) = z.datagrams_to_send()
    assert not z.keeps_state
    theirs.receive([reply])
    (second,) = theirs.to_send()
    z.receive_datagrams(recut(second, size, 20), now=0.0)
    assert z.association is not None
    flight = z.datagrams_to_send()
    # RFC 6347 §4.2.1: numbered on from the record that completed the hello
    assert next(split_records(flight[0])).sequence_number >= 20
    theirs.receive(flight)
    z.receive_datagrams(theirs.to_send(), now=0.0)
    assert z.established
    z.association.send([b"packet"], now=0.0)
    assert theirs.receive(z.datagrams_to_send()) == [b"packet"]


# -- the cookie gate ---------------------------------------------------------------------------


def hello_datagram() -> bytes:
    a = make_client()
    a.start(now=0.0)
    return a.datagrams_to_send()[0]


def test_flood_of_hellos_leaves_nothing_and_is_not_amplified() -> None:
    gate = CookieGate(bytes(range(16)))
    before = {name: getattr(gate, name) for name in gate.__slots__}
    rng, hello = Random(1), hello_datagram()
    for _ in range(2000):
        forged = bytearray(hello)
        forged[27:59] = rng.randbytes(32)
        if rng.random() < 0.5:
            del forged[rng.randrange(len(forged)) :]
        verdict = gate.examine(bytes(forged), rng.randbytes(6), now=rng.random() * 1000)
        assert verdict.hello is None
        assert verdict.reply is None or len(verdict.reply) <= len(forged)
    assert {name: getattr(gate, name) for name in gate.__slots__} == before


def returned_hello(gate: CookieGate, source: bytes, now: float) -> bytes:
    a = make_client()
    a.start(now=now)
    verdict = gate.examine(a.datagrams_to_send()[0], source, now=now)
    assert verdict.reply is not None
    a.receive_datagrams([verdict.reply], now=now)
    (second,) = a.datagrams_to_send()
    return second


def test_cookie_is_good_for_its_address_and_time_only() -> None:
    gate = CookieGate(bytes(range(16)), lifetime=60.0)
    second = returned_hello(gate, b"one", 100.0)
    assert gate.examine(second, b"one", now=100.0).hello is not None
    assert gate.examine(second, b"one", now=160.0).hello is not None
    for source, now in ((b"two", 100.0), (b"one", 300.0), (b"one", 0.0)):
        verdict = gate.examine(second, source, now=now)
        assert verdict.hello is None
        assert verdict.reply is not None  # RFC 6347 §4.2.1: as if there were no cookie
    other = CookieGate(bytes(16))
    assert other.examine(second, b"one", now=100.0).hello is None


def test_cookie_is_good_for_its_hello_only() -> None:
    gate = CookieGate(bytes(range(16)))
    second = bytearray(returned_hello(gate, b"one", 0.0))
    second[30] ^= 1  # in the random
    assert gate.examine(bytes(second), b"one", now=0.0).hello is None


def test_clients_that_begin_anew_can_be_told_apart() -> None:
    gate = CookieGate(bytes(range(16)))
    one, two = (returned_hello(gate, b"one", 0.0) for _ in range(2))
    hello, again = (gate.examine(one, b"one", now=0.0).hello for _ in range(2))
    other = gate.examine(two, b"one", now=0.0).hello
    assert hello is not None
    assert again is not None
    assert other is not None
    assert hello.random == again.random != other.random
    z = DtlsAssociation(SERVER, PeerPolicy.anyone(), client=False, now=0.0, hello=hello)
    assert z.client_random == hello.random
    plain = make_server()
    plain.receive_datagrams([hello_datagram()], now=0.0)
    assert plain.client_random is not None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        bytes(34),
        bytes(34) + b"\x21" + bytes(40),  # a session id of 33 bytes
        bytes(34) + b"\x00",
        bytes(34) + b"\x20" + bytes(20),
        bytes(34) + b"\x00\x14" + bytes(19),  # a cookie that is cut
    ],
)
def test_gate_says_nothing_to_half_a_hello(body: bytes) -> None:
    gate = CookieGate(bytes(16))
    assert gate.examine(handshake_record(0, 1, 200, 0, 0, body), b"a", now=0.0) == (None, None)
    for kind, offset in ((2, 0), (1, 1)):
        other = handshake_record(0, kind, 200, 0, offset, bytes(60))
        assert gate.examine(other, b"a", now=0.0) == (None, None)


def test_gate_needs_a_secret() -> None:
    with pytest.raises(ValueError, match="secret"):
        CookieGate(b"short")


def test_gated_server_survives_a_hello_that_is_none() -> None:
    # The cookie was returned, and nonsense behind it.
    gate = CookieGate(bytes(range(16)))
    second = returned_hello(gate, b"one", 0.0)
    prefix = client_hello_prefix(second)
    assert prefix is not None
    body = second[25 : 25 + len(prefix.parameters) + 1 + len(prefix.cookie)] + b"\xff" * 20
    nonsense = handshake_record(5, 1, len(body), 1, 0, body)
    hello = gate.examine(nonsense, b"one", now=0.0).hello
    assert hello is not None
    z = DtlsAssociation(SERVER, PeerPolicy.anyone(), client=False, now=0.0, hello=hello)
    z.receive_datagrams([nonsense], now=0.0)
    (event,) = events(z)
    assert isinstance(event, DtlsClosed)
    assert event.reason is DtlsCloseReason.HANDSHAKE_FAILED


# -- forgeries during the handshake ------------------------------------------------------------


@pytest.mark.parametrize("alert", [0, 40, 42, 90])
@pytest.mark.parametrize("at", range(5))
def test_forged_alerts_do_not_end_a_handshake(alert: int, at: int) -> None:
    a, z = make_client(), make_server()
    link = Link(a, z)
    a.start(now=0.0)
    forged = encode_record(ContentType.ALERT, 99, encode_alert(alert))
    for step in range(20):
        if step == at:
            a.receive_datagrams([forged], now=link.now)
            z.receive_datagrams([forged], now=link.now)
        if not link.step():
            break
    link.run(5.0)
    assert a.established
    assert z.established


def test_alerts_that_mean_nothing() -> None:
    a = make_client()
    a.start(now=0.0)
    before = a.next_timeout()
    for fragment in (b"", b"\x02", b"\x02\x28\x00", b"\x01\x29"):
        a.receive_datagrams([encode_record(ContentType.ALERT, 1, fragment)], now=0.0)
    assert a.next_timeout() == before
    assert a.statistics.plaintext_alerts == 4


def test_unanswered_alert_ends_the_handshake() -> None:
    a = make_client()
    a.start(now=0.0)
    a.receive_datagrams([encode_record(ContentType.ALERT, 1, b"\x02\x28")], now=0.1)
    assert a.next_timeout() == 1.0
    a.handle_timeout(now=1.0)
    a.handle_timeout(now=1.1)
    assert events(a) == [DtlsClosed(DtlsCloseReason.PEER_ALERT, 40, "not authenticated")]


def test_authentic_alert_during_the_handshake_counts_at_once() -> None:
    # The server is up and closes; its last flight is lost, its close_notify is not.
    a, z = make_client(), make_server()
    a.start(now=0.0)
    z.receive_datagrams(a.datagrams_to_send(), now=0.0)
    a.receive_datagrams(z.datagrams_to_send(), now=0.0)
    z.receive_datagrams(a.datagrams_to_send(), now=0.0)
    z.datagrams_to_send()
    z.close(now=0.0)
    (alert,) = z.datagrams_to_send()
    forged = alert[:-1] + bytes((alert[-1] ^ 1,))
    a.receive_datagrams([forged], now=0.0)
    assert not a.closed
    assert (a.statistics.records_dropped, a.statistics.records_forged) == (1, 1)
    a.receive_datagrams([alert], now=0.0)
    assert events(a) == [DtlsClosed(DtlsCloseReason.PEER_CLOSE, 0)]


def test_forged_fragments_hold_little_and_genuine_ones_get_through() -> None:
    z = make_server()
    rng = Random(5)
    for n in range(3000):
        length = rng.choice((100, 5000, MAX_MESSAGE, MAX_MESSAGE + 1, 0xFFFFFF))
        offset = rng.randrange(length)
        data = rng.randbytes(min(rng.randrange(60), length - offset))
        seq = rng.randrange(1, 12)
        z.receive_datagrams([handshake_record(n, 1, length, seq, offset, data)], now=0.0)
    assert len(z._messages._assemblies) <= 8
    assert z.datagrams_to_send() == []
    # What is forged for the awaited message is overruled by the genuine one.
    z.receive_datagrams([handshake_record(9, 1, 300, 0, 0, b"forged")], now=0.0)
    z.receive_datagrams([hello_datagram()], now=0.0)
    assert z.datagrams_to_send()


def test_reassembler_bounds() -> None:
    messages = HandshakeReassembler()
    for n in range(500):
        assert messages.add(Fragment(1, 5000, 0, 4 * n, b"xx")) is Outcome.KEPT
    assert len(messages._assemblies[0]._pieces) == 64
    assert messages.add(Fragment(1, 10, 8, 0, b"x")) is Outcome.DROPPED
    assert messages.add(Fragment(1, 0, 0, 0, b"")) is Outcome.PROGRESS
    assert messages.add(Fragment(1, 0, 0, 0, b"")) is Outcome.REPEATED


def test_repeated_hellos_are_not_amplified_without_limit() -> None:
    z, hello = make_server(), hello_datagram()
    z.receive_datagrams([hello], now=0.0)
    z.datagrams_to_send()
    for n in range(1000):
        z.receive_datagrams([hello], now=n / 1000)
    assert len(z.datagrams_to_send()) <= 4


def test_hello_that_is_none() -> None:
    z = make_server()
    z.receive_datagrams([handshake_record(0, 1, 40, 0, 0, bytes(40))], now=0.0)
    (event,) = events(z)
    assert isinstance(event, DtlsClosed)
    assert event.reason is DtlsCloseReason.HANDSHAKE_FAILED
    assert z.datagrams_to_send()  # the alert


def test_more_junk_than_is_held() -> None:
    z = make_server()
    z.receive_datagrams([hello_datagram()], now=0.0)
    for n in range(100):
        z.receive_datagrams([encode_record(22, 1 << 48 | n, bytes(60))], now=0.0)
    assert len(z._held) == 64
    assert z.statistics.records_dropped == 36
    z.receive_datagrams([encode_record(22, 2 << 48, bytes(60))], now=0.0)
    assert z.statistics.records_dropped == 37


def test_client_that_hears_before_it_speaks() -> None:
    a = make_client()
    a.receive_datagrams([hello_datagram()], now=0.0)
    a.start(now=0.0)
    connect_late = make_server()
    Link(a, connect_late).run_until_settled()
    assert a.established


def test_epoch_1_junk_during_the_handshake() -> None:
    a, z = make_client(), make_server()
    link = Link(a, z)
    a.start(now=0.0)
    rng = Random(2)
    while not (a.established and z.established):
        for end in (a, z):
            for kind in (20, 21, 22, 23, 24):
                junk = encode_record(kind, 1 << 48 | rng.randrange(100), rng.randbytes(60))
                end.receive_datagrams([junk], now=link.now)
        assert link.step()
    assert link.now < 1.0
    assert all(isinstance(events(end)[0], DtlsEstablished) for end in (a, z))


def test_tampered_handshake_fails_and_says_so() -> None:
    # Somebody between the two changes the random of the hello: the Finished shows it.
    a, z = make_client(), make_server()
    a.start(now=0.0)
    hello = bytearray(a.datagrams_to_send()[0])
    hello[40] ^= 1
    z.receive_datagrams([bytes(hello)], now=0.0)
    a.receive_datagrams(z.datagrams_to_send(), now=0.0)
    (event,) = events(a)
    assert isinstance(event, DtlsClosed)
    assert event.reason is DtlsCloseReason.HANDSHAKE_FAILED


# -- forgeries afterwards ----------------------------------------------------------------------


def test_nothing_in_the_clear_has_an_effect_once_up() -> None:
    a, z = established_pair()
    for end in (a, z):
        for kind in (20, 21, 22, 23):
            for fragment in (b"\x01", b"\x02\x28", b"\x01\x00", bytes(40)):
                end.receive_datagrams([encode_record(kind, 1 << 40, fragment)], now=9.0)
        end.receive_datagrams([hello_datagram()], now=9.0)
        assert end.established
        assert end.packets_received() == []
        assert events(end) == []
    assert a.datagrams_to_send() == []


def test_replayed_records_are_dropped() -> None:
    a, z = established_pair()
    a.send([b"one", b"two", b"three"], now=1.0)
    datagrams = a.datagrams_to_send()
    z.receive_datagrams([*reversed(datagrams), *datagrams, b"".join(datagrams)], now=1.0)
    assert z.packets_received() == [b"three", b"two", b"one"]
    assert z.statistics.records_dropped == 6


def test_forged_records_are_dropped_and_cost_no_numbers() -> None:
    a, z = established_pair()
    a.send([b"genuine"], now=1.0)
    (genuine,) = a.datagrams_to_send()
    for position in range(len(genuine)):
        forged = bytearray(genuine)
        forged[position] ^= 0x40
        z.receive_datagrams([bytes(forged)], now=1.0)
    assert z.packets_received() == []
    z.receive_datagrams([genuine], now=1.0)
    assert z.packets_received() == [b"genuine"]


def test_forged_alerts_once_up() -> None:
    a, z = established_pair()
    a.close(now=1.0)
    (alert,) = a.datagrams_to_send()
    z.receive_datagrams([alert[:-1] + bytes((alert[-1] ^ 1,))], now=1.0)
    assert z.established


def test_warnings_and_fatal_alerts_once_up() -> None:
    a, z = established_pair()
    assert a._outgoing is not None
    z.receive_datagrams(a._outgoing.protect([b"\x01\x64", b"x"], ContentType.ALERT), now=1.0)
    assert z.established
    z.receive_datagrams(a._outgoing.protect([b"\x02\x50"], ContentType.ALERT), now=1.0)
    assert events(z) == [DtlsClosed(DtlsCloseReason.PEER_ALERT, 80)]


def test_renegotiation_is_ignored() -> None:
    ours, theirs = make_client(), OpenSslEnd(client=False)
    ours.start(now=0.0)
    for _ in range(4):
        theirs.receive(ours.datagrams_to_send())
        ours.receive_datagrams(theirs.to_send(), now=0.0)
    assert ours.established
    ours.receive_datagrams(theirs.renegotiate(), now=0.0)
    assert ours.established
    assert ours.datagrams_to_send() == []


def test_empty_records_are_no_packets() -> None:
    a, z = established_pair()
    a.send([b""], now=1.0)
    z.receive_datagrams(a.datagrams_to_send(), now=1.0)
    assert z.packets_received() == []


@pytest.mark.parametrize("size, taken", [(85, 12), (86, 1), (3000, 1)])
def test_a_long_datagram_holds_one_packet(size: int, taken: int) -> None:
    """Each could be as dear as a packet can be; what fits into a short one is not, taken together."""
    a, z = established_pair()
    packets = [bytes([number]) * size for number in range(12)]
    a.send(packets, now=0.0)
    datagram = b"".join(a.datagrams_to_send())
    z.receive_datagrams([datagram], now=0.0)
    assert z.packets_received() == packets[:taken]
    assert z.statistics.records_dropped == len(packets) - taken
    a.close(now=0.0)  # records of another kind count even there
    z.receive_datagrams([datagram + b"".join(a.datagrams_to_send())], now=0.0)
    assert z.closed


def test_established_peers_are_not_disturbed_by_floods() -> None:
    a, z = established_pair()
    rng = Random(3)
    for n in range(500):
        z.receive_datagrams([rng.randbytes(rng.randrange(100)), hello_datagram()[:n]], now=n / 100)
    flood = z.datagrams_to_send()
    assert sum(map(len, flood)) < 2500  # the last flight, now and then: no packet came yet
    a.send([b"packet"], now=9.0)
    z.receive_datagrams(a.datagrams_to_send(), now=9.0)
    assert z.packets_received() == [b"packet"]
    z.receive_datagrams([hello_datagram()], now=99.0)
    assert z.datagrams_to_send() == []


@given(st.lists(st.binary(max_size=80), max_size=6))
@settings(max_examples=60, deadline=None)
def test_any_bytes_at_any_state(datagrams: list[bytes]) -> None:
    a, z = make_client(), make_server()
    a.start(now=0.0)
    for end in (a, z):
        end.receive_datagrams(datagrams, now=0.0)
        end.receive_datagrams(
            [b"\x16\xfe\xfd" + bytes(8) + datagram for datagram in datagrams], now=0.0
        )
        assert end.packets_received() == []
    gate = CookieGate(bytes(16))
    for datagram in datagrams:
        assert gate.examine(datagram, b"source", now=0.0).hello is None


@given(st.lists(st.integers(0, 3000), max_size=300))
@settings(max_examples=50, deadline=None)
def test_replay_window_takes_each_number_once(numbers: list[int]) -> None:
    window, seen = ReplayWindow(), set[int]()
    for number in numbers:
        expected = number not in seen and (not seen or number > max(seen) - ReplayWindow.SIZE)
        assert window.is_new(number) is expected
        if expected:
            window.mark(number)
            seen.add(number)


@given(st.lists(st.integers(1, 1500), max_size=10), st.integers(0, 2000))
@settings(max_examples=50, deadline=None)
def test_replay_window_takes_runs(gaps: list[int], count: int) -> None:
    one_by_one, at_once = ReplayWindow(), ReplayWindow()
    number = -1
    for gap in gaps:
        number += gap
        one_by_one.mark(number)
        at_once.mark(number)
    assert at_once.highest == number
    for following in range(number + 1, number + 1 + count):
        one_by_one.mark(following)
    at_once.mark_up_to(number + 1 + count)
    assert at_once.highest == one_by_one.highest
    assert at_once._seen == one_by_one._seen


@given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from(["whole", "cut", "bent", "two"]))))
@settings(max_examples=100, deadline=None)
def test_batches_are_taken_as_their_datagrams_one_by_one(
    choices: list[tuple[int, str]],
) -> None:
    a, z = established_pair()
    a.send([bytes((number,)) * 50 for number in range(10)], now=1.0)
    records = a.datagrams_to_send()
    batch: list[bytes] = []
    expected: list[bytes] = []
    for number, kind in choices:
        record = records[number]
        if kind == "cut":
            batch.append(record[:-1])
            continue
        if kind == "bent":
            batch.append(record[:-1] + bytes((record[-1] ^ 1,)))
            continue
        batch.append(record * 2 if kind == "two" else record)
        if (packet := bytes((number,)) * 50) not in expected:
            expected.append(packet)
    z.receive_datagrams(batch, now=1.0)
    assert z.packets_received() == expected


def test_replay_window_is_bounded() -> None:
    window = ReplayWindow()
    for number in (0, 1, (1 << 48) - 1):
        assert window.is_new(number)
        window.mark(number)
    assert window._seen.bit_length() <= ReplayWindow.SIZE
    assert not window.is_new(5)


def test_records_of_an_openssl_client_certificate() -> None:
    theirs, z = OpenSslEnd(client=True), make_server(expects=SERVER)
    theirs.handshake()
    for _ in range(4):
        z.receive_datagrams(theirs.to_send(), now=0.0)
        theirs.receive(z.datagrams_to_send())
    (event,) = events(z)
    assert isinstance(event, DtlsClosed)
    assert event.reason is DtlsCloseReason.CERTIFICATE_REJECTED
    assert CLIENT.fingerprint() != SERVER.fingerprint()
    assert "bad certificate" in str(theirs.error)


# -- limits ------------------------------------------------------------------------------------


def test_protected_records_have_no_older_version() -> None:
    a, z = established_pair()
    a.send([b"packet"], now=1.0)
    (record,) = a.datagrams_to_send()
    z.receive_datagrams([record[:1] + b"\xfe\xff" + record[3:]], now=1.0)
    assert z.packets_received() == []
    z.receive_datagrams([record], now=1.0)
    assert z.packets_received() == [b"packet"]


def test_forged_records_are_counted() -> None:
    a, z = established_pair()
    a.send([b"packet"] * 3, now=1.0)
    first, second, third = a.datagrams_to_send()
    z.receive_datagrams([first, first, second[:-1] + b"?", third[:-1] + b"?"], now=1.0)
    assert (z.statistics.records_dropped, z.statistics.records_forged) == (3, 2)


def test_record_numbers_do_not_begin_anew() -> None:
    # RFC 6347 §4.1: before they are used up there has to be another association
    a, z = established_pair()
    assert a._outgoing is not None
    a._outgoing.next_sequence_number = (1 << 48) - (1 << 20) - 2
    a.send([b"one"], now=1.0)
    assert a.established
    a.send([b"last"], now=1.0)
    assert a.closed
    z.receive_datagrams(a.datagrams_to_send(), now=1.0)
    assert z.packets_received() == [b"one", b"last"]
    assert events(z) == [DtlsClosed(DtlsCloseReason.PEER_CLOSE, 0)]


def test_a_client_cannot_renegotiate() -> None:
    ours, theirs = make_server(), OpenSslEnd(client=True)
    theirs.handshake()
    for _ in range(4):
        ours.receive_datagrams(theirs.to_send(), now=0.0)
        theirs.receive(ours.datagrams_to_send())
    assert ours.established
    theirs.connection.send(b"packet")
    ours.receive_datagrams(theirs.to_send(), now=0.0)
    ours.receive_datagrams(theirs.renegotiate(), now=0.0)
    assert ours.established
    assert ours.datagrams_to_send() == []


def test_held_records_are_small() -> None:
    z = make_server()
    z.receive_datagrams([hello_datagram()], now=0.0)
    z.receive_datagrams([encode_record(23, 1 << 48 | 1, bytes(10_000))], now=0.0)
    assert z._held == []


def test_an_alert_in_the_clear_leaves_a_slow_peer_its_time() -> None:
    # As over ICE: the first time-out is shorter than the round trip.
    config = DtlsConfig(initial_rto=0.2, max_rto=3.0)
    a, z = make_client(config=config), make_server(config=config)
    a.start(now=0.0)
    hello = a.datagrams_to_send()
    a.receive_datagrams([encode_record(ContentType.ALERT, 9, b"\x02\x28")], now=0.1)
    for now in (0.2, 0.6):
        a.handle_timeout(now=now)
    assert not a.closed
    z.receive_datagrams(hello, now=0.3)
    a.receive_datagrams(z.datagrams_to_send(), now=0.6)
    assert a.next_timeout() > 0.7
    assert not a.closed
