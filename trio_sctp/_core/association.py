"""One SCTP association without any I/O (RFC 9260): packets and time go in, packets and events come out.

The contract: hand in one input (packets, a time-out, a wish of the program), then take all events, then
all packets, then read `next_timeout`.  Nothing here blocks, reads a clock, or raises because of what a
peer has sent.

`Association` is what a program uses (the interface of RFC 9260 §11): verbs, and looks at what they work
on.  What the protocol does is behind it: `state_machine` holds the parts together, received chunks go to
`receive`, time-outs to `timeouts`, what goes out is made in `packet_builder`, and data moves in the
components of the transmission control block.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any

from .._wire.chunks import Heartbeat
from .._wire.error_causes import UserInitiatedAbort
from .._wire.packet import COMMON_HEADER_SIZE
from .arguments import check_integer
from .capabilities import Capabilities
from .config import FIXED_BY_INIT
from .errors import LocalProtocolError, PeerLimitError
from .events import CloseReason, Event, SendBufferDrained
from .handshake import PeerSetup
from .heartbeat import request_heartbeat
from .initiator import Initiator
from .receive import receive_packets
from .setup import establish, learn_peer
from .signalled_init import local_setup, read_init
from .state_machine import StateMachine
from .states import SENDING, SHUTTING_DOWN, State
from .statistics import AssociationStatistics
from .stream_reset import StreamReset
from .termination import abort_with, begin_shutdown
from .tx.outgoing_message import OutgoingMessage
from .tx.policies import Policies, Policy

if TYPE_CHECKING:
    from .send_options import SendOptions

__all__ = ["Association", "State"]


class Association(StateMachine):
    """The sans-IO association; `trio_sctp.Association` drives one of these.

    ``rng`` must be unpredictable (``random.SystemRandom()``) outside of tests: tags, cookie secrets
    and heartbeat nonces come from it.  ``responder`` is shared by the associations of one endpoint;
    ``peer_address`` is bound into State Cookies.  ``max_path_mtu`` is the largest packet that can be
    sent without being fragmented on the way out, and ``path_overhead`` what all below SCTP adds to it,
    IP header included; without the former, path MTU discovery has nothing to try.  Without
    ``pads_probes`` its probes have PAD chunks only where the peer is known to take them.
    ``protects_integrity`` says that what arrives is certain to be what was sent (RFC 9653).

    Its attribute ``state`` is the `State`, and ``ended`` is true once `AssociationClosed` was told: the
    object is of no more use then.
    """

    # -- in: the program's wishes ------------------------------------------------------------------

    def connect(self, *, now: float) -> None:
        """Send INIT (ASSOCIATE, RFC 9260 §11.1.2).  Without it the association waits for the peer's.

        Raises `LocalProtocolError` unless the association is new.
        """
        if self.state is not State.CLOSED or self.ended:
            raise LocalProtocolError(f"connect: the association is {self._described_state()}")
        self.initiator = Initiator(self.config, self.rng, self.rto)
        self.expect(self.initiator.local.tag, self.config.remote_port)
        self.watch_timers()
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
        learn_peer(self, local, peer, now)
        establish(self, now)

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
        if type(stream_id) is not int or not 0 <= stream_id < streams:
            _check_stream(stream_id, streams)
        if type(ppid) is not int or not 0 <= ppid < 2**32:
            check_integer("ppid", ppid, 0, 2**32 - 1)
        if self.ended or self.ending.requested or self.state in SHUTTING_DOWN:
            raise LocalProtocolError(f"send: the association is {self._described_state()}")
        message = OutgoingMessage(stream_id, ppid, payload, unordered)
        if options is None and context is None:
            self.send_queue.add(message)
        else:
            self._add_with_policy(message, options, context, now if since is None else since)
        self._send_buffer_used = True
        self.counters.messages_sent += 1
        if tcb is not None:
            tcb.retransmission_queue.message_added(message)

    def _add_with_policy(
        self, message: OutgoingMessage, options: SendOptions | None, context: object, since: float
    ) -> None:
        limited = options is not None and not options.reliable
        if limited and self.tcb is not None and not self.tcb.capabilities.partial_reliability:
            raise PeerLimitError("options: the peer does not support partial reliability")
        if limited or context is not None:
            message.policy = Policy(options, context, since)
        self.send_queue.add(message)
        if message.policy is not None:
            self.send_queue.policies.add(message)

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
        freed = self.send_queue.make_room(size, stream_id, threshold)
        self.tell_of_sending()
        return freed

    def watch_send_buffer(self) -> None:
        """Let a `SendBufferDrained` tell, once, that everything was acknowledged; at once if it is."""
        if self._send_buffer_used:
            self._drain_watched = True
        else:
            self._events.append(SendBufferDrained())

    def watch_delivery(self, stream_id: int) -> None:
        """A `StreamDelivered` event comes once when nothing sent on the stream is undelivered."""
        self.send_queue.watch_delivery(stream_id)
        self.tell_of_sending()

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
        discarded = self.send_queue.discard(stream_id)
        self.tell_of_sending()
        self.settle(now)  # a shutdown may have waited for just these
        return len(discarded)

    def nothing_sent(self, stream_id: int) -> bool:
        """Of all that was queued on a stream since its last reset, nothing was sent so far."""
        return self.send_queue.is_untouched(stream_id)

    def message_consumed(self, size: int) -> bool:
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
            begin_shutdown(self, now)
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
            abort_with(self, UserInitiatedAbort(reason))

    def request_heartbeat(self, *, now: float) -> None:
        """Send a HEARTBEAT now (RFC 9260 §11.1.10); `LocalProtocolError` before ESTABLISHED.

        A `RoundTripMeasured` event tells of the answer.  While one is on its way there is no second.
        """
        if self.tcb is None or self.state not in SENDING:
            raise LocalProtocolError(f"heartbeat: the association is {self._described_state()}")
        request_heartbeat(self, now)

    def set_stream_priority(self, stream_id: int, priority: int) -> None:
        """The stream's priority is this from now on, also for what waits (RFC 8260 §3.4, §3.6).

        It is 256 at first.  A larger number means more: under weighted fair queueing it is the weight
        (0 counts as 1).  It outlives stream resets.  Raises `LocalProtocolError` for a stream or a
        priority out of range.
        """
        for name, value in (("stream_id", stream_id), ("priority", priority)):
            check_integer(name, value, 0, 65535)
        self.send_queue.streams.set_priority(stream_id, priority)

    def stream_priority(self, stream_id: int) -> int:
        """What `set_stream_priority` has set, or 256."""
        return self.send_queue.streams.priority_of(stream_id)

    def set_low_water(self, stream_id: int, threshold: int) -> None:
        """A `BufferedAmountLow` event comes when the stream's unsent bytes fall to ``threshold``."""
        self.send_queue.streams.set_low_water(stream_id, threshold)

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
        self.send_queue.use_scheduler(self.config.stream_scheduler)
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
        receive_packets(self, packets, now)
        self.settle(now)

    def handle_timeout(self, *, now: float) -> None:
        """Run the timers that have expired; a call too early or too many changes nothing."""
        for timer, procedure in self._timers.items():
            if timer.take_expiry(now):
                procedure(self, now)
                if self.ended:
                    return
        self.settle(now)

    # -- out ---------------------------------------------------------------------------------------

    def packets_to_send(self, *, now: float, limit: int = 64) -> list[bytes]:
        """Up to ``limit`` packets that may go out now.  Call again until there are none."""
        queue = self.send_queue
        if now >= queue.policies.timer.deadline:  # RFC 3758 §4.1 TR3, TR4: before anything is sent
            self.handle_timeout(now=now)
        packets = self.builder.packets(self.tcb, self.state, now, limit)
        if queue.drained:
            self.tell_of_sending()
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
        return self._alarm.look()

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
        return self.own_header.verification_tag

    @property
    def undelivered_messages(self) -> int:
        """Messages accepted by `send` that the peer has not wholly acknowledged."""
        return self.send_queue.undelivered_messages

    def unsent_bytes(self, stream_id: int) -> int:
        """User data queued on a stream and not yet sent for the first time."""
        return self.send_queue.unsent_of(stream_id)

    def undelivered_bytes(self, stream_id: int) -> int:
        """User data of a stream's messages that the peer has not wholly acknowledged, sent or not.

        What was given up does not count.
        """
        return self.send_queue.undelivered_of(stream_id)

    @property
    def total_undelivered_bytes(self) -> int:
        """The same of all streams that were used; this one looks at each of them."""
        return self.send_queue.undelivered_bytes

    def unacknowledged_bytes(self, stream_id: int) -> int:
        """User data that was sent on a stream, of messages that the peer has not wholly acknowledged.

        What was given up does not count.
        """
        return self.send_queue.undelivered_of(stream_id) - self.send_queue.unsent_of(stream_id)

    @property
    def has_events(self) -> bool:
        """Whether `next_event` would give one."""
        return bool(self._events)

    @property
    def awaits_acknowledgement(self) -> bool:
        """Whether data is on its way that the peer has not acknowledged."""
        return self.tcb is not None and self.tcb.retransmission_queue.outstanding_count > 0

    @property
    def waits_for_peer(self) -> bool:
        """Nothing can be sent until the peer is heard of or a timer expires, whatever `send` adds.

        Not so what it adds to a stream that has nothing else waiting: that is to be tried.
        """
        return self.tcb is not None and self.tcb.retransmission_queue.is_stuck

    @property
    def total_unsent_bytes(self) -> int:
        """User data queued on all streams and not yet sent for the first time."""
        return self.send_queue.unsent_bytes

    @property
    def policies(self) -> Policies:
        """What is known of messages that may be given up."""
        return self.send_queue.policies

    def statistics(self) -> AssociationStatistics:
        """A snapshot in the terms of RFC 6458 §8.2."""
        if self._last_statistics is not None:
            return self._last_statistics.after_the_end(self)
        return AssociationStatistics.of(self)

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


def _check_range(stream_ids: Collection[int]) -> None:
    for stream_id in stream_ids:
        check_integer("one of stream_ids", stream_id, 0, 65535)


def _check_stream(stream_id: object, streams: int) -> None:
    """A stream that this association does not have, as the peer wants fewer, or that none has."""
    if isinstance(stream_id, int) and stream_id >= streams:
        raise PeerLimitError(f"stream_id is {stream_id}: it must be from 0 to {streams - 1}")
    check_integer("stream_id", stream_id, 0, streams - 1)
