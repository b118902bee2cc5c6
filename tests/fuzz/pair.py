"""Level ``pair``: two associations, their programs, and a hostile network between them.

Packets are lost, repeated, reordered, damaged, cut and injected.  A network that damages packets and
repairs their checksums, or forges packets with the right tag, may end the association; no end raises
or hangs because of it.  One that only does what an attacker off the path can do (or what happens by
itself) may not: in the end everything that is reliable has arrived, once and in its order, everything
that is not has arrived or was given up, and both ends fall silent.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable
from itertools import count
from random import Random

from tests.fuzz.choices import Choices
from tests.support.association_pair import check_association, check_packet_of
from tests.support.rx_invariants import check_receiver, weight_of
from tests.support.tx_invariants import check_invariants, check_not_stalled
from trio_sctp._core.association import Association
from trio_sctp._core.config import Config
from trio_sctp._core.errors import LocalProtocolError
from trio_sctp._core.events import (
    AssociationClosed,
    AssociationRestarted,
    IncomingStreamsReset,
    Message,
    MessageOutcome,
    Outcome,
)
from trio_sctp._core.send_options import SendOptions
from trio_sctp._core.states import SENDING, State
from trio_sctp._wire import chunks as c
from trio_sctp._wire.packet import decode_chunks, encode_packet

__all__ = ["SIZE", "play"]

SIZE = 500
MAX_STEPS = 250
_LARGEST = 65536
_CONFIG = Config(
    a_rwnd=30_000,
    max_message_size=20_000,
    outbound_streams=8,
    inbound_streams=8,
    max_outbound_streams=12,
    max_inbound_streams=12,
    association_max_retrans=1000,
    max_init_retransmits=1000,
)


def play(data: bytes) -> None:
    """One case; raises where something does not hold."""
    choices = Choices(data)
    network = Network(choices)
    for _ in range(MAX_STEPS):
        if choices.exhausted or network.over:
            break
        network.step()
    network.finish()


class NearTheEnd(Random):
    """Initial TSNs shortly before the end of their range; those of two ends are never the same."""

    def __init__(self, seed: int, end: int) -> None:
        super().__init__(f"{seed} {end}")
        self._tags = Random(f"{seed} {end} tags")
        self._end = end

    def randrange(self, start: int, stop: int | None = None, step: int = 1) -> int:
        return self._tags.randrange(start, stop, step)

    def getrandbits(self, k: int, /) -> int:
        bits = super().getrandbits(k)
        return 2**32 - 40 + bits % 20 * 2 + self._end if k == 32 else bits


class End:
    """An association with its program, which numbers its messages."""

    def __init__(self, choices: Choices, config: Config, number: int) -> None:
        self.choices = choices
        self.association = Association(
            config,
            rng=NearTheEnd(choices.number(1), number),
            max_path_mtu=choices.pick((None, 1500, 9000)),
        )
        self.closed: AssociationClosed | None = None
        self.received: list[Message] = []
        self.resets = 0
        self.restarted = False
        self.outcomes: dict[int, Outcome] = {}
        self.sent: dict[int, tuple[int, bool, bool]] = {}
        """Stream, whether unordered, and whether reliable, of each message by its number."""
        self._unread: list[int] = []
        self._receiver: object = None

    # -- the program -------------------------------------------------------------------------------

    def act(self, now: float) -> None:
        choices, a = self.choices, self.association
        kind = choices.below(16)
        try:
            if kind < 7:
                self._send(now)
            elif kind < 11:
                self._consume(choices.pick((1, 2, 1000)), now)
            elif kind == 11:
                a.reset_streams([choices.below(8)], now=now)
            elif kind == 12:
                a.request_incoming_reset([choices.below(8)], now=now)
            elif kind == 13:
                choices.pick((a.add_outgoing_streams, a.request_incoming_streams))(1, now=now)
            elif kind == 14:
                a.reset_association(now=now)
            else:
                a.path_changed(now=now)
        except LocalProtocolError as error:
            assert str(error)  # noqa: PT017

    def _send(self, now: float) -> None:
        choices = self.choices
        options = None
        if choices.one_in(4):
            options = SendOptions(
                max_retransmits=choices.pick((0, 1, None)), lifetime=choices.pick((None, 0.1, 2.0))
            )
        for _ in range(choices.pick((1, 3, 20))):
            number = len(self.sent)
            stream_id, unordered = choices.below(4), choices.one_in(4)
            size = choices.pick((10, 1, 1200, 4000, 15_000))
            self.association.send(
                stream_id,
                number.to_bytes(4, "big") + bytes(size),
                unordered=unordered,
                options=options,
                context=number,
                now=now,
            )
            self.sent[number] = stream_id, unordered, options is None or options.reliable

    def _consume(self, number: int, now: float) -> None:
        consumed, self._unread = self._unread[:number], self._unread[number:]
        for size in consumed:
            self.association.message_consumed(size)

    # -- what happens to it ------------------------------------------------------------------------

    def drain(self, now: float) -> None:
        a = self.association
        receiver = a.tcb.data_receiver if a.tcb else None
        if receiver is not self._receiver:
            self._receiver, self._unread = receiver, []
        while (event := a.next_event()) is not None:
            assert self.closed is None, f"{event} after the end"
            if isinstance(event, Message):
                self._unread.append(len(event.payload))
                self.received.append(event)
            elif isinstance(event, MessageOutcome):
                assert event.context not in self.outcomes, "two outcomes of one message"
                self.outcomes[event.context] = event.outcome
            elif isinstance(event, IncomingStreamsReset):
                self.resets += 1
            elif isinstance(event, AssociationRestarted):
                self.restarted = True
            elif isinstance(event, AssociationClosed):
                self.closed = event

    def pull(self, now: float) -> list[bytes]:
        packets: list[bytes] = []
        for number in count():
            more = self.association.packets_to_send(now=now)
            if not more:
                break
            assert number < 100, "it never stops sending"
            packets += more
        for packet in packets:
            check_packet_of(packet, decode_chunks(packet), _LARGEST)
        self.drain(now)
        self._check()
        return packets

    def _check(self) -> None:
        a = self.association
        check_association(a, drained=True)
        if a.tcb is None:
            return
        check_invariants(a.tcb.retransmission_queue)
        if a.state in SENDING:
            check_not_stalled(a.tcb.retransmission_queue)
        if a.tcb.data_receiver is self._receiver:
            unread = sum(map(weight_of, self._unread))
            check_receiver(a.tcb.data_receiver, a.config, unread, _LARGEST)


class Network:
    """Both ends, what is on its way between them, and the time."""

    def __init__(self, choices: Choices) -> None:
        self.choices = choices
        self.on_path = choices.one_in(4)
        """The network reads and rewrites packets."""
        config = _CONFIG.replace(
            interleaving=choices.one_in(2),
            path_mtu=choices.pick((1200, 512)),
            congestion_control=choices.pick(("rfc9260", "cubic")),
            loss_recovery=choices.pick(("rack", "rfc9260")),
            rto_min=choices.pick((1.0, 0.05)),
            stream_scheduler=choices.pick(("wfq", "fcfs", "rr", "prio")),
        )
        if self.on_path:
            config = config.replace(association_max_retrans=5, max_init_retransmits=5)
        self.ends = tuple(End(choices, config, number) for number in range(2))
        self.transit: list[tuple[int, bytes]] = []
        """Who gets it, and the packet, in the order in which they were sent."""
        self.old: list[tuple[int, bytes]] = []
        self.now = 50.0
        self.bad = choices.pick((1, 0, 3, 8))
        self.ends[0].association.connect(now=self.now)
        if choices.one_in(4):
            self.ends[1].association.connect(now=self.now)
        self._pull()

    @property
    def over(self) -> bool:
        return all(end.closed is not None for end in self.ends)

    # -- steps -------------------------------------------------------------------------------------

    def step(self) -> None:
        choices = self.choices
        kind = choices.below(16)
        if kind < 9:
            if self.transit:
                self._carry()
            else:
                self._pass_time()
        elif kind < 13:
            choices.pick(self.ends).act(self.now)
        elif kind < 15:
            self._pass_time()
        else:
            self._inject()
        self._pull()

    def _carry(self) -> None:
        """One of the packets on their way, or several at once, arrive; or something befalls it."""
        choices = self.choices
        index = choices.below(min(len(self.transit), 6)) if choices.below(8) < self.bad else 0
        goal, packet = self.transit.pop(index)
        if choices.below(24) >= self.bad:
            batch = [packet]
            while choices.one_in(3) and self.transit and self.transit[0][0] == goal:
                batch.append(self.transit.pop(0)[1])
            self._give(goal, *batch)
            return
        fate = choices.below(5)
        if fate == 0:
            return  # lost
        if fate == 1:
            self.transit.append((goal, packet))  # late
        elif fate == 2:
            self._give(goal, packet, packet)
        else:
            self._give(goal, self._damaged(packet))

    def _damaged(self, packet: bytes) -> bytes:
        choices, body = self.choices, bytearray(packet)
        if choices.one_in(3):
            del body[choices.below(len(body)) :]
        elif body:
            at = choices.below(len(body))
            body[at] ^= 1 + choices.below(255)
        if not self.on_path or len(body) < 12:
            return bytes(body)
        tag = int.from_bytes(packet[4:8], "big")
        return encode_packet(5000, 5000, tag, [bytes(body[12:]) + bytes(-len(body) % 4)])

    def _inject(self) -> None:
        """A packet that nobody sent, or not now."""
        choices = self.choices
        goal = choices.below(2)
        kind = choices.below(4)
        if kind == 0 and self.old:
            whose, packet = choices.pick(self.old)
            self._give(goal if self.on_path else whose, packet)
            return
        tag = self.ends[goal].association.local_tag
        if not self.on_path:
            tag ^= 1 + choices.below(255)
        init = c.Init(1 + choices.number(2), 100_000, 8, 8, choices.number(4))
        chunks: tuple[c.EncodableChunk, ...] = (
            *(c.Abort(()), c.ShutdownComplete(), c.Shutdown(choices.number(4)), c.ShutdownAck()),
            *(c.Sack(choices.number(4), 0), c.Data(choices.number(4), 0, 0, 0, b"forged")),
            *(c.CookieAck(), c.CookieEcho(choices.blob(150)), c.Heartbeat(b""), c.Error(())),
        )
        if kind == 1:
            self._give(goal, encode_packet(5000, 5000, 0, [init.encode()]))
        else:
            self._give(goal, encode_packet(5000, 5000, tag, [choices.pick(chunks).encode()]))

    def _pass_time(self) -> None:
        due = min(end.association.next_timeout() for end in self.ends)
        step = self.choices.pick((0.0, 0.05, 0.3, 1.0, math.inf, math.inf))
        self._advance(min(self.now + step, max(due, self.now)) if due < math.inf else self.now)

    def _advance(self, now: float) -> None:
        self.now = now
        for end in self.ends:
            end.association.handle_timeout(now=now)
            end.drain(now)

    def _give(self, goal: int, *packets: bytes) -> None:
        end = self.ends[goal]
        end.association.receive_packets(packets, now=self.now)
        end.drain(self.now)

    def _pull(self) -> None:
        for number, end in enumerate(self.ends):
            for packet in end.pull(self.now):
                self.transit.append((1 - number, packet))
                self.old = [*self.old, self.transit[-1]][-30:]

    # -- the end -----------------------------------------------------------------------------------

    def finish(self) -> None:
        """From now on the network is good: what has to arrive does, and a shutdown ends it.

        Two ends between which somebody has changed numbers may never understand each other again,
        and yet answer each other's heartbeats: there it is the programs that give up.
        """
        patience = 200 if self.on_path else 4000
        quiet = self._run(lambda: self.over or all(map(self._is_quiet, self.ends)), patience)
        assert quiet or self.on_path, "it does not come to rest"
        if not self.on_path:
            self._check_delivery()
        for end in self.ends:
            if quiet:
                end.association.shutdown(now=self.now)
            else:
                end.association.abort(now=self.now)
        self._pull()
        assert self._run(lambda: self.over, 4000), "it does not end"
        assert self.next_timeout() == math.inf

    def next_timeout(self) -> float:
        return min(end.association.next_timeout() for end in self.ends)

    @staticmethod
    def _is_quiet(end: End) -> bool:
        a = end.association
        if a.state is State.CLOSED:  # it is over, or the other end was refused before it began
            return True
        return (
            a.state is State.ESTABLISHED
            and a.tcb is not None
            and not a.undelivered_messages
            and not a.tcb.retransmission_queue.outstanding_count
            and not a.tcb.stream_reset.pending
        )

    def _run(self, done: Callable[[], bool], patience: int) -> bool:
        for _ in range(patience):
            for end in self.ends:
                end._consume(10**6, self.now)
            self._pull()
            if done():
                return True
            if self.transit:
                goal, packet = self.transit.pop(0)
                self._give(goal, packet)
                continue
            due = self.next_timeout()
            assert due < math.inf, "nothing will ever happen"
            self._advance(max(self.now, due))
        return False

    def _check_delivery(self) -> None:
        for sender, receiver in (self.ends, self.ends[::-1]):
            assert sender.closed is None
            assert not sender.restarted
            arrived: dict[tuple[int, bool], list[int]] = defaultdict(list)
            for message in receiver.received:
                number = int.from_bytes(message.payload[:4], "big")
                arrived[message.stream_id, message.unordered].append(number)
                assert sender.sent[number][:2] == (message.stream_id, message.unordered)
                assert not any(message.payload[4:]), "bytes of another message"
            numbers = [number for found in arrived.values() for number in found]
            assert len(numbers) == len(set(numbers)), "a message came twice"
            missing = {n for n, (*_, reliable) in sender.sent.items() if reliable} - set(numbers)
            assert not missing, "a reliable message is lost"
            for (_, unordered), found in arrived.items():
                assert unordered or found == sorted(found), "out of order"
            assert sender.outcomes.keys() == sender.sent.keys()
            for number, outcome in sender.outcomes.items():
                if outcome is Outcome.DELIVERED:
                    assert number in numbers
