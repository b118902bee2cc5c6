"""Mistakes seen in other stacks that end a task of the shell; docs/mistakes-of-others.md has all."""

from __future__ import annotations

from random import Random

import pytest
import trio
from trio.testing import MockClock

from trio_sctp._wire.chunks import Data, ForwardTsn, ReConfig, Sack
from trio_sctp._wire.packet import encode_packet
from trio_sctp._wire.parameters import OutgoingSsnResetRequest
from trio_sctp.testing import memory_link, open_association_pair

WHOLE = [
    Sack(1, 2, (3, 4, 5, 6), (7, 8)).encode(),
    ForwardTsn(1, ((2, 3), (4, 5))).encode(),
    Data(1, 2, 3, 4, b"payload.").encode(),
    ReConfig((OutgoingSsnResetRequest(1, 2, 3, (4, 5)),)).encode(),
]


def hostile_packets(tag: int) -> list[bytes]:
    """Chunks cut off anywhere, of length 0, and plain noise, as packets with good checksums."""
    bodies = [chunk[:size] for chunk in WHOLE for size in range(4, len(chunk), 4)]
    bodies += [bytes([kind, 0, 0, 0]) * 5 for kind in range(256)]
    bodies += [Random(i).randbytes(40) for i in range(100)]
    packets = [
        encode_packet(5000, 5000, wrong, [body]) for body in bodies for wrong in (tag ^ 1, 0)
    ]
    packets += [encode_packet(5000, 5000, tag, [body]) for body in bodies[:-100]]
    return [*packets, b"", b"x", bytes(12), bytes(1200)]


async def test_truncated_chunk_raises_out_of_the_receive_task(autojump_clock: MockClock) -> None:
    """One by one and in batches: channels that are open go on, and new ones open."""
    near, far = memory_link(delay=0.01)
    async with open_association_pair(link=(near, far)) as (client, server):
        chat = client.open_channel("chat")
        await chat.send("before")
        answering = await server.listen().accept()
        assert await answering.receive() == "before"
        packets = hostile_packets(server._core.local_tag)
        await near.send_batch(packets)
        for packet in packets[::7]:
            await near.send(packet)
        await trio.sleep(1)
        await chat.send("after")
        assert await answering.receive() == "after"
        await answering.send("and back")
        assert await chat.receive() == "and back"


@pytest.mark.parametrize("payload", [b"\xff\xfe", "ü".encode()[:1]])
async def test_invalid_utf8_in_a_string_kills_the_connection(
    payload: bytes, autojump_clock: MockClock
) -> None:
    """It closes the channel that it came on, and no other."""
    async with open_association_pair(delay=0.01) as (client, server):
        one, two = client.open_channel("one"), client.open_channel("two")
        await one.send("fine")
        await two.send("fine")
        listener = server.listen()
        first, second = await listener.accept(), await listener.accept()
        client._core.send(one.id, payload, ppid=51, now=trio.current_time())
        client._ring()
        assert await first.receive() == "fine"
        with pytest.raises(trio.BrokenResourceError):
            await first.receive()
        await two.send("still fine")
        assert await second.receive() == "fine"
        assert await second.receive() == "still fine"
