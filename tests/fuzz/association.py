"""Level ``association``: packets, calls of the program and time, into one association.

A `HostilePeer` sends; the program calls whatever it may, in any state; the clock goes on by nothing, a
little or hours.  After each step the invariants hold, whatever was sent.  In the end the peer falls
silent for good, or answers everything honestly for a while, or the program gives up: each way the
association comes to an end within the bounds of its configuration.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import count
from random import Random

from tests.fuzz.choices import Choices
from tests.fuzz.hostile_peer import STREAMS, HostilePeer
from tests.support.association_pair import check_association, check_packet_of
from tests.support.rx_invariants import check_receiver, weight_of
from tests.support.tx_invariants import check_invariants, check_not_stalled
from trio_sctp._core.association import Association
from trio_sctp._core.channel_events import ChannelMessage
from trio_sctp._core.config import Config
from trio_sctp._core.data_channels import DataChannels
from trio_sctp._core.errors import LocalProtocolError
from trio_sctp._core.events import AssociationClosed, Message
from trio_sctp._core.packet_builder import MAX_CONTROL_CHUNKS
from trio_sctp._core.send_options import SendOptions
from trio_sctp._core.states import SENDING, State
from trio_sctp._wire.chunks import CookieEcho
from trio_sctp._wire.packet import decode_chunks

__all__ = ["SIZE", "play"]

SIZE = 400
"""Bytes of a case, as a rule."""
MAX_STEPS = 150
_SMALL = Config(
    a_rwnd=20_000,
    max_message_size=10_000,
    outbound_streams=16,
    inbound_streams=16,
    max_outbound_streams=20,
    max_inbound_streams=20,
    association_max_retrans=4,
    max_init_retransmits=3,
)
_LARGEST = 65536


def play(data: bytes) -> None:
    """One case; raises where something does not hold."""
    story = Story(Choices(data))
    for _ in range(MAX_STEPS):
        if story.choices.exhausted or story.closed is not None:
            break
        story.step()
    story.finish()


class Story:
    """An association, its program and its peer, and the time."""

    def __init__(self, choices: Choices) -> None:
        self.choices = choices
        config = _SMALL.replace(
            interleaving=choices.one_in(2),
            path_mtu=choices.pick((1200, 512, 9000)),
            accept_association_reset=not choices.one_in(4),
            congestion_control=choices.pick(("rfc9260", "cubic")),
            loss_recovery=choices.pick(("rack", "rfc9260")),
            rto_min=choices.pick((1.0, 0.05)),
            stream_scheduler=choices.pick(("wfq", "fcfs", "rr", "rr_pkt", "prio", "fc")),
            max_channels=10,
        )
        self.association = a = Association(
            config,
            rng=Random(choices.number(1)),
            max_path_mtu=choices.pick((None, 1500, 9000)),
            protects_integrity=choices.one_in(2),
        )
        self.channels: DataChannels | None = None
        if choices.one_in(2):
            self.channels = DataChannels(a, client=choices.one_in(2))
        self.peer = HostilePeer(a, choices)
        self.now = 100.0
        self.closed: AssociationClosed | None = None
        self.unread: list[int] = []
        """Sizes of messages that the program has taken and not consumed."""
        self._receiver: object = None
        self._begin()

    # -- steps -------------------------------------------------------------------------------------

    def _begin(self) -> None:
        """The handshake, by either end, or none, and perhaps not to its end."""
        role = self.choices.below(8)
        if role < 4:
            self._call(lambda: self.association.connect(now=self.now))
            self._after()
            self._give([self.peer.packet(self.peer.init_ack())])
            if role < 3:
                self._give([self.peer.packet(*self.peer.honest_answer())])
        elif role < 7:
            self._give([self.peer.packet(self.peer.init(), tag=0)])
            if role < 6:
                self._accept_cookie()

    def _accept_cookie(self) -> None:
        echo = CookieEcho(self.peer.cookie())
        self._give([self.peer.packet(echo, tag=self.peer.init_ack_tag())])

    def step(self) -> None:
        kind = self.choices.below(16)
        if kind < 9:
            batch = 1 + self.choices.below(8) // 6
            self._give([self.peer.next_packet() for _ in range(batch)])
        elif kind < 13:
            self._call(self.choices.pick(self._verbs()))
            self._after()
        elif kind == 13 and self.peer.cookie():
            self._accept_cookie()
        else:
            self._pass_time()

    def _pass_time(self) -> None:
        due = self.association.next_timeout()
        kind = self.choices.below(8)
        if kind < 4 and due < math.inf:
            self.now = max(self.now, due)
        else:
            self.now += (0.0, 0.01, 0.3, 1.0, 3.0, 40.0, 700.0, 1e6)[kind]
        self.association.handle_timeout(now=self.now)
        self._after()

    def _give(self, packets: list[bytes]) -> None:
        self.association.receive_packets(packets, now=self.now)
        self._after()

    @staticmethod
    def _call(verb: Callable[[], object]) -> None:
        """What the program does wrong is told to it, and has no other effect."""
        try:
            verb()
        except LocalProtocolError as error:
            assert str(error)  # noqa: PT017

    def _verbs(self) -> tuple[Callable[[], object], ...]:
        a, choices, now = self.association, self.choices, self.now
        stream_id = choices.pick(STREAMS)
        some = [choices.pick(STREAMS) for _ in range(choices.below(3))]
        return (
            *(self._send, self._send, self._send, self._send, self._consume, self._consume),
            *(self._use_channels, self._use_channels, self._use_channels),
            lambda: a.reset_streams(some, now=now),
            lambda: a.request_incoming_reset(some, now=now),
            lambda: a.add_outgoing_streams(1 + choices.below(4), now=now),
            lambda: a.request_incoming_streams(1 + choices.below(4), now=now),
            lambda: a.reset_association(now=now),
            lambda: a.request_heartbeat(now=now),
            lambda: a.discard_unsent(stream_id, now=now),
            lambda: a.make_room(choices.below(2000), stream_id=stream_id, now=now),
            lambda: a.watch_delivery(stream_id),
            lambda: a.set_low_water(stream_id, choices.below(300) - 1),
            lambda: a.set_stream_priority(stream_id, choices.below(300)),
            lambda: a.path_changed(now=now),
            lambda: a.update_config(now=now, stream_scheduler=choices.pick(("rr", "prio", "fc"))),
            lambda: a.update_config(now=now, loss_recovery=choices.pick(("rack", "rfc9260"))),
            lambda: a.update_config(now=now, congestion_control=choices.pick(("cubic", "rfc9260"))),
            lambda: a.update_config(now=now, path_mtu_discovery=choices.one_in(2)),
            lambda: a.update_config(now=now, hb_interval=choices.pick((1.0, 30.0, math.inf))),
            lambda: a.connect(now=now),
            lambda: a.shutdown(now=now),
            lambda: a.statistics(),
            lambda: a.abort(b"enough", now=now) if choices.one_in(4) else None,
        )

    def _send(self) -> None:
        choices = self.choices
        options = None
        if choices.one_in(3):
            options = SendOptions(
                max_retransmits=choices.pick((None, 0, 1)),
                lifetime=choices.pick((None, 0.0, 0.5, 5.0)),
                discard_priority=choices.pick((None, 0, 7)),
            )
        for _ in range(1 + choices.below(4) // 3 * 20):
            self.association.send(
                choices.pick(STREAMS),
                bytes(choices.pick((1, 100, 1188, 3000, 9000))),
                ppid=choices.pick((0, 51, 53)),
                unordered=choices.one_in(3),
                options=options,
                context=choices.pick((None, "context")),
                now=self.now,
            )

    def _use_channels(self) -> None:
        choices, channels, now = self.choices, self.channels, self.now
        if channels is None:
            return
        stream_id = choices.below(8)
        kind = choices.below(8)
        if kind < 2:
            channels.open(
                "label",
                ordered=not choices.one_in(2),
                max_retransmits=choices.pick((None, 0, 3)),
                stream_id=choices.pick((None, None, stream_id)),
                now=now,
            )
        elif kind < 5:
            messages: tuple[str | bytes, ...] = ("", "text", bytes(1500), bytes(9000))
            data = choices.pick(messages)
            channels.send(stream_id, data, ordered=choices.pick((None, True, False)), now=now)
        elif kind == 5:
            channels.set_priority(stream_id, choices.below(300))
        elif kind == 6:
            channels.close(stream_id, now=now)
        else:
            channels.discard(stream_id, now=now)

    def _consume(self) -> None:
        """The program is done with what it has read."""
        number = self.choices.pick((1, 3, 1000))
        consumed, self.unread = self.unread[:number], self.unread[number:]
        for size in consumed:
            self.association.message_consumed(size)

    # -- after each step ---------------------------------------------------------------------------

    def _after(self) -> None:
        self._drain()
        self._check()
        for number in count():
            packets = self.association.packets_to_send(now=self.now, limit=8)
            if not packets:
                break
            assert number < 200, "it never stops sending"
            for packet in packets:
                check_packet_of(packet, decode_chunks(packet), _LARGEST)
            self.peer.watch(packets)
        self._drain()
        self._check(drained=True)

    def _next_event(self) -> object:
        if self.channels is not None:
            return self.channels.next_event(now=self.now)
        return self.association.next_event()

    def _drain(self) -> None:
        """Take all events; nothing comes after the end."""
        a = self.association
        receiver = a.tcb.data_receiver if a.tcb else None
        if receiver is not self._receiver:  # what is held now is another association's
            self._receiver, self.unread = receiver, []
        while (event := self._next_event()) is not None:
            assert self.closed is None, f"{event} after the end"
            if isinstance(event, AssociationClosed):
                self.closed = event
                self.unread = []
            elif isinstance(event, Message):
                self.unread.append(len(event.payload))
            elif isinstance(event, ChannelMessage):
                self.unread.append(event.size)

    def _check(self, *, drained: bool = False) -> None:
        a = self.association
        check_association(a, drained=drained)
        assert len(a.builder._control) <= MAX_CONTROL_CHUNKS + 4
        if drained and a.state is State.CLOSED:
            assert not a._events
        if drained:
            assert a.packets_to_send(now=self.now) == []
        tcb = a.tcb
        if tcb is None:
            return
        check_invariants(tcb.retransmission_queue)
        if drained and a.state in SENDING:
            check_not_stalled(tcb.retransmission_queue)
        if self.channels is None and tcb.data_receiver is self._receiver:
            unread = sum(map(weight_of, self.unread))
            check_receiver(tcb.data_receiver, a.config, unread, _LARGEST)
        assert len(tcb.data_receiver.errors) <= 16
        assert len(tcb.stream_reset.answers._waiting) <= 6
        assert len(tcb.stream_reset.errors) == 0
        assert len(tcb.path_mtu_discovery._awaited) <= 16

    # -- the end -----------------------------------------------------------------------------------

    def finish(self) -> None:
        """From whatever state this has come to, it ends."""
        way = self.choices.below(4)
        if way == 0:
            self._fall_silent()
        elif way == 1:
            self._part_in_peace()
        else:
            self.association.abort(now=self.now)
            self._after()
        if self.closed is not None:
            assert self.association.ended
            assert self.association.next_timeout() == math.inf

    def _fall_silent(self) -> None:
        """Nothing comes any more: the association finds out, in a bounded time."""
        self.association.update_config(now=self.now, hb_interval=30.0)
        started = self.now
        for _ in range(2000):
            due = self.association.next_timeout()
            if due == math.inf:
                break
            assert due < started + 1e7, "a timer that lies beyond all that is configured"
            self.now = max(self.now, due)
            self.association.handle_timeout(now=self.now)
            self._after()
        else:
            raise AssertionError("it goes on for ever")
        a = self.association
        assert a.state is State.CLOSED

    def _part_in_peace(self) -> None:
        """The peer acknowledges everything from now on; the program reads, and shuts down."""
        a = self.association
        self._call(lambda: a.shutdown(now=self.now))
        self._after()
        for _ in range(600):
            if a.state is State.CLOSED:
                return
            for size in self.unread:
                a.message_consumed(size)
            self.unread = []
            if a.state is State.COOKIE_WAIT:
                self._give([self.peer.packet(self.peer.init_ack())])
            self._give([self.peer.packet(chunk) for chunk in self.peer.honest_answer()])
            self.peer.seen.clear()
            if (due := a.next_timeout()) < math.inf:
                self.now = max(self.now, min(due, self.now + 5.0))
                a.handle_timeout(now=self.now)
                self._after()
        raise AssertionError(f"it does not end: {a.state}")
