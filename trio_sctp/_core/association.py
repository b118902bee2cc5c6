"""One SCTP association without any I/O (RFC 9260): packets and time go in, packets and events come out.

The contract: hand in one input (packets, a time-out, a wish of the program), then take all events, then
all packets, then read `next_timeout`.  Nothing here blocks, reads a clock, or raises because of what a
peer has sent.

This class holds the state and the components together and offers the verbs.  What received chunks mean
stands in `receive` and `setup`, what goes out in `packet_builder`, and how data moves in the components
of the transmission control block.
"""

from __future__ import annotations

import math
import struct
from collections import deque
from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING, Any

from .._wire.chunks import Abort, CookieEcho, Heartbeat
from .._wire.error_causes import ErrorCause, OutOfResource, UserInitiatedAbort
from .._wire.packet import (
    COMMON_HEADER_SIZE,
    checksum_follows,
    checksum_ok,
    decode_chunks,
    decode_header,
    encode_packet,
    header_crc,
)
from .._wire.tlv import DecodeError
from .capabilities import Capabilities
from .config import FIXED_BY_INIT, Config
from .errors import LocalProtocolError
from .events import (
    AssociationClosed,
    AssociationReset,
    AssociationUp,
    BufferedAmountLow,
    CloseReason,
    Event,
    IncomingResetRefused,
    IncomingStreamsReset,
    Outcome,
    OutgoingStreamsReset,
    PathMtuChanged,
    SendBufferDrained,
    StreamDelivered,
    StreamsChanged,
)
from .handshake import Initiator, LocalSetup, PacketHeader, PeerSetup, Responder
from .packet_builder import PacketBuilder
from .receive import receive_chunks, receive_foreign_tag
from .rto import RetransmissionTimeout
from .shutdown import Shutdown
from .signalled_init import local_setup, read_init
from .states import SENDING, SETTING_UP, SHUTTING_DOWN, State
from .statistics import AssociationStatistics, Counters
from .stream_reset import StreamReset
from .timer import Alarm, Timer
from .transmission_control_block import TransmissionControlBlock
from .tx.policies import Policies, Policy
from .tx.send_queue import OutgoingMessage, SendQueue

if TYPE_CHECKING:
    from random import Random

    from .send_options import SendOptions

__all__ = ["Association", "State"]


_NO_CHECKSUM = bytes(4)
_ESTABLISHED = State.ESTABLISHED  # faster to look up than the member


