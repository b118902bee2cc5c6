"""What the procedure of a chunk says about its packet: each of them returns one of these, or None."""

from __future__ import annotations

from typing import Final, TypeAlias

__all__ = ["AS_DATA", "STOP", "Verdict"]

Verdict: TypeAlias = bool | None

STOP: Final = True
"""The chunks behind this one are not processed."""
AS_DATA: Final = False
"""The chunk is acknowledged as DATA is."""
