"""The short ways do what the general ones do, to the last bit of each packet.

There are those for one message at a time, and those for many packets in a row.  The same exchange runs
twice, with the short ways and without.  Requests and answers of all kinds go between two ends, now and
then several or many at once or a long one, over links of all kinds: every packet, its time, and all that
both ends count have to be the same.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from tests.support.emulated_pair import EmulatedEnd, EmulatedPair
from trio_sctp._core import receive
from trio_sctp._core.config import Config
from trio_sctp._core.header_prediction import receive_expected
from trio_sctp._core.packet_builder import PacketBuilder
from trio_sctp._core.rx.data_receiver import DataReceiver
from trio_sctp._core.send_options import SendOptions
from trio_sctp._core.state_machine import StateMachine
from trio_sctp._core.transmission_control_block import TransmissionControlBlock
from trio_sctp._core.tx.transmission import Transmission
from trio_sctp.testing._emulated_link import EmulatedLink, LinkConditions

pytestmark = pytest.mark.interpreted  # replaces what compiled modules call directly

SIZES = [1, 3, 4, 64, 64, 64, 1000, 1132, 1136, 1140, 1144, 1148, 1200, 5000, 20_000]
MANY_SIZES = [100, 570, 586, 1000, 1144, 1172, 1700, 2344, 20_000, 70_000]

links = st.builds(
    LinkConditions,
    delay=st.sampled_from([0.0, 0.001, 0.05, 0.3]),
    jitter=st.sampled_from([0.0, 0.01]),
    rate=st.sampled_from([None, 100_000.0]),
    queue=st.just(64_000),
    loss=st.sampled_from([0.0, 0.0, 0.02, 0.2]),
    reorder=st.sampled_from([0.0, 0.2]),
    reorder_delay=st.just(0.03),
    duplicate=st.sampled_from([0.0, 0.1]),
    corrupt=st.sampled_from([0.0, 0.02]),
)
configs = st.builds(
    Config,
    interleaving=st.booleans(),
    a_rwnd=st.sampled_from([5000, 1 << 20]),
    max_burst=st.sampled_from([4, 100]),
    stream_scheduler=st.sampled_from(["wfq", "fcfs", "rr", "rr_pkt", "prio", "fc"]),
    congestion_control=st.sampled_from(["rfc9260", "cubic"]),
    loss_recovery=st.sampled_from(["rack", "rfc9260"]),
    rto_initial=st.just(0.5),
    rto_min=st.just(0.2),
    association_max_retrans=st.just(1000),
)


class RecordingLink(EmulatedLink):
    """Keeps what is sent, with its time."""

    sent: list[tuple[float, bytes]]

    def push(self, datagram: bytes, now: float, *, fragment: bool = False) -> None:
        self.sent.append((now, datagram))
        super().push(datagram, now, fragment=fragment)


class Exchange:
    """One run of it: whoever is sent something answers, and everybody begins something at times."""

    def __init__(self, conditions: LinkConditions, config: Config, seed: int) -> None:
        self.random = Random(seed)
        self.pair = pair = EmulatedPair(conditions, config, seed=seed)
        self.packets: list[list[tuple[float, bytes]]] = []
        for end, name in zip(pair.ends, "az", strict=True):
            end.link = link = RecordingLink(conditions, f"{seed} {name}")
            link.sent = []
            self.packets.append(link.sent)
        pair.a.association.connect(now=pair.now)
        self.streams = [
            pair.a.channels.open(ordered=ordered, now=pair.now) for ordered in (True, True, False)
        ]
        self.answered = dict.fromkeys(pair.ends, 0)

    def run(self) -> list[Any]:
        pair, random = self.pair, self.random
        for _ in range(20):
            for _ in range(random.choice([1, 1, 1, 3])):
                self._send(random.choice(pair.ends))
            if random.random() < 0.1:
                self._send_many(random.choice(pair.ends))
            pause = random.choice([0.0, 0.001, 0.01, 0.01, 0.3, 2.0])
            until = pair.now + pause
            while pair.now < until:
                pair.run_to(min(pair.now + max(pause / 4, 0.001), until))
                for end in pair.ends:
                    self._answer(end)
        self._send(pair.a)
        pair.a.association.shutdown(now=pair.now)
        pair.a.step(pair.now)
        pair.run_to(pair.now + 10)
        counted = [
            [
                end.received,
                end.outcomes,
                end.association.statistics(),
                end.association.next_timeout(),
            ]
            for end in pair.ends
        ]
        return [self.packets, *counted]

    def _send(self, end: EmulatedEnd) -> None:
        random, stream_id = self.random, self.random.choice(self.streams)
        if end.channels.channel(stream_id) is None:
            return
        options = random.choice(
            [None, None, SendOptions(max_retransmits=0), SendOptions(lifetime=0.05)]
        )
        data = random.randbytes(random.choice(SIZES))
        end.channels.send(stream_id, data, options=options, context=stream_id, now=self.pair.now)
        end.step(self.pair.now)

    def _send_many(self, end: EmulatedEnd) -> None:
        """A row of messages on one channel, of one length or of several."""
        random, stream_id = self.random, self.random.choice(self.streams)
        if end.channels.channel(stream_id) is None:
            return
        sizes = random.sample(MANY_SIZES, random.choice([1, 1, 3]))
        options = random.choice([None, None, None, SendOptions(lifetime=0.05)])
        for _ in range(random.choice([5, 30])):
            data = random.randbytes(random.choice(sizes))
            end.channels.send(stream_id, data, options=options, now=self.pair.now)
        end.step(self.pair.now)

    def _answer(self, end: EmulatedEnd) -> None:
        received = sum(map(len, end.received.values()))
        if received > self.answered[end]:
            self.answered[end] = received
            if self.random.random() < 0.9:
                self._send(end)


def counted(calls: list[object], function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, which notes when it had something to do."""

    def count(*arguments: Any) -> Any:
        result = function(*arguments)
        if result:
            calls.append(result)
        return result

    return count


