"""The grammar of SDP as far as anybody needs it here: sections and their attributes (RFC 8866 §5).

A description is cut into its session part and its media sections; which attributes mean anything is
for `sdp_remote` to say.  Limits keep a hostile description from costing more than a large honest one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

__all__ = ["MAX_SIZE", "MediaSection", "SdpError", "SessionLines", "parse_lines"]

MAX_SIZE: Final = 1 << 18
_MAX_SECTIONS: Final = 128
_MAX_LINES: Final = 8192
_TOKEN: Final = re.compile(r"[!-~]{1,64}")
_FORBIDDEN: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


class SdpError(ValueError):
    """A description that makes no sense, or that no data channels can come of."""


@dataclass(slots=True)
class Attributes:
    """The ``a=`` lines of one part, in order."""

    lines: list[tuple[str, str]] = field(default_factory=list)

    def first(self, name: str) -> str | None:
        """The first value of an attribute; empty for one that has none, None if it is absent."""
        return next((value for key, value in self.lines if key == name), None)

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.lines if key == name]


@dataclass(slots=True)
class MediaSection:
    """One ``m=`` line and what belongs to it (RFC 8866 §5.14)."""

    media: str
    port: int
    protocol: str
    formats: tuple[str, ...]
    attributes: Attributes = field(default_factory=Attributes)

    @property
    def mid(self) -> str | None:
        """RFC 5888: how BUNDLE and candidates refer to the section."""
        mid = self.attributes.first("mid")
        return mid if mid and _TOKEN.fullmatch(mid) else None


@dataclass(slots=True)
class SessionLines:
    """A description, cut up."""

    attributes: Attributes = field(default_factory=Attributes)
    media: list[MediaSection] = field(default_factory=list)

    def bundle(self, mid: str | None) -> list[str]:
        """The mids that share a transport with ``mid`` (RFC 9143 §5)."""
        for value in self.attributes.all("group"):
            words = value.split()
            if words[:1] == ["BUNDLE"] and mid in words[1:]:
                return words[1:]
        return []


def parse_lines(text: str) -> SessionLines:
    """Cut up a description; line ends may be CRLF, as they should be, or LF.  Raises `SdpError`."""
    if len(text) > MAX_SIZE:
        raise SdpError(f"a description of {len(text)} characters: {MAX_SIZE} is the most")
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    lines = [line for line in lines if line]
    if len(lines) > _MAX_LINES:
        raise SdpError(f"a description of {len(lines)} lines: {_MAX_LINES} is the most")
    if not lines or lines[0] != "v=0":
        raise SdpError("a description begins with v=0")
    result = SessionLines()
    attributes = result.attributes
    for line in lines:
        kind, equals, value = line[:1], line[1:2], line[2:]
        # A lone CR or NUL could smuggle a line into what is made of this one.
        if equals != "=" or not kind.isalpha() or _FORBIDDEN.search(line):
            raise SdpError(f"not a line of a description: {line[:80]!r}")
        if kind == "a":
            name, _, argument = value.partition(":")
            attributes.lines.append((name, argument.strip()))
        elif kind == "m":
            section = _parse_media(value)
            result.media.append(section)
            attributes = section.attributes
    if len(result.media) > _MAX_SECTIONS:
        raise SdpError(f"{len(result.media)} media sections: {_MAX_SECTIONS} is the most")
    return result


def _parse_media(value: str) -> MediaSection:
    words = value.split()
    if len(words) < 4 or not all(_TOKEN.fullmatch(word) for word in words):
        raise SdpError(f"not a media section: {value[:80]!r}")
    media, port, protocol, *formats = words
    port = port.partition("/")[0]
    if not (port.isascii() and port.isdigit()) or len(port) > 5 or int(port) > 65535:
        raise SdpError(f"not a port: {port[:20]!r}")
    return MediaSection(media, int(port), protocol, tuple(formats))
