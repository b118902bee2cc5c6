"""Whatever value the codec can encode comes back equal, alone and in a packet with others."""

from __future__ import annotations

from hypothesis import given, settings, strategies as st

from tests.support.wire_strategies import causes, chunks, parameters, u16, u32
from trio_sctp._wire import chunks as c, error_causes as e, parameters as p
from trio_sctp._wire.dcep import DataChannelOpen, decode_dcep
from trio_sctp._wire.packet import checksum_ok, decode_chunks, decode_header, encode_packet

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(st.lists(parameters, max_size=5).map(tuple))
@settings(deadline=None)
def test_parameters(values: tuple[p.Parameter, ...]) -> None:
    assert p.decode_parameters(p.encode_parameters(values)) == values


@given(st.lists(causes, max_size=5).map(tuple))
@settings(deadline=None)
def test_causes(values: tuple[e.ErrorCause, ...]) -> None:
    assert e.decode_causes(e.encode_causes(values)) == values


@given(u16, u16, u32, st.lists(chunks, max_size=5), st.booleans())
@settings(deadline=None, max_examples=300)
def test_packets(
    source: int, destination: int, tag: int, values: list[c.EncodableChunk], zero: bool
) -> None:
    encoded = [value.encode() for value in values]
    packet = encode_packet(source, destination, tag, encoded, zero_checksum=zero)
    assert all(len(chunk) % 4 == 0 for chunk in encoded)
    assert decode_header(packet)[:3] == (source, destination, tag)
    assert zero or checksum_ok(packet)
    assert decode_chunks(packet) == values


@given(st.integers(0, 255), u16, u32, text, text)
@settings(deadline=None)
def test_dcep(kind: int, priority: int, reliability: int, label: str, protocol: str) -> None:
    message = DataChannelOpen(kind, priority, reliability, label, protocol)
    assert decode_dcep(message.encode()) == message
