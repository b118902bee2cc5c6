"""What a RE-CONFIG chunk may contain, and what of it is to be processed (RFC 6525 §3.1)."""

from __future__ import annotations

from typing import Final, TypeAlias

from .._wire.chunks import ReConfig
from .._wire.error_causes import ErrorCause, ProtocolViolation, UnrecognizedParameters
from .._wire.parameters import (
    AddIncomingStreams,
    AddOutgoingStreams,
    IncomingSsnResetRequest,
    OutgoingSsnResetRequest,
    Parameter,
    SsnTsnResetRequest,
)
from .handshake import split_unknown

__all__ = ["REQUESTS", "Request", "parameters_of"]

Request: TypeAlias = (
    OutgoingSsnResetRequest
    | IncomingSsnResetRequest
    | SsnTsnResetRequest
    | AddOutgoingStreams
    | AddIncomingStreams
)
REQUESTS: Final = (
    OutgoingSsnResetRequest,
    IncomingSsnResetRequest,
    SsnTsnResetRequest,
    AddOutgoingStreams,
    AddIncomingStreams,
)
_MAX_REPORTS: Final = 8
# RFC 6525 §3.1: what may be together in one chunk, as sorted parameter types
_COMBINATIONS: Final = frozenset(
    {(13,), (14,), (13, 14), (15,), (17,), (18,), (17, 18), (16,), (13, 16), (16, 16)}
)


def parameters_of(
    chunk: ReConfig, errors: list[ErrorCause], max_report: int
) -> list[Parameter] | None:
    """The parameters to process; None if they do not belong together.

    What the peer should hear of goes to `errors`, at most `max_report` bytes of a parameter.
    """
    parameters, unknown = split_unknown(chunk.parameters)
    room = max(_MAX_REPORTS - len(errors), 0)
    errors += [UnrecognizedParameters(each.encode()[:max_report]) for each in unknown[:room]]
    if tuple(sorted([parameter.type for parameter in parameters])) in _COMBINATIONS:
        return parameters
    if parameters or not chunk.parameters:
        cause = b"a RE-CONFIG chunk with parameters that do not belong together"
        errors.append(ProtocolViolation(cause))
    return None
