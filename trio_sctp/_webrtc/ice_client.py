"""Checks of ours, and what comes back: the STUN client procedures of ICE (RFC 8445 §7.2)."""

from __future__ import annotations

from functools import partial

from .ice_candidate import IceCredentials
from .ice_check import make_check
from .ice_checklist import CandidatePair, PairState, Path
from .ice_common import LocalCandidate
from .ice_conclusion import move_on, nominated
from .ice_session import IceSession
from .ice_transactions import Transaction
from .stun import MessageClass, StunMessage

__all__ = ["receive_response", "retransmit", "start_next"]


def start_next(session: IceSession, now: float) -> bool:
    """Begin one transaction; whether there was one to begin."""
    if session.gathering.ask_next(session.rng, now, session.send):
        return True
    if session.remote is None:
        return False
    pair = session.checklist.next_to_check()
    if pair is None:
        return False
    _check(session, pair, session.remote, now)
    return True


def _check(session: IceSession, pair: CandidatePair, remote: IceCredentials, now: float) -> None:
    config = session.config
    pair.state = PairState.IN_PROGRESS
    transaction_id = session.rng.randbytes(12)
    nominate = pair.nominating and session.controlling
    request = make_check(
        transaction_id,
        local=session.credentials,
        remote=remote,
        base=pair.local,
        role=session.role.attribute,
        nominate=nominate,
    )
    # RFC 8445 §14.3: the more there is to check, the more slowly each is repeated.
    rto = max(config.initial_rto, config.pace * session.checklist.active_count)
    transaction = Transaction(
        request=request,
        path=pair.path,
        rto=rto,
        transmissions_left=config.max_transmissions - 1,
        next_at=now + rto,
        pair=pair,
        controlling=session.controlling,
        use_candidate=nominate,
    )
    session.checks.add(transaction_id, transaction)
    _send_check(session, request, pair.path, in_advance=True)


def _send_check(session: IceSession, data: bytes, path: Path, *, in_advance: bool = False) -> None:
    """One that may not go out counts as lost: further requests of the peer bring others."""
    if session.remote_candidates.is_told(path[1]) or session.allowance.take(
        path[1], len(data), in_advance=in_advance
    ):
        session.send(data, path)


def retransmit(session: IceSession, now: float) -> None:
    """Repeat the checks that are due; a pair whose check was given up has failed (§7.2.5.2.3)."""
    for transaction in session.checks.expire(now, partial(_send_check, session)):
        if transaction.pair is not None and not transaction.cancelled:
            _pair_failed(session, transaction.pair, now)


def _pair_failed(session: IceSession, pair: CandidatePair, now: float) -> None:
    pair.fail()
    session.wake(now)  # a frozen pair may go next


def receive_response(session: IceSession, message: StunMessage, path: Path, now: float) -> bool:
    """Take the answer to a check, or of a STUN server (§7.2.5); whether it is authentic and ours."""
    consent = session.consent
    if consent is not None and consent.expects(message.transaction_id):
        return consent.take_response(message, path, now)
    if session.gathering.expects(message.transaction_id):
        return _receive_from_server(session, message, path)
    transaction, remote = session.checks.get(message.transaction_id), session.remote
    if transaction is None or remote is None:
        return False
    if not message.verify_integrity(remote.password.encode()):
        return False  # RFC 8489 §9.1.4: as if it had never come
    session.checks.end(message.transaction_id)
    pair = transaction.pair
    assert pair is not None
    if path != transaction.path:
        _pair_failed(session, pair, now)  # RFC 8445 §7.2.5.2.1
    elif message.message_class is MessageClass.SUCCESS:
        _check_succeeded(session, pair, transaction, message, now)
    elif message.error_code == 487:
        _role_conflict(session, pair, transaction, now)
    elif not transaction.cancelled:
        _pair_failed(session, pair, now)
    return True


def _receive_from_server(session: IceSession, message: StunMessage, path: Path) -> bool:
    accepted, found = session.gathering.receive_response(message, path)
    if found is not None:
        session.events.append(LocalCandidate(found))
    session.end_gathering_if_done()
    return accepted


def _role_conflict(
    session: IceSession, pair: CandidatePair, transaction: Transaction, now: float
) -> None:
    # RFC 8445 §7.2.5.1: change to the role that the check did not have
    if not session.role.is_settled:
        session.set_role(controlling=not transaction.controlling)
    if pair.state is not PairState.SUCCEEDED:
        session.checklist.trigger(pair)
    session.wake(now)


def _check_succeeded(
    session: IceSession,
    pair: CandidatePair,
    transaction: Transaction,
    message: StunMessage,
    now: float,
) -> None:
    mapped = message.mapped_address
    if mapped is not None:
        # RFC 8445 §7.2.5.3.1: ours, and of no use to the peer
        session.local.add_reflexive("prflx", mapped, base=pair.local.address)
    pair.succeed(now)
    session.allowance.prove(pair.remote.address)
    session.first_valid_at = min(session.first_valid_at, now)
    session.checklist.unfreeze(pair.foundation)
    session.wake(now)
    if (
        transaction.use_candidate and transaction.controlling and session.controlling
    ) or pair.nominate_on_success:
        nominated(session, pair, now)
    elif session.controlling and session.consent is not None and session.consent.is_shaky(now):
        move_on(session, session.consent, now)
