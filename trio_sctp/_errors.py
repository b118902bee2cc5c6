"""How the shell tells that something ended: exceptions, and the `Ending` that makes them.

trio's own words are kept: ``ClosedResourceError`` means that this end was closed here,
``EndOfChannel`` that the peer closed cleanly, ``BrokenResourceError`` that something else ended
it.  The classes here are ``BrokenResourceError``s that say what.  An ending may have to be told to
many tasks, so it is kept as a value and every raise gets an exception of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import trio

from ._core.events import AssociationClosed, CloseReason
from ._wire.error_causes import ErrorCause, UserInitiatedAbort

__all__ = [
    "AssociationAborted",
    "AssociationError",
    "AssociationLost",
    "Ending",
    "HandshakeFailed",
    "TransportFailed",
    "blame",
    "comes_from",
]


class AssociationError(trio.BrokenResourceError):
    """The association is over, and not because it was shut down or closed here.

    ``reason`` is what the peer said about it, for people ("" if nothing); ``causes`` are the
    error causes of the ABORT chunk (RFC 9260 §3.3.10); ``undelivered_messages`` counts those that
    were sent and not wholly acknowledged.  ``__cause__`` is the exception behind it where there is
    one.
    """

    def __init__(
        self,
        message: str,
        *,
        reason: str = "",
        causes: tuple[ErrorCause, ...] = (),
        undelivered_messages: int = 0,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.causes = causes
        self.undelivered_messages = undelivered_messages


class AssociationAborted(AssociationError):
    """The association was aborted: by the peer, or here because of what the peer did."""


class AssociationLost(AssociationError):
    """The peer stopped answering (RFC 9260 §8.1), or did not take what was sent before the
    time-out.
    """


class HandshakeFailed(AssociationError):
    """The association could not be set up: refused, no answer, or the transport failed meanwhile."""


class TransportFailed(AssociationError):
    """What carried the packets failed or was closed; ``__cause__`` is what it raised, if
    anything.
    """


class Origin(Protocol):
    """Whose end it was."""

    _failure_told: bool


_ORIGIN = "_trio_sctp_origin"


@dataclass(frozen=True, slots=True)
class Ending:
    """Why something ended.  ``kind`` None: cleanly, by the peer."""

    origin: Origin
    """The shell's association: exceptions remember it, see `comes_from`."""
    message: str
    kind: type[trio.BrokenResourceError] | None = None
    reason: str = ""
    causes: tuple[ErrorCause, ...] = ()
    undelivered_messages: int = 0
    cause: BaseException | None = None

    def for_receiver(self) -> Exception:
        """A new exception for who wants to receive and finds nothing left."""
        return self._finished(
            trio.EndOfChannel(self.message) if self.kind is None else self._error()
        )

    def for_sender(self) -> Exception:
        """A new exception for who wants to send."""
        return self._finished(self._error())

    def _error(self) -> trio.BrokenResourceError:
        if self.kind is None or not issubclass(self.kind, AssociationError):
            return trio.BrokenResourceError(self.message)
        self.origin._failure_told = True
        return self.kind(
            self.message,
            reason=self.reason,
            causes=self.causes,
            undelivered_messages=self.undelivered_messages,
        )

    def _finished(self, error: Exception) -> Exception:
        error.__dict__[_ORIGIN] = self.origin
        error.__cause__ = self.cause
        error.__suppress_context__ = True
        return error


def blame(error: Exception, origin: Origin) -> None:
    """It tells of the end of ``origin``, or what its peer can cause at will: let `comes_from` know."""
    error.__dict__[_ORIGIN] = origin


def comes_from(error: BaseException, origin: object) -> bool:
    """Whether all that ``error`` tells (it may be a group) is an ending of ``origin``, or something
    else that its peer can cause.
    """
    if isinstance(error, BaseExceptionGroup):
        return all(comes_from(inner, origin) for inner in error.exceptions)
    return error.__dict__.get(_ORIGIN) is origin


def ending_of(
    event: AssociationClosed,
    origin: Origin,
    *,
    was_up: bool,
    transport_error: BaseException | None = None,
    given_up: str = "",
) -> Ending:
    """The ending that ``event`` means for the users of the association ``origin``.

    ``transport_error`` is what the transport raised if that was why it was aborted here,
    ``given_up`` what took too long if that was why.
    """
    kind, message = _KINDS[event.reason]
    reason = _reason_text(event.causes)
    if given_up:
        kind, message = AssociationLost, given_up
    elif isinstance(transport_error, AssociationError):  # the transport knows what it means
        kind, message = type(transport_error), str(transport_error)
        transport_error = transport_error.__cause__
    elif transport_error is not None:
        kind, message = TransportFailed, "the transport failed"
        reason = str(transport_error) or type(transport_error).__name__
    if not was_up and kind is not HandshakeFailed:
        kind, message = HandshakeFailed, f"the association was not set up: {message}"
    return Ending(
        origin,
        f"{message}: {reason}" if reason else message,
        kind,
        reason,
        event.causes,
        event.undelivered_messages,
        transport_error,
    )


_KINDS: dict[CloseReason, tuple[type[AssociationError] | None, str]] = {
    CloseReason.SHUTDOWN: (None, "the association was shut down"),
    CloseReason.LOCAL_ABORT: (AssociationAborted, "the association was aborted here"),
    CloseReason.PEER_ABORT: (AssociationAborted, "the peer aborted the association"),
    CloseReason.REFUSED: (HandshakeFailed, "the peer refused the association"),
    CloseReason.TIMED_OUT: (AssociationLost, "the peer does not answer"),
}


def _reason_text(causes: Iterable[ErrorCause]) -> str:
    return "; ".join(
        cause.reason.decode(errors="replace")
        if isinstance(cause, UserInitiatedAbort)
        else str(cause)
        for cause in causes
    )
