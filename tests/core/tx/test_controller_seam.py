"""The seam of congestion control is wide enough: pacing, and a controller that models the path.

`ModelController` is a small one after the idea of BBR.  It lives in this file, is plugged in by its name
alone, and works from what the seam tells: delivery rates, round trips, application limits, losses.
"""

from __future__ import annotations

import math
from collections import deque
from itertools import pairwise
from typing import Any, ClassVar

import pytest

from tests.support.tx_sender import PMDCS, Sender
from tests.support.virtual_transfer import Transfer
from trio_sctp._core.config import Config
from trio_sctp._core.tx.choices import CONTROLLERS
from trio_sctp._core.tx.congestion import CongestionController, Delivery
from trio_sctp._core.tx.congestion_standard import StandardController
from trio_sctp._core.tx.pacing import Pacer
from trio_sctp.testing._emulated_link import LinkConditions

pytestmark = pytest.mark.interpreted  # a compiled base class has no interpreted subclasses

STARTUP_GAIN = 2.89
GAINS = (1.25, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0)
BANDWIDTH_ROUNDS = 10


class ModelController(CongestionController):
    """Sends at the rate at which the path delivers, with twice what fits into it in flight at most."""

    __slots__ = (
        "_app_limited_until",
        "_delivered",
        "_full_rounds",
        "_history",
        "_min_rtt",
        "_phase",
        "_rates",
        "_round_end",
        "_rounds",
        "lost",
        "rate_samples",
    )

    watches_packets: ClassVar[bool] = True

    def restart(self, pmdcs: int) -> None:
        super().restart(pmdcs)
        self._delivered = self.lost = 0
        self._app_limited_until = -1
        self._history: deque[tuple[float, int, bool]] = deque()
        self._rates: deque[float] = deque([0.0], maxlen=BANDWIDTH_ROUNDS)
        self._min_rtt = 0.0
        self._round_end, self._rounds = -1, 0
        self._full_rounds, self._phase = 0, 0
        self.rate_samples: list[float] = []

    @property
    def bandwidth(self) -> float:
        return max(self._rates)

    @property
    def has_filled_the_pipe(self) -> bool:
        return self._full_rounds >= 3

    def on_sent(self, size: int, flight_size: int, now: float) -> None:
        if flight_size == size:
            self._history.clear()  # what is delivered from here on says nothing of before
        app_limited = self._delivered < self._app_limited_until
        self._history.append((now, self._delivered, app_limited))

    def on_lost(self, size: int, now: float) -> None:
        self.lost += size

    def on_app_limited(self, flight_size: int, now: float) -> None:
        self._app_limited_until = self._delivered + flight_size

    def on_congestion(self, now: float) -> None:
        """Losses are no sign of anything."""

    def on_timeout(self, now: float) -> None:
        self.cwnd = 4 * self.pmdcs

    def on_delivered(self, delivery: Delivery) -> None:
        self._delivered += delivery.acked
        if delivery.rtt is not None:
            self._min_rtt = min(self._min_rtt or delivery.rtt, delivery.rtt)
        if delivery.sent_at is not None:
            self._take_rate_sample(delivery.sent_at, delivery.now)
        if delivery.cumulative_tsn_ack >= self._round_end:
            self._round_end = delivery.next_tsn
            self._begin_round()
        if self._min_rtt and self.bandwidth:
            self._set_rates(delivery.acked)

    def _take_rate_sample(self, sent_at: float, now: float) -> None:
        history = self._history
        while len(history) > 1 and history[1][0] <= sent_at:
            history.popleft()
        if history and history[0][0] <= sent_at < now:
            _, before, app_limited = history[0]
            rate = (self._delivered - before) / (now - sent_at)
            self.rate_samples.append(rate)
            if not app_limited or rate > self._rates[-1]:
                self._rates[-1] = max(self._rates[-1], rate)

    def _begin_round(self) -> None:
        self._rounds += 1
        if not self.has_filled_the_pipe and self._rounds > 2:
            grown = self._rates[-1] >= 1.25 * max([0.0, *list(self._rates)[:-1]])
            self._full_rounds = 0 if grown else self._full_rounds + 1
        self._phase = (self._phase + 1) % len(GAINS)
        self._rates.append(0.0)

    def _set_rates(self, acked: int) -> None:
        gain = GAINS[self._phase] if self.has_filled_the_pipe else STARTUP_GAIN
        self.pacing_rate = gain * self.bandwidth
        fits = self.bandwidth * self._min_rtt
        room = (2.0 if self.has_filled_the_pipe else STARTUP_GAIN) * fits
        self.cwnd = min(self.cwnd + acked, max(int(room), 4 * self.pmdcs))


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Config:
    """A configuration whose controller is ours; nothing else knows of it."""
    monkeypatch.setitem(CONTROLLERS, "cubic", ModelController)
    return Config(congestion_control="cubic")


def controller_of(transfer: Transfer) -> ModelController:
    assert transfer.sender.tcb is not None
    controller = transfer.sender.tcb.retransmission_queue.congestion
    assert isinstance(controller, ModelController)
    return controller


