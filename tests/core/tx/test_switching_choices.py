"""Another controller or another loss recovery in the middle of a transfer: nothing stalls."""

from __future__ import annotations

from itertools import cycle, product
from typing import Any

import pytest

from tests.support.tx_sender import PMDCS, Sender
from tests.support.virtual_transfer import Transfer
from trio_sctp._core.config import Config
from trio_sctp._core.tx.congestion_cubic import CubicController
from trio_sctp._core.tx.congestion_standard import StandardController
from trio_sctp._core.tx.loss_recovery import LossRecovery
from trio_sctp._core.tx.miss_indications import MissIndications
from trio_sctp._core.tx.rack import Rack
from trio_sctp.testing._emulated_link import LinkConditions

RFC9260, CUBIC = "rfc9260", "cubic"
RECOVERIES: dict[str, type[LossRecovery]] = {"rack": Rack, "rfc9260": MissIndications}


def switch(sender: Sender, **changes: Any) -> None:
    sender.config = sender.config.replace(**changes)
    sender.queue.replace_config(sender.config, sender.now)


@pytest.mark.parametrize("first, second", [(RFC9260, CUBIC), (CUBIC, RFC9260)])
def test_another_controller_goes_on_with_the_window(first: str, second: str) -> None:
    a = Sender(congestion_control=first, cwnd=20 * PMDCS)
    a.queue.congestion.ssthresh = 10 * PMDCS
    a.send(count=200)
    a.pull()
    switch(a, congestion_control=second)
    kinds = {RFC9260: StandardController, CUBIC: CubicController}
    assert type(a.queue.congestion) is kinds[second]
    assert (a.queue.cwnd, a.queue.ssthresh) == (20 * PMDCS, 10 * PMDCS)
    assert a.pull() == [], "what is in flight still is"
    last = a.queue.next_tsn - a.before_first - 1
    a.sack(last, after=0.1)
    assert 20 * PMDCS <= a.queue.cwnd <= 21 * PMDCS, "congestion avoidance"
    # CUBIC begins a stage whose plateau is here; what it knew of another time is of no account
    a.pull()
    a.queue.congestion.on_congestion(a.now)
    assert a.queue.cwnd / PMDCS == pytest.approx(0.7 * 20 if second == CUBIC else 10, abs=1)


@pytest.mark.parametrize("first, second", [("rack", "rfc9260"), ("rfc9260", "rack")])
def test_another_recovery_ends_what_the_one_before_has_begun(first: str, second: str) -> None:
    # A -> DATA 1 (lost), 2 to 6 -> Z: 1 is sent again; then the other recovery is chosen
    a = Sender(loss_recovery=first, cwnd=20 * PMDCS, max_burst=100)
    a.send(count=6)
    a.pull()
    for last in (2, 3, 4, 5):
        a.sack(0, (2, last), after=0.1 if last == 2 else 0.0)
    while not (packets := a.pull()):
        a.time_out()
    assert packets == [[1]]
    assert a.queue.is_recovering
    switch(a, loss_recovery=second)
    assert isinstance(a.queue.recovery, RECOVERIES[second])
    assert a.queue.is_recovering
    a.sack(6, after=0.1)
    assert a.queue.is_empty
    assert a.next_timeout == float("inf")


@pytest.mark.parametrize("first, second", [("rack", "rfc9260"), ("rfc9260", "rack")])
def test_a_loss_of_before_is_found_by_the_other_recovery(first: str, second: str) -> None:
    a = Sender(loss_recovery=first, cwnd=20 * PMDCS, max_burst=100)
    a.send(count=6)
    a.pull()
    a.sack(0, (2, 3), after=0.1)
    switch(a, loss_recovery=second)
    for last in (4, 5, 6):
        a.sack(0, (2, last), after=0.001)
    began = a.now
    while not (packets := a.pull()):
        a.time_out()
    assert packets == [[1]]
    assert a.now - began < 0.2, "long before T3-rtx"


def test_so_is_a_retransmission_of_before_that_was_lost() -> None:
    # A -> DATA 1 (lost), 2 to 9 -> Z; A -> DATA 1 (lost again); A -> DATA 10 -> Z
    a = Sender(loss_recovery="rfc9260", cwnd=20 * PMDCS, max_burst=100)
    a.send(count=9)
    a.pull()
    for last in (3, 5, 7):
        a.sack(0, (2, last), after=0.1 if last == 3 else 0.0)
    assert a.pull() == [[1]]
    a.now += 0.01
    a.send()
    a.pull()
    switch(a, loss_recovery="rack")
    a.sack(0, (2, 9), after=0.05)
    assert a.queue.next_repeat_size == 0
    a.sack(0, (2, 10), after=0.05)
    began = a.now
    while not (packets := a.pull()):
        a.time_out()
    assert packets == [[1]]
    assert a.now - began < 0.2, "long before T3-rtx"


@pytest.mark.parametrize("loss", [0.0, 0.05])
def test_all_choices_in_turn_during_one_transfer(loss: float) -> None:
    link = LinkConditions(delay=0.03, rate=2.5e6, queue=150_000, loss=loss)
    transfer = Transfer(link, Config())
    choices = cycle(product(("rack", "rfc9260"), (RFC9260, CUBIC)))
    for _ in range(150):
        transfer.pair.a.channels.send(transfer.stream_id, bytes(16384), now=transfer.pair.now)
    sender, now = transfer.sender, transfer.pair.now
    while sender.undelivered_messages:
        recovery, control = next(choices)
        sender.update_config(
            loss_recovery=recovery, congestion_control=control, now=transfer.pair.now
        )
        transfer.pair.run_to(transfer.pair.now + 0.11)
        assert transfer.pair.now - now < (3.0 if not loss else 60.0), "it stalls"
    assert transfer.result().delivered == 150 * 16384
    assert sum(map(len, transfer.pair.z.received[transfer.stream_id])) == 150 * 16384
