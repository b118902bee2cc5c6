"""Which pair is used, and until when: concluding ICE (RFC 8445 §8), and consent (RFC 7675).

Nomination is regular: the controlling agent waits for a moment for something better and then
nominates one pair.  Where the selected pair falters and another one works, it nominates that one.
"""

from __future__ import annotations

import math

from .ice_checklist import CandidatePair, PairState
from .ice_common import IceFailureReason, PairSelected
from .ice_consent import Consent
from .ice_nomination import Nominations
from .ice_session import IceSession

__all__ = [
    "fail_if_hopeless",
    "is_busy",
    "keep_consent",
    "move_on",
    "nominate_if_due",
    "nominated",
    "nomination_at",
]


def nomination_at(session: IceSession) -> float:
    """When the controlling agent has to choose; ``math.inf`` if there is nothing to choose."""
    if not session.controlling or session.nominations.selected is not None:
        return math.inf
    if any(pair.nominating for pair in session.checklist):
        return math.inf
    best = session.checklist.best_valid()
    if best is None:
        return math.inf
    waits = session.checklist.may_improve_on(best)
    return session.first_valid_at + (session.config.nomination_delay if waits else 0.0)


def nominate_if_due(session: IceSession, now: float) -> None:
    """Choose the best pair that works, if there is no reason to wait for a better one."""
    best = session.checklist.best_valid()
    if best is not None and now >= nomination_at(session):
        _nominate(session, best, now)


def _nominate(session: IceSession, pair: CandidatePair, now: float) -> None:
    """RFC 8445 §8.1.1: check it once more, with USE-CANDIDATE."""
    pair.nominating = True
    session.checklist.trigger(pair)
    session.wake(now)


def nominated(session: IceSession, pair: CandidatePair, now: float) -> None:
    """The pair was nominated, by us or the peer, and works: select it (§8.1.1)."""
    pair.nominate_on_success = False
    was_nominating, pair.nominating = pair.nominating, False
    if was_nominating:
        session.nominations = Nominations()  # our own choice needs no second thought
    if not session.nominations.nominate(pair.path, pair.priority, now) and not was_nominating:
        return
    assert session.remote is not None
    changed = session.consent is None or session.consent.path != pair.path
    session.consent = session.consent_for(pair.path, session.remote, now)
    session.previous_credentials = None
    _stop_checks(session, pair)
    if changed:
        session.events.append(PairSelected(*pair.path))


def _stop_checks(session: IceSession, selected: CandidatePair) -> None:
    """RFC 8445 §8.1.2: what has not come through by now need not."""
    for pair in session.checks.clear():
        if pair.state is PairState.IN_PROGRESS:
            pair.fail()
    session.checklist.stop()
    selected.succeed(selected.succeeded_at)


def keep_consent(session: IceSession, now: float) -> None:
    """Ask on the selected pair whether the peer is there, and still wants to be sent to (RFC 7675)."""
    consent = session.consent
    if consent is None:
        return
    if now >= consent.expires_at:
        session.fail(IceFailureReason.CONSENT_LOST)
        return
    if now < consent.next_check_at:
        return
    base = session.local.bases[consent.path[0]]
    # Each time, if we control: under loss the peer may have missed it.
    request = consent.make_check(
        base, session.role.attribute, nominate=session.controlling, now=now
    )
    session.send(request, consent.path)
    if consent.is_shaky(now):
        _look_elsewhere(session, consent, now)


def _look_elsewhere(session: IceSession, consent: Consent, now: float) -> None:
    """The selected pair falters: see which others work, and take one if that is ours to do."""
    if session.controlling and move_on(session, consent, now):
        return
    for pair in session.checklist:
        if pair.path != consent.path and not pair.pending:
            session.checklist.trigger(pair)
    session.wake(now)


def move_on(session: IceSession, consent: Consent, now: float) -> bool:
    """Nominate the best pair that has worked since the selected one was heard of."""
    for pair in session.checklist.valid_pairs():
        if pair.path != consent.path and pair.succeeded_at > consent.heard_at:
            if not pair.nominating:
                _nominate(session, pair, now)
            return True
    return False


def is_busy(session: IceSession) -> bool:
    """Whether anything is checked, or waits for it."""
    return bool(session.checks) or (session.remote is not None and session.checklist.has_work)


def fail_if_hopeless(session: IceSession, now: float) -> None:
    """No pair works, nothing is left to check, and the time is over."""
    if session.consent is None and now >= session.fail_at and not is_busy(session):
        session.fail(IceFailureReason.NO_PAIR)
