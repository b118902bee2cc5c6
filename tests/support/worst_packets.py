"""Packets that are made to cost as much as possible: the most of what a packet has room for.

Each is for an association that is established, with data outstanding, and carries its tag.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from tests.support.association_pair import packet_to
from tests.support.gap_ack_blocks import row_of
from trio_sctp._core.association import Association
from trio_sctp._wire import chunks as c, parameters as p
from trio_sctp._wire.tlv import encode_chunk

__all__ = ["ETHERNET", "LARGEST", "WORST_PACKETS", "worst_packet"]

ETHERNET = 1472
LARGEST = 65507 & ~3
_MASK = 0xFFFFFFFF
_HEADER = 12


class _Numbers:
    """Those that matter to an association at the moment."""

    def __init__(self, association: Association) -> None:
        tcb = association.tcb
        assert tcb is not None
        self.tsn = tcb.data_receiver.cumulative_tsn_ack + 1
        self.acked = tcb.retransmission_queue.cumulative_tsn_ack & _MASK
        self.request_sn = tcb.stream_reset.answers.expected_sn & _MASK
        self.interleaving = tcb.capabilities.interleaving


def _repeated(chunk: c.EncodableChunk, size: int, numbers: _Numbers) -> bytes:
    encoded = chunk.encode()
    return encoded * ((size - _HEADER) // len(encoded))


def _data(
    tsn_of: Callable[[int, int], int],
    size: int,
    numbers: _Numbers,
    *,
    stream_of: Callable[[int], int] = lambda i: i % 65535,
    fragment: bool = False,
) -> bytes:
    """As many DATA chunks of one byte as there is room for."""
    bits = {"beginning": not fragment, "ending": not fragment}
    header = 24 if numbers.interleaving else 20
    count = (size - _HEADER) // header
    chunks: list[bytes] = []
    for i in range(count):
        tsn = (numbers.tsn + tsn_of(i, count)) & _MASK
        if numbers.interleaving:
            fsn = 2 * (count - i) if fragment else 0
            chunks.append(c.IData(tsn, stream_of(i), i, fsn, 0, b"x", **bits).encode())
        else:
            chunks.append(c.Data(tsn, stream_of(i), i & 0xFFFF, 0, b"x", **bits).encode())
    return b"".join(chunks)


def _sack(order: int, size: int, numbers: _Numbers) -> bytes:
    count = (size - _HEADER - 16) // 4
    blocks = [(min(2 + 2 * i, 65535),) * 2 for i in range(count)][::order]
    return c.Sack(numbers.acked, 10**6, row_of(blocks)).encode()


def _duplicates(size: int, numbers: _Numbers) -> bytes:
    count = (size - _HEADER - 16) // 4
    return c.Sack(numbers.acked, 10**6, (), [numbers.acked] * count).encode()


def _stream_ids(size: int) -> tuple[int, ...]:
    return tuple(range(1, (size - _HEADER - 20) // 2 + 1))


def _outgoing_reset(after: int, size: int, numbers: _Numbers) -> bytes:
    last_tsn = (numbers.tsn - 1 + after) & _MASK
    ids = _stream_ids(min(size, 1500))
    request = p.OutgoingSsnResetRequest(numbers.request_sn, 0, last_tsn, ids)
    return c.ReConfig((request,)).encode()


def _many_resets(size: int, numbers: _Numbers) -> bytes:
    """Each with as many streams as are accepted."""
    chunks, room = b"", size - _HEADER
    last_tsn, sn = (numbers.tsn - 1) & _MASK, numbers.request_sn
    while room > 100:
        ids = tuple(range(min(736, (room - 20) // 2)))
        request = p.OutgoingSsnResetRequest(sn, 0, last_tsn, ids)
        chunk = c.ReConfig((request,)).encode()
        chunks, room, sn = chunks + chunk, room - len(chunk), (sn + 1) & _MASK
    return chunks


def _incoming_reset(size: int, numbers: _Numbers) -> bytes:
    ids = _stream_ids(min(size, 1500))
    return c.ReConfig((p.IncomingSsnResetRequest(numbers.request_sn, ids),)).encode()


def _huge_reset(size: int, numbers: _Numbers) -> bytes:
    request = p.OutgoingSsnResetRequest(
        numbers.request_sn, 0, (numbers.tsn - 1) & _MASK, _stream_ids(size)
    )
    return c.ReConfig((request,)).encode()


def _all_streams(request: Callable[[int, int], p.Parameter], size: int, numbers: _Numbers) -> bytes:
    return c.ReConfig((request(numbers.request_sn, (numbers.tsn - 1) & _MASK),)).encode()


def _forward_tsn(limit: int, size: int, numbers: _Numbers) -> bytes:
    tsn = (numbers.tsn + 1) & _MASK
    if numbers.interleaving:
        count = min((size - _HEADER - 8) // 8, limit)
        return c.IForwardTsn(tsn, [(i, False, 1) for i in range(count)]).encode()
    count = min((size - _HEADER - 8) // 4, limit)
    return c.ForwardTsn(tsn, [(i, 1) for i in range(count)]).encode()


def _forward_tsns(size: int, numbers: _Numbers) -> bytes:
    kind = c.IForwardTsn if numbers.interleaving else c.ForwardTsn
    count = (size - _HEADER) // 8
    return b"".join(kind((numbers.tsn + i) & _MASK).encode() for i in range(count))


def _parameters(limit: int, parameter: p.Parameter, size: int, numbers: _Numbers) -> bytes:
    count = min((size - _HEADER - 20) // len(parameter.encode()), limit)
    return c.ReConfig((parameter,) * count).encode()


def _causes(limit: int, size: int, numbers: _Numbers) -> bytes:
    return encode_chunk(9, 0, b"\0\4\0\4" * min((size - _HEADER - 4) // 4, limit))


def _init(limit: int, parameter: p.Parameter, size: int, numbers: _Numbers) -> bytes:
    count = min((size - _HEADER - 20) // len(parameter.encode()), limit)
    return c.Init(5, 10_000, 1, 1, 1, (parameter,) * count).encode()


def _again(chunk: Callable[[int, _Numbers], bytes], size: int, numbers: _Numbers) -> bytes:
    """As many as there is room for of a chunk that is as dear as one can be."""
    encoded = chunk(size, numbers)
    return encoded * ((size - _HEADER) // len(encoded))


_UNKNOWN = p.UnknownParameter(0xC001, b"")
_ANY = 1 << 20

WORST_PACKETS: dict[str, Callable[[int, _Numbers], bytes]] = {
    "DATA in order": partial(_data, lambda i, n: i),
    "DATA on one stream": partial(_data, lambda i, n: i, stream_of=lambda i: 0),
    "duplicate DATA": partial(_data, lambda i, n: -1),
    "DATA with every other TSN": partial(_data, lambda i, n: 1 + 2 * i),
    "DATA far ahead": partial(_data, lambda i, n: 131_072 - i),
    "fragments backwards": partial(_data, lambda i, n: n - i, stream_of=lambda i: 1, fragment=True),
    "fragments apart": partial(_data, lambda i, n: 2 + 2 * i, fragment=True),
    "DATA on streams that are not there": partial(_data, lambda i, n: i, stream_of=lambda i: 65535),
    "SACK with gaps": partial(_sack, 1),
    "SACK with gaps backwards": partial(_sack, -1),
    "SACK with duplicates": _duplicates,
    "SACKs": lambda size, n: _repeated(c.Sack(n.acked, 10**6), size, n),
    "RE-CONFIG, resets": _many_resets,
    "RE-CONFIG, one reset": partial(_outgoing_reset, 0),
    "RE-CONFIG, a reset that waits": partial(_outgoing_reset, 5),
    "RE-CONFIG, a huge reset": _huge_reset,
    "RE-CONFIG, a wish for a reset": _incoming_reset,
    "RE-CONFIG, a wish to reset all": partial(
        _all_streams, lambda sn, tsn: p.IncomingSsnResetRequest(sn, ())
    ),
    "RE-CONFIG, a reset of all": partial(
        _all_streams, lambda sn, tsn: p.OutgoingSsnResetRequest(sn, 0, tsn, ())
    ),
    "RE-CONFIG, all anew": partial(_all_streams, lambda sn, tsn: p.SsnTsnResetRequest(sn)),
    "RE-CONFIGs": lambda size, n: _repeated(
        c.ReConfig((p.OutgoingSsnResetRequest(n.request_sn + 5 & _MASK, 1, 1),)), size, n
    ),
    "RE-CONFIG, unknown parameters": partial(_parameters, _ANY, _UNKNOWN),
    "RE-CONFIG, not quite too many of them": partial(_parameters, 128, _UNKNOWN),
    "FORWARD TSN": partial(_forward_tsn, _ANY),
    "FORWARD TSN with the most streams": partial(_forward_tsn, 1024),
    "FORWARD TSNs": _forward_tsns,
    "FORWARD TSNs with the most streams": partial(_again, partial(_forward_tsn, 1020)),
    "SACKs with gaps": partial(_again, lambda size, n: _sack(1, min(size, 4000), n)),
    "ERRORs with the most causes": partial(_again, partial(_causes, 128)),
    "RE-CONFIGs with unknown parameters": partial(_again, partial(_parameters, 128, _UNKNOWN)),
    "ERROR with causes": partial(_causes, _ANY),
    "ERROR with the most causes": partial(_causes, 128),
    "ERRORs": lambda size, n: _repeated(c.Error(()), size, n),
    "INIT with unknown parameters": partial(_init, _ANY, _UNKNOWN),
    "INIT with the most unknown parameters": partial(_init, 128, _UNKNOWN),
    "INIT with addresses": partial(_init, 128, p.IPv4Address("192.0.2.1")),
    "unknown chunks to report": partial(_repeated, c.UnknownChunk(0xFF, 0, b"")),
    "unknown chunks": partial(_repeated, c.UnknownChunk(0xBF, 0, b"")),
    "PAD": partial(_repeated, c.Pad()),
    "HEARTBEATs": partial(_repeated, c.Heartbeat(b"")),
    "HEARTBEAT ACKs": partial(_repeated, c.HeartbeatAck(b"")),
    "COOKIE ECHOs": partial(_repeated, c.CookieEcho(bytes(118))),
    "COOKIE ACKs": partial(_repeated, c.CookieAck()),
    "late SHUTDOWNs": lambda size, n: _repeated(c.Shutdown(n.acked - 1 & _MASK), size, n),
}


def worst_packet(name: str, association: Association, size: int) -> bytes:
    """The packet of that name, of about so many bytes, for an association at this moment."""
    body = WORST_PACKETS[name](size, _Numbers(association))
    return packet_to(association, body, tag=0 if name.startswith("INIT") else None)
