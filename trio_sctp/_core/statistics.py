"""Numbers about an association, in the terms of RFC 6458 §8.2.1 and §8.2.2 where it has them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from .._wire.packet import COMMON_HEADER_SIZE
from .path_mtu import DiscoveryState

if TYPE_CHECKING:
    from .state_machine import StateMachine

__all__ = ["AssociationStatistics", "Counters", "EndpointStatistics"]


@dataclass(slots=True)
class Counters:
    """What happened so far.  Everything a peer does wrong ends up in one of ``dropped``."""

    packets_sent: int = 0
    packets_received: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    messages_sent: int = 0
    messages_received: int = 0
    heartbeats_sent: int = 0
    heartbeats_acknowledged: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    """Packets and chunks that were ignored, by reason."""

    def drop(self, reason: str) -> None:
        self.dropped[reason] = self.dropped.get(reason, 0) + 1


@dataclass(frozen=True, slots=True)
class AssociationStatistics:
    """A snapshot of an association (SCTP_STATUS, RFC 6458 §8.2.1).  Sizes in bytes, times in seconds.

    What RFC 6458 and W3C's RTCSctpTransportStats call by another name says so.  After the end of the
    association all but ``state`` and what is counted is as it was then.
    """

    state: str
    """In the words of RFC 9260 §4: ``ESTABLISHED`` and so on."""
    peer_rwnd: int
    """The peer's receiver window as we believe it to be (sstat_rwnd, receiverWindow)."""
    a_rwnd: int
    """Our own window as we would advertise it now."""
    held_bytes: int
    """What data that has come and was not taken yet uses up of our window (sstat_penddata counts
    chunks)."""
    unacked_chunks: int
    """DATA chunks sent and not acknowledged (sstat_unackdata, unackData)."""
    unsent_bytes: int
    """User data that waits to be sent for the first time."""
    flight_size: int
    """What is on its way and counts against ``cwnd``, headers of chunks included."""
    outbound_streams: int
    """sstat_outstrms."""
    inbound_streams: int
    """sstat_instrms."""
    cwnd: int
    """spinfo_cwnd, congestionWindow."""
    ssthresh: int
    """The slow-start threshold (RFC 9260 §7.2)."""
    srtt: float | None
    """spinfo_srtt, smoothedRoundTripTime; None before the first measurement."""
    rttvar: float | None
    """How much round trips vary (RFC 9260 §6.3.1); None as well."""
    rto: float
    """spinfo_rto."""
    path_mtu: int
    """The largest packet at present (spinfo_mtu, mtu)."""
    fragmentation_point: int
    """User data that fits into one packet (sstat_fragmentation_point)."""
    path_mtu_state: str
    """Of path MTU discovery, in the words of RFC 8899 §5.2."""
    path_mtu_probes_sent: int
    path_mtu_probes_lost: int
    path_mtu_black_holes: int
    """How often data stopped to arrive because of its size, as it seemed."""
    error_count: int
    """Consecutive retransmissions and heartbeats without an answer (RFC 9260 §8.1)."""
    retransmitted_chunks: int
    """Sent again, one that was sent three times counts twice."""
    duplicate_tsns: int
    """DATA chunks that came although they had come before."""
    packets_sent: int
    packets_received: int
    bytes_sent: int
    """SCTP packets with their headers, and nothing below them."""
    bytes_received: int
    messages_sent: int
    messages_received: int
    messages_abandoned_unsent: int
    """Given up before any part of them was sent (sprstat_abandoned_unsent, RFC 7496 §4.4)."""
    messages_abandoned_sent: int
    """Given up after a part of them was sent (sprstat_abandoned_sent)."""
    heartbeats_sent: int
    heartbeats_acknowledged: int
    dropped: dict[str, int]
    """Packets and chunks that were ignored, by reason: what makes no sense, and data without room for
    it in the window, with which a peer also asks whether the window has opened (RFC 9260 §6.1 A)."""

    @classmethod
    def of(cls, a: StateMachine) -> AssociationStatistics:
        config, tcb, rto, counters = a.config, a.tcb, a.rto, a.counters
        path_mtu, policies = a.builder.path_mtu, a.send_queue.policies
        queue = tcb.retransmission_queue if tcb else None
        receiver = tcb.data_receiver if tcb else None
        discovery = tcb.path_mtu_discovery if tcb else None
        return cls(
            state=a.state.value,
            peer_rwnd=queue.peer_rwnd if queue else 0,
            a_rwnd=receiver.a_rwnd if receiver else config.a_rwnd,
            held_bytes=receiver.charge if receiver else 0,
            unacked_chunks=queue.outstanding_count if queue else 0,
            unsent_bytes=a.send_queue.unsent_bytes,
            flight_size=queue.flight_size if queue else 0,
            outbound_streams=tcb.outbound_streams if tcb else config.outbound_streams,
            inbound_streams=tcb.inbound_streams if tcb else config.inbound_streams,
            cwnd=queue.cwnd if queue else 0,
            ssthresh=queue.ssthresh if queue else 0,
            srtt=rto.srtt,
            rttvar=rto.rttvar if rto.srtt is not None else None,
            rto=rto.rto,
            path_mtu=path_mtu,
            fragmentation_point=path_mtu - COMMON_HEADER_SIZE - a.send_queue.header_size,
            path_mtu_state=(discovery.state if discovery else DiscoveryState.DISABLED).value,
            path_mtu_probes_sent=discovery.probes_sent if discovery else 0,
            path_mtu_probes_lost=discovery.probes_lost if discovery else 0,
            path_mtu_black_holes=discovery.black_holes if discovery else 0,
            error_count=tcb.error_count if tcb else 0,
            retransmitted_chunks=queue.retransmitted_chunks if queue else 0,
            duplicate_tsns=receiver.duplicate_chunks if receiver else 0,
            packets_sent=counters.packets_sent,
            packets_received=counters.packets_received,
            bytes_sent=counters.bytes_sent,
            bytes_received=counters.bytes_received,
            messages_sent=counters.messages_sent,
            messages_received=counters.messages_received,
            messages_abandoned_unsent=policies.abandoned_unsent,
            messages_abandoned_sent=policies.abandoned_sent,
            heartbeats_sent=counters.heartbeats_sent,
            heartbeats_acknowledged=counters.heartbeats_acknowledged,
            dropped=dict(counters.dropped),
        )

    def after_the_end(self, a: StateMachine) -> AssociationStatistics:
        """The same, taken when the association ended, with what has been counted since."""
        counters = a.counters
        return replace(
            self,
            state=a.state.value,
            packets_sent=counters.packets_sent,
            packets_received=counters.packets_received,
            bytes_sent=counters.bytes_sent,
            bytes_received=counters.bytes_received,
            dropped=dict(counters.dropped),
        )


@dataclass(frozen=True, slots=True)
class EndpointStatistics:
    """A snapshot of what one port with many associations has seen."""

    associations: int
    """Those there are now."""
    packets_received: int
    """All that arrived at the port, those of its associations included."""
    packets_sent: int
    """Answers of the port itself: INIT ACK, and to packets of no association (RFC 9260 §8.4).  What an
    association sends is in its own statistics."""
    out_of_the_blue: int
    """Packets of no association (RFC 9260 §8.4)."""
    dropped: dict[str, int]
    """What was ignored, by reason."""
