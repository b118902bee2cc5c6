"""Packets that set free, give up or acknowledge as much as possible of what came before them.

Each hoard is an association that holds it, and the packet with which it ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from tests.support.association_pair import established_pair, packet_to
from tests.support.gap_ack_blocks import row_of
from trio_sctp._core.association import Association
from trio_sctp._wire import chunks as c, parameters as p

__all__ = ["HOARDS", "Hoard", "steps_of"]

_MASK = 0xFFFFFFFF
_PER_PACKET = 60


class Hoard(NamedTuple):
    """An association, the packet that is dear to it, and when it comes."""

    association: Association
    packet: bytes
    now: float = 0.0


def steps_of(hoard: Hoard) -> Iterator[Callable[[], None]]:
    """The arrival of the packet, then each time-out that is due at once, with all that follows."""
    association, packet, now = hoard

    def first() -> None:
        association.receive_packets([packet], now=now)
        _drain(association, now)

    def another() -> None:
        association.handle_timeout(now=now)
        _drain(association, now)

    yield first
    while association.next_timeout() <= now:
        yield another


def _drain(association: Association, now: float) -> None:
    while association.next_event() is not None:
        pass
    while association.packets_to_send(now=now):
        pass


class _Peer:
    """Gives an association what its peer might send."""

    def __init__(self, *, interleaving: bool = False) -> None:
        pair = established_pair(interleaving=interleaving, path_mtu_discovery=False)
        self.association = pair.a.association
        assert self.association.tcb is not None
        self.tcb = self.association.tcb
        self.interleaving = interleaving
        self.tsn = self.tcb.data_receiver.cumulative_tsn_ack + 1
        self.request_sn = self.tcb.stream_reset.answers.expected_sn & _MASK

    def message(self, ahead: int, number: int, stream_id: int = 0) -> c.EncodableChunk:
        return self.fragment(ahead, number, stream_id=stream_id, begins=True, ends=True)

    def fragment(
        self,
        ahead: int,
        number: int,
        fsn: int = 0,
        *,
        stream_id: int = 0,
        begins: bool = False,
        ends: bool = False,
        payload: bytes = b"xy",
    ) -> c.EncodableChunk:
        tsn, flags = (self.tsn + ahead) & _MASK, {"beginning": begins, "ending": ends}
        if self.interleaving:
            return c.IData(tsn, stream_id, number, fsn, 51, payload, **flags)
        return c.Data(tsn, stream_id, number & 0xFFFF, 51, payload, **flags)

    def hoard(self, count: int, chunk: Callable[[int], c.EncodableChunk]) -> None:
        """So many chunks arrive."""
        for start in range(0, count, _PER_PACKET):
            numbers = range(start, min(count, start + _PER_PACKET))
            packet = packet_to(self.association, *map(chunk, numbers))
            self.association.receive_packets([packet], now=0.0)
            _drain(self.association, 0.0)

    def then(self, *chunks: c.EncodableChunk) -> Hoard:
        return Hoard(self.association, packet_to(self.association, *chunks))

    def reset(self, last: int, *stream_ids: int) -> c.ReConfig:
        last_tsn = (self.tsn + last) & _MASK
        request = p.OutgoingSsnResetRequest(self.request_sn, 0, last_tsn, stream_ids)
        return c.ReConfig((request,))


# -- messages that wait for their turn


def _gap(count: int, interleaving: bool) -> Hoard:
    peer = _Peer(interleaving=interleaving)
    peer.hoard(count, lambda n: peer.message(1 + n, 1 + n))
    return peer.then(peer.message(0, 0))


def _given_up(count: int) -> Hoard:
    peer = _Peer()
    peer.hoard(count, lambda n: peer.message(n, 1 + n))
    return peer.then(c.ForwardTsn((peer.tsn + count) & _MASK, [(0, count)]))


def _given_up_on_streams(count: int) -> Hoard:
    peer = _Peer()
    peer.hoard(count, lambda n: peer.message(n, 1 + n // 1000, n % 1000))
    streams = [(stream_id, 40) for stream_id in range(1000)]
    return peer.then(c.ForwardTsn((peer.tsn + count) & _MASK, streams))


def _fragments_given_up(count: int, interleaving: bool) -> Hoard:
    peer = _Peer(interleaving=interleaving)
    if interleaving:
        peer.hoard(count, lambda n: peer.fragment(n, n, begins=True))
        forward: c.EncodableChunk = c.IForwardTsn((peer.tsn + count) & _MASK, [(0, False, count)])
        return peer.then(forward)
    peer.hoard(count, lambda n: peer.fragment(1 + 3 * n, 0))
    return peer.then(c.ForwardTsn((peer.tsn + 3 * count) & _MASK, [(0, 0)]))


def _reset(count: int) -> Hoard:
    peer = _Peer()
    peer.hoard(count, lambda n: peer.message(n, n + (n > 0)))
    return peer.then(peer.reset(count - 1, 0))


def _all_anew(count: int) -> Hoard:
    peer = _Peer()
    peer.hoard(count, lambda n: peer.message(n, 1 + n))
    return peer.then(c.ReConfig((p.SsnTsnResetRequest(peer.request_sn),)))


def _held_back(count: int) -> Hoard:
    peer = _Peer()
    peer.hoard(1, lambda _: peer.reset(0, 0))
    peer.hoard(count, lambda n: peer.message(1 + n, n))
    return peer.then(peer.message(0, 0, 1))


# -- what we have sent


class _Sender(_Peer):
    """Makes the association send messages of a byte, all of which are outstanding then."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.queue = self.tcb.retransmission_queue
        self.queue.peer_rwnd = self.queue.congestion.cwnd = 1 << 30
        self.queue.congestion.ssthresh = 1 << 30
        self.send(count, 0.0)

    def send(self, count: int, now: float, stream_id: int = 0) -> None:
        for _ in range(count):
            self.association.send(stream_id, b"x", now=now)
        self.queue._burst_limit = 1 << 30
        _drain(self.association, now)

    def sack(self, now: float, ahead: int, *blocks: tuple[int, int]) -> Hoard:
        acked = self.queue.cumulative_tsn_ack + ahead
        return self.then(c.Sack(acked & _MASK, 10_000, row_of(blocks)))._replace(now=now)


