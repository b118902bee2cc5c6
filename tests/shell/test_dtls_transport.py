"""DTLS over an emulated network, in virtual time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest
import trio
from trio.testing import MockClock, assert_checkpoints, wait_all_tasks_blocked

from tests.support.certificates import CLIENT, SERVER, STRANGER
from trio_sctp import (
    Association,
    AssociationAborted,
    Config,
    HandshakeFailed,
    TransportFailed,
    open_association,
)
from trio_sctp._dtls_transport import CertificateRejected, DtlsTransport, open_dtls
from trio_sctp._webrtc.certificate import Certificate, PeerPolicy
from trio_sctp._webrtc.dtls_common import DtlsConfig, DtlsStatistics
from trio_sctp.testing import LinkEnd, memory_link

QUICK = DtlsConfig(initial_rto=0.25, max_rto=2.0, handshake_timeout=20.0)


async def connect(
    ends: tuple[LinkEnd, LinkEnd], *, config: DtlsConfig = QUICK
) -> tuple[DtlsTransport, DtlsTransport]:
    """Both ends of a link, secured."""
    transports: dict[bool, DtlsTransport] = {}

    async def one(client: bool) -> None:
        transports[client] = await open_dtls(
            ends[0] if client else ends[1],
            client=client,
            certificate=CLIENT if client else SERVER,
            verify_peer=(SERVER if client else CLIENT).fingerprint(),
            config=config,
        )

    async with trio.open_nursery() as nursery:
        nursery.start_soon(one, True)
        nursery.start_soon(one, False)
    return transports[True], transports[False]


async def outcome(task: Callable[[], Awaitable[object]], errors: list[Exception]) -> None:
    try:
        await task()
    except Exception as error:
        errors.append(error)


def secure(end: LinkEnd, *, client: bool, **options: Any) -> Callable[[], Awaitable[DtlsTransport]]:
    options.setdefault("certificate", CLIENT if client else SERVER)
    options.setdefault("verify_peer", str((SERVER if client else CLIENT).fingerprint()))
    return partial(open_dtls, end, client=client, config=QUICK, **options)


async def test_packets_pass_whole_and_in_batches(autojump_clock: MockClock) -> None:
    client, server = await connect(memory_link(delay=0.01))
    assert client.peer_certificate == SERVER.der
    assert server.peer_fingerprint == CLIENT.fingerprint()
    assert client.protects_integrity
    assert client.max_datagram_size < 65535
    packets = [bytes([n]) * (n + 1) for n in range(20)]
    with assert_checkpoints():
        await client.send_batch(packets)
    with assert_checkpoints():
        assert await server.receive_batch() == packets
    await server.send(b"one")
    await server.send(b"two")
    with assert_checkpoints():
        assert await client.receive() == b"one"
    with assert_checkpoints():
        assert await client.receive() == b"two"


async def test_nothing_can_be_read_on_the_way(autojump_clock: MockClock) -> None:
    ends = memory_link()
    client, _ = await connect(ends)
    await client.send(b"a secret that is long enough")
    assert all(b"secret" not in datagram for datagram in await ends[1].receive_batch())


async def test_a_cancelled_receive_loses_nothing(autojump_clock: MockClock) -> None:
    client, server = await connect(memory_link(delay=0.01))
    with trio.move_on_after(1.0):
        await server.receive_batch()
    await client.send(b"late")
    assert await server.receive() == b"late"


async def test_close_is_told_and_seen(autojump_clock: MockClock) -> None:
    client, server = await connect(memory_link(silent_close=True))
    await client.send(b"last")
    with assert_checkpoints():
        await client.aclose()
    await client.aclose()
    assert await server.receive_batch() == [b"last"]
    with pytest.raises(trio.EndOfChannel):
        await server.receive_batch()
    with pytest.raises(trio.BrokenResourceError, match="closed by the peer"):
        await server.send(b"?")
    for use in (client.receive_batch, partial(client.send, b"")):
        with pytest.raises(trio.ClosedResourceError):
            await use()


async def test_closing_wakes_who_receives(autojump_clock: MockClock) -> None:
    client, _ = await connect(memory_link())
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def receive() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await client.receive_batch()

        await wait_all_tasks_blocked()
        await client.aclose()


async def test_closing_under_cancellation_still_closes(autojump_clock: MockClock) -> None:
    ends = memory_link()
    client, _ = await connect(ends)
    with trio.CancelScope() as scope:
        scope.cancel()
        await client.aclose()
    with pytest.raises(trio.ClosedResourceError):
        await ends[0].send(b"")


@pytest.mark.parametrize("client_is_wrong", [True, False])
async def test_a_wrong_certificate_is_told_to_both_ends(
    autojump_clock: MockClock, client_is_wrong: bool
) -> None:
    near, far = memory_link(delay=0.01, silent_close=True)
    mine: dict[str, Certificate] = {"certificate": STRANGER}
    client_errors: list[Exception] = []
    server_errors: list[Exception] = []
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            options: Any = mine if client_is_wrong else {}
            nursery.start_soon(outcome, secure(near, client=True, **options), client_errors)
            options = {} if client_is_wrong else mine
            nursery.start_soon(outcome, secure(far, client=False, **options), server_errors)
    refuser, refused = client_errors[0], server_errors[0]
    if client_is_wrong:
        refuser, refused = refused, refuser
    assert isinstance(refuser, CertificateRejected)
    assert isinstance(refused, HandshakeFailed)
    assert "alert bad_certificate" in str(refused)
    for end in near, far:  # closed by whoever gave up
        with pytest.raises(trio.ClosedResourceError):
            await end.send(b"")


async def test_nobody_answers(autojump_clock: MockClock) -> None:
    near, _ = memory_link()
    with pytest.raises(HandshakeFailed, match="did not answer"):
        await secure(near, client=True)()
    assert trio.current_time() == pytest.approx(20)


async def test_the_transport_ends_during_the_handshake(autojump_clock: MockClock) -> None:
    near, far = memory_link(delay=0.01)
    await far.aclose()
    with pytest.raises(HandshakeFailed) as caught:
        await secure(near, client=True)()
    assert isinstance(caught.value.__cause__, trio.EndOfChannel)


async def test_a_handshake_can_be_cancelled(autojump_clock: MockClock) -> None:
    near, _ = memory_link()
    with trio.move_on_after(1.0) as scope:
        await secure(near, client=True)()
    assert scope.cancelled_caught
    with pytest.raises(trio.ClosedResourceError):
        await near.send(b"")


async def test_who_the_peer_must_be(autojump_clock: MockClock) -> None:
    for verify_peer in (
        SERVER.fingerprint(),
        str(SERVER.fingerprint("sha-512")),
        [STRANGER.fingerprint(), str(SERVER.fingerprint())],
        PeerPolicy.authority(SERVER.to_pem()),
        PeerPolicy.anyone(),
    ):
        near, far = memory_link(delay=0.01)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(secure(far, client=False))
            client = await secure(near, client=True, verify_peer=verify_peer)()
        assert client.peer_certificate == SERVER.der
    with pytest.raises(ValueError, match="fingerprint"):
        await secure(near, client=True, verify_peer=[])()


@pytest.mark.parametrize("loss", [0.1, 0.3])
async def test_associations_over_dtls_over_a_bad_network(
    autojump_clock: MockClock, loss: float
) -> None:
    config = Config(path_mtu=1160, rto_initial=0.3, rto_min=0.2)
    for seed in range(5):
        ends = memory_link(delay=0.01, loss=loss, jitter=0.005, duplicate=0.05, seed=seed)
        heard: list[bytes | str] = []
        closed = trio.Event()

        async def serve(end: LinkEnd, heard: list[bytes | str], closed: trio.Event) -> None:
            transport = await secure(end, client=False)()
            async with open_association(transport, client=False, config=config) as association:
                async for message in await association.listen().accept():
                    heard.append(message)  # noqa: PERF401
                closed.set()
                await association.wait_closed()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve, ends[1], heard, closed)
            transport = await secure(ends[0], client=True)()
            async with open_association(transport, client=True, config=config) as association:
                assert association.peer_certificate == SERVER.der
                async with association.open_channel() as channel:
                    await channel.send("x" * 20_000)
                await closed.wait()
        assert heard == ["x" * 20_000]


async def both_associations(
    ends: tuple[LinkEnd, LinkEnd], use: Callable[[Association, Association], Awaitable[None]]
) -> None:
    client, server = await connect(ends)
    async with trio.open_nursery() as nursery:
        ready: list[Association] = []
        done = trio.Event()

        @nursery.start_soon
        async def serve() -> None:
            async with open_association(server, client=False, connect=True) as association:
                ready.append(association)
                await done.wait()
                association.abort()

        async with open_association(client, client=True) as association:
            while not ready:
                await trio.sleep(0.01)
            await use(association, ready[0])
            done.set()
            association.abort()


async def test_an_abort_passes_before_the_close_notify(autojump_clock: MockClock) -> None:
    async def use(client: Association, server: Association) -> None:
        server.abort("enough")
        with pytest.raises(AssociationAborted, match="enough"):
            await client.listen().accept()

    await both_associations(memory_link(delay=0.01), use)


async def test_a_close_notify_ends_the_association(autojump_clock: MockClock) -> None:
    ends = memory_link(delay=0.01, silent_close=True)
    client, server = await connect(ends)

    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def vanish() -> None:
            with pytest.raises(trio.BrokenResourceError):  # noqa: PT012
                async with open_association(server, client=False) as association:
                    await trio.sleep(1)
                    association._pump.can_send = False  # no ABORT, no SHUTDOWN
                    await server.aclose()
                    await association.listen().accept()

        async with open_association(client, client=True) as association:
            with pytest.raises(TransportFailed, match="the peer closed the DTLS association"):
                await association.listen().accept()


async def test_forged_datagrams_are_no_trouble(autojump_clock: MockClock) -> None:
    ends = memory_link()
    client, server = await connect(ends)
    await ends[0].send_batch([b"\x15\xfe\xfd" + bytes(10), b"?" * 100, bytes(5), b"\x17" * 40])
    await client.send(b"still here")
    assert await server.receive() == b"still here"


async def test_what_was_forged_or_repeated_on_the_way_is_counted(autojump_clock: MockClock) -> None:
    ends = memory_link()
    client, server = await connect(ends)
    assert client.statistics() == server.statistics() == DtlsStatistics()
    await client.send(b"once")
    (record,) = await ends[1].receive_batch()
    await ends[0].send_batch([record[:-1] + bytes([record[-1] ^ 1]), record, record])
    assert await server.receive_batch() == [b"once"]
    before = server.statistics()
    assert (before.records_dropped, before.records_forged) == (2, 1)
    await ends[0].send_batch([record])
    await client.send(b"more")
    assert await server.receive_batch() == [b"more"]
    assert before.records_dropped == 2, "it is a snapshot"
    assert server.statistics().records_dropped == 3


async def test_flights_that_were_sent_again_are_counted(autojump_clock: MockClock) -> None:
    client, _ = await connect(memory_link(delay=QUICK.initial_rto))
    assert client.statistics().flights_retransmitted >= 1
