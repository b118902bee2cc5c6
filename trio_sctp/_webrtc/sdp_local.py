"""Writing our descriptions: offers, and answers to those of a peer (RFC 9429 §5.2, §5.3)."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from .certificate import Fingerprint
from .ice_candidate import Candidate, IceCredentials
from .sdp_common import FORMAT, OLD_PROTOCOL, SectionLine, Setup
from .sdp_remote import RemoteDescription

if TYPE_CHECKING:
    from random import Random

__all__ = ["LocalDescription", "answer_setup"]

_FIRST_SECTION: Final = SectionLine("application", "UDP/DTLS/SCTP", (FORMAT,), "0")


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
        if protocol.upper() == OLD_PROTOCOL:
            lines.append(f"a=sctpmap:{formats[0]} {FORMAT} 65535")
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
