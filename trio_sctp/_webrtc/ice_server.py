"""Checks of the peer: the STUN server procedures of ICE (RFC 8445 §7.3)."""

from __future__ import annotations

from typing import Final

from .ice_check import answer_check, role_conflict_response
from .ice_checklist import PairState, Path
from .ice_conclusion import nominated
from .ice_session import IceSession
from .stun import StunMessage

__all__ = ["check_back", "receive_request"]

_MAX_EARLY_CHECKS: Final = 16
_MAX_VERIFIED: Final = 100


def receive_request(session: IceSession, message: StunMessage, path: Path, now: float) -> bool:
    """Answer a check, and see what it tells of the peer; whether it is authentic and new."""
    previous = session.previous_credentials
    ufrag = (message.username or "").partition(":")[0]
    if previous is not None and ufrag == previous.ufrag:
        # The old session goes on until the new one has a pair: its checks are only answered.
        result = answer_check(message, path[1], previous)
        _answer(session, message, result.response, path)
        return result.authentic
    result = answer_check(message, path[1], session.credentials)
    if not result.authentic:
        session.send(result.response, path)
        return False
    controlling = session.role.after_request(message)
    if controlling is None:
        key = session.credentials.password.encode()
        _answer(session, message, role_conflict_response(message, key), path)
        return True
    _answer(session, message, result.response, path)
    if not _is_from_the_peer(session, message, path):
        return False
    session.set_role(controlling=controlling)
    if len(session.verified) < _MAX_VERIFIED:
        session.verified[path] = None
    check_back(session, path, message.priority or 0, message.use_candidate, now)
    return True


def _is_from_the_peer(session: IceSession, message: StunMessage, path: Path) -> bool:
    """And not from somebody who has overheard it: that would lead us to another address."""
    original = session.seen_requests.is_original(message.transaction_id, path[1])
    return (
        original
        or session.is_verified(*path)
        or (session.consent is None and session.remote_candidates.is_told(path[1]))
    )


def _answer(session: IceSession, request: StunMessage, response: bytes | None, path: Path) -> None:
    session.send(response, path)
    session.allowance.heard(path[1], len(request.raw) - len(response or b""))


def check_back(
    session: IceSession, path: Path, priority: int, use_candidate: bool, now: float
) -> None:
    """The peer's check came through: see whether ours does (RFC 8445 §7.3.1.3 to §7.3.1.5)."""
    if session.remote is None:
        if len(session.early_checks) < _MAX_EARLY_CHECKS:
            session.early_checks.append((path, priority, use_candidate))
        return
    remote = session.remote_candidates.found_at(path[1], priority)
    if remote is None:
        return
    pair = session.pair_up(session.local.bases[path[0]], remote)
    if pair is None:
        return
    if pair.state is not PairState.SUCCEEDED:
        session.checks.cancel(pair)
        pair.nominate_on_success |= use_candidate and not session.controlling
        session.checklist.trigger(pair)
        session.wake(now)
    elif use_candidate and not session.controlling:
        nominated(session, pair, now)
