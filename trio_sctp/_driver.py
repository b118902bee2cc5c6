"""What moves packets: three tasks between a sans-IO association and its transport.

The receiver gives batches of packets to the core; the sender waits for its doorbell, pulls packets
and writes them in batches; the timer sleeps until the core's next deadline.  None of them raises what
can be expected: a transport that fails is reported to the association.  A bug, in here or in the
transport, does propagate.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

import OpenSSL.SSL
import trio
from trio.lowlevel import checkpoint, enable_ki_protection

from ._core.association import Association as CoreAssociation
from ._transport import DatagramTransport

__all__ = ["Driver"]

TRANSPORT_ERRORS: Final = (
    OSError,
    trio.BrokenResourceError,
    trio.ClosedResourceError,
    trio.EndOfChannel,
    OpenSSL.SSL.Error,  # what `trio.DTLSChannel` raises where the peer has said good-bye
)
"""What a transport raises when it has failed or was closed; anything else is a bug."""
PACKETS_PER_BATCH: Final = 54
"""Packets pulled at a time: of 1200 bytes, as many as one call with segmentation offload takes."""
BYTES_PER_CALL: Final = 65507
"""What one call with segmentation offload takes over IPv4, all headers below SCTP's left out."""
UDP_OVERHEAD: Final = 28
BYTES_PER_BATCH: Final = 4 * 65536
"""As many bytes are pulled at a time, where packets are large."""
QUIET_TURNS: Final = 2
"""Scheduler turns without new data after which a packet that is not full goes out."""
FULL_ENOUGH: Final = 9000
"""Bytes of a packet that nothing is waited for to fill further, if it could be larger still."""
BATCH_ENOUGH: Final = 64_000
"""Bytes that nothing is waited for to add to: a call with segmentation offload takes few more."""
MORE_TURNS: Final = 16
"""Scheduler turns after which full packets go out although more could go with them."""
PARTING_TIME: Final = 1.0
"""How long an ABORT or the last packet of a shutdown may take to be written, in seconds."""


