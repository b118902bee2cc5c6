"""Two transports joined by an emulated network, for tests of programs in virtual time.

`memory_link` needs no task, thread or socket of its own: a receiver sleeps until the next datagram
arrives, by trio's clock, which under `trio.testing.MockClock` passes at once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import trio
from trio.lowlevel import checkpoint

from .._nap import Nap
from .._transport import DatagramTransport
from ._emulated_link import BurstLoss, EmulatedLink, LinkConditions

__all__ = ["LinkEnd", "memory_link"]

BATCH_LIMIT = 64
"""Most datagrams of one `LinkEnd.receive_batch`, as with a socket."""


class LinkEnd(DatagramTransport):
    """One end of a `memory_link`.

    ``outgoing`` and ``incoming`` are the two directions seen from here: their ``conditions`` may be
    changed while the link is in use and their ``statistics`` read.

    Sending never blocks: what does not fit is lost, as on a network.  When an end is closed, the
    other gets `trio.EndOfChannel` after all that was still under way; what it sends goes nowhere.
    """

    __slots__ = (
        "_closed",
        "_nap",
        "_peer",
        "_pending",
        "incoming",
        "name",
        "outgoing",
        "silent_close",
    )

    def __init__(self, name: str, outgoing: EmulatedLink, incoming: EmulatedLink) -> None:
        self.name = name
        self.outgoing = outgoing
        self.incoming = incoming
        self.silent_close = False
        self._peer: LinkEnd = self
        self._closed = False
        self._pending: list[bytes] = []  # rest of a batch of which `receive` took a part
        self._nap = Nap()  # of whoever receives

    def __repr__(self) -> str:
        return f"<LinkEnd {self.name!r}{' closed' if self._closed else ''}>"

    @property
    def max_datagram_size(self) -> int:
        return 65535

    @property
    def never_fragments(self) -> bool:
        """True: what exceeds the MTU vanishes, but see `send_fragmented`."""
        return True

    async def send_fragmented(self, datagrams: Sequence[bytes]) -> None:
        """Send in pieces of the MTU, which arrive as one or, if a piece is lost, not at all."""
        await checkpoint()
        self._push(datagrams, fragment=True)

    async def send_batch(self, datagrams: Sequence[bytes]) -> None:
        await checkpoint()
        self.send_batch_nowait(datagrams)

    def send_batch_nowait(self, datagrams: Sequence[bytes]) -> int:
        """Send without a checkpoint; raises `trio.ClosedResourceError` after this end was
        closed.
        """
        self._push(datagrams, fragment=False)
        return len(datagrams)

    def _push(self, datagrams: Sequence[bytes], *, fragment: bool) -> None:
        if self._closed:
            raise trio.ClosedResourceError(f"{self!r} was closed")
        now = trio.current_time()
        push = self.outgoing.push
        for datagram in datagrams:
            push(datagram, now, fragment=fragment)
        self._peer._arrivals_changed()

    async def receive(self) -> bytes:
        batch = self._pending = await self.receive_batch()
        return batch.pop(0)

    async def receive_batch(self) -> list[bytes]:
        if self._need_not_wait():
            await checkpoint()
        else:
            await self._sleep()
        while not self._need_not_wait():  # another task has taken it meanwhile
            await self._sleep()
        if self._closed:
            raise trio.ClosedResourceError(f"{self!r} was closed")
        batch, self._pending = self._pending, []
        batch = batch or self.incoming.pop_due(trio.current_time(), BATCH_LIMIT)
        if not batch:
            raise trio.EndOfChannel
        return batch

    def _need_not_wait(self) -> bool:
        """Something has arrived, or nothing ever will."""
        if self._pending or self._closed:
            return True
        due = self.incoming.next_delivery()
        if due == math.inf:
            return self._peer._closed and not self._peer.silent_close
        return due <= trio.current_time()

    async def _sleep(self) -> None:
        """Until something has arrived; `_arrivals_changed` tells if that is sooner than it seemed."""
        if self._nap.is_taken:
            raise trio.BusyResourceError(f"another task is receiving from {self!r}")
        await self._nap.until(self.incoming.next_delivery())

    def _arrivals_changed(self) -> None:
        nap = self._nap
        if not nap.is_taken:
            return
        if self._need_not_wait():
            nap.end()
        elif (due := self.incoming.next_delivery()) < nap.deadline:
            nap.move(due)

    def close(self) -> None:
        """As `aclose`, without a checkpoint."""
        self._closed = True
        self._pending.clear()
        self._arrivals_changed()
        self._peer._arrivals_changed()

    async def aclose(self) -> None:
        """Close this end; doing so twice is harmless.  What it sent before is still delivered."""
        self.close()
        await checkpoint()


def memory_link(
    *,
    delay: float = 0.0,
    jitter: float = 0.0,
    rate: float | None = None,
    queue: int | None = None,
    loss: float = 0.0,
    burst_loss: BurstLoss | None = None,
    reorder: float = 0.0,
    reorder_delay: float = 0.01,
    duplicate: float = 0.0,
    corrupt: float = 0.0,
    mtu: int | None = None,
    seed: int = 0,
    back: Mapping[str, Any] | None = None,
    silent_close: bool = False,
) -> tuple[LinkEnd, LinkEnd]:
    """Make two transports, A and B, with an emulated network between them.

    The conditions, described at `LinkConditions`, hold for each direction on its own
    (``delay=0.05`` makes a round trip of 0.1 s).  ``back`` changes some of them for the way from B
    to A: ``back={"rate": 10_000}``.  All that happens by chance follows from ``seed``.  With
    ``silent_close`` an end does not learn that the other was closed, as with UDP.

    Raises `ValueError` for a value outside its limits and `TypeError` for an unknown name in
    ``back``.
    """
    there = LinkConditions(
        delay=delay,
        jitter=jitter,
        rate=rate,
        queue=queue,
        loss=loss,
        burst_loss=burst_loss,
        reorder=reorder,
        reorder_delay=reorder_delay,
        duplicate=duplicate,
        corrupt=corrupt,
        mtu=mtu,
    )
    a_to_b = EmulatedLink(there, seed=f"{seed} there")
    b_to_a = EmulatedLink(replace(there, **(back or {})), seed=f"{seed} back")
    end_a = LinkEnd("A", a_to_b, b_to_a)
    end_b = LinkEnd("B", b_to_a, a_to_b)
    end_a._peer, end_b._peer = end_b, end_a
    end_a.silent_close = end_b.silent_close = silent_close
    return end_a, end_b
