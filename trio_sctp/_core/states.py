"""The states of an association, and the sets of them that rules speak of (RFC 9260 §4, §6)."""

from __future__ import annotations

import enum

__all__ = ["OPEN", "RECEIVING", "SENDING", "SETTING_UP", "SHUTTING_DOWN", "UP", "State"]


class State(enum.Enum):
    """The states of RFC 9260 §4."""

    CLOSED = "CLOSED"
    COOKIE_WAIT = "COOKIE-WAIT"
    COOKIE_ECHOED = "COOKIE-ECHOED"
    ESTABLISHED = "ESTABLISHED"
    SHUTDOWN_PENDING = "SHUTDOWN-PENDING"
    SHUTDOWN_SENT = "SHUTDOWN-SENT"
    SHUTDOWN_RECEIVED = "SHUTDOWN-RECEIVED"
    SHUTDOWN_ACK_SENT = "SHUTDOWN-ACK-SENT"

    __hash__ = object.__hash__  # several times per packet, and Enum's own is written in Python


OPEN = frozenset(State) - {State.CLOSED}
SETTING_UP = frozenset({State.COOKIE_WAIT, State.COOKIE_ECHOED})
UP = OPEN - SETTING_UP
SHUTTING_DOWN = UP - {State.ESTABLISHED}
SENDING = frozenset({State.ESTABLISHED, State.SHUTDOWN_PENDING, State.SHUTDOWN_RECEIVED})
"""Where data may be sent (RFC 9260 §6)."""
RECEIVING = frozenset({State.ESTABLISHED, State.SHUTDOWN_PENDING, State.SHUTDOWN_SENT})
"""Where data may be received (RFC 9260 §6)."""
