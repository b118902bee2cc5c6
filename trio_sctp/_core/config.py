"""Every limit and timer of an association, under the name that its RFC gives it.

One frozen ``Config`` is handed to an association or an endpoint.  What the peer learnt from our INIT
(`FIXED_BY_INIT`) holds for the association's life; everything else may be replaced while it runs.
Durations are in seconds, sizes in bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Literal, TypeAlias, get_args

from .arguments import check_flag, check_integer, check_number
from .errors import LocalProtocolError

__all__ = [
    "FIXED_BY_INIT",
    "CongestionControlName",
    "Config",
    "LossRecoveryName",
    "StreamSchedulerName",
]

CongestionControlName: TypeAlias = Literal["rfc9260", "cubic"]
"""The congestion controllers: RFC 9260 §7.2, or CUBIC (RFC 9438) with HyStart++ (RFC 9406)."""
LossRecoveryName: TypeAlias = Literal["rack", "rfc9260"]
"""How losses are found: RACK-TLP (RFC 8985) with PRR (RFC 6937), or as in RFC 9260 §7.2.4."""
StreamSchedulerName: TypeAlias = Literal["fcfs", "rr", "rr_pkt", "prio", "fc", "wfq"]
"""The stream schedulers, named as in RFC 8260 §4.3.2 (SCTP_SS_FCFS and so on)."""

FIXED_BY_INIT = frozenset(
    {
        "local_port",
        "remote_port",
        "outbound_streams",
        "inbound_streams",
        "a_rwnd",
        "max_message_size",
        "path_mtu",
        "zero_checksum",
        "interleaving",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Parameters of an SCTP association.  Defaults are those of RFC 9260 where it has one, but for
    ``sack_delay`` and ``slow_start_limit``.

    Raises `LocalProtocolError` when a value is outside its limits; the message names the field.
    """

    local_port: int = 5000
    """SCTP port of this end, 1 to 65535 (5000 is WebRTC's usual one)."""
    remote_port: int = 5000
    """SCTP port of the peer, 1 to 65535; used by the end that sends INIT."""
    outbound_streams: int = 65535
    """Streams we want to send on (OS in INIT), 1 to 65535 (RFC 8831 §6.2 asks for 65535)."""
    inbound_streams: int = 65535
    """Streams we accept from the peer (MIS in INIT), 1 to 65535."""
    max_outbound_streams: int = 0
    """Streams we may come to send on after some were added, by either end's wish (RFC 6525 §5.2.6),
    up to 65535; never fewer than ``outbound_streams``."""
    max_inbound_streams: int = 0
    """Streams the peer may come to send on after some were added (RFC 6525 §5.2.5), up to 65535; never
    fewer than ``inbound_streams``."""
    accept_association_reset: bool = True
    """Whether the peer may reset all sequence numbers (RFC 6525 §5.2.4); if not, that is denied."""
    a_rwnd: int = 8 * 1024 * 1024
    """Advertised receiver window credit, 1500 to 2**32 - 1: it bounds what unread messages may hold,
    and the throughput to a_rwnd per round trip."""
    max_message_size: int = 16 * 1024 * 1024
    """Longest message accepted from the peer; a longer one ends the association (Protocol Violation).
    What opens a channel is a message as well, of 12 bytes, the label and the protocol."""
    max_channels: int = 16_384
    """Data channels at a time, waiting ones included, beyond which those that the peer opens are
    refused; each takes some 3 KiB."""
    max_channel_name_memory: int = 4 * 1024 * 1024
    """What the labels and protocols of channels that the peer opens may take, in bytes; beyond it
    its channels are refused."""
    path_mtu: int = 1200
    """Largest SCTP packet, common header included, before path MTU discovery has found a larger one
    (BASE_PLPMTU of RFC 8899), 512 to 65535.  Rounded down to a multiple of 4, as chunks are (RFC 9260
    §3.2)."""
    zero_checksum: bool = False
    """Offer to take packets without a checksum (RFC 9653).  Only where the transport protects them, as
    DTLS does; some peers fail on the offer itself.  What a peer offers is made use of in any case."""
    path_mtu_discovery: bool = True
    """Try larger packets where the transport is known not to fragment them (RFC 8899)."""
    max_probes: int = 3
    """MAX_PROBES: probes lost in a row before a search for a larger path MTU ends."""
    probe_timer: float = 16.0
    """PROBE_TIMER: when an unanswered probe counts as lost; at least 1, more than 15 recommended."""
    pmtu_raise_timer: float = 600.0
    """PMTU_RAISE_TIMER: time between two searches; ``math.inf`` for one search only."""

    interleaving: bool = True
    """Offer I-DATA chunks (RFC 8260): a large message does not hold back those of other streams."""
    stream_scheduler: StreamSchedulerName = "wfq"
    """Which stream sends next (RFC 8260 §3): first come, first served (``"fcfs"``), round robin
    (``"rr"``), round robin per packet (``"rr_pkt"``), strict priority (``"prio"``), fair capacity
    (``"fc"``) or weighted fair queueing by the streams' priorities (``"wfq"``)."""

    congestion_control: CongestionControlName = "rfc9260"
    """How much is in flight: SCTP's own rules (``"rfc9260"``), or ``"cubic"`` for paths that are long
    and carry much (RFC 9438, with the slow start of RFC 9406)."""
    loss_recovery: LossRecoveryName = "rack"
    """What counts as lost: what is late (``"rack"``, RFC 8985 with tail loss probes, RFC 6937), or what
    three SACKs report missing (``"rfc9260"``)."""

    rto_initial: float = 1.0
    """RTO.Initial: the retransmission timeout before the first round trip was measured."""
    rto_min: float = 1.0
    """RTO.Min.  Lower it (0.2, say) where the path is known to be fast."""
    rto_max: float = 60.0
    """RTO.Max: the bound of the exponential back-off."""
    rto_alpha: float = 1 / 8
    """RTO.Alpha: weight of a new sample in SRTT."""
    rto_beta: float = 1 / 4
    """RTO.Beta: weight of a new sample in RTTVAR."""
    max_burst: int = 4
    """Max.Burst: packets of new data sent at once beyond what a SACK has just acknowledged."""
    valid_cookie_life: float = 60.0
    """Valid.Cookie.Life: how long a State Cookie of ours may be echoed."""
    cookie_secret_life: float = 3600.0
    """How long one secret signs State Cookies before another takes its place (RFC 9260 §5.1.3)."""
    association_max_retrans: int = 10
    """Association.Max.Retrans: unanswered retransmissions and heartbeats before the peer counts as
    unreachable."""
    max_init_retransmits: int = 8
    """Max.Init.Retransmits: repetitions of INIT or COOKIE ECHO before the attempt fails."""
    hb_interval: float = 30.0
    """HB.interval: idle time between heartbeats, added to the RTO; ``math.inf`` turns them off."""
    sack_delay: float = 0.02
    """SACK.Delay: longest wait before data is acknowledged, at most 0.5 (RFC 9260 §6.2).  §16 suggests
    0.2, for which senders that wait for a SACK before they go on, such as aiortc's, stand still."""
    shutdown_guard: float = 300.0
    """T5-shutdown-guard: bound of a whole shutdown; RFC 9260 §9.2 recommends 5 times RTO.Max."""
    slow_start_limit: int = 64
    """L of RFC 9260 §7.2.1: growth of cwnd per SACK in slow start, in full-sized packets.  More than
    the suggested 1 because one SACK here may answer a whole batch of packets."""

    def __post_init__(self) -> None:
        for name, (low, high) in _LIMITS.items():
            check = check_integer if type(low) is int else check_number
            check(name, getattr(self, name), low, high)
        for name in (
            "path_mtu_discovery",
            "zero_checksum",
            "accept_association_reset",
            "interleaving",
        ):
            check_flag(name, getattr(self, name))
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise LocalProtocolError(
                    f"{name} is {getattr(self, name)!r}: it must be one of {', '.join(choices)}"
                )
        if self.rto_min > self.rto_max:
            raise LocalProtocolError(f"rto_min is {self.rto_min}: above rto_max {self.rto_max}")
        object.__setattr__(self, "path_mtu", self.path_mtu & ~3)

    def replace(self, **changes: Any) -> Config:
        """A copy with some fields changed; `LocalProtocolError` for an unknown name or bad value."""
        unknown = changes.keys() - {field.name for field in fields(self)}
        if unknown:
            raise LocalProtocolError(f"Config has no field {min(unknown)}")
        return replace(self, **changes)


