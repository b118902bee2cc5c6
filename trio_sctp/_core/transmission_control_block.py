"""What exists of an association only once the peer is known (RFC 9260 §14.2).

The block is built from an INIT ACK (calling side) or a State Cookie (answering side) and joins the
components that move data: what we send, what we receive, stream resets and heartbeats.  The send queue
is the association's own, since a program may send before the peer has answered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._wire.packet import CommonHeader
from .capabilities import offered
from .config import Config
from .events import Event, IncomingStreamsReset, OutgoingStreamsReset, StreamsChanged
from .handshake import LocalSetup, PeerSetup, random_tag
from .heartbeat import Heartbeat
from .path_mtu import PathMtuDiscovery
from .rto import RetransmissionTimeout
from .rx.data_receiver import DataReceiver
from .stream_reset import StreamReset
from .tx.resettable_streams import ResettableStreams
from .tx.retransmission_queue import RetransmissionQueue
from .tx.send_queue import SendQueue

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from .statistics import Counters
    from .stream_reset import ReconfigEvent

__all__ = ["TransmissionControlBlock"]


class TransmissionControlBlock:
    """Both ends' tags and numbers, and the components that work on them."""

    __slots__ = (
        "_config",
        "_counters",
        "_pads_probes",
        "_send_queue",
        "_tell",
        "capabilities",
        "data_receiver",
        "error_count",
        "header",
        "heartbeat",
        "inbound_streams",
        "local",
        "local_tie_tag",
        "omits_checksum",
        "outbound_streams",
        "path_mtu_discovery",
        "peer",
        "peer_tie_tag",
        "retransmission_queue",
        "rto",
        "stream_reset",
    )

    def __init__(
        self,
        config: Config,
        *,
        local: LocalSetup,
        peer: PeerSetup,
        rto: RetransmissionTimeout,
        send_queue: SendQueue,
        counters: Counters,
        rng: Random,
        max_path_mtu: int | None,
        path_overhead: int,
        pads_probes: bool,
        tell: Callable[[Event], None],
    ) -> None:
        self._config = config
        self._counters = counters
        self._pads_probes = pads_probes
        self._send_queue = send_queue
        self._tell = tell
        self.local = local
        self.rto = rto
        self.local_tie_tag = self.peer_tie_tag = 0
        self.omits_checksum = False
        """Our packets need no checksum: the peer has said so, and the transport protects them."""
        self.error_count = 0
        """Consecutive retransmissions and heartbeats without an answer (RFC 9260 §8.1)."""
        self.heartbeat = Heartbeat(config, rto, rng)
        self.path_mtu_discovery = PathMtuDiscovery(
            config,
            rto,
            rng,
            max_path_mtu=max_path_mtu,
            overhead=path_overhead,
        )
        self.retransmission_queue = RetransmissionQueue(
            config,
            initial_tsn=local.initial_tsn,
            peer_rwnd=peer.a_rwnd,
            send_queue=send_queue,
            rto=rto,
            counters=counters,
            path_mtu=config.path_mtu,
        )
        self._learn(peer)

    def adopt_peer(self, peer: PeerSetup, now: float) -> None:
        """The peer answers under another tag (§5.2.4 B, §5.2.6): it has nothing of ours so far."""
        if peer.initial_tsn == self.peer.initial_tsn:
            self._address(peer)
            return
        self.retransmission_queue.adopt_peer(peer.a_rwnd, now)
        if (
            offered(self._config) & peer.capabilities
        ).interleaving != self.capabilities.interleaving:
            self.retransmission_queue.take_back()  # into chunks of the other kind
        self._learn(peer)

    def _address(self, peer: PeerSetup) -> None:
        """Packets are for this peer from now on."""
        self.peer = peer
        self.header = CommonHeader(self._config.local_port, peer.port, peer.tag)

    def _learn(self, peer: PeerSetup) -> None:
        config = self._config
        self._address(peer)
        # larger packets would leave a peer with a small window waiting for room for a single one
        self.path_mtu_discovery.limit(peer.a_rwnd >> 2)
        self.path_mtu_discovery.pads = self._pads_probes or peer.capabilities.padding
        self.capabilities = offered(config) & peer.capabilities
        interleaving = self.capabilities.interleaving
        self._send_queue.use_interleaving(interleaving)
        self.retransmission_queue.partial_reliability = self.capabilities.partial_reliability
        # RFC 9260 §5.1.1: each direction has what both ends can do
        self.outbound_streams = min(config.outbound_streams, peer.inbound_streams)
        self.inbound_streams = min(config.inbound_streams, peer.outbound_streams)
        self.data_receiver = DataReceiver(
            config,
            initial_tsn=peer.initial_tsn,
            inbound_streams=self.inbound_streams,
            counters=self._counters,
            interleaving=interleaving,
        )
        self.stream_reset = StreamReset(
            config,
            initial_tsn=self.local.initial_tsn,
            peer_initial_tsn=peer.initial_tsn,
            outbound_streams=self.outbound_streams,
            inbound_streams=self.inbound_streams,
            send_queue=ResettableStreams(self._send_queue),
            sender=self.retransmission_queue,
            receiver=self.data_receiver,
            rto=self.rto,
            tell=self._on_reconfigured,
        )

    def _on_reconfigured(self, event: ReconfigEvent) -> None:
        """A reconfiguration has ended (RFC 6525): do what it means for data, and tell the program."""
        queue = self.retransmission_queue
        if isinstance(event, IncomingStreamsReset):
            # what came before the reset is told before it, what it lets out comes after
            self.data_receiver.release_all()
            self._tell(event)
            self.data_receiver.reset_streams(event.stream_ids or None)
            return
        if isinstance(event, StreamsChanged):
            self.outbound_streams = event.outbound_streams
            self.inbound_streams = event.inbound_streams
            self.data_receiver.inbound_streams = event.inbound_streams
        elif isinstance(event, OutgoingStreamsReset) and event.succeeded:
            queue.streams_were_reset(event.stream_ids)
        queue.allow_burst()  # what waited for it may go
        self._tell(event)

    def populate_tie_tags(self, rng: Random) -> None:
        """Draw the tie-tags that let a cookie of ours recognise this association (§5.2.2)."""
        if not self.local_tie_tag:
            self.local_tie_tag, self.peer_tie_tag = random_tag(rng), random_tag(rng)

    def replace_config(self, config: Config, now: float) -> None:
        self._config = config
        self.heartbeat.replace_config(config, now)
        self.retransmission_queue.replace_config(config, now)
        self.path_mtu_discovery.replace_config(config, now, running=self.heartbeat.running)
        self.data_receiver.replace_config(config)
        self.stream_reset.replace_config(config)
