"""Serial numbers: from the wrapping numbers of the wire to plain ints that only grow, and back.

TSNs, SSNs, MIDs, FSNs and request sequence numbers count modulo 2**32 or 2**16 (RFC 9260 §1.6).
Where a packet enters, each is unwrapped against a number already known; inside the core they
compare with `<` and subtract with `-`; where a packet leaves, `& MASK32` or `& MASK16` wraps them
again.
"""

from __future__ import annotations

from typing import Final

__all__ = ["MASK16", "MASK32", "unwrap32"]

MASK32: Final = 0xFFFFFFFF
MASK16: Final = 0xFFFF


def unwrap32(wire: int, reference: int) -> int:
    """Return the int congruent to `wire` modulo 2**32 that is nearest to `reference`.

    Of two equally near ones the lower is taken.  The result may be negative where the reference is
    small: that is a number from before the first one.
    """
    return reference + ((wire - reference + 0x80000000) & 0xFFFFFFFF) - 0x80000000
