"""What the core raises: only ever because of what the local caller did.

A peer's mistakes are counted, dropped or answered as the RFC says and show up as events; they are
never exceptions.
"""

from __future__ import annotations

__all__ = ["LocalProtocolError", "PeerLimitError"]


class LocalProtocolError(ValueError):
    """The local caller asked for what the protocol, the peer or the configuration does not allow.

    The message names the argument and the limit.  Nothing was changed by the call.
    """


class PeerLimitError(LocalProtocolError):
    """What another peer may allow, this one does not: its limits are lower, or it lacks an extension."""
