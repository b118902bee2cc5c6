"""Associations over DTLS over UDP: one peer, many on one port, and those who mean no good."""

from __future__ import annotations

import random
import socket
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.support.certificates import CLIENT, SERVER, STRANGER
from tests.support.handlers import echo
from trio_sctp import Association, AssociationError, HandshakeFailed
from trio_sctp._dtls import open_dtls_association
from trio_sctp._dtls_serve import DtlsEndpoint, serve_dtls
from trio_sctp._dtls_transport import CertificateRejected
from trio_sctp._udp_socket import ConnectedUDPSocket
from trio_sctp._webrtc.certificate import Certificate, Fingerprint, PeerPolicy
from trio_sctp._webrtc.dtls import DtlsAssociation

HOST = "127.0.0.1"
Handler = Callable[[Association], Awaitable[object]]


async def start(nursery: trio.Nursery, handler: Handler = echo, **options: Any) -> DtlsEndpoint:
    options.setdefault("verify_peer", [CLIENT.fingerprint()])
    endpoint = await nursery.start(
        partial(serve_dtls, handler, 0, host=HOST, certificate=SERVER, **options)
    )
    assert isinstance(endpoint, DtlsEndpoint)
    return endpoint


def connect(port: int, *, certificate: Certificate | None = CLIENT, **options: Any) -> Any:
    options.setdefault("peer_fingerprint", SERVER.fingerprint())
    return open_dtls_association(HOST, port, certificate=certificate, **options)


async def ask(port: int, text: str, **options: Any) -> None:
    async with connect(port, **options) as association, association.open_channel() as channel:
        await channel.send(text)
        assert await channel.receive() == text


async def test_many_peers_on_one_port() -> None:
    async with trio.open_nursery() as nursery:
        endpoint = await start(nursery)
        at_first = endpoint.statistics()
        async with trio.open_nursery() as clients:
            for number in range(20):
                clients.start_soon(ask, endpoint.port, str(number))
        while endpoint.statistics().associations:
            await trio.sleep(0.01)
        statistics = endpoint.statistics()
        assert statistics.cookies_sent >= 20
        assert at_first.cookies_sent == 0  # a snapshot, as everywhere
        assert statistics.half_open == statistics.handshakes_failed == 0
        assert str(endpoint.port) in repr(endpoint)
        nursery.cancel_scope.cancel()


async def test_a_large_transfer_both_ways() -> None:
    blob = bytes(range(256)) * 4096
    async with trio.open_nursery() as nursery:
        endpoint = await start(nursery)
        async with connect(endpoint.port) as association:
            assert association.peer_address == (HOST, endpoint.port)
            async with association.open_channel() as channel:
                await channel.send(blob)
                assert await channel.receive() == blob
        nursery.cancel_scope.cancel()


async def test_a_handler_sees_who_its_peer_is() -> None:
    seen: list[Fingerprint] = []

    async def note(association: Association) -> None:
        assert association.peer_certificate is not None
        seen.append(Fingerprint.of(association.peer_certificate))
        await association.wait_closed()

    async with trio.open_nursery() as nursery:
        endpoint = await start(nursery, note, verify_peer=PeerPolicy.anyone())
        async with connect(endpoint.port) as association:
            assert association.peer_certificate == SERVER.der
        async with connect(endpoint.port, certificate=None):
            pass
        assert seen[0] == CLIENT.fingerprint()
        assert seen[1] not in (CLIENT.fingerprint(), SERVER.fingerprint())
        nursery.cancel_scope.cancel()


async def test_chance_is_repeatable_but_for_that_in_dtls() -> None:
    async def tags(**options: Any) -> list[int]:
        tags: list[int] = []

        async def note(association: Association) -> None:
            tags.append(association._core.local_tag)
            await echo(association)

        async with trio.open_nursery() as nursery:
            endpoint = await start(nursery, note, **options)
            for number in range(2):
                await ask(endpoint.port, str(number))
            nursery.cancel_scope.cancel()
        return tags

    first = await tags(rng=random.Random(7))
    assert first == await tags(rng=random.Random(7))
    assert len({*first, *await tags(rng=random.Random(8)), *await tags()}) == 6


