"""Runs of datagrams take few system calls where the kernel can, and where it cannot nothing is lost."""

from __future__ import annotations

import errno
import sys

import pytest

from tests.support.udp_sockets import (
    clogging_pair,
    datagrams,
    receive_all,
    scripted_pair,
    udp_pair,
)
from trio_sctp import _udp_calls, _udp_offload
from trio_sctp._udp_socket import ConnectedUDPSocket, UDPSocket


async def test_long_runs_take_few_system_calls() -> None:
    left, right = udp_pair()
    async with ConnectedUDPSocket(left) as sender, ConnectedUDPSocket(right) as receiver:
        if not (_udp_offload.can_segment(left) and _udp_offload.enable_gro(right)):
            pytest.skip("this kernel has no UDP segmentation offload")
        sent = datagrams([1200] * 120 + [100] * 130)
        await sender.send_batch(sent)
        assert await receive_all(receiver, len(sent)) == sent
        assert sender.statistics.send_calls <= 6
        assert receiver.statistics.receive_calls <= 6


async def test_runs_to_one_of_many_peers_take_few_system_calls_too() -> None:
    async with (
        await UDPSocket.bind(host="127.0.0.1") as server,
        await UDPSocket.bind(host="127.0.0.1") as peer,
    ):
        if not _udp_offload.can_segment(server._socket):
            pytest.skip("this kernel has no UDP segmentation offload")
        sent = datagrams([1200] * 40 + [100])
        for calls in (1, 2, 3):
            await server.send_to(peer.local_address, sent)
            ((source, received),) = await peer.receive_batch()
            assert (source, received) == (server.local_address, sent)
            assert server.statistics.send_calls == calls
        assert server.statistics.errors == 0


async def test_works_where_the_platform_has_no_offload(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "plan9")
    sender, _, receiver = scripted_pair()
    async with sender, receiver:
        await sends_and_receives_one_by_one(sender, receiver)


async def test_plain_sockets_need_only_portable_calls() -> None:
    # Windows has neither sendmsg nor recvmsg.
    sender, _, receiver = scripted_pair(offload=False, missing=["sendmsg", "recvmsg"])
    async with sender, receiver:
        await sender.send_batch(datagrams([100] * 10))
        assert await receive_all(receiver, 10) == datagrams([100] * 10)
        await receiver.send(b"back")
        assert await sender.receive() == b"back"


async def test_a_kernel_without_the_options_just_says_no() -> None:
    async with clogging_pair() as (sender, receiver):
        await sends_and_receives_one_by_one(sender, receiver)


async def sends_and_receives_one_by_one(
    sender: ConnectedUDPSocket, receiver: ConnectedUDPSocket
) -> None:
    sent = datagrams([100] * 10)
    await sender.send_batch(sent)
    assert await receive_all(receiver, 10) == sent
    assert sender.statistics.send_calls == 10
    assert receiver.statistics.receive_calls == 10


@pytest.fixture
def runs_are_possible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_udp_calls, "can_segment", lambda _: True)


@pytest.mark.usefixtures("runs_are_possible")
@pytest.mark.parametrize("number", [errno.EIO, errno.ENOPROTOOPT, errno.EOPNOTSUPP])
async def test_a_socket_that_cannot_send_runs_is_not_asked_again(number: int) -> None:
    sender, script, receiver = scripted_pair()
    async with sender, receiver:
        script.fail["sendmsg"] = [OSError(number, "no")]
        sent = datagrams([100] * 10)
        await sender.send_batch(sent)
        await sender.send_batch(sent)
        assert await receive_all(receiver, 20) == sent * 2
        assert script.calls.count("sendmsg") == 1
        assert sender.statistics.errors == 1
        assert sender.statistics.datagrams_not_sent == 0


@pytest.mark.usefixtures("runs_are_possible")
@pytest.mark.parametrize("number, tries", [(errno.EINVAL, 1), (errno.EMSGSIZE, 2)])
async def test_segments_too_long_for_a_link_go_singly_and_shorter_ones_as_runs(
    number: int, tries: int
) -> None:
    sender, script, receiver = scripted_pair()
    async with sender, receiver:
        script.fail["sendmsg"] = [OSError(number, "too long")] * tries
        await sender.send_batch(datagrams([1500] * 4))
        await sender.send_batch(datagrams([1500] * 4))
        assert script.calls.count("sendmsg") == tries
        assert script.calls.count("send") == 8
        if _udp_offload.can_segment(script.socket):
            await sender.send_batch(datagrams([1499] * 4))
            assert script.calls.count("sendmsg") == tries + 1
            assert script.calls.count("send") == 8
            assert await receive_all(receiver, 12) == datagrams([1500] * 4) * 2 + datagrams(
                [1499] * 4
            )


@pytest.mark.usefixtures("runs_are_possible")
async def test_what_icmp_says_of_an_earlier_datagram_does_not_end_sending_runs() -> None:
    sender, script, receiver = scripted_pair()
    async with sender, receiver:
        script.fail["sendmsg"] = [OSError(errno.EMSGSIZE, "too long")]
        if _udp_offload.can_segment(script.socket):
            await sender.send_batch(datagrams([1500] * 4))
            await sender.send_batch(datagrams([1500] * 4))
            assert script.calls.count("sendmsg") == 3
            assert script.calls.count("send") == 0
            assert await receive_all(receiver, 8) == datagrams([1500] * 4) * 2
            assert sender.statistics.errors == 0


@pytest.mark.usefixtures("runs_are_possible")
async def test_another_error_of_a_run_does_not_end_sending_runs() -> None:
    sender, script, receiver = scripted_pair()
    async with sender, receiver:
        script.fail["sendmsg"] = [OSError(errno.ENOBUFS, "not now")]
        sent = datagrams([100] * 4)
        await sender.send_batch(sent)
        await sender.send_batch(sent)
        assert await receive_all(receiver, 8) == sent * 2
        assert script.calls.count("sendmsg") == 2


@pytest.mark.parametrize(
    "sizes,longest,end",
    [
        ([5], 100, 1),
        ([5, 5, 5], 100, 3),
        ([5, 5, 4, 4], 100, 3),  # a shorter one ends a run
        ([5, 5, 6], 100, 2),
        ([5, 5, 0], 100, 2),
        ([0, 0], 100, 1),
        ([5, 5], 4, 1),
        ([5, 5], 0, 1),
        ([1] * 100, 100, 64),
        ([1200] * 100, 65507, 54),
        ([40000, 40000], 65507, 1),
        ([65508, 1], 65507, 1),
    ],
)
def test_runs_are_what_the_kernel_takes_as_one_piece(
    sizes: list[int], longest: int, end: int
) -> None:
    assert _udp_offload.run_end(datagrams(sizes), 0, longest) == end
    assert _udp_offload.run_end([b"x" * 999, *datagrams(sizes)], 1, longest) == end + 1


def test_control_messages_that_are_not_about_runs_are_ignored() -> None:
    assert _udp_offload.split(b"abc", [(0, 8, b"\1\0\0\0")]) == [b"abc"]
    for size in (0, 3, 4):
        value = size.to_bytes(4, sys.byteorder)
        assert _udp_offload.split(b"abc", [(17, 104, value)]) == [b"abc"]
    value = (2).to_bytes(4, sys.byteorder)
    assert _udp_offload.split(b"abc", [(0, 8, b"\1"), (17, 104, value)]) == [b"ab", b"c"]
