"""ChannelTransport: any trio channel of datagrams moves batches, and keeps trio's manners."""

from __future__ import annotations

import pytest
import trio
from trio.testing import assert_checkpoints, wait_all_tasks_blocked

from trio_sctp._transport import (
    BATCH_LIMIT,
    ChannelTransport,
    DatagramTransport,
    as_datagram_transport,
)
from trio_sctp.testing import memory_link


class PlainChannel(trio.abc.Channel[bytes]):
    """A channel with nothing but what `trio.abc.Channel` asks for, over two memory channels."""

    def __init__(
        self, sends: trio.MemorySendChannel[bytes], receives: trio.MemoryReceiveChannel[bytes]
    ) -> None:
        self.sends = sends
        self.receives = receives

    async def send(self, value: bytes) -> None:
        await self.sends.send(value)

    async def receive(self) -> bytes:
        return await self.receives.receive()

    async def aclose(self) -> None:
        await self.sends.aclose()
        await self.receives.aclose()


class MemoryChannel(PlainChannel):
    """One that can also send and receive without waiting, as memory channels can."""

    def send_nowait(self, value: bytes) -> None:
        self.sends.send_nowait(value)

    def receive_nowait(self) -> bytes:
        return self.receives.receive_nowait()


def transport_pair(
    kind: type[PlainChannel], capacity: int
) -> tuple[ChannelTransport, ChannelTransport]:
    there = trio.open_memory_channel[bytes](capacity)
    back = trio.open_memory_channel[bytes](capacity)
    return (
        ChannelTransport(kind(there[0], back[1])),
        ChannelTransport(kind(back[0], there[1])),
    )


both_kinds = pytest.mark.parametrize("kind", [PlainChannel, MemoryChannel])
SENT = [b"%d" % number for number in range(100)]


@both_kinds
@pytest.mark.parametrize("capacity", [0, 1, 7, 1000])
async def test_batches_arrive_in_order(kind: type[PlainChannel], capacity: int) -> None:
    sender, receiver = transport_pair(kind, capacity)
    received: list[bytes] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sender.send_batch, SENT)
        while len(received) < len(SENT):
            batch = await receiver.receive_batch()
            assert 1 <= len(batch) <= BATCH_LIMIT
            received += batch
        nursery.start_soon(receiver.send, b"back")
        assert await sender.receive() == b"back"
    assert received == SENT


async def test_a_batch_drains_a_channel_that_need_not_wait() -> None:
    sender, receiver = transport_pair(MemoryChannel, 1000)
    await sender.send_batch(SENT)
    first = await receiver.receive_batch()
    assert first == SENT[:BATCH_LIMIT]
    assert await receiver.receive_batch() == SENT[BATCH_LIMIT:]


async def test_a_batch_of_any_other_channel_is_one_datagram() -> None:
    sender, receiver = transport_pair(PlainChannel, 1000)
    await sender.send_batch(SENT)
    assert await receiver.receive_batch() == SENT[:1]


@both_kinds
async def test_what_arrived_before_the_end_comes_first(kind: type[PlainChannel]) -> None:
    sender, receiver = transport_pair(kind, 10)
    await sender.send_batch([b"last words"])
    await sender.aclose()
    assert await receiver.receive_batch() == [b"last words"]
    for receive in (receiver.receive_batch, receiver.receive):
        with pytest.raises(trio.EndOfChannel):
            await receive()
    with pytest.raises(trio.BrokenResourceError):
        await receiver.send_batch([b"nobody listens"])


@both_kinds
async def test_a_closed_transport_says_so(kind: type[PlainChannel]) -> None:
    sender, receiver = transport_pair(kind, 10)
    await receiver.send(b"unread")
    await sender.aclose()
    await sender.aclose()
    for receive in (sender.receive_batch, sender.receive):
        with pytest.raises(trio.ClosedResourceError):
            await receive()
    with pytest.raises(trio.ClosedResourceError):
        await sender.send_batch([b"x"])


@both_kinds
async def test_close_wakes_a_receiver(kind: type[PlainChannel]) -> None:
    transport, _ = transport_pair(kind, 0)

    async def receive() -> None:
        with pytest.raises(trio.ClosedResourceError):
            await transport.receive_batch()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(receive)
        await wait_all_tasks_blocked()
        await transport.aclose()


@both_kinds
async def test_cancelled_calls_lose_nothing(kind: type[PlainChannel]) -> None:
    sender, receiver = transport_pair(kind, 10)
    with trio.CancelScope() as scope:
        scope.cancel()
        await sender.send_batch([b"never sent"])
    assert scope.cancelled_caught
    await sender.send(b"sent")
    with trio.CancelScope() as scope:
        scope.cancel()
        await receiver.receive_batch()
    assert scope.cancelled_caught
    assert await receiver.receive_batch() == [b"sent"]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(receiver.receive_batch)
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    await sender.send(b"later")
    assert await receiver.receive_batch() == [b"later"]


@both_kinds
async def test_a_cancelled_send_has_sent_a_leading_part(kind: type[PlainChannel]) -> None:
    sender, receiver = transport_pair(kind, 3)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sender.send_batch, SENT)
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert [await receiver.receive() for _ in range(3)] == SENT[:3]
    await sender.send(b"next")
    assert await receiver.receive() == b"next"


@both_kinds
async def test_every_method_is_a_checkpoint(kind: type[PlainChannel]) -> None:
    sender, receiver = transport_pair(kind, 10)
    with assert_checkpoints():
        await sender.send_batch([])
    with assert_checkpoints():
        await sender.send_batch([b"1", b"2"])
    with assert_checkpoints():
        await sender.send(b"3")
    with assert_checkpoints():
        await receiver.receive()
    with assert_checkpoints():
        await receiver.receive_batch()
    with assert_checkpoints():
        await receiver.aclose()


async def test_properties_say_what_the_channel_is() -> None:
    channel = transport_pair(PlainChannel, 0)[0].channel
    transport = ChannelTransport(channel)
    assert transport.max_datagram_size == 65535
    assert not transport.protects_integrity
    transport = ChannelTransport(channel, max_datagram_size=1200, protects_integrity=True)
    assert transport.max_datagram_size == 1200
    assert transport.protects_integrity
    assert repr(transport) == f"ChannelTransport({channel!r})"
    with pytest.raises(ValueError, match="max_datagram_size is 0: it must be at least 1"):
        ChannelTransport(channel, max_datagram_size=0)


async def test_a_transport_is_used_as_it_is() -> None:
    end, _ = memory_link()
    assert as_datagram_transport(end) is end
    assert not end.protects_integrity
    channel = transport_pair(PlainChannel, 0)[0].channel
    wrapped: DatagramTransport = as_datagram_transport(channel)
    assert isinstance(wrapped, ChannelTransport)
    assert wrapped.channel is channel


async def test_transports_can_be_iterated() -> None:
    sender, receiver = transport_pair(PlainChannel, 10)
    await sender.send_batch(SENT[:5])
    await sender.aclose()
    assert [datagram async for datagram in receiver] == SENT[:5]
