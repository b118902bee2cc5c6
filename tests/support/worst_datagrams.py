"""Datagrams of DTLS and STUN that are made to cost as much as possible, by people without keys."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random

from trio_sctp._webrtc.dtls_record import ContentType, encode_record
from trio_sctp._webrtc.stun import Attribute, MessageClass, encode_message

__all__ = ["WORST_DTLS", "worst_stun"]

_EPOCH_1 = 1 << 48
_RNG = Random(1)


def _records(kind: int, fragment: int, size: int, *, number: int = 0) -> bytes:
    """As many records of so many bytes as there is room for, each with a number of its own."""
    count = size // (13 + fragment)
    garbage = _RNG.randbytes(fragment)
    return b"".join(encode_record(kind, number + n, garbage) for n in range(count))


def _one_record(kind: int, number: int, size: int) -> bytes:
    return encode_record(kind, number, _RNG.randbytes(size - 13))


def _fragment_header(kind: int, length: int, seq: int, offset: int, size: int) -> bytes:
    return (
        bytes((kind,))
        + length.to_bytes(3, "big")
        + seq.to_bytes(2, "big")
        + offset.to_bytes(3, "big")
        + size.to_bytes(3, "big")
    )


def _fragments(fragment: Callable[[int], bytes], per_record: int | None, size: int) -> bytes:
    """Fragments of handshake messages, all in one record or so many in each."""
    one = len(fragment(0))
    count = (size - 13) // one if per_record is None else size // (13 + one * per_record)
    if per_record is None:
        return encode_record(ContentType.HANDSHAKE, 5, b"".join(map(fragment, range(count))))
    return b"".join(
        encode_record(
            ContentType.HANDSHAKE,
            n,
            b"".join(fragment(n * per_record + i) for i in range(per_record)),
        )
        for n in range(count)
    )


def _long_and_empty(n: int) -> bytes:
    """Of messages that are as long as may be, and another one each time."""
    return _fragment_header(1 + n % 2, 16_372, n % 8, 0, 0)


def _apart(n: int) -> bytes:
    """Single bytes of one message that do not touch."""
    return _fragment_header(11, 16_000, 3, 2 * n % 16_000, 1) + b"x"


def _hello(n: int) -> bytes:
    return _fragment_header(1, 40, 0, 0, 40) + bytes(40)


WORST_DTLS: dict[str, Callable[[int], bytes]] = {
    "empty records": partial(_records, ContentType.APPLICATION_DATA, 0),
    "empty records that seem protected": partial(
        _records, ContentType.APPLICATION_DATA, 0, number=_EPOCH_1
    ),
    "forged packets": partial(_records, ContentType.APPLICATION_DATA, 24, number=_EPOCH_1),
    "forged packets of 100 bytes": partial(
        _records, ContentType.APPLICATION_DATA, 100, number=_EPOCH_1
    ),
    "a forged packet": partial(_one_record, ContentType.APPLICATION_DATA, _EPOCH_1),
    "forged alerts": partial(_records, ContentType.ALERT, 26, number=_EPOCH_1),
    "alerts in the clear": partial(_records, ContentType.ALERT, 2),
    "CHANGE CIPHER SPECs": partial(_records, ContentType.CHANGE_CIPHER_SPEC, 1),
    "records of a later epoch": partial(_records, ContentType.HANDSHAKE, 12, number=_EPOCH_1 * 7),
    "empty fragments of long messages": partial(_fragments, _long_and_empty, None),
    "empty fragments in records of their own": partial(_fragments, _long_and_empty, 1),
    "empty fragments, some in each record": partial(_fragments, _long_and_empty, 8),
    "bytes of a message": partial(_fragments, _apart, None),
    "bytes of a message in records of their own": partial(_fragments, _apart, 1),
    "hellos": partial(_fragments, _hello, 1),
    "nothing that makes sense": lambda size: _RNG.randbytes(size),
}


def worst_stun(ufrag: str, size: int) -> dict[str, bytes]:
    """Checks and answers that are as long as may be, for a session of this name."""
    username = Attribute.USERNAME, f"{ufrag}:them".encode()
    priority = Attribute.PRIORITY, bytes(4)
    room = (size - 80 - len(username[1])) & ~3

    def message(
        kind: MessageClass, attributes: list[tuple[int, bytes]], *, integrity: bool = True
    ) -> bytes:
        key = bytes(24) if integrity else None
        return encode_message(kind, _RNG.randbytes(12), attributes, key=key)

    request, success = MessageClass.REQUEST, MessageClass.SUCCESS
    empty = [(0x8000 + n % 0x3000, b"") for n in range(room // 4)]
    wanted = [(0x0100 + n % 0x3000, b"") for n in range(room // 4)]
    return {
        "a check that is one attribute": message(
            request, [username, priority, (0x8022, bytes(min(room, 65_000)))]
        ),
        "a check of empty attributes": message(request, [username, priority, *empty]),
        "a check of attributes to be understood": message(request, [username, priority, *wanted]),
        "a check of few attributes to be understood": message(
            request, [username, priority, *wanted[:20]]
        ),
        "a check with a long name": message(
            request, [(Attribute.USERNAME, (ufrag + ":").encode() + b"\xff" * 60_000)]
        )
        if size > 62_000
        else message(
            request, [(Attribute.USERNAME, (ufrag + ":").encode() + b"\xff" * (size - 100))]
        ),
        "a check without integrity": message(request, [username, priority], integrity=False),
        "an answer that nobody asked for": message(success, empty),
        "an indication": message(MessageClass.INDICATION, empty),
    }
