"""What holds of every decoder, whatever bytes it is given: a value or a DecodeError.

A value that came out can be printed and encoded, and comes out again of what it was encoded to.
"""

from __future__ import annotations

from collections.abc import Iterable

from trio_sctp._wire.chunks import Chunk, Heartbeat, HeartbeatAck, MalformedChunk
from trio_sctp._wire.dcep import DataChannelOpen, decode_dcep
from trio_sctp._wire.error_causes import decode_causes, encode_causes
from trio_sctp._wire.packet import decode_chunks
from trio_sctp._wire.parameters import decode_parameters, encode_parameters
from trio_sctp._wire.tlv import DecodeError

__all__ = ["check_causes", "check_chunks", "check_dcep", "check_parameters"]


def check_chunks(chunks: Iterable[Chunk]) -> None:
    """Of the chunks of a packet only the last may be malformed."""
    found = list(chunks)
    for position, chunk in enumerate(found):
        if isinstance(chunk, MalformedChunk):
            assert position == len(found) - 1
            assert chunk.reason
            return
        again = decode_chunks(bytes(12) + chunk.encode())
        assert again == [chunk]
        assert repr(chunk)
        if isinstance(chunk, Heartbeat | HeartbeatAck):
            assert chunk.info is None or chunk.info in chunk.value


def check_parameters(data: bytes) -> None:
    """A row of parameters."""
    try:
        found = decode_parameters(data)
    except DecodeError as error:
        assert str(error)  # noqa: PT017
        return
    assert decode_parameters(encode_parameters(found)) == found


def check_causes(data: bytes) -> None:
    """A row of error causes."""
    try:
        found = decode_causes(data)
    except DecodeError as error:
        assert str(error)  # noqa: PT017
        return
    assert decode_causes(encode_causes(found)) == found
    assert all(str(cause).isprintable() for cause in found)


def check_dcep(data: bytes) -> None:
    """A message of the data channel establishment protocol."""
    try:
        message = decode_dcep(data)
    except DecodeError as error:
        assert str(error)  # noqa: PT017
        return
    if isinstance(message, DataChannelOpen):
        assert decode_dcep(message.encode()) == message
