"""The CRC-32C checksum (RFC 9260 §6.8 and appendix A), computed by google_crc32c.

google_crc32c takes `bytes` and nothing else, and its compiled form uses the CPU's instruction.  The
number it gives stands in an SCTP packet in little-endian order, unlike every other field.
"""

from __future__ import annotations

from collections.abc import Callable

import google_crc32c

__all__ = ["crc32c", "extend_crc32c"]

crc32c: Callable[[bytes], int] = google_crc32c.value
"""Return the CRC-32C of the bytes."""

extend_crc32c: Callable[[int, bytes], int] = google_crc32c.extend
"""Given the CRC-32C of a first part, return that of the first part followed by these bytes."""
