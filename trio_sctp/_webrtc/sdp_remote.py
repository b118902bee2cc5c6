"""Reading a peer's description.

Nothing that came from a peer is repeated except what an answer has to repeat: the kind, protocol,
formats and mid of each section, which are checked for that.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Final

from .certificate import Fingerprint
from .ice_candidate import Candidate, IceCredentials
from .sdp_common import FORMAT, OLD_PROTOCOL, SdpType, SectionLine, Setup
from .sdp_lines import Attributes, MediaSection, SdpError, SessionLines, parse_lines

__all__ = ["DEFAULT_MAX_MESSAGE_SIZE", "RemoteDescription"]

DEFAULT_MAX_MESSAGE_SIZE: Final = 65536
"""Where the peer does not say (RFC 8841 §6.1)."""
_PROTOCOLS: Final = ("UDP/DTLS/SCTP", "TCP/DTLS/SCTP")
_MAX_CANDIDATES: Final = 200
_MAX_FINGERPRINTS: Final = 32
_TLS_ID: Final = re.compile(r"[A-Za-z0-9+/_-]{20,255}")


@dataclass(frozen=True, slots=True)
class RemoteDescription:
    """What a peer's offer or answer says about data channels."""

    type: SdpType
    credentials: IceCredentials
    ice_lite: bool
    trickle: bool
    fingerprints: tuple[Fingerprint, ...]
    """At least one that is usable."""
    setup: Setup
    sctp_port: int
    max_message_size: int
    """Bytes; 0 means that any size will do (RFC 8841 §6.1)."""
    candidates: tuple[Candidate, ...]
    end_of_candidates: bool
    mid: str | None
    bundled: bool
    sections: tuple[SectionLine, ...]
    index: int
    """Which of ``sections`` is the one with the data channels."""
    tls_id: str | None = None
    sctp_init: bytes | None = None
    """An INIT chunk (draft-hancke-tsvwg-snap): for SCTP to judge."""

    @classmethod
    def parse(cls, text: str, sdp_type: SdpType | str) -> RemoteDescription:
        """Read a description; `SdpError` where no data channels can come of it."""
        sdp_type = SdpType(sdp_type)
        lines = parse_lines(text)
        index, section = _data_section(lines)
        parts = _Parts(lines, section)
        sctp_init = section.attributes.first("sctp-init")
        return cls(
            type=sdp_type,
            credentials=_credentials(parts),
            ice_lite=lines.attributes.first("ice-lite") is not None,
            trickle="trickle" in (parts.first("ice-options") or "").split(),
            fingerprints=_fingerprints(parts),
            setup=_setup(parts.first("setup"), sdp_type),
            sctp_port=_sctp_port(section),
            max_message_size=_max_message_size(section),
            candidates=_candidates(parts),
            end_of_candidates=parts.first("end-of-candidates") is not None,
            mid=section.mid,
            bundled=bool(lines.bundle(section.mid)),
            sections=tuple(SectionLine(m.media, m.protocol, m.formats, m.mid) for m in lines.media),
            index=index,
            tls_id=_tls_id(parts),
            sctp_init=None if sctp_init is None else _sctp_init(sctp_init),
        )


class _Parts:
    """Where an attribute of the transport may be: ours, the bundle's first section, the session."""

    def __init__(self, lines: SessionLines, section: MediaSection) -> None:
        self._parts: list[Attributes] = [section.attributes]
        # RFC 9143 §7.1.3: a section without a port of its own takes the tagged section's transport
        for mid in lines.bundle(section.mid)[:1]:
            self._parts += [other.attributes for other in lines.media if other.mid == mid]
        self._parts.append(lines.attributes)

    def first(self, name: str) -> str | None:
        values = (part.first(name) for part in self._parts)
        return next((value for value in values if value is not None), None)

    def all(self, name: str) -> list[str]:
        return next((part.all(name) for part in self._parts if part.all(name)), [])


def _data_section(lines: SessionLines) -> tuple[int, MediaSection]:
    refused = False
    for index, section in enumerate(lines.media):
        protocol = section.protocol.upper()
        ours = protocol in _PROTOCOLS and FORMAT in section.formats
        old = protocol == OLD_PROTOCOL and section.attributes.first("sctpmap") is not None
        if section.media != "application" or not (ours or old):
            continue
        if section.port or section.attributes.first("bundle-only") is not None:
            return index, section
        refused = True
    if refused:
        raise SdpError("the data channel section was refused by the peer (port 0)")
    raise SdpError("there is no section for data channels")


def _credentials(parts: _Parts) -> IceCredentials:
    ufrag, password = parts.first("ice-ufrag"), parts.first("ice-pwd")
    if ufrag is None or password is None:
        raise SdpError("ice-ufrag and ice-pwd are missing")
    try:
        return IceCredentials.parse(ufrag, password)
    except ValueError as error:
        raise SdpError(str(error)) from None


def _fingerprints(parts: _Parts) -> tuple[Fingerprint, ...]:
    texts = parts.all("fingerprint")
    if len(texts) > _MAX_FINGERPRINTS:
        raise SdpError(f"{len(texts)} fingerprints: {_MAX_FINGERPRINTS} is the most")
    try:
        fingerprints = tuple(Fingerprint.parse(text) for text in texts)
    except ValueError as error:
        raise SdpError(str(error)) from None
    if not any(fingerprint.usable for fingerprint in fingerprints):
        raise SdpError("a fingerprint of sha-256, sha-384 or sha-512 is missing")
    return fingerprints


def _setup(value: str | None, sdp_type: SdpType) -> Setup:
    if value is None:
        # RFC 4145 §4: the defaults
        return Setup.ACTIVE if sdp_type is SdpType.OFFER else Setup.PASSIVE
    try:
        setup = Setup(value.lower())
    except ValueError:
        raise SdpError(f"setup {value[:20]!r}") from None
    if setup is Setup.ACTPASS and sdp_type is SdpType.ANSWER:
        raise SdpError("setup actpass in an answer")  # RFC 4145 §4.1
    return setup


def _sctp_port(section: MediaSection) -> int:
    value = section.attributes.first("sctp-port")
    if value is None:
        # Before RFC 8841 it stood in the m= line.  There is no default, but everybody uses 5000.
        old = section.protocol.upper() == OLD_PROTOCOL
        value = section.formats[0] if old else "5000"
    return _number(value, 65535, "sctp-port", least=1)


def _max_message_size(section: MediaSection) -> int:
    value = section.attributes.first("max-message-size")
    if value is None:
        return DEFAULT_MAX_MESSAGE_SIZE
    return _number(value, (1 << 64) - 1, "max-message-size")


def _number(value: str, most: int, name: str, *, least: int = 0) -> int:
    if not (value.isascii() and value.isdigit()) or len(value) > 20:
        raise SdpError(f"{name} {value[:20]!r}")
    number = int(value)
    if not least <= number <= most:
        raise SdpError(f"{name} {value!r}")
    return number


def _candidates(parts: _Parts) -> tuple[Candidate, ...]:
    candidates = []
    for value in parts.all("candidate")[:_MAX_CANDIDATES]:
        try:
            candidates.append(Candidate.parse("candidate:" + value))
        except ValueError:
            continue  # RFC 8839 §5.1: what is not understood is passed over
    return tuple(candidates)


def _tls_id(parts: _Parts) -> str | None:
    value = parts.first("tls-id")
    return value if value is not None and _TLS_ID.fullmatch(value) else None


def _sctp_init(value: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise SdpError("sctp-init is not base64") from None
