"""A packet capture at any place where a transport can stand."""

from __future__ import annotations

import trio

from .._capture import PacketCapture
from .._tap import TappedTransport
from .._transport import as_datagram_transport

__all__ = ["CapturedTransport"]


class CapturedTransport(TappedTransport):
    """A transport that writes every packet that passes to ``capture``, with trio's time.

    ``channel`` is whatever `open_association` takes, which is then given this instead.  The capture
    stays open when the transport is closed, so that several can share one.  A packet counts as sent
    when it is handed to ``channel``, even if that loses it.
    """

    __slots__ = ("capture",)

    def __init__(self, channel: trio.abc.Channel[bytes], capture: PacketCapture) -> None:
        super().__init__(as_datagram_transport(channel), (capture,))
        self.capture = capture

    def __repr__(self) -> str:
        return f"CapturedTransport({self.transport!r}, {self.capture!r})"
