"""Any workload over a path that loses, reorders and repeats: each message once, whole and in order."""

from __future__ import annotations

from collections import defaultdict
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from tests.support.gap_ack_blocks import blocks_of
from tests.support.incoming_data import MASK32, Sender, new_receiver, read_sack
from trio_sctp._core.events import Message
from trio_sctp._core.rx.data_receiver import DataReceiver
from trio_sctp._wire.chunks import Data, ForwardTsn, IData, IForwardTsn

messages = st.lists(
    st.tuples(
        st.integers(0, 3),  # stream
        st.booleans(),  # unordered
        st.integers(1, 30),  # size
        st.integers(0, 6),  # cuts
    ),
    max_size=25,
)


class Path:
    """Carries what a sender still has to deliver, in bursts, badly; SACKs come back or get lost."""

    def __init__(self, receiver: DataReceiver, chunks: list[Any], rng: Random) -> None:
        self.receiver = receiver
        self.chunks = {chunk.tsn: chunk for chunk in chunks}
        self.rng = rng
        self.received: list[Message] = []

    def run(self) -> None:
        rounds = 0
        while self.chunks:
            rounds += 1
            burst = list(self.chunks.values())[: self.rng.randrange(1, 40)]
            if rounds < 200:
                burst = [c for c in burst if self.rng.random() > 0.3]
                burst += [c for c in burst if self.rng.random() < 0.1]
                if self.rng.random() < 0.5:
                    self.rng.shuffle(burst)
            self.deliver(burst)
            if self.rng.random() < 0.7 or rounds >= 200:
                self.acknowledge()

    def deliver(self, burst: list[Any]) -> None:
        for chunk in burst:
            assert self.receiver.receive(chunk) is None
            if self.rng.random() < 0.3:
                self.receiver.end_of_packet()
        self.receiver.end_of_packet()
        self.receiver.end_of_batch(0.0)
        while self.receiver.messages:
            message = self.receiver.messages.popleft()
            self.receiver.message_consumed(len(message.payload))
            self.received.append(message)

    def acknowledge(self) -> None:
        sack = read_sack(self.receiver, self.rng.choice([16, 24, 1188]))
        acked = set()
        for start, end in blocks_of(sack):
            acked |= {(sack.cumulative_tsn_ack + i) & MASK32 for i in range(start, end + 1)}
        for tsn in list(self.chunks):
            behind = (sack.cumulative_tsn_ack - tsn) & MASK32
            if behind < 2**31 or tsn in acked:
                del self.chunks[tsn]


@pytest.mark.parametrize("interleaving", [False, True])
@given(workload=messages, seed=st.integers(0, 2**32), start=st.sampled_from([0, 2**32 - 30]))
@settings(max_examples=150, deadline=None)
def test_every_message_arrives_once_whole_and_in_order(
    interleaving: bool, workload: list[tuple[int, bool, int, int]], seed: int, start: int
) -> None:
    rng = Random(seed)
    a_rwnd = rng.choice([1500, 2**20])
    sender = Sender(start, interleaving=interleaving)
    receiver = new_receiver(start, a_rwnd=a_rwnd, interleaving=interleaving)
    sent: dict[tuple[int, bool], list[bytes]] = defaultdict(list)
    chunks: list[Any] = []
    for stream_id, unordered, size, cuts in workload:
        payload = rng.randbytes(size)
        sent[stream_id, unordered].append(payload)
        places = rng.sample(range(1, size), min(cuts, size - 1))
        chunks += sender.message(payload, stream_id, unordered=unordered, cuts=places)
    if interleaving:
        chunks = interleave(chunks, rng)
    path = Path(receiver, chunks, rng)
    path.run()

    received: dict[tuple[int, bool], list[bytes]] = defaultdict(list)
    for message in path.received:
        received[message.stream_id, message.unordered].append(message.payload)
    for key, payloads in sent.items():
        if key[1]:
            assert sorted(received.pop(key)) == sorted(payloads)
        else:
            assert received.pop(key) == payloads
    assert not received
    # Nothing is held any more, and the window is as wide as in the beginning.
    assert receiver.a_rwnd == a_rwnd
    assert receiver.cumulative_tsn_ack == start + len(chunks) - 1


def interleave(chunks: list[Any], rng: Random) -> list[Any]:
    """Give TSNs anew so that streams alternate as a scheduler may let them (RFC 8260 §2.2.2)."""
    first_tsn = chunks[0].tsn if chunks else 0
    streams: dict[int, list[Any]] = defaultdict(list)
    for chunk in chunks:
        streams[chunk.stream_id].append(chunk)
    mixed = []
    while streams:
        stream_id = rng.choice(list(streams))
        mixed.append(streams[stream_id].pop(0))
        if not streams[stream_id]:
            del streams[stream_id]
    for i, chunk in enumerate(mixed):
        chunk.tsn = (first_tsn + i) & MASK32
    return mixed


any_chunk = st.tuples(
    st.integers(-3, 12) | st.sampled_from([70000, 2**17, 2**17 + 1, 2**31 - 1, 2**31]),  # TSN
    st.integers(0, 2),  # stream
    st.integers(0, 3) | st.sampled_from([65535, 2**31, 2**32 - 1]),  # SSN or MID
    st.integers(0, 4) | st.sampled_from([2**31, 2**32 - 1]),  # FSN
    st.integers(0, 7),  # flags U, B and E
    st.integers(0, 40),  # size
)


@pytest.mark.parametrize("interleaving", [False, True])
@given(chunks=st.lists(any_chunk, max_size=40), forwards=st.lists(st.integers(-2, 8), max_size=3))
@settings(max_examples=300, deadline=None)
def test_no_chunks_of_a_peer_ever_raise_and_the_accounts_stay_right(
    interleaving: bool, chunks: list[tuple[int, ...]], forwards: list[int]
) -> None:
    receiver = new_receiver(100, a_rwnd=3000, max_message_size=100, interleaving=interleaving)
    for i, (ahead, stream_id, number, fsn, bits, size) in enumerate(chunks):
        tsn = (receiver.cumulative_tsn_ack + ahead) & MASK32
        flags = {"unordered": bool(bits & 4), "beginning": bool(bits & 2), "ending": bool(bits & 1)}
        cause = receiver.receive(
            IData(tsn, stream_id, number, 0 if bits & 2 else fsn, 53, bytes(size), **flags)
            if interleaving
            else Data(tsn, stream_id, number & 0xFFFF, 53, bytes(size), **flags)
        )
        receiver.end_of_packet()
        if cause is not None:
            break
        if i % 10 == 9 and forwards:
            new = (receiver.cumulative_tsn_ack + forwards.pop()) & MASK32
            if interleaving:
                receiver.forward_tsn(IForwardTsn(new, [(stream_id, bool(bits & 4), number)]))
            else:
                receiver.forward_tsn(ForwardTsn(new, [(stream_id, number & 0xFFFF)]))
        receiver.end_of_batch(0.0)
        read_sack(receiver)
    check_accounts(receiver)


def check_accounts(receiver: DataReceiver) -> None:
    queue = receiver._queue
    assert queue.charge >= queue.unfinished >= 0
    unread = sum(256 + len(message.payload) for message in receiver.messages)
    assert queue.unread == unread
    for message in list(receiver.messages):
        receiver.message_consumed(len(message.payload))
    assert queue.unread == 0
    assert 0 <= receiver.a_rwnd <= 3000
