"""SCTP without I/O: the associations, channels and values that `trio_sctp` is built on.

Nothing here reads a clock, opens a socket or waits.  Packets and the time go in; packets, events and
the time of the next call come out.  Whoever drives an `Association` (or the `DataChannels` on top of
it) hands in one input, then takes all events, then all packets, then reads ``next_timeout()``.
"""

from __future__ import annotations

from ._core.association import Association as Association, State as State
from ._core.capabilities import Capabilities as Capabilities
from ._core.channel import Channel as Channel
from ._core.channel_events import (
    ChannelAccepted as ChannelAccepted,
    ChannelClosed as ChannelClosed,
    ChannelClosing as ChannelClosing,
    ChannelError as ChannelError,
    ChannelEvent as ChannelEvent,
    ChannelFailure as ChannelFailure,
    ChannelFlushed as ChannelFlushed,
    ChannelMessage as ChannelMessage,
    ChannelOpened as ChannelOpened,
    MessageTooLargeError as MessageTooLargeError,
)
from ._core.config import FIXED_BY_INIT as FIXED_BY_INIT, Config as Config
from ._core.data_channels import DataChannels as DataChannels
from ._core.endpoint import Endpoint as Endpoint, Route as Route
from ._core.errors import LocalProtocolError as LocalProtocolError
from ._core.events import (
    AssociationClosed as AssociationClosed,
    AssociationReset as AssociationReset,
    AssociationRestarted as AssociationRestarted,
    AssociationUp as AssociationUp,
    BufferedAmountLow as BufferedAmountLow,
    CloseReason as CloseReason,
    Event as Event,
    IncomingResetRefused as IncomingResetRefused,
    IncomingStreamsReset as IncomingStreamsReset,
    Message as Message,
    MessageOutcome as MessageOutcome,
    Outcome as Outcome,
    OutgoingStreamsReset as OutgoingStreamsReset,
    PathMtuChanged as PathMtuChanged,
    PeerError as PeerError,
    PeerShutdown as PeerShutdown,
    RoundTripMeasured as RoundTripMeasured,
    SendBufferDrained as SendBufferDrained,
    StreamDelivered as StreamDelivered,
    StreamsChanged as StreamsChanged,
)
from ._core.path_mtu import DiscoveryState as DiscoveryState
from ._core.send_options import RELIABLE as RELIABLE, SendOptions as SendOptions
from ._core.signalled_init import BadInitError as BadInitError, make_init as make_init
from ._core.statistics import (
    AssociationStatistics as AssociationStatistics,
    Counters as Counters,
    EndpointStatistics as EndpointStatistics,
)
from ._wire.error_causes import ErrorCause as ErrorCause
