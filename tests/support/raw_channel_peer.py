"""Data channels against a peer whose messages a test makes itself."""

from __future__ import annotations

from typing import Any

from tests.support.channel_pair import ChannelPair, End
from trio_sctp._core.data_channels import ChannelOpened
from trio_sctp._wire.dcep import DataChannelOpen

__all__ = ["against_raw_server", "assert_all_released", "with_channel"]


def against_raw_server(**arguments: Any) -> ChannelPair:
    """Ours is `a`, the client; `z` is the bare peer, which owns the odd ids."""
    return ChannelPair(channels="a", a=arguments).connect()


def with_channel(stream_id: int = 1, **arguments: Any) -> ChannelPair:
    """The bare peer has opened a channel, and nothing else has happened."""
    pair = against_raw_server(**arguments)
    pair.raw_dcep(pair.z, stream_id, DataChannelOpen(label="victim"))
    pair.settle()
    assert [e.stream_id for e in pair.a.take(ChannelOpened)] == [stream_id]
    pair.a.events.clear()
    pair.z.events.clear()
    return pair


def assert_all_released(end: End) -> None:
    assert end.window == end.association.config.a_rwnd
