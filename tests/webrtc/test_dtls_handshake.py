from __future__ import annotations

import pytest
from cryptography import x509

from tests.webrtc.dtls_support import (
    CLIENT,
    SERVER,
    STRANGER,
    End,
    GatedServer,
    Link,
    OpenSslEnd,
    connect,
    events,
    make_client,
    make_server,
    shake_hands,
)
from trio_sctp._webrtc.certificate import Certificate, Fingerprint, PeerPolicy
from trio_sctp._webrtc.dtls import DtlsAssociation
from trio_sctp._webrtc.dtls_common import (
    DtlsClosed,
    DtlsCloseReason,
    DtlsConfig,
    DtlsEstablished,
    DtlsStateError,
)
from trio_sctp._webrtc.dtls_record import ContentType, split_records


def exchange(a: DtlsAssociation, z: DtlsAssociation, packets: list[bytes]) -> None:
    for source, target in ((a, z), (z, a)):
        source.send(packets, now=50.0)
        datagrams = source.datagrams_to_send()
        assert len(datagrams) == len(packets)
        target.receive_datagrams(datagrams, now=50.0)
        assert target.packets_received() == packets


def test_both_ends_learn_who_the_other_is() -> None:
    # A -> ClientHello -> Z
    # A <- ServerHello Certificate ServerKeyExchange CertificateRequest ServerHelloDone <- Z
    # A -> Certificate ClientKeyExchange CertificateVerify CCS Finished -> Z
    # A <- CCS Finished <- Z
    a, z = make_client(), make_server()
    link = connect(a, z)
    assert link.now == pytest.approx(4 * 0.02)
    assert len(link.carried) == 4
    for end, peer in ((a, SERVER), (z, CLIENT)):
        (event,) = events(end)
        assert isinstance(event, DtlsEstablished)
        assert event.srtp_profile == "SRTP_AES128_CM_SHA1_80"
        assert event.cipher == "ECDHE-ECDSA-AES128-GCM-SHA256"
        assert end.peer_certificate == peer.der
        assert end.next_timeout() == float("inf")
    exchange(a, z, [b"one", b"two", b"x" * 1200])
    assert a.client_random == z.client_random or a.client_random is None


def test_each_packet_is_one_record_and_the_overhead_is_told() -> None:
    a, z = make_client(), make_server()
    assert a.record_overhead == 37
    connect(a, z)
    packets = [b"x" * size for size in (1, 12, 1200, 1500, 9000)]
    a.send(packets, now=1.0)
    datagrams = a.datagrams_to_send()
    assert [len(d) - len(p) for d, p in zip(datagrams, packets, strict=True)] == [37] * 5
    assert all(len(list(split_records(datagram))) == 1 for datagram in datagrams)
    z.receive_datagrams(datagrams, now=1.0)
    assert z.packets_received() == packets


def test_records_that_share_a_datagram_stay_apart() -> None:
    a, z = make_client(), make_server()
    connect(a, z)
    a.send([b"one", b"two", b"three"], now=1.0)
    z.receive_datagrams([b"".join(a.datagrams_to_send())], now=1.0)
    assert z.packets_received() == [b"one", b"two", b"three"]


def test_flights_fit_the_datagram_size() -> None:
    config = DtlsConfig(max_datagram_size=200)
    a, z = make_client(config=config), make_server(config=config)
    link = connect(a, z, jitter=0.05, seed=3)
    assert a.established
    assert z.established
    assert max(map(len, link.carried)) <= 200
    exchange(a, z, [b"packet"])


def test_long_chains_pass() -> None:
    chain = [Certificate.generate().certificate for _ in range(8)]
    mine = Certificate(CLIENT.private_key, CLIENT.certificate, chain)
    a, z = make_client(mine=mine), make_server()
    connect(a, z, jitter=0.05, seed=1)
    assert z.established
    assert z.peer_certificate == CLIENT.der


