"""Session descriptions for data channels: reading a peer's and writing ours.

As far as one ``m=application`` section needs it: RFC 8866 (SDP), RFC 8841 (SCTP over DTLS), RFC
8842 (DTLS), RFC 8839 (ICE), RFC 9143 (BUNDLE) and RFC 9429 (JSEP).  A browser's offer may hold
audio and video as well: those sections are refused, in their places, and the bundle keeps only
ours.

`RemoteDescription.parse` makes a value of a peer's description, `LocalDescription` makes texts.
Nothing that came from a peer is repeated except what an answer has to repeat: the kind, protocol,
formats and mid of each section, which are checked for that.
"""

from __future__ import annotations

import base64
import binascii
import enum
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from .certificate import Fingerprint
from .ice_candidate import Candidate, IceCredentials
from .sdp_lines import Attributes, MediaSection, SdpError, SessionLines, parse_lines

if TYPE_CHECKING:
    from random import Random

__all__ = [
    "DEFAULT_MAX_MESSAGE_SIZE",
    "LocalDescription",
    "RemoteDescription",
    "SdpError",
    "SdpType",
    "Setup",
    "TrickleFragment",
    "answer_setup",
]

DEFAULT_MAX_MESSAGE_SIZE: Final = 65536
"""Where the peer does not say (RFC 8841 §6.1)."""
_FORMAT: Final = "webrtc-datachannel"
_PROTOCOLS: Final = ("UDP/DTLS/SCTP", "TCP/DTLS/SCTP")
_OLD_PROTOCOL: Final = "DTLS/SCTP"
_MAX_CANDIDATES: Final = 200
_MAX_FINGERPRINTS: Final = 32
_TLS_ID: Final = re.compile(r"[A-Za-z0-9+/_-]{20,255}")


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


_FIRST_SECTION: Final = SectionLine("application", "UDP/DTLS/SCTP", (_FORMAT,), "0")


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
        ours = protocol in _PROTOCOLS and _FORMAT in section.formats
        old = protocol == _OLD_PROTOCOL and section.attributes.first("sctpmap") is not None
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
        old = section.protocol.upper() == _OLD_PROTOCOL
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


@dataclass(frozen=True, slots=True)
class LocalDescription:
    """What our offers and answers say."""

    session_id: int
    """The same in all descriptions of one session (RFC 9429 §5.2.1)."""
    credentials: IceCredentials
    fingerprints: tuple[Fingerprint, ...]
    candidates: tuple[Candidate, ...] = ()
    end_of_candidates: bool = True
    ice_lite: bool = False
    trickle: bool = False
    sctp_port: int = 5000
    max_message_size: int = 262_144
    """Bytes that we take; 0 means any."""
    version: int = 1
    """One more for each change (RFC 8866 §5.2)."""
    tls_id: str | None = None
    """An answer has it only if the offer has one (RFC 8842 §5.3)."""
    sctp_init: bytes | None = None

    @staticmethod
    def new_session_id(rng: Random) -> int:
        """Below 2**62, so that it fits everybody's integers."""
        return rng.getrandbits(62)

    @staticmethod
    def new_tls_id(rng: Random) -> str:
        """120 random bits (RFC 8842 §4)."""
        return f"{rng.getrandbits(120):030x}"

    def offer(self, *, after: RemoteDescription | None = None, setup: Setup = Setup.ACTPASS) -> str:
        """An offer (RFC 9429 §5.2); ``setup`` should stay as it is.

        It has one section, and in a session that there is already those of the peer's last
        description, ``after``, in their places (§5.2.2): others than ours stay refused.
        """
        if after is None:
            sections: tuple[SectionLine, ...] = (_FIRST_SECTION,)
            index = 0
        else:
            sections, index = after.sections, after.index
        ours = sections[index]
        mid = ours.mid or "0"
        lines = self._session_lines([mid])
        for section in sections:
            if section is ours:
                lines += self._section_lines(ours.protocol, ours.formats, mid, setup, self.tls_id)
            else:
                lines += _refusal(section)
        return _join(lines)

    def answer(self, offer: RemoteDescription, *, setup: Setup | None = None) -> str:
        """The answer to ``offer`` (RFC 9429 §5.3).

        ``setup`` is our role where the offer leaves the choice: passive for a server that all may
        reach, active saves half a round trip otherwise.  `answer_setup` tells the outcome.
        """
        ours = answer_setup(offer, setup)
        mid = offer.mid
        lines = self._session_lines([mid] if offer.bundled and mid is not None else [])
        for index, section in enumerate(offer.sections):
            if index == offer.index:
                tls_id = self.tls_id if offer.tls_id is not None else None
                lines += self._section_lines(section.protocol, section.formats, mid, ours, tls_id)
            else:
                lines += _refusal(section)
        return _join(lines)

    def _session_lines(self, bundle: list[str]) -> list[str]:
        lines = [
            "v=0",
            f"o=- {self.session_id} {self.version} IN IP4 127.0.0.1",
            "s=-",
            "t=0 0",
        ]
        if bundle:
            lines.append(f"a=group:BUNDLE {' '.join(bundle)}")
        if self.ice_lite:
            lines.append("a=ice-lite")
        return lines

    def _section_lines(
        self,
        protocol: str,
        formats: tuple[str, ...],
        mid: str | None,
        setup: Setup,
        tls_id: str | None,
    ) -> list[str]:
        lines = [f"m=application 9 {protocol} {' '.join(formats)}", "c=IN IP4 0.0.0.0"]
        if mid is not None:
            lines.append(f"a=mid:{mid}")
        lines += [
            f"a=ice-ufrag:{self.credentials.ufrag}",
            f"a=ice-pwd:{self.credentials.password}",
            f"a=ice-options:{'trickle ' if self.trickle else ''}ice2",  # RFC 8445 §10
            *(f"a=fingerprint:{fingerprint}" for fingerprint in self.fingerprints),
            f"a=setup:{setup.value}",
        ]
        if tls_id is not None:
            lines.append(f"a=tls-id:{tls_id}")
        if protocol.upper() == _OLD_PROTOCOL:
            lines.append(f"a=sctpmap:{formats[0]} {_FORMAT} 65535")
        else:
            lines.append(f"a=sctp-port:{self.sctp_port}")
        lines.append(f"a=max-message-size:{self.max_message_size}")
        if self.sctp_init is not None:
            lines.append(f"a=sctp-init:{base64.b64encode(self.sctp_init).decode()}")
        lines += [f"a={candidate}" for candidate in self.candidates]
        if self.end_of_candidates:
            lines.append("a=end-of-candidates")
        return lines


