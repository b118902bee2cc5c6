"""Tools for tests: an emulated network in virtual time, pairs of associations, captures."""

from __future__ import annotations

from ._captured_transport import CapturedTransport as CapturedTransport
from ._emulated_link import (
    BurstLoss as BurstLoss,
    EmulatedLink as EmulatedLink,
    LinkConditions as LinkConditions,
    LinkStatistics as LinkStatistics,
)
from ._memory_link import LinkEnd as LinkEnd, memory_link as memory_link
from ._pair import open_association_pair as open_association_pair