@pytest.mark.parametrize("client", [True, False])
@pytest.mark.parametrize(
    "ciphers, overhead",
    [
        ("ECDHE-ECDSA-AES128-GCM-SHA256", 37),
        ("ECDHE-ECDSA-AES256-GCM-SHA384", 37),
        ("ECDHE-ECDSA-CHACHA20-POLY1305", 29),
    ],
)
def test_record_layer_is_the_one_of_openssl(client: bool, ciphers: str, overhead: int) -> None:
    ours = make_client() if client else make_server()
    theirs = OpenSslEnd(client=not client, ciphers=ciphers)
    shake_hands(ours, theirs)
    assert ours.established
    assert theirs.up
    assert ours.record_overhead == overhead
    ours.send([b"x" * size for size in (1, 1200, 16384)], now=0.0)
    assert list(map(len, theirs.receive(ours.datagrams_to_send()))) == [1, 1200, 16384]
    for size in (1, 1200):
        theirs.connection.send(b"y" * size)
    ours.receive_datagrams(theirs.to_send(), now=0.0)
    assert list(map(len, ours.packets_received())) == [1, 1200]
    # close_notify, theirs answered by ours
    theirs.connection.shutdown()
    ours.receive_datagrams(theirs.to_send(), now=0.0)
    assert events(ours)[-1] == DtlsClosed(DtlsCloseReason.PEER_CLOSE, 0)
    theirs.receive(ours.datagrams_to_send())
    assert theirs.connection.shutdown()


def test_peers_without_srtp_are_taken() -> None:
    ours = make_server()
    shake_hands(ours, OpenSslEnd(client=True, srtp=False))
    (event,) = events(ours)
    assert isinstance(event, DtlsEstablished)
    assert event.srtp_profile == ""


@pytest.mark.parametrize("ciphers", ["ECDHE-ECDSA-AES128-SHA", "AES128-GCM-SHA256"])
def test_old_ciphers_are_refused_with_an_alert(ciphers: str) -> None:
    ours, theirs = make_server(), OpenSslEnd(client=True, ciphers=ciphers)
    shake_hands(ours, theirs)
    assert events(ours) == [DtlsClosed(DtlsCloseReason.HANDSHAKE_FAILED, 40, "no shared cipher")]
    assert "handshake failure" in str(theirs.error)


@pytest.mark.parametrize("mtu", [256, 300])
def test_openssl_cuts_its_flights(mtu: int) -> None:
    ours, theirs = make_server(), OpenSslEnd(client=True, mtu=mtu)
    shake_hands(ours, theirs)
    assert ours.established
    ours, theirs = make_client(), OpenSslEnd(client=False, mtu=mtu)
    shake_hands(ours, theirs)
    assert ours.established


# -- who the peer is ---------------------------------------------------------------------------


def test_wrong_server_certificate_fails_at_both_ends() -> None:
    # A -> ClientHello -> Z
    # A <- ServerHello ... <- Z
    # A -> alert bad_certificate -> Z
    a, z = make_client(expects=STRANGER), make_server()
    link = connect(a, z)
    link.run()
    assert events(a) == [
        DtlsClosed(DtlsCloseReason.CERTIFICATE_REJECTED, 42, "unexpected certificate")
    ]
    (event,) = events(z)
    assert isinstance(event, DtlsClosed)
    assert event.reason is DtlsCloseReason.PEER_ALERT
    assert event.alert == 42
    assert link.now < 2.0


def test_wrong_client_certificate_fails_at_both_ends() -> None:
    a, z = make_client(), make_server(expects=STRANGER)
    link = connect(a, z)
    link.run()
    (event,) = events(a)
    assert isinstance(event, DtlsClosed)
    assert (event.reason, event.alert) == (DtlsCloseReason.PEER_ALERT, 42)
    assert events(z) == [
        DtlsClosed(DtlsCloseReason.CERTIFICATE_REJECTED, 42, "unexpected certificate")
    ]
    assert a.peer_certificate is None
    with pytest.raises(DtlsStateError):
        z.send([b"packet"], now=5.0)


