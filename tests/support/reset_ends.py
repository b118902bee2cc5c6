"""Two ends of RE-CONFIG (RFC 6525): a StreamReset and a real send queue each, a fake receiver."""

from __future__ import annotations

import math
from collections.abc import Collection

from trio_sctp._core.config import Config
from trio_sctp._core.events import IncomingStreamsReset, OutgoingStreamsReset
from trio_sctp._core.stream_reset import ReconfigEvent, StreamReset
from trio_sctp._core.tx.outgoing_message import OutgoingMessage
from trio_sctp._core.tx.resettable_streams import ResettableStreams
from trio_sctp._core.tx.send_queue import SendQueue
from trio_sctp._wire.chunks import ReConfig
from trio_sctp._wire.parameters import Parameter, ReConfigResponse, ReConfigResult

__all__ = [
    "A_TSN",
    "BAD_SN",
    "BUSY",
    "DENIED",
    "End",
    "IN_PROGRESS",
    "NOTHING_TO_DO",
    "PERFORMED",
    "ROOM",
    "Receiver",
    "Rto",
    "Sender",
    "WRONG_SSN",
    "Z_TSN",
    "decode",
    "exchange",
    "pair",
    "response",
]

A_TSN, Z_TSN = 1000, 5000
ROOM = 1188
NOTHING_TO_DO = ReConfigResult.SUCCESS_NOTHING_TO_DO
PERFORMED = ReConfigResult.SUCCESS_PERFORMED
DENIED = ReConfigResult.DENIED
WRONG_SSN = ReConfigResult.ERROR_WRONG_SSN
BUSY = ReConfigResult.ERROR_REQUEST_ALREADY_IN_PROGRESS
BAD_SN = ReConfigResult.ERROR_BAD_SEQUENCE_NUMBER
IN_PROGRESS = ReConfigResult.IN_PROGRESS


class Rto:
    rto = 1.0


class Sender:
    def __init__(self, initial_tsn: int) -> None:
        self.next_tsn = initial_tsn
        self.cumulative_tsn_ack = initial_tsn - 1
        self.outstanding_count = 0
        self.tsn_reset_pending = False

    def reset_tsn(self, next_tsn: int) -> None:
        raise NotImplementedError

    def streams_will_be_reset(self, stream_ids: Collection[int]) -> None: ...


class Receiver:
    def __init__(self, initial_tsn: int) -> None:
        self.cumulative_tsn_ack = initial_tsn - 1
        self.is_releasing = self.holds_much = False
        self.deferred: list[tuple[tuple[int, ...], int]] = []

    def defer_reset(self, stream_ids: tuple[int, ...], last_tsn: int) -> None:
        self.deferred.append((stream_ids, last_tsn))

    def hold_back(self) -> None: ...
    def holds_back(self, tsn: int) -> bool:
        return False

    def end_hold_back(self, *, for_good: bool = False) -> None: ...
    def hold_back_from(self, next_tsn: int) -> None: ...
    def end_numbering(self, next_tsn: int) -> None: ...


class End:
    """One end: what its reset component needs, and what it told."""

    def __init__(
        self, tsn: int, peer_tsn: int, *, streams: int = 65535, config: Config | None = None
    ) -> None:
        self.queue = SendQueue()
        self.sender = Sender(tsn)
        self.receiver = Receiver(peer_tsn)
        self.incoming: list[tuple[int, ...]] = []
        self.outgoing: list[tuple[tuple[int, ...], bool]] = []
        self.told: list[object] = []
        self.reset = StreamReset(
            config or Config(),
            initial_tsn=tsn,
            peer_initial_tsn=peer_tsn,
            outbound_streams=streams,
            inbound_streams=streams,
            send_queue=ResettableStreams(self.queue),
            sender=self.sender,
            receiver=self.receiver,
            rto=Rto(),
            tell=self._tell,
        )

    def _tell(self, event: ReconfigEvent) -> None:
        if isinstance(event, IncomingStreamsReset):
            self.incoming.append(event.stream_ids)
        elif isinstance(event, OutgoingStreamsReset):
            self.outgoing.append((event.stream_ids, event.succeeded))
        else:
            self.told.append(event)

    def queue_message(self, stream_id: int) -> OutgoingMessage:
        message = OutgoingMessage(stream_id, 0, b"message")
        self.queue.add(message)
        return message

    def transmit(self) -> None:
        """Send all that may be sent: each message is one chunk and gets one TSN."""
        while (message := self.queue.next_message()) is not None:
            self.queue.take(message, len(message.payload))
            self.sender.next_tsn += 1

    def take(self, now: float = 0.0, room: int = ROOM) -> list[ReConfig]:
        return [decode(chunk) for chunk in self.reset.chunks_to_send(room, now)]

    def take_one(self, now: float = 0.0) -> ReConfig:
        (chunk,) = self.take(now)
        assert self.take(now) == []
        return chunk

    def receive(self, *parameters: Parameter, now: float = 0.0) -> bool:
        return self.reset.receive(ReConfig(parameters), now)

    def expire(self) -> bool:
        """Let the timer run out: whether an error counts."""
        now = self.reset.timer.deadline
        assert now < math.inf
        assert self.reset.timer.take_expiry(now)
        return self.reset.handle_timeout(now)


def decode(chunk: bytes) -> ReConfig:
    length = int.from_bytes(chunk[2:4], "big")
    return ReConfig.decode(chunk[1], chunk[4:length])


def pair(*, streams: int = 65535) -> tuple[End, End]:
    return End(A_TSN, Z_TSN, streams=streams), End(Z_TSN, A_TSN, streams=streams)


def exchange(a: End, z: End, now: float = 0.0) -> None:
    """Carry everything back and forth without loss until both are quiet."""
    quiet = False
    while not quiet:
        quiet = True
        for sender, receiver in ((a, z), (z, a)):
            for chunk in sender.take(now):
                quiet = False
                receiver.reset.receive(chunk, now)


def response(sn: int, result: int) -> ReConfigResponse:
    return ReConfigResponse(sn & 0xFFFFFFFF, result)
