"""A peer that completes the handshake, or not, and then makes up what it sends.

It sees the association from inside, which no real peer can, so that its numbers are near those that
matter at the moment: next TSN, cumulative TSN ack, request numbers, expected SSNs.
"""

from __future__ import annotations

from collections.abc import Callable

from tests.fuzz.choices import Choices
from trio_sctp._core.association import Association
from trio_sctp._wire import chunks as c, error_causes as e, parameters as p
from trio_sctp._wire.dcep import (
    PPID_BINARY,
    PPID_BINARY_EMPTY,
    PPID_DCEP,
    PPID_STRING,
    ChannelType,
    DataChannelAck,
    DataChannelOpen,
)
from trio_sctp._wire.packet import decode_chunks, decode_header, encode_packet

__all__ = ["HostilePeer"]

STREAMS = (0, 1, 2, 3, 15, 16, 65535)
TAG = 0x0BADCAFE


class HostilePeer:
    """Makes packets for an association.  ``seen`` are those that it has sent, the last ones."""

    def __init__(self, association: Association, choices: Choices) -> None:
        self.association = association
        self.choices = choices
        self.initial_tsn = choices.pick((1000, 0, 2**32 - 3, 2**31 - 2))
        self.a_rwnd = choices.pick((100_000, 1500, 5000, 10**7))
        self.streams = choices.pick((16, 1, 3, 65535))
        self.extensions = choices.pick(
            ((0x82, 0xC0), (), (0x82,), (0xC0,), (0x82, 0xC0, 0x40, 0xC2), (0x40, 0xC2))
        )
        self.seen: list[bytes] = []
        self.given: list[bytes] = []
        self._stream_of_data = _StreamOfData(self.initial_tsn)

    # -- packets -----------------------------------------------------------------------------------

    def watch(self, packets: list[bytes]) -> None:
        self.seen = [*self.seen, *packets][-40:]

    def packet(self, *chunks: c.EncodableChunk | bytes, tag: int | None = None) -> bytes:
        """A packet to the association, with its tag unless another one is given."""
        encoded = [chunk if isinstance(chunk, bytes) else chunk.encode() for chunk in chunks]
        tag = self.association.local_tag if tag is None else tag
        packet = encode_packet(5000, 5000, tag, encoded)
        self.given = [*self.given, packet][-40:]
        return packet

    def next_packet(self) -> bytes:
        """Whatever comes to its mind."""
        choices = self.choices
        kind = choices.below(16)
        if kind < 9:
            chunks = [self.chunk() for _ in range(1 + choices.below(4) // 2)]
            return self.packet(*chunks, tag=self._tag())
        if kind == 9 and self.given:  # replayed
            return choices.pick(self.given)
        if kind == 10 and self.given:
            return self._mutated(choices.pick(self.given))
        if kind == 11 and self.seen:  # what the association sent comes back, or nearly
            return self._mutated(choices.pick(self.seen))
        if kind == 12:
            return self.packet(self._padded(choices.blob(100)), tag=self._tag())
        if kind == 13:
            return choices.blob(60)
        if kind == 14:
            return self.packet(*[self.chunk()] * (1 + choices.below(40)))
        return self.packet(*self.honest_answer())

    def _tag(self) -> int | None:
        kind = self.choices.below(16)
        if kind == 13:
            return 0
        if kind == 14:
            return TAG
        return self.choices.number(4) if kind == 15 else None

    def _mutated(self, packet: bytes) -> bytes:
        """With a few changes, and a checksum that is right."""
        choices, body = self.choices, bytearray(packet[12:])
        for _ in range(choices.below(4)):
            if body:
                body[choices.below(len(body))] = choices.number(1)
        if choices.one_in(4):
            del body[choices.below(len(body) + 1) :]
        return self.packet(self._padded(bytes(body)), tag=self._tag())

    @staticmethod
    def _padded(body: bytes) -> bytes:
        return body + bytes(-len(body) % 4)

    # -- chunks ------------------------------------------------------------------------------------

    @property
    def _received(self) -> int:
        """The cumulative TSN ack of the association for what we send."""
        tcb = self.association.tcb
        return (tcb.data_receiver.cumulative_tsn_ack if tcb else self.initial_tsn - 1) & 0xFFFFFFFF

    @property
    def _acked(self) -> int:
        tcb = self.association.tcb
        return (tcb.retransmission_queue.cumulative_tsn_ack if tcb else 0) & 0xFFFFFFFF

    def chunk(self) -> c.EncodableChunk:
        makers: tuple[Callable[[], c.EncodableChunk], ...] = (
            *[self._good_data] * 9,
            *(self._sack, self._sack, self._sack, self._forward_tsn, self._reconfig),
            *(self._reconfig, self._setup, self._answer, self._odd, self._dcep, self._next_data),
            self._end if self.choices.one_in(3) else self._sack,
            self._data if self.choices.one_in(3) else self._good_data,
        )
        return self.choices.pick(makers)()

    def _good_data(self) -> c.EncodableChunk:
        """What an honest peer could send, in an order that the network might make of it."""
        tcb = self.association.tcb
        interleaving = tcb is not None and tcb.capabilities.interleaving
        return self._stream_of_data.next(self.choices, self._received, interleaving)

    def _next_data(self) -> c.EncodableChunk:
        """A message of one chunk that can be delivered at once."""
        stream_id = self.choices.below(3)
        payload = bytes(1 + self.choices.below(3000) // 2)
        return self._whole(stream_id, payload, self.choices.pick((51, 53, 0)))

    def _whole(self, stream_id: int, payload: bytes, ppid: int) -> c.EncodableChunk:
        tcb = self.association.tcb
        tsn, number = (self._received + 1) & 0xFFFFFFFF, 0
        if tcb is not None:
            number = tcb.data_receiver._queue._next(stream_id)
        whole = {"beginning": True, "ending": True}
        if tcb is not None and tcb.capabilities.interleaving:
            return c.IData(tsn, stream_id, number & 0xFFFFFFFF, 0, ppid, payload, **whole)
        return c.Data(tsn, stream_id, number & 0xFFFF, ppid, payload, **whole)

    def _data(self) -> c.EncodableChunk:
        choices, tcb = self.choices, self.association.tcb
        tsn = choices.near(self._received + 1)
        stream_id = choices.pick(STREAMS)
        expected = tcb.data_receiver._queue._next(stream_id) if tcb else 0
        flags = choices.below(16)
        bits = {
            "ending": not flags & 1,
            "beginning": not flags & 2,
            "unordered": bool(flags & 4),
            "immediate": bool(flags & 8),
        }
        ppid = choices.pick((51, 53, 50, 56, 57, 0))
        payload = bytes(choices.pick((1, 0, 2, 100, 1200, 4000)))
        interleaving = tcb is not None and tcb.capabilities.interleaving
        if interleaving is choices.one_in(32):
            return c.Data(tsn, stream_id, choices.near(expected, 0xFFFF), ppid, payload, **bits)
        fsn = 0 if bits["beginning"] else choices.near(1)
        mid = choices.near(expected)
        return c.IData(tsn, stream_id, mid, fsn, ppid if bits["beginning"] else 0, payload, **bits)

    def _sack(self) -> c.EncodableChunk:
        choices, tcb = self.choices, self.association.tcb
        acked, outstanding = self._acked, 0
        if tcb is not None:
            outstanding = tcb.retransmission_queue.outstanding_count
        cumulative = acked + choices.below(outstanding + 1)
        if choices.one_in(8):
            cumulative = choices.near(acked)
        offsets: tuple[int, ...] = ()
        for _ in range(choices.below(4)):
            start = 1 + choices.below(outstanding + 2)
            offsets += start, start + choices.below(4)
        if choices.one_in(16):
            offsets += choices.number(2), choices.number(2)
        a_rwnd = choices.pick((self.a_rwnd, 0, 1, 1000, 2**32 - 1))
        duplicates = [choices.near(acked) for _ in range(choices.below(3))]
        return c.Sack(cumulative & 0xFFFFFFFF, a_rwnd, offsets, duplicates)

    def _forward_tsn(self) -> c.EncodableChunk:
        choices, tcb = self.choices, self.association.tcb
        tsn = choices.near(self._received + 1)
        streams = [choices.pick(STREAMS) for _ in range(choices.below(4))]
        if (tcb is not None and tcb.capabilities.interleaving) is choices.one_in(32):
            return c.ForwardTsn(tsn, [(s, choices.near(0, 0xFFFF)) for s in streams])
        return c.IForwardTsn(tsn, [(s, choices.one_in(2), choices.near(0)) for s in streams])

    def _reconfig(self) -> c.EncodableChunk:
        return c.ReConfig(
            tuple(self._reconfig_parameter() for _ in range(1 + self.choices.below(8) // 6))
        )

    def _reconfig_parameter(self) -> p.Parameter:
        choices, tcb = self.choices, self.association.tcb
        expected = tcb.stream_reset.answers.expected_sn if tcb else self.initial_tsn
        own = tcb.stream_reset.own_requests._next_sn - 1 if tcb else 0
        sn = choices.near(expected)
        streams = tuple(choices.pick(STREAMS) for _ in range(choices.below(4)))
        makers: tuple[Callable[[], p.Parameter], ...] = (
            lambda: p.ReConfigResponse(choices.near(own), choices.below(9)),
            lambda: p.ReConfigResponse(
                choices.near(own), choices.below(9), choices.near(self._received), choices.number(4)
            ),
            lambda: p.OutgoingSsnResetRequest(
                sn, choices.near(own), choices.near(self._received), streams
            ),
            lambda: p.IncomingSsnResetRequest(sn, streams),
            lambda: p.SsnTsnResetRequest(sn),
            lambda: p.AddOutgoingStreams(sn, choices.near(1, 0xFFFF)),
            lambda: p.AddIncomingStreams(sn, choices.near(1, 0xFFFF)),
            lambda: p.UnknownParameter(choices.pick((0x4001, 0xC001, 0x8009, 99)), b"?"),
        )
        return choices.pick(makers)()

    def _setup(self) -> c.EncodableChunk:
        choices = self.choices
        kind = choices.below(5)
        if kind == 0:
            return c.CookieAck()
        if kind == 1:
            return c.CookieEcho(self.cookie() or choices.blob(150))
        if kind == 2:
            return self.init_ack()
        if kind == 3:
            return self.init()
        return c.Error((e.StaleCookie(choices.near(0)),))

    def _answer(self) -> c.EncodableChunk:
        answer = self.honest_answer()
        return self.choices.pick(answer)

    def _end(self) -> c.EncodableChunk:
        choices = self.choices
        kind = choices.below(16)
        if kind < 6:
            return c.Shutdown(choices.near(self._acked))
        if kind < 9:
            return c.ShutdownAck()
        if kind < 13:
            return c.ShutdownComplete(choices.one_in(2))
        return c.Abort((), choices.one_in(2))

    def _odd(self) -> c.EncodableChunk:
        choices = self.choices
        kind = choices.below(6)
        if kind == 0:
            return c.Heartbeat(choices.blob(40))
        if kind == 1:
            return c.HeartbeatAck(choices.blob(40))
        if kind == 2:
            return c.Error((e.UnknownCause(99, choices.blob(9)), e.InvalidStreamIdentifier(1)))
        if kind == 3:
            return c.Pad(4 + choices.below(40))
        return c.UnknownChunk(choices.pick((0x3F, 0x7F, 0xBF, 0xFF)), 0, choices.blob(20))

    def _dcep(self) -> c.EncodableChunk:
        choices, stream_id = self.choices, self.choices.below(8)
        kind = choices.below(6)
        if kind < 3:
            opening = DataChannelOpen(choices.pick(tuple(ChannelType)), 256, 1, "label", "")
            return self._whole(stream_id, opening.encode(), PPID_DCEP)
        if kind == 3:
            return self._whole(stream_id, DataChannelAck().encode(), PPID_DCEP)
        if kind == 4:
            return self._whole(stream_id, choices.blob(20) or b"\3", PPID_DCEP)
        ppid = choices.pick((PPID_STRING, PPID_BINARY, PPID_BINARY_EMPTY, 52, 54, 99))
        return self._whole(stream_id, choices.blob(9) or b"x", ppid)

    # -- what an honest peer would do --------------------------------------------------------------

    def _parameters(self) -> tuple[p.Parameter, ...]:
        supported = p.SupportedExtensions(self.extensions)
        return (supported, p.ForwardTsnSupported()) if 0xC0 in self.extensions else (supported,)

    def init(self) -> c.Init:
        fields = TAG, self.a_rwnd, self.streams, self.streams, self.initial_tsn
        return c.Init(*fields, self._parameters())

    def init_ack(self) -> c.InitAck:
        fields = TAG, self.a_rwnd, self.streams, self.streams, self.initial_tsn
        return c.InitAck(*fields, (p.StateCookie(b"a cookie"), *self._parameters()))

    def cookie(self) -> bytes:
        """That of the association's last INIT ACK."""
        for chunk in self._chunks_seen():
            if isinstance(chunk, c.InitAck):
                for parameter in chunk.parameters:
                    if isinstance(parameter, p.StateCookie):
                        return parameter.cookie
        return b""

    def init_ack_tag(self) -> int:
        for chunk in self._chunks_seen():
            if isinstance(chunk, c.InitAck):
                return chunk.initiate_tag
        return 0

    def _chunks_seen(self) -> list[c.Chunk]:
        """The chunks of the association's packets, the latest packet first."""
        return [chunk for packet in reversed(self.seen) for chunk in decode_chunks(packet)]

    def honest_answer(self) -> list[c.EncodableChunk]:
        """What the latest packets of the association call for; all its data is acknowledged."""
        answer: list[c.EncodableChunk] = []
        for packet in self.seen[-8:]:
            if decode_header(packet)[2] == 0:
                continue
            for chunk in decode_chunks(packet):
                answer += self._answer_to(chunk)
        answer.append(self.full_sack())
        return answer

    def full_sack(self) -> c.Sack:
        tcb = self.association.tcb
        highest = tcb.retransmission_queue.next_tsn - 1 if tcb else 0
        return c.Sack(highest & 0xFFFFFFFF, 10**6)

    def _answer_to(self, chunk: c.Chunk) -> list[c.EncodableChunk]:
        if isinstance(chunk, c.Heartbeat):
            return [c.HeartbeatAck(chunk.value)]
        if isinstance(chunk, c.Shutdown):
            return [c.ShutdownAck()]
        if isinstance(chunk, c.ShutdownAck):
            return [c.ShutdownComplete()]
        if isinstance(chunk, c.CookieEcho):
            return [c.CookieAck()]
        if isinstance(chunk, c.ReConfig):
            return [
                c.ReConfig((p.ReConfigResponse(parameter.request_sn, 1),))
                for parameter in chunk.parameters
                if not isinstance(parameter, p.ReConfigResponse | p.UnknownParameter)
                and hasattr(parameter, "request_sn")
            ]
        return []


class _StreamOfData:
    """Messages in chunks with successive TSNs, of which any of the next few may come next."""

    def __init__(self, tsn: int) -> None:
        self._tsn = tsn
        self._waiting: list[c.Data | c.IData] = []
        self._numbers: dict[tuple[int, bool], int] = {}

    def next(self, choices: Choices, received: int, interleaving: bool) -> c.Data | c.IData:
        if not self._waiting or (received - self._waiting[-1].tsn) & 0xFFFFFFFF < 1 << 30:
            self._waiting.clear()
            self._tsn = (received + 1) & 0xFFFFFFFF
        while len(self._waiting) < 8:
            self._add_message(choices, interleaving)
        index = choices.pick((0, 0, 0, 0, 1, 2, 4, 7))
        if choices.one_in(8):
            return self._waiting[index]  # and again, later
        return self._waiting.pop(index)

    def _add_message(self, choices: Choices, interleaving: bool) -> None:
        stream_id, unordered = choices.below(3), choices.one_in(4)
        number = self._numbers.get((stream_id, unordered), 0)
        self._numbers[stream_id, unordered] = number + 1
        count = choices.pick((1, 1, 2, 3, 5))
        ppid = choices.pick((51, 53, 0))
        size = choices.pick((100, 1, 1000, 3000))
        for index in range(count):
            bits = {
                "unordered": unordered,
                "beginning": index == 0,
                "ending": index == count - 1,
            }
            payload = bytes(size)
            if interleaving:
                mid, first = number & 0xFFFFFFFF, 0 if index else ppid
                chunk: c.Data | c.IData = c.IData(
                    self._tsn, stream_id, mid, index, first, payload, **bits
                )
            else:
                ssn = 0 if unordered else number & 0xFFFF
                chunk = c.Data(self._tsn, stream_id, ssn, ppid, payload, **bits)
            self._waiting.append(chunk)
            self._tsn = (self._tsn + 1) & 0xFFFFFFFF