def test_lost_alert_is_repeated() -> None:
    dropped: list[bytes] = []

    def drop(source: End, datagram: bytes) -> bool:
        lost = source is a and datagram[0] == ContentType.ALERT and len(dropped) < 2
        if lost:
            dropped.append(datagram)
        return lost

    a, z = make_client(expects=STRANGER), make_server()
    connect(a, z, drop=drop).run()
    assert len(dropped) == 2
    (event,) = events(z)
    assert isinstance(event, DtlsClosed)
    assert event.reason is DtlsCloseReason.PEER_ALERT


def test_peer_without_a_certificate_is_refused() -> None:
    from OpenSSL import SSL

    ours, theirs = make_server(), OpenSslEnd(client=True)
    context = SSL.Context(SSL.DTLS_METHOD)
    context.set_options(SSL.OP_NO_QUERY_MTU)
    theirs.connection = SSL.Connection(context, None)
    theirs.connection.set_ciphertext_mtu(1200)
    theirs.connection.set_connect_state()
    shake_hands(ours, theirs)
    (event,) = events(ours)
    assert isinstance(event, DtlsClosed)
    assert event.reason is DtlsCloseReason.HANDSHAKE_FAILED
    assert event.alert in (40, 42)
    assert theirs.error


@pytest.mark.parametrize("trusted", [True, False])
def test_authority_decides_by_the_chain(trusted: bool) -> None:
    authority = SERVER if trusted else STRANGER
    client = DtlsAssociation(CLIENT, PeerPolicy.authority(authority.to_pem()), client=True, now=0.0)
    server = DtlsAssociation(SERVER, PeerPolicy.anyone(), client=False, now=0.0)
    link = connect(client, server)
    link.run()
    assert client.established is trusted
    if not trusted:
        (event,) = events(client)
        assert isinstance(event, DtlsClosed)
        assert event.reason is DtlsCloseReason.HANDSHAKE_FAILED
        assert "certificate verify failed" in event.detail


def test_one_of_several_fingerprints_is_enough() -> None:
    prints = [STRANGER.fingerprint(), SERVER.fingerprint(), Fingerprint("sha-256", bytes(32))]
    a = DtlsAssociation(CLIENT, PeerPolicy.fingerprints(*prints), client=True, now=0.0)
    connect(a, make_server())
    assert a.established


# -- loss --------------------------------------------------------------------------------------


@pytest.mark.parametrize("flight", [1, 2, 3, 4])
def test_each_flight_may_be_lost_twice(flight: int) -> None:
    first_bytes: list[bytes] = []
    lost = [0]

    def drop(source: End, datagram: bytes) -> bool:
        kind = (source is a, datagram[0] == 22 and datagram[13])
        number = {(True, 1): 1, (False, 2): 2, (True, 11): 3}.get(kind, 4)
        if number == flight and lost[0] < 2:
            lost[0] += 1
            first_bytes.append(datagram)
            return True
        return False

    a, z = make_client(), make_server()
    link = connect(a, z, drop=drop)
    assert lost == [2]
    assert a.established
    assert z.established
    assert 2.0 <= link.now < 3.1
    exchange(a, z, [b"packet"])
    # No record number is used twice: its repetition would count as a replay.
    numbers = [(r.epoch, r.sequence_number) for d in first_bytes for r in split_records(d)]
    assert len(set(numbers)) == len(numbers)


def test_repeated_finished_has_a_new_number_that_openssl_accepts() -> None:
    # OpenSSL's last flight is lost; it has to see our Finished again to repeat it.
    ours, theirs = make_client(), OpenSslEnd(client=False)
    ours.start(now=0.0)
    theirs.receive(ours.datagrams_to_send())
    ours.receive_datagrams(theirs.to_send(), now=0.0)
    theirs.receive(ours.datagrams_to_send())
    assert theirs.up
    assert theirs.to_send()  # lost
    ours.handle_timeout(now=ours.next_timeout())
    theirs.receive(ours.datagrams_to_send())
    ours.receive_datagrams(theirs.to_send(), now=1.0)
    assert ours.established
    ours.send([b"after"], now=1.0)
    assert theirs.receive(ours.datagrams_to_send()) == [b"after"]


