"""What of an association's shell never waits: from a channel to the socket, and from there to inboxes.

A message that the program sends goes through the core to the transport, and packets that have come go
through the core to whoever waits for what is in them, as far as that goes at once; the rest is left to
the tasks of the `Driver`, which wait.  This half is a part of every round trip: it is compiled where the
core is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, final

import OpenSSL.SSL
import trio

from ._core.association import Association as CoreAssociation
from ._core.data_channels import ChannelMessage, DataChannels
from ._core.errors import PeerLimitError
from ._errors import blame
from ._nap import Nap
from ._reactions import REACTIONS
from ._udp_fragmentation import IPV4_OVERHEAD, MAX_UDP_PAYLOAD

if TYPE_CHECKING:
    from ._association import Association
    from ._core.events import Message
    from ._data_channel import DataChannel
    from ._receipt import Receipt, Wishes
    from ._transport import DatagramTransport

__all__ = ["TRANSPORT_ERRORS", "Pump"]

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
BYTES_PER_BATCH: Final = 4 * 65536
"""As many bytes are pulled at a time, where packets are large."""


@final
class Pump:
    """Moves messages and packets between the channels, the core and the transport of an association."""

    def __init__(
        self,
        association: Association,
        core: CoreAssociation,
        channels: DataChannels | None,
        transport: DatagramTransport,
    ) -> None:
        self._association = association
        self._core = core
        self._channels = channels
        self.transport = transport
        self.current_time: Callable[[], float] = trio.current_time
        self.open_channels: dict[int, DataChannel] = {}
        self.watches_total = False
        """A task waits for the send queue as a whole to be down at the low-water mark."""
        self.sent_after = -1
        """How many times all that was sent had been acknowledged when the user last sent something:
        what this end does by itself, such as accepting channels, may be lost with the association."""
        self._bell, self.doorbell = trio.open_memory_channel[None](1)
        self.rung = False
        """The sender has been woken, or needs to be no more."""
        self.sending = False
        """The sender is at work; to overtake it would reorder packets."""
        self.left: list[bytes] = []
        """Packets for which the transport had no room."""
        self.can_send = True
        self.timer = Nap()
        """Until the core's next deadline."""
        self._limit_for = self._limit = 0
        self._overhead = max(transport.datagram_overhead - IPV4_OVERHEAD, 0)

    def stop(self) -> None:
        """Let the sender end."""
        self.rung = True
        self._bell.close()

    def ring(self) -> None:
        """Let the sender look whether there is something to send."""
        if not self.rung:
            self.rung = True
            self._bell.send_nowait(None)

    # -- from the program

    def send(self, stream_id: int, value: bytes | str) -> None:
        """Send a message on a data channel, as the channel is."""
        channels = self._channels
        assert channels is not None
        now = self.current_time()
        try:
            channels.send(stream_id, value, now=now)
        except PeerLimitError as error:
            blame(error, self._association)
            raise
        self.sent(now)

    def send_with(
        self, stream_id: int, value: bytes | str, wishes: Wishes, since: float | None
    ) -> None:
        """`send` with wishes of its own; ``since``: when it was asked for, if it had to wait."""
        channels = self._channels
        assert channels is not None
        now = self.current_time()
        try:
            channels.send(
                stream_id,
                value,
                ordered=wishes.ordered,
                options=wishes.options,
                context=wishes.receipt,
                since=since,
                now=now,
            )
        except PeerLimitError as error:
            blame(error, self._association)
            raise
        self.sent(now, wishes.receipt)

    def send_message(self, message: Message, wishes: Wishes, since: float | None) -> None:
        """`send_with` for a message that belongs to no data channel."""
        now = self.current_time()
        try:
            self._core.send(
                message.stream_id,
                message.payload,
                ppid=message.ppid,
                unordered=message.unordered if wishes.ordered is None else not wishes.ordered,
                options=wishes.options,
                context=wishes.receipt,
                since=since,
                now=now,
            )
        except PeerLimitError as error:
            blame(error, self._association)
            raise
        self.sent(now, wishes.receipt)

    def sent(self, now: float, receipt: Receipt | None = None) -> None:
        """The program has given a message to the core.

        It leaves at once if nothing is on its way: a request should not wait for the sender's turn.
        Otherwise the sender bundles it with what follows; where the windows are full, it will be
        asked when the peer has made room.
        """
        if receipt is not None:
            receipt._used = True
        core = self._core
        self.sent_after = core.drain_count
        if core.awaits_acknowledgement:
            if not core.waits_for_peer:
                self.ring()
            self.arm_timer()  # its lifetime may end before anything else is due
        else:
            self._send_at_once(now)

    def consumed(self, size: int) -> None:
        """A message was taken: its bytes no longer fill the receiver window."""
        if self._core.message_consumed(size):
            self.ring()

    def touched(self, now: float) -> None:
        """The core was given something: see what came of it."""
        self.dispatch(now)
        self.ring()

    # -- to the transport

    def batch_limit(self) -> int:
        """As many packets as fill whole calls, with what DTLS adds to them."""
        size = self._core.path_mtu
        if size != self._limit_for:
            limit = min(PACKETS_PER_BATCH, BYTES_PER_BATCH // size)
            # The kernel builds a run as one UDP datagram first.
            run = MAX_UDP_PAYLOAD // (size + self._overhead)
            self._limit_for, self._limit = size, limit - limit % run if 0 < run < limit else limit
        return self._limit

    def _send_at_once(self, now: float) -> None:
        """Send what is due as far as that goes without waiting; the rest is left to the sender."""
        if self.sending or self.rung or not self.can_send:
            self.ring()
            self.arm_timer()  # the sender may be waiting for the transport for long
            return
        core = self._core
        limit = self.batch_limit()
        packets = core.packets_to_send(now=now, limit=limit)
        if packets:
            sent = 0
            self.sending = True  # if the answer comes from within the call
            try:
                if not core.split_oversized(packets)[1]:
                    sent = self.transport.send_batch_nowait(packets)
            except TRANSPORT_ERRORS as error:
                self.fail_sending(error)
                return
            finally:
                self.sending = False
            self.left = packets[sent:]
            if self.left or len(packets) == limit:
                self.ring()
        if core.has_events or self.watches_total:
            self.dispatch(now)
        self.arm_timer()

    def fail_sending(self, error: Exception) -> None:
        """The transport takes nothing any more."""
        self.can_send = False
        self.failed(error)

    def failed(self, error: Exception) -> None:
        """The transport raised what transports raise."""
        self._association._on_transport_failure(error)

    def arm_timer(self) -> None:
        """An earlier deadline moves the sleeper; before a later one it wakes in vain, and looks."""
        deadline = self._core.wakes_at
        if deadline < self.timer.deadline:
            self.timer.move(deadline)

    # -- from the transport

    def received(self, packets: list[bytes]) -> None:
        """Packets have come from the peer: process them, and answer without waiting."""
        now = self.current_time()
        core = self._core
        core.receive_packets(packets, now=now)
        self.dispatch(now)
        if core.may_send:
            self._send_at_once(now)
        else:
            self.arm_timer()

    def timed_out(self) -> None:
        """The core's deadline has come.

        What is due now leaves with the sender's turn: with what SACKs let out meanwhile, where a packet
        that is sent by itself would be answered by itself from then on.
        """
        now = self.current_time()
        self._core.handle_timeout(now=now)
        self.touched(now)

    def dispatch(self, now: float) -> None:
        """Take the core's events: hand each message to its channel, without waiting for a reader."""
        core, channels = self._core, self._channels
        while True:
            event = core.next_event() if channels is None else channels.next_event(now=now)
            if event is None:
                break
            if type(event) is ChannelMessage:
                channel = self.open_channels.get(event.stream_id)
                if channel is None:
                    self.consumed(event.size)
                elif not channel._inbox.put(event):
                    channel._drop(event)
            else:
                REACTIONS[type(event)](self._association, event)
        if self.watches_total:
            self._association.messages._look_at_total()