RATE, DELAY = 1.25e6, 0.04  # 10 Mbit/s


def test_a_model_finds_the_rate_and_the_length_of_a_path_and_leaves_its_queue_empty(
    model: Config,
) -> None:
    link = LinkConditions(delay=DELAY, rate=RATE, queue=2_500_000)  # two seconds
    transfer = Transfer(link, model)
    result = transfer.run_for(6.0)
    controller = controller_of(transfer)
    assert controller.has_filled_the_pipe
    assert controller.bandwidth == pytest.approx(RATE, rel=0.05)
    assert controller.bandwidth * 1.3 >= (controller.pacing_rate or 0) >= controller.bandwidth / 2
    assert result.mbit_per_second > 9.0
    assert result.retransmitted == 0
    # with twice in flight what fits, no more than another round trip's worth waits in the queue
    assert (transfer.statistics.srtt or 1) < 4 * DELAY + 0.01
    # the standard controller fills it
    standard = Transfer(LinkConditions(delay=DELAY, rate=RATE, queue=2_500_000), Config())
    standard.run_for(6.0)
    assert (standard.statistics.srtt or 0) > 6 * DELAY


def test_a_model_is_not_slowed_down_by_random_loss(model: Config) -> None:
    rates = []
    for config in (model, Config()):
        link = LinkConditions(delay=DELAY, rate=RATE, queue=200_000, loss=0.02)
        transfer = Transfer(link, config)
        rates.append(transfer.run_for(12.0).mbit_per_second)
        if config is model:
            assert controller_of(transfer).lost >= 0.8 * 0.02 * rates[0] * 12e6 / 8
    assert rates[0] > 8.5
    assert rates[1] < 4


def test_an_application_that_sends_little_is_not_taken_for_a_slow_path(model: Config) -> None:
    transfer = Transfer(LinkConditions(delay=DELAY, rate=RATE, queue=2_500_000), model)
    transfer.run_bytes(5_000_000, within=20.0)
    controller = controller_of(transfer)
    known = controller.bandwidth
    pair = transfer.pair
    for _ in range(20):
        pair.a.channels.send(transfer.stream_id, bytes(500), now=pair.now)
        pair.run_to(pair.now + 0.02)
    assert known == pytest.approx(RATE, rel=0.05)
    assert controller_of(transfer).rate_samples[-1] < known / 10


# -- what is told