_CHOICES: dict[str, tuple[str, ...]] = {
    "stream_scheduler": get_args(StreamSchedulerName),
    "congestion_control": get_args(CongestionControlName),
    "loss_recovery": get_args(LossRecoveryName),
}
_INFINITY = float("inf")
_LIMITS: dict[str, tuple[float, float]] = {
    "local_port": (1, 65535),
    "remote_port": (1, 65535),
    "outbound_streams": (1, 65535),
    "inbound_streams": (1, 65535),
    "max_outbound_streams": (0, 65535),
    "max_inbound_streams": (0, 65535),
    "a_rwnd": (1500, 2**32 - 1),  # RFC 9260 §3.3.2: a_rwnd below 1500 is to be refused
    "max_message_size": (1, 2**40),
    "max_channels": (0, 65535),
    "max_channel_name_memory": (0, 2**40),
    "path_mtu": (512, 65535),
    "max_probes": (1, 2**16),
    "probe_timer": (1.0, 3600.0),  # RFC 8899 §5.1.1
    "pmtu_raise_timer": (1.0, _INFINITY),
    "rto_initial": (0.001, 3600.0),
    "rto_min": (0.001, 3600.0),
    "rto_max": (0.001, 3600.0),
    "rto_alpha": (0.0, 1.0),
    "rto_beta": (0.0, 1.0),
    "max_burst": (1, 2**16),
    "valid_cookie_life": (0.1, 3600.0),
    "cookie_secret_life": (1.0, 86400.0),
    "association_max_retrans": (0, 2**16),
    "max_init_retransmits": (0, 2**16),
    "hb_interval": (0.001, _INFINITY),
    "sack_delay": (0.0, 0.5),
    "shutdown_guard": (0.001, _INFINITY),
    "slow_start_limit": (1, 2**16),
}
