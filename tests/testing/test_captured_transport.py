"""What passes a captured transport is in the capture, and the transport does as without it."""

from __future__ import annotations

import io

import pytest
import trio
from trio.testing import MockClock

from trio_sctp import ChannelTransport
from trio_sctp.testing import (
    CapturedTransport,
    PacketCapture,
    memory_link,
    open_association_pair,
)


class Recorded(PacketCapture):
    """A capture that also keeps what it is given."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO())
        self.seen: list[tuple[bytes, bool, float]] = []

    def capture(self, packet: bytes, *, sent: bool, now: float) -> None:
        self.seen.append((packet, sent, now))


async def test_both_directions_with_their_times(autojump_clock: MockClock) -> None:
    end, other = memory_link(delay=0.5)
    capture = Recorded()
    start = trio.current_time()
    async with CapturedTransport(end, capture) as tapped:
        await tapped.send_batch([b"one", b"two"])
        assert await other.receive_batch() == [b"one", b"two"]
        await other.send_batch([b"three", b"four"])
        assert await tapped.receive() == b"three"
        assert await tapped.receive_batch() == [b"four"]
        await tapped.send(b"five")
    times = [(packet, sent, now - start) for packet, sent, now in capture.seen]
    assert times == [
        (b"one", True, 0.0),
        (b"two", True, 0.0),
        (b"three", False, 1.0),
        (b"four", False, 1.0),
        (b"five", True, 1.0),
    ]
    assert not capture.closed
    with pytest.raises(trio.ClosedResourceError):
        await tapped.receive_batch()


async def test_it_is_as_its_transport_is() -> None:
    end, _ = memory_link()
    inner = ChannelTransport(end, max_datagram_size=999, protects_integrity=True)
    tapped = CapturedTransport(inner, Recorded())
    assert tapped.max_datagram_size == 999
    assert tapped.protects_integrity
    assert tapped.remote_address is None
    assert repr(inner) in repr(tapped)
    assert CapturedTransport(end, Recorded()).transport is end


async def test_an_association_through_it(autojump_clock: MockClock) -> None:
    capture = Recorded()
    link = memory_link()
    async with open_association_pair(link=(CapturedTransport(link[0], capture), link[1])):
        pass
    # INIT ->, <- INIT ACK, COOKIE ECHO ->, <- COOKIE ACK; <- SHUTDOWN, SHUTDOWN ACK ->, <- COMPLETE
    types = [(packet[12], sent) for packet, sent, _ in capture.seen]
    assert types == [
        (1, True),
        (2, False),
        (10, True),
        (11, False),
        (7, False),
        (8, True),
        (14, False),
    ]