async def test_strangers_are_refused_on_either_side(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "trio_sctp.serve_dtls")
    async with trio.open_nursery() as nursery:
        endpoint = await start(nursery)
        with pytest.raises(HandshakeFailed, match="alert bad_certificate"):
            async with connect(endpoint.port, certificate=STRANGER):
                raise AssertionError("there is no association")
        with pytest.raises(CertificateRejected):
            async with connect(endpoint.port, peer_fingerprint=STRANGER.fingerprint()):
                raise AssertionError("there is no association")
        await ask(endpoint.port, "a good one")
        while endpoint.statistics().handshakes_failed < 2:
            await trio.sleep(0.01)
        assert "not the expected one" in caplog.text
        nursery.cancel_scope.cancel()


async def test_who_the_peer_must_be_has_to_be_said() -> None:
    said_twice: dict[str, Any] = {"peer_fingerprint": "x", "verify_peer": PeerPolicy.anyone()}
    for options in ({}, said_twice):
        with pytest.raises(TypeError):
            async with open_dtls_association(HOST, 1, **options):
                raise AssertionError
    with pytest.raises(ValueError, match="not a fingerprint"):
        async with open_dtls_association(HOST, 1, peer_fingerprint="x"):
            raise AssertionError


async def test_what_a_handler_raises_ends_the_server() -> None:
    class Oops(Exception):
        pass

    async def fail(association: Association) -> None:
        raise Oops

    with pytest.RaisesGroup(Oops, flatten_subgroups=True):
        async with trio.open_nursery() as nursery:
            endpoint = await start(nursery, fail)
            with pytest.raises(AssociationError):
                async with connect(endpoint.port) as association:
                    await association.listen().accept()
            await trio.sleep_forever()


async def test_leaving_the_server_tells_its_peers() -> None:
    async with trio.open_nursery() as nursery:
        endpoint = await start(nursery)
        async with connect(endpoint.port) as association:
            nursery.cancel_scope.cancel()
            with trio.CancelScope(shield=True), pytest.raises(AssociationError):
                await association.listen().accept()


async def test_a_client_that_begins_anew_at_its_address() -> None:
    # A client is killed and started again, with the same port: the server cannot have heard of it.
    ended = trio.Event()

    async def handler(association: Association) -> None:
        try:
            await echo(association)
        finally:
            ended.set()

    async with trio.open_nursery() as nursery:
        endpoint = await start(nursery, handler)
        with pytest.raises(AssociationError):  # noqa: PT012
            async with connect(endpoint.port, local_host=HOST) as association:
                port = association._pump.transport._transport.local_address[1]
                association._pump.transport._transport.close()  # without a word
                await association.wait_closed()
                await association.listen().accept()
        await ask(endpoint.port, "I am new", local_host=HOST, local_port=port)
        with trio.fail_after(300):
            await ended.wait()
        nursery.cancel_scope.cancel()


async def test_too_many_handshakes_at_once() -> None:
    async with trio.open_nursery() as nursery:
        endpoint = await start(nursery, max_half_open=1)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stuck:
            await half_open(stuck, endpoint.port)
            assert endpoint.statistics().half_open == 1
            nursery.start_soon(ask, endpoint.port, "?")
            with trio.fail_after(300):
                while not endpoint.statistics().hellos_ignored:
                    await trio.sleep(0.01)
        nursery.cancel_scope.cancel()


async def half_open(stuck: socket.socket, port: int) -> None:
    """Go as far as a client can with hellos alone."""
    stuck.connect((HOST, port))
    client = DtlsAssociation(CLIENT, PeerPolicy.anyone(), client=True, now=0.0)
    client.start(now=0.0)
    for _ in range(2):
        for datagram in client.datagrams_to_send():
            stuck.send(datagram)
        await trio.lowlevel.wait_readable(stuck)
        client.receive_datagrams([stuck.recv(2000)], now=0.0)


async def test_a_certificate_that_only_some_parsers_take() -> None:
    """It is refused, and the server goes on."""
    at = CLIENT.der.index(b"\xa0\x03\x02\x01\x02") + 4
    strange = CLIENT.der[:at] + b"\x21" + CLIENT.der[at + 1 :]  # version 34
    client = DtlsAssociation(CLIENT, PeerPolicy.anyone(), client=True, now=0.0)
    client.start(now=0.0)
    async with trio.open_nursery() as nursery:
        endpoint = await start(nursery)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger, trio.fail_after(300):
            stranger.setblocking(False)
            stranger.connect((HOST, endpoint.port))
            while not endpoint.statistics().handshakes_failed:
                for datagram in client.datagrams_to_send():
                    stranger.send(datagram.replace(CLIENT.der, strange))
                await trio.lowlevel.wait_readable(stranger)
                client.receive_datagrams([stranger.recv(2000)], now=0.0)
                await trio.sleep(0.01)
        await ask(endpoint.port, "still there")
        nursery.cancel_scope.cancel()


