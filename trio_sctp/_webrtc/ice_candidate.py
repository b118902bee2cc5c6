"""ICE candidates and credentials as values, and how SDP writes them (RFC 8445 §5.1, RFC 8839 §5.1).

A candidate of another transport than UDP, or one whose address is a name that mDNS would have to
find (``.local``), is a value like any other: it is kept and shown, it just cannot be checked.
"""

from __future__ import annotations

import string
import zlib
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING, Final, NamedTuple

from .stun import Address

if TYPE_CHECKING:
    from random import Random

__all__ = ["TYPE_PREFERENCE", "Candidate", "IceCredentials", "candidate_priority", "pair_priority"]

_ICE_CHARS: Final = string.ascii_letters + string.digits + "+/"

TYPE_PREFERENCE: Final = {"host": 126, "prflx": 110, "srflx": 100, "relay": 0}
"""RFC 8445 §5.1.2.2."""


class IceCredentials(NamedTuple):
    """A username fragment and a password (RFC 8445 §5.3)."""

    ufrag: str
    password: str

    @classmethod
    def generate(cls, rng: Random) -> IceCredentials:
        """48 and 144 random bits: the former is enough to find a peer among many by it.

        ``rng`` has to be unpredictable: the password is what keeps others out.
        """
        return cls("".join(rng.choices(_ICE_CHARS, k=8)), "".join(rng.choices(_ICE_CHARS, k=24)))

    @classmethod
    def parse(cls, ufrag: str, password: str) -> IceCredentials:
        """`ValueError` unless both have the lengths and letters of RFC 8839 §5.4."""
        for name, value, least in (("ice-ufrag", ufrag, 4), ("ice-pwd", password, 22)):
            if not least <= len(value) <= 256:
                raise ValueError(f"{name} of {len(value)} characters")
            # Real stacks put '-' and '_' in: what matters is that a line and a colon stay intact.
            if not all("!" <= letter <= "~" for letter in value) or ":" in value:
                raise ValueError(f"{name} with characters that may not be in it")
        return cls(ufrag, password)


def candidate_priority(kind: str, local_preference: int) -> int:
    """RFC 8445 §5.1.2.1, for component 1."""
    return TYPE_PREFERENCE[kind] << 24 | local_preference << 8 | 255


def pair_priority(controlling: int, controlled: int) -> int:
    """From the priorities of the two agents' candidates (RFC 8445 §6.1.2.3)."""
    return (
        min(controlling, controlled) << 32
        | 2 * max(controlling, controlled)
        | (controlling > controlled)
    )


@dataclass(frozen=True, slots=True)
class Candidate:
    """A transport address that a peer may be reached at."""

    foundation: str
    component: int
    transport: str
    """In lower case."""
    priority: int
    host: str
    """An IP address, or a name."""
    port: int
    kind: str
    """``host``, ``srflx``, ``prflx`` or ``relay``."""
    related_host: str | None = None
    related_port: int | None = None
    tcp_type: str | None = None

    @classmethod
    def make(
        cls,
        kind: str,
        address: Address,
        *,
        base: Address,
        local_preference: int = 65535,
        server: Address | None = None,
    ) -> Candidate:
        """A candidate of ours, for component 1 over UDP."""
        # RFC 8445 §5.1.1.3: same type, same base address, same server: same foundation.
        origin = f"{kind} {base[0]} {server[0] if server else ''}"
        related = base if kind != "host" else None
        return cls(
            foundation=str(zlib.crc32(origin.encode())),
            component=1,
            transport="udp",
            priority=candidate_priority(kind, local_preference),
            host=address[0],
            port=address[1],
            kind=kind,
            related_host=related[0] if related else None,
            related_port=related[1] if related else None,
        )

    @property
    def address(self) -> Address:
        return self.host, self.port

    @property
    def ip_version(self) -> int | None:
        """4 or 6; None for a name."""
        try:
            return ip_address(self.host).version
        except ValueError:
            return None

    @property
    def checkable(self) -> bool:
        """Whether a check can be sent to it: UDP, component 1, and an address."""
        return (
            self.transport == "udp"
            and self.component == 1
            and self.ip_version is not None
            and 0 < self.port < 65536
        )

    @classmethod
    def parse(cls, text: str) -> Candidate:
        """Read ``candidate:...``, with or without ``a=`` (RFC 8839 §5.1).

        Extension attributes are skipped, as they have to be.  `ValueError` if it makes no sense.
        """
        text = text.strip().removeprefix("a=")
        if not text.startswith("candidate:"):
            raise ValueError(f"not a candidate: {text[:80]!r}")
        words = text.removeprefix("candidate:").split()
        if len(words) < 8 or words[6] != "typ":
            raise ValueError(f"not a candidate: {text[:80]!r}")
        foundation, component, transport, priority, host, port, _, kind = words[:8]
        extensions = dict(zip(words[8::2], words[9::2], strict=False))
        related_port = extensions.get("rport")
        if kind not in TYPE_PREFERENCE:
            raise ValueError(f"candidate of the unknown type {kind[:20]!r}")
        return cls(
            foundation[:32],
            _number(component, 256),
            transport.lower(),
            _number(priority, 2**32 - 1),
            _normalised(host),
            _number(port, 65535),
            kind,
            extensions.get("raddr"),
            None if related_port is None else _number(related_port, 65535),
            extensions.get("tcptype"),
        )

    def __str__(self) -> str:
        """Without ``a=``: what a browser's ``RTCIceCandidate.candidate`` holds."""
        text = (
            f"candidate:{self.foundation} {self.component} {self.transport.upper()}"
            f" {self.priority} {self.host} {self.port} typ {self.kind}"
        )
        if self.related_host is not None:
            text += f" raddr {self.related_host} rport {self.related_port}"
        return text if self.tcp_type is None else f"{text} tcptype {self.tcp_type}"


def _number(word: str, most: int) -> int:
    if not (word.isascii() and word.isdigit()) or len(word) > 10 or int(word) > most:
        raise ValueError(f"not a number up to {most}: {word[:20]!r}")
    return int(word)


def _normalised(host: str) -> str:
    """IPv6 addresses are written in several ways; ours is the one of `ipaddress`."""
    try:
        address = ip_address(host)
    except ValueError:
        return host[:256]
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        raise ValueError("candidate with an IPv6 zone")
    return str(address)
