"""Opening an association, and leaving it in order.

What comes out of the context manager is the user's own exception, or what set-up and shutdown
raise, plainly.  Leaving normally shuts down, leaving by an exception or a cancellation aborts.
"""

from __future__ import annotations

import random
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Unpack, final

import trio
from trio.lowlevel import enable_ki_protection

from ._association import Association
from ._background import leave_nursery
from ._capture import CaptureTarget, PacketCapture, capture_of, finish_capture
from ._core.association import Association as CoreAssociation
from ._core.config import Config
from ._core.signalled_init import local_setup, make_init as make_core_init, read_init
from ._options import DEFAULT_CONFIG, ENTROPY, AssociationKeywords, AssociationOptions, takes
from ._transport import as_datagram_transport

__all__ = [
    "AssociationManager",
    "make_association",
    "make_init",
    "manager_of",
    "open_association",
]


@final
class AssociationManager(AbstractAsyncContextManager[Association]):
    """The life of a shell association: enters its nursery and leaves it, see `open_association`.

    It is no `async with` around a nursery, as that would put what the user's block raises into a
    group: the nursery is left on its own, and gets to see the block's exception only where a
    crash in one of its tasks was what cancelled the block.
    """

    def __init__(
        self,
        association: Association,
        *,
        connect: bool,
        inits: tuple[bytes, bytes] | None = None,
        capture: tuple[PacketCapture | None, CaptureTarget | None] = (None, None),
    ) -> None:
        self._association = association
        self._connect = connect
        self._inits = inits
        self._capture = capture
        self._nursery_manager = trio.open_nursery()
        self._started = False

    @enable_ki_protection
    async def __aenter__(self) -> Association:
        await self.start()
        try:
            return await self.established()
        except BaseException as error:
            await self.__aexit__(type(error), error, error.__traceback__)
            raise

    @enable_ki_protection
    async def start(self) -> None:
        """Let the tasks run; `__aexit__` has to follow."""
        if self._started:
            raise RuntimeError("an association can be entered once")
        self._started = True
        self._nursery = await self._nursery_manager.__aenter__()
        try:
            self._association._start(self._nursery, connect=self._connect, inits=self._inits)
        except BaseException as error:
            await self.__aexit__(type(error), error, error.__traceback__)
            raise

    async def established(self) -> Association:
        """Wait for the end of the handshake; raises `HandshakeFailed` if there is no association."""
        association = self._association
        await association._settled.wait()
        if not association._up:
            assert association._ending is not None
            raise association._ending.for_sender()
        return association

    @enable_ki_protection
    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        association = self._association
        leaving = error
        try:
            if error is None:
                await association.aclose()
            else:
                association._abort()
        except BaseException as caught:
            if error is None or not association._driver.crashed:  # a crash is told once
                leaving = caught
        await association._stop()
        try:
            # after a crash a Cancelled belongs to this nursery
            crashed = association._driver.crashed
            await leave_nursery(self._nursery_manager, leaving if crashed else None)
        finally:
            await association._driver.close_transport()
            await finish_capture(*self._capture)
        if leaving is not error and leaving is not None:
            raise leaving


@takes(AssociationOptions)
def open_association(
    channel: trio.abc.Channel[bytes],
    *,
    client: bool,
    connect: bool | None = None,
    inits: tuple[bytes, bytes] | None = None,
    config: Config = DEFAULT_CONFIG,
    **keywords: Unpack[AssociationKeywords],
) -> AbstractAsyncContextManager[Association]:
    """An association over any channel of datagrams, as an async context manager.

    Entering it sets the association up.  Leaving it normally delivers everything that was sent and
    shuts down (RFC 9260 §9.2), within ``shutdown_timeout`` seconds; leaving it by an exception or
    a cancellation sends an ABORT.  Either way the ``channel`` is closed: the association owns
    it.  The exception that leaves is the block's own, never in a group.

    ``client`` decides which ids the channels opened here get (RFC 8832 §6) and, unless
    ``connect`` does, whether this end sends INIT or waits for one; both ends may send it.  ``inits``,
    ours from `make_init` and the peer's, take the place of the handshake where both ends have
    exchanged them beforehand.  Without ``data_channels`` there are plain messages only;
    ``plain_messages`` takes them beside data channels too, where they are otherwise dropped.
    ``max_message_size`` is what the peer takes, in bytes, 0 for any length, if it is not the same as
    what ``config`` says of this end.  ``capture`` is the name of a file for the packets, pcap or
    (``.pcapng``) pcapng, or a `PacketCapture`.  ``rng`` is for repeatable tests.

    It can be entered once.  Raises `BadInitError` for an INIT of the peer's of which nothing can
    come, `HandshakeFailed` on entering if there will be no association, and `AssociationError` on
    leaving normally if something that was sent could not be delivered.  The latter only if nothing in
    the block has raised the association's failure before: a program that has handled it there is not
    told again.
    """
    options = AssociationOptions(config=config, **keywords)
    return manager_of(channel, options, client=client, connect=connect, inits=inits)


def manager_of(
    channel: trio.abc.Channel[bytes],
    options: AssociationOptions,
    *,
    client: bool,
    connect: bool | None,
    inits: tuple[bytes, bytes] | None = None,
) -> AssociationManager:
    """What `open_association` gives."""
    if inits is not None:  # before anything is begun
        local_setup(inits[0], options.config)
        read_init(inits[1])
    opened = capture_of(options.capture)
    try:
        association = make_association(channel, options, client=client, capture=opened)
    except BaseException:
        if opened is not None and opened is not options.capture:
            opened.close()
        raise
    return AssociationManager(
        association,
        connect=client if connect is None else connect,
        inits=inits,
        capture=(opened, options.capture),
    )


def make_init(config: Config = DEFAULT_CONFIG, *, rng: random.Random | None = None) -> bytes:
    """An INIT chunk to be exchanged by signalling, which saves an association its handshake.

    Both ends make one, get the other's, and give the two as ``inits`` to `open_association` with the
    same ``config``, once: draft-hancke-tsvwg-snap.  That is for transports that have proven who the
    peer is, such as `open_dtls`.  ``rng`` is for repeatable tests.
    """
    return make_core_init(config, rng=ENTROPY if rng is None else rng)


def make_association(
    channel: trio.abc.Channel[bytes],
    options: AssociationOptions,
    *,
    client: bool,
    capture: PacketCapture | None,
    pads_probes: bool = True,
) -> Association:
    """An association that an `AssociationManager` can bring to life.

    ``capture`` is that of the options, opened; ``pads_probes`` is as for the core's `Association`.
    """
    transport, config = as_datagram_transport(channel), options.config
    if transport.max_datagram_size < config.path_mtu:
        config = config.replace(path_mtu=transport.max_datagram_size)
    if not transport.protects_integrity:
        # RFC 9653 §3: nothing else would notice what is wrong
        config = config.replace(zero_checksum=False)
    return Association(
        CoreAssociation(config, rng=options.entropy, pads_probes=pads_probes),
        transport,
        options,
        client=client,
        peer_address=getattr(transport, "remote_address", None),
        capture=capture,
    )
