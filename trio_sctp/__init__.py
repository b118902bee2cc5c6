"""SCTP associations and WebRTC data channels for trio, in user space.

`open_association` (over any channel of datagrams) and `open_udp_association` give an `Association`:
its data channels are trio channels, and streams where they are ordered and reliable; `serve_udp`
serves any number of peers on one port.  `trio_sctp.sansio` is the same without I/O, and
`trio_sctp.testing` an emulated network to test programs on.
"""

from __future__ import annotations

from ._association import Association as Association
from ._buffered_channel import (
    DEFAULT_HIGH_WATER as DEFAULT_HIGH_WATER,
    DEFAULT_LOW_WATER as DEFAULT_LOW_WATER,
)
from ._core.channel_events import MessageTooLargeError as MessageTooLargeError
from ._core.config import Config as Config
from ._core.errors import LocalProtocolError as LocalProtocolError
from ._core.events import (
    AssociationClosed as AssociationClosed,
    AssociationRestarted as AssociationRestarted,
    CloseReason as CloseReason,
    Event as Event,
    IncomingStreamsReset as IncomingStreamsReset,
    Message as Message,
    OutgoingStreamsReset as OutgoingStreamsReset,
    PeerError as PeerError,
    PeerShutdown as PeerShutdown,
)
from ._core.statistics import AssociationStatistics as AssociationStatistics
from ._data_channel import (
    ChannelListener as ChannelListener,
    ChannelStatistics as ChannelStatistics,
    DataChannel as DataChannel,
    DataChannelStream as DataChannelStream,
)
from ._errors import (
    AssociationAborted as AssociationAborted,
    AssociationError as AssociationError,
    AssociationLost as AssociationLost,
    HandshakeFailed as HandshakeFailed,
    TransportFailed as TransportFailed,
)
from ._message_channel import MessageChannel as MessageChannel
from ._open_association import open_association as open_association
from ._serve import UdpEndpoint as UdpEndpoint, serve_udp as serve_udp
from ._transport import ChannelTransport as ChannelTransport, DatagramTransport as DatagramTransport
from ._udp import (
    UDP_ENCAPSULATION_PORT as UDP_ENCAPSULATION_PORT,
    open_udp_association as open_udp_association,
)

__version__ = "0.1.0"