def general(conditions: LinkConditions, config: Config, seed: int) -> list[Any]:
    def not_expected(a: StateMachine, packet: bytes, now: float) -> bool:
        return False

    def not_alone(self: PacketBuilder, tcb: TransmissionControlBlock, now: float) -> bytes:
        return b""

    def not_many(self: Transmission, room: int, limit: int, now: float) -> list[bytes]:
        return []

    def not_taken(self: DataReceiver, packet: bytes) -> bool:
        return False

    with (
        patch.object(receive, "receive_expected", not_expected),
        patch.object(DataReceiver, "receive_alone", not_taken),
        patch.object(PacketBuilder, "_only_body", not_alone),
        patch.object(Transmission, "full_packets", not_many),
    ):
        return Exchange(conditions, config, seed).run()


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(conditions=links, config=configs, seed=st.integers(0, 2**32))
def test_short_ways_change_nothing(conditions: LinkConditions, config: Config, seed: int) -> None:
    assert Exchange(conditions, config, seed).run() == general(conditions, config, seed)


@pytest.mark.parametrize("interleaving", [False, True])
def test_a_request_and_its_answer_go_the_short_ways(interleaving: bool) -> None:
    received: list[object] = []
    sent: list[object] = []
    with (
        patch.object(receive, "receive_expected", counted(received, receive_expected)),
        patch.object(Transmission, "only_chunk", counted(sent, Transmission.only_chunk)),
    ):
        exchange = Exchange(LinkConditions(delay=0.01), Config(interleaving=interleaving), 1)
        pair, stream_id = exchange.pair, exchange.streams[0]
        pair.run_to(1.0)
        received.clear()
        sent.clear()
        for i in range(20):
            for end in pair.ends:
                end.channels.send(stream_id, b"%d" % i, now=pair.now)
                end.step(pair.now)
                pair.run_to(pair.now + 0.01)
    assert len(sent) == 40
    assert len(received) == 39  # all but the first, which acknowledges nothing
