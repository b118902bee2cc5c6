"""SCTP associations and WebRTC data channels for trio, in user space.

`open_association` (over any channel of datagrams), `open_udp_association` and `open_dtls_association`
give an `Association`: its data channels are trio channels, and streams where they are ordered and
reliable; `serve_udp` and `serve_dtls` serve any number of peers on one port.  With browsers and other
WebRTC stacks `open_rtc_endpoint` and `serve_rtc` do the same, by offer and answer.
`trio_sctp.sansio` is the same without I/O, and `trio_sctp.testing` an emulated network to test
programs on.
"""

from __future__ import annotations

from ._association import Association as Association
from ._buffered_channel import (
    DEFAULT_HIGH_WATER as DEFAULT_HIGH_WATER,
    DEFAULT_LOW_WATER as DEFAULT_LOW_WATER,
)
from ._capture import PacketCapture as PacketCapture
from ._channel_listener import ChannelListener as ChannelListener
from ._channel_stream import DataChannelStream as DataChannelStream
from ._core.capabilities import Capabilities as Capabilities
from ._core.channel_events import MessageTooLargeError as MessageTooLargeError
from ._core.config import Config as Config
from ._core.errors import LocalProtocolError as LocalProtocolError
from ._core.events import (
    AssociationClosed as AssociationClosed,
    AssociationReset as AssociationReset,
    AssociationRestarted as AssociationRestarted,
    CloseReason as CloseReason,
    Event as Event,
    IncomingResetRefused as IncomingResetRefused,
    IncomingStreamsReset as IncomingStreamsReset,
    Message as Message,
    Outcome as Outcome,
    OutgoingStreamsReset as OutgoingStreamsReset,
    PathMtuChanged as PathMtuChanged,
    PeerError as PeerError,
    PeerShutdown as PeerShutdown,
    RoundTripMeasured as RoundTripMeasured,
    StreamsChanged as StreamsChanged,
)
from ._core.signalled_init import BadInitError as BadInitError
from ._core.statistics import (
    AssociationStatistics as AssociationStatistics,
    EndpointStatistics as EndpointStatistics,
)
from ._data_channel import ChannelStatistics as ChannelStatistics, DataChannel as DataChannel
from ._dtls import open_dtls_association as open_dtls_association
from ._dtls_serve import (
    DtlsEndpoint as DtlsEndpoint,
    DtlsServerStatistics as DtlsServerStatistics,
    serve_dtls as serve_dtls,
)
from ._dtls_transport import (
    CertificateRejected as CertificateRejected,
    DtlsTransport as DtlsTransport,
    open_dtls as open_dtls,
)
from ._errors import (
    AssociationAborted as AssociationAborted,
    AssociationError as AssociationError,
    AssociationLost as AssociationLost,
    HandshakeFailed as HandshakeFailed,
    TransportFailed as TransportFailed,
)
from ._message_channel import MessageChannel as MessageChannel
from ._open_association import make_init as make_init, open_association as open_association
from ._receipt import Receipt as Receipt, SendKeywords as SendKeywords
from ._rtc import (
    RtcEndpoint as RtcEndpoint,
    RtcStatistics as RtcStatistics,
    TooManyPeersError as TooManyPeersError,
    open_rtc_endpoint as open_rtc_endpoint,
)
from ._rtc_peer import RtcPeer as RtcPeer
from ._rtc_serve import RtcServer as RtcServer, serve_rtc as serve_rtc
from ._serve import UdpEndpoint as UdpEndpoint, serve_udp as serve_udp
from ._transport import ChannelTransport as ChannelTransport, DatagramTransport as DatagramTransport
from ._udp import (
    UDP_ENCAPSULATION_PORT as UDP_ENCAPSULATION_PORT,
    open_udp_association as open_udp_association,
)
from ._webrtc.certificate import (
    Certificate as Certificate,
    Fingerprint as Fingerprint,
    PeerPolicy as PeerPolicy,
)
from ._webrtc.dtls_common import DtlsStatistics as DtlsStatistics
from ._webrtc.ice_common import IceConfig as IceConfig
from ._webrtc.sdp_lines import SdpError as SdpError

__version__ = "0.1.0"