def test_server_repeats_its_last_flight_until_a_packet_came() -> None:
    a, z = make_client(), make_server()
    a.start(now=0.0)
    z.receive_datagrams(a.datagrams_to_send(), now=0.0)
    a.receive_datagrams(z.datagrams_to_send(), now=0.0)
    z.receive_datagrams(a.datagrams_to_send(), now=0.0)
    assert z.established
    z.datagrams_to_send()  # lost
    now = a.next_timeout()
    a.handle_timeout(now=now)
    z.receive_datagrams(a.datagrams_to_send(), now=now)
    again = z.datagrams_to_send()
    assert len(again) == 1
    a.receive_datagrams(again, now=now)
    assert a.established
    a.send([b"packet"], now=now)
    z.receive_datagrams(a.datagrams_to_send(), now=now)
    assert z.packets_received() == [b"packet"]


def test_packets_that_overtake_the_last_flight_are_kept() -> None:
    a, z = make_client(), make_server()
    a.start(now=0.0)
    z.receive_datagrams(a.datagrams_to_send(), now=0.0)
    a.receive_datagrams(z.datagrams_to_send(), now=0.0)
    z.receive_datagrams(a.datagrams_to_send(), now=0.0)
    last_flight = z.datagrams_to_send()
    z.send([b"early"] * 200, now=0.0)
    a.receive_datagrams(z.datagrams_to_send(), now=0.0)
    assert a.packets_received() == []
    a.receive_datagrams(last_flight, now=0.0)
    assert a.established
    early = a.packets_received()
    assert set(early) == {b"early"}
    assert 32 <= len(early) <= 64  # bounded


def test_finished_before_the_messages_it_finishes() -> None:
    config = DtlsConfig(max_datagram_size=220)
    a, z = make_client(config=config), make_server(config=config)
    a.start(now=0.0)
    z.receive_datagrams(a.datagrams_to_send(), now=0.0)
    a.receive_datagrams(list(reversed(z.datagrams_to_send())), now=0.0)
    flight = a.datagrams_to_send()
    assert len(flight) > 2
    z.receive_datagrams(list(reversed(flight)), now=0.0)
    assert z.established


def test_change_cipher_spec_may_be_lost() -> None:
    a, z = make_client(), make_server()
    link = Link(a, z)
    a.start(now=0.0)
    while not (a.established and z.established):
        link.collect()
        kept = [
            (at, order, target, record.encoded)
            for at, order, target, datagram in link.in_flight
            for record in split_records(datagram)
            if record.content_type != ContentType.CHANGE_CIPHER_SPEC
        ]
        link.in_flight = [(at, n, target, data) for n, (at, _, target, data) in enumerate(kept)]
        assert link.step()
    assert link.now < 0.5


@pytest.mark.parametrize("loss", [0.0, 0.1, 0.3, 0.5])
@pytest.mark.parametrize("gated", [False, True])
def test_lossy_links_end_in_one_way_or_the_other(loss: float, gated: bool) -> None:
    config = DtlsConfig(initial_rto=0.25, max_rto=4.0)
    up = 0
    tries = 60
    for seed in range(tries):
        a = make_client(config=config)
        z: End = GatedServer() if gated else make_server(config=config)
        link = Link(a, z, loss=loss, jitter=0.03, duplicate=loss / 2, seed=seed)
        a.start(now=0.0)
        link.run_until_settled()
        assert a.established or a.closed
        assert link.now <= 70.0
        if a.established:
            up += 1
            server = z.association if isinstance(z, GatedServer) else z
            assert server is not None
            assert server.established
            exchange(a, server, [b"packet"])
        else:
            (event,) = events(a)
            assert isinstance(event, DtlsClosed)
            assert event.reason in (DtlsCloseReason.TIMED_OUT, DtlsCloseReason.PEER_ALERT)
    assert up == tries if loss == 0.0 else up > tries * (1 - loss)


