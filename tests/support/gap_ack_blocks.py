"""Gap ack blocks as pairs, as RFCs write them, and in a row of starts and ends, as a SACK has them."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

from trio_sctp._wire.chunks import Sack

__all__ = ["blocks_of", "row_of"]


def row_of(blocks: Iterable[tuple[int, int]]) -> tuple[int, ...]:
    return tuple(chain.from_iterable(blocks))


def blocks_of(sack: Sack) -> list[tuple[int, int]]:
    row = sack.gap_ack_offsets
    return list(zip(row[::2], row[1::2], strict=True))
