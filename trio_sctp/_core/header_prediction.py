"""Header prediction: the short way for the packet that is expected next.

Where programs ask and answer, a packet carries one whole message and acknowledges the one that went the
other way; where much is sent, SACKs come back.  If nothing else is going on, all that it can mean is
known before it comes; Van Jacobson saw that in 1990 of TCP.  Such a packet is recognised here by a look
at its headers and processed without becoming chunks first.  A packet that differs in any respect is left
as it is for `receive`, which says what a packet means: this is the same for less, never something else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._wire.chunks import Sack
from .._wire.data_encoding import SACK_HEADER_SIZE, SACK_LAYOUT
from .._wire.packet import COMMON_HEADER_SIZE
from .termination import NEVER_SENT, abort_with

if TYPE_CHECKING:
    from .handshake import PacketHeader
    from .state_machine import StateMachine

__all__ = ["on_sack", "receive_expected"]

_DATA_AT = COMMON_HEADER_SIZE + SACK_HEADER_SIZE
_unpack_sack = SACK_LAYOUT.unpack_from


def on_sack(a: StateMachine, chunk: Sack, header: PacketHeader, now: float) -> None:
    """Any SACK (RFC 9260 §6.2.1)."""
    assert a.tcb is not None
    queue = a.tcb.retransmission_queue
    if queue.handle_sack(chunk, now):
        a.tcb.error_count = 0  # §8.1
    elif queue.never_sent_acknowledged:
        abort_with(a, NEVER_SENT)


def receive_expected(a: StateMachine, packet: bytes, now: float) -> bool:
    """Process a packet, in the state ESTABLISHED, of a SACK, or one for all in flight and a message.

    It begins with a SACK: whoever calls has seen that.  The SACK has no lists; the message is whole and
    the next in order.  False, and nothing is changed, if it is another packet.
    """
    tcb = a.tcb
    size = len(packet)
    if tcb is None or size < _DATA_AT:
        return False
    _, _, length, acked, a_rwnd, gaps, duplicates = _unpack_sack(packet, COMMON_HEADER_SIZE)
    if length != SACK_HEADER_SIZE or gaps or duplicates:
        return False
    if size == _DATA_AT:
        on_sack(a, Sack(acked, a_rwnd), a.own_header, now)
        return True
    queue = tcb.retransmission_queue
    if not queue.awaits(acked) or not tcb.data_receiver.receive_whole(packet, _DATA_AT):
        return False
    queue.all_acknowledged(a_rwnd, now)
    tcb.error_count = 0  # RFC 9260 §8.1
    return True
