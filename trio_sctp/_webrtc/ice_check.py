"""Connectivity checks as messages: making them, and answering those of the peer (RFC 8445 §7).

A check is answered only if its sender knows our password, and an answer to anybody else is never
longer than what it answers (RFC 8489 §9.1.3, RFC 8445 §7.3).
"""

from __future__ import annotations

from typing import NamedTuple

from .ice_candidate import Candidate, IceCredentials, candidate_priority
from .stun import (
    Address,
    Attribute,
    MessageClass,
    StunDecodeError,
    StunMessage,
    encode_message,
    encode_xor_address,
    error_code_value,
    is_stun,
)

__all__ = [
    "CheckResult",
    "answer_check",
    "make_check",
    "peek_local_ufrag",
    "role_conflict_response",
]


def make_check(
    transaction_id: bytes,
    *,
    local: IceCredentials,
    remote: IceCredentials,
    base: Candidate,
    role: tuple[int, bytes],
    nominate: bool,
) -> bytes:
    """A Binding request from one of our addresses (RFC 8445 §7.2.2)."""
    # RFC 8445 §7.1.1: what a candidate that is found by this check would have
    priority = candidate_priority("prflx", base.priority >> 8 & 0xFFFF)
    attributes = [
        (Attribute.USERNAME, f"{remote.ufrag}:{local.ufrag}".encode()),
        (Attribute.PRIORITY, priority.to_bytes(4, "big")),
        role,
    ]
    if nominate:
        attributes.append((Attribute.USE_CANDIDATE, b""))
    key = remote.password.encode()
    return encode_message(MessageClass.REQUEST, transaction_id, attributes, key=key)


def peek_local_ufrag(datagram: bytes) -> str | None:
    """Whom a STUN request is for, where many peers share a port; None for anything else.

    Nothing is verified here but the form.
    """
    if not is_stun(datagram) or datagram[0] & 1 or datagram[1] != 1:
        return None
    try:
        username = StunMessage.decode(datagram).username
    except StunDecodeError:
        return None
    ufrag, colon, _ = (username or "").partition(":")
    return ufrag if colon else None


class CheckResult(NamedTuple):
    """What became of a Binding request."""

    response: bytes | None
    """To be sent back to where the request came from."""
    authentic: bool
    """Whether the sender knew our password and the request was acceptable."""


def _error(
    request: StunMessage, code: int, reason: str, key: bytes | None, *extra: tuple[int, bytes]
) -> bytes:
    attributes = [(Attribute.ERROR_CODE, error_code_value(code, reason)), *extra]
    return encode_message(
        MessageClass.ERROR,
        request.transaction_id,
        attributes,
        method=request.method,
        key=key,
        sha256=request.integrity_is_sha256,
    )


def role_conflict_response(request: StunMessage, key: bytes) -> bytes:
    """RFC 8445 §7.3.1.1."""
    return _error(request, 487, "Role Conflict", key)


def _refuse(request: StunMessage, code: int, reason: str) -> CheckResult:
    # Anybody can ask, in anybody's name: what goes back may not be more than what came.
    response = _error(request, code, reason, None)
    return CheckResult(response if len(response) <= len(request.raw) else None, False)


def answer_check(request: StunMessage, source: Address, local: IceCredentials) -> CheckResult:
    """Authenticate a Binding request and make the response (RFC 8489 §9.1.3, RFC 8445 §7.3)."""
    username = request.username
    if username is None or not request.has_integrity:
        return _refuse(request, 400, "Bad Request")
    ufrag, colon, _ = username.partition(":")
    key = local.password.encode()
    # RFC 8445 §7.3: only the part before the colon, ours, makes a username valid.
    if not colon or ufrag != local.ufrag or not request.verify_integrity(key):
        return _refuse(request, 401, "Unauthenticated")
    unknown = request.unknown_attributes
    if unknown:
        # RFC 8489 §6.3.1
        listed = b"".join(kind.to_bytes(2, "big") for kind in unknown)
        extra = (Attribute.UNKNOWN_ATTRIBUTES, listed)
        return CheckResult(_error(request, 420, "Unknown Attribute", key, extra), False)
    if request.priority is None:
        return CheckResult(_error(request, 400, "Bad Request", key), False)
    response = encode_message(
        MessageClass.SUCCESS,
        request.transaction_id,
        [(Attribute.XOR_MAPPED_ADDRESS, encode_xor_address(source, request.transaction_id))],
        key=key,
        sha256=request.integrity_is_sha256,
    )
    return CheckResult(response, True)
