"""Giving up messages that were begun (RFC 3758 §3.5, RFC 7496): when, and what becomes of their chunks.

A message is given up as a whole, what was not sent of it included.  Its chunks stay outstanding until
the peer's cumulative TSN ack has passed them, which a FORWARD TSN asks it to do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..events import Outcome
from .forward_tsn import ForwardTsnSender
from .outstanding_data import MARKED, OutstandingData
from .send_queue import SendQueue

if TYPE_CHECKING:
    from ..rto import RetransmissionTimeout
    from .outgoing_message import OutgoingMessage

__all__ = ["Abandonment"]


class Abandonment:
    """What was given up, and the FORWARD TSN that tells the peer."""

    __slots__ = ("_data", "_rto", "_send_queue", "active", "enabled", "forward_tsn")

    def __init__(
        self,
        data: OutstandingData,
        send_queue: SendQueue,
        rto: RetransmissionTimeout,
        path_mtu: int,
    ) -> None:
        self._data = data
        self._send_queue = send_queue
        self._rto = rto
        self.forward_tsn = ForwardTsnSender(data, path_mtu)
        self.enabled = False
        """The peer understands FORWARD TSN: what was sent may be given up."""
        self.active = False
        """Something was, and the peer has not acknowledged that."""

    def restart(self, data: OutstandingData) -> None:
        """Begin anew with other TSNs; nothing is outstanding."""
        self._data = data
        self.forward_tsn.restart(data)
        self.active = False

    def expire(self, now: float) -> None:
        """Give up the messages whose lifetime has ended (RFC 3758 §4.1 TR3 to TR5).

        One that was sent is not, as long as it may have arrived: it is when it turns out to be lost.
        """
        for message in self._send_queue.expire(now):
            if self.enabled and self._is_to_be_sent(message):
                self._abandon(message, Outcome.ABANDONED_LIFETIME)
        if self.active:
            self.advance(now)

    def _is_to_be_sent(self, message: OutgoingMessage) -> bool:
        """A part of a message that was begun waits to be sent, for the first time or again."""
        if message.offset < len(message.payload):
            return True
        assert message.policy is not None
        chunks = map(self._data.chunks.get, message.policy.tsns)
        return any(chunk is not None and chunk.state == MARKED for chunk in chunks)

    def give_up_lost(self, now: float) -> None:
        """Abandon messages that were found lost and must not be sent again (RFC 7496 §3.1)."""
        data = self._data
        if not data.lost:
            return
        lost, data.lost = data.lost, []
        for chunk in lost if self.enabled else ():
            policy = chunk.message.policy
            if policy is not None and chunk.state == MARKED:
                reason = policy.forbids_to_repeat(chunk.tsn, now)
                if reason is not None:
                    self._abandon(chunk.message, reason)

    def _abandon(self, message: OutgoingMessage, reason: Outcome) -> None:
        """Give up a message that was begun, as a whole (RFC 3758 §3.5 A2, A3).

        What was not sent of it gets one TSN, which nobody ever sends.  The peer may have all that
        was sent; only by missing something does it learn that the message ends there, and that what
        follows is another one.
        """
        policy = message.policy
        assert policy is not None
        unsent = self._send_queue.abandon(message, reason)
        self._data.abandon(policy)
        if unsent:
            self._data.abandon_unsent(message, unsent)
        self.active = True

    def taken_back(self, now: float) -> None:
        """The peer has taken back what it had acknowledged, and we have passed, perhaps."""
        self.forward_tsn.rewind()
        self.give_up_lost(now)

    def advance(self, now: float) -> None:
        """Find the Advanced.Peer.Ack.Point anew."""
        self.active = self._data.abandoned_count > 0
        round_trip = self._rto.rto if self._rto.srtt is None else self._rto.srtt
        self.forward_tsn.update(self._send_queue.interleaving, now, round_trip)
