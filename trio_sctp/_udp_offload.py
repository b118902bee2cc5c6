"""Many datagrams in one system call: Linux's UDP segmentation and receive offload.

UDP_SEGMENT lets one ``sendmsg`` carry a run of equally long datagrams, UDP_GRO lets one ``recvmsg``
return one.  Here are the parts without state: how to ask the kernel for both, what may go out as
one run, which refusals mean what, and how to take apart what came in.  A kernel without them just
says no.
"""

from __future__ import annotations

import socket as stdlib_socket
import struct
import sys
from collections.abc import Sequence
from errno import EINVAL, EIO, EMSGSIZE, ENOPROTOOPT, EOPNOTSUPP

from ._udp_fragmentation import MAX_UDP_PAYLOAD

__all__ = [
    "ANCILLARY_SPACE",
    "OFFLOAD_MISSING",
    "SEGMENT_REFUSED",
    "can_segment",
    "enable_gro",
    "run_end",
    "segment_control",
    "split",
]

# Absent from the socket module; the values are those of <linux/udp.h>.
_SOL_UDP = 17
_UDP_SEGMENT = 103
_UDP_GRO = 104
_MAX_SEGMENTS = 64  # UDP_MAX_SEGMENTS; newer kernels take more

ANCILLARY_SPACE = 128
"""Space for control messages when receiving; several times what UDP_GRO needs."""
OFFLOAD_MISSING = frozenset({EIO, ENOPROTOOPT, EOPNOTSUPP})
"""Errors of a segmented send that say: not with this socket."""
SEGMENT_REFUSED = frozenset({EINVAL, EMSGSIZE})
"""Errors of a segmented send that say: a segment is too long for some link; shorter ones may
pass."""

_SEGMENT_SIZE = struct.Struct("=H")


def can_segment(socket: stdlib_socket.socket) -> bool:
    """Whether runs may be sent with `segment_control`."""
    if sys.platform != "linux":
        return False
    try:
        socket.getsockopt(_SOL_UDP, _UDP_SEGMENT)
    except OSError:
        return False
    return True


def enable_gro(socket: stdlib_socket.socket) -> bool:
    """Ask for runs when receiving; True if they may come, so that `split` must be used."""
    if sys.platform != "linux":
        return False
    try:
        socket.setsockopt(_SOL_UDP, _UDP_GRO, 1)
    except OSError:
        return False
    return True


def run_end(datagrams: Sequence[bytes], start: int, longest: int) -> int:
    """Index after the run that begins at ``start``: equal sizes, but the last may be shorter.

    A datagram that is empty or exceeds ``longest`` makes a run of its own.  The kernel builds a run as
    one datagram first, so it cannot be longer than one.
    """
    size = len(datagrams[start])
    end = start + 1
    if not 0 < size <= longest:
        return end
    limit = min(len(datagrams), start + min(_MAX_SEGMENTS, MAX_UDP_PAYLOAD // size))
    while end < limit:
        length = len(datagrams[end])
        if length != size:
            return end + 1 if 0 < length < size else end
        end += 1
    return end


def segment_control(size: int) -> list[tuple[int, int, bytes]]:
    """Control message of a ``sendmsg`` whose data is to be cut into datagrams of ``size`` bytes."""
    return [(_SOL_UDP, _UDP_SEGMENT, _SEGMENT_SIZE.pack(size))]


def split(data: bytes, ancillary: list[tuple[int, int, bytes]]) -> list[bytes]:
    """The datagrams that one ``recvmsg`` returned; the last of a run may be shorter."""
    for level, kind, value in ancillary:
        if level == _SOL_UDP and kind == _UDP_GRO:
            size = int.from_bytes(value, sys.byteorder)
            if 0 < size < len(data):
                return [data[start : start + size] for start in range(0, len(data), size)]
    return [data]
