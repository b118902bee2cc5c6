"""The controllers and recoveries that a program can choose from, by the names that `Config` has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..config import Config
from .congestion import CongestionController
from .congestion_cubic import CubicController
from .congestion_standard import StandardController
from .loss_recovery import LossRecovery
from .miss_indications import MissIndications
from .outstanding_data import OutstandingData
from .rack import Rack

if TYPE_CHECKING:
    from ..rto import RetransmissionTimeout

__all__ = ["CONTROLLERS", "make_controller", "make_recovery"]

CONTROLLERS: dict[str, type[CongestionController]] = {
    "rfc9260": StandardController,
    "cubic": CubicController,
}


def make_controller(config: Config, pmdcs: int) -> CongestionController:
    return CONTROLLERS[config.congestion_control](config, pmdcs=pmdcs)


def make_recovery(
    config: Config, data: OutstandingData, pmdcs: int, rto: RetransmissionTimeout
) -> LossRecovery:
    if config.loss_recovery == "rack":
        return Rack(data, pmdcs, rto)
    return MissIndications(data, pmdcs)
