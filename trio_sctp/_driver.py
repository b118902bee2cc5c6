"""What moves packets: three tasks between a sans-IO association and its transport.

The receiver gives batches of packets to the core; the sender waits for its doorbell, pulls packets
and writes them in batches; the timer sleeps until the core's next deadline.  None of them raises what
can be expected: a transport that fails is reported to the association.  A bug, in here or in the
transport, does propagate.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

import trio
from trio.lowlevel import checkpoint, enable_ki_protection

from ._core.association import Association as CoreAssociation
from ._pump import TRANSPORT_ERRORS, Pump
from ._wire.data_encoding import I_DATA_HEADER_SIZE
from ._wire.packet import COMMON_HEADER_SIZE

__all__ = ["Driver"]

QUIET_TURNS: Final = 2
"""Scheduler turns without new data after which a packet that is not full goes out."""
FULL_ENOUGH: Final = 9000
"""Bytes of a packet that nothing is waited for to fill further, if it could be larger still."""
MORE_TURNS: Final = 16
"""Scheduler turns after which full packets go out although more could go with them: messages of 16 KiB
fill a batch of the largest packets in as many."""
LONGEST_FILL: Final = 0.01
"""Seconds after which anything goes out, of a program whose messages are small or its turns long."""
PACKET_HEADERS: Final = COMMON_HEADER_SIZE + I_DATA_HEADER_SIZE
"""What is no data in a packet of one chunk, in bytes."""
PARTING_TIME: Final = 1.0
"""How long an ABORT or the last packet of a shutdown may take to be written, in seconds."""


class Driver:
    """Runs one association: it waits, and its `Pump` does what is to be done then."""

    def __init__(self, core: CoreAssociation, pump: Pump) -> None:
        self._core = core
        self._pump = pump
        self._busy = False
        self._stopping = False
        self._sender_finished = trio.Event()
        self._scopes: list[trio.CancelScope] = []
        self.crashed = False
        """A bug in one of the tasks has come up: it cancels the nursery."""

    def start(self, nursery: trio.Nursery, name: str) -> None:
        clock = trio.lowlevel.current_clock()
        self._pump.current_time = clock.current_time  # as `trio.current_time`, but direct
        for task in (self._run_receiver, self._run_sender, self._run_timer):
            nursery.start_soon(self._guard, task, name=f"{task.__name__} of {name}")

    async def stop(self) -> None:
        """End the tasks, after the sender has written what is left: an ABORT perhaps."""
        self._stopping = True
        self._pump.stop()
        with trio.CancelScope(shield=True, deadline=trio.current_time() + PARTING_TIME):
            await self._sender_finished.wait()
        self._cancel_tasks()

    async def close_transport(self) -> None:
        """Nothing depends on how well that goes."""
        with (
            trio.CancelScope(shield=True, deadline=trio.current_time() + PARTING_TIME),
            suppress(*TRANSPORT_ERRORS),
        ):
            await self._pump.transport.aclose()

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
        pump = self._pump
        receive_batch = pump.transport.receive_batch
        pump.transport.deliver_to(pump.received)
        while True:
            try:
                packets = await receive_batch()
            except TRANSPORT_ERRORS as error:
                pump.failed(error)
                return
            pump.received(packets)

    async def _run_sender(self) -> None:
        pump = self._pump
        try:
            async for _ in pump.doorbell:
                if self._busy:
                    await self._let_a_batch_fill()
                pump.rung = self._stopping
                await self._send_all()
                self._busy = pump.rung  # more has come while this was being sent
        finally:
            self._sender_finished.set()

    async def _let_a_batch_fill(self) -> None:
        """Bundle what a busy program sends: wait for a full packet as long as more keeps coming.

        The wait is counted in turns of the scheduler: two turns without anything new end it, and a
        program that sends now and then never waits at all.  A full packet waits for more to go with
        it, too, for as many turns as messages of some KiB need to fill a batch.  Acknowledgements
        wait as well, so that it is never for long.
        """
        core, current_time = self._core, self._pump.current_time
        latest = current_time() + LONGEST_FILL
        packet, enough = min(core.path_mtu, FULL_ENOUGH), self._enough()
        unsent = quiet_turns = more_turns = 0
        while 0 < (now_unsent := core.total_unsent_bytes) < enough:
            quiet_turns = 0 if now_unsent > unsent else quiet_turns + 1
            more_turns += now_unsent >= packet
            if quiet_turns > QUIET_TURNS or more_turns > MORE_TURNS or current_time() > latest:
                return
            unsent = now_unsent
            await checkpoint()

    def _enough(self) -> int:
        """Bytes that nothing is waited for to add to: they fill a batch."""
        return self._pump.batch_limit() * (self._core.path_mtu - PACKET_HEADERS)

    async def _send_all(self) -> None:
        pump = self._pump
        pump.sending = True
        enough = self._enough()
        try:
            if pump.left:
                left, pump.left = pump.left, []
                await self._write(left)
            while await self._send_batch():
                if self._busy and self._core.total_unsent_bytes < enough:
                    pump.ring()  # the rest goes with what is coming
                    break
        finally:
            pump.sending = False

    async def _send_batch(self) -> bool:
        """Pull a batch and write it; whether there may be more."""
        now = trio.current_time()
        pump = self._pump
        limit = pump.batch_limit()
        packets = self._core.packets_to_send(now=now, limit=limit)
        pump.dispatch(now)
        pump.arm_timer()
        if packets:
            await self._write(packets)
        return len(packets) == limit

    async def _write(self, packets: list[bytes]) -> None:
        if self._pump.can_send:
            try:
                await self._send(packets)
            except TRANSPORT_ERRORS as error:
                self._pump.fail_sending(error)

    async def _send(self, packets: list[bytes]) -> None:
        fit, oversized = self._core.split_oversized(packets)
        if fit:
            await self._pump.transport.send_batch(fit)
        if oversized:
            await self._pump.transport.send_fragmented(oversized)

    async def _run_timer(self) -> None:
        core, pump = self._core, self._pump
        while True:
            await pump.timer.until(core.next_timeout())
            pump.timed_out()
