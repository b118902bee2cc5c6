"""Whatever a peer repeats for ever, always with numbers that are right: nothing grows by it."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.support.association_pair import Pair, packet_to
from tests.support.table_sizes import table_sizes
from trio_sctp._core.association import Association
from trio_sctp._core.states import State
from trio_sctp._wire import chunks as c, error_causes as e, parameters as p

_MASK = 0xFFFFFFFF


class Peer:
    """Of an association that it keeps busy."""

    def __init__(self, *, interleaving: bool) -> None:
        self.pair = Pair(
            interleaving=interleaving,
            inbound_streams=8,
            max_inbound_streams=12,
            outbound_streams=8,
            max_outbound_streams=12,
            association_max_retrans=10_000,
        )
        self.pair.connect()
        self.interleaving = interleaving

    @property
    def association(self) -> Association:
        return self.pair.a.association

    @property
    def tsn(self) -> int:
        """The next one that the association expects."""
        assert self.association.tcb is not None
        return self.association.tcb.data_receiver.cumulative_tsn_ack + 1 & _MASK

    @property
    def request_sn(self) -> int:
        assert self.association.tcb is not None
        return self.association.tcb.stream_reset.answers.expected_sn & _MASK

    @property
    def asked_sn(self) -> int:
        """The number of the association's last request."""
        assert self.association.tcb is not None
        return self.association.tcb.stream_reset.own_requests._next_sn - 1 & _MASK

    def ask_for_resets(self) -> None:
        """The association has requests of its own under way, and messages that wait for them."""
        a, now = self.association, self.pair.now
        a.reset_association(now=now)
        a.reset_streams([5], now=now)
        a.request_incoming_reset([6], now=now)
        a.send(5, b"waits", now=now)

    def fill(self) -> None:
        """Something is outstanding."""
        self.association.send(1, bytes(50_000), now=self.pair.now)


def data(peer: Peer, offset: int, **flags: bool) -> c.EncodableChunk:
    tsn = (peer.tsn + offset) & _MASK
    if peer.interleaving:
        return c.IData(tsn, 1, tsn, 0, 0, b"x", **flags)
    return c.Data(tsn, 1, tsn & 0xFFFF, 0, b"x", **flags)


def forward_tsn(peer: Peer, number: int) -> c.EncodableChunk:
    """Always one TSN further, with another number on every stream."""
    if peer.interleaving:
        return c.IForwardTsn(peer.tsn, [(i, bool(i & 1), number) for i in range(8)])
    return c.ForwardTsn(peer.tsn, [(i, number & 0xFFFF) for i in range(8)])


def reset(peer: Peer, last_tsn: int) -> c.EncodableChunk:
    return c.ReConfig((p.OutgoingSsnResetRequest(peer.request_sn, 0, last_tsn & _MASK, (1, 2, 3)),))


def response(peer: Peer, result: int) -> c.EncodableChunk:
    return c.ReConfig((p.ReConfigResponse(peer.asked_sn, result, 1, 1),))


IN_PROGRESS = p.ReConfigResult.IN_PROGRESS
BUSY = p.ReConfigResult.ERROR_REQUEST_ALREADY_IN_PROGRESS

FOR_EVER: dict[str, Callable[[Peer, int], c.EncodableChunk]] = {
    "FORWARD TSN": forward_tsn,
    "DATA": lambda peer, n: data(peer, 0, unordered=True),
    "duplicates": lambda peer, n: data(peer, -1),
    "one half of a message": lambda peer, n: data(peer, 0, unordered=True, ending=bool(n & 1)),
    "resets": lambda peer, n: reset(peer, peer.tsn - 1),
    "resets that wait": lambda peer, n: reset(peer, peer.tsn + n),
    "wishes for resets": lambda peer, n: c.ReConfig(
        (p.IncomingSsnResetRequest(peer.request_sn, (1, 2)),)
    ),
    "wishes to reset all": lambda peer, n: c.ReConfig(
        (p.IncomingSsnResetRequest(peer.request_sn, ()),)
    ),
    "all anew": lambda peer, n: c.ReConfig((p.SsnTsnResetRequest(peer.request_sn),)),
    "more streams": lambda peer, n: c.ReConfig((p.AddOutgoingStreams(peer.request_sn, 1),)),
    "wishes for streams": lambda peer, n: c.ReConfig((p.AddIncomingStreams(peer.request_sn, 1),)),
    "requests in progress": lambda peer, n: response(peer, IN_PROGRESS),
    "busy": lambda peer, n: response(peer, BUSY),
    "requests long past": lambda peer, n: c.ReConfig(
        (p.SsnTsnResetRequest(peer.request_sn - n & _MASK),)
    ),
    "HEARTBEAT": lambda peer, n: c.Heartbeat.from_info(bytes(20)),
    "HEARTBEAT ACK": lambda peer, n: c.HeartbeatAck(bytes(20)),
    "ERROR": lambda peer, n: c.Error((e.UnknownCause(n & 0xFF | 0x100, b"x"),)),
    "unknown chunks": lambda peer, n: c.UnknownChunk(0xC8 + n % 30, 0, b"x"),
    "INIT": lambda peer, n: c.Init(n + 1, 10_000, 1, 1, n),
    "SACK with other duplicates": lambda peer, n: c.Sack(
        peer.pair.z.association.local_tag & 0, 0, (), [n]
    ),
}


CHARGED = re.compile(r"_queue\._(held_back|partial)\b")
"""What the receiver window is charged for, and bounds."""


@pytest.mark.parametrize("interleaving", [False, True], ids=["DATA", "I-DATA"])
@pytest.mark.parametrize("own", ["idle", "busy", "resetting"])
@pytest.mark.parametrize("kind", FOR_EVER)
def test_nothing_grows(kind: str, own: str, interleaving: bool) -> None:
    """Packets are pulled and lost, the program reads, timers run."""
    peer = Peer(interleaving=interleaving)
    if own == "busy":
        peer.fill()
    elif own == "resetting":
        peer.ask_for_resets()
    peer.pair.a.pull(peer.pair.now)
    sizes = []
    for number in range(600):
        tag = 0 if kind == "INIT" else None
        packet = packet_to(peer.association, FOR_EVER[kind](peer, number), tag=tag)
        peer.pair.a.give([packet], peer.pair.now)
        peer.pair.a.pull(peer.pair.now)
        peer.pair.a.events.clear()
        peer.pair.now += 0.05
        peer.pair.a.expire(peer.pair.now)
        peer.pair.a.pull(peer.pair.now)
        peer.pair.a.events.clear()
        if number % 100 == 99:
            sizes.append(table_sizes(peer.association))
        if peer.association.ended:
            break
    if not peer.association.ended:
        assert peer.association.state is State.ESTABLISHED
        grown = {
            name: (sizes[1].get(name, 0), size)
            for name, size in sizes[-1].items()
            if size > sizes[1].get(name, 0) + 10 and not CHARGED.search(name)
        }
        assert not grown