def answer_setup(offer: RemoteDescription, preferred: Setup | None = None) -> Setup:
    """Our role in answer to ``offer`` (RFC 8842 §5.3): passive unless it, or the caller, says else.

    `ValueError` for a preference that the offer does not allow.
    """
    allowed = {
        Setup.ACTPASS: (Setup.PASSIVE, Setup.ACTIVE),
        Setup.ACTIVE: (Setup.PASSIVE,),
        Setup.PASSIVE: (Setup.ACTIVE,),
    }[offer.setup]
    if preferred is not None and preferred not in allowed:
        raise ValueError(f"setup {preferred.value!r} to an offer of {offer.setup.value!r}")
    return preferred or allowed[0]


def _refusal(section: SectionLine) -> list[str]:
    """RFC 3264 §6: port 0; the rest is repeated because it has to be."""
    lines = [f"m={section.media} 0 {section.protocol} {' '.join(section.formats)}"]
    lines.append("c=IN IP4 0.0.0.0")
    if section.mid is not None:
        lines.append(f"a=mid:{section.mid}")
    return lines


def _join(lines: list[str]) -> str:
    return "".join(f"{line}\r\n" for line in lines)


@dataclass(frozen=True, slots=True)
class TrickleFragment:
    """Candidates that follow a description (RFC 8840), as WHIP sends them (RFC 9725 §4.3.2)."""

    candidates: tuple[Candidate, ...]
    end_of_candidates: bool
    credentials: IceCredentials | None = None
    """Which session they belong to; others than before are an ICE restart."""
    mid: str | None = None

    @classmethod
    def parse(cls, text: str) -> TrickleFragment:
        """Read an ``application/trickle-ice-sdpfrag``.  Raises `SdpError`."""
        lines = parse_lines("v=0\r\n" + text)
        parts = [lines.attributes, *(section.attributes for section in lines.media)]
        everything = Attributes([line for part in parts for line in part.lines])
        section = lines.media[0] if lines.media else MediaSection("", 0, "", (), everything)
        whole = _Parts(SessionLines(), MediaSection("", 0, "", (), everything))
        return cls(
            candidates=_candidates(whole),
            end_of_candidates=everything.first("end-of-candidates") is not None,
            credentials=_credentials(whole) if everything.first("ice-ufrag") else None,
            mid=section.mid,
        )

    def __str__(self) -> str:
        lines = []
        if self.credentials is not None:
            lines.append(f"a=ice-ufrag:{self.credentials.ufrag}")
            lines.append(f"a=ice-pwd:{self.credentials.password}")
        lines += [f"m=application 9 UDP/DTLS/SCTP {_FORMAT}", f"a=mid:{self.mid or '0'}"]
        lines += [f"a={candidate}" for candidate in self.candidates]
        if self.end_of_candidates:
            lines.append("a=end-of-candidates")
        return _join(lines)
