"""A congestion controller on its own, in virtual time: round trips of a path that is always full."""

from __future__ import annotations

from typing import Generic, TypeVar

from tests.support.tx_sender import PMDCS
from trio_sctp._core.tx.congestion import CongestionController, Delivery

C = TypeVar("C", bound=CongestionController)


class Driver(Generic[C]):
    """Acknowledges what the window allows, once per round trip; windows are in packets here."""

    def __init__(self, controller: C, *, rtt: float) -> None:
        self.controller = controller
        self.rtt = rtt
        self.now = 0.0
        self._delivery = Delivery()
        self._tsn = 0

    @property
    def cwnd(self) -> float:
        return self.controller.cwnd / PMDCS

    @property
    def ssthresh(self) -> float:
        return self.controller.ssthresh / PMDCS

    def round_trip(
        self,
        *,
        full: bool = True,
        in_recovery: bool = False,
        steps: int | None = None,
        shortest: float | None = None,
    ) -> None:
        """All that is in flight is acknowledged, two packets with each SACK or in so many steps.

        The fourth of the SACKs may show a shorter round trip.
        """
        delivery, window = self._delivery, self.controller.cwnd
        delivery.cwnd_was_full, delivery.in_recovery = full, in_recovery
        delivery.srtt = self.rtt
        first, packets = self._tsn, max(window // PMDCS, 1)
        steps = steps or -(-packets // 2)
        for step in range(1, steps + 1):
            self.now += self.rtt / steps
            self._tsn = first + packets * step // steps
            delivery.now = self.now
            delivery.acked = window // steps
            delivery.cumulative_tsn_ack = self._tsn - 1
            delivery.next_tsn = self._tsn + self.controller.cwnd // PMDCS
            delivery.rtt = shortest if shortest is not None and step == 4 else self.rtt
            delivery.flight_size = self.controller.cwnd
            self.controller.on_delivered(delivery)

    def run(self, seconds: float, *, full: bool = True, in_recovery: bool = False) -> None:
        self.run_to(self.now + seconds, full=full, in_recovery=in_recovery)

    def run_to(self, time: float, *, full: bool = True, in_recovery: bool = False) -> None:
        while self.now + self.rtt / 2 < time:
            self.round_trip(full=full, in_recovery=in_recovery)
