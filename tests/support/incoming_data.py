"""A peer's DATA or I-DATA chunks for tests of the receiving half, and ways to look at what it does."""

from __future__ import annotations

import gc
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from itertools import pairwise
from types import FrameType
from typing import Any

from trio_sctp._core.config import Config
from trio_sctp._core.rx.data_receiver import DataReceiver
from trio_sctp._core.statistics import Counters
from trio_sctp._wire.chunks import Data, IData, Sack
from trio_sctp._wire.error_causes import ErrorCause
from trio_sctp._wire.tlv import DecodeError

MASK32 = 0xFFFFFFFF
TSN = 1000  # the peer's Initial TSN unless a test says otherwise
PPID = 53
NO_ROOM = "data without room for it"
"""Why chunks were dropped, in the words of the statistics."""


class Sender:
    """Numbers and fragments messages as a peer does: TSNs in a row, SSNs or MIDs by stream."""

    def __init__(self, tsn: int = TSN, *, interleaving: bool = False) -> None:
        self.tsn = tsn
        self.interleaving = interleaving
        self.numbers: Counter[tuple[int, bool]] = Counter()

    def message(
        self,
        payload: bytes = b"message",
        stream_id: int = 0,
        *,
        unordered: bool = False,
        cuts: Iterable[int] = (),
        immediate: bool = False,
    ) -> list[Any]:
        """The chunks of a message that is cut at these places."""
        places = [0, *sorted(cuts), len(payload)]
        number = self.numbers[stream_id, unordered]
        self.numbers[stream_id, unordered] += 0 if unordered and not self.interleaving else 1
        chunks: list[Data | IData] = []
        for fsn, (begin, end) in enumerate(pairwise(places)):
            flags = {
                "unordered": unordered,
                "beginning": begin == 0,
                "ending": end == len(payload),
                "immediate": immediate,
            }
            tsn, part = self.tsn & MASK32, payload[begin:end]
            if self.interleaving:
                ppid = PPID if begin == 0 else 0
                chunks.append(IData(tsn, stream_id, number & MASK32, fsn, ppid, part, **flags))
            else:
                chunks.append(Data(tsn, stream_id, number & 0xFFFF, PPID, part, **flags))
            self.tsn += 1
        return chunks

    def reset(self, stream_id: int) -> None:
        """The peer starts a stream anew (RFC 6525)."""
        for unordered in (False, True):
            del self.numbers[stream_id, unordered]


def data(tsn: int, ssn: int = 0, payload: bytes = b"x", stream_id: int = 0, **flags: bool) -> Data:
    """One DATA chunk; a whole ordered message unless flags say otherwise."""
    return Data(tsn & MASK32, stream_id, ssn & 0xFFFF, PPID, payload, **flags)


def fragment(tsn: int, flags: str, ssn: int = 0, payload: bytes = b"x", stream_id: int = 0) -> Data:
    """A fragment; ``flags`` are the letters of those that are set, as in "BU"."""
    return data(
        tsn,
        ssn,
        payload,
        stream_id,
        beginning="B" in flags,
        ending="E" in flags,
        unordered="U" in flags,
    )


def new_receiver(
    tsn: int = TSN, *, inbound_streams: int = 65535, interleaving: bool = False, **config: Any
) -> DataReceiver:
    return DataReceiver(
        Config(**config),
        initial_tsn=tsn,
        inbound_streams=inbound_streams,
        counters=Counters(),
        interleaving=interleaving,
    )


def packet(receiver: DataReceiver, *chunks: Data | IData) -> ErrorCause | None:
    """One packet with these chunks, without the end of the batch."""
    for chunk in chunks:
        cause = receiver.receive(chunk)
        if cause is not None:
            return cause
    receiver.end_of_packet()
    return None


def arrive(receiver: DataReceiver, *chunks: Data | IData, now: float = 0.0) -> None:
    """A batch: each chunk in a packet of its own."""
    for chunk in chunks:
        assert packet(receiver, chunk) is None
    receiver.end_of_batch(now)


def read_sack(receiver: DataReceiver, max_size: int = 1188) -> Sack:
    encoded = receiver.sack(max_size)
    assert len(encoded) <= max_size
    return decode_sack(encoded)


def decode_sack(encoded: bytes) -> Sack:
    if encoded[0] != Sack.type:
        raise DecodeError("no SACK")
    return Sack.decode(encoded[1], encoded[4:])


def take(receiver: DataReceiver, *, consume: bool = True) -> list[bytes]:
    """What the program gets, in order, as soon as it can have it."""
    while receiver.is_releasing:
        receiver.handle_release()
    messages = list(receiver.messages)
    receiver.messages.clear()
    if consume:
        for message in messages:
            receiver.message_consumed(len(message.payload))
    return [message.payload for message in messages]


def executed_lines(action: Callable[[], object]) -> int:
    """How many lines of Python an action runs: its cost without a clock."""
    lines = 0

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal lines
        lines += event == "line"
        return trace

    before = sys.gettrace()
    gc.disable()  # it may call functions that are none of the action's
    sys.settrace(trace)
    try:
        action()
    finally:
        sys.settrace(before)
        gc.enable()
    return lines