class Association:
    """The sans-IO association; `trio_sctp.Association` drives one of these.

    ``rng`` must be unpredictable (``random.SystemRandom()``) outside of tests: tags, cookie secrets
    and heartbeat nonces come from it.  ``responder`` is shared by the associations of one endpoint;
    ``peer_address`` is bound into State Cookies.  ``max_path_mtu`` is the largest packet that can be
    sent without being fragmented on the way out, and ``path_overhead`` what all below SCTP adds to it,
    IP header included; without the former, path MTU discovery has nothing to try.  Without
    ``pads_probes`` its probes have PAD chunks only where the peer is known to take them.
    ``protects_integrity`` says that what arrives is certain to be what was sent (RFC 9653).
    """

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
        self._takes_zero_checksum = config.zero_checksum  # as our INIT or INIT ACK says
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
        self._send_queue = SendQueue(config.stream_scheduler)
        self._events: deque[Event] = deque()
        self._send_buffer_used = False
        self._last_statistics: AssociationStatistics | None = None
        self._expect(0, 0)
        self._timers: dict[Timer, Callable[[float], None]] = {}
        self._alarm = Alarm()

    # -- in: the program's wishes ------------------------------------------------------------------

    def connect(self, *, now: float) -> None:
        """Send INIT (ASSOCIATE, RFC 9260 §11.1.2).  Without it the association waits for the peer's.

        Raises `LocalProtocolError` unless the association is new.
        """
        if self.state is not State.CLOSED or self.ended:
            raise LocalProtocolError(f"connect: the association is {self._described_state()}")
        self.initiator = Initiator(self.config, self.rng, self.rto)
        self._expect(self.initiator.local.tag, self.config.remote_port)
        self._collect_timers()
        self.state = State.COOKIE_WAIT
        self.builder.add_packet(self.initiator.start(now))

    def connect_with_inits(self, local_init: bytes, peer_init: bytes, *, now: float) -> None:
        """Be established at once, by the INIT chunks that both ends have exchanged in signalling.

        ``local_init`` is from `make_init` with this configuration.  The peer has to do the same; one
        that sends INIT all the same restarts the association (RFC 9260 §5.2.2).  Raises `BadInitError`
        if no association can come of the peer's, and `LocalProtocolError` if not of ours, or unless
        the association is new.
        """
        if self.state is not State.CLOSED or self.ended:
            raise LocalProtocolError(
                f"connect_with_inits: the association is {self._described_state()}"
            )
        local = local_setup(local_init, self.config)
        peer = PeerSetup.from_init(read_init(peer_init), self.config.remote_port)
        self.pads_probes = True  # who can do this is none of the old stacks that fail by it
        self.learn_peer(local, peer, now)
        self.establish(now)

    def send(
        self,
        stream_id: int,
        payload: bytes | bytearray | memoryview,
        *,
        ppid: int = 0,
        unordered: bool = False,
        options: SendOptions | None = None,
        context: object = None,
        since: float | None = None,
        now: float,
    ) -> None:
        """Queue a message (SEND, RFC 9260 §11.1.5); before the association is up it waits.

        With ``options`` it may be given up before it is delivered (RFC 3758, RFC 7496); its lifetime
        counts from ``since``, for a caller that had to wait for room, or else from now.  With a
        ``context``, whatever that is, a `MessageOutcome` event tells what became of it.

        Raises `LocalProtocolError` for an empty payload, for a stream or PPID out of range, for
        limits that the peer does not support, and once a shutdown was asked for by either end or the
        association is over.
        """
        if type(payload) is not bytes:
            payload = bytes(memoryview(payload))  # a TypeError where it has no bytes
        if not payload:
            raise LocalProtocolError("payload is empty: SCTP has no messages without data")
        tcb = self.tcb
        streams = self.outbound_streams if tcb is None else tcb.outbound_streams
        if not 0 <= stream_id < streams:
            raise LocalProtocolError(
                f"stream_id is {stream_id}: this association sends on 0 to {streams - 1}"
            )
        if not 0 <= ppid < 2**32:
            raise LocalProtocolError(f"ppid is {ppid}: it must be from 0 to {2**32 - 1}")
        if self.ended or self.ending.requested or self.state in SHUTTING_DOWN:
            raise LocalProtocolError(f"send: the association is {self._described_state()}")
        message = OutgoingMessage(stream_id, ppid, payload, unordered)
        if options is None and context is None:
            self._send_queue.add(message)
        else:
            self._add_with_policy(message, options, context, now if since is None else since)
        self._send_buffer_used = True
        self.counters.messages_sent += 1
        if tcb is not None:
            tcb.retransmission_queue.allow_burst()

    def _add_with_policy(
        self, message: OutgoingMessage, options: SendOptions | None, context: object, since: float
    ) -> None:
        limited = options is not None and not options.reliable
        if limited and self.tcb is not None and not self.tcb.capabilities.partial_reliability:
            raise LocalProtocolError("options: the peer does not support partial reliability")
        if limited or context is not None:
            message.policy = Policy(options, context, since)
        self._send_queue.add(message)
        if message.policy is not None:
            self._send_queue.policies.add(message)

    def make_room(
        self,
        size: int,
        *,
        stream_id: int | None = None,
        discard_priority: int | None = None,
        now: float,
    ) -> int:
        """Give up waiting messages that are less important than another (RFC 7496 §3.2).

        The program calls this before `send` when more is unsent than it likes.  Messages with a
        `SendOptions.discard_priority` above the one given (None: above all) are given up, the
        highest first and the oldest of several, until ``size`` bytes are; of one stream or of all.
        Returns how many bytes were.
        """
        threshold = -1 if discard_priority is None else discard_priority
        queue, freed = self._send_queue, 0
        while freed < size:
            message = queue.policies.least_important(stream_id, threshold)
            if message is None:
                break
            freed += len(message.payload)
            queue.abandon(message, Outcome.ABANDONED_PRIORITY)
        self._tell_of_sending()
        return freed

    def watch_delivery(self, stream_id: int) -> None:
        """A `StreamDelivered` event comes once when nothing sent on the stream is undelivered."""
        self._send_queue.watch_delivery(stream_id)
        self._tell_of_sending()

    def reset_streams(self, stream_ids: Collection[int], *, now: float) -> None:
        """Start each of these outgoing streams anew once what is queued on it was sent (RFC 6525).

        An `OutgoingStreamsReset` event tells the outcome.  Raises `LocalProtocolError` for a stream
        out of range and where the peer cannot reset streams.
        """
        _check_range(stream_ids)
        self._reconfiguration("reset_streams").reset_outgoing(stream_ids)

    def withdraw_reset(self, stream_id: int) -> bool:
        """Do not reset an outgoing stream after all.

        False if nobody wanted it, or the peer has been asked already.
        """
        return self.tcb is not None and self.tcb.stream_reset.withdraw_outgoing(stream_id)

    def request_incoming_reset(self, stream_ids: Collection[int], *, now: float) -> None:
        """Ask the peer to reset streams that it sends on (RFC 6525 §5.1.3).

        `IncomingStreamsReset` tells of it, or `IncomingResetRefused`.  Raises as `reset_streams` does.
        """
        _check_range(stream_ids)
        self._reconfiguration("request_incoming_reset").request_incoming(stream_ids)

    def add_outgoing_streams(self, count: int, *, now: float) -> None:
        """Ask the peer for ``count`` more streams to send on (RFC 6525 §5.1.5).

        A `StreamsChanged` event tells the outcome.  Raises `LocalProtocolError` unless the
        association is up and the peer supports it, and beyond ``max_outbound_streams``.
        """
        self._reconfiguration("add_outgoing_streams", up=True).add_outgoing(count)

    def request_incoming_streams(self, count: int, *, now: float) -> None:
        """Ask the peer to send on ``count`` more streams (RFC 6525 §5.1.6).

        A `StreamsChanged` event tells the outcome.  Raises as `add_outgoing_streams` does, beyond
        ``max_inbound_streams``.
        """
        self._reconfiguration("request_incoming_streams", up=True).add_incoming(count)

    def reset_association(self, *, now: float) -> None:
        """Begin the TSNs and all stream sequence numbers anew (RFC 6525 §5.1.4).

        What was sent before goes first; what is sent later waits for the outcome, which an
        `AssociationReset` event tells.  Raises `LocalProtocolError` unless the association is up and
        the peer supports it, and less than 30 seconds after the last reset.
        """
        self._reconfiguration("reset_association", up=True).reset_tsn(now)

    def discard_unsent(self, stream_id: int, *, now: float) -> int:
        """Drop the messages of a stream of which nothing was sent yet; how many."""
        messages = self._send_queue.discard(stream_id)
        discarded = len(messages)
        for message in messages:
            self._send_queue.policies.discarded(message)
        self._tell_of_sending()
        self._settle(now)  # a shutdown may have waited for just these
        return discarded

    def nothing_sent(self, stream_id: int) -> bool:
        """Of all that was queued on a stream since its last reset, nothing was sent so far."""
        return self._send_queue.is_untouched(stream_id)

    def message_consumed(self, size: int, *, now: float) -> bool:
        """The program has taken a message of ``size`` bytes: its room is the peer's again.

        True if the window opened so far that the peer should be told (packets wait to be pulled).
        """
        return self.tcb is not None and self.tcb.data_receiver.message_consumed(size)

    def shutdown(self, *, now: float) -> None:
        """End gracefully after all that was sent is delivered (SHUTDOWN, RFC 9260 §9.2).

        During set-up it waits for the association to come up; a second call changes nothing.
        """
        self.ending.requested = True
        if self.state is State.ESTABLISHED:
            self._begin_shutdown(now)
        elif self.state is State.CLOSED and not self.ended:
            self.close(CloseReason.SHUTDOWN)

    def abort(self, reason: bytes = b"", *, now: float) -> None:
        """End at once; the peer is told why (ABORT, RFC 9260 §9.1).  Nothing if it is over.

        Raises `LocalProtocolError` for a reason that does not fit into one packet.
        """
        limit = self.config.path_mtu - COMMON_HEADER_SIZE - 8  # the chunk's and the cause's header
        if len(reason) > limit:
            raise LocalProtocolError(f"reason has {len(reason)} bytes: it must be at most {limit}")
        if not self.ended:
            self.abort_with(UserInitiatedAbort(reason))

    def request_heartbeat(self, *, now: float) -> None:
        """Send a HEARTBEAT now (RFC 9260 §11.1.10); `LocalProtocolError` before ESTABLISHED.

        A `RoundTripMeasured` event tells of the answer.  While one is on its way there is no second.
        """
        if self.tcb is None or self.state not in SENDING:
            raise LocalProtocolError(f"heartbeat: the association is {self._described_state()}")
        chunk = self.tcb.heartbeat.request(now)
        if chunk is not None:
            self._send_heartbeat(chunk)

    def set_stream_priority(self, stream_id: int, priority: int) -> None:
        """The stream's priority is this from now on, also for what waits (RFC 8260 §3.4, §3.6).

        It is 256 at first.  A larger number means more: under weighted fair queueing it is the weight
        (0 counts as 1).  It outlives stream resets.  Raises `LocalProtocolError` for a stream or a
        priority out of range.
        """
        for name, value in (("stream_id", stream_id), ("priority", priority)):
            if value not in range(65536):
                raise LocalProtocolError(f"{name} is {value!r}: it must be from 0 to 65535")
        self._send_queue.set_priority(stream_id, priority)

    def stream_priority(self, stream_id: int) -> int:
        """What `set_stream_priority` has set, or 256."""
        return self._send_queue.priority_of(stream_id)

    def set_low_water(self, stream_id: int, threshold: int) -> None:
        """A `BufferedAmountLow` event comes when the stream's unsent bytes fall to ``threshold``."""
        self._send_queue.set_low_water(stream_id, threshold)

    def update_config(self, *, now: float, **changes: Any) -> None:
        """Replace fields of the configuration while the association runs.

        How long cookies and their secrets live is the endpoint's business where there is one.  Raises
        `LocalProtocolError` for what the peer was told in INIT (`FIXED_BY_INIT`).
        """
        fixed = FIXED_BY_INIT.intersection(changes)
        if fixed:
            raise LocalProtocolError(f"{min(fixed)}: it is fixed once an association exists")
        self.config = self.config.replace(**changes)
        self.rto.replace_config(self.config)
        self.ending.replace_config(self.config)
        if self._owns_responder:
            self.responder.replace_config(self.config)
        if self.initiator is not None:
            self.initiator.replace_config(self.config)
        self._send_queue.use_scheduler(self.config.stream_scheduler)
        if self.tcb is not None:
            self.tcb.replace_config(self.config, now)
            self.follow_path_mtu()

    def path_changed(self, *, now: float) -> None:
        """The packets go another way from now on: path MTU, window and RTO begin anew (RFC 8831 §5)."""
        if self.tcb is not None:
            self.tcb.path_mtu_discovery.restart(now)
            self.follow_path_mtu()
            self.tcb.retransmission_queue.restart_path(now)

    # -- in: the network and the clock -------------------------------------------------------------

    def receive_packets(self, packets: Iterable[bytes], *, now: float) -> None:
        """Take packets in the order in which they came; a batch is answered by at most one SACK."""
        counters = self.counters
        for packet in packets:
            counters.packets_received += 1
            # As a rule the ports and the tag are those of this association: eight known bytes
            size = len(packet)
            counters.bytes_received += size
            if packet[:8] != self.packet_prefix or size < 12 or size & 3:
                self._receive_other(packet, now)
            elif not (
                checksum_follows(packet, self._own_crc)
                # RFC 9653 §5.3: with a correct checksum, or with none
                or (self._takes_zero_checksum and packet[8:12] == _NO_CHECKSUM)
            ):
                counters.drop("bad checksum")
            elif not (
                self.state is _ESTABLISHED
                and self.tcb is not None
                and self.tcb.data_receiver.receive_middle(packet)
            ):
                receive_chunks(self, self._own_header, decode_chunks(packet), now)
        self._settle(now)

    def _receive_other(self, packet: bytes, now: float) -> None:
        """A packet that is malformed, on wrong ports, or does not carry our verification tag."""
        try:
            source_port, destination_port, tag, _ = decode_header(packet)
        except DecodeError:
            self.counters.drop("malformed packet")
            return
        header = PacketHeader(source_port, destination_port, tag)
        if not checksum_ok(packet):
            self.counters.drop("bad checksum")
        elif self._ports_match(header):
            receive_foreign_tag(self, header, decode_chunks(packet), now)
        else:
            self.counters.drop("wrong port")

    def _ports_match(self, header: PacketHeader) -> bool:
        source_port = header.source_port
        return header.destination_port == self.config.local_port and (
            source_port == self._peer_port if self._peer_port else source_port != 0  # §3.1
        )

    def handle_timeout(self, *, now: float) -> None:
        """Run the timers that have expired; a call too early or too many changes nothing."""
        for timer, handle in self._timers.items():
            if timer.take_expiry(now):
                handle(now)
                if self.ended:
                    return
        self._settle(now)

    # -- out ---------------------------------------------------------------------------------------

    def packets_to_send(self, *, now: float, limit: int = 64) -> list[bytes]:
        """Up to ``limit`` packets that may go out now.  Call again until there are none."""
        queue = self._send_queue
        if now >= queue.policies.timer.deadline:  # RFC 3758 §4.1 TR3, TR4: before anything is sent
            self.handle_timeout(now=now)
        packets = self.builder.packets(self.tcb, self.state, now, limit)
        if queue.drained:
            self._tell_of_sending()
        self.counters.packets_sent += len(packets)
        self.counters.bytes_sent += sum(map(len, packets))
        return packets

    @property
    def may_send(self) -> bool:
        """Whether it is worth while to ask for `packets_to_send`."""
        return self.builder.may_have(self.tcb)

    def next_event(self) -> Event | None:
        """The oldest event not taken yet, or None."""
        return self._events.popleft() if self._events else None

    def next_timeout(self) -> float:
        """When `handle_timeout` is due, on the clock of ``now``; ``math.inf`` if never."""
        self._alarm.at = earliest = min(
            [timer.deadline for timer in self._timers], default=math.inf
        )
        return earliest

    @property
    def wakes_at(self) -> float:
        """As `next_timeout` for the price of an attribute: never later, but perhaps earlier."""
        return self._alarm.at

    # -- look --------------------------------------------------------------------------------------

    @property
    def path_mtu(self) -> int:
        """The largest SCTP packet that is sent at present, common header included."""
        return self.builder.path_mtu

    def split_oversized(self, packets: list[bytes]) -> tuple[list[bytes], list[bytes]]:
        """Packets just pulled, parted: those that fit the path, and those that IP has to fragment.

        The latter carry data that was cut before the path MTU shrank (RFC 9260 §6.9).
        """
        path_mtu = self.builder.path_mtu
        if path_mtu >= self.builder.largest_path_mtu:
            return packets, []
        fit: list[bytes] = []
        oversized: list[bytes] = []
        for packet in packets:
            may_be = len(packet) > path_mtu and packet[COMMON_HEADER_SIZE] != Heartbeat.type
            (oversized if may_be else fit).append(packet)
        return fit, oversized

    @property
    def outbound_streams(self) -> int:
        """Streams we may send on: what both ends allow; our own wish before that is known."""
        return self.tcb.outbound_streams if self.tcb else self.config.outbound_streams

    @property
    def capabilities(self) -> Capabilities:
        """The extensions that both ends have; none before the peer is known."""
        return self.tcb.capabilities if self.tcb else Capabilities()

    @property
    def local_tag(self) -> int:
        """The verification tag of packets to us; 0 before there is one."""
        return self._local_tag

    @property
    def undelivered_messages(self) -> int:
        """Messages accepted by `send` that the peer has not wholly acknowledged."""
        sent = self.tcb.retransmission_queue.unacknowledged_messages if self.tcb else 0
        return self._send_queue.message_count + sent

    def unsent_bytes(self, stream_id: int) -> int:
        """User data queued on a stream and not yet sent for the first time."""
        return self._send_queue.unsent_of(stream_id)

    def undelivered_bytes(self, stream_id: int) -> int:
        """User data of a stream's messages that the peer has not wholly acknowledged, sent or not.

        What was given up does not count.
        """
        return self._send_queue.undelivered_of(stream_id)

    @property
    def total_undelivered_bytes(self) -> int:
        """The same of all streams that were used; this one looks at each of them."""
        return self._send_queue.undelivered_bytes

    def unacknowledged_bytes(self, stream_id: int) -> int:
        """User data that was sent on a stream, of messages that the peer has not wholly acknowledged.

        What was given up does not count.
        """
        return self._send_queue.undelivered_of(stream_id) - self._send_queue.unsent_of(stream_id)

    @property
    def has_events(self) -> bool:
        """Whether `next_event` would give one."""
        return bool(self._events)

    @property
    def awaits_acknowledgement(self) -> bool:
        """Whether data is on its way that the peer has not acknowledged."""
        return self.tcb is not None and self.tcb.retransmission_queue.outstanding_count > 0

    @property
    def total_unsent_bytes(self) -> int:
        """User data queued on all streams and not yet sent for the first time."""
        return self._send_queue.unsent_bytes

    @property
    def policies(self) -> Policies:
        """What is known of messages that may be given up."""
        return self._send_queue.policies

    def statistics(self) -> AssociationStatistics:
        """A snapshot in the terms of RFC 6458 §8.2."""
        if self._last_statistics is not None:
            return self._last_statistics.after_the_end(self)
        return AssociationStatistics.of(self)

    # -- changes of state, for the procedures in `receive` and `setup` ------------------------------

    def add_event(self, event: Event) -> None:
        self._events.append(event)

    def deliver(self) -> None:
        """Finished messages become events, before whatever event follows."""
        if self.tcb is not None:
            messages = self.tcb.data_receiver.messages
            self.counters.messages_received += len(messages)
            self._events.extend(messages)
            messages.clear()

    def learn_peer(self, local: LocalSetup, peer: PeerSetup, now: float) -> None:
        """The peer is known now (or known to be another): build the transmission control block."""
        self._expect(local.tag, peer.port)
        if self.tcb is not None:
            self.deliver()
            self.tcb.adopt_peer(peer, now)
        else:
            self.builder.set_path_mtu(self.config.path_mtu)
            self.tcb = TransmissionControlBlock(
                self.config,
                local=local,
                peer=peer,
                rto=self.rto,
                send_queue=self._send_queue,
                rng=self.rng,
                max_path_mtu=self.max_path_mtu,
                path_overhead=self.path_overhead,
                pads_probes=self.pads_probes,
                on_incoming_reset=self._on_incoming_reset,
                on_outgoing_reset=self._on_outgoing_reset,
                on_reconfigured=self._on_reconfigured,
            )
        # RFC 9653 §5.2: the peer says what it takes, the transport whether that is safe
        self.tcb.omits_checksum = self.protects_integrity and peer.capabilities.zero_checksum
        self._collect_timers()

    def forget_peer(self) -> None:
        """The peer has restarted: nothing of the old association stays, what was sent included."""
        self.deliver()
        self._stop()
        self._send_queue.clear()
        self._tell_of_sending()
        self.tcb = None
        self.state = State.CLOSED
        self.rto = RetransmissionTimeout(self.config)
        self.ending = Shutdown(self.config, self.rto, requested=self.ending.requested)

    def establish(self, now: float) -> None:
        assert self.tcb is not None
        if self.initiator is not None:
            self.initiator.stop()
            self.initiator = None
        self.builder.cookie_chunk = b""
        self.state = State.ESTABLISHED
        if self.refuse_shortage_of_streams():
            return
        self._collect_timers()
        self.tcb.heartbeat.start(now)
        self.tcb.path_mtu_discovery.start(now)
        self.tcb.retransmission_queue.allow_burst()
        self._events.append(AssociationUp(self.tcb.outbound_streams, self.tcb.inbound_streams))
        if self.ending.requested:
            self._begin_shutdown(now)

    def follow_path_mtu(self) -> None:
        """Path MTU discovery was given something: use what it has found."""
        assert self.tcb is not None
        path_mtu = self.tcb.path_mtu_discovery.path_mtu
        if path_mtu != self.builder.path_mtu:
            self.builder.set_path_mtu(path_mtu)
            self.tcb.retransmission_queue.set_path_mtu(path_mtu)
            self._events.append(PathMtuChanged(path_mtu))

    def refuse_shortage_of_streams(self) -> bool:
        """§5.1.1: ABORT if the program has sent on more streams than the peer takes; True then."""
        assert self.tcb is not None
        if not self._send_queue.waiting_beyond(self.tcb.outbound_streams):
            return False
        self.abort_with(OutOfResource())
        return True

    def send_shutdown_ack(self, now: float) -> None:
        """Both ends are done sending (§9.2)."""
        self._enter_last_state(State.SHUTDOWN_ACK_SENT, now)

    def abort_with(self, cause: ErrorCause) -> None:
        """ABORT: the peer is told the cause, and the association is over."""
        self.builder.drop_packets()  # what waited is of no use to anybody now
        if self.tcb is not None:
            abort = Abort((cause,)).encode()
            ports_and_tag = self.config.local_port, self._peer_port, self.tcb.peer.tag
            zero_checksum = self.tcb.omits_checksum
            self.builder.add_packet(
                encode_packet(*ports_and_tag, [abort], zero_checksum=zero_checksum)
            )
        self.close(CloseReason.LOCAL_ABORT, (cause,))

    def close(self, reason: CloseReason, causes: tuple[ErrorCause, ...] = ()) -> None:
        """The association is over."""
        self.deliver()
        self._send_queue.policies.lose_all()
        self._tell_of_sending()
        self._events.append(AssociationClosed(reason, causes, self.undelivered_messages))
        self._last_statistics = AssociationStatistics.of(self)
        self.ended = True
        self._stop()
        self._send_queue.clear()
        self.state = State.CLOSED
        self.tcb = None
        self._expect(0, 0)
        self._timers = {}

    def _expect(self, local_tag: int, peer_port: int) -> None:
        """The tag, and the ports, of the packets that are for this association; 0: none yet."""
        self._local_tag = local_tag
        self._peer_port = peer_port
        self._own_header = PacketHeader(peer_port, self.config.local_port, local_tag)
        self.packet_prefix = struct.pack("!HHI", *self._own_header) if local_tag else b""
        """What packets for this association begin with: both ports and our tag; empty before that."""
        self._own_crc = header_crc(self.packet_prefix)

    def _stop(self) -> None:
        """No timer runs and nothing more is bundled."""
        for timer in self._timers:
            timer.stop()
        self.initiator = None
        self.builder.clear()
        self._send_buffer_used = False

    # -- after every input -------------------------------------------------------------------------

    def _settle(self, now: float) -> None:
        """What follows from an input as a whole: one SACK, finished messages, the next state."""
        tcb, queue = self.tcb, self._send_queue
        if queue.policies.outcomes or queue.delivered:
            self._tell_of_sending()
        if tcb is None:
            return
        tcb.data_receiver.end_of_batch(now)
        if tcb.data_receiver.messages:
            self.deliver()
        if tcb.stream_reset.waits_for_data and tcb.stream_reset.data_advanced(now):
            tcb.data_receiver.sack_wanted = True  # RFC 6525 §5.2.1: it goes with the answer
            self.deliver()  # what was held back until now
        if self._send_buffer_used and tcb.retransmission_queue.is_empty:
            self._send_buffer_used = False
            self._events.append(SendBufferDrained())
        if not self._send_buffer_used and self.state in SHUTTING_DOWN:
            self._progress_shutdown(now)

    def _tell_of_sending(self) -> None:
        """Make events of what the send queue has noted."""
        queue, events = self._send_queue, self._events
        events.extend(queue.policies.outcomes)
        events.extend(map(StreamDelivered, queue.delivered))
        events.extend(map(BufferedAmountLow, queue.drained))
        queue.policies.outcomes.clear()
        queue.delivered.clear()
        queue.drained.clear()

    def _begin_shutdown(self, now: float) -> None:
        assert self.tcb is not None
        self.state = State.SHUTDOWN_PENDING
        self.tcb.retransmission_queue.shutdown_pending = True  # §6.1: the I bit speeds it up
        self._settle(now)

    def _progress_shutdown(self, now: float) -> None:
        """All that we sent is acknowledged: the shutdown goes on (§9.2)."""
        assert self.tcb is not None
        if self.state is State.SHUTDOWN_RECEIVED:
            self.send_shutdown_ack(now)
        elif self.state is State.SHUTDOWN_PENDING:
            self._enter_last_state(State.SHUTDOWN_SENT, now)

    def _enter_last_state(self, state: State, now: float) -> None:
        assert self.tcb is not None
        self.tcb.heartbeat.stop()  # §8.3: no heartbeats from here on
        self.tcb.path_mtu_discovery.stop()
        self.state = state
        self.builder.shutdown_due = True
        self.ending.begin(now, guarded=state is State.SHUTDOWN_SENT)

    def _on_incoming_reset(self, stream_ids: tuple[int, ...]) -> None:
        assert self.tcb is not None
        self.deliver()  # what came before the reset is told before it
        self.tcb.data_receiver.reset_streams(stream_ids or None)
        self._events.append(IncomingStreamsReset(stream_ids))
        self.deliver()  # and what was held back until now, after it

    def _on_outgoing_reset(self, stream_ids: tuple[int, ...], succeeded: bool) -> None:
        assert self.tcb is not None
        if succeeded:
            self.tcb.retransmission_queue.streams_were_reset(stream_ids)
        self.tcb.retransmission_queue.allow_burst()  # what waited for the reset may go
        self._events.append(OutgoingStreamsReset(stream_ids, succeeded))

    def _on_reconfigured(
        self, event: AssociationReset | IncomingResetRefused | StreamsChanged
    ) -> None:
        assert self.tcb is not None
        self.deliver()  # what came before is told before it
        if isinstance(event, StreamsChanged):
            self.tcb.outbound_streams = event.outbound_streams
            self.tcb.inbound_streams = event.inbound_streams
            self.tcb.data_receiver.inbound_streams = event.inbound_streams
        self.tcb.retransmission_queue.allow_burst()  # what waited for it may go
        self._events.append(event)

    def _reconfiguration(self, verb: str, *, up: bool = False) -> StreamReset:
        if up and (self.state not in SENDING or self.ending.requested):
            raise LocalProtocolError(f"{verb}: the association is {self._described_state()}")
        if self.tcb is None or not self.tcb.capabilities.reconfiguration:
            raise LocalProtocolError(f"{verb}: the peer does not support RE-CONFIG")
        return self.tcb.stream_reset

    def _described_state(self) -> str:
        if self.ended:
            return "over"
        return "shutting down" if self.ending.requested else self.state.value

    # -- timers ------------------------------------------------------------------------------------

    def _collect_timers(self) -> None:
        """The timers that can run now, each with its procedure."""
        timers: dict[Timer, Callable[[float], None]] = {}
        timers[self._send_queue.policies.timer] = self._on_lifetime
        if self.initiator is not None:
            timers[self.initiator.t1_init] = self._on_t1_init
            timers[self.initiator.t1_cookie] = self._on_t1_cookie
        if self.tcb is not None:
            queue = self.tcb.retransmission_queue
            timers[queue.recovery.timer] = self._on_recovery_timer  # RFC 8985 §7.2: first
            timers[queue.t3_rtx] = self._on_t3_rtx
            timers[queue.pacer.timer] = _pull_again
            timers[self.tcb.data_receiver.sack_timer] = self._on_sack_delay
            timers[self.tcb.heartbeat.interval_timer] = self._on_heartbeat_interval
            timers[self.tcb.heartbeat.ack_timer] = self._on_heartbeat_unanswered
            timers[self.tcb.path_mtu_discovery.timer] = self._on_path_mtu_timer
            timers[self.tcb.stream_reset.timer] = self._on_reconfig_timer
            timers[self.ending.t2_shutdown] = self._on_t2_shutdown
            timers[self.ending.t5_guard] = self._on_t5_guard
        self._timers = timers
        for timer in timers:
            timer.alarm = self._alarm
        self.next_timeout()

    def _on_lifetime(self, now: float) -> None:
        if self.tcb is not None:
            self.tcb.retransmission_queue.expire(now)
            return
        for message in self._send_queue.policies.expired(now):
            self._send_queue.abandon(message, Outcome.ABANDONED_LIFETIME)

    def _on_t1_init(self, now: float) -> None:
        assert self.initiator is not None
        init = self.initiator.repeat_init(now)
        if init is None:
            self.close(CloseReason.TIMED_OUT)
        else:
            self.builder.add_packet(init)

    def _on_t1_cookie(self, now: float) -> None:
        assert self.initiator is not None
        assert self.tcb is not None
        if self.initiator.repeat_cookie(now):
            self.builder.cookie_chunk = CookieEcho(self.initiator.cookie).encode()
            self.tcb.retransmission_queue.mark_all_for_retransmission(now)
        else:
            self.close(CloseReason.TIMED_OUT)

    def _on_t3_rtx(self, now: float) -> None:
        assert self.tcb is not None
        if self.state in SETTING_UP:
            # §5.1 C: only COOKIE ECHO may be sent; T1-cookie repeats the data with it
            self.tcb.retransmission_queue.t3_rtx.start(now, self.rto.rto)
            return
        queue = self.tcb.retransmission_queue
        flight_size = queue.flight_size or queue.next_repeat_size  # all may have been found lost
        if queue.handle_t3_expiry(now):
            self.tcb.path_mtu_discovery.data_timed_out(queue.cumulative_tsn_ack, flight_size, now)
            self.follow_path_mtu()
            self._count_error()

    def _on_recovery_timer(self, now: float) -> None:
        assert self.tcb is not None
        self.tcb.retransmission_queue.handle_recovery_timeout(now)

    def _on_sack_delay(self, now: float) -> None:
        assert self.tcb is not None
        self.tcb.data_receiver.handle_sack_delay()

    def _on_heartbeat_interval(self, now: float) -> None:
        assert self.tcb is not None
        chunk = self.tcb.heartbeat.handle_interval(now)
        if chunk is not None:
            self._send_heartbeat(chunk)

    def _on_heartbeat_unanswered(self, now: float) -> None:
        assert self.tcb is not None
        self.tcb.heartbeat.handle_unanswered()
        self._count_error()

    def _on_path_mtu_timer(self, now: float) -> None:
        assert self.tcb is not None
        self.tcb.path_mtu_discovery.handle_timeout(now)
        self.follow_path_mtu()

    def _on_reconfig_timer(self, now: float) -> None:
        assert self.tcb is not None
        if self.tcb.stream_reset.handle_timeout(now):
            self._count_error()

    def _on_t2_shutdown(self, now: float) -> None:
        if self.ending.may_repeat():
            self.builder.shutdown_due = True
            self.ending.sent(now)
        elif self.state is State.SHUTDOWN_ACK_SENT:
            # Both ends have everything of the other: it is only the good-bye that was lost
            self.close(CloseReason.SHUTDOWN)
        else:
            self.close(CloseReason.TIMED_OUT)

    def _on_t5_guard(self, now: float) -> None:
        self.abort_with(UserInitiatedAbort(b"the shutdown took too long"))

    def _count_error(self) -> None:
        """RFC 9260 §8.1: the peer is unreachable once Association.Max.Retrans is exceeded."""
        assert self.tcb is not None
        self.tcb.error_count += 1
        if self.tcb.error_count > self.config.association_max_retrans:
            self.close(CloseReason.TIMED_OUT)

    def _send_heartbeat(self, chunk: bytes) -> None:
        self.builder.add_control(chunk)
        self.counters.heartbeats_sent += 1


def _pull_again(now: float) -> None:
    """After this time-out, as after every input, packets are pulled: that is all it is for."""


def _check_range(stream_ids: Collection[int]) -> None:
    for stream_id in stream_ids:
        if not 0 <= stream_id < 65536:
            raise LocalProtocolError(f"stream_ids has {stream_id}: it must be from 0 to 65535")
