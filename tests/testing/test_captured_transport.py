"""What passes a captured transport is in the capture, and the transport does as without it."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from tests.support.packet_log import PacketLog
from trio_sctp import ChannelTransport, Config
from trio_sctp.testing import CapturedTransport, memory_link, open_association_pair


async def test_both_directions_with_their_times(autojump_clock: MockClock) -> None:
    end, other = memory_link(delay=0.5)
    capture = PacketLog()
    start = trio.current_time()
    async with CapturedTransport(end, capture) as tapped:
        await tapped.send_batch([b"one", b"two"])
        assert await other.receive_batch() == [b"one", b"two"]
        await other.send_batch([b"three", b"four"])
        assert await tapped.receive() == b"three"
        assert await tapped.receive_batch() == [b"four"]
        await tapped.send(b"five")
    times = [(packet, sent, now - start) for packet, sent, now in capture.log]
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
    inner = ChannelTransport(
        end,
        max_datagram_size=999,
        protects_integrity=True,
        never_fragments=True,
        datagram_overhead=28,
    )
    tapped = CapturedTransport(inner, PacketLog())
    assert tapped.max_datagram_size == 999
    assert tapped.protects_integrity
    assert tapped.never_fragments
    assert tapped.datagram_overhead == 28
    assert tapped.remote_address is None
    assert repr(inner) in repr(tapped)
    assert CapturedTransport(end, PacketLog()).transport is end


async def test_an_association_through_it(autojump_clock: MockClock) -> None:
    capture = PacketLog()
    link = memory_link()
    async with open_association_pair(
        link=(CapturedTransport(link[0], capture), link[1]),
        config=Config(path_mtu_discovery=False),
    ):
        pass
    # INIT ->, <- INIT ACK, COOKIE ECHO ->, <- COOKIE ACK; <- SHUTDOWN, SHUTDOWN ACK ->, <- COMPLETE
    types = [(packet[12], sent) for packet, sent, _ in capture.log]
    assert types == [
        (1, True),
        (2, False),
        (10, True),
        (11, False),
        (7, False),
        (8, True),
        (14, False),
    ]