def _acknowledged(count: int) -> Hoard:
    return _Sender(count).sack(0.1, count)


def _gap_acknowledged(count: int) -> Hoard:
    return _Sender(count).sack(0.1, 0, (2, count))


def _taken_back(count: int) -> Hoard:
    sender = _Sender(count)
    for step in steps_of(sender.sack(0.1, 0, (2, count))):
        step()
    return sender.sack(0.1, 0)


def _lost(count: int) -> Hoard:
    sender = _Sender(count)
    sender.send(1, 0.05, stream_id=1)
    return sender.sack(0.09, 0, (count + 1, count + 1))


HOARDS: dict[str, Callable[[int], Hoard]] = {
    "messages behind a gap": lambda count: _gap(count, interleaving=False),
    "the same, I-DATA": lambda count: _gap(count, interleaving=True),
    "messages whose turn is given up": _given_up,
    "the same, on 1000 streams": _given_up_on_streams,
    "fragments that are given up": lambda count: _fragments_given_up(count, interleaving=False),
    "the same, I-DATA, beginnings": lambda count: _fragments_given_up(count, interleaving=True),
    "messages that end with a reset": _reset,
    "messages that end with a reset of all": _all_anew,
    "messages behind a reset": _held_back,
    "a SACK for all": _acknowledged,
    "a SACK for all but one": _gap_acknowledged,
    "a SACK that takes that back": _taken_back,
    "a SACK by which all before it is lost": _lost,
}
"""By name; the number is that of chunks that are held."""
