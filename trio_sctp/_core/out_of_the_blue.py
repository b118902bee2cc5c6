"""Packets that belong to no association (RFC 9260 §8.4).

INIT and COOKIE ECHO, which may start one, are the handshake's business; this is the answer to all the
rest.  The answer reflects the sender's own verification tag, with the T bit set to say so, is never
larger than what it answers, and nothing is remembered.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .._wire.chunks import (
    Abort,
    Chunk,
    CookieAck,
    Error,
    Init,
    ShutdownAck,
    ShutdownComplete,
)
from .._wire.error_causes import StaleCookie

if TYPE_CHECKING:
    from .handshake import PacketHeader
    from .state_machine import StateMachine

__all__ = ["answer_out_of_the_blue", "answer_stranger"]


def answer_out_of_the_blue(chunks: Sequence[Chunk]) -> bytes | None:
    """The chunk that answers a packet out of the blue, or None where silence is asked for."""
    kinds = {chunk.type for chunk in chunks}  # of malformed ones, too
    if not kinds or Abort.type in kinds:  # rule 2
        return None
    if chunks[0].type == Init.type:  # §12.3: INIT in company or under a tag is dropped silently
        return None
    if ShutdownAck.type in kinds:  # rule 5
        return ShutdownComplete(tag_reflected=True).encode()
    if ShutdownComplete.type in kinds or CookieAck.type in kinds:  # rules 6 and 7
        return None
    if any(_is_stale_cookie_error(chunk) for chunk in chunks):  # rule 7
        return None
    return Abort((), tag_reflected=True).encode()  # rule 8


def answer_stranger(a: StateMachine, header: PacketHeader, chunks: Sequence[Chunk]) -> None:
    """Answer a packet that has come to an association and is not for it."""
    a.counters.drop("out of the blue")
    answer = answer_out_of_the_blue(chunks)
    if answer is not None:
        a.builder.add_packet(header.answer(header.verification_tag, answer))


def _is_stale_cookie_error(chunk: Chunk) -> bool:
    return isinstance(chunk, Error) and any(
        isinstance(cause, StaleCookie) for cause in chunk.causes
    )
