"""Hypothesis strategies for everything the codec knows: valid values, and bytes that almost are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from tests.support.gap_ack_blocks import row_of
from trio_sctp._wire import chunks as c, error_causes as e, parameters as p
from trio_sctp._wire.tlv import encode_chunk, encode_tlv

u8 = st.integers(0, 2**8 - 1)
u16 = st.integers(0, 2**16 - 1)
u32 = st.integers(0, 2**32 - 1)
blob = st.binary(max_size=40)


def _tuples(elements: st.SearchStrategy[Any], max_size: int = 5) -> st.SearchStrategy[Any]:
    return st.lists(elements, max_size=max_size).map(tuple)


KNOWN_PARAMETER_TYPES = (1, *range(5, 10), *range(11, 19), 0x8000, 0x8001, 0x8005, 0x8008, 0xC000)
KNOWN_CAUSE_CODES = tuple(range(1, 14))
KNOWN_CHUNK_TYPES = (*range(12), 14, 64, 130, 0x84, 192, 194)

parameters: st.SearchStrategy[p.Parameter] = st.one_of(
    st.builds(p.HeartbeatInfo, blob),
    st.builds(p.IPv4Address, st.binary(min_size=4, max_size=4)),
    st.builds(p.IPv6Address, st.binary(min_size=16, max_size=16)),
    st.builds(p.StateCookie, blob),
    st.builds(p.UnrecognizedParameter, blob),
    st.builds(p.CookiePreservative, u32),
    st.builds(p.HostNameAddress, blob),
    st.builds(p.SupportedAddressTypes, _tuples(u16)),
    st.builds(p.OutgoingSsnResetRequest, u32, u32, u32, _tuples(u16)),
    st.builds(p.IncomingSsnResetRequest, u32, _tuples(u16)),
    st.builds(p.SsnTsnResetRequest, u32),
    st.builds(p.ReConfigResponse, u32, u32),
    st.builds(p.ReConfigResponse, u32, u32, u32, u32),
    st.builds(p.AddOutgoingStreams, u32, u16),
    st.builds(p.AddIncomingStreams, u32, u16),
    st.builds(p.EcnCapable),
    st.builds(p.ZeroChecksumAcceptable, u32),
    st.builds(p.Padding, st.integers(4, 50)),
    st.builds(p.SupportedExtensions, _tuples(u8)),
    st.builds(p.ForwardTsnSupported),
    st.builds(
        p.UnknownParameter, u16.filter(lambda number: number not in KNOWN_PARAMETER_TYPES), blob
    ),
)

causes: st.SearchStrategy[e.ErrorCause] = st.one_of(
    st.builds(e.InvalidStreamIdentifier, u16),
    st.builds(e.MissingMandatoryParameter, _tuples(u16)),
    st.builds(e.StaleCookie, u32),
    st.builds(e.OutOfResource),
    st.builds(e.UnresolvableAddress, blob),
    st.builds(e.UnrecognizedChunkType, blob),
    st.builds(e.InvalidMandatoryParameter),
    st.builds(e.UnrecognizedParameters, blob),
    st.builds(e.NoUserData, u32),
    st.builds(e.CookieReceivedWhileShuttingDown),
    st.builds(e.RestartWithNewAddresses, blob),
    st.builds(e.UserInitiatedAbort, blob),
    st.builds(e.ProtocolViolation, blob),
    st.builds(e.UnknownCause, u16.filter(lambda code: code not in KNOWN_CAUSE_CODES), blob),
)

_flags = {name: st.booleans() for name in ("unordered", "beginning", "ending", "immediate")}


def _i_data(**fields: Any) -> c.IData:
    """Where PPID and FSN share a field, one of them is always 0."""
    fields["fsn" if fields["beginning"] else "ppid"] = 0
    return c.IData(**fields)


chunks: st.SearchStrategy[c.EncodableChunk] = st.one_of(
    st.builds(c.Data, u32, u16, u16, u32, blob, **_flags),
    st.builds(_i_data, tsn=u32, stream_id=u16, mid=u32, fsn=u32, ppid=u32, payload=blob, **_flags),
    st.builds(c.Init, u32, u32, u16, u16, u32, _tuples(parameters)),
    st.builds(c.InitAck, u32, u32, u16, u16, u32, _tuples(parameters)),
    st.builds(c.Sack, u32, u32, _tuples(st.tuples(u16, u16)).map(row_of), _tuples(u32)),
    st.builds(c.Heartbeat, blob),
    st.builds(c.HeartbeatAck, blob),
    st.builds(c.Abort, _tuples(causes), st.booleans()),
    st.builds(c.Shutdown, u32),
    st.builds(c.ShutdownAck),
    st.builds(c.Error, _tuples(causes)),
    st.builds(c.CookieEcho, blob),
    st.builds(c.CookieAck),
    st.builds(c.ShutdownComplete, st.booleans()),
    st.builds(c.ReConfig, _tuples(parameters)),
    st.builds(c.ForwardTsn, u32, _tuples(st.tuples(u16, u16))),
    st.builds(c.IForwardTsn, u32, _tuples(st.tuples(u16, st.booleans(), u32))),
    st.builds(c.Pad, st.integers(4, 50)),
    st.builds(c.UnknownChunk, u8.filter(lambda kind: kind not in KNOWN_CHUNK_TYPES), u8, blob),
)

almost_parameters = st.lists(
    st.builds(encode_tlv, st.sampled_from(KNOWN_PARAMETER_TYPES), blob), max_size=3
)
"""Known types with any value."""

almost_causes = st.lists(
    st.builds(encode_tlv, st.sampled_from(KNOWN_CAUSE_CODES), blob), max_size=3
)

almost_chunk = st.builds(
    encode_chunk,
    st.sampled_from(KNOWN_CHUNK_TYPES),
    u8,
    st.one_of(blob, st.builds(bytes.__add__, blob, almost_parameters.map(b"".join))),
)


@st.composite
def damaged(draw: st.DrawFn, encoded: st.SearchStrategy[bytes]) -> bytes:
    """Encoded values with a few bytes changed and the end cut off, or something appended."""
    data = bytearray(draw(encoded))
    for _ in range(draw(st.integers(0, 3))):
        if data:
            data[draw(st.integers(0, len(data) - 1))] = draw(u8)
    end = draw(st.integers(0, len(data)))
    return bytes(data[:end]) if draw(st.booleans()) else bytes(data) + draw(st.binary(max_size=9))


def joined(parts: Sequence[bytes]) -> bytes:
    """Parts one after the other, each padded to a multiple of four bytes."""
    return b"".join([part + bytes(-len(part) % 4) for part in parts])
