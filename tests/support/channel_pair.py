"""Two associations in virtual time with data channels on one or both of them, and a link that a test
can make lose packets.  An end without data channels is a peer that a test lets misbehave.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random
from typing import Any, TypeVar

from trio_sctp._core.association import Association
from trio_sctp._core.config import Config
from trio_sctp._core.data_channels import (
    ChannelClosed,
    ChannelFailure,
    ChannelMessage,
    DataChannels,
)
from trio_sctp._core.events import Message
from trio_sctp._wire.chunks import Chunk
from trio_sctp._wire.dcep import PPID_DCEP
from trio_sctp._wire.packet import decode_chunks

T = TypeVar("T")


class End:
    """An association, its channels if it has any, and the events that matter to channels."""

    def __init__(self, config: Config, seed: int) -> None:
        self.association = Association(config, rng=Random(seed))
        self.channels: DataChannels
        self.has_channels = False
        self.reading = True
        """The program takes its messages: their room is the peer's again."""
        self.events: list[Any] = []
        self.lose: Callable[[list[Chunk]], bool] = lambda chunks: False
        """Whether a packet that this end sends is lost."""
        self.mangle: Callable[[list[bytes]], list[bytes]] = lambda packets: packets
        """What the link makes of packets that this end sends."""

    def drain(self, now: float) -> None:
        while True:
            if self.has_channels:
                event: object = self.channels.next_event(now=now)
            else:
                event = self.association.next_event()
            if event is None:
                return
            self.events.append(event)
            if self.reading and isinstance(event, ChannelMessage):
                self.association.message_consumed(event.size)
            elif self.reading and isinstance(event, Message):
                self.association.message_consumed(len(event.payload))

    def take(self, kind: type[T]) -> list[T]:
        """The events of one kind so far; they are taken off the list."""
        found = [event for event in self.events if isinstance(event, kind)]
        self.events = [event for event in self.events if not isinstance(event, kind)]
        return found

    @property
    def data(self) -> list[tuple[int, bytes | str]]:
        """The channel messages so far, taken off the list."""
        return [(message.stream_id, message.data) for message in self.take(ChannelMessage)]

    @property
    def closed(self) -> list[tuple[int, ChannelFailure | None]]:
        """The channels that closed so far, and why; taken off the list."""
        return [
            (event.stream_id, event.error.failure if event.error else None)
            for event in self.take(ChannelClosed)
        ]

    @property
    def window(self) -> int:
        assert self.association.tcb is not None
        return self.association.tcb.data_receiver.a_rwnd


class ChannelPair:
    """`a` is the DTLS client and calls, `z` answers."""

    def __init__(
        self,
        *,
        a_config: Config | None = None,
        z_config: Config | None = None,
        a: dict[str, Any] | None = None,
        z: dict[str, Any] | None = None,
        channels: str = "az",
        seed: int = 1,
    ) -> None:
        """`a` and `z`: further arguments of each end's DataChannels; `channels`: who has them."""
        self.now = 0.0
        self.a = End(a_config or Config(), seed)
        self.z = End(z_config or Config(), seed + 1)
        for name, end, arguments in (("a", self.a, a), ("z", self.z, z)):
            if name in channels:
                end.channels = DataChannels(
                    end.association, client=name == "a", **(arguments or {})
                )
                end.has_channels = True

    def connect(self) -> ChannelPair:
        self.a.association.connect(now=self.now)
        self.settle()
        self.a.events.clear()
        self.z.events.clear()
        return self

    def settle(self) -> None:
        """Carry packets to and fro until both are quiet; no time passes."""
        moved = True
        while moved:
            moved = False
            for sender, receiver in ((self.a, self.z), (self.z, self.a)):
                sender.drain(self.now)
                packets = sender.association.packets_to_send(now=self.now)
                arriving = [p for p in packets if not sender.lose(list(decode_chunks(p)))]
                if packets:
                    moved = True
                arriving = sender.mangle(arriving)
                if arriving:
                    receiver.association.receive_packets(arriving, now=self.now)
                receiver.drain(self.now)

    def run(self, seconds: float) -> None:
        """Let virtual time pass, and everything happen that is due in it."""
        end = self.now + seconds
        while True:
            self.settle()
            due = min(e.association.next_timeout() for e in (self.a, self.z))
            if due > end or due == math.inf:
                break
            self.now = max(self.now, due)
            for e in (self.a, self.z):
                e.association.handle_timeout(now=self.now)
        self.now = end

    # -- both ends' verbs, without naming the time each time

    def open(self, end: End, label: str = "", protocol: str = "", **options: Any) -> int:
        return end.channels.open(label, protocol, now=self.now, **options)

    def send(self, end: End, stream_id: int, data: Any) -> None:
        end.channels.send(stream_id, data, now=self.now)

    def close(self, end: End, stream_id: int) -> None:
        end.channels.close(stream_id, now=self.now)

    def raw(self, end: End, stream_id: int, ppid: int, payload: bytes, **options: Any) -> None:
        """Send a message past the channels."""
        end.association.send(stream_id, payload, ppid=ppid, now=self.now, **options)

    def raw_dcep(self, end: End, stream_id: int, message: Any) -> None:
        self.raw(end, stream_id, PPID_DCEP, message.encode())

    def raw_reset(self, end: End, *stream_ids: int) -> None:
        end.association.reset_streams(stream_ids, now=self.now)