class Listener(StandardController):
    """The standard controller, which notes what it is told."""

    __slots__ = ("told",)
    watches_packets: ClassVar[bool] = True

    def restart(self, pmdcs: int) -> None:
        super().restart(pmdcs)
        self.told: list[tuple[object, ...]] = []

    def take(self) -> list[tuple[object, ...]]:
        """Each once: that there is nothing to send is told as often as somebody asks."""
        told, self.told = self.told, []
        return list(dict.fromkeys(told))

    def on_delivered(self, delivery: Delivery) -> None:
        d = delivery
        self.told.append(("delivered", d.acked // PMDCS, round(d.rtt or -1, 6), d.now))
        self.told.append(("in flight", d.flight_size // PMDCS, d.cwnd_was_full, d.all_acked))
        self.told.append(("numbers", d.cumulative_tsn_ack, d.next_tsn, d.in_recovery))
        self.told.append(("times", d.sent_at, round(d.srtt or -1, 6)))
        super().on_delivered(delivery)

    def on_sent(self, size: int, flight_size: int, now: float) -> None:
        self.told.append(("sent", size // PMDCS, flight_size // PMDCS, now))

    def on_lost(self, size: int, now: float) -> None:
        self.told.append(("lost", size // PMDCS, now))

    def on_app_limited(self, flight_size: int, now: float) -> None:
        self.told.append(("limited", flight_size // PMDCS, now))

    def on_congestion(self, now: float) -> None:
        self.told.append(("congestion", now))
        super().on_congestion(now)

    def on_timeout(self, now: float) -> None:
        self.told.append(("timeout", now))
        super().on_timeout(now)

    def on_recovered(self, now: float) -> None:
        self.told.append(("recovered", now))

    def on_idle(self, idle: float, rto: float) -> None:
        self.told.append(("idle", round(idle, 6), rto))


def listened_to(monkeypatch: pytest.MonkeyPatch, **config: Any) -> tuple[Sender, Listener]:
    monkeypatch.setitem(CONTROLLERS, "cubic", Listener)
    sender = Sender(congestion_control="cubic", max_burst=2**16, cwnd=8 * PMDCS, **config)
    listener = sender.queue.congestion
    assert isinstance(listener, Listener)
    return sender, listener


def test_a_transfer_without_losses_in_all_that_is_told_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    a, listener = listened_to(monkeypatch)
    a.send(count=10)
    a.pull()
    began = a.now
    assert listener.take() == [
        ("idle", -math.inf, 1.0),
        *[("sent", 1, number, began) for number in range(1, 9)],
    ]
    a.sack(8, after=0.1)
    assert listener.take() == [
        ("delivered", 8, 0.1, a.now),
        ("in flight", 0, True, True),
        ("numbers", 1007, 1008, False),
        ("times", began, 0.1),
    ]
    a.now += 2.0
    a.pull()
    assert listener.take() == [
        ("idle", 2.1, 1.0),
        ("sent", 1, 1, a.now),
        ("sent", 1, 2, a.now),
        ("limited", 2, a.now),
    ]
    sent_at = a.now
    a.sack(9, after=0.3)
    assert listener.take() == [
        ("delivered", 1, 0.3, a.now),
        ("in flight", 1, False, False),
        ("numbers", 1008, 1010, False),
        ("times", sent_at, 0.125),
    ]


def test_a_recovery_in_all_that_is_told_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    a, listener = listened_to(monkeypatch)
    a.send(count=8)
    a.pull()
    a.sack(0, (2, 2), after=0.1)
    a.sack(0, (2, 4))
    listener.take()
    a.sack(0, (2, 4), (6, 6), after=0.01)
    assert listener.take()[4:] == [("lost", 1, a.now), ("congestion", a.now)]
    a.sack(0, (2, 4), (6, 7), after=0.01)
    a.sack(0, (2, 4), (6, 8), after=0.01)
    assert ("lost", 1, a.now) in listener.take()
    a.pull()
    a.sack(4, (6, 8), after=0.1)
    told = listener.take()
    assert ("numbers", 1003, 1008, True) in told
    assert ("recovered", a.now) not in told
    a.sack(8, after=0.1)
    assert ("recovered", a.now) in listener.take()


def test_a_timeout_in_all_that_is_told_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    a, listener = listened_to(monkeypatch)
    a.send(count=8)
    a.pull()
    a.sack(2, after=0.1)
    listener.take()
    a.expire()
    assert listener.take() == [("timeout", a.now), ("lost", 6, a.now)]


def test_losses_that_time_shows_in_all_that_is_told_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    a, listener = listened_to(monkeypatch, loss_recovery="rack")
    a.send(count=8)
    a.pull()
    a.sack(1, (4, 8), after=0.1)
    listener.take()
    a.time_out()
    assert listener.take() == [("lost", 2, a.now), ("congestion", a.now)]
    a.pull()
    a.sack(8, after=0.1)
    assert ("recovered", a.now) in listener.take()


def test_a_tail_that_a_probe_has_repaired_in_all_that_is_told_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    a, listener = listened_to(monkeypatch, loss_recovery="rack")
    a.send(count=8)
    a.pull()
    a.sack(7, after=0.1)
    a.time_out()
    assert a.pull() == [[8]]
    a.send()
    a.pull()
    listener.take()
    a.sack(9, after=0.1)
    assert ("congestion", a.now) in listener.take()


# -- pacing


class Paced(StandardController):
    """The standard controller at a fixed rate."""

    __slots__ = ()
    watches_packets: ClassVar[bool] = True
    rate: ClassVar[float] = 100.0 * PMDCS

    def restart(self, pmdcs: int) -> None:
        super().restart(pmdcs)
        self.pacing_rate = self.rate
        self.cwnd = 10**6


def paced(count: int, monkeypatch: pytest.MonkeyPatch) -> Sender:
    monkeypatch.setitem(CONTROLLERS, "cubic", Paced)
    sender = Sender(congestion_control="cubic", max_burst=2**16)
    sender.send(count=count)
    return sender


def test_packets_are_spread_over_time(monkeypatch: pytest.MonkeyPatch) -> None:
    sender = paced(50, monkeypatch)
    assert sender.pull() == [[1], [2]], "two may always go together"
    times, began = [], sender.now
    while sender.send_queue.unsent_bytes:
        timer = sender.queue.pacer.timer
        assert timer.running
        sender.now = timer.deadline
        assert timer.take_expiry(sender.now)
        packets = sender.pull()
        times += [sender.now - began] * len(packets)
    assert len(times) == 48
    assert times[-1] == pytest.approx(0.48, abs=0.011)
    assert all(0 < later - earlier < 0.0101 for earlier, later in pairwise(times))
    assert not sender.queue.pacer.timer.running


def test_no_credit_is_saved_up_while_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    sender = paced(0, monkeypatch)
    sender.now += 60.0
    sender.send(count=50)
    assert sender.pull() == [[1], [2]]


def test_the_window_holds_beside_the_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    sender = paced(50, monkeypatch)
    sender.queue.congestion.cwnd = 3 * PMDCS
    sent = 0
    for _ in range(10):
        sent += len(sender.pull())
        sender.now += 0.01
    assert sent == 3


@pytest.mark.parametrize("rate", [1e4, 1e6, 1e8, 1e10])
def test_a_rate_is_kept_over_time(rate: float) -> None:
    pacer, sent, now = Pacer(), 0, 0.0
    duration = 1000 * PMDCS / rate
    while now < duration:
        while pacer.allows(rate, PMDCS, now):
            pacer.sent(PMDCS)
            sent += PMDCS
        now = pacer.timer.deadline
    burst = max(rate * 0.001, 2 * PMDCS)
    assert 0.999 * rate * duration - PMDCS <= sent <= rate * duration + burst + PMDCS
