"""Descriptions of sessions with data channels: what reading and writing them have in common.

Of SDP as far as one ``m=application`` section needs it: RFC 8866 (SDP), RFC 8841 (SCTP over DTLS), RFC
8842 (DTLS), RFC 8839 (ICE), RFC 9143 (BUNDLE) and RFC 9429 (JSEP).  A browser's offer may hold
audio and video as well: those sections are refused, in their places, and the bundle keeps only
ours.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

__all__ = ["FORMAT", "OLD_PROTOCOL", "SdpType", "SectionLine", "Setup"]

FORMAT: Final = "webrtc-datachannel"
OLD_PROTOCOL: Final = "DTLS/SCTP"
"""As it was before RFC 8841, with the port in the m= line."""


class SdpType(enum.Enum):
    """Which half of an exchange a description is (RFC 3264)."""

    OFFER = "offer"
    ANSWER = "answer"


class Setup(enum.Enum):
    """Who begins with DTLS (RFC 8842 §5, RFC 4145 §4)."""

    ACTIVE = "active"
    PASSIVE = "passive"
    ACTPASS = "actpass"


@dataclass(frozen=True, slots=True)
class SectionLine:
    """What an answer has to know of each section of an offer, ours or not."""

    media: str
    protocol: str
    formats: tuple[str, ...]
    mid: str | None