class Driver:
    """Runs one association.

    ``dispatch(now)`` is to take the core's events; ``on_failure(error)`` hears what the transport
    raised, once for each direction that stopped by it.
    """

    def __init__(
        self,
        core: CoreAssociation,
        transport: DatagramTransport,
        *,
        dispatch: Callable[[float], None],
        on_failure: Callable[[Exception], None],
    ) -> None:
        self._core = core
        self.transport = transport
        self.current_time = trio.current_time
        self._dispatch = dispatch
        self._on_failure = on_failure
        self._doorbell, self._queue = trio.open_memory_channel[None](1)
        self._rung = False
        self._busy = False
        self._sending = False
        self._left: list[bytes] = []
        self._limit_for = self._limit = 0
        self._overhead = max(transport.datagram_overhead - UDP_OVERHEAD, 0)
        self._stopping = False
        self._can_send = True
        self._sender_finished = trio.Event()
        self._timer = trio.CancelScope()
        self._armed = math.inf
        self._scopes: list[trio.CancelScope] = []
        self.crashed = False
        """A bug in one of the tasks has come up: it cancels the nursery."""

    def start(self, nursery: trio.Nursery, name: str) -> None:
        self.current_time = trio.lowlevel.current_clock().current_time  # the same, but direct
        for task in (self._run_receiver, self._run_sender, self._run_timer):
            nursery.start_soon(self._guard, task, name=f"{task.__name__} of {name}")

    def ring(self) -> None:
        """Let the sender look whether there is something to send."""
        if not self._rung:
            self._rung = True
            self._doorbell.send_nowait(None)

    def queued(self, now: float) -> None:
        """The program has sent a message.

        It leaves at once if nothing is on its way: a request should not wait for the sender's turn.
        Otherwise the sender bundles it with what follows; where the windows are full, it will be
        asked when the peer has made room.
        """
        if self._core.awaits_acknowledgement:
            if not self._core.waits_for_peer:
                self.ring()
        else:
            self._send_at_once(now)

    def _send_at_once(self, now: float) -> None:
        """Send what is due as far as that goes without waiting; the rest is left to the sender."""
        if self._sending or self._rung or not self._can_send:
            self.ring()
            return
        core = self._core
        limit = self._batch_limit()
        packets = core.packets_to_send(now=now, limit=limit)
        if packets:
            try:
                sent = 0
                if not core.split_oversized(packets)[1]:
                    sent = self.transport.send_batch_nowait(packets)
            except TRANSPORT_ERRORS as error:
                self._can_send = False
                self._on_failure(error)
                return
            self._left = packets[sent:]
            if self._left or len(packets) == limit:
                self.ring()
        if core.has_events:
            self._dispatch(now)
        self._arm_timer()

    def received(self, packets: list[bytes]) -> None:
        """Packets have come from the peer: process them, and answer without waiting."""
        now = self.current_time()
        core = self._core
        core.receive_packets(packets, now=now)
        self._dispatch(now)
        if core.may_send:
            self._send_at_once(now)
        else:
            self._arm_timer()

    def touched(self, now: float) -> None:
        """The core was given something: see what came of it."""
        self._dispatch(now)
        self.ring()

    async def stop(self) -> None:
        """End the tasks, after the sender has written what is left: an ABORT perhaps."""
        self._stopping = self._rung = True
        self._doorbell.close()
        with trio.CancelScope(shield=True, deadline=trio.current_time() + PARTING_TIME):
            await self._sender_finished.wait()
        self._cancel_tasks()

    async def close_transport(self) -> None:
        """Nothing depends on how well that goes."""
        with (
            trio.CancelScope(shield=True, deadline=trio.current_time() + PARTING_TIME),
            suppress(*TRANSPORT_ERRORS),
        ):
            await self.transport.aclose()

    # -- the tasks

    @enable_ki_protection
    async def _guard(self, task: Callable[[], Awaitable[None]]) -> None:
        # Shielded: when the user's block is cancelled, the peer has to be told before they stop.
        with trio.CancelScope(shield=True) as scope:
            self._scopes.append(scope)
            try:
                await task()
            except trio.Cancelled:
                raise
            except BaseException:
                self.crashed = True
                self._cancel_tasks()
                raise

    def _cancel_tasks(self) -> None:
        for scope in self._scopes:
            scope.cancel()

    async def _run_receiver(self) -> None:
        receive_batch = self.transport.receive_batch
        self.transport.deliver_to(self.received)
        while True:
            try:
                packets = await receive_batch()
            except TRANSPORT_ERRORS as error:
                self._on_failure(error)
                return
            self.received(packets)

    async def _run_sender(self) -> None:
        try:
            async for _ in self._queue:
                if self._busy:
                    await self._let_a_batch_fill()
                self._rung = self._stopping
                await self._send_all()
                self._busy = self._rung  # more has come while this was being sent
        finally:
            self._sender_finished.set()

    async def _let_a_batch_fill(self) -> None:
        """Bundle what a busy program sends: wait for a full packet as long as more keeps coming.

        The wait is counted in turns of the scheduler and not in time: two turns without anything
        new end it, and a program that sends now and then never waits at all.  A full packet waits
        for more to go with it, too, for as many turns as messages of some KiB need to fill a batch.
        """
        core = self._core
        packet = min(core.path_mtu, FULL_ENOUGH)
        unsent = quiet_turns = more_turns = 0
        while 0 < (now_unsent := core.total_unsent_bytes) < BATCH_ENOUGH:
            quiet_turns = 0 if now_unsent > unsent else quiet_turns + 1
            more_turns += now_unsent >= packet
            if quiet_turns > QUIET_TURNS or more_turns > MORE_TURNS:
                return
            unsent = now_unsent
            await checkpoint()

    def _batch_limit(self) -> int:
        """As many packets as fill whole calls, with what DTLS adds to them."""
        size = self._core.path_mtu
        if size != self._limit_for:
            limit = min(PACKETS_PER_BATCH, BYTES_PER_BATCH // size)
            run = BYTES_PER_CALL // (size + self._overhead)
            self._limit_for, self._limit = size, limit - limit % run if 0 < run < limit else limit
        return self._limit

    async def _send_all(self) -> None:
        self._sending = True
        try:
            if self._left:
                left, self._left = self._left, []
                await self._write(left)
            while await self._send_batch():
                if self._busy and self._core.total_unsent_bytes < BATCH_ENOUGH:
                    self.ring()  # the rest goes with what is coming
                    break
        finally:
            self._sending = False

    async def _send_batch(self) -> bool:
        """Pull a batch and write it; whether there may be more."""
        now = trio.current_time()
        limit = self._batch_limit()
        packets = self._core.packets_to_send(now=now, limit=limit)
        self._dispatch(now)
        self._arm_timer()
        if packets:
            await self._write(packets)
        return len(packets) == limit

    async def _write(self, packets: list[bytes]) -> None:
        if self._can_send:
            try:
                await self._send(packets)
            except TRANSPORT_ERRORS as error:
                self._can_send = False
                self._on_failure(error)

    async def _send(self, packets: list[bytes]) -> None:
        fit, oversized = self._core.split_oversized(packets)
        if fit:
            await self.transport.send_batch(fit)
        if oversized:
            await self.transport.send_fragmented(oversized)

    async def _run_timer(self) -> None:
        while True:
            self._timer = trio.CancelScope(deadline=self._armed)
            with self._timer:
                await trio.sleep_forever()
            now = trio.current_time()
            self._core.handle_timeout(now=now)
            self.touched(now)
            self._armed = self._core.next_timeout()

    def _arm_timer(self) -> None:
        """An earlier deadline moves the sleeper; before a later one it wakes in vain, and looks."""
        deadline = self._core.wakes_at
        if deadline < self._armed:
            self._armed = self._timer.deadline = deadline