async def test_floods_leave_no_state_and_are_not_amplified() -> None:
    rng = random.Random(1)
    client = DtlsAssociation(CLIENT, PeerPolicy.anyone(), client=True, now=0.0)
    client.start(now=0.0)
    hello = client.datagrams_to_send()[0]
    async with trio.open_nursery() as nursery:
        endpoint = await start(nursery)
        async with connect(endpoint.port) as association, association.open_channel() as channel:
            sent = received = 0
            for _ in range(300):
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
                    stranger.setblocking(False)
                    stranger.connect((HOST, endpoint.port))
                    forged = bytearray(hello)
                    forged[30] ^= rng.randrange(1, 256)
                    for datagram in (bytes(forged), rng.randbytes(60), b"\x16\xfe\xfd" + bytes(30)):
                        sent += stranger.send(datagram)
                    await channel.send("alive?")
                    assert await channel.receive() == "alive?"
                    try:
                        while True:
                            received += len(stranger.recv(2000))
                    except BlockingIOError:
                        pass
            assert received <= sent
            assert endpoint.statistics().associations == 1
            assert endpoint.statistics().cookies_sent >= 250
        nursery.cancel_scope.cancel()


async def test_forged_hellos_and_alerts_from_a_peers_address() -> None:
    """What a stranger can make look as if it came from a peer does the peer no harm."""
    client = DtlsAssociation(STRANGER, PeerPolicy.anyone(), client=True, now=0.0)
    client.start(now=0.0)
    hello = client.datagrams_to_send()[0]
    alert = bytes.fromhex("15fefd0000000000000009000202 28".replace(" ", ""))
    async with trio.open_nursery() as nursery:
        endpoint = await start(nursery)
        async with connect(endpoint.port) as association, association.open_channel() as channel:
            below = association._pump.transport._transport
            assert isinstance(below, ConnectedUDPSocket)
            for _ in range(50):
                await below.send_batch([hello, alert, b"\x15\xfe\xfd" + bytes(20)])
                await channel.send("alive?")
                assert await channel.receive() == "alive?"
            assert endpoint.statistics().associations == 1
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("at", [0, 20, 40])
async def test_forged_handshakes_do_not_tear_batches(at: int) -> None:
    """Beside one, each datagram was a batch of its own, and more than sixteen found no room."""
    forged = bytes.fromhex("16fefd" + 11 * "00")
    async with trio.open_nursery() as nursery:
        endpoint = await start(nursery)
        async with connect(endpoint.port) as association, association.open_channel() as channel:
            ((address, share),) = endpoint._shares.items()
            batch = association._pump.transport._dtls.protect([bytes(12)] * 40, now=0.0)
            batch.insert(at, forged)
            assert endpoint._judge(address, batch, share) == []
            assert share.dropped == 0
            await channel.send("alive?")
            assert await channel.receive() == "alive?"
        nursery.cancel_scope.cancel()


async def test_a_key_log_only_where_the_user_asks_for_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "keys"
    async with trio.open_nursery() as nursery:
        endpoint = await start(nursery)
        await ask(endpoint.port, "secret")
        assert not path.exists()
        monkeypatch.setenv("SSLKEYLOGFILE", str(path))
        await ask(endpoint.port, "not so secret")
        lines = path.read_text().splitlines()
        assert len(set(lines)) == 1  # both ends are in this process
        assert lines[0].startswith("CLIENT_RANDOM ")
        nursery.cancel_scope.cancel()


async def test_a_key_log_that_cannot_be_written_is_no_reason_to_fail(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Tracebacks came from the depths of OpenSSL's binding."""
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "nowhere" / "keys"))
    async with trio.open_nursery() as nursery:
        endpoint = await start(nursery)
        await ask(endpoint.port, "secret")
        nursery.cancel_scope.cancel()
    assert "SSLKEYLOGFILE: [Errno 2]" in caplog.text
    assert capfd.readouterr().err == ""
