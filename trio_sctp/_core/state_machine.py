"""An association as the procedures of the protocol see it (RFC 9260 §4): its state and its components.

The procedures stand by sections of the RFC: `setup` (§5), `receive` (§6, §8.5), `heartbeat` (§8.3),
`termination` (§9), and `timeouts` says which of them a timer calls.  Each is given the state machine and
works on it.  Here is what they share: the state itself, what is told to the program, what follows from
an input as a whole, and the end.  What a program may want of an association is in `association`.
"""

from __future__ import annotations

import struct
from collections import deque
from typing import TYPE_CHECKING

from .._wire.error_causes import ErrorCause
from .._wire.packet import header_crc
from .config import Config
from .events import (
    AssociationClosed,
    BufferedAmountLow,
    CloseReason,
    Event,
    PathMtuChanged,
    SendBufferDrained,
    StreamDelivered,
)
from .handshake import PacketHeader
from .initiator import Initiator
from .packet_builder import PacketBuilder
from .responder import Responder
from .rto import RetransmissionTimeout
from .states import SHUTTING_DOWN, State
from .statistics import AssociationStatistics, Counters
from .termination import Shutdown, all_is_acknowledged
from .timeouts import Procedure, procedures_of
from .timer import Alarm, Timer
from .transmission_control_block import TransmissionControlBlock
from .tx.send_queue import SendQueue

if TYPE_CHECKING:
    from random import Random

__all__ = ["StateMachine"]


class StateMachine:
    """What an association consists of; the arguments are those of `Association`."""

    def __init__(
        self,
        config: Config,
        *,
        rng: Random,
        responder: Responder | None = None,
        peer_address: bytes = b"",
        max_path_mtu: int | None = None,
        path_overhead: int = 0,
        pads_probes: bool = True,
        protects_integrity: bool = False,
    ) -> None:
        self.config = config
        self.max_path_mtu = max_path_mtu
        self.path_overhead = path_overhead
        self.pads_probes = pads_probes
        self.protects_integrity = protects_integrity
        self.takes_zero_checksum = config.zero_checksum  # as our INIT or INIT ACK says
        self.state = State.CLOSED
        self.ended = False
        """True once `AssociationClosed` was told: the object is of no more use."""
        self.counters = Counters()
        self.rng = rng
        self.peer_address = peer_address
        self.responder = responder or Responder(config, rng)
        self._owns_responder = responder is None
        self.initiator: Initiator | None = None
        self.tcb: TransmissionControlBlock | None = None
        self.rto = RetransmissionTimeout(config)
        self.ending = Shutdown(config, self.rto)
        self.builder = PacketBuilder(config, self.counters)
        self.send_queue = SendQueue(config.stream_scheduler)
        self._events: deque[Event] = deque()
        self._send_buffer_used = False
        self.drain_count = 0
        """How many times all that was sent has been acknowledged."""
        self._drain_watched = False
        self._last_statistics: AssociationStatistics | None = None
        self._timers: dict[Timer, Procedure] = {}
        self._alarm = Alarm()
        self.expect(0, 0)

    def expect(self, local_tag: int, peer_port: int) -> None:
        """The tag, and the ports, of the packets that are for this association; 0: none yet."""
        self.peer_port = peer_port
        self.own_header = PacketHeader(peer_port, self.config.local_port, local_tag)
        """That of the packets for this association."""
        self.packet_prefix = struct.pack("!HHI", *self.own_header) if local_tag else b""
        """What packets for this association begin with: both ports and our tag; empty before that."""
        self.own_crc = header_crc(self.packet_prefix)

    # -- what the program is told --------------------------------------------------------------------

    def tell(self, event: Event) -> None:
        """Something has happened, after the messages that came before it."""
        self.deliver()
        self._events.append(event)

    def deliver(self) -> None:
        """Finished messages become events."""
        if self.tcb is not None:
            messages = self.tcb.data_receiver.messages
            self.counters.messages_received += len(messages)
            self._events.extend(messages)
            messages.clear()

    def catch_up(self) -> None:
        """Do at once what was left to later steps, as something comes that has to follow it.

        Those are messages that have their turn (`rx.ordering`) and the rest of a SACK.
        """
        if self.tcb is not None:
            self.tcb.data_receiver.release_all()
            self.deliver()
            self.tcb.retransmission_queue.catch_up()
            self.tell_of_sending()

    def tell_of_sending(self) -> None:
        """Make events of what the send queue has noted."""
        queue, events = self.send_queue, self._events
        events.extend(queue.policies.outcomes)
        events.extend(map(StreamDelivered, queue.delivered))
        events.extend(map(BufferedAmountLow, queue.drained))
        queue.policies.outcomes.clear()
        queue.delivered.clear()
        queue.drained.clear()

    # -- after every input ---------------------------------------------------------------------------

    def settle(self, now: float) -> None:
        """What follows from an input as a whole: one SACK, finished messages, the next state."""
        tcb, queue = self.tcb, self.send_queue
        if queue.policies.outcomes or queue.delivered:
            self.tell_of_sending()
        if tcb is None:
            return
        receiver = tcb.data_receiver
        receiver.end_of_batch(now)
        if receiver.messages:
            self.deliver()
        if tcb.stream_reset.waits_for_data and tcb.stream_reset.data_advanced(now):
            receiver.sack_wanted = True  # RFC 6525 §5.2.1: it goes with the answer
            self.deliver()  # what was held back until now
            receiver.end_of_batch(now)
        if self._send_buffer_used and tcb.retransmission_queue.is_empty:
            self._send_buffer_used = False
            self.drain_count += 1
            if self._drain_watched:
                self._drain_watched = False
                self._events.append(SendBufferDrained())
        if not self._send_buffer_used and self.state in SHUTTING_DOWN:
            all_is_acknowledged(self, now)

    def watch_timers(self) -> None:
        """Other timers can run from now on."""
        self._timers = procedures_of(self)
        self._alarm.watch(self._timers)

    # -- what several procedures do ------------------------------------------------------------------

    def follow_path_mtu(self) -> None:
        """Path MTU discovery was given something: use what it has found."""
        assert self.tcb is not None
        path_mtu = self.tcb.path_mtu_discovery.path_mtu
        if path_mtu != self.builder.path_mtu:
            self.builder.set_path_mtu(path_mtu)
            self.tcb.retransmission_queue.set_path_mtu(path_mtu)
            self.tell(PathMtuChanged(path_mtu))

    def count_error(self) -> None:
        """RFC 9260 §8.1: the peer is unreachable once Association.Max.Retrans is exceeded."""
        assert self.tcb is not None
        self.tcb.error_count += 1
        if self.tcb.error_count > self.config.association_max_retrans:
            self.close(CloseReason.TIMED_OUT)

    def stop(self) -> None:
        """No timer runs and nothing more is bundled."""
        for timer in self._timers:
            timer.stop()
        self.initiator = None
        self.builder.clear()
        self._send_buffer_used = False

    def close(self, reason: CloseReason, causes: tuple[ErrorCause, ...] = ()) -> None:
        """The association is over."""
        self.catch_up()
        self.send_queue.policies.lose_all()
        self.tell_of_sending()
        self._events.append(AssociationClosed(reason, causes, self.send_queue.undelivered_messages))
        self._last_statistics = AssociationStatistics.of(self)
        self.ended = True
        self.stop()
        self.send_queue.clear()
        self.state = State.CLOSED
        self.tcb = None
        self.expect(0, 0)
        self._timers = {}
        self._alarm.watch(())
