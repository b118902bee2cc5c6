"""Level ``codec``: any bytes into every decoder.

A decoder gives a value or raises `DecodeError`, and nothing else; what it gave can be printed and
encoded, and means the same when it is decoded again.
"""

from __future__ import annotations

from collections.abc import Callable

from tests.fuzz.choices import Choices
from tests.support.codec_checks import check_causes, check_chunks, check_dcep, check_parameters
from trio_sctp._webrtc.dtls_record import split_records
from trio_sctp._webrtc.sdp_lines import SdpError
from trio_sctp._webrtc.sdp_remote import RemoteDescription
from trio_sctp._webrtc.stun import StunDecodeError, StunMessage, is_stun
from trio_sctp._wire.packet import checksum_ok, decode_chunks, decode_header
from trio_sctp._wire.tlv import DecodeError

__all__ = ["SIZE", "play"]

SIZE = 300
"""Bytes of a case, as a rule."""

_CHUNK_TYPES = (*range(16), 64, 128, 130, 132, 192, 193, 194, 255)
_INNER_TYPES = (*range(20), 0x8000, 0x8001, 0x8005, 0x8008, 0xC000, 0xC001, 0x4001)


def play(data: bytes) -> None:
    """One case; raises where a decoder breaks its promise."""
    choices = Choices(data)
    choices.pick((_packet, _framed_packet, _parameters, _causes, _dcep, _stun, _sdp, _records))(
        choices
    )


def _rest(choices: Choices) -> bytes:
    return choices.take(2**16)


def _packet(choices: Choices) -> None:
    packet = _rest(choices)
    try:
        decode_header(packet)
    except DecodeError:
        pass
    else:
        checksum_ok(packet)
    check_chunks(decode_chunks(packet))


def _framed_packet(choices: Choices) -> None:
    """Chunks whose headers are right, or nearly, with TLVs inside that are right, or nearly."""
    body = b""
    while not choices.exhausted and len(body) < 4000:
        body += _frame(choices, bytes((choices.pick(_CHUNK_TYPES), choices.number(1))), _value)
    check_chunks(decode_chunks(bytes(12) + body))


def _value(choices: Choices) -> bytes:
    prefix = choices.take(choices.pick((0, 4, 8, 12, 16)))
    return prefix + (_tlvs(choices) if choices.one_in(2) else choices.blob(40))


def _tlvs(choices: Choices) -> bytes:
    tlvs = b""
    for _ in range(choices.below(5)):
        kind = choices.pick(_INNER_TYPES).to_bytes(2, "big")
        tlvs += _frame(choices, kind, lambda choices: choices.blob(24))
    return tlvs


def _frame(choices: Choices, head: bytes, content: Callable[[Choices], bytes]) -> bytes:
    value = content(choices)
    length = 4 + len(value)
    if choices.one_in(8):
        length = choices.near(length, 2**16 - 1)
    return head + length.to_bytes(2, "big") + value + bytes(-len(value) % 4)


def _parameters(choices: Choices) -> None:
    check_parameters(_tlvs(choices) + _rest(choices))


def _causes(choices: Choices) -> None:
    check_causes(_tlvs(choices) + _rest(choices))


def _dcep(choices: Choices) -> None:
    check_dcep(choices.pick((b"\3", b"\2", b"")) + _rest(choices))


def _stun(choices: Choices) -> None:
    """With the magic cookie, and as a rule with the length that is right."""
    value = _rest(choices)
    length = len(value) - 16
    head = (choices.number(2) or 1).to_bytes(2, "big") + max(length, 0).to_bytes(2, "big")
    for datagram in (value, head + b"\x21\x12\xa4\x42" + value[4:]):
        is_stun(datagram)
        try:
            message = StunMessage.decode(datagram)
        except StunDecodeError:
            continue
        assert repr(message)
        message.verify_integrity(b"key")
        _ = message.unknown_attributes, message.username, message.mapped_address
        _ = message.error_code, message.priority, message.use_candidate


_SDP_LINES = (
    *("v=0", "o=- 1 1 IN IP4 0.0.0.0", "s=-", "t=0 0", "a=group:BUNDLE 0", "a=ice-lite"),
    *("m=application 9 UDP/DTLS/SCTP webrtc-datachannel", "m=audio 9 RTP/AVP 0", "a=mid:0"),
    *("a=ice-ufrag:abcd", "a=ice-pwd:abcdefghijklmnopqrstuv", "a=setup:actpass"),
    "a=fingerprint:sha-256 " + ":".join(["AB"] * 32),
    *("a=sctp-port:5000", "a=max-message-size:100", "a=sctp-port:99999", "a=setup:", "a="),
    "a=candidate:1 1 udp 1 192.0.2.1 9 typ host",
    *("a=candidate:1 1 udp", "a=tls-id:x", "c=IN IP4 0.0.0.0", "b=AS:1", "", "\N{SNOWMAN}"),
)


def _sdp(choices: Choices) -> None:
    lines: list[str] = list(_SDP_LINES[:13]) if choices.one_in(2) else []
    while not choices.exhausted and len(lines) < 60:
        line = choices.pick(_SDP_LINES)
        if choices.one_in(3):
            at = choices.below(len(line) + 1)
            line = line[:at] + choices.blob(8).decode("utf-8", "replace") + line[at + 1 :]
        lines.insert(choices.below(len(lines) + 1), line)
    text = "\r\n".join(lines) + "\r\n"
    try:
        RemoteDescription.parse(text, choices.pick(("offer", "answer")))
    except SdpError as error:
        assert str(error)  # noqa: PT017


def _records(choices: Choices) -> None:
    datagram = _rest(choices)
    if choices.one_in(2):
        datagram = b"\x16\xfe\xfd" + datagram
    encoded = b"".join(record.encoded for record in split_records(datagram))
    assert datagram.startswith(encoded)
