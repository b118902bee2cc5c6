"""One whole session of a client and an echo server in virtual time, for tests that break something.

The client opens the association, talks on a channel until senders have to wait, sends a stream of
bytes, and leaves.  Whatever is done to it, `Session.check` tells what has to hold afterwards: both
programs have ended, no task and no transport is left, no message came twice or out of its order.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from functools import partial

import trio

from tests.support.certificates import CLIENT, SERVER
from trio_sctp import (
    Association,
    AssociationError,
    Config,
    DataChannel,
    DatagramTransport,
    open_association,
    open_dtls,
)
from trio_sctp.testing import LinkEnd, memory_link

__all__ = [
    "MESSAGES",
    "STREAM",
    "FaultyTransport",
    "Operation",
    "Session",
    "StepWatcher",
    "TransportFault",
]

Operation = Callable[[], Awaitable[object]]

MESSAGES: list[bytes | str] = ["one", b"two", "", b"4" * 30_000, "5" * 9000, b"the last"]
STREAM = bytes(range(256)) * 200
CONFIG = Config(association_max_retrans=4, max_init_retransmits=3)


class TransportFault(OSError):
    """What a `FaultyTransport` raises."""


class FaultyTransport(DatagramTransport):
    """A transport that raises at its n-th batch, sent or received, or closes itself then."""

    def __init__(self, inner: LinkEnd) -> None:
        self.inner = inner
        self.fail_send_at = self.fail_receive_at = self.close_at = 0
        self.after_send: Callable[[int], None] = lambda count: None
        self.error: Callable[[], Exception] = partial(TransportFault, "broken on purpose")
        self.sent = self.received = 0
        self.closed = False

    @property
    def max_datagram_size(self) -> int:
        return self.inner.max_datagram_size

    async def send_batch(self, datagrams: Sequence[bytes]) -> None:
        await trio.lowlevel.checkpoint()
        self.sent += 1
        if self.sent == self.fail_send_at:
            raise self.error()
        if self.sent == self.close_at:
            self.inner.close()
        self.inner.send_batch_nowait(datagrams)
        self.after_send(self.sent)

    async def receive_batch(self) -> list[bytes]:
        batch = await self.inner.receive_batch()
        self.received += 1
        if self.received == self.fail_receive_at:
            raise self.error()
        return batch

    async def receive(self) -> bytes:
        raise NotImplementedError

    async def aclose(self) -> None:
        self.closed = True
        await self.inner.aclose()


class StepWatcher(trio.abc.Instrument):
    """Calls ``action`` when a task, or one of those that it started, has reached its n-th
    checkpoint.
    """

    def __init__(self, at: int, *, children: bool = False) -> None:
        self.at = at
        self.steps = 0
        self.task: trio.lowlevel.Task | None = None
        self.action: Callable[[], None] = lambda: None
        self._children = children

    @property
    def reached(self) -> bool:
        return self.steps >= self.at

    @contextmanager
    def watching(self, action: Callable[[], None]) -> Iterator[None]:
        """The task that runs this block is the one, until the block ends."""
        self.task, self.action = trio.lowlevel.current_task(), action
        try:
            yield
        finally:
            self.task = None

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        if self.task is not None and self._watched(task):
            self.steps += 1
            if self.steps == self.at:
                self.action()

    def _watched(self, task: trio.lowlevel.Task | None) -> bool:
        if not self._children:
            return task is self.task
        while task is not None and task is not self.task:
            nursery = task.parent_nursery
            task = None if nursery is None else nursery.parent_task
        return task is not None


async def _plainly(operation: Operation) -> object:
    return await operation()


class Session:
    """What happened in a session, and its parts."""

    def __init__(
        self, *, silent_close: bool = False, config: Config = CONFIG, secured: bool = False
    ) -> None:
        """``secured``: over DTLS."""
        ends = memory_link(delay=0.01, silent_close=silent_close)
        self.client_end, self.server_end = map(FaultyTransport, ends)
        self.config = config
        self.secured = secured
        self.received: list[bytes | str] = []
        self.echoed: list[bytes | str] = []
        self.stream_received = b""
        self.stream_echoed = b""
        self.finished = False
        """The client's program has come to its end, closing included."""
        self.client_error: BaseException | None = None
        self.server_error: BaseException | None = None
        self.client_ended_at = 0.0
        self.disturbers: trio.Nursery
        """For tasks of the test, which are cancelled when both programs have ended."""
        self.client_scope = trio.CancelScope()
        self.server_scope = trio.CancelScope()
        self.retry_client: Callable[[Operation], Awaitable[object]] = _plainly
        self.retry_server: Callable[[Operation], Awaitable[object]] = _plainly
        self.talking: Callable[[], None] = lambda: None
        """Called when the association is up, and with that every kind of loss can be repaired."""

    @property
    def cut(self) -> bool:
        return self.client_end.inner.outgoing.conditions.loss == 1.0

    @cut.setter
    def cut(self, cut: bool) -> None:
        """The interface is gone, in both directions."""
        for direction in (self.client_end.inner.outgoing, self.client_end.inner.incoming):
            direction.conditions.loss = 1.0 if cut else 0.0

    async def run(self, *, within: float = 1000.0) -> None:
        """Run both programs; what they raise is kept.  Then nothing may be left of them."""
        tasks_before = trio.lowlevel.current_statistics().tasks_living
        with trio.fail_after(within):
            async with trio.open_nursery() as self.disturbers:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._run_server)
                    await self._run_client()
                    self.client_ended_at = trio.current_time()
                self.disturbers.cancel_scope.cancel()
        assert trio.lowlevel.current_statistics().tasks_living == tasks_before
        self.check_closed()
        self.check()

    def check_closed(self) -> None:
        """Nothing of either transport is left."""
        assert self.client_end.closed
        assert self.server_end.closed

    def check(self) -> None:
        """What holds of every session, however it went."""
        assert self.received == MESSAGES[: len(self.received)], "lost, doubled or out of order"
        assert self.echoed == MESSAGES[: len(self.echoed)]
        assert len(self.received) >= len(self.echoed)
        assert STREAM.startswith(self.stream_received)
        assert STREAM.startswith(self.stream_echoed)
        assert self.server_error is None or isinstance(self.server_error, AssociationError)
        if self.finished:
            self.check_complete()

    def check_complete(self) -> None:
        assert self.finished
        assert self.received == self.echoed == MESSAGES
        assert self.stream_received == self.stream_echoed == STREAM

    # -- their associations

    def _open_client(self) -> AbstractAsyncContextManager[Association]:
        return self._open(self.client_end, client=True)

    def _open_server(self) -> AbstractAsyncContextManager[Association]:
        return self._open(self.server_end, client=False)

    @asynccontextmanager
    async def _open(self, end: FaultyTransport, *, client: bool) -> AsyncIterator[Association]:
        transport: DatagramTransport = end
        if self.secured:
            certificate, other = (CLIENT, SERVER) if client else (SERVER, CLIENT)
            transport = await open_dtls(
                end, client=client, certificate=certificate, verify_peer=other.fingerprint()
            )
        rng = random.Random(1 if client else 2)
        async with open_association(
            transport, client=client, config=self.config, rng=rng
        ) as association:
            yield association

    # -- the client

    async def _run_client(self) -> None:
        try:
            with self.client_scope:
                await self._client()
                self.finished = True
        except (trio.BrokenResourceError, trio.EndOfChannel) as error:
            self.client_error = error

    async def _client(self) -> None:
        async with self._open_client() as association:
            self.talking()
            async with association.open_channel("chat") as channel:
                channel.set_water_marks(high=20_000)
                for message in MESSAGES:
                    await self.retry_client(partial(channel.send, message))
                while len(self.echoed) < len(MESSAGES):
                    echo = await self.retry_client(channel.receive)
                    assert isinstance(echo, bytes | str)
                    self.echoed.append(echo)
            async with association.open_channel("stream").as_stream() as stream:
                await stream.send_all(STREAM)
                while len(self.stream_echoed) < len(STREAM):
                    piece = await self.retry_client(stream.receive_some)
                    assert isinstance(piece, bytes)
                    if not piece:
                        raise trio.EndOfChannel("the server closed the stream")
                    self.stream_echoed += piece

    # -- the server

    async def _run_server(self) -> None:
        try:
            with self.server_scope:
                await self._server()
        except trio.BrokenResourceError as error:
            self.server_error = error

    async def _server(self) -> None:
        # Nobody calls a server whose client died at once: it would wait for ever.
        with trio.CancelScope(deadline=trio.current_time() + 600) as scope:
            async with self._open_server() as association:
                scope.deadline = float("inf")
                await self._serve(association)

    async def _serve(self, association: Association) -> None:
        async with trio.open_nursery() as nursery:
            listener = association.listen()
            while True:
                try:
                    channel = await self.retry_server(listener.accept)
                except (trio.BrokenResourceError, trio.EndOfChannel):
                    break
                assert isinstance(channel, DataChannel)
                nursery.start_soon(self._echo, channel)

    async def _echo(self, channel: DataChannel) -> None:
        try:
            async with channel:
                while True:
                    message = await self.retry_server(channel.receive)
                    assert isinstance(message, bytes | str)
                    if channel.label == "chat":
                        self.received.append(message)
                    else:
                        assert isinstance(message, bytes)
                        self.stream_received += message
                    await self.retry_server(partial(channel.send, message))
        except (trio.BrokenResourceError, trio.EndOfChannel):
            pass
