"""The packets of associations in a debug log, one line for each, as ``text2pcap`` reads them.

It is for where a file of packets cannot be had: lines in the log of a program become one afterwards.
"""

from __future__ import annotations

import logging
from datetime import datetime
from typing import final

from ._capture import time_of_day

__all__ = ["LOGGER", "PacketLog"]

LOGGER = logging.getLogger("trio_sctp.packets")


@final
class PacketLog:
    """Logs packets at the level DEBUG, with the time of day and ``name`` behind the bytes."""

    __slots__ = ("_epoch", "_name")

    def __init__(self, name: str) -> None:
        self._name = name
        self._epoch = time_of_day()

    def capture(self, packet: bytes, *, sent: bool, now: float) -> None:
        when = datetime.fromtimestamp(now + self._epoch).time()
        LOGGER.debug(
            "%s %s 0000 %s # SCTP_PACKET %s",
            "O" if sent else "I",
            when.isoformat("microseconds"),
            packet.hex(" "),
            self._name,
        )
