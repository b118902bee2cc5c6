"""The trio association: what a program holds, over a sans-IO association and its driver.

It hands to each channel its messages, without ever waiting for a reader, and takes the program's wishes
to the core.  What the core's other events do is in `_reactions`.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Collection, Iterable
from typing import Any, Final, final

import trio
from trio.lowlevel import checkpoint, enable_ki_protection

from ._answer import Answer
from ._arguments import check_type
from ._capture import PacketCapture
from ._channel_closer import ChannelCloser
from ._channel_listener import ChannelListener
from ._core.association import Association as CoreAssociation
from ._core.capabilities import Capabilities
from ._core.config import Config
from ._core.data_channels import DataChannels
from ._core.errors import LocalProtocolError, PeerLimitError
from ._core.events import AssociationClosed, CloseReason, Event
from ._core.statistics import AssociationStatistics
from ._data_channel import DataChannel
from ._driver import Driver
from ._errors import Ending, blame
from ._event_queue import EventQueue
from ._message_channel import MessageChannel
from ._options import AssociationOptions
from ._packet_log import LOGGER as PACKET_LOGGER, PacketLog
from ._pump import Pump
from ._reactions import REACTIONS
from ._tap import PacketTap, TappedTransport
from ._transport import DatagramTransport, plain_address

__all__ = ["Association"]

ABORT_OVERHEAD: Final = 32
"""What an ABORT packet has beside the reason, in bytes."""


@final
class Association(trio.abc.AsyncResource):
    """An established SCTP association, as `open_association` gives it.

    Closing it, or leaving the context manager that gave it, shuts it down gracefully.
    """

    def __init__(
        self,
        core: CoreAssociation,
        transport: DatagramTransport,
        options: AssociationOptions,
        *,
        client: bool,
        peer_address: object = None,
        capture: PacketCapture | None = None,
    ) -> None:
        self._core = core
        core.protects_integrity = transport.protects_integrity
        if transport.never_fragments:
            core.max_path_mtu = transport.max_datagram_size
            core.path_overhead = transport.datagram_overhead
        self._shutdown_timeout = options.shutdown_timeout
        self.client = client
        """Whether this end opens channels on even ids (RFC 8832 §6)."""
        max_message_size = options.max_message_size
        if max_message_size is None:
            max_message_size = core.config.max_message_size
        self.max_message_size = max_message_size
        """Longest message that the peer takes on a data channel, in bytes; 0: any."""
        self.peer_address = plain_address(peer_address)
        """Where the peer is, if the transport knows."""
        self.peer_certificate: bytes | None = getattr(transport, "peer_certificate", None)
        """The certificate that the peer has proven to hold, in DER; None where nothing was proven,
        as over bare UDP."""
        self._channels: DataChannels | None = None
        if options.data_channels:
            self._channels = DataChannels(core, client=client, max_message_size=max_message_size)
        plain_messages = options.plain_messages
        self._takes_messages = not self._channels if plain_messages is None else plain_messages
        self.messages: MessageChannel = MessageChannel(self)
        """Messages that belong to no data channel; a `trio.abc.Channel` of `Message` values."""

        self._visitors, self._incoming = trio.open_memory_channel[DataChannel](math.inf)
        self._events = EventQueue()
        pump = self._pump = Pump(self, core, self._channels, self._tapped(transport, capture))
        self._driver = Driver(core, pump)
        self._closer = ChannelCloser(self)
        self._open_channels = pump.open_channels
        self._ring = pump.ring
        self._touched = pump.touched
        self._consumed = pump.consumed

        self._capabilities = core.capabilities
        self._round_trip = Answer[float]()
        self._settled = trio.Event()
        self._closed = trio.Event()
        self._up = False
        self._inbound_streams = core.config.inbound_streams
        self._closing = False
        self._aborted_here = False
        self._failure_told = False
        """An exception of this association's failure was raised: who handles that need not hear it
        again on leaving."""
        self._abandoned = ""
        self._transport_error: Exception | None = None
        self._ending: Ending | None = None
        self._no_more_channels: Ending | None = None

    def _tapped(
        self, transport: DatagramTransport, capture: PacketCapture | None
    ) -> DatagramTransport:
        """The transport, with whatever is to see the packets that pass it."""
        taps: list[PacketTap] = [] if capture is None else [capture]
        if PACKET_LOGGER.isEnabledFor(logging.DEBUG):
            name = f"{id(self):#x}" if self.peer_address is None else self.peer_address
            taps.append(PacketLog(f"<Association with {name}>"))
        return TappedTransport(transport, taps) if taps else transport

    def __repr__(self) -> str:
        peer = "" if self.peer_address is None else f" with {self.peer_address}"
        return f"<Association{peer} {self._core.state.value}>"

    # -- data channels

    @enable_ki_protection
    def open_channel(
        self,
        label: str = "",
        *,
        protocol: str = "",
        ordered: bool = True,
        max_retransmits: int | None = None,
        lifetime: float | None = None,
        priority: int = 256,
        id: int | None = None,  # noqa: A002  # as W3C calls it
    ) -> DataChannel:
        """Open a data channel; it can be used at once (RFC 8832 §6), best with ``async with``.

        ``max_retransmits`` or ``lifetime`` (seconds) limit how hard its messages are tried,
        ``priority`` is 0 to 65535 (RFC 8831 §6.4).  With ``id`` the channel is negotiated: the
        peer has to open it with the same id, and nothing is announced.

        Raises `LocalProtocolError` for what cannot be asked for, `trio.ClosedResourceError` if
        the association was closed here and `trio.BrokenResourceError` if it is over.
        """
        channels = self._data_channels()
        self._check_usable()
        now = trio.current_time()
        try:
            stream_id = channels.open(
                label,
                protocol,
                ordered=ordered,
                max_retransmits=max_retransmits,
                lifetime=lifetime,
                priority=priority,
                stream_id=id,
                now=now,
            )
        except PeerLimitError as error:
            blame(error, self)
            raise
        properties = channels.channel(stream_id)
        assert properties is not None  # it was just opened
        channel = self._open_channels[stream_id] = DataChannel(self, properties)
        self._touched(now)
        return channel

    def listen(self) -> ChannelListener:
        """A listener for the channels that the peer opens, which wait until they are accepted."""
        self._data_channels()
        return ChannelListener(self, self._incoming.clone())

    def _data_channels(self) -> DataChannels:
        if self._channels is None:
            raise LocalProtocolError("this association was opened with data_channels=False")
        return self._channels

    # -- SCTP

    @property
    def events(self) -> trio.MemoryReceiveChannel[Event]:
        """What happens to the association as a whole: restarts, stream resets, errors that the
        peer reports, the end, after which it ends.  The latest 256 wait for whoever receives them,
        fewer if they are unusually long.
        """
        return self._events.out

    @property
    def config(self) -> Config:
        """The one in force; `update_config` changes it."""
        return self._core.config

    @property
    def outbound_streams(self) -> int:
        """Streams that this end may send on, as negotiated."""
        return self._core.outbound_streams

    @property
    def inbound_streams(self) -> int:
        """Streams that the peer may send on, as negotiated."""
        return self._inbound_streams

    @enable_ki_protection
    def update_config(self, **changes: Any) -> None:
        """Replace fields of `config` while the association runs.

        Raises `LocalProtocolError` for an unknown name, a value out of range and a field that the
        peer was told in INIT (`trio_sctp.sansio.FIXED_BY_INIT`).
        """
        now = trio.current_time()
        self._core.update_config(now=now, **changes)
        self._touched(now)

    @enable_ki_protection
    def reset_streams(self, stream_ids: Collection[int]) -> None:
        """Restart the numbering of streams we send on, after what was sent (RFC 6525 §5.1.2); of all
        streams if none is named.

        An `OutgoingStreamsReset` among the `events` tells the result.  Raises `LocalProtocolError`
        for an id that does not exist or belongs to a data channel: closing that resets its
        stream.
        """
        stream_ids = self._resettable(stream_ids)
        now = trio.current_time()
        self._core.reset_streams(stream_ids, now=now)
        self._touched(now)

    @enable_ki_protection
    def request_incoming_reset(self, stream_ids: Collection[int]) -> None:
        """Ask the peer to restart the numbering of streams that it sends on (RFC 6525 §5.1.3); of
        all if none is named.

        An `IncomingStreamsReset` or `IncomingResetRefused` among the `events` tells the result.
        Raises as `reset_streams` does.
        """
        stream_ids = self._resettable(stream_ids)
        now = trio.current_time()
        self._core.request_incoming_reset(stream_ids, now=now)
        self._touched(now)

    @enable_ki_protection
    def add_outgoing_streams(self, count: int) -> None:
        """Ask the peer for ``count`` more streams to send on (RFC 6525 §5.1.5).

        A `StreamsChanged` among the `events` tells the result.  Raises `LocalProtocolError` beyond
        ``max_outbound_streams`` and where the peer cannot add streams.
        """
        self._check_usable()
        now = trio.current_time()
        self._core.add_outgoing_streams(count, now=now)
        self._touched(now)

    @enable_ki_protection
    def request_incoming_streams(self, count: int) -> None:
        """Ask the peer to send on ``count`` more streams (RFC 6525 §5.1.6).

        As `add_outgoing_streams`, with ``max_inbound_streams``.
        """
        self._check_usable()
        now = trio.current_time()
        self._core.request_incoming_streams(count, now=now)
        self._touched(now)

    @enable_ki_protection
    def reset_association(self) -> None:
        """Begin all sequence numbers anew, TSNs included, after what was sent (RFC 6525 §5.1.4).

        Messages and channels notice nothing but the numbers.  An `AssociationReset` among the
        `events` tells the result.  Raises `LocalProtocolError` less than 30 seconds after the last
        time and where the peer cannot do it.
        """
        self._check_usable()
        now = trio.current_time()
        self._core.reset_association(now=now)
        self._touched(now)

    @property
    def capabilities(self) -> Capabilities:
        """The extensions that both ends have."""
        return self._capabilities

    def statistics(self) -> AssociationStatistics:
        """A snapshot in the terms of RFC 6458 §8.2.1; after the end, of what there was."""
        return self._core.statistics()

    async def measure_round_trip(self) -> float:
        """Send a HEARTBEAT (RFC 9260 §8.3), wait for the answer, and return how long it took.

        One that is lost is repeated.  Several tasks that ask at the same time share one.  Raises as
        `open_channel` does if the association is closed or ends before the answer.
        """
        await checkpoint()
        while True:
            self._check_usable()
            self._core.request_heartbeat(now=trio.current_time())
            self._ring()
            answer = self._round_trip
            with trio.move_on_after(self._core.rto.rto):
                await answer.wait()
            if answer.value is not None:
                return answer.value

    @enable_ki_protection
    def path_changed(self) -> None:
        """What carries the packets goes another way now: path MTU, congestion window and RTO begin
        anew (RFC 8831 §5).  An endpoint of WebRTC knows it by itself.
        """
        now = trio.current_time()
        self._core.path_changed(now=now)
        self._touched(now)

    def _resettable(self, stream_ids: Iterable[int]) -> tuple[int, ...]:
        self._check_usable()
        wanted = tuple(stream_ids)
        for stream_id in wanted:
            if stream_id in self._open_channels:
                raise LocalProtocolError(f"stream_ids has {stream_id}: a data channel is using it")
        if not wanted and self._open_channels:  # RFC 6525 §4.1: none listed are all of them
            raise LocalProtocolError("stream_ids is empty, for all: data channels are using some")
        return wanted

    def _check_usable(self) -> None:
        if self._closing:
            raise self._because_closed(trio.ClosedResourceError(f"{self!r} was closed"))
        if (ending := self._no_more_channels) is not None:
            raise ending.for_sender()

    def _why_no_more_channels(self) -> Exception:
        if self._closing or self._no_more_channels is None:
            return self._because_closed(trio.ClosedResourceError(f"{self!r} was closed"))
        return self._no_more_channels.for_receiver()

    def _because_closed(self, error: trio.ClosedResourceError) -> trio.ClosedResourceError:
        """Where the whole association was closed here, that is what the error tells."""
        if self._closing:
            blame(error, self)
        return error

    # -- the end

    async def wait_closed(self) -> None:
        """Wait until the association is over, however that comes."""
        await self._closed.wait()

    @enable_ki_protection
    def abort(self, reason: str = "") -> None:
        """End the association at once, dropping what is queued (ABORT, RFC 9260 §9.1).

        The peer is told ``reason``, as much of it as fits into a packet.  Everything of the
        association that is used afterwards raises `trio.ClosedResourceError`.  Nothing happens to
        one that is over.
        """
        check_type("reason", reason, str)
        self._aborted_here = True
        room = self._core.config.path_mtu - ABORT_OVERHEAD
        self._abort(reason.encode(errors="replace")[:room])

    @enable_ki_protection
    async def aclose(self) -> None:
        """Shut down gracefully: all that was sent is delivered first (RFC 9260 §9.2).  Idempotent.

        What the peer sent and nobody received is dropped.  If it takes longer than
        ``shutdown_timeout``, or is cancelled, the association is aborted.  Raises
        `AssociationError` if something that was sent could not be delivered.
        """
        if not self._closing:
            self._close_everything()
            if not self._closed.is_set():
                now = trio.current_time()
                self._core.shutdown(now=now)
                self._touched(now)
        if self._closed.is_set():
            await checkpoint()
        else:
            await self._wait_for_shutdown()
        self._tell_failure()

    async def _wait_for_shutdown(self) -> None:
        try:
            with trio.move_on_after(self._shutdown_timeout):
                await self._closed.wait()
                return
            self._abandoned = f"the peer did not take everything within {self._shutdown_timeout} s"
        finally:
            self._abort()

    def _abort(self, reason: bytes = b"") -> None:
        """Close everything here, with an ABORT unless the association is over."""
        self._close_everything()
        self._abort_core(reason)

    def _abort_core(self, reason: bytes = b"") -> None:
        if self._closed.is_set():
            return
        now = trio.current_time()
        self._core.abort(reason, now=now)
        self._touched(now)

    def _close_everything(self) -> None:
        if self._closing:
            return
        self._closing = True
        self._round_trip.settle(None)
        for channel in list(self._open_channels.values()):
            channel._closed_with_association()
        if not self.messages._closed:
            self.messages._let_go(self.messages._close_here())
        self._visitors.close()

    def _tell_failure(self) -> None:
        """Raise if what was sent could not be delivered, unless something has said so before."""
        ending = self._ending
        if ending is None or self._aborted_here or self._failure_told:
            return
        has_sent = self._pump.sent_after == self._core.drain_count
        if has_sent and ending.undelivered_messages and ending.kind is not None:
            raise ending.for_sender()

    # -- for channels

    def _make_room(
        self, size: int, discard_priority: int | None, stream_id: int | None = None
    ) -> None:
        now = trio.current_time()
        freed = self._core.make_room(
            size, stream_id=stream_id, discard_priority=discard_priority, now=now
        )
        if freed:
            self._touched(now)

    def _accepted(self, channel: DataChannel) -> None:
        """The program has taken a channel that the peer opened."""
        self._data_channels().release(channel._properties)

    # -- the tasks

    def _start(
        self, nursery: trio.Nursery, *, connect: bool, inits: tuple[bytes, bytes] | None = None
    ) -> None:
        self._closer.nursery = nursery
        self._driver.start(nursery, repr(self))
        now = trio.current_time()
        if inits is not None:
            self._core.connect_with_inits(*inits, now=now)
        elif connect:
            self._core.connect(now=now)
        self._touched(now)

    def _on_transport_failure(self, error: Exception) -> None:
        if self._transport_error is None:
            self._transport_error = error
        self._abort_core()

    async def _stop(self) -> None:
        self._closer.stop()
        await self._driver.stop()
        if not self._closed.is_set():  # after a crash
            self._core.policies.lose_all()
            over = AssociationClosed(CloseReason.LOCAL_ABORT)
            events: tuple[Event, ...] = (*self._core.policies.outcomes, over)
            for event in events:
                REACTIONS[type(event)](self, event)