def test_nobody_answers() -> None:
    a = make_client()
    a.start(now=0.0)
    sent = []
    while not a.closed:
        now = a.next_timeout()
        sent += [now] * len(a.datagrams_to_send())
        a.handle_timeout(now=now)
    # at 0, 1, 3, 7 and 15 seconds
    assert sent == [1.0, 3.0, 7.0, 15.0, 30.0]
    assert events(a) == [DtlsClosed(DtlsCloseReason.TIMED_OUT)]
    assert a.next_timeout() == float("inf")
    a.handle_timeout(now=99.0)
    assert events(a) == []


def test_server_whose_client_vanishes() -> None:
    a, z = make_client(), make_server()
    a.start(now=0.0)
    z.receive_datagrams(a.datagrams_to_send(), now=0.0)
    while z.next_timeout() < float("inf"):
        z.handle_timeout(now=z.next_timeout())
    assert events(z) == [DtlsClosed(DtlsCloseReason.TIMED_OUT)]


# -- misuse and small things -------------------------------------------------------------------


def test_local_misuse() -> None:
    a, z = make_client(), make_server()
    with pytest.raises(DtlsStateError):
        z.start(now=0.0)
    with pytest.raises(DtlsStateError):
        a.send([b"packet"], now=0.0)
    connect(a, z)
    with pytest.raises(DtlsStateError):
        a.start(now=0.0)
    with pytest.raises(ValueError, match="16384"):
        a.send([b"fine", bytes(16385)], now=1.0)
    assert a.datagrams_to_send() == []
    a.send([], now=1.0)
    a.close(now=1.0)
    a.close(now=1.0)
    assert len(a.datagrams_to_send()) == 1
    with pytest.raises(DtlsStateError):
        a.send([b"packet"], now=1.0)


def test_close_is_told_and_answered() -> None:
    a, z = make_client(), make_server()
    link = connect(a, z)
    events(a), events(z)
    a.close(now=link.now)
    link.run()
    assert events(a) == [DtlsClosed(DtlsCloseReason.LOCAL_CLOSE)]
    assert events(z) == [DtlsClosed(DtlsCloseReason.PEER_CLOSE, 0)]
    assert len(link.carried) == 6


def test_lost_close_notify_is_said_again_when_packets_keep_coming() -> None:
    a, z = make_client(), make_server()
    connect(a, z)
    events(z)
    a.close(now=1.0)
    a.datagrams_to_send()  # lost
    sent = 0
    for second in range(2, 40):
        z.send([b"x" * 100], now=second)
        a.receive_datagrams(z.datagrams_to_send(), now=second)
        answer = a.datagrams_to_send()
        sent += len(answer)
        if second == 30:
            assert sent == 8  # not for ever
        if second == 4:
            z.receive_datagrams(answer, now=second)
            assert events(z) == [DtlsClosed(DtlsCloseReason.PEER_CLOSE, 0)]
            break


def test_close_during_the_handshake_is_told() -> None:
    a, z = make_client(), make_server()
    link = Link(a, z)
    a.start(now=0.0)
    link.step()
    a.close(now=link.now)
    link.run()
    assert events(a) == [DtlsClosed(DtlsCloseReason.LOCAL_CLOSE)]
    (event,) = events(z)
    assert isinstance(event, DtlsClosed)
    assert event.reason is DtlsCloseReason.PEER_ALERT
    assert event.alert == 90


def test_close_before_anything() -> None:
    z = make_server()
    z.close(now=0.0)
    assert z.datagrams_to_send() == []
    assert z.closed


def test_key_log_is_a_matter_of_the_caller() -> None:
    lines: list[bytes] = []
    a = DtlsAssociation(
        CLIENT,
        PeerPolicy.fingerprints(SERVER.fingerprint()),
        client=True,
        now=0.0,
        key_log=lines.append,
    )
    connect(a, make_server())
    assert len(lines) == 1
    assert lines[0].startswith(b"CLIENT_RANDOM ")


def test_peer_certificate_is_der() -> None:
    a, z = make_client(), make_server()
    connect(a, z)
    assert a.peer_certificate is not None
    assert x509.load_der_x509_certificate(a.peer_certificate) == SERVER.certificate
